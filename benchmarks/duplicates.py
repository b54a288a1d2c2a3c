"""What a suppressed duplicate costs the program, and a line that is only remembered."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import ExitStack
from typing import Any

from benchmarks import handlers
from benchmarks.report import Result, cost, times
from benchmarks.timing import Effort, Series, Turn, interleaved, profiled, threaded

TEMPLATE = "Payment of %s failed"
TARGET, TARGET_OF_OTHERS, TARGET_OF_LINES = 0.4, 0.8, 0.5
THREADS = 16
OURS, NULL, QUEUE, LOOK_UP = "pushover_logging", "NullHandler", "QueueHandler", "a look-up alone"


def duplicates(
    log: logging.Logger,
    exc_info: Any = None,  # noqa: ANN401
    level: int = logging.ERROR,
) -> Turn:
    """Return the turn that logs the same again and again."""

    def turn(number: int) -> float:
        rounds = range(number)
        start = time.perf_counter()
        for _ in rounds:
            log.log(level, TEMPLATE, "A-1043", exc_info=exc_info)
        return time.perf_counter() - start

    return emptied(log, turn)


def emptied(log: logging.Logger, turn: Turn) -> Turn:
    """Return the turn that leaves no queue behind; emptying it is not in its time."""
    waiting = getattr(log.handlers[0], "queue", None)

    def cleared(number: int) -> float:
        took = turn(number)
        if waiting is not None:
            with waiting.mutex:
                waiting.queue.clear()
        return took

    return cleared if waiting is not None else turn


def raised() -> Any:  # noqa: ANN401
    """Return the exc_info of an exception."""
    try:
        {}["price"]
    except KeyError:
        return sys.exc_info()


def run(effort: Effort) -> Result:
    """Measure one thread, 16 threads, one thread with an exception, and lines below the level."""
    result = Result("1. A suppressed duplicate")
    with ExitStack() as stack:
        openers = {
            NULL: handlers.null(),
            LOOK_UP: handlers.look_up(TEMPLATE),
            QUEUE: handlers.queue_handler(),
            OURS: handlers.still(),
        }
        logs = {name: stack.enter_context(opener) for name, opener in openers.items()}
        others = {
            "QueueHandler, QueueListener": stack.enter_context(handlers.listened()),
            "sentry-sdk": stack.enter_context(handlers.sentry()),
            "python-logstash-async": stack.enter_context(handlers.logstash()),
        }
        every = {name: duplicates(log) for name, log in {**logs, **others}.items()}
        _add(result, "one thread", interleaved(every, effort), TARGET)
        crowd = {name: threaded(duplicates(log), THREADS) for name, log in logs.items()}
        _add(result, f"{THREADS} threads", interleaved(crowd, effort), TARGET_OF_OTHERS)
        info = raised()
        failed = {name: duplicates(log, info) for name, log in logs.items()}
        _add(result, "with an exception", interleaved(failed, effort), TARGET_OF_OTHERS)
        for log in logs.values():
            log.setLevel(logging.INFO)
        lines = {name: duplicates(log, level=logging.INFO) for name, log in logs.items()}
        _add(result, "a line of the trail", interleaved(lines, effort), TARGET_OF_LINES)
        if not result.is_met:
            result.profile = profiled(failed[OURS])
    return result


def _add(result: Result, what: str, timed: dict[str, Series], target: float) -> None:
    base = timed[NULL]
    added = f"{what}: added, of QueueHandler's"
    result.checks.append(cost(added, timed[OURS], timed[QUEUE], target, base))
    least = cost("", timed[LOOK_UP], timed[QUEUE], target, base).figure
    result.notes.append(f"{what}: a bare look-up adds {least:.2f} of QueueHandler's.")
    result.tables.append(times(timed, base, f"a record, {what}"))
