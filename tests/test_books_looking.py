"""What becomes of a Message just before it is sent, and the short way of a storm's records."""

import logging
import threading

from conftest import FakeClock

from pushover_logging.books.duplicates import CALLS, Duplicates
from pushover_logging.books.stats import Books
from pushover_logging.rendering.summary import summary
from pushover_logging.throttle.local import LocalThrottle
from pushover_logging.throttle.machine import Rules
from pushover_logging.throttle.problem import Count, End, Verdict
from pushover_logging.throttle.table import Answer

E = logging.ERROR


def test_message_that_waits_behind_the_last_of_the_quota_is_withdrawn(drive):
    """Both were let through before the answer said how little is left."""
    one = drive()
    one.inbox.set_quota(limit=100, remaining=5, reset=one.clock.time() + 3600)
    one.log.error("A is down")
    one.log.error("B is down")
    one.settle()
    assert (["A is down"], 1) == (one.titles, one.handler.stats().suppressed)
    one.advance(3700)
    assert ["A is down", "B is down"] == one.titles


def test_emergency_with_a_name_carries_the_tag_that_ends_it(drive):
    """Its own tags stay."""
    one = drive()
    for name in ("hall", "barn"):
        given = {"priority": "emergency", "fingerprint": name, "tags": "fire"}
        one.log.critical("Fire", extra={"pushover": given})
    one.settle()
    tags = [push["tags"] for push in one.inbox.messages]
    assert 2 == len(set(tags))
    assert all(tag.startswith("fire,problem-") for tag in tags)


def known(number):
    return logging.LogRecord("shop", E, "views.py", 1, f"A is down {number}", (), None)


def duplicates():
    guard, throttle = threading.RLock(), LocalThrottle(Rules(), FakeClock())
    throttle.admit("a", E, 1.0)
    throttle.ended("a", End.ACCEPTED)
    throttle.admit("a", E, 1.0)
    return guard, Duplicates(guard, throttle, Books())


def test_record_that_interrupts_the_books_is_not_counted_by_the_short_way():
    """A signal handler's record comes in the middle of a change."""
    guard, one = duplicates()
    one.remember(known(0), "a", Answer(Verdict.FIRST, None, "a"))
    with guard:
        assert not one.count(known(0))
    assert one.count(known(0))


def test_calls_that_are_remembered_are_bounded():
    """A program with more call sites than that forgets, and looks closer again."""
    _, one = duplicates()
    for number in range(CALLS + 1):
        one.remember(known(number), "a", Answer(Verdict.FIRST, None, "a"))
    assert [False, True] == [one.count(known(number)) for number in (0, CALLS)]


def test_summary_names_the_places_that_fit():
    """The others are a number."""
    places = tuple(f"a_view_with_a_long_name_{number:02}:{number:02}" for number in range(20))
    one = Count("k", 20, 20, 0.0, 0.0, E, 900.0, title="No database", places=places)
    text = summary([one], None).message
    named = [place for place in places if place in text]
    assert list(places[: len(named)]) == named
    assert f"{named[-1]} and {20 - len(named)} more places." in text
