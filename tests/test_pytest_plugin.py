"""The fixture for users' own tests, as a user's test suite sees it."""

from __future__ import annotations

import pytest

CONFTEST = 'pytest_plugins = ["pushover_logging.pytest_plugin"]\n'
SUITE = """
import logging
import pytest
from pushover_logging import PushoverHandler

@pytest.fixture
def log(pushover_inbox, monkeypatch):
    for name, value in pushover_inbox.environ.items():
        monkeypatch.setenv(name, value)
    handler = PushoverHandler()
    log = logging.Logger("shop")
    log.addHandler(handler)
    yield log
    handler.close()

@pytest.mark.parametrize("number", range(4))
def test_each_starts_anew(pushover_inbox, log, number):
    assert [] == pushover_inbox.messages
    pushover_inbox.refused.add("u" * 30)
    pushover_inbox.set_quota(remaining=5)
    log.error("no %s", "way")
    (message,) = pushover_inbox.wait_for(1, timeout=10)
    assert "no way" == message["title"]

def test_service_is_down(pushover_inbox):
    pushover_inbox.close()

def test_failure_is_played(pushover_inbox, log):
    pushover_inbox.fail_with(500)
    log.error("gone")
    with pushover_inbox._store.changed:
        assert pushover_inbox._store.changed.wait_for(lambda: pushover_inbox.attempts, 10)
    assert [500] == [attempt.status for attempt in pushover_inbox.attempts]
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(SUITE)
    return pytester


@pytest.mark.process
@pytest.mark.parametrize("arguments", [(), ("-n", "2")])
def test_fixture_serves_a_users_suite(suite: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    """Each test has an inbox as new that serves, in one process and over pytest-xdist's workers."""
    if arguments:
        pytest.importorskip("xdist", reason="pytest-xdist comes with the extra test")
    result = suite.runpytest_subprocess("-q", *arguments, timeout=120)
    result.assert_outcomes(passed=6)


@pytest.mark.process
def test_failure_reports_what_arrived_instead(pytester: pytest.Pytester) -> None:
    """The text of a failed wait names the titles that came and the answers that were given."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        """
        import requests

        def test_waits(pushover_inbox):
            keys = pushover_inbox.environ
            body = {"token": keys["PUSHOVER_TOKEN"], "user": keys["PUSHOVER_USER"]}
            for fields in ({"message": "m", "title": "one"}, {"message": ""}):
                requests.post(pushover_inbox.url + "/1/messages.json", data={**body, **fields})
            pushover_inbox.wait_for(2, timeout=0.01)
        """
    )
    result = pytester.runpytest_subprocess("-q", timeout=120)
    result.assert_outcomes(failed=1)
    text = "1 of 2 messages arrived within 0.01 s: ['one']; requests were answered with [200, 400]"
    assert text in result.stdout.str()


@pytest.mark.process
def test_fixture_costs_nothing_where_it_is_not_asked_for(pytester: pytest.Pytester) -> None:
    """Without the line in conftest there is no such fixture; with it, no server before its use."""
    pytester.makepyfile("def test_it(pushover_inbox): pass")
    result = pytester.runpytest_subprocess("-q", timeout=120)
    result.stdout.fnmatch_lines(["*fixture 'pushover_inbox' not found*"])
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        """
        import threading

        def test_it():
            assert "pushover-inbox" not in {one.name for one in threading.enumerate()}
        """
    )
    pytester.runpytest_subprocess("-q", timeout=120).assert_outcomes(passed=1)
