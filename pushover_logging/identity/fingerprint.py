"""What "the same problem" is: a key for each record, the same in every process and on every host.

A throttle is as good as its key. One that is too fine lets a storm through; one that is too coarse
hides a problem behind another, which is worse.
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

from pushover_logging.identity.masking import MAX_CHARACTERS, mask
from pushover_logging.identity.tracebacks import (
    ASYNCIO,
    TRACEBACK,
    both_ends,
    exception_chain,
    exception_line,
    flatten_group,
    in_app_frame,
    is_exc_info,
    place_parts,
    root_cause,
    subexceptions,
    text_place_parts,
)
from pushover_logging.rendering.text import first_line
from pushover_logging.throttle.problem import Origin

EXPLICIT = "explicit:"
NEWS = "news:"
EXCEPTION = "exception:"
TEMPLATE = "template:"
TEXT = "text:"
CALL_SITE = "call site:"
ROOT_CAUSE = "root cause:"
"""Each key starts with its rule, so that keys of two rules are never equal.

The last two are no fingerprints: they say what several fingerprints have in common.
"""

_PLACEHOLDER = re.compile(
    r"%(?:\(\w*\))?[-#0 +]*(?:\d+|\*)?(?:\.(?:\d+|\*))?[a-zA-Z%]|\{\w*(?:[.\[!:][^{}]*)?\}"
)
_THREE_LETTERS = re.compile(r"[^\W\d_]{3}")

_NOTHING: Mapping[str, Any] = {}


def pushover_extra(record: logging.LogRecord) -> Mapping[str, Any]:
    """Return what the record says in `extra={"pushover": {...}}`, empty where it says nothing."""
    given = getattr(record, "pushover", _NOTHING)
    return given if given is _NOTHING or isinstance(given, Mapping) else _NOTHING


def fingerprint(record: logging.LogRecord, by: Sequence[str] = ()) -> str:
    """Return the key of the problem that ``record`` reports.

    The first of five rules that fits decides: a ``fingerprint`` in the record's ``pushover``
    mapping; below WARNING, the rendered text; with an exception, its types, place and masked text;
    with args and a template of words, the raw template; else the masked text.

    ``by`` names attributes of the record whose values are part of the key under every rule; one
    that is missing counts as "". The key is ASCII, at most 42 characters. Whatever ``getMessage``
    raises for args that do not fit the template goes through.
    """
    values = _values(record, by)
    given = pushover_extra(record).get("fingerprint")
    if given is not None:
        return explicit(given, values)
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


def _values(record: logging.LogRecord, by: Sequence[str]) -> tuple[str, ...]:
    return tuple([str(getattr(record, name, "")) for name in by]) if by else ()


def explicit(name: object, values: Sequence[str] = ()) -> str:
    """Return the key of a fingerprint that the program named itself.

    ``values`` are those of the record fields that are part of every key, as text, in their order.
    """
    return _key(EXPLICIT, str(name), *values)


def call_site_key(record: logging.LogRecord, key: str, by: Sequence[str] = ()) -> str | None:
    """Return what the free texts of one file and line have in common; None for other rules.

    ``key`` is ``fingerprint(record, by)``. A text that no mask fits may give endlessly many keys
    from one call.
    """
    if not key.startswith(TEXT):
        return None
    return _key(CALL_SITE, str(record.pathname), str(record.lineno), *_values(record, by))


def root_cause_key(record: logging.LogRecord, key: str, by: Sequence[str] = ()) -> str | None:
    """Return what all exceptions of one root cause have in common; None where it says little.

    ``key`` is ``fingerprint(record, by)``. Type and masked first line of the root exception, and
    only of OSError's family, where it says anything, and of types that are not Python's own: a dead
    database is one cause of many failures, a KeyError or a timeout is another one each time.
    """
    if not key.startswith(EXCEPTION):
        return None
    info: object = record.exc_info
    if is_exc_info(info):
        causes = {_cause(root_cause(each)) for each in flatten_group(root_cause(info[1]))}
        cause = causes.pop() if len(causes) == 1 else None
    else:
        # Of a chain as text, the root's traceback stands first and ends at an empty line.
        text = both_ends(str(record.exc_text or record.getMessage()))
        first = text[text.find(TRACEBACK) :].split("\n\n", 1)[0]
        cause = _cause_as_text(exception_line(first)) if TRACEBACK in text else None
    return _key(ROOT_CAUSE, *cause, *_values(record, by)) if cause else None


def _cause(exc: BaseException) -> tuple[str, str] | None:
    kind, says = type(exc), isinstance(exc, OSError) and _first_line_of(exc)
    plain = kind.__module__ in {"builtins", ASYNCIO} and not says
    return None if plain else (_qualified(kind), mask(_first_line_of(exc)))


def _cause_as_text(line: str) -> tuple[str, str] | None:
    """Return what `_cause` does, of an exception's line in a traceback."""
    name, _, said = line.partition(": ")
    builtin = getattr(builtins, name, None)
    of_system = isinstance(builtin, type) and issubclass(builtin, OSError) and said
    plain = (builtin and not of_system) or name.startswith(f"{ASYNCIO}.")
    return None if plain else (name, mask(said))


def _qualified(kind: type) -> str:
    """Return the name of an exception's type as a traceback shows it."""
    if kind.__module__ in {"builtins", "__main__"}:
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def _exception_key(record: logging.LogRecord, values: tuple[str, ...]) -> str | None:
    """Return the key of the exception of ``record``; None where there is none."""
    info: object = record.exc_info  # any object: records also come from makeLogRecord and sockets
    if is_exc_info(info):
        chain = exception_chain(info[1])
        tb = info[2] if isinstance(info[2], TracebackType) else chain[0].__traceback__
        return _key_of(str(record.msg), *_said_by(chain, tb), (*_keys_of_members(chain), *values))
    if isinstance(record.exc_text, str) and record.exc_text.strip():
        return _key(EXCEPTION, *_parts_of_text(str(record.msg), record.exc_text), *values)
    return None


def _said_by(
    chain: Sequence[BaseException], tb: TracebackType | None
) -> tuple[tuple[str, ...], str]:
    """Return the types of an exception's chain with its place, and its own first line."""
    # The place of what was logged, not of its root: that traceback reaches up to who logged it.
    types = [_qualified(type(each)) for each in chain]
    return (*types, *place_parts(tb)), _first_line_of(chain[0])


@lru_cache(maxsize=1024)
def _key_of(head: str, stays: tuple[str, ...], said: str, more: tuple[str, ...]) -> str:
    # Cached: a problem that goes on says the same again.
    return _key(EXCEPTION, mask(head), *stays, mask(said), *more)


def _keys_of_members(chain: Sequence[BaseException]) -> list[str]:
    """Return what tells the members of the chain's groups apart, whatever their order and number.

    A group's own words are often "unhandled errors in a TaskGroup", whatever went wrong.
    """
    groups = [link for link in chain if subexceptions(link)]
    inside = [each for link in groups for each in flatten_group(link) if each is not link]
    parts = [_said_by(exception_chain(each), each.__traceback__) for each in inside]
    return sorted({_key("", *stays, mask(said)) for stays, said in parts})


def _parts_of_text(head: str, text: str) -> tuple[str, ...]:
    text = both_ends(text)
    return mask(head.rstrip("\r\n")), *text_place_parts(text), mask(exception_line(text))


def _first_line_of(exc: BaseException) -> str:
    try:
        return first_line(str(exc))
    except Exception:  # noqa: BLE001 - any code of the program; its type alone must do
        return ""


@lru_cache(maxsize=1024)  # it is all that a suppressed duplicate costs
def _template_key(name: str, template: str, values: tuple[str, ...]) -> str | None:
    """Return the key of a template that says something itself, None for the likes of "%s: %s"."""
    if not _THREE_LETTERS.search(_PLACEHOLDER.sub(" ", template)):
        return None
    return _key(TEMPLATE, name, template, *values)


def _text_key(record: logging.LogRecord, values: tuple[str, ...]) -> str:
    text = record.getMessage()
    if TRACEBACK in text:
        # QueueHandler.prepare leaves the traceback in the message, and nothing in exc_text.
        head, traceback, rest = text.partition(TRACEBACK)
        if rest.strip():
            return _key(EXCEPTION, *_parts_of_text(head, traceback + rest), *values)
    place = str(record.name), str(record.module), str(record.funcName), *values
    return _repeated_text_key(place, text[:MAX_CHARACTERS])


@lru_cache(maxsize=1024)
def _repeated_text_key(place: tuple[str, ...], text: str) -> str:
    return _free_text_key(place, mask(text))


@lru_cache(maxsize=1024)
def _free_text_key(place: tuple[str, ...], masked: str) -> str:
    return _key(TEXT, *place, masked)


def _key(rule: str, *parts: str) -> str:
    # Each part's length goes in front of it, so that no two lists of parts read the same.
    joined = "".join([f"{len(part)}:{part}" for part in parts])
    return rule + blake2b(joined.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class RecordKeys(NamedTuple):
    """A record's fingerprint, None to pass the throttle by; a newcomer's origin; what it ends."""

    key: str | None = None
    origin: Origin | None = None
    resolves: object = None


def record_keys(
    record: logging.LogRecord, by: Sequence[str], knows: Callable[[str], bool]
) -> RecordKeys:
    """Return what ``record`` asks; only where nobody ``knows`` its fingerprint, its origin.

    Raises what the record's own arguments raise.
    """
    given = pushover_extra(record)
    if given.get("throttle") is False:
        return RecordKeys()
    resolves = given.get("resolves")
    if resolves is not None:
        key = explicit(resolves, [str(getattr(record, field, "")) for field in by])
        return RecordKeys(key, None, resolves)
    key = fingerprint(record, by)
    return RecordKeys(key, None if knows(key) else group_key(record, key, by))


def call_key(record: logging.LogRecord) -> tuple[object, ...] | None:
    """Return what names a plain record's fingerprint, None where that takes a closer look.

    Plain is a WARNING or worse without an exception and without words of its own for us, whose
    message is a text.
    """
    if (
        record.levelno < logging.WARNING
        or record.exc_info
        or record.exc_text
        or type(record.msg) is not str
        or "pushover" in record.__dict__
    ):
        return None
    if record.args:
        return (record.name, record.msg)
    return (record.name, record.msg, record.module, record.funcName)


def group_key(record: logging.LogRecord, key: str, by: Sequence[str] = ()) -> Origin | None:
    """Return the origin of ``record``, whose fingerprint is ``key``; None for most."""
    group = call_site_key(record, key, by)
    if group is not None:
        name = os.path.basename(record.pathname)  # noqa: PTH119  a tenth of a Path's cost
        return Origin(group, f"{name}:{record.lineno}")
    group = root_cause_key(record, key, by)
    if group is None:
        return None
    info = record.exc_info
    found = in_app_frame(info[2]) if isinstance(info, tuple) else None
    return Origin(group, found.function if found else record.funcName or record.name)
