"""The throttle's state in this process: a bounded dictionary of problems.

Not thread-safe by itself: the ledger holds its lock around every call.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from pushover_logging.clock import Clock
from pushover_logging.throttle.machine import (
    OTHERS,
    Count,
    End,
    Problem,
    Report,
    Rules,
    Verdict,
    View,
)

CAPACITY = 1024
_UNSEEN = 600.0
_EVICTED_AT_ONCE = CAPACITY // 16  # sorting the table for each newcomer would cost too much


class LocalThrottle:
    """Problems by fingerprint, at most ``CAPACITY``; a count is never lost with its problem."""

    def __init__(self, rules: Rules, clock: Clock) -> None:
        self.rules = rules
        self._clock = clock
        self._problems: dict[str, Problem] = {}
        self._others: Problem | None = None

    def admit(self, key: str, level: int, created: float) -> tuple[Verdict, Count | None]:
        """Say whether a record of this fingerprint is told (FIRST, AGAIN, ESCALATED) or counted."""
        now = self._clock.monotonic()
        problem = self._problems.get(key)
        if problem is not None and not self.rules.cooled(problem, now):
            return self.rules.admit(problem, key, level, now, created)
        if problem is None and len(self._problems) >= CAPACITY:
            self._make_room(now)
        self._problems[key] = Problem(told=level, until=now)
        return Verdict.FIRST, None

    def describe(self, key: str, title: str, user: str | None, device: str | None) -> None:
        """Remember how the problem was told, for its summaries."""
        problem = self._problems.get(key)
        if problem is not None:
            problem.title, problem.user, problem.device = title, user, device

    def ended(self, key: str, end: End) -> None:
        """Know how a push of this problem ended."""
        problem = self._problems.get(key)
        if problem is not None and not self.rules.ended(problem, end, self._clock.monotonic()):
            del self._problems[key]

    def restore(self, count: Count) -> None:
        """Take back a count whose push did not arrive."""
        problem = self._problems.get(count.key)
        if problem is None:
            problem = self._other_problems()
            problem.total += count.number
        self.rules.add(problem, count)

    def reports(self) -> list[Report]:
        """Take every count, for a throttle that several processes share."""
        now = self._clock.monotonic()
        reports = []
        for key, problem in [*self._problems.items(), ("", self._others)]:
            if problem is not None and problem.number:
                remaining = None if problem.pending else max(0.0, problem.until - now)
                reports.append(Report(problem.counted(key, 0.0), problem.told, remaining))
                problem.number = 0
        return reports

    def see(self, views: Mapping[str, View]) -> None:
        """Follow what the shared throttle says of the problems.

        A first that nobody has told after `_UNSEEN` seconds is let through again: the shared
        throttle counts it where another is under way.
        """
        now = self._clock.monotonic()
        for key, view in views.items():
            problem = self._problems.get(key)
            if problem is not None:
                problem.told, problem.pending = view.told, view.remaining is None
                problem.until = now + (view.remaining or 0.0)
        for key, problem in list(self._problems.items()):
            if problem.pending and now > problem.until + _UNSEEN:
                del self._problems[key]

    def due(self) -> list[Count]:
        """Close every window that is over with something counted; return the counts."""
        now = self._clock.monotonic()
        counts = [
            self.rules.close(problem, key, now)
            for key, problem in self._problems.items()
            if self.rules.due(problem, now)
        ]
        if self._others is not None and self.rules.due(self._others, now):
            counts.append(self.rules.close(self._others, "", now))
            self._others = None
        return counts

    def next_due(self) -> float:
        """Return the seconds until the next window ends, infinity where none is open."""
        now = self._clock.monotonic()
        ends = [
            problem.until - now
            for problem in self._every()
            if not problem.pending and (problem.number or problem.until > now)
        ]
        return max(min(ends, default=math.inf), 0.0)

    def clear(self) -> None:
        """Forget everything: a fork's child starts empty."""
        self._problems.clear()
        self._others = None

    def has_untold(self) -> bool:
        """Tell whether `untold` would return anything."""
        return any(problem.number for problem in self._every())

    def untold(self) -> list[Count]:
        """Take every count that no push has told, for the last words at exit."""
        counts = []
        for key, problem in [*self._problems.items(), ("", self._others)]:
            if problem is not None and problem.number:
                counts.append(problem.counted(key, 0.0))
                problem.number = 0
        return counts

    def _every(self) -> list[Problem]:
        others = [] if self._others is None else [self._others]
        return [*self._problems.values(), *others]

    def _make_room(self, now: float) -> None:
        # Expired first, then cooling, then the longest unseen without a count, last the oldest.
        def worth(item: tuple[str, Problem]) -> tuple[int, float]:
            problem = item[1]
            if problem.pending or problem.number:
                return 3, problem.since
            if self.rules.cooled(problem, now):
                return 0, problem.until
            return (1 if now >= problem.until else 2), problem.last

        for key, problem in sorted(self._problems.items(), key=worth)[:_EVICTED_AT_ONCE]:
            del self._problems[key]
            if problem.number:
                self.restore(problem.counted(key, 0.0))

    def _other_problems(self) -> Problem:
        if self._others is None:
            self._others = Problem(told=0, total=0, title=OTHERS)
            self.rules.ended(self._others, End.ACCEPTED, self._clock.monotonic())
        return self._others
