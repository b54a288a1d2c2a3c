"""The sender's part of an emergency's end: its receipt is asked for, and it escalates."""

from __future__ import annotations

from dataclasses import replace

from pushover_logging.api.client import PushoverClient, Receipt
from pushover_logging.delivery import lifecycle
from pushover_logging.diagnostics import inform
from pushover_logging.exceptions import RejectedError, TemporaryError
from pushover_logging.message import Message
from pushover_logging.outbox.queue import QueuedMessage, from_json, to_json
from pushover_logging.rendering.summary import unacknowledged
from pushover_logging.rendering.text import clean, truncate
from pushover_logging.throttle.receipts import Emergency, FollowUp
from pushover_logging.throttle.throttle import Throttle

_UNKNOWN_AFTER = 60.0  # seconds past its end, an unknown receipt counts as expired
_GIVEN_UP_AFTER = 86_400.0  # the same if the service does not answer


def ask(client: PushoverClient, throttle: Throttle, due: FollowUp) -> None:
    """Ask for a receipt, and note the answer; without one it is asked for again later.

    Raises QuotaError if the service wants no requests, and Unreachable.
    """
    state: Receipt | None = None
    is_over = due.overdue >= _GIVEN_UP_AFTER  # by this program's clock, without an answer
    try:
        with lifecycle.request_slot():
            state = client.receipt(due.receipt)
    except RejectedError:
        is_over = due.overdue >= _UNKNOWN_AFTER
    except TemporaryError:
        pass
    if state is None:
        if is_over:
            throttle.expired(due.key, due.receipt)
    elif state.acknowledged:
        device = truncate(" ".join(clean(state.acknowledged_by_device or "").split()), 25)
        title = throttle.acknowledged(due.key, due.receipt, device, state.acknowledged_at)
        if title is not None:
            inform("acknowledged on %s: %s", device or "a device", title)
    elif state.expired:
        throttle.expired(due.key, due.receipt, state.expires_at or 0)
    elif state.expires_at and state.expires_at != due.expires_at:
        throttle.will_expire(due.key, due.receipt, state.expires_at)


def emergency(message: Message, receipt: str) -> Emergency:
    """Return what to keep of an emergency that was accepted."""
    if message.escalate_to is None:
        return Emergency(receipt)
    message = unacknowledged(message)
    message = replace(
        message, user=message.escalate_to, escalate_to=None, device=None,
        attachment=None, attachment_base64=None, attachment_type=None,
    )  # fmt: skip
    return Emergency(receipt, to_json(QueuedMessage("", message, 0.0)))


def queued_escalation(due: FollowUp, push_id: str, now: float) -> QueuedMessage | None:
    """Return an escalation as it is sent; None for what others have damaged."""
    try:
        return from_json(push_id, due.escalation, None, now)
    except ValueError:
        return None
