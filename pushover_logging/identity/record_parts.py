"""The message and the exception of a record, wherever a program has put them.

An exception can be in ``exc_info``, be an argument or the message itself, or be text: in
``exc_text``, in the message, or in a field of a structured message.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from pushover_logging.identity.tracebacks import (
    MARK,
    TRACEBACK,
    is_exc_info,
    plain_traceback,
    split_traceback,
)

JOB = "job:"  # how the fingerprint of a job's failures starts: they have a rate of their own
ID_DIGITS = 8  # of a key's 32: people name a problem by them
MISFIT = "(arguments do not fit the format)"
_NO_EXCEPTION = "NoneType: None"  # what logging writes for exc_info=True without an exception
_TITLES = ("event", "message", "msg")  # fields of a structured message that are its text
_EXCEPTION_FIELDS = ("exc_info", "exception", "exc_text", "traceback")
_STACK_FIELDS = ("stack", "stack_info")
_EXCEPTION_LINE = re.compile(
    r"\s*(?:\w+\.)*\w*(?:Error|Exception|Exit|Interrupt|Timeout|Type)\w*(?::|\s*$)"
)
_MAX_NAME = 200  # characters of a text that can name an exception
_MAX_JSON = 65_536
_NO_EXTRA: Mapping[str, Any] = {}
_PLAIN = frozenset({int, float, bool, type(None)})
_CONVERSIONS: dict[str, Callable[[object], str]] = {
    "r": repr,
    "s": str,
    "a": ascii,
}  # of a t-string
_SHORTEST = len(TRACEBACK)  # characters of an argument that can hold a traceback
_FORMAT_ERRORS = (TypeError, ValueError, LookupError, OverflowError)  # of the % operator


class RecordParts(NamedTuple):
    """What a record says; it refers to the record's own objects and is kept by nobody."""

    text: str  # the message, without a traceback
    template: str  # the message as the program wrote it, without a traceback
    exceptions: tuple[BaseException, ...] = ()  # the first is the one to show
    traceback: object = None  # of the first
    exc_text: str = ""  # a traceback as text, if there is no exception
    stack: str = ""
    fields: Mapping[Any, Any] | None = None  # of a structured message
    text_field: str | None = None  # which of them is the text


class _Named:
    """Stands for an exception without a text, which is named by its type."""

    def __init__(self, exc: BaseException) -> None:
        self._exc = exc

    def __str__(self) -> str:
        return type(self._exc).__qualname__

    def __repr__(self) -> str:
        return repr(self._exc)


def read_record(record: logging.LogRecord) -> RecordParts:
    """Return the parts of a record. Raises what the record's own objects raise."""
    structured = _structure(record)
    fields: Mapping[Any, Any] | None = structured
    name = None
    if structured is not None:
        name = next((name for name in _TITLES if _is_text(structured.get(name))), None)
        text = template = structured[name] if name else ""
    else:
        text, template = message_text(record), _text_of(record.msg)
    if text.endswith(f"\n{_NO_EXCEPTION}"):
        text = text.removesuffix(f"\n{_NO_EXCEPTION}")
        template = template.removesuffix(f"\n{_NO_EXCEPTION}")
    exceptions, tb, exc_text = _exception(record)
    stack = record.stack_info if isinstance(record.stack_info, str) else ""
    if fields is not None:
        fields, exceptions, exc_text, stack = _without_exceptions(
            fields, exceptions, exc_text, stack
        )
    if MARK in text:
        head, found = split_traceback(plain_traceback(text))
        if found.partition("\n")[2].strip():
            if template != text:
                template = split_traceback(plain_traceback(template))[0].rstrip()
            else:
                template = head.rstrip()
            text = head.rstrip()
            if TRACEBACK in found:
                exc_text = exc_text or found
            else:
                stack = stack or found
    return RecordParts(text, template, exceptions, tb, exc_text, stack, fields, name)


def carries_exception(record: logging.LogRecord) -> bool:
    """Return True if more than the template can be in a record's message: cheap, for each record.

    That is an exception or a traceback among its arguments, and a message that is no plain text.
    """
    message, args = record.msg, record.args
    if type(message) is not str or MARK in message or message[:1] == "{":
        return True
    return bool(args) and has_exception(args)


def has_exception(args: object) -> bool:
    """Return True if an exception or a traceback is among a record's arguments."""
    if type(args) is not tuple:
        args = _each(args)
    for arg in args:
        kind = type(arg)  # isinstance would also read the `__class__` of a proxy
        if kind is str:
            if len(arg) > _SHORTEST and MARK in arg:
                return True
        elif kind not in _PLAIN and issubclass(kind, BaseException):
            return True
    return False


def _each(args: object) -> Iterable[Any]:
    """Return the arguments of a record, which can be any object in one of makeLogRecord."""
    if type(args) is tuple:
        return args
    return args.values() if type(args) is dict else ()


def pushover_extra(record: logging.LogRecord) -> Mapping[str, Any]:
    """Return the mapping in ``extra={"pushover": {...}}``, empty if there is none."""
    extra = getattr(record, "pushover", _NO_EXTRA)
    return extra if extra is _NO_EXTRA or isinstance(extra, Mapping) else _NO_EXTRA


def message_text(record: logging.LogRecord) -> str:
    """Return `LogRecord.getMessage`; if the arguments do not fit, they stand below the template.

    An exception without a text is named by its type, and a t-string is filled in. A class of the
    program's may have a method of its own. Raises what the objects' own methods raise.
    """
    if type(record).getMessage is not logging.LogRecord.getMessage:
        return str(record.getMessage())
    args: Any = record.args
    if not args and type(record.msg) is str:
        return record.msg
    if args and (has_exception(args) or any(map(_is_t_string, _each(args)))):
        if type(args) is dict:
            args = {key: _named(arg) for key, arg in args.items()}
        else:
            args = tuple(map(_named, args))
    text = _text_of(record.msg)
    if not args:
        return text
    try:
        return str(text % args)
    except _FORMAT_ERRORS:
        shown = ", ".join(map(repr, args)) if isinstance(args, tuple) else repr(args)
        return f"{text}\n{shown}\n{MISFIT}"


def with_fitting_arguments(record: logging.LogRecord) -> logging.LogRecord:
    """Return ``record``, or a copy with its text as the message if logging could not make it.

    That is of arguments that do not fit, and of a t-string.
    """
    try:
        record.getMessage()
        if not any(map(_is_t_string, (record.msg, *_each(record.args)))):
            return record
    except _FORMAT_ERRORS:
        pass
    copied = object.__new__(type(record))
    copied.__dict__.update(record.__dict__)
    copied.msg, copied.args = message_text(record), ()
    return copied


def _is_t_string(value: object) -> bool:
    return type(value).__module__ == "string.templatelib"  # of Python 3.14


def _text_of(message: Any) -> str:  # noqa: ANN401  whatever a program logs
    """Return the text of a message; of a t-string the text of the f-string that it could be."""
    if type(message) is str or not _is_t_string(message):
        return str(message)
    return "".join(part if type(part) is str else _filled(part) for part in message)


def _filled(field: Any) -> str:  # noqa: ANN401  an Interpolation
    value = _CONVERSIONS[field.conversion](field.value) if field.conversion else field.value
    try:
        return format(value, field.format_spec)
    except _FORMAT_ERRORS:  # an f-string would have raised in the program
        return str(value)


def _named(arg: object) -> object:
    if _is_t_string(arg):
        return _text_of(arg)
    if issubclass(type(arg), BaseException) and not str(arg).strip():
        return _Named(arg)  # type: ignore[arg-type]  # as the line above says
    return arg


def _structure(record: logging.LogRecord) -> dict[Any, Any] | None:
    """Return the mapping that a record's message is, or that it is the JSON of; else None."""
    message: object = record.msg
    if isinstance(message, dict):
        return message
    if record.args or type(message) is not str or message[:1] != "{" or len(message) > _MAX_JSON:
        return None
    try:
        found = json.loads(message)
    except (ValueError, RecursionError):
        return None
    return found if any(_is_text(found.get(name)) for name in _TITLES) else None


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _exception(record: logging.LogRecord) -> tuple[tuple[BaseException, ...], object, str]:
    """Return the exceptions of a record's attributes, message and arguments, and their text."""
    info: object = record.exc_info  # any object, in records of makeLogRecord and of sockets
    if is_exc_info(info):
        return (info[1],), info[2], ""
    exc_text = record.exc_text
    if isinstance(exc_text, str) and exc_text.strip() not in {"", _NO_EXCEPTION}:
        return (), None, plain_traceback(exc_text)
    given = [record.msg, *_each(record.args)]
    return tuple(each for each in given if issubclass(type(each), BaseException)), None, ""


def _without_exceptions(
    fields: Mapping[Any, Any], exceptions: tuple[BaseException, ...], exc_text: str, stack: str
) -> tuple[Mapping[Any, Any], tuple[BaseException, ...], str, str]:
    """Return the fields of a structured message without those that are exceptions and stacks."""
    rest = dict(fields)
    for name in _EXCEPTION_FIELDS:
        value = rest.get(name)
        info = sys.exc_info() if value is True and name == "exc_info" else value
        found = info[1] if is_exc_info(info) else info
        if isinstance(found, BaseException):
            exceptions = exceptions or (found,)
        elif isinstance(value, str) and (MARK in value or _EXCEPTION_LINE.match(value[:_MAX_NAME])):
            text = value.strip()
            exc_text = exc_text or ("" if text == _NO_EXCEPTION else plain_traceback(text))
        elif name != "exc_info":
            continue
        rest.pop(name, None)
    for name in _STACK_FIELDS:
        value = rest.get(name)
        if isinstance(value, str) and MARK in value:
            stack = stack or plain_traceback(value)
            del rest[name]
    return rest, exceptions, exc_text, stack
