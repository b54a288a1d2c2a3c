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
    dedup.settle(key, level, View(level, 60.0))


def test_count_that_nobody_took_is_added_to_what_was_counted_since(dedup):
    """The worst of both, and the time from the first to the last."""
    announced(dedup)
    dedup.admit("disk", WARNING, 2.0)
    drained = dedup.drain()
    dedup.admit("disk", WARNING, 3.0)
    dedup.admit("disk", ERROR, 4.0)
    dedup.put_back(drained)
    (counted,) = dedup.drain()
    found = counted.occurrences
    assert (3, 2.0, 4.0, ERROR) == (found.count, found.since, found.last, found.level)


def test_count_that_nobody_took_outlives_its_tally(dedup):
    """The problem is over for this process, its count is not."""
    announced(dedup)
    dedup.admit("disk", ERROR, 2.0)
    drained = dedup.drain()
    dedup.resolve("disk")
    dedup.submitted()
    dedup.put_back(drained)
    assert dedup.has_counts()
    assert drained == dedup.drain()
    assert not dedup.has_counts()


def test_problem_that_ends_while_its_record_is_formatted(dedup):
    """Another thread resolves it: nothing of it is remembered, and its next record is news."""
    record = logging.makeLogRecord({"msg": "disk", "levelno": ERROR, "pathname": "a", "lineno": 1})
    assert Admission.ADMITTED == dedup.admit("disk", ERROR, 1.0)
    dedup.resolve("disk")
    dedup.remember(record, "disk")
    assert None is dedup.describe("disk", PushInfo(), None)
    assert not dedup.count(record)
    assert Admission.ADMITTED == dedup.admit("disk", ERROR, 2.0)
