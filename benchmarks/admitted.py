"""What an admitted record costs the program: fingerprint, throttle, Message, memory outbox."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import ExitStack
from typing import Any

from benchmarks import handlers
from benchmarks.report import Result, cost, times
from benchmarks.timing import Effort, Turn, interleaved, profiled

TARGET, TARGET_WITH_EXCEPTION = 0.5, 1.0
FRAMES = 20
BATCH = 8  # problems that are reported at once: more would be a storm
TEMPLATES = [f"Payment of %s failed at step {name}" for name in "abcdefgh"]
WHY = (
    "Half of it is the formatter's: a phone gets a title and lines that fit, cleared of secrets, "
    "where sentry-sdk sends the fields as they are. The rest is the fingerprint, the throttle's "
    "valves, and the checks of a Message's fields."
)
OURS, NULL, SENTRY = "pushover_logging", "NullHandler", "sentry-sdk"


def admitted(log: logging.Logger, *exc_info: Any) -> Turn:  # noqa: ANN401
    """Return the turn whose records are new problems, each of them; forgetting is not timed."""
    handler = log.handlers[0]
    given = exc_info or [None]
    work = [(one, given[number % len(given)]) for number, one in enumerate(TEMPLATES)]

    def turn(number: int) -> float:
        took = 0.0
        for _ in range(0, number, BATCH):
            if isinstance(handler, handlers.PushoverHandler):
                handlers.unsent(handler)
            start = time.perf_counter()
            for template, info in work:
                log.error(template, "A-1043", exc_info=info)
            took += time.perf_counter() - start
        return took * number / (len(range(0, number, BATCH)) * BATCH)

    return turn


def deep(frames: int) -> Any:  # noqa: ANN401
    """Return the exc_info of an exception that came through so many frames."""

    def descend(left: int) -> None:
        order = {"number": "A-1043", "items": list(range(10)), "total": 99.5}
        if left == 1:
            raise ValueError(order["number"])
        descend(left - 1)

    try:
        descend(frames - 1)
    except ValueError:
        return sys.exc_info()


def run(effort: Effort) -> Result:
    """Measure with and without an exception of 20 frames."""
    result = Result("3. An admitted record, into the memory outbox")
    with ExitStack() as stack:
        openers = {
            NULL: handlers.null(),
            SENTRY: handlers.sentry(),
            OURS: handlers.still(),
            "python-logstash-async": handlers.logstash(),
        }
        logs = {name: stack.enter_context(opener) for name, opener in openers.items()}
        for what, infos, target in (
            ("no exception", [], TARGET),
            (f"an exception of {FRAMES} frames", [deep(FRAMES)], TARGET_WITH_EXCEPTION),
        ):
            turns = {name: admitted(log, *infos) for name, log in logs.items()}
            timed = interleaved(turns, effort)
            added = f"{what}: added, of sentry-sdk's"
            result.checks.append(cost(added, timed[OURS], timed[SENTRY], target, timed[NULL]))
            result.tables.append(times(timed, timed[NULL], f"a record, {what}"))
            if not result.checks[-1].is_met:
                result.profile += profiled(turns[OURS])
                result.why = WHY
    return result
