"""What bounds the pushes over all problems, pure: rate and storm, emergencies, quota, groups.

``now`` is in seconds of the store's clock. If that clock jumped, what is kept is brought back to as
far as it could lie ahead.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from enum import IntEnum

from pushover_logging.throttle.mutes import Mute, current
from pushover_logging.throttle.receipts import APART
from pushover_logging.throttle.rules import Problem, Rules

EVERY = 60.0  # seconds between two pushes once a burst is over
BURST = 10  # FIRST, AGAIN or ESCALATED
CRITICAL_BURST = 5
SUMMARIES_BURST = 10  # Messages that report counts; more of them at once wait for each other
DIGESTS = (60.0, 300.0, 900.0, 3600.0)  # seconds until a storm's digests; the last repeats
DAY = 86_400.0
CLOCKS_DIFFER = 5.0  # seconds, between a record's clock and the store's
EMERGENCIES = 5  # an hour
JOBS = 30  # failures of jobs an hour
HOUR = 3600.0
GROUPING = 300.0  # seconds within which newcomers of one group become one problem
CALL_SITE, ROOT_CAUSE = "call site", "root cause"  # how the names of groups start
GROUP_LIMITS = {CALL_SITE: 5, ROOT_CAUSE: 3}  # newcomers of a group that are problems of their own


class QuotaLevel(IntEnum):
    """How much of the account's quota is left."""

    ENOUGH = 0
    LOW = 1  # below 20 %: only FIRST and ESCALATED
    SCARCE = 2  # below 5 %: only CRITICAL, and one digest a day


def quota_level(remaining: int, limit: int) -> QuotaLevel:
    """Return the level of what is left of a month's messages."""
    if remaining * 20 < limit:
        return QuotaLevel.SCARCE
    return QuotaLevel.LOW if remaining * 5 < limit else QuotaLevel.ENOUGH


@dataclass(slots=True)
class Limits:
    """The rates (GCRA: ``*_at`` is the theoretical arrival time), the storm and the emergencies.

    ``digest_at`` is when a storm's next digest is due, 0 without a storm; ``digests`` how many of
    them there were; ``exceeded`` whether anything was held back since. ``daily_at`` is when the
    next digest of a scarce quota may come. ``mutes`` are those that hold pushes back.
    ``ask_at`` is when the service may be asked for a receipt again.
    """

    pushes_at: float = 0.0
    criticals_at: float = 0.0
    summaries_at: float = 0.0
    storm_since: float = 0.0
    digest_at: float = 0.0
    digests: int = 0
    exceeded: bool = False
    daily_at: float = 0.0
    emergencies: tuple[float, ...] = ()
    jobs: tuple[float, ...] = ()
    mutes: tuple[Mute, ...] = ()
    ask_at: float = 0.0

    def refresh(self, now: float) -> None:
        """Bring back what a clock that jumped has left too far ahead."""
        self.pushes_at = min(self.pushes_at, now + BURST * EVERY)
        self.criticals_at = min(self.criticals_at, now + CRITICAL_BURST * EVERY)
        self.summaries_at = min(self.summaries_at, now + SUMMARIES_BURST * EVERY)
        self.digest_at = min(self.digest_at, now + DIGESTS[-1])
        self.daily_at = min(self.daily_at, now + DAY)
        self.ask_at = min(self.ask_at, now + APART)
        if self.emergencies:
            self.emergencies = tuple(at for at in self.emergencies if now - HOUR < at <= now)
        if self.jobs:
            self.jobs = tuple(at for at in self.jobs if now - HOUR < at <= now)
        if self.mutes:
            self.mutes = current(self.mutes, now)

    def mute_of(self, key: str, level: int) -> Mute | None:
        """Return the mute that holds a push back longest, None if it passes."""
        holding = [mute for mute in self.mutes if mute.holds(key, level)]
        return max(holding, key=lambda mute: mute.until, default=None)

    def allow(self, level: int, now: float, created: float) -> bool:
        """Return True if a push goes out at once; otherwise it waits for a digest, in a storm.

        ``created`` is when its record came: what is older than a storm is not held back by it.
        """
        # A digest that is long overdue has nothing to report.
        if 0.0 < self.digest_at <= now - EVERY:
            self.digest_at, self.exceeded = 0.0, False
        if level >= logging.CRITICAL:
            free = self.criticals_at <= now + (CRITICAL_BURST - 1) * EVERY
            if free:
                self.criticals_at = max(self.criticals_at, now) + EVERY
                return True
        else:
            free = self.pushes_at <= now + (BURST - 1) * EVERY
            if free:
                self.pushes_at = max(self.pushes_at, now) + EVERY
        if free:
            return not self.digest_at or created < self.storm_since + CLOCKS_DIFFER
        self.begin_storm(now)
        return False

    def allow_job(self, now: float) -> bool:
        """Return True if a job's failure goes out at once: a night's jobs may fail together.

        Problems of other kinds do not hold it back, nor does it hold those back.
        """
        if len(self.jobs) < JOBS:
            self.jobs = (*self.jobs, now)
            return True
        self.begin_storm(now)
        return False

    def begin_storm(self, now: float) -> None:
        """Begin a storm, or let it go on."""
        self.exceeded = True
        if not self.digest_at:
            self.storm_since, self.digest_at, self.digests = now, now + DIGESTS[0], 1

    def end_digest(self, now: float) -> bool:
        """End a digest's window if it is over: another one follows, or the storm has ended."""
        if not self.digest_at or now < self.digest_at:
            return False
        self.digest_at = 0.0
        if self.exceeded:
            self.exceeded = False
            self.digest_at = now + DIGESTS[min(self.digests, len(DIGESTS) - 1)]
            self.digests += 1
        return True

    def next_summary(self, now: float) -> float:
        """Return when the next Message that reports counts may go out."""
        return max(now, self.summaries_at - (SUMMARIES_BURST - 1) * EVERY)

    def count_summary(self, now: float, level: QuotaLevel) -> None:
        """Take one Message that reports counts."""
        self.summaries_at = max(self.summaries_at, now) + EVERY
        self.daily_at = now + DAY if level is QuotaLevel.SCARCE else 0.0

    def allow_emergency(self, now: float) -> bool:
        """Return True if one more emergency may go out."""
        if len(self.emergencies) >= EMERGENCIES:
            return False
        self.emergencies = (*self.emergencies, now)
        return True

    def due_at(self, problem: Problem, now: float, level: QuotaLevel) -> float:
        """Return when to report a problem's count, infinity if that has to wait."""
        at = problem.until
        if problem.muted_until:
            at = problem.muted_until
        elif problem.unannounced:
            at = self.digest_at or now
        at = min(at, problem.counted.report_by)
        if level is QuotaLevel.SCARCE:
            at = max(at, self.daily_at)
        elif level is QuotaLevel.LOW and problem.level >= 0 and not problem.unannounced:
            return math.inf
        return max(at, self.next_summary(now))


@dataclass(slots=True)
class Group:
    """The newcomers of one call site or root exception, and when they came."""

    members: dict[str, float] = field(default_factory=dict)

    def should_merge(self, name: str, key: str, now: float) -> bool:
        """Take a newcomer; return True if they are so many by now that they become one problem."""
        self.members = {
            member: at for member, at in self.members.items() if now - GROUPING < at <= now
        }
        self.members.setdefault(key, now)
        return len(self.members) > GROUP_LIMITS[name.partition(":")[0]]


def merge_into(rules: Rules, whole: Problem, member: Problem, now: float) -> None:
    """Merge a member of a group, no count of which is on its way, into the problem they become."""
    whole.total += member.total
    whole.began = min(whole.began, member.began)
    whole.level = max(whole.level, member.level)
    whole.unannounced = whole.unannounced or member.unannounced
    whole.refused = whole.refused or member.refused
    whole.owed = whole.owed or member.owed
    whole.title = whole.title or member.title
    whole.user, whole.device = member.user, member.device
    whole.priority = max(whole.priority, member.priority)
    whole.counted = whole.counted.plus(member.counted)
    whole.until = now + rules.window(whole)
    if member.claimed_by:  # its push is on its way, and opens the window of the whole
        whole.claimed_by, whole.claimed_until = member.claimed_by, member.claimed_until
    whole.decided = {**whole.decided, **member.decided}
