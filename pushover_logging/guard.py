"""The lock of one handler's books, which knows when its own thread is inside already."""

from __future__ import annotations

import threading


class Guard:
    """An RLock that tells an interruption from another thread.

    The program's threads and the sender's take it, over nothing slow. A signal handler or a
    ``__del__`` that logs while its own thread is inside finds `is_interrupted`, and leaves its
    record for later. Between taking the lock and counting up nothing is changed yet, so an
    interruption there may do its work whole. A fork's child makes a new one.
    """

    def __init__(self) -> None:
        self.lock: threading.RLock = threading.RLock()
        self.depth: int = 0

    def __enter__(self) -> None:
        """Enter; may be entered again from inside."""
        self.lock.acquire()
        self.depth += 1

    def __exit__(self, *_: object) -> None:
        """Leave."""
        self.depth -= 1
        self.lock.release()

    def is_interrupted(self) -> bool:
        """Tell, once inside, whether this thread was inside already."""
        return self.depth > 1
