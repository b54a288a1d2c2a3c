"""When counts are told: the ends of windows and of a storm's digests, over any table."""

from __future__ import annotations

import math
from dataclasses import replace

from pushover_logging.throttle.machine import Rules
from pushover_logging.throttle.problem import Count, Problem
from pushover_logging.throttle.table import Table
from pushover_logging.throttle.valves import DAY, Gate, Valves


class Timers:
    """The windows of the problems in ``table``, and the valves that hold their summaries back."""

    is_shared = False

    def __init__(self, rules: Rules, table: Table) -> None:
        self.rules = rules
        self.gate = Gate.OPEN
        self.held: bool = False  # nothing can be sent: what is counted meanwhile is told together
        self.table = table

    def due(self) -> list[Count]:
        """Close every window that is over with something counted; return the counts."""
        if self.held:
            return []

        def work() -> list[Count]:
            now, valves = self.table.now(), self.table.valves()
            before = replace(valves)
            valves.clamp(now)
            counts = []
            for key, problem in self.table.waiting():
                if problem.number and self._due_at(problem, valves, now) <= now:
                    counts.append(self.rules.close(problem, key, now))
                    self.table.put(key, problem)
            if counts:
                valves.end_summary(now)
                valves.daily_at = now + DAY if self.gate is Gate.SCARCE else 0.0
            valves.end_digest(now)
            if valves != before:
                self.table.put_valves(valves)
            return counts

        return self.table.atomically(work)

    def next_due(self) -> float:
        """Return the seconds until `due` may have something, infinity where no window is open."""
        if self.held:
            return math.inf
        now, valves = self.table.now(), self.table.valves()
        ends = [self._due_at(problem, valves, now) for _, problem in self.table.waiting()]
        return max(min(ends, default=math.inf) - now, 0.0)

    def untold(self) -> list[Count]:
        """Take every count that no push has told, for the last words.

        What another process can still tell, a first that waits in a file, stays.
        """

        def work() -> list[Count]:
            counts = []
            for key, problem in self.table.counted():
                if not (self.is_shared and problem.pending):
                    counts.append(self.rules.take(problem, key, 0.0))
                    self.table.put(key, problem)
            return counts

        return self.table.atomically(work)

    def _due_at(self, problem: Problem, valves: Valves, now: float) -> float:
        """Return when a problem is to be told, infinity where there is nothing to wait for."""
        at = problem.until
        if problem.newcomer:
            at = valves.digest_at or now
        elif not problem.number:
            return at if at > now and not problem.resolved else math.inf
        if self.gate is Gate.SCARCE:
            at = max(at, valves.daily_at)
        elif self.gate is Gate.LOW and not (problem.newcomer or problem.pending):
            return math.inf
        return max(at, valves.next_summary(now))
