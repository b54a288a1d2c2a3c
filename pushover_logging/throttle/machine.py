"""The throttle's rules for one problem, pure: no clock, no lock, no I/O.

ABSENT --record--> PENDING (FIRST) --accepted--> OPEN --window over, count 0--> COOLING --> ABSENT
OPEN counts, tells a higher level at once (ESCALATED) and its count when the window ends (a timer
asks `close`). COOLING is OPEN with its window over and nothing counted; a record in it is told
AGAIN. `now` is in seconds of any clock that does not run backwards; `created` is Unix time.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

WINDOWS = (300.0, 900.0, 3600.0, 14_400.0, 86_400.0)
CRITICAL_WINDOW = 3600.0
COOLING = 6 * 3600.0
ESCALATIONS = 4
OTHERS = "other problems"  # the title of counts whose problems had to go


class Verdict(Enum):
    """What the throttle says of one record, or of a push that counts several."""

    FIRST = "first"
    AGAIN = "again"
    ESCALATED = "escalated"
    SUPPRESSED = "suppressed"
    UNTHROTTLED = "unthrottled"
    SUMMARY = "summary"


class End(Enum):
    """How a push ended."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # for good
    LOST = "lost"  # dropped, or never made


_SUPPRESSED: tuple[Verdict, None] = (Verdict.SUPPRESSED, None)


@dataclass(frozen=True, slots=True)
class Count:
    """Records of one problem that no push has told yet.

    ``number`` of them came between ``since`` and ``last`` (Unix time), ``total`` in the problem's
    life; ``following`` is the seconds until the next summary. ``refused``: not even the first was
    accepted. ``title``, ``user`` and ``device`` are those of the push that told the problem.
    """

    key: str
    number: int
    total: int
    since: float
    last: float
    level: int
    following: float
    refused: bool = False
    title: str = ""
    user: str | None = None
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """A process's count for a shared throttle, with what it knows of the problem.

    ``told`` is the highest level told, ``remaining`` the seconds until its window ends, None while
    its first push was not accepted.
    """

    count: Count
    told: int
    remaining: float | None


@dataclass(frozen=True, slots=True)
class View:
    """What a shared throttle says of a problem; the fields are those of a `Report`."""

    told: int
    remaining: float | None


class Throttle(Protocol):
    """What every place where the state lives is told of the pushes."""

    def ended(self, key: str, end: End) -> None:
        """Know how a push of this problem ended."""

    def restore(self, count: Count) -> None:
        """Take back a count whose push did not arrive."""


@dataclass(slots=True)
class Problem:
    """What is kept of one fingerprint: some 300 bytes, no record, no text but the title."""

    told: int
    pending: bool = True
    step: int = 0
    until: float = 0.0
    number: int = 0
    total: int = 1
    since: float = 0.0
    last: float = 0.0
    seen: int = 0
    escalations: int = 0
    refused: bool = False
    title: str = ""
    user: str | None = None
    device: str | None = None

    def counted(self, key: str, following: float) -> Count:
        """Return what is untold, as a value."""
        return Count(
            key=key,
            number=self.number,
            total=self.total,
            since=self.since,
            last=self.last,
            level=self.seen,
            following=following,
            refused=self.refused,
            title=self.title,
            user=self.user,
            device=self.device,
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """The windows and record fields that decide; each method is one arrow of the drawing above."""

    windows: tuple[float, ...] = WINDOWS
    by: tuple[str, ...] = ()

    def window(self, problem: Problem) -> float:
        """Return the length in seconds of the problem's present step."""
        length = self.windows[min(problem.step, len(self.windows) - 1)]
        return min(length, CRITICAL_WINDOW) if problem.told >= logging.CRITICAL else length

    def cooled(self, problem: Problem, now: float) -> bool:
        """Tell whether the problem is so long over that it is ABSENT."""
        quiet = not problem.pending and problem.number == 0
        return quiet and now >= problem.until + max(COOLING, self.window(problem))

    def admit(
        self, problem: Problem, key: str, level: int, now: float, created: float
    ) -> tuple[Verdict, Count | None]:
        """Take one more record of a known problem: AGAIN, ESCALATED or SUPPRESSED.

        ESCALATED brings the count that its push tells along, None where nothing was counted.
        """
        problem.total += 1
        if not problem.pending:
            if problem.number == 0 and now >= problem.until:
                self._open(problem, now, problem.step + 1, level)
                return Verdict.AGAIN, None
            if level > problem.told and problem.escalations < ESCALATIONS:
                problem.escalations += 1
                count = problem.counted(key, self.windows[0]) if problem.number else None
                problem.number = 0
                self._open(problem, now, 0, level)
                return Verdict.ESCALATED, count
        self._count(problem, level, now, created)
        return _SUPPRESSED

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

    def due(self, problem: Problem, now: float) -> bool:
        """Tell whether the window is over with something counted."""
        return not problem.pending and problem.number > 0 and now >= problem.until

    def close(self, problem: Problem, key: str, now: float) -> Count:
        """End a due window: return its count and open the next step's."""
        told = problem.seen
        following = Problem(told, step=problem.step + 1)
        count = problem.counted(key, self.window(following))
        problem.number = 0
        self._open(problem, now, problem.step + 1, told)
        return count

    def add(self, problem: Problem, count: Count) -> None:
        """Count what somebody else counted."""
        if problem.number == 0:
            problem.since, problem.last, problem.seen = count.since, count.last, count.level
        problem.since = min(problem.since, count.since)
        problem.last = max(problem.last, count.last)
        problem.seen = max(problem.seen, count.level)
        problem.number += count.number

    def _open(self, problem: Problem, now: float, step: int, told: int) -> None:
        problem.pending = False
        problem.step = min(step, len(self.windows) - 1)
        problem.told = told
        if problem.number == 0:
            problem.seen = 0
        problem.until = now + self.window(problem)

    def _count(self, problem: Problem, level: int, now: float, created: float) -> None:
        if problem.number == 0:
            problem.since = created
        problem.number += 1
        problem.last = created
        problem.seen = max(problem.seen, level)
        if level >= logging.CRITICAL and problem.until > now + CRITICAL_WINDOW:
            problem.until = now + CRITICAL_WINDOW  # a CRITICAL is told within the hour


def settle(throttle: Throttle, end: End, key: str | None, counts: Sequence[Count]) -> None:
    """Let a throttle know how a push ended; the counts of one that was not told go back."""
    if key is not None:
        throttle.ended(key, end)
    for count in counts:
        if end is not End.ACCEPTED and count.following:  # last words are not said again
            throttle.restore(count)
