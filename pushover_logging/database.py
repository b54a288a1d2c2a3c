"""One SQLite file that the processes of a host share: whose turn it is, transactions, damage.

One connection a process, never carried over a fork. Rollback journal and ``synchronous=FULL``: a
committed transaction outlives a power cut, and the WAL's corruption bug, in the SQLite of many
systems (3.7.0 to 3.51.2), cannot bite. Whatever goes wrong is one exception, `Unavailable`.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pushover_logging.connection import Connection
from pushover_logging.guard import held, is_inside
from pushover_logging.salvage import FAULTS, is_damage, salvage

PATIENCE = 2.0  # seconds that a sender waits for the file, its own process's lock included
_POLL = 0.001  # seconds between two tries to lock the file; SQLite's own waits grow to 100 ms

Turn = Callable[[float], contextlib.AbstractContextManager[None]]
"""Waits until it is this process's turn, at most until a deadline in monotonic seconds."""


def _at_once(_: float) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext()


class Unavailable(Exception):  # noqa: N818  a state of the file, which callers answer
    """The file cannot be used now: locked, full, read-only, damaged, or of a newer version."""


class Database:
    """The file ``path``; ``migrations[n]`` brings its schema from version n to n + 1.

    SQLite's own lock is not fair among processes: ``turn`` brings them in an order.

    `transaction` may be called by any thread; `_lock` is held over the whole of it, because a
    connection has one transaction at a time. It is reentrant: a signal handler that logs through
    another handler of the same file joins the transaction that it interrupts. A fork's child calls
    `renew`; an exit in the middle leaves a journal, from which the next process rolls back.
    """

    def __init__(self, path: Path, migrations: Sequence[str], turn: Turn = _at_once) -> None:
        self.path = path
        self._turn = turn
        self._connection = Connection(path, migrations)
        self.renew()
        _DATABASES.add(self)

    def renew(self) -> None:
        """Start anew in a fork's child."""
        self._lock = threading.RLock()
        self._waiting: set[int] = set()  # threads; each adds and removes itself, which is atomic
        self._within = False
        self._connection.abandon()

    @contextlib.contextmanager
    def transaction(self, patience: float = PATIENCE) -> Iterator[sqlite3.Connection]:
        """Give the connection, in a transaction that is durable when the block ends.

        Inside another one of the same thread, that one goes on. Raises Unavailable, after
        ``patience`` seconds where others hold the file; then nothing of the block has happened.
        """
        deadline, outermost = time.monotonic() + patience, not is_inside(self._lock)
        with self._mine(patience):
            if self._within and self._connection.current is not None:
                yield self._connection.current
            else:
                if outermost:
                    self._connection.undo()  # what a signal handler cut off at its very end
                with self._turn(deadline), self._begun(deadline, alone=outermost) as connection:
                    yield connection
        if self._waiting:
            time.sleep(_POLL)  # the lock is not fair: a storm would keep the other threads out

    @contextlib.contextmanager
    def _mine(self, patience: float) -> Iterator[None]:
        try:
            self._waiting.add(threading.get_ident())
            with held(self._lock, patience) as free:
                self._waiting.discard(threading.get_ident())
                if not free:
                    msg = f"{self.path} is in use by another thread"
                    raise Unavailable(msg)
                yield
        finally:
            self._waiting.discard(threading.get_ident())

    @property
    def generation(self) -> int:
        """Return what is another number where what was in the file may be gone."""
        return self._connection.generation

    def take_notice(self) -> str | None:
        """Return, once, what a person is to know of the file."""
        notice, self._connection.notice = self._connection.notice, None
        return notice

    def stamp(self) -> object:
        """Return what is equal while nobody writes to the file; None where that cannot be told.

        Costs a look at the file's first page. Within a transaction it is that transaction's.
        """
        found = self.glance("PRAGMA data_version")  # changes by others; the rest, by this one
        return found and (self._connection.generation, found[1], found[0][0])

    def glance(self, query: str, *values: object) -> tuple[tuple[object, ...], int] | None:
        """Look at one row outside of a transaction, without waiting.

        Returns it, empty where there is none, and how many changes this connection has made; None
        where the file cannot be looked at now.
        """
        with held(self._lock, 0) as free, contextlib.suppress(*FAULTS):
            connection = self._connection.current
            if free and connection is not None and self._connection.is_in_place():
                row = connection.execute(query, values).fetchone()
                return row or (), connection.total_changes
        return None

    def has_row(self, query: str, *values: object) -> bool | None:
        """Look for a row before the file is used; see `Connection.has_row`."""
        with held(self._lock, 0) as free:
            return self._connection.has_row(query, *values) if free else None

    def pause(self) -> None:
        """See that no transaction is under way while this process forks.

        SQLite's own note of a lock would go along into the child, which could not lock the file
        ever after. Waits `PATIENCE` seconds at most: a fork must not hang.
        """
        self._lock.acquire(timeout=PATIENCE)

    def resume(self) -> None:
        """Go on in the parent after the fork."""
        with contextlib.suppress(RuntimeError):  # others had it for longer
            self._lock.release()

    def close(self) -> None:
        """Close the connection; a later transaction opens another."""
        with self._lock:
            self._connection.close()

    @contextlib.contextmanager
    def _begun(self, deadline: float, *, alone: bool = True) -> Iterator[sqlite3.Connection]:
        try:
            try:
                connection = self._begin(deadline)
                self._within = True
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if alone or self._within:  # else an interrupted block has begun one
                    self._connection.undo()
                raise
            finally:
                self._within = False
        except (*FAULTS, OSError) as error:
            self._forget(error)
            msg = f"{self.path}: {error}"
            raise Unavailable(msg) from error

    def _begin(self, deadline: float) -> sqlite3.Connection:
        while True:
            try:
                return self._connection.begin()
            except FAULTS as error:
                if is_damage(error):
                    self._quarantine(error)
                elif "locked" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(_POLL)

    def _forget(self, error: Exception) -> None:
        if is_damage(error):
            with contextlib.suppress(OSError, *FAULTS):
                self._quarantine(error)

    def _quarantine(self, error: Exception) -> None:
        """Move a damaged file aside and save what can be read of it into a new one."""
        aside = self._connection.move_aside()
        if aside is None:
            return
        self._connection.notice = f"{self.path} is damaged ({error}): it was moved to {aside}"
        with self._begun(time.monotonic() + PATIENCE) as connection:
            salvage(aside, connection)


_DATABASES: weakref.WeakSet[Database] = weakref.WeakSet()


def _before_fork() -> None:
    for database in list(_DATABASES):
        database.pause()


def _after_fork_in_parent() -> None:
    for database in list(_DATABASES):
        database.resume()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent)
