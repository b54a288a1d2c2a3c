"""The throttle: applies the rules and limits to the problems of a Store, each call a transaction.

The sender asks `decide` of each candidate and reports back with `notified` or `released`. `count`
takes what the logging threads counted, and `due` claims what a summary is to report.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, TypeVar

from pushover_logging.identity.fingerprint import GroupKey
from pushover_logging.message import EMERGENCY
from pushover_logging.rendering.summary import Count
from pushover_logging.throttle.limits import (
    CALL_SITE,
    HOUR,
    Group,
    Limits,
    QuotaLevel,
    merge_into,
)
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
from pushover_logging.throttle.store import LIMITS, MEMBERS, OVERFLOW_KEY, SHARED_CAPACITY, Store

OVERFLOW = PushInfo("other problems")
_COUNTED_AT_ONCE = 64  # fingerprints; room for new ones is made between transactions
_HELD = 1.0  # seconds until what was due, and cannot be reported, is looked at again
_AT_ONCE = 500  # problems that one look for what is due takes
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A record that wants a push.

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


class Counted(NamedTuple):
    """What a process counted of one fingerprint.

    ``problem`` is the problem's key, a group's or ``key`` itself; ``level`` the highest level that
    the process knows to be reported. ``unannounced``: no push has reported it, a digest does.
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
    ``no_emergency`` says why an emergency must be less than that, empty if it may be one.
    """

    verdict: Verdict
    candidate: Candidate
    key: str
    view: View
    included_count: Count | None = None
    no_emergency: str = ""


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
        # Of the transaction under way:
        self._items: dict[str, object] = {}
        self._limits, self._limits_changed = Limits(), False
        self._now = 0.0

    def set_quota_level(self, level: QuotaLevel) -> None:
        """Note how much of the quota is left."""
        self._quota, self._look_at_all = level, True

    def decide(self, candidate: Candidate) -> Decision:
        """Return what becomes of a candidate; one to send has claimed its problem.

        The same candidate may be decided again, after a failed send or a crash: it is counted once.
        """
        group = candidate.group
        names = [candidate.key]
        for name in _group_names(group):
            names += [name, MEMBERS + name]
        decide = self._resolve if candidate.resolves else self._decide
        return self._transaction(lambda: decide(candidate), names)

    def notified(
        self,
        push_id: str,
        keys: Sequence[str],
        decision: Decision | None = None,
        *,
        refused: bool = False,
    ) -> dict[str, View]:
        """Take the service's answer to a push: of a ``decision``, or of a summary of ``keys``.

        Returns what processes have to know of the problems since.
        """

        def work() -> dict[str, View]:
            views = {}
            now, answered = self._now, False
            verdict = decision.verdict if decision else None
            level = decision.candidate.level if decision else 0
            group = decision.candidate.group if decision else None
            for claimed in keys:
                key, problem = claimed, self._get(claimed)
                for name in _group_names(group) if problem is None else ():
                    if problem is None:  # it became part of that meanwhile
                        key, problem = name, self._get(name)
                if problem is None:
                    continue
                shown = problem.reporting
                if refused:
                    self.rules.refuse(problem, push_id, verdict, level, now)
                else:
                    answered |= self.rules.notify(problem, push_id, verdict, level, now)
                if refused and problem.resolved and shown.count:
                    self._count_overflow(shown)
                self._save(key, problem)
                views[key] = self._view(key)
            if verdict is None and (answered or refused):
                self._limits.count_summary(now, self._quota)
                if not self._has_unannounced():  # the digest may be of several Messages
                    self._limits.end_digest(now)
                self._limits_changed = True
            return views

        return self._transaction(work, keys)

    def released(self, push_id: str, keys: Sequence[str]) -> None:
        """Free the claim of a push that was not answered; nothing else has changed."""

        def work() -> None:
            for key in keys:
                problem = self._get(key)
                if problem is not None and problem.claimed_by == push_id:
                    self.rules.release(problem, push_id, self._now)
                    self._save(key, problem)

        self._transaction(work, keys)

    def withdrawn(self, candidate: Candidate) -> None:
        """Let a digest report a record that can no longer be sent."""
        occurrences = Occurrences(
            1, candidate.created, candidate.created, candidate.level, _places(candidate.group)
        )
        key, level = candidate.key, UNREPORTED
        counted = Counted(key, key, level, occurrences, candidate.info, candidate.group, True)  # noqa: FBT003  its last field

        def work() -> None:
            problem = self._present(key)
            if problem is not None:
                self.rules.release(problem, candidate.id, self._now)
                problem.unannounced = True
                problem.level = max(problem.level, candidate.level)
                self._save(key, problem)
            self._count(counted)

        self._transaction(work, [key])

    def count(self, counted: Sequence[Counted]) -> dict[str, View]:
        """Add what a process counted; return what it has to know of each fingerprint."""
        views: dict[str, View] = {}
        for start in range(0, len(counted), _COUNTED_AT_ONCE):
            part = counted[start : start + _COUNTED_AT_ONCE]
            names = {name for found in part for name in (found.key, found.problem)}
            views.update(self._transaction(partial(self._count_all, part), names))
        return views

    def views(self, keys: Collection[str]) -> dict[str, View]:
        """Return what a process has to know of problems."""
        return (
            self._transaction(lambda: {key: self._view(key) for key in keys}, keys) if keys else {}
        )

    def unsettled(self) -> Collection[str]:
        """Return the problems of which this process has a count that the store may still lose."""
        return ()

    def due(
        self, summary_id: str, *, at_exit: bool = False, blocked_users: Collection[str | None] = ()
    ) -> list[Count]:
        """Claim the counts that are due, all for one user and device, for one summary.

        ``at_exit``: all counts are. Nothing for ``blocked_users`` is.
        """

        def work() -> list[Count]:
            now, everything = self._now, at_exit or self._look_at_all
            names = [name for name, _ in self.store.due(math.inf if everything else now, _AT_ONCE)]
            self._load(names)
            ready: list[tuple[str, Problem]] = []
            for name in names:
                problem = self._get(name)
                if problem is None:  # others have damaged or removed it
                    self._delete(name)
                    continue
                if not problem.claimed_by and problem.counted.count:
                    at = self._limits.due_at(problem, now, self._quota)
                    if (at_exit or at <= now) and problem.user not in blocked_users:
                        ready.append((name, problem))
                        continue
                self._save(name, problem, not_before=now + _HELD)
            self._look_at_all = False
            if not ready:
                self._limits_changed |= self._limits.end_digest(now)
                return []
            first = ready[0][1]
            together = [
                (name, problem)
                for name, problem in ready
                if (problem.user, problem.device) == (first.user, first.device)
            ]
            counts = []
            for name, problem in together:
                counts.append(self.rules.claim_summary(problem, name, summary_id, now))
                self._save(name, problem)
            return counts

        return self._transaction(work, ())

    def look_at_all(self) -> None:
        """Let the next `due` look at everything, because the clock has jumped."""
        self._look_at_all = True

    def has_counts(self) -> bool:
        """Return True if something is counted that no push has reported."""

        def work() -> bool:
            names = [name for name, _ in self.store.due(math.inf, SHARED_CAPACITY)]
            self._load(names)
            problems = map(self._get, names)
            return any(problem is not None and problem.counted.count for problem in problems)

        return self._transaction(work, ())

    def next_due(self) -> float:
        """Return the seconds until `due` may find something, infinity if nothing is known."""
        if self._look_at_all:
            return 0.0
        found = self.store.due(math.inf, 1)
        return max(0.0, found[0][1] - self.store.now()) if found else math.inf

    # -- one candidate

    def _decide(self, candidate: Candidate) -> Decision:
        now, rules, key = self._now, self.rules, candidate.key
        before = self._get(key)
        problem = self._present(key)
        if problem is None and candidate.group is not None:
            key, problem = self._grouped(key, candidate.group, candidate.created)
        if problem is None:
            self._make_room()
            problem = rules.begin(now, candidate.created, before)
        known = rules.remembered(problem, candidate.id)
        if known in {Verdict.REPORTED, Verdict.SUPPRESSED}:
            return Decision(known, candidate, key, self._view(key))
        verdict = known or rules.verdict(problem, candidate.level, now)
        if verdict in PUSHED and problem.claimed_by not in {"", candidate.id}:
            return Decision(Verdict.WAIT, candidate, key, UNKNOWN)
        if verdict is Verdict.AGAIN and known is None and not self._may_report_again(candidate):
            verdict = Verdict.SUPPRESSED
        elif verdict in PUSHED and known is None and not self._allows(candidate):
            rules.hold(problem, verdict, candidate.level)
            problem.describe(candidate.info)
            verdict = Verdict.SUPPRESSED
        places = _places(candidate.group) if key != candidate.key else ()
        if verdict is Verdict.SUPPRESSED:
            at = candidate.created
            texts = (f"1 {candidate.info.title}",)
            more = Occurrences(1, at, at, candidate.level, places, texts=texts)
            rules.count(problem, more, now)
            rules.count_decided(problem, candidate.id)
            self._save(key, problem)
            return Decision(verdict, candidate, key, self._view(key))
        problem.total += known is None
        problem.began = min(problem.began, candidate.created)
        problem.describe(candidate.info)
        rules.claim(problem, candidate.id, verdict, now, candidate.lease)
        shown = problem.reporting
        included = problem.reports(key, shown, rules.windows[0], now) if shown.count else None
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
            if known is Verdict.RESOLVED or self.rules.is_expired(problem, now):
                return quiet
            repeats = problem.emergency_until > now
            if problem.last > candidate.created or (
                (problem.unannounced or problem.relapses >= MAX_RELAPSES) and not repeats
            ):
                return quiet
            problem.resolved, problem.until, problem.last = True, now, candidate.created
            free = self._quota is QuotaLevel.ENOUGH and self._limits.next_summary(now) <= now
            if not (repeats or free):
                counted, problem.counted = problem.counted, Occurrences()
                self._save(key, problem)
                self._count_overflow(counted)
                return quiet
            self._limits.count_summary(now, self._quota)
            self._limits_changed = True
        self.rules.claim(problem, candidate.id, Verdict.RESOLVED, now, candidate.lease)
        self._save(key, problem)
        included = problem.reports(key, problem.reporting, 0.0, now)
        return Decision(Verdict.RESOLVED, candidate, key, UNKNOWN, included)

    def _has_unannounced(self) -> bool:
        names = [name for name, _ in self.store.due(self._now, _AT_ONCE)]
        self._load(names)
        problems = [self._items[name] for name in names]
        return any(
            isinstance(problem, Problem) and problem.unannounced and not problem.claimed_by
            for problem in problems
        )

    def _may_report_again(self, candidate: Candidate) -> bool:
        if self._quota is QuotaLevel.SCARCE:
            return candidate.level >= logging.CRITICAL
        return self._quota is QuotaLevel.ENOUGH

    def _allows(self, candidate: Candidate) -> bool:
        if self._quota is QuotaLevel.SCARCE and candidate.level < logging.CRITICAL:
            return False
        self._limits_changed = True
        created = candidate.created if self._is_shared else math.inf
        return self._limits.allow(candidate.level, self._now, created)

    def _no_emergency(self, problem: Problem, candidate: Candidate) -> str:
        """Return what speaks against an emergency; if nothing does, it repeats from now on."""
        if candidate.info.priority != EMERGENCY or problem.emergency == candidate.id:
            return ""
        if self._now < problem.emergency_until:
            return "an emergency of it repeats already"
        if not self._limits.allow_emergency(self._now):
            return "one of many emergencies within an hour"
        self._limits_changed = True
        problem.emergency, problem.emergency_until = candidate.id, self._now + candidate.expire
        return ""

    def _grouped(self, key: str, group: GroupKey, created: float) -> tuple[str, Problem | None]:
        """Return what a newcomer goes by: its own key, or the one problem of its whole group."""
        names = _group_names(group)
        for name in names:
            whole = self._present(name)
            if whole is not None and whole.level != UNREPORTED:
                return name, whole
        for name in names:
            members = self._group(MEMBERS + name)
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
            # One whose count is on its way stays by itself, or that would be reported twice.
            if problem is not None and not problem.reporting.count:
                merge_into(self.rules, whole, problem, now)
                self._delete(member)
        self._delete(MEMBERS + name)
        if name.startswith(CALL_SITE):
            whole.title = f"different messages from {place}"
        return whole

    # -- counts

    def _count_all(self, counted: Sequence[Counted]) -> dict[str, View]:
        return {found.key: self._view(self._count(found)) for found in counted}

    def _count(self, found: Counted) -> str:
        """Add a process's count; return the key of the problem that has it now."""
        key, problem = self._place(found)
        occurrences = found.occurrences
        if key not in _group_names(found.group):
            occurrences = replace(occurrences, places=())  # a place says something of a group alone
        self.rules.count(problem, occurrences, self._now)
        self._save(key, problem)
        return key

    def _place(self, found: Counted) -> tuple[str, Problem]:
        """Return the problem that a process's count goes to, with its key."""
        now, key = self._now, found.problem
        problem = self._present(key)
        if problem is None and key != found.key:
            key = found.key
            problem = self._present(key)
        before = self._get(key)
        if before is not None and before.resolved and found.occurrences.last <= before.last:
            return OVERFLOW_KEY, self._overflow(found.occurrences.since)  # it came before the end
        # The process does not know that it is over, or its own candidate would report it.
        is_stale = before is not None and before.resolved and found.level != UNREPORTED
        unannounced = found.unannounced or is_stale
        if problem is None and found.group is not None:
            key, problem = self._grouped(key, found.group, found.occurrences.since)
        if problem is None:
            self._make_room()
            problem = self.rules.begin(now, found.occurrences.since, before)
            problem.level = found.level
            problem.until = now + self.rules.window(problem)
            problem.describe(found.info)
        if unannounced and problem.level < found.occurrences.level:
            problem.unannounced, problem.level = True, found.occurrences.level
            if found.unannounced:
                self._limits.begin_storm(now)
                self._limits_changed = True
        return key, problem

    def _overflow(self, since: float) -> Problem:
        """Return the problem of what has none of its own any more."""
        problem = self._present(OVERFLOW_KEY)
        if problem is None:
            problem = self.rules.begin(self._now, since)
            problem.level, problem.until = 0, self._now + self.rules.window(problem)
            problem.describe(OVERFLOW)
        return problem

    def _count_overflow(self, occurrences: Occurrences) -> None:
        if occurrences.count:
            problem = self._overflow(occurrences.since)
            self.rules.count(problem, occurrences, self._now)
            self._save(OVERFLOW_KEY, problem)

    def _make_room(self) -> None:
        names = self.store.oldest()
        self._load(names)
        for name in names:
            problem = self._get(name)
            self._delete(name)
            if problem is not None:
                self._count_overflow(problem.reporting.plus(problem.counted))

    def _view(self, key: str) -> View:
        problem = self._present(key)
        if problem is None:
            return UNKNOWN
        if problem.counted.count or problem.claimed_by or problem.unannounced:
            return View(problem.level, math.inf)
        return View(problem.level, max(0.0, problem.until - self._now))

    # -- the items of one transaction

    def _transaction(self, work: Callable[[], T], names: Iterable[str]) -> T:
        def whole() -> T:
            self._items, self._limits_changed = {}, False
            found = self.store.load(list(dict.fromkeys([LIMITS, *names])))
            self._now = self.store.now()
            self._take(found, [LIMITS, *names])
            limits = self._items[LIMITS]
            self._limits = limits if isinstance(limits, Limits) else Limits()
            self._limits.refresh(self._now)
            result = work()
            if self._limits_changed:
                self.store.save(LIMITS, self._limits, None)
            return result

        return self.store.transaction(whole)

    def _load(self, names: Iterable[str]) -> None:
        missing = dict.fromkeys(names).keys() - self._items.keys()
        if missing:
            self._take(self.store.load(missing), missing)

    def _take(self, found: Mapping[str, object], names: Iterable[str]) -> None:
        for name in names:
            item = self._items[name] = found.get(name)
            if isinstance(item, Problem):
                self.rules.refresh(item, self._now)

    def _get(self, key: str) -> Problem | None:
        if key not in self._items:
            self._load([key])
        problem = self._items[key]
        return problem if isinstance(problem, Problem) else None

    def _present(self, key: str) -> Problem | None:
        problem = self._get(key)
        return None if problem is None or self.rules.is_expired(problem, self._now) else problem

    def _group(self, name: str) -> Group:
        self._load([name])
        group = self._items[name]
        return group if isinstance(group, Group) else Group()

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
        self.store.save(key, problem, due)

    def _delete(self, name: str) -> None:
        self._items[name] = None
        self.store.delete(name)


def _group_names(group: GroupKey | None) -> tuple[str, ...]:
    return tuple(filter(None, (group.group, group.site))) if group else ()


def _places(group: GroupKey | None) -> tuple[str, ...]:
    return (group.place,) if group and group.place else ()
