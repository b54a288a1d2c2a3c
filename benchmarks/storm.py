"""What a storm of ten million records, a million of them different, does to memory and phone."""

from __future__ import annotations

import gc
import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from benchmarks import handlers
from benchmarks.apart import together
from benchmarks.progress import say
from benchmarks.report import Check, Result, Table, number
from benchmarks.service import service
from benchmarks.timing import Effort

TARGET = 10.0  # MiB
WARM_UP = 0.05  # of the records
ENOUGH = 1024.0  # MiB, at which a handler's storm ends
STEP = 20_000  # records between two looks at memory
TEMPLATES = [f"Payment of %s failed at step {name}" for name in "abcdefghi"]
OURS = "pushover_logging"
# Of this process, which ends with its storm: some would take minutes to empty what they hold.
_NEVER_CLOSED: list[handlers.Opened] = []

OPENERS: dict[str, Callable[[str], handlers.Opened]] = {
    OURS: handlers.ours,
    "QueueHandler": lambda _: handlers.queue_handler(),
    "sentry-sdk": lambda _: handlers.sentry(),
    "python-logstash-async": lambda _: handlers.logstash(),
    **{name: opener for name, opener in handlers.SENDING.items() if name != OURS},
}


class Storm(NamedTuple):
    """What came of it; growth, after the warm-up, and peak are of memory, in MiB."""

    name: str
    records: int
    seconds: float
    growth: float
    peak: float
    pushes: int = 0


def words() -> Iterator[str]:
    """Yield endlessly different words, which no mask makes equal."""
    for length in itertools.count(3):
        yield from map("".join, itertools.product("abcdefghijklmnopqrstuvwxyz", repeat=length))


def storm(name: str, url: str, records: int, budget: float) -> Storm:
    """Log that many, each tenth a new text, and let our handler finish."""
    different, start = words(), time.monotonic()
    _NEVER_CLOSED.append(OPENERS[name](url))
    log = _NEVER_CLOSED[-1].__enter__()
    warm, peak, logged = 0.0, 0.0, 0
    while logged < records and time.monotonic() - start < budget and peak - warm < ENOUGH:
        for template in TEMPLATES:
            log.error(template, "A-1043")
        log.error(f"Cannot find {next(different)} in the index")  # noqa: G004
        logged += 10
        if not warm and logged >= WARM_UP * records:
            gc.collect()
            warm = peak = resident()
        elif not logged % STEP:
            peak = max(peak, resident())
    took = time.monotonic() - start
    if name == OURS:
        log.handlers[0].flush(10)
    return Storm(name, logged, took, peak - (warm or peak), peak or resident())


def resident() -> float:
    """Return the process's memory in MiB."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  Linux alone has it
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def run(effort: Effort) -> Result:
    """Measure ours alone, then the others, two at a time: their memory is asked, not their pace."""
    result = Result("7. A storm")
    records, budget = effort.of(10_000_000, 100_000), float(effort.of(60, 1))
    rows = [_storms([OURS], records, 240.0)[OURS]]
    result.checks.append(Check("memory grows by", rows[0].growth, TARGET, "MiB"))
    names = [name for name in OPENERS if name != OURS]
    at_once = effort.of(4, len(names))
    for at in range(0, len(names), at_once):
        rows += _storms(names[at : at + at_once], records, budget).values()
    heads = ["handler", "records", "seconds", "growth", "peak", "pushes"]
    result.tables.append(Table(heads, [_row(one) for one in rows]))
    result.notes.append(
        f"Each storm ends after {records:,} records, {budget:.0f} s, or {ENOUGH:.0f} MiB of growth "
        "(ours is given its time); the others run four at a time, and their pace says little."
    )
    result.notes.append("The inbox refuses what Logbook sends: it names no content type.")
    return result


def _storms(names: Sequence[str], records: int, budget: float) -> dict[str, Storm]:
    say(", ".join(names))
    with ExitStack() as stack:
        inboxes = [stack.enter_context(service()) for _ in names]
        given = [
            (name, inbox.url, records, budget) for name, inbox in zip(names, inboxes, strict=True)
        ]
        found = together(storm, given, limit=budget + 30)
        pushes = {name: inbox.spent() for name, inbox in zip(names, inboxes, strict=True)}
    return {one.name: one._replace(pushes=pushes[one.name]) for one in found}


def _row(one: Storm) -> tuple[str, ...]:
    return (
        one.name, f"{one.records:,}", number(one.seconds), f"{one.growth:.1f} MiB",
        f"{one.peak:.0f} MiB", f"{one.pushes:,}",
    )  # fmt: skip
