"""The throttle's rules for one problem, pure: no clock, no lock, no I/O.

ABSENT --record--> PENDING (FIRST) --accepted--> OPEN --window over, count 0--> COOLING --> ABSENT
OPEN counts, tells a higher level at once (ESCALATED) and its count when the window ends (a timer
asks `close`). COOLING is OPEN with its window over and nothing counted; a record in it is told
AGAIN. What a valve holds back is counted as well, as a newcomer, and told by a digest. `now` is in
seconds of any clock that does not run backwards; `created` is Unix time.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field

from pushover_logging.throttle.problem import UNHEARD, Count, End, Problem, Verdict

WINDOWS = (300.0, 900.0, 3600.0, 14_400.0, 86_400.0)
CRITICAL_WINDOW = 3600.0
COOLING = 6 * 3600.0
ESCALATIONS = 4
RELAPSES = 4  # within the time of cooling; what comes back after them is no new problem
PLACES = 20  # that a problem remembers, and as many as a summary can name
SOURCES = 100  # processes that a problem remembers between two summaries


@dataclass(frozen=True, slots=True)
class Rules:
    """The windows that decide; each method is one arrow of the drawing above.

    ``by`` names the record fields that tell problems apart, ``store`` is where the state is shared,
    a redis:// URL or None. ``last_words``: the last process of a host tells what was counted, else
    the next one does, when it is due. ``cooling`` is the seconds for which a problem is remembered
    after its window. ``patience`` is the seconds after which a first that nobody has sent is given
    up, where others may have to tell it.
    """

    windows: tuple[float, ...] = WINDOWS
    by: tuple[str, ...] = ()
    store: str | None = field(default=None, repr=False)  # may hold a password
    last_words: bool = True
    cooling: float = COOLING
    patience: float = math.inf

    def window(self, problem: Problem) -> float:
        """Return the length in seconds of the problem's present step."""
        length = self.windows[min(problem.step, len(self.windows) - 1)]
        return min(length, CRITICAL_WINDOW) if problem.told >= logging.CRITICAL else length

    def lasts(self, problem: Problem) -> float:
        """Return how far ahead `until` may lie, whatever a clock has done meanwhile."""
        return self.patience if problem.pending else self.window(problem)

    def is_over(self, problem: Problem, now: float) -> bool:
        """Tell whether the problem is so long over, or resolved, that it is ABSENT."""
        if problem.resolved:
            return True
        if problem.number or now < problem.until:
            return False
        return problem.pending or now >= problem.until + self.cools(problem)

    def cools(self, problem: Problem) -> float:
        """Return the seconds after its window for which a problem is COOLING."""
        return max(self.cooling, self.window(problem))

    def present(self, problem: Problem | None, now: float) -> Problem | None:
        """Return the problem, None where it is ABSENT."""
        return None if problem is None or self.is_over(problem, now) else problem

    def verdict(self, problem: Problem | None, level: int, now: float) -> Verdict:
        """Say what one more record of a problem is; None, or one that is over, is ABSENT."""
        if problem is None or problem.told == UNHEARD or self.is_over(problem, now):
            return Verdict.FIRST
        if problem.pending:
            return Verdict.SUPPRESSED
        if problem.number == 0 and now >= problem.until:
            return Verdict.AGAIN
        if level > problem.told and problem.escalations < ESCALATIONS:
            return Verdict.ESCALATED
        return Verdict.SUPPRESSED

    def begin(self, now: float, created: float, before: Problem | None = None) -> Problem:
        """Return a problem of which nothing is told or counted yet; ``before`` was there, ended."""
        problem = Problem(told=UNHEARD, pending=False, total=0, began=created)
        problem.until = now + self.window(problem)
        if before is not None and before.resolved and now < before.until + self.cooling:
            problem.relapses = before.relapses + 1
        return problem

    def end(self, problem: Problem, now: float, at: float) -> Problem:
        """Return what is left of a problem that was resolved, at the Unix time ``at``."""
        return Problem(
            problem.told,
            pending=False,
            until=now,
            last=at,
            relapses=problem.relapses,
            resolved=True,
        )

    def tell(
        self, problem: Problem, verdict: Verdict, key: str, level: int, now: float
    ) -> Count | None:
        """Take a record that is told; return the count that its push tells along, if any."""
        problem.total += 1
        if verdict is Verdict.FIRST:
            problem.told, problem.pending, problem.until = level, True, now + self.patience
            return None
        if verdict is Verdict.AGAIN:
            self._open(problem, now, problem.step + 1, level)
            return None
        problem.escalations += 1
        count = self.take(problem, key, self.windows[0]) if problem.number else None
        problem.taken = now
        self._open(problem, now, 0, level)
        return count

    def hold(
        self, problem: Problem, verdict: Verdict, level: int, now: float, created: float
    ) -> None:
        """Take a record that should be told and must wait for a digest."""
        if verdict is not Verdict.FIRST:
            problem.step = problem.step + 1 if verdict is Verdict.AGAIN else 0
            problem.escalations += verdict is Verdict.ESCALATED
        self.count(problem, level, now, created)
        problem.newcomer, problem.pending, problem.told = True, False, max(problem.told, level)

    def count(self, problem: Problem, level: int, now: float, created: float) -> None:
        """Take a record that is not told."""
        problem.total += 1
        if problem.number == 0:
            problem.since = created
        problem.number += 1
        problem.last = created
        self.heed(problem, level, now)

    def heed(self, problem: Problem, level: int, now: float) -> None:
        """Take the level of a record that is counted: a CRITICAL is told within the hour."""
        problem.seen = max(problem.seen, level)
        if level >= logging.CRITICAL:
            self._hasten(problem, now)

    def ended(self, problem: Problem, end: End, now: float) -> bool:
        """Take how a push ended: its window begins. False: the problem is ABSENT again.

        What a push that was lost would have told, the next one tells; where nothing was counted,
        the next record is a first.
        """
        if end is End.LOST and problem.pending and problem.number == 0:
            return False
        problem.refused = problem.refused or end is not End.ACCEPTED
        if problem.pending:
            self._open(problem, now, 0, problem.told)
        return True

    def close(self, problem: Problem, key: str, now: float) -> Count:
        """End a window that is due: return its count and open the next step's.

        A first push that was given up counts as refused.
        """
        problem.refused = problem.refused or problem.pending
        step = problem.step + (not problem.newcomer and not problem.pending)
        problem.step, problem.told = step, problem.seen
        problem.taken = now
        count = self.take(problem, key, self.window(problem))
        self._open(problem, now, step, problem.told)
        return count

    def take(self, problem: Problem, key: str, following: float) -> Count:
        """Take what is untold, to be told without an end of its window."""
        count = problem.counted(key, following)
        problem.named = problem.named or problem.newcomer
        problem.number, problem.newcomer, problem.refused, problem.refusals = 0, False, False, 0
        problem.places = problem.sources = ()
        return count

    def add(self, problem: Problem, count: Count, now: float) -> None:
        """Count what somebody else counted, or what comes back untold."""
        if problem.number == 0:
            problem.since, problem.last, problem.seen = count.since, count.last, count.level
        problem.since = min(problem.since, count.since)
        problem.last = max(problem.last, count.last)
        problem.seen = max(problem.seen, count.level)
        problem.number += count.number
        problem.refused = problem.refused or count.refused
        problem.refusals = max(problem.refusals, count.refusals)
        problem.places = merged(problem.places, count.places, PLACES)
        problem.sources = merged(problem.sources, count.sources, SOURCES)
        if count.level >= logging.CRITICAL:
            self._hasten(problem, now)

    def _open(self, problem: Problem, now: float, step: int, told: int) -> None:
        problem.pending = False
        problem.step, problem.told = step, told
        if problem.number == 0:
            problem.seen = 0
        problem.until = now + self.window(problem)

    def _hasten(self, problem: Problem, now: float) -> None:
        if not problem.pending and problem.until > now + CRITICAL_WINDOW:
            problem.until = now + CRITICAL_WINDOW  # a CRITICAL is told within the hour


def merged(known: tuple[str, ...], more: tuple[str, ...], limit: int) -> tuple[str, ...]:
    """Return what both name, each once, at most ``limit``."""
    return tuple(dict.fromkeys((*known, *more)))[:limit]
