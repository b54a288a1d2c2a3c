"""`RecordView` gives the formatter and its templates the texts of one record, without secrets."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from pushover_logging.clock import MAX_UNIX_TIME, Clock
from pushover_logging.identity.tracebacks import split_traceback
from pushover_logging.message import MESSAGE_LIMIT
from pushover_logging.rendering.exception_text import (
    ExceptionLines,
    ExceptionSummary,
    summarize_exception,
)
from pushover_logging.rendering.fields import plain_fields
from pushover_logging.rendering.layout import LINE_LIMIT, BodyParts, traceback_lines
from pushover_logging.rendering.redaction import MAX_CHARS, Redaction
from pushover_logging.rendering.text import clean, first_line, truncate

_SEPARATOR = "\n\0\n"  # no default pattern matches across it
_MAX_LINE = 1_000  # characters of a line that are searched for secrets
T = TypeVar("T")


def copy_record(record: logging.LogRecord) -> logging.LogRecord:
    """Return a copy of ``record`` with its own attributes dictionary.

    Not with the module ``copy``, which imports: that fails at interpreter shutdown, when a
    ``__del__`` can still log.
    """
    copied = object.__new__(type(record))
    copied.__dict__.update(record.__dict__)
    return copied


def with_valid_time(record: logging.LogRecord, clock: Clock) -> logging.LogRecord:
    """Return ``record``, or a copy with the current time if its own time is not valid.

    The time of a record that a program made by hand or read from a socket can be anything.
    """
    created = getattr(record, "created", None)
    if isinstance(created, (float, int)) and 0 <= created <= MAX_UNIX_TIME:
        return record
    record = copy_record(record)  # other handlers get the original
    record.created = clock.time()
    return record


class _CachedProperty(Generic[T]):
    """`functools.cached_property` without its lock.

    Before CPython 3.12 that lock is shared by all objects: threads would wait for each other, and
    a fork's child forever.
    """

    def __init__(self, function: Callable[[Any], T]) -> None:
        self._function = function

    def __get__(self, instance: object, owner: type | None = None) -> T:
        value = instance.__dict__[self._function.__name__] = self._function(instance)
        return value


class RecordView:
    """The parts of a body and the fields of a template, each made on first use, without secrets.

    ``fields`` returns the record's plain extras, ``time`` its time as text. A missing field is an
    empty text, so that a template never costs an alert.
    """

    def __init__(
        self,
        record: logging.LogRecord,
        host: str | None,
        redaction: Redaction,
        fields: Callable[[], Mapping[str, Any]],
        time: Callable[[], str],
    ) -> None:
        self._record = record
        self._host = host
        self._redaction = redaction
        self._read_fields = fields
        self._time = time

    def redacted(self, text: str) -> str:
        """Return ``text`` as it can be sent."""
        return self._redaction(clean(text[:MAX_CHARS]))

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401  a text or a number
        try:
            return self.value(name)
        except KeyError:
            return ""

    def value(self, name: str) -> Any:  # noqa: ANN401  a text or a number
        """Return the field ``name``. Raises KeyError if the record has no such plain field."""
        computed = self._computed_fields()
        if name in computed:
            return computed[name]()
        fields = self._fields
        value = (fields if name in fields else plain_fields(self._record.__dict__, [name]))[name]
        if isinstance(value, (int, float)):
            return value
        return "" if value is None else self.redacted(_on_one_line(value))

    def _computed_fields(self) -> dict[str, Callable[[], str]]:
        # Not kept: its reference cycle would keep the record until the next garbage collection.
        return {
            "message": lambda: self._message[0] or "\n".join(self._extras),
            "cause": lambda: self._cause,
            "place": lambda: self._lines[0],
            "host": lambda: self._host or "",
            "extras": lambda: "\n".join(self._extras),
            "traceback": lambda: "\n".join(traceback_lines(self._exceptions, MESSAGE_LIMIT)),
            "asctime": self._time,
        }

    def format_url(self, template: str, *, quoted: bool) -> str:
        """Return a URL, or its title, with the fields that it names in braces.

        ``quoted`` percent-encodes them. Returns the template unchanged if a field is missing.
        """
        try:
            return template.format_map(_UrlFields(self, quoted=quoted))
        except Exception:  # noqa: BLE001  a huge width, for example, is a MemoryError
            return template

    @property
    def title(self) -> str:
        """What went wrong: the root exception's line, else the message's first line."""
        return self._cause or first_line(self._message[0]) or "".join(self._extras[:1])

    def parts(self, title: str) -> BodyParts:
        """Return the parts of the body, without what ``title`` already contains."""
        text, cause = self._message[0], self._cause
        if text == title or title.endswith(f": {text}"):
            text = ""
        elif text.startswith(f"{title}\n"):
            text = text[len(title) :].strip("\n")
        if cause in title:
            cause = ""
        place, level = self._lines[:2]
        extras = [line for line in self._extras if line != title]
        return BodyParts(text, cause, place, level, extras, self._exceptions)

    @_CachedProperty
    def _message(self) -> tuple[str, str]:
        """The message, and the traceback that was part of its text."""
        if isinstance(self._record.msg, dict):
            return "", ""
        text, traceback = split_traceback(self._record.getMessage())
        return self.redacted(text).strip(), traceback

    @_CachedProperty
    def _summary(self) -> ExceptionSummary:
        return summarize_exception(self._record, self._message[1])

    @_CachedProperty
    def _cause(self) -> str:
        return self.redacted(self._summary.line) if self._summary.line else ""

    @_CachedProperty
    def _fields(self) -> Mapping[str, Any]:
        return self._read_fields()

    @property
    def _extras(self) -> list[str]:
        return self._lines[2 : 2 + len(self._fields)]

    @_CachedProperty
    def _exceptions(self) -> list[ExceptionLines]:
        lines = iter(self._lines[2 + len(self._fields) :])
        return [
            ExceptionLines(
                next(lines),
                [next(lines) for _ in exception.remarks],
                [(next(lines), times) for _, times in exception.frames],
                exception.total,
            )
            for exception in self._summary.exceptions
        ]

    @_CachedProperty
    def _lines(self) -> list[str]:
        """The place, the level, the extras and the exceptions, redacted in one pass."""
        record = self._record
        level = " · ".join(filter(None, (record.levelname, record.name, self._host)))
        extras = [
            ("" if name == "request" else f"{_on_one_line(name)}: ") + _on_one_line(value)
            for name, value in self._fields.items()
        ]
        exceptions = [
            line
            for own_line, remarks, frames, _ in self._summary.exceptions
            for line in (own_line, *remarks, *(frame for frame, _ in frames))
        ]
        return self._redacted_lines([self._summary.place, level, *extras, *exceptions])

    def _redacted_lines(self, lines: Sequence[str]) -> list[str]:
        lines = [clean(line[:_MAX_LINE]) for line in lines]
        joined = _SEPARATOR.join(lines)
        redacted = self._redaction(joined).split(_SEPARATOR) if len(joined) <= MAX_CHARS else []
        if len(redacted) != len(lines):  # a pattern of the program matched across a separator
            redacted = [self._redaction(line) for line in lines]
        return [truncate(line.rstrip(), LINE_LIMIT) for line in redacted]


class _UrlFields(dict[str, str]):
    """The fields of a URL; a missing one is a KeyError."""

    def __init__(self, view: RecordView, *, quoted: bool) -> None:
        super().__init__()
        self._view, self._quoted = view, quoted

    def __missing__(self, name: str) -> str:
        value = str(self._view.value(name))
        return quote(value, safe="") if self._quoted else value


def _on_one_line(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return " ".join(text[:MAX_CHARS].split()) if "\n" in text or "\r" in text else text
