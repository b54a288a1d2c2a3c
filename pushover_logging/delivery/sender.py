"""The sender of one handler: a thread that syncs, claims, decides, sends and acknowledges.

`Sender.step` does the next thing and returns how long there is none after it; `SenderThread` calls
it, and is what a program's threads talk to: they wake it, and wait for it.
"""

from __future__ import annotations

import contextlib
import math
import secrets
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pushover_logging.api.client import PushoverClient
from pushover_logging.circuit_breaker import CircuitBreaker
from pushover_logging.clock import Clock
from pushover_logging.delivery import lifecycle
from pushover_logging.delivery.counters import Counters
from pushover_logging.delivery.dedup import Dedup
from pushover_logging.delivery.retry import RetryPolicy, scale_attachment
from pushover_logging.diagnostics import warn
from pushover_logging.exceptions import DeliveryError, RejectedError, Unreachable
from pushover_logging.identity.fingerprint import EXPLICIT
from pushover_logging.message import EMERGENCY, PRIORITIES, Message
from pushover_logging.outbox.memory import MemoryOutbox
from pushover_logging.outbox.queue import (
    DROPPED,
    REJECTED,
    SENT,
    SUPPRESSED,
    TOO_OLD,
    QueuedMessage,
)
from pushover_logging.rendering.summary import (
    Count,
    again,
    escalated,
    noted,
    summary,
    with_duration,
)
from pushover_logging.throttle.limits import QuotaLevel, quota_level
from pushover_logging.throttle.rules import PUSHED, PushInfo, Verdict
from pushover_logging.throttle.throttle import UNKNOWN, Candidate, Decision, Throttle, View

if TYPE_CHECKING:  # Windows has no fcntl, and most programs do without SQLite
    from pushover_logging.outbox.sqlite import FileOutbox

SYNC_INTERVAL = 1.0  # seconds between two looks at what processes share
_HURRIED_INTERVAL = 0.1  # the same while a thread waits for the sender, as at exit
_IDLE_INTERVAL = 2.0  # seconds between two looks for what a process that is gone left behind
_AWAY = 30.0  # seconds for which a shared store that does not answer is left alone
_POLL = 10.0  # seconds after which a process without news asks what is due
_WAIT = 1.0  # seconds until a Message is decided whose problem another process is reporting
_DIGESTS_APART = 1.0  # seconds between digests at exit, doubled each time: a thread may go on
_LONGEST_WAIT = 3600.0
_IDLE = 30.0  # seconds after which a connection that nobody needs is closed
_ENDING = 1.0  # seconds that the thread before may take for its last steps
_GRACE = 1.0  # seconds in which the process may end after somebody waited
_INLINE = 0.05  # seconds between two tries of a wait without a thread
_JUMP = 2.0  # seconds by which the wall clock may drift between two looks
_UPLOAD_RATE = 64 * 1024  # bytes a second, as the transport has it
_UNREACHABLE = "the shared state cannot be reached: duplicates are possible"
_ONLY = {QuotaLevel.LOW: "only new and worse problems", QuotaLevel.SCARCE: "only critical problems"}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Claimed:
    """A Message that was claimed, what was decided of it, and by which throttle.

    ``decision`` is None if no throttle is asked: its record wants none, or it is too old.
    """

    queued: QueuedMessage
    decision: Decision | None
    throttle: Throttle

    @property
    def is_pushed(self) -> bool:
        """Return True if it has claimed its problem."""
        return self.decision is not None and self.decision.verdict in PUSHED


class Sender:
    """Sends what waits in ``outbox``, one thing at a time. The one thread that steps calls it.

    ``local`` is this process's own throttle, ``shared`` the one that processes share, if any;
    ``is_in_file``: that is in the outbox's file, and changes together with it. ``_deferred`` are
    changes that follow from sends, and are written with the next claim.
    """

    def __init__(  # noqa: PLR0913  the parts of a pipeline
        self,
        *,
        client: PushoverClient,
        outbox: MemoryOutbox | FileOutbox,
        dedup: Dedup,
        counters: Counters,
        lock: threading.RLock,
        local: Throttle,
        shared: Throttle | None,
        is_in_file: bool,
        clock: Clock,
        host: str | None,
        max_age: float,
        lease: float,
    ) -> None:
        self.closing = False  # set by any thread
        self.used_at = 0.0
        self.last_error: str | None = None
        self._client = client
        self._outbox = outbox
        self._file: FileOutbox | None = None if isinstance(outbox, MemoryOutbox) else outbox
        self._memory = outbox if isinstance(outbox, MemoryOutbox) else outbox.memory
        self._dedup = dedup
        self._counters = counters
        self._lock = lock
        self._local = local
        self._shared = shared
        self._is_in_file = is_in_file
        self._clock = clock
        self._host = host
        self._max_age = max_age
        self._lease = lease
        self._retry = RetryPolicy(clock)
        self._store = CircuitBreaker(clock, _AWAY)
        self._deferred: list[Callable[[], dict[str, View]]] = []
        self._owed: list[Callable[[], object]] = []
        self._waiting: dict[str, float] = {}
        self._quota = QuotaLevel.ENOUGH
        self._drift = clock.time() - clock.monotonic()
        self._synced_at = self._looked_at = -math.inf
        self._busy_at = 0.0
        self._shared_due_at = 0.0
        self._looks_at_exit = True
        self._digest_from, self._digests_apart = -math.inf, _DIGESTS_APART
        self._has_warned_of_full = self._has_warned_of_fault = False

    # -- called by other threads

    def warn_of_full(self) -> None:
        """Warn, once an episode, that a full outbox drops Messages."""
        if not self._has_warned_of_full:
            self._has_warned_of_full = True
            warn("the outbox is full: the least urgent messages are dropped, see stats()")

    def close(self) -> None:
        """End when the backlog is out, with a digest of what is counted."""
        self.closing = True
        self._looks_at_exit = True
        self._digest_from, self._digests_apart = -math.inf, _DIGESTS_APART

    def is_settled(self, *, at_exit: bool) -> bool:
        """Return True if nothing waits; ``at_exit``: and no count either."""
        with self._lock:
            if self._counters.pending or self._deferred:
                return False
        if self._file is not None and not self._file.is_idle():
            return False
        if not at_exit:
            return True
        looks = self._shared is not None and self._is_in_file and self._looks_at_exit
        return not (looks or self._dedup.has_counts() or self._local.has_counts())

    def unsent(self) -> tuple[int, int]:
        """Return how many Messages are lost if the process ends now, and how many outlive it."""
        with self._lock:
            pending = self._counters.pending
            lost = pending if self._file is None else min(pending, len(self._memory))
            return lost, pending - lost

    def resign(self) -> None:
        """Let another process send for the account."""
        if self._file is not None:
            self._catch_up()
            self._file.resign()

    # -- the steps

    def step(self, *, hurried: bool) -> float:
        """Do the next thing; return how many seconds nothing else is to be done, 0 for none.

        ``hurried``: a thread waits for it. A fault that nobody foresaw, of ours or of what the
        program brought along, costs a pause, and is warned of once.
        """
        try:
            return self._step(hurried=hurried)
        except Exception as error:  # noqa: BLE001  nothing is sent any more if the thread ends
            where = traceback.extract_tb(error.__traceback__)[-1]
            # Without its text, which may hold a secret.
            what = f"{type(error).__name__} in {where.name}, {Path(where.filename).name}"
            self.last_error = f"the sender failed: {what}:{where.lineno}"
            pause = self._retry.back_off()
            if not self._has_warned_of_fault:
                self._has_warned_of_fault = True
                warn("%s; next try in %d s", self.last_error, pause)
            return pause

    def _step(self, *, hurried: bool) -> float:
        wait = min(self._watch_quota(), self._watch_clock(), self._sync(hurried=hurried))
        pause = self._retry.pause()
        if pause > 0:
            self._catch_up()
            return min(pause, wait)
        if self._file is not None and not self._may_send(self._file):
            self._catch_up()
            self._client.close()
            return wait
        blocked = self._retry.blocked_users()
        if self._send_next(blocked) or self._send_summary(blocked) or self._send_exit_digest():
            self._busy_at = self._clock.monotonic()
            return 0.0
        self._has_warned_of_full = False
        if self._file is not None:
            self._catch_up()
            if self._clock.monotonic() - self._busy_at >= SYNC_INTERVAL:
                self._file.resign()
        waits = [at - self._clock.monotonic() for at in self._waiting.values()]
        if self.closing and self._mute() > 0:
            waits.append(self._mute())
        return max(0.0, min([wait, self._local.next_due(), *blocked.values(), *waits]))

    def _may_send(self, file: FileOutbox) -> bool:
        """Return True if this process leads, or has Messages in its own memory."""
        wanted = file.wants_leader() or (self._is_in_file and self._is_shared_due())
        if not file.is_leading and wanted and file.lead():
            self._retry.respect(file.not_before - self._clock.time())
            if self._shared is not None:
                self._shared.look_at_all()
        return file.is_leading or len(self._memory) > 0 or self._local.next_due() <= 0

    # -- one Message

    def _send_next(self, blocked: Collection[str | None]) -> bool:
        """Send the most urgent Message, or end it unsent; return False if there is none."""
        now = self._clock.monotonic()
        self._waiting = {found: at for found, at in self._waiting.items() if at > now}
        claimed = self._claim(blocked)
        if claimed is None:
            return False
        queued, decision = claimed.queued, claimed.decision
        if decision is None and self._is_too_old(queued):
            self._drop(claimed)
        elif decision is None or claimed.is_pushed:
            self._send(claimed)
        elif decision.verdict is Verdict.WAIT:
            self._waiting[queued.id] = now + _WAIT
            self._change(claimed, lambda: UNKNOWN, lambda _: self._outbox.retry(queued), UNKNOWN)
        else:
            reported = decision.verdict is Verdict.REPORTED  # before a crash
            self._finish(claimed, SENT if reported else SUPPRESSED)
        return True

    def _claim(self, blocked: Collection[str | None]) -> _Claimed | None:
        queued = self._memory.claim(blocked, self._waiting)
        file = self._file
        if queued is None and file is not None and file.is_leading:
            if self._is_in_file and self._shared is not None:
                return self._claim_row(file, self._shared, blocked)
            with contextlib.suppress(Unreachable):
                queued = self._together(lambda: file.claim(blocked, self._waiting))
        return None if queued is None else self._decided(queued)

    def _claim_row(
        self, file: FileOutbox, shared: Throttle, blocked: Collection[str | None]
    ) -> _Claimed | None:
        """Claim a row and decide it in one transaction, after what this process counted."""
        drained = self._dedup.drain()

        def work() -> tuple[dict[str, View], QueuedMessage | None, Decision | None]:
            views, queued = shared.count(drained), file.claim(blocked, self._waiting)
            if queued is None or queued.key is None or self._is_too_old(queued):
                return views, queued, None
            return views, queued, shared.decide(self._candidate(queued))

        try:
            views, queued, decision = self._together(work)
        except Unreachable:
            self._dedup.put_back(drained)
            return None
        self._dedup.update(views)
        return None if queued is None else _Claimed(queued, decision, shared)

    def _decided(self, queued: QueuedMessage) -> _Claimed:
        """Decide a claimed Message, outside of the file's transactions."""
        throttle = self._throttle_for(queued)
        if queued.key is None or self._is_too_old(queued):
            return _Claimed(queued, None, throttle)
        counted = self._dedup.drain({queued.key})
        try:
            self._dedup.update(throttle.count(counted))
            counted = []
            return _Claimed(queued, throttle.decide(self._candidate(queued)), throttle)
        except Unreachable as error:
            self._dedup.put_back(counted if error.left is None else error.left)
            self._leave_alone(error)
            return self._decided(queued)

    def _send(self, claimed: _Claimed) -> None:
        queued = claimed.queued
        self.used_at = self._clock.monotonic()
        self._retry.redirect(queued)
        try:
            scale_attachment(queued)
            self._post(claimed)
        except DeliveryError as error:
            self.last_error = str(error)
            if self._retry.should_retry(error, queued):
                self._release(claimed)
            else:
                self._finish(claimed, f"{REJECTED}: {error}", refused=True)
        except BaseException:
            self._release(claimed)
            raise
        else:
            self._has_warned_of_fault = False
            self._retry.succeed(queued.message.user)
            with self._lock:
                self._counters.possible_duplicates += queued.may_have_arrived
            self._finish(claimed, SENT)

    def _post(self, claimed: _Claimed) -> None:
        message, decision = claimed.queued.message, claimed.decision
        ended = None
        if decision is not None:
            message = _worded(message, decision)
            if claimed.throttle is self._local and self._shared and not self._is_in_file:
                message = noted(message, _UNREACHABLE)
            count = decision.included_count
            if decision.verdict is Verdict.RESOLVED and count is not None and count.repeats:
                ended = emergency_tag(count.key)
        with lifecycle.request_slot():
            if ended is not None:
                with contextlib.suppress(RejectedError):  # there is no such emergency
                    self._client.cancel_by_tag(ended)
            self._client.send(message)

    def _finish(self, claimed: _Claimed, outcome: str, *, refused: bool = False) -> None:
        """Note what became of a claimed Message, in the counters, the throttle and the outbox."""
        queued, decision, throttle = claimed.queued, claimed.decision, claimed.throttle
        estimate = UNKNOWN if decision is None else decision.view
        if claimed.is_pushed:
            estimate = View(queued.level, throttle.rules.windows[0])

        def notify() -> View:
            if decision is None or not claimed.is_pushed:
                return estimate
            views = throttle.notified(queued.id, [decision.key], decision, refused=refused)
            return next(iter(views.values()), UNKNOWN)

        self._end(queued, outcome, estimate, decision)
        self._change(
            claimed, notify, lambda view: self._outbox.ack(queued, outcome, view), estimate
        )

    def _drop(self, claimed: _Claimed) -> None:
        """Drop a Message that is too old; a digest reports its record."""
        queued, outcome = claimed.queued, f"{DROPPED}: {TOO_OLD}"
        held = View(queued.level, math.inf)

        def withdraw() -> View:
            if queued.key is not None and not queued.resolves:
                claimed.throttle.withdrawn(self._candidate(queued))
            return held

        self._end(queued, outcome, held, None)
        self._change(claimed, withdraw, lambda view: self._outbox.ack(queued, outcome, view), held)

    def _release(self, claimed: _Claimed) -> None:
        """Put a Message back that was not answered, and free its problem before the pause."""
        queued, decision = claimed.queued, claimed.decision

        def release() -> View:
            if decision is not None:
                claimed.throttle.released(queued.id, [decision.key])
            return View(queued.level, math.inf)

        self._change(claimed, release, lambda _: self._outbox.retry(queued), UNKNOWN)

    def _end(
        self, queued: QueuedMessage, outcome: str, view: View, decision: Decision | None
    ) -> None:
        """Count a record of this process, and let its next records be decided by ``view``."""
        if self._file is None or queued.row is None or self._file.forget(queued):
            with self._lock:
                self._counters.end(outcome)
            if queued.key is not None and not queued.resolves:
                problem = queued.key if decision is None else decision.key
                self._dedup.settle(queued.key, queued.level, view, problem)

    def _change(
        self,
        claimed: _Claimed,
        change: Callable[[], View],
        finish: Callable[[View], None],
        estimate: View,
    ) -> None:
        """Change the throttle and then the outbox, in one transaction if both are in the file."""
        key = claimed.queued.key
        if self._is_in_file and claimed.throttle is self._shared:

            def write() -> dict[str, View]:
                view = change()
                finish(view)
                return {key: view} if key is not None else {}

        else:
            view = self._ask(claimed.throttle, change, estimate)
            known = {} if key is None or claimed.queued.resolves else {key: view}

            def write() -> dict[str, View]:
                finish(view)
                return known

        self._deferred.append(write)
        if self._file is None or claimed.queued.row is None:
            self._catch_up()

    # -- summaries

    def _send_summary(self, blocked: Collection[str | None]) -> bool:
        """Send one summary of what is due; return False if nothing is."""
        shared = self._reachable()
        if shared is not None and self._is_shared_due() and self._may_report():
            if self._summarise(shared, blocked):
                return True
            due = self._ask(shared, shared.next_due, _AWAY)
            self._shared_due_at = self._after(min(due, _POLL + self._clock.uniform(0, 1)))
        return self._local.next_due() <= 0 and self._summarise(self._local, blocked)

    def _send_exit_digest(self) -> bool:
        """Report what is counted because the process ends; return False if there is nothing."""
        with self._lock:
            if not self.closing or self._counters.pending or self._mute() > 0:
                return False
        reported = self._summarise(self._local, (), at_exit=True)
        shared = self._reachable()
        if shared is not None and self._file is not None and self._looks_at_exit:
            self._looks_at_exit = False
            if self._is_in_file and shared.rules.summary_at_exit and self._file.is_last():
                self._sync(hurried=True)
                while self._summarise(shared, (), at_exit=True):
                    reported = True
        if reported:
            self._digest_from = self._after(self._digests_apart)
            self._digests_apart *= 2
        return reported

    def _summarise(
        self, throttle: Throttle, blocked: Collection[str | None], *, at_exit: bool = False
    ) -> bool:
        """Send a Message about counts that are due; return False if there are none.

        ``at_exit``: about all of them, and what the service refuses ends there.
        """
        push_id = secrets.token_hex(8)
        counts: list[Count] = self._ask(
            throttle, lambda: throttle.due(push_id, at_exit=at_exit, blocked_users=blocked), []
        )
        if not counts:
            return False
        keys = [count.key for count in counts]
        self.used_at = self._clock.monotonic()
        message = summary(counts, self._host, at_exit=at_exit)
        refused = False
        try:
            with lifecycle.request_slot():
                self._client.send(message)
        except BaseException as error:
            refused = isinstance(error, DeliveryError) and not self._retry.should_retry(
                error, QueuedMessage(push_id, message, self.used_at)
            )
            if not refused:
                self._ask(throttle, lambda: throttle.released(push_id, keys), None)
            if not isinstance(error, DeliveryError):
                raise
            self.last_error = str(error)
            if not refused:
                return True
        else:
            self._retry.succeed(message.user)
            with self._lock:
                self._counters.summaries += 1
        views: dict[str, View] = self._ask(
            throttle,
            lambda: throttle.notified(push_id, keys, refused=refused and not at_exit),
            {},
        )
        for key, view in views.items():
            self._dedup.update_problem(key, view)
        return True

    def _is_shared_due(self) -> bool:
        return self._clock.monotonic() >= self._shared_due_at

    def _may_report(self) -> bool:
        return not self._is_in_file or (self._file is not None and self._file.is_leading)

    def _mute(self) -> float:
        """Return the seconds until there may be another digest at exit."""
        return max(0.0, self._digest_from - self._clock.monotonic())

    # -- what processes share

    def _sync(self, *, hurried: bool) -> float:
        """Hand over what this process counted, and learn what others decided.

        Returns the seconds until the next time; infinity if the process decides alone.
        """
        if self._file is None and self._shared is None:
            self._dedup.update(self._local.count(self._dedup.drain()))
            return math.inf
        interval = _HURRIED_INTERVAL if hurried else SYNC_INTERVAL
        now = self._clock.monotonic()
        if now < self._synced_at + interval:
            return self._synced_at + interval - now
        self._synced_at = now
        shared, file = self._reachable(), self._file
        throttle = self._local if shared is None else shared
        watched = {} if shared is None else self._dedup.open_ended()
        if file is not None and not (
            file.has_own() or self._deferred or watched or self._dedup.has_counts()
            or file.is_leading
        ):  # fmt: skip
            if now >= self._looked_at + _IDLE_INTERVAL:
                self._looked_at = now
                file.look()
            return interval
        if file is None and not (
            watched or self._owed or self._dedup.has_counts() or self._is_shared_due()
        ):
            return interval
        drained = self._dedup.drain()

        def exchange() -> tuple[dict[str, View], float]:
            views = throttle.count(drained)
            problems = throttle.views(set(watched.values()))
            views.update((key, problems[problem]) for key, problem in watched.items())
            return views, throttle.next_due()

        try:
            if self._is_in_file and file is not None:
                (views, due), outcomes = self._together(lambda: (exchange(), file.sync()))
            else:
                self._pay()
                views, due = exchange()
                outcomes = [] if file is None else self._together(file.sync)
        except Unreachable as error:
            if throttle is not self._local and not self._is_in_file:
                self._leave_alone(error)
            left = drained if error.left is None else error.left
            views, due, outcomes = self._local.count(left), math.inf, []
        if shared is not None:
            self._shared_due_at = self._after(min(due, _POLL + self._clock.uniform(0, 1)))
        self._dedup.update(views)
        for outcome in outcomes:
            emitted = outcome.emitted
            view = View(outcome.level, outcome.remaining)
            with self._lock:
                self._counters.end(outcome.outcome)
            if emitted.key is not None and not emitted.resolves:
                self._dedup.settle(emitted.key, emitted.level, view)
        if file is not None:
            for warning in filter(None, [file.take_warning()]):
                warn("%s", warning)
        return interval

    def _pay(self) -> None:
        """Report to the shared store what it could not be told while it was unreachable."""
        while self._owed:
            self._owed[0]()
            del self._owed[0]

    def _reachable(self) -> Throttle | None:
        """Return the shared throttle, None while it cannot be asked."""
        return None if self._store.is_open() else self._shared

    def _throttle_for(self, queued: QueuedMessage) -> Throttle:
        shared = None if self._is_in_file and queued.row is None else self._reachable()
        return self._local if shared is None else shared

    def _leave_alone(self, error: Unreachable) -> None:
        if self._store.fail():
            warn("%s: this process decides alone", error)

    def _ask(self, throttle: Throttle, ask: Callable[[], T], default: T) -> T:
        """Ask a throttle; if it cannot be reached, ask again with the next sync."""
        try:
            return ask()
        except Unreachable as error:
            self._leave_alone(error)
            if not isinstance(default, list):
                self._owed.append(ask)
            return default

    def _together(self, work: Callable[[], T]) -> T:
        """Do ``work`` in one transaction with what is deferred. Raises Unreachable."""

        def whole() -> tuple[list[dict[str, View]], T]:
            return [write() for write in self._deferred], work()

        known, result = self._outbox.together(whole)
        self._deferred.clear()
        for views in known:
            self._dedup.update(views)
        return result

    def _catch_up(self) -> None:
        """Write what is deferred."""
        if self._deferred:
            with contextlib.suppress(Unreachable):
                self._together(bool)

    # -- time and quota

    def _after(self, seconds: float) -> float:
        return self._clock.monotonic() + seconds

    def _is_too_old(self, queued: QueuedMessage) -> bool:
        return self._clock.monotonic() - queued.put_at > self._max_age

    def _watch_clock(self) -> float:
        """Let the shared throttle look at all its problems if the wall clock has jumped."""
        drift = self._clock.time() - self._clock.monotonic()
        if abs(drift - self._drift) > _JUMP and self._shared is not None:
            self._shared.look_at_all()
            self._shared_due_at = 0.0
        self._drift = drift
        return math.inf

    def _watch_quota(self) -> float:
        """Let the throttles know how much is left; return the seconds until that changes."""
        quota, left, level = self._client.quota, math.inf, QuotaLevel.ENOUGH
        if quota is not None:
            left = quota.reset - 1 - self._clock.time()  # a whole second: it may come early
            if left > 0:
                level = quota_level(quota.remaining, quota.limit)
            if level > self._quota:
                only = _ONLY[level]
                warn("%d of %d messages are left: %s come", quota.remaining, quota.limit, only)
        if level is not self._quota:
            self._quota = level
            for throttle in filter(None, (self._local, self._shared)):
                throttle.set_quota_level(level)
            self._shared_due_at = 0.0
        return left if level > QuotaLevel.ENOUGH else math.inf

    def _candidate(self, queued: QueuedMessage) -> Candidate:
        message = queued.message
        upload = len(queued.image or b"") / _UPLOAD_RATE
        return Candidate(
            queued.id,
            queued.key or "",
            queued.level,
            queued.created,
            PushInfo(message.title or "", message.user, message.device, message.priority),
            queued.group,
            queued.resolves,
            float(message.expire or 0),
            self._lease + upload,
        )


def emergency_tag(key: str) -> str:
    """Return the tag by which a problem's emergencies are cancelled."""
    return f"problem-{key.rpartition(':')[2]}"


def _worded(message: Message, decision: Decision) -> Message:
    """Return a Message as its verdict has it read."""
    count, key = decision.included_count, decision.key
    if decision.no_emergency:
        message = replace(message, priority=PRIORITIES["high"])
        message = noted(message, f"no emergency: {decision.no_emergency}")
    elif message.priority == EMERGENCY and key.startswith(EXPLICIT):
        # Only a problem with a name can be resolved.
        tags = ",".join(filter(None, (message.tags, emergency_tag(key))))
        message = replace(message, tags=tags)
    if decision.verdict is Verdict.AGAIN:
        return again(message)
    if decision.verdict is Verdict.ESCALATED and count is not None:
        return escalated(message, count)
    if decision.verdict is Verdict.RESOLVED and count is not None:
        return with_duration(message, count)
    return message


class SenderThread:
    """The thread that steps a `Sender`: when it starts, rests and ends, and who waits for it.

    At most one thread steps: ``_starting`` is held by a call that starts it or, if no thread can
    start, steps itself; ``_stepping`` by the thread. It alone sets ``_is_busy``. ``_wakeup`` and
    the waiters are bare locks, which any thread and any signal handler may release; they are made
    with the thread, so that a monkey-patched program gets patched ones.
    """

    def __init__(
        self, sender: Sender, client: PushoverClient, clock: Clock, close_timeout: float
    ) -> None:
        self.close_timeout = close_timeout
        self.thread: threading.Thread | None = None
        self._sender = sender
        self._client = client
        self._clock = clock
        self._starting, self._stepping = threading.RLock(), threading.Lock()
        self._wakeup = _Wakeup()
        self._waiters: deque[_Wakeup] = deque()
        self._is_busy = False
        lifecycle.register(self)

    def wake(self, *, inline: bool = True) -> None:
        """Have the thread step; starts it if there is none.

        ``inline``: this call sends by itself if no thread can start.
        """
        self._wakeup.set()
        if self.thread is not None and self.thread.is_alive():
            return
        if self._starting._is_owned():  # type: ignore[attr-defined]  # noqa: SLF001
            return  # this call interrupts the one that starts it
        try:
            if self._starting.acquire(blocking=False):
                self._start(inline=inline)
            # Else another thread starts it just now, or sends inline, and finds the Message.
        finally:
            try:  # noqa: SIM105  a context manager would leave a signal the time to raise
                self._starting.release()
            except RuntimeError:  # it is another thread's
                pass

    def wait(self, timeout: float | None) -> bool:
        """Wait at most ``timeout`` seconds until nothing is left to send; return True if so.

        None: as long as at exit.
        """
        left = lifecycle.time_left(self.close_timeout if timeout is None else timeout)
        waiter = _Wakeup()
        try:
            self._waiters.append(waiter)
            while self._is_busy or not self.is_settled():
                if left <= 0 or not lifecycle.may_wait():
                    return self.is_settled()
                began, waited = time.monotonic(), 0.0
                self.wake()
                # Without a thread `wake` has sent what can be sent now.
                step = left if self.thread is not None else min(left, _INLINE)
                if not waiter.wait(step):
                    waited = step  # also if a test lets time stand still
                left -= max(waited, time.monotonic() - began)
            return True
        finally:
            with contextlib.suppress(ValueError):  # it was interrupted before it was there
                self._waiters.remove(waiter)

    def request_close(self) -> None:
        """End the thread when the backlog and the digest are out; returns at once."""
        self._sender.close()
        if not self.is_settled() or self.thread is not None:
            self.wake()

    def unsent(self) -> tuple[int, int]:
        """Return how many Messages are lost if the process ends now, and how many outlive it."""
        return self._sender.unsent()

    def is_settled(self) -> bool:
        """Return True if nothing waits to be sent; once closing, no count either."""
        return self._sender.is_settled(at_exit=self._sender.closing)

    def step(self) -> float:
        """Do the next thing; return how many seconds nothing else is to be done."""
        return self._sender.step(hurried=self._is_hurried())

    def _start(self, *, inline: bool) -> None:
        try:
            lifecycle.hook_exit()
            if lifecycle.threads_run():
                self._wakeup = _Wakeup()
                self._wakeup.set()
                # The thread says itself that it runs: set here, that could be after its end.
                self._clock.start_thread(self._run, lifecycle.THREAD_NAME)
            elif inline:
                self._send_inline()
        except RuntimeError:  # no thread starts: at the interpreter's end, and by the system
            if inline:
                self._send_inline()

    def _run(self) -> None:
        if not self._stepping.acquire(timeout=_ENDING):
            return  # another thread runs, and is not about to end
        self.thread = threading.current_thread()
        lifecycle.enter_sender()
        try:
            while True:
                self._is_busy = True
                wait = self.step()
                self._is_busy = False
                idle = wait > 0 or self._is_hurried()
                if idle and self.is_settled() and not self._goes_on():
                    break
                if wait > 0:
                    self._rest(wait)
        finally:
            self._is_busy = False
            lifecycle.leave_sender()
            try:
                self._sender.resign()
            finally:
                self.thread = None
                self._stepping.release()
        if not self._sender.is_settled(at_exit=False):  # put while this thread was ending
            self.wake()

    def _goes_on(self) -> bool:
        """Wake those that wait, as nothing is left to send; return True if this thread goes on."""
        waiters, closing = list(self._waiters), self._sender.closing
        if waiters:
            self._sender.resign()
        if closing:
            self._client.close()  # first: the process may end as soon as nobody waits
        for waiter in waiters:
            waiter.set()
        if waiters and not closing:
            # The process may end now: not in the middle of another process's Message.
            self._wakeup.wait(0)
            self._rest(_GRACE if self.is_settled() else 0)
        return not closing

    def _rest(self, seconds: float) -> None:
        idle = self._sender.used_at + _IDLE - self._clock.monotonic()
        if idle <= 0:
            self._client.close()
        self._wakeup.wait(
            min(seconds, idle, _LONGEST_WAIT) if idle > 0 else min(seconds, _LONGEST_WAIT)
        )

    def _send_inline(self) -> None:
        deadline = time.monotonic() + lifecycle.time_left(self.close_timeout)
        try:
            lifecycle.enter_sender()
            while time.monotonic() < deadline and not self.is_settled():
                if self.step() > 0:
                    break
            self._sender.resign()
        finally:
            lifecycle.leave_sender()

    def _is_hurried(self) -> bool:
        """Return True if a thread waits: then others are asked more often."""
        return self._sender.closing or bool(self._waiters)


class _Wakeup:
    """A binary signal on a bare lock: `set` is safe in a signal handler."""

    def __init__(self) -> None:
        self._unset = threading.Lock()
        self._unset.acquire()

    def set(self) -> None:
        """Let one `wait` return."""
        with contextlib.suppress(RuntimeError):  # it is set already
            self._unset.release()

    def wait(self, seconds: float) -> bool:
        """Wait until it is set, at most so long, and unset it; return False if time is over."""
        return self._unset.acquire(timeout=seconds)
