"""What a flood of different texts from one line of code costs the program."""

from __future__ import annotations

import itertools
import logging
import time
from contextlib import ExitStack
from dataclasses import replace

from benchmarks import handlers
from benchmarks.duplicates import NULL, OURS, QUEUE, emptied
from benchmarks.report import Result, cost, times
from benchmarks.timing import Effort, Turn, interleaved, profiled
from pushover_logging.identity.masking import mask

TARGET = 3.0
MASKING = "masking alone"


def flood(log: logging.Logger) -> Turn:
    """Return the turn that logs f-strings, none of them ever again."""
    numbers = itertools.count()

    def turn(number: int) -> float:
        batch = list(itertools.islice(numbers, number))
        start = time.perf_counter()
        for n in batch:
            log.error(f"Payment {n} of user {n * 7} failed after 3 tries: 10.0.0.7:5432 timed out")  # noqa: G004
        return time.perf_counter() - start

    return emptied(log, turn)


def masking() -> Turn:
    """Return the turn that masks the same texts, and does nothing else."""
    numbers = itertools.count()

    def turn(number: int) -> float:
        batch = [
            f"Payment {n} of user {n * 7} failed after 3 tries: 10.0.0.7:5432 timed out"
            for n in itertools.islice(numbers, number)
        ]
        start = time.perf_counter()
        for text in batch:
            mask(text)
        return time.perf_counter() - start

    return turn


def run(effort: Effort) -> Result:
    """Measure in turns that come to about a million texts."""
    result = Result("2. A flood of different f-strings from one line of code")
    with ExitStack() as stack:
        openers = {
            NULL: handlers.null(),
            QUEUE: handlers.queue_handler(),
            OURS: handlers.still(),
            "python-logstash-async": handlers.logstash(),
        }
        logs = {name: stack.enter_context(opener) for name, opener in openers.items()}
        turns = {name: flood(log) for name, log in logs.items()}
        turns[MASKING] = masking()
        timed = interleaved(turns, replace(effort, length=0.1))
        if not effort.quick:
            result.notes.append("A handler gets about a million texts in all.")
        base = timed[NULL]
        result.checks.append(
            cost("added, of QueueHandler's", timed[OURS], timed[QUEUE], TARGET, base)
        )
        added = timed[OURS].best - base.best
        result.notes.append(
            f"Masking is {timed[MASKING].best / added:.0%} of what a record adds here."
        )
        result.tables.append(times(timed, base, "a record"))
        if not result.is_met:
            result.profile = profiled(turns[OURS])
    return result
