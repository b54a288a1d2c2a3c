"""A Message on its way, with what must be known when the service answers."""

from __future__ import annotations

from dataclasses import dataclass, field

from pushover_logging.message import Message
from pushover_logging.throttle.machine import Count, Verdict


@dataclass(slots=True, eq=False)
class Envelope:
    """One Message of the outbox; only the sender's thread changes it after ``put``.

    ``key`` is the fingerprint that it tells, ``counts`` what it tells along, ``title`` the
    problem's own title, without words like ``Again:``; ``accepted_at`` is the monotonic second
    at which it was put. ``timeouts`` counts sends without an answer in time.
    """

    message: Message
    verdict: Verdict
    accepted_at: float
    key: str | None = None
    counts: tuple[Count, ...] = ()
    title: str | None = None
    timeouts: int = 0
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
