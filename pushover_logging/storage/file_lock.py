"""Locks that the processes of one host see, and that the operating system frees at their death.

Each lock is one byte of a file that is never written. They are open file description locks where
the system has them: those are not freed when somebody else in the process closes the file.
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
_FLOCK = "hhqqi"  # struct flock: type, whence, start, length, pid


class FileLock:
    """The locks in the file ``path``, each named by an offset and held by an owner.

    Any thread may call. ``_lock`` is held over the table of owners and over system calls that do
    not wait. A fork's child shares the parent's file description, and with it the locks: it must
    call `abandon` first thing, and make a new object. Raises OSError if the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._descriptor: int | None = None
        self._identity = 0, 0
        self._owners: dict[int, object] = {}

    def try_acquire(self, offset: int, owner: object) -> bool:
        """Take a lock; return False if another process, or another owner in this one, has it."""
        with self._lock:
            self._open()
            if offset in self._owners:
                return self._owners[offset] is owner
            if not self._set(fcntl.F_WRLCK, offset):
                return False
            self._owners[offset] = owner
            return True

    def release(self, offset: int, owner: object) -> None:
        """Give a lock back; no effect if ``owner`` does not have it."""
        with self._lock:
            if self._owners.get(offset) is owner:
                del self._owners[offset]
                self._set(fcntl.F_UNLCK, offset)

    def is_held(self, offset: int, length: int = 1) -> bool:
        """Return True if anybody holds a lock in this range, this process included."""
        with self._lock:
            if any(offset <= held < offset + length for held in self._owners):
                return True
            descriptor = self._open()
            get = fcntl.F_OFD_GETLK if _OFD else fcntl.F_GETLK
            wanted = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, offset, length, 0)
            found = fcntl.fcntl(descriptor, get, wanted.ljust(32, b"\0"))
            return bool(struct.unpack_from("h", found)[0] != fcntl.F_UNLCK)

    @contextlib.contextmanager
    def turn(self, offset: int) -> Iterator[None]:
        """Wait until it is this process's turn, in the order in which processes asked.

        That is an order, and excludes nobody: if the file cannot be used the block runs as well.
        One thread of a process at a time; it may wait for as long as another process is stopped.
        """
        held = False
        try:
            with contextlib.suppress(OSError):
                with self._lock:
                    descriptor = self._open()
                wait = fcntl.F_OFD_SETLKW if _OFD else fcntl.F_SETLKW
                fcntl.fcntl(descriptor, wait, self._request(fcntl.F_WRLCK, offset))
                held = True
            yield
        finally:
            if held:
                with contextlib.suppress(OSError), self._lock:
                    self._set(fcntl.F_UNLCK, offset)

    def abandon(self) -> None:
        """Leave the locks to the parent, in a fork's child."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None and self._is_own(descriptor):
            os.close(descriptor)

    close = abandon

    def _open(self) -> int:
        """Return the descriptor; if somebody deleted or closed the file, of a new one.

        All locks in the old one are lost then: other processes lock in the new file.
        """
        if self._descriptor is not None and not self._is_in_place():
            self._owners.clear()
            self.abandon()
        if self._descriptor is None:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(self.path, flags, 0o600)
            found = os.fstat(self._descriptor)
            self._identity = found.st_dev, found.st_ino
        return self._descriptor

    def _is_in_place(self) -> bool:
        try:
            found = self.path.stat(follow_symlinks=False)
        except OSError:
            return False
        return self._is_own(self._descriptor) and self._identity == (found.st_dev, found.st_ino)

    def _is_own(self, descriptor: int | None) -> bool:
        """Return True if the number still means our file: another thread may have closed it."""
        try:
            found = os.fstat(-1 if descriptor is None else descriptor)
        except OSError:
            return False
        return self._identity == (found.st_dev, found.st_ino)

    def _set(self, kind: int, offset: int) -> bool:
        try:
            command = fcntl.F_OFD_SETLK if _OFD else fcntl.F_SETLK
            fcntl.fcntl(self._open_descriptor(), command, self._request(kind, offset))
        except (BlockingIOError, PermissionError):  # which of the two, POSIX leaves open
            return False
        return True

    def _open_descriptor(self) -> int:
        return -1 if self._descriptor is None else self._descriptor

    @staticmethod
    def _request(kind: int, offset: int) -> bytes:
        return struct.pack(_FLOCK, kind, os.SEEK_SET, offset, 1, 0).ljust(32, b"\0")
