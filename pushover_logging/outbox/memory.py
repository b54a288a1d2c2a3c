"""The default outbox: a bounded priority queue in this process's memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection

from pushover_logging.message import EMERGENCY
from pushover_logging.outbox.queue import QueuedMessage

CAPACITY = 1000
CAPACITY_BYTES = 8 * 1024 * 1024


class MemoryOutbox:
    """A queue for each priority; ``capacity`` counts Messages, those that are being sent included.

    Every method runs under the pipeline's ``lock`` and does no I/O. `put` makes no call between its
    changes, so that neither a signal handler nor the recursion limit can raise between them.
    """

    def __init__(
        self, lock: threading.RLock, capacity: int = CAPACITY, capacity_bytes: int = CAPACITY_BYTES
    ) -> None:
        self._lock = lock
        self._capacity = capacity
        self._capacity_bytes = capacity_bytes
        self._queues: dict[int, deque[QueuedMessage]] = {
            priority: deque() for priority in range(EMERGENCY, -EMERGENCY - 1, -1)
        }
        self._length = self._bytes = 0

    def __len__(self) -> int:
        """Return how many Messages wait or are being sent."""
        return self._length

    def put(self, queued: QueuedMessage, *, wait: bool = True) -> list[QueuedMessage]:  # noqa: ARG002  a file's
        """Add a Message. When full the lowest priority goes first, the newest of equals.

        A Message that is being sent stays; the new one itself goes if nothing is below it.
        """
        message = queued.message
        texts = len(message.message) + len(message.title or "") + len(message.url or "")
        image = len(message.attachment or b"") + len(message.attachment_base64 or "")
        queued.size = 512 + 4 * texts + image
        with self._lock:
            queue = self._queues[message.priority]
            evicted: list[QueuedMessage] = []
            self._length += 1
            self._bytes += queued.size
            queue += [queued]
            while self._length > self._capacity or self._bytes > self._capacity_bytes:
                lowest = next(queue for queue in reversed(self._queues.values()) if queue)
                evicted.append(lowest.pop())
                self._forget(evicted[-1])
            return evicted

    def claim(
        self, blocked_users: Collection[str | None], waiting: Collection[str]
    ) -> QueuedMessage | None:
        """Return the most urgent Message: by priority, then by age.

        None for ``blocked_users``, and none of the ids that are ``waiting``.
        """
        with self._lock:
            for queue in self._queues.values():
                for queued in queue:
                    if queued.message.user not in blocked_users and queued.id not in waiting:
                        queue.remove(queued)
                        return queued
            return None

    def ack(self, queued: QueuedMessage, outcome: str, view: tuple[int, float]) -> None:  # noqa: ARG002  a file keeps them
        """Forget a claimed Message."""
        with self._lock:
            self._forget(queued)

    def retry(self, queued: QueuedMessage) -> None:
        """Put a claimed Message back at the head of its priority."""
        with self._lock:
            self._queues[queued.message.priority].appendleft(queued)

    def has(self, queued: QueuedMessage) -> bool:
        """Return True if it waits here."""
        with self._lock:
            return queued in self._queues[queued.message.priority]

    def _forget(self, queued: QueuedMessage) -> None:
        self._length -= 1
        self._bytes -= queued.size
