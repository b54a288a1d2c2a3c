"""One problem's life, cut off at every single operation of store, outbox and client.

A counting run finds the operations; then each of them fails once, or its process dies there. What
follows must report all that was committed, and at most one push twice.
"""

import contextlib
import json
import logging
import os
import re
import sqlite3
import warnings

import pytest
from conftest import Driven, adds_up, drop

from pushover_logging.api.client import PushoverClient
from pushover_logging.outbox.memory import MemoryOutbox
from pushover_logging.throttle.store import MemoryStore

WINDOW = 20
KILLED = 9
STORE = ("transaction", "now", "load", "save", "delete", "due", "oldest")
OUTBOX = ("put", "claim", "ack", "retry")
BEFORE_RECOVERY = 1000  # seconds: all claims of the process that died have expired


class Fault(Exception):
    """What strikes in a test."""


class Points:
    """Counts the operations of the classes of a kind, and strikes at the chosen one."""

    def __init__(self, kind, monkeypatch):
        self.names = []
        self.target, self.after, self.strike = 0, False, None
        for owner, operations in operations_of(kind):
            for name in operations:
                monkeypatch.setattr(owner, name, self.wrapped(owner, name))

    def wrapped(self, owner, name):
        original = getattr(owner, name)

        def wrapper(own, *arguments, **named):
            self.names.append(f"{owner.__name__}.{name}")
            is_target = len(self.names) == self.target
            if is_target and not self.after:
                self.strike()
            result = original(own, *arguments, **named)
            if is_target and self.after:
                self.strike()
            return result

        return wrapper

    def begin(self, target, strike, *, after=False):
        self.names.clear()
        self.target, self.strike, self.after = target, strike, after


def operations_of(kind):
    """Return the classes that a handler of a kind uses, with the operations that may fail."""
    yield PushoverClient, ("send",)
    yield MemoryOutbox, OUTBOX
    yield MemoryStore, STORE
    if kind in {"file", "both"}:
        from pushover_logging.outbox.sqlite import FileOutbox

        yield FileOutbox, OUTBOX
    if kind == "file":
        from pushover_logging.throttle.sqlite import SqliteStore

        yield SqliteStore, STORE
    if kind in {"redis", "both"}:
        from pushover_logging.throttle.redis import RedisStore

        yield RedisStore, (*STORE, "add")


class Life:
    """One problem from its first record to its end, over a store of its own.

    ``kind`` is a store's, or "both": an outbox's file beside Redis.
    """

    def __init__(self, kind, inbox, stores):
        self.kind, self.inbox, self.stores = kind, inbox, stores
        inbox.reset()
        self.logged = 0
        self.driven = None

    def start(self):
        options = {"throttle": {"windows": [WINDOW]}, "close_timeout": 0}
        if self.kind in {"redis", "both"}:
            options["throttle"]["store"] = self.stores.server.url
        if self.kind in {"file", "both"}:
            options["outbox"] = self.stores.path
        self.driven = Driven(self.inbox, self.stores.clock, **options)
        return self

    def live(self, note=lambda: None):
        """FIRST, 3 more and their SUMMARY, 2 more and ESCALATED, 1 more and its end."""
        for level, number in ((logging.ERROR, 1), (logging.ERROR, 3)):
            self.log(level, number, note)
        self.wait(WINDOW)
        self.log(logging.ERROR, 2, note)
        self.wait(1)
        self.log(logging.CRITICAL, 1, note)
        self.log(logging.ERROR, 1, note)
        self.wait(1)
        self.driven.handler.resolve("db-7")
        self.wait(1)

    def log(self, level, number, note):
        for _ in range(number):
            note()
            self.logged += 1
            self.driven.log.log(level, "No database", extra={"pushover": {"fingerprint": "db-7"}})
            self.wait(0)

    def wait(self, seconds):
        self.stores.clock.now += seconds
        self.driven.settle()

    def recover(self):
        """Let time pass until all that is left is reported."""
        for _ in range(12):
            self.wait(WINDOW)

    def reported(self):
        """Return how many records each push reports; an end's are those of the whole problem."""
        numbers = []
        for push in self.inbox.messages:
            more = re.match(r"x(\d+) more", push["title"])
            worse = re.search(r"^(\d+) more at a lower level", push["message"], re.MULTILINE)
            ended = re.search(r"came (?:once|(\d+) times)", push["message"])
            if ended:
                numbers.append(max(0, int(ended[1] or 1) - sum(numbers)))
            else:
                numbers.append(int(more[1]) if more else 1 + int(worse[1] if worse else 0))
        return numbers

    def committed(self):
        """Return how many records the store and the outbox's file hold that no push reported."""
        items, rows = [], []
        if self.kind in {"file", "both"} and self.stores.path.exists():
            with contextlib.closing(sqlite3.connect(self.stores.path)) as file:
                with contextlib.suppress(sqlite3.OperationalError):  # it has no tables yet
                    items = [json.loads(text) for (text,) in file.execute("SELECT value FROM item")]
                    rows = file.execute("SELECT id, payload FROM message WHERE outcome IS NULL")
                    rows = [(found, json.loads(payload)) for found, payload in rows]
        number = sum(item.get("counted", {}).get("count", 0) for item in items)
        if self.kind in {"redis", "both"}:
            client = self.stores.client
            for key in client.keys("{*}:count:*"):
                number += int(client.hget(key, "n") or 0)
                found = client.get(key.replace(b":count:", b":"))
                items += [json.loads(found)] if found else []
        number += sum(item.get("reporting", {}).get("count", 0) for item in items)
        decided = {}
        for item in items:
            decided.update(item.get("decided", {}))
        return number + sum(
            not payload["resolves"] and decided.get(found) not in {"reported", "counted"}
            for found, payload in rows
        )


@pytest.fixture
def make(inbox, tmp_path, request, monkeypatch):
    """Make lives of a kind, each with a store of its own that is empty."""
    from stores import Stores

    made = []

    def life(kind):
        server = request.getfixturevalue("common_redis") if kind in {"redis", "both"} else None
        if kind in {"file", "both"}:
            pytest.importorskip("fcntl", reason="Windows has no outbox in a file")
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Stores("redis" if server else kind, folder, server, monkeypatch))
        return Life(kind, inbox, made[-1])

    yield life
    for stores in made:
        stores.close()


def raise_fault():
    raise Fault


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kind", ["memory", "file", "redis", "both"])
def test_fault_at_any_operation_loses_no_count(kind, after, make, monkeypatch, capsys):
    """The same process goes on: each record is reported, at most one push comes twice.

    A fault after the operation is an answer that was lost: what it did has happened.
    """
    points = Points(kind, monkeypatch)
    life = make(kind).start()
    life.live()
    life.driven.end()
    names, wrong = list(points.names), []
    assert [1, 3, 3, 1] == life.reported()
    for target, name in enumerate(names, start=1):
        life = make(kind).start()
        points.begin(target, raise_fault, after=after)
        life.live()
        life.recover()
        stats, numbers = life.driven.handler.stats(), life.reported()
        needed = life.logged - stats.failed
        twice = max(numbers, default=0)
        if not (adds_up(stats) and not stats.pending and life.committed() == 0
                and needed <= sum(numbers) <= needed + twice):  # fmt: skip
            wrong.append((target, name, numbers, stats, life.committed()))
        drop(life.driven.handler)
    capsys.readouterr()  # what logging says of a record that failed
    assert [] == wrong


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kind", ["file", "redis", "both"])
def test_death_at_any_operation_loses_nothing_committed(kind, after, make, monkeypatch):
    """Its process is killed there; the next one reports what store and outbox have, once."""
    points = Points(kind, monkeypatch)
    life = make(kind).start()
    life.live()
    life.driven.end()
    names, wrong = list(points.names), []
    for target, name in enumerate(names, start=1):
        life = make(kind)
        logged = killed_at(life, points, target, after=after)
        before, committed = life.reported(), life.committed()
        points.begin(0, None)
        life.stores.clock.now += BEFORE_RECOVERY
        life.start().recover()
        numbers = life.reported()
        new = sum(numbers) - sum(before)
        twice = before[-1] if before else 0
        if not (committed <= new and sum(numbers) <= logged + twice and life.committed() == 0):
            wrong.append((target, name, logged, before, committed, numbers, life.committed()))
        life.driven.end()
    assert [] == wrong


def killed_at(life, points, target, *, after):
    """Let a child live until the operation ``target``; return how many records it logged."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads is the test
        child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            points.begin(target, lambda: os._exit(KILLED), after=after)
            life.start().live(lambda: os.write(writer, b"."))
        os._exit(1)
    os.close(writer)
    assert KILLED == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with os.fdopen(reader, "rb") as pipe:
        return len(pipe.read())
