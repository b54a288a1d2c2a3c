"""The connections of a process: few, shared, and never one that may be dead by now."""

import contextlib
import logging
import os
import signal
import socket
import threading
import time

import pytest

pytestmark = pytest.mark.process

OUTBOXES = pytest.mark.parametrize("kept", ["memory", "file"])


def logger_of(handlers):
    log = logging.Logger("shop")
    for handler in handlers:
        log.addHandler(handler)
    return log


@OUTBOXES
def test_six_handlers_share_two_connections(handler_for, inbox, kept, tmp_path):
    """Whatever their levels and options are, if they are of one account."""
    inbox.fail_with(delay=0.1, times=None)
    options = {} if kept == "memory" else {"outbox": tmp_path / "outbox.sqlite"}
    handlers = [
        handler_for(throttle=False, sound="bike", timeout=5 + number, **options)
        for number in range(6)
    ]
    log = logger_of(handlers)
    for number in range(3):
        log.error("boom %d", number)
        for handler in handlers:
            assert handler.flush(20)
    assert 18 == len(inbox.messages)
    assert inbox.most_open <= 2
    assert sum(one.requests > 0 for one in inbox.connections) <= 2


def test_handlers_of_several_accounts(handler_for, inbox):
    """Two connections in all, and what one handler closes is not another's."""
    users = ["u" + letter * 29 for letter in "abcd"]
    handlers = [handler_for(throttle=False, user=user) for user in users]
    for turn in range(2):
        for handler in handlers:
            logger_of([handler]).error("boom %d", turn)
        for handler in handlers:
            assert handler.flush(20)
        handlers.pop()._pipeline._client.close()
    assert 7 == len(inbox.messages)
    assert inbox.most_open <= 2


def test_fork_shares_none(program, inbox):
    """A child has a connection of its own, and the parent's goes on."""
    code, _, err = program.run(
        """
        import logging, os
        from pushover_logging import PushoverHandler
        handlers = [PushoverHandler(throttle=False, device=name) for name in "abc"]
        for handler in handlers:
            logging.getLogger().addHandler(handler)
        logging.error("before")
        assert all(handler.flush(20) for handler in handlers)
        child = os.fork()
        logging.error("child" if child == 0 else "parent")
        assert all(handler.flush(20) for handler in handlers)
        if child == 0:
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        """
    )
    assert (0, "") == (code, err)
    assert {"before": 3, "child": 3, "parent": 3} == {
        title: [push["title"] for push in inbox.messages].count(title)
        for title in ("before", "child", "parent")
    }
    by_connection = {}
    for attempt in inbox.attempts:
        by_connection.setdefault(attempt.connection, set()).add(attempt.fields["title"])
    assert not any({"child", "parent"} <= titles for titles in by_connection.values())
    assert len(by_connection) <= 4


class Nat:
    """A way to ``port`` that forgets a connection without a word once it was idle for so long."""

    def __init__(self, port, idle):
        self.far = port
        self.idle = idle
        self.accepted = 0
        self.swallowed = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.near = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                self.accepted += 1
                self.near.append(near)
                threading.Thread(target=self.serve, args=(near,), daemon=True).start()

    def serve(self, near):
        far = socket.create_connection(("127.0.0.1", self.far))
        used = [time.monotonic()]

        def forward(source, target):
            with contextlib.suppress(OSError):
                while part := source.recv(16_384):
                    if time.monotonic() - used[0] > self.idle:
                        self.swallowed += 1
                        continue
                    used[0] = time.monotonic()
                    target.sendall(part)

        with far:
            back = threading.Thread(target=forward, args=(far, near), daemon=True)
            back.start()
            forward(near, far)

    def close(self):
        self.listener.close()
        for near in self.near:
            near.close()


# The limit is 30 s; a shorter one saves the test the wait.
THAWED = """
import logging, sys, time
from pushover_logging import PushoverHandler
from pushover_logging.api import transport
transport.IDLE = 2.0
handler = PushoverHandler(throttle=False, close_timeout=20)
logging.getLogger().addHandler(handler)
logging.error("before")
assert handler.flush(10)
print("ready", flush=True)
frozen = time.monotonic()
while time.monotonic() - frozen < 0.5:  # it runs on until it is stopped, and again after that
    frozen = time.monotonic()
    time.sleep(0.02)
began = time.monotonic()
logging.error("after")
assert handler.flush(20)
print(time.monotonic() - began, handler.stats().possible_duplicates)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="Windows stops no process")
def test_connection_that_was_idle_while_the_process_was_stopped(program, inbox):
    """After a thaw nothing is sent over it, where a request would be lost without a word."""
    nat = Nat(inbox.port, idle=2.0)
    try:
        running = program.start(THAWED, PUSHOVER_API_URL=f"http://127.0.0.1:{nat.port}")
        assert "ready\n" == running.stdout.readline()
        os.kill(running.pid, signal.SIGSTOP)
        time.sleep(3)
        os.kill(running.pid, signal.SIGCONT)
        out, err = running.communicate(timeout=60)
    finally:
        nat.close()
    assert 0 == running.returncode, err
    took, duplicates = out.split()
    assert float(took) < 3
    assert "0" == duplicates
    assert (2, 0) == (nat.accepted, nat.swallowed)
    assert ["before", "after"] == [push["title"] for push in inbox.messages]


def test_connection_is_used_again_within_the_limit(handler_for, inbox):
    """One after the other over the same."""
    handler = handler_for(throttle=False)
    log = logger_of([handler])
    for number in range(5):
        log.error("boom %d", number)
        assert handler.flush(10)
        time.sleep(0.2)
    assert [5] == [one.requests for one in inbox.connections if one.requests]
