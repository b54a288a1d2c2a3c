"""The pure parts of the throttle: the option, the limits, items as JSON; and no count is lost."""

import itertools
import logging
import math
from dataclasses import fields

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pushover_logging import ConfigurationError, config
from pushover_logging.identity.fingerprint import GroupKey
from pushover_logging.throttle.limits import GROUPING, Group, Limits, QuotaLevel, quota_level
from pushover_logging.throttle.rules import (
    LEASE,
    PUSHED,
    Occurrences,
    Problem,
    PushInfo,
    Rules,
    Verdict,
)
from pushover_logging.throttle.store import from_json, to_json
from pushover_logging.throttle.throttle import Candidate, Counted

E, C = logging.ERROR, logging.CRITICAL
HOUR, DAY = 3600.0, 86_400.0

# -- the option


@pytest.mark.parametrize(("option", "windows"), [
    (None, Rules().windows), (True, Rules().windows), (60, (60.0,)), ("90", (90.0,)),
    ({"windows": [1, 2]}, (1.0, 2.0)),
])  # fmt: skip
def test_option_gives_the_windows(option, windows):
    """None, True, a number, a number as text, and a mapping."""
    assert windows == config.rules(option).windows


def test_option_switches_the_throttle_off():
    """False, and its words in the environment."""
    assert [None] * 4 == [config.rules(option) for option in (False, "off", "False", "0")]


def test_option_names_its_fields_and_what_happens_at_exit():
    """``group_by`` takes one name or several."""
    assert [("a",), ("a", "b")] == [
        config.rules({"group_by": names}).group_by for names in ("a", ["a", "b"])
    ]
    assert [True, False] == [
        config.rules(option).summary_at_exit for option in (None, {"summary_at_exit": False})
    ]


def test_problem_is_forgotten_after_the_seconds_of_the_option():
    """A record within them is reported as again; after them it is a first."""
    rules = config.rules({"windows": [60], "forget_after": 1000})
    problem = rules.begin(0.0, 0.0)
    rules.claim(problem, "id", Verdict.FIRST, 0.0, 30.0)
    rules.notify(problem, "id", Verdict.FIRST, E, 0.0)
    assert Verdict.AGAIN is rules.verdict(problem, E, 60.0)
    assert [False, True] == [rules.is_expired(problem, at) for at in (1059.0, 1060.0)]


def test_durations_can_be_texts():
    """In code, in a configuration file and in PUSHOVER_THROTTLE."""
    rules = config.rules({"windows": ["5m", "1h30m", 7200], "forget_after": "2d"})
    assert ((300, 5400, 7200), 172_800) == (rules.windows, rules.forget_after)
    assert (900,) == config.rules("15m").windows


@pytest.mark.parametrize("option", [
    "soon", {"window": 5}, {"windows": []}, {"windows": [0]}, {"windows": "x"}, -1, [5],
    {"windows": 5}, {"windows": ["5x"]}, "-5m", float("nan"), {"summary_at_exit": "no"},
    {"forget_after": -1}, {"forget_after": "long"}, {"by": "a"}, {"last_words": True},
    {"cooling": 5},
])  # fmt: skip
def test_wrong_option_is_named(option):
    """Anything else is a ConfigurationError that says what it takes."""
    with pytest.raises(ConfigurationError, match="throttle: "):
        config.rules(option)


def test_store_is_in_no_repr():
    """Its URL may hold a password."""
    assert "secret" not in repr(config.rules("redis://:secret@web-1/0"))


# -- limits


@pytest.mark.parametrize(("remaining", "level"), [
    (10_000, QuotaLevel.ENOUGH), (2000, QuotaLevel.ENOUGH), (1999, QuotaLevel.LOW),
    (500, QuotaLevel.LOW), (499, QuotaLevel.SCARCE), (-1, QuotaLevel.SCARCE),
])  # fmt: skip
def test_quota_level(remaining, level):
    """Low below 20 %, scarce below 5 %."""
    assert level is quota_level(remaining, 10_000)


@pytest.mark.parametrize(("created", "allowed"), [(994, True), (1004, True), (1005, False)])
def test_storm_holds_back_nothing_that_is_older(created, allowed):
    """Its process let it through before; clocks may differ by five seconds."""
    limits = Limits()
    limits.begin_storm(1000.0)
    assert allowed is limits.allow(E, 1030.0, created)


def test_summaries_are_ten_at_once_and_one_a_minute():
    """The Messages that report counts have a rate of their own."""
    limits, waits = Limits(), []
    for _ in range(12):
        waits.append(limits.next_summary(1000.0) - 1000.0)
        limits.count_summary(1000.0, QuotaLevel.ENOUGH)
    assert [0.0] * 10 + [60.0, 120.0] == waits


def test_digests_come_more_rarely_while_a_storm_goes_on():
    """After 1, 5, 15 and 60 minutes, then each hour; the storm ends with one that is quiet."""
    limits, now, digests = Limits(), 0.0, []
    for _ in range(6):
        limits.begin_storm(now)
        now = limits.digest_at
        digests.append(now)
        assert limits.end_digest(now)
    assert [60, 360, 1260, 4860, 8460, 12_060] == digests
    assert limits.end_digest(limits.digest_at)
    assert limits.allow(E, now + HOUR, math.inf)


def test_clock_that_jumped_back_holds_nothing_up_for_long():
    """What it left far ahead comes within reach: a full rate, a last digest, a day."""
    far = 1e9
    limits = Limits(far, far, far, digest_at=far, daily_at=far, emergencies=(far, 999.0))
    limits.refresh(1000.0)
    assert (1600.0, 1300.0, 1600.0) == (
        limits.pushes_at, limits.criticals_at, limits.summaries_at,
    )  # fmt: skip
    assert (4600.0, 87_400.0, (999.0,)) == (
        limits.digest_at, limits.daily_at, limits.emergencies,
    )  # fmt: skip


@pytest.mark.parametrize(("last", "merge"), [(GROUPING - 1, True), (GROUPING, False)])
def test_sixth_newcomer_of_a_call_site_within_five_minutes_is_one_too_many(last, merge):
    """What is older does not count."""
    group = Group()
    before = [group.should_merge("call site:shop", str(number), 0.0) for number in range(5)]
    assert [False] * 5 == before
    assert merge is group.should_merge("call site:shop", "5", last)


# -- items as JSON

FLOATS = st.floats(0, 1e9)
TEXTS = st.lists(st.text(max_size=8), max_size=3).map(tuple)
OCCURRENCES = st.builds(
    Occurrences, st.integers(0, 99), FLOATS, FLOATS, st.integers(0, 50), TEXTS, TEXTS, FLOATS
)
ITEMS = {
    "limits": st.builds(Limits, FLOATS, FLOATS, FLOATS, exceeded=st.booleans(),
                        digests=st.integers(0, 9), emergencies=st.lists(FLOATS).map(tuple)),
    "members:x": st.builds(Group, st.dictionaries(st.text(max_size=8), FLOATS, max_size=3)),
    "a": st.builds(
        Problem, st.integers(-1, 50), FLOATS, counted=OCCURRENCES, reporting=OCCURRENCES,
        decided=st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3),
        title=st.text(max_size=8), user=st.none() | st.text(max_size=8), refused=st.booleans(),
    ),
}  # fmt: skip


@given(st.sampled_from(sorted(ITEMS)).flatmap(lambda name: st.tuples(st.just(name), ITEMS[name])))
def test_items_come_back_from_json(found):
    """What is written to a file or to Redis is read as it was."""
    name, item = found
    assert item == from_json(name, to_json(item))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(st.sampled_from(sorted(ITEMS)), st.data())
def test_damaged_item_is_absent_or_of_the_right_types(name, data):
    """Whatever stands in any of its fields: no rule meets a value that it cannot work with."""
    import json

    kind = {"limits": Limits, "members:x": Group, "a": Problem}[name]
    names = st.sampled_from([field.name for field in fields(kind)])
    junk = data.draw(st.dictionaries(names, JSON, max_size=3) | JSON)
    item = from_json(name, json.dumps(junk))
    if isinstance(item, Problem):
        rules = Rules()
        rules.refresh(item, 1e9)
        rules.is_expired(item, 1e9)
        rules.verdict(item, E, 1e9)
        rules.count(item, Occurrences(1, 1.0, 1.0, E), 1e9)
        rules.claim_summary(item, "a", "id", 1e9)
        rules.notify(item, "id", None, E, 1e9)
    elif isinstance(item, Limits):
        item.refresh(1e9)
        item.allow(E, 1e9, 1e9)
        item.allow_emergency(1e9)
        item.end_digest(1e9)
    elif item is not None:
        item.should_merge("call site:x", "a", 1e9)


# -- any stream of records

STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 1.0, 40.0, 299.0, 301.0, 5000.0]),  # seconds before it
        st.sampled_from(["record", "record", "count", "summary", "retry", "resolve", "answer"]),
        st.integers(0, 14),  # which problem
        st.sampled_from([logging.WARNING, E, C]),
        st.sampled_from([None, "call site:a", "root cause:b"]),
        st.sampled_from(["accepted", "accepted", "refused", "released", "died", "later", "later"]),
        st.booleans(),  # which process
    ),
    max_size=60,
)


class Fleet:
    """Two processes, or one in memory, whose pushes are answered at once, later, or never.

    ``reported`` is how many records their pushes report; ``open`` are pushes on their way.
    """

    def __init__(self, stores, account):
        self.clock = stores.clock
        self.throttles = [stores.throttle(account) for _ in range(1 + stores.is_shared)]
        self.ids = map(str, itertools.count())
        self.records = self.reported = 0
        self.waiting, self.open = [], []

    def step(self, what, number, level, group, answer, other):
        throttle = self.throttles[other % len(self.throttles)]
        key, at = f"{number} {group}", self.clock.time()
        found = GroupKey(group, "here") if group else None
        if what == "count":
            self.records += 3
            occurrences = Occurrences(3, at, at, level, ("here",), (str(other),))
            throttle.count([Counted(key, key, E, occurrences, PushInfo(key), found)])
        elif what == "summary":
            self.summary(throttle, answer)
        elif what == "retry":
            waiting, self.waiting = self.waiting, []
            for candidate in waiting:
                self.decide(throttle, candidate, answer)
        elif what == "answer":
            self.answer_open("accepted" if answer == "later" else answer)
        else:
            self.records += 1
            resolves = what == "resolve"
            own = Candidate(next(self.ids), key, level, at, PushInfo(key), found, resolves)
            self.decide(throttle, own, answer)

    def decide(self, throttle, candidate, answer):
        decision = throttle.decide(candidate)
        if decision.verdict is Verdict.WAIT:
            self.waiting.append(candidate)
        elif decision.verdict not in PUSHED:
            self.reported += candidate.resolves  # any other record is part of a count now
        elif answer == "later":
            self.open.append((self.clock.now, throttle, candidate, decision))
        else:
            self.answer(throttle, candidate, decision, answer)

    def answer(self, throttle, candidate, decision, answer):
        if answer in {"accepted", "refused"}:
            self.reported += 1
            if answer == "accepted" and decision.included_count is not None:
                self.reported += decision.included_count.count
            for _ in range(2):
                throttle.notified(
                    candidate.id, [decision.key], decision, refused=answer == "refused"
                )
        else:
            self.waiting.append(candidate)
            if answer == "released":
                throttle.released(candidate.id, [decision.key])

    def summary(self, throttle, answer, *, at_exit=False):
        push_id = next(self.ids)
        counts = throttle.due(push_id, at_exit=at_exit)
        if answer == "later":
            self.open.append((self.clock.now, throttle, push_id, counts))
        else:
            self.answer_summary(throttle, push_id, counts, answer)
        return bool(counts)

    def answer_summary(self, throttle, push_id, counts, answer):
        keys = [count.key for count in counts]
        if answer in {"accepted", "refused"}:
            self.reported += sum(count.count for count in counts) * (answer == "accepted")
            for _ in range(2):
                throttle.notified(push_id, keys, refused=answer == "refused")
        elif answer == "released":
            throttle.released(push_id, keys)

    def answer_open(self, answer):
        """Answer the pushes on their way; those that took longer than their claim died unsent."""
        pushes, self.open = self.open, []
        for began, throttle, push, shown in pushes:
            in_time = answer if self.clock.now - began < LEASE else "died"
            if isinstance(push, Candidate):
                self.answer(throttle, push, shown, in_time)
            else:
                self.answer_summary(throttle, push, shown, in_time)

    def end(self):
        """Let each claim expire, try again what waits, and report all that is left."""
        self.answer_open("accepted")
        for _ in range(3):
            self.clock.now += 1000
            self.step("retry", 0, E, None, "accepted", False)
        assert [] == self.waiting
        while self.summary(self.throttles[0], "accepted", at_exit=True):
            pass


def test_each_record_is_reported_exactly_once(stores):
    """By a push of its own or in one count, whatever is answered, and whichever process dies."""
    accounts = map(str, itertools.count())

    @settings(
        max_examples=200 if stores.kind == "memory" else 40,
        deadline=None,
        suppress_health_check=[*HealthCheck],
    )
    @given(STEPS)
    def play(steps):
        fleet = Fleet(stores, next(accounts))
        for wait, *step in steps:
            fleet.clock.now += wait
            fleet.step(*step)
        fleet.end()
        assert fleet.records == fleet.reported

    play()
