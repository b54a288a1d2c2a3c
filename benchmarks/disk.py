"""What the SQLite outbox costs a logging call, beside a bare insert of the same row."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks import handlers
from benchmarks.apart import together
from benchmarks.progress import say
from benchmarks.report import Result, Table, check, number, times
from benchmarks.service import NOWHERE, service
from benchmarks.timing import Effort, Series, loop, percentile, profiled, ratio
from pushover_logging.outbox.rows import MIGRATIONS

TARGET = 1.5
OURS, BARE = "pushover_logging", "a bare insert and commit"
PROCESSES = 4


def inserting(path: Path, like: Path) -> Callable[[], None]:
    """Return what inserts a row of another file, and commits each time."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = TRUNCATE")
    connection.execute("PRAGMA synchronous = FULL")
    for statement in MIGRATIONS[0].split(";"):
        connection.execute(statement)
    columns = "account, origin, summary, priority, user, put_at, payload, attachment"
    with contextlib.closing(sqlite3.connect(like)) as source:
        row = source.execute(f"SELECT {columns} FROM message LIMIT 1").fetchone()  # noqa: S608
    insert = f"INSERT INTO message ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608

    def work() -> None:
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute(insert, row)
        connection.execute("COMMIT")

    return work


def by_turns(works: Mapping[str, Callable[[], object]], effort: Effort) -> dict[str, Series]:
    """Return each round's median, each call of one beside one of the other: disks are moody."""
    rounds: dict[str, list[float]] = {name: [] for name in works}
    for number_ in range(effort.rounds):
        say(f"round {number_ + 1} of {effort.rounds}")
        calls: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(effort.of(40, 10)):
            for name, work in works.items():
                calls[name].append(loop(work)(1))
        for name, each in calls.items():
            rounds[name].append(median(each))
    return {name: Series(tuple(each)) for name, each in rounds.items()}


def stored(url: str, path: str, count: int) -> list[float]:
    """Return the seconds of each logging call of a process among several."""
    calls = []
    with handlers.ours(url, outbox=path, throttle=False) as log:
        for number_ in range(count):
            start = time.perf_counter()
            log.error("Cannot reach the database for customer %s", number_)
            calls.append(time.perf_counter() - start)
    return calls


def run(effort: Effort) -> Result:
    """Measure one process beside the bare insert, then four that share the file."""
    result = Result("8. The SQLite outbox")
    with tempfile.TemporaryDirectory() as folder:
        path, bare = Path(folder, "outbox.sqlite"), Path(folder, "bare.sqlite")
        with handlers.still(outbox=path, throttle=False) as log:
            ours = partial(log.error, "Cannot reach the database for customer %s", 1043)
            ours()
            timed = by_turns({BARE: inserting(bare, path), OURS: ours}, effort)
            of_bare = ratio(timed[OURS], timed[BARE])
            result.checks.append(check("emit, of a bare insert and commit", of_bare, TARGET))
            result.tables.append(times(timed, what="a record"))
            if not result.is_met:
                result.profile = profiled(loop(ours))
        result.notes.append(f"The file is on {_file_system(folder)}.")
    result.tables.append(_shared(effort))
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
            with contextlib.closing(sqlite3.connect(path)) as file:
                (kept,) = file.execute("SELECT COUNT(*) FROM message").fetchone()
            kept += inbox.spent()
            durable = f"{min(1.0, kept / len(calls)):.0%}"
            shown = [f"{1e3 * one:.2f} ms" for one in figures]
            rows.append([name, f"{number(rate)} a second", *shown, durable])
    heads = [f"{PROCESSES} processes", "records", "median", "99th percentile", "slowest", "durable"]
    return Table(heads, rows)


def _file_system(folder: str) -> str:
    command = ["df", "--output=fstype", folder]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()[-1]
