"""What a record's exception says: the chain of what led to it, and where it came from."""

from __future__ import annotations

import linecache
import os
import re
from collections.abc import Sequence
from functools import lru_cache
from types import TracebackType
from typing import NamedTuple, TypeGuard

_STANDARD_LIBRARY = os.path.join(os.path.dirname(os.__file__), "")  # noqa: PTH118, PTH120 - a prefix of file names
ASYNCIO = "asyncio.exceptions"  # where Python's own of asyncio are
TRACEBACK = "Traceback (most recent call last):\n"
_FRAME = re.compile(r'^[ |]*File "([^"\n]+)", line \d+, in (.+)(?:\n[ |]*(\S.*))?', re.MULTILINE)
# A line that begins at the left; the members of an exception group have a margin there.
_UNINDENTED = re.compile(r"^(?: *[|+] |(?![|+] ))(\S.*)", re.MULTILINE)

_END = 16_384  # characters
_NEWLINE = "\n"

MAX_MEMBERS = 100
"""How many members of an exception group are looked at."""

_INSTALLED = re.compile(r"[\\/](?:site|dist)-packages[\\/]")


class Place(NamedTuple):
    """Where an exception came from, held without its frame."""

    function: str
    """The qualified name on CPython 3.11 and newer, else the plain one."""
    filename: str
    lineno: int


def is_exc_info(info: object) -> TypeGuard[tuple[object, BaseException, object]]:
    """Say whether a record's ``exc_info``, as a program may have set it, holds an exception."""
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
    """Return ``exc`` and what led to it, outermost first.

    As a traceback prints it: ``__cause__``, else ``__context__`` unless suppressed. A chain that
    comes back to itself ends there. An exception group counts as one exception. That something was
    cancelled is no cause: what came of it, a TimeoutError, stands in its place.
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
    end = len(chain)
    while end > 1 and _is_cancelled(chain[end - 1]):
        end -= 1
    return [*chain[: end - 1], *chain[end:], chain[end - 1]]


def _is_cancelled(exc: BaseException) -> bool:
    return type(exc).__module__ == ASYNCIO and type(exc).__name__ == "CancelledError"


def root_cause(exc: BaseException) -> BaseException:
    """Return the exception that started it all: the end of `exception_chain(exc)`."""
    return exception_chain(exc)[-1]


def members(exc: BaseException) -> list[BaseException]:
    """Return the exceptions of a group, those of its inner groups in place; [exc] of any other.

    At most `MAX_MEMBERS`. What has a sequence ``exceptions`` is a group, so that CPython 3.10 with
    the ``exceptiongroup`` package reads as later ones do.
    """
    found: list[BaseException] = []
    seen: set[int] = set()
    waiting = [exc]
    while waiting and len(found) < MAX_MEMBERS:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        inner = [each for each in grouped_in(current) if isinstance(each, BaseException)]
        if inner:
            waiting.extend(reversed(inner))
        else:
            found.append(current)
    return found


def grouped_in(exc: object) -> Sequence[object]:
    """Return what an exception says that it is a group of; of most, nothing."""
    try:
        given = getattr(exc, "exceptions", None)
    except Exception:  # noqa: BLE001  a property of the program's own
        return ()
    return given if isinstance(given, (tuple, list)) else ()


def both_ends(text: str) -> str:
    """Return a traceback as text, of a very long one what stands at its two ends.

    A chain's root is first, the place and the naming line of what was logged are last.
    """
    if len(text) <= 2 * _END:
        return text
    end = text[-_END:]
    return f"{text[:_END]}\n{end.partition(_NEWLINE)[2] or end}"


def naming_line(text: str) -> str:
    """Return the line ``Type: message`` of the last traceback in ``text``; else the last line.

    Notes, a stack and the message's other lines may come after it.
    """
    at = text.rfind(TRACEBACK)
    found = _UNINDENTED.search(text, at + len(TRACEBACK)) if at >= 0 else None
    if found:
        return found[1].strip()
    return text.rstrip().rpartition("\n")[2].strip()


def text_place_parts(text: str) -> tuple[str, str, str]:
    """Return file name, function and source line of the in-app frame of a traceback as text.

    As `place_parts`, of the last traceback in ``text``; the file's name is without its folders,
    which differ from host to host.
    """
    frames = _FRAME.findall(text, max(text.rfind(TRACEBACK), 0))
    if not frames:
        return "", "", ""
    filename, function, line = next((f for f in reversed(frames) if is_in_app(f[0])), frames[-1])
    return re.split(r"[\\/]", filename)[-1], function, line


def in_app_frame(*tbs: TracebackType | None) -> Place | None:
    """Return the innermost place in the program's own code; None without a traceback.

    Of the first of ``tbs`` that has one. Not the program's own are the standard library,
    site-packages, dist-packages and frozen modules. Where nothing else is there, the innermost
    place of all in the first.
    """
    innermost = None
    for tb in tbs:
        last, in_app = _entries(tb)
        if in_app is not None:
            return _place(in_app)
        innermost = innermost or last
    return _place(innermost) if innermost else None


def _place(entry: TracebackType) -> Place:
    code = entry.tb_frame.f_code
    name: str = getattr(code, "co_qualname", code.co_name)
    # CPython gives None for an instruction that no source line stands for.
    return Place(name, code.co_filename, entry.tb_lineno or 0)


def _in_app_entry(tb: TracebackType | None) -> TracebackType | None:
    innermost, in_app = _entries(tb)
    return in_app or innermost


def _entries(tb: TracebackType | None) -> tuple[TracebackType | None, TracebackType | None]:
    """Return the innermost entry of ``tb``, and the innermost of the program's own code."""
    innermost = in_app = None
    while tb is not None:
        innermost = tb
        if is_in_app(tb.tb_frame.f_code.co_filename):
            in_app = tb
        tb = tb.tb_next
    return innermost, in_app


@lru_cache(maxsize=1024)
def is_in_app(filename: str) -> bool:
    """Tell whether a file is of the program's own code."""
    return not (filename.startswith(("<frozen", _STANDARD_LIBRARY)) or _INSTALLED.search(filename))
