"""An incident as whoever is on call lives through it: muted, listed, acknowledged, escalated.

Each scenario plays over memory, a file and Redis, on a clock that the test moves.
"""

import contextlib
import functools
import importlib
import itertools
import json
import logging
import math
import re
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from conftest import PATIENT, USER, Driven

from pushover_logging import ConfigurationError, ListedProblem, TemporaryError
from pushover_logging.cli import main, problems
from pushover_logging.clock import DURATION, Clock
from pushover_logging.delivery import receipts
from pushover_logging.identity.fingerprint import explicit
from pushover_logging.throttle.receipts import FollowUp

MINUTE, HOUR, DAY = 60, 3600, 86_400


class Process(Driven):
    """A driven handler over the stores; several of them are processes that share the state."""

    def report(
        self, name="db-7", level=logging.ERROR, text="No database", times=1, customer="", **own
    ):
        for _ in range(times):
            extra = {"pushover": {"fingerprint": name, **own}, "customer": customer}
            record = self.log.makeRecord("shop", level, __file__, 1, text, (), None, extra=extra)
            record.created = self.clock.time()
            self.log.handle(record)
        self.settle()


@pytest.fixture
def start(start_driven):
    """Start processes over one state; with memory there can be only one."""
    return functools.partial(start_driven, Process)


def together(processes, seconds):
    """Let time pass for all of them, second by second."""
    for _ in range(seconds):
        for one in processes:
            one.settle()
        processes[0].clock.now += 1
    for one in processes:
        one.settle()


def pushes(inbox):
    return [(push["title"], push["priority"]) for push in inbox.messages]


# -- muted


def test_muted_problem_is_counted_and_reported_at_the_end(start, inbox):
    """One problem is quiet for 20 minutes, others are not; one quiet push reports exactly those."""
    one = start()
    one.handler.mute("db-7", seconds="20m")
    end = one.clock.time() + 20 * MINUTE
    one.report(times=40)
    one.report("disk", text="No space")
    one.advance(19 * MINUTE)
    assert [("No space", "0")] == pushes(inbox)
    one.report(times=2)
    one.clock.now += MINUTE + 90
    one.settle()
    assert [("No space", "0"), ("Muted for 20 min: 42 of 1 problem", "-1")] == pushes(inbox)
    assert round(end) == int(inbox.messages[1]["timestamp"])
    assert "x42 No database" in inbox.messages[1]["message"]
    one.advance(901)
    assert 2 == len(inbox.messages)


@pytest.mark.parametrize("level", [logging.ERROR, logging.CRITICAL])
@pytest.mark.parametrize("is_known", [False, True])
def test_problem_that_goes_on_after_its_mute_rings(start, inbox, level, is_known):
    """The mute's end is quiet: the next record is a push, and one alone.

    A second mute does the same, and names the problem again.
    """
    one = start()
    if is_known:
        one.report()
        one.clock.now += HOUR
    for _ in range(2):
        one.advance(20)
        known = len(inbox.messages)
        one.handler.mute(seconds=60, include_critical=True)
        for _ in range(8):  # it goes on, also while the mute's end is sent
            one.report(level=level, times=3)
            one.advance(12)
        priority = "1" if level == logging.CRITICAL else "0"
        assert [("Muted for 1 min: 15 of 1 problem", "-1"), ("Again: No database", priority)] == (
            pushes(inbox)[known:]
        )
        assert "No database, " in inbox.messages[known]["message"]
        one.clock.now += 6 * HOUR
        one.advance(20)  # a summary
        one.clock.now += 6 * HOUR


def test_problem_that_other_processes_count_rings_after_its_mute(start, inbox):
    """They have yet to learn of the mute's end when its push is out."""
    one, other = start(), start(host="web-2")
    one.handler.mute(seconds=60)
    for _ in range(70):
        for each in (one, other):
            each.report(times=5)
        together([one, other], 1)
    (ended, quiet), *rings = pushes(inbox)
    assert ("Muted for 1 min", "-1") == (ended.partition(":")[0], quiet)
    assert [("Again: No database", "0")] == rings


def test_all_are_muted_but_a_critical(start, inbox):
    """It comes at once and reports what was counted below it; the end reports the rest."""
    one = start()
    one.handler.mute(seconds="10m")
    for name in ("a", "b", "c"):
        one.report(name, text=f"{name} is down", times=100)
    one.report("a", logging.CRITICAL, "a is on fire")
    one.report("d", logging.CRITICAL, "d is on fire")
    assert [("a is on fire", "1"), ("d is on fire", "1")] == pushes(inbox)
    assert "100 more at a lower level" in inbox.messages[0]["message"]
    one.advance(10 * MINUTE + 12)
    assert ("Muted for 10 min: 200 of 2 problems", "-1") == pushes(inbox)[-1]
    lines = inbox.messages[-1]["message"].splitlines()
    assert ["x100 b is down", "x100 c is down"] == [line.partition(",")[0] for line in lines[:2]]


def test_critical_is_muted_if_asked_for(start, inbox):
    """Nothing passes, and the end is quiet all the same."""
    one = start()
    one.handler.mute(seconds="10m", include_critical=True)
    one.report(level=logging.CRITICAL, times=3)
    one.advance(10 * MINUTE - 1)
    assert [] == pushes(inbox)
    one.advance(13)
    assert [("Muted for 10 min: 3 of 1 problem", "-1")] == pushes(inbox)
    assert inbox.messages[0]["message"].splitlines()[0].endswith(", CRITICAL")


def test_mute_that_hid_nothing_ends_without_a_push(start, inbox):
    """And what comes after it is news at once."""
    one = start()
    one.handler.mute(seconds=60)
    one.advance(61)
    one.report()
    assert [("No database", "0")] == pushes(inbox)


def test_program_that_starts_during_a_mute_reports_its_end(handler_for, inbox, tmp_path):
    """It has logged nothing, and what was held back was another's, which has ended."""
    first = handler_for(outbox=tmp_path / "outbox.sqlite")
    first.mute(seconds=3)
    log = logging.Logger("shop")
    log.addHandler(first)
    log.error("No database")
    first.close()
    assert [] == inbox.messages
    handler_for(outbox=tmp_path / "outbox.sqlite")
    assert inbox.wait_for(1, timeout=30)


def test_name_and_id_mean_one_mute(start, inbox):
    """What was muted by its name is unmuted by the id that is listed, and the other way round."""
    one = start()
    one.report()
    (listed,) = one.handler.problems()
    for muted, unmuted in (("db-7", listed.id), (listed.id, "db-7")):
        one.handler.mute(muted, seconds=DAY)
        assert ["muted"] == [each.state for each in one.handler.problems()]
        one.handler.unmute(unmuted)
        assert ["open"] == [each.state for each in one.handler.problems()]


def test_name_means_each_problem_that_group_by_keeps_apart(start, inbox, stores):
    """And an id one of them."""
    grouped = {**stores.options().get("throttle", {}), "group_by": ["customer"]}
    one = start(throttle=grouped)
    for customer in ("ACME", "Initech"):
        one.report(customer=customer)
    one.handler.mute("db-7", seconds=DAY)
    one.report(customer="Hooli")
    assert ["muted"] * 3 == [each.state for each in one.handler.problems()]
    assert 2 == len(inbox.messages)
    one.handler.unmute("db-7")
    one.handler.mute(one.handler.problems()[0].id, seconds=DAY)
    assert ["muted", "open", "open"] == sorted(each.state for each in one.handler.problems())


def test_unmute_reports_at_once(start, inbox):
    """The problem's own mute ends, then that of all; nothing happens where there is none."""
    one = start()
    one.handler.mute("db-7", seconds=DAY)
    one.handler.mute(seconds=2 * DAY)
    one.handler.unmute("disk")
    one.report(times=5)
    one.advance(10 * MINUTE)
    one.handler.unmute("db-7")
    one.advance(12)
    assert [] == pushes(inbox)
    one.handler.unmute()
    one.advance(12)
    assert [("Muted for 10.2 min: 5 of 1 problem", "-1")] == pushes(inbox)
    one.report("disk", text="No space")
    assert ("No space", "0") == pushes(inbox)[-1]


def test_mute_goes_on_if_it_is_repeated(start, inbox):
    """It has one beginning and one end, and so one push; shortened, it ends earlier."""
    one = start()
    one.handler.mute("db-7", seconds=10 * MINUTE)
    one.report()
    one.advance(9 * MINUTE)
    one.handler.mute("db-7", seconds=HOUR)
    one.advance(2 * MINUTE)
    assert [] == pushes(inbox)
    one.handler.mute("db-7", seconds=MINUTE)
    one.advance(MINUTE + 12)
    assert [("Muted for 12 min: 1 of 1 problem", "-1")] == pushes(inbox)


def test_problem_that_passes_its_mute_is_not_listed_as_muted(start, inbox):
    """A CRITICAL one; it is while CRITICAL is muted too."""
    one = start()
    one.handler.mute(seconds="10m")
    one.report(level=logging.CRITICAL)
    one.report("disk", text="No space")
    assert {"No database": "open", "No space": "muted"} == {
        each.title: each.state for each in one.handler.problems()
    }
    one.handler.mute("db-7", seconds="10m", include_critical=True)
    assert ["muted"] * 2 == [each.state for each in one.handler.problems()]


def test_problem_that_was_reported_before(start, inbox):
    """What its window counts is reported with the rest, and what comes then is news."""
    one = start()
    one.report(times=10)
    one.handler.mute(seconds="10m")
    one.advance(301)
    one.report(times=10)
    one.advance(5 * MINUTE + 12)
    assert [("No database", "0"), ("Muted for 10 min: 19 of 1 problem", "-1")] == pushes(inbox)
    one.report()
    assert ("Again: No database", "0") == pushes(inbox)[-1]


@pytest.mark.parametrize("later", [0, 2])
def test_end_of_a_muted_problem(start, inbox, later):
    """Nobody has heard of it, so that its end is no push; its count is in the mute's."""
    one = start()
    one.handler.mute(seconds="10m")
    one.report(times=7)
    one.advance(10)
    one.handler.resolve("db-7")
    one.settle()
    assert [] == one.handler.problems()
    assert ["resolved"] == [each.state for each in one.handler.problems(include_over=True)]
    one.advance(10)
    one.report(times=later)
    assert ["muted"] * (later > 0) == [each.state for each in one.handler.problems()]
    one.advance(10 * MINUTE + 12)
    assert [(f"Muted for 10 min: {7 + later} of 1 problem", "-1")] == pushes(inbox)
    if not later:
        one.report()
        assert ("No database", "0") == pushes(inbox)[-1]


def test_storm_under_a_mute(start, inbox):
    """Beyond ten new problems at once: one push in the end, and no storm goes on after it."""
    one = start()
    one.handler.mute(seconds="10m")
    for number in range(30):
        extra = {"pushover": {"fingerprint": f"disk-{number}"}}
        one.log.error("No space on %d", number, extra=extra)
    one.advance(10 * MINUTE + 12)
    assert [("Muted for 10 min: 30 of 30 problems", "-1")] == pushes(inbox)
    one.report("new", text="No database")
    assert ("No database", "0") == pushes(inbox)[-1]


@pytest.mark.parametrize("seconds", [0, -1, 7 * DAY + 1, "8d", "soon", None, True, math.nan])
def test_mute_always_ends(drive, seconds):
    """Within 7 days."""
    with pytest.raises(ConfigurationError, match="seconds: got "):
        drive().handler.mute(seconds=seconds)


@pytest.mark.parametrize(
    "name", ["", " \n", 7, True, b"db-7", ["db-7"], "db-\udc80", "x" * 3_000_000]
)
def test_name_of_a_mute_is_checked(drive, name):
    """Before anything else; the error is short, and can be printed."""
    handler = drive().handler
    for call in (lambda: handler.mute(name, seconds=60), lambda: handler.unmute(name)):
        with pytest.raises(ConfigurationError, match=r"name: got .*, takes ") as raised:
            call()
        assert len(str(raised.value).encode()) < 500


def test_refused_report_of_a_mute_is_not_lost(start, inbox):
    """A summary brings the count later."""
    one = start()
    one.handler.mute(seconds="10m")
    one.report(times=3)
    inbox.fail_with(400, {"status": 0, "errors": ["message is no good"], "request": "r"})
    one.advance(10 * MINUTE + 1000)
    assert 1 == len(inbox.messages)
    assert "3" in inbox.messages[0]["title"]


def test_processes_share_a_mute(start, inbox):
    """One mutes; one of another host, and one that starts later, are quiet: one push for all."""
    one, other = start(), start(host="web-2")
    other.report("disk", text="No space")
    one.handler.mute(seconds="10m")
    one.report(times=10)
    other.report(times=20)
    late = start()
    late.report(times=30)
    together([one, other, late], 10 * MINUTE + 12)
    assert [("No space", "0"), ("Muted for 10 min: 60 of 1 problem", "-1")] == pushes(inbox)
    late.report("new", text="New")
    assert 3 == len(inbox.messages)


def test_mute_outlives_the_process(start, inbox, stores):
    """The next one reports what was hidden from the one before, whose exit brings no digest."""
    one = start(close_timeout=0)
    one.handler.mute(seconds="10m")
    one.report(times=10)
    one.advance(1)
    one.handler.close()
    one.settle()
    assert ([] if stores.is_shared else [("No database", "-2")]) == [*pushes(inbox)]
    one.thread.request_close()
    late = start()
    together([one, late], 3)
    late.report("disk", text="No space")
    late.advance(10 * MINUTE + 12)
    assert [("Muted for 10 min: 11 of 2 problems", "-1")] == pushes(inbox)


def test_mute_that_cannot_be_shared_raises(start, stores, monkeypatch):
    """The state is away."""
    one = start()
    if stores.kind == "memory":
        pytest.skip("memory is never away")
    if stores.kind == "file":
        stores.path.unlink(missing_ok=True)
        stores.path.mkdir()
    else:
        stores.server.stop()
    try:
        with pytest.raises(TemporaryError, match="shared state cannot be reached"):
            one.handler.mute(seconds=60)
    finally:
        if stores.kind == "redis":
            stores.server.start()


def test_nothing_to_mute(inbox):
    """Off, a mute has no effect; without a throttle nothing could be muted."""
    off = Driven(inbox, token="off")
    off.handler.mute(seconds=60)
    off.handler.unmute()
    one = Driven(inbox, throttle=False)
    with pytest.raises(ConfigurationError, match="throttle"):
        one.handler.mute(seconds=60)
    one.end()


# -- listed


def test_problems_are_listed_with_their_states(start, inbox):
    """The newest first: each state, and what is over only if asked for."""
    one = start(levels={"CRITICAL": "emergency"})
    began = one.clock.time()
    one.report("old", text="It was once")
    one.report("over", text="It is over")
    one.advance(10)
    one.handler.resolve("over")
    one.advance(301)
    one.report("fire", logging.CRITICAL, "Fire")
    one.advance(1)
    one.report("quiet", text="Quiet", times=3)
    one.handler.mute("quiet", seconds="10m")
    one.advance(5)
    one.report("db-7", times=7)
    one.advance(2)
    found = one.handler.problems()
    assert [
        ("No database", 40, 7, "open"), ("Quiet", 40, 3, "muted"), ("Fire", 50, 1, "emergency"),
    ] == [(each.title, each.level, each.count, each.state) for each in found]  # fmt: skip
    assert [317, 312, 311] == [round(each.since - began) for each in found]
    assert [317 + 300, 312 + 10 * MINUTE, 311 + HOUR] == [
        pytest.approx(each.until - began, abs=0.01) for each in found
    ]
    every = one.handler.problems(include_over=True)
    assert {"It was once": "cooling", "It is over": "resolved"} == {
        each.title: each.state for each in every if each.is_over
    }
    one.handler.mute(found[0].id, seconds="10m")
    assert "muted" == one.handler.problems()[0].state


def test_problem_whose_push_was_never_sent_has_its_level(start, inbox):
    """The service is away: the record's level is known all the same."""
    inbox.fail_with(503, times=None)
    one = start()
    one.report()
    one.advance(2)
    assert [(logging.ERROR, 1)] == [(each.level, each.count) for each in one.handler.problems()]


def test_processes_list_each_others_problems(start, inbox):
    """With the counts of all of them."""
    one, other = start(), start()
    one.report(times=10)
    other.report(times=5)
    together([one, other], 3)
    assert [15] == [each.count for each in other.handler.problems()]


# -- acknowledged, escalated

LEVELS = {"CRITICAL": {"priority": "emergency", "retry": 30, "expire": 600}}
SECOND = "gznej3rKEVAvPUxu9vvNnqpmZpokzF"  # the key of a second line
ESCALATING = {"CRITICAL": {**LEVELS["CRITICAL"], "escalate_to": SECOND}}


@pytest.fixture
def asked(inbox, stores):
    """The seconds at which the service was asked for a receipt."""
    seconds = []
    began = stores.clock.now

    def note(_):
        seconds.append(stores.clock.now - began)

    inbox.fail_with(500, times=None, path="/1/receipts/", match=note)
    return seconds


def let_pass(inbox, seconds, *processes):
    """Let time pass, for the service too."""
    for _ in range(0, seconds, 5):
        together(processes, 5)
        inbox.advance(5)


def gaps(seconds):
    return [after - before for before, after in itertools.pairwise(seconds)]


def test_acknowledgement_stops_the_questions_and_the_ringing(start, inbox, asked, caplog):
    """After 90 s: asked every 10 s until then; what comes later is high, and says who saw it."""
    caplog.set_level(logging.INFO, "pushover_logging")
    one = start(levels=LEVELS)
    one.report(level=logging.CRITICAL)
    one.advance(90)
    assert min(gaps(asked)) >= 10
    assert 4 <= len(asked) <= 9
    inbox.acknowledge(inbox.messages[0]["receipt"], device="pixel")
    one.advance(211)
    number = len(asked)
    assert number <= 11
    one.report(level=logging.CRITICAL)
    one.report(level=logging.CRITICAL, times=3)
    one.advance(915)
    assert number == len(asked)
    assert [
        ("No database", "2"), ("Again: No database", "1"), ("3 more: No database", "-1"),
    ] == pushes(inbox)  # fmt: skip
    for push in inbox.messages[1:]:
        assert "Acknowledged on pixel at " in push["message"]
        assert USER not in push["message"]
    assert ["acknowledged on pixel: No database"] == [
        record.getMessage() for record in caplog.records if record.levelno == logging.INFO
    ]
    assert "acknowledged" == one.handler.problems()[0].state
    one.handler.resolve("db-7")
    one.settle()
    one.report(level=logging.CRITICAL)
    assert ("No database", "2") == pushes(inbox)[-1]


def test_receipts_are_asked_for_less_often_after_five_minutes(start, inbox, asked):
    """Each every 10 s, then 30 s; all of them 5 s apart; not after they have expired."""
    one = start(levels=LEVELS)
    for name in "abc":
        one.report(name, logging.CRITICAL, f"{name} is down")
    let_pass(inbox, 650, one)
    assert min(gaps(asked)) >= 5
    assert sum(second <= 300 for second in asked) <= 3 * 30
    late = [second for second in asked if 340 <= second]
    assert len(late) <= 3 * 10
    number = len(asked)
    let_pass(inbox, 100, one)
    assert number == len(asked)
    assert 3 == len(inbox.messages)


@pytest.mark.parametrize("given", ["level", "record"])
def test_emergency_that_nobody_acknowledges_escalates_once(start, inbox, given):
    """To the second line, as an emergency, with the text and what happened above it."""
    one = start(levels=ESCALATING if given == "level" else LEVELS)
    own = {} if given == "level" else {"escalate_to": SECOND}
    one.report(level=logging.CRITICAL, **own)
    assert "escalate_to" not in inbox.messages[0]
    let_pass(inbox, 660, one)
    first, second = inbox.messages
    assert (SECOND, "2", "No database") == tuple(
        second[name] for name in ("user", "priority", "title")
    )
    head, _, text = second["message"].partition("\n")
    assert ("Nobody acknowledged this within 10 min.", first["message"]) == (head, text)
    assert first["tags"] == second["tags"]
    let_pass(inbox, 660, one)
    assert 2 == len(inbox.messages)


@pytest.mark.parametrize("asked_at", [12, 90])
def test_service_decides_whether_an_emergency_has_expired(start, inbox, asked_at):
    """Not the program's clock: the service's is ahead, or runs 60 times as fast."""
    one = start(levels=ESCALATING)
    one.report(level=logging.CRITICAL)
    let_pass(inbox, asked_at, one)
    inbox.advance(600)
    let_pass(inbox, 30, one)
    assert [USER, SECOND] == [push["user"] for push in inbox.messages]
    let_pass(inbox, 700, one)
    assert 2 == len(inbox.messages)


def test_service_decides_that_an_emergency_goes_on(start, inbox, caplog):
    """Its clock is slower than the program's."""
    caplog.set_level(logging.INFO, "pushover_logging")
    one = start(levels=ESCALATING)
    one.report(level=logging.CRITICAL)
    one.clock.now += 2 * DAY
    one.advance(60)
    assert 1 == len(inbox.messages)
    inbox.acknowledge(inbox.messages[0]["receipt"])
    one.advance(60)
    assert "acknowledged on phone: No database" in caplog.text


def test_emergency_keeps_its_problem_from_being_forgotten(start, inbox, stores):
    """While its receipt is asked for, whatever the throttle's windows are."""
    short = {**stores.options().get("throttle", {}), "windows": [10], "forget_after": 0}
    one = start(levels=ESCALATING, throttle=short)
    one.report(level=logging.CRITICAL)
    let_pass(inbox, 100, one)
    one.report()
    let_pass(inbox, 600, one)
    assert [USER, USER, SECOND] == [push["user"] for push in inbox.messages]


def test_full_memory_keeps_an_emergency(start, inbox, monkeypatch, stores):
    """Problems make room first once their pushes are out; in shared state they do as well."""
    for name in ("store", "sqlite", "redis")[: 3 if stores.is_shared else 1]:
        module = importlib.import_module(f"pushover_logging.throttle.{name}")
        capacity = "MEMORY_CAPACITY" if name == "store" else "SHARED_CAPACITY"
        monkeypatch.setattr(module, capacity, 16)
    one = start(levels=ESCALATING)
    one.report(level=logging.CRITICAL)
    for number in range(20):
        one.clock.now += 61
        one.report(f"disk-{number}", text="No space")
    inbox.advance(600)
    one.advance(61)
    assert SECOND == inbox.messages[-1]["user"]


def test_each_emergency_of_a_group_escalates(start, inbox):
    """One line with different texts becomes one problem, but no emergency is forgotten."""
    one = start(levels=ESCALATING)
    for text in ["fire", "flood", "frost", "smoke", "steam", "storm", "quake"]:
        one.log.critical(text)
        one.settle()
    emergencies = [push["priority"] for push in inbox.messages].count("2")
    assert 4 <= emergencies < 7
    let_pass(inbox, 720, one)
    assert emergencies == [push["user"] for push in inbox.messages].count(SECOND)


def test_escalation_is_acknowledged_too(start, inbox):
    """By the second line: no more emergencies."""
    one = start(levels=ESCALATING)
    one.report(level=logging.CRITICAL)
    let_pass(inbox, 650, one)
    inbox.acknowledge(inbox.messages[1]["receipt"], device="nokia")
    let_pass(inbox, 60, one)
    one.report(level=logging.CRITICAL)
    assert "1" == inbox.messages[-1]["priority"]
    assert "Acknowledged on nokia at " in inbox.messages[-1]["message"]


@pytest.mark.parametrize("ends", ["by itself", "early", "resolved"])
def test_escalation_waits_for_the_end_of_its_mute(start, inbox, ends):
    """Nobody is called while CRITICAL is muted too; a mute that lets it pass holds nothing."""
    one = start(levels=ESCALATING)
    for name in ("db-7", "disk"):
        one.report(name, logging.CRITICAL, f"{name} is down")
    one.handler.mute(seconds="20m")
    one.handler.mute("db-7", seconds="20m", include_critical=True)
    let_pass(inbox, 700, one)
    called = [push["title"] for push in inbox.messages if push["user"] == SECOND]
    assert ["disk is down"] == called
    if ends == "resolved":
        one.handler.resolve("db-7")
    if ends == "early":
        one.handler.unmute("db-7")
    let_pass(inbox, 60 if ends == "early" else 520, one)
    called = [push["title"] for push in inbox.messages if push["user"] == SECOND]
    assert ["disk is down"] + ["db-7 is down"] * (ends != "resolved") == called


def test_another_process_escalates(start, inbox):
    """The one that sent the emergency is gone."""
    one, other = start(levels=ESCALATING), start(levels=ESCALATING)
    other.report("disk", text="No space")
    one.report(level=logging.CRITICAL)
    together([one, other], 3)
    one.end()
    let_pass(inbox, 660, other)
    assert [None, None, SECOND] == [
        {USER: None}.get(push["user"], push["user"]) for push in inbox.messages
    ]


def test_one_look_is_enough_to_escalate(start, inbox):
    """As that of `overdue`, which runs long after the expiry: it asks, and escalates at once."""
    one, other = start(levels=ESCALATING), start()
    one.report(level=logging.CRITICAL)
    one.advance(3)
    one.end()
    one.clock.now += 700
    inbox.advance(700)
    other.settle()
    assert [USER, SECOND] == [push["user"] for push in inbox.messages]


def test_end_of_a_process_waits_for_no_receipt(start, inbox, asked):
    """It sends what waits, and asks nothing more."""
    one = start(levels=LEVELS)
    one.report(level=logging.CRITICAL)
    one.clock.now += 30
    one.thread.request_close()
    one.settle()
    assert ([], 1) == (asked, len(inbox.messages))


def test_one_process_asks(start, inbox, asked):
    """Of two that share the state."""
    one, other = start(levels=LEVELS), start(levels=LEVELS)
    one.report(level=logging.CRITICAL)
    other.report("disk", logging.CRITICAL, "No space")
    together([one, other], 120)
    assert min(gaps(asked)) >= 5
    assert 10 <= len(asked) <= 24


def test_resolved_emergency_is_asked_for_no_more(start, inbox):
    """It is cancelled by its tag, and does not escalate."""
    one = start(levels=ESCALATING)
    one.report(level=logging.CRITICAL)
    let_pass(inbox, 30, one)
    asked = []
    one.handler.resolve("db-7")
    one.settle()
    inbox.fail_with(500, times=None, path="/1/receipts/", match=asked.append)
    let_pass(inbox, 660, one)
    assert [] == asked
    assert ["No database", "Resolved: db-7"] == [title for title, _ in pushes(inbox)]


def test_emergency_that_somebody_cancelled_does_not_escalate(start, inbox):
    """From elsewhere, before its time."""
    one = start(levels=ESCALATING)
    one.report(level=logging.CRITICAL)
    let_pass(inbox, 30, one)
    one.handler._pipeline._client.cancel(inbox.messages[0]["receipt"])
    let_pass(inbox, 660, one)
    assert 1 == len(inbox.messages)


@pytest.mark.parametrize("status", [404, 500, 429])
def test_fault_of_a_receipt_is_asked_for_again(start, inbox, caplog, status):
    """Nothing is raised or warned of; a receipt that stays unknown counts as expired."""
    body = {"status": 0, "errors": ["receipt not found"], "receipt": "not found", "request": "r"}
    one = start(levels=ESCALATING)
    one.report(level=logging.CRITICAL)
    asked = []
    fault = {"times": None if status == 404 else 2, "path": "/1/receipts/"}

    def note(_):
        asked.append(one.clock.now)
        return True

    inbox.fail_with(status, body if status == 404 else {}, match=note, **fault)
    let_pass(inbox, 120, one)
    assert len(asked) >= 2
    assert min(gaps(asked)) >= 10
    let_pass(inbox, 620, one)
    assert "" == caplog.text
    assert SECOND == inbox.messages[1]["user"]
    assert 2 == len(inbox.messages)


def test_escalation_that_is_refused_goes_to_the_default_user(start, inbox, caplog):
    """As any push to a user that the service refuses."""
    one = start(levels=ESCALATING)
    inbox.refused.add(SECOND)
    one.report(level=logging.CRITICAL)
    let_pass(inbox, 700, one)
    assert [USER, USER] == [push["user"] for push in inbox.messages]
    assert "its own user was refused" in inbox.messages[1]["message"]


def test_escalation_that_the_service_refuses_is_not_repeated(start, inbox, caplog):
    """As any message that it refuses."""
    one = start(levels=ESCALATING)
    refused = {"status": 0, "errors": ["message is no good"], "request": "r"}
    inbox.fail_with(400, refused, times=None, match=lambda form: form["user"] == SECOND)
    one.report(level=logging.CRITICAL)
    let_pass(inbox, 700, one)
    assert (1, 2) == (len(inbox.messages), len(inbox.attempts))
    assert 1 == caplog.text.count("rejected")


def test_escalation_that_cannot_be_sent_waits(start, inbox):
    """The service is down at that moment: it goes out once, when that is up again."""
    one = start(levels=ESCALATING)
    inbox.fail_with(500, times=2, match=lambda form: form["user"] == SECOND)
    one.report(level=logging.CRITICAL)
    let_pass(inbox, 720, one)
    assert [USER, SECOND] == [push["user"] for push in inbox.messages]


def test_damaged_escalation_is_dropped(start, inbox):
    """By another program, in the shared state."""
    one = start(levels=ESCALATING)
    one.report(level=logging.CRITICAL)
    key = explicit("db-7")
    with one.handler._problems() as throttle:

        def damage():
            problem = throttle._get(key)
            problem.escalation = "{}"
            throttle._save(key, problem)

        throttle._transaction(damage)
    let_pass(inbox, 700, one)
    assert 1 == len(inbox.messages)
    assert ["No database"] == [each.title for each in one.handler.problems(include_over=True)]


def test_late_answer_changes_nothing(start, inbox):
    """The problem is over, or has another receipt, by the time that it comes."""
    one = start(levels=ESCALATING)
    one.report(level=logging.CRITICAL)
    one.settle()
    receipt = inbox.messages[0]["receipt"]
    inbox.acknowledge(receipt)
    one.handler.resolve("db-7")
    one.settle()
    key, client = explicit("db-7"), one.handler._pipeline._client
    with one.handler._problems() as throttle:
        before = throttle.problems(0.0, include_over=True)
        receipts.ask(client, throttle, FollowUp(key, receipt, "", 0.0))
        throttle.will_expire(key, receipt, 1)
        throttle.expired(key, receipt)
        throttle.escalated("another push", [key], None, 0.0)
        assert "resolved" == before[0].state
        assert before == throttle.problems(0.0, include_over=True)


@pytest.mark.parametrize("key", ["nobody", f"{USER},{SECOND}", 7, ""])
def test_key_of_an_escalation_is_checked(inbox, key):
    """At construction, with the level's name, and without showing the key."""
    with pytest.raises(ConfigurationError, match=r"CRITICAL.*: escalate_to: got \*\*\*"):
        Driven(inbox, levels={"CRITICAL": {"priority": 2, "escalate_to": key}})


# -- the commands


def listed(title="No database", state="open", **given):
    """Return a problem of 14:02 of some day."""
    at = time.mktime((2026, 11, 29, 14, 2, 0, 0, 0, -1))
    values = {"id": "0f3a9c1e", "level": 50, "count": 312, "since": at, "last": at + 420}
    return ListedProblem(**{**values, "state": state, "until": at + 3600, "title": title, **given})


def test_table_fits_the_terminal():
    """80 columns and no colour; with colours it is as wide, and no title reaches the terminal."""
    now = listed().last + 60
    found = [
        listed(state="emergency"), listed(f"No space on \x1b[31m{'/srv' * 30}", level=40),
        listed(state="acknowledged", until=None), listed(since=now - 5 * DAY, state="cooling"),
    ]  # fmt: skip
    lines = problems.table(found, now, 80, in_color=False)
    assert [
        "ID        LEVEL     COUNT  SINCE   LAST   STATE                  TITLE",
        "0f3a9c1e  CRITICAL  312    14:02   14:09  emergency until 15:02  No database",
    ] == lines[:2]
    assert max(map(len, lines)) <= 80
    assert "24 Nov" in lines[4]
    colored = problems.table(found, now, 80, in_color=True)
    assert "\x1b[31memergency until 15:02\x1b[0m" in colored[1]
    assert lines == [re.sub(r"\x1b\[\d+m", "", line) for line in colored]
    assert ["no open problems"] == problems.table([], now, 80, in_color=True)
    for width in (70, 58, 40, 20):
        lines = problems.table(found, now, width, in_color=False)
        assert width >= max(map(len, lines))
        assert lines[1].startswith("0f3a9c1e  CRITICAL")
        colored = problems.table(found, now, width, in_color=True)
        assert lines == [re.sub(r"\x1b\[\d+m", "", line) for line in colored]
    assert "No…" == problems.table(found, now, 68, in_color=False)[1][65:]


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("数据库连接失败" * 4, "数据库连接失败…"),
        ("ｄａｔａ" + "库" * 9, "ｄａｔａ库库库…"),
        ("e\u0301" * 15 + "x" * 9, "e\u0301" * 15 + "…"),
        ("\u202eesabatad\u2066 on\ufeff\x9b31m", "�esabatad� on�"),
        ("a\u2028b\r\nc\td", "a b c d"),
    ],
)
def test_title_has_its_columns_whatever_it_is(title, shown):
    """Wide characters take two, accents none, and no terminal obeys what is in it."""
    one = listed(title, state="emergency", count=31)
    _, line = problems.table([one], one.last, 80, in_color=False)
    assert shown == line[64:]


@pytest.mark.process
@pytest.mark.parametrize("kind", ["file", "redis"])
def test_commands_of_an_incident(command, inbox, request, tmp_path, handler_for, kind):
    """Listed, muted by name and by id, unmuted: what each prints, and what the phone gets."""
    if kind == "file":
        options, environ = {"outbox": tmp_path / "o.sqlite"}, {"PUSHOVER_OUTBOX": "o.sqlite"}
    else:
        url = request.getfixturevalue("redis").url
        options, environ = {"throttle": url}, {"PUSHOVER_THROTTLE": url}
    status, out, err = command.run("mute", "db-7", "--for", "1h", "--include-critical", **environ)
    assert (0, b"") == (status, err)
    assert re.fullmatch(
        r"db-7: muted until \d.*\n"
        "No problem has this name now; the mute holds for when one comes.\n",
        out.decode(),
    )
    handler = handler_for(**options)
    log = logging.Logger("shop")
    log.addHandler(handler)
    log.critical("No database", extra={"pushover": {"fingerprint": "db-7"}})
    log.error("No space", extra={"pushover": {"fingerprint": "disk"}})
    assert handler.flush(10)
    assert ["No space"] == [push["title"] for push in inbox.messages]
    status, out, err = command.run("problems", **environ)
    assert (0, b"", 4) == (status, err, len(out.splitlines()))
    assert out.splitlines()[3].startswith(b"db-7: muted until ")
    (muted,) = (line for line in out.decode().splitlines() if "No database" in line)
    assert re.search(r"CRITICAL +1 .* muted until \d\d?(:\d\d| \w{3}) +No database$", muted)
    assert (0, b"disk has no mute of its own\n", b"") == command.run("unmute", "disk", **environ)
    key = muted.split()[0]
    for name in (key, "db-7"):
        status, out, err = command.run("mute", name, "--for", "2d", **environ)
        assert (0, b"", 1) == (status, err, len(out.splitlines()))
    assert (0, b"unmuted\n", b"") == command.run("unmute", **environ)
    assert (0, b"nothing was muted\n", b"") == command.run("unmute", **environ)
    titles = [push["title"] for push in inbox.wait_for(2, timeout=30)]
    assert re.fullmatch(r"Muted for .*: 1 of 1 problem", titles[1])


@pytest.mark.process
@pytest.mark.parametrize("kind", ["file", "redis"])
def test_unmute_sends_what_a_program_left(command, inbox, request, handler_for, kind):
    """No process of it runs; if the service does not answer, a later one sends it."""
    path = command.directory / "o.sqlite"
    environ = {"PUSHOVER_OUTBOX": str(path)}
    if kind == "redis":
        environ = {"PUSHOVER_THROTTLE": request.getfixturevalue("redis").url}
    options = {
        "outbox": environ.get("PUSHOVER_OUTBOX"),
        "throttle": environ.get("PUSHOVER_THROTTLE"),
    }
    for name in ("db-7", "disk"):
        assert 0 == command.run("mute", name, "--for", "1h", **environ)[0]
    handler = handler_for(**options)
    for name in ("db-7", "disk"):
        extra = {"pushover": {"fingerprint": name}}
        record = {"levelno": logging.ERROR, "msg": f"{name} is down", **extra}
        handler.handle(logging.makeLogRecord(record))
    handler.close()
    assert (0, b"unmuted\n", b"") == command.run("unmute", "db-7", **environ)
    assert ["x1 db-7 is down"] == [push["message"].partition(",")[0] for push in inbox.messages]
    inbox.fail_with(500, times=None)
    status, out, err = command.run("unmute", **environ)
    assert (0, b"unmuted\n") == (status, out)
    assert b"what was held back is not sent yet (" in err
    inbox.clear_faults()
    handler_for(**options).report_due()
    assert "x1 disk is down" == inbox.wait_for(2, timeout=60)[1]["message"].partition(",")[0]
    assert [path] * (kind == "file") == list(command.directory.rglob("*.sqlite"))


@pytest.mark.process
def test_overdue_reports_that_the_end_of_a_mute_is_not_sent(command, inbox, handler_for):
    """On stderr and by its status, as for a job; the next call sends it."""
    path = command.directory / "o.sqlite"
    handler = handler_for(outbox=path)
    handler.mute(seconds=1)
    handler.handle(logging.makeLogRecord({"levelno": logging.ERROR, "msg": "No database"}))
    handler.close()
    time.sleep(1)  # the mute's
    inbox.fail_with(500, times=None)
    status, out, err = command.run("overdue", "--outbox", path)
    assert (75, b"", 1) == (status, out, len(err.splitlines()))
    assert err.startswith(b"pushover-logging: a push was not sent: ")
    assert b"500" in err
    inbox.clear_faults()
    assert (0, b"", b"") == command.run("overdue", "--outbox", path)
    assert ["Muted for 1 s: 1 of 1 problem"] == [push["title"] for push in inbox.messages]


@pytest.mark.process
def test_commands_without_shared_state(command):
    """One line that says how to have it; none of them makes a file."""
    for arguments in (["problems"], ["mute", "--for", "1h"], ["unmute"]):
        status, out, err = command.run(*arguments)
        assert (2, b"", 1) == (status, out, len(err.splitlines()))
        assert b"pass --outbox PATH or --store URL, or set PUSHOVER_OUTBOX" in err
    for given in ("8d", "1.5h"):
        status, _, err = command.run("mute", "--for", given, PUSHOVER_OUTBOX="o.sqlite")
        takes = f"takes {DURATION}, above 0 and at most 7d"
        assert (2, True) == (status, f"--for: got '{given}', {takes}" in err.decode())
    mistyped = command.directory / "typo.sqlite"
    for arguments in (["mute", "--for", "1h"], ["unmute"], ["problems"]):
        environ = {"PUSHOVER_OUTBOX": "o.sqlite"}
        status, out, err = command.run(*arguments, "--outbox", mistyped, **environ)
        assert (2, b"", 1) == (status, out, len(err.splitlines()))
        assert f"there is no file {mistyped}; " in err.decode()
    assert not list(command.directory.rglob("*.sqlite"))


@pytest.mark.process
def test_mute_holds_in_a_forks_child(program, command, inbox):
    """Through the file that both share; the counts of both are one push."""
    code, _, err = program.run("""
        import logging, os
        from pushover_logging import PushoverHandler

        handler = PushoverHandler(outbox="o.sqlite")
        log = logging.Logger("shop")
        log.addHandler(handler)
        handler.mute(seconds="1h")
        log.error("No database")
        child = os.fork()
        for _ in range(5):
            log.error("No database")
        handler.close()
        if not child:
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        handler = PushoverHandler(outbox="o.sqlite")
        (problem,) = handler.problems()
        assert (11, "muted") == (problem.count, problem.state), problem
        handler.unmute()
        handler.report_due()  # else the digest of the exit might have it
        handler.close()
    """)
    assert (0, "") == (code, err)
    (push,) = inbox.wait_for(1)
    assert re.fullmatch(r"Muted for .*: 11 of 1 problem", push["title"])


class AheadClock(Clock):
    """The real clock, some seconds ahead."""

    seconds = 0.0

    def monotonic(self):
        return Clock.monotonic() + self.seconds

    def time(self):
        return Clock.time() + self.seconds


@pytest.mark.process
@pytest.mark.parametrize(
    ("kind", "looks"), [("file", "process"), ("redis", "process"), ("file", "command")]
)
def test_emergency_of_a_killed_process_escalates(
    program, inbox, request, handler_for, kind, looks, monkeypatch
):
    """A process that has logged no error sends the escalation; without any, `overdue` does."""
    for name, value in inbox.environ.items():
        monkeypatch.setenv(name, value)
    given = {"outbox": str(program.directory / "o.sqlite")}
    options = given
    if kind == "redis":
        options = {"throttle": request.getfixturevalue("redis").url}
    ahead = AheadClock()
    watcher = handler_for(**options, level="ERROR", clock=ahead)  # begun before, without an error
    watcher.handle(logging.makeLogRecord({"levelno": logging.INFO, "msg": "starting"}))
    assert watcher._pipeline.thread.thread is None
    with program.start(f"""
        import logging, time
        from pushover_logging import PushoverHandler

        fields = {{"priority": 2, "expire": 2, "escalate_to": "{SECOND}"}}
        handler = PushoverHandler(levels={{"CRITICAL": fields}}, **{options})
        log = logging.Logger("shop")
        log.addHandler(handler)
        log.critical("No database", extra={{"pushover": {{"fingerprint": "db-7"}}}})
        assert handler.flush(10)
        time.sleep(2)  # what follows the answer is written
        print("sent", flush=True)
        time.sleep(60)
    """) as process:
        assert "sent\n" == process.stdout.readline()
        process.kill()
    if looks == "command":
        inbox.advance(60)
        ahead.seconds = 60
        command = ["overdue", *(f"--{name}={value}" for name, value in given.items())]
        assert 0 == main(command, clock=ahead)
    else:
        ahead.seconds = 11
        watcher.handle(logging.makeLogRecord({"levelno": logging.INFO, "msg": "at work"}))
    found = inbox.wait_for(2, timeout=60)
    assert ["No database"] * 2 == [push["title"] for push in found]
    assert (SECOND, "2") == (found[1]["user"], found[1]["priority"])


@pytest.mark.process
def test_mute_while_redis_is_away(redis, handler_for, inbox):
    """A new problem comes at once and names the reason; no call waits, and no record is lost."""
    handler = handler_for(throttle=redis.url)
    handler.mute(seconds="1h")
    handler.handle(logging.makeLogRecord({"levelno": logging.ERROR, "msg": "No database"}))
    assert handler.flush(10)
    redis.process.send_signal(signal.SIGSTOP)  # it takes connections, and answers nothing
    for call in (lambda: handler.mute(seconds=60), handler.unmute, handler.problems):
        with pytest.raises(TemporaryError, match="shared state cannot be reached"):
            call()
    began = time.monotonic()
    for text in ("No database", "No disk") * 200:
        handler.handle(logging.makeLogRecord({"levelno": logging.ERROR, "msg": text}))
    assert time.monotonic() - began < 400 * 0.25 / 2  # of what each would wait for Redis
    (push,) = inbox.wait_for(1)
    assert "No disk" == push["title"]
    assert "duplicates are possible" in push["message"]
    redis.process.send_signal(signal.SIGCONT)
    handler.close()
    assert (401, 0) == (handler.stats().records, handler.stats().pending)
    late = handler_for(throttle=redis.url)
    late.unmute()
    late.report_due()
    digest, muted = (push["message"].splitlines() for push in inbox.wait_for(3)[1:])
    lines = [line.partition(",")[0] for line in (*digest, *muted) if line.startswith("x")]
    assert ["x1 No database", "x199 No disk", "x200 No database"] == sorted(lines)


@pytest.mark.process
@pytest.mark.parametrize("kind", ["file", "redis"])
def test_mute_and_list_during_a_storm(program, command, inbox, request, kind):
    """Of eight processes, which log until each command is done: every count is exact."""
    environ = {"PUSHOVER_OUTBOX": str(program.directory / "o.sqlite")}
    if kind == "redis":
        environ = {"PUSHOVER_THROTTLE": request.getfixturevalue("redis").url}
    names = "db-7", "disk", "card"

    def run(*arguments):
        """Run a command again while the machine is too slow for it."""
        status = 75
        while status == 75:
            status, out, err = command.run(*arguments, **environ)
        assert (0, b"") == (status, err)
        return out

    source = textwrap.dedent(f"""
        import logging, select, sys
        from pushover_logging import PushoverHandler

        handler = PushoverHandler(close_timeout=60)
        log = logging.Logger("shop")
        log.addHandler(handler)
        rounds = 0
        while not select.select([sys.stdin], [], [], 0.005)[0]:
            for name in {names}:
                log.error("%s is down", name, extra={{"pushover": {{"fingerprint": name}}}})
            rounds += 1
            if rounds == 1:
                print("started", flush=True)
        handler.close()
        print(rounds)
    """)
    storm = [sys.executable, program.path(PATIENT + source)]
    run("mute", "--for", "1h", "--include-critical")
    with contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(program.start_command(storm, stdin=subprocess.PIPE, **environ))
            for _ in range(8)
        ]
        for process in started:
            assert "started\n" == process.stdout.readline()
        found = []
        while len(found) < len(names):
            found = json.loads(run("problems", "--json"))
        assert {"muted"} == {problem["state"] for problem in found}
        run("mute", "db-7", "--for", "2h")
        said = [process.communicate("\n") for process in started]
    assert [""] * 8 == [err for _, err in said]
    assert [] == inbox.messages
    rounds = sum(int(out) for out, _ in said)
    counts = {one["title"]: one["count"] for one in json.loads(run("problems", "--json"))}
    assert {f"{name} is down": rounds for name in names} == counts
    assert b"unmuted\n" == run("unmute")
    (push,) = inbox.wait_for(1)
    assert re.fullmatch(rf"Muted for .*: {3 * rounds} of 3 problems", push["title"])


def test_mute_wakes_a_sender_that_rests(handler_for, inbox):
    """What it held back is reported when it ends, though nothing is logged any more."""
    handler = handler_for(level="ERROR")
    log = logging.Logger("shop")
    log.addHandler(handler)
    log.error("No database")
    inbox.wait_for(1)
    handler.mute(seconds=60)
    log.error("No disk")
    assert handler.flush(10)
    handler.unmute()
    first, second = inbox.wait_for(2)
    assert "No database" == first["title"]
    assert second["title"].startswith("Muted for ")
