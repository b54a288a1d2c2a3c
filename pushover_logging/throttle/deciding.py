"""The throttle over any table of problems: the rules of one problem and the valves together."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

from pushover_logging.throttle.grouping import grouped
from pushover_logging.throttle.machine import PLACES, RELAPSES, merged
from pushover_logging.throttle.problem import OTHERS, Count, End, Origin, Problem, Verdict
from pushover_logging.throttle.table import REMAINDER, About, Answer
from pushover_logging.throttle.timers import Timers
from pushover_logging.throttle.valves import Gate

LONGEST_ALARM = 10_800.0  # https://pushover.net/api#priority: expire, in seconds


class Throttle(Timers):
    """The rules over ``table``. Not thread-safe by itself; see the places where tables are."""

    def admit(
        self,
        key: str,
        level: int,
        created: float,
        origin: Origin | None = None,
        about: About | None = None,
    ) -> Answer:
        """Say whether a record of this fingerprint is told (FIRST, AGAIN, ESCALATED) or counted."""

        def work() -> Answer:
            answer = self._admit(key, level, created, origin)
            if about is not None and answer.verdict is not Verdict.SUPPRESSED:
                self.describe(answer.key, about)
            return answer

        return self.table.atomically(work)

    def describe(self, key: str, about: About) -> None:
        """Remember how the problem was told, for its summaries."""
        problem = self.table.get(key)
        if problem is not None:
            problem.title, problem.user, problem.device, problem.priority = about
            self.table.put(key, problem)

    def ended(self, key: str, end: End, group: str = "") -> None:
        """Know how a push of this problem, or of the group that it became part of, ended."""

        def work() -> None:
            name = key if self.table.get(key) is not None else group
            problem = self.table.get(name)
            if problem is None:
                return
            if self.rules.ended(problem, end, self.table.now()):
                self.table.put(name, problem)
            else:
                self.table.pop(name)

        self.table.atomically(work)

    def restore(self, count: Count) -> None:
        """Take back a count whose push did not arrive."""
        self.table.atomically(lambda: self._restore(count, named=True))

    def withdraw(self, count: Count) -> None:
        """Have a digest tell what was let through and must not be sent any more."""

        def work() -> None:
            now = self.table.now()
            problem = self._present(count.key, now)
            if problem is None:
                self._restore(count._replace(newcomer=True), named=True)
                return
            self.rules.add(problem, count, now)
            problem.newcomer, problem.pending = True, False
            self.table.put(count.key, problem)

        self.table.atomically(work)

    def alarm(self, key: str, seconds: float) -> str:
        """Take an emergency that repeats for ``seconds``; say what speaks against it, if any."""

        def work() -> str:
            now, problem, valves = self.table.now(), self.table.get(key), self.table.valves()
            if problem is not None and now < problem.alarmed_until <= now + LONGEST_ALARM:
                return "an emergency of it repeats already"
            if not valves.alarm(now):
                return "one of many emergencies within an hour"
            self.table.put_valves(valves)
            if problem is not None:
                problem.alarmed_until = now + seconds
                self.table.put(key, problem)
            return ""

        return self.table.atomically(work)

    def resolve(self, key: str, at: float) -> Count | None:
        """End a problem at the Unix time ``at``; return what it was, None where that is not told.

        Not told is the end of a problem that is not known, or has gone on after ``at``. Where it
        waits for its first digest, has come back too often, or quota or valve leave no room, its
        end is told only if its emergency repeats. No count is lost.
        """

        def work() -> Count | None:
            now, valves = self.table.now(), self.table.valves()
            problem = self._present(key, now)
            if problem is None or (self.is_shared and problem.last > at):
                return None
            alarm = problem.alarmed_until > now
            if (problem.newcomer or problem.relapses >= RELAPSES) and not alarm:
                return None
            count = problem.counted(key, 1.0)._replace(alarm=alarm)
            self.table.put(key, self.rules.end(problem, now, at))
            if alarm or (self.gate is Gate.OPEN and valves.next_summary(now) <= now):
                valves.end_summary(now)
                self.table.put_valves(valves)
                return count
            if count.number:
                self._restore(count)
            return None

        return self.table.atomically(work)

    def overtaken(self, key: str, counts: Sequence[Count]) -> bool:
        """Tell whether a problem whose end was not told yet is there again; it takes the counts."""

        def work() -> bool:
            if self._present(key, self.table.now()) is None:
                return False
            for count in counts:
                if count.number:
                    self._restore(count)
            return True

        return self.table.atomically(work)

    def _admit(self, key: str, level: int, created: float, origin: Origin | None) -> Answer:
        now = self.table.now()
        problem = self._present(key, now)
        if problem is None and origin is not None:
            key, problem = grouped(self.rules, self.table, key, origin, (now, created))
        verdict = self.rules.verdict(problem, level, now)
        if verdict is Verdict.AGAIN and not self._may_tell_again(level):
            verdict = Verdict.SUPPRESSED
        before = self.table.get(key)
        if before is None:
            self._make_room()
        if problem is None:
            problem = self.rules.begin(now, created, before)
            problem.group = origin.group if origin else ""
        along = None
        if verdict is Verdict.SUPPRESSED:
            self.rules.count(problem, level, now, created)
        elif self._lets_through(level, now, created):
            along = self.rules.tell(problem, verdict, key, level, now)
        else:
            self.rules.hold(problem, verdict, level, now, created)
            verdict = Verdict.DIGESTED
        if origin is not None and key == origin.group:
            problem.places = merged(problem.places, (origin.place,), PLACES)
        self.table.put(key, problem)
        return Answer(verdict, along, key)

    def _present(self, key: str, now: float) -> Problem | None:
        return self.rules.present(self.table.get(key), now)

    def _may_tell_again(self, level: int) -> bool:
        return self.gate is Gate.OPEN or (self.gate is Gate.SCARCE and level >= logging.CRITICAL)

    def _lets_through(self, level: int, now: float, created: float) -> bool:
        if self.gate is Gate.SCARCE and level < logging.CRITICAL:
            return False
        valves = self.table.valves()
        valves.clamp(now)
        through = valves.let_through(level, now, created if self.is_shared else math.inf)
        self.table.put_valves(valves)
        return through

    def _restore(self, count: Count, *, named: bool = False) -> None:
        """Count it where it belongs; ``named``: of a problem that was forgotten meanwhile, too."""
        now = self.table.now()
        key = count.key
        problem = self._present(key, now)
        if problem is None and count.group:
            key, problem = count.group, self._present(count.group, now)
        before = self.table.get(count.key)
        if problem is None and named and not (before is not None and before.resolved):
            self._make_room()
            key, problem = count.key, self._rebuilt(count, now)
            problem.told, problem.total, problem.newcomer = count.level, count.total, count.newcomer
        if problem is None:
            key = REMAINDER
            problem = self._present(key, now) or self.rules.begin(now, count.since)
            problem.title, problem.told = OTHERS, 0
            problem.total += count.number
        self.rules.add(problem, count, now)
        self.table.put(key, problem)

    def _rebuilt(self, count: Count, now: float) -> Problem:
        """Return a problem that is not known here any more, as a count of it says it was."""
        problem = self.rules.begin(now, count.began or count.since)
        problem.title, problem.user, problem.device, problem.priority = About(
            count.title, count.user, count.device, count.priority
        )
        problem.group = count.group
        return problem

    def _make_room(self) -> None:
        for key in self.table.expendable():
            problem = self.table.get(key)
            self.table.pop(key)
            if problem is not None and problem.number:
                self._restore(problem.counted(key, 0.0))
