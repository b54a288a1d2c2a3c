"""The same promises wherever the throttle's state lives: memory, an outbox's file, Redis."""

import logging

import pytest
from conftest import FakeClock

from pushover_logging.throttle.local import LocalThrottle
from pushover_logging.throttle.machine import Rules
from pushover_logging.throttle.problem import OTHERS, Count, End, Origin, Verdict, View
from pushover_logging.throttle.table import REMAINDER
from pushover_logging.throttle.valves import SITE, Gate

W, E, C = logging.WARNING, logging.ERROR, logging.CRITICAL
HOUR = 3600
SHOP = Origin(f"{SITE}:shop", "shop.py:7")


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def local(clock):
    return LocalThrottle(Rules(), clock)


def count(key, number=1, **changes):
    given = {"total": number, "since": 5.0, "last": 6.0, "level": E, "following": 1.0}
    return Count(key=key, number=number, **{**given, **changes})


def first(throttle, key, level=E, origin=None):
    """Have a problem told by a push that is accepted."""
    assert Verdict.FIRST is throttle.admit(key, level, 1.0, origin).verdict
    throttle.ended(key, End.ACCEPTED)


def test_push_that_must_not_be_sent_any_more_is_told_by_a_digest(local, clock):
    """Also where its problem had to go meanwhile: then among the others."""
    assert Verdict.FIRST is local.admit("a", E, 5.0).verdict
    local.withdraw(count("a", title="A is down"))
    local.withdraw(count("gone", 2))
    assert [("a", 1, True), (REMAINDER, 2, False)] == [
        (one.key, one.number, one.newcomer) for one in local.untold()
    ]
    assert OTHERS == local.table.get(REMAINDER).title


def test_emergency_of_a_problem_that_had_to_go_is_one_of_five(local):
    """The hour's bound holds for what the table does not know."""
    assert [""] * 5 == [local.alarm(f"gone {number}", 60.0) for number in range(5)]
    assert "one of many emergencies within an hour" == local.alarm("gone 6", 60.0)


@pytest.mark.parametrize(("more", "left"), [(0, []), (3, [(REMAINDER, 3)])])
def test_end_that_the_quota_has_no_room_for_keeps_its_count(local, more, left):
    """It is told later, among the others."""
    first(local, "a")
    for _ in range(more):
        local.admit("a", E, 2.0)
    local.gate = Gate.LOW
    assert local.resolve("a", 3.0) is None
    assert left == [(one.key, one.number) for one in local.untold()]


def test_low_quota_tells_nothing_again(local, clock):
    """What comes after its window is counted."""
    first(local, "a")
    clock.now += HOUR
    local.gate = Gate.LOW
    assert Verdict.SUPPRESSED is local.admit("a", E, 2.0).verdict
    assert [1] == [one.number for one in local.untold()]


def test_count_that_comes_back_goes_where_its_problem_went(local, clock):
    """Problems of one call site became one, with what each had counted."""
    first(local, "0", origin=SHOP)
    local.admit("0", E, 2.0, SHOP)
    (told,) = local.untold()
    local.admit("0", E, 3.0, SHOP)
    for number in range(1, 5):
        first(local, str(number), origin=SHOP)
    assert SHOP.group == local.admit("5", E, 4.0, SHOP).key
    local.restore(told)
    (whole,) = local.untold()
    assert (SHOP.group, 3, 2.0) == (whole.key, whole.number, whole.since)


def test_critical_among_what_is_known_is_told_within_the_hour(clock):
    """Also where it takes the short way, or is what somebody else counted; none waits longer."""
    throttle = LocalThrottle(Rules(windows=(86_400.0,)), clock)
    for key, level in (("a", E), ("b", C)):
        first(throttle, key, level)
        throttle.admit(key, E, 2.0)
    throttle.restore(count("a", level=C))
    assert throttle.count_duplicate("b", C, 3.0)
    assert HOUR == throttle.next_due()
    clock.now += HOUR / 2
    throttle.restore(count("a", level=C))
    clock.now += HOUR / 2
    assert [("a", 3, C), ("b", 2, C)] == [
        (one.key, one.number, one.level) for one in throttle.due()
    ]


def test_storm_of_criticals_has_a_bound_of_its_own(local, clock):
    """Five at once, the others in a digest a minute later."""
    verdicts = [local.admit(str(number), C, 1.0).verdict for number in range(7)]
    assert [Verdict.FIRST] * 5 + [Verdict.DIGESTED] * 2 == verdicts
    clock.now += 60
    assert ["5", "6"] == [one.key for one in local.due()]


def test_storm_holds_back_what_gets_worse_and_what_comes_again(local, clock):
    """Both are named in the digest, and the windows go on as if they had been told."""
    first(local, "again")
    clock.now += 300
    first(local, "worse", W)
    for number in range(10):
        local.admit(str(number), E, 1.0)
    assert Verdict.DIGESTED is local.admit("worse", E, 1.0).verdict
    assert Verdict.DIGESTED is local.admit("again", E, 1.0).verdict
    assert (1, 0) == (local.table.get("worse").escalations, local.table.get("worse").step)
    assert 1 == local.table.get("again").step


def test_what_a_process_has_counted_before_an_end_is_in_its_next_report(local):
    """Who decides for all hears of it; the problem itself is gone here."""
    first(local, "a")
    local.admit("a", E, 2.0)
    assert (Verdict.RESOLVED, None, "a") == local.part("a", 3.0, "1@web-1")
    assert [("a", 1, ("1@web-1",))] == [
        (one.count.key, one.count.number, one.count.sources) for one in local.reports("1@web-1")
    ]
    assert [] == local.reports("1@web-1")


def test_end_that_another_process_heard_of_ends_it_here(local):
    """The next record is a first; what was counted meanwhile stays."""
    for key in "ab":
        first(local, key)
    local.admit("b", E, 2.0)
    local.see({key: View(E, 0.0, resolved=True) for key in "ab"})
    assert Verdict.FIRST is local.admit("a", E, 3.0).verdict
    assert ["b"] == [one.key for one in local.untold()]
