"""Problems as a person sees them: one line each, without what the throttle's rules need."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pushover_logging.throttle.mutes import problem_id

if TYPE_CHECKING:  # the package's root imports this module
    from pushover_logging.throttle.limits import Limits
    from pushover_logging.throttle.mutes import Mute
    from pushover_logging.throttle.rules import Problem

OPEN, COOLING, MUTED, RESOLVED = "open", "cooling", "muted", "resolved"
EMERGENCY, ACKNOWLEDGED = "emergency", "acknowledged"


@dataclass(frozen=True, slots=True)
class ListedProblem:
    """A problem, as `PushoverHandler.problems` and the command ``problems`` list it.

    ``id`` identifies it, for example for a mute. ``level`` is the number of the highest level,
    ``count`` the number of records between ``since`` and ``last`` (Unix time). ``state`` is
    ``open``, ``cooling`` (no record came in its last window), ``muted``, ``emergency`` (it
    repeats), ``acknowledged`` or ``resolved``. ``until`` is the Unix time at which the window, the
    mute or the repeats end, None in the other states. ``title`` is the title of its push.
    """

    id: str
    level: int
    count: int
    since: float
    last: float
    state: str
    until: float | None
    title: str

    @property
    def is_over(self) -> bool:
        """Return True if it cools or is resolved."""
        return self.state in {COOLING, RESOLVED}


def listed(key: str, problem: Problem, limits: Limits, now: float, wall: float) -> ListedProblem:
    """Return a problem as people see it; ``now`` is the store's time, and ``wall`` Unix time."""
    found = problem.counted.plus(problem.reporting)
    reported = problem.level if problem.level >= logging.NOTSET else problem.wanted
    level = max(reported, found.level)
    mute = limits.mute_of(key, level)
    state, until = _state(problem, mute, now)
    return ListedProblem(
        id=problem_id(key),
        level=level,
        count=problem.total,
        since=problem.began,
        last=max(problem.last, problem.pushed, problem.began),
        state=state,
        until=None if math.isinf(until) else round(until - now + wall, 3),
        title=problem.title,
    )


def _state(problem: Problem, mute: Mute | None, now: float) -> tuple[str, float]:
    if problem.resolved:
        return RESOLVED, math.inf
    if problem.acknowledged:
        return ACKNOWLEDGED, math.inf
    if now < problem.emergency_until:
        return EMERGENCY, problem.emergency_until
    if mute is not None:
        return MUTED, mute.until
    is_open = now < problem.until or problem.counted.count or problem.claimed_by
    return (OPEN, max(problem.until, now)) if is_open else (COOLING, math.inf)
