"""How everything here is timed: interleaved, A B A B, so that what disturbs one disturbs all.

A turn is a function that does its work so many times and returns the seconds, as the time functions
of pyperf do. pyperf itself measures one thing to its end before the next, in processes of its own.
"""

from __future__ import annotations

import cProfile
import gc
import io
import math
import pstats
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.progress import say

Turn = Callable[[int], float]


@dataclass(frozen=True)
class Series:
    """The figures of all rounds."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """Return the middle one, which a disturbed round does not move."""
        return median(self.values)

    @property
    def best(self) -> float:
        """Return the fastest: what the work itself takes, when nothing disturbs it."""
        return min(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """Return what four fifths of the rounds lie between."""
        return percentile(self.values, 10), percentile(self.values, 90)


@dataclass(frozen=True)
class Effort:
    """How long to measure: rounds, and the ``length`` of a turn in seconds."""

    quick: bool
    length: float = 0.03

    @property
    def rounds(self) -> int:
        """Return how often each has its turn."""
        return 15 if self.quick else 41

    @property
    def seconds(self) -> float:
        """Return how long a turn should take."""
        return 0.004 if self.quick else self.length

    def of(self, whole: int, quick: int) -> int:
        """Return a number of things to do."""
        return quick if self.quick else whole


def interleaved(turns: Mapping[str, Turn], effort: Effort) -> dict[str, Series]:
    """Return the seconds of one call, for each round; each turn is long enough to be timed."""
    times = {name: _calibrated(turn, effort.seconds) for name, turn in turns.items()}
    values: dict[str, list[float]] = {name: [] for name in turns}
    gc.collect()
    gc.freeze()
    for number in range(effort.rounds):
        say(f"round {number + 1} of {effort.rounds}")
        for name, turn in turns.items():
            gc.collect()  # each pays for its own rubbish
            values[name].append(turn(times[name]) / times[name])
    gc.unfreeze()
    return {name: Series(tuple(each)) for name, each in values.items()}


def _calibrated(turn: Turn, seconds: float) -> int:
    times = 1
    while (took := turn(times)) < seconds / 3 or min(took, turn(times), turn(times)) < seconds / 3:
        times *= 10 if took < seconds / 30 else 3  # a turn that was long once was disturbed
    return times


def loop(function: Callable[[], object]) -> Turn:
    """Return the turn that calls ``function``."""

    def turn(times: int) -> float:
        rounds = range(times)
        start = time.perf_counter()
        for _ in rounds:
            function()
        return time.perf_counter() - start

    return turn


def threaded(turn: Turn, number: int) -> Turn:
    """Return the turn that is done by so many threads together."""

    def together(times: int) -> float:
        barrier = threading.Barrier(number + 1)

        def run() -> None:
            barrier.wait()
            turn(max(1, times // number))

        threads = [threading.Thread(target=run) for _ in range(number)]
        for thread in threads:
            thread.start()
        barrier.wait()
        start = time.perf_counter()
        for thread in threads:
            thread.join()
        return time.perf_counter() - start

    return together


def ratio(ours: Series, theirs: Series, base: Series | None = None) -> Series:
    """Return ours as a multiple of theirs, round by round; both over ``base``, if there is one."""
    floor = base.values if base else (0.0,) * len(ours.values)
    rounds = zip(ours.values, theirs.values, floor, strict=True)
    # A round in which theirs came out below the base says nothing; where all did, nothing is known.
    found = [(one - low) / (other - low) for one, other, low in rounds if other > low]
    return Series(tuple(found) or (math.inf,))


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value below which so many percent of them are."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(round(len(ranked) * percent / 100, 6)) - 1)]


def exponent(points: Mapping[float, float]) -> float:
    """Return b of the curve a * x ** b that fits best: 0 is level, 1 is in proportion."""
    xs, ys = [math.log(x) for x in points], [math.log(y) for y in points.values()]
    x_mean, y_mean = sum(xs) / len(xs), sum(ys) / len(ys)
    rise = sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True))
    return rise / sum((x - x_mean) ** 2 for x in xs)


def profiled(turn: Turn, seconds: float = 0.5) -> str:
    """Return where the time of a turn goes: the functions that take most of it themselves."""
    times = _calibrated(turn, seconds)
    profile = cProfile.Profile()
    profile.runcall(turn, times)
    text = io.StringIO()
    stats = pstats.Stats(profile, stream=text).strip_dirs().sort_stats("tottime")
    stats.print_stats(12)
    lines = text.getvalue().split("ncalls", 1)[-1].splitlines()
    return "\n".join(f"{'ncalls' if not n else ''}{line}" for n, line in enumerate(lines) if line)
