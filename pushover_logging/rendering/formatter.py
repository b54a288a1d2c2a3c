"""PushoverFormatter: a record becomes a title and a body that read well on a lock screen.

Extras, renamed, static and reserved fields and the encoding of their values are the work of
python-json-logger's `JsonFormatter`; which of them a phone may show says `extras`, what an
exception says `causes`, and what gives way where 1,024 characters are not enough `composing`.
"""

from __future__ import annotations

import copy
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from pushover_logging.diagnostics import warn
from pushover_logging.dictconfig import plain
from pushover_logging.levels import Levels
from pushover_logging.message import MESSAGE_LIMIT, TITLE_LIMIT, Message
from pushover_logging.rendering.attachments import Attachments, OversizedImage
from pushover_logging.rendering.fields import as_text, checked_extras, message_of, plain_fields
from pushover_logging.rendering.layout import BodyParts, build
from pushover_logging.rendering.record_view import RecordView, copy_record
from pushover_logging.rendering.redaction import Redaction
from pushover_logging.rendering.templates import Template, checked_style
from pushover_logging.rendering.text import (
    clean,
    escaped,
    largest_fitting,
    shortener,
    truncate,
    with_note,
)

NO_MESSAGE = "(no message)"
_INDENTED = "\n\u00a0\u00a0"  # html takes other spaces as one
_DEFAULT_LEVELS = Levels()
_DEFAULT_REDACTION = Redaction()


class PushoverFormatter(JsonFormatter):
    """Formats for a phone; never changes the record.

    ``title`` and ``body`` are templates over the record's fields, its extras, ``place``, ``cause``,
    ``host``, ``extras`` and ``traceback``, in the ``style`` that logging.Formatter has. ``extras``
    names the fields that are shown as ``key: value`` lines; None shows all of the program's own,
    False none. ``host`` is shown in the last line. ``redaction`` is what takes secrets out of each
    text. ``fmt``, ``datefmt``, ``validate``, ``rename_fields``, ``static_fields``,
    ``reserved_attrs`` and ``defaults`` are JsonFormatter's; what it would put into its JSON is
    shown as lines. Raises ConfigurationError.
    """

    def __init__(  # noqa: PLR0913  JsonFormatter's own options, and ours
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
        title: str | None = None,
        body: str | None = None,
        extras: Sequence[str] | bool | None = None,
        host: str | None = None,
        redaction: Redaction | None = None,
    ) -> None:
        style = checked_style(style)
        reserved = RESERVED_ATTRS if reserved_attrs is None else reserved_attrs
        super().__init__(
            fmt if fmt is not None else (),
            datefmt,
            style,
            validate,
            rename_fields=plain(rename_fields),
            static_fields=plain(static_fields),
            reserved_attrs=[*reserved, "pushover", "taskName"],
            defaults=defaults,
        )
        self.title: Template | None = None if title is None else Template("title", title, style)
        self.body: Template | None = None if body is None else Template("body", body, style)
        self.extras: tuple[str, ...] | None = checked_extras(extras)
        self.host = host
        self.redaction = redaction
        self._attachments = Attachments()
        # How long a text is once it is encrypted; None where it is sent in the clear.
        self.encrypted_length: Callable[[str], int] | None = None

    def adopted(self, other: PushoverFormatter) -> PushoverFormatter:
        """Return one like this that has from ``other`` what this one was not given.

        Handlers may share a formatter, and no secrets.
        """
        own = copy.copy(self)
        for name in ("title", "body", "extras", "host", "redaction"):
            if getattr(own, name) is None:
                setattr(own, name, getattr(other, name))
        own.encrypted_length = other.encrypted_length
        return own

    def format(self, record: logging.LogRecord) -> str:
        """Return the body: at most 1,024 characters, in the order in which they are read.

        Raises what the record's own arguments raise.
        """
        story = self._story(record)
        return self._body(story, self._title(story), markup=False)

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
        for `format`. An image that is over 5 MiB is left out. Raises what the record's own
        arguments raise.
        """
        return self.build(record, fields, body=body)[0]

    def build(
        self,
        record: logging.LogRecord,
        fields: Mapping[str, Any] | None = None,
        *,
        body: str | None = None,
    ) -> tuple[Message, OversizedImage | None]:
        """Return the `message` of a record, and an image of its that is yet to be scaled down.

        ``fields`` and ``body`` are as there.
        """
        given = as_text(_DEFAULT_LEVELS.fields(record.levelno) if fields is None else fields)
        story = self._story(record)
        for name in ("url", "url_title"):
            if isinstance(given.get(name), str):
                given[name] = story.linked(given[name], address=name == "url")
        title = given.pop("title", None)
        title = story.shown(title) if title else self._title(story)
        title = self._fitting_title(title)
        own = given.pop("message", body)
        markup = given.get("html") is True and given.get("monospace") is not True
        if own is None:
            text = self._body(story, title, markup=markup)
        else:
            text = self._fitting_parts(BodyParts(story.shown(own).strip()), markup=markup)
        if math.isfinite(record.created):
            given.setdefault("timestamp", int(record.created))
        note, original = self._attachments.taken(given)
        if note:
            text = with_note(text, note, MESSAGE_LIMIT, markup=markup)
        return message_of(text, title, given), original

    def redacted(self, text: str) -> str:
        """Return ``text`` as it may be sent: without secrets."""
        return (self.redaction or _DEFAULT_REDACTION)(clean(text))

    def _story(self, record: logging.LogRecord) -> RecordView:
        return RecordView(
            record,
            self.host,
            self.redaction or _DEFAULT_REDACTION,
            lambda: self._fields(record),
            lambda: self.formatTime(record, self.datefmt),
        )

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return the fields to show, plain, by python-json-logger's rules and encoder."""
        own, asked = copy_record(record), self.extras or ()
        if "asctime" in self._required_fields:
            own.asctime = self.formatTime(own, self.datefmt)
        if "message" in self._required_fields:
            own.message = own.getMessage()
        structured = record.msg if isinstance(record.msg, dict) else {}
        data: dict[str, Any] = {
            name: record.__dict__[name] for name in asked if name in record.__dict__
        }
        self.add_fields(data, own, structured)
        if "message" not in asked:
            data.pop("message", None)  # named by the format; the text above says it
        found = plain_fields(self.process_log_record(data), asked)
        if self.extras is not None:
            kept = {
                *asked,
                *structured,
                *self.static_fields,
                *self.defaults,
                *self._required_fields,
            }
            kept |= {self._get_rename(name) for name in kept}
            found = {name: value for name, value in found.items() if name in kept}
        first = {name: found[name] for name in map(self._get_rename, structured) if name in found}
        return json.loads(self.jsonify_log_record({**first, **found})) if found else {}

    def _title(self, story: RecordView) -> str:
        if self.title is not None:
            try:
                filled = " ".join(self.title.filled(story).split())
            except Exception as error:  # noqa: BLE001  a value of the program's
                warn("the title's template is left out: %s", type(error).__name__)
            else:
                if filled:
                    return filled
        return story.title or NO_MESSAGE

    def _body(self, story: RecordView, title: str, *, markup: bool) -> str:
        if self.body is not None:
            try:
                fill = self.body.filled_html if markup else self.body.filled
                filled = fill(story).strip()
            except Exception as error:  # noqa: BLE001  a value of the program's
                warn("the body's template is left out: %s", type(error).__name__)
            else:
                short = shortener(markup=markup)
                return self._fitting(lambda limit: short(filled, limit)) or NO_MESSAGE
        return self._fitting_parts(story.parts(title), markup=markup)

    def _fitting_title(self, title: str) -> str:
        short, measure = truncate(title, TITLE_LIMIT), self.encrypted_length
        if measure is None or measure(short) <= TITLE_LIMIT:
            return short
        return truncate(
            short,
            largest_fitting(len(short), lambda at: measure(truncate(short, at)) <= TITLE_LIMIT),
        )

    def _fitting_parts(self, parts: BodyParts, *, markup: bool) -> str:
        def sent(limit: int) -> str:
            text = build(parts, limit)
            return escaped(text.replace("\n  ", _INDENTED)) if markup else text

        return self._fitting(sent) or NO_MESSAGE

    def _fitting(self, sent: Callable[[int], str]) -> str:
        """Return the longest ``sent(limit)`` that fits as it will be sent, encrypted or not."""

        def fits(text: str) -> bool:
            length = self.encrypted_length(text) if self.encrypted_length else 0
            return max(length, len(text)) <= MESSAGE_LIMIT

        whole = sent(MESSAGE_LIMIT)
        return (
            whole
            if fits(whole)
            else sent(largest_fitting(MESSAGE_LIMIT, lambda at: fits(sent(at))))
        )
