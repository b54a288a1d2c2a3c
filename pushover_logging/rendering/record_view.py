"""`RecordView` gives the formatter and its templates the texts of one record, without secrets."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, ClassVar, Generic, TypeVar
from urllib.parse import quote

from pushover_logging.clock import MAX_UNIX_TIME, Clock
from pushover_logging.exceptions import ConfigurationError
from pushover_logging.identity.record_parts import RecordParts, read_record
from pushover_logging.identity.tracebacks import Frame
from pushover_logging.levels import level_number
from pushover_logging.message import MESSAGE_LIMIT, TITLE_LIMIT, URL_LIMIT
from pushover_logging.rendering.exception_text import (
    ExceptionLines,
    ExceptionSummary,
    summarize_exception,
)
from pushover_logging.rendering.fields import plain_fields
from pushover_logging.rendering.layout import LINE_LIMIT, BodyParts, traceback_lines
from pushover_logging.rendering.link import LINK_FIELDS, SourceLink
from pushover_logging.rendering.redaction import MAX_CHARS, Redaction
from pushover_logging.rendering.text import UNSENDABLE, clean, first_line, truncate, truncate_middle

_SEPARATOR = "\n\0\n"  # no default pattern hides it
_MAX_LINE = 1_000  # characters of a line that are searched for secrets
_FRAME_LINE = itemgetter(0)  # of a frame of `ExceptionLines`
# Of a record that lacks them; the two that are checked for themselves are not among these.
_DEFAULTS: Mapping[str, Any] = {
    **dict.fromkeys(vars(logging.LogRecord("", 0, "", 0, "", (), None))),
    "name": "", "msg": "", "args": (), "pathname": "", "filename": "", "module": "", "lineno": 0,
}  # fmt: skip
T = TypeVar("T")


def copy_record(record: logging.LogRecord) -> logging.LogRecord:
    """Return a copy of ``record`` with its own attributes dictionary."""
    # Not with `copy`, which imports: that fails at shutdown, when a ``__del__`` can still log.
    copied = object.__new__(type(record))
    copied.__dict__.update(record.__dict__)
    return copied


def with_valid_fields(record: logging.LogRecord, clock: Clock) -> logging.LogRecord:
    """Return ``record`` if it is a LogRecord with all its fields, else a copy that is one.

    Records come from sockets, from other libraries and from `logging.makeLogRecord`, in any shape:
    fields may be missing, or be in slots, properties or the keys of a mapping. A level that is none
    is ERROR, a time that is none is the current one. Raises what the record's `getMessage` raises.
    """
    fields = getattr(record, "__dict__", {})
    is_whole = isinstance(record, logging.LogRecord) and not hasattr(type(record), "__slots__")
    if is_whole and fields.keys() >= _DEFAULTS.keys() and type(fields["levelno"]) is int:
        created = fields["created"]
        if isinstance(created, (float, int)) and 0 <= created <= MAX_UNIX_TIME:
            return record
    slots = (vars(kind).get("__slots__", ()) for kind in type(record).__mro__)
    names = {name for own in slots for name in ((own,) if isinstance(own, str) else own)}
    found: dict[str, Any] = dict(record) if isinstance(record, Mapping) else {}
    found.update(fields)
    for name in {*_DEFAULTS, *names} - {"__dict__", "__weakref__"}:
        if hasattr(record, name):
            found[name] = getattr(record, name)
    if getattr(type(record), "getMessage", None) not in {None, logging.LogRecord.getMessage}:
        found.update(msg=record.getMessage(), args=())
    if not isinstance(found.get("created"), (float, int)) or not (
        0 <= found["created"] <= MAX_UNIX_TIME
    ):
        found["created"] = clock.time()
    found["levelno"] = _level_of(found)
    found.setdefault("levelname", logging.getLevelName(found["levelno"]))
    made = object.__new__(logging.LogRecord)
    made.__dict__.update({**_DEFAULTS, **found})
    return made


def _level_of(fields: Mapping[str, Any]) -> int:
    for level in (fields.get("levelno"), fields.get("levelname")):
        with contextlib.suppress(ConfigurationError):
            return level_number(int(level) if isinstance(level, float) else level)
    return logging.ERROR


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

    ``_read_fields`` returns a record's plain extras, ``_time`` its time as text; ``_known_parts``
    are what was read of the record before. A missing field is
    an empty text, so that a template never costs an alert.
    """

    _record: logging.LogRecord
    _host: str | None
    _redaction: Redaction
    _read_fields: Callable[[logging.LogRecord], Mapping[str, Any]]
    _time: Callable[[logging.LogRecord], str]
    _known_parts: RecordParts | None = None
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

    def format_url(self, template: str, source: SourceLink, *, quoted: bool) -> str | None:
        """Fill a URL or its title, percent-encoded if ``quoted``; None if a field is missing."""
        template = template[:MAX_CHARS]
        try:
            return template.format_map(_UrlFields(self, source, quoted=quoted))[:MAX_CHARS]
        except KeyError:
            return None
        except Exception:  # noqa: BLE001  a huge width, for example, is a MemoryError
            return template

    @property
    def frame(self) -> Frame | None:
        """The frame that the place names."""
        return self._headline[2].frame

    @property
    def title(self) -> str:
        """What went wrong: the root exception's line, else the message's first line."""
        text, cause, _ = self._headline
        first = first_line(text)
        if cause and first.endswith(cause) and ": " not in cause:  # a type that says nothing alone
            return first
        if cause:
            return truncate_middle(cause, TITLE_LIMIT)
        return first or "".join(self._parts.extras[:1])

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
        parts, cause = self._read, ""
        text = self._redaction(clean(parts.text[:MAX_CHARS])).strip() if parts.text else ""
        summary = summarize_exception(self._record, parts)
        if summary.line:
            cause = self._redaction(clean(summary.line[:MAX_CHARS]))
        return text, cause, summary

    @_CachedProperty
    def _read(self) -> RecordParts:
        return self._known_parts or read_record(self._record)

    @_CachedProperty
    def _parts(self) -> BodyParts:
        record, fields = self._record, self._fields()
        text, cause, summary = self._headline
        level = " · ".join(filter(None, (record.levelname, record.name, self._host)))
        lines = [summary.place, level]
        for name, value in fields.items():
            if name == self._read.text_field:
                continue
            label = "" if name == "request" else f"{_on_one_line(name)}: "
            lines.append(label + _on_one_line(value))
        whole = set()
        for line, remarks, frames, _ in summary.exceptions:
            whole.add(len(lines))
            lines += (line, *remarks, *map(_FRAME_LINE, frames))
        place, level, *lines = self._redacted_lines(lines, whole)
        end = len(fields) - (self._read.text_field in fields)
        extras, exceptions = lines[:end], []
        for _, remarks, frames, total in summary.exceptions:
            first, middle = end + 1, end + 1 + len(remarks)
            line, end = lines[end], middle + len(frames)
            shown = [
                frame._replace(text=text)
                for frame, text in zip(frames, lines[middle:end], strict=True)
            ]
            exceptions.append(ExceptionLines(line, lines[first:middle], shown, total))
        text = self._headline[0]
        return BodyParts(text, cause, place, level, extras, exceptions)

    @property
    def _message(self) -> str:
        """The message; of a structured one all its fields, as lines."""
        text, name, extras = self._headline[0], self._read.text_field, self._parts.extras
        return (
            "\n".join([f"{name}: {text}" if name else text, *extras]) if self._read.fields else text
        )

    def _redacted_lines(self, lines: list[str], exceptions: Container[int]) -> list[str]:
        """Return lines as they can be sent, redacted in one pass.

        ``exceptions`` are the positions of the lines that name an exception: of a long one both
        ends are shown.
        """
        if max(map(len, lines)) > _MAX_LINE or UNSENDABLE.search("".join(lines)):
            lines = [
                clean(line[: MAX_CHARS if number in exceptions else _MAX_LINE])
                for number, line in enumerate(lines)
            ]
        joined, limit = _SEPARATOR.join(lines), self._redaction.max_chars
        redacted = self._redaction(joined).split(_SEPARATOR) if len(joined) <= limit else []
        if len(redacted) != len(lines):  # a pattern of the program matched across a separator
            redacted = list(map(self._redaction, lines))
        for number, line in enumerate(redacted):
            redacted[number] = line = line.rstrip()  # noqa: PLW2901
            if len(line) > LINE_LIMIT:
                shorten = truncate_middle if number in exceptions else truncate
                redacted[number] = shorten(line, LINE_LIMIT)
        return redacted

    def _fields(self) -> Mapping[str, Any]:
        if self._plain is None:
            record, fields = self._record, self._read.fields
            if fields is not None:
                record = copy_record(record)
                record.msg, record.args = dict(fields), ()
            self._plain = self._read_fields(record)
        return self._plain

    _COMPUTED: ClassVar[dict[str, Callable[[RecordView], str]]] = {
        "message": lambda self: self._message,
        "cause": lambda self: self._headline[1],
        "place": lambda self: self._parts.place,
        "host": lambda self: self._host or "",
        "extras": lambda self: "\n".join(self._parts.extras),
        "traceback": lambda self: "\n".join(traceback_lines(self._parts.exceptions, MESSAGE_LIMIT)),
        "asctime": lambda self: self._time(self._record),
    }


class _UrlFields(dict[str, str]):
    """The fields of a URL; a missing one is a KeyError."""

    def __init__(self, view: RecordView, source: SourceLink, *, quoted: bool) -> None:
        super().__init__()
        self._view, self._source, self._quoted = view, source, quoted

    def __missing__(self, name: str) -> str:
        if name in LINK_FIELDS:
            value, safe = self._source.field(name, self._view.frame), "/"
        else:
            value, safe = str(self._view.value(name)), ""
        value = value[:URL_LIMIT]  # what is longer does not fit anyway
        self[name] = quote(value, safe=safe) if self._quoted else value
        return self[name]


def _on_one_line(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return " ".join(text[:MAX_CHARS].split()) if "\n" in text or "\r" in text else text
