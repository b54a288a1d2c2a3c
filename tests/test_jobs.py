"""Jobs with a deadline: who did not run is reported, by any process that shares the state."""

import time
from contextlib import closing
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from conftest import TOKEN, USER, Driven
from stores import Stores

from pushover_logging import PushoverClient
from pushover_logging.throttle import jobs
from pushover_logging.throttle.store import DEADLINE, Job

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

    def until(self, text):
        """Let time pass until then; return the titles of what comes meanwhile."""
        moment = datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()
        before = len(self.inbox.messages)
        while self.clock.time() < moment:
            step = min(600.0, moment - self.clock.time())
            for sender in self.senders:
                sender.settle()
            self.clock.now += step
        for sender in self.senders:
            sender.advance(1)
        return [push["title"] for push in self.inbox.messages[before:]]

    @property
    def last(self):
        return self.inbox.messages[-1]["message"]


@pytest.fixture(params=["file", "redis"])
def site(request, inbox, tmp_path, monkeypatch):
    server = request.getfixturevalue("common_redis") if request.param == "redis" else None
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
    assert [first, f"Again: {first}", f"1 more: {first}", f"x6 more: {first}"] == titles[:4]
    assert len(titles) < 8
    site.start(every=600, grace=0)
    assert ["Resolved: backup (did not run)"] == site.until("2026-03-13 02:05")
    assert site.last.endswith("came 432 times.")


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
    assert [True, False] == [jobs.forget(site.store, "backup") for _ in range(2)]
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


def _save(store, job):
    store.load([DEADLINE + "backup"])
    store.save(DEADLINE + "backup", job, job.due)


def test_run_that_was_overtaken_ends_in_silence(site):
    """Two runs overlap: the job is what the later one did."""
    first = site.start()
    site.until("2026-03-10 03:00")
    site.start()
    jobs.end(site.store, "backup", first.started, 3)
    assert 0 == jobs.listed(site.store)["backup"].ended


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
