"""The values of a record and of a Message's fields, as plain values that can be shown."""

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
from pushover_logging.exceptions import invalid
from pushover_logging.rendering.redaction import HIDDEN, MAX_CHARS, names_secret, redacted

MAX_ITEMS = 20  # items of a list or a mapping that are shown; no more fit in a line
_MAX_DEPTH = 3
_MAX_CONTAINER = 4_000  # characters after which no more items are read; a line has 200
_MAX_METHOD = 10  # characters
_MAX_BITS = 1024  # Python itself does not print numbers of more than 4,300 digits

# The input of a task or a request: celery's `data` holds a task's arguments, frameworks add a
# request's headers. The program did not choose any of it for a message.
_INPUTS = frozenset({"args", "kwargs", "headers", "cookies", "body", "environ", "traceback"})
_QUERY = re.compile(r"(?<=\S)\?\S*")
_NUMBERS = (int, float, Number)  # Decimal, Fraction and numpy's numbers are registered as Number
_LISTS = (list, tuple, set, frozenset)
_NOT_PLAIN = object()


def make_texts(fields: dict[str, Any]) -> None:
    """Make title and message a str, or drop them with a warning if str() raises."""
    for name in fields.keys() & {"title", "message"}:
        try:
            fields[name] = None if fields[name] is None else str(fields[name])
        except Exception as error:  # noqa: BLE001  any code of the program
            del fields[name]
            warn("a message field is left out: %s raised %s", name, type(error).__name__)


def checked_extras(names: object) -> tuple[str, ...] | None:
    """Return the names of the fields to show, None for all. Raises ConfigurationError."""
    if names is None or names is True:
        return None
    if names is False:
        return ()
    names = plain(names)
    if isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names):
        return tuple(names)
    raise invalid(redacted(names), "extras", "a list of the names of record fields, or False")


def plain_fields(data: Mapping[Any, Any], requested: Iterable[str] = ()) -> dict[str, Any]:
    """Return the fields of ``data`` as values that JSON has, those of secrets as ``***``.

    A ``request`` with a method and a path becomes these two. The input of a task or a request
    (arguments, headers, body, ...) is dropped unless its name is in ``requested``.
    """
    requested = frozenset(requested)
    fields: dict[str, Any] = {}
    for key, value in sorted(data.items(), key=lambda item: item[0] != "request"):
        if type(key) is not str or (key in _INPUTS and key not in requested):
            continue
        shown = request_line(value) if key == "request" else None
        if shown is None:
            is_secret = value is not None and names_secret(key)
            shown = HIDDEN if is_secret else _plain(value, _MAX_DEPTH)
        if shown is not _NOT_PLAIN:
            fields[key] = shown
    return fields


def request_line(value: object) -> str | None:
    """Return ``POST /checkout/`` for a request, without its query; None for any other object."""
    if type(value) is str:
        return _QUERY.sub("", value[:MAX_CHARS])
    if value is None or _is_of(value, (str, *_NUMBERS, *_LISTS, Mapping)):
        return None
    try:
        method, path = getattr(value, "method", None), getattr(value, "path", None)
    except Exception:  # noqa: BLE001  any code of the program
        return None
    if type(method) is not str or type(path) is not str or len(method) > _MAX_METHOD:
        return None
    return f"{method} {path[:MAX_CHARS].partition('?')[0]}"


def _is_of(value: object, kinds: type | tuple[type, ...]) -> bool:
    # isinstance also reads the value's `__class__`: for a proxy (Django's lazy user, Flask's
    # request) that queries the database, or raises.
    return issubclass(type(value), kinds)


def _plain(value: Any, depth: int) -> Any:  # noqa: ANN401  any value of JSON
    """Return ``value`` as a value that JSON has; `_NOT_PLAIN` for other objects."""
    if value is None or type(value) is bool:
        return value
    if _is_of(value, str):
        return str.__str__(value)[:MAX_CHARS]
    if _is_of(value, Enum):
        return _plain(value.value, depth)
    if _is_of(value, (*_NUMBERS, UUID, date, time, timedelta)):
        return _plain_scalar(value)
    if depth and _is_of(value, (Mapping, *_LISTS)):
        return _plain_container(value, depth - 1)
    return _NOT_PLAIN


def _plain_scalar(value: Any) -> Any:  # noqa: ANN401  a number or a date
    try:
        if _is_of(value, int):
            number = int(value)
            return number if number.bit_length() < _MAX_BITS else _NOT_PLAIN
        if _is_of(value, float):
            return float(value) if math.isfinite(value) else str(float(value))
        return value.isoformat() if _is_of(value, (date, time)) else str(value)
    except Exception:  # noqa: BLE001  a numeric class of the program
        return _NOT_PLAIN


def _plain_container(value: Any, depth: int) -> Any:  # noqa: ANN401  as `_plain`
    is_mapping = _is_of(value, Mapping)
    try:
        items = list(islice(value.items() if is_mapping else value, MAX_ITEMS + 1))
    except Exception:  # noqa: BLE001  a class of the program; or another thread changed it
        return _NOT_PLAIN
    keys = [key for key, _ in items] if is_mapping else range(len(items))
    values = [value for _, value in items] if is_mapping else items
    shown: dict[Any, Any] = {}
    room, is_whole = _MAX_CONTAINER, len(items) <= MAX_ITEMS
    for key, each in zip(keys, values[:MAX_ITEMS], strict=False):
        if room <= 0:
            is_whole = False
            break
        if is_mapping and (type(key) is not str or key in _INPUTS):
            continue
        item = _plain(each, depth)
        if item is not _NOT_PLAIN:
            shown[key] = HIDDEN if is_mapping and names_secret(key) else item
            room -= len(repr(item))
    if items and not shown:
        return _NOT_PLAIN
    if not is_whole:
        shown["…"] = "…"
    return shown if is_mapping else list(shown.values())
