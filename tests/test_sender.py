"""The thread's own life: when it starts, rests and ends."""

import logging
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from pushover_logging.api import transport
from pushover_logging.clock import Clock
from pushover_logging.delivery import lifecycle, sender


def test_connection_that_nobody_needs_is_closed(handler_for, inbox, monkeypatch):
    """After a rest it is closed; the next record opens another."""
    monkeypatch.setattr(sender, "_CONNECTION_IDLE", 0.05)
    handler = handler_for(throttle=False)
    log = logging.Logger("shop")
    log.addHandler(handler)
    log.error("first trouble")
    inbox.wait_for(1)
    assert handler.flush(10)
    deadline = time.monotonic() + 10
    while transport._IDLE_CONNECTIONS and time.monotonic() < deadline:
        time.sleep(0.01)
    log.error("second trouble")
    inbox.wait_for(2)
    assert 2 == len({attempt.connection for attempt in inbox.attempts})


def test_no_thread_before_the_first_record_that_is_let_through(handler_for):
    """Neither the handler nor a record below its level starts one."""
    handler = handler_for(level=logging.ERROR)
    log = logging.Logger("shop")
    log.addHandler(handler)
    log.warning("below")
    assert None is handler._pipeline.thread.thread
    log.error("boom happened")
    assert "pushover-logging" in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("drive", ["memory"], indirect=True)
def test_message_that_comes_while_the_thread_ends_is_sent_by_another(drive, monkeypatch):
    """Put after the thread has seen that nothing waits: it starts the next one itself."""
    driven = drive()
    thread, started = driven.thread, []
    monkeypatch.setattr(driven.clock, "start_thread", lambda target, _: started.append(target))

    def put_late():
        monkeypatch.setattr(driven.handler._pipeline._client, "close", lambda: None)
        other = threading.Thread(target=driven.log.error, args=("late one",))
        other.start()
        other.join(10)

    thread.request_close()
    driven.settle()
    started.clear()
    monkeypatch.setattr(driven.handler._pipeline._client, "close", put_late)
    thread._run()
    assert [thread._run] == started
    driven.settle()
    assert ["late one"] == driven.titles


def test_two_calls_start_one_thread(drive):
    """A call that comes while another starts the thread leaves it to that one."""
    driven = drive(throttle=False)
    with driven.thread._starting:
        driven.log.error("in the middle of it")
        other = threading.Thread(target=driven.log.error, args=("from another thread",))
        other.start()
        other.join(10)
    driven.settle()
    assert 2 == driven.handler.stats().sent


def test_start_that_is_cut_off_leaves_one_thread(handler_for, inbox, monkeypatch):
    """A signal handler that raises while the thread starts, as at Ctrl-C: each is sent once."""
    handler = handler_for(throttle=False)
    start = handler._clock.start_thread

    def cut_off(target, name):
        monkeypatch.undo()
        start(target, name)
        raise KeyboardInterrupt

    monkeypatch.setattr(handler._clock, "start_thread", cut_off)
    inbox.fail_with(delay=0.3)
    log = logging.Logger("shop")
    log.addHandler(handler)
    with pytest.raises(KeyboardInterrupt):
        log.error("first trouble")
    log.error("second trouble")
    assert handler.flush(10)
    assert ["first trouble", "second trouble"] == [push["title"] for push in inbox.messages]
    assert 1 == inbox.most_open


@pytest.mark.parametrize("drive", ["memory"], indirect=True)
def test_fork_that_ran_no_hook_is_noticed(drive):
    """Where a process was copied behind Python's back, its first record starts anew."""
    driven = drive(throttle=False)
    driven.log.error("of the parent")
    driven.handler._pipeline.pid -= 1
    driven.log.error("of the child")
    driven.settle()
    assert ["of the child"] == driven.titles
    assert (1, 1, 0) == (
        driven.handler.stats().records, driven.handler.stats().sent, driven.handler.stats().pending,
    )  # fmt: skip


def test_at_most_two_requests_at_once(handler_for, inbox):
    """Over all handlers of a process, as the service asks."""
    inbox.fail_with(delay=0.3, times=None)
    for _ in range(4):
        log = logging.Logger("shop")
        log.addHandler(handler_for())
        log.error("boom happened")
    inbox.wait_for(4)
    began = sorted(attempt.received for attempt in inbox.attempts)
    assert began[2] - began[0] >= 0.25


def test_last_words_take_no_time_where_there_are_none(drive):
    """A close with nothing to report takes no time, whatever others of its file do."""
    driven = drive()
    driven.log.error("boom happened")
    driven.settle()
    driven.handler._pipeline.thread.request_close()
    driven.advance(1)
    assert driven.handler._pipeline.thread.is_drained()


@pytest.mark.parametrize(
    ("options", "version", "run"),
    [
        ({}, b"2.0.23", False),
        ({}, b"2.0.26.post1", False),
        ({"enable-threads": True}, b"2.0.23", True),
        ({"threads": b"2"}, b"2.0.23", True),
        ({}, b"2.0.30", True),
        (None, b"2.0.23", True),
    ],
)
def test_threads_run_in_uwsgi_where_it_lets_them(monkeypatch, options, version, run):
    """By its options, and by default from the version on that changed it."""
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(opt=options, version=version))
    assert run is lifecycle.threads_run()


def test_uwsgi_without_threads_is_told_inline(monkeypatch, handler_for, inbox, caplog):
    """Where a thread would stand still until the next request: sent in the call, said once."""
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(opt={}, version=b"2.0.23"))
    monkeypatch.setattr(lifecycle._process, "has_warned_of_threads", False)
    log = logging.Logger("shop")
    log.addHandler(handler_for(throttle=False))
    log.error("first problem")
    log.error("second problem")
    assert ["first problem", "second problem"] == [push["title"] for push in inbox.messages]
    assert 1 == caplog.text.count("enable-threads")


def test_second_thread_ends_at_once(drive, monkeypatch):
    """A start that was cut off leaves a thread that nobody knows: another one changes nothing."""
    driven = drive()
    driven.log.error("boom happened")
    monkeypatch.setattr(sender, "_OLD_THREAD_END", 0.01)
    with driven.thread._stepping:
        driven.thread._run()
    assert [] == driven.titles
    driven.settle()
    assert ["boom happened"] == driven.titles


def test_thread_that_ends_before_its_start_returns_is_not_taken_for_one_that_runs(
    handler_for, inbox
):
    """What is logged after `close` is sent by a thread that ends at once; the next starts anew."""

    class Quick(Clock):
        def start_thread(self, target, name):
            thread = threading.Thread(target=target, name=name)
            thread.start()
            thread.join(10)

    handler = handler_for(clock=Quick())
    handler.close()
    log = logging.Logger("shop")
    log.addHandler(handler)
    log.error("first trouble")
    log.error("second trouble")
    assert handler.flush(10)
    assert ["first trouble", "second trouble"] == [push["title"] for push in inbox.messages]


@pytest.mark.parametrize("threads", [True, False])
def test_wait_ends_where_time_stands_still(handler_for, inbox, monkeypatch, threads):
    """As in a test that freezes it: what waits for the sender does so for real seconds."""
    inbox.fail_with(500, times=None)
    handler = handler_for(close_timeout=0)
    if not threads:
        monkeypatch.setattr(lifecycle, "threads_run", lambda: False)
    log = logging.Logger("shop")
    log.addHandler(handler)
    log.error("boom happened")
    with monkeypatch.context() as frozen:
        now = time.monotonic()
        frozen.setattr(sender.time, "monotonic", lambda: now)
        assert not handler.flush(0.3)


def test_problem_that_ends_while_its_record_is_formatted(drive):
    """Nothing is remembered of it, and its next record is one of a new problem."""
    driven = drive()
    own = {"pushover": {"fingerprint": "disk"}}

    class Ends:
        def __str__(self):
            driven.handler.resolve("disk")
            return "full"

    driven.log.error("disk %s", Ends(), extra=own)
    driven.log.error("disk %s", "full", extra=own)
    driven.settle()
    stats = driven.handler.stats()
    assert (3, 1, 2) == (stats.records, stats.sent, stats.suppressed)  # the end is one, too
