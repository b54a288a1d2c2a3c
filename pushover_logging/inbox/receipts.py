"""EmergencyReceipt: repeats, expiry and acknowledgement of one emergency; pure, time is given.

https://pushover.net/api/receipts
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

# https://pushover.net/api#priority: regardless of ``expire``.
MAX_REPEATS = 50
# https://pushover.net/api/receipts: a receipt can be queried for a week.
KNOWN_SECONDS = 7 * 86_400


@dataclass(frozen=True, slots=True)
class EmergencyReceipt:
    """One emergency; times are Unix times, None for what has not happened.

    ``retry`` and ``expire`` are the message's, in seconds; ``tags`` are its single tags.
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
        """When the repeats end: after ``expire``, or when it was cancelled."""
        end = self.sent + self.expire
        return end if self.cancelled_at is None else min(end, self.cancelled_at)

    def is_known(self, now: float) -> bool:
        """Return True if the receipt can still be queried."""
        return now < self.sent + KNOWN_SECONDS

    def is_active(self, now: float) -> bool:
        """Return True if the emergency still repeats."""
        return self.acknowledged_at is None and now < self.expires_at

    def times_shown(self, now: float) -> int:
        """Return how often the phone has shown it."""
        end = self.expires_at if self.acknowledged_at is None else self.acknowledged_at
        repeats = int(max(0.0, min(now, end) - self.sent) // self.retry)
        # There is no repeat at the exact end.
        if repeats and now >= end and self.sent + repeats * self.retry >= end:
            repeats -= 1
        return 1 + min(repeats, MAX_REPEATS)

    def state(self, now: float) -> dict[str, object]:
        """Return the body of ``GET /1/receipts/RECEIPT.json``, in the documentation's order."""
        last = self.sent + (self.times_shown(now) - 1) * self.retry
        expired = self.acknowledged_at is None and now >= self.expires_at
        return {
            "acknowledged": int(self.acknowledged_at is not None),
            "acknowledged_at": int(self.acknowledged_at or 0),
            "acknowledged_by": self.acknowledged_by,
            "acknowledged_by_device": self.acknowledged_by_device,
            "last_delivered_at": int(last),
            "expired": int(expired),
            "expires_at": int(self.expires_at),
            "called_back": int(self.called_back_at is not None),
            "called_back_at": int(self.called_back_at or 0),
        }

    def acknowledged(self, now: float, by: str, device: str) -> EmergencyReceipt:
        """Return the acknowledged receipt; itself if it no longer repeats."""
        if not self.is_active(now):
            return self
        return dataclasses.replace(
            self, acknowledged_at=now, acknowledged_by=by, acknowledged_by_device=device
        )

    def cancelled(self, now: float) -> EmergencyReceipt:
        """Return the cancelled receipt; itself if it no longer repeats."""
        return dataclasses.replace(self, cancelled_at=now) if self.is_active(now) else self
