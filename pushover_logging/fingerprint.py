"""What "the same problem" is: a key for each record, the same in every process and on every host.

A throttle is as good as its key.  One that is too fine lets a storm through; one that is too coarse
hides a problem behind another, which is worse.
"""

from __future__ import annotations

import linecache
import logging
import os
import re
import sysconfig
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from types import TracebackType
from typing import Any, NamedTuple

from pushover_logging.masking import MAX_CHARACTERS, mask
from pushover_logging.text import first_line

EXPLICIT = "explicit:"
NEWS = "news:"
EXCEPTION = "exception:"
TEMPLATE = "template:"
TEXT = "text:"
"""Each key starts with its rule, so that keys of two rules are never equal.

A key of TEXT may be one of endlessly many from one call; what bounds them by call site reads
`record.pathname` and `record.lineno`, which are no part of the key.
"""

_TRACEBACK = "Traceback (most recent call last):\n"
_PLACEHOLDER = re.compile(
    r"%(?:\(\w*\))?[-#0 +]*(?:\d+|\*)?(?:\.(?:\d+|\*))?[a-zA-Z%]|\{\w*(?:[.\[!:][^{}]*)?\}"
)
_THREE_LETTERS = re.compile(r"[^\W\d_]{3}")
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


_NOTHING: Mapping[str, Any] = {}


def own(record: logging.LogRecord) -> Mapping[str, Any]:
    """Return what the record says in `extra={"pushover": {...}}`, empty where it says nothing."""
    given = getattr(record, "pushover", None)
    return given if isinstance(given, Mapping) else _NOTHING


def fingerprint(record: logging.LogRecord, by: Sequence[str] = ()) -> str:
    """Return the key of the problem that `record` reports.

    The first of five rules that fits decides: a `fingerprint` in the record's `pushover` mapping;
    below WARNING, the rendered text; with an exception, its types, place and masked text; with args
    and a template of words, the raw template; else the masked text.

    `by` names attributes of the record whose values are part of the key under every rule; one that
    is missing counts as "".  The key is ASCII, at most 42 characters.  Whatever `getMessage` raises
    for args that do not fit the template goes through.
    """
    values = tuple([str(getattr(record, name, "")) for name in by]) if by else ()
    given = own(record).get("fingerprint")
    if given is not None:
        return explicit(given, values)
    if record.levelno < logging.WARNING:
        return _key(NEWS, str(record.name), record.getMessage(), *values)
    if record.exc_info or record.exc_text:
        parts = _exception_parts(record)
        if parts:
            return _key(EXCEPTION, *parts, *values)
    if record.args:
        key = _template_key(str(record.name), str(record.msg)[:MAX_CHARACTERS], values)
        if key:
            return key
    return _text_key(record, values)


def explicit(name: object, values: Sequence[str] = ()) -> str:
    """Return the key of a fingerprint that the program named itself.

    `values` are those of the record fields that are part of every key, as text, in their order.
    """
    return _key(EXPLICIT, str(name), *values)


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


def _exception_parts(record: logging.LogRecord) -> tuple[str, ...]:
    """Return what tells the exception of `record` from others; () where there is none."""
    info: object = record.exc_info  # any object: records also come from makeLogRecord and sockets
    if (
        isinstance(info, tuple)
        and len(info) == len(("type", "value", "traceback"))
        and isinstance(info[1], BaseException)
    ):
        exc: BaseException = info[1]
        tb = info[2] if isinstance(info[2], TracebackType) else exc.__traceback__
        kinds = map(type, exception_chain(exc))
        types = [f"{kind.__module__}.{kind.__qualname__}" for kind in kinds]
        # The place is that of the exception which was logged, not of its root: only that traceback
        # always reaches up to the code that logged it.
        return (mask(str(record.msg)), *types, *_place_parts(tb), mask(_first_line_of(exc)))
    if isinstance(record.exc_text, str) and record.exc_text.strip():
        return (mask(str(record.msg)), mask(_last_line(record.exc_text)))
    return ()


def _place_parts(tb: TracebackType | None) -> tuple[str, str, str]:
    entry = _in_app_entry(tb)
    if entry is None:
        return "", "", ""
    place = _place(entry)
    namespace = entry.tb_frame.f_globals
    # The text of the line survives an edit above it; reading it costs one read of the file, which
    # linecache keeps, and which a traceback in the notification needs as well.
    line = linecache.getline(place.filename, place.lineno, namespace)
    return str(namespace.get("__name__", "")), place.function, line.strip()


def _first_line_of(exc: BaseException) -> str:
    try:
        return first_line(str(exc))
    except Exception:  # noqa: BLE001 - any code of the program; its type alone must do
        return ""


def _last_line(text: str) -> str:
    return text.rstrip().rpartition("\n")[2].strip()


@lru_cache(maxsize=1024)
def _template_key(name: str, template: str, values: tuple[str, ...]) -> str | None:
    """Return the key of a template that says something itself, None for the likes of "%s: %s".

    Cached: it is all that a suppressed duplicate costs.
    """
    if not _THREE_LETTERS.search(_PLACEHOLDER.sub(" ", template)):
        return None
    return _key(TEMPLATE, name, template, *values)


def _text_key(record: logging.LogRecord, values: tuple[str, ...]) -> str:
    text = record.getMessage()
    head, traceback, rest = text.partition(_TRACEBACK)
    if traceback and rest.strip():
        # QueueHandler.prepare leaves the traceback in the message, and nothing in exc_text.
        return _key(EXCEPTION, mask(head.rstrip("\r\n")), mask(_last_line(rest)), *values)
    return _key(
        TEXT, str(record.name), str(record.module), str(record.funcName), mask(text), *values
    )


def _key(rule: str, *parts: str) -> str:
    # Each part's length goes in front of it, so that no two lists of parts read the same.
    joined = "".join([f"{len(part)}:{part}" for part in parts])
    return rule + blake2b(joined.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
