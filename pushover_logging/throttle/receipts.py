"""What follows an emergency, pure: when to ask for its receipt, and what its answer changes.

The receipt is part of the problem's state, so that a restart and other processes know it: whichever
asks next moves ``ask_at`` first, and the others wait.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from pushover_logging.throttle.rules import LEASE, Problem

APART = 5.0  # seconds between two questions: https://pushover.net/api/receipts
_AT_FIRST = 300.0  # seconds for which each receipt is asked for more often
_INTERVALS = (10.0, 30.0)


class Emergency(NamedTuple):
    """An accepted emergency: its receipt, and as JSON the Message that follows if it expires."""

    receipt: str
    escalation: str = ""


class FollowUp(NamedTuple):
    """What is due of a problem's emergency: a ``receipt`` to ask for, else an escalation to send.

    ``escalation`` is its Message as JSON, ``overdue`` the seconds since the end of the repeats by
    this program's clock, ``expires_at`` that end by the service's, as it was at the last answer.
    """

    key: str
    receipt: str
    escalation: str
    overdue: float
    expires_at: int = 0


def begin(problem: Problem, emergency: Emergency, now: float) -> None:
    """Ask for an emergency's receipt from now on."""
    problem.receipt, problem.escalation = emergency
    problem.asked_since, problem.ask_at = now, now + _INTERVALS[0]


def end(problem: Problem) -> None:
    """Ask no more."""
    problem.receipt = problem.escalation = ""
    problem.ask_at = 0.0
    problem.expires_at = 0


def claim(problem: Problem, key: str, push_id: str, now: float) -> FollowUp:
    """Return what is due; nobody else asks or escalates meanwhile."""
    overdue = now - problem.emergency_until
    due = FollowUp(key, problem.receipt, problem.escalation, overdue, problem.expires_at)
    if problem.receipt:
        problem.ask_at = now + _INTERVALS[now >= problem.asked_since + _AT_FIRST]
    else:
        problem.claimed_by, problem.claimed_until = push_id, now + LEASE
    return due


def acknowledge(problem: Problem, device: str, at: float | None) -> None:
    """Note on what device the emergency was acknowledged, and when (Unix time): it ends."""
    end(problem)
    problem.emergency_until = 0.0
    where = f" on {device}" if device else ""
    when = f" at {time.strftime('%H:%M', time.localtime(at))}" if at else ""
    problem.acknowledged = f"Acknowledged{where}{when}."


def expire(problem: Problem, expired_at: int, now: float) -> None:
    """Note that nobody has acknowledged the emergency: escalate it, if that is asked for.

    One that was cancelled is not escalated: by the service's clock, it ended at ``expired_at``,
    which is earlier than the service had answered before.
    """
    was_cancelled = 0 < expired_at < problem.expires_at
    problem.emergency_until = min(problem.emergency_until, now)
    problem.receipt, problem.ask_at = "", now
    if was_cancelled or not problem.escalation:
        end(problem)


def escalated(problem: Problem, emergency: Emergency | None, expires: float, now: float) -> None:
    """Take the answer to the escalation, which is an emergency again; None if it was refused."""
    problem.claimed_by = ""
    end(problem)
    if emergency is not None:
        begin(problem, emergency, now)
        problem.emergency_until = now + expires
