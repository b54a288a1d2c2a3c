"""What a dead process left in the outbox is delivered by the next one, though that logs nothing."""

import contextlib
import logging
import os
import sqlite3
import sys

import pytest

pytest.importorskip("fcntl", reason="Windows has no outbox in a file")

from conftest import USER

from pushover_logging import PushoverHandler
from pushover_logging.clock import Clock

OTHER_TOKEN = "bzGDORePK8gMaC0QOYAMyEEuzJnyUi"
pytestmark = pytest.mark.process

# It waits for the first answer: what is on its way at the kill could arrive.
KILLED = """
import logging, os, signal, time
from pushover_logging import PushoverHandler

handler = PushoverHandler(throttle=False)
logging.getLogger().addHandler(handler)
logging.error("first trouble")
deadline = time.monotonic() + 30
while handler.stats().last_error is None and time.monotonic() < deadline:
    time.sleep(0.01)
logging.critical("worst trouble")
logging.error("last trouble")
{before}
os.kill(os.getpid(), signal.SIGKILL)
"""
# Its journal is left behind, with a part of what it wrote in the file: only a writer mends that.
IN_THE_MIDDLE = """
def die(connection):
    connection.execute("PRAGMA cache_size = 1")
    for number in range(200):
        connection.execute("INSERT INTO item VALUES (?, 'a', ?, 0)", (number, "x" * 2000))
    os.kill(os.getpid(), signal.SIGKILL)
handler._pipeline.outbox.file.run(die)
"""
CONFIGURED = """
import logging.config, os, time
logging.config.dictConfig({
    "version": 1,
    "handlers": {"phone": {"class": "pushover_logging.PushoverHandler", "throttle": False}},
    "root": {"handlers": ["phone"]},
})
(handler,) = logging.getLogger().handlers
"""
URGENT_FIRST = ["worst trouble", "first trouble", "last trouble"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.sqlite"


@pytest.fixture
def left(program, inbox, path):
    """Have a process die while the service is down; its three Messages are in the file."""

    def leave(before="", **environ):
        inbox.fail_with(503, times=None)
        source = KILLED.format(before=before)
        code, _, _ = program.run(source, PUSHOVER_OUTBOX=str(path), **environ)
        assert -9 == code
        assert [] == inbox.messages
        inbox.clear_faults()

    return leave


def titles(inbox):
    return [push["title"] for push in inbox.messages]


def test_program_that_ends_at_once_delivers_it(left, program, inbox, path):
    """The most urgent first, then the oldest; the program's end waits for it."""
    left()
    assert (0, "", "") == program.run(CONFIGURED, PUSHOVER_OUTBOX=str(path))
    assert URGENT_FIRST == titles(inbox)


@pytest.mark.parametrize("before", ["", IN_THE_MIDDLE], ids=["between", "in a transaction"])
def test_program_that_logs_nothing_delivers_it_within_seconds(left, program, inbox, path, before):
    """It only runs; whether the dead one was in the middle of a transaction makes no difference."""
    left(before)
    with program.start(CONFIGURED + "time.sleep(60)", PUSHOVER_OUTBOX=str(path)) as process:
        inbox.wait_for(3, timeout=20)
        process.kill()
    assert URGENT_FIRST == titles(inbox)


def test_program_that_flushes_at_once_waits_for_it(left, program, inbox, path):
    """What the sender has not seen yet is something that waits; it is in nobody's counters."""
    left()
    source = CONFIGURED + "print(handler.flush(20), handler.stats().records, handler.stats().sent)"
    assert (0, "True 0 0\n", "") == program.run(source, PUSHOVER_OUTBOX=str(path))
    assert URGENT_FIRST == titles(inbox)


def test_server_that_forks_after_it_was_configured_delivers_it_once(left, program, inbox, path):
    """As gunicorn does with --preload: the parent sends it, or its child if that is faster."""
    left()
    source = (
        CONFIGURED
        + """
child = os.fork()
if child:
    os.waitpid(child, 0)
print(handler.flush(20), handler.stats().records, flush=True)
"""
    )
    assert (0, "True 0\nTrue 0\n", "") == program.run(source, PUSHOVER_OUTBOX=str(path))
    assert URGENT_FIRST == titles(inbox)


def opened(handler):
    """Say whether the handler has started or opened anything."""
    file = handler._pipeline.outbox.file
    opened = file._connection, file.locks._descriptor
    return handler._pipeline.thread.thread is not None or opened != (None, -1)


def nothing(path):
    """Leave no file."""


def sent(path):
    """Leave a file in which nothing waits any more."""
    with contextlib.closing(sqlite3.connect(path)) as file, file:
        file.execute("DELETE FROM message")


def set_aside(path):
    with contextlib.closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE message SET outcome = 'rejected: for a test', is_kept = 1")


def newer(path):
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA user_version = 99")


def others(path):
    with contextlib.closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE message SET account = '00'")


def garbage(path):
    path.write_bytes(os.urandom(20_000))


def cut_off(path):
    os.truncate(path, 5000)


def empty(path):
    os.truncate(path, 0)


def pipe(path):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "kind", [nothing, sent, set_aside, newer, others, garbage, cut_off, empty, pipe]
)
def test_nothing_is_started_where_nothing_is_known_to_wait(left, handler_for, inbox, path, kind):
    """Nor opened, made, changed or waited for; a look costs no more than that."""
    if kind is not nothing:
        left()
        if kind not in {garbage, cut_off}:  # which without it could be anybody's
            path.with_name(f"{path.name}.lock").unlink()
        kind(path)
    before = {one.name: one.stat().st_size for one in path.parent.iterdir()}
    tried = len(inbox.attempts)
    handler = handler_for(outbox=path)
    assert not opened(handler)
    assert handler.flush(0)
    assert before == {one.name: one.stat().st_size for one in path.parent.iterdir()}
    assert tried == len(inbox.attempts)
    if kind is pipe:
        path.unlink()  # nothing at the test's end is to open it


def test_handler_that_is_off_leaves_it(left, inbox, path, monkeypatch):
    """`PUSHOVER_TOKEN=off` sends nothing, what others left included."""
    left()
    monkeypatch.setenv("PUSHOVER_TOKEN", "off")
    handler = PushoverHandler(user=USER, outbox=path)
    assert handler.flush(0)
    handler.close()
    assert [] == inbox.messages


def test_file_that_is_in_use_is_seen_as_soon_as_it_can_be(left, handler_for, inbox, path):
    """Whether something waits is not known yet: `flush` says so, and it is sent afterwards."""
    left()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        handler = handler_for(outbox=path)
        assert not handler.flush(0.2)
        other.execute("ROLLBACK")
    assert handler.flush(20)
    assert URGENT_FIRST == titles(inbox)


class WithoutThreads(Clock):
    """As in an interpreter that has none to give."""

    def start_thread(self, target, name):
        raise RuntimeError


def test_handler_does_not_wait_for_the_service_where_no_thread_starts(
    left, handler_for, inbox, path
):
    """What was left waits for the first record, or for who waits for the handler."""
    left()
    handler = handler_for(outbox=path, throttle=False, clock=WithoutThreads())
    assert [] == inbox.messages
    assert handler.flush(20)
    assert URGENT_FIRST == titles(inbox)


def test_uwsgi_without_threads_does_not_wait_for_the_service(
    left, handler_for, inbox, path, monkeypatch
):
    """A worker's start is no place to send either."""
    left()
    monkeypatch.setitem(sys.modules, "uwsgi", type("uwsgi", (), {"opt": {}, "version": b"2.0.20"}))
    handler = handler_for(outbox=path, throttle=False)
    assert [] == inbox.messages
    log = logging.Logger("shop")
    log.addHandler(handler)
    log.error("next trouble")
    assert {*URGENT_FIRST, "next trouble"} == set(titles(inbox))


@pytest.mark.parametrize("drive", ["file"], indirect=True)
def test_what_a_living_handler_sends_is_its_own_business(drive):
    """Nobody else waits for it, nor counts it, once it is seen that it is sent."""
    first = drive(throttle=False)
    first.inbox.fail_with(503, times=None)
    first.log.error("first trouble")
    first.settle()
    other = drive(throttle=False)
    assert not other.handler.flush(0)  # before the first look
    other.settle()
    assert other.handler.flush(0)
    assert 0 == other.handler.stats().records
