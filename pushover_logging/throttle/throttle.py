"""The throttle: applies the rules and limits to the problems of a Store, each call a transaction.

The sender asks `decide` of each candidate and reports back with `notified` or `released`. `count`
takes what the logging threads counted, and `due` claims what a summary is to report.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import logging
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Concatenate, NamedTuple, ParamSpec, TypeVar

from pushover_logging.identity.fingerprint import GroupKey
from pushover_logging.identity.record_parts import JOB
from pushover_logging.message import EMERGENCY
from pushover_logging.rendering.summary import Count
from pushover_logging.throttle import receipts
from pushover_logging.throttle.limits import (
    CALL_SITE,
    CLOCKS_DIFFER,
    HOUR,
    Group,
    Limits,
    QuotaLevel,
    merge_into,
)
from pushover_logging.throttle.listing import ListedProblem, listed
from pushover_logging.throttle.mutes import Mute, ids_of, with_mute
from pushover_logging.throttle.rules import (
    LEASE,
    MAX_RELAPSES,
    PUSHED,
    UNREPORTED,
    Occurrences,
    Problem,
    PushInfo,
    Rules,
    Verdict,
)
from pushover_logging.throttle.store import (
    DEADLINE,
    LIMITS,
    MEMBERS,
    OVERFLOW_KEY,
    SHARED_CAPACITY,
    Store,
)

OVERFLOW = PushInfo("other problems")
_HELD = 1.0  # seconds until what was due, and cannot be reported, is looked at again
_AT_ONCE = 500  # problems that one look for what is due takes
T = TypeVar("T")
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A record that wants a push, or ``number`` of them at once, up to ``last``.

    ``created`` is its Unix time, ``expire`` how long its emergency repeats, ``lease`` the seconds
    that sending it may take. ``resolves``: it ends the problem.
    """

    id: str
    key: str
    level: int
    created: float
    info: PushInfo
    group: GroupKey | None = None
    resolves: bool = False
    expire: float = 0.0
    lease: float = LEASE
    number: int = 1
    last: float = 0.0

    def occurrence(self) -> Occurrences:
        """Return the record as one that is counted."""
        places = (self.group.place,) if self.group and self.group.place else ()
        texts, last = (f"{self.number} {self.info.title}",), max(self.created, self.last)
        return Occurrences(self.number, self.created, last, self.level, places, texts=texts)


class Counted(NamedTuple):
    """What a process counted of one fingerprint.

    ``problem`` is the problem's key, a group's or ``key`` itself; ``level`` the highest level that
    the process knows to be reported, `UNREPORTED` if a candidate came before and is not decided.
    ``unannounced``: no push has reported it, a digest does.
    """

    key: str
    problem: str
    level: int
    occurrences: Occurrences
    info: PushInfo
    group: GroupKey | None = None
    unannounced: bool = False


class View(NamedTuple):
    """What a process has to know of a problem to count its records.

    ``level`` is the highest one reported; ``remaining`` the seconds until a record would be news,
    infinity while something is counted or on its way.
    """

    level: int
    remaining: float


UNKNOWN = View(UNREPORTED, 0.0)


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a candidate, and what its push reports along.

    ``key`` is the problem's: the candidate's own, or a group's; ``view`` is of it.
    ``no_emergency`` is a line that says why an emergency must be less than that, empty if it may
    be one.
    """

    verdict: Verdict
    candidate: Candidate
    key: str
    view: View
    included_count: Count | None = None
    no_emergency: str = ""


def _in_transaction(
    method: Callable[Concatenate[Throttle, P], T],
) -> Callable[Concatenate[Throttle, P], T]:
    """Have a method change the store as a whole, and do so again if another process was faster."""

    @functools.wraps(method)
    def whole(throttle: Throttle, /, *args: P.args, **options: P.kwargs) -> T:
        return throttle._transaction(lambda: method(throttle, *args, **options))  # noqa: SLF001  its own

    return whole


class Throttle:
    """The rules over ``store``. Called by one sender's thread. Raises what the store raises.

    ``is_shared``: other processes use the store too, on a wall clock.
    """

    def __init__(self, store: Store, rules: Rules, *, is_shared: bool) -> None:
        self.store = store
        self.rules = rules
        self._is_shared = is_shared
        self._quota = QuotaLevel.ENOUGH
        self._look_at_all = False
        self.has_follow_up: bool = False  # as `due` found it: then call `follow_up`
        self.deadlines: Sequence[str] = ()  # items of jobs that the last look found due
        # Of the transaction under way; the time and the limits from the first `_load` on:
        self._items: dict[str, object] = {}
        self._limits = Limits()
        self._now = 0.0

    @contextlib.contextmanager
    def another(self) -> Iterator[Throttle]:
        """Lend another thread a throttle over the same store."""
        yield Throttle(self.store, self.rules, is_shared=self._is_shared)

    def set_quota_level(self, level: QuotaLevel) -> None:
        """Note how much of the quota is left."""
        self._quota, self._look_at_all = level, True

    @_in_transaction
    def decide(self, candidate: Candidate) -> Decision:
        """Return what becomes of a candidate; one to send has claimed its problem.

        The same candidate may be decided again, after a failed send or a crash: it is counted once.
        """
        group = candidate.group
        names = [candidate.key]
        for name in _group_names(group):
            names += [name, MEMBERS + name]
        self._load(names)
        return self._resolve(candidate) if candidate.resolves else self._decide(candidate)

    @_in_transaction
    def notified(
        self,
        push_id: str,
        keys: Sequence[str],
        decision: Decision | None = None,
        *,
        refused: bool = False,
        emergency: receipts.Emergency | None = None,
    ) -> dict[str, View]:
        """Take the service's answer to a push: of a ``decision``, or of a summary of ``keys``.

        Returns what processes have to know of the problems since.
        """
        self._load(keys)
        views, is_news = {}, False
        verdict = decision.verdict if decision else None
        level = decision.candidate.level if decision else 0
        group = decision.candidate.group if decision else None
        for claimed in keys:
            names = (claimed, *_group_names(group))  # it can be part of a group by now
            known = ((name, found) for name in names if (found := self._get(name)) is not None)
            key, problem = next(known, (claimed, None))
            if problem is None:
                continue
            shown = problem.reporting
            is_news |= self.rules.notify(
                problem, push_id, verdict, level, self._now, refused=refused
            )
            if emergency is not None:
                receipts.begin(problem, emergency, self._now)
            if refused and problem.resolved:
                self._count_overflow(shown)
            self._save(key, problem)
            views[key] = self._view(key)
        if verdict is None and is_news:
            self._limits.count_summary(self._now, self._quota)
            due = filter(None, self._due(self._now).values())
            # The digest may be of several Messages.
            if not any(problem.unannounced and not problem.claimed_by for problem in due):
                self._limits.end_digest(self._now)
        return views

    @_in_transaction
    def released(self, push_id: str, keys: Sequence[str]) -> None:
        """Free the claim of a push that was not answered; nothing else has changed."""
        self._load(keys)
        for key in keys:
            problem = self._get(key)
            if problem is not None:
                self.rules.release(problem, push_id, self._now)
                self._save(key, problem)

    @_in_transaction
    def withdrawn(self, candidate: Candidate) -> None:
        """Let a digest report a record that can no longer be sent."""
        key, info, group = candidate.key, candidate.info, candidate.group
        problem = self._present(key)
        if problem is not None:
            self.rules.release(problem, candidate.id, self._now)
            problem.unannounced = True
            problem.level = max(problem.level, candidate.level)
            self._save(key, problem)
        occurrence = candidate.occurrence()
        self._count(Counted(key, key, UNREPORTED, occurrence, info, group, unannounced=True))

    @_in_transaction
    def count(self, counted: Sequence[Counted]) -> dict[str, View]:
        """Add what a process counted; return what it has to know of each fingerprint.

        If this raises `Unreachable`, the caller still has all the counts. It may repeat the call,
        with what has been counted since, or have another throttle count them.
        """
        self._load(name for found in counted for name in (found.key, found.problem))
        return {found.key: self._view(self._count(found)) for found in counted}

    @_in_transaction
    def views(self, keys: Collection[str]) -> dict[str, View]:
        """Return what a process has to know of problems."""
        self._load(keys)
        return {key: self._view(key) for key in keys}

    def unsettled(self) -> Collection[str]:
        """Return the problems of which this process has a count that the store may still lose."""
        return ()

    def unreported(self) -> int:
        """Return how many records those counts are; any thread may ask."""
        return 0  # pragma: no cover  Redis alone can be away

    @_in_transaction
    def due(
        self, summary_id: str, *, at_exit: bool = False, blocked_users: Collection[str | None] = ()
    ) -> list[Count]:
        """Claim the counts that are due, all for one user and device, for one summary.

        ``at_exit``: all counts are. Nothing for ``blocked_users`` is.
        """
        before = math.inf if at_exit or self._look_at_all else self.store.now()
        counts: list[Count] = []
        way: tuple[str | None, str | None, float] | None = None  # where the summary goes
        self.has_follow_up = False
        for name, problem in self._due(before).items():
            if problem is not None and 0 < problem.ask_at <= self._now:
                self.has_follow_up = True
            if problem is None:
                self._delete(name)
            elif (
                problem.counted.count
                and not problem.claimed_by
                and problem.user not in blocked_users
                and (at_exit or self._limits.due_at(problem, self._now, self._quota) <= self._now)
            ):
                mute = self._limits.mute_of(name, problem.counted.level)
                if mute is not None and (self._is_shared or not at_exit):  # a mute ends with memory
                    problem.hide(mute)
                    self._save(name, problem, not_before=mute.until)
                    continue
                goes = problem.user, problem.device, 0.0 if at_exit else problem.muted_until
                way = way or goes
                if goes == way:
                    counts.append(self.rules.claim_summary(problem, name, summary_id, self._now))
                    self._save(name, problem)
            else:
                self._save(name, problem, not_before=self._now + _HELD)
        self._look_at_all = False
        if not counts:
            self._limits.end_digest(self._now)
        return counts

    @_in_transaction
    def follow_up(self, push_id: str, *, postpone: bool) -> receipts.FollowUp | None:
        """Claim what is due of one emergency; ``push_id`` is that of an escalation.

        ``postpone``: return nothing, and the same is due again in a few seconds.
        """
        found, self.has_follow_up = None, False
        waiting = [
            (bool(problem.receipt), problem.ask_at, key, problem)
            for key, problem in self._due(self.store.now()).items()
            if problem is not None and 0 < problem.ask_at <= self._now and not problem.claimed_by
        ]
        for _, _, key, problem in sorted(waiting, key=lambda each: each[:3]):  # escalations first
            asks = bool(problem.receipt)
            mute = None if asks else self._limits.mute_of(key, problem.level)
            if mute is not None:
                problem.ask_at = mute.until
            elif postpone:
                problem.ask_at = self._now + receipts.APART
            elif found is None and not (asks and self._limits.ask_at > self._now):
                found = receipts.claim(problem, key, push_id, self._now)
                if asks:
                    self._limits.ask_at = self._now + receipts.APART
            self._save(key, problem)
        return found

    @_in_transaction
    def acknowledged(self, key: str, receipt: str, device: str, at: float | None) -> str | None:
        """Note an acknowledgement, at ``at`` (Unix time); return the title of its problem.

        None if the problem is over, or has another receipt by now.
        """
        problem = self._get(key)
        if problem is None or problem.receipt != receipt:
            return None
        receipts.acknowledge(problem, device, at)
        self._save(key, problem)
        return problem.title

    @_in_transaction
    def will_expire(self, key: str, receipt: str, at: int) -> None:
        """Note when an emergency ends, by the service's clock."""
        problem = self._get(key)
        if problem is not None and problem.receipt == receipt:
            problem.expires_at = at
            self._save(key, problem)

    @_in_transaction
    def expired(self, key: str, receipt: str, at: int = 0) -> None:
        """Note that nobody has acknowledged an emergency until its end, by the service's clock."""
        problem = self._get(key)
        if problem is not None and problem.receipt == receipt:
            receipts.expire(problem, at, self._now)
            self._save(key, problem)

    @_in_transaction
    def escalated(
        self,
        push_id: str,
        keys: Sequence[str],
        emergency: receipts.Emergency | None,
        expires: float,
    ) -> None:
        """Take the service's answer to an escalation; None: it was refused."""
        for key in keys:
            problem = self._get(key)
            if problem is not None and problem.claimed_by == push_id:
                receipts.escalated(problem, emergency, expires, self._now)
                self._save(key, problem)

    def look_at_all(self) -> None:
        """Let the next `due` look at everything, because the clock has jumped."""
        self._look_at_all = True

    @_in_transaction
    def check(self) -> None:
        """Do nothing, if the store can be used."""
        self._load([LIMITS])

    @_in_transaction
    def mute(self, name: str | None, seconds: float, *, include_critical: bool = False) -> float:
        """Hold back the pushes of one problem, or of all, for so long from now on.

        Returns by how many seconds an earlier mute, which this one replaces, would have lasted
        longer.
        """
        self._load([LIMITS])
        now, mutes = self._now, self._limits.mutes
        mute = Mute(ids_of(name), now, now + seconds, include_critical)
        self._limits.mutes = with_mute(mutes, mute)
        self._hide_again()
        return max((each.until - mute.until for each in mutes if each.is_same(mute)), default=0.0)

    @_in_transaction
    def unmute(self, name: str | None) -> bool:
        """End a mute, or all of them without ``name``; return False if there is none."""
        self._load([LIMITS])
        before, ended = self._limits.mutes, Mute(ids_of(name))
        self._limits.mutes = tuple(mute for mute in before if name and not mute.is_same(ended))
        self._hide_again()
        return self._limits.mutes != before

    @_in_transaction
    def mutes(self, wall: float) -> list[Mute]:
        """Return the mutes, with their times as Unix time; ``wall`` is the present one."""
        self._load([LIMITS])
        shift = wall - self._now
        return [
            replace(mute, since=mute.since + shift, until=mute.until + shift)
            for mute in self._limits.mutes
        ]

    def is_known(self, name: str) -> bool:
        """Return True if a problem has this name or id, also one that is over."""
        mute = Mute(ids_of(name), include_critical=True)
        names = self._transaction(self.store.names)
        return bool(self._listed([key for key in names if mute.holds(key, logging.ERROR)], 0.0))

    def problems(self, wall: float, *, include_over: bool = False) -> list[ListedProblem]:
        """Return the problems, the newest first; ``wall`` is Unix time.

        ``include_over``: also those that cool or are resolved.
        """
        names = self._transaction(self.store.names)
        found: list[ListedProblem] = []
        for start in range(0, len(names), _AT_ONCE):  # so that nobody waits for all of them
            found += self._listed(names[start : start + _AT_ONCE], wall)
        shown = [each for each in found if include_over or not each.is_over]
        return sorted(shown, key=lambda each: -each.last)

    @_in_transaction
    def _listed(self, names: Sequence[str], wall: float) -> list[ListedProblem]:
        self._load([LIMITS, *names])
        now, limits = self._now, self._limits
        problems = [(name, self._get(name)) for name in names]
        return [
            listed(name, problem, limits, now, wall)
            for name, problem in problems
            if problem is not None and (problem.resolved or self._present(name) is not None)
        ]

    @_in_transaction
    def has_counts(self) -> bool:
        """Return True if something is counted that no push has reported."""
        found = self._due(math.inf, SHARED_CAPACITY)
        return any(problem and problem.counted.count for problem in found.values())

    def next_due(self) -> float:
        """Return the seconds until `due` may find something, infinity if nothing is known."""
        if self._look_at_all:
            return 0.0
        found = self.store.due(math.inf, 1)
        return max(0.0, found[0][1] - self.store.now()) if found else math.inf

    # -- one candidate

    def _decide(self, candidate: Candidate) -> Decision:
        now, rules = self._now, self.rules
        key, problem = self._find(candidate.key, candidate.group, candidate.created)
        if problem is None:
            self._make_room()
            problem = rules.begin(now, candidate.created, self._get(key))
        known = rules.remembered(problem, candidate.id)
        if known in {Verdict.REPORTED, Verdict.SUPPRESSED}:
            return Decision(known, candidate, key, self._view(key))
        verdict = known or rules.verdict(problem, candidate.level, now)
        if verdict in PUSHED and problem.claimed_by not in {"", candidate.id}:
            return Decision(Verdict.WAIT, candidate, key, UNKNOWN)
        if known is None and verdict in PUSHED:
            verdict = self._limited(verdict, key, problem, candidate)
        if verdict is Verdict.SUPPRESSED:
            problem.owed = False
            self._add(key, problem, candidate.occurrence(), candidate.key)
            rules.remember(problem, candidate.id, verdict)
            self._save(key, problem)
            return Decision(verdict, candidate, key, self._view(key))
        problem.total += candidate.number if known is None else 0
        problem.began = min(problem.began, candidate.created)
        problem.pushed = max(problem.pushed, candidate.created, candidate.last)
        problem.wanted = max(problem.wanted, candidate.level)
        problem.describe(candidate.info)
        rules.claim(problem, candidate.id, verdict, now, candidate.lease)
        included = None
        if problem.reporting.count:
            included = problem.report(key, rules.windows[0], now)
        no_emergency = self._no_emergency(problem, candidate)
        self._save(key, problem)
        return Decision(verdict, candidate, key, self._view(key), included, no_emergency)

    def _resolve(self, candidate: Candidate) -> Decision:  # noqa: PLR0911  a guard each
        """End a problem.

        No push reports the end of a problem that is unknown or has gone on after it. If a digest
        has yet to report the problem, if it keeps coming back, or if quota and rate leave no room,
        there is a push only if an emergency of it repeats. No count is lost.
        """
        now, key = self._now, candidate.key
        problem = self._get(key)
        quiet = Decision(Verdict.SUPPRESSED, candidate, key, UNKNOWN)
        if problem is None:
            return quiet
        known = self.rules.remembered(problem, candidate.id)
        if known is Verdict.REPORTED:
            return Decision(known, candidate, key, UNKNOWN)
        if problem.claimed_by not in {"", candidate.id}:
            return Decision(Verdict.WAIT, candidate, key, UNKNOWN)
        if known is None or not problem.resolved:
            # A job's problem lasts until the job runs, however long ago that was reported.
            is_lasting = key.startswith(JOB) and problem.level != UNREPORTED
            is_over = problem.resolved or (self.rules.is_expired(problem, now) and not is_lasting)
            if known is Verdict.RESOLVED or is_over:
                return quiet
            repeats = problem.emergency_until > now
            # What a clock that was ahead has dated into the future has not overtaken the end.
            latest = max(problem.last, problem.pushed)
            is_ahead = self._is_shared and latest > now + CLOCKS_DIFFER
            if latest > candidate.created and not is_ahead:
                problem.unannounced = problem.counted.count > 0  # it came back unseen
                self._save(key, problem)
                return quiet
            if problem.relapses >= MAX_RELAPSES and not repeats:
                return quiet
            problem.resolved, problem.until, problem.last = True, now, candidate.created
            receipts.end(problem)
            if problem.unannounced and not repeats:
                self._save(key, problem)
                return quiet
            free = self._quota is QuotaLevel.ENOUGH and self._limits.next_summary(now) <= now
            if not (repeats or free):
                counted, problem.counted = problem.counted, Occurrences()
                self._save(key, problem)
                self._count_overflow(counted)
                return quiet
            self._limits.count_summary(now, self._quota)
        self.rules.claim(problem, candidate.id, Verdict.RESOLVED, now, candidate.lease)
        self._save(key, problem)
        included = problem.report(key, 0.0, now)
        return Decision(Verdict.RESOLVED, candidate, key, UNKNOWN, included)

    def _limited(
        self, verdict: Verdict, key: str, problem: Problem, candidate: Candidate
    ) -> Verdict:
        """Return what mutes, quota and rate leave of a verdict.

        What they hold back waits for the end of the mute, or for a digest.
        """
        is_scarce = self._quota is QuotaLevel.SCARCE and candidate.level < logging.CRITICAL
        mute = self._limits.mute_of(key, candidate.level)
        if mute is not None:
            problem.hide(mute)
        elif verdict is Verdict.AGAIN and (is_scarce or self._quota is QuotaLevel.LOW):
            return Verdict.SUPPRESSED
        elif not is_scarce and self._is_free(candidate):
            return verdict
        self.rules.hold(problem, verdict, candidate.level)
        problem.describe(candidate.info)
        return Verdict.SUPPRESSED

    def _is_free(self, candidate: Candidate) -> bool:
        if candidate.key.startswith(JOB):
            return self._limits.allow_job(self._now)
        created = candidate.created if self._is_shared else math.inf
        return self._limits.allow(candidate.level, self._now, created)

    def _no_emergency(self, problem: Problem, candidate: Candidate) -> str:
        """Return what speaks against an emergency; if nothing does, it repeats from now on."""
        if candidate.info.priority != EMERGENCY or problem.emergency == candidate.id:
            return ""
        if problem.acknowledged:
            return problem.acknowledged
        if self._now < problem.emergency_until:
            return "(no emergency: an emergency of it repeats already)"
        if not self._limits.allow_emergency(self._now):
            return "(no emergency: one of many emergencies within an hour)"
        problem.emergency, problem.emergency_until = candidate.id, self._now + candidate.expire
        return ""

    def _hide_again(self) -> None:
        """Have what a mute has hidden reported when the present mutes end: now, if none is left.

        An escalation that waits for that looks again.
        """
        for name, problem in self._due(math.inf, SHARED_CAPACITY).items():
            if problem is not None and problem.escalation and not problem.receipt:
                problem.ask_at = min(problem.ask_at, self._now)
                self._save(name, problem)
            if problem is not None and problem.muted_until > self._now:
                mute = self._limits.mute_of(name, problem.counted.level)
                problem.muted_until = mute.until if mute else self._now
                self._save(name, problem)

    # -- problems

    def _find(self, key: str, group: GroupKey | None, created: float) -> tuple[str, Problem | None]:
        """Return what a record goes by: its own key, or that of the one problem of its group."""
        problem = self._present(key)
        if problem is not None or group is None:
            return key, problem
        names = _group_names(group)
        for name in names:
            whole = self._present(name)
            if whole is not None and whole.level != UNREPORTED:
                return name, whole
        self._load([MEMBERS + name for name in names])
        for name in names:
            found = self._items[MEMBERS + name]
            members = found if isinstance(found, Group) else Group()
            if members.should_merge(name, key, self._now):
                return name, self._merged(name, members, group.place, created)
            self._items[MEMBERS + name] = members
            self.store.save(MEMBERS + name, members, None)
        return key, None

    def _merged(self, name: str, members: Group, place: str, created: float) -> Problem:
        """Return the one problem that a group's members become."""
        now = self._now
        whole = self._present(name) or self.rules.begin(now, created)
        self._load(members.members)
        for member in members.members:
            problem = self._get(member)
            # One whose count is on its way stays by itself, or that would be reported twice; and
            # so does one whose emergency nobody has acknowledged.
            if problem is not None and not problem.reporting.count and not problem.ask_at:
                merge_into(self.rules, whole, problem, now)
                self._delete(member)
        self._delete(MEMBERS + name)
        if name.startswith(CALL_SITE):
            whole.title = f"different messages from {place}"
        return whole

    def _place(self, found: Counted) -> tuple[str, Problem]:
        """Return the problem that a process's count goes to, with its key."""
        since, last = found.occurrences.since, found.occurrences.last
        key = found.key if self._present(found.problem) is None else found.problem
        before = self._get(key)
        is_over = before is not None and before.resolved
        if before is not None and is_over and last <= before.last:  # it came before the end
            return OVERFLOW_KEY, self._overflow(since)
        key, problem = self._find(key, found.group, since)
        if problem is None:
            self._make_room()
            level = UNREPORTED if is_over else found.level
            problem = self._begin_reported(key, since, level, found.info)
        is_reported = problem.level != UNREPORTED and not problem.claimed_by
        is_cooling = is_reported and self.rules.is_cooling(problem, self._now)
        if found.level == UNREPORTED and not found.unannounced:  # its own candidate reports it
            problem.owed = problem.owed or is_cooling
            return key, problem
        level = found.occurrences.level
        # The process may not know that the problem is over, or that its window is.
        is_late = self._is_shared and is_cooling and since > problem.until + CLOCKS_DIFFER
        if is_late or ((found.unannounced or is_over) and (is_cooling or problem.level < level)):
            problem.unannounced, problem.level = True, max(problem.level, level)
            if found.unannounced and self._limits.mute_of(key, level) is None:
                self._limits.begin_storm(self._now)
        return key, problem

    def _begin_reported(self, key: str, since: float, level: int, info: PushInfo) -> Problem:
        problem = self.rules.begin(self._now, since, self._get(key))
        problem.level = level
        problem.until = self._now + self.rules.window(problem)
        problem.describe(info)
        return problem

    def _overflow(self, since: float) -> Problem:
        """Return the problem of what has none of its own any more."""
        key = OVERFLOW_KEY
        return self._present(key) or self._begin_reported(key, since, 0, OVERFLOW)

    def _count(self, found: Counted) -> str:
        """Add a process's count; return the key of the problem that has it now."""
        key, problem = self._place(found)
        self._add(key, problem, found.occurrences, found.key)
        self._save(key, problem)
        return key

    def _add(self, key: str, problem: Problem, more: Occurrences, fingerprint: str) -> None:
        """Count records of a fingerprint; their places say something of a group alone."""
        if key == fingerprint:
            more = replace(more, places=())
        self.rules.count(problem, more, self._now)

    def _count_overflow(self, occurrences: Occurrences) -> None:
        if occurrences.count:
            problem = self._overflow(occurrences.since)
            self.rules.count(problem, occurrences, self._now)
            self._save(OVERFLOW_KEY, problem)

    def _make_room(self) -> None:
        names = self.store.oldest()
        self._load(names)
        for name in names:
            gone = self._get(name) or Problem()  # or the members of a group
            self._delete(name)
            self._count_overflow(gone.reporting.plus(gone.counted))

    def _view(self, key: str) -> View:
        problem = self._present(key)
        if problem is None:
            return UNKNOWN
        if problem.owed and not problem.claimed_by:
            return UNKNOWN
        if problem.counted.count or problem.claimed_by or problem.unannounced:
            return View(problem.level, math.inf)
        return View(problem.level, max(0.0, problem.until - self._now))

    # -- the items of one transaction

    def _transaction(self, work: Callable[[], T]) -> T:
        def whole() -> T:
            self._items, self._limits = {}, Limits()
            result = work()
            if self._limits != self._items.get(LIMITS, Limits()):
                self.store.save(LIMITS, self._limits, None)
            return result

        return self.store.transaction(whole)

    def _load(self, names: Iterable[str]) -> None:
        """Load what this transaction does not have yet, and the limits with the first of it."""
        missing = dict.fromkeys(names).keys() - self._items.keys()
        if not missing:
            return
        if not self._items:
            missing.add(LIMITS)
        found = self.store.load(missing)
        self._now = self.store.now()
        for name in missing:
            item = self._items[name] = found.get(name)
            if isinstance(item, Problem):
                self.rules.refresh(item, self._now)
        if LIMITS in missing:
            found_limits = found.get(LIMITS)
            limits = found_limits if isinstance(found_limits, Limits) else Limits()
            limits.refresh(self._now)
            self._items[LIMITS], self._limits = limits, copy.copy(limits)

    def _get(self, key: str) -> Problem | None:
        if key not in self._items:
            self._load([key])
        problem = self._items[key]
        return problem if isinstance(problem, Problem) else None

    def _due(self, before: float, limit: int = _AT_ONCE) -> dict[str, Problem | None]:
        """Return what is due before a time; None for what others have damaged or removed."""
        found = [name for name, _ in self.store.due(before, limit)]
        self.deadlines = [name for name in found if name.startswith(DEADLINE)]
        names = [name for name in found if not name.startswith(DEADLINE)]
        self._load([LIMITS, *names])
        return {name: self._get(name) for name in names}

    def _present(self, key: str) -> Problem | None:
        problem = self._get(key)
        return None if problem is None or self.rules.is_expired(problem, self._now) else problem

    def _save(self, key: str, problem: Problem, *, not_before: float = 0.0) -> None:
        """Keep a problem, due when its claim expires, or when its count must be reported.

        A process that decides alone also looks at a window's end for what its threads counted.
        """
        self._items[key] = problem
        due = None
        if problem.claimed_by:
            due = problem.claimed_until
        elif problem.counted.count:
            due = min(self._limits.due_at(problem, self._now, self._quota), self._now + HOUR)
            due = max(due, not_before)
        elif not self._is_shared and not problem.resolved and self._now < problem.until:
            due = problem.until
        if problem.ask_at and not problem.claimed_by:
            ask_at = max(problem.ask_at, self._limits.ask_at if problem.receipt else 0.0)
            due = ask_at if due is None else min(due, ask_at)
        self.store.save(key, problem, due)

    def _delete(self, name: str) -> None:
        self._items[name] = None
        self.store.delete(name)


def _group_names(group: GroupKey | None) -> tuple[str, ...]:
    return tuple(filter(None, (group.group, group.site))) if group else ()
