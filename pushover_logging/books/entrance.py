"""Where a handler's records come in: one at a time in each thread, interruptions after it.

A record that comes from a signal handler or a ``__del__`` in the middle of another is left to that
call. `_inside` holds the threads that are in; each adds and removes itself, and what interrupts
before it is added, or after it is removed, does its own work whole. `_late` takes from any
interruption without a lock. A fork's child makes a new entrance.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable

Take = Callable[[logging.LogRecord], bool]
"""Takes a record; False where it interrupts the books, which may be in the middle of a change."""


class Entrance:
    """Lets one record of a thread in at a time."""

    def __init__(self) -> None:
        self._inside: set[int] = set()
        self._late: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()

    def enter(self, record: logging.LogRecord, take: Take) -> None:
        """Have the record taken, and what came meanwhile."""
        thread = threading.get_ident()
        if thread in self._inside:
            self._late.put(record)
            return
        try:
            self._inside.add(thread)
            if self._takes(record, take):
                self.drain(take)
        finally:
            self._inside.discard(thread)

    def is_free(self) -> bool:
        """Tell whether the calling thread is not in the middle of a record."""
        return threading.get_ident() not in self._inside

    def drain(self, take: Take) -> None:
        """Have taken what came in the middle of a call, as far as it is there by now.

        What a signal handler adds meanwhile waits for the next call: it could go on for ever.
        """
        with contextlib.suppress(queue.Empty):  # where another thread was faster
            for _ in range(self._late.qsize()):
                if not self._takes(self._late.get_nowait(), take):
                    break

    def _takes(self, record: logging.LogRecord, take: Take) -> bool:
        taken = take(record)
        if not taken:
            self._late.put(record)
        return taken
