"""Jobs with a deadline: who did not run is reported, by any process that shares the state."""

import argparse
import json
import logging
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from conftest import TOKEN, USER, Driven
from stores import Stores
from test_run import LATER

from pushover_logging import PushoverClient, PushoverHandler
from pushover_logging.cli.job_alerts import Job as JobOfRun
from pushover_logging.cli.job_alerts import JobAlerts, OutputTail
from pushover_logging.cli.shared_state import shared_throttle
from pushover_logging.clock import Clock
from pushover_logging.identity.fingerprint import explicit
from pushover_logging.throttle import jobs
from pushover_logging.throttle.rules import PushInfo
from pushover_logging.throttle.store import DEADLINE, Job
from pushover_logging.throttle.throttle import Candidate

pytest.importorskip("fcntl", reason="Windows has no outbox in a file")
HOUR, DAY = 3600, 86_400
BERLIN = ZoneInfo("Europe/Berlin")
ACCOUNT = PushoverClient(TOKEN, USER).account


class Site:
    """Hosts that share a state: jobs that start there, and handlers that send, on one clock."""

    def __init__(self, stores, inbox):
        self.stores, self.inbox, self.clock = stores, inbox, stores.clock
        self.senders = []
        self.set("2026-03-10 02:00")
        self.sender()

    def set(self, text):
        """Set the clock to a time in Berlin."""
        moment = datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()
        self.clock.wall = moment - self.clock.now

    def sender(self):
        """Start another process that logs to the phone."""
        self.senders.append(Driven(self.inbox, self.clock, **self.stores.options()))
        return self.senders[-1]

    @property
    def store(self):
        return self.stores.throttle(ACCOUNT).store

    def start(self, name="backup", host="nas", **given):
        """Start a job, as `run` does."""
        job = Job(**{"every": DAY, "grace": HOUR, "host": host, **given})
        if jobs.start(self.store, name, job):
            self.senders[-1].handler.resolve(jobs.overdue_fingerprint(name))
        return job

    def until(self, text, step=600.0):
        """Let time pass until then, in steps; return the titles of what comes meanwhile."""
        moment = datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()
        before = len(self.inbox.messages)
        while self.clock.time() < moment:
            for sender in self.senders:
                sender.settle()
            self.clock.now += min(step, moment - self.clock.time())
        for sender in self.senders:
            sender.advance(1)
        return [push["title"] for push in self.inbox.messages[before:]]

    @property
    def last(self):
        return self.inbox.messages[-1]["message"]


@pytest.fixture(params=["file", "redis"])
def site(request, inbox, tmp_path, monkeypatch):
    server = request.getfixturevalue("common_redis") if request.param == "redis" else None
    if server is not None:  # a slow machine is not what these are about
        monkeypatch.setattr("pushover_logging.throttle.redis.PATIENCE", 10.0)
    stores = Stores(request.param, tmp_path, server, monkeypatch)
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    made = Site(stores, inbox)
    yield made
    for sender in made.senders:
        sender.end()
    stores.close()
    monkeypatch.undo()
    time.tzset()


def test_job_that_runs_in_time_sends_nothing(site):
    """Nor does one that is late within its grace."""
    site.start()
    assert [] == site.until("2026-03-11 02:00")
    site.start()
    assert [] == site.until("2026-03-12 02:59")
    site.start()
    assert [] == site.until("2026-03-13 03:58")


def test_job_that_did_not_run_is_reported_at_its_deadline(site):
    """With the time by which it was expected, and when it last started; the next run resolves."""
    job = site.start()
    jobs.end(site.store, "backup", job.started, 0)
    assert [] == site.until("2026-03-11 02:59")
    assert ["backup did not run"] == site.until("2026-03-11 03:01")
    assert "expected by 03:00, last started yesterday 02:00 on nas" == site.last
    assert "0" == site.inbox.messages[-1]["priority"]
    assert [] == site.until("2026-03-11 09:00")
    site.start()
    assert ["Resolved: backup (did not run)"] == site.until("2026-03-11 09:10")
    assert "It lasted 6 h and came once." in site.last
    assert [] == site.until("2026-03-12 09:59")
    assert ["backup did not run"] == site.until("2026-03-12 10:01")


def test_job_that_is_late_for_days_is_throttled(site):
    """Each interval without a start counts as one more; a frequent job sends summaries."""
    job = site.start(every=600, grace=0)
    jobs.end(site.store, "backup", job.started, 3)
    titles = site.until("2026-03-13 02:00")
    first = "backup did not run"
    assert [first, f"Again: {first}", f"1 more: {first}", f"6 more: {first}"] == titles[:4]
    assert len(titles) < 8
    site.start(every=600, grace=0)
    assert ["Resolved: backup (did not run)"] == site.until("2026-03-13 02:05")
    assert site.last.endswith("came 432 times.")


def test_count_is_of_missed_intervals(site):
    """However rarely somebody looks: the host that does so was asleep for hours, twice."""
    site.start(every=HOUR, grace=0)
    site.clock.now += 5.5 * HOUR
    assert ["backup did not run"] == site.until("2026-03-10 07:31")
    site.start(every=600, grace=0)
    assert ["Resolved: backup (did not run)"] == site.until("2026-03-10 07:32")
    assert site.last.endswith("It lasted 4.5 h and came 5 times.")
    assert 3 == len(site.until("2026-03-10 08:10"))
    site.clock.now += 35 * 60
    assert ["6 more: backup did not run"] == site.until("2026-03-10 09:10")
    site.start(every=HOUR, grace=0)
    site.until("2026-03-10 09:11")
    assert site.last.endswith("came 9 times.")


def test_count_of_missed_intervals_is_from_the_first_to_the_last(site):
    """Also if a host that was asleep counts several at once."""
    site.start(every=600, grace=0)
    assert 3 == len(site.until("2026-03-10 02:38"))
    site.clock.now += 55 * 60
    assert ["6 more: backup did not run"] == site.until("2026-03-10 03:38")
    assert site.last.startswith("6 more 02:40:00-03:30:00 (9 in all)"), site.last


def test_interval_that_cannot_be_reported_is_counted_once(site):
    """The service is away while a job is missed again and again."""
    site.start(every=HOUR, grace=0)
    site.until("2026-03-10 03:01")
    site.inbox.fail_with(503, times=None)
    assert [] == site.until("2026-03-10 06:30")
    site.inbox.clear_faults()
    assert ["Again: backup did not run"] == site.until("2026-03-10 06:59")
    site.start(every=HOUR, grace=0)
    site.until("2026-03-10 07:01")
    assert site.last.endswith("came 4 times.")


def test_daily_job_that_never_runs_is_reported_each_day(site):
    """The day is named, as it is long ago."""
    job = site.start()
    jobs.end(site.store, "backup", job.started, 0)
    titles = site.until("2026-03-14 03:01")
    assert 4 == len(titles)
    assert {"backup did not run"} == {title.removeprefix("Again: ") for title in titles}
    assert "expected by Wed 11 Mar 03:00, last started Tue 10 Mar 02:00 on nas" == site.last


def test_job_that_is_still_running_is_named_so(site):
    """A job longer than its interval: its next start is late, and it has not ended."""
    site.start(every=HOUR, grace=0)
    assert ["backup did not run"] == site.until("2026-03-10 03:01")
    assert "expected by 03:00, last started 02:00 on nas, and has not ended" == site.last


def test_job_of_each_quarter_is_resolved(site):
    """However long ago its problem was reported."""
    site.start(every=90 * DAY)
    assert ["backup did not run"] == site.until("2026-06-08 03:01", HOUR)
    site.set("2026-07-30 02:00")
    site.start(every=90 * DAY)
    assert ["Resolved: backup (did not run)"] == site.until("2026-07-30 02:05")
    assert "It lasted 52 days and came once." in site.last
    site.start(every=90 * DAY)
    assert [] == site.until("2026-07-30 02:10")


def test_two_hosts_report_once(site):
    """Whichever looks first; a start on either host is the job's."""
    site.sender()
    site.start(host="nas")
    site.until("2026-03-11 02:00")
    site.start(host="backup-2")
    assert [] == site.until("2026-03-12 02:59")
    assert ["backup did not run"] == site.until("2026-03-12 04:00")
    assert site.last.endswith("on backup-2, and has not ended")
    assert 1 == len(site.inbox.attempts)


def test_renamed_job_is_overdue_until_it_is_forgotten(site):
    """Its old name is reported, until `jobs forget`; an unknown name is reported as such."""
    site.start("backup")
    site.until("2026-03-11 02:00")
    site.start("nightly")
    assert ["backup did not run"] == site.until("2026-03-11 03:01")
    assert ["backup", "nightly"] == list(jobs.listed(site.store))
    problem = explicit(jobs.overdue_fingerprint("backup"))
    assert [problem] == list(site.store.transaction(lambda: site.store.load([problem])))
    assert [True, False] == [jobs.forget(site.store, "backup") for _ in range(2)]
    assert [] == list(site.store.transaction(lambda: site.store.load([problem])))
    assert ["nightly"] == list(jobs.listed(site.store))
    site.start("nightly")
    assert [] == site.until("2026-03-12 03:59")


@pytest.mark.parametrize(
    ("day", "after"), [("2026-03-28", "2026-03-29"), ("2026-10-24", "2026-10-25")]
)
def test_day_of_the_clock_change_is_as_long_as_it_is(site, day, after):
    """Cron's day has 23 or 25 hours then; a job without grace is neither early nor late."""
    site.set(f"{day} 04:00")
    site.start(grace=0)
    assert [] == site.until(f"{after} 03:59")
    assert ["backup did not run"] == site.until(f"{after} 04:01")


def test_clock_that_jumps_costs_one_push(site):
    """A month ahead and back: one push and its end, and the next deadline holds."""
    site.start()
    site.until("2026-03-10 12:00")
    site.set("2026-04-10 12:00")
    assert ["backup did not run"] == site.until("2026-04-10 12:01")
    site.set("2026-03-10 12:02")
    assert [] == site.until("2026-03-11 02:00")
    site.start()
    assert ["Resolved: backup (did not run)"] == site.until("2026-03-11 02:01")
    assert [] == site.until("2026-03-12 02:59")
    assert ["backup did not run"] == site.until("2026-03-12 03:01")


def test_start_in_the_future_is_brought_back(site):
    """A job that started while the clock was a year ahead is missed within its interval."""
    site.set("2027-03-10 02:00")
    site.start()
    site.until("2027-03-10 02:01")
    site.set("2026-03-10 02:02")
    assert [] == site.until("2026-03-11 03:00")
    assert ["backup did not run"] == site.until("2026-03-11 04:30")


def test_restart_resets_no_deadline(site):
    """The state has it, and the processes that send come and go."""
    site.start()
    site.until("2026-03-10 20:00")
    site.senders.pop().end()
    site.clock.now += 12 * HOUR
    site.sender()
    assert ["backup did not run"] == site.until("2026-03-11 08:01")


def test_push_that_fails_is_sent_later(site):
    """The claim ends, and the job is due again: once, under the same id."""
    site.start()
    site.until("2026-03-11 02:59")
    site.inbox.fail_with(503)
    assert ["backup did not run"] == site.until("2026-03-11 03:10")
    assert 2 == len(site.inbox.attempts)


def test_end_of_what_no_push_has_reported_is_not_reported(site):
    """The job runs while the service is away: the problem is over, and nobody has heard of it."""
    site.start(every=HOUR, grace=0)
    site.until("2026-03-10 02:59")
    site.inbox.fail_with(503, times=None)
    assert [] == site.until("2026-03-10 03:00:10")
    assert 1 == len(site.inbox.attempts)
    site.start(every=HOUR, grace=0)
    site.inbox.clear_faults()
    assert [] == site.until("2026-03-10 03:59")
    assert ["backup did not run"] == site.until("2026-03-10 04:01")
    site.inbox.fail_with(503, times=None)
    site.until("2026-03-10 05:01")
    assert 3 == len(site.inbox.attempts)
    site.start()
    site.inbox.clear_faults()
    assert ["Resolved: backup (did not run)"] == site.until("2026-03-10 05:30")


def test_start_without_an_interval_keeps_the_one_before(site):
    """`run` by hand is a start of the job, with the deadline and the alerts that cron's has."""
    site.start(priority=1)
    site.until("2026-03-11 04:00")
    assert not site.start("other", every=0.0, grace=0.0).started
    assert ["backup"] == list(jobs.listed(site.store))
    site.start(host="laptop", every=0.0, grace=0.0)
    assert ["Resolved: backup (did not run)"] == site.until("2026-03-12 04:59")
    assert ["backup did not run"] == site.until("2026-03-12 05:01")
    assert site.last.startswith("expected by 05:00, last started yesterday 04:00 on laptop")
    assert "1" == site.inbox.messages[-1]["priority"]


def test_claimer_that_dies_leaves_the_report_to_another(site):
    """Before the report; or after it, and then nothing comes twice."""
    site.start()
    site.clock.now += 25 * HOUR
    throttle = site.stores.throttle(ACCOUNT)
    assert jobs.claim_overdue(throttle.store, [DEADLINE + "backup"], 30.0)
    assert [] == site.until("2026-03-11 03:00:20")
    assert ["backup did not run"] == site.until("2026-03-11 03:01")
    job = jobs.listed(site.store)["backup"]
    job.due = site.clock.time()
    throttle.store.transaction(lambda: _save(throttle.store, job))
    assert [] == site.until("2026-03-11 03:30")
    assert 1 == len(site.inbox.attempts)


def test_problem_that_another_push_is_about_is_reported_after_it(site):
    """Which may be its end, on the way from another process."""
    site.start()
    site.clock.now += 25 * HOUR - 1
    site.senders[-1].settle()
    key = explicit(jobs.overdue_fingerprint("backup"))
    other = Candidate("other", key, logging.ERROR, site.clock.time(), PushInfo("backup"))
    site.stores.throttle(ACCOUNT).decide(other)
    assert [] == site.until("2026-03-11 03:00:20")
    assert ["backup did not run"] == site.until("2026-03-11 03:02")


def test_switched_off_nothing_is_due(caplog):
    """PUSHOVER_TOKEN=off: there is no state to look at."""
    assert PushoverHandler(token="off").report_due()


def _save(store, job):
    store.load([DEADLINE + "backup"])
    store.save(DEADLINE + "backup", job, job.due)


def test_run_that_was_overtaken_ends_in_silence(site):
    """Two runs overlap: the job is what the later one did, also if the start comes late."""
    first = site.start()
    site.until("2026-03-10 03:00")
    second = site.start()
    jobs.end(site.store, "backup", first.started, 3)
    site.until("2026-03-10 03:30")
    late = Job(every=DAY, host="nas")
    assert not jobs.start(site.store, "backup", late, HOUR)
    found = jobs.listed(site.store)["backup"]
    assert (0, second.started, 0) == (found.ended, found.started, late.started)


def test_options_of_the_alerts_apply(site):
    """An emergency too, whose end cancels it."""
    site.start(priority=2, device="phone", sound="siren")
    site.until("2026-03-11 03:01")
    push = site.inbox.messages[-1]
    assert ("2", "phone", "siren") == (push["priority"], push["device"], push["sound"])
    site.start()
    site.until("2026-03-11 03:05")
    with closing(PushoverClient(TOKEN, USER, api_url=site.inbox.url)) as client:
        assert client.receipt(push["receipt"]).expired


@pytest.mark.parametrize("damage", [
    "nonsense", "{}", '{"every":60,"due":1,"priority":9}', '{"every":60,"due":1,"started":-1e11}',
    '{"every":60,"due":1,"device":"a b"}', '{"every":1e-9,"due":1}',
])  # fmt: skip
def test_damaged_job_stops_nothing(site, damage):
    """What another program has written is forgotten, and other jobs are reported."""
    site.start("other", host="web-1")
    site.start()
    throttle = site.stores.throttle(ACCOUNT)
    site.stores.damage(throttle, DEADLINE + "backup", damage)
    site.clock.now += 26 * HOUR
    assert ["other did not run"] == site.until("2026-03-11 04:05")
    assert ["other"] == list(jobs.listed(site.store))


# -- the commands


class Cron:
    """Runs the command as processes of its own, each at an hour that the test chooses."""

    def __init__(self, command, inbox):
        self.command, self.inbox, self.hour, self.err = command, inbox, 0.0, ""
        self.path = command.directory / "later.py"
        self.path.write_text(LATER, encoding="utf-8")

    def run(self, *arguments, **environ):
        """Run the command; return its status, what it prints, and the titles of its pushes."""
        before = len(self.inbox.messages)
        start = [sys.executable, str(self.path), str(HOUR * self.hour), *map(str, arguments)]
        done = subprocess.run(
            start, capture_output=True, text=True, check=False, timeout=60,
            **self.command.options(environ),
        )  # fmt: skip
        self.err = done.stderr
        assert environ or not done.stderr
        titles = [push["title"] for push in self.inbox.messages[before:]]
        return done.returncode, done.stdout, titles

    def backup(self, script="exit 0"):
        options = ["--name", "backup", "--every", "1d", "--grace", "1h"]
        return self.run("run", *options, "--", "sh", "-c", script)


@pytest.fixture
def cron(command, inbox):
    return Cron(command, inbox)


@pytest.mark.process
def test_job_that_cron_forgot(cron):
    """`run --every` sets the deadline, `overdue` reports it once, the next run ends it."""
    assert (3, "", ["backup failed: exit status 3"]) == cron.backup("exit 3")
    assert (0, "", []) == cron.run("overdue")
    cron.hour = 25.5
    status, out, titles = cron.run("overdue")
    assert (1, ["backup did not run"]) == (status, titles)
    expected = r"backup did not run: expected by .*\d\d:\d\d, last started .*\d\d:\d\d on web-1\n"
    assert re.fullmatch(expected, out)
    assert (1, out, []) == cron.run("overdue")
    status, _, titles = cron.backup()
    assert (0, {"Resolved: backup (did not run)", "Resolved: backup"}) == (status, set(titles))
    assert (0, "", []) == cron.run("overdue")


@pytest.mark.process
def test_overdue_that_cannot_send_shows_why(cron, free_port):
    """And what to do; a run that comes then sends no end of what nobody has heard of."""
    cron.backup()
    cron.hour = 25.5
    away = f"http://127.0.0.1:{free_port}"
    status, out, _ = cron.run("overdue", PUSHOVER_API_URL=away)
    assert (1, "backup did not run: expected by") == (status, out[:31])
    assert cron.err.startswith("pushover-logging: a push was not sent: ")
    assert cron.err.endswith(
        "; the next call tries again, and `pushover-logging check` finds what is wrong\n"
    )
    status, _, err = cron.command.run("overdue", PUSHOVER_TOKEN=None)
    assert (2, True) == (status, b"set PUSHOVER_TOKEN or PUSHOVER_TOKEN_FILE" in err)
    assert (0, "", []) == cron.backup()
    assert (0, "", []) == cron.run("overdue")
    cron.hour = 80
    cron.inbox.fail_with(400, {"status": 0, "token": "invalid", "errors": ["token is invalid"]})
    for _ in range(2):  # the second makes no request
        assert 1 == cron.run("overdue", PUSHOVER_HOST="web-1")[0]
        why = "not sent: the service refused the request (400): token is invalid;"
        assert (True, 1) == (why in cron.err, cron.err.count("\n")), cron.err


@pytest.mark.process
def test_run_by_hand_is_a_run_of_the_job(cron):
    """`run` with its name, without `--every`: its start, its end, and the next deadline."""
    cron.backup()
    cron.hour = 24
    assert (3, "", ["backup failed: exit status 3"]) == cron.run(
        "run", "--name", "backup", "--", "sh", "-c", "exit 3"
    )
    cron.hour = 48
    assert (0, "", []) == cron.run("overdue")
    (found,) = json.loads(cron.run("jobs", "--json")[1])
    assert 3 == found["status"]
    cron.hour = 50.5
    assert 1 == cron.run("overdue")[0]


@pytest.mark.process
def test_any_process_that_sends_reports_it(cron):
    """As a run of another job does, which has no deadline."""
    cron.backup()
    cron.hour = 26
    assert (0, "", ["backup did not run"]) == cron.run("run", "--", "true")


@pytest.mark.process
def test_window_of_the_environment_applies_to_commands(cron):
    """PUSHOVER_THROTTLE has a duration: what comes again within it is counted."""
    cron.command.environ["PUSHOVER_THROTTLE"] = "2d"
    send, run = ("send", "--problem", "disk", "full"), ("run", "--name", "sync", "--", "false")
    expected = [["disk"], ["sync failed: exit status 1"]]
    assert expected == [cron.run(*arguments)[2] for arguments in (send, run)]
    cron.hour = 5
    assert [[], []] == [cron.run(*arguments)[2] for arguments in (send, run)]


@pytest.mark.process
def test_jobs_are_listed_and_forgotten(cron):
    """Name, last start, status, duration, deadline, on lines of 80 characters; and as JSON."""
    assert 2 == cron.command.run("jobs")[0]
    cron.backup("exit 3")
    cron.run("run", "--name", "a long name " * 5, "--every", "2d", "--", "true")
    cron.hour = 25.5
    status, out, _ = cron.run("jobs")
    head, long, backup = out.splitlines()
    assert (0, ["NAME", "LAST", "START", "STATUS", "DURATION", "DEADLINE"]) == (
        status,
        head.split(),
    )
    when = r"\d\d \w{3} \d\d:\d\d"
    assert re.fullmatch(rf"a long name a long name…  {when}  ok        \d s       {when}", long)
    assert re.fullmatch(
        rf"backup                    {when}  exit 3    \d s       {when} OVERDUE", backup
    )
    assert max(map(len, out.splitlines())) <= 80
    wide = cron.run("jobs", COLUMNS="120")[1].splitlines()[1]
    assert re.fullmatch(rf"{' '.join(['a long name'] * 5)}  {when}  ok .*", wide)
    _, out, _ = cron.run("jobs", "--json")
    other, found = json.loads(out)
    assert {
        "name": "backup",
        "host": "web-1",
        "status": 3,
        "overdue": True,
    }.items() <= found.items()
    assert DAY + HOUR - HOUR <= found["deadline"] - found["started"] <= DAY + 2 * HOUR
    assert (True, False) == (0 <= found["duration"] < 60, other["overdue"])
    cron.hour = 24 * 400
    assert re.search(
        r"backup +\d\d \w{3}  20\d\d  exit 3 .* \d\d \w{3}  20\d\d OVERDUE", cron.run("jobs")[1]
    )
    _, out, _ = cron.run("overdue")
    assert re.search(r"backup .* by \w{3} \d\d \w{3} 20\d\d \d\d:\d\d, last started \w{3} \d", out)
    outbox = ["--outbox", next(cron.command.directory.rglob("*.sqlite"))]
    assert (0, "backup is forgotten\n", []) == cron.run("jobs", "forget", *outbox, "backup")
    assert (1, "backup is unknown\n", []) == cron.run("jobs", "forget", "backup", *outbox)
    assert (1, "backup is unknown\n", []) == cron.run("jobs", *outbox, "forget", "backup")
    assert 0 == cron.run("jobs", *outbox, "list", "--json")[0]
    cron.run("jobs", "forget", " ".join(["a long name"] * 5))
    assert (0, "[]\n", []) == cron.run("jobs", "--json")
    assert cron.run("jobs")[1].startswith("no jobs: `pushover-logging run --every")
    for wrong in (["forget"], ["list", "backup"]):
        status, _, err = cron.command.run("jobs", *wrong)
        assert (2, True, 1) == (status, err.startswith(b"pushover-logging"), err.count(b"\n"))


@pytest.mark.process
@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("echo ready; exec sleep 60", 130),
        ("trap 'exit 9' INT; echo ready; while :; do sleep 0.05; done", 9),
    ],
)
def test_interrupted_job_keeps_its_deadline(cron, script, status):
    """SIGINT is the command's to answer: its status is recorded, and nothing is sent."""
    options = ["--name", "backup", "--every", "1d", "--", "sh", "-c", script]
    with cron.command.start(
        "run", *options, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert b"ready\n" == process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert status == process.wait(60)
    (found,) = json.loads(cron.run("jobs", "--json")[1])
    assert status == found["status"]
    assert DAY - HOUR <= found["deadline"] - found["started"] <= DAY + HOUR  # the clocks may change
    assert [] == cron.inbox.attempts
    cron.hour = 25.5
    assert (1, ["backup did not run"]) == cron.run("overdue")[::2]


@pytest.mark.process
def test_names_are_shown_as_a_terminal_can(cron):
    """What it does not show is a sign for that; wide characters take two columns."""
    wide, hidden = "\u5099\u4efd", "back\u200bup"
    for name in (wide, hidden):
        cron.run("run", "--name", name, "--every", "1d", "--", "true")
    cron.hour = 25.5
    _, out, _ = cron.run("jobs", PYTHONIOENCODING="utf-8")
    shown = {line[:22].split()[0]: line.index(":") for line in out.splitlines()[1:]}
    assert {"back\ufffdup": 31, wide: 29} == shown
    out = cron.run("overdue", PYTHONIOENCODING="utf-8")[1]
    out += cron.run("jobs", "forget", hidden, PYTHONIOENCODING="utf-8")[1]
    assert ["back\ufffdup did not run", f"{wide} did not run", "back\ufffdup is forgotten"] == [
        line.partition(":")[0] for line in out.splitlines()
    ]


@pytest.mark.process
def test_jobs_of_another_token_are_mentioned(cron, redis):
    """The file knows, and Redis does not."""
    given = ["--outbox", "outbox.sqlite"]
    cron.run("run", *given, "--name", "backup", "--every", "1d", "--", "true")
    other = {"PUSHOVER_TOKEN": f"b{TOKEN[1:]}"}
    expected = "no jobs of this token and user; the file has jobs of another token or user\n"
    assert (0, expected, []) == cron.run("jobs", *given, **other)
    assert (0, "[]\n", []) == cron.run("jobs", *given, "--json", **other)
    assert (0, "", []) == cron.run("overdue", *given, **other)
    assert cron.err.endswith(expected)
    assert cron.run("jobs", "--store", redis.url, **other)[1].startswith("no jobs: `pushover")


@pytest.mark.process
def test_job_is_listed_while_it_runs(cron):
    """And after its process was killed, as nobody knows how it ended."""
    options = ["--name", "backup", "--every", "1d", "--"]
    with cron.command.start(
        "run", *options, "sh", "-c", "echo; sleep 60", stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        _, out, _ = cron.run("jobs", "--json")
        os.kill(process.pid, signal.SIGKILL)
    (found,) = json.loads(out)
    assert (None, None) == (found["status"], found["duration"])
    assert " running " in cron.run("jobs")[1]


@pytest.mark.process
def test_real_seconds_over_redis(command, redis, inbox, program):
    """A program that sends for the account reports a job of another host."""
    source = """
        import logging, sys
        from pushover_logging import PushoverHandler

        logging.getLogger().addHandler(PushoverHandler())
        logging.error("started")
        print(flush=True)
        sys.stdin.readline()
        """
    run = ["run", "--store", redis.url, "--name", "backup", "--every", "2s", "--", "true"]
    path = program.path(source)
    environ = {**program.environ, "PUSHOVER_THROTTLE": redis.url}
    with subprocess.Popen(
        [sys.executable, str(path)], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        assert (0, b"", b"") == command.run(*run, PUSHOVER_HOST="nas", PUSHOVER_OUTBOX="off")
        pushes = inbox.wait_for(2, timeout=30)
        run[run.index("2s")] = "1h"
        assert (0, b"", b"") == command.run(*run, PUSHOVER_HOST="nas")
        pushes = inbox.wait_for(3, timeout=30)
        process.stdin.close()
    titles = [push["title"] for push in pushes]
    assert ["started", "backup did not run", "Resolved: backup (did not run)"] == titles
    assert re.match(r"expected by \d\d:\d\d, last started \d\d:\d\d on nas", pushes[1]["message"])
    assert (0, b"", b"") == command.run("overdue", "--store", redis.url)


@pytest.mark.process
def test_deadline_that_cannot_be_set_does_not_stop_the_job(command, free_port):
    """One line on stderr; with PUSHOVER_TOKEN=off it is silent."""
    options = ["--name", "backup", "--every", "1d", "--"]
    store = ["--store", f"redis://127.0.0.1:{free_port}"]
    status, out, err = command.run("run", *store, *options, "echo", "done")
    assert (0, b"done\n") == (status, out)
    assert 1 == err.count(b"pushover-logging: no deadline is set: Redis at 127.0.0.1:")
    assert (3, b"", b"") == command.run("run", *options, "sh", "-c", "exit 3", PUSHOVER_TOKEN="off")


@contextmanager
def locked(path, how="EXCLUSIVE"):
    """Keep a file from all others, as a backup of it might; or, IMMEDIATE, from their writes."""
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute(f"BEGIN {how}")
        yield


class Ahead(Clock):
    """The real clock and its threads, so many seconds ahead."""

    seconds = 0.0

    def monotonic(self):
        return Clock.monotonic() + self.seconds

    def time(self):
        return Clock.time() + self.seconds


@pytest.mark.parametrize("how", ["EXCLUSIVE", "IMMEDIATE"])
def test_locked_file_does_not_delay_a_start(tmp_path, monkeypatch, capsys, how):
    """Nobody waits for the state: the start is recorded when the job has ended."""
    for name, value in {"TOKEN": TOKEN, "USER": USER, "API_URL": "http://127.0.0.1:9"}.items():
        monkeypatch.setenv(f"PUSHOVER_{name}", value)
    path, clock = tmp_path / "outbox.sqlite", Ahead()
    arguments = argparse.Namespace(outbox=str(path), store=None, clock=clock)
    found = []
    for every in (DAY, 0.0):
        deadline = Job(every=every, grace=HOUR)
        job = JobOfRun("backup", "job:backup", None, {}, False, None, deadline)
        alerts = JobAlerts(job, OutputTail(), arguments)
        with ExitStack() as stack:
            if every == 0.0:
                stack.enter_context(locked(path, how))
            began = time.monotonic()
            alerts.report_start()
            assert time.monotonic() - began < 1  # it was 2 s
        clock.seconds += 2 * HOUR
        alerts.report_end(3)
        with shared_throttle(arguments) as throttle:
            found.append(jobs.listed(throttle.store)["backup"])
    first, second = found
    assert 3 == second.status
    for seconds in (second.started - first.started, second.ended - second.started):
        assert 2 * HOUR <= seconds < 2 * HOUR + 60
    assert DAY + HOUR == round(second.deadline - second.started)
    assert ("", "") == capsys.readouterr()


@pytest.mark.process
@pytest.mark.parametrize(
    ("options", "what"),
    [(["--every", "1d"], "no deadline is set"), ([], "the run is not recorded")],
)
def test_run_that_cannot_be_recorded_is_one_line(cron, options, what):
    """The file is locked from start to end; with `--every`, or with the one of the run before."""
    cron.backup()
    (path,) = cron.command.directory.rglob("*.sqlite")
    with locked(path):
        status, out, err = cron.command.run(
            "run", "--name", "backup", *options, "--", "sh", "-c", "echo done; exit 130"
        )
    assert (130, b"done\n") == (status, out)
    assert [f"pushover-logging: {what}: {path}: database is locked"] == [
        line for line in err.decode().splitlines() if line.startswith("pushover-logging")
    ]


@pytest.mark.process
def test_end_that_cannot_be_recorded_is_a_line(command, redis):
    """Redis stops while the job runs: its status is its own."""
    stop = f"{sys.executable} -c 'import redis; redis.Redis.from_url(\"{redis.url}\").shutdown()'"
    options = ["--store", redis.url, "--name", "backup", "--every", "1d", "--"]
    status, _, err = command.run("run", *options, "sh", "-c", f"{stop}; exit 0")
    assert 0 == status
    assert b"pushover-logging: the end of the job is not recorded: " in err
