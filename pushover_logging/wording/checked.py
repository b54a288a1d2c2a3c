"""Message fields that are wrong cost themselves, not the alert."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pushover_logging.diagnostics import warn
from pushover_logging.exceptions import ConfigurationError
from pushover_logging.message import FIELDS, URL_LIMIT, URL_TITLE_LIMIT, Message
from pushover_logging.text import clean, cut


def said(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``fields`` with title and message as texts; one that has none is left out and told."""
    given = dict(fields)
    for name in given.keys() & {"title", "message"}:
        try:
            given[name] = None if given[name] is None else str(given[name])
        except Exception as error:  # noqa: BLE001  any code of the program's
            del given[name]
            warn("a message field is left out: %s raised %s", name, type(error).__name__)
    return given


def message_of(text: str, title: str, given: dict[str, Any]) -> Message:
    """Return the Message of ``given`` fields; what is wrong is left out and told."""
    for name, limit in (("url", URL_LIMIT), ("url_title", URL_TITLE_LIMIT)):
        if isinstance(given.get(name), str):
            given[name] = cut(clean(given[name]), limit)
    for name in given.keys() - FIELDS:
        del given[name]
        warn("a message field is left out: there is no %s", name)
    while True:
        try:
            return Message(message=text, title=title, **given)
        except ConfigurationError as error:
            del given[error.option or ""]
            warn("a message field is left out: %s", error)
