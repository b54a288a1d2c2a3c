"""Locks that the processes of one host see, and that the operating system frees at their death.

Each lock is one byte of a file that is never written. They are open file description locks where
the system has them: those are not freed when other code in the process closes the file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

_OFD = hasattr(fcntl, "F_OFD_SETLK")  # Linux; others have POSIX locks, which belong to a process
_SET = fcntl.F_OFD_SETLK if _OFD else fcntl.F_SETLK
_WAIT = fcntl.F_OFD_SETLKW if _OFD else fcntl.F_SETLKW
_GET = fcntl.F_OFD_GETLK if _OFD else fcntl.F_GETLK
_FLOCK = "hhqqi"  # struct flock: type, whence, start, length, pid


class FileLock:
    """The locks in the file ``path``, each named by an offset and held by an owner's number.

    Any thread may call. ``_lock`` is held over the table of owners and over system calls that do
    not wait. A fork's child shares the parent's file description, and with it the locks: it must
    call `close` first thing, and make a new object. Raises OSError if the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._descriptor = -1
        self._identity = 0, 0
        self._owners: dict[int, int] = {}

    def try_acquire(self, offset: int, owner: int) -> bool:
        """Take a lock; return False if another process, or another owner in this one, has it."""
        with self._lock:
            descriptor = self._open()
            if offset not in self._owners:
                try:
                    fcntl.fcntl(descriptor, _SET, _request(fcntl.F_WRLCK, offset))
                except (BlockingIOError, PermissionError):  # which of the two, POSIX leaves open
                    return False
            return self._owners.setdefault(offset, owner) == owner

    def release(self, owner: int, offset: int | None = None) -> None:
        """Give a lock back, or all that ``owner`` has; no effect if it has none."""
        with self._lock, contextlib.suppress(OSError):
            for held in [held for held, by in self._owners.items() if by == owner]:
                if offset in {held, None}:
                    del self._owners[held]
                    fcntl.fcntl(self._descriptor, _SET, _request(fcntl.F_UNLCK, held))

    def is_held(self, offset: int, length: int = 1) -> bool:
        """Return True if anybody holds a lock in this range, this process included."""
        with self._lock:
            descriptor = self._open()
            if any(offset <= held < offset + length for held in self._owners):
                return True
            found = fcntl.fcntl(descriptor, _GET, _request(fcntl.F_WRLCK, offset, length))
            return bool(struct.unpack_from("h", found)[0] != fcntl.F_UNLCK)

    @contextlib.contextmanager
    def turn(self, offset: int) -> Iterator[None]:
        """Wait until it is this process's turn, in the order in which processes asked.

        That is an order, and excludes nobody: if the file cannot be used the block runs as well.
        One thread of a process at a time; it may wait for as long as another process is stopped.
        """
        descriptor = -1
        try:
            with contextlib.suppress(OSError):
                with self._lock:
                    descriptor = self._open()
                fcntl.fcntl(descriptor, _WAIT, _request(fcntl.F_WRLCK, offset))
            yield
        finally:
            with contextlib.suppress(OSError, ValueError):  # it was not opened
                fcntl.fcntl(descriptor, _SET, _request(fcntl.F_UNLCK, offset))

    def close(self) -> None:
        """Close the file, and lose all locks; those of a fork's parent stay with that."""
        self._owners.clear()
        descriptor, self._descriptor = self._descriptor, -1
        with contextlib.suppress(OSError):  # other code has closed it, and may use its number
            found = os.fstat(descriptor)
            if (found.st_dev, found.st_ino) == self._identity:
                os.close(descriptor)

    __del__ = close

    def _open(self) -> int:
        """Return the descriptor; if the file was deleted or closed, of a new one.

        All locks in the old one are lost then: other processes lock in the new file.
        """
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(self._descriptor), self.path.lstat()):
                return self._descriptor
        self.close()
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(self.path, flags, 0o600)
        found = os.fstat(self._descriptor)
        self._identity = found.st_dev, found.st_ino
        return self._descriptor


def _request(kind: int, offset: int, length: int = 1) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, offset, length, 0).ljust(32, b"\0")
