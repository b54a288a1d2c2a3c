"""The throttle's state in this process: a bounded dictionary of problems.

Not thread-safe by itself: the ledger holds its lock around every call.
"""

from __future__ import annotations

import math

from pushover_logging.throttle.machine import Count, Problem, Rules, Verdict

CAPACITY = 1024
OTHERS = "other problems"
_EVICTED_AT_ONCE = CAPACITY // 16  # sorting the table for each newcomer would cost too much


class LocalThrottle:
    """Problems by fingerprint, at most ``CAPACITY``; a count is never lost with its problem."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._problems: dict[str, Problem] = {}
        self._others: Problem | None = None

    def admit(
        self, key: str, level: int, now: float, created: float
    ) -> tuple[Verdict, Count | None]:
        """Say whether a record of this fingerprint is told (FIRST, AGAIN, ESCALATED) or counted."""
        problem = self._problems.get(key)
        if problem is not None and not self.rules.cooled(problem, now):
            return self.rules.admit(problem, key, level, now, created)
        if problem is None and len(self._problems) >= CAPACITY:
            self._make_room(now)
        self._problems[key] = Problem(told=level)
        return Verdict.FIRST, None

    def describe(self, key: str, title: str, user: str | None, device: str | None) -> None:
        """Remember how the problem was told, for its summaries."""
        problem = self._problems.get(key)
        if problem is not None:
            problem.title, problem.user, problem.device = title, user, device

    def accepted(self, key: str, now: float) -> None:
        """The API took a push of this problem."""
        problem = self._problems.get(key)
        if problem is not None:
            self.rules.accepted(problem, now)

    def refused(self, key: str, now: float) -> None:
        """The API will never take this push: the next summary says so."""
        problem = self._problems.get(key)
        if problem is not None:
            problem.refused = True
            self.rules.accepted(problem, now)

    def lost(self, key: str, now: float) -> None:
        """A push was dropped or never made: what it would have told is told by the next one."""
        problem = self._problems.get(key)
        if problem is None:
            return
        if problem.pending and problem.number == 0:
            del self._problems[key]
        else:
            self.refused(key, now)

    def restore(self, count: Count, now: float) -> None:
        """Take back a count whose push did not arrive."""
        problem = self._problems.get(count.key)
        if problem is None:
            problem = self._other_problems(now)
            problem.total += count.number
        if problem.number == 0:
            problem.since, problem.last = count.since, count.last
        problem.since = min(problem.since, count.since)
        problem.last = max(problem.last, count.last)
        problem.number += count.number
        problem.seen = max(problem.seen, count.level)

    def due(self, now: float) -> list[Count]:
        """Close every window that is over with something counted; return the counts."""
        counts = [
            self.rules.close(problem, key, now)
            for key, problem in self._problems.items()
            if self.rules.due(problem, now)
        ]
        if self._others is not None and self.rules.due(self._others, now):
            counts.append(self.rules.close(self._others, "", now))
            self._others = None
        return counts

    def next_due(self, now: float) -> float:
        """Return the seconds until the next window ends, infinity where none is open."""
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
                self.restore(problem.counted(key, 0.0), now)

    def _other_problems(self, now: float) -> Problem:
        if self._others is None:
            self._others = Problem(told=0, total=0, title=OTHERS)
            self.rules.accepted(self._others, now)
        return self._others
