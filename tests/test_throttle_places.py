"""The same promises wherever the throttle's state lives: memory, an outbox's file, Redis."""

import itertools
import logging
import math

import pytest
from conftest import FakeClock

from pushover_logging.throttle.store import MEMORY_CAPACITY as CAPACITY, LocalThrottle
from pushover_logging.throttle.machine import Rules
from pushover_logging.throttle.problem import (
    OTHERS,
    UNHEARD,
    Count,
    End,
    Origin,
    Problem,
    Verdict,
    View,
)
from pushover_logging.throttle.table import REMAINDER, About
from pushover_logging.throttle.valves import ROOT, SITE, Gate, Group

W, E, C = logging.WARNING, logging.ERROR, logging.CRITICAL
HOUR = 3600
SHOP = Origin(f"{SITE}:shop", "shop.py:7")
DATABASE = Origin(f"{ROOT}:database", "In pay")


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
    """Also where its problem was forgotten meanwhile."""
    assert Verdict.FIRST is local.admit("a", C, 5.0).verdict
    local.withdraw(count("a", level=C, title="A is down"))
    local.withdraw(count("gone", 2))
    first(local, "told", C)
    local.withdraw(count("told", level=C))
    assert [("a", 1, True, False), ("gone", 2, True, False), ("told", 1, True, False)] == [
        (one.key, one.number, one.newcomer, one.refused) for one in local.due()
    ]
    assert [] == local.untold()


def test_emergency_of_a_problem_that_had_to_go_is_one_of_five(local, clock):
    """The hour's bound holds for what the table does not know."""
    assert [""] * 5 == [local.alarm(f"gone {number}", 60.0) for number in range(5)]
    clock.now += HOUR - 1
    assert "one of many emergencies within an hour" == local.alarm("gone 6", 60.0)
    clock.now += 1
    assert "" == local.alarm("gone 7", 60.0)


def test_emergency_of_a_problem_holds_off_its_next_until_it_expires(local, clock):
    """For as long as the longest may last; an end says whether one still repeats."""
    first(local, "a", C)
    for left in (10_800, 1):
        assert "" == local.alarm("a", 10_800.0)
        clock.now += 10_800 - left
        assert "an emergency of it repeats already" == local.alarm("a", 60.0)
        clock.now += left
    first(local, "b", C)
    assert ["", ""] == [local.alarm("a", 60.0), local.alarm("b", 61.0)]
    clock.now += 60
    assert [("a", False), ("b", True)] == [
        (one.key, one.alarm) for one in (local.resolve("a", 9.0), local.resolve("b", 9.0))
    ]


TOLD = [Verdict.FIRST, Verdict.AGAIN, Verdict.ESCALATED]


@pytest.mark.parametrize(("gate", "level", "verdicts"), [
    (Gate.OPEN, E, TOLD), (Gate.OPEN, C, TOLD),
    (Gate.LOW, E, [Verdict.FIRST, Verdict.SUPPRESSED, Verdict.ESCALATED]),
    (Gate.LOW, C, [Verdict.FIRST, Verdict.SUPPRESSED, Verdict.ESCALATED]),
    (Gate.SCARCE, E, [Verdict.DIGESTED, Verdict.SUPPRESSED, Verdict.DIGESTED]),
    (Gate.SCARCE, C, TOLD),
])  # fmt: skip
def test_what_the_quota_has_room_for(local, clock, gate, level, verdicts):
    """New problems and worse ones at first, at last only what is CRITICAL."""
    first(local, "again", level)
    clock.now += HOUR
    first(local, "worse", W)
    local.gate = gate
    assert verdicts == [local.admit(key, level, 9.0).verdict for key in ("new", "again", "worse")]


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


def test_low_quota_tells_what_nobody_was_told_of(local, clock):
    """A digest of newcomers goes out; what is known already waits for the quota's reset."""
    first(local, "known")
    local.admit("known", E, 2.0)
    for number in range(10):
        local.admit(str(number), E, 3.0)
    local.gate = Gate.LOW
    clock.now += HOUR
    assert ["9"] == [one.key for one in local.due()]
    local.gate = Gate.OPEN
    assert ["known"] == [one.key for one in local.due()]


def test_count_is_told_as_its_problem_was(local):
    """Under the same title, to the same user and device, as urgent."""
    how = About("A is down", "u" * 30, "phone", 1)
    local.admit("a", E, 1.0, None, how)
    local.admit("a", E, 2.0, None, About("A is still down"))
    (one,) = local.untold()
    assert how == (one.title, one.user, one.device, one.priority)


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


def test_what_became_one_is_what_its_parts_were(local):
    """Its numbers are theirs, its title the first one, its level the highest; a digest tells it."""
    first(local, "0", C, DATABASE)
    local.describe("0", About("no database"))
    local.admit("0", C, 2.0, DATABASE)
    local.gate = Gate.SCARCE
    assert Verdict.DIGESTED is local.admit("1", E, 3.0, DATABASE, About("no pay")).verdict
    local.gate = Gate.OPEN
    first(local, "2", origin=DATABASE)
    assert DATABASE.group == local.admit("3", E, 4.0, DATABASE).key
    (whole,) = local.untold()
    assert ("no database", C, True) == (whole.title, whole.level, whole.newcomer)
    assert (3, 5, 2.0, 4.0) == (whole.number, whole.total, whole.since, whole.last)
    places = tuple(f"In view_{number}" for number in range(30))
    for place in places:
        assert DATABASE.group == local.admit("4", E, 5.0, Origin(DATABASE.group, place)).key
    assert [places[:20]] == [one.places for one in local.untold()]


def test_what_became_one_waits_for_a_push_of_one_of_its_parts(local, clock):
    """As any problem does for its first; then its window begins."""
    for number in range(6):
        local.admit(str(number), E, 1.0, SHOP)
    clock.now += HOUR
    assert (math.inf, []) == (local.next_due(), local.due())
    local.ended("3", End.ACCEPTED, SHOP.group)
    assert 300 == local.next_due()
    clock.now += 300
    assert [(SHOP.group, 1)] == [(one.key, one.number) for one in local.due()]


def test_end_of_a_window_is_known_before_anything_is_counted(local, clock):
    """A duplicate that takes the short way wakes nobody; what is over or at an end wakes none."""
    first(local, "a")
    first(local, "b")
    local.resolve("b", 1.0)
    assert 300 == local.next_due()
    clock.now += 299
    local.admit("a", E, 2.0)
    assert 1 == local.next_due()
    clock.now += 60
    assert 0 == local.next_due()
    assert [1] == [one.number for one in local.due()]
    local.resolve("a", 3.0)
    assert math.inf == local.next_due()


def test_count_that_comes_back_goes_to_its_own_problem_first(local):
    """Then to what that became one with; a problem that was forgotten is known again."""
    first(local, "a")
    for number in range(6):
        local.admit(str(number), E, 1.0, SHOP)
        local.ended(str(number), End.ACCEPTED, SHOP.group)
    told = local.untold()
    assert [SHOP.group] == [one.key for one in told]
    for key in ("a", "0", "gone", "far"):
        local.restore(count(key, 2, group="" if key in {"gone", "far"} else SHOP.group))
    back = {one.key: (one.number, one.total) for one in local.untold()}
    assert {"a": (2, 1), SHOP.group: (2, 6), "gone": (2, 2), "far": (2, 2)} == back


def test_end_that_was_overtaken_gives_its_count_back(local):
    """Once the problem is there again; an end that had nothing to tell gives nothing."""
    for key in ("a", "b"):
        first(local, key)
    local.admit("a", E, 1.0)
    ends = [local.resolve(key, 2.0) for key in ("a", "b")]
    assert [1, 0] == [end.number for end in ends]
    assert not local.overtaken("a", ends[:1])
    for key, end in zip(("a", "b"), ends, strict=True):
        first(local, key)
        assert local.overtaken(key, [end])
    assert [("a", 1)] == [(one.key, one.number) for one in local.untold()]


def test_count_of_a_problem_that_is_over_is_told_among_others(local):
    """It ended: what comes back of it does not begin it anew; the others' counts add up."""
    for key in ("a", "b"):
        first(local, key)
        local.resolve(key, 2.0)
    local.restore(count("a", 2))
    local.restore(count("b", 3))
    assert [(REMAINDER, 5, 5)] == [(one.key, one.number, one.total) for one in local.untold()]
    assert OTHERS == local.table.get(REMAINDER).title


def test_problem_that_is_known_again_is_told_as_it_was(local):
    """To whom it was, with its title, and only once more when its window ends."""
    back = count("a", 2)._replace(total=9, title="T", user="u", device="d", priority=1, began=3.0)
    local.restore(back)
    assert Verdict.SUPPRESSED is local.admit("a", E, 5.0).verdict
    (one,) = local.untold()
    assert (3, 10, "T", "u", "d", 1, 3.0) == (
        one.number, one.total, one.title, one.user, one.device, one.priority, one.began
    )  # fmt: skip


def test_count_that_comes_back_says_what_it_said(local):
    """That a push was refused; its places and processes as far as a summary can name them."""
    first(local, "a")
    names = tuple(map(str, range(1000)))
    local.restore(count("a", refused=True, places=names, sources=names))
    local.restore(count("a"))
    (one,) = local.untold()
    assert (True, names[:20], names[:100]) == (one.refused, one.places, one.sources)


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
    """Five at once, the others in a digest a minute later, which names them once."""
    verdicts = [local.admit(str(number), C, 1.0).verdict for number in range(7)]
    assert [Verdict.FIRST] * 5 + [Verdict.DIGESTED] * 2 == verdicts
    for wait, number, named in ((60, 1, False), (300, 2, True)):
        clock.now += wait
        assert [("5", number, named, False), ("6", 1, named, False)] == [
            (one.key, one.number, one.named, one.refused) for one in local.due()
        ]
        for key in "556":
            local.admit(key, C, 1.0)


def test_digests_of_a_storm_come_ever_more_rarely(local, clock):
    """After 1, 5, 15 and 60 minutes, then each hour, until nothing is over any more."""
    began, digests, numbers = clock.now, [], itertools.count()
    while len(digests) < 6:
        for number in itertools.islice(numbers, 20):
            local.admit(str(number), E, 1.0)
        clock.now += local.next_due()
        if any(one.newcomer for one in local.due()):
            digests.append(clock.now - began)
    assert [60, 360, 1260, 4860, 8460, 12_060] == digests
    clock.now += HOUR
    local.due()
    assert Verdict.FIRST is local.admit("calm", E, 1.0).verdict


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


def test_what_gets_worse_in_a_storm_does_so_four_times(local):
    """As outside of one: what is held back is not counted as less."""
    first(local, "worse", 0)
    for number in range(10):
        local.admit(str(number), E, 1.0)
    verdicts = [local.admit("worse", level, 1.0).verdict for level in range(1, 7)]
    assert [Verdict.DIGESTED] * 4 + [Verdict.SUPPRESSED] * 2 == verdicts


def test_what_a_process_has_counted_before_an_end_is_in_its_next_report(local):
    """Who decides for all hears of it; the problem itself is gone here."""
    first(local, "a")
    local.admit("a", E, 2.0)
    assert (Verdict.RESOLVED, None, "a") == local.part("a", 3.0, "1@web-1")
    assert [("a", 1, ("1@web-1",), E)] == [
        (one.count.key, one.count.number, one.count.sources, one.told)
        for one in local.reports("1@web-1")
    ]
    assert [] == local.reports("1@web-1")
    assert (Verdict.RESOLVED, None, "gone") == local.part("gone", 4.0, "1@web-1")


def test_report_says_how_long_a_window_still_lasts(local, clock):
    """A shared throttle that was emptied goes on with it; a first that waits has none yet."""
    first(local, "open")
    local.admit("waits", E, 1.0)
    for passed, left in ((100, 200), (201, 0)):
        for key in ("open", "waits"):
            assert Verdict.SUPPRESSED is local.admit(key, E, 2.0).verdict
        clock.now += passed
        reports = local.reports("1@web-1")
        assert [(left, E), (None, E)] == [(one.remaining, one.told) for one in reports]


def test_what_others_know_of_a_problem_is_followed(local, clock):
    """How high it was told, until when its window lasts, or that nobody sent its first yet."""
    first(local, "waits")
    for key in ("ended", "unheard", "known"):
        local.admit(key, E, 1.0)
    local.see({
        "elsewhere": View(E, 1.0), "ended": View(UNHEARD, 0.0, resolved=True),
        "unheard": View(UNHEARD, None), "known": View(C, 100.0), "waits": View(E, None),
    })  # fmt: skip
    levels = {"ended": E, "unheard": E, "known": C, "waits": E}
    assert [Verdict.FIRST] + [Verdict.SUPPRESSED] * 3 == [
        local.admit(key, level, 2.0).verdict for key, level in levels.items()
    ]
    assert 100 == local.next_due()
    clock.now += HOUR
    assert ["known"] == [one.key for one in local.due()]


def test_what_is_known_is_no_newcomer(local, clock):
    """Until it has cooled down, or was resolved."""
    for key in "ab":
        first(local, key)
    assert [True, True, False] == [local.knows(key) for key in "abc"]
    assert (Verdict.RESOLVED, "b") == local.part("b", 2.0, None)[::2]
    clock.now += 300 + 6 * HOUR - 1
    assert [True, False, False] == [local.knows(key) for key in "abc"]
    clock.now += 1
    assert not local.knows("a")


def test_end_that_another_process_heard_of_ends_it_here(local):
    """The next record is a first; what was counted meanwhile stays."""
    for key in "ab":
        first(local, key)
    local.admit("b", E, 2.0)
    local.see({key: View(E, 0.0, resolved=True) for key in "ab"})
    assert Verdict.FIRST is local.admit("a", E, 3.0).verdict
    assert ["b"] == [one.key for one in local.untold()]


def test_who_makes_room_first(local, clock):
    """Who is over, then cooling, then the longest unseen; at last the oldest that is untold."""
    clock.now, open_until = 100_000.0, 200_000.0
    problems = {
        "long over": {"until": 60_000.0, "last": 9.0}, "over": {"until": 70_000.0, "last": 8.0},
        "cooling": {"until": 90_000.0, "last": 5.0}, "cool now": {"until": 100_000.0, "last": 6.0},
        "unseen": {"until": open_until, "last": 1.0}, "seen": {"until": open_until, "last": 2.0},
        "told once": {"until": open_until, "began": 3.0},
        "counted": {"number": 1, "began": 0.4}, "waits": {"pending": True, "began": 0.5},
    }  # fmt: skip
    for number in range(CAPACITY - len(problems)):
        local.table.put(str(number), Problem(told=E, pending=False, number=1, began=7.0))
    for key, state in reversed(problems.items()):
        local.table.put(key, Problem(**{"told": E, "pending": False, **state}))
    assert list(problems) == local.table.expendable()[: len(problems)]


def test_groups_are_bounded_and_those_that_went_quiet_go(local, clock):
    """The longest unseen makes room; after five minutes two go for each new one."""
    table = local.table
    names = [*map(str, range(CAPACITY + 9)), "9", "new"]
    for name in names:
        table.put_group(name, Group({"a": clock.now}))
    kept = [name for name in dict.fromkeys(names) if table.group(name).members]
    assert ["9", *map(str, range(11, CAPACITY + 9)), "new"] == kept
    clock.now += 301
    table.put_group("later", Group({"a": clock.now}))
    assert CAPACITY - 1 == len(table._groups)
