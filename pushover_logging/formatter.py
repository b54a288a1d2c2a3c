"""PushoverFormatter: a record becomes a title and a body that read well on a lock screen.

Extras, renamed, static and reserved fields and the encoding of their values are the work of
python-json-logger's `JsonFormatter`; what is written here is which lines a phone shows, and in
which order they give way where 1,024 characters are not enough.
"""

from __future__ import annotations

import copy
import html
import json
import logging
import math
import traceback
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from pushover_logging.diagnostics import warn
from pushover_logging.exceptions import ConfigurationError
from pushover_logging.fingerprint import exception_chain, in_app_frame
from pushover_logging.levels import Levels
from pushover_logging.message import (
    FIELDS,
    MESSAGE_LIMIT,
    TITLE_LIMIT,
    URL_LIMIT,
    URL_TITLE_LIMIT,
    Message,
)
from pushover_logging.text import clean, cut, first_line

NO_MESSAGE = "(no message)"
LINE_LIMIT = 200  # one extra, one frame or one place takes no more of the room than this
_READ = 16_384  # characters of a message that are looked at; the rest could not be sent
_FRAMES = 12  # of each exception, the innermost: more do not fit
_LIMITS = {"title": TITLE_LIMIT, "url": URL_LIMIT, "url_title": URL_TITLE_LIMIT}
_DEFAULT_LEVELS = Levels()


class PushoverFormatter(JsonFormatter):
    """Formats for a phone; never changes the record.

    ``fmt``, ``datefmt``, ``style``, ``rename_fields``, ``static_fields`` and ``reserved_attrs``
    are JsonFormatter's; what it would put into its JSON is shown as ``key: value`` lines.
    ``host`` is shown in the last line.
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

    def format(self, record: logging.LogRecord) -> str:
        """Return the body: at most 1,024 characters, in the order in which they are read.

        Raises what the record's own arguments raise.
        """
        return self._body(record, self._title(record))

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
                given[name] = _filled(given[name], record, address=name == "url")
        title = clean(str(given.pop("title", None) or self._title(record)))
        own = given.pop("message", body)
        text = self._body(record, title) if own is None else clean(str(own)[:_READ])
        text = text if text.strip() else NO_MESSAGE
        text = _escaped(text) if given.get("html") is True else cut(text, MESSAGE_LIMIT)
        for name in _LIMITS.keys() & given.keys():
            if isinstance(given[name], str):
                given[name] = cut(clean(given[name]), _LIMITS[name])
        if math.isfinite(record.created):
            given.setdefault("timestamp", int(record.created))
        return _message(text, cut(title, TITLE_LIMIT), given)

    def _title(self, record: logging.LogRecord) -> str:
        title = _cause(record) or first_line(self._text(record))
        return cut(clean(title), TITLE_LIMIT)

    def _text(self, record: logging.LogRecord) -> str:
        if isinstance(record.msg, dict):
            return "\n".join(self._extras(record)[:1]) or NO_MESSAGE
        text = clean(record.getMessage()[:_READ]).strip()
        return text or ("" if record.exc_info or record.exc_text else NO_MESSAGE)

    def _body(self, record: logging.LogRecord, title: str) -> str:
        text = "" if isinstance(record.msg, dict) else self._text(record)
        text = "" if text == title else text
        place = cut(clean(_place(record)), LINE_LIMIT)
        level = " · ".join(filter(None, (record.levelname, record.name, self.host)))
        level = cut(clean(level), LINE_LIMIT)
        text = cut(text, MESSAGE_LIMIT - len(place) - len(level) - 2)
        room = MESSAGE_LIMIT - sum(len(part) + 1 for part in (text, place, level) if part)
        extras, room = _fitting(self._extras(record), room)
        details, room = _fitting(_traceback(record), room)
        return "\n".join(filter(None, [text, place, *extras, *details, level]))

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


def _filled(template: str, record: logging.LogRecord, *, address: bool) -> str:
    values = {**record.__dict__, "message": record.getMessage()}
    if address:
        values = {
            key: quote(clean(str(value)), safe="")
            for key, value in values.items()
            if "{" + key in template
        }
    try:
        return template.format_map(values)
    except (KeyError, IndexError, ValueError, AttributeError):
        return template


def _exception(record: logging.LogRecord) -> BaseException | None:
    info: object = record.exc_info  # any object: records also come from makeLogRecord and sockets
    exc = info[1] if isinstance(info, tuple) and len(info) > 1 else None
    return exc if isinstance(exc, BaseException) else None


def _cause(record: logging.LogRecord) -> str:
    """Return the root exception's own line, empty where the record has no exception."""
    exc = _exception(record)
    if exc is not None:
        return _line_of(exception_chain(exc)[-1])
    lines = (record.exc_text or "").strip().splitlines()
    return lines[-1].strip() if lines else ""


def _line_of(exc: BaseException) -> str:
    # A SyntaxError's source, indented, comes before this line, an exception's notes after it.
    lines = traceback.format_exception_only(type(exc), exc)
    return first_line(next((line for line in lines if not line.startswith(" ")), ""))


def _place(record: logging.LogRecord) -> str:
    exc = _exception(record)
    found = in_app_frame(exception_chain(exc)[-1].__traceback__) if exc is not None else None
    if found is None:
        return _where(record.funcName or "", record.pathname or "", record.lineno)
    return _where(found.function, found.filename, found.lineno)


def _where(function: str, filename: str, lineno: int) -> str:
    path = "/".join(PurePath(filename).parts[-2:]).lstrip("/")
    return f"{function}, {path}:{lineno}" if function else f"{path}:{lineno}"


def _traceback(record: logging.LogRecord) -> list[str]:
    """Return the exceptions, the outermost first, each with its frames, the innermost first."""
    exc = _exception(record)
    if exc is None:
        return list(reversed((record.exc_text or "").splitlines()[:-1]))
    chain = exception_chain(exc)
    lines = []
    for one in chain:
        lines.append(_line_of(one))
        frames = reversed(traceback.extract_tb(one.__traceback__, limit=-_FRAMES))
        lines.extend(
            f"  {_where(frame.name, frame.filename, frame.lineno or 0)}: {frame.line}"
            for frame in frames
        )
    return lines[1:] if len(chain) == 1 else lines  # the title says a single one's own line


def _fitting(lines: Sequence[str], room: int) -> tuple[list[str], int]:
    """Return the first ``lines`` that fit into ``room`` characters, and the room that is left."""
    kept: list[str] = []
    for whole in lines:
        line = cut(clean(whole), LINE_LIMIT)
        if len(line) + 1 > room:
            break
        kept.append(line)
        room -= len(line) + 1
    return kept, room


def _escaped(text: str) -> str:
    """Return ``text`` as html that shows it as it is, cut so that no entity is split."""
    while True:
        escaped = html.escape(text, quote=False).replace("\n", "<br>")
        excess = len(escaped) - MESSAGE_LIMIT
        if excess <= 0:
            return escaped
        # A character takes at most five in html: a fifth of the excess never takes too much.
        text = cut(text, max(len(text) - max(excess // 5, 1), 1))
