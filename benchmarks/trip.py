"""What a new problem with an exception runs through, from the logging call to the API's answer.

A call is a function of the package that begins; a move is a call whose nearest caller within the
package is in another file. Each figure is the lowest of several records, in steady state and
between two syncs. The JSON names the files that each thread enters. `disk` describes how to measure
another checkout.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import pushover_logging
from benchmarks import handlers
from benchmarks.admitted import deep
from benchmarks.apart import apart
from benchmarks.progress import say
from benchmarks.report import Result, Table
from benchmarks.service import Service, service
from benchmarks.timing import Effort
from pushover_logging.clock import Clock

PACKAGE = str(Path(pushover_logging.__file__).parent) + os.sep
OUTBOXES = ("memory", "SQLite")
LOGGING_THREAD, ALL_THREADS = "logging thread", "all threads"
TRANSACTION = {"BEGIN", "COMMIT", "ROLLBACK"}
FRAMES = 3  # of the exception
WARM_UP = 22  # records, more than 20 and not the first of a burst
BURST = 5  # records, fewer than the throttle's rate lets through at once
HOUR = 3600.0  # seconds, after which the throttle lets the next burst through
SYNC_INTERVAL = 1.5  # seconds in which a sync begins, if there is any
STILL = 0.05  # seconds without a call, after which all threads are idle
TIMEOUT = 30.0  # seconds for a record
WORDS = (
    "alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett",
    "kilo", "lima", "mike", "november", "oscar", "papa", "quebec", "romeo", "sierra", "tango",
    "uniform", "victor", "whiskey", "xray", "yankee", "zulu", "amber",
)  # fmt: skip


@dataclass
class Steps:
    """What a thread did for a record; ``statements`` are all but BEGIN, COMMIT and ROLLBACK."""

    calls: int = 0
    moves: int = 0
    transactions: int = 0
    statements: int = 0
    files: set[str] = field(default_factory=set)

    def numbers(self) -> tuple[int, ...]:
        """Return all that is a number."""
        return self.calls, self.moves, self.transactions, self.statements


Trip = Mapping[str, Steps]
"""What each thread did for a record, by the thread's name."""


class ShiftedClock(Clock):
    """The real time, plus ``ahead`` seconds."""

    ahead = 0.0

    def monotonic(self) -> float:
        """Return the shifted monotonic time."""
        return super().monotonic() + self.ahead

    def time(self) -> float:
        """Return the shifted Unix time."""
        return super().time() + self.ahead


class Probe:
    """Counts what threads do in the package: the main thread only in `begin`, others always."""

    def __init__(self) -> None:
        self._calls = 0  # of all threads, ever
        self._trip: defaultdict[str, Steps] = defaultdict(Steps)

    def install(self) -> None:
        """Watch each thread and each connection to a file that begins from now on."""
        connect = sqlite3.connect

        def traced(*args: Any, **options: Any) -> sqlite3.Connection:  # noqa: ANN401
            connection = connect(*args, **options)
            connection.set_trace_callback(self.on_statement)
            return connection

        sqlite3.connect = traced
        threading.setprofile(self.on_event)

    def begin(self, log: logging.Logger, word: str) -> None:
        """Log a new problem, and count from there."""
        error = deep(FRAMES)
        self._trip = defaultdict(Steps)
        sys.setprofile(self.on_event)
        try:
            log.error(f"Payment of %s failed at step {word}", "A-1043", exc_info=error)  # noqa: G004
        finally:
            sys.setprofile(None)

    def end(self) -> Trip:
        """Wait until all threads are idle; return what was counted."""
        self.wait_until_idle()
        trip, self._trip = self._trip, defaultdict(Steps)
        return trip

    def wait_for_sync(self) -> None:
        """Wait until a sync has just ended, or until it is clear that there is none."""
        before, end = self._calls, time.monotonic() + SYNC_INTERVAL
        while self._calls == before and time.monotonic() < end:
            time.sleep(STILL / 10)
        self.wait_until_idle()

    def wait_until_idle(self) -> None:
        """Wait until no thread has called anything for a moment."""
        before = -1
        while before != self._calls:
            before = self._calls
            time.sleep(STILL)

    def on_event(self, frame: FrameType, event: str, _: object) -> None:
        """Count a call; see `sys.setprofile`."""
        path = frame.f_code.co_filename
        if event != "call" or not path.startswith(PACKAGE):
            return
        self._calls += 1
        steps = self._trip[_thread_name()]
        steps.calls += 1
        steps.moves += _calling_file(frame) not in {None, path}
        steps.files.add(path.removeprefix(PACKAGE))

    def on_statement(self, statement: str) -> None:
        """Count an SQL statement of a watched thread; see `sqlite3`'s `set_trace_callback`."""
        if sys.getprofile() is None:
            return
        steps = self._trip[_thread_name()]
        is_transaction = statement.split(maxsplit=1)[0].upper() in TRANSACTION
        steps.transactions += is_transaction
        steps.statements += not is_transaction


def _thread_name() -> str:
    thread = threading.current_thread()
    return LOGGING_THREAD if thread is threading.main_thread() else thread.name


def _calling_file(frame: FrameType) -> str | None:
    """Return the file of the nearest caller within the package."""
    caller = frame.f_back
    while caller and not caller.f_code.co_filename.startswith(PACKAGE):
        caller = caller.f_back
    return caller.f_code.co_filename if caller else None


def trips(url: str, count: int, options: Mapping[str, Any]) -> list[Trip]:
    """Return the trips of ``count`` records through a handler with ``options``."""
    probe, clock, inbox, found = Probe(), ShiftedClock(), Service(url), []
    probe.install()
    with handlers.ours(url, clock=clock, **options) as log:
        for number, word in enumerate(WORDS[: WARM_UP + count]):
            if number < WARM_UP and number % BURST == 0:
                clock.ahead += HOUR
            if number >= WARM_UP:
                probe.wait_for_sync()
            probe.begin(log, word)
            inbox.messages(number + 1)
            _wait_until_sent(log.handlers[0], number + 1)
            found.append(probe.end())
    return found[WARM_UP:]


def _wait_until_sent(handler: Any, count: int) -> None:  # noqa: ANN401
    end = time.monotonic() + TIMEOUT
    while handler.stats().sent < count:
        if time.monotonic() > end:
            raise TimeoutError(handler.stats())
        time.sleep(STILL / 10)


def lowest(found: Sequence[Trip]) -> dict[str, Steps]:
    """Return the lowest of each figure, for each thread and for all threads together."""
    names = {name: None for trip in found for name in trip}
    whole = [{**trip, ALL_THREADS: _combined(trip.values(), sum, _union)} for trip in found]
    return {
        name: _combined([trip.get(name, Steps()) for trip in whole], min, _shortest)
        for name in (*names, ALL_THREADS)
    }


Files = list[set[str]]


def _combined(
    steps: Collection[Steps], number: Callable[..., int], files: Callable[[Files], set[str]]
) -> Steps:
    numbers = zip(*(each.numbers() for each in steps), strict=True)
    return Steps(*map(number, numbers), files=files([each.files for each in steps]))


def _union(files: Files) -> set[str]:
    return set().union(*files)


def _shortest(files: Files) -> set[str]:
    return min(files, key=len)


def run(effort: Effort) -> Result:
    """Count with each outbox, in a process of its own."""
    result, rows = Result("12. The trip of a new problem"), []
    for outbox in OUTBOXES:
        say(outbox)
        with tempfile.TemporaryDirectory() as folder, service() as inbox:
            path = str(Path(folder, "outbox.sqlite"))
            options = {"outbox": path} if outbox == "SQLite" else {}
            found = lowest(apart(trips, inbox.url, effort.of(3, 2), options) or [])
        result.details[outbox] = {
            name: {**vars(steps), "files": sorted(steps.files)} for name, steps in found.items()
        }
        for name, steps in found.items():
            calls, moves, *sql = map(str, steps.numbers())
            rows.append([f"{outbox}: {name}", calls, moves, str(len(steps.files)), *sql])
    headings = ["outbox: thread", "calls", "moves", "files", "BEGIN, COMMIT, ROLLBACK", "other SQL"]
    result.tables.append(Table(headings, rows))
    return result
