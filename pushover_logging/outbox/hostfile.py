"""An outbox's file, one object a process: its database, its locks, and whether it is one at all."""

from __future__ import annotations

import contextlib
import os
import weakref
from pathlib import Path

from pushover_logging.database import Database
from pushover_logging.hostlock import HostLock
from pushover_logging.outbox import rows

_HEAD = 64  # https://sqlite.org/fileformat2.html: the last four are the schema's version
_OURS = "SELECT 1 FROM sqlite_master WHERE name = 'outcome'"


class HostFile:
    """An outbox's file in this process, shared by its handlers: its database and its locks."""

    def __init__(self, path: Path) -> None:
        self.lock: HostLock = HostLock(path.with_name(f"{path.name}.lock"))
        self.database: Database = Database(path, rows.MIGRATIONS, self.lock.turn)
        self._pid = os.getpid()

    def is_of_others(self) -> bool:
        """Tell whether there is a file that was never an outbox: somebody named the wrong one.

        A damaged outbox, which is moved aside, has its locks beside it; they are made first.
        """
        path = self.database.path
        with contextlib.suppress(OSError):
            filled = path.is_file() and path.stat().st_size > 0
            return filled and not is_outbox(self.database) and not self.lock.path.exists()
        return False

    def renew(self) -> None:
        """Start anew in a fork's child; the first of its handlers does it for all."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self.database.renew()
            self.lock.renew()


def is_outbox(database: Database) -> bool:
    """Tell whether the file is SQLite's and has one of our schemas, or a newer one.

    Raises OSError where it cannot be read.
    """
    with database.path.open("rb") as file:
        head = file.read(_HEAD)
    version = int.from_bytes(head[60:], "big")
    if not head.startswith(b"SQLite format 3\0") or not version:
        return False
    return version > len(rows.MIGRATIONS) or database.has_row(_OURS) is not False


_FILES: weakref.WeakValueDictionary[str, HostFile] = weakref.WeakValueDictionary()
"""One object a real path and process. `setdefault` is atomic where two threads make handlers."""


def host_file(path: Path) -> HostFile:
    """Return this process's object for the file ``path``; nothing is opened before it is used."""
    real = os.path.realpath(path)
    return _FILES.setdefault(real, HostFile(Path(real)))
