"""The throttle's state in this process: a bounded dictionary of problems.

Not thread-safe by itself: the ledger holds its guard around every call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from pushover_logging.clock import Clock
from pushover_logging.throttle.deciding import Throttle
from pushover_logging.throttle.machine import Rules
from pushover_logging.throttle.problem import UNHEARD, Origin, Problem, Report, Verdict, View
from pushover_logging.throttle.table import REMAINDER, About, Answer
from pushover_logging.throttle.valves import GROUPING, Group, Valves

CAPACITY = 1024
_EVICTED_AT_ONCE = CAPACITY // 16  # sorting the table for each newcomer would cost too much
T = TypeVar("T")


class LocalTable:
    """At most ``CAPACITY`` problems on the monotonic clock, and as many groups."""

    def __init__(self, rules: Rules, clock: Clock) -> None:
        self._rules = rules
        self.now: Callable[[], float] = clock.monotonic
        self.problems: dict[str, Problem] = {}
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.problems.clear()
        self._valves = Valves()
        self._groups: dict[str, Group] = {}

    def atomically(self, work: Callable[[], T]) -> T:
        """Do ``work``: the ledger's guard is held around it."""
        return work()

    def get(self, key: str) -> Problem | None:
        """Return the problem itself: what is changed in it is kept."""
        return self.problems.get(key)

    def put(self, key: str, problem: Problem) -> None:
        """Keep a problem."""
        self.problems[key] = problem

    def pop(self, key: str) -> None:
        """Let a problem go."""
        self.problems.pop(key, None)

    def valves(self) -> Valves:
        """Return the valves' state itself."""
        return self._valves

    def put_valves(self, valves: Valves) -> None:
        """Keep it."""
        self._valves = valves

    def group(self, name: str) -> Group:
        """Return the newcomers of one origin."""
        return self._groups.get(name) or Group()

    def put_group(self, name: str, group: Group) -> None:
        """Keep them, the latest last; the oldest have gone quiet, or make room."""
        self._groups.pop(name, None)
        if group.members:
            self._groups[name] = group
        for one, old in list(self._groups.items())[:2]:  # two for each new one: it never grows
            full = len(self._groups) > CAPACITY
            if full or max(old.members.values()) < self.now() - GROUPING:
                del self._groups[one]

    def waiting(self) -> Sequence[tuple[str, Problem]]:
        """Return all: also of a window with nothing counted the end is to be known."""
        return list(self.problems.items())

    def counted(self) -> Sequence[tuple[str, Problem]]:
        """Return the problems with something counted."""
        return [(key, problem) for key, problem in self.problems.items() if problem.number]

    def expendable(self) -> Sequence[str]:
        """Return who is over, then cooling, then the longest unseen, then the oldest untold."""
        if len(self.problems) < CAPACITY:
            return ()
        now = self.now()

        def worth(item: tuple[str, Problem]) -> tuple[int, float]:
            problem = item[1]
            if problem.pending or problem.number:
                return 3, problem.began
            if self._rules.is_over(problem, now):
                return 0, problem.until
            return (1 if now >= problem.until else 2), problem.last or problem.began

        ranked = sorted(self.problems.items(), key=worth)
        return [key for key, _ in ranked[:_EVICTED_AT_ONCE] if key != REMAINDER]


class LocalThrottle(Throttle):
    """The rules over this process's own table."""

    def __init__(self, rules: Rules, clock: Clock) -> None:
        self._local = LocalTable(rules, clock)
        self._problems = self._local.problems
        self._parting: list[Report] = []
        super().__init__(rules, self._local)

    def admit(
        self,
        key: str,
        level: int,
        created: float,
        origin: Origin | None = None,
        about: About | None = None,
    ) -> Answer:
        """Decide; what is suppressed costs one look-up in the dictionary."""
        if self.count_duplicate(key, level, created):
            return Answer(Verdict.SUPPRESSED, None, key)
        problem = self._local.problems.get(key)
        if problem is not None:
            now = self._local.now()
            if self.rules.verdict(problem, level, now) is Verdict.SUPPRESSED:
                self.rules.count(problem, level, now, created)
                return Answer(Verdict.SUPPRESSED, None, key)
        return super().admit(key, level, created, origin, about)

    def count_duplicate(self, key: str, level: int, created: float) -> bool:
        """Count a record that changes nothing else; False where it may. See `Rules.verdict`."""
        problem = self._problems.get(key)
        if problem is None or not problem.number or level > problem.told or problem.resolved:
            return False
        problem.total += 1
        problem.number += 1
        problem.last = created
        if level > problem.seen:
            self.rules.heed(problem, level, self._local.now())
        return True

    def knows(self, key: str) -> bool:
        """Tell whether a record of this fingerprint would be no newcomer."""
        problem = self._local.problems.get(key)
        return problem is not None and not self.rules.is_over(problem, self._local.now())

    def reports(self, source: str) -> list[Report]:
        """Take every count, for a throttle that several processes share; ``source`` is this one."""
        now = self._local.now()
        reports = [*self._parting]
        self._parting.clear()
        for key, problem in self._local.counted():
            told, pending = problem.told, problem.pending
            problem.sources = (source,)
            remaining = None if pending else max(0.0, problem.until - now)
            reports.append(Report(self.rules.take(problem, key, 0.0), told, remaining))
        return reports

    def part(self, key: str, at: float, source: str | None) -> Answer:
        """End a problem at the Unix time ``at``: RESOLVED, or SUPPRESSED where none is known.

        Where ``source`` names this process among several, who decides for all knows what it was;
        what was counted here is in the next `reports`.
        """
        if source is None:
            was = self.resolve(key, at)
            return Answer(Verdict.SUPPRESSED if was is None else Verdict.RESOLVED, was, key)
        problem = self._local.get(key)
        self._local.pop(key)
        if problem is not None and problem.number:
            problem.sources = (source,)
            self._parting.append(Report(problem.counted(key, 0.0), problem.told, None))
        return Answer(Verdict.RESOLVED, None, key)

    def see(self, views: Mapping[str, View]) -> None:
        """Follow what the shared throttle says of the problems."""
        now = self._local.now()
        for key, view in views.items():
            problem = self._local.get(key)
            if problem is None or (view.told == UNHEARD and not view.resolved):
                continue
            if view.resolved and not problem.number:
                self._local.pop(key)
                continue
            problem.told, problem.pending = view.told, view.remaining is None
            left = self.rules.patience if view.remaining is None else view.remaining
            problem.until = now + left

    def clear(self) -> None:
        """Forget everything: a fork's child starts empty."""
        self._local.clear()
        self._parting.clear()

    def has_untold(self) -> bool:
        """Tell whether `untold` would return anything."""
        return any(problem.number for problem in self._local.problems.values())
