"""The background thread of one handler: claim, send, act on the answer, tell what is due.

`step` does one thing and says how long to wait for the next, so that a test can drive it on a
clock of its own. Its state belongs to the one thread that steps: `_running` is held by a call that
starts it or, where none can be, steps itself, `_stepping` by the thread: a start that a signal
handler cut off leaves one that nobody else knows. It alone sets `_busy`, during a step. `_wakeups`
and `_waiters` take from any thread and any signal handler, without a lock.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections import deque
from functools import partial

from pushover_logging import lifecycle
from pushover_logging.books.ledger import Ledger
from pushover_logging.books.looking import ended_alarms
from pushover_logging.books.stats import Stats
from pushover_logging.client import PushoverClient
from pushover_logging.clock import Clock
from pushover_logging.diagnostics import warn
from pushover_logging.exceptions import DeliveryError, RejectedError
from pushover_logging.outbox.envelope import Envelope
from pushover_logging.recovery import Recovery, scale_attachment
from pushover_logging.summary import told_again
from pushover_logging.telling import QuotaWatch, Telling

IDLE = 30.0  # seconds after which a connection that nobody needs is closed
_LONGEST_WAIT = 3600.0
_GRACE = 0.05  # seconds in which whoever waited may end the process
_INLINE = 0.05  # seconds between two tries of a wait without a thread


class Sender:
    """Sends one handler's Messages; times are in seconds, see `PushoverHandler` for them."""

    def __init__(  # noqa: PLR0913  the parts, and the three options that are its own
        self,
        ledger: Ledger,
        client: PushoverClient,
        *,
        clock: Clock,
        host: str | None,
        max_age: float,
        close_timeout: float,
    ) -> None:
        self._ledger, self._client, self._clock = ledger, client, clock
        self._telling, self._max_age = Telling(host, clock), max_age
        self.close_timeout: float = close_timeout
        self.reset()
        lifecycle.register(self)

    def reset(self) -> None:
        """Start anew: at first, and in a fork's child, which sends none of its parent's backlog."""
        self._pid = os.getpid()
        self._thread: threading.Thread | None = None
        self._running, self._stepping = threading.Lock(), threading.Lock()
        self._wakeups: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._waiters: deque[queue.SimpleQueue[None]] = deque()
        self._recovery = Recovery(self._clock)
        self._closing = self._full_told = self._busy = False
        self._used = 0.0
        self._watch = QuotaWatch(self._clock)
        self._last_error: str | None = None
        self._ledger.reset()
        self._client.forget()

    def check_process(self) -> None:
        """Start anew where the process was copied behind Python's back: a fork without hooks."""
        if self._pid != os.getpid():
            self.reset()

    def deliver(self, envelope: Envelope) -> None:
        """Take a Message from the program: put it and see that a thread sends it."""
        if self._ledger.put(envelope) and not self._full_told:
            self._full_told = True
            warn("the outbox is full: the least urgent messages are dropped, see stats()")
        self.wake()

    def wake(self) -> None:
        """See that somebody steps; starts the thread where there is none."""
        self._wakeups.put(None)
        if self._thread is not None and self._thread.is_alive():
            return
        if not self._running.acquire(blocking=False):
            return  # another call starts it just now, or sends inline, and finds the Message
        try:
            lifecycle.hook_exit()
            if not lifecycle.threads_run():
                self._send_inline()
                return
            started = self._clock.start_thread(self._run, "pushover-logging")
            self._thread = self._thread or started
        except RuntimeError:  # the interpreter ends, or has no threads to give
            self._send_inline()
        finally:
            self._running.release()

    def wait(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds until nothing is left to send; tell whether it is so."""
        deadline = time.monotonic() + lifecycle.patience(timeout)
        waiter: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._waiters.append(waiter)
        try:
            while self._busy or not self._is_settled():
                left = deadline - time.monotonic()
                if left <= 0 or not lifecycle.may_wait():
                    return self._is_settled()
                self.wake()
                with contextlib.suppress(queue.Empty):  # without a thread, `wake` sends inline
                    waiter.get(timeout=left if self._thread else min(left, _INLINE))
            return True
        finally:
            self._waiters.remove(waiter)

    def request_close(self) -> None:
        """End the thread when the backlog and the last words are out; returns at once."""
        self._closing = True
        self._telling.end_anew()
        if not self._ledger.settled(last_words=True) or self._thread is not None:
            self.wake()

    def unsent(self) -> tuple[int, int]:
        """Return how many records' Messages end with the process, and how many outlive it."""
        return self._ledger.unsent()

    def stats(self) -> Stats:
        """Return the counters, the quota and the last error."""
        return self._ledger.stats(self._client.quota, self._last_error)

    def step(self) -> float:
        """Do the next thing; return how many seconds nothing else is to be done, 0 for none."""
        now = self._clock.monotonic()
        sends = self._ledger.outbox.may_send()
        fresh = self._watch.look(self._client.quota, self._ledger.set_gate)
        pause = self._recovery.pause(now)
        mute = self._telling.last_words_in()
        self._tell(final=not mute and self._ends() and (pause > 0 or not sends))
        if trouble := self._ledger.outbox.trouble():
            warn("%s", trouble)
        beat = min(fresh, self._ledger.next_due(hurry=self._is_hurried()))
        if pause > 0:
            return min(pause, beat)
        if not sends:
            self._ledger.outbox.catch_up()
            self._client.close()
            return beat
        closed = self._recovery.closed_to(now)
        envelope = self._ledger.claim(self._max_age, closed)
        if self._closing and (envelope is None or self._ends()):
            self._tell(final=not mute)  # only now: the claim may have counted what others put
            envelope = envelope or self._ledger.claim(self._max_age, closed)
        if envelope is None:
            self._full_told = False
            return min(beat, *closed.values(), mute or _LONGEST_WAIT)
        self._recovery.redirect(envelope, now)
        self._send(envelope)
        return 0.0

    def _run(self) -> None:
        if not self._stepping.acquire(blocking=False):
            return  # another one runs
        ident, self._thread = threading.get_ident(), threading.current_thread()
        lifecycle.THREADS.add(ident)
        try:
            while True:
                self._busy = True
                wait = self.step()  # others' Messages may be without end: nobody waits for those
                self._busy = False
                if (wait > 0 or self._is_hurried()) and self._is_settled():
                    for waiter in list(self._waiters):
                        waiter.put(None)
                    if self._closing:
                        break
                    time.sleep(_GRACE if self._waiters else 0)  # for who ends the process now
                if wait > 0:
                    self._rest(wait)
        finally:
            self._busy = False
            lifecycle.THREADS.discard(ident)
            self._thread = None
            self._stepping.release()
        self._client.close()
        self._ledger.outbox.release()
        if not self._ledger.settled(last_words=False):  # put while this thread was ending
            self.wake()

    def _rest(self, seconds: float) -> None:
        idle = self._used + IDLE - self._clock.monotonic()
        if idle <= 0:
            self._client.close()
        with contextlib.suppress(queue.Empty):
            self._wakeups.get(timeout=min(seconds, idle) if idle > 0 else seconds)

    def _send_inline(self) -> None:
        ident = threading.get_ident()
        lifecycle.THREADS.add(ident)
        try:
            deadline = time.monotonic() + lifecycle.patience(self.close_timeout)
            while time.monotonic() < deadline and not self._is_settled():
                if self.step() > 0:
                    break
            self._ledger.outbox.catch_up()  # the deadline may have come before the next claim
        finally:
            lifecycle.THREADS.discard(ident)

    def _ends(self) -> bool:
        """Tell whether this handler closes, and all its own records are told."""
        return self._closing and self._ledger.settled(last_words=False)

    def _is_settled(self) -> bool:
        return self._ledger.settled(last_words=self._closing)

    def _tell(self, *, final: bool) -> None:
        told = partial(self._telling.envelopes, final=final)
        self._ledger.tell(told, final=final, hurry=self._is_hurried())

    def _is_hurried(self) -> bool:
        """Tell whether somebody waits for this sender: then it asks others more often."""
        return self._closing or bool(self._waiters)

    def _send(self, envelope: Envelope) -> None:
        self._used = self._clock.monotonic()
        scale_attachment(envelope)
        try:
            with lifecycle.request_slot():
                count = envelope.counts[0] if envelope.counts else None
                for tag in ended_alarms(envelope):
                    with contextlib.suppress(RejectedError):  # one that is not there is no fault
                        self._client.cancel_by_tag(tag)
                self._client.send(told_again(envelope.message, envelope.verdict, count))
        except DeliveryError as error:
            self._last_error = str(error)
            if self._recovery.keeps(error, envelope):
                self._ledger.outbox.retry(envelope)
            else:
                self._ledger.rejected(envelope, str(error))
        except BaseException:
            self._ledger.outbox.retry(envelope)
            raise
        else:
            self._recovery.succeeded(envelope)
            self._ledger.accepted(envelope)
            if self._is_hurried():
                self._ledger.outbox.catch_up()
