"""The quota and the retry delay that the headers of an API answer contain."""

from __future__ import annotations

import email.utils
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Seconds. The quota is a month's: https://pushover.net/api#limits
MAX_RESET = 32 * 86_400.0
MAX_RETRY_AFTER = 3600.0
DEFAULT_RETRY_AFTER = 60.0
MIN_RETRY_AFTER = 5.0  # https://pushover.net/api#friendly
_HEADERS = ("X-Limit-App-Limit", "X-Limit-App-Remaining", "X-Limit-App-Reset")
MAX_NUMBER = 10**11  # above any number of messages, and any Unix time


@dataclass(frozen=True, slots=True)
class Quota:
    """The account's quota: https://pushover.net/api#limits.

    ``limit`` is the number of messages a month, ``remaining`` how many are left, ``reset`` the Unix
    time at which ``remaining`` is set to ``limit`` again.
    """

    limit: int
    remaining: int
    reset: int


def quota_of(headers: Mapping[str, str]) -> Quota | None:
    """Return the quota in an answer's headers, None if it is missing or invalid."""
    return checked_quota(*map(headers.get, _HEADERS))


def checked_quota(*numbers: Any) -> Quota | None:  # noqa: ANN401  what JSON or a header holds
    """Return the quota with these numbers, None if one is missing, invalid or absurdly large."""
    try:
        values = [int(number) for number in numbers]
    except (TypeError, ValueError, OverflowError):
        return None
    return Quota(*values) if all(abs(value) <= MAX_NUMBER for value in values) else None


def retry_delay(headers: Mapping[str, str], now: float) -> float:
    """Return for how many seconds nothing may be sent after a 429; ``now`` is Unix time."""
    quota = quota_of(headers)
    if quota is not None and quota.reset > now:
        return max(MIN_RETRY_AFTER, min(quota.reset - now, MAX_RESET))
    value = headers.get("Retry-After", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - now
        except (TypeError, ValueError, OverflowError):
            seconds = DEFAULT_RETRY_AFTER
    if not seconds > 0:  # NaN too
        seconds = DEFAULT_RETRY_AFTER
    return max(MIN_RETRY_AFTER, min(seconds, MAX_RETRY_AFTER))
