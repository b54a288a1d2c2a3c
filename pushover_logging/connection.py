"""The one connection of a process to an SQLite file that others may delete, replace or damage.

Opened so that a commit lasts, with the schema of this version.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import time
from collections.abc import Sequence
from pathlib import Path

_OPENING = 0.2  # seconds that opening waits at each of its steps
_ASIDE = ".damaged-"
_BUSY = ("database is locked", "attempt to write a readonly database")
_ABANDONED: list[sqlite3.Connection] = []
"""A parent's connections in a fork's child: to close one could roll back what the parent does."""


class _Closing(sqlite3.Connection):
    """Closes itself when nobody uses it any more: Python 3.13 warns of one that is left open.

    Its owner could not do it: in a circle of garbage the order of ends is not ours.
    """

    def __del__(self) -> None:
        """Close it."""
        self.close()


class Connection:
    """To the file ``path``, with the schema of ``migrations``; `Database` keeps threads apart.

    ``current`` is None while it is closed. ``generation`` is another one where what was in the file
    may be gone: after each opening, and where others emptied it. ``notice`` is what a person is to
    know, once.
    """

    def __init__(self, path: Path, migrations: Sequence[str]) -> None:
        self.path = path
        self._migrations = migrations
        self._identity = 0, 0
        self.current: sqlite3.Connection | None = None
        self.generation: int = 0
        self.notice: str | None = None

    def abandon(self) -> None:
        """Leave a parent's connection alone, in a fork's child."""
        if self.current is not None:
            _ABANDONED.append(self.current)
        self.current = None

    def begin(self) -> sqlite3.Connection:
        """Begin a transaction in the file that is there, without waiting for others."""
        if self.current is not None and not self.is_in_place():
            self.close()
            if not self._was_moved_aside():  # who does that says so
                self.notice = f"{self.path} was deleted or replaced while it was open"
        fresh = self.current is None
        if self.current is None:
            self.current = self._open()
            self.generation += 1
        self.current.execute("BEGIN EXCLUSIVE")  # so that nothing after it has to wait
        if _migrate(self.current, self._migrations) and not fresh:
            self.generation += 1
            self.notice = f"{self.path} was emptied while it was open"
        return self.current

    def undo(self) -> None:
        """Leave nothing of a transaction that did not come to its end."""
        if self.current is not None:
            with contextlib.suppress(sqlite3.Error, ValueError):
                self.current.rollback()

    def has_row(self, query: str, *values: object) -> bool | None:
        """Tell whether the file that is there, or not, has a row; None: that is to be seen later.

        Makes and changes nothing, waits for nobody, and takes what cannot be read for none. None
        is where another process writes just now, or one was killed in the middle of writing: only
        `begin` puts that right.
        """
        try:
            if not stat.S_ISREG(self.path.stat().st_mode):
                return False
            name = f"{self.path.absolute().as_uri()}?mode=ro"
            with contextlib.closing(sqlite3.connect(name, timeout=0, uri=True)) as reader:
                _check(reader, len(self._migrations))
                return reader.execute(query, values).fetchone() is not None
        except (sqlite3.Error, ValueError, OSError) as error:
            return None if any(one in str(error) for one in _BUSY) else False

    def close(self) -> None:
        """Close it; the next `begin` opens another."""
        connection, self.current = self.current, None
        if connection is not None:
            connection.close()

    def is_in_place(self) -> bool:
        """Tell whether the file that was opened last is still the one at ``path``."""
        try:
            return _identity(self.path) == self._identity
        except OSError:
            return False

    def move_aside(self) -> Path | None:
        """Move a damaged file away and say where to; None: another process was first."""
        self.close()
        if not self.is_in_place():
            return None
        aside = self.path.with_name(f"{self.path.name}{_ASIDE}{time.time_ns()}")
        self.path.rename(aside)
        journal = self.path.with_name(f"{self.path.name}-journal")
        with contextlib.suppress(FileNotFoundError):
            journal.rename(aside.with_name(f"{aside.name}-journal"))
        return aside

    def _was_moved_aside(self) -> bool:
        """Tell whether another process found the file that was open here damaged."""
        aside = f"{self.path.name}{_ASIDE}"
        with contextlib.suppress(OSError):
            names = [one for one in self.path.parent.iterdir() if one.name.startswith(aside)]
            return self._identity in map(_identity, names)
        return False

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._identity = _identity(self.path)
        return _opened(self.path, len(self._migrations))


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _opened(path: Path, version: int) -> sqlite3.Connection:
    """Open the file ``path``, whose schema may be ``version`` or older; OSError: it is newer."""
    connection = sqlite3.connect(
        path, timeout=_OPENING, isolation_level=None, check_same_thread=False, factory=_Closing
    )
    try:
        _check(connection, version)
        connection.execute("PRAGMA journal_mode = TRUNCATE")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA busy_timeout = 0")  # who begins waits himself, in short steps
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection, version: int) -> int:
    """Return the schema that the file has. OSError: a newer one than ``version``."""
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found > version:
        msg = f"its schema {found} is of a newer version of this library"
        raise OSError(msg)
    return int(found)


def _migrate(connection: sqlite3.Connection, migrations: Sequence[str]) -> bool:
    """Bring the schema up to date, within a transaction; tell whether there was none before."""
    version = _check(connection, len(migrations))
    for statements in migrations[version:]:
        for statement in statements.split(";"):
            connection.execute(statement)
    if version < len(migrations):
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
    return version == 0
