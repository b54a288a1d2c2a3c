"""PushoverFormatter turns a record into a title and a body that read well on a lock screen.

python-json-logger's `JsonFormatter` selects and encodes the extras (renamed, static and reserved
fields). `record_view` makes the texts, and `layout` chooses what fits.
"""

from __future__ import annotations

import copy
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from pushover_logging.diagnostics import warn
from pushover_logging.dictconfig import plain
from pushover_logging.exceptions import ConfigurationError
from pushover_logging.identity.record_parts import RecordParts, message_text, read_record
from pushover_logging.levels import Levels
from pushover_logging.message import FIELDS, MESSAGE_LIMIT, TEXT_LIMITS, TITLE_LIMIT, Message
from pushover_logging.rendering.attachments import Attachments, OversizedImage
from pushover_logging.rendering.fields import checked_extras, make_texts, plain_fields
from pushover_logging.rendering.layout import LINE_LIMIT, BodyParts, build_body, build_html_body
from pushover_logging.rendering.link import SourceLink
from pushover_logging.rendering.record_view import RecordView, copy_record
from pushover_logging.rendering.redaction import Redaction
from pushover_logging.rendering.templates import Template, checked_style
from pushover_logging.rendering.text import (
    clean,
    first_line,
    largest_fitting,
    shortener,
    truncate,
    with_note,
)

NO_MESSAGE = "(no message)"
_Fields = Mapping[str, Any] | None
_MAX_SEARCHED = 1_000  # characters of a message that are searched for secrets for one line of it
_ONE_LINE = 80
_LEVELS = Levels()
_REDACTION = Redaction()


class PushoverFormatter(JsonFormatter):
    """Formats records for a phone, without changing them.

    ``title`` and ``body`` are templates over the record's fields, its extras, ``place``, ``cause``,
    ``host``, ``extras`` and ``traceback``, in the ``style`` of logging.Formatter. ``extras`` names
    the fields that the body shows as ``key: value`` lines; None shows all extras, False none.
    ``host`` is part of the last line. ``redaction`` removes secrets from each text. ``fmt``,
    ``datefmt``, ``validate``, ``rename_fields``, ``static_fields``, ``reserved_attrs`` and
    ``defaults`` are those of JsonFormatter; the fields of its JSON become lines. Raises
    ConfigurationError.
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
        self.source: SourceLink = SourceLink()
        self._attachments = Attachments()
        # Returns the length of an encrypted text; None if texts are not encrypted.
        self.encrypted_length: Callable[[str], int] | None = None

    def adopted(self, other: PushoverFormatter) -> PushoverFormatter:
        """Return a copy that takes each option that was not given from ``other``."""
        # A copy, because handlers can share a formatter but not their secrets.
        adopted = copy.copy(self)
        for name in ("title", "body", "extras", "host", "redaction"):
            if getattr(adopted, name) is None:
                setattr(adopted, name, getattr(other, name))
        adopted.encrypted_length, adopted.source = other.encrypted_length, other.source
        return adopted

    def format(self, record: logging.LogRecord) -> str:
        """Return the body, at most 1,024 characters; raises errors of the record's arguments."""
        view = RecordView(record, self.host, self.redaction or _REDACTION, self._fields, self._time)
        return self._body(view, self._title(view))

    def message(
        self, record: logging.LogRecord, fields: _Fields = None, *, body: str | None = None
    ) -> Message:
        """Return the Message of a record.

        ``fields`` are Message fields that take precedence over those of the record, by default the
        fields of its level; an invalid field is dropped with a warning. ``body`` is used in place
        of the result of `format`. An image of more than 5 MiB is dropped. Raises the errors that
        the record's arguments raise.
        """
        return self.build(record, fields, body=body)[0]

    def build(
        self,
        record: logging.LogRecord,
        fields: _Fields = None,
        *,
        body: str | None = None,
        parts: RecordParts | None = None,
        trail: Sequence[str] = (),
    ) -> tuple[Message, OversizedImage | None]:
        """Return the `message` of a record, and its image if that has yet to be scaled down.

        ``fields`` and ``body`` are as there; ``parts`` are what was read of the record before.
        ``trail`` are the lines that came before it, as they are; a text of the program's has none.
        """
        fields = dict(_LEVELS.fields(record.levelno) if fields is None else fields)
        if "title" in fields or "message" in fields:
            make_texts(fields)
        view = RecordView(
            record, self.host, self.redaction or _REDACTION, self._fields, self._time, parts
        )
        for name in ("url", "url_title"):
            if isinstance(fields.get(name), str):
                url = view.format_url(fields[name], self.source, quoted=name == "url")
                fields[name] = None if url is None else truncate(clean(url), TEXT_LIMITS[name])
        if fields.get("url") is None:
            fields.pop("url_title", None)
        given_title = fields.pop("title", None)
        title = view.redacted(given_title) if given_title else self._title(view)
        if len(title) > TITLE_LIMIT or self.encrypted_length:
            title = self._fit(partial(truncate, title), TITLE_LIMIT)
        body = fields.pop("message", body)
        markup = fields.get("html") is True and fields.get("monospace") is not True
        lines = [truncate(view.redacted(line), LINE_LIMIT) for line in trail]
        text = self._body(view, title, body, lines, markup=markup)
        if math.isfinite(record.created):
            fields.setdefault("timestamp", int(record.created))
        image = None
        if "attachment" in fields or "attachment_base64" in fields:
            note, image = self._attachments.load(fields)
            if note:
                text = with_note(text, note, MESSAGE_LIMIT, markup=markup)
        return _build_message(text, title, fields), image

    def redacted(self, text: str) -> str:
        """Return ``text`` as it can be sent: clean and without secrets."""
        return (self.redaction or _REDACTION)(clean(text))

    def one_line(self, record: logging.LogRecord) -> str:
        """Return the start of a record's message on one line, as a summary names it."""
        text = first_line(read_record(record).text[:_MAX_SEARCHED])
        return truncate(self.redacted(text), _ONE_LINE)

    def _time(self, record: logging.LogRecord) -> str:
        return self.formatTime(record, self.datefmt)

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return the plain fields to show, by python-json-logger's rules and encoder."""
        given, requested = record.__dict__, self.extras or ()
        record, data = copy_record(record), {}
        for name in requested:
            if name in given:
                data[name] = given[name]
        if "asctime" in self._required_fields:
            record.asctime = self._time(record)
        if "message" in self._required_fields:
            record.message = message_text(record)
        structured = record.msg if isinstance(record.msg, dict) else {}
        self.add_fields(data, record, structured)
        if "message" not in requested:
            data.pop("message", None)  # a field of the format, which the body shows anyway
        data = self.process_log_record(data)
        if not data:
            return {}
        fields = plain_fields(data, requested)
        if self.extras is not None:
            names = {*requested, *structured, *self.static_fields, *self.defaults}
            names.update(self._required_fields)
            names |= {self._get_rename(name) for name in names}
            fields = {name: value for name, value in fields.items() if name in names}
        first = {name: fields[name] for name in map(self._get_rename, structured) if name in fields}
        return json.loads(self.jsonify_log_record({**first, **fields})) if fields else {}

    def _title(self, view: RecordView) -> str:
        title = None if self.title is None else self._filled(self.title, view)
        return " ".join((title or "").split()) or view.title or NO_MESSAGE

    def _body(
        self,
        view: RecordView,
        title: str,
        given: str | None = None,
        trail: Sequence[str] = (),
        *,
        markup: bool = False,
    ) -> str:
        filled = None
        if given is None and self.body is not None:
            filled = self._filled(self.body, view, markup=markup)
        if filled is not None:
            text = partial(shortener(markup=markup), filled.strip())
        else:
            parts = view.parts(title) if given is None else BodyParts(view.redacted(given).strip())
            trail = trail if given is None else ()
            text = partial(build_html_body if markup else build_body, parts, trail=trail)
        return self._fit(text) or NO_MESSAGE

    def _filled(self, template: Template, view: RecordView, *, markup: bool = False) -> str | None:
        """Return the text of a template; None if a value does not fit it."""
        try:
            return template.fill_html(view) if markup else template.fill(view)
        except Exception as error:  # noqa: BLE001  a value of the program
            fault = type(error).__name__
            warn(
                "the %s template does not fit a record (%s), which is shown without it",
                template.option,
                fault,
            )
            return None

    def _fit(self, text: Callable[[int], str], api_limit: int = MESSAGE_LIMIT) -> str:
        """Return the longest ``text(limit)`` that the API accepts, encrypted if it will be."""
        length = self.encrypted_length or len
        whole = text(api_limit)
        if len(whole) <= api_limit and length(whole) <= api_limit:
            return whole

        def fits(limit: int) -> bool:
            shorter = text(limit)
            return len(shorter) <= api_limit and length(shorter) <= api_limit

        return text(largest_fitting(api_limit, fits))


def _build_message(text: str, title: str, fields: dict[str, Any]) -> Message:
    """Return the Message of ``fields``; an invalid one is dropped with a warning."""
    for name in fields.keys() - FIELDS:
        del fields[name]
        warn("a message field is left out: Message has no field %s", name)
    while True:
        try:
            return Message(message=text, title=title, **fields)
        except ConfigurationError as error:
            del fields[error.option or ""]
            warn("a message field is left out: %s", error)
