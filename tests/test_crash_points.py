"""One problem's life, cut off at every single operation of store, outbox and client.

A counting run finds the operations; then each of them fails once, or its process dies there. What
follows must report all that was committed, and at most one push twice.
"""

import contextlib
import gc
import json
import logging
import os
import re
import sqlite3
import traceback
import warnings
from dataclasses import replace

import pytest
from conftest import Driven, adds_up, drop

from pushover_logging.api.client import PushoverClient
from pushover_logging.delivery import sender
from pushover_logging.exceptions import Unreachable
from pushover_logging.outbox.memory import MemoryOutbox
from pushover_logging.throttle.store import MemoryStore

WINDOW = 20
KILLED = 9
STORE = ("transaction", "now", "load", "save", "delete", "due", "oldest")
OUTBOX = ("put", "claim", "ack", "retry")
# What outlives a process, or reaches another; before and after any other operation is the same.
EFFECTS = {"send", *OUTBOX, "transaction", "save", "delete", "add"}
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
    """Return the classes that a handler of a kind uses, with the operations that may fail.

    Beside a file or Redis those in memory are empty: their own kind plays them.
    """
    yield PushoverClient, ("send",)
    if kind == "memory":
        yield MemoryOutbox, OUTBOX
        yield MemoryStore, STORE
        return
    from pushover_logging.outbox.sqlite import FileOutbox

    yield FileOutbox, OUTBOX
    if kind == "file":
        from pushover_logging.throttle.sqlite import SqliteStore

        yield SqliteStore, STORE
    else:
        from pushover_logging.throttle.redis import RedisStore

        yield RedisStore, (*STORE, "add")


def has_effect(name):
    return name.partition(".")[2] in EFFECTS


class Life:
    """One problem from its first record to its end, over a store of its own.

    ``kind`` is "memory", "file", or "both": an outbox's file beside Redis.
    """

    def __init__(self, kind, inbox, stores):
        self.kind, self.inbox, self.stores = kind, inbox, stores
        inbox.reset()
        self.logged = 0
        self.driven = None

    def start(self):
        options = {"throttle": {"windows": [WINDOW]}, "close_timeout": 0}
        if self.kind == "both":
            options["throttle"]["store"] = self.stores.server.url
        if self.kind != "memory":
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
        for _ in range(5):
            self.wait(3 * WINDOW)

    def reported(self):
        """Return how many records each push reports."""
        numbers = []
        for push in self.inbox.messages:
            more = re.match(r"(\d+) more", push["title"])
            along = re.search(r"(?m)^(\d+) more at a lower level|^along: (\d+)", push["message"])
            numbers.append(int(more[1]) if more else not push["title"].startswith("Resolved"))
            numbers[-1] += int(along[1] or along[2]) if along else 0
        return numbers

    def committed(self):
        """Return how many records the store and the outbox's file hold that no push reported."""
        items, rows = [], []
        if self.kind != "memory" and self.stores.path.exists():
            with (
                contextlib.closing(sqlite3.connect(self.stores.path)) as file,
                contextlib.suppress(sqlite3.OperationalError),  # it has no tables yet
            ):
                items = [json.loads(text) for (text,) in file.execute("SELECT value FROM item")]
                rows = file.execute("SELECT id, payload FROM message WHERE outcome IS NULL")
                rows = [(found, json.loads(payload)) for found, payload in rows]
        number = sum(item.get("counted", {}).get("count", 0) for item in items)
        if self.kind == "both":
            client = self.stores.client
            hashes = [client.hgetall(key) for key in client.scan_iter("{*", _type="hash")]
            number += sum(int(found.get(b"n", 0)) for found in hashes)
            items = [json.loads(found[b"item"]) for found in hashes if b"item" in found]
        number += sum(item.get("reporting", {}).get("count", 0) for item in items)
        decided = {}
        for item in items:
            for found, verdict in item.get("decided", {}).items():
                decided[found] = verdict.partition(" ")[0]
        return number + sum(
            not payload["resolves"] and decided.get(found) not in {"reported", "suppressed"}
            for found, payload in rows
        )


@pytest.fixture
def make(inbox, stores_of, monkeypatch):
    """Make lives of a kind, each with a store of its own that is empty."""
    original = sender.with_duration  # its text has the problem's total, and not what was counted

    def with_duration(message, count):
        return original(replace(message, message=f"along: {count.count}"), count)

    monkeypatch.setattr(sender, "with_duration", with_duration)

    def life(kind):
        if kind == "both":  # a late answer would be a second fault, and shift the operations
            monkeypatch.setattr("pushover_logging.throttle.redis.PATIENCE", 30.0)
        return Life(kind, inbox, stores_of("redis" if kind == "both" else kind))

    return life


@pytest.fixture(autouse=True)
def _no_garbage():
    """Handlers of former lives must end between two lives: their ends use the same operations."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def fault_at(name):
    """Return what raises what an operation may raise: a store that it is unreachable."""

    def strike():
        raise Unreachable if name.startswith(("Sqlite", "Redis")) else Fault

    return strike


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kind", ["memory", "file", "both"])
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
        if after and (name == "MemoryOutbox.claim" or not has_effect(name)):
            continue  # what memory gave away is gone with its caller, who calls nothing that fails
        life = make(kind).start()
        points.begin(target, fault_at(name), after=after)
        life.live()
        life.recover()
        life.driven.handler.flush(0)  # counts what a fault cut off before the outbox had it
        assert name == points.names[target - 1]
        stats, numbers = life.driven.handler.stats(), life.reported()
        needed = life.logged - stats.failed
        twice = max(numbers, default=0)
        if not (adds_up(stats) and not stats.pending and life.committed() == 0
                and needed <= sum(numbers) <= needed + twice):  # fmt: skip
            wrong.append((target, name, numbers, stats, life.committed()))
        points.begin(0, None)
        drop(life.driven.handler)
    capsys.readouterr()  # what logging says of a record that failed
    assert [] == wrong


@pytest.mark.parametrize("kind", ["file", "both"])
def test_death_at_any_operation_loses_nothing_committed(kind, make, monkeypatch):
    """Its process is killed there; the next one reports what store and outbox have, once."""
    points = Points(kind, monkeypatch)
    life = make(kind).start()
    life.live()
    life.driven.end()
    names, wrong = list(points.names), []
    targets = [at for at, name in enumerate(names, start=1) if has_effect(name)]
    for target in targets:
        name = names[target - 1]
        for _ in range(3):  # a life under load may have an operation less
            life = make(kind)
            logged = killed_at(life, points, target)
            if logged is not None:
                break
        else:
            wrong.append((target, name, "not reached"))
            continue
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


def killed_at(life, points, target):
    """Let a child live until the operation ``target``; return how many records it logged.

    Returns None if it lived to its end.
    """
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads is the test
        child = os.fork()
    if child == 0:
        try:
            points.begin(target, lambda: os._exit(KILLED))
            life.start().live(lambda: os.write(writer, b"."))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writer)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert ended in (0, KILLED)
    with os.fdopen(reader, "rb") as pipe:
        return len(pipe.read()) if ended == KILLED else None
