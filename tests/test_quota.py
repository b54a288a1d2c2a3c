"""The quota and the retry delay are read from an answer's headers."""

from email.utils import formatdate

import pytest

from pushover_logging.api.quota import Quota, quota_of
from pushover_logging.api.transport import HttpResponse

NOW = 1_750_000_000.0
DAY = 86_400


def limits(reset, **more):
    """Return the headers of an account with its limit, what is left, and its reset."""
    given = {"Limit": 10_000, "Remaining": 7, "Reset": int(NOW) + reset, **more}
    return {f"X-Limit-App-{name}": str(value) for name, value in given.items()}


def test_quota_is_read():
    """All three numbers, each by its own header."""
    assert Quota(10_000, 7, int(NOW) + 60) == quota_of(limits(60))


@pytest.mark.parametrize("name", ["Limit", "Remaining", "Reset"])
def test_quota_that_cannot_be_read_is_none(name):
    """A header that is missing, or is no number of any quota, leaves nothing to rely on."""
    missing = limits(60)
    del missing[f"X-Limit-App-{name}"]
    others = [limits(60, **{name: given}) for given in ("many", "1" + "0" * 400, "-" + "9" * 18)]
    assert [None] * 4 == [quota_of(one) for one in (missing, *others)]


@pytest.mark.parametrize(("headers", "seconds"), [
    ({}, 60), (limits(0), 60), (limits(-1), 60), (limits(1), 5), (limits(5), 5), (limits(6), 6),
    (limits(32 * DAY), 32 * DAY), (limits(33 * DAY), 32 * DAY),
    (limits(90) | {"Retry-After": "7"}, 90), (limits(0) | {"Retry-After": "7"}, 7),
    ({"Retry-After": "0"}, 60), ({"Retry-After": "0.5"}, 5), ({"Retry-After": "5.5"}, 5.5),
    ({"Retry-After": "3600"}, 3600), ({"Retry-After": "3601"}, 3600),
    ({"Retry-After": formatdate(NOW + 90)}, 90), ({"Retry-After": formatdate(NOW)}, 60),
    ({"Retry-After": formatdate(NOW + DAY, usegmt=True)}, 3600),
])  # fmt: skip
def test_time_to_wait_after_a_429(headers, seconds):
    """Until the reset, else by Retry-After, else a minute; from 5 s to a limit."""
    assert seconds == HttpResponse(429, headers, b"").retry_delay(NOW)
