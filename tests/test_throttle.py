"""The rules of one problem, on a clock that the test moves, and the bounds of the table."""

import logging
import math

import pytest
from conftest import FakeClock

from pushover_logging import ConfigurationError, config
from pushover_logging.throttle.store import MEMORY_CAPACITY as CAPACITY, LocalThrottle
from pushover_logging.throttle.machine import Rules
from pushover_logging.throttle.problem import End, Verdict
from pushover_logging.throttle.table import REMAINDER, About

W, E, C = logging.WARNING, logging.ERROR, logging.CRITICAL
HOUR = 3600


class Play:
    """A throttle whose pushes are accepted at once; `told` collects (seconds, what, count)."""

    def __init__(self, **rules):
        self.clock = FakeClock()
        self.clock.now = 0
        self.throttle = LocalThrottle(Rules(**rules), self.clock)
        self.told = []

    def until(self, end):
        while self.clock.now + (due := self.throttle.next_due()) <= end:
            self.clock.now += due
            for count in self.throttle.due():
                self.told.append((self.clock.now, "summary", count.number))
        self.clock.now = end

    def admit(self, now, level=E, key="a"):
        self.clock.now = now
        return self.throttle.admit(key, level, now)

    def ended(self, now, end, key="a"):
        self.clock.now = now
        self.throttle.ended(key, end)

    def due(self, now):
        self.clock.now = now
        return self.throttle.due()

    def record(self, now, level=E, key="a"):
        verdict, count, _ = self.admit(now, level, key)
        if verdict not in {Verdict.SUPPRESSED, Verdict.DIGESTED}:
            self.told.append((now, verdict.value, count.number if count else 0))
            self.ended(now, End.ACCEPTED, key)

    def run(self, records, end):
        for at, level in records:
            self.until(at)
            self.record(at, level)
        self.until(end)
        return self.told


def test_one_a_second_for_ten_minutes():
    """FIRST, +299 after 5 min, +300 after 20, no more."""
    told = Play().run([(at, E) for at in range(600)], 40 * 86_400)
    assert [(0, "first", 0), (300, "summary", 299), (1200, "summary", 300)] == told


def test_one_a_second_for_thirty_hours():
    """Seven pushes: the windows grow, the last one repeats."""
    told = Play().run([(at, E) for at in range(30 * HOUR)], 100 * 86_400)
    assert [0, 299, 900, 3600, 14_400, 86_400, 2400] == [count for _, _, count in told]
    assert [0, 300, 1200, 4800, 19_200, 105_600, 192_000] == [at for at, _, _ in told]


def test_every_ten_minutes_for_a_day():
    """FIRST, AGAIN, then summaries."""
    told = Play().run([(at, E) for at in range(0, 24 * HOUR, 600)], 3 * 86_400)
    assert [
        (0, "first", 0), (600, "again", 0), (1500, "summary", 1), (5100, "summary", 6),
        (19_500, "summary", 24), (105_900, "summary", 111),
    ] == told  # fmt: skip


def test_hourly_for_a_day_and_daily():
    """AGAIN three times, then two summaries; what comes once a day is FIRST each time."""
    told = Play().run([(at * HOUR, E) for at in range(24)], 3 * 86_400)
    assert ["first", "again", "again", "again", "summary", "summary"] == [
        kind for _, kind, _ in told
    ]
    assert [(7 * HOUR, "summary", 3), (31 * HOUR, "summary", 17)] == told[4:]
    daily = Play().run([(at * 86_400, E) for at in range(3)], 4 * 86_400)
    assert ["first"] * 3 == [kind for _, kind, _ in daily]


def test_every_sixty_five_minutes_for_a_month():
    """Under 40 pushes in 30 days."""
    assert len(Play().run([(at, E) for at in range(0, 30 * 86_400, 3900)], 32 * 86_400)) < 40


def test_a_higher_level_is_told_at_once():
    """ESCALATED with what was counted, each time the level rises."""
    levels = [(0, W), (10, W), (20, E), (30, W), (40, C), (50, E)]
    assert [
        (0, "first", 0), (20, "escalated", 1), (40, "escalated", 1), (340, "summary", 1),
    ] == Play().run(levels, HOUR)  # fmt: skip


def test_a_critical_in_a_stream_of_warnings_is_told_within_the_hour():
    """Ten days of a WARNING a minute; each noon's CRITICAL is told at once or within 1 h."""
    noons = [day * 86_400 + 43_201 for day in range(10)]
    warnings = [(at, W) for at in range(0, 10 * 86_400, 60)]
    told = Play().run(sorted(warnings + [(noon, C) for noon in noons]), 11 * 86_400)
    for noon in noons:
        assert any(noon <= at <= noon + HOUR for at, _, _ in told), noon


def test_a_problem_gets_worse_at_most_four_times():
    """What rises further is counted; a CRITICAL among that is told within the hour."""
    play = Play(windows=(86_400.0,))
    play.record(0, 0)
    answers = [play.admit(1, level) for level in (1, 2, 3, 4, C, 4)]
    assert [Verdict.ESCALATED] * 4 + [Verdict.SUPPRESSED] * 2 == [one.verdict for one in answers]
    assert [(None, "a")] * 6 == [(one.along, one.key) for one in answers]
    assert HOUR == play.throttle.next_due()


def test_the_highest_level_told_falls_with_each_window():
    """A CRITICAL is told at once again after a window in which there was none."""
    assert [
        (0, "first", 0), (300, "summary", 1), (1200, "summary", 1), (1210, "escalated", 0),
    ] == Play().run([(0, C), (10, C), (310, W), (1210, C)], 1300)  # fmt: skip


def test_a_critical_problem_is_told_hourly():
    """Its windows grow no further after one with a CRITICAL in it, whatever comes then."""
    told = Play().run([(at, C) for at in range(0, 20_000, 60)], 20_000)
    assert [0, 300, 1200, 4800, 8400, 12_000, 15_600, 19_200] == [at for at, _, _ in told]
    told = Play().run([*((at, C) for at in range(0, 4800, 60)), (4860, E)], 20_000)
    assert [0, 300, 1200, 4800, 8400] == [at for at, _, _ in told]


def test_a_count_says_what_it_counts():
    """Its problem, how many there were in all, and when the next one is due."""
    play = Play()
    for at, level in ((0, W), (300, W), (310, W), (320, E)):
        verdict, along, _ = play.admit(at, level)
        play.ended(at, End.ACCEPTED)
    assert Verdict.ESCALATED is verdict
    assert ("a", 1, 4, 300) == (along.key, along.number, along.total, along.following)
    play.admit(330, W)
    assert [(1, 5, 900)] == [(one.number, one.total, one.following) for one in play.due(620)]


def test_the_end_of_a_window_comes_before_its_record():
    """0 s and exactly 300 s: FIRST, AGAIN."""
    assert ["first", "again"] == [kind for _, kind, _ in Play().run([(0, E), (300, E)], 301)]


def test_pending_counts_without_a_summary():
    """Before the API has accepted the FIRST, no summary is due."""
    play = Play()
    play.admit(0)
    play.admit(1)
    assert (math.inf, []) == (play.throttle.next_due(), play.due(9999))
    play.ended(10_000, End.REFUSED)
    (count,) = play.due(10_300)
    assert (1, True) == (count.number, count.refused)
    play.admit(10_301)
    assert [False] == [count.refused for count in play.due(99_999)]


def test_a_first_that_was_lost_is_told_anew():
    """A dropped FIRST leaves its problem ABSENT; with a count it is told by the summary."""
    play = Play()
    play.admit(0)
    play.ended(0, End.LOST)
    assert Verdict.FIRST is play.admit(1)[0]
    play.admit(2)
    play.ended(2, End.LOST)
    assert [1] == [count.number for count in play.due(400)]


@pytest.mark.parametrize("end", End)
def test_end_of_an_unknown_problem_changes_nothing(end):
    """Its entry may have made room for others while the push was under way."""
    play = Play()
    play.ended(3, end, "unknown")
    play.throttle.describe("unknown", About("title"))
    assert Verdict.FIRST is play.admit(4, key="unknown")[0]


def test_a_count_that_did_not_arrive_is_taken_back():
    """A summary that was dropped is told by the next one."""
    play = Play()
    for at in range(4):
        play.record(at)
    (count,) = play.due(300)
    play.record(310)
    play.throttle.restore(count)
    (again,) = play.due(1200)
    assert (4, 1) == (again.number, again.since)


def test_the_table_is_bounded_and_no_count_is_lost():
    """Past its capacity the table tells old counts under other problems, newcomers always."""
    play = Play()
    many, told = CAPACITY * 3, 0
    for number in range(many):
        key = str(number)
        if play.admit(number, key=key)[0] is Verdict.FIRST:
            told += 1
            play.ended(number, End.ACCEPTED, key)
        assert Verdict.SUPPRESSED is play.admit(number, key=key)[0]
    assert len(play.throttle._local.problems) <= CAPACITY + 1
    told += sum(count.number for count in play.due(many + 1e6))
    assert 2 * many == told
    assert not play.throttle.has_untold()


def test_what_is_over_makes_room_first():
    """Cooled problems go before cooling ones, and these before open ones."""
    play = Play()
    for number in range(CAPACITY):
        play.admit(0, key=str(number))
        play.ended({0: 0.0, 1: 30_000.0}.get(number, 39_900.0), End.ACCEPTED, str(number))
    play.admit(40_000, key="new")
    assert not {"0", "1"} & play.throttle._local.problems.keys()


def test_what_has_no_count_makes_room_unsaid():
    """Other problems are those with something to tell."""
    play = Play()
    for number in range(CAPACITY + 1):
        play.record(60 * number, key=str(number))
    assert not {"0", REMAINDER} & play.throttle._local.problems.keys()


def test_untold_takes_everything_once():
    """The last words name every count, and are said once."""
    play = Play()
    for key in "ab":
        play.record(0, key=key)
        play.record(1, key=key)
    assert ["a", "b"] == [count.key for count in play.throttle.untold()]
    assert [] == play.throttle.untold()


@pytest.mark.parametrize(("option", "windows"), [
    (None, Rules().windows), (True, Rules().windows), (60, (60.0,)), ("90", (90.0,)),
    ({"windows": [1, 2]}, (1.0, 2.0)),
])  # fmt: skip
def test_option_gives_the_windows(option, windows):
    """None, a number, a number as text, and a mapping."""
    assert windows == config.rules(option).windows


def test_option_may_switch_it_off_and_name_fields():
    """False and its words in the environment switch it off; by takes one name or several."""
    assert [None] * 4 == [config.rules(option) for option in (False, "off", "False", "0")]
    assert [("a",), ("a", "b")] == [config.rules({"by": by}).by for by in ("a", ["a", "b"])]


def test_option_says_for_how_long_a_problem_is_remembered():
    """Cooling: what comes within it is told as again, what comes after it as a first."""
    rules = config.rules({"windows": [60], "cooling": 1000})
    problem = rules.begin(0.0, 0.0)
    rules.tell(problem, Verdict.FIRST, "a", logging.ERROR, 0.0)
    rules.ended(problem, End.ACCEPTED, 0.0)
    told = [rules.verdict(problem, logging.ERROR, at) for at in (60.0, 1059.0, 1060.0)]
    assert [Verdict.AGAIN, Verdict.AGAIN, Verdict.FIRST] == told


@pytest.mark.parametrize("option", [
    "soon", {"window": 5}, {"windows": []}, {"windows": [0]}, {"windows": "x"}, -1, [5],
    {"windows": 5}, float("nan"), {"last_words": "no"},
    {"cooling": -1}, {"cooling": "long"},
])  # fmt: skip
def test_wrong_option_is_named(option):
    """Anything else is a ConfigurationError that says what it takes."""
    with pytest.raises(ConfigurationError, match="throttle: "):
        config.rules(option)


def test_store_is_in_no_repr():
    """Its URL may hold a password."""
    assert "secret" not in repr(config.rules("redis://:secret@web-1/0"))
