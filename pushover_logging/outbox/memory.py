"""The default outbox: Messages in this process's memory, the most urgent first, bounded.

Not thread-safe by itself: the ledger holds its lock around every call.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container

from pushover_logging.message import EMERGENCY
from pushover_logging.outbox.envelope import Envelope

CAPACITY = 1000
CAPACITY_BYTES = 8 * 1024 * 1024


class MemoryOutbox:
    """A queue a priority. ``capacity`` is in Messages, those being sent included."""

    def __init__(self, capacity: int = CAPACITY, capacity_bytes: int = CAPACITY_BYTES) -> None:
        self._queues: dict[int, deque[Envelope]] = {
            priority: deque() for priority in range(EMERGENCY, -EMERGENCY - 1, -1)
        }
        self._capacity = capacity
        self._capacity_bytes = capacity_bytes
        self._bytes = 0
        self._length = 0
        self.records = 0

    def clear(self) -> None:
        """Forget everything: a fork's child never sends its parent's Messages."""
        for queue in self._queues.values():
            queue.clear()
        self._bytes = self._length = self.records = 0

    def __len__(self) -> int:
        """Return how many wait or are being sent; ``records`` of them are not summaries."""
        return self._length

    def put(self, envelope: Envelope) -> list[Envelope]:
        """Add one; return what had to go for it, the lowest priority first, the newest of equals.

        What is being sent stays; the new one itself goes where nothing is below it.
        """
        self._enter(envelope)
        self._queues[envelope.message.priority].append(envelope)
        gone: list[Envelope] = []
        while self._is_over() and (lowest := self._lowest()):
            gone.append(lowest.pop())
            self._leave(gone[-1])
        return gone

    def claim(self, closed_to: Container[str | None] = ()) -> Envelope | None:
        """Return the most urgent (priority, then age) and keep it out of other hands.

        What is for one of the users ``closed_to`` stays.
        """
        for queue in self._queues.values():
            for envelope in queue:
                if envelope.message.user not in closed_to:
                    queue.remove(envelope)
                    return envelope
        return None

    def retry(self, envelope: Envelope) -> None:
        """Put a claimed one back at the head of its priority."""
        self._queues[envelope.message.priority].appendleft(envelope)

    def ack(self, envelope: Envelope) -> None:
        """Let a claimed one go: it was accepted, refused, or is too old."""
        self._leave(envelope)

    reject = ack

    def _is_over(self) -> bool:
        return self._length > self._capacity or self._bytes > self._capacity_bytes

    def _lowest(self) -> deque[Envelope] | None:
        return next((queue for queue in reversed(self._queues.values()) if queue), None)

    def _enter(self, envelope: Envelope) -> None:
        self._length += 1
        self._bytes += envelope.size
        self.records += envelope.counts_as_record

    def _leave(self, envelope: Envelope) -> None:
        self._length -= 1
        self._bytes -= envelope.size
        self.records -= envelope.counts_as_record
