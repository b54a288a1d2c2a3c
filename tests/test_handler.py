"""Composition: filters, interruptions, faults of a record, life without a thread or a token."""

import contextlib
import copy
import logging
import signal
import sys
import textwrap
import threading
import weakref

import pytest
import requests
from conftest import Mute, adds_up

from pushover_logging import ConfigurationError, PushoverClient, PushoverHandler
from pushover_logging.clock import Clock
from pushover_logging.delivery.dedup import Dedup

TOKEN = "azGDORePK8gMaC0QOYAMyEEuzJnyUi"
USER = "uQiRzpo4DXghDmr9QzzfQu27cmVRsG"


def interrupted(work, interruption, number):
    """Run ``work``; a signal does ``interruption`` at call ``number`` into this library's code.

    Calls and returns are counted. Returns whether there were so many. Going on with a generator is
    no call here in Python 3.10: what a profile function raises there ends the generator without its
    ``finally``, which no signal does.
    """
    calls = 0

    def profile(frame, event, _):
        nonlocal calls
        resumed = sys.version_info < (3, 11) and event == "call" and frame.f_lasti >= 0
        counted = event in {"call", "return"} and not resumed
        if counted and "pushover_logging" in frame.f_code.co_filename:
            calls += 1
            if calls == number:
                sys.setprofile(None)
                signal.raise_signal(signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, lambda *_: interruption())
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
        signal.signal(signal.SIGUSR1, before)
    return calls >= number


@pytest.mark.parametrize("throttle", [None, False])
def test_interruption_at_any_call_that_logs_is_counted_and_sent(drive, throttle):
    """A record that comes in the middle of another is never lost, and never blocks."""
    driven = drive(throttle=throttle, capacity=1_000_000)
    number = 0
    going = True
    while going:
        number += 1
        going = interrupted(
            lambda: driven.log.error("Outer", extra={"pushover": {"fingerprint": number}}),  # noqa: B023  called at once
            lambda: driven.log.error("Inner problem"),
            number,
        )
    stats = driven.handler.stats()
    assert number > 50
    assert 2 * number - 1 == stats.records
    assert 0 == stats.failed


def test_interruption_that_cannot_be_formatted_is_counted(drive, capsys):
    """A record that fails in the middle of another fails once, in the books as on stderr."""
    driven = drive()
    number = 0
    going = True
    while going:
        number += 1
        going = interrupted(
            lambda: driven.log.error("Outer problem happened"),
            lambda: driven.log.error("%s", Mute()),
            number,
        )
    assert number - 1 == driven.handler.stats().failed
    assert number - 1 == capsys.readouterr().err.count("--- Logging error ---")


@pytest.mark.parametrize("throttle", [None, False])
def test_record_in_the_middle_of_the_books_waits_for_their_end(
    drive, monkeypatch, capsys, throttle
):
    """One that comes while the outbox is written, good or bad, is taken up right after."""
    driven = drive(throttle=throttle)
    outbox = driven.handler._pipeline.outbox
    put = outbox.put

    def interrupted_put(queued, *, wait):
        monkeypatch.setattr(outbox, "put", put)
        driven.log.error("good one")
        driven.log.error("%s bad one", Mute())
        assert 1 == driven.handler._pipeline.stats().records
        return put(queued, wait=wait)

    monkeypatch.setattr(outbox, "put", interrupted_put)
    driven.log.error("outer one")
    driven.settle()
    assert ["outer one", "good one"] == driven.titles
    assert (3, 1) == (driven.handler.stats().records, driven.handler.stats().failed)
    assert "bad one" in capsys.readouterr().err


def test_interruption_of_stats_is_counted(drive):
    """Also what comes while the counters are read."""
    driven = drive()
    number = 0
    while interrupted(
        driven.handler.stats, lambda: driven.log.error("boom happened"), number := number + 1
    ):
        pass
    assert number - 1 == driven.handler.stats().records


def test_filter_lets_through_and_replaces(drive):
    """A filter that says no costs nothing; one that returns a record (3.12) replaces it."""
    driven = drive()

    def replace(record):
        if record.msg == "no":
            return False
        other = copy.copy(record)
        other.msg = "replaced text"
        return other if sys.version_info >= (3, 12) else True

    driven.handler.addFilter(replace)
    driven.log.error("no")
    driven.log.error("given text")
    driven.settle()
    expected = "replaced text" if sys.version_info >= (3, 12) else "given text"
    assert [expected] == driven.titles
    assert 1 == driven.handler.stats().records


def test_filter_that_replaces_the_record_is_followed(drive):
    """What `filter` returns is what is sent: logging does so since 3.12, we on every version."""

    class Replacing(PushoverHandler):
        def filter(self, record):
            other = copy.copy(record)
            other.msg = "replaced text"
            return other

    driven = drive()
    driven.handler.__class__ = Replacing
    driven.log.error("given text")
    driven.settle()
    assert ["replaced text"] == driven.titles


def test_filter_that_logs_does_no_harm(drive):
    """What a filter logs is a record like any other."""
    driven = drive(throttle=False)

    def log_again(record):
        if "again" not in record.msg:
            driven.log.error("filtered again")
        return True

    driven.handler.addFilter(log_again)
    driven.log.error("boom happened")
    driven.settle()
    assert ["filtered again", "boom happened"] == driven.titles


def test_body_that_cannot_be_made_is_a_failure_of_that_record(drive, capsys):
    """A formatter raises: the record is counted and shown, its problem is reported later."""
    driven = drive()
    driven.handler.setFormatter(logging.Formatter("%(missing)s"))
    driven.log.error("Cannot connect to %s", "db-7")
    driven.handler.setFormatter(None)
    driven.log.error("Cannot connect to %s", "db-7")
    driven.settle()
    assert ["Cannot connect to db-7"] == driven.titles
    assert 1 == driven.handler.stats().failed
    assert "--- Logging error ---" in capsys.readouterr().err


def test_unthrottled_record_that_cannot_be_made_is_counted(drive, capsys):
    """The same with the throttle off."""
    driven = drive(throttle=False)
    driven.log.error("%s", Mute())
    assert 1 == driven.handler.stats().failed
    assert "--- Logging error ---" in capsys.readouterr().err


def test_emit_raises_what_ends_a_program(drive):
    """KeyboardInterrupt in a record's own __str__ goes through, and the books stay right."""

    class Stop:
        def __str__(self):
            raise KeyboardInterrupt

    driven = drive()
    with pytest.raises(KeyboardInterrupt):
        driven.log.error(Stop())
    assert 1 == driven.handler.stats().failed


def test_interrupt_of_an_admitted_record(drive, monkeypatch):
    """A signal handler that raises between two steps: the record counts as failed, once."""
    driven = drive()

    def interrupts(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Dedup, "remember", interrupts)
        driven.log.error("boom")
    assert (1, 0) == (driven.handler.stats().failed, driven.handler.stats().pending)
    driven.log.error("boom")
    driven.settle()
    assert ["boom"] == [push["title"] for push in driven.inbox.messages]


def test_worst_of_what_was_counted_is_reported(drive):
    """A CRITICAL was pushed; of its repeats the second is worse than the first."""
    driven = drive(throttle=60)
    for level in (logging.CRITICAL, logging.ERROR, logging.CRITICAL):
        driven.log.log(level, "boom")
    driven.settle()
    driven.advance(3700)
    assert "The worst was CRITICAL." in driven.inbox.messages[-1]["message"]


def test_fault_of_the_handler_is_shown_and_raises_nothing(drive, monkeypatch, capsys):
    """Whatever fails before the record is looked at, as a pipeline after a fork."""
    driven = drive()
    with monkeypatch.context() as patch:
        patch.setattr(driven.handler, "_current", lambda: 1 / 0)
        driven.log.error("boom")
    said = capsys.readouterr().err
    assert "--- Logging error ---" in said
    assert "ZeroDivisionError" in said


def test_filter_that_replaces_the_record(drive):
    """As a filter may since Python 3.12."""
    driven = drive()
    other = logging.makeLogRecord({"msg": "other", "levelno": 40, "levelname": "ERROR"})
    driven.handler.filter = lambda _: other
    driven.log.error("boom")
    driven.settle()
    assert ["other"] == [push["title"] for push in driven.inbox.messages]


def test_switched_off(monkeypatch, caplog):
    """PUSHOVER_TOKEN=off: said once, nothing is counted or sent, every call still works."""
    monkeypatch.setenv("PUSHOVER_TOKEN", "off")
    handler = PushoverHandler()
    assert "PUSHOVER_TOKEN is off" in caplog.text
    record = logging.makeLogRecord({"msg": "boom", "levelno": 40})
    assert False is handler.handle(record)
    handler.emit(record)
    handler.take_over()
    assert (0, True) == (handler.stats().records, handler.flush())
    handler.close()
    assert "off" in repr(handler)
    handler.after_fork()
    assert not handler.handle(record)


def test_refused_options_leave_no_handler_behind():
    """One that was never made is not flushed at exit."""
    before = len(logging._handlerList)
    with pytest.raises(ValueError, match="token") as caught:
        PushoverHandler(token="short", user=USER)
    assert before == len(logging._handlerList)
    assert caught.value.option == "token"


class NoThreads(Clock):
    """An interpreter that has no more threads to give."""

    def start_thread(self, target, name):
        raise RuntimeError("can't start new thread")


def test_without_a_thread_a_record_is_sent_inline(handler_for, inbox):
    """At interpreter shutdown, and in a server that has none: one bounded send."""
    handler = handler_for(clock=NoThreads(), close_timeout=0.5)
    log = logging.Logger("shop")
    log.addHandler(handler)
    log.error("boom happened")
    assert ["boom happened"] == [push["title"] for push in inbox.messages]
    inbox.fail_with(500)
    log.error("other trouble")
    assert 1 == handler.stats().pending


def test_thread_that_dies_is_started_again(handler_for, inbox, monkeypatch):
    """Whatever kills it: the next record starts another, and nothing is lost."""
    died = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda _: died.set())
    handler = handler_for(throttle=False)
    send = handler._pipeline._client.send

    def kill(message, **how):
        monkeypatch.setattr(handler._pipeline._client, "send", send)
        raise SystemExit("injected" + message.message)

    monkeypatch.setattr(handler._pipeline._client, "send", kill)
    log = logging.Logger("shop")
    log.addHandler(handler)
    log.error("first trouble")
    assert died.wait(10)
    log.error("second trouble")
    inbox.wait_for(2)
    assert {"first trouble", "second trouble"} == {push["title"] for push in inbox.messages}


def test_handler_that_is_let_go_of_has_its_backlog_sent(inbox):
    """Removed and collected: the sender outlives it until its backlog is out."""
    inbox.fail_with(delay=0.3)
    handler = PushoverHandler(token=TOKEN, user=USER, api_url=inbox.url, throttle=False)
    log = logging.Logger("shop")
    log.addHandler(handler)
    for number in range(3):
        log.error("trouble %d", number)
    gone = weakref.ref(handler)
    log.removeHandler(handler)
    del handler
    assert None is gone()
    assert ["trouble 0", "trouble 1", "trouble 2"] == [p["title"] for p in inbox.wait_for(3)]


def test_what_a_record_held_is_free_after_emit(drive):
    """An exception's locals are collectable as soon as the call returns."""

    class Large:
        pass

    driven = drive()
    large = Large()
    gone = weakref.ref(large)

    def fail(held):
        raise ValueError("bad thing" + str(held)[:0])

    try:
        fail(large)
    except ValueError:
        driven.log.exception("boom happened")
    del large
    assert None is gone()


def test_text_is_the_one_at_the_call(drive):
    """Arguments that change afterwards change nothing."""
    driven = drive()
    basket = ["apple"]
    driven.log.error("Cannot ship %s", basket)
    basket.append("pear")
    driven.settle()
    assert ["Cannot ship ['apple']"] == driven.titles


def test_record_in_the_middle_of_stats_waits_for_their_end(drive, monkeypatch, capsys):
    """One that comes while the counters are read, whatever it is, is taken up right after."""
    driven = drive()
    counters = driven.handler._pipeline.counters
    read = counters.stats

    def interrupted_stats(*given):
        monkeypatch.undo()
        driven.log.error("good one")
        driven.log.error("%s bad one", Mute())
        driven.handler.resolve("a name")
        driven.handler.flush(0)
        return read(*given)

    monkeypatch.setattr(counters, "stats", interrupted_stats)
    assert 0 == driven.handler.stats().records
    assert (3, 1) == (driven.handler.stats().records, driven.handler.stats().failed)
    driven.settle()
    assert ["good one"] == driven.titles
    assert "bad one" in capsys.readouterr().err


def test_escalation_reports_what_came_before_it(drive):
    """The count of the lower level goes along, wherever the throttle's state lives."""
    driven = drive()
    for level in (logging.WARNING, logging.WARNING, logging.WARNING):
        driven.log.log(level, "Cannot connect to %s", "db-7")
        driven.settle()
    driven.log.error("Cannot connect to %s", "db-7")
    driven.settle()
    assert 2 == len(driven.titles)
    driven.advance(310)  # over a file, the leader reports it with the counts of the others
    texts = [f"{push['title']} {push['message']}" for push in driven.inbox.messages]
    assert 1 == sum("2 more" in text for text in texts)


def test_digested_record_that_cannot_be_formatted_is_no_loss(drive, capsys):
    """In a storm it is counted and reported in the digest all the same, without its title."""
    driven = drive()

    class Broken(logging.Formatter):
        def format(self, record):
            raise RuntimeError("no text today")

    for word in ["ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen", "ibis", "jay"]:
        driven.log.error(
            f"The {word} is gone and nobody knows", extra={"pushover": {"fingerprint": word}}
        )
    driven.handler.setFormatter(Broken())
    driven.log.error("One too many", extra={"pushover": {"fingerprint": "owl"}})
    stats = driven.handler.stats()
    assert (11, 0) == (stats.records, stats.failed)
    assert "no text today" in capsys.readouterr().err


def test_resolved_emergency_repeats_no_more(drive):
    """Its repeats are cancelled by tag; a passing fault of that call is tried again."""
    driven = drive(levels={"CRITICAL": "emergency"})
    driven.log.critical("Database is down", extra={"pushover": {"fingerprint": "db-7"}})
    driven.advance(60)
    for status in (429, 500):
        driven.inbox.fail_with(status, path="/1/receipts")
    driven.handler.resolve("db-7")
    driven.advance(600)
    assert "Resolved: db-7" == driven.titles[-1]
    (receipt,) = [push["receipt"] for push in driven.inbox.messages if push.get("receipt")]
    address = f"{driven.inbox.url}/1/receipts/{receipt}.json"
    found = requests.get(address, params={"token": TOKEN}, timeout=5).json()
    assert (0, 1) == (found["acknowledged"], found["expired"])


@pytest.mark.process
def test_emergency_of_a_process_that_is_gone_is_cancelled(program, inbox):
    """With an outbox, whoever resolves the problem after a restart stops the repeats by tag."""
    made = """
        from pushover_logging import PushoverClient, PushoverHandler
        handler = PushoverHandler(levels={"CRITICAL": "emergency"}, outbox="outbox.sqlite")
        """
    first = "import logging\nlogging.getLogger().addHandler(handler)\nlogging.critical("
    first += "'Database is down', extra={'pushover': {'fingerprint': 'db-7'}})\n"
    made = textwrap.dedent(made)
    assert (0, "", "") == program.run(made + first)
    receipt = inbox.messages[0]["receipt"]
    client = PushoverClient(TOKEN, USER, api_url=inbox.url)
    assert not client.receipt(receipt).expired
    assert (0, "", "") == program.run(f"{made}handler.resolve('db-7')\n")
    assert ["Database is down", "Resolved: db-7"] == [push["title"] for push in inbox.messages]
    assert client.receipt(receipt).expired
    client.close()


def test_resolving_goes_on_where_the_service_knows_no_such_tag(drive):
    """A refusal of that call is no fault: the push that it is over comes all the same."""
    driven = drive(levels={"CRITICAL": "emergency"})
    driven.log.critical("Database is down", extra={"pushover": {"fingerprint": "db-7"}})
    driven.advance(60)
    driven.inbox.fail_with(404, {"status": 0, "errors": ["no tag"]}, path="/1/receipts")
    driven.handler.resolve("db-7")
    driven.advance(5)
    assert "Resolved: db-7" == driven.titles[-1]


class Boom(BaseException):
    """What a handler of signals raises, as that of Ctrl-C does."""


def boom(*_, **__):
    raise Boom


@pytest.mark.parametrize("throttle", [None, False])
def test_interruption_at_any_call_that_raises_leaves_no_lock_held(drive, throttle):
    """Another thread logs on at once, and nothing waits for ever."""
    number, going = 1, True
    while going:
        driven = drive(throttle=throttle)
        with contextlib.suppress(Boom):
            going = interrupted(lambda log=driven.log: log.error("cut off"), boom, number)
        other = threading.Thread(target=driven.log.critical, args=("from another thread",))
        other.start()
        other.join(10)
        assert not other.is_alive(), number
        driven.handler.flush(0)
        driven.settle()
        stats = driven.handler.stats()
        assert (True, 0) == (adds_up(stats), stats.pending), number
        assert stats.records > 0
        driven.end()
        number += 6  # each takes a delivery, and all of them half a minute
    assert number > 20


def test_interruption_before_the_outbox_has_it_is_a_failure(drive, monkeypatch):
    """Nobody will send it: it is counted so with the next record, and the books add up."""
    driven = drive()
    monkeypatch.setattr(driven.handler._pipeline.outbox, "put", boom)
    with pytest.raises(Boom):
        driven.log.error("cut off")
    monkeypatch.undo()
    driven.log.error("the next one")
    driven.settle()
    stats = driven.handler.stats()
    assert (1, 1, True) == (stats.failed, stats.sent, adds_up(stats))


@pytest.mark.parametrize(("timeout", "done"), [
    (float("inf"), True), (1e300, True), (10**10, True),
    (-1, False), (float("nan"), False), (0, False),
])  # fmt: skip
def test_flush_takes_any_number_of_seconds(handler_for, inbox, timeout, done):
    """For ever is as long as a lock can wait, what is no number is none at all."""
    inbox.fail_with(delay=0.3)
    handler = handler_for()
    log = logging.Logger("shop")
    log.addHandler(handler)
    log.error("boom happened")
    assert done == handler.flush(timeout)


def test_flush_in_the_middle_of_a_record_gives_none_up(handler_for, inbox):
    """A value that flushes the handler while its own record is made: it is sent, once."""
    handler = handler_for()

    class Flushing:
        def __str__(self):
            return "in time" if handler.flush(0) else "too early"

    log = logging.Logger("shop")
    log.addHandler(handler)
    log.error("flushed %s", Flushing())
    assert handler.flush()
    assert ["flushed too early"] == [push["title"] for push in inbox.messages]
    assert (1, 0) == (handler.stats().sent, handler.stats().failed)


def test_terminate_is_true_or_false():
    """As each option, it is checked at construction."""
    with pytest.raises(ConfigurationError, match="terminate: got 'no', takes True or False"):
        PushoverHandler(token="a" * 30, user="u" * 30, terminate="no")


@pytest.mark.parametrize("outbox", [None, "outbox.sqlite"])
def test_mute_of_a_closed_handler(handler_for, inbox, tmp_path, outbox):
    """In memory an error, since it reports all that it counts at once; a file's mute holds."""
    handler = handler_for(outbox=outbox and tmp_path / outbox)
    handler.close()
    if outbox is None:
        with pytest.raises(ConfigurationError, match=r"^mute: the handler is closed, and without "):
            handler.mute(seconds=60)
    else:
        handler.mute(seconds=60)
    handler.handle(logging.makeLogRecord({"levelno": logging.ERROR, "msg": "No database"}))
    assert handler.flush(10)
    assert (outbox is None) == bool(inbox.messages)
