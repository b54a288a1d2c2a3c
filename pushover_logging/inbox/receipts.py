"""Emergencies: how often each was shown, until when, and who acknowledged it. Pure: time is given.

https://pushover.net/api/receipts
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

# https://pushover.net/api#priority: however long it may last.
MAX_REPEATS = 50
# https://pushover.net/api/receipts: a receipt is known for a week.
KNOWN_SECONDS = 7 * 86_400


@dataclass(frozen=True, slots=True)
class Receipt:
    """One emergency; times are Unix times, None for what has not happened.

    ``retry`` and ``expire`` are the message's own, in seconds, ``tags`` its tags, one by one.
    """

    receipt: str
    token: str
    sent: float
    retry: int
    expire: int
    tags: tuple[str, ...] = ()
    callback: str = ""
    acknowledged_at: float | None = None
    acknowledged_by: str = ""
    acknowledged_by_device: str = ""
    cancelled_at: float | None = None
    called_back_at: float | None = None

    @property
    def expires_at(self) -> float:
        """When it gives up: after ``expire``, or when it was cancelled."""
        end = self.sent + self.expire
        return end if self.cancelled_at is None else min(end, self.cancelled_at)

    def is_known(self, now: float) -> bool:
        """Return whether the service still tells of it."""
        return now < self.sent + KNOWN_SECONDS

    def is_active(self, now: float) -> bool:
        """Return whether it goes on repeating."""
        return self.acknowledged_at is None and now < self.expires_at

    def shown(self, now: float) -> int:
        """Return how often it was put on the phone's screen."""
        end = self.expires_at if self.acknowledged_at is None else self.acknowledged_at
        repeats = int(max(0.0, min(now, end) - self.sent) // self.retry)
        # The repeat that falls on the very end does not come any more.
        if repeats and now >= end and self.sent + repeats * self.retry >= end:
            repeats -= 1
        return 1 + min(repeats, MAX_REPEATS)

    def state(self, now: float) -> dict[str, object]:
        """Return what ``GET /1/receipts/RECEIPT.json`` tells, in the documentation's order."""
        last = self.sent + (self.shown(now) - 1) * self.retry
        expired = self.acknowledged_at is None and now >= self.expires_at
        return {
            "acknowledged": int(self.acknowledged_at is not None),
            "acknowledged_at": _whole(self.acknowledged_at),
            "acknowledged_by": self.acknowledged_by,
            "acknowledged_by_device": self.acknowledged_by_device,
            "last_delivered_at": _whole(last),
            "expired": int(expired),
            "expires_at": _whole(self.expires_at),
            "called_back": int(self.called_back_at is not None),
            "called_back_at": _whole(self.called_back_at),
        }

    def acknowledged(self, now: float, by: str, device: str) -> Receipt:
        """Return the receipt as acknowledged; itself where it no longer repeats."""
        if not self.is_active(now):
            return self
        return dataclasses.replace(
            self, acknowledged_at=now, acknowledged_by=by, acknowledged_by_device=device
        )

    def cancelled(self, now: float) -> Receipt:
        """Return the receipt as cancelled; itself where it no longer repeats."""
        return dataclasses.replace(self, cancelled_at=now) if self.is_active(now) else self


def _whole(moment: float | None) -> int:
    return 0 if moment is None else int(moment)
