"""How long the program stands still in a logging call while the service is slow, or hangs."""

from __future__ import annotations

import time
from functools import partial
from statistics import median

from benchmarks import handlers
from benchmarks.apart import apart
from benchmarks.progress import say
from benchmarks.report import Check, Result, Table
from benchmarks.service import service
from benchmarks.timing import Effort, percentile

TARGET = 1.5
OURS = "pushover_logging"
FAULTS = {
    "at once": None,
    "after 50 ms": {"delay": 0.05},
    "after 500 ms": {"delay": 0.5},
    "never": {"hang": True},
}
PACE = 0.0005  # seconds between two records
WORDS = ("disk", "queue", "cache", "order", "search", "mail", "stock", "price")


def logging_calls(name: str, url: str, number: int, budget: float) -> list[float]:
    """Return the seconds of each logging call, of different problems, within a time."""
    calls = []
    with handlers.SENDING[name](url) as log:
        log.error("The first one, which opens what is to be opened")
        end = time.monotonic() + budget
        for n in range(number):
            text = f"Cannot reach {WORDS[n % 8]} for {WORDS[n // 8 % 8]} of customer {n}"
            start = time.perf_counter()
            log.error(text)
            calls.append(time.perf_counter() - start)
            if time.monotonic() > end:
                break
            time.sleep(PACE)
    return calls


def run(effort: Effort) -> Result:
    """Measure each handler at each speed of the service, in processes of their own."""
    result = Result("4. The time that a logging call takes from the program")
    rounds, speeds = effort.of(3, 1), list(FAULTS)[:: effort.of(1, 3)]
    ours: dict[str, list[tuple[float, float]]] = {name: [] for name in speeds}
    table = []
    with service() as inbox:
        measure = partial(_figures, inbox, effort)
        for number in range(rounds):
            for speed in speeds:
                say(f"round {number + 1} of {rounds}, answers {speed}")
                ours[speed].append(measure(OURS, speed) or (0.0, 0.0))
        middles = {
            speed: (median(one[0] for one in each), median(one[1] for one in each))
            for speed, each in ours.items()
        }
        table.append([OURS, *[_shown(one) for one in middles.values()]])
        for name in handlers.SENDING.keys() - {OURS}:
            say(name)
            table.append([name, *[_shown(measure(name, speed)) for speed in speeds]])
    first = middles["at once"]
    for place, what in enumerate(("median", "99.9th percentile")):
        worst = max(one[place] for one in middles.values()) / first[place]
        result.checks.append(Check(f"{what}: the slowest service, of the fastest", worst, TARGET))
    heads = ["median, 99.9 % of the calls under", *[f"answers {name}" for name in speeds]]
    result.tables.append(Table(heads, [table[0], *sorted(table[1:])]))
    result.notes.append(
        f"A record each {1000 * PACE:g} ms, all of them different and none of them throttled."
    )
    return result


def _figures(inbox, effort: Effort, name: str, speed: str) -> tuple[float, float] | None:  # noqa: ANN001
    inbox.reset()
    if FAULTS[speed] is not None:
        inbox.fail_with(**FAULTS[speed])
    number, budget = effort.of(4000, 300), effort.of(3, 1)
    limit = budget + effort.of(8, 1)
    calls = apart(logging_calls, name, inbox.url, number, float(budget), limit=limit)
    return (median(calls), percentile(calls, 99.9)) if calls else None


def _shown(figures: tuple[float, float] | None) -> str:
    if figures is None:
        return "does not come back"
    return ", ".join(_seconds(one) for one in figures)


def _seconds(value: float) -> str:
    return f"{1e6 * value:.0f} us" if value < 1e-3 else f"{1e3 * value:.1f} ms"  # noqa: PLR2004
