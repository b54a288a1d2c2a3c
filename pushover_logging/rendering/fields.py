"""Message fields that are wrong cost themselves, not the alert."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import date, time, timedelta
from enum import Enum
from itertools import islice
from numbers import Number
from typing import Any
from uuid import UUID

from pushover_logging.diagnostics import warn
from pushover_logging.dictconfig import plain
from pushover_logging.exceptions import ConfigurationError
from pushover_logging.message import FIELDS, URL_LIMIT, URL_TITLE_LIMIT, Message
from pushover_logging.rendering.redaction import HIDDEN, MAX_CHARS, names_secret, redacted
from pushover_logging.rendering.text import clean, truncate


def as_text(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``fields`` with title and message as texts; one that has none is left out and told."""
    given = dict(fields)
    for name in given.keys() & {"title", "message"}:
        try:
            given[name] = None if given[name] is None else str(given[name])
        except Exception as error:  # noqa: BLE001  any code of the program's
            del given[name]
            warn("a message field is left out: %s raised %s", name, type(error).__name__)
    return given


def message_of(text: str, title: str, given: dict[str, Any]) -> Message:
    """Return the Message of ``given`` fields; what is wrong is left out and told."""
    for name, limit in (("url", URL_LIMIT), ("url_title", URL_TITLE_LIMIT)):
        if isinstance(given.get(name), str):
            given[name] = truncate(clean(given[name]), limit)
    for name in given.keys() - FIELDS:
        del given[name]
        warn("a message field is left out: there is no %s", name)
    while True:
        try:
            return Message(message=text, title=title, **given)
        except ConfigurationError as error:
            del given[error.option or ""]
            warn("a message field is left out: %s", error)


ITEMS = 20
"""Items of a list or a mapping that are looked at: more do not fit in a line."""

_DEPTH = 3
_METHOD_LENGTH = 10
_BITS = 1024  # Python itself refuses to write numbers of above 4,300 digits

# What a task or a request was given: celery's `data` holds a task's arguments, others a request's
# headers. None of it was chosen for a message.
_GIVEN = frozenset({"args", "kwargs", "headers", "cookies", "body", "environ", "traceback"})
_QUERY = re.compile(r"(?<=\S)\?\S*")
_NUMBERS = (int, float, Number)  # Decimal says that it is one, numpy's and Fraction are
_LISTS = (list, tuple, set, frozenset)
_LEFT_OUT = object()


def plain_fields(data: Mapping[Any, Any], asked: Iterable[str] = ()) -> dict[str, Any]:
    """Return the fields of ``data`` whose values are plain, a secret's value as ``***``.

    A ``request`` with a method and a path is told by these two. What a task or a request was given
    (its arguments, headers, body, ...) is left out, save what was ``asked`` for by name.
    """
    asked = frozenset(asked)
    found: dict[str, Any] = {}
    for key, value in sorted(data.items(), key=lambda one: one[0] != "request"):
        if type(key) is not str or (key in _GIVEN and key not in asked):
            continue
        redacted = request_line(value) if key == "request" else None
        if redacted is None:
            redacted = HIDDEN if value is not None and names_secret(key) else _plain(value, _DEPTH)
        if redacted is not _LEFT_OUT:
            found[key] = redacted
    return found


def request_line(value: object) -> str | None:
    """Return ``POST /checkout/`` for a request, None for anything else.

    Its query may hold secrets, its headers and body do.
    """
    if type(value) is str:
        return _QUERY.sub("", value[:MAX_CHARS])
    if value is None or _is_of(value, (str, *_NUMBERS, *_LISTS, Mapping)):
        return None
    try:
        method, path = getattr(value, "method", None), getattr(value, "path", None)
    except Exception:  # noqa: BLE001  any code of the program's
        return None
    if type(method) is not str or type(path) is not str or len(method) > _METHOD_LENGTH:
        return None
    return f"{method} {path[:MAX_CHARS].partition('?')[0]}"


def checked_extras(given: object) -> tuple[str, ...] | None:
    """Return the names of the fields to show, None for all. Raises ConfigurationError."""
    if given is None or given is True:
        return None
    if given is False:
        return ()
    given = plain(given)
    if isinstance(given, (list, tuple)) and all(isinstance(name, str) for name in given):
        return tuple(given)
    msg = f"extras: got {redacted(given)}, takes a list of the names of record fields, or False"
    raise ConfigurationError(msg, option="extras")


def _is_of(value: object, kinds: type | tuple[type, ...]) -> bool:
    # By the type itself: isinstance also asks the value for its `__class__`, and a proxy (Django's
    # lazy user, Flask's request) goes to the database to answer, or raises.
    return issubclass(type(value), kinds)


def _plain(value: Any, depth: int) -> Any:  # noqa: ANN401  what json knows
    """Return ``value`` made of the kinds that json has; `_LEFT_OUT` for an object."""
    if value is None or type(value) is bool:
        return value
    if _is_of(value, str):
        return str.__str__(value)[:MAX_CHARS]
    if _is_of(value, Enum):
        return _plain(value.value, depth)
    if _is_of(value, (*_NUMBERS, UUID, date, time, timedelta)):
        return _scalar(value)
    if depth and _is_of(value, (Mapping, *_LISTS)):
        return _mapping(value, depth) if _is_of(value, Mapping) else _list(value, depth)
    return _LEFT_OUT


def _scalar(value: Any) -> Any:  # noqa: ANN401  a number or a date
    try:
        if _is_of(value, int):
            number = int(value)
            return number if number.bit_length() < _BITS else _LEFT_OUT
        if _is_of(value, float):
            return float(value) if math.isfinite(value) else str(float(value))
        return value.isoformat() if _is_of(value, (date, time)) else str(value)
    except Exception:  # noqa: BLE001  a kind of number of the program's own
        return _LEFT_OUT


def _mapping(value: Mapping[Any, Any], depth: int) -> Any:  # noqa: ANN401  as `_plain`
    try:
        given = list(islice(value.items(), ITEMS + 1))
    except Exception:  # noqa: BLE001  a mapping of the program's own; or it grew just now
        return _LEFT_OUT
    found = {
        key: HIDDEN if names_secret(key) else redacted
        for key, item in given[:ITEMS]
        if type(key) is str
        and key not in _GIVEN
        and (redacted := _plain(item, depth - 1)) is not _LEFT_OUT
    }
    if given and not found:
        return _LEFT_OUT
    return {**found, "…": "…"} if len(given) > ITEMS else found


def _list(value: Iterable[Any], depth: int) -> Any:  # noqa: ANN401  as `_plain`
    try:
        given = list(islice(value, ITEMS + 1))
    except Exception:  # noqa: BLE001  as above
        return _LEFT_OUT
    found = [
        redacted for item in given[:ITEMS] if (redacted := _plain(item, depth - 1)) is not _LEFT_OUT
    ]
    if given and not found:
        return _LEFT_OUT
    return [*found, "…"] if len(given) > ITEMS else found
