"""What nobody foresaw: records of any shape, faults of the program's own parts, and of ours."""

import contextlib
import io
import itertools
import linecache
import logging
import logging.handlers
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest
from conftest import Driven

import pushover_logging
from pushover_logging.delivery import lifecycle
from pushover_logging.rendering.record_view import copy_record


def test_record_of_a_thread_that_ended_is_the_programs(handler_for, inbox):
    """A sender may have that thread's number by now, in this process or in another."""
    handler = handler_for(throttle=False)
    log = logging.Logger("shop")
    log.addHandler(handler)
    inbox.fail_with(delay=0.5)
    log.error("starts the sender")
    number = handler._pipeline.thread.thread.ident
    gone = {"levelno": 40, "msg": "boom happened", "thread": number, "threadName": "Thread-1"}
    handler.handle(logging.makeLogRecord(gone))
    assert 2 == len(inbox.wait_for(2))


@pytest.mark.parametrize("stored", [True, False])
def test_records_of_a_sender_never_come_back(handler_for, inbox, stored):
    """Neither at once nor through a queue, by whichever thread they are handled then."""
    handler = handler_for(throttle=False, level=0)
    late = logging.handlers.MemoryHandler(1000, flushLevel=100, target=handler)
    pool = logging.getLogger("urllib3.connectionpool")
    pool.addHandler(late if stored else handler)
    pool.setLevel(logging.DEBUG)
    log = logging.Logger("shop")
    log.addHandler(handler)
    try:
        log.error("boom happened")
        assert handler.flush(10)
        late.flush()
        assert handler.flush(10)
        assert 1 == handler.stats().records
    finally:
        pool.handlers.clear()
        pool.setLevel(logging.NOTSET)


class Closed(io.StringIO):
    """A stderr that a program has closed, as a daemon does."""

    def __init__(self):
        super().__init__()
        self.close()


class Failing(logging.Handler):
    """A program's own handler, with a fault of its own."""

    def emit(self, record):
        raise RuntimeError("the program's handler is broken")


@pytest.mark.parametrize("trouble", ["closed", "handler"])
def test_warning_that_cannot_be_said_costs_nothing_else(drive, inbox, monkeypatch, trouble):
    """A refused Message is refused once, and what comes after it is sent."""
    driven = drive(throttle=False)
    own = logging.getLogger("pushover_logging")
    failing = Failing()
    if trouble == "handler":
        own.addHandler(failing)
    try:
        with monkeypatch.context() as patched:
            if trouble == "closed":
                patched.setattr(sys, "stderr", Closed())
                patched.setattr(own, "disabled", True)
            driven.inbox.fail_with(400, {"message": "invalid", "errors": ["no"], "status": 0})
            driven.log.error("is refused", extra={"pushover": {"ttl": 0}})
            driven.log.error("%s has no text", Mute())
            driven.log.error("comes after it")
            driven.settle()
    finally:
        own.removeHandler(failing)
    stats = driven.handler.stats()
    assert (3, 1, 1, 1) == (stats.records, stats.rejected, stats.failed, stats.sent)
    assert ["comes after it"] == driven.titles
    assert 2 == len(driven.inbox.attempts)


class Mute:
    """What raises when it is asked for its text."""

    def __str__(self):
        raise RuntimeError


class Sour:
    """What compares to nothing, as an array does where it is asked for a truth."""

    __hash__ = None

    def __eq__(self, other):
        raise ValueError


def deep(levels):
    made = {}
    for _ in range(levels):
        made = {"a": made}
    return made


@pytest.mark.parametrize("changes", [
    {"thread": {"id": 1}}, {"threadName": ["x"]}, {"levelno": Decimal("sNaN")}, {"levelno": "40"},
    {"created": "now"}, {"created": Decimal("sNaN")}, {"msg": deep(100_000)}, {"name": None},
    {"name": {"a": 1}}, {"name": Sour()}, {"threadName": Sour()}, {"process": "x"},
    {"msg": "%s", "args": (deep(100_000),)},
])  # fmt: skip
def test_record_of_any_shape_is_counted_and_raises_nothing(handler_for, changes, capfd):
    """As records come from sockets and log shippers, with attributes missing or of other kinds."""
    handler = handler_for()
    handler.handle(logging.makeLogRecord({"levelno": 40, "msg": "boom happened", **changes}))
    assert handler.flush(10)
    stats = handler.stats()
    assert (1, 1) == (stats.records, stats.sent + stats.failed)
    for name in ("thread", "threadName", "name", "created", "levelno"):
        record = logging.makeLogRecord({"levelno": 40, "msg": "boom happened"})
        delattr(record, name)
        handler.handle(record)
    assert 6 == handler.stats().records


def test_fault_that_nobody_foresaw_costs_a_pause(drive, monkeypatch, caplog):
    """It is said once, the Message is kept, and nothing is sent sooner than after 5 s."""
    driven = drive()
    send = driven.handler._pipeline._client.send
    times = []

    def fail(message, **how):
        times.append(driven.clock.now)
        if len(times) < 3:
            raise ArithmeticError("azGDORePK8gMaC0QOYAMyEEuzJnyUi")
        return send(message, **how)

    monkeypatch.setattr(driven.handler._pipeline._client, "send", fail)
    driven.log.error("boom happened")
    driven.advance(100)
    assert ["boom happened"] == driven.titles
    assert min(later - one for one, later in itertools.pairwise(times)) >= 5
    assert 1 == caplog.text.count("ArithmeticError")
    assert "azGDO" not in caplog.text + str(driven.handler.stats().last_error)


@pytest.mark.parametrize(
    ("part", "name"), [("outbox", "together"), ("_memory", "claim"), ("local", "decide")]
)
def test_fault_between_two_sends_costs_a_pause(drive, monkeypatch, part, name):
    """Nothing that was claimed is left behind, whatever fails around it."""
    driven = drive()
    one = getattr(driven.handler._pipeline.sender, part)
    if not hasattr(one, name):
        pytest.skip("memory has no transactions")
    real, failures = getattr(one, name), iter([True, True])

    def fail(*given, **named):
        if next(failures, False):
            raise ArithmeticError("injected")
        return real(*given, **named)

    monkeypatch.setattr(one, name, fail)
    driven.log.error("boom happened")
    driven.advance(100)
    assert ["boom happened"] == driven.titles


def test_copy_of_a_record_is_of_its_own_kind(drive):
    """A program's own kind of record says its own text, and no copy changes it."""

    class Braces(logging.LogRecord):
        def getMessage(self):  # noqa: N802
            return self.msg.format(*self.args)

    driven = drive()
    record = Braces("shop", 40, "pay.py", 7, "Order {} failed", ("A-1042",), None)
    before = dict(record.__dict__)
    made = copy_record(record)
    made.args = ("none",)
    driven.handler.handle(record)
    driven.settle()
    assert (["Order A-1042 failed"], before, Braces) == (
        driven.titles, record.__dict__, type(made)
    )  # fmt: skip


SOURCE = str(Path(pushover_logging.__file__).parent)
EMITTING = tuple(f"{SOURCE}/{part}" for part in ("handler.py", "delivery/"))
OUTSIDE = ("return", "try:", "arrival = [record]")  # lines of `emit` that are not in its `try`
AFTER_A_FAULT = ("_fail", "failed", "leave", "handleError")  # what is raised twice is lost


class Raising:
    """A trace function that raises at one line of what runs."""

    def __init__(self, number):
        self.left = number

    def __call__(self, frame, event, _):
        code = frame.f_code
        if not code.co_filename.startswith(EMITTING) or code.co_name in AFTER_A_FAULT:
            return None
        line = linecache.getline(code.co_filename, frame.f_lineno).strip()
        is_outside = code.co_name == "emit" and line in OUTSIDE
        if event == "line" and not (is_outside or line.startswith("with ")):  # also a block's end
            self.left -= 1
            if self.left == 0:
                raise RecursionError
        return self


@pytest.fixture
def apart():
    """Runs a function in a thread of its own: CPython loses track of what a tracer raised there."""
    with ThreadPoolExecutor(1) as pool:
        yield lambda *given: pool.submit(*given).result()


@pytest.mark.parametrize("throttle", [True, False], ids=["throttled", "all"])
@pytest.mark.parametrize("before", [0, 1], ids=["first", "repeated"])
def test_exception_at_any_line_leaves_one_outcome(inbox, throttle, before, capsys, apart):
    """Whatever raises where, as the recursion limit may: the record is counted exactly once."""
    options = {} if throttle else {"throttle": False}
    number = 1
    while apart(raised_at, number, Driven(inbox, **options), before):
        number += 1
    assert number > 20
    capsys.readouterr()  # what logging says of a record that failed


def raised_at(number, driven, before):
    """Emit a record while something raises; return whether so many lines ran."""
    for _ in range(before):
        driven.log.error("boom")
    raising, traced = Raising(number), sys.gettrace()
    sys.settrace(raising)
    try:
        driven.handler.emit(record())
    finally:
        sys.settrace(traced)
    assert before + 1 == driven.handler.stats().records, number
    driven.settle()
    stats, pipeline = driven.handler.stats(), driven.handler._pipeline
    assert (0, 0, 0) == (stats.pending, len(pipeline.outbox), pipeline.outbox._bytes), number
    assert {False: 0, True: 0} == pipeline.dedup._undecided, number
    driven.end()
    return raising.left <= 0


def record():
    return logging.LogRecord("shop", logging.ERROR, __file__, 1, "boom", (), None)


@pytest.mark.parametrize("throttle", [True, False], ids=["throttled", "all"])
def test_records_on_the_way_out_of_a_recursion(inbox, throttle, capsys, apart, monkeypatch):
    """Each frame logs: those for which there is no room are counted as failed."""
    # At the limit Python's own finalizers have no room either, nor has pytest's hook for them.
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    driven, logged = Driven(inbox, **({} if throttle else {"throttle": False})), []

    def recurse():
        try:
            recurse()
        finally:
            made = record()
            driven.handler.emit(made)  # if there is no room for it, it is not in the counters
            logged.append(made)

    def run():
        with contextlib.suppress(RecursionError):
            recurse()
        driven.handler.emit(record())
        driven.settle()

    apart(run)
    stats = driven.handler.stats()
    assert (len(logged) + 1, 0) == (stats.records, stats.pending)
    assert stats.failed > 0
    driven.end()
    capsys.readouterr()


def test_stderr_that_is_gone(monkeypatch):
    """A daemon has none: what was not sent cannot be reported, and nothing is raised."""
    monkeypatch.setattr("sys.stderr", None)
    lifecycle._report(1, "not sent")


def test_deferred_record_that_has_failed_meanwhile(drive):
    """Its own call has counted it: nothing is left to take."""
    driven = drive()
    driven.handler._pipeline.guard._deferred.append([])
    assert driven.handler.flush(0)
    assert 0 == driven.handler.stats().records


def test_problem_that_ends_while_its_record_is_formatted(drive):
    """Another thread resolves it then: the record is sent all the same."""

    class Ends:
        def __str__(self):
            driven.clock.now += 60  # its end is later than the record, which has the real time
            thread = threading.Thread(target=driven.handler.resolve, args=("disk",))
            thread.start()
            thread.join()
            return "/srv"

    driven = drive()
    driven.log.error("%s is full", Ends(), extra={"pushover": {"fingerprint": "disk"}})
    driven.settle()
    assert ["/srv is full", "Resolved: disk"] == sorted(driven.titles)
