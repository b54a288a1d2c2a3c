"""What the SQLite outbox costs: a logging call, a Message until it is sent, and eight threads.

It uses the public interface only, so it can also measure another checkout: run
``PYTHONPATH=/path/to/other python -m benchmarks disk --json FILE`` in a folder that holds nothing
but a link to ``benchmarks``.
"""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks import handlers
from benchmarks.apart import apart, together
from benchmarks.progress import say
from benchmarks.report import Result, Table, check, number, times
from benchmarks.service import NOWHERE, service
from benchmarks.timing import Effort, Series, loop, percentile, profiled, ratio, threaded

TARGET = 1.5
OURS, BARE = "pushover_logging", "a bare insert and commit"
PROCESSES, THREADS = 4, 8
WARM_UP = 20  # records
TEXT = "Cannot reach the database for customer %s"
SCHEMA = """
    CREATE TABLE message (
        id INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, priority INTEGER NOT NULL,
        put_at REAL NOT NULL, payload TEXT NOT NULL
    );
    CREATE INDEX message_next ON message (account, priority DESC, id);
"""
INSERT = "INSERT INTO message (account, priority, put_at, payload) VALUES (?, ?, ?, ?)"
ROW = ("cfe92d501fff26c4", 0, 1795973193.69427, "x" * 400)  # as long as one of ours


def inserting(path: Path) -> Callable[[], None]:
    """Return what inserts a row and commits it."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = TRUNCATE")
    connection.execute("PRAGMA synchronous = FULL")
    connection.executescript(SCHEMA)

    def work() -> None:
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute(INSERT, ROW)
        connection.execute("COMMIT")

    return work


def by_turns(works: Mapping[str, Callable[[], object]], effort: Effort) -> dict[str, Series]:
    """Return each round's median, each call of one beside one of the other: disks are moody."""
    rounds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(effort.rounds):
        calls: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(effort.of(40, 10)):
            for name, work in works.items():
                calls[name].append(loop(work)(1))
        for name, each in calls.items():
            rounds[name].append(median(each))
    return {name: Series(tuple(each)) for name, each in rounds.items()}


def emitted(folder: str, effort: Effort) -> tuple[dict[str, Series], str]:
    """Return what a logging call and a bare insert take, and the logging call's profile."""
    path, bare = Path(folder, "outbox.sqlite"), Path(folder, "bare.sqlite")
    with handlers.ours(NOWHERE, outbox=path, throttle=False) as log:
        ours = partial(log.error, TEXT, 1043)
        ours()
        return by_turns({BARE: inserting(bare), OURS: ours}, effort), profiled(loop(ours))


def stored(url: str, path: str, count: int) -> list[float]:
    """Return the seconds of each logging call of a process among several."""
    calls = []
    with handlers.ours(url, outbox=path, throttle=False) as log:
        for number_ in range(count):
            start = time.perf_counter()
            log.error(TEXT, number_)
            calls.append(time.perf_counter() - start)
    return calls


def sent(url: str, outbox: str | None, count: int, flush_every: int) -> float:
    """Return the seconds of a record, from the first logging call until all are sent."""
    with handlers.ours(url, outbox=outbox, throttle=False, capacity=2 * count) as log:
        _send(log, WARM_UP, 1)
        return _send(log, count, flush_every) / count


def _send(log: logging.Logger, count: int, flush_every: int) -> float:
    flush: Callable[..., bool] = log.handlers[0].flush
    start = time.perf_counter()
    for number_ in range(1, count + 1):
        log.error(TEXT, number_)
        if number_ % flush_every == 0 and not flush(60):
            raise TimeoutError
    return time.perf_counter() - start


def inserted(url: str, path: str, count: int) -> tuple[float, float]:
    """Return how many records a second eight threads log, and how many of them are in the file."""
    with handlers.ours(url, outbox=path, throttle=False, capacity=2 * count) as log:
        put = partial(log.error, TEXT, 1043)
        put()
        seconds = threaded(loop(put), THREADS)(count)
        return count / seconds, min(1.0, waiting(path) / count)


def waiting(path: str) -> int:
    """Return how many Messages wait in a file."""
    command = [sys.executable, "-m", "pushover_logging", "outbox", path]
    listed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return int(listed.splitlines()[-1].split()[0])


def run(effort: Effort) -> Result:
    """Measure a logging call, four processes that share a file, sending, and eight threads."""
    result = Result("8. The SQLite outbox")
    with tempfile.TemporaryDirectory() as folder:
        say("emit")
        timed, profile = apart(emitted, folder, effort) or ({}, "")
        of_bare = ratio(timed[OURS], timed[BARE])
        result.checks.append(check("emit, of a bare insert and commit", of_bare, TARGET))
        result.tables.append(times(timed, what="a record"))
        if not result.is_met:
            result.profile = profile
        result.notes.append(f"The file is on {_file_system(folder)}.")
    result.tables.append(_shared(effort))
    _sent(effort, result)
    _inserted(effort, result)
    return result


def _shared(effort: Effort) -> Table:
    count, rows = effort.of(300, 30), []
    for name, address in (("nobody sends", NOWHERE), ("one of them sends", None)):
        say(f"{PROCESSES} processes, {name}")
        with tempfile.TemporaryDirectory() as folder, service() as inbox:
            path = str(Path(folder, "outbox.sqlite"))
            given = [(address or inbox.url, path, count)] * PROCESSES
            found = together(stored, given, limit=60)
            calls = sorted(one for each in found for one in each)
            rate = sum(len(each) / sum(each) for each in found)
            figures = (calls[len(calls) // 2], percentile(calls, 99), calls[-1])
            durable = f"{min(1.0, (waiting(path) + inbox.spent()) / len(calls)):.0%}"
            shown = [f"{1e3 * one:.2f} ms" for one in figures]
            rows.append([name, f"{number(rate)} a second", *shown, durable])
    heads = [f"{PROCESSES} processes", "records", "median", "99th percentile", "slowest", "durable"]
    return Table(heads, rows)


def _sent(effort: Effort, result: Result) -> None:
    """Send in turns through memory and through a file, each time in a new process."""
    count = effort.of(300, 40)
    patterns = {"flushed after each": 1, "flushed after all": count}
    took: dict[str, dict[str, list[float]]] = {
        name: {"memory": [], "SQLite": []} for name in patterns
    }
    for round_ in range(effort.of(7, 1)):
        say(f"sends, round {round_ + 1}")
        for name, flush_every in patterns.items():
            for outbox, seconds in took[name].items():
                with tempfile.TemporaryDirectory() as folder, service() as inbox:
                    path = str(Path(folder, "outbox.sqlite")) if outbox == "SQLite" else None
                    seconds.append(apart(sent, inbox.url, path, count, flush_every) or 60.0)
    rows = []
    for name, of_outbox in took.items():
        memory, file = (Series(tuple(seconds)) for seconds in of_outbox.values())
        figures = {
            "memory": (memory.best, memory.median),
            "SQLite": (file.best, file.median),
            "put, claim and ack": (file.best - memory.best, file.median - memory.median),
        }
        result.details[name] = {
            what: {"fastest": best, "median": middle} for what, (best, middle) in figures.items()
        }
        rows += [
            [f"{name}: {what}", *(f"{1e3 * seconds:.2f} ms" for seconds in each)]
            for what, each in figures.items()
        ]
    heads = ["a Message, until it is sent", "fastest", "median"]
    result.tables.append(Table(heads, rows))


def _inserted(effort: Effort, result: Result) -> None:
    """Log from eight threads while the service hangs: the file is only written to."""
    count, found = effort.of(2000, 200), []
    for round_ in range(effort.of(7, 1)):
        say(f"{THREADS} threads, round {round_ + 1}")
        with tempfile.TemporaryDirectory() as folder, service() as inbox:
            inbox.fail_with(hang=True)
            path = str(Path(folder, "outbox.sqlite"))
            found.append(apart(inserted, inbox.url, path, count) or (0.0, 0.0))
    rates, durable = zip(*found, strict=True)
    fastest, middle, least = max(rates), median(rates), min(durable)
    name = f"{THREADS} threads, the service hangs"
    result.details[name] = {"fastest": fastest, "median": middle, "durable": least}
    row = [name, *(f"{number(rate)} a second" for rate in (fastest, middle)), f"{least:.0%}"]
    result.tables.append(Table(["records", "fastest", "median", "durable"], [row]))


def _file_system(folder: str) -> str:
    command = ["df", "--output=fstype", folder]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()[-1]
