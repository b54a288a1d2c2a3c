"""The background sender of one handler.

It claims Messages from the outbox, asks the throttle, sends, and records the result. `Sender.step`
does the next piece of work and returns the seconds until there is more. `SenderThread` runs it in a
loop; other threads wake it or wait for it.
"""

from __future__ import annotations

import contextlib
import math
import secrets
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pushover_logging.api.client import PushoverClient
from pushover_logging.circuit_breaker import CircuitBreaker
from pushover_logging.clock import Clock, snapshot
from pushover_logging.delivery import lifecycle, receipts
from pushover_logging.delivery.counters import Counters
from pushover_logging.delivery.dedup import Dedup
from pushover_logging.delivery.retry import RetryPolicy, scale_attachment
from pushover_logging.diagnostics import warn
from pushover_logging.exceptions import (
    DeliveryError,
    QuotaError,
    RejectedError,
    TemporaryError,
    Unreachable,
)
from pushover_logging.identity.fingerprint import EXPLICIT
from pushover_logging.identity.record_parts import JOB
from pushover_logging.message import EMERGENCY, PRIORITIES, Message
from pushover_logging.outbox.memory import MemoryOutbox
from pushover_logging.outbox.queue import (
    DROPPED,
    FULL,
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
    with_line,
)
from pushover_logging.throttle import jobs
from pushover_logging.throttle.limits import QuotaLevel, quota_level
from pushover_logging.throttle.receipts import Emergency
from pushover_logging.throttle.rules import PUSHED, PushInfo, Verdict
from pushover_logging.throttle.throttle import UNKNOWN, Candidate, Decision, Throttle, View

if TYPE_CHECKING:  # Windows has no fcntl, and most programs do without SQLite
    from pushover_logging.outbox.sqlite import Ended, FileOutbox

SYNC_INTERVAL = 1.0  # seconds between two syncs of the shared state
_HURRIED_INTERVAL = 0.1  # the same while a thread waits for the sender, as at exit
_LOOK_INTERVAL = 2.0  # seconds between two checks for Messages that a dead process left
_STORE_RETRY = 30.0  # seconds until a shared store that did not answer is asked again
_POLL = 10.0  # the longest time in seconds between two queries for what is due
_DECIDE_AGAIN = 1.0  # seconds before a Message is decided again while another push is under way
_BEHIND_OTHERS = 3.0  # seconds for which others go before a Message that a proxy refused
_DIGESTS_APART = 1.0  # seconds between digests at exit, doubled each time: a thread may log on
_LONGEST_WAIT = 3600.0
_CONNECTION_IDLE = 30.0  # seconds after which a connection that nobody needs is closed
_OLD_THREAD_END = 1.0  # seconds that a new thread waits for the old one to end
_OLD_THREAD_LOOK = 0.01  # seconds between two looks if it has
_EXIT_GRACE = 1.0  # seconds without a send after `flush`, in which the process can exit
_INLINE_RETRY = 0.05  # seconds between two attempts of a `wait` that sends itself
_SHORTEST = 0.001  # seconds that a send may take at least
_CLOCK_JUMP = 2.0  # seconds by which the wall clock may drift between two looks
_UPLOAD_RATE = 64 * 1024  # bytes a second, as the transport has it
_TOO_OLD = f"{DROPPED}: {TOO_OLD}"
_UNREACHABLE = "the shared state cannot be reached: duplicates are possible"
_STILL_SENT = {
    QuotaLevel.LOW: "only new and worse problems",
    QuotaLevel.SCARCE: "only critical problems",
}
T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Push:
    """A Message on its way, of a record or a summary, and what became of it.

    ``throttle`` is the one that decided it, ``keys`` are the problems that it has claimed there.
    ``decision`` is None for a summary, and for a Message that no throttle is asked about. A push
    without an ``outcome`` was not answered, and is sent again. ``escalates``: it is no summary, but
    an emergency's escalation. ``emergency`` has the receipt of an accepted one. ``view`` is what
    processes have to know of its problem since: an estimate until the throttle has recorded the
    outcome.
    """

    queued: QueuedMessage
    throttle: Throttle
    decision: Decision | None = None
    keys: Sequence[str] = ()
    is_summary: bool = False
    at_exit: bool = False
    escalates: bool = False
    outcome: str = ""
    emergency: Emergency | None = None
    view: View = UNKNOWN

    @property
    def awaits_answer(self) -> bool:
        """Return True if the throttle approved this push, and must get the service's answer."""
        return self.is_summary or (self.decision is not None and self.decision.verdict in PUSHED)


@dataclass(slots=True, eq=False, kw_only=True)
class Sender:
    """Sends what waits in ``outbox``, one Message at a time.

    ``local`` is this process's own throttle, ``shared`` the one that processes share, if any;
    ``is_in_file``: it is in the outbox's file, so that one transaction changes both. ``host`` is
    named in summaries. Times are in seconds. ``_unwritten`` are pushes that the file's next
    transaction records; ``_owed`` are those that Redis, which was away, has to record yet.

    The thread that runs `step` changes everything here, but for what other threads may call: see
    the first section. A fork's child makes a new Sender.
    """

    client: PushoverClient
    outbox: MemoryOutbox | FileOutbox
    dedup: Dedup
    counters: Counters
    lock: threading.RLock
    local: Throttle
    shared: Throttle | None
    is_in_file: bool
    clock: Clock
    host: str | None
    max_age: float
    lease: float
    deadline: float | None = None  # of a call that sends by itself: when it goes on
    closing: bool = False  # set by any thread
    used_at: float = 0.0
    last_error: str | None = None
    _quota_level: QuotaLevel = QuotaLevel.ENOUGH
    _unwritten: list[_Push] = field(default_factory=list)
    _owed: list[_Push] = field(default_factory=list)
    _unwritten_pause: float = 0.0  # that the service asked for
    _waiting: dict[str, float] = field(default_factory=dict)
    _synced_at: float = -math.inf
    _looked_at: float = -math.inf
    _stamp: object = None  # of the file, when it was last looked into during a pause
    _busy_at: float = 0.0
    _shared_due_at: float = 0.0
    _looks_for_due: bool = False
    _looks_at_exit: bool = False
    _is_last: bool = False
    _digest_from: float = -math.inf
    _digests_apart: float = _DIGESTS_APART
    _has_warned_of_full: bool = False
    is_faulty: bool = False  # the last step raised what it should not, and that was warned of
    _file: FileOutbox | None = None
    _memory: MemoryOutbox = field(init=False)
    _retry: RetryPolicy = field(init=False)
    _store_breaker: CircuitBreaker = field(init=False)
    _drift: float = 0.0

    def __post_init__(self) -> None:
        """Find the memory that an outbox in a file falls back on."""
        if isinstance(self.outbox, MemoryOutbox):
            self._memory = self.outbox
        else:
            self._file, self._memory = self.outbox, self.outbox.memory
        self._retry = RetryPolicy(self.clock)
        self._store_breaker = CircuitBreaker(self.clock, _STORE_RETRY)
        self._drift = self.clock.time() - self.clock.monotonic()

    # -- called by other threads

    def record_eviction(self, queued: QueuedMessage) -> None:
        """Count an evicted Message as dropped; its problem's next record is a candidate again.

        Warns once, until the outbox has been empty.
        """
        with self.lock:
            self.counters.end(f"{DROPPED}: {FULL}")
            if queued.key is not None and not queued.resolves:
                self.dedup.candidate_decided(queued.key, queued.level, UNKNOWN)
        if not self._has_warned_of_full:
            self._has_warned_of_full = True
            warn("the outbox is full: the least urgent messages are dropped; see handler.stats()")

    def begin_close(self) -> None:
        """Begin to close: send the backlog, then a digest of what is counted."""
        self.closing = True
        self._retry.is_ending = lifecycle.is_ending()
        self._looks_at_exit = self._synced_at > -math.inf  # else it has counted nothing
        self._digest_from, self._digests_apart = -math.inf, _DIGESTS_APART

    def look_for_due(self) -> None:
        """Look once at what is due in the shared store, before `is_drained`."""
        self._shared_due_at, self._looks_for_due = 0.0, self.shared is not None

    def is_drained(self, *, at_exit: bool) -> bool:
        """Return True if nothing waits; ``at_exit``: and every count is reported."""
        if self.counters.pending or self._unwritten or self._looks_for_due:
            return False
        if self._file is not None and not self._file.is_idle():
            return False
        if not at_exit:
            return True
        looks = self._is_last or (self.is_in_file and self._looks_at_exit)
        return not (looks or self.dedup.has_counts() or self.local.has_counts())

    def pause(self) -> float:
        """Return for how many seconds nothing can be sent."""
        return max(self._retry.pause(), self._retry.blocked_users().get(None, 0.0))

    def unsent(self) -> tuple[int, int]:
        """Return how many Messages are lost if the process ends now, and how many outlive it."""
        with self.lock:
            pending = self.counters.pending
            lost = pending if self._file is None else min(pending, len(self._memory))
            return lost, pending - lost

    def out_of_reach(self) -> int:
        """Return how many counted records are in Redis, and not reported, if it is away."""
        is_away = not self.is_in_file and self._store_breaker.is_open()
        return self.shared.unreported() if self.shared is not None and is_away else 0

    def resign(self) -> None:
        """Let another process send for the account."""
        if self._file is not None:
            self._flush_results()
            self._file.resign()

    # -- the steps

    def step(self, *, hurried: bool) -> float:
        """Do the next piece of work; return the seconds until there is more, 0 for at once.

        ``hurried``: a thread waits for it. An unexpected exception, of this library or of the
        program's code, is warned of once and delays the next step.
        """
        try:
            return self._step(hurried=hurried)
        except Exception as error:  # noqa: BLE001  nothing is sent any more if the thread ends
            # Without the source, which is read by an import, and its text, which may hold a secret.
            *_, (frame, line) = traceback.walk_tb(error.__traceback__)
            name, file = frame.f_code.co_name, Path(frame.f_code.co_filename).name
            self.last_error = f"the sender failed: {type(error).__name__} in {name}, {file}:{line}"
            self._retry.back_off()
            if not self.is_faulty:
                self.is_faulty = True
                warn("%s; next try in %d s", self.last_error, self._retry.pause())
            return self._retry.pause()

    def _step(self, *, hurried: bool) -> float:
        wait = min(self._watch_quota(), self._sync(hurried=hurried))
        pause = self._retry.pause()
        if pause > 0:
            self._flush_results()
            return min(pause, wait)
        if self.closing:
            self._look_at_exit()
        if self._file is not None and not self._may_send(self._file):
            self._looks_for_due = False  # the leader does
            self._flush_results()
            self.client.close()
            return wait
        blocked = self._retry.blocked_users()
        if self._send_next(blocked) or self._send_summary(blocked) or self._send_exit_digest():
            self._busy_at = self.clock.monotonic()
            return 0.0
        self._has_warned_of_full = self._looks_for_due = False
        now = self.clock.monotonic()
        if self._file is not None:
            self._flush_results()
            if now - self._busy_at >= SYNC_INTERVAL:
                self._file.resign()
        waits = [wait, self.local.next_due(), *blocked.values()]
        waits += [at - now for at in (self._digest_from, *self._waiting.values()) if at > now]
        return max(0.0, min(waits))

    def _may_send(self, file: FileOutbox) -> bool:
        """Return True if this process leads, or its memory holds something to send."""
        is_due = self.shared is not None and self._is_shared_due()
        wanted = file.wants_leader() or is_due or self._is_last
        if not file.is_leading and wanted:
            if file.lead() and self.shared is not None:
                self.shared.look_at_all()
            if file.not_before > self.clock.time():
                self._retry.respect(file.not_before - self.clock.time())
                self.last_error = file.pause_reason or self.last_error
        if self._retry.pause() > 0:  # the service asked another process to wait
            return False
        return file.is_leading or len(self._memory) > 0 or self.local.next_due() <= 0

    def _send_next(self, blocked: Collection[str | None]) -> bool:
        """Send the most urgent Message, or end it unsent; return False if there is none."""
        now = self.clock.monotonic()
        if self._waiting:
            self._waiting = {found: at for found, at in self._waiting.items() if at > now}
        push = self._claim(blocked)
        if push is None:
            return False
        queued, decision = push.queued, push.decision
        if decision is None and self._is_too_old(queued):
            self._finish(push, _TOO_OLD, View(0, math.inf))
        elif decision is None or decision.verdict in PUSHED:
            self._retry.redirect(queued)
            self._send(push)
        elif decision.verdict is Verdict.WAIT:
            self._waiting[queued.id] = now + _DECIDE_AGAIN
            self._record_result(push)
        else:
            reported = decision.verdict is Verdict.REPORTED  # before a crash
            self._finish(push, SENT if reported else SUPPRESSED, decision.view)
        return True

    def _claim(self, blocked: Collection[str | None]) -> _Push | None:
        """Claim a Message and decide it: in one transaction if the throttle is in the file too."""
        queued, file = self._memory.claim(blocked, self._waiting), self._file
        if queued is not None or file is None or not file.is_leading:
            return None if queued is None else self._decide(queued)
        shared = self.shared if self.is_in_file else None
        counts = [] if shared is None else self.dedup.counts()

        def work() -> tuple[Mapping[str, View], QueuedMessage | None, Decision | None]:
            views = {} if shared is None else shared.count(counts)
            found = file.claim(blocked, self._waiting)
            if shared is None or found is None or not self._is_throttled(found):
                return views, found, None
            return views, found, shared.decide(self._candidate(found))

        try:
            views, queued, decision = self._in_transaction(file, work)
        except Unreachable:
            return None
        self.dedup.handed_over(counts, views)
        if queued is None or shared is None or decision is None:
            return None if queued is None else self._decide(queued)
        return _claimed(queued, shared, decision)

    def _decide(self, queued: QueuedMessage) -> _Push:
        """Decide a claimed Message, outside of the file's transactions."""
        is_local = self.is_in_file and queued.row is None
        throttle = (None if is_local else self._reachable()) or self.local
        if not self._is_throttled(queued):
            return _Push(queued, throttle)
        try:
            self._hand_over(throttle, {queued.key or ""})
            decision = throttle.decide(self._candidate(queued))
        except Unreachable as error:
            self._open_breaker(error)
            return self._decide(queued)
        except BaseException:
            self._record_result(_Push(queued, self.local))
            raise
        return _claimed(queued, throttle, decision)

    def _send(self, push: _Push) -> None:
        """Send a Message, and act on the service's answer."""
        queued = push.queued
        self.used_at = self.clock.monotonic()
        try:
            if queued.oversized is not None:
                scale_attachment(queued)
            self._post(push)
        except DeliveryError as error:
            self.last_error = str(error)
            if self._retry.should_retry(error, queued):
                pause = self._retry.pause()
                if isinstance(error, TemporaryError) and 400 <= (error.status or 0) < 500 and pause:  # noqa: PLR2004
                    # A filter may refuse this text each time: the others go first.
                    self._waiting[queued.id] = self.clock.monotonic() + pause + _BEHIND_OTHERS
                self._unwritten_pause = self._retry.requested_pause()
                self._record_result(push)
            else:
                with self.lock:  # it can have arrived before, and with this send
                    self.counters.possible_duplicates += queued.may_have_arrived
                self._finish(push, f"{REJECTED}: {error}")
        except BaseException:
            self._record_result(push)
            raise
        else:
            self.is_faulty = False
            self._retry.succeed(queued.message.user)
            with self.lock:
                self.counters.possible_duplicates += queued.may_have_arrived
                self.counters.summaries += push.is_summary
            self._finish(push, SENT)

    def _post(self, push: _Push) -> None:
        message, decision = push.queued.message, push.decision
        if decision is not None:
            message = _apply_verdict(message, decision)
            if push.throttle is self.local and self.shared is not None and not self.is_in_file:
                message = noted(message, _UNREACHABLE)
        with lifecycle.request_slot():
            count = decision.included_count if decision is not None else None
            if count is not None and count.repeats and push.queued.resolves:
                with contextlib.suppress(RejectedError):  # there is no such emergency
                    self.client.cancel_by_tag(emergency_tag(count.key))
            if self.deadline is None:
                sent = self.client.send(message)
            else:
                left = self.deadline - Clock.monotonic()
                sent = self.client.send(message, within=max(left, _SHORTEST))
            if sent.receipt:
                push.emergency = receipts.emergency(message, sent.receipt)

    # -- what becomes of a Message

    def _finish(self, push: _Push, outcome: str, view: View = UNKNOWN) -> None:
        """Finish a Message: update the counters now, and record the result."""
        queued, push.outcome, push.view = push.queued, outcome, view
        if push.awaits_answer and not push.is_summary:
            push.view = View(queued.level, push.throttle.rules.windows[0])
        is_own = self._file is None or queued.row is None or self._file.forget(queued)
        if is_own and not push.is_summary:
            with self.lock:
                self.counters.end(outcome)
                if queued.key is not None and not queued.resolves:
                    problem = push.keys[0] if push.keys else queued.key
                    self.dedup.candidate_decided(queued.key, queued.level, push.view, problem)
        self._record_result(push)

    def _record_result(self, push: _Push) -> None:
        """Record a push's result in throttle and outbox, together if both are in the file."""
        if not self._is_in_file(push):
            try:
                self._update_throttle(push)
            except Unreachable as error:
                self._open_breaker(error)
                self._owed.append(push)
            if push.queued.row is None:
                self._update_outbox(push)
                return
        self._unwritten.append(push)
        if push.is_summary:
            self._flush_results()

    def _is_in_file(self, push: _Push) -> bool:
        return self.is_in_file and push.throttle is self.shared

    def _update_throttle(self, push: _Push) -> None:
        """Record a push's result in its throttle. Raises Unreachable; may be repeated."""
        queued, outcome, throttle = push.queued, push.outcome, push.throttle
        if outcome == _TOO_OLD:
            if queued.key is not None and not queued.resolves:
                throttle.withdrawn(self._candidate(queued))
        elif not outcome and push.keys:
            throttle.released(queued.id, push.keys)
        elif outcome and push.escalates:
            expires = float(queued.message.expire or 0)
            throttle.escalated(queued.id, push.keys, push.emergency, expires)
        elif outcome and push.awaits_answer:
            is_refused = outcome.startswith(REJECTED) and not push.at_exit
            views = throttle.notified(
                queued.id, push.keys, push.decision, refused=is_refused, emergency=push.emergency
            )
            self.dedup.update(views)
            push.view = next(iter(views.values()), UNKNOWN)

    def _update_outbox(self, push: _Push) -> None:
        """Acknowledge a finished Message, or put an unfinished one back into the outbox."""
        if not push.is_summary and push.outcome:
            self.outbox.ack(push.queued, push.outcome, push.view)
        elif not push.is_summary:
            self.outbox.retry(push.queued)

    def _in_transaction(self, file: FileOutbox, work: Callable[[], T]) -> T:
        """Do ``work`` and record the results of pushes, in one transaction. Raises Unreachable."""

        def whole() -> T:
            for push in self._unwritten:
                if self._is_in_file(push):
                    self._update_throttle(push)
                self._update_outbox(push)
            if self._unwritten_pause > 0 and file.is_leading:
                file.pause(self._unwritten_pause, self.last_error or "")
            return work()

        try:
            result = file.together(whole)
        except Unreachable:
            self._stamp = None
            raise
        self._unwritten.clear()
        self._unwritten_pause = 0.0
        return result

    def _flush_results(self) -> None:
        """Record the results of pushes in the file, if there are any."""
        if self._file is not None and (self._unwritten or self._unwritten_pause):
            with contextlib.suppress(Unreachable):
                self._in_transaction(self._file, bool)

    # -- summaries

    def _send_summary(self, blocked: Collection[str | None]) -> bool:
        """Send one summary of what is due; return False if nothing is."""
        shared = self._reachable()
        if shared is not None and self._is_shared_due() and self._may_report():
            if (
                self._summarise(shared, blocked)
                or self._report_overdue(shared, blocked)
                or self._follow_up(shared, blocked)
            ):
                return True
            self._schedule_shared(self._ask(shared.next_due, _STORE_RETRY))
        return self.local.next_due() <= 0 and (
            self._summarise(self.local, blocked) or self._follow_up(self.local, blocked)
        )

    def _follow_up(self, throttle: Throttle, blocked: Collection[str | None]) -> bool:
        """Ask for a receipt or send an escalation; return False if none is due.

        No request delays the end of the process, or a call that sends by itself.
        """
        if not throttle.has_follow_up:
            return False
        push_id, now = secrets.token_hex(8), self.clock.monotonic()
        postpone = self.closing or self.deadline is not None or bool(blocked)
        due = self._ask(lambda: throttle.follow_up(push_id, postpone=postpone), None)
        if due is None:
            return False
        self.used_at = now
        if due.receipt:
            try:
                self._ask(lambda: receipts.ask(self.client, throttle, due), None)
            except QuotaError as error:
                self._retry.respect(error.wait)
        elif queued := receipts.queued_escalation(due, push_id, now):
            self._retry.redirect(queued)
            push = _Push(queued, throttle, keys=[due.key], is_summary=True, escalates=True)
            self._send(push)
        else:
            self._ask(lambda: throttle.escalated(push_id, [due.key], None, 0.0), None)
        return True

    def _send_exit_digest(self) -> bool:
        """Report what is counted because the process ends; return False if there is nothing."""
        if not self.closing or self.counters.pending or self._digest_from > self.clock.monotonic():
            return False
        reported = self._summarise(self.local, (), at_exit=True)
        if self._is_last and self.shared is not None and self._may_report():
            while self._retry.pause() <= 0 and self._summarise(self.shared, (), at_exit=True):
                reported = True
            self._is_last = self._retry.pause() > 0
        if reported:
            self._digest_from = self.clock.monotonic() + self._digests_apart
            self._digests_apart *= 2
        return reported

    def _look_at_exit(self) -> None:
        """Once nothing is pending, see if this is the host's last process that may have counts."""
        if self._looks_at_exit and not self.counters.pending:
            self._looks_at_exit = False
            self._synced_at = -math.inf  # what is counted must be there before others look
            self._sync(hurried=True)
            if self._file is not None and self.is_in_file and self.local.rules.summary_at_exit:
                self._is_last = self._file.is_last()

    def _summarise(
        self, throttle: Throttle, blocked: Collection[str | None], *, at_exit: bool = False
    ) -> bool:
        """Send a Message about counts that are due; return False if there are none.

        ``at_exit``: about all counts, due or not; a refused one is not tried again.
        """
        push_id, nothing = secrets.token_hex(8), list[Count]()
        counts = self._ask(
            lambda: throttle.due(push_id, at_exit=at_exit, blocked_users=blocked), nothing
        )
        if counts:
            now = self.clock.time()
            message = summary(counts, self.host, now=now, at_exit=at_exit)
            queued = QueuedMessage(push_id, message, self.clock.monotonic())
            keys = [count.key for count in counts]
            self._send(_Push(queued, throttle, keys=keys, is_summary=True, at_exit=at_exit))
        return bool(counts)

    def _report_overdue(self, shared: Throttle, blocked: Collection[str | None]) -> bool:
        """Report a job that has missed its deadline; return False if there is none.

        Like a summary it is in no outbox: what is not sent is due again.
        """
        store, names = shared.store, shared.deadlines
        if not names or None in blocked:
            return False
        found = self._ask(lambda: jobs.claim_overdue(store, names, self.lease), None)
        if found is None:
            return False
        decision = self._ask(lambda: shared.decide(found.candidate), None)
        if decision is None or decision.verdict is Verdict.WAIT:
            return False
        queued = QueuedMessage(found.candidate.id, found.message, self.clock.monotonic())
        push = _Push(queued, shared, decision, [decision.key], is_summary=True)
        if decision.verdict in PUSHED:
            self._send(push)
        if push.outcome or decision.verdict not in PUSHED:
            self._ask(lambda: jobs.reported(store, found), None)
        else:
            self._ask(lambda: jobs.not_reported(store, found), None)
        return True

    def _is_shared_due(self) -> bool:
        return self.clock.monotonic() >= self._shared_due_at

    def _schedule_shared(self, seconds: float) -> None:
        """Query the shared store after ``seconds``; Redis after the longest poll at the latest."""
        poll = math.inf if self.is_in_file else _POLL + self.clock.uniform(0, 1)
        self._shared_due_at = self.clock.monotonic() + min(seconds, poll)

    def _may_report(self) -> bool:
        return not self.is_in_file or (self._file is not None and self._file.is_leading)

    # -- what processes share

    def _sync(self, *, hurried: bool) -> float:
        """Hand over what this process counted, and learn what others decided.

        Returns the seconds until the next time; infinity if the process decides alone.
        """
        shared, file = self.shared, self._file
        if file is None and shared is None:
            self._hand_over(self.local)
            return math.inf
        if file is not None and (warning := file.take_warning()):
            warn("%s", warning)
        interval = _HURRIED_INTERVAL if hurried else SYNC_INTERVAL
        now = self.clock.monotonic()
        if now < self._synced_at + interval:
            return self._synced_at + interval - now
        self._synced_at = now
        if file is not None and self._retry.pause() > 0 and not self.dedup.has_counts():
            stamp = file.file.stamp()  # nothing may be sent: only what others write is news
            if stamp == self._stamp is not None:
                return interval
            self._stamp = stamp
        self._watch_clock()
        watched = () if self._reachable() is None else self.dedup.awaiting_view()
        if self._has_news(watched):
            self._exchange(watched)
        elif file is not None and now >= self._looked_at + _LOOK_INTERVAL:
            self._looked_at = now
            if file.look():
                self._shared_due_at = 0.0
        return interval

    def _hand_over(self, throttle: Throttle, keys: Collection[str] | None = None) -> None:
        """Have a throttle take what is counted, of ``keys`` alone if given. Raises Unreachable."""
        if counts := self.dedup.counts(keys):
            self.dedup.handed_over(counts, throttle.count(counts))

    def _has_news(self, watched: Collection[str]) -> bool:
        """Return True if there is something to hand over or to learn."""
        if watched or self._unwritten or self._owed or self.dedup.has_counts():
            return True
        if self.shared is not None and self.shared.unsettled():
            return True
        if self._file is None:
            return self._is_shared_due()
        return self._file.wants_leader() or self._file.is_leading or len(self._memory) > 0

    def _exchange(self, watched: Collection[str]) -> None:
        """Hand over what is counted; fetch the views of ``watched`` problems, and own outcomes."""
        file, shared, due = self._file, self._reachable(), math.inf
        rows: Sequence[Ended] = []
        try:
            if shared is None:
                self._hand_over(self.local)
            elif file is not None and self.is_in_file:
                due, rows = self._exchange_in_file(file, shared, watched)
            else:
                while self._owed:
                    self._update_throttle(self._owed[0])
                    del self._owed[0]
                self._hand_over(shared)
                self.dedup.update(shared.views({*watched, *shared.unsettled()}))
                due = shared.next_due()
        except Unreachable as error:
            self._open_breaker(error)
            self._hand_over(self.local)
        if file is not None and not self.is_in_file:
            with contextlib.suppress(Unreachable):
                rows = self._in_transaction(file, file.sync)
        self._schedule_shared(due)
        if file is not None:
            self._apply_outcomes(file, rows)

    def _exchange_in_file(
        self, file: FileOutbox, shared: Throttle, watched: Collection[str]
    ) -> tuple[float, Sequence[Ended]]:
        counts = self.dedup.counts()

        def work() -> tuple[dict[str, View], float, Sequence[Ended]]:
            views = {**shared.count(counts), **shared.views(watched)}
            return views, shared.next_due(), file.sync()

        views, due, rows = self._in_transaction(file, work)
        self.dedup.handed_over(counts, views)
        return due, rows

    def _apply_outcomes(self, file: FileOutbox, rows: Sequence[Ended]) -> None:
        """Apply the outcomes of this handler's rows; move into the file what memory held for it."""
        for emitted, row in file.ended(rows):
            with self.lock:
                self.counters.end(row.outcome)
                if emitted.key is not None and not emitted.resolves:
                    self.dedup.candidate_decided(
                        emitted.key, emitted.level, View(row.level, row.remaining)
                    )
        for gone in file.recover():
            self.record_eviction(gone)

    def _reachable(self) -> Throttle | None:
        """Return the shared throttle, None while it cannot be asked."""
        return None if self.shared is None or self._store_breaker.is_open() else self.shared

    def _open_breaker(self, error: Unreachable) -> None:
        """Decide alone for a while; a file has a breaker and a warning of its own."""
        if not self.is_in_file and self._store_breaker.fail():
            warn("%s: this process decides alone", error)

    def _ask(self, ask: Callable[[], T], default: T) -> T:
        """Ask the shared throttle; return ``default`` if it cannot be reached."""
        try:
            return ask()
        except Unreachable as error:
            self._open_breaker(error)
            return default

    # -- time and quota

    def _is_throttled(self, queued: QueuedMessage) -> bool:
        """Return True if the throttle decides a Message."""
        return queued.key is not None and not self._is_too_old(queued)

    def _is_too_old(self, queued: QueuedMessage) -> bool:
        return self.clock.monotonic() - queued.put_at > self.max_age

    def _watch_clock(self) -> None:
        """Let the shared throttle look at all its problems if the wall clock has jumped."""
        drift = self.clock.time() - self.clock.monotonic()
        if abs(drift - self._drift) > _CLOCK_JUMP and self.shared is not None:
            self.shared.look_at_all()
            self._shared_due_at = 0.0
        self._drift = drift

    def _watch_quota(self) -> float:
        """Let the throttles know how much is left; return the seconds until that changes."""
        quota, left, level = self.client.quota, 0.0, QuotaLevel.ENOUGH
        if quota is not None:
            left = (
                quota.reset - 1 - self.clock.time()
            )  # it is rounded to a second, and may come early
            if left > 0:
                level = quota_level(quota.remaining, quota.limit)
            if level > self._quota_level:
                given = quota.remaining, quota.limit, _STILL_SENT[level]
                warn("%d of %d messages are left: %s are sent", *given)
        if level is not self._quota_level:
            self._quota_level, self._shared_due_at = level, 0.0
            for throttle in filter(None, (self.local, self.shared)):
                throttle.set_quota_level(level)
        return left if level > QuotaLevel.ENOUGH else math.inf

    def _candidate(self, queued: QueuedMessage) -> Candidate:
        message = queued.message
        return Candidate(
            queued.id,
            queued.key or "",
            queued.level,
            queued.created,
            PushInfo(message.title or "", message.user, message.device, message.priority),
            queued.group,
            queued.resolves,
            float(message.expire or 0),
            self.lease + len(queued.image or b"") / _UPLOAD_RATE,
        )


def _claimed(queued: QueuedMessage, throttle: Throttle, decision: Decision) -> _Push:
    """Return a decided push; with WAIT it has claimed nothing."""
    keys = () if decision.verdict is Verdict.WAIT else (decision.key,)
    return _Push(queued, throttle, decision, keys)


def emergency_tag(key: str) -> str:
    """Return the tag by which a problem's emergencies are cancelled."""
    return f"problem-{key.rpartition(':')[2]}"


def _apply_verdict(message: Message, decision: Decision) -> Message:
    """Return the Message worded for its verdict."""
    count, key = decision.included_count, decision.key
    if decision.no_emergency:
        message = replace(message, priority=PRIORITIES["high"])
        message = with_line(message, decision.no_emergency)
    elif message.priority == EMERGENCY and key.startswith((EXPLICIT, JOB)):
        # Only a problem with a name can be resolved.
        tags = ",".join(filter(None, (message.tags, emergency_tag(key))))
        message = replace(message, tags=tags)
    if decision.verdict is Verdict.AGAIN:
        return again(message)
    if decision.verdict is Verdict.ESCALATED and count is not None:
        return escalated(message, count, decision.candidate.level)
    if decision.verdict is Verdict.RESOLVED and count is not None:
        return with_duration(message, count)
    return message


class SenderThread:
    """The thread that steps a `Sender`: when it starts, rests and ends, and who waits for it.

    At most one thread steps. ``_kind`` is `threading.Lock` as it was when a thread was started
    last: after a monkey-patch the next record starts one of the new kind, and the old one ends.
    ``_running`` is the kind of the thread that steps. ``_starting`` is held while a call starts the
    thread or, if none can start, sends inline; ``_stepping`` is held by the thread. It alone sets
    ``_is_busy``.
    ``_wakeup`` and the waiters are bare locks, which any thread and any signal handler may release;
    they are made with the thread, so that a monkey-patched program gets patched ones.
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
        self._kind: object = threading.Lock
        self._running: object = None
        self._wakeup = _Wakeup()
        self._waiters: deque[_Wakeup] = deque()
        self._is_busy = False
        lifecycle.register(self)

    def wake(self, *, inline: bool = True) -> None:
        """Wake the thread, and start it if there is none.

        ``inline``: this call sends by itself if no thread can start.
        """
        self._wakeup.set()
        thread = self.thread  # read once: the thread takes it away as it ends
        if self._kind is threading.Lock and thread is not None and thread.is_alive():
            return
        if self._starting._is_owned():  # type: ignore[attr-defined]  # noqa: SLF001
            return  # this call interrupts the one that starts it
        try:
            if self._starting.acquire(blocking=False):
                self._start(inline=inline)
            # Else another thread starts it just now, or sends inline, and finds the Message.
        finally:
            try:  # noqa: SIM105  with a context manager, a signal handler could raise before it
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
            while self._is_busy or not self.is_drained():
                if left <= 0 or not lifecycle.may_wait() or self._is_hopeless(left):
                    return self.is_drained()
                began, waited = time.monotonic(), 0.0
                self.wake()
                # Without a thread `wake` has sent what can be sent now.
                step = left if self.thread is not None else min(left, _INLINE_RETRY)
                if lifecycle.is_ending():  # look if that has become hopeless
                    step = min(left, _HURRIED_INTERVAL)
                if not waiter.wait(step):
                    waited = step  # also if a test lets time stand still
                left -= max(waited, time.monotonic() - began)
            return True
        finally:
            with contextlib.suppress(ValueError):  # it was interrupted before it was there
                self._waiters.remove(waiter)

    def request_close(self) -> None:
        """End the thread when the backlog and the digest are out; returns at once."""
        self._sender.begin_close()
        if not self.is_drained() or self.thread is not None:
            self.wake()

    def unsent(self) -> tuple[int, int]:
        """Return how many Messages are lost if the process ends now, and how many outlive it."""
        return self._sender.unsent()

    def out_of_reach(self) -> int:
        """Return how many counted records are in Redis, and not reported, if it is away."""
        return self._sender.out_of_reach()

    def reason(self) -> str:
        """Return why nothing is sent now; empty if something could be."""
        return (self._sender.last_error or "") if self._sender.pause() > 0 else ""

    def is_drained(self) -> bool:
        """Return True if nothing waits to be sent; once closing, no count either."""
        return self._sender.is_drained(at_exit=self._sender.closing)

    def step(self) -> float:
        """Do the next thing; return the seconds until there is more to do."""
        return self._sender.step(hurried=self._is_hurried())

    def _start(self, *, inline: bool) -> None:
        try:
            lifecycle.hook_exit()
            if lifecycle.threads_run():
                before, self._wakeup = self._wakeup, _Wakeup()
                self._wakeup.set()
                self._kind = threading.Lock
                before.set()  # for a thread of another kind to end
                # `_run` sets `thread`: set here, that could be after the thread's end.
                self._clock.start_thread(self._run, lifecycle.THREAD_NAME)
            elif inline:
                self._send_inline()
        except RuntimeError as error:  # at the interpreter's end, or at the system's limit
            if "interpreter shutdown" not in str(error):  # pragma: no branch  nobody measures then
                lifecycle.warn_of_no_thread("no thread can start", "allow the process more threads")
            if inline:
                self._send_inline()

    def _run(self) -> None:
        kind, wakeup = self._kind, self._wakeup
        if not self._can_step(kind):
            return  # another thread runs, and is not about to end
        self.thread, self._running = threading.current_thread(), kind
        lifecycle.enter_sender()
        try:
            while self._kind is kind:
                self._is_busy = True
                wait = self.step()
                self._is_busy = False
                idle = wait > 0 or self._is_hurried()
                if idle and self.is_drained():
                    closing = self._sender.closing
                    had_waiters = self._end_waits(closing=closing)
                    if closing:
                        break
                    if had_waiters:
                        continue  # a Message put meanwhile may have used its wakeup
                if wait > 0:
                    self._rest(wait)
        finally:
            self._is_busy = False
            lifecycle.leave_sender()
            try:
                if self._kind is kind:
                    self._sender.resign()
            finally:
                self.thread = None
                self._stepping.release()
        while self._kind is not kind:  # pragma: no cover  measured by nobody after a monkey-patch
            # To end it would be an error: `threading` does not know it any more.
            wakeup.wait(_LONGEST_WAIT)
        if not self._sender.is_drained(at_exit=False):  # put while this thread was ending
            self.wake()

    def _can_step(self, kind: object) -> bool:
        """Wait for the thread before; return False if it is of this kind and goes on.

        One from before a monkey-patch may be sending.
        """
        deadline = Clock.monotonic() + _OLD_THREAD_END
        while not self._stepping.acquire(blocking=False):  # to wait would stop all green threads
            if self._running in {None, kind} and Clock.monotonic() > deadline:
                return False
            time.sleep(_OLD_THREAD_LOOK)
        return True

    def _end_waits(self, *, closing: bool) -> bool:
        """Wake those that wait, as nothing is left to send; return True if there were some."""
        waiters = snapshot(self._waiters)
        if waiters:
            self._sender.resign()
        if closing:
            self._client.close()  # first: the process may end as soon as nobody waits
        for waiter in waiters:
            waiter.set()
        if waiters and not closing:
            # Let the process end before this thread begins with another process's Message.
            self._wakeup.wait(0)
            self._rest(_EXIT_GRACE if self.is_drained() else 0)
        return bool(waiters)

    def _rest(self, seconds: float) -> None:
        idle = self._sender.used_at + _CONNECTION_IDLE - self._clock.monotonic()
        if idle <= 0:
            self._client.close()
        self._wakeup.wait(
            min(seconds, idle, _LONGEST_WAIT) if idle > 0 else min(seconds, _LONGEST_WAIT)
        )

    def _send_inline(self) -> None:
        deadline = Clock.monotonic() + lifecycle.time_left(self.close_timeout)
        try:
            lifecycle.enter_sender()
            self._sender.deadline = deadline
            while Clock.monotonic() < deadline and not self.is_drained():
                if self.step() > 0:
                    break
            self._sender.resign()
        finally:
            self._sender.deadline = None
            lifecycle.leave_sender()

    def _is_hopeless(self, left: float) -> bool:
        """Return True at exit if nothing can be sent within ``left`` seconds.

        What an interpreter that ends has already taken away does not come back.
        """
        if self._sender.is_faulty and sys.is_finalizing():  # pragma: no cover  measured no more
            return True
        return lifecycle.is_ending() and not self._is_busy and self._sender.pause() > left

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
