"""The state machine of one problem, pure: no lock, no I/O, and the time is an argument.

::

    unknown --FIRST accepted--> OPEN --window over, nothing counted--> COOLING --> unknown
    OPEN    --same or lower level--> count + 1
            --higher level--> ESCALATED with the count, first window again
            --window over, something counted--> SUMMARY, next window
    COOLING --a record--> AGAIN, next window

A push claims its problem before it is sent (`Rules.claim`). Its answer opens the window
(`Rules.notify`); if there is none, the claim is released and nothing has changed. What a claimed
push shows moves from ``counted`` to ``reporting`` until then, within the same problem, so that no
count is ever outside of the state. ``now`` is in seconds of the store's clock, ``created`` is Unix
time.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import NamedTuple

from pushover_logging.message import EXPIRE_MAXIMUM
from pushover_logging.rendering.summary import MAX_SOURCES, Count
from pushover_logging.throttle.mutes import MAX_MUTE, Mute

WINDOWS = (300.0, 900.0, 3600.0, 14_400.0, 86_400.0)
CRITICAL_WINDOW = 3600.0  # seconds within which a counted CRITICAL is reported
FORGET_AFTER = 6 * 3600.0
UNREPORTED = -1  # the level of a problem that no push has reported
MAX_ESCALATIONS = 4
MAX_RELAPSES = 4  # within `forget_after`; a problem that comes back more often is one that goes on
MAX_PLACES = 20  # as many as a summary can name
MAX_TEXTS = 20  # of which a summary names the first five
MAX_DECIDED = 16  # decisions that a problem remembers
LEASE = 30.0  # seconds that a claim lasts: longer than one attempt to send takes
MAX_LEASE = 600.0
_UNSENT = 86_400.0  # seconds for which a decision is remembered that no answer has followed


class Verdict(Enum):
    """What becomes of one candidate."""

    FIRST = "first"
    AGAIN = "again"
    ESCALATED = "escalated"
    SUPPRESSED = "suppressed"
    RESOLVED = "resolved"
    REPORTED = "reported"  # by this very candidate, before a crash
    WAIT = "wait"  # another push of the problem is on its way


_FINAL = {Verdict.REPORTED.value, Verdict.SUPPRESSED.value}
PUSHED = frozenset({Verdict.FIRST, Verdict.AGAIN, Verdict.ESCALATED, Verdict.RESOLVED})


class PushInfo(NamedTuple):
    """How a problem was reported, or should have been; its summaries go the same way."""

    title: str = ""
    user: str | None = None
    device: str | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Occurrences:
    """Records that were counted: how many, from when to when (Unix time), the worst level, where.

    ``texts`` are the most frequent of what they said, each with its number before it.
    ``report_by`` is the store's time at which they are reported at the latest.
    """

    count: int = 0
    since: float = 0.0
    last: float = 0.0
    level: int = 0
    places: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    report_by: float = math.inf
    texts: tuple[str, ...] = ()

    def plus(self, more: Occurrences) -> Occurrences:
        """Return both together."""
        if not self.count or not more.count:
            return more if more.count else self
        return Occurrences(
            self.count + more.count,
            min(self.since, more.since),
            max(self.last, more.last),
            max(self.level, more.level),
            union(self.places, more.places, MAX_PLACES),
            union(self.sources, more.sources, MAX_SOURCES),
            min(self.report_by, more.report_by),
            ranked_texts(*self.texts, *more.texts),
        )


NOTHING = Occurrences()


@dataclass(slots=True)
class Problem:
    """What is known of one fingerprint: no record, and no text but its title and places.

    ``level`` is the highest one reported, ``until`` when its window ends, ``step`` which window it
    is. ``last`` is when the last record was counted, ``pushed`` when the last one was that wanted a
    push (Unix time), and ``wanted`` the highest level of those. ``counted`` is what no push has
    reported, ``reporting`` what the claimed push shows. ``claimed_by`` is that push's id until
    ``claimed_until``; ``decided`` maps the last ids to what was decided, ``notices`` counts the
    answers. ``unannounced``: what is counted waits for a digest; ``announced``: a digest has named
    it. ``refused`` and ``refusals`` are as in `Count`. ``owed``: its next candidate
    is a push, whatever is counted: a mute has held one back, or what came after the candidate was
    counted before it was decided. ``resolved``: it is over, and kept to know its relapses. Its
    ``emergency``, the id of a push, repeats until ``emergency_until``. A mute has held a push back
    since ``muted_since``, and will until ``muted_until``; 0 if none has. The emergency's
    ``receipt`` is asked for at ``ask_at``, and has been since ``asked_since``; 0 if there is none.
    By the service's clock its emergency ends at ``expires_at``, 0 if that is unknown.
    ``escalation`` is, as JSON, the Message that follows if nobody acknowledges it; ``acknowledged``
    says on what device, and when, someone has.
    """

    level: int = UNREPORTED
    until: float = 0.0
    step: int = 0
    total: int = 0
    began: float = 0.0
    last: float = 0.0
    pushed: float = 0.0
    wanted: int = 0
    counted: Occurrences = NOTHING
    reporting: Occurrences = NOTHING
    claimed_by: str = ""
    claimed_until: float = 0.0
    decided: dict[str, str] = field(default_factory=dict)
    notices: int = 0
    escalations: int = 0
    relapses: int = 0
    refused: bool = False
    refusals: int = 0
    unannounced: bool = False
    announced: bool = False
    owed: bool = False
    resolved: bool = False
    emergency: str = ""
    emergency_until: float = 0.0
    muted_since: float = 0.0
    muted_until: float = 0.0
    receipt: str = ""
    ask_at: float = 0.0
    asked_since: float = 0.0
    expires_at: int = 0
    escalation: str = ""
    acknowledged: str = ""
    title: str = ""
    user: str | None = None
    device: str | None = None
    priority: int = 0

    def describe(self, info: PushInfo) -> None:
        """Remember how its push reads and where it goes."""
        self.title, self.user, self.device, self.priority = info

    def report(self, key: str, next_window: float, now: float) -> Count:
        """Return what the claimed push shows."""
        shown = self.reporting
        return Count(
            key=key,
            count=shown.count,
            total=self.total,
            since=shown.since,
            last=shown.last,
            level=shown.level,
            next_window=next_window,
            refused=self.refused,
            refusals=self.refusals,
            title=self.title,
            user=self.user,
            device=self.device,
            began=self.began,
            priority=self.priority,
            unannounced=self.unannounced,
            announced=self.announced,
            places=shown.places,
            sources=shown.sources,
            texts=shown.texts,
            repeats=self.emergency_until > now,
            muted=max(0.0, min(now, self.muted_until) - self.muted_since),
            unmuted=max(0.0, now - self.muted_until),
            acknowledged=self.acknowledged,
        )

    def hide(self, mute: Mute) -> None:
        """Have what is counted reported when a mute ends that has held a push back."""
        self.muted_since = min(self.muted_since or mute.since, mute.since)
        self.muted_until = mute.until


@dataclass(frozen=True, slots=True)
class Rules:
    """The option ``throttle``, and the arrows of the drawing above as methods.

    ``windows`` are seconds; ``group_by`` names the record fields that distinguish problems;
    ``store`` is the redis:// URL of the state that hosts share. ``summary_at_exit``: the last
    process of a host reports what was counted, else the next one does when it is due.
    ``forget_after`` is the seconds for which a problem is remembered after its window.
    """

    windows: tuple[float, ...] = WINDOWS
    group_by: tuple[str, ...] = ()
    store: str | None = field(default=None, repr=False)  # may hold a password
    summary_at_exit: bool = True
    forget_after: float = FORGET_AFTER

    def window(self, problem: Problem) -> float:
        """Return the length in seconds of a problem's present window."""
        return self._length(problem.step, problem.level)

    def _length(self, step: int, level: int) -> float:
        length = self.windows[min(step, len(self.windows) - 1)]
        return min(length, CRITICAL_WINDOW) if level >= logging.CRITICAL else length

    def cooling_time(self, problem: Problem) -> float:
        """Return the seconds after its window for which a problem is remembered."""
        return max(self.forget_after, self.window(problem))

    def refresh(self, problem: Problem, now: float) -> None:
        """Free a claim that has expired, and bring times within reach that a jump left ahead."""
        problem.claimed_until = min(problem.claimed_until, now + MAX_LEASE)
        problem.until = min(problem.until, now + max(self.window(problem), self.windows[0]))
        problem.emergency_until = min(problem.emergency_until, now + EXPIRE_MAXIMUM)
        problem.muted_until = min(problem.muted_until, now + MAX_MUTE)
        problem.ask_at = min(problem.ask_at, now + MAX_LEASE)
        if problem.claimed_by and now >= problem.claimed_until:
            self._unclaim(problem)

    def is_expired(self, problem: Problem, now: float) -> bool:
        """Return True if the problem is unknown again: resolved, or long over."""
        if problem.resolved:
            return True
        if problem.counted.count or problem.claimed_by or problem.ask_at or now < problem.until:
            return False
        if problem.level == UNREPORTED:
            return now >= problem.claimed_until + _UNSENT or not problem.decided
        return now >= problem.until + self.cooling_time(problem)

    def begin(self, now: float, created: float, before: Problem | None = None) -> Problem:
        """Return a new problem; ``before`` is what was known under its key, and is over."""
        problem = Problem(began=created)
        if before is not None and before.resolved and now < before.until + self.forget_after:
            problem.relapses = before.relapses + 1
            problem.decided = before.decided
            # If the push that it was over is not out yet, the new problem reports that count.
            problem.counted = before.reporting.plus(before.counted)
            problem.total = problem.counted.count
        return problem

    def is_cooling(self, problem: Problem, now: float) -> bool:
        """Return True if a problem's window is over, and nothing was counted in it."""
        return now >= problem.until and not (problem.counted.count or problem.reporting.count)

    def verdict(self, problem: Problem, level: int, now: float) -> Verdict:
        """Return what a record of ``level`` is to a problem that is not expired."""
        if problem.level == UNREPORTED:
            return Verdict.FIRST
        if problem.owed or self.is_cooling(problem, now):
            return Verdict.AGAIN
        if level > problem.level and problem.escalations < MAX_ESCALATIONS:
            return Verdict.ESCALATED
        return Verdict.SUPPRESSED

    def remembered(self, problem: Problem, message_id: str) -> Verdict | None:
        """Return what was decided of an id before, if that still holds.

        A verdict to push holds until another push of the problem was answered.
        """
        decided, _, notices = problem.decided.get(message_id, "").partition(" ")
        if decided in _FINAL or (decided and int(notices) == problem.notices):
            return Verdict(decided)
        return None

    def remember(self, problem: Problem, message_id: str, verdict: Verdict) -> None:
        """Remember what was decided of an id, among the last `MAX_DECIDED` of them."""
        kept = dict(problem.decided)  # a problem of a store is copied, not this
        kept.pop(message_id, None)
        kept[message_id] = f"{verdict.value} {problem.notices}"
        if len(kept) > MAX_DECIDED:
            del kept[next(iter(kept))]
        problem.decided = kept

    def claim(
        self, problem: Problem, message_id: str, verdict: Verdict, now: float, lease: float
    ) -> None:
        """Let a push report the problem for ``lease`` seconds; one that begins a count has none."""
        if problem.claimed_by != message_id and verdict not in {Verdict.FIRST, Verdict.AGAIN}:
            problem.reporting, problem.counted = problem.counted, NOTHING
        problem.claimed_by, problem.claimed_until = message_id, now + lease
        self.remember(problem, message_id, verdict)

    def claim_summary(self, problem: Problem, key: str, summary_id: str, now: float) -> Count:
        """Let a summary report what is counted; return that."""
        problem.refused = problem.refused or problem.level == UNREPORTED
        step = self._next_step(problem)
        problem.reporting, problem.counted = problem.counted, NOTHING
        problem.claimed_by, problem.claimed_until = summary_id, now + LEASE
        return problem.report(key, self._length(step, problem.reporting.level), now)

    def release(self, problem: Problem, push_id: str, now: float) -> None:
        """Free a push's claim: it was not answered, and what it shows is counted as before.

        An unreported problem leaves its owner the first window's time to try again.
        """
        if problem.claimed_by == push_id:
            self._unclaim(problem)
            if problem.level == UNREPORTED:
                problem.until = now + self.windows[0]

    def notify(  # noqa: PLR0913  a push and its answer
        self,
        problem: Problem,
        push_id: str,
        verdict: Verdict | None,
        level: int,
        now: float,
        *,
        refused: bool = False,
    ) -> bool:
        """Take the answer to a record's push, or to a summary (``verdict`` None): open the window.

        What a ``refused`` push showed is counted as before. Returns False if the answer was taken
        before, or another push has taken over.
        """
        is_summary, is_owner = verdict is None, problem.claimed_by == push_id
        if self.remembered(problem, push_id) is Verdict.REPORTED or (is_summary and not is_owner):
            return False
        shown = NOTHING
        if is_owner:
            shown, problem.reporting, problem.claimed_by = problem.reporting, NOTHING, ""
        problem.notices += 1
        if not is_summary:
            self.remember(problem, push_id, Verdict.REPORTED)
        if verdict is Verdict.RESOLVED:
            return True
        if is_summary:
            problem.step, problem.level = self._next_step(problem), shown.level
            is_muted = problem.muted_until > 0
            problem.owed = problem.owed or is_muted
            problem.announced = problem.announced or (problem.unannounced and not is_muted)
        else:
            problem.owed = False
            problem.step = problem.step + 1 if verdict is Verdict.AGAIN else 0
            problem.level = level
            problem.escalations += verdict is Verdict.ESCALATED
        if refused:
            problem.counted = shown.plus(problem.counted)
            problem.refused = problem.refused or not is_summary
            problem.refusals += is_summary
        elif is_summary:
            problem.refused, problem.refusals = False, 0
        if is_summary or not problem.counted.count:
            problem.muted_since = problem.muted_until = 0.0
        problem.unannounced = False
        problem.until = now + self.window(problem)
        return True

    def count(self, problem: Problem, more: Occurrences, now: float) -> None:
        """Count records that are not reported now; a CRITICAL is reported within the hour."""
        if more.level >= logging.CRITICAL:
            more = replace(more, report_by=now + CRITICAL_WINDOW)
        problem.total += more.count
        problem.last = max(problem.last, more.last)
        problem.counted = problem.counted.plus(more)

    def hold(self, problem: Problem, verdict: Verdict, level: int) -> None:
        """Let a digest report the problem, because the limits leave no room for a push."""
        if verdict is Verdict.AGAIN:
            problem.step += 1
        elif verdict is Verdict.ESCALATED:
            problem.step, problem.escalations = 0, problem.escalations + 1
        problem.unannounced, problem.level = True, max(problem.level, level)

    def _next_step(self, problem: Problem) -> int:
        return problem.step + (not problem.unannounced and problem.level != UNREPORTED)

    def _unclaim(self, problem: Problem) -> None:
        problem.counted = problem.reporting.plus(problem.counted)
        problem.reporting, problem.claimed_by = NOTHING, ""


def ranked_texts(*texts: str) -> tuple[str, ...]:
    """Return ``texts``, each with its number before it, added up and the most frequent first."""
    numbers: dict[str, int] = {}
    for numbered in texts:
        number, _, text = numbered.partition(" ")
        numbers[text] = numbers.get(text, 0) + (int(number) if number.isdecimal() else 0)
    ranked = sorted(numbers.items(), key=lambda found: -found[1])
    return tuple(f"{number} {text}" for text, number in ranked[:MAX_TEXTS])


def union(known: tuple[str, ...], more: tuple[str, ...], limit: int) -> tuple[str, ...]:
    """Return what both name, each once, at most ``limit``."""
    return tuple(dict.fromkeys((*known, *more)))[:limit] if known != more else known
