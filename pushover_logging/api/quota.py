"""The quota that the headers of an API answer contain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
