"""What the throttle promises wherever its state lives: memory, an outbox's file, Redis."""

import contextlib
import importlib
import itertools
import logging
import socket
import sys

import pytest

from pushover_logging import ConfigurationError
from pushover_logging.exceptions import Unreachable
from pushover_logging.identity.fingerprint import GroupKey
from pushover_logging.throttle import store as stores_module
from pushover_logging.throttle.limits import QuotaLevel
from pushover_logging.throttle.rules import (
    LEASE,
    PUSHED,
    Occurrences,
    PushInfo,
    Rules,
    Verdict,
)
from pushover_logging.throttle.store import OVERFLOW_KEY
from pushover_logging.throttle.throttle import Candidate, Counted

W, E, C = logging.WARNING, logging.ERROR, logging.CRITICAL
WINDOW, HOUR, DAY = 300, 3600, 86_400
SHOP = GroupKey("call site:shop", "shop.py:7")
DATABASE = GroupKey("root cause:database", "In pay")
FIRST, AGAIN, ESCALATED = Verdict.FIRST, Verdict.AGAIN, Verdict.ESCALATED
SUPPRESSED, REPORTED, WAIT = Verdict.SUPPRESSED, Verdict.REPORTED, Verdict.WAIT
IDS = itertools.count()


class Process:
    """One process's throttle, used as its sender uses it."""

    def __init__(self, stores, **rules):
        self.clock = stores.clock
        self.throttle = stores.throttle(**rules)

    def candidate(self, key="a", level=E, **more):
        created = more.pop("created", self.clock.time())
        info = more.pop("info", PushInfo(f"{key} is down"))
        return Candidate(f"id {next(IDS)}", key, level, created, info, **more)

    def decide(self, key="a", level=E, **more):
        return self.throttle.decide(self.candidate(key, level, **more))

    def answer(self, decision, *, refused=False):
        own = decision.candidate
        return self.throttle.notified(own.id, [decision.key], decision, refused=refused)

    def record(self, key="a", level=E, **more):
        """Decide a record and have its push accepted; return the verdict."""
        decision = self.decide(key, level, **more)
        if decision.verdict in PUSHED:
            self.answer(decision)
        return decision.verdict

    def count(self, number=1, key="a", level=E, *, reported=E, group=None, **more):
        at = self.clock.time()
        texts, sources = more.pop("texts", ()), (f"{id(self)} x@web-1",)
        occurrences = Occurrences(number, at, at, level, sources=sources, texts=texts)
        problem, info = more.pop("problem", key), more.pop("info", PushInfo(f"{key} is down"))
        found = Counted(key, problem, reported, occurrences, info, group, **more)
        return self.throttle.count([found])[key]

    def report(self, *, at_exit=False):
        """Send all summaries that are due; return the number that each problem's count has."""
        numbers = {}
        while counts := self.throttle.due(push := f"id {next(IDS)}", at_exit=at_exit):
            for count in counts:
                numbers[count.key] = numbers.get(count.key, 0) + count.count
            self.throttle.notified(push, [count.key for count in counts])
        return numbers


@pytest.fixture
def process(stores):
    return Process(stores)


# -- one candidate


def test_same_candidate_is_decided_alike_and_counted_once(process):
    """A retry, a crash or a takeover asks again."""
    first, more = process.candidate(), process.candidate()
    assert [FIRST] * 2 == [process.throttle.decide(first).verdict for _ in range(2)]
    process.answer(process.throttle.decide(first))
    assert REPORTED is process.throttle.decide(first).verdict
    assert [SUPPRESSED] * 3 == [process.throttle.decide(more).verdict for _ in range(3)]
    process.clock.now += WINDOW
    (count,) = process.throttle.due("summary")
    assert (1, 2) == (count.count, count.total)
    end = process.candidate(resolves=True)
    assert WAIT is process.throttle.decide(end).verdict
    process.throttle.notified("summary", ["a"])
    process.answer(process.throttle.decide(end))
    assert REPORTED is process.throttle.decide(end).verdict


def test_problem_waits_while_another_push_of_it_is_on_its_way(process):
    """Until that claim expires: then the next takes it, and a late answer counts nothing twice."""
    first = process.decide()
    other = process.candidate()
    process.clock.now += LEASE - 1
    assert WAIT is process.throttle.decide(other).verdict
    process.clock.now += 1
    again = process.throttle.decide(other)
    assert FIRST is again.verdict
    process.answer(again)
    assert SUPPRESSED is process.throttle.decide(first.candidate).verdict
    process.clock.now += WINDOW
    assert {"a": 1} == process.report()
    late = process.decide("b")
    process.clock.now += LEASE
    assert FIRST is process.record("b")
    process.answer(late)
    assert {} == process.report(at_exit=True)


def test_released_push_keeps_everything(process):
    """Nothing was taken out before it was reported: the same push may be tried again, with more."""
    process.record(level=W)
    process.count(3, level=W, reported=W)
    worse = process.candidate(level=E)
    decision = process.throttle.decide(worse)
    assert (ESCALATED, 3) == (decision.verdict, decision.included_count.count)
    process.throttle.released(worse.id, ["a"])
    process.count(2, level=W, reported=W)
    again = process.throttle.decide(worse)
    assert (ESCALATED, 5, 7) == (
        again.verdict, again.included_count.count, again.included_count.total
    )  # fmt: skip
    process.answer(again)
    assert {} == process.report(at_exit=True)
    process.throttle.released("its problem", ["that is gone"])


def test_answer_is_taken_once(process):
    """Also if the one that takes it dies, and the next one takes it again."""
    first = process.decide()
    process.answer(first)
    process.clock.now += WINDOW
    again = process.decide()
    assert AGAIN is again.verdict
    process.answer(again)
    process.clock.now += 2
    process.answer(again)
    process.count(4)
    process.clock.now += 900 - 3
    assert {} == process.report()
    process.clock.now += 1
    (count,) = process.throttle.due("summary")
    process.throttle.notified("summary", ["a"])
    after = process.throttle.views(["a"])
    process.throttle.notified("summary", ["a"])
    assert after == process.throttle.views(["a"])
    process.count(2)
    process.throttle.notified("summary", ["a"])
    assert 4 == count.count
    assert {"a": 2} == process.report(at_exit=True)


@pytest.mark.parametrize("ends", ["released", "expired"])
def test_summary_that_was_not_sent_is_due_again(process, ends):
    """With what was counted since; the process that died has no more say."""
    process.record()
    process.count(3)
    process.clock.now += WINDOW
    assert [3] == [count.count for count in process.throttle.due("one")]
    assert [] == process.throttle.due("two")
    process.count(2)
    if ends == "released":
        process.throttle.released("one", ["a"])
    else:
        process.clock.now += LEASE
    assert [5] == [count.count for count in process.throttle.due("two")]
    process.throttle.notified("one", ["a"])
    process.throttle.released("one", ["a"])
    process.throttle.notified("two", ["a"])
    assert {} == process.report(at_exit=True)


def test_problem_gets_worse_at_most_four_times(process):
    """What rises further is counted; a CRITICAL among that is due within the hour."""
    process.throttle.rules = Rules(windows=(float(DAY),))
    verdicts = [process.record(level=level) for level in (0, 1, 2, 3, 4, C)]
    assert [FIRST] + [ESCALATED] * 4 + [SUPPRESSED] == verdicts
    assert HOUR == pytest.approx(process.throttle.next_due(), abs=0.01)


def test_answer_to_a_push_whose_problem_is_gone_changes_nothing(stores):
    """What the push claimed was lost meanwhile: its next record is a first."""
    process = Process(stores)
    decision = process.decide()
    process.throttle = stores.throttle("2")
    assert {} == process.answer(decision)
    assert FIRST is process.record()


# -- the end of a problem


def test_count_from_before_an_end_does_not_begin_the_problem_anew(process):
    """It is reported under other problems; one from after it is a new problem's."""
    process.record()
    late = process.clock.time()
    process.clock.now += 10
    process.record(resolves=True)
    found = Counted("a", "a", E, Occurrences(2, late, late, E), PushInfo("a is down"))
    process.throttle.count([found])
    process.clock.now += 10
    process.count(3)
    assert {OVERFLOW_KEY: 2, "a": 3} == process.report(at_exit=True)


def test_end_without_room_in_the_quota_keeps_its_count(process):
    """A push that something is over is no news to spend the last of it for."""
    process.record()
    process.count(3)
    process.throttle.set_quota_level(QuotaLevel.LOW)
    assert SUPPRESSED is process.record(resolves=True)
    assert FIRST is process.record()
    assert {OVERFLOW_KEY: 3} == process.report(at_exit=True)


def test_texts_of_counts_add_up(process):
    """The most frequent of what the records said comes first, over all that was counted."""
    process.record()
    process.count(3, texts=("2 Card amex failed", "1 Card visa failed"))
    process.count(2, texts=("2 Card visa failed",))
    process.clock.now += WINDOW
    (count,) = process.throttle.due("summary")
    assert ("3 Card visa failed", "2 Card amex failed") == count.texts


# -- groups


def test_whole_is_what_its_parts_were(process):
    """The highest level, all places, and the claim of a part's push that is on its way."""
    process.record("0", C, group=DATABASE)
    process.count(2, "0", C, reported=C, group=DATABASE)
    process.record("1", group=DATABASE)
    on_its_way = process.decide("2", group=DATABASE)
    decision = process.decide("3", group=DATABASE)
    assert (SUPPRESSED, DATABASE.group) == (decision.verdict, decision.key)
    assert {} == process.report(at_exit=True)
    process.answer(on_its_way)
    process.clock.now += 60
    process.decide("4", group=GroupKey(DATABASE.group, "In refund"))
    (count,) = process.throttle.due("one", at_exit=True)
    assert (DATABASE.group, 4, C, "0 is down") == (
        count.key, count.count, count.level, count.title
    )  # fmt: skip
    assert ("In pay", "In refund") == count.places


@pytest.mark.parametrize("arrives", [True, False])
def test_summary_on_its_way_while_its_problem_becomes_part_of_another(process, arrives):
    """Its count is reported by it, or later if it is not sent: never twice, never not at all."""
    process.record("0", group=DATABASE)
    process.count(7, "0", group=DATABASE)
    assert [7] == [count.count for count in process.throttle.due("s", at_exit=True)]
    for number in range(1, 4):
        process.record(str(number), group=DATABASE)
    if arrives:
        process.throttle.notified("s", ["0"])
    else:
        process.throttle.released("s", ["0"])
    process.count(1, "0", group=DATABASE)
    process.record("0", group=DATABASE)
    assert 7 * (not arrives) + 3 == sum(process.report(at_exit=True).values())


def test_count_for_a_group_that_is_no_more_goes_to_its_own_problem(process):
    """The process has not heard that the one problem of the group was forgotten."""
    process.count(2, "1", group=SHOP, problem=SHOP.group)
    assert {"1": 2} == process.report(at_exit=True)


def test_count_after_an_end_makes_its_group_worse(process):
    """The process took its problem for reported, so a digest says so at once: it is no storm."""
    process.record("0", group=SHOP)
    process.record("0", group=SHOP, resolves=True)
    process.clock.now += WINDOW + 1
    for number in range(1, 7):
        process.record(str(number), W, group=SHOP)
    process.count(2, "0", group=SHOP)
    (count,) = process.throttle.due("s")
    assert (SHOP.group, 2 + 1, E, True) == (count.key, count.count, count.level, count.unannounced)
    assert FIRST is process.record("other")


# -- limits


def test_storm_holds_back_what_is_known_too(process):
    """The digest reports what is back or got worse, and opens the window that a push would have."""
    process.record("back")
    process.record("worse", W)
    process.clock.now += WINDOW
    assert AGAIN is process.record("worse", W)
    for number in range(12):
        process.record(str(number))
    assert [SUPPRESSED] * 2 == [process.record("back"), process.record("worse", E)]
    process.clock.now += 60
    counts = process.throttle.due("s")
    assert {("back", 1, True), ("worse", 1, True)} <= {
        (count.key, count.count, count.unannounced) for count in counts
    }
    views = process.throttle.notified("s", [count.key for count in counts])
    assert [(E, pytest.approx(900, abs=0.01)), (E, pytest.approx(300, abs=0.01))] == [
        views["back"], views["worse"]
    ]  # fmt: skip


def test_criticals_have_a_burst_of_their_own(process):
    """A storm of errors hides none; more than five at once wait for the digest."""
    for number in range(12):
        process.record(f"error {number}")
    verdicts = [process.record(str(number), C) for number in range(6)]
    assert [FIRST] * 5 + [SUPPRESSED] == verdicts


def test_low_quota_keeps_room_for_news(process):
    """Below 20 % nothing is reported again, below 5 % only CRITICAL; all is counted."""
    process.record("again")
    process.clock.now += WINDOW
    process.throttle.set_quota_level(QuotaLevel.LOW)
    assert [SUPPRESSED, FIRST] == [process.record("again"), process.record("new")]
    process.throttle.set_quota_level(QuotaLevel.SCARCE)
    assert [SUPPRESSED, FIRST] == [process.record("newer"), process.record("worst", C)]
    process.clock.now += HOUR
    assert {"newer": 1, "again": 1} == process.report()
    process.record("newest")
    process.clock.now += DAY - 1
    assert {} == process.report()
    process.clock.now += 1
    assert {"newest": 1} == process.report()
    process.throttle.set_quota_level(QuotaLevel.ENOUGH)
    assert {} == process.report()


def test_scarce_quota_reports_again_what_is_critical_alone(process):
    """Anything else that is back is counted."""
    for key, level in (("error", E), ("critical", C)):
        process.record(key, level)
    process.clock.now += WINDOW
    process.throttle.set_quota_level(QuotaLevel.SCARCE)
    assert [SUPPRESSED, AGAIN] == [process.record("error"), process.record("critical", C)]


def test_summary_goes_where_its_problem_went(process):
    """One Message a user and device; none to a user that is refused just now."""
    for user in ("one", "two", "three"):
        info = PushInfo(user, user, "phone", 1)
        process.record(user, info=info)
        process.count(2, user, info=info)
    (count,) = process.throttle.due("s", at_exit=True, blocked_users=["one"])
    assert count.user in {"two", "three"}
    assert (count.user, "phone", 1) == (count.title, count.device, count.priority)
    process.throttle.released("s", [count.key])
    assert {"one": 2, "two": 2, "three": 2} == process.report(at_exit=True)


# -- bounds, damage, clocks


def test_full_store_keeps_every_count(stores, monkeypatch):
    """Those without a count go first; others are counted under other problems."""
    monkeypatch.setattr(stores_module, "MEMORY_CAPACITY", 32)
    for name in ("sqlite", "redis") if stores.is_shared else ():
        module = importlib.import_module(f"pushover_logging.throttle.{name}")
        monkeypatch.setattr(module, "SHARED_CAPACITY", 32)
    process = Process(stores)
    for number in range(20):
        process.count(2, str(number))
    for number in range(20, 100):
        process.record(str(number))
        process.clock.now += 61
    numbers = process.report(at_exit=True)
    assert 40 == sum(numbers.values())
    if stores.kind != "redis":  # it looks at the oldest eighth alone
        assert 20 == len(numbers)
    for number in range(100):
        process.count(1, f"more {number}")
    numbers = process.report(at_exit=True)
    assert 100 == sum(numbers.values())
    assert numbers[OVERFLOW_KEY] > 60


JUNK = [
    "", "{", "[]", "3", "null", '"x"', '{"level": "x"}', '{"level": {}}', '{"unknown": 1}',
    '{"level": 40, "until": NaN}', '{"until": 1e300}', '{"until": Infinity}', '{"until": "4"}',
    '{"counted": 5}', '{"counted": {"count": "x"}}', '{"decided": []}', '{"decided": {"id": 5}}',
    '{"claimed_by": 5}', '{"title": 3}', '{"reporting": {"count": true}}',
    '{"members": {"a": "x"}}', '{"emergencies": ["x"]}', '{"emergencies": 5}',
    "[" * 100_000, '{"level":' * 100_000, "\N{PILE OF POO}", '{"step": 1.5}', '{"step": -1}',
    '{"step": 1e99}', '{"level": 99999999999999999999}',
]  # fmt: skip


@pytest.mark.parametrize("name", ["a", "limits", f"members:{SHOP.group}"])
def test_damaged_item_counts_as_absent(shared, name):
    """Others may have been at it: no call raises, and records are reported all the same."""
    for account, junk in enumerate(JUNK):
        processes = [Process(shared), Process(shared)]
        for process in processes:
            process.throttle = shared.throttle(str(account))
        processes[0].record(group=SHOP)
        processes[0].count(2)
        shared.damage(processes[0].throttle, name, junk)
        for process in processes:
            assert_usable(process)


def assert_usable(process):
    process.count(3, group=SHOP)
    process.throttle.views(["a"])
    process.throttle.due("s", at_exit=True)
    process.throttle.next_due()
    assert process.record("b", group=SHOP) in {FIRST, SUPPRESSED}
    assert process.record("a", C, group=SHOP) in {FIRST, ESCALATED, SUPPRESSED, WAIT}


NUMBERS = ["x", "", "1e999", "[", "99999999999999999999"]
TALLIES = [
    *NUMBERS, "3", "[]", '{"since": "x"}', '{"since": "4"}', '{"last": null}', '{"level": "x"}',
    '{"level": Infinity}', '{"since": Infinity}', '{"since": NaN}', '{"level": 1.5}',
    '{"places": 5}', '{"unknown": 1}', "[" * 100_000, f'{{"since": {"9" * 400}}}',
]  # fmt: skip


@pytest.mark.parametrize(("field", "junk"), [
    *(("n", junk) for junk in NUMBERS), *(("phase", junk) for junk in NUMBERS),
    *(("tally", junk) for junk in TALLIES),
])  # fmt: skip
def test_damaged_count_in_redis_counts_as_absent(redis_stores, field, junk):
    """Then its problem is unknown, as one that is lost; without its tally it is known.

    Whether a process reads it first, or counts.
    """
    for is_read_first in (True, False):
        process = Process(redis_stores)
        process.record(group=SHOP)
        process.count(2)
        redis_stores.client.hset(f"{process.throttle.store._prefix}a", field, junk)
        other = Process(redis_stores)
        if is_read_first:
            level = other.throttle.views(["a"])["a"].level
            assert (level, other.record()) == (E, SUPPRESSED) or field != "tally"
        assert_usable(other)
        redis_stores.empty()


@pytest.mark.parametrize(("jump", "at_once"), [
    (-365 * DAY, False), (-HOUR, False), (HOUR, True), (365 * DAY, True),
])  # fmt: skip
def test_clock_that_jumps_loses_no_count_and_holds_none_up(shared, jump, at_once):
    """What was counted is reported a window later at the latest; nothing is reported twice."""
    process = Process(shared)
    process.record()
    process.count(3)
    shared.clock.wall += jump
    process.throttle.look_at_all()
    assert ({"a": 3} if at_once else {}) == process.report()
    assert SUPPRESSED is process.record()
    shared.clock.now += 900 if at_once else WINDOW
    assert {"a": 1 if at_once else 4} == process.report()


# -- several processes


def test_processes_report_a_problem_once_and_count_it_together(shared):
    """Whichever comes first; the summary is one, and says how many processes there were."""
    one, other = Process(shared), Process(shared)
    assert [FIRST, SUPPRESSED] == [one.record(), other.record()]
    for process in (one, other, one):
        process.count(5)
    shared.clock.now += WINDOW
    (count,) = other.throttle.due("s")
    assert (16, 2) == (count.count, len(count.sources))
    assert [] == one.throttle.due("t")
    other.throttle.notified("s", ["a"])
    assert {} == one.report(at_exit=True)


def test_accounts_have_each_a_throttle_of_their_own(shared):
    """In one file, and in one Redis."""
    for account in ("1", "2"):
        process = Process(shared)
        process.throttle = shared.throttle(account)
        assert FIRST is process.record()
    assert {} == process.report(at_exit=True)


def test_emptied_redis_gets_back_what_nobody_reported(redis_stores):
    """From each process its own, once; what was reported before does not come back."""
    one, other = Process(redis_stores), Process(redis_stores)
    one.record()
    for process in (one, other):
        process.count(5)
    redis_stores.clock.now += WINDOW
    assert {"a": 10} == other.report()
    for process in (one, other):
        process.throttle.views(["a"])
        process.count(3)
    redis_stores.empty()
    for process in (one, other):
        process.throttle.views(["a"])
        process.throttle.views(["a"])
        process.count(1)
    assert {"a": 8} == one.report(at_exit=True)
    assert {} == other.report(at_exit=True)


@pytest.fixture
def lose_answers(redis_stores, monkeypatch):
    """Make a context in which a process's counts may arrive, but their answers do not."""

    @contextlib.contextmanager
    def lose(process, *, arrives=True):
        store = process.throttle.store
        add = store.add

        def lost(*arguments):
            if arrives:
                add(*arguments)
            raise Unreachable("away")

        with monkeypatch.context() as patch:
            patch.setattr(store, "add", lost)
            with pytest.raises(Unreachable):
                yield

    return lose


def test_count_whose_answer_was_lost_is_counted_once(redis_stores, lose_answers):
    """The caller still has it, and repeats it with what has come since: it arrived or not."""
    process = Process(redis_stores)
    process.record()
    with lose_answers(process):
        process.count(3)
    with lose_answers(process, arrives=False):
        process.count(5)
    process.count(7)
    assert {"a": 7} == process.report(at_exit=True)


@pytest.mark.parametrize("is_reported_first", [True, False])
def test_count_whose_answer_was_lost_and_that_went_elsewhere_is_made_up_for(
    redis_stores, lose_answers, is_reported_first
):
    """The next counts add what is more than that; also of a process that had none before."""
    process, other = Process(redis_stores), Process(redis_stores)
    other.record()
    with lose_answers(process):
        process.count(3)  # another throttle reports it
    process.throttle.views(process.throttle.unsettled())
    if is_reported_first:
        assert {"a": 3} == other.report(at_exit=True)
        process.throttle.views(process.throttle.unsettled())
    process.count(2)
    process.count(4)
    number = 3 if is_reported_first else 6
    assert {"a": number} == other.report(at_exit=True)
    process.throttle.views(process.throttle.unsettled())
    assert [] == [*process.throttle.unsettled()]


def test_batch_is_counted_as_a_whole(redis_stores, lose_answers):
    """If one problem's answer is lost, the next call hands over all of them, each once."""
    process = Process(redis_stores)
    batch = [
        Counted(key, key, E, Occurrences(number, 1.0, 1.0, E), PushInfo(key))
        for key, number in (("a", 2), ("b", 3), ("a", 4))
    ]
    with lose_answers(process):
        process.throttle.count(batch)
    process.throttle.count(batch)
    assert {"a": 6, "b": 3} == process.report(at_exit=True)


@pytest.mark.parametrize("arrives", [True, False])
def test_lost_count_is_handed_over_again_until_that_is_answered(
    redis_stores, lose_answers, arrives
):
    """Whether it arrived or not, it is counted once."""
    process = Process(redis_stores)
    process.record()
    process.count(3)
    redis_stores.empty()
    with lose_answers(process, arrives=arrives):
        process.throttle.views(process.throttle.unsettled())
    process.throttle.views(process.throttle.unsettled())
    assert {"a": 3} == process.report(at_exit=True)


def test_problem_that_is_lost_at_once_is_given_up_for_now(redis_stores, monkeypatch):
    """The count is the caller's to hand over when Redis keeps it again."""
    process = Process(redis_stores)
    store = process.throttle.store
    add = store.add

    def emptied(*arguments):
        redis_stores.empty()
        return add(*arguments)

    monkeypatch.setattr(store, "add", emptied)
    with pytest.raises(Unreachable, match="lost a problem that was just made"):
        process.count(3)
    monkeypatch.setattr(store, "add", add)
    process.count(4)
    assert {"a": 4} == process.report(at_exit=True)


def test_count_that_redis_lost_moves_to_the_group_of_its_problem(redis_stores):
    """Others have made one problem of the group since Redis was emptied."""
    process, other = Process(redis_stores), Process(redis_stores)
    process.record("0", group=SHOP)
    process.count(3, "0", group=SHOP)
    redis_stores.empty()
    for number in range(1, 7):
        other.record(str(number), group=SHOP)
    process.throttle.views(["0"])
    assert {SHOP.group} == set(process.throttle.unsettled())
    assert {SHOP.group: 3 + 1} == other.report(at_exit=True)


def test_decision_that_others_always_overtake_is_given_up(redis_stores):
    """It is as if Redis did not answer: the process decides alone."""
    one, other = Process(redis_stores), Process(redis_stores)
    load = one.throttle.store.load

    def overtaken(names):
        found = load(names)
        other.record("a", next(IDS) + 100)
        return found

    one.record()
    one.throttle.store.load = overtaken
    with pytest.raises(Unreachable, match="changed under 5 decisions in a row"):
        one.record(level=C)


def test_what_is_kept_in_redis_expires(redis_stores):
    """A problem with its window and what follows it, a count after 40 days, a job's much later."""
    process = Process(redis_stores)
    process.record("quiet")
    process.record("job:backup")
    process.record("counted")
    process.count(1, "counted")
    lives = [
        redis_stores.client.pttl(f"{process.throttle.store._prefix}{name}") / 1000
        for name in ("quiet", "counted", "job:backup")
    ]
    expected = [WINDOW + 6 * HOUR, 40 * DAY, 800 * DAY]
    assert expected == [pytest.approx(one, abs=90) for one in lives]
    keys = redis_stores.client.keys("{*")
    assert [] == [key for key in keys if redis_stores.client.pttl(key) < 0]


@pytest.mark.parametrize(("url", "why"), [
    ("redis://:secret@web-1:port/0", "ValueError"),
    ("redis://:secret@web-1/0?timeout=5", "TypeError"),
    ("redis://:secret@web-1?ssl_cert_reqs=none", "TypeError"),
    ("redis://:secret@web-1?encoding=bogus", "LookupError"),
])  # fmt: skip
def test_url_that_redis_cannot_use_is_a_configuration_error(url, why):
    """At construction, and without the URL, which may hold a password."""
    redis = pytest.importorskip("pushover_logging.throttle.redis")
    with pytest.raises(ConfigurationError, match=f"the Redis URL cannot be used: {why}") as caught:
        redis.RedisThrottle(url, "1", redis.Rules())
    assert "throttle" == caught.value.option
    assert "secret" not in str(caught.value)


def test_redis_that_takes_a_call_and_never_answers_is_unreachable():
    """It is asked once, and says why."""
    redis = pytest.importorskip("pushover_logging.throttle.redis")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        throttle = redis.RedisThrottle(f"redis://:secret@{place}/0", "1", redis.Rules())
        with pytest.raises(Unreachable) as caught:
            throttle.due("s")
        assert f"Redis at {place} cannot be reached (TimeoutError)" == str(caught.value)
        silent.settimeout(0.5)
        silent.accept()[0].close()
        with pytest.raises(TimeoutError):
            silent.accept()


@pytest.mark.parametrize(("url", "shown"), [
    ("redis://user:secret@127.0.0.1:1/0", "Redis at 127.0.0.1:1 "),
    ("unix:///none.sock?password=secret", "Redis at /none.sock "),
    ("redis://:1#secret@127.0.0.1/0", "Redis "),  # its password is not encoded: 1 became the port
])  # fmt: skip
def test_redis_is_named_without_its_password(url, shown):
    """Where it is, as far as the URL says that for sure."""
    redis = pytest.importorskip("pushover_logging.throttle.redis")
    throttle = redis.RedisThrottle(url, "1", redis.Rules())
    with pytest.raises(Unreachable) as caught:
        throttle.due("s")
    assert f"{shown}cannot be reached (ConnectionError)" == str(caught.value)


def test_missing_extra_is_named(monkeypatch):
    """Without redis-py the error says what to install."""
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.delitem(sys.modules, "pushover_logging.throttle.redis", raising=False)
    with pytest.raises(ConfigurationError, match=r"pip install 'pushover-logging\[redis\]'"):
        importlib.import_module("pushover_logging.throttle.redis")
