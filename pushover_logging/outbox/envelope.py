"""A Message on its way, with what must be known when the service answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from pushover_logging.message import ATTACHMENT_LIMIT, Message
from pushover_logging.rendering.attachments import OversizedImage
from pushover_logging.throttle.problem import Count, Origin, Verdict, finite, restored


@dataclass(slots=True, eq=False)
class Envelope:
    """One Message of the outbox; only the sender's thread changes it after ``put``.

    ``key`` is the fingerprint that it tells, ``level`` and ``created`` (Unix time) are its
    record's, ``counts`` what it tells along, ``title`` the problem's own title, without words like
    ``Again:``; ``accepted_at`` is the monotonic second at which it was put. ``timeouts`` counts
    sends without an answer in time; ``may_have_arrived``: one of its sends had no answer at all,
    so that the next may be a duplicate. ``row`` is its place in a file, where it is since the Unix
    time ``put_at``, ``foreign`` the other living handler whose record it is. ``decided``: the
    shared throttle has given its verdict, ``alarmed``: and let its emergency through. ``group`` and
    ``place`` are of its `origin`. ``original`` is an image that is too large as it is; its bytes
    are bounded where they are read.
    """

    message: Message
    verdict: Verdict
    accepted_at: float
    key: str | None = None
    level: int = 0
    created: float = 0.0
    counts: tuple[Count, ...] = ()
    title: str | None = None
    timeouts: int = 0
    decided: bool = False
    may_have_arrived: bool = False
    group: str = ""
    place: str = ""
    alarmed: bool = False
    row: int | None = None
    put_at: float = 0.0
    foreign: int | None = None
    original: OversizedImage | None = None
    size: int = field(init=False)

    def __post_init__(self) -> None:
        """Reckon the bytes that it holds, near enough for a bound."""
        message = self.message
        texts = sum(4 * len(text or "") for text in (message.message, message.title, message.url))
        image = len(message.attachment or b"") + len(message.attachment_base64 or "")
        self.size = 512 + texts + image

    @property
    def counts_as_record(self) -> bool:
        """Tell whether it carries a record of the program, and not a summary alone."""
        return self.verdict is not Verdict.SUMMARY

    @property
    def image(self) -> bytes | None:
        """Return the bytes that a file keeps: its attachment, or what that is to be made of."""
        return self.message.attachment if self.original is None else self.original.data

    @property
    def origin(self) -> Origin | None:
        """Return what its problem may become one with others by."""
        return Origin(self.group, self.place) if self.group else None


Fate = Callable[[Envelope], "str | None"]
"""Says what becomes of a claimed envelope without its being sent; None: it is sent."""

_MESSAGE = [one.name for one in fields(Message) if one.name != "attachment"]
_OWN = (
    "key", "level", "created", "title", "timeouts", "decided", "may_have_arrived",
    "group", "place", "alarmed",
)  # fmt: skip


def encoded(envelope: Envelope) -> str:
    """Return the envelope as JSON, without its attachment's bytes and without any default."""
    message = {name: getattr(envelope.message, name) for name in _MESSAGE}
    return json.dumps(
        {
            "message": {name: value for name, value in message.items() if value is not None},
            "verdict": envelope.verdict.value,
            "counts": [count._asdict() for count in envelope.counts],
            **{name: getattr(envelope, name) for name in _OWN},
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


def decoded(text: str, attachment: bytes | None, accepted_at: float) -> Envelope:
    """Return what `encoded` wrote. Raises ValueError for anything else: others may have been at it.

    ``accepted_at`` is on this process's monotonic clock.
    """
    try:
        data: dict[str, Any] = json.loads(text)
        large = attachment is not None and len(attachment) > ATTACHMENT_LIMIT
        return Envelope(
            Message(attachment=None if large else attachment, **data["message"]),
            Verdict(data["verdict"]),
            accepted_at,
            key=_text(data["key"]),
            level=int(data["level"]),
            created=finite(data["created"]),
            counts=tuple(restored(Count, one) for one in data["counts"]),
            title=_text(data["title"]),
            timeouts=int(data["timeouts"]),
            decided=bool(data["decided"]),
            may_have_arrived=bool(data["may_have_arrived"]),
            group=str(data["group"]),
            place=str(data["place"]),
            alarmed=bool(data["alarmed"]),
            original=OversizedImage(attachment) if attachment is not None and large else None,
        )
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        msg = f"no message of this library ({type(error).__name__})"
        raise ValueError(msg) from error


def _text(value: object) -> str | None:
    return None if value is None else str(value)
