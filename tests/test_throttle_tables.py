"""What a shared throttle keeps in its table: an outbox's file, and a real Redis."""

import importlib
import itertools
import logging
import math
import socket
import sys

import pytest
from conftest import FakeClock, RedisServer

from pushover_logging import ConfigurationError
from pushover_logging.database import Database
from pushover_logging.outbox import rows
from pushover_logging.outbox.hostfile import host_file
from pushover_logging.throttle import lending, sqlite
from pushover_logging.throttle import redis as items
from pushover_logging.throttle.lending import RedisThrottle
from pushover_logging.throttle.local import LocalThrottle
from pushover_logging.throttle.machine import Rules
from pushover_logging.throttle.problem import Count, End, Origin, Problem, Report, Verdict, encoded
from pushover_logging.throttle.sqlite import SqliteThrottle
from pushover_logging.throttle.table import REMAINDER
from pushover_logging.throttle.valves import SITE, Gate, Group, Valves

E = logging.ERROR
SHOP = Origin(f"{SITE}:shop", "shop.py:7")
DAY = 86_400.0
YEAR = 365 * DAY


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    import shutil

    if shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server here")
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def remote(server):
    throttle = RedisThrottle(server.url, "1", Rules())
    throttle.items._redis.flushall()
    yield throttle
    throttle.items._redis.close()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def file(tmp_path, clock):
    return SqliteThrottle(host_file(tmp_path / "outbox.sqlite").database, "1", Rules(), clock)


@pytest.fixture(params=["file", "remote"])
def shared(request):
    return request.getfixturevalue(request.param)


def report(key, number=1, told=E, remaining=100.0, **changes):
    given = {"total": number, "since": 5.0, "last": 6.0, "level": E, "following": 1.0}
    return Report(Count(key=key, number=number, **{**given, **changes}), told, remaining)


def first(throttle, key, origin=None):
    assert Verdict.FIRST is throttle.admit(key, E, 1.0, origin).verdict
    throttle.ended(key, End.ACCEPTED)


def keep(throttle, key, **changes):
    """Put a problem as a process may have left it."""
    problem = Problem(**{"told": E, "pending": False, "number": 1, "seen": E, **changes})
    throttle.table.atomically(lambda: throttle.table.put(key, problem))


def test_accounts_have_each_a_throttle_of_their_own(server, remote, file, tmp_path, clock):
    """In one file, and in one Redis: a problem of the one is new to the other."""
    path = tmp_path / "outbox.sqlite"
    others = (
        RedisThrottle(server.url, "2", Rules()),
        SqliteThrottle(host_file(path).database, "2", Rules(), clock),
    )
    for one, other in zip((remote, file), others, strict=True):
        first(one, "a")
        keep(one, "b", number=3)
        first(other, "a")
        assert [] == other.untold()
    others[0].items._redis.close()


def test_last_words_leave_the_first_that_another_can_still_send(shared):
    """A count of a first that waits stays with it; all else is told, once."""
    for key in ("waits", "told"):
        shared.admit(key, E, 1.0)
        shared.take(report(key, 2))
    shared.ended("told", End.ACCEPTED)
    assert [("told", 2)] == [(one.key, one.number) for one in shared.untold()]
    assert [] == shared.untold()


def test_first_that_nobody_sent_is_given_up_after_a_day(file, clock):
    """Its process may have died; what was counted meanwhile is told, and says so."""
    for key in "ab":
        file.admit(key, E, 1.0)
    file.take(report("a", 2))
    clock.now += 86_399
    assert ([], Verdict.SUPPRESSED) == (file.due(), file.admit("a", E, 1.0).verdict)
    clock.now += 1
    assert Verdict.FIRST is file.admit("b", E, 1.0).verdict
    assert [("a", 3, True, 300)] == [
        (one.key, one.number, one.refused, one.following) for one in file.due()
    ]


def test_storm_holds_back_nothing_that_came_before_it(file, clock):
    """It was let through by its own process, and may be sent once the rate allows it."""
    began = clock.time()
    for number in range(11):
        file.admit(str(number), E, began)
    clock.now += 100
    assert [Verdict.FIRST, Verdict.DIGESTED] == [
        file.admit(key, E, born).verdict for key, born in (("old", began - 9), ("new", began + 9))
    ]


def test_scarce_quota_has_room_for_one_digest_a_day(file, clock):
    """The first at once, whatever was told while there was more."""
    first(file, "told")
    file.take(report("told"))
    clock.now += 300
    assert ["told"] == [one.key for one in file.due()]
    file.gate = Gate.SCARCE
    told = []
    for key, waits in (("a", [0]), ("b", [DAY - 1, 1])):
        assert Verdict.DIGESTED is file.admit(key, E, 1.0).verdict
        for wait in waits:
            clock.now += wait
            told.append([one.key for one in file.due()])
    assert [["a"], [], ["b"]] == told


def test_end_that_another_process_hears_of_holds_back_no_count(file, clock):
    """What it has counted since does not wait for a first that nobody will send."""
    first(file, "a")
    local = LocalThrottle(Rules(), clock)
    local.admit("a", E, 1.0)
    local.admit("a", E, 2.0)
    file.resolve("a", 10.0)
    local.see(file.exchange([]))
    assert [("a", 1)] == [(one.key, one.number) for one in local.due()]


def test_process_tells_at_once_what_comes_after_an_end_that_it_heard_of(file, clock):
    """The end was another's; the problem is a new one here, too."""
    first(file, "a")
    local = LocalThrottle(Rules(), clock)
    local.admit("a", E, 1.0)
    local.see(file.exchange([]))
    assert Verdict.SUPPRESSED is local.admit("a", E, 2.0).verdict
    local.reports("1")
    file.resolve("a", 10.0)
    local.see(file.exchange([]))
    assert Verdict.FIRST is local.admit("a", E, 20.0).verdict


def test_push_that_must_not_be_sent_any_more_is_counted_for_all(shared):
    """Whoever tells the problem next tells it along."""
    first(shared, "a")
    shared.withdraw(report("a").count)
    assert [("a", 1, True)] == [(one.key, one.number, one.newcomer) for one in shared.untold()]


def test_free_texts_of_one_call_site_become_one_problem_for_all(shared):
    """The sixth is counted there, and what other processes still report of one of the five."""
    for number in range(5):
        first(shared, str(number), SHOP)
    assert SHOP.group == shared.admit("5", E, 1.0, SHOP).key
    shared.take(report("0", 3, group=SHOP.group))
    assert [(SHOP.group, 1 + 3)] == [(one.key, one.number) for one in shared.untold()]


def test_count_from_before_an_end_does_not_begin_the_problem_anew(shared):
    """It is told among the others; a count from after it is a newcomer's, without a storm."""
    first(shared, "a")
    shared.resolve("a", 10.0)
    assert shared.take(report("a", 2)).resolved
    shared.take(report("a", 3, since=11.0, last=12.0))
    assert 0.0 == shared.table.atomically(shared.table.valves).digest_at
    assert {REMAINDER: (2, False), "a": (3, True)} == {
        one.key: (one.number, one.newcomer) for one in shared.untold()
    }


def test_problem_is_rebuilt_of_a_count_of_it(shared):
    """With what its push said, to whom, and when it began; it is told when its window ends."""
    whole = report("a", 3, title="T", user="u", device="d", priority=1, began=2.0, group="g")
    shared.take(whole)
    (one,) = shared.untold()
    assert ("T", "u", "d", 1, 2.0, "g", 3) == (
        one.title, one.user, one.device, one.priority, one.began, one.group, one.number
    )  # fmt: skip
    shared.take(report("b", 2, since=5.0))
    assert [5.0] == [one.began for one in shared.untold()]


def test_clock_that_jumped_back_leaves_no_count_behind(shared):
    """A window's end that lies a year ahead comes within reach once it is looked at."""
    keep(shared, "a", until=shared.table.atomically(shared.table.now) + YEAR)
    assert [] == shared.due()
    until = shared.table.atomically(lambda: shared.table.get("a").until)
    assert [] == shared.due()
    assert until == shared.table.atomically(lambda: shared.table.get("a").until)
    assert until <= shared.table.atomically(shared.table.now) + 300


def test_end_that_was_brought_within_reach_stays_there(file, clock):
    """It does not move along with the clock that looks at it."""
    keep(file, "a", until=clock.time() + YEAR)
    told = []
    for _ in range(3):
        told.append([one.key for one in file.due()])
        clock.now += 150
    assert [[], [], ["a"]] == told


def test_table_is_bounded_and_keeps_every_count(shared, monkeypatch):
    """What has no count goes first; the counts of others are told under other problems."""
    for module in (sqlite, items):
        monkeypatch.setattr(module, "CAPACITY", 32)
    for number in range(100):
        shared.take(report(str(number), 1))
    names = shared.table.atomically(shared.table.counted)
    assert len(names) <= 33
    assert 100 == sum(one.number for one in shared.untold())


def test_loan_that_runs_out_is_told_by_another(remote, monkeypatch):
    """Whoever took the count may have died; its loan is worth nothing any more."""
    keep(remote, "a", number=3)
    monkeypatch.setattr(lending, "LEASE", 0.0)
    (lent,) = remote.due()
    assert "" != lent.loan
    assert [] == remote.due()
    assert {lent.loan} == remote.renew((), [lent.loan])
    assert [("a", 3)] == [(one.key, one.number) for one in remote.untold()]
    remote.repay(lent, told=False)
    assert [] == remote.untold()


@pytest.mark.parametrize(("told", "left"), [(True, []), (False, [("a", 3)])])
def test_loan_is_repaid_once(remote, told, left):
    """What was told is gone, what was not comes back."""
    keep(remote, "a", number=3)
    (lent,) = remote.due()
    assert set() == remote.renew((), [lent.loan])
    remote.repay(lent, told=told)
    remote.repay(lent, told=told)
    assert left == [(one.key, one.number) for one in remote.untold()]


def test_damaged_loan_is_let_go(remote):
    """What others have written over is nobody's count, and harms nothing."""
    keep(remote, "a", number=3)
    (lent,) = remote.due()
    name = items.LOAN + lent.loan
    remote.items._redis.set(remote.items._prefix + name, "{")
    remote.items._redis.zadd(remote.items._prefix + "due", {name: 1})
    assert [] == remote.due()
    assert remote.items._redis.zscore(remote.items._prefix + "due", name) is None


def test_lease_on_a_first_is_held_while_it_is_tried(remote):
    """It moves on; what is told, or not known, has none."""
    remote.admit("a", E, 1.0)
    first(remote, "told")
    keep(remote, "b", pending=True, until=remote.table.atomically(remote.table.now) + 5)
    before = remote.table.atomically(lambda: remote.table.get("told"))
    remote.renew(["a", "b", "told", "unknown"], ())
    now = remote.table.atomically(remote.table.now)
    assert 20 < remote.table.atomically(lambda: remote.table.get("b").until) - now <= 30
    assert before == remote.table.atomically(lambda: remote.table.get("told"))


def test_lease_on_a_count_is_held_while_it_is_tried(remote):
    """For 30 s from when it was lent, and from each time that its process says it lives."""
    keep(remote, "a", number=3)
    (lent,) = remote.due()
    assert 25 < lease_of(remote, lent) <= 30
    remote.items._redis.zadd(remote.items._prefix + "due", {items.LOAN + lent.loan: 1})
    remote.renew((), [lent.loan])
    assert 25 < lease_of(remote, lent) <= 30
    assert [] == remote.due()
    assert [] == remote.untold()


def lease_of(remote, count):
    due = remote.items._redis.zscore(remote.items._prefix + "due", items.LOAN + count.loan)
    return due - remote.table.atomically(remote.table.now)


def test_answer_to_a_report_says_when_a_count_was_told_last(remote):
    """By Redis's time: who was told before that need not hand it over again."""
    now = remote.table.atomically(remote.table.now)
    keep(remote, "a", until=now + 100, taken=7.0)
    view = remote.report(report("a", 3, newcomer=True), "receipt")
    assert (7.0, pytest.approx(now, abs=10)) == (view.taken, view.at)


@pytest.mark.parametrize("given", ["newcomer", "known", "unknown"])
def test_report_that_was_taken_is_answered_again(remote, given):
    """With what is known of the problem; of one that is gone, with what the process said."""
    if given != "unknown":
        first(remote, "a")
    told = report("a", 3, told=E + 10, level=E + 10, newcomer=given == "newcomer")
    views = [remote.report(told, "receipt") for _ in range(2)]
    if given == "unknown":
        remote.table.atomically(lambda: remote.table.pop("a"))
        again = remote.report(told, "receipt")
        assert (E + 10, 100.0) == (again.told, again.remaining)
    assert [given == "newcomer"] * 2 == [view.newcomer for view in views]
    assert views[0].told == views[1].told
    assert 0 <= views[0].remaining - views[1].remaining < 10
    assert 0 <= views[1].at - views[0].at < 10
    assert 3 * (given != "unknown") == sum(one.number for one in remote.untold())


def test_loan_that_vanished_with_the_data_comes_back_to_its_problem(remote):
    """As a new one, whose window is the shortest; and it is kept for the next emptying."""
    keep(remote, "a", number=3)
    (lent,) = remote.due()
    remote.items._redis.flushall()
    remote.repay(lent, told=False)
    now = remote.table.atomically(remote.table.now)
    problem = remote.table.atomically(lambda: remote.table.get("a"))
    assert (3, E) == (problem.number, problem.told)
    assert 290 < problem.until - now < 301
    remote.items._redis.flushall()
    (gone,) = remote.lost(look=True)
    assert ("a", 3, "", E) == (gone.count.key, gone.count.number, gone.count.loan, gone.told)
    assert lent.following - 10 < gone.remaining <= lent.following
    remote.repay(lent, told=False)
    assert [] == remote.untold()


def test_process_hears_of_each_change_once(file):
    """Also of one that follows on a row that went; of all after a fork, or in another file."""
    keep(file, "a")
    keep(file, "b")
    assert {"a", "b"} == set(file.exchange([]))
    assert {} == file.exchange([])
    file.renew()
    assert {"a", "b"} == set(file.exchange([]))
    file.table.pop("b")
    keep(file, "c")
    assert {"c"} == set(file.exchange([]))
    for key in "bc":
        file.table.pop(key)
    assert {} == file.exchange([])
    file._seen += 100
    keep(file, "d")
    assert {"a", "d"} == set(file.exchange([]))


def test_file_of_the_first_schema_keeps_its_counts(tmp_path, clock):
    """They are told by this version, and its changes are numbered on."""
    path = tmp_path / "outbox.sqlite"
    older = Database(path, rows.MIGRATIONS[:1])
    state = encoded(Problem(E, pending=False, number=3, seen=E))
    with older.transaction() as connection:
        for change, key in enumerate("ba"):
            connection.execute(
                "INSERT INTO problem VALUES ('1', ?, 1.0, 300.0, 3, ?, ?)", (key, state, change)
            )
    older.close()
    throttle = SqliteThrottle(host_file(path).database, "1", Rules(), clock)
    assert {"a", "b"} == set(throttle.exchange([]))
    assert [("a", 3), ("b", 3)] == sorted((one.key, one.number) for one in throttle.untold())


def test_next_due_is_the_window_that_ends_first(file, clock):
    """In seconds; a newcomer is due at once, and what is overdue as well."""
    now = clock.time()
    assert math.inf == file.next_due()
    keep(file, "later", until=now + 100)
    keep(file, "quiet", number=0, until=now + 5)
    assert 100 == file.next_due()
    keep(file, "next", until=now + 0.5)
    assert file.next_due() == pytest.approx(0.5)
    keep(file, "newcomer", newcomer=True, until=now + 70)
    assert 0.0 == file.next_due()


def test_what_the_valves_keep_waits_for_nobody(file):
    """It is no count; newcomers of one origin go when there are none."""
    file.table.put_valves(Valves(digests=1))
    file.table.put_group("site:a", Group({"a": 1.0}))
    assert math.inf == file.next_due()
    assert {"a": 1.0} == file.table.group("site:a").members
    file.table.put_group("site:a", Group())
    assert {} == file.table.group("site:a").members


def test_what_is_kept_in_redis_outlives_its_use(remote):
    """A problem its window and cooling, a count 40 days, newcomers 5 minutes: and no more."""
    now = remote.table.atomically(remote.table.now)
    keep(remote, "quiet", number=0, until=now + 1000)
    keep(remote, "over", number=0, until=now - 1000)
    keep(remote, "counted", until=now + 1000)
    remote.table.atomically(lambda: remote.table.put_group("site:a", Group({"a": 1.0})))
    remote.table.atomically(lambda: remote.table.put_valves(Valves(digests=1)))
    assert Valves(digests=1) == remote.table.atomically(remote.table.valves)
    assert [1000 + 6 * 3600, 6 * 3600, 40 * DAY, 300, 40 * DAY] == [
        pytest.approx(remote.items._redis.pttl(remote.items._prefix + name) / 1000 - 60, abs=10)
        for name in ("quiet", "over", "counted", "members:site:a", "valves")
    ]
    remote.table.atomically(lambda: remote.table.put_group("site:a", Group()))
    assert not remote.items._redis.exists(remote.items._prefix + "members:site:a")


def test_next_end_is_that_of_the_window_that_ends_first(remote):
    """In seconds; a newcomer is due at once, and what is overdue as well."""
    assert remote.table.next_end() is None
    now = remote.table.atomically(remote.table.now)
    keep(remote, "later", until=now + 100)
    keep(remote, "quiet", number=0, until=now + 5)
    keep(remote, "next", until=now + 50)
    assert remote.table.next_end() == pytest.approx(50, abs=5)
    keep(remote, "late", until=now - 50)
    assert 0.0 == remote.table.next_end()
    assert ["late"] == [name for name, _ in remote.table.atomically(remote.table.waiting)]
    keep(remote, "newcomer", newcomer=True, until=now + 70)
    found = remote.table.atomically(remote.table.waiting)
    assert ["late", "newcomer"] == [name for name, _ in found]


def test_what_has_no_count_makes_room_first(remote, monkeypatch):
    """Then what was unchanged for longest; what came lately stays, as the others' counts do."""
    monkeypatch.setattr(items, "CAPACITY", 48)
    for number in range(47):
        keep(remote, f"{number:02}", number=number % 2)
    assert () == remote.table.atomically(remote.table.expendable)
    keep(remote, REMAINDER)
    times = {f"{number:02}": 100 + number for number in range(47)} | {REMAINDER: 1}
    remote.items._redis.zadd(remote.items._prefix + "known", times)
    assert ["00", "02", "04"] == remote.table.atomically(remote.table.expendable)
    for name in ("00", "02", "04"):
        keep(remote, name)
    remote.items._redis.zadd(remote.items._prefix + "known", times)
    assert ["00", "01", "02"] == remote.table.atomically(remote.table.expendable)


def test_count_that_is_added_in_place_is_the_sum(remote):
    """As all others would be, by one call: times, level, processes; and how the problem stands."""
    now = remote.table.atomically(remote.table.now)
    keep(remote, "a", number=2, total=5, since=10.0, last=20.0, until=now + 100, taken=7.0,
         newcomer=True, sources=("1",))  # fmt: skip
    keep(remote, "warm", until=now + 100)
    remote.report(report("warm"), "warm")  # Redis may not know the script yet
    before = scripts_run(remote)
    for source in ("1", "2", "2"):
        view = remote.report(
            report("a", 3, since=5.0, last=6.0, level=E + 5, sources=(source,)), source
        )
    assert 3 == scripts_run(remote) - before
    assert (E, True, 7.0) == (view.told, view.newcomer, view.taken)
    assert view.remaining == pytest.approx(100, abs=10)
    lives = remote.items._redis.pttl(remote.items._prefix + "a") / 1000
    assert lives == pytest.approx(40 * DAY, abs=10)
    problem = remote.table.atomically(lambda: remote.table.get("a"))
    assert (8, 11, 5.0, 20.0, E + 5) == (
        problem.number, problem.total, problem.since, problem.last, problem.seen
    )  # fmt: skip
    assert ("1", "2") == problem.sources
    keep(remote, "pending", number=0, pending=True, until=now + 100)
    assert remote.report(report("pending"), "x").remaining is None


@pytest.mark.parametrize("junk", [
    "", "{", "[]", "5", "null", '"x"', "{}", '{"told":{}}', '{"told":40,"until":"x"}',
    '{"told":40,"until":1e999}', '{"told":1e20,"until":4e9,"pending":false}',
    '{"told":40,"until":4e9,"taken":"x"}', '{"told":40,"until":4e9,"number":"x"}',
    '{"told":40,"until":4e9,"number":1,"since":"x"}',
    '{"told":40,"until":4e9,"pending":false,"sources":"x"}',
])  # fmt: skip
def test_damaged_problem_keeps_no_count_from_being_told(remote, junk):
    """What others have written over a problem is let go; who counts knows it well enough."""
    first(remote, "a")
    remote.items._redis.set(remote.items._prefix + "a", junk)
    assert E <= remote.report(report("a", 3), "receipt").told
    assert [("a", 3)] == [(one.key, one.number) for one in remote.untold()]


def scripts_run(remote):
    return remote.items._redis.info("commandstats")["cmdstat_evalsha"]["calls"]


def test_decision_that_others_always_overtake_is_given_up(remote, server):
    """It is as if Redis did not answer: the process decides alone."""
    other = RedisThrottle(server.url, "1", Rules())
    numbers = itertools.count(1)

    def work():
        remote.table.get("a")
        keep(other, "a", number=next(numbers))
        keep(remote, "a")

    with pytest.raises(items.Unreachable, match=r"^others were faster each time$"):
        remote.table.atomically(work)
    other.items._redis.close()


@pytest.mark.parametrize(("url", "why"), [
    ("redis://:secret@web-1:port/0", "ValueError"),
    ("redis://:secret@web-1/0?timeout=5", "TypeError"),
    ("redis://:secret@web-1?ssl_cert_reqs=none", "TypeError"),
    ("redis://:secret@web-1?encoding=bogus", "LookupError"),
])  # fmt: skip
def test_url_that_redis_cannot_use_is_a_configuration_error(url, why):
    """At start, and without the URL, which may hold a password."""
    with pytest.raises(ConfigurationError, match=f"the Redis URL cannot be used: {why}") as caught:
        RedisThrottle(url, "1", Rules())
    assert "throttle" == caught.value.option
    assert "secret" not in str(caught.value)


def test_redis_that_takes_a_call_and_never_answers_is_unreachable():
    """It is asked once, and says why."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        throttle = RedisThrottle(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", "1", Rules())
        with pytest.raises(items.Unreachable, match=r"cannot be reached \(TimeoutError\)"):
            throttle.due()
        silent.settimeout(0.5)
        silent.accept()[0].close()
        with pytest.raises(TimeoutError):
            silent.accept()


def test_missing_extra_is_named(monkeypatch):
    """Without redis-py the error says what to install."""
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.delitem(sys.modules, items.__name__)
    with pytest.raises(ConfigurationError, match=r"pip install 'pushover-logging\[redis\]'"):
        importlib.import_module(items.__name__)
