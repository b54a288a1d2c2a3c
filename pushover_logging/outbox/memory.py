"""The default outbox: Messages in this process's memory, the most urgent first, bounded."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Container

from pushover_logging.message import EMERGENCY
from pushover_logging.outbox.envelope import Envelope, Fate

CAPACITY = 1000
CAPACITY_BYTES = 8 * 1024 * 1024


class MemoryOutbox:
    """A queue a priority. ``capacity`` is in Messages, those being sent included.

    Any thread may call: each method enters the handler's guard, and none is slow inside.
    """

    def __init__(self, capacity: int = CAPACITY, capacity_bytes: int = CAPACITY_BYTES) -> None:
        self._capacity = capacity
        self._capacity_bytes = capacity_bytes
        self.renew(threading.RLock())

    def renew(self, guard: threading.RLock) -> None:
        """Forget everything: a fork's child never sends its parent's Messages."""
        self._guard = guard
        self._queues: dict[int, deque[Envelope]] = {
            priority: deque() for priority in range(EMERGENCY, -EMERGENCY - 1, -1)
        }
        self._length = self._bytes = 0
        self._news: Counter[str] = Counter()

    def __len__(self) -> int:
        """Return how many wait or are being sent."""
        return self._length

    def put(self, envelope: Envelope) -> list[Envelope]:
        """Add one; return what had to go for it, the lowest priority first, the newest of equals.

        What is being sent stays; the new one itself goes where nothing is below it.
        """
        with self._guard:
            queue = self._queues[envelope.message.priority]
            self._length += 1  # no call before it is in, where a signal handler could raise
            self._bytes += envelope.size
            queue.append(envelope)
            gone: list[Envelope] = []
            while self._is_over() and (lowest := self._lowest()):
                gone.append(lowest.pop())
                self._reckon(-1, -gone[-1].size)
            return gone

    def may_hold_more(self) -> bool:
        """Tell whether others may have left Messages in it: in memory nobody can."""
        return False

    def has(self, envelope: Envelope) -> bool:
        """Tell whether it waits here, where its `put` was cut off."""
        with self._guard:
            return envelope in self._queues[envelope.message.priority]

    def may_send(self) -> bool:
        """Tell whether this handler sends: in memory always its own."""
        return True

    def is_behind(self) -> bool:
        """Tell whether something must still be written down: in memory nothing."""
        return False

    def catch_up(self) -> None:
        """Write that down."""

    def release(self) -> None:
        """Let others send: in memory nobody else could."""

    def trouble(self) -> str | None:
        """Return what is to be said of it: nothing."""
        return None

    def lost_of(self, pending: int) -> tuple[int, int]:
        """Return how many of ``pending`` end with the process, and how many outlive it."""
        return pending, 0

    def news(self) -> dict[str, int]:
        """Take what became of Messages that were claimed and not sent."""
        news, self._news = self._news, Counter()
        return dict(news)

    def claim(self, closed_to: Container[str | None], fate: Fate) -> Envelope | None:
        """Return the most urgent (priority, then age) and keep it out of other hands.

        What is for one of the users ``closed_to`` stays. ``fate`` is asked of each, outside of the
        guard: what it says ends the Message unsent and is noted in `news`; None has it sent.
        """
        while (envelope := self._pop(closed_to)) is not None:
            try:
                what = fate(envelope)
            except BaseException:
                self.retry(envelope)
                raise
            if what is None:
                break
            with self._guard:
                self._reckon(-1, -envelope.size)
            self._news[what] += 1
        return envelope

    def retry(self, envelope: Envelope) -> None:
        """Put a claimed one back at the head of its priority."""
        with self._guard:
            self._queues[envelope.message.priority].appendleft(envelope)

    def keep(self, envelope: Envelope) -> None:
        """Write down what a claimed one is now: in memory it is that."""

    def finish(self, envelope: Envelope, what: str, confirm: Callable[[], None]) -> None:  # noqa: ARG002  what: for files
        """Let a claimed one go; ``confirm`` is what else follows from it."""
        with self._guard:
            self._reckon(-1, -envelope.size)
        confirm()

    def _pop(self, closed_to: Container[str | None]) -> Envelope | None:
        with self._guard:
            for queue in self._queues.values():
                for envelope in queue:
                    if envelope.message.user not in closed_to:
                        queue.remove(envelope)
                        return envelope
            return None

    def _reckon(self, number: int, size: int) -> None:
        self._length += number
        self._bytes += size

    def _is_over(self) -> bool:
        return self._length > self._capacity or self._bytes > self._capacity_bytes

    def _lowest(self) -> deque[Envelope] | None:
        return next((queue for queue in reversed(self._queues.values()) if queue), None)
