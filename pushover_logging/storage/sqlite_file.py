"""One SQLite file that the processes of a host share, and the one thread of a process that uses it.

`SqliteFile.run` hands work to the file's writer, which does all that waits in one transaction:
calls of several threads share one commit, and none of them waits for the disk longer than it wants.
A rollback journal and ``synchronous=FULL`` let a committed transaction outlive a power cut; the bug
of the WAL in the SQLite of many systems (3.7.0 to 3.51.2) cannot bite.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from pushover_logging.clock import Clock
from pushover_logging.storage.file_lock import FileLock

PATIENCE = 2.0  # seconds for which the writer tries to begin a transaction
FORK_PATIENCE = 0.25  # seconds that a fork waits for the end of a transaction
_POLL = 0.001  # seconds between two tries to begin: SQLite's own waits grow to 100 ms
_OPENING = 0.2  # seconds that opening waits at each of its steps
_BEAT = 4.0  # seconds between two beats of a leader; a writer without work ends after as many
_SECOND_LOOK = 0.05  # seconds after which a file that seems damaged is read again
_APPLICATION = 0x50757368  # "Push", https://sqlite.org/pragma.html#pragma_application_id
_TURN = 2**62  # the offset of the lock that brings processes in an order
_ASIDE = ".damaged-"
# UnicodeDecodeError: SQLite names a part of a damaged file, and the name is not UTF-8 any more.
_FAULTS = (sqlite3.Error, UnicodeDecodeError, OSError)
_DAMAGE = ("malformed", "not a database", "unsupported file format")
_THREAD = "pushover-logging"
T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


class Unavailable(Exception):  # noqa: N818  a state of the file, which callers answer
    """The file cannot be used now: locked, full, read-only, damaged, or not ours."""


class Job(Generic[T]):
    """One piece of work and what became of it.

    Its state changes under the file's lock: a withdrawal and a beginning exclude each other.
    """

    def __init__(self, work: Work[T]) -> None:
        self.work = work
        self.has_begun = False
        self.result: T | None = None
        self.error: BaseException | None = None
        self._unfinished = threading.Lock()
        self._unfinished.acquire()

    def finish(self, result: T | None, error: BaseException | None) -> None:
        """Set what became of it and wake the caller."""
        self.result, self.error = result, error
        self._unfinished.release()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end, at most so many seconds if given; return True if it has come."""
        if not self._unfinished.acquire(timeout=-1 if seconds is None else seconds):
            return False
        self._unfinished.release()
        return True

    def value(self) -> T:
        """Return the result of finished work, or raise what it raised."""
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]  # set if there is no error


class Leader(Protocol):
    """A handler that may lead its account."""

    def beat(self) -> bool:
        """Submit a sign of life if it leads; return False if it does not."""


class SqliteFile:
    """The file ``path``; ``migrations[n]`` brings its schema from version n to n + 1.

    ``_lock`` is over the queue of jobs and the writer's start, and never held over I/O. ``_gate``
    is held by whoever uses the connection: the writer, or the caller if no thread can start; a fork
    waits for it, so that no transaction is cut in two. A process that dies in a transaction leaves
    a journal, from which the next one rolls back. ``generation`` changes when rows may be gone;
    ``on_idle`` is called by the writer every few seconds without work.
    """

    def __init__(self, path: Path, migrations: Sequence[str], clock: Clock) -> None:
        self.path = path
        self.locks = FileLock(path.with_name(f"{path.name}.lock"))
        self.generation = 0
        self.leaders: weakref.WeakSet[Leader] = weakref.WeakSet()
        self._was_outbox = self.locks.path.exists()  # a damaged outbox has its locks beside it
        self._migrations = migrations
        self._clock = clock
        self._lock = threading.RLock()
        self._gate = threading.RLock()
        self._jobs: deque[Job[Any]] = deque()
        self._wakeup = threading.Lock()
        self._writer: threading.Thread | None = None
        self._connection: sqlite3.Connection | None = None
        self._identity = 0, 0
        self._is_within = self._is_fresh = self._paused = False
        self._warnings: list[str] = []
        self._unusable = ""

    def run(self, work: Work[T], patience: float | None = None) -> T:
        """Return what ``work(connection)`` returns, in a transaction that is durable on return.

        Within other work it is part of that one's transaction. Raises Unavailable, and then nothing
        has happened; also if the work has not begun after ``patience`` seconds.
        """
        if self._is_within and _is_owned(self._gate):
            return work(self._opened())
        job = Job(work)
        self.submit(job)
        if not job.wait(patience) and self.withdraw(job):
            msg = f"{self.path} is busy"
            raise Unavailable(msg)
        job.wait()
        return job.value()

    def submit(self, job: Job[Any]) -> None:
        """Have work done by the writer; returns at once if there is a thread for it."""
        with self._lock:
            self._jobs.append(job)
        if not self._has_writer():
            self._work_off(has_gate=self._gate.acquire(timeout=PATIENCE))

    def withdraw(self, job: Job[Any]) -> bool:
        """Take work back; return False if it has begun."""
        with self._lock:
            if job in self._jobs:
                self._jobs.remove(job)
            return not job.has_begun

    def has_row(self, query: str, *values: object) -> bool:
        """Return True if the file may have a row, before it is used for the first time.

        Makes and changes nothing and does not wait. If another process is writing just now, or was
        killed while it did, there may be a row; what cannot be read is none.
        """
        try:
            if not stat.S_ISREG(self.path.stat().st_mode):
                return False
            name = f"{self.path.absolute().as_uri()}?mode=ro"
            with contextlib.closing(sqlite3.connect(name, timeout=0, uri=True)) as reader:
                self._check(reader)
                return reader.execute(query, values).fetchone() is not None
        except (*_FAULTS, Unavailable, ValueError) as error:
            return "locked" in str(error) or "readonly" in str(error)

    def is_outbox(self) -> bool:
        """Return True if the file is one of ours, or empty; a damaged one is not.

        Changes nothing. Raises Unavailable if it cannot be read.
        """
        if not self.path.stat().st_size:
            return True
        name = f"{self.path.absolute().as_uri()}?mode=ro"
        try:
            with contextlib.closing(sqlite3.connect(name, timeout=_OPENING, uri=True)) as reader:
                return _is_ours(reader)
        except _FAULTS as error:
            if _is_damage(error):
                return False
            msg = f"{self.path}: {error}"
            raise Unavailable(msg) from error

    def warnings(self) -> list[str]:
        """Take what a person has to know of the file."""
        warnings, self._warnings = self._warnings, []
        return warnings

    def refuse(self, why: str) -> None:
        """Let all work fail."""
        self._unusable = why

    def close(self) -> None:
        """Close the connection; later work opens another."""
        with self._gate:
            self._close()

    def pause(self) -> None:
        """Close the connection between two transactions, before a fork, and let nobody go on.

        If that takes too long the child keeps the connection for ever and never uses it: a close
        would roll back what the parent does.
        """
        self._paused = self._gate.acquire(timeout=FORK_PATIENCE)
        if self._paused:
            self._close()

    def resume(self) -> None:
        """Go on after a fork, in the parent."""
        if self._paused:
            self._gate.release()

    def abandon(self) -> bool:
        """Leave all to the parent, in a fork's child; return True if the child may use the file."""
        self.locks.abandon()
        if not self._paused:
            _INHERITED.append(self._connection)
        return self._paused

    # -- the writer

    def _has_writer(self) -> bool:
        with self._lock:
            if self._writer is not None and self._writer.is_alive():
                with contextlib.suppress(RuntimeError):  # it is awake already
                    self._wakeup.release()
                return True
            self._wakeup = threading.Lock()
            try:
                self._writer = self._clock.start_thread(self._write, f"{_THREAD}-writer")
            except RuntimeError:  # no thread starts: at the interpreter's end, and by the system
                self._writer = None
            return self._writer is not None

    def _write(self) -> None:
        wakeup = self._wakeup
        beat_at = used_at = time.monotonic()
        leads = False
        while True:
            if self._jobs:
                self._work_off(has_gate=self._gate.acquire())
                used_at = time.monotonic()
            else:
                wakeup.acquire(timeout=max(0.0, beat_at + _BEAT - time.monotonic()))
            if time.monotonic() >= beat_at + _BEAT:
                beat_at = time.monotonic()
                leads = any([leader.beat() for leader in list(self.leaders)])
            with self._lock:
                if not (leads or self._jobs) and time.monotonic() >= used_at + _BEAT:
                    self._writer = None
                    return

    def _work_off(self, *, has_gate: bool) -> None:
        """Do all jobs that wait, in one transaction; called with the gate, which it opens."""
        jobs: list[Job[Any]] = []
        try:
            error: BaseException | None = None
            try:
                if not has_gate:
                    msg = f"{self.path} is in use by another thread"
                    raise Unavailable(msg)
                if not self._was_outbox and self.path.exists() and not self.is_outbox():
                    raise Unavailable(_not_an_outbox(self.path))  # noqa: TRY301  as any other fault
                self._was_outbox = True
                with self.locks.turn(_TURN):
                    connection = self._begin()
                    jobs = self._take()
                    done = self._do(connection, jobs)
            except _FAULTS as fault:
                self._undo(fault)
                error = Unavailable(f"{self.path}: {fault}")
                error.__cause__ = fault
            except Unavailable as fault:
                error = fault
            except BaseException as cut_off:  # a signal handler raised in a caller that writes
                self._undo(cut_off)
                for job in jobs:
                    job.finish(None, Unavailable(f"{self.path}: a transaction was cut off"))
                raise
            if error is not None:
                done = [(job, None, error) for job in [*jobs, *self._take()]]
        finally:
            if has_gate:
                self._gate.release()
        for job, result, failure in done:
            job.finish(result, failure)

    def _take(self) -> list[Job[Any]]:
        with self._lock:
            jobs = list(self._jobs)
            self._jobs.clear()
            for job in jobs:
                job.has_begun = True
            return jobs

    def _do(
        self, connection: sqlite3.Connection, jobs: Sequence[Job[Any]]
    ) -> list[tuple[Job[Any], Any, BaseException | None]]:
        """Do jobs in the transaction that was begun, and commit; a job that fails fails alone."""
        self._is_within = True
        done: list[tuple[Job[Any], Any, BaseException | None]] = []
        try:
            for job in jobs:
                try:
                    connection.execute("SAVEPOINT job") if len(jobs) > 1 else None
                    done.append((job, job.work(connection), None))
                except _FAULTS:
                    raise
                except BaseException as error:  # noqa: BLE001  the caller's to handle
                    connection.execute("ROLLBACK TO job" if len(jobs) > 1 else "ROLLBACK")
                    done.append((job, None, error))
            if connection.in_transaction:
                connection.execute("COMMIT")
        finally:
            self._is_within = False
        return done

    # -- the connection, used with the gate alone

    def _begin(self) -> sqlite3.Connection:
        """Begin a transaction in the file that is there now."""
        deadline, second_look = time.monotonic() + PATIENCE, False
        while True:
            try:
                return self._begun()
            except _FAULTS as error:
                if _is_damage(error):
                    if second_look:
                        self._quarantine(error)
                    second_look = True
                    self._close()
                    time.sleep(_SECOND_LOOK)
                elif "locked" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(_POLL)

    def _begun(self) -> sqlite3.Connection:
        connection = self._opened()
        connection.execute("BEGIN EXCLUSIVE")  # nothing after it has to wait
        if self._migrate(connection) and not self._is_fresh:
            self.generation += 1
            self._warnings.append(f"{self.path} was emptied while it was open")
        self._is_fresh = False
        return connection

    def _opened(self) -> sqlite3.Connection:
        if self._unusable:
            raise Unavailable(self._unusable)
        if self._connection is not None and not self._is_in_place():
            self._close()
            if not self._was_quarantined():  # the process that does that warns of it
                self._warnings.append(f"{self.path} was deleted or replaced while it was open")
        if self._connection is None:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):  # what is closed here is a new file
                os.close(
                    os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                )
            self._identity = _identity(self.path)
            self._connection = self._open()
            self._is_fresh = True
            self.generation += 1
        return self._connection

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=_OPENING, isolation_level=None, check_same_thread=False,
            factory=_Closing,
        )  # fmt: skip
        try:
            self._check(connection)
            connection.execute("PRAGMA journal_mode = TRUNCATE")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA busy_timeout = 0")  # the writer waits, in short steps
        except BaseException:
            connection.close()
            raise
        return connection

    def _check(self, connection: sqlite3.Connection) -> int:
        """Return the version of the file's schema. Raises Unavailable if it is not ours."""
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if not _is_ours(connection):
            raise Unavailable(_not_an_outbox(self.path))
        if version > len(self._migrations):
            msg = f"{self.path}: its schema {version} is of a newer version of this library"
            raise Unavailable(msg)
        return int(version)

    def _migrate(self, connection: sqlite3.Connection) -> bool:
        """Bring the schema up to date, within a transaction; return True if there was none."""
        version = self._check(connection)
        for statements in self._migrations[version:]:
            for statement in statements.split(";"):
                connection.execute(statement)
        if version < len(self._migrations):
            connection.execute(f"PRAGMA user_version = {len(self._migrations)}")
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        return version == 0

    def _undo(self, error: BaseException) -> None:
        """Leave nothing of a transaction that failed; a damaged file is read anew next time."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.rollback()
            if _is_damage(error):
                self._close()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _is_in_place(self) -> bool:
        try:
            return _identity(self.path) == self._identity
        except OSError:
            return False

    def _quarantine(self, error: BaseException) -> None:
        """Move a damaged file aside, unless another process was faster, and begin a new one.

        The rows that can be read are copied into it.
        """
        self._close()
        if not self._is_in_place():
            return
        aside = self.path.with_name(f"{self.path.name}{_ASIDE}{time.time_ns()}")
        self.path.rename(aside)
        journal = self.path.with_name(f"{self.path.name}-journal")
        with contextlib.suppress(FileNotFoundError):
            journal.rename(aside.with_name(f"{aside.name}-journal"))
        self._warnings.append(f"{self.path} is damaged ({error}): it was moved to {aside}")
        connection = self._begun()
        _salvage(aside, connection)
        connection.execute("COMMIT")

    def _was_quarantined(self) -> bool:
        aside = f"{self.path.name}{_ASIDE}"
        with contextlib.suppress(OSError):
            names = [name for name in self.path.parent.iterdir() if name.name.startswith(aside)]
            return self._identity in map(_identity, names)
        return False


class _Closing(sqlite3.Connection):
    """Closes itself when nobody uses it any more: CPython 3.13 warns of one that is left open.

    Its owner cannot do that: in a circle of garbage the order of ends is not ours.
    """

    def __del__(self) -> None:
        """Close it."""
        self.close()


def _salvage(damaged: Path, connection: sqlite3.Connection) -> None:
    """Copy the rows of a damaged file that can be read, from both ends of each table."""
    name = f"{damaged.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(name, uri=True)) as old:
        old.execute("PRAGMA writable_schema = ON")  # reads a file that was cut off, up to there
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall()
        for (table,) in tables:
            for order in ("ASC", "DESC"):
                with contextlib.suppress(*_FAULTS):
                    rows = old.execute(f"SELECT * FROM {table} ORDER BY rowid {order}")  # noqa: S608  our own names
                    for row in rows:
                        marks = ", ".join("?" * len(row))
                        connection.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)  # noqa: S608


def _is_damage(error: BaseException) -> bool:
    """Return True if SQLite complains of the file itself."""
    if isinstance(error, UnicodeDecodeError):
        return True
    return isinstance(error, sqlite3.DatabaseError) and any(sign in str(error) for sign in _DAMAGE)


def _is_ours(connection: sqlite3.Connection) -> bool:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application == _APPLICATION:
        return True
    return connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _not_an_outbox(path: Path) -> str:
    return f"{path} is not an outbox file; it is left as it is"


def _is_owned(lock: threading.RLock) -> bool:
    return lock._is_owned()  # type: ignore[attr-defined,no-any-return]  # noqa: SLF001  as Condition asks


_INHERITED: list[object] = []
"""Connections that a fork cut off, in its child."""
_CUT_OFF: set[str] = set()
"""Paths of such connections: this process must not use them."""
_FILES: weakref.WeakValueDictionary[str, SqliteFile] = weakref.WeakValueDictionary()
"""One object a real path and process. `setdefault` is atomic if two threads make handlers."""


def shared_file(path: Path, migrations: Sequence[str], clock: Clock) -> SqliteFile:
    """Return this process's object for a file; nothing is opened before it is used."""
    real = os.path.realpath(path)
    file = _FILES.setdefault(real, SqliteFile(Path(real), migrations, clock))
    if real in _CUT_OFF:
        file.refuse(f"{real}: the process forked while a transaction was under way")
    return file


def before_fork() -> None:
    """Let no transaction be under way while the process forks."""
    for file in list(_FILES.values()):
        file.pause()


def after_fork_in_parent() -> None:
    """Go on."""
    for file in list(_FILES.values()):
        file.resume()


def after_fork_in_child() -> None:
    """Forget the parent's files, locks first; new handlers of the same path open their own."""
    files = list(_FILES.items())
    _FILES.clear()
    for name, file in files:
        if not file.abandon():
            _CUT_OFF.add(name)
