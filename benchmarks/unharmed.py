"""The tail of the logging call beside a handler that only spins, and what an event loop feels."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from statistics import median

from benchmarks import handlers
from benchmarks.blocking import WORDS
from benchmarks.progress import say
from benchmarks.report import Result, Table, check
from benchmarks.service import service
from benchmarks.timing import Effort, Series, percentile, ratio

TARGET = 1.5
THREADS = 4
TICK = 0.005  # seconds
OURS, SPINNING, NULL = "pushover_logging", "a handler that spins", "NullHandler"


class Spinning(logging.Handler):
    """Takes so many seconds of the processor, and no lock; like ours, it does not wait."""

    seconds = 0.0

    def handle(self, record: logging.LogRecord) -> bool:  # noqa: ARG002
        """Spin."""
        end = time.perf_counter() + self.seconds
        while time.perf_counter() < end:
            pass
        return True


def crowded(log: logging.Logger, count: int) -> list[float]:
    """Return the seconds of each call of so many different errors, from four threads."""
    calls: list[float] = []
    barrier = threading.Barrier(THREADS)

    def work(thread: int) -> None:
        own = []
        barrier.wait()
        for n in range(count // THREADS):
            text = f"Cannot reach {WORDS[n % 8]} for customer {n} of {WORDS[thread]}"
            start = time.perf_counter()
            log.error(text)
            own.append(time.perf_counter() - start)
        calls.extend(own)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return calls


async def lag(log: logging.Logger, seconds: float) -> list[float]:
    """Return how late each tick of an event loop is in which a task logs all the time."""

    async def storm() -> None:
        n = 0
        while True:
            for _ in range(10):
                log.error(f"Cannot reach {WORDS[n % 8]} for customer {n}")  # noqa: G004
                n += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(storm())
    late, end = [], time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        await asyncio.sleep(TICK)
        late.append(time.perf_counter() - start - TICK)
    task.cancel()
    return late


def run(effort: Effort) -> Result:
    """Measure both, the service hanging."""
    result = Result("11. The tail of the logging call, and an event loop's lag")
    tails: dict[str, list[float]] = {OURS: [], SPINNING: []}
    middles: dict[str, list[float]] = {OURS: [], SPINNING: []}
    lags: dict[str, list[float]] = {NULL: [], OURS: []}
    spinning = Spinning()
    with service() as inbox:
        inbox.fail_with(hang=True)
        for number in range(effort.of(5, 2)):
            say(f"round {number + 1}")
            with handlers.ours(inbox.url, throttle=False) as log, handlers.null() as null:
                base = median(crowded(null, 2000))
                calls = {OURS: crowded(log, 10_000)}
                spinning.seconds = max(0.0, median(calls[OURS]) - base)
                calls[SPINNING] = crowded(handlers.logger_with(spinning), 10_000)
            for name, each in calls.items():
                middles[name].append(median(each))
                tails[name].append(percentile(each, 99.9))
            with handlers.ours(inbox.url) as log, handlers.null() as null:
                for name, one in ((NULL, null), (OURS, log)):
                    lags[name] += asyncio.run(lag(one, effort.of(2, 1) / 2))
    of_spinning = ratio(Series(tuple(tails[OURS])), Series(tuple(tails[SPINNING])))
    result.checks.append(
        check("99.9th percentile of the call, of the spinning one's", of_spinning, TARGET)
    )
    rows = [
        [name, f"{1e6 * median(middles[name]):.0f} us", f"{1e6 * median(tails[name]):.0f} us"]
        for name in tails
    ]
    heads = [f"10,000 errors, {THREADS} threads, no answer", "median", "99.9th percentile"]
    result.tables.append(Table(heads, rows))
    rows = [
        [name, *[f"{1e3 * percentile(each, at):.2f} ms" for at in (50, 99, 99.9)]]
        for name, each in lags.items()
    ]
    heads = ["lag of an event loop under a storm", "median", "99th percentile", "99.9th percentile"]
    result.tables.append(Table(heads, rows))
    return result
