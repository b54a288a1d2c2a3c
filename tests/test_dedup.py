"""The tallies of one pipeline, where two threads meet in a way that a test cannot arrange."""

import logging
import threading

import pytest

from pushover_logging.clock import Clock
from pushover_logging.delivery.counters import Counters
from pushover_logging.delivery.dedup import Admission, Dedup
from pushover_logging.throttle.rules import PushInfo
from pushover_logging.throttle.throttle import View

ERROR, WARNING = logging.ERROR, logging.WARNING


@pytest.fixture
def dedup():
    return Dedup(threading.RLock(), Counters(), Clock(), "1")


def announced(dedup, key="disk", level=ERROR):
    """Let a problem be pushed and its window be open."""
    assert Admission.ADMITTED == dedup.admit(key, level, 1.0)
    dedup.submitted()
    dedup.candidate_decided(key, level, View(level, 60.0))


def test_count_that_nobody_took_is_there_with_what_was_counted_since(dedup):
    """Each is forgotten when a throttle has taken it."""
    announced(dedup)
    dedup.admit("disk", WARNING, 2.0)
    (first,) = dedup.counts()
    dedup.admit("disk", WARNING, 3.0)
    dedup.admit("disk", ERROR, 4.0)
    again, second = dedup.counts()
    assert first is again
    found = second.occurrences
    assert (2, 3.0, 4.0, ERROR) == (found.count, found.since, found.last, found.level)
    dedup.handed_over([first], {})
    assert [second] == dedup.counts()


def test_count_that_nobody_took_outlives_its_tally(dedup):
    """The problem is over for this process, its count is not."""
    announced(dedup)
    dedup.admit("disk", ERROR, 2.0)
    dedup.resolve("disk")
    dedup.submitted()
    counts = dedup.counts()
    assert [1] == [counted.occurrences.count for counted in counts]
    assert dedup.has_counts()
    dedup.handed_over(counts, {})
    assert not dedup.has_counts()


def test_problem_that_ends_while_its_record_is_formatted(dedup):
    """Another thread resolves it: nothing of it is remembered, and its next record is news."""
    record = logging.makeLogRecord({"msg": "disk", "levelno": ERROR, "pathname": "a", "lineno": 1})
    assert Admission.ADMITTED == dedup.admit("disk", ERROR, 1.0)
    dedup.resolve("disk")
    dedup.remember(record, "disk")
    assert None is dedup.describe("disk", PushInfo(), None)
    assert not dedup.count([record])
    assert Admission.ADMITTED == dedup.admit("disk", ERROR, 2.0)
