"""The throttle's rules for one problem, pure: no clock, no lock, no I/O.

ABSENT --record--> PENDING (FIRST) --accepted--> OPEN --window over, count 0--> COOLING --> ABSENT
OPEN counts, tells a higher level at once (ESCALATED) and its count when the window ends (a timer
asks `close`). COOLING is OPEN with its window over and nothing counted; a record in it is told
AGAIN. `now` is in seconds of any clock that does not run backwards; `created` is Unix time.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from pushover_logging.exceptions import ConfigurationError

WINDOWS = (300.0, 900.0, 3600.0, 14_400.0, 86_400.0)
CRITICAL_WINDOW = 3600.0
COOLING = 6 * 3600.0
ESCALATIONS = 4


class Verdict(Enum):
    """What the throttle says of one record, or of a push that counts several."""

    FIRST = "first"
    AGAIN = "again"
    ESCALATED = "escalated"
    SUPPRESSED = "suppressed"
    UNTHROTTLED = "unthrottled"
    SUMMARY = "summary"


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

    def accepted(self, problem: Problem, now: float) -> None:
        """The API took the FIRST, or refused it for good: its window begins."""
        if problem.pending:
            self._open(problem, now, 0, problem.told)

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


def rules_from(option: object) -> Rules | None:
    """Return the rules that the ``throttle`` option asks for, None for False.

    It takes None or True (the defaults), False, a number of seconds (one fixed window), or a
    mapping with ``windows`` (seconds, ascending steps) and ``by`` (names of record fields).
    Raises ConfigurationError.
    """
    if option is None or option is True:
        return Rules()
    if option is False:
        return None
    if isinstance(option, str):
        return rules_from(_from_text(option))
    if isinstance(option, (int, float)):
        return Rules(windows=_windows([option]))
    if isinstance(option, Mapping) and option.keys() <= {"windows", "by"}:
        by = option.get("by", ())
        names = (by,) if isinstance(by, str) else tuple(by)
        return Rules(windows=_windows(option.get("windows", WINDOWS)), by=names)
    msg = (
        f"throttle: got {option!r}, takes False, seconds for one fixed window, "
        "or a mapping with windows and by"
    )
    raise ConfigurationError(msg, option="throttle")


def _from_text(text: str) -> object:
    if text.strip().lower() in {"off", "false", "no", "0"}:
        return False
    try:
        return float(text)
    except ValueError:
        msg = f"throttle: got {text!r}, takes a number of seconds, or off"
        raise ConfigurationError(msg, option="throttle") from None


def _windows(values: Sequence[float]) -> tuple[float, ...]:
    try:
        windows = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        windows = ()
    if not windows or not all(0 < window < float("inf") for window in windows):
        msg = f"throttle: windows got {values!r}, takes one or more lengths in seconds, above 0"
        raise ConfigurationError(msg, option="throttle")
    return windows
