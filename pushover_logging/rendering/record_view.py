"""`RecordView` gives the formatter and its templates the texts of one record, without secrets."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, ClassVar, Generic, TypeVar
from urllib.parse import quote

from pushover_logging.clock import MAX_UNIX_TIME, Clock
from pushover_logging.identity.tracebacks import MARK, split_traceback
from pushover_logging.message import MESSAGE_LIMIT, URL_LIMIT
from pushover_logging.rendering.exception_text import (
    ExceptionLines,
    ExceptionSummary,
    summarize_exception,
)
from pushover_logging.rendering.fields import plain_fields
from pushover_logging.rendering.layout import LINE_LIMIT, BodyParts, traceback_lines
from pushover_logging.rendering.redaction import MAX_CHARS, Redaction
from pushover_logging.rendering.text import UNSENDABLE, clean, first_line, truncate

_SEPARATOR = "\n\0\n"  # no default pattern matches across it
_MAX_LINE = 1_000  # characters of a line that are searched for secrets
_FRAME_LINE, _FRAME_TIMES = itemgetter(0), itemgetter(1)  # of a frame of `ExceptionLines`
T = TypeVar("T")


def copy_record(record: logging.LogRecord) -> logging.LogRecord:
    """Return a copy of ``record`` with its own attributes dictionary."""
    # Not with `copy`, which imports: that fails at shutdown, when a ``__del__`` can still log.
    copied = object.__new__(type(record))
    copied.__dict__.update(record.__dict__)
    return copied


def with_valid_time(record: logging.LogRecord, clock: Clock) -> logging.LogRecord:
    """Return ``record``, or a copy with the current time if its own, of any object, is invalid."""
    created = getattr(record, "created", None)
    if isinstance(created, (float, int)) and 0 <= created <= MAX_UNIX_TIME:
        return record
    record = copy_record(record)  # other handlers get the original
    record.created = clock.time()
    return record


class _CachedProperty(Generic[T]):
    """`functools.cached_property` without its lock, which all objects share before CPython 3.12."""

    def __init__(self, function: Callable[[Any], T]) -> None:
        self._function = function

    def __get__(self, instance: object, owner: type | None = None) -> T:
        value = instance.__dict__[self._function.__name__] = self._function(instance)
        return value


@dataclass(eq=False, repr=False)
class RecordView:
    """The parts of a body and the fields of a template, each made on first use, without secrets.

    ``_read_fields`` returns a record's plain extras, ``_time`` its time as text. A missing field is
    an empty text, so that a template never costs an alert.
    """

    _record: logging.LogRecord
    _host: str | None
    _redaction: Redaction
    _read_fields: Callable[[logging.LogRecord], Mapping[str, Any]]
    _time: Callable[[logging.LogRecord], str]
    _plain: Mapping[str, Any] | None = None

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
        if name in self._COMPUTED:
            return self._COMPUTED[name](self)
        fields = self._fields()
        value = (fields if name in fields else plain_fields(self._record.__dict__, [name]))[name]
        if isinstance(value, (int, float)):
            return value
        return "" if value is None else self.redacted(_on_one_line(value))

    def format_url(self, template: str, *, quoted: bool) -> str:
        """Fill a URL or its title, percent-encoded if ``quoted``; unchanged if one is missing."""
        template = template[:MAX_CHARS]
        try:
            return template.format_map(_UrlFields(self, quoted=quoted))[:MAX_CHARS]
        except Exception:  # noqa: BLE001  a huge width, for example, is a MemoryError
            return template

    @property
    def title(self) -> str:
        """What went wrong: the root exception's line, else the message's first line."""
        text, cause, _ = self._headline
        return cause or first_line(text) or "".join(self._parts.extras[:1])

    def parts(self, title: str) -> BodyParts:
        """Return the parts of the body, without what ``title`` already contains."""
        text, cause, place, level, extras, exceptions = self._parts
        if text == title or title.endswith(f": {text}"):
            text = ""
        elif text.startswith(f"{title}\n"):
            text = text[len(title) :].strip("\n")
        if title in extras:
            extras = [line for line in extras if line != title]
        return BodyParts(text, "" if cause in title else cause, place, level, extras, exceptions)

    @_CachedProperty
    def _headline(self) -> tuple[str, str, ExceptionSummary]:
        """The message, the root exception's line, and the summary, which is not redacted."""
        text = traceback = cause = ""
        if not isinstance(self._record.msg, dict):
            text = self._record.getMessage()
            if MARK in text:
                text, traceback = split_traceback(text)
            text = self._redaction(clean(text[:MAX_CHARS])).strip()
        summary = summarize_exception(self._record, traceback)
        if summary.line:
            cause = self._redaction(clean(summary.line[:MAX_CHARS]))
        return text, cause, summary

    @_CachedProperty
    def _parts(self) -> BodyParts:
        record, fields = self._record, self._fields()
        text, cause, summary = self._headline
        level = " · ".join(filter(None, (record.levelname, record.name, self._host)))
        lines = [summary.place, level]
        for name, value in fields.items():
            label = "" if name == "request" else f"{_on_one_line(name)}: "
            lines.append(label + _on_one_line(value))
        for line, remarks, frames, _ in summary.exceptions:
            lines += (line, *remarks, *map(_FRAME_LINE, frames))
        place, level, *lines = self._redacted_lines(lines)
        end = len(fields)
        extras, exceptions = lines[:end], []
        for _, remarks, frames, total in summary.exceptions:
            first, middle = end + 1, end + 1 + len(remarks)
            line, end = lines[end], middle + len(frames)
            shown = list(zip(lines[middle:end], map(_FRAME_TIMES, frames), strict=True))
            exceptions.append(ExceptionLines(line, lines[first:middle], shown, total))
        return BodyParts(text, cause, place, level, extras, exceptions)

    def _redacted_lines(self, lines: list[str]) -> list[str]:
        """Return lines as they can be sent, redacted in one pass."""
        if max(map(len, lines)) > _MAX_LINE or UNSENDABLE.search("".join(lines)):
            lines = [clean(line[:_MAX_LINE]) for line in lines]
        joined, limit = _SEPARATOR.join(lines), self._redaction.max_chars
        redacted = self._redaction(joined).split(_SEPARATOR) if len(joined) <= limit else []
        if len(redacted) != len(lines):  # a pattern of the program matched across a separator
            redacted = list(map(self._redaction, lines))
        for number, line in enumerate(redacted):
            redacted[number] = line = line.rstrip()  # noqa: PLW2901
            if len(line) > LINE_LIMIT:
                redacted[number] = truncate(line, LINE_LIMIT)
        return redacted

    def _fields(self) -> Mapping[str, Any]:
        if self._plain is None:
            self._plain = self._read_fields(self._record)
        return self._plain

    _COMPUTED: ClassVar[dict[str, Callable[[RecordView], str]]] = {
        "message": lambda self: self._headline[0] or "\n".join(self._parts.extras),
        "cause": lambda self: self._headline[1],
        "place": lambda self: self._parts.place,
        "host": lambda self: self._host or "",
        "extras": lambda self: "\n".join(self._parts.extras),
        "traceback": lambda self: "\n".join(traceback_lines(self._parts.exceptions, MESSAGE_LIMIT)),
        "asctime": lambda self: self._time(self._record),
    }


class _UrlFields(dict[str, str]):
    """The fields of a URL; a missing one is a KeyError."""

    def __init__(self, view: RecordView, *, quoted: bool) -> None:
        super().__init__()
        self._view, self._quoted = view, quoted

    def __missing__(self, name: str) -> str:
        value = str(self._view.value(name))[:URL_LIMIT]  # what is longer does not fit anyway
        self[name] = quote(value, safe="") if self._quoted else value
        return self[name]


def _on_one_line(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return " ".join(text[:MAX_CHARS].split()) if "\n" in text or "\r" in text else text
