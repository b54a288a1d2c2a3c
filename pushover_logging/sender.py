"""The background thread of one handler: when it starts, rests and ends, and who waits for it.

At most one thread steps: `_running` is held by a call that starts it or, where none can be, steps
itself, `_stepping` by the thread: a start that a signal handler cut off leaves one that nobody else
knows. It alone sets `_busy`, during a step. `_wakeups` and `_waiters` take from any thread and any
signal handler, without a lock.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections import deque

from pushover_logging import lifecycle
from pushover_logging.api.client import PushoverClient
from pushover_logging.books.ledger import Ledger
from pushover_logging.books.stats import Stats
from pushover_logging.clock import Clock
from pushover_logging.guard import is_inside
from pushover_logging.outbox.envelope import Envelope
from pushover_logging.steps import Steps

IDLE = 30.0  # seconds after which a connection that nobody needs is closed
_ENDING = 1.0  # seconds that the thread before may take for its last steps
_GRACE = 1.0  # seconds in which whoever waited may end the process
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
        self._steps = Steps(ledger, client, clock, host=host, max_age=max_age)
        self.close_timeout: float = close_timeout
        self.reset()
        lifecycle.register(self)

    def reset(self) -> None:
        """Start anew: at first, and in a fork's child, which sends none of its parent's backlog."""
        self._pid = os.getpid()
        self._thread: threading.Thread | None = None
        self._running, self._stepping = threading.RLock(), threading.Lock()
        self._wakeups: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._waiters: deque[queue.SimpleQueue[None]] = deque()
        self._busy = False
        self._steps.renew()
        self._ledger.reset()
        self._client.forget()

    def check_process(self) -> None:
        """Start anew where the process was copied behind Python's back: a fork without hooks."""
        if self._pid != os.getpid():
            self.reset()

    def deliver(self, envelope: Envelope) -> None:
        """Take a Message from the program: put it and see that a thread sends it."""
        self._steps.put(envelope)
        self.wake()
        if lifecycle.has_exited():
            self.wait(None)

    def take_over(self) -> None:
        """Send what processes that are gone left in the outbox's file; returns at once.

        Where no thread can start, it waits for the first record, or for who waits for the sender.
        """
        if self._ledger.outbox.may_hold_more():
            self.wake(inline=False)

    def wake(self, *, inline: bool = True) -> None:
        """See that somebody steps; starts the thread where there is none.

        ``inline``: this call sends itself where no thread can.
        """
        self._wakeups.put(None)
        if self._thread is not None and self._thread.is_alive():
            return
        if is_inside(self._running):
            return  # this call interrupts the one that starts it
        try:
            if self._running.acquire(blocking=False):
                self._start(inline=inline)
            # Else another thread starts it just now, or sends inline, and finds the Message.
        finally:
            try:  # noqa: SIM105  see `guard`
                self._running.release()
            except RuntimeError:  # it is another's
                pass

    def _start(self, *, inline: bool) -> None:
        try:
            lifecycle.hook_exit()
            if lifecycle.threads_run():
                # It says itself that it runs: set here, it could be there after its end.
                self._clock.start_thread(self._run, lifecycle.THREAD_NAME)
            elif inline:
                self._send_inline()
        except RuntimeError:  # the interpreter ends, or has no threads to give
            if inline:
                self._send_inline()

    def wait(self, timeout: float | None) -> bool:
        """Wait at most ``timeout`` seconds until nothing is left to send; tell whether it is so.

        None: as many as at the end.
        """
        timeout = self.close_timeout if timeout is None else timeout
        left = lifecycle.patience(timeout)
        waiter: queue.SimpleQueue[None] = queue.SimpleQueue()
        try:
            if self._ledger.entrance.is_free():
                self._ledger.give_up()
            self._waiters.append(waiter)
            while self._busy or not self._is_settled():
                if left <= 0 or not lifecycle.may_wait():
                    return self._is_settled()
                began, waited = time.monotonic(), 0.0
                self.wake()
                try:
                    step = left if self._thread else min(left, _INLINE)  # without, `wake` sends
                    waiter.get(timeout=step)
                except queue.Empty:
                    waited = step  # also where a test has time stand still
                left -= max(waited, time.monotonic() - began)
            return True
        finally:
            with contextlib.suppress(ValueError):  # cut off before it was there
                self._waiters.remove(waiter)

    def request_close(self) -> None:
        """End the thread when the backlog and the last words are out; returns at once."""
        self._steps.close()
        if not self._ledger.settled(last_words=True) or self._thread is not None:
            self.wake()

    def unsent(self) -> tuple[int, int]:
        """Return how many records' Messages end with the process, and how many outlive it."""
        return self._ledger.unsent()

    def stats(self) -> Stats:
        """Return the counters, the quota and the last error."""
        return self._ledger.stats(self._client.quota, self._steps.last_error)

    def step(self) -> float:
        """Do the next thing; return how many seconds nothing else is to be done, 0 for none."""
        return self._steps.step(hurried=self._is_hurried())

    def _run(self) -> None:
        if not self._stepping.acquire(timeout=_ENDING):
            return  # another one runs, and is not just about to end
        ident, self._thread = threading.get_ident(), threading.current_thread()
        lifecycle.THREADS.add(ident)
        try:
            while True:
                self._busy = True
                wait = self.step()  # others' Messages may be without end: nobody waits for those
                self._busy = False
                idle = wait > 0 or self._is_hurried()
                if idle and self._is_settled() and not self._goes_on():
                    break
                if wait > 0:
                    self._rest(wait)
        finally:
            self._busy = False
            lifecycle.THREADS.discard(ident)
            try:
                self._ledger.outbox.release()  # before another thread holds it for us
            finally:
                self._thread = None
                self._stepping.release()
        if not self._ledger.settled(last_words=False):  # put while this thread was ending
            self.wake()

    def _goes_on(self) -> bool:
        """Tell whoever waits that nothing is left to send; return whether this thread goes on."""
        waiters, closing = list(self._waiters), self._steps.closing
        if waiters:
            self._ledger.outbox.release()
        if closing:
            self._client.close()  # first: whoever waits may end the process
        for waiter in waiters:
            waiter.put(None)
        if waiters and not closing:
            self._give_way()
        return not closing

    def _give_way(self) -> None:
        """Rest until the program logs again: whoever waited may end the process now.

        It must not end in the middle of another's send; others send for the account meanwhile.
        """
        with contextlib.suppress(queue.Empty):
            while True:  # those who waited have woken it, each again and again
                self._wakeups.get_nowait()
        self._rest(_GRACE if self._is_settled() else 0)

    def _rest(self, seconds: float) -> None:
        idle = self._steps.used + IDLE - self._clock.monotonic()
        if idle <= 0:
            self._client.close()
        with contextlib.suppress(queue.Empty):
            self._wakeups.get(timeout=min(seconds, idle) if idle > 0 else seconds)

    def _send_inline(self) -> None:
        ident = threading.get_ident()
        try:
            lifecycle.THREADS.add(ident)
            deadline = time.monotonic() + lifecycle.patience(self.close_timeout)
            while time.monotonic() < deadline and not self._is_settled():
                if self.step() > 0:
                    break
            self._ledger.outbox.catch_up()  # the deadline may have come before the next claim
        finally:
            lifecycle.THREADS.discard(ident)

    def _is_settled(self) -> bool:
        return self._ledger.settled(last_words=self._steps.closing)

    def _is_hurried(self) -> bool:
        """Tell whether somebody waits for this sender: then it asks others more often."""
        return self._steps.closing or bool(self._waiters)
