"""Play an incident over many hosts and processes against the throttle's real rules, in no time.

    python benchmarks/simulate.py --hosts 1000 --processes 8 --days 30
    python benchmarks/simulate.py incident.jsonl --plot incident.svg
    python benchmarks/simulate.py --outage 3600 --problems 40
    python benchmarks/simulate.py --emptied redis://127.0.0.1:6379/9

A file has a line of JSON for each event: {"at": seconds, "problem": "text", "level": "ERROR",
"number": 1, "process": 0}; ``process`` is below hosts x processes. The state has the semantics of
Redis: one for all, each process reports at most once a second. What all processes count within a
step is reported at once here; the operations are those that each of them would have made.

``--outage`` plays one whole handler through so many seconds in which the service answers nothing.
``--emptied`` plays processes that count together in a Redis (which it empties again and again).
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pushover_logging import PushoverHandler
from pushover_logging.api.client import Sent
from pushover_logging.clock import Clock
from pushover_logging.delivery.counters import Counters, Stats
from pushover_logging.delivery.dedup import Admission, Dedup
from pushover_logging.exceptions import DeliveryError, TemporaryError
from pushover_logging.message import Message
from pushover_logging.rendering.summary import Count
from pushover_logging.throttle.rules import PUSHED, Occurrences, PushInfo, Rules
from pushover_logging.throttle.store import MemoryStore
from pushover_logging.throttle.throttle import Candidate, Counted, Decision, Throttle, View

QUOTA = 10_000  # messages a month, https://pushover.net/api#limits
DAY = 86_400.0
DECIDES = 6  # calls for a new problem: read and write it, before and after its push
COUNTS = 5  # calls a second of a process that counts
POLL = 10.0  # seconds between two looks at what is due, by every process


class Stopwatch(Clock):
    """Time that the simulation moves."""

    now = 0.0

    def monotonic(self) -> float:
        """Return the second of the play."""
        return self.now

    def time(self) -> float:
        """Return the same."""
        return self.now

    def uniform(self, low: float, high: float) -> float:
        """Return the middle."""
        return (low + high) / 2

    def start_thread(self, target: Callable[[], None], name: str) -> None:
        """Start none: the play takes the steps itself."""


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
    """What came of it: pushes as (second, what, title, records), and operations by second."""

    records: int = 0
    pushes: list[tuple[float, str, str, int]] = field(default_factory=list)
    born: dict[str, float] = field(default_factory=dict)
    reported: dict[str, float] = field(default_factory=dict)
    operations: Counter[int] = field(default_factory=Counter)
    total_operations: float = 0.0


class World:
    """The tallies of all processes, made when they log first, and the throttle that they share."""

    def __init__(self, rules: Rules, processes: int, step: float) -> None:
        self.clock = Stopwatch()
        self.processes, self.step = processes, step
        self.shared = Throttle(MemoryStore(self.clock), rules, is_shared=True)
        self.fronts: dict[int, Dedup] = {}
        self.figures = Figures()
        self._ids = map(str, itertools.count())

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
        if everybody and 0 in self.fronts and self.fronts[0].is_known(event.problem):
            speakers = range(1)  # the others do the same: they count
        for process in speakers:
            self._log(process, event)
        rest = event.number - len(speakers)
        if rest > 0:
            self._count(event, rest)
        reporting = min(event.number, self.processes if everybody else 1)
        seconds = self.step if everybody else 1.0
        reports = reporting * min(seconds, max(1.0, event.number / reporting))
        self.figures.total_operations += COUNTS * reports

    def _log(self, process: int, event: Event) -> None:
        if process not in self.fronts:
            lock, source = threading.RLock(), f"{process}@host"
            self.fronts[process] = Dedup(lock, Counters(), self.clock, source)
        front, key = self.fronts[process], event.problem
        if front.admit(key, event.level, event.at) is not Admission.ADMITTED:
            front.describe(key, PushInfo(key), None)
            front.handed_over(counts := front.counts(), self.shared.count(counts))
            return
        front.submitted()
        own = Candidate(next(self._ids), key, event.level, event.at, PushInfo(key))
        decision = self.shared.decide(own)
        self._operate(DECIDES)
        view = decision.view
        if decision.verdict in PUSHED:
            along = decision.included_count
            self._push(decision.verdict.value, key, 1 + (along.count if along else 0))
            view = self.shared.notified(own.id, [decision.key], decision)[decision.key]
        front.candidate_decided(key, event.level, view, decision.key)

    def _count(self, event: Event, number: int) -> None:
        occurrences = Occurrences(number, event.at, event.at + self.step, event.level)
        key = event.problem
        self.shared.count([Counted(key, key, event.level, occurrences, PushInfo(key))])

    def _pass(self, until: float) -> None:
        while self.clock.now + (wait := self.shared.next_due()) <= until:
            self.clock.now += wait
            counts = self.shared.due(push_id := next(self._ids))
            self._operate(3)
            if counts:
                reported = sum(count.count for count in counts)
                self._push("summary", ", ".join(count.title for count in counts[:3]), reported)
                for count in counts:
                    self.figures.reported.setdefault(count.key, self.clock.now)
                views = self.shared.notified(push_id, [count.key for count in counts])
                for front in self.fronts.values():
                    front.update(views)
        self.figures.total_operations += self.processes * (until - self.clock.now) / POLL
        self.clock.now = until

    def _push(self, what: str, title: str, reported: int) -> None:
        self.figures.pushes.append((self.clock.now, what, title, reported))
        if what != "summary":
            self.figures.reported.setdefault(title, self.clock.now)

    def _operate(self, number: float) -> None:
        self.figures.operations[int(self.clock.now)] += int(number)
        self.figures.total_operations += number


class Outage:
    """One handler, of which the service takes nothing while ``is_away``; it notes each push."""

    def __init__(self, error: DeliveryError | None = None, **options: object) -> None:
        self.clock = Stopwatch()
        self.error = error or TemporaryError("no answer")
        self.is_away = False
        self.records = self.reported = 0
        self.attempts: list[float] = []
        self.pushes: list[tuple[float, Message]] = []
        given = {"token": "a" * 30, "user": "u" * 30, "level": 0, "host": None, **options}
        self.handler = PushoverHandler(clock=self.clock, **given)  # type: ignore[arg-type]
        self._pipeline = self.handler._pipeline  # noqa: SLF001  what has no thread here
        self._pipeline._client.send = self._send  # type: ignore[union-attr]  # noqa: SLF001
        self._watch(self._pipeline.sender.local)  # type: ignore[union-attr]

    def _send(self, message: Message) -> Sent:
        self.attempts.append(self.clock.now)
        if self.is_away:
            raise self.error
        self.pushes.append((self.clock.now, message))
        return Sent(str(len(self.pushes)))

    def log(self, problem: str) -> None:
        """Log a record of a problem."""
        own = {"pushover": {"fingerprint": problem}}
        record = {"name": "shop", "levelno": logging.ERROR, "msg": problem, **own}
        self.handler.handle(logging.makeLogRecord({**record, "created": self.clock.now}))
        self.records += 1

    def pass_until(self, end: float) -> None:
        """Let time pass, doing each thing when it is due."""
        while True:
            while (wait := self._pipeline.thread.step()) <= 0:  # type: ignore[union-attr]
                pass
            if self.clock.now + wait > end:
                break
            self.clock.now += wait
        self.clock.now = end

    def play(self, problems: int, every: float, away: tuple[float, float], end: float) -> Stats:
        """Have each problem log ``every`` so many seconds, through a service that is ``away``."""
        begins, ends = away
        while self.clock.now < end:
            self.is_away = begins <= self.clock.now < ends
            for number in range(problems):
                self.log(f"problem {number}")
            self.pass_until(self.clock.now + every)
        return self.handler.stats()

    def _watch(self, throttle: Throttle) -> None:
        """Note how many records each push reports, as the throttle has it."""
        due, notified, claimed = throttle.due, throttle.notified, dict[str, int]()

        def watched_due(push_id: str, **options: Any) -> list[Count]:  # noqa: ANN401
            counts = due(push_id, **options)
            claimed[push_id] = sum(count.count for count in counts)
            return counts

        def watched_notified(
            push_id: str,
            keys: Sequence[str],
            decision: Decision | None = None,
            *,
            refused: bool = False,
            **options: Any,  # noqa: ANN401  as the method
        ) -> dict[str, View]:
            along = decision.included_count if decision else None
            self.reported += bool(decision)
            if not refused:
                self.reported += along.count if along else claimed.get(push_id, 0)
            return notified(push_id, keys, decision, refused=refused, **options)

        throttle.due = watched_due  # type: ignore[method-assign]
        throttle.notified = watched_notified  # type: ignore[method-assign]


def emptied(url: str, processes: int, seconds: int, seed: int = 1) -> tuple[int, int, int]:
    """Have processes count together in a Redis that is emptied now and then.

    Returns how many records they counted, how many were reported, and how many of these may be
    reported twice: those of pushes that no process had heard of when it was emptied.
    """
    import redis  # noqa: PLC0415  an extra

    from pushover_logging.throttle.redis import RedisThrottle  # noqa: PLC0415

    chance, client = random.Random(seed), redis.Redis.from_url(url)  # noqa: S311  plays
    fleet = [RedisThrottle(url, "play", Rules()) for _ in range(processes)]
    counted = reported = twice = 0
    ids = map(str, itertools.count())

    def report(throttle: RedisThrottle) -> int:
        reported = 0
        while counts := throttle.due(push_id := next(ids), at_exit=True):
            reported += sum(count.count for count in counts)
            throttle.notified(push_id, [count.key for count in counts])
        return reported

    for second in range(seconds):
        for number, throttle in enumerate(fleet):
            key, records = f"problem {chance.randrange(3)}", chance.randrange(1, 9)
            occurrences = Occurrences(records, second, second, logging.ERROR, (), (str(number),))
            throttle.count([Counted(key, key, logging.ERROR, occurrences, PushInfo(key))])
            throttle.views([*throttle.unsettled()])
            counted += records
        unheard = 0
        if chance.random() < 0.5:  # noqa: PLR2004
            unheard = report(chance.choice(fleet))
            reported += unheard
        if chance.random() < 0.1:  # noqa: PLR2004
            client.flushdb()
            twice += unheard
    for throttle in fleet:
        throttle.views([*throttle.unsettled()])
    reported += report(fleet[0])
    return counted, reported, twice


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
    for at, what, title, reported in figures.pushes[:40]:
        print(f"{at / 3600:10.3f} h  {what:9}  x{reported:<12,}  {title}")
    print(f"records            {figures.records:,}")
    print(f"pushes             {len(figures.pushes):,}")
    delays = [
        figures.reported[one] - born
        for one, born in figures.born.items()
        if one in figures.reported
    ]
    print(f"first-push delay   {max(delays, default=0):.1f} s at most")
    print(f"never reported     {len(figures.born.keys() - figures.reported.keys())}")
    reported = sum(push[3] for push in figures.pushes)
    print(f"records reported   {reported:,}")
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
    parser.add_argument("--outage", type=float, metavar="SECONDS", help="of the service")
    parser.add_argument("--emptied", metavar="URL", help="of a Redis database to empty")
    options = parser.parse_args()
    if options.outage:
        outage = Outage()
        print(outage.play(options.problems, 10.0, (5.0, options.outage), options.days * DAY))
        counts = f"{outage.records:,} records, {outage.reported:,} reported"
        print(f"{counts} by {len(outage.pushes):,} pushes")
        return
    if options.emptied:
        counted, reported, twice = emptied(options.emptied, options.processes, 1000)
        print(f"{counted:,} records, {reported:,} reported, {twice:,} perhaps twice")
        return
    world = World(Rules(), options.hosts * options.processes, options.step)
    events = recorded(options.incident) if options.incident else synthetic(options)
    seconds = options.days * DAY
    figures = world.play(events, seconds)
    show(figures, seconds)
    if options.plot:
        plot(figures, seconds, options.plot)


if __name__ == "__main__":
    main()
