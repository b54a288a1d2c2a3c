"""What the headers of an answer say of the quota, and of when to come again."""

from __future__ import annotations

import email.utils
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RESET_MAXIMUM = 32 * 86_400.0  # the quota is a month's
RETRY_AFTER_MAXIMUM = 3600.0
RETRY_AFTER_DEFAULT = 60.0
WAIT_MINIMUM = 5.0  # https://pushover.net/api#friendly
NUMBER_LIMIT = 10**11  # above every account's messages, and every Unix time that will be


@dataclass(frozen=True, slots=True)
class Quota:
    """The account's quota, as https://pushover.net/api#limits has it.

    ``limit`` is messages a month, ``remaining`` those that are left, ``reset`` the Unix time at
    which they are full again.
    """

    limit: int
    remaining: int
    reset: int


def quota_of(headers: Mapping[str, str]) -> Quota | None:
    """Return what an answer's headers say, None where that is nothing that can be read."""
    return checked_quota(
        *(headers.get(f"X-Limit-App-{name}") for name in ("Limit", "Remaining", "Reset"))
    )


def checked_quota(*numbers: Any) -> Quota | None:  # noqa: ANN401  what JSON or a header holds
    """Return the quota of an answer's ``numbers``, None where they are none, or without measure."""
    try:
        found = [int(one) for one in numbers]
    except (TypeError, ValueError, OverflowError):
        return None
    return Quota(*found) if all(abs(one) <= NUMBER_LIMIT for one in found) else None


def wait_of(headers: Mapping[str, str], now: float) -> float:
    """Return for how many seconds after a 429 nothing may be sent; ``now`` is Unix time."""
    quota = quota_of(headers)
    if quota is not None and quota.reset > now:
        return max(WAIT_MINIMUM, min(quota.reset - now, RESET_MAXIMUM))
    given = headers.get("Retry-After", "")
    try:
        seconds = float(given)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(given).timestamp() - now
        except (TypeError, ValueError, OverflowError):
            seconds = RETRY_AFTER_DEFAULT
    if not seconds > 0:  # also what is not a number
        seconds = RETRY_AFTER_DEFAULT
    return max(WAIT_MINIMUM, min(seconds, RETRY_AFTER_MAXIMUM))
