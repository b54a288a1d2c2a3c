"""PushoverFormatter: a record becomes a title and a body that read well on a lock screen.

Extras, renamed, static and reserved fields and the encoding of their values are the work of
python-json-logger's `JsonFormatter`; what is written here is which lines a phone shows, and in
which order they give way where 1,024 characters are not enough.
"""

from __future__ import annotations

import copy
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from pushover_logging.causes import cause_of, frames_of, place_of
from pushover_logging.diagnostics import warn
from pushover_logging.exceptions import ConfigurationError
from pushover_logging.levels import Levels
from pushover_logging.markup import escaped
from pushover_logging.message import (
    FIELDS,
    MESSAGE_LIMIT,
    TITLE_LIMIT,
    URL_LIMIT,
    URL_TITLE_LIMIT,
    Message,
)
from pushover_logging.redaction import Redaction
from pushover_logging.text import clean, cut, first_line, largest

NO_MESSAGE = "(no message)"
LINE_LIMIT = 200  # one extra, one frame or one place takes no more of the room than this
_LIMITS = {"title": TITLE_LIMIT, "url": URL_LIMIT, "url_title": URL_TITLE_LIMIT}
_DEFAULT_LEVELS = Levels()
_DEFAULT_REDACTION = Redaction()


class _Parts(NamedTuple):
    """What a body is made of, in the order in which a part gives way to those before it."""

    text: str
    place: str = ""
    level: str = ""
    extras: Sequence[str] = ()
    details: Sequence[str] = ()


class PushoverFormatter(JsonFormatter):
    """Formats for a phone; never changes the record.

    ``fmt``, ``datefmt``, ``style``, ``rename_fields``, ``static_fields`` and ``reserved_attrs``
    are JsonFormatter's; what it would put into its JSON is shown as ``key: value`` lines.
    ``host`` is shown in the last line. ``redaction`` is what takes secrets out of each text.
    """

    def __init__(  # noqa: PLR0913  JsonFormatter's own options
        self,
        fmt: str | Sequence[str] | None = None,
        datefmt: str | None = None,
        style: str = "%",
        *,
        validate: bool = True,
        rename_fields: dict[str, str] | None = None,
        static_fields: dict[str, Any] | None = None,
        reserved_attrs: Sequence[str] | None = None,
        defaults: dict[str, Any] | None = None,
        host: str | None = None,
        redaction: Redaction | None = None,
    ) -> None:
        reserved = RESERVED_ATTRS if reserved_attrs is None else reserved_attrs
        super().__init__(
            fmt if fmt is not None else (),
            datefmt,
            style,
            validate,
            rename_fields=rename_fields,
            static_fields=static_fields,
            reserved_attrs=[*reserved, "pushover", "taskName"],
            defaults=defaults,
        )
        self.host = host
        self.redaction = redaction
        # How long a text is once it is encrypted; None where it is sent in the clear.
        self.encrypted_length: Callable[[str], int] | None = None

    def format(self, record: logging.LogRecord) -> str:
        """Return the body: at most 1,024 characters, in the order in which they are read.

        Raises what the record's own arguments raise.
        """
        return _composed(self._parts(record, self._title(record)), MESSAGE_LIMIT)

    def message(
        self,
        record: logging.LogRecord,
        fields: Mapping[str, Any] | None = None,
        *,
        body: str | None = None,
    ) -> Message:
        """Return the Message of a record.

        ``fields`` are Message fields laid over what the record says, by default those of its
        level; one that is wrong is left out and told on the library's logger. ``body`` stands in
        for `format`. Raises what the record's own arguments raise.
        """
        given = dict(_DEFAULT_LEVELS.fields(record.levelno) if fields is None else fields)
        for name in ("url", "url_title"):
            if isinstance(given.get(name), str):
                given[name] = self._filled(given[name], record, address=name == "url")
        title = given.pop("title", None)
        title = clean(self._redacted(str(title))) if title else self._title(record)
        title = self._fitting_title(title)
        own = given.pop("message", body)
        parts = (
            self._parts(record, title)
            if own is None
            else _Parts(clean(self._redacted(str(own))).strip() or NO_MESSAGE)
        )
        text = self._fitting_text(parts, markup=given.get("html") is True)
        for name in _LIMITS.keys() & given.keys():
            if isinstance(given[name], str):
                given[name] = cut(clean(given[name]), _LIMITS[name])
        if math.isfinite(record.created):
            given.setdefault("timestamp", int(record.created))
        return _message(text, title, given)

    def _redacted(self, text: str) -> str:
        return (self.redaction or _DEFAULT_REDACTION)(text)

    def _fitting_title(self, title: str) -> str:
        short, measure = cut(title, TITLE_LIMIT), self.encrypted_length
        if measure is None or measure(short) <= TITLE_LIMIT:
            return short
        return cut(short, largest(len(short), lambda at: measure(cut(short, at)) <= TITLE_LIMIT))

    def _fitting_text(self, parts: _Parts, *, markup: bool) -> str:
        """Return what of ``parts`` fits as it will be sent: escaped, encrypted, or as it is."""

        def sent(limit: int) -> str:
            text = _composed(parts, limit)
            return escaped(text) if markup else text

        def fits(limit: int) -> bool:
            text = sent(limit)
            length = self.encrypted_length(text) if self.encrypted_length else 0
            return max(length, len(text)) <= MESSAGE_LIMIT

        if fits(MESSAGE_LIMIT):
            return sent(MESSAGE_LIMIT)
        return sent(largest(MESSAGE_LIMIT, fits)) or NO_MESSAGE

    def _title(self, record: logging.LogRecord) -> str:
        title = self._redacted(cause_of(record)) or first_line(self._text(record))
        return cut(clean(title), TITLE_LIMIT)

    def _text(self, record: logging.LogRecord) -> str:
        if isinstance(record.msg, dict):
            return "\n".join(self._extras(record)[:1]) or NO_MESSAGE
        text = clean(self._redacted(record.getMessage())).strip()
        return text or ("" if record.exc_info or record.exc_text else NO_MESSAGE)

    def _parts(self, record: logging.LogRecord, title: str) -> _Parts:
        text = "" if isinstance(record.msg, dict) else self._text(record)
        text = "" if text == title else text
        place = cut(clean(place_of(record)), LINE_LIMIT)
        level = " · ".join(filter(None, (record.levelname, record.name, self.host)))
        level = cut(clean(level), LINE_LIMIT)
        extras, details = self._extras(record), frames_of(record)
        return _Parts(text, place, level, self._lines(extras), self._lines(details))

    def _lines(self, lines: Sequence[str]) -> list[str]:
        return [cut(clean(self._redacted(line)), LINE_LIMIT) for line in lines]

    def _filled(self, template: str, record: logging.LogRecord, *, address: bool) -> str:
        values = {
            key: clean(self._redacted(str(value)))
            for key, value in {**record.__dict__, "message": record.getMessage()}.items()
            if "{" + key in template
        }
        if address:
            values = {key: quote(value, safe="") for key, value in values.items()}
        try:
            return self._redacted(template.format_map(values))
        except (KeyError, IndexError, ValueError, AttributeError):
            return template

    def _extras(self, record: logging.LogRecord) -> list[str]:
        own = copy.copy(record)
        data: dict[str, Any] = {}
        self.add_fields(data, own, record.msg if isinstance(record.msg, dict) else {})
        values = json.loads(self.jsonify_log_record(self.process_log_record(data)))
        return [
            f"{key}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
            for key, value in values.items()
        ]


def _message(text: str, title: str, given: dict[str, Any]) -> Message:
    for name in given.keys() - FIELDS:
        del given[name]
        warn("a message field is left out: there is no %s", name)
    while True:
        try:
            return Message(message=text, title=title, **given)
        except ConfigurationError as error:
            del given[error.option or ""]
            warn("a message field is left out: %s", error)


def _composed(parts: _Parts, limit: int) -> str:
    """Return what fits into ``limit`` characters: text, place and level come before all else."""
    place, level = parts.place, parts.level
    least = sum(len(one) + 1 for one in (place, level) if one)
    text = cut(parts.text, limit - least)
    fixed = [one for one in (text, place, level) if one]
    room = limit - len("\n".join(fixed))
    extras, room = _fitting(parts.extras, room)
    details, room = _fitting(parts.details, room)
    lines = [text, place, *extras, *details, level]
    return cut("\n".join(filter(None, lines)), limit)


def _fitting(lines: Sequence[str], room: int) -> tuple[list[str], int]:
    """Return the first ``lines`` that fit into ``room`` characters, and the room that is left."""
    kept: list[str] = []
    for line in lines:
        if len(line) + 1 > room:
            break
        kept.append(line)
        room -= len(line) + 1
    return kept, room
