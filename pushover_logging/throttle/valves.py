"""What bounds the pushes over all problems, pure: rate and storm, alarms, quota, groups.

`now` is in seconds, on the clock of whoever keeps the state. Where that clock jumped, what is kept
is clamped to as far as it could lie ahead.
"""

import logging
from dataclasses import dataclass, field
from enum import IntEnum

EVERY = 60.0  # seconds between two pushes once a burst is over
BURST = 10  # FIRST, AGAIN or ESCALATED
CRITICAL_BURST = 5
SUMMARIES_BURST = 10  # Messages that tell counts; more at once wait for each other
DIGESTS = (60.0, 300.0, 900.0, 3600.0)  # seconds until a storm's digests; the last repeats
DAY = 86_400.0
CLOCKS_DIFFER = 5.0  # seconds, between a record's clock and the table's
ALARMS = 5  # emergencies an hour
HOUR = 3600.0
GROUPING = 300.0  # seconds within which newcomers of one group become one
SITE, ROOT = "call site", "root cause"  # the names of groups start so
GROUP_LIMITS = {SITE: 5, ROOT: 3}  # newcomers of a group that are told one by one


class Gate(IntEnum):
    """How much of the account's quota is left."""

    OPEN = 0
    LOW = 1  # below 20 %: only FIRST and ESCALATED
    SCARCE = 2  # below 5 %: only CRITICAL, and one digest a day


def gate_of(remaining: int, limit: int) -> Gate:
    """Return the gate for what is left of a month's messages."""
    if remaining * 20 < limit:
        return Gate.SCARCE
    return Gate.LOW if remaining * 5 < limit else Gate.OPEN


@dataclass(slots=True)
class Valves:
    """The rates (GCRA: ``*_at`` is the theoretical arrival time), the storm and the alarms.

    ``digest_at`` is when a storm's next digest is due, 0 without a storm; ``digests`` how many of
    it there were; ``over`` whether anything was held back since. ``daily_at`` is when the next
    digest of a scarce quota may come.
    """

    pushes_at: float = 0.0
    criticals_at: float = 0.0
    summaries_at: float = 0.0
    storm_since: float = 0.0
    digest_at: float = 0.0
    digests: int = 0
    over: bool = False
    daily_at: float = 0.0
    alarms: tuple[float, ...] = ()

    def clamp(self, now: float) -> None:
        """Bring back what a clock that jumped has left too far ahead."""
        self.pushes_at = min(self.pushes_at, now + BURST * EVERY)
        self.criticals_at = min(self.criticals_at, now + CRITICAL_BURST * EVERY)
        self.summaries_at = min(self.summaries_at, now + SUMMARIES_BURST * EVERY)
        self.digest_at = min(self.digest_at, now + DIGESTS[-1])
        self.daily_at = min(self.daily_at, now + DAY)
        self.alarms = tuple(at for at in self.alarms if now - HOUR < at <= now)

    def let_through(self, level: int, now: float, born: float) -> bool:
        """Tell whether a push goes out at once; else it waits for a digest, in a storm.

        ``born`` is when its record came: what is older than a storm is not held back by it.
        """
        # A digest that is long overdue has nothing to tell: who shares asks only where counts wait.
        if 0.0 < self.digest_at <= now - EVERY:
            self.digest_at, self.over = 0.0, False
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
            return not self.digest_at or born < self.storm_since + CLOCKS_DIFFER
        self.storm(now)
        return False

    def storm(self, now: float) -> None:
        """Begin a storm, or let it go on."""
        self.over = True
        if not self.digest_at:
            self.storm_since, self.digest_at, self.digests = now, now + DIGESTS[0], 1

    def end_digest(self, now: float) -> None:
        """End a digest's window: another one follows, or the storm is over."""
        if not self.digest_at or now < self.digest_at:
            return
        self.digest_at = 0.0
        if self.over:
            self.over = False
            self.digest_at = now + DIGESTS[min(self.digests, len(DIGESTS) - 1)]
            self.digests += 1

    def next_summary(self, now: float) -> float:
        """Return when the next Message that tells counts may go out."""
        return max(now, self.summaries_at - (SUMMARIES_BURST - 1) * EVERY)

    def end_summary(self, now: float) -> None:
        """Take one Message that tells counts."""
        self.summaries_at = max(self.summaries_at, now) + EVERY

    def alarm(self, now: float) -> bool:
        """Tell whether one more emergency may go out."""
        self.clamp(now)
        if len(self.alarms) >= ALARMS:
            return False
        self.alarms = (*self.alarms, now)
        return True


@dataclass(slots=True)
class Group:
    """The newcomers of one call site or root exception, and when they came."""

    members: dict[str, float] = field(default_factory=dict)

    def is_one(self, name: str, key: str, now: float) -> bool:
        """Take a newcomer; tell whether they are so many by now that they become one."""
        self.members = {one: at for one, at in self.members.items() if now - GROUPING < at <= now}
        self.members.setdefault(key, now)
        return len(self.members) > GROUP_LIMITS[name.partition(":")[0]]
