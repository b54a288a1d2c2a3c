"""Play an incident over many hosts and processes against the throttle's real rules, in no time.

    python benchmarks/simulate.py --hosts 1000 --processes 8 --days 30
    python benchmarks/simulate.py incident.jsonl --plot incident.svg

A file has a line of JSON for each event: {"at": seconds, "problem": "text", "level": "ERROR",
"number": 1, "process": 0}; ``process`` is below hosts x processes. The state has the semantics of
Redis: one for all, each process reports at most once a second. What all processes count within a
step is reported at once here; the operations are those that each of them would have made.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from pushover_logging.throttle.local import LocalTable, LocalThrottle
from pushover_logging.throttle.machine import Rules
from pushover_logging.throttle.problem import Count, End, Report, Verdict
from pushover_logging.throttle.shared import SharedThrottle, view_of
from pushover_logging.throttle.table import About

from pushover_logging.clock import Clock

QUOTA = 10_000  # messages a month, https://pushover.net/api#limits
DAY = 86_400.0
DECIDES = 3  # operations of one decision: read, write, and see what came of it
POLL = 10.0  # seconds between two looks at what is due, two operations each, by every process


class Stopwatch(Clock):
    """Time that the simulation moves."""

    now = 0.0

    def monotonic(self) -> float:
        """Return the second of the play."""
        return self.now

    def time(self) -> float:
        """Return the same."""
        return self.now


@dataclass(frozen=True)
class Event:
    """So many records of a problem, logged by one process, or by all (None) within a step."""

    at: float
    problem: str
    level: int = logging.ERROR
    number: int = 1
    process: int | None = 0


@dataclass
class Figures:
    """What came of it: pushes as (second, what, title, records told), and operations by second."""

    records: int = 0
    pushes: list[tuple[float, str, str, int]] = field(default_factory=list)
    born: dict[str, float] = field(default_factory=dict)
    told: dict[str, float] = field(default_factory=dict)
    operations: Counter[int] = field(default_factory=Counter)
    total_operations: float = 0.0


class World:
    """The fronts of all processes, made when they log first, and what they share."""

    def __init__(self, rules: Rules, processes: int, step: float) -> None:
        self.clock = Stopwatch()
        self.rules = rules
        self.processes, self.step = processes, step
        shared = replace(rules, patience=30.0)
        self.shared = SharedThrottle(shared, LocalTable(shared, self.clock))
        self.fronts: dict[int, LocalThrottle] = {}
        self.figures = Figures()

    def play(self, events: Iterator[Event], end: float) -> Figures:
        """Play events in their order, and let time pass until ``end``."""
        for event in events:
            self._pass(event.at)
            self._take(event)
        self._pass(end)
        return self.figures

    def _take(self, event: Event) -> None:
        figures = self.figures
        figures.records += event.number
        figures.born.setdefault(event.problem, event.at)
        everybody = event.process is None
        speakers = range(self.processes) if everybody else [event.process or 0]
        if everybody and 0 in self.fronts and self.fronts[0].knows(event.problem):
            speakers = range(1)  # the others do the same: they count
        for process in speakers:
            self._log(process, event)
        rest = event.number - len(speakers)
        if rest > 0:
            self._report(event, rest)
        reporting = min(event.number, self.processes if everybody else 1)
        seconds = self.step if everybody else 1.0
        reports = reporting * min(seconds, max(1.0, event.number / reporting))
        self.figures.total_operations += reports

    def _log(self, process: int, event: Event) -> None:
        front = self.fronts.setdefault(process, LocalThrottle(self.rules, self.clock))
        verdict, _, key = front.admit(event.problem, event.level, event.at)
        if verdict in {Verdict.SUPPRESSED, Verdict.DIGESTED}:
            for report in front.reports(str(process)):
                front.see({key: self.shared.take(report)})
            return
        about = About(event.problem)
        decided, _, key = self.shared.admit(key, event.level, event.at, None, about)
        self._operate(DECIDES)
        if decided not in {Verdict.SUPPRESSED, Verdict.DIGESTED}:
            self._push(decided.value, event.problem, 1)
            self.shared.ended(key, End.ACCEPTED)
        problem = self.shared.table.get(key)
        if problem is not None:
            front.see({key: view_of(problem, self.clock.now)})

    def _report(self, event: Event, number: int) -> None:
        since, last = event.at, event.at + self.step
        count = Count(event.problem, number, number, since, last, event.level, 1.0)
        self.shared.take(Report(count._replace(title=event.problem), event.level, None))

    def _pass(self, until: float) -> None:
        while self.clock.now + (wait := self.shared.next_due()) <= until:
            self.clock.now += wait
            counts = self.shared.due()
            self._operate(3)
            if counts:
                told = sum(count.number for count in counts)
                self._push("summary", ", ".join(count.title for count in counts[:3]), told)
                for count in counts:
                    self.figures.told.setdefault(count.key, self.clock.now)
        self.figures.total_operations += 2 * self.processes * (until - self.clock.now) / POLL
        self.clock.now = until

    def _push(self, what: str, title: str, told: int) -> None:
        self.figures.pushes.append((self.clock.now, what, title, told))
        if what != "summary":
            self.figures.told.setdefault(title, self.clock.now)

    def _operate(self, number: float) -> None:
        self.figures.operations[int(self.clock.now)] += int(number)
        self.figures.total_operations += number


def synthetic(options: argparse.Namespace) -> Iterator[Event]:
    """Yield what all processes log, each problem from a second of its own on."""
    chance = random.Random(options.seed)  # noqa: S311  plays, keeps no secret
    begins = [0.0] + [chance.uniform(0, options.days * DAY) for _ in range(options.problems - 1)]
    everybody = options.hosts * options.processes
    at = 0.0
    while at < options.days * DAY:
        for number, begin in enumerate(begins):
            if at <= begin < at + options.step or begin < at:
                records = max(everybody, round(everybody * options.rate * options.step))
                yield Event(at, f"problem {number}", number=records, process=None)
        at += options.step


def recorded(path: Path) -> Iterator[Event]:
    """Yield the events of a file."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            data = json.loads(line)
            level = logging.getLevelName(data.get("level", "ERROR"))
            number, process = data.get("number", 1), data.get("process", 0)
            yield Event(float(data["at"]), data["problem"], level, number, process)


def show(figures: Figures, seconds: float) -> None:
    """Print the figures."""
    for at, what, title, told in figures.pushes[:40]:
        print(f"{at / 3600:10.3f} h  {what:9}  x{told:<12,}  {title}")
    print(f"records            {figures.records:,}")
    print(f"pushes             {len(figures.pushes):,}")
    delays = [figures.told[one] - born for one, born in figures.born.items() if one in figures.told]
    print(f"first-push delay   {max(delays, default=0):.1f} s at most")
    print(f"problems untold    {len(figures.born.keys() - figures.told.keys())}")
    told = sum(push[3] for push in figures.pushes)
    print(f"records told       {told:,}")
    months = max(1.0, seconds / (30 * DAY))
    print(f"quota spent        {len(figures.pushes) / months / QUOTA:.2%} of {QUOTA:,} a month")
    print(f"Redis operations   {figures.total_operations / seconds:,.0f} a second in the mean")
    busiest = max(figures.operations.values(), default=0)
    print(f"                   {busiest:,} decisions' worth of them in the busiest second")


def plot(figures: Figures, seconds: float, path: Path) -> None:
    """Draw the pushes over time, one mark each, and their sum."""
    width, height = 900, 260
    points = [
        (20 + at / seconds * (width - 40), height - 30 - number / len(figures.pushes) * 200)
        for number, (at, *_) in enumerate(figures.pushes, 1)
    ]
    marks = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in points)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
        f'<path d="M20 {height - 30}H{width - 20}" stroke="gray"/>{marks}'
        f'<text x="20" y="20">{len(figures.pushes)} pushes for {figures.records:,} records</text>'
        f'<text x="{width - 90}" y="{height - 10}">{seconds / DAY:.1f} days</text></svg>\n',
        encoding="utf-8",
    )


def main() -> None:
    """Read the command line and play."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("incident", nargs="?", type=Path, help="a file of events; else synthetic")
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=8, help="of each host")
    parser.add_argument("--problems", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1.0, help="records a second and process")
    parser.add_argument("--days", type=float, default=30.0)
    parser.add_argument("--step", type=float, default=60.0, help="seconds that are played at once")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plot", type=Path, help="an SVG to write")
    options = parser.parse_args()
    world = World(Rules(), options.hosts * options.processes, options.step)
    events = recorded(options.incident) if options.incident else synthetic(options)
    seconds = options.days * DAY
    figures = world.play(events, seconds)
    show(figures, seconds)
    if options.plot:
        plot(figures, seconds, options.plot)


if __name__ == "__main__":
    main()
