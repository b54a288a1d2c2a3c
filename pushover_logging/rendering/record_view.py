"""One record as a phone tells it: each part made when it is first asked for, without secrets."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from pushover_logging.clock import MAX_UNIX_TIME, Clock
from pushover_logging.identity.tracebacks import split_traceback
from pushover_logging.message import MESSAGE_LIMIT
from pushover_logging.rendering.exception_text import ExceptionLines, ExceptionSummary, cause_of
from pushover_logging.rendering.fields import plain_fields
from pushover_logging.rendering.layout import LINE_LIMIT, BodyParts, traceback_lines
from pushover_logging.rendering.redaction import MAX_CHARS, Redaction
from pushover_logging.rendering.text import clean, first_line, truncate


def copy_record(record: logging.LogRecord) -> logging.LogRecord:
    """Return another record of the same type and attributes.

    Without the module ``copy``, which imports: an interpreter that ends does that no more, and what
    a ``__del__`` logs then is still to be told.
    """
    own = object.__new__(type(record))
    own.__dict__.update(record.__dict__)
    return own


def with_valid_time(record: logging.LogRecord, clock: Clock) -> logging.LogRecord:
    """Return ``record``, or one like it of this moment where its own time is none.

    A record that was made by hand, or came through a socket, may hold anything.
    """
    created = getattr(record, "created", None)
    if isinstance(created, (float, int)) and 0 <= created <= MAX_UNIX_TIME:
        return record
    record = copy_record(record)  # others show it as it is
    record.created = clock.time()
    return record


_OWN = frozenset({"message", "cause", "place", "host", "extras", "traceback", "asctime"})
_BETWEEN = "\n\0\n"  # no pattern of ours looks over it
_LONGEST = 1_000  # of a line, before secrets are taken out of it
T = TypeVar("T")


class _Once(Generic[T]):
    """A property that is made once for an object, and then is its attribute.

    Before CPython 3.12 `functools.cached_property` holds a lock, one for all objects, while it
    makes the value: threads would wait for each other's texts, and a fork's child for ever.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make

    def __get__(self, one: object, owner: type | None = None) -> T:
        value = one.__dict__[self._make.__name__] = self._make(one)
        return value


class RecordView:
    """What is told of ``record``, as parts of a body and as the fields of a template.

    ``fields`` returns its extras, plain; ``time`` is its time as text. A field that is not there is
    an empty text: a template costs no alert.
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

    def shown(self, text: str) -> str:
        """Return ``text`` as it may be sent."""
        return self._redaction(clean(text[:MAX_CHARS]))

    def value(self, name: str) -> Any:  # noqa: ANN401  a text or a number
        """Return the field ``name``. Raises KeyError where the record has none that can be told."""
        if name in _OWN:
            return self._own_value(name)
        found = (
            self._fields if name in self._fields else plain_fields(self._record.__dict__, [name])
        )
        value = found[name]
        if isinstance(value, (int, float)):
            return value
        return "" if value is None else self.shown(_text_of(value))

    def _own_value(self, name: str) -> str:
        # Made anew each time: kept, they would keep the record until the next garbage collection.
        own: dict[str, Callable[[], str]] = {
            "message": lambda: self._message[0] or "\n".join(self._extras),
            "cause": lambda: self._line,
            "place": lambda: self._lines[0],
            "host": lambda: self._host or "",
            "extras": lambda: "\n".join(self._extras),
            "traceback": lambda: "\n".join(traceback_lines(self._faults, MESSAGE_LIMIT)),
        }
        return own.get(name, self._time)()

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401  as `value`
        try:
            return self.value(name)
        except KeyError:
            return ""

    def linked(self, template: str, *, address: bool) -> str:
        """Return a link's text, or its ``address``, with the fields that it names in braces.

        Where one is not there, the template as it is.
        """
        try:
            return template.format_map(_Linked(self, address=address))
        except Exception:  # noqa: BLE001  a width without end is a MemoryError
            return template

    @property
    def title(self) -> str:
        """What went wrong: the root exception's line, else the message's first."""
        return self._line or first_line(self._message[0]) or "".join(self._extras[:1])

    def parts(self, title: str) -> BodyParts:
        """Return what the body is made of, less what ``title`` says."""
        text, cause = self._message[0], self._line
        if text == title or title.endswith(f": {text}"):
            text = ""
        elif text.startswith(f"{title}\n"):
            text = text[len(title) :].strip("\n")
        if cause in title:
            cause = ""
        place, level = self._lines[:2]
        extras = [line for line in self._extras if line != title]
        return BodyParts(text, cause, place, level, extras, self._faults)

    @_Once
    def _message(self) -> tuple[str, str]:
        """The message, and the traceback that came with it as text."""
        if isinstance(self._record.msg, dict):
            return "", ""
        text, traceback = split_traceback(self._record.getMessage())
        return self.shown(text).strip(), traceback

    @_Once
    def _cause(self) -> ExceptionSummary:
        return cause_of(self._record, self._message[1])

    @_Once
    def _line(self) -> str:
        return self.shown(self._cause.line) if self._cause.line else ""

    @_Once
    def _fields(self) -> Mapping[str, Any]:
        return self._read_fields()

    @property
    def _extras(self) -> list[str]:
        return self._lines[2 : 2 + len(self._fields)]

    @_Once
    def _lines(self) -> list[str]:
        """Place, level, extras and the lines of the chain, without secrets, in one go."""
        record = self._record
        level = " · ".join(filter(None, (record.levelname, record.name, self._host)))
        extras = [
            _text_of(value) if key == "request" else f"{_text_of(key)}: {_text_of(value)}"
            for key, value in self._fields.items()
        ]
        told = [
            line
            for fault in self._cause.faults
            for line in (fault.line, *fault.remarks, *(frame for frame, _ in fault.frames))
        ]
        return self._shown_lines([self._cause.place, level, *extras, *told])

    @_Once
    def _faults(self) -> list[ExceptionLines]:
        lines = iter(self._lines[2 + len(self._fields) :])
        return [
            ExceptionLines(
                next(lines),
                [next(lines) for _ in fault.remarks],
                [(next(lines), times) for _, times in fault.frames],
                fault.total,
            )
            for fault in self._cause.faults
        ]

    def _shown_lines(self, lines: Sequence[str]) -> list[str]:
        lines = [clean(line[:_LONGEST]) for line in lines]
        joined = _BETWEEN.join(lines)
        found = self._redaction(joined).split(_BETWEEN) if len(joined) <= MAX_CHARS else []
        if len(found) != len(lines):  # a pattern of the program's took more than a line
            found = [self._redaction(line) for line in lines]
        return [truncate(line.rstrip(), LINE_LIMIT) for line in found]


class _Linked(dict[str, str]):
    """The fields of a link, quoted in its address; one that is not there is a KeyError."""

    def __init__(self, story: RecordView, *, address: bool) -> None:
        super().__init__()
        self._story, self._address = story, address

    def __missing__(self, name: str) -> str:
        value = str(self._story.value(name))
        return quote(value, safe="") if self._address else value


def _text_of(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return " ".join(text[:MAX_CHARS].split()) if "\n" in text or "\r" in text else text
