"""Jobs with a deadline: each start sets the time by which the next one has to come.

A job is an item of the store, due at its deadline. A process that finds it due claims it, for one
that dies before it has reported it, and reports it under an id that depends on the deadline alone:
the throttle recognises what was reported before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple

from pushover_logging.identity.fingerprint import explicit
from pushover_logging.identity.record_parts import JOB
from pushover_logging.message import Message
from pushover_logging.rendering.summary import did_not_run
from pushover_logging.throttle.rules import UNREPORTED, Problem, PushInfo
from pushover_logging.throttle.store import DEADLINE, Job, Store
from pushover_logging.throttle.throttle import Candidate

_DAY = 86_400.0
_CLOCK_CHANGE = 3600.0  # seconds by which daylight saving can make a day longer


class Overdue(NamedTuple):
    """A job that has missed a deadline, and the push with which its claimer reports it."""

    name: str
    job: Job
    message: Message
    candidate: Candidate


def overdue_fingerprint(name: str) -> str:
    """Return the fingerprint of the problem that a job did not run."""
    return f"{JOB}{name} (did not run)"


def start(store: Store, name: str, job: Job, ago: float = 0.0) -> bool:
    """Record that a job started ``ago`` seconds ago; sets its deadline by the store's clock.

    ``job`` has its ``every``, ``grace`` and ``host``, and how its pushes go out; one without
    ``every`` gets them from the run before. It is not ``started`` if there is none, or if it is
    late and another run has started since. Returns True if it had missed a deadline before.
    """
    is_given = job.every > 0

    def work() -> bool:
        before = store.load([DEADLINE + name]).get(DEADLINE + name)
        if not is_given:
            if not isinstance(before, Job):
                return False
            for field in ("every", "grace", "priority", "device", "sound"):
                setattr(job, field, getattr(before, field))
        started = store.now() - ago
        if ago and isinstance(before, Job) and before.started > started:
            return False
        job.started = started
        job.deadline = job.due = _later(job.started, job.every) + job.grace
        _save(store, name, job)
        return isinstance(before, Job) and before.missed > 0

    return store.transaction(work)


def end(store: Store, name: str, started: float, status: int) -> None:
    """Record how the run that started then has ended, unless another one has started since."""

    def change(job: Job) -> None:
        job.ended, job.status = store.now(), status

    _change(store, name, started, change)


def claim_overdue(store: Store, names: Sequence[str], lease: float) -> Overdue | None:
    """Claim the first of some jobs that is overdue and not reported, for ``lease`` seconds.

    ``names`` are those of items. Brings back deadlines that a jump of the clock left too far ahead.
    """

    def work() -> Overdue | None:
        found, now = store.load(names), store.now()
        for item in names:
            job, name = found.get(item), item.removeprefix(DEADLINE)
            if not isinstance(job, Job) or not _is_sound(name, job):
                store.delete(item)  # another program has damaged it
                continue
            furthest = now + job.every + job.grace + _CLOCK_CHANGE
            if job.due <= now:
                job.missed = max(1, int((now - job.deadline) // job.every) + 1)
                job.due = now + lease
                _save(store, name, job)
                return _overdue(name, job, now, lease)
            if job.due > furthest:
                job.due = job.deadline = furthest
                job.counted = 0
                _save(store, name, job)
        return None

    return store.transaction(work)


def reported(store: Store, overdue: Overdue) -> None:
    """Record that a missed deadline was reported: the job is due again after its interval."""

    def change(job: Job) -> None:
        job.counted = overdue.job.missed
        job.due = job.deadline + overdue.job.missed * job.every

    _change(store, overdue.name, overdue.job.started, change)


def not_reported(store: Store, overdue: Overdue) -> None:
    """Record that a missed deadline could not be reported: the job is due again at once.

    A problem that no push has reported is forgotten, or the next run would report its end.
    """

    def change(job: Job) -> None:
        job.counted = 0 if is_forgotten else overdue.job.missed
        job.due = store.now()

    def forget_problem() -> bool:
        key = overdue.candidate.key
        problem = store.load([key]).get(key)
        is_unknown = isinstance(problem, Problem) and problem.level == UNREPORTED
        if is_unknown:
            store.delete(key)
        return is_unknown

    is_forgotten = store.transaction(forget_problem)
    _change(store, overdue.name, overdue.job.started, change)


def is_reported(job: Job, now: float) -> bool:
    """Return True if the last deadline that the job has missed was reported."""
    return job.missed > 0 and now < job.due == job.deadline + job.missed * job.every


def listed(store: Store) -> dict[str, Job]:
    """Return all jobs by name."""

    def work() -> dict[str, Job]:
        found = store.load([name for name in store.names() if name.startswith(DEADLINE)])
        jobs = {name: item for name, item in found.items() if isinstance(item, Job)}
        return {name.removeprefix(DEADLINE): jobs[name] for name in sorted(jobs)}

    return store.transaction(work)


def forget(store: Store, name: str) -> bool:
    """Forget a job, and the problem that it did not run; return False if it is unknown."""

    def work() -> bool:
        found = store.load([DEADLINE + name, explicit(overdue_fingerprint(name))])
        for item in found:
            store.delete(item)
        return DEADLINE + name in found

    return store.transaction(work)


def _overdue(name: str, job: Job, now: float, lease: float) -> Overdue:
    push = message(name, job, now)
    info = PushInfo(push.title or "", push.user, push.device, push.priority)
    # The same id for the same deadline, whichever process reports it.
    deadline = blake2b(f"{name} {job.deadline} {job.missed}".encode(), digest_size=8).hexdigest()
    key, expire = explicit(overdue_fingerprint(name)), float(push.expire or 0)
    first = min(now, job.deadline + job.counted * job.every)  # of those that are not counted
    candidate = Candidate(
        deadline, key, logging.ERROR, first, info, expire=expire, lease=lease,
        number=max(1, job.missed - job.counted),
        last=min(now, job.deadline + (job.missed - 1) * job.every),
    )  # fmt: skip
    return Overdue(name, job, push, candidate)


def message(name: str, job: Job, now: float) -> Message:
    """Return the push that a job did not run. Raises ValueError for what cannot be one."""
    return did_not_run(
        name, now=now, deadline=job.deadline, started=job.started, host=job.host,
        is_unfinished=job.ended == 0, priority=job.priority, device=job.device, sound=job.sound,
    )  # fmt: skip


def _is_sound(name: str, job: Job) -> bool:
    """Return False for a job that cannot be reported."""
    try:
        message(name, job, job.started)
    except (ValueError, OverflowError, OSError):  # a priority of 9, a date before the calendar
        return False
    return job.every >= 1


def _change(store: Store, name: str, started: float, change: Callable[[Job], None]) -> None:
    """Change the job of the run that started then; nothing if there is another one."""

    def work() -> None:
        job = store.load([DEADLINE + name]).get(DEADLINE + name)
        if isinstance(job, Job) and job.started == started:
            change(job)
            _save(store, name, job)

    store.transaction(work)


def _save(store: Store, name: str, job: Job) -> None:
    store.save(DEADLINE + name, job, job.due)


def _later(moment: float, seconds: float) -> float:
    """Return the Unix time after so many seconds; whole days end at the same local time of day.

    A job that cron starts at 03:00 starts 23 or 25 h later when the clocks change.
    """
    if seconds % _DAY:
        return moment + seconds
    local = datetime.fromtimestamp(moment)  # noqa: DTZ006  local time is what is meant
    return (local + timedelta(seconds=seconds)).timestamp()
