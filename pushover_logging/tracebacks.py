"""What a record's exception says: the chain of what led to it, and where it came from."""

from __future__ import annotations

import linecache
import os
import re
import sysconfig
from functools import lru_cache
from types import TracebackType
from typing import NamedTuple, TypeGuard

_STANDARD_LIBRARY = tuple(
    os.path.join(sysconfig.get_paths()[name], "")  # noqa: PTH118 - a prefix of file names
    for name in ("stdlib", "platstdlib")
)
_INSTALLED = re.compile(r"[\\/](?:site|dist)-packages[\\/]")


class Place(NamedTuple):
    """Where an exception came from, held without its frame."""

    function: str
    """The qualified name on CPython 3.11 and newer, else the plain one."""
    filename: str
    lineno: int


def is_exc_info(info: object) -> TypeGuard[tuple[object, BaseException, object]]:
    """Say whether a record's `exc_info`, as a program may have set it, holds an exception."""
    return (
        isinstance(info, tuple)
        and len(info) == len(("type", "value", "traceback"))
        and isinstance(info[1], BaseException)
    )


def place_parts(tb: TracebackType | None) -> tuple[str, str, str]:
    """Return module, function and the text of the source line of `in_app_frame(tb)`."""
    entry = _in_app_entry(tb)
    if entry is None:
        return "", "", ""
    place = _place(entry)
    namespace = entry.tb_frame.f_globals
    # The text of the line survives an edit above it; reading it costs one read of the file, which
    # linecache keeps, and which a traceback in the notification needs as well.
    line = linecache.getline(place.filename, place.lineno, namespace)
    return str(namespace.get("__name__", "")), place.function, line.strip()


def exception_chain(exc: BaseException) -> list[BaseException]:
    """Return `exc` and what led to it, outermost first.

    As a traceback prints it: `__cause__`, else `__context__` unless suppressed.  A chain that comes
    back to itself ends there.  An exception group counts as one exception.
    """
    chain: list[BaseException] = []
    seen: set[int] = set()
    current: BaseException | None = exc
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        chain.append(current)
        following = current.__cause__
        if following is None and not current.__suppress_context__:
            following = current.__context__
        current = following
    return chain


def root_cause(exc: BaseException) -> BaseException:
    """Return the exception that started it all: the end of `exception_chain(exc)`."""
    return exception_chain(exc)[-1]


def in_app_frame(tb: TracebackType | None) -> Place | None:
    """Return the innermost place of `tb` in the program's own code; None without a traceback.

    Not the program's own are the standard library, site-packages, dist-packages and frozen modules.
    Where nothing else is there, the innermost place of all.
    """
    entry = _in_app_entry(tb)
    return _place(entry) if entry else None


def _place(entry: TracebackType) -> Place:
    code = entry.tb_frame.f_code
    name: str = getattr(code, "co_qualname", code.co_name)
    # CPython gives None for an instruction that no source line stands for.
    return Place(name, code.co_filename, entry.tb_lineno or 0)


def _in_app_entry(tb: TracebackType | None) -> TracebackType | None:
    innermost = in_app = None
    while tb is not None:
        innermost = tb
        if _is_in_app(tb.tb_frame.f_code.co_filename):
            in_app = tb
        tb = tb.tb_next
    return in_app or innermost


@lru_cache(maxsize=1024)
def _is_in_app(filename: str) -> bool:
    return not (filename.startswith(("<frozen", *_STANDARD_LIBRARY)) or _INSTALLED.search(filename))
