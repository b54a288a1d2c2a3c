"""The fingerprint of a record, the key that says which problem it reports, and its groups.

Keys are stateless: the same record gives the same key in every process and on every host. A key
that is too fine lets a flood through; one that is too coarse hides a problem behind another, which
is worse.
"""

from __future__ import annotations

import builtins
import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from types import TracebackType
from typing import Any, NamedTuple

from pushover_logging.identity import tracebacks
from pushover_logging.identity.masking import MAX_CHARACTERS, mask
from pushover_logging.rendering.text import first_line

# Each key starts with its rule, so that keys of two rules are never equal.
EXPLICIT = "explicit:"
JOB = "job:"  # an explicit one, of a `JobName`
NEWS = "news:"
EXCEPTION = "exception:"
TEMPLATE = "template:"
TEXT = "text:"
# These two start the key of a group, which several fingerprints share.
CALL_SITE = "call site:"
ROOT_CAUSE = "root cause:"

_PLACEHOLDER = re.compile(
    r"%(?:\(\w*\))?[-#0 +]*(?:\d+|\*)?(?:\.(?:\d+|\*))?[a-zA-Z%]|\{\w*(?:[.\[!:][^{}]*)?\}"
)
_THREE_LETTERS = re.compile(r"[^\W\d_]{3}")
_Texts = tuple[str, ...]
_NO_EXTRA: Mapping[str, Any] = {}


class GroupKey(NamedTuple):
    """What several fingerprints share: a call site or a root exception."""

    group: str  # the key; it starts with `CALL_SITE` or `ROOT_CAUSE`
    place: str  # what the group's summary shows


class JobName(str):
    """The fingerprint of the failures of one job, which have a rate of their own."""

    __slots__ = ()


class RecordKeys(NamedTuple):
    """The keys that the throttle needs for one record."""

    key: str | None = None  # the fingerprint; None if the record bypasses the throttle
    group: GroupKey | None = None  # the group of a fingerprint that is not yet known
    resolves: object = None  # the explicit fingerprint of the problem that the record ends


def record_keys(
    record: logging.LogRecord, group_by: Sequence[str], is_known: Callable[[str], bool]
) -> RecordKeys:
    """Return the keys of ``record``, with its group only if its fingerprint is not ``is_known``."""
    extra = pushover_extra(record)
    if extra.get("throttle") is False:
        return RecordKeys()
    values = _values(record, group_by) if group_by else ()
    resolves = extra.get("resolves")
    if resolves is not None:
        return RecordKeys(explicit(resolves, values), None, resolves)
    key = _fingerprint(record, extra, values)
    return RecordKeys(key, None if is_known(key) else group_key(record, key, group_by))


def pushover_extra(record: logging.LogRecord) -> Mapping[str, Any]:
    """Return the mapping in ``extra={"pushover": {...}}``, empty if there is none."""
    extra = getattr(record, "pushover", _NO_EXTRA)
    return extra if extra is _NO_EXTRA or isinstance(extra, Mapping) else _NO_EXTRA


def call_key(record: logging.LogRecord) -> tuple[object, ...] | None:
    """Return a cheap key that determines the fingerprint of a plain record; None for others.

    A plain record is at WARNING or above, has a str as its message, and has neither an exception
    nor a ``pushover`` mapping.
    """
    is_plain = type(record.msg) is str and "pushover" not in record.__dict__
    if record.levelno < logging.WARNING or record.exc_info or record.exc_text or not is_plain:
        return None
    if record.args:
        return (record.name, record.msg)
    return (record.name, record.msg, record.module, record.funcName)


def fingerprint(record: logging.LogRecord, group_by: Sequence[str] = ()) -> str:
    """Return the key of the problem that ``record`` reports: ASCII, at most 42 characters.

    The first rule that applies makes the key: a ``fingerprint`` in the record's ``pushover``
    mapping; below WARNING, the rendered text; with an exception, its types, place and masked text;
    with args and a template that contains a word, the template; else the masked text.

    ``group_by`` names record attributes whose values are part of the key under every rule; a
    missing one counts as "". Raises what ``getMessage`` raises if the args do not fit the template.
    """
    values = _values(record, group_by) if group_by else ()
    return _fingerprint(record, pushover_extra(record), values)


def _fingerprint(record: logging.LogRecord, extra: Mapping[str, Any], values: _Texts) -> str:
    name = extra.get("fingerprint")
    if name is not None:
        return explicit(name, values)
    if record.levelno < logging.WARNING:
        return _key(NEWS, str(record.name), record.getMessage(), *values)
    if record.exc_info or record.exc_text:
        key = _exception_key(record, values)
        if key:
            return key
    if record.args:
        key = _template_key(str(record.name), str(record.msg)[:MAX_CHARACTERS], values)
        if key:
            return key
    return _text_key(record, values)


def explicit(name: object, values: Sequence[str] = ()) -> str:
    """Return the key of a fingerprint that the program chose, and its ``group_by`` values."""
    return _key(JOB if isinstance(name, JobName) else EXPLICIT, str(name), *values)


def _values(record: logging.LogRecord, group_by: Sequence[str]) -> _Texts:
    return tuple([str(getattr(record, name, "")) for name in group_by])


def _exception_key(record: logging.LogRecord, values: _Texts) -> str | None:
    """Return the key of the record's exception; None if it has none."""
    info: object = record.exc_info  # any object, in records of makeLogRecord and of sockets
    if tracebacks.is_exc_info(info):
        chain = tracebacks.exception_chain(info[1])
        tb = info[2] if isinstance(info[2], TracebackType) else chain[0].__traceback__
        if any(map(tracebacks.subexceptions, chain)):
            values = (*_member_keys(chain), *values)
        return _repeated_exception_key(str(record.msg), *_exception_parts(chain, tb), values)
    if isinstance(record.exc_text, str) and record.exc_text.strip():
        return _key(EXCEPTION, *_text_exception_parts(str(record.msg), record.exc_text), *values)
    return None


def _exception_parts(chain: list[BaseException], tb: TracebackType | None) -> tuple[_Texts, str]:
    """Return the types of a chain with its place, and the first line of the logged exception."""
    # The place of the logged exception, not of the root, whose traceback can end in a library.
    # The text of its line, unlike its number, stays the same when lines above it change.
    frame = tracebacks.in_app_frame(tb)
    place = (frame.module, frame.function, frame.code) if frame else ("", "", "")
    return (*map(_qualified_name, chain), *place), _first_line_of(chain[0])


@lru_cache(maxsize=1024)  # a problem that continues repeats its parts
def _repeated_exception_key(head: str, fixed: _Texts, line: str, rest: _Texts) -> str:
    return _key(EXCEPTION, mask(head), *fixed, mask(line), *rest)


def _member_keys(chain: Sequence[BaseException]) -> list[str]:
    """Return the keys of the members of a chain's groups, whose own text often says nothing."""
    members = [exc for link in chain for exc in tracebacks.flatten_group(link) if exc is not link]
    keys = set()
    for exc in members:
        fixed, line = _exception_parts(tracebacks.exception_chain(exc), exc.__traceback__)
        keys.add(_key("", *fixed, mask(line)))
    return sorted(keys)


def _text_exception_parts(head: str, text: str) -> _Texts:
    text = tracebacks.both_ends(text)
    place, line = tracebacks.text_place_parts(text), tracebacks.exception_line(text)
    return mask(head.rstrip("\r\n")), *place, mask(line)


def _first_line_of(exc: BaseException) -> str:
    try:
        return first_line(str(exc))
    except Exception:  # noqa: BLE001  any code of the program; the type alone has to do
        return ""


def _qualified_name(exc: BaseException) -> str:
    """Return the name of an exception's type as a traceback shows it."""
    kind = type(exc)
    if kind.__module__ in {"builtins", "__main__"}:
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


@lru_cache(maxsize=1024)  # a suppressed duplicate costs no more than this look-up
def _template_key(name: str, template: str, values: _Texts) -> str | None:
    """Return the key of a template that contains a word; None for one like "%s: %s"."""
    if not _THREE_LETTERS.search(_PLACEHOLDER.sub(" ", template)):
        return None
    return _key(TEMPLATE, name, template, *values)


def _text_key(record: logging.LogRecord, values: _Texts) -> str:
    text = record.getMessage()
    if tracebacks.TRACEBACK in text:
        # QueueHandler.prepare moves the traceback into the message and clears exc_text.
        head, traceback, rest = text.partition(tracebacks.TRACEBACK)
        if rest.strip():
            return _key(EXCEPTION, *_text_exception_parts(head, traceback + rest), *values)
    place = str(record.name), str(record.module), str(record.funcName), *values
    return _repeated_text_key(place, text[:MAX_CHARACTERS])


@lru_cache(maxsize=1024)
def _repeated_text_key(place: _Texts, text: str) -> str:
    return _masked_text_key(place, mask(text))


@lru_cache(maxsize=1024)
def _masked_text_key(place: _Texts, masked: str) -> str:
    return _key(TEXT, *place, masked)


def group_key(record: logging.LogRecord, key: str, group_by: Sequence[str] = ()) -> GroupKey | None:
    """Return the group of ``record``, whose fingerprint is ``key``; None for most records.

    The masked texts of one file and line are a group, because a text that no mask fits can give any
    number of keys from one call; so are the exceptions of one `_root_cause`.
    """
    values = _values(record, group_by) if group_by else ()
    if key.startswith(TEXT):
        group = _key(CALL_SITE, str(record.pathname), str(record.lineno), *values)
        name = os.path.basename(record.pathname)  # noqa: PTH119  a tenth of a Path's cost
        return GroupKey(group, f"{name}:{record.lineno}")
    cause = _root_cause(record) if key.startswith(EXCEPTION) else None
    if cause is None:
        return None
    info = record.exc_info
    frame = tracebacks.in_app_frame(info[2]) if isinstance(info, tuple) else None
    place = frame.function if frame else record.funcName or record.name
    return GroupKey(_key(ROOT_CAUSE, *cause, *values), place)


def _root_cause(record: logging.LogRecord) -> tuple[str, str] | None:
    """Return the type and the masked first line of the root exception, if that is a cause.

    One dead database causes many failures, but each KeyError or timeout is a problem of its own.
    """
    info: object = record.exc_info
    if tracebacks.is_exc_info(info):
        root = tracebacks.exception_chain(info[1])[-1]
        if not tracebacks.subexceptions(root):
            return _cause(root)
        causes = set(map(_cause, map(tracebacks.root_cause, tracebacks.flatten_group(root))))
        return causes.pop() if len(causes) == 1 else None
    # The root's traceback is the first in the text, and ends at an empty line.
    text = tracebacks.both_ends(str(record.exc_text or record.getMessage()))
    first = text[text.find(tracebacks.TRACEBACK) :].split("\n\n", 1)[0]
    return _text_cause(tracebacks.exception_line(first)) if tracebacks.TRACEBACK in text else None


def _cause(exc: BaseException) -> tuple[str, str] | None:
    is_pythons = type(exc).__module__ in {"builtins", tracebacks.ASYNCIO}
    if is_pythons and not isinstance(exc, OSError):
        return None
    line = _first_line_of(exc)
    return (_qualified_name(exc), mask(line)) if line or not is_pythons else None


def _text_cause(line: str) -> tuple[str, str] | None:
    """Return the `_cause` of an exception by its line in a traceback."""
    name, _, text = line.partition(": ")
    builtin = getattr(builtins, name, None)
    is_os_error = isinstance(builtin, type) and issubclass(builtin, OSError) and text
    if (builtin and not is_os_error) or name.startswith(f"{tracebacks.ASYNCIO}."):
        return None
    return name, mask(text)


def _key(rule: str, *parts: str) -> str:
    # The length in front of each part keeps different lists of parts different.
    joined = ""
    for part in parts:
        joined += f"{len(part)}:{part}"
    return rule + blake2b(joined.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
