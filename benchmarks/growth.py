"""How the cost grows: with the records a second, fingerprints, processes, and what waits."""

from __future__ import annotations

import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from benchmarks import handlers
from benchmarks.apart import together
from benchmarks.disk import stored
from benchmarks.progress import say
from benchmarks.report import Plot, Result, Table, number
from benchmarks.service import NOWHERE
from benchmarks.timing import Effort, exponent, loop
from pushover_logging.clock import Clock
from pushover_logging.message import Message
from pushover_logging.outbox.memory import MemoryOutbox
from pushover_logging.outbox.queue import SENT, QueuedMessage
from pushover_logging.outbox.sqlite import FileOutbox
from pushover_logging.throttle.throttle import UNKNOWN

RATES = (10, 100, 1000, 10_000, 50_000)
COUNTS = (10, 100, 1000, 10_000, 100_000, 1_000_000)
PROCESSES = (1, 2, 4, 8, 16)
LENGTHS = (10, 100, 1000, 10_000, 100_000)
Line = dict[float, float]
NOTES = (
    "Between two records that come slowly the processor's caches forget: a call costs more.",
    "Where many processes crowd one file, a call that waits 250 ms leaves its message to memory.",
    "Beyond 1,024 problems each is a newcomer again, whose title is made for a digest to name.",
)


def by_rate(effort: Effort) -> dict[str, Line]:
    """Return the microseconds of a duplicate's call, at so many records a second."""
    line: Line = {}
    with handlers.still() as log:
        for rate in RATES[: effort.of(5, 4)]:
            say(f"{rate} records a second")
            began, calls = time.perf_counter(), []
            for number_ in range(max(5, int(rate * effort.of(3, 1) / 3))):
                while time.perf_counter() - began < number_ / rate:
                    if rate < 10_000:  # noqa: PLR2004  a sleep would take longer
                        time.sleep(0.1 / rate)
                start = time.perf_counter()
                log.error("Payment of %s failed", "A-1043")
                calls.append(time.perf_counter() - start)
            line[rate] = 1e6 * sum(calls) / len(calls)
    return {"a duplicate": line}


def by_fingerprints(effort: Effort) -> dict[str, Line]:
    """Return the microseconds of a record where so many problems take turns."""
    line: Line = {}
    for count in COUNTS[: effort.of(6, 4)]:
        say(f"{count} fingerprints")
        texts = [f"Cannot find {_word(number_)} %s" for number_ in range(count)]
        with handlers.still(capacity=100_000) as log:
            for text in texts[:2000]:
                log.error(text, 1)
            rounds = max(1, effort.of(50_000, 10_000) // count)
            chosen = texts[: effort.of(50_000, 10_000)]
            start = time.perf_counter()
            for _ in range(rounds):
                for text in chosen:
                    log.error(text, 1)
            line[count] = 1e6 * (time.perf_counter() - start) / rounds / len(chosen)
    return {"a record": line}


def by_processes(effort: Effort) -> dict[str, Line]:
    """Return the milliseconds of an admitted record where so many processes share a file."""
    each: Line = {}
    all_: Line = {}
    for count in PROCESSES[: effort.of(5, 3)]:
        say(f"{count} processes")
        with tempfile.TemporaryDirectory() as folder:
            given = [(NOWHERE, str(Path(folder, "outbox.sqlite")), effort.of(100, 20))] * count
            calls = [sum(one) / len(one) for one in together(stored, given, limit=120)]
        each[count] = 1e3 * sum(calls) / len(calls)
        all_[count] = each[count] / count
    return {"a record, for its process": each, "a record, for the host": all_}


def by_length(effort: Effort) -> dict[str, Line]:
    """Return the microseconds of putting and claiming one where so many Messages wait."""
    memory: Line = {}
    for length in LENGTHS[: effort.of(5, 4)]:
        say(f"{length} waiting")
        memory[length] = _put_and_claim(length)
    return {"memory": memory, "SQLite": _sqlite_lengths(effort)}


def _put_and_claim(length: int, times: int = 3000) -> float:
    outbox = MemoryOutbox(threading.RLock(), capacity=length + 2, capacity_bytes=2**40)
    for _ in range(length):
        outbox.put(_queued())
    waiting = [_queued() for _ in range(times)]
    start = time.perf_counter()
    for one in waiting:
        outbox.put(one)
        claimed = outbox.claim((), ())
        if claimed is not None:
            outbox.ack(claimed, SENT, UNKNOWN)
    return 1e6 * (time.perf_counter() - start) / times


def _sqlite_lengths(effort: Effort) -> Line:
    line: Line = {}
    for length in LENGTHS[: effort.of(5, 3)]:
        say(f"{length} waiting in a file")
        with tempfile.TemporaryDirectory() as folder:
            lock = threading.RLock()
            memory = MemoryOutbox(lock, capacity=length + 2, capacity_bytes=2**40)
            path = Path(folder, "outbox.sqlite")
            outbox = FileOutbox(path, "ab" * 8, memory, lock, Clock(), has_throttle=False)
            for _ in range(length):
                memory.put(_queued())
            outbox.recover()  # the writer inserts them before it leads
            outbox.lead()
            line[length] = 1e6 * loop(partial(_through, outbox))(effort.of(50, 10))
            line[length] /= effort.of(50, 10)
            outbox.resign()
            outbox.file.close()
    return line


def _through(outbox: FileOutbox) -> None:
    outbox.put(_queued())
    claimed = outbox.together(lambda: outbox.claim((), ()))
    if claimed is not None:
        outbox.forget(claimed)
        outbox.together(lambda: outbox.ack(claimed, SENT))


def _queued() -> QueuedMessage:
    return QueuedMessage(secrets.token_hex(8), Message(message="No route", title="db-7"), 0.0)


def _word(number_: int) -> str:
    return "".join(chr(97 + int(digit)) for digit in str(number_))


MEASURED: Mapping[str, tuple[str, str, Callable[[Effort], dict[str, Line]]]] = {
    "rate": ("records a second", "us a call", by_rate),
    "fingerprints": ("fingerprints", "us a record", by_fingerprints),
    "processes": ("processes", "ms a record", by_processes),
    "length": ("messages waiting", "us to put, claim and end", by_length),
}


def run(effort: Effort) -> Result:
    """Measure each, and fit the exponent: 0 is level, 1 grows in proportion."""
    result = Result("10. How cost grows")
    rows = []
    for name, (x, y, measure) in MEASURED.items():
        lines = measure(effort)
        result.plots.append(Plot(name, x, y, lines))
        for what, line in lines.items():
            points = ", ".join(f"{number(at)}: {number(cost)}" for at, cost in line.items())
            rows.append([f"{what}, by {x}", f"{exponent(line):+.2f}", f"{points} ({y})"])
    result.tables.append(Table(["cost", "exponent", "points"], rows))
    result.notes += NOTES
    return result
