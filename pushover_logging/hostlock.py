"""Locks that the processes of one host see, and that the operating system frees at their death.

Each lock is one byte of a file (``fcntl.lockf``). A fork does not inherit it, and the same process
may take it twice: `_held` is what keeps its threads apart. The file stays open while this object
lives, because closing any descriptor of it would free every lock that the process has in it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

_DOOR = 2**62  # offsets from here on are the queue's: its door, then the places in it
_PLACES = 2**20
_POLL = 0.0005  # seconds between two looks whether it is one's turn


class HostLock:
    """The locks in the file ``path``; each is named by an offset.

    Called by any thread; `_guard` is held over system calls that do not wait. A fork's child calls
    `renew`, and holds nothing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None
        self.renew()

    def renew(self) -> None:
        """Start anew in a fork's child, whose parent keeps the locks."""
        self._guard = threading.RLock()
        self._held: dict[int, object] = {}
        if self._file is not None:
            os.close(self._file)
        self._file = None

    def try_hold(self, offset: int, owner: object) -> bool:
        """Take the lock; False where another process, or another owner in this one, has it.

        A file that somebody deleted is left, with all locks in it: others lock in a new one.
        Raises OSError where the file cannot be used.
        """
        with self._guard:
            if not self._is_in_place():
                self.renew()
            if offset in self._held:
                return self._held[offset] is owner
            if not self._lock(offset, 1):
                return False
            self._held[offset] = owner
            return True

    def release(self, offset: int, owner: object) -> None:
        """Give the lock back; no effect where ``owner`` does not have it."""
        with self._guard:
            if self._held.get(offset) is owner:
                del self._held[offset]
                self._unlock(offset, 1)

    def is_held(self, offset: int) -> bool:
        """Tell whether anybody has the lock, this process included."""
        with self._guard:
            return offset in self._held or not self._is_free(offset)

    def is_alone(self, offset: int, length: int) -> bool:
        """Tell whether no other process holds a lock in this range.

        For a moment, while it looks, this process's own are not held.
        """
        with self._guard:
            if not self._lock(offset, length):
                return False
            self._unlock(offset, length)
            for one in self._held:
                self._lock(one, 1)
            return True

    @contextlib.contextmanager
    def turn(self, deadline: float) -> Iterator[None]:
        """Wait until it is this process's turn, at most until ``deadline`` (monotonic seconds).

        Who came first goes first. That is an order and excludes nobody: after the deadline, or
        where the file cannot be used, the block runs all the same; and who dies in the queue, or
        leaves it, lets the next one on.
        """
        place = None
        try:
            with contextlib.suppress(OSError):
                place = self._queue_up(deadline)
            if place is not None:
                self._await_free(_DOOR + 1 + (place - 1) % _PLACES, deadline)
            yield
        finally:
            if place is not None:
                with contextlib.suppress(OSError), self._guard:
                    self._unlock(_DOOR + 1 + place, 1)

    def _queue_up(self, deadline: float) -> int | None:
        """Take the next place; the file's first bytes say which was the last. None: no time."""
        while time.monotonic() < deadline:
            with self._guard:
                if self._lock(_DOOR, 1):
                    try:
                        last = int.from_bytes(os.pread(self._descriptor(), 4, 0), "big")
                        place = (last + 1) % _PLACES
                        os.pwrite(self._descriptor(), place.to_bytes(4, "big"), 0)
                        self._lock(_DOOR + 1 + place, 1)
                    finally:
                        self._unlock(_DOOR, 1)
                    return place
            time.sleep(_POLL)
        return None

    def _await_free(self, offset: int, deadline: float) -> None:
        with contextlib.suppress(OSError):
            while time.monotonic() < deadline and not self._is_free(offset):
                time.sleep(_POLL)

    def _is_free(self, offset: int) -> bool:
        with self._guard:
            free = self._lock(offset, 1)
            if free:
                self._unlock(offset, 1)
            return free

    def _is_in_place(self) -> bool:
        with contextlib.suppress(OSError):
            return self._file is None or os.path.samestat(os.fstat(self._file), self.path.stat())
        return False

    def _lock(self, offset: int, length: int) -> bool:
        try:
            fcntl.lockf(self._descriptor(), fcntl.LOCK_EX | fcntl.LOCK_NB, length, offset)
        except (BlockingIOError, PermissionError):  # which of the two, POSIX leaves open
            return False
        return True

    def _unlock(self, offset: int, length: int) -> None:
        fcntl.lockf(self._descriptor(), fcntl.LOCK_UN, length, offset)

    def _descriptor(self) -> int:
        if self._file is None:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._file
