"""A Message that waits to be sent, and its JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from typing import Any

from pushover_logging.identity.fingerprint import GroupKey
from pushover_logging.message import ATTACHMENT_LIMIT, Message
from pushover_logging.rendering.attachments import OversizedImage

SENT, SUPPRESSED, REJECTED, DROPPED = "sent", "suppressed", "rejected", "dropped"
FULL, TOO_OLD, SET_ASIDE, FILE_LOST = "full", "too old", "set aside", "file lost"
"""Outcomes; the second line are the reasons of a drop, which follow it after a colon."""


@dataclass(slots=True, eq=False)
class QueuedMessage:
    """One Message of the outbox, of one record. The sender alone changes it after it was put.

    ``id`` is random. ``key`` is the problem's fingerprint, None if the throttle is not asked;
    ``level`` and ``created`` (Unix time) are the record's. ``resolves``: it ends the problem.
    ``put_at`` is the monotonic second at which it was put. ``timeouts`` counts sends without an
    answer in time; ``may_have_arrived``: the service may have it already. ``row`` is its place in a
    file, None in memory. ``oversized`` is an image to scale.
    """

    id: str
    message: Message
    put_at: float
    key: str | None = None
    level: int = 0
    created: float = 0.0
    group: GroupKey | None = None
    resolves: bool = False
    timeouts: int = 0
    may_have_arrived: bool = False
    oversized: OversizedImage | None = None
    row: int | None = None
    size: int = 0  # bytes, as an outbox in memory estimated them

    @property
    def image(self) -> bytes | None:
        """Return the bytes of its attachment, or of the image to make it from."""
        return self.message.attachment if self.oversized is None else self.oversized.data

    def drop_attachment(self) -> None:
        """Forget the image's bytes."""
        self.oversized = None
        self.message = replace(
            self.message, attachment=None, attachment_base64=None, attachment_type=None
        )


_MESSAGE = [one.name for one in fields(Message) if one.name != "attachment"]
_OWN = ("key", "level", "created", "resolves", "timeouts", "may_have_arrived")


def to_json(queued: QueuedMessage) -> str:
    """Return a Message as JSON, without the bytes of its attachment."""
    message = {name: getattr(queued.message, name) for name in _MESSAGE}
    return json.dumps(
        {
            "message": {name: value for name, value in message.items() if value is not None},
            "group": queued.group,
            **{name: getattr(queued, name) for name in _OWN},
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


def from_json(message_id: str, text: str, image: bytes | None, put_at: float) -> QueuedMessage:
    """Return what `to_json` wrote. Raises ValueError for anything else.

    ``put_at`` is on this process's monotonic clock.
    """
    try:
        data: dict[str, Any] = json.loads(text)
        message, group = data.pop("message"), data.pop("group")
        large = image is not None and len(image) > ATTACHMENT_LIMIT
        queued = QueuedMessage(
            message_id,
            Message(attachment=None if large else image, **message),
            put_at,
            group=None if group is None else GroupKey(*map(str, group)),
            oversized=OversizedImage(image) if large and image is not None else None,
            **data,
        )
        valid = isinstance(queued.key, (str, type(None))) and 0 <= queued.created < 1e12  # noqa: PLR2004  Unix time
        int(queued.level), int(queued.timeouts)
    except (KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        msg = f"not a message of this library ({type(error).__name__})"
        raise ValueError(msg) from error
    if not valid:
        msg = "not a message of this library"
        raise ValueError(msg)
    return queued
