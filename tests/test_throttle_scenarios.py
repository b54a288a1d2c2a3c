"""Incidents as tables: when a record comes, and which pushes a person gets for all of them.

Each plays through the real handler, client and inbox, on a clock that the test moves.
"""

import functools
import logging
import re

import pytest
import requests
from conftest import TOKEN, Driven, adds_up

from pushover_logging.throttle.store import MEMORY_CAPACITY as CAPACITY

W, E, C = logging.WARNING, logging.ERROR, logging.CRITICAL
MINUTE, HOUR, DAY = 60, 3600, 86_400


class Phone(Driven):
    """A driven handler that writes down each push with the second at which it came."""

    def __init__(self, inbox, **options):
        super().__init__(inbox, **options)
        self.began = self.clock.now
        self.kept = "outbox" in options
        self.pushes = []
        self.bodies = []

    def settle(self):
        wait = super().settle()
        for push in self.inbox.messages[len(self.pushes) :]:
            self.pushes.append((self.clock.now - self.began, push["title"]))
            self.bodies.append(push["message"])
        return wait

    def at(self, seconds):
        """Let time pass until so many seconds after the start; what is due then comes first."""
        self.advance(self.began + seconds - self.clock.now)

    def play(self, records, end):
        """Log each (second, level, template, args), and let time pass until ``end``."""
        for second, level, template, *args in records:
            self.at(second)
            self.say(level, template, *args)
            self.settle()
        self.at(end)
        return self.pushes

    def say(self, level, template, *args, **own):
        """Log a record of the clock's second."""
        extra = {"pushover": {**(self.extra or {}), **own}}
        record = self.log.makeRecord("shop", level, __file__, 1, template, args, None, extra=extra)
        record.created = self.clock.time()
        self.log.handle(record)

    extra = None


@pytest.fixture(params=["memory", "file"])
def phone(inbox, request, tmp_path):
    made = []
    kept = {} if request.param == "memory" else {"outbox": tmp_path / "outbox.sqlite"}

    def make(**options):
        made.append(Phone(inbox, **{**kept, **options}))
        return made[-1]

    yield make
    for one in made:
        one.end()


@pytest.fixture
def memory(inbox):
    one = Phone(inbox)
    yield one
    one.end()


def near(expected, pushes, slack=1.01):
    """Compare: a file hears of counts within a second of its window's end."""
    assert [title for _, title in expected] == [title for _, title in pushes]
    for (wanted, _), (came, _) in zip(expected, pushes, strict=True):
        assert wanted <= came <= wanted + slack, pushes


def test_problem_that_lasts_ten_minutes(phone):
    """1: one a second; to the second where the process tells itself."""
    one = phone()
    pushes = one.play([(s, E, "No db %s", 7) for s in range(600)], HOUR)
    expected = [(0, "No db 7"), (300, "299 more: No db 7"), (1200, "300 more: No db 7")]
    near(expected, pushes, 1.01 if one.kept else 0)
    assert ["(300 in all)", "(600 in all)"] == [
        re.search(r"\(.* in all\)", b)[0] for b in one.bodies[1:]
    ]


def test_problem_that_lasts_thirty_hours(memory):
    """2: one a second; told by the minute, which each window is a multiple of."""
    seconds = ((s, E, "No db %s", 7) for s in range(30 * HOUR) if s % MINUTE == 0)
    for second, level, template, *args in seconds:
        memory.at(second)
        for _ in range(MINUTE):
            memory.say(level, template, *args)
        memory.settle()
    memory.at(54 * HOUR)
    assert [
        (0, "No db 7"), (300, "299 more: No db 7"), (20 * MINUTE, "900 more: No db 7"),
        (80 * MINUTE, "3600 more: No db 7"), (320 * MINUTE, "14400 more: No db 7"),
        (1760 * MINUTE, "86400 more: No db 7"), (3200 * MINUTE, "2400 more: No db 7"),
    ] == memory.pushes  # fmt: skip


def test_problem_every_hour(memory):
    """4: for a day."""
    pushes = memory.play([(s, E, "No db %s", 7) for s in range(0, DAY, HOUR)], 3 * DAY)
    assert [
        (0, "No db 7"), *((hour * HOUR, "Again: No db 7") for hour in (1, 2, 3)),
        (7 * HOUR, "3 more: No db 7"), (31 * HOUR, "17 more: No db 7"),
    ] == pushes  # fmt: skip


def test_problem_every_day(memory):
    """5: three days, and nobody remembers the day before."""
    pushes = memory.play([(day * DAY, E, "No db %s", 7) for day in range(3)], 4 * DAY)
    assert [(day * DAY, "No db 7") for day in range(3)] == pushes


@pytest.mark.parametrize("level", [E, C])
def test_burst_of_a_problem_that_comes_back(stores, inbox, level):
    """Three records before the sender sees the first: a push at once, and the rest is counted."""
    options = stores.options()
    rules = {"windows": [60], "forget_after": 60, **options.pop("throttle", {})}
    one = Phone(inbox, clock=stores.clock, throttle=rules, **options)
    expected = []
    for begin, again in ((0, ""), (150, "Again: "), (400, "")):
        one.at(begin)
        for _ in range(3):
            one.say(level, "No db %s", 7)
        one.at(begin + 70)
        expected += [(begin, f"{again}No db 7"), (begin + 60, "2 more: No db 7")]
    near(expected, one.pushes)
    one.end()


def test_burst_that_is_worse(memory):
    """What came with the record that escalates is at its level, not below it."""
    for level in (E, C):
        for _ in range(3):
            memory.say(level, "No db %s", 7)
        memory.settle()
    assert re.search(r"\n4 more \d.* \(6 in all\)$", memory.bodies[1])


def test_problem_every_65_minutes(memory):
    """5: for a month."""
    times = range(0, 30 * DAY, 65 * MINUTE)
    assert len(memory.play([(s, E, "No db %s", 7) for s in times], 32 * DAY)) < 40
    counted = sum(int(title.split()[0]) for _, title in memory.pushes if " more: " in title)
    told = sum(" more: " not in title for _, title in memory.pushes)
    assert len(times) == told + counted


def test_record_at_the_end_of_the_window(memory):
    """7: the timer comes first, so that it is news again."""
    pushes = memory.play([(0, E, "No db %s", 7), (300, E, "No db %s", 7)], HOUR)
    assert [(0, "No db 7"), (300, "Again: No db 7")] == pushes


def test_critical_at_noon_of_a_problem_that_goes_on(memory):
    """6: a WARNING each minute for ten days; each day's CRITICAL is told within the hour."""
    memory.extra = {"fingerprint": "disk"}
    noons = [day * DAY + DAY // 2 for day in range(10)]
    records = [(s, C if s in noons else W, "disk") for s in range(0, 10 * DAY, MINUTE)]
    memory.play(records, 11 * DAY)
    for noon in noons:
        in_the_hour = [i for i, (at, _) in enumerate(memory.pushes) if noon <= at <= noon + HOUR]
        assert any("CRITICAL" in memory.bodies[i] for i in in_the_hour), noon


def test_problem_every_ten_minutes(phone):
    """3: for a day."""
    pushes = phone().play([(s, E, "No db %s", 7) for s in range(0, DAY, 600)], 30 * HOUR)
    near([
        (0, "No db 7"), (600, "Again: No db 7"), (1500, "1 more: No db 7"),
        (5100, "6 more: No db 7"), (19_500, "24 more: No db 7"),
        (105_900, "111 more: No db 7"),
    ], pushes)  # fmt: skip


def test_problem_that_gets_worse(memory):
    """6: a higher level is told at once, with what was counted below it."""
    memory.extra = {"fingerprint": "disk"}
    levels = [(0, W), (10, W), (20, E), (30, W), (40, C), (50, E)]
    pushes = memory.play([(s, level, "disk at %d", s) for s, level in levels], HOUR)
    assert [
        (0, "disk at 0"), (20, "disk at 20"), (40, "disk at 40"), (340, "1 more: disk at 40"),
    ] == pushes  # fmt: skip
    assert ["1 more at a lower level" in body for body in memory.bodies] == [
        False, True, True, False,
    ]  # fmt: skip


def test_new_problem_in_a_flood(memory):
    """8: B's first at its own second."""
    flood = [(s, E, "A is down") for s in range(20)]
    memory.play(sorted([*flood, (12, E, "B is down")], key=lambda one: one[0]), 200)
    assert [(0, "A is down"), (12, "B is down")] == memory.pushes


def test_texts_that_differ_by_a_number(memory):
    """9: the mask makes them one."""
    for number in range(1000):
        memory.log.error(f"User {number} not found")
    memory.at(HOUR)
    assert [(0, "User 0 not found"), (300, "999 more: User 0 not found")] == memory.pushes


def words(number):
    """Return a sentence that no mask makes equal to another."""
    letters = "abcdefghij"
    return "the " + "".join(letters[int(digit)] for digit in str(number)) + " went wrong"


def test_free_text_of_one_call(phone):
    """9: a thousand different sentences are six pushes at most, and nothing is lost."""
    one = phone()
    for number in range(1000):
        one.log.error(words(number))
    one.at(HOUR)
    titles = [title for _, title in one.pushes]
    assert [words(number) for number in range(5)] == titles[:5]
    assert ["995 more: different messages from test_throttle_scenarios.py"] == [
        title.rpartition(":")[0] for title in titles[5:]
    ]


def test_different_exceptions_of_one_call(memory):
    """9: a framework's line: six first pushes."""
    for kind in (KeyError, ValueError, TypeError, OSError, RuntimeError, LookupError):
        try:
            raise kind("broken")
        except kind:
            memory.log.exception("Internal error")
    memory.settle()
    assert 6 == len(memory.pushes)


def test_placeholders_alone_are_no_template(memory):
    """9: two different problems as args; and news differ by their numbers."""
    memory.log.error("%s: %s", "disk", "is full")
    memory.log.error("%s: %s", "card", "was declined")
    memory.settle()
    assert ["disk: is full", "card: was declined"] == [title for _, title in memory.pushes]
    memory.at(HOUR)
    for epoch in range(10):
        memory.log.info("epoch %d loss %.3f", epoch, 1 / (epoch + 1))
    memory.settle()
    assert 2 + 10 == len(memory.pushes)


def site(number):
    """Return the text of a call site's own template."""
    return "trouble at " + words(number) + " %s"


def test_storm(phone):
    """10: 50 call sites in a second: ten pushes, a digest within a minute; a CRITICAL at once."""
    one = phone()
    for number in range(50):
        one.log.error(site(number), "x")
        one.at(number / 64)
        if number == 32:
            one.log.critical("all is lost %s", "x")
            one.settle()
            assert (0.5, "all is lost x") == one.pushes[-1]
    one.at(59)
    assert 11 == len(one.pushes)
    assert "all is lost x" in [title for _, title in one.pushes]
    one.at(62)
    (digest,) = one.pushes[11:]
    assert "40 new problems" == digest[1]
    assert "0" == one.inbox.messages[-1]["priority"]
    named = one.bodies[-1].count("trouble at")
    assert 900 < len(one.bodies[-1]) <= 1024  # as many as fit
    assert f"… and {40 - named} more problems" in one.bodies[-1]
    one.at(6 * HOUR)
    assert 12 == len(one.pushes)


def test_new_problem_every_half_minute(memory):
    """10: for a day, under 60 pushes; digests name each problem once and count all."""
    memory.play([(30 * n, E, site(n), "x") for n in range(DAY // 30)], DAY + 2 * HOUR)
    assert len(memory.pushes) < 60
    digests = [
        (title, body)
        for (_, title), body in zip(memory.pushes, memory.bodies, strict=True)
        if "new problem" in title
    ]
    told = sum(int(title.split()[0]) for title, _ in digests)
    assert DAY // 30 == told + len(memory.pushes) - len(digests)
    named = [line for _, body in digests for line in body.splitlines() if "trouble at" in line]
    assert len(named) > 10 * len(digests)
    assert len(named) == len({line.partition(",")[0] for line in named})


class DatabaseError(Exception):
    """A driver's own."""


def view(log, number, exc):
    """Fail in one of many views: each has a place of its own."""
    source = f"def view_{number}(): raise exc\nview_{number}()"
    try:
        exec(compile(source, f"/app/views/{number}.py", "exec"), {"exc": exc})
    except Exception:
        log.exception(f"Internal error in {words(number)}")


def test_dead_database(phone):
    """11: 30 views, one root cause: three pushes, then summaries that name places."""
    one = phone()
    for second in range(12 * MINUTE):
        one.at(second)
        view(one.log, second % 30, DatabaseError("cannot connect"))
        one.settle()
    one.at(HOUR)
    titles = [title for _, title in one.pushes]
    assert ["DatabaseError: cannot connect"] * 3 == [
        title.rpartition(".")[2] for title in titles[:3]
    ]
    assert all(" more" in title for title in titles[3:])
    assert 2 == len(titles[3:])
    assert "In view_" in one.bodies[3]
    counted = sum(int(title.partition(" ")[0]) for title in titles[3:])
    assert 12 * MINUTE == 3 + counted


def test_different_key_errors(memory):
    """11: what is no dead database is not merged: ten pushes, and twenty in a digest."""
    for number in range(30):
        view(memory.log, number, KeyError(words(number)))
    memory.at(61)
    assert 11 == len(memory.pushes)
    assert "20 new problems" == memory.pushes[-1][1]


def test_first_try_fails(memory):
    """12: 500, then 200: one first; what came between is in its summary."""
    memory.inbox.fail_with(500)
    memory.play([(s, E, "No db %s", 7) for s in range(10)], HOUR)
    assert ["No db 7", "9 more: No db 7"] == [title for _, title in memory.pushes]


def test_first_is_refused(memory):
    """12: its window is open all the same; the summary says that nobody was told."""
    memory.inbox.fail_with(400, {"status": 0, "errors": ["message cannot be read"], "request": "r"})
    pushes = memory.play([(s, E, "No db %s", 7) for s in range(10)], HOUR)
    assert [(300, "9 more: No db 7")] == pushes
    assert "The first could not be sent." in memory.bodies[0]


def test_exit_tells_what_was_counted(phone):
    """13: one digest at the lowest priority."""
    one = phone()
    for text, number in (("A is down", 6), ("B is down", 3)):
        for _ in range(number):
            one.log.error(text)
    one.settle()
    one.handler._pipeline.thread.request_close()
    one.advance(1)
    assert ["A is down", "B is down", "7 more of 2 problems"] == [t for _, t in one.pushes]
    assert "-2" == one.inbox.messages[-1]["priority"]
    assert ["x5 A is down", "x2 B is down"] == [
        line.partition(",")[0] for line in one.bodies[-1].splitlines()[:2]
    ]


def test_quota_runs_out(memory, caplog):
    """14: first one warning, and no more summaries; then only CRITICAL; all told at the reset."""
    reset = memory.clock.time() + 10 * HOUR
    memory.inbox.set_quota(limit=100, remaining=20, reset=reset)
    memory.play([(s, E, "A is down") for s in range(600)], 2 * HOUR)
    assert [(0, "A is down")] == memory.pushes
    memory.log.error("B is down")
    memory.settle()
    assert "B is down" == memory.pushes[-1][1]
    memory.inbox.set_quota(limit=100, remaining=5, reset=reset)
    memory.log.error("C is down")
    memory.settle()
    memory.log.error("D is down")
    memory.log.critical("E is down")
    memory.settle()
    titles = [title for _, title in memory.pushes]
    assert [
        "A is down", "B is down", "C is down", "599 more: A is down", "E is down",
    ] == titles  # fmt: skip
    assert 2 == caplog.text.count("messages are left")
    for _ in range(7):
        memory.log.error("F is down")
    memory.at(10 * HOUR - 5)
    assert 5 == len(memory.pushes)
    memory.at(10 * HOUR + 5)
    assert ["2 new problems"] == [title for _, title in memory.pushes[5:]]
    assert ["x1 D is down", "x7 F is down"] == [
        line.partition(",")[0] for line in memory.bodies[-1].splitlines()[:2]
    ]


def test_quota_is_used_up(phone, caplog):
    """14: a 429 until the reset: then each problem's counts come in one push."""
    one = phone()
    one.play([(0, E, "A is down")], 1)
    limits = {"X-Limit-App-Limit": "100", "X-Limit-App-Remaining": "0",
              "X-Limit-App-Reset": str(int(one.clock.time()) + 10 * HOUR)}  # fmt: skip
    one.inbox.fail_with(429, {"status": 0}, limits, times=None)
    for second in range(MINUTE, 10 * HOUR - MINUTE, HOUR // 2):
        one.at(second)
        for text in ("A is down", "B is down"):
            one.say(E, text)
        one.settle()
    assert [(0, "A is down")] == one.pushes
    one.inbox.clear_faults()
    one.inbox.set_quota(limit=100, remaining=100)
    one.at(11 * HOUR)
    assert ["B is down", "20 more: A is down", "19 more: B is down"] == [
        title for _, title in one.pushes[1:]
    ]
    assert all(10 * HOUR <= at <= 10 * HOUR + 7 * MINUTE for at, _ in one.pushes[1:])


@pytest.mark.parametrize("jump", [-HOUR, HOUR])
@pytest.mark.parametrize("phone", ["file"], indirect=True)
def test_clock_that_jumps(phone, jump):
    """15: every summary in its window still, one push more at most."""
    one = phone()
    one.play([(s, E, "No db %s", 7) for s in range(100)], 100)
    one.clock.wall += jump
    one.play([(s, E, "No db %s", 7) for s in range(101, 600)], HOUR)
    assert 3 <= len(one.pushes) <= 4
    assert one.pushes[1][0] <= 402
    told = sum(int(title.partition(" ")[0]) for _, title in one.pushes if " more: " in title)
    firsts = sum(" more: " not in title for _, title in one.pushes)
    assert 599 == told + firsts


def test_twenty_times_as_many_problems_as_the_table_holds(memory):
    """16: the table stays as it is, a newcomer of the worst kind is told, and no count is lost."""
    number = 20 * CAPACITY
    for one in range(number):
        memory.log.error("Trouble", extra={"pushover": {"fingerprint": one}})
    memory.settle()
    assert len(memory.handler._pipeline.sender.local.store._items) <= CAPACITY + 1
    memory.say(C, "All is lost")
    memory.settle()
    assert "All is lost" == memory.pushes[-1][1]
    memory.at(DAY)
    firsts = sum(1 for _, title in memory.pushes if title == "Trouble")
    counts = [re.match(r"(\d+) new|(\d+) more", title) for _, title in memory.pushes]
    assert (10, True) == (firsts, len(memory.pushes) < 30)
    assert any(counts)
    stats = memory.handler.stats()
    assert (number + 1, 11, number - 10) == (stats.records, stats.sent, stats.suppressed)


def test_resolved(phone):
    """17: a quiet push with duration and count; a relapse a minute later is a first."""
    one = phone()
    for second in range(120):
        one.at(second)
        one.say(E, "No database", fingerprint="db-7")
    one.at(120)
    one.handler.resolve("db-7")
    one.settle()
    assert (120, "Resolved: db-7") == one.pushes[-1]
    assert "It lasted 2 min and came 120 times." in one.bodies[-1]
    assert "-1" == one.inbox.messages[-1]["priority"]
    one.at(180)
    one.say(E, "No database", fingerprint="db-7")
    one.settle()
    assert [(0, "No database"), (120, "Resolved: db-7"), (180, "No database")] == one.pushes
    one.say(logging.INFO, "The database is back", resolves="db-7")
    one.settle()
    assert "The database is back" == one.bodies[-1].splitlines()[0]
    one.handler.resolve("db-7")
    one.handler.resolve("unknown")
    one.at(HOUR)
    assert 4 == len(one.pushes)


def told(phone):
    """Return how many records the pushes tell: a first one is one."""
    counts = [re.match(r"(\d+) more", title) for _, title in phone.pushes]
    return sum(int(found[1]) if found else 1 for found in counts)


def test_end_that_was_overtaken_is_not_told(phone):
    """Nothing could be sent until the problem was back: a push reports that, and no end."""
    one = phone()
    one.inbox.fail_with(500, times=3)
    for second in range(5):
        one.at(second)
        one.say(E, "No database", fingerprint="db-7")
        one.settle()
    one.at(6)
    one.handler.resolve("db-7")
    one.at(7)
    one.say(E, "No database", fingerprint="db-7")
    one.at(HOUR)
    assert {"No database"} == {title for _, title in one.pushes}
    counts = [re.match(r"(\d+) \d\d:", body) for body in one.bodies]
    assert 6 == sum(int(found[1]) if found else 1 for found in counts)
    one.handler.resolve("db-7")
    one.settle()
    assert "Resolved: db-7" == one.pushes[-1][1]


def test_problem_that_comes_back_ever_again(phone):
    """A new one five times, and then the same that goes on: 60 times in an hour are 12 pushes."""
    one = phone()
    for flap in range(60):
        one.at(60 * flap)
        one.say(E, "No database", fingerprint="db-7")
        one.at(60 * flap + 30)
        one.handler.resolve("db-7")
    one.at(2 * HOUR)
    titles = [title for _, title in one.pushes]
    assert (5, 4) == (titles.count("No database"), titles.count("Resolved: db-7"))
    assert 12 == len(titles)
    assert 60 + 4 == told(one)
    one.at(DAY)
    one.say(E, "No database", fingerprint="db-7")
    one.at(DAY + 60)
    one.handler.resolve("db-7")
    one.settle()
    assert ["No database", "Resolved: db-7"] == [title for _, title in one.pushes[-2:]]


def test_storm_is_over_when_it_is(phone):
    """An hour later a new problem is told at once, wherever the state is."""
    one = phone()
    for number in range(30):
        one.say(E, "No database %s", number, fingerprint=f"db-{number}")
    one.at(HOUR)
    one.say(E, "No disk")
    one.settle()
    assert (HOUR, "No disk") == one.pushes[-1]
    assert 30 + 1 == sum(1 for _, title in one.pushes if title.startswith("No d")) + 20


def test_ends_are_no_flood(phone):
    """Of what nobody has heard none is told, and of many at once the first ones alone."""
    one = phone()
    for number in range(40):
        one.say(E, "No database %s", number, fingerprint=f"db-{number}")
    one.settle()
    one.handler.resolve("db-39")
    one.at(MINUTE)
    assert ["No database 0", "30 new problems"] == [one.pushes[at][1] for at in (0, 10)]
    for number in range(40):
        one.handler.resolve(f"db-{number}")
    one.at(6 * HOUR)
    ends = [title for _, title in one.pushes if title.startswith("Resolved")]
    assert [f"Resolved: db-{number}" for number in range(9)] == ends


def test_end_of_an_emergency_is_always_told(phone):
    """However many others end, and however little quota is left: it repeats until then."""
    one = phone(levels={"CRITICAL": "emergency"})
    for number in range(20):
        one.say(E, "No database %s", number, fingerprint=f"db-{number}")
    one.say(C, "Fire", fingerprint="fire")
    one.at(MINUTE)
    one.inbox.set_quota(limit=1000, remaining=150)
    for number in range(20):
        one.handler.resolve(f"db-{number}")
    one.settle()
    one.handler.resolve("fire")
    one.settle()
    assert "Resolved: fire" == one.pushes[-1][1]
    (fire,) = (push for push in one.inbox.messages if push["title"] == "Fire")
    url = f"{one.inbox.url}/1/receipts/{fire['receipt']}.json"
    assert 1 == requests.get(url, params={"token": TOKEN}, timeout=10).json()["expired"]


def test_emergency_holds_off_the_next(phone):
    """While one repeats, the same problem is high only; more than five an hour, and they say so."""
    one = phone(levels={"CRITICAL": "emergency"}, throttle=60)
    one.play([(s, C, "Fire in %s", "hall") for s in (0, 100, 200)], 300)
    assert ["2", "1", "1"] == [push["priority"] for push in one.inbox.messages]
    for number in range(6):
        one.at(310 + 61 * number)
        one.log.critical(site(number), "x")
        one.settle()
    late = [push["priority"] for push in one.inbox.messages[3:]]
    assert ["2"] * 4 + ["1"] * 2 == late
    assert "one of many emergencies" in one.bodies[-1]


def test_known_call_counts_its_own_problem(memory):
    """What is looked up by its call is never counted for another problem of the same line."""
    for _ in range(3):
        memory.log.error("%s: %s", "disk", "is full")
        memory.log.error("%s: %s", "card", "was declined")
        memory.log.error("Plain trouble")
    memory.at(HOUR)
    assert ["disk: is full", "card: was declined", "Plain trouble"] == [
        title for _, title in memory.pushes[:3]
    ]
    assert "6 more of 3 problems" == memory.pushes[3][1]
    assert adds_up(memory.handler.stats())


def test_calls_without_end_and_records_of_any_shape(memory, monkeypatch, capsys):
    """What is known of calls is bounded; a record that nothing can be made of is counted so."""
    monkeypatch.setattr("pushover_logging.delivery.dedup.MAX_CALLS", 3)
    for number in range(5):
        for _ in range(3):
            memory.log.error(site(number), "x")
    record = logging.makeLogRecord({"msg": "boom", "levelno": E, "name": ["shop"]})
    memory.handler.handle(record)
    memory.at(HOUR)
    assert 5 == len([title for _, title in memory.pushes if title.startswith("trouble")])
    stats = memory.handler.stats()
    assert (1, 0, True) == (stats.failed, stats.pending, adds_up(stats))
    assert "10 more of 5 problems" in [title for _, title in memory.pushes]


def test_refused_word_of_an_end_dates_nothing_back(drive):
    """Where the push that a problem is over was refused, what comes after begins when it came."""
    one = drive()
    asked = {"pushover": {"fingerprint": "db-7"}}
    one.log.error("No database", extra=asked)
    one.settle()
    refused = {"status": 0, "errors": ["message is no good"]}
    one.inbox.fail_with(400, refused, match=lambda form: form["title"].startswith("Resolved"))
    one.advance(60)
    one.handler.resolve("db-7")
    one.settle()
    assert 1 == one.handler.stats().rejected
    one.log.error("No database", extra=asked)
    one.log.error("No database", extra=asked)
    one.advance(310)
    said = one.inbox.messages[-1]["message"]
    assert re.match(r"1 more \d\d:\d\d:\d\d[ .]", said), said  # one moment, no span


@pytest.mark.parametrize("problems", [1, 3, 60])
def test_refused_summary_is_never_repeated_unchanged(drive, problems):
    """A 4xx will never work: what comes next says that, and how many times; the count is told."""
    one = drive(throttle={"windows": [60]})
    posts = []

    def is_summary(form):
        posts.append(tuple(sorted(form.items())))
        return not form["title"].startswith("Disk")

    answer = {"status": 0, "errors": ["message is no good"]}
    one.inbox.fail_with(400, answer, times=None, match=is_summary)
    for number in list(range(problems)) * 3:
        one.log.error("Disk %d", number, extra={"pushover": {"fingerprint": f"disk-{number}"}})
    one.advance(500)
    firsts = len(one.inbox.messages)
    assert len(posts) >= firsts + 3
    assert len(set(posts)) == len(posts)
    one.inbox.clear_faults()
    one.advance(3700)
    summaries = [push["message"] for push in one.inbox.messages[firsts:]]
    assert re.search(r"The \d pushes before were refused\.", summaries[0]), summaries
    assert not any("refused" in message for message in summaries[1:])
    if problems <= 3:
        counts = re.findall(r"(?m)^x?(\d+) ", summaries[0])
        assert [2] * problems == [int(count) for count in counts]


# -- what is news is pushed, whatever the sender finds when it looks


@pytest.fixture
def start(start_driven):
    """Start phones over one state, which are processes that share it."""
    return functools.partial(start_driven, Phone)


def fail(one, name="db-7", level=E, times=1):
    """Log a burst: nothing is sent or decided meanwhile."""
    for _ in range(times):
        one.clock.now += 0.01
        one.say(level, f"{name} is down", fingerprint=name)


def pass_time(seconds, *phones):
    """Let time pass for all of them, second by second; return the titles and priorities since."""
    known = len(phones[0].inbox.messages)
    for _ in range(seconds):
        for one in phones:
            one.settle()
        phones[0].clock.now += 1
    return [(push["title"], push["priority"]) for push in phones[0].inbox.messages[known:]]


def test_end_in_the_middle_of_a_burst(start):
    """It ends what came before it, and what comes on later days is pushed as ever."""
    one = start()
    fail(one)
    one.handler.resolve("db-7")
    for _ in range(3):
        fail(one)
        assert ("db-7 is down", "0") == pass_time(5, one)[-1]
        one.clock.now += DAY
        pass_time(2, one)
        one.clock.now += DAY


def test_problem_that_comes_back_before_its_end_is_sent(start):
    """A push reports that it came back, and none that it is over."""
    one = start()
    fail(one)
    assert [("db-7 is down", "0")] == pass_time(100, one)
    one.handler.resolve("db-7")
    fail(one, times=2)
    assert [("db-7 is down", "0")] == pass_time(60, one)
    assert one.inbox.messages[-1]["message"].startswith("2 ")


def test_end_does_not_silence_the_emergency_that_follows(start):
    """That one is sent first: it is the more urgent."""
    one = start(levels={"CRITICAL": {"priority": "emergency", "expire": "3h"}})
    fail(one, level=C)
    one.settle()
    one.clock.now += 4 * HOUR
    pass_time(2, one)
    one.handler.resolve("db-7")
    fail(one, level=C)
    assert [("Again: db-7 is down", "2")] == pass_time(20, one)


@pytest.mark.parametrize("quiet", [HOUR, 2 * DAY])
def test_problem_that_comes_back_behind_many_new_ones(start, quiet):
    """A digest reports it within a minute or so, as it would a new one."""
    one = start()
    fail(one)
    pass_time(2, one)
    one.clock.now += quiet
    pass_time(2, one)
    for number in range(10):
        fail(one, f"disk-{number}")
    fail(one)
    pushes = pass_time(100, one)
    assert ("db-7 is down", "0") in pushes


def test_problem_that_gets_worse_behind_many(start, inbox):
    """The same where nothing could be sent for a time."""
    one = start()
    fail(one)
    pass_time(2, one)
    inbox.fail_with(503, times=None)
    for number in range(5):
        fail(one, f"disk-{number}", C)
        one.settle()
    fail(one, level=C)
    pass_time(60, one)
    inbox.clear_faults()
    assert [("db-7 is down", "0")] == [push for push in pass_time(300, one) if "db-7" in push[0]]
    assert "CRITICAL" in inbox.messages[-1]["message"]


def test_problem_that_another_process_has_ended(start):
    """A process that does not know that takes its record for one more: a push reports it."""
    one, other = start(), start(host="web-2")
    fail(other)
    pass_time(5, one, other)
    one.handler.resolve("db-7")
    assert [("Resolved: db-7", "-1")] == pass_time(5, one, other)
    fail(other)
    assert [("db-7 is down", "0")] == pass_time(5, one, other)


def test_window_that_another_process_has_shortened(start):
    """A record after its end is pushed, also by a process that knew a longer one."""
    one, other = start(), start(host="web-2")
    fail(other)
    for _ in range(2):
        other.clock.now += 1000
        fail(other)
        pass_time(5, one, other)
    fail(one, level=C)
    pass_time(5, one, other)
    other.clock.now += 500
    fail(other)
    ((title, priority),) = pass_time(5, one, other)
    assert "db-7 is down" == title.removeprefix("Again: ")
    assert priority in {"0", "1"}


def test_record_that_cannot_be_formatted_while_others_are_decided(start, monkeypatch):
    """It does not count as undecided for ever, so that later problems have their digest."""
    one = start()

    class Failing(logging.Formatter):
        def format(self, record):
            if record.levelno == C:
                one.settle()
                raise RuntimeError
            return super().format(record)

    monkeypatch.setattr(logging, "raiseExceptions", False)
    one.handler.setFormatter(Failing())
    fail(one)
    fail(one, level=C)
    for number in range(14):
        fail(one, f"disk-{number}")
    pass_time(200, one)
    text = "".join(push["title"] + push["message"] for push in one.inbox.messages)
    assert all(f"disk-{number} is down" in text for number in range(14))
