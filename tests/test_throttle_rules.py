"""What holds for any stream of records: no count is lost, no newcomer hidden."""

import json
import logging
import shutil

import pytest
from conftest import FakeClock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pushover_logging.throttle.local import LocalThrottle
from pushover_logging.throttle.machine import Rules
from pushover_logging.throttle.problem import (
    Count,
    End,
    Origin,
    Problem,
    Report,
    Verdict,
    decoded,
    encoded,
)
from pushover_logging.throttle.valves import SITE, Gate, Group, Valves, gate_of

LEVELS = st.sampled_from([logging.WARNING, logging.ERROR, logging.CRITICAL])
RECORDS = st.lists(
    st.tuples(
        st.floats(0, 5000),  # seconds since the one before
        st.integers(0, 30),  # which problem
        LEVELS,
        st.sampled_from([None, "call site:a", "root cause:b"]),
        st.sampled_from([End.ACCEPTED, End.ACCEPTED, End.REFUSED, None]),
    ),
    max_size=150,
)


@settings(max_examples=150, deadline=None)
@given(RECORDS, st.sampled_from(list(Gate)))
def test_every_record_is_told_or_counted(records, gate):
    """Each record is in exactly one push, or in exactly one count; each problem in at least one."""
    clock = FakeClock()
    throttle = LocalThrottle(Rules(), clock)
    throttle.gate = gate
    told = 0
    for wait, number, level, group, end in records:
        clock.now += wait
        told += sum(count.number for count in throttle.due())
        origin = Origin(group, "here") if group else None
        verdict, along, key = throttle.admit(f"{number} {group}", level, clock.now, origin)
        if verdict not in {Verdict.SUPPRESSED, Verdict.DIGESTED}:
            told += 1 + (along.number if along else 0)
            if end is not None:
                throttle.ended(key, end, group or "")
    throttle.gate = Gate.OPEN
    for _ in range(20):
        clock.now += 90_000
        told += sum(count.number for count in throttle.due())
    told += sum(count.number for count in throttle.untold())
    assert len(records) == told


@given(
    st.lists(st.tuples(st.floats(0, 400), LEVELS, st.sampled_from([None, *End]), st.booleans())),
    st.sampled_from([(300.0, 900.0), (86_400.0,)]),
)
def test_short_way_of_a_duplicate_counts_as_the_long_one(records, windows):
    """What is looked up by its call alone leaves the problem as a full decision does."""
    clock = FakeClock()
    short, long = (LocalThrottle(Rules(windows=windows), clock) for _ in range(2))
    for wait, level, end, resolved in records:
        clock.now += wait
        assert short.due() == long.due()
        verdict = long.admit("a", level, clock.now).verdict
        if not short.count_duplicate("a", level, clock.now):
            assert verdict is short.admit("a", level, clock.now).verdict
        for throttle in (short, long):
            if end is not None and verdict is not Verdict.SUPPRESSED:
                throttle.ended("a", end)
            if resolved:
                throttle.resolve("a", clock.now)
        assert short.table.get("a") == long.table.get("a")


TEXT = st.text(max_size=8)
COUNTS = st.builds(
    Count, TEXT, st.integers(1, 99), st.integers(1, 999), st.floats(0, 1e9), st.floats(0, 1e9),
    st.integers(0, 50), st.floats(0, 1e6), title=TEXT, user=st.none() | TEXT,
    sources=st.lists(TEXT, max_size=3).map(tuple), newcomer=st.booleans(),
    began=st.floats(0, 1e9),
)  # fmt: skip


@given(COUNTS)
def test_values_come_back_from_json(count):
    """What is written to a file or to Redis is read as it was, also with what is as by default."""
    assert count == decoded(Count, json.dumps(count._asdict()))


@pytest.mark.parametrize("text", [
    "", "[]", "3", "{", '{"told": "x"}', '{"unknown": 1}', "{}", '{"told": 40, "until": NaN}',
    '{"told": 40, "since": 1e300}', '{"told": 40, "last": Infinity}',
])  # fmt: skip
def test_damaged_state_is_no_problem(text):
    """Others may have been at it."""
    assert decoded(Problem, text) is None


def test_valves_and_groups_come_back_from_json():
    """Also what the valves keep."""
    for one in (Valves(alarms=(1.0, 2.0), over=True), Group({"a": 3.0})):
        assert one == decoded(type(one), encoded(one))


@pytest.mark.parametrize(("remaining", "gate"), [
    (10_000, Gate.OPEN), (2000, Gate.OPEN), (1999, Gate.LOW), (500, Gate.LOW), (499, Gate.SCARCE),
    (-1, Gate.SCARCE),
])  # fmt: skip
def test_gate_of_what_is_left(remaining, gate):
    """Below 20 %, below 5 %."""
    assert gate is gate_of(remaining, 10_000)


@pytest.mark.parametrize(("born", "through"), [(994, True), (1004, True), (1005, False)])
def test_storm_holds_back_nothing_that_is_older(born, through):
    """What was let through where it came and is sent later; clocks may differ by five seconds."""
    valves = Valves()
    valves.storm(1000.0)
    assert through is valves.let_through(logging.ERROR, 1030.0, born)


def test_counts_are_told_ten_at_once_and_one_a_minute():
    """The Messages that tell counts have a rate of their own."""
    valves, waits = Valves(), []
    for _ in range(12):
        waits.append(valves.next_summary(1000.0) - 1000.0)
        valves.end_summary(1000.0)
    assert [0.0] * 10 + [60.0, 120.0] == waits


def test_clock_that_jumped_back_holds_nothing_up_for_long():
    """What it left far ahead comes within reach: a full rate, a last digest, a day."""
    far = 1e9
    valves = Valves(far, far, far, digest_at=far, daily_at=far, alarms=(far, 999.0))
    valves.clamp(1000.0)
    assert (1600.0, 1300.0, 1600.0) == (
        valves.pushes_at, valves.criticals_at, valves.summaries_at,
    )  # fmt: skip
    assert (4600.0, 87_400.0, (999.0,)) == (valves.digest_at, valves.daily_at, valves.alarms)


@pytest.mark.parametrize(("last", "one"), [(299, True), (300, False)])
def test_newcomers_of_one_origin_are_counted_for_five_minutes(last, one):
    """The sixth of a call site makes them one; what is older does not count."""
    group = Group()
    assert [False] * 5 == [group.is_one(f"{SITE}:shop", str(number), 0) for number in range(5)]
    assert one is group.is_one(f"{SITE}:shop", "5", last)


@pytest.fixture(scope="module")
def remote(tmp_path_factory):
    pytest.importorskip("redis", reason="redis comes with the extra redis")
    if shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server here")
    from conftest import RedisServer

    from pushover_logging.throttle.lending import RedisThrottle

    server = RedisServer(tmp_path_factory.mktemp("redis"))
    throttle = RedisThrottle(server.url, "rules", Rules())
    yield throttle
    throttle.items._redis.close()
    server.stop()


@pytest.mark.process
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(COUNTS, min_size=1, max_size=4))
def test_lua_counts_as_the_rules_do(remote, counts):
    """A count that Redis adds in place gives the same as `Rules.add`."""
    rules, table = remote.rules, remote.items
    now = table.atomically(table.now)
    begun = Problem(told=50, pending=False, until=now + 100, number=1, since=5e8, last=5e8, seen=10)
    table.atomically(lambda: table.put("one", begun))
    expected = decoded(Problem, encoded(begun))
    for number, count in enumerate(counts):
        sources = count.sources[:1] or ("",)
        own = Count("one", count.number, 0, count.since, count.last, count.level, 1.0,
                    sources=sources)  # fmt: skip
        for _ in range(2):  # the same receipt is taken once
            table.count(Report(own, 40, 1.0), f"{now} {number} {id(counts)}")
        expected.total += own.number
        rules.add(expected, own, now)
    found = table.atomically(lambda: table.get("one"))
    table.atomically(lambda: table.pop("one"))
    for name in ("number", "total", "seen", "sources", "told", "pending"):
        assert getattr(expected, name) == getattr(found, name)
    for name in ("since", "last", "until"):
        assert getattr(expected, name) == pytest.approx(getattr(found, name), abs=0.01)


@pytest.mark.process
def test_lease_that_runs_out_is_told_by_another(remote, monkeypatch):
    """Who was to tell a count died: it is due again; who lives holds on to its own."""
    from pushover_logging.throttle import lending

    table = remote.items
    monkeypatch.setattr(lending, "LEASE", -1.0)
    now = table.atomically(table.now)
    begun = Problem(told=40, pending=False, until=now - 1, number=7, since=1.0, last=2.0, seen=40)
    table.atomically(lambda: table.put("lent", begun))
    (first,) = remote.due()
    monkeypatch.setattr(lending, "LEASE", 30.0)
    assert set() == remote.renew((), [first.loan]) - {first.loan}
    monkeypatch.setattr(lending, "LEASE", -1.0)
    remote.renew((), [first.loan])
    assert [] == remote.due()  # it is back, in the window that the first push opened
    found = table.atomically(lambda: table.get("lent"))
    assert (7, 7) == (found.number, first.number)
    remote.repay(first, told=True)  # too late: it was not its any more
    assert 7 == table.atomically(lambda: table.get("lent")).number
    assert {first.loan} == remote.renew((), [first.loan])
