"""What follows from an answer that was no success: a pause, an open circuit, a changed Message.

The rules are those of https://pushover.net/api#friendly.
"""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus

from pushover_logging.circuit_breaker import CircuitBreaker
from pushover_logging.clock import Clock
from pushover_logging.diagnostics import warn
from pushover_logging.exceptions import DeliveryError, QuotaError, RejectedError, TemporaryError
from pushover_logging.outbox.queue import QueuedMessage
from pushover_logging.rendering.attachments import TOO_LARGE, scaled
from pushover_logging.rendering.summary import noted

PAUSE = 5.0  # https://pushover.net/api#friendly: no sooner than 5 s after a failed try
_BACKOFF = (10.0, 300.0)  # first and longest
_PROBE = (600.0, 21_600.0)  # the same, for a refused token or user
_FAILURES_OF_ATTACHMENT = 2


class RetryPolicy:
    """Decides after each answer what is sent again, and when. Used by the sender alone."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._service = CircuitBreaker(clock, *_BACKOFF)
        self._quota = CircuitBreaker(clock, 0.0)
        self._token = CircuitBreaker(clock, *_PROBE)
        self._users: dict[str | None, CircuitBreaker] = {}  # None is the default user
        self._has_warned_of_quota = False
        self._failed_at = -PAUSE
        self.is_ending: bool = False  # set by any thread: one more try must fit before the exit

    def pause(self) -> float:
        """Return for how many seconds nothing at all may be sent."""
        service = self._service.until
        if self.is_ending:
            service = min(service, self._failed_at + PAUSE)
        until = max(service, self._quota.until, self._token.until)
        return max(0.0, until - self._clock.monotonic())

    def requested_pause(self) -> float:
        """Return the part of `pause` that the service asked for, which the next leader respects."""
        return max(self._quota.wait(), self._token.wait())

    def respect(self, seconds: float) -> None:
        """Send nothing for so long, because the service asked the leader before this one."""
        self._quota.open_for(seconds)

    def blocked_users(self) -> dict[str | None, float]:
        """Return the users that nothing can be sent to, with the seconds until they are tried.

        Empty while the default user takes the Messages of others: see `redirect`.
        """
        if None not in self._users:
            return {}
        blocked = {user: circuit.wait() for user, circuit in self._users.items() if circuit.wait()}
        return blocked if None in blocked else {}

    def redirect(self, queued: QueuedMessage) -> None:
        """Send a Message for a named user to the default one while its own is refused."""
        circuit = self._users.get(queued.message.user)
        if queued.message.user is not None and circuit is not None and circuit.is_open():
            _to_default_user(queued)

    def succeed(self, user: str | None) -> None:
        """Forget the faults that a success disproves."""
        self._service.succeed()
        self._token.succeed()
        self._has_warned_of_quota = False
        self._users.pop(user, None)

    def should_retry(self, error: DeliveryError, queued: QueuedMessage) -> bool:
        """Act on a failed send; return True if the Message, perhaps changed, is sent again."""
        if isinstance(error, RejectedError):
            return self._should_retry_rejected(error, queued)
        if isinstance(error, QuotaError):
            if not self._has_warned_of_quota:
                warn("%s; nothing is sent for %d s", error, error.wait)
            self._has_warned_of_quota = True
            self._quota.open_for(error.wait)
            return True
        assert isinstance(error, TemporaryError)  # noqa: S101  the only other kind
        if error.is_unforeseen and queued.may_have_arrived:
            warn("a message may have arrived twice and is not sent again: %s", error)
            return False
        if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and _has_attachment(queued):
            without_attachment(queued, "the attachment was refused")
            return True
        is_fault = (error.status or 0) >= HTTPStatus.INTERNAL_SERVER_ERROR
        queued.timeouts += error.timed_out or is_fault
        queued.may_have_arrived |= error.may_have_arrived
        if queued.timeouts >= _FAILURES_OF_ATTACHMENT and _has_attachment(queued):
            without_attachment(queued, "the attachment could not be sent")
        self.back_off()
        return True

    def back_off(self) -> None:
        """Pause, each time for longer, until a send succeeds."""
        self._failed_at = self._clock.monotonic()
        self._service.fail()
        self._service.open_for(PAUSE + self._clock.uniform(0, self._service.delay - PAUSE))

    def _should_retry_rejected(self, error: RejectedError, queued: QueuedMessage) -> bool:
        message = queued.message
        if "token" in error.parameters:
            if self._token.fail():
                warn("token refused: %s; messages wait; next try in %d s", error, _PROBE[0])
        elif "user" in error.parameters:
            self._block(error, message.user)
            if message.user is not None:
                _to_default_user(queued)
        elif _blames_attachment(error) and _has_attachment(queued):
            without_attachment(queued, "the attachment was refused")
        else:
            warn("a message was rejected and is not sent again: %s", error)
            return False
        return True

    def _block(self, error: RejectedError, user: str | None) -> None:
        circuit = self._users.setdefault(user, CircuitBreaker(self._clock, *_PROBE))
        if circuit.fail():
            which = "user" if user is None else "user of a level or a record"
            instead = "messages wait" if user is None else "the default user gets its messages"
            warn("%s refused: %s; %s; next try in %d s", which, error, instead, _PROBE[0])


def scale_attachment(queued: QueuedMessage) -> None:
    """Bring an image that is too large down to what the API takes, or leave it out and say so."""
    image = scaled(queued.oversized.data) if queued.oversized is not None else None
    if image is None:
        without_attachment(queued, TOO_LARGE)
    else:
        queued.oversized = None
        queued.message = replace(queued.message, attachment=image, attachment_type="image/jpeg")


def without_attachment(queued: QueuedMessage, why: str) -> None:
    """Leave a Message's image out; its text says why."""
    queued.drop_attachment()
    queued.message = noted(queued.message, why)


def _blames_attachment(error: RejectedError) -> bool:
    is_too_large = error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    return is_too_large or any(name.startswith("attachment") for name in error.parameters)


def _has_attachment(queued: QueuedMessage) -> bool:
    message = queued.message
    return message.attachment is not None or message.attachment_base64 is not None


def _to_default_user(queued: QueuedMessage) -> None:
    message = noted(queued.message, "its own user was refused; sent to the default user")
    queued.message = replace(message, user=None)
