"""A throttle that several processes share, on a wall clock that may jump.

Each process goes on deciding from its own memory, with no I/O, and sends on what that lets
through; here it is decided again, for all. Counts are reported once a second.
"""

from __future__ import annotations

from pushover_logging.throttle.deciding import Throttle
from pushover_logging.throttle.machine import Rules
from pushover_logging.throttle.problem import UNHEARD, Problem, Report, View

CAPACITY = 10_000


class SharedThrottle(Throttle):
    """The rules over a table of all processes. Called by senders' threads alone."""

    is_shared = True

    def take(self, report: Report) -> View:
        """Take a process's count; what is not known here is rebuilt from it."""
        return self.table.atomically(lambda: self._take(report))

    def _take(self, report: Report) -> View:
        now, count = self.table.now(), report.count
        known = self.table.get(count.key)
        if known is not None and known.resolved and count.last < known.last:
            self._restore(count)  # it came before the end
            return View(known.told, 0.0, resolved=True, at=now)
        key, problem = count.key, self._present(count.key, now)
        if problem is None and count.group:
            whole = self._present(count.group, now)
            if whole is not None and whole.told != UNHEARD:
                key, problem = count.group, whole
        # What a process held back as new may be known to the others.
        newcomer = count.newcomer and (problem is None or problem.told < count.level)
        if problem is None:
            self._make_room()
            problem = self._rebuilt(count, now)
            if report.remaining is not None:
                problem.told, problem.until = report.told, now + report.remaining
            newcomer = newcomer or (known is not None and known.resolved)
        if newcomer:
            problem.newcomer, problem.pending = True, False
            problem.told = max(problem.told, count.level)
            valves = self.table.valves()
            if count.newcomer:
                valves.storm(now)
                self.table.put_valves(valves)
        problem.total += count.number
        self.rules.add(problem, count, now)
        self.table.put(key, problem)
        return view_of(problem, now)


def view_of(problem: Problem, now: float) -> View:
    """Return what a process is to know of a problem."""
    pending = problem.pending or problem.told == UNHEARD
    remaining = None if pending else problem.until - now
    return View(
        problem.told, remaining, problem.resolved, problem.newcomer, taken=problem.taken, at=now
    )


def clamped(rules: Rules, problem: Problem | None, now: float) -> Problem | None:
    """Return a problem whose times a jump of the clock has not left too far ahead."""
    if problem is not None:
        problem.until = min(problem.until, now + rules.lasts(problem))
    return problem
