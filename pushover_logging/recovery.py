"""What follows from an answer that was no success: pauses, circuits, and what may still work.

The rules are those of https://pushover.net/api#friendly. The state belongs to the thread that
sends; a fork's child makes a new one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from pushover_logging.clock import Clock
from pushover_logging.diagnostics import warn
from pushover_logging.exceptions import DeliveryError, QuotaError, RejectedError, TemporaryError
from pushover_logging.message import MESSAGE_LIMIT
from pushover_logging.outbox.envelope import Envelope
from pushover_logging.rendering.attachments import TOO_LARGE, scaled
from pushover_logging.rendering.text import with_note

PAUSE = 5.0  # https://pushover.net/api#friendly: no sooner than 5 s after a failed try
BACKOFF = (10.0, 300.0)  # first and longest, doubling
PROBE = (600.0, 21_600.0)  # the same for a refused token or user
TIMEOUTS_OF_ATTACHMENT = 2


@dataclass(slots=True)
class _Circuit:
    """Open since a user was refused: nothing goes there before ``probe_at``."""

    delay: float
    probe_at: float


class Recovery:
    """Decides after each answer what is sent, and when; ``now`` is monotonic seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._not_before = self._backoff = self._token_delay = 0.0
        self._circuits: dict[str | None, _Circuit] = {}  # by user, None is the default one
        self._quota_told = False

    def pause(self, now: float) -> float:
        """Return for how many seconds nothing at all may be sent."""
        return max(0.0, self._not_before - now)

    def closed_to(self, now: float) -> dict[str | None, float]:
        """Return the users that nothing can be sent to, with the seconds until they are tried.

        Empty while the default user takes what others cannot: see `redirect`.
        """
        refused = {
            user: circuit.probe_at - now
            for user, circuit in self._circuits.items()
            if circuit.probe_at > now
        }
        return refused if None in refused else {}

    def redirect(self, envelope: Envelope, now: float) -> None:
        """Turn a Message for a named user that is refused at present to the default user."""
        circuit = self._circuits.get(envelope.message.user)
        if envelope.message.user is not None and circuit and circuit.probe_at > now:
            _to_default_user(envelope)

    def succeeded(self, envelope: Envelope) -> None:
        """Forget the faults that this success disproves."""
        self._backoff = self._token_delay = 0.0
        self._quota_told = False
        self._circuits.pop(envelope.message.user, None)

    def keeps(self, error: DeliveryError, envelope: Envelope) -> bool:
        """Act on a failed send; tell whether the Message, perhaps changed, is to be sent again."""
        if isinstance(error, RejectedError):
            return self._keeps_rejected(error, envelope)
        if isinstance(error, QuotaError):
            if not self._quota_told:
                warn("%s; nothing is sent for %d s", error, error.wait)
            self._quota_told = True
            self._wait(error.wait)
            return True
        envelope.timeouts += isinstance(error, TemporaryError) and error.timed_out
        envelope.may_have_arrived |= isinstance(error, TemporaryError) and error.may_have_arrived
        if envelope.timeouts >= TIMEOUTS_OF_ATTACHMENT and envelope.message.attachment:
            _without_attachment(envelope, "the attachment could not be sent")
        self.back_off()
        return True

    def back_off(self) -> None:
        """Pause, each time for longer, until a send succeeds."""
        self._backoff = min(self._backoff * 2 or BACKOFF[0], BACKOFF[1])
        self._wait(PAUSE + self._clock.uniform(0, self._backoff - PAUSE))

    def _keeps_rejected(self, error: RejectedError, envelope: Envelope) -> bool:
        message = envelope.message
        if "token" in error.parameters:
            if not self._token_delay:
                warn("token refused: %s; messages wait, next try in %d s", error, PROBE[0])
            self._token_delay = _longer(self._token_delay)
            self._wait(self._token_delay)
        elif "user" in error.parameters:
            self._open_circuit(error, message.user)
            if message.user is not None:
                _to_default_user(envelope)
        elif _blames_attachment(error) and (message.attachment or message.attachment_base64):
            _without_attachment(envelope, "the attachment was refused")
        else:
            warn("a message was rejected and is not sent again: %s", error)
            return False
        return True

    def _open_circuit(self, error: RejectedError, user: str | None) -> None:
        before = self._circuits.get(user)
        if before is None:
            which = "user" if user is None else "user that a level or record names"
            instead = "messages wait" if user is None else "the default user gets its messages"
            warn("%s refused: %s; %s, next try in %d s", which, error, instead, PROBE[0])
        delay = _longer(before.delay if before else 0.0)
        self._circuits[user] = _Circuit(delay, self._clock.monotonic() + delay)

    def _wait(self, seconds: float) -> None:
        self._not_before = self._clock.monotonic() + seconds


def scale_attachment(envelope: Envelope) -> None:
    """Bring an image that is too large down to what the API takes, or tell that it is left out."""
    original, envelope.original = envelope.original, None
    if original is None:
        return
    found = scaled(original.data)
    if found is None:
        _without_attachment(envelope, TOO_LARGE)
    else:
        kind = "image/jpeg"
        envelope.message = replace(envelope.message, attachment=found, attachment_type=kind)


def _longer(delay: float) -> float:
    return min(delay * 2 or PROBE[0], PROBE[1])


def _blames_attachment(error: RejectedError) -> bool:
    if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return True  # a proxy's word, which knows nothing of parameters
    return any(name.startswith("attachment") for name in error.parameters)


def _to_default_user(envelope: Envelope) -> None:
    _change(envelope, "its own user was refused; sent to the default user", user=None)


def _without_attachment(envelope: Envelope, why: str) -> None:
    _change(envelope, why, attachment=None, attachment_base64=None, attachment_type=None)


def _change(envelope: Envelope, why: str, **fields: None) -> None:
    """Change the Message to one that may work; its text says why."""
    message = envelope.message
    text = with_note(message.message, why, MESSAGE_LIMIT, markup=message.html)
    changes: dict[str, Any] = {"message": text, **fields}
    envelope.message = replace(message, **changes)
