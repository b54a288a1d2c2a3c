"""One SQLite file that the processes of a host share, and the one thread of a process that uses it.

`SqliteFile.run` hands work to the file's writer, which does all that waits in one transaction:
calls of several threads share one commit, and none of them waits for the disk longer than it wants.
A rollback journal and ``synchronous=FULL`` let a committed transaction outlive a power cut; the bug
of the WAL in the SQLite of many systems (3.7.0 to 3.51.2) cannot bite.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import stat
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pushover_logging.clock import Clock, snapshot
from pushover_logging.storage.file_lock import FileLock

PATIENCE = 2.0  # seconds for which the writer tries to begin a transaction
FORK_PATIENCE = 0.25  # seconds that a fork waits for the end of a transaction
_POLL = 0.001  # seconds between two tries to begin: SQLite's own waits grow to 100 ms
_TICK = (
    1.0  # seconds between two transactions of a leader; a writer without work ends after as many
)
_SECOND_LOOK = 0.05  # seconds after which a file that seems damaged is read again
_PART = 2**20  # bytes that are read at once
_APPLICATION = 0x50757368  # "Push", https://sqlite.org/pragma.html#pragma_application_id
_TURN = 2**62  # the offset of the lock that brings processes in an order
# UnicodeDecodeError: SQLite names a part of a damaged file, and the name is not UTF-8 any more.
_FAULTS = (sqlite3.Error, UnicodeDecodeError, OSError)
_NOT_OURS = "{} is not an outbox file; it is left as it is"
_DAMAGE = (
    "malformed", "not a database", "unsupported file format",
    "no such table", "no such column", "has no column",
)  # fmt: skip
T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
_Job = tuple[Future[Any], Work[Any]]


class Unavailable(Exception):  # noqa: N818  a state of the file, which callers answer
    """The file cannot be used now: locked, full, read-only, damaged, or not ours."""


class Leader(Protocol):
    """A handler that has led its account; ``beat`` shows that it still does, if that is due."""

    is_leading: bool

    def beat(self, connection: sqlite3.Connection) -> object: ...  # noqa: D102  see above


class SqliteFile:
    """The file ``path``; ``migrations[n]`` brings its schema from version n to n + 1.

    ``_lock`` is over the writer's start and end. ``_gate`` is held while the connection is in use:
    the writer, or the caller if no thread can start; a fork waits for it, so that no transaction
    is cut in two. ``_opening`` keeps the descriptor of `has_row` from being taken for the
    connection's. The same thread alone writes ``_within`` and ``leaders``; any thread may read
    them. A process that dies in a transaction leaves a journal, from which the next one rolls back.
    """

    def __init__(self, path: Path, migrations: Sequence[str], clock: Clock) -> None:
        self.path = path
        self.locks: FileLock = FileLock(path.with_name(f"{path.name}.lock"))
        self.leaders: weakref.WeakSet[Leader] = weakref.WeakSet()
        self.unusable = ""  # why all work fails
        self._migrations = migrations
        created = re.findall(r"CREATE ((?:TABLE|INDEX) \w+)", "".join(migrations))
        self._schema: set[str] = {each.lower() for each in created}
        self._clock = clock
        self._lock, self._gate, self._opening = (threading.RLock() for _ in range(3))
        self._jobs: deque[_Job] = deque()
        self._wakeup = threading.Lock()
        self._writer: threading.Thread | None = None
        self._kind: object = None  # of the locks when the first writer started
        self._connection: sqlite3.Connection | None = None
        self._within: dict[int, sqlite3.Connection] = {}  # by thread, while it does jobs
        self._identity = 0, 0
        self._descriptors: list[int] = []  # the connection's
        self._stamp: object = None  # of the file, after this process wrote to it
        self._is_paused = self._is_ending = False
        self._warnings: list[str] = []

    def run(self, work: Work[T], patience: float = PATIENCE) -> T:
        """Return what ``work(connection)`` returns, in a transaction that is durable on return.

        Within other work it is part of that one's transaction. Raises Unavailable, and then nothing
        has happened; also if the work has not begun after ``patience`` seconds.
        """
        connection = self._within.get(threading.get_ident())
        if connection is not None:
            return work(connection)
        future: Future[T] = Future()
        self.submit(work, future)
        try:
            return future.result(patience)
        except TimeoutError as error:
            if future.cancel():
                msg = f"{self.path} is busy"
                raise Unavailable(msg) from error
            return future.result()

    def is_within(self) -> bool:
        """Return True if the calling thread does work in a transaction."""
        return threading.get_ident() in self._within

    def submit(self, work: Work[T], future: Future[T]) -> None:
        """Have work done by the writer, or by this call if no thread can start.

        It can be cancelled until it begins. ``future`` gets its result, or Unavailable.
        """
        job, is_inside, is_patched = (future, work), _is_owned(self._gate), self._is_patched()
        if is_inside or not is_patched:
            self._jobs.append(job)
        if (
            (is_patched or not self._has_writer())
            and not is_inside
            and self._gate.acquire(timeout=PATIENCE)
        ):
            try:
                if is_patched:  # with the gate alone: the old writer must not take it
                    self._jobs.append(job)
                self._work_off()
            finally:
                self._gate.release()

    def has_row(self, query: str, *values: object) -> bool:
        """Return True if the file may have a row, before it is used for the first time.

        Makes and changes nothing and does not wait. If another process is writing just now, or was
        killed while it did, there may be a row; what cannot be read is none.
        """
        try:
            if not self.path.is_file():
                return False
            with self._opening, self._reader(timeout=0) as reader:
                self._check(reader)
                return reader.execute(query, values).fetchone() is not None
        except (*_FAULTS, Unavailable) as error:
            return "locked" in str(error) or "readonly" in str(error)

    def is_outbox(self, patience: float = PATIENCE) -> bool:
        """Return True if the file is one of ours, or empty; a damaged one is not.

        Changes nothing. Raises Unavailable if it cannot be read within ``patience`` seconds.
        """
        try:
            if not self.path.is_file():
                return False
            with self._reader(timeout=patience) as reader:
                return _is_ours(reader)
        except _FAULTS as error:
            if _is_damage(error):
                return False
            raise self._unavailable(error) from error

    def stamp(self) -> object:
        """Return a stamp that changes with each write to the file; None if there is no file."""
        with contextlib.suppress(OSError):
            found = self.path.stat()
            return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
        return None

    def warnings(self) -> list[str]:
        """Take what a person has to know of the file."""
        warnings, self._warnings = self._warnings, []
        return warnings

    def close(self, patience: float = PATIENCE) -> None:
        """Close the connection; later work opens another.

        One that is in use for longer than ``patience`` seconds is closed when nobody has it.
        """
        if self._gate.acquire(timeout=patience):
            try:
                self._close()
            finally:
                self._gate.release()

    def pause(self) -> None:
        """Close the connection between two transactions, before a fork, and let nobody go on.

        If that takes too long the child keeps the connection for ever and never uses it: a close
        would roll back what the parent does.
        """
        self._is_paused = self._gate.acquire(timeout=FORK_PATIENCE)
        if self._is_paused:
            self._close()

    def resume(self) -> None:
        """Go on after a fork, in the parent."""
        if self._is_paused:
            self._gate.release()

    def abandon(self) -> None:
        """Leave all to the parent, in a fork's child."""
        self.locks.close()
        if not self._is_paused:
            _CUT_OFF[str(self.path)] = self._connection

    def end_writer(self) -> None:
        """End the thread once it has done what waits; later work is done by its callers."""
        with self._lock:
            self._is_ending = True
            with contextlib.suppress(RuntimeError):  # it is awake already
                self._wakeup.release()
            writer = self._writer
        if writer is not None:
            writer.join(PATIENCE)

    # -- the writer

    def _is_patched(self) -> bool:
        """Return True if gevent or eventlet has patched the program since a writer started.

        A thread and a green thread cannot wait for each other. Callers do the work from then on.
        """
        return self._kind not in {None, threading.Lock}

    def _has_writer(self) -> bool:
        with self._lock:
            if self._is_ending:
                return False
            if self._writer is not None and self._writer.is_alive():
                with contextlib.suppress(RuntimeError):  # it is awake already
                    self._wakeup.release()
                return True
            self._wakeup, self._kind = threading.Lock(), threading.Lock
            try:
                self._writer = self._clock.start_thread(self._write, "pushover-logging-writer")
            except RuntimeError:  # no thread starts: at the interpreter's end, and by the system
                self._writer = None
            return self._writer is not None

    def _write(self) -> None:
        wakeup = self._wakeup
        while True:
            has_news = wakeup.acquire(timeout=_TICK)
            with self._gate:
                is_leading = any(leader.is_leading for leader in snapshot(self.leaders))
                if self._jobs or is_leading:
                    self._work_off()
            with self._lock:
                is_needed = not self._is_ending and (has_news or is_leading)
                if self._is_patched() or not (is_needed or self._jobs):
                    self._writer = None
                    break
        while self._is_patched():  # `threading` does not know this thread any more: no end
            wakeup.acquire(timeout=_TICK)

    def _work_off(self) -> None:
        """Do all that waits in one transaction; called with the gate held."""
        jobs: list[_Job] = []
        try:
            if self.unusable:
                raise Unavailable(self.unusable)  # noqa: TRY301  as any other fault
            if not self.locks.path.exists() and self.path.exists() and not self.is_outbox():
                # A damaged outbox has its locks beside it: this is another program's file.
                raise Unavailable(_NOT_OURS.format(self.path))  # noqa: TRY301  as any other fault
            with self.locks.turn(_TURN):
                connection = self._begin()
                self._take(jobs)
                answers = self._do(connection, jobs)
        except BaseException as error:
            unavailable = self._undo(error)
            self._take(jobs)
            for future, _ in jobs:
                future.set_exception(unavailable)
            if not isinstance(error, Exception):  # of a signal handler, in the calling thread
                raise
            return
        for answer, value in answers:
            answer(value)

    def _take(self, jobs: list[_Job]) -> None:
        """Add what waits, and is not cancelled, to the jobs that are done."""
        while self._jobs:
            job = self._jobs.popleft()
            if job[0].set_running_or_notify_cancel():
                jobs.append(job)

    def _do(
        self, connection: sqlite3.Connection, jobs: Sequence[_Job]
    ) -> list[tuple[Callable[[Any], None], Any]]:
        """Do jobs in the transaction that was begun, and commit; one that fails fails alone.

        Returns how each future gets its answer, and the answer.
        """
        answers: list[tuple[Callable[[Any], None], Any]] = []
        several = len(jobs) > 1
        self._within[threading.get_ident()] = connection
        try:
            for leader in snapshot(self.leaders):
                leader.beat(connection)
            for future, work in jobs:
                if several:
                    connection.execute("SAVEPOINT work")
                try:
                    answers.append((future.set_result, work(connection)))
                except Exception as error:
                    if not connection.in_transaction or _is_damage(error):
                        raise
                    connection.execute("ROLLBACK TO work" if several else "ROLLBACK")
                    is_fault = isinstance(error, _FAULTS)
                    answer = self._unavailable(error) if is_fault else error
                    answers.append((future.set_exception, answer))
            if connection.in_transaction:
                self._commit(connection)
        finally:
            self._within.clear()
        return answers

    def _commit(self, connection: sqlite3.Connection) -> None:
        connection.execute("COMMIT")
        self._stamp = self.stamp()

    def _undo(self, error: BaseException) -> Unavailable:
        """Leave nothing of a transaction that failed; return what its callers get.

        A file that seems damaged is moved aside, if a second look finds that it is.
        """
        with contextlib.suppress(*_FAULTS, Unavailable):
            self._close()
            if _is_damage(error):
                time.sleep(_SECOND_LOOK)
                if self._is_in_place() and ("column" in str(error) or not self._is_sound()):
                    self._quarantine(error)
        return self._unavailable(error)

    def _unavailable(self, error: BaseException) -> Unavailable:
        if isinstance(error, Unavailable):
            return error
        unavailable = Unavailable(f"{self.path}: {error}")
        unavailable.__cause__ = error
        return unavailable

    # -- the connection, used with the gate alone

    def _begin(self) -> sqlite3.Connection:
        """Begin a transaction in the file that is there now."""
        deadline = Clock.monotonic() + PATIENCE
        while True:
            try:
                return self._try_to_begin()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or Clock.monotonic() > deadline:
                    raise
            time.sleep(_POLL)

    def _try_to_begin(self) -> sqlite3.Connection:
        if self._connection is not None and not self._is_own():
            self._close()
        is_as_left = self._stamp == self.stamp() is not None
        if not (is_as_left or self._connection is None or self._is_in_place()):
            self._close()
            self._warnings.append(f"{self.path} was deleted, replaced or emptied while it was open")
        if self._connection is None:
            self._connection = self._open()
        self._connection.execute("BEGIN EXCLUSIVE")  # nothing after it has to wait
        if not is_as_left:  # another process wrote, perhaps one of another version
            self._migrate(self._connection)
        return self._connection

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):  # what is closed here is a new file
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        found = self.path.stat()
        self._identity = found.st_dev, found.st_ino
        if stat.S_IMODE(found.st_mode) & 0o077:
            self.path.chmod(0o600)
            self._warnings.append(f"{self.path} was open to other users: its mode is 0600 now")
        with self._opening:
            others = _descriptors_of(self._identity)
            connection = sqlite3.connect(
                self.path,
                timeout=0,
                isolation_level=None,
                check_same_thread=False,
                factory=_Closing,
            )
            self._descriptors = sorted(_descriptors_of(self._identity) - others)
        try:
            version = self._check(connection)
            connection.execute("PRAGMA journal_mode = TRUNCATE")
            connection.execute("PRAGMA synchronous = FULL")
            if version < len(self._migrations):
                connection.execute("BEGIN EXCLUSIVE")
                self._migrate(connection)
                connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        return connection

    def _reader(self, *, timeout: float) -> contextlib.closing[sqlite3.Connection]:
        name = f"{self.path.absolute().as_uri()}?mode=ro"
        return contextlib.closing(sqlite3.connect(name, timeout=timeout, uri=True))

    def _check(self, connection: sqlite3.Connection) -> int:
        """Return the version of the file's schema. Raises Unavailable if it is not ours."""
        if not _is_ours(connection):
            raise Unavailable(_NOT_OURS.format(self.path))
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(self._migrations):
            msg = f"{self.path}: its schema {version} is of a newer version of this library"
            raise Unavailable(msg)
        if not _parts(connection) <= self._schema:  # such as a trigger
            msg = f"{self.path} has been changed by another program; it is left as it is"
            raise Unavailable(msg)
        return int(version)

    def _migrate(self, connection: sqlite3.Connection) -> None:
        """Bring the schema up to date, within a transaction."""
        version = self._check(connection)
        for statements in self._migrations[version:]:
            for statement in statements.split(";"):
                connection.execute(statement)
        if version < len(self._migrations):
            connection.execute(f"PRAGMA user_version = {len(self._migrations)}")
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")

    def _close(self) -> None:
        """Close the connection; one whose descriptor a program has closed is kept for ever.

        SQLite would go on to read, write or close what has that number by now.
        """
        connection, self._connection = self._connection, None
        if connection is not None and self._is_own():
            with contextlib.closing(connection), contextlib.suppress(sqlite3.Error):
                connection.rollback()
        elif connection is not None:
            _LOST.append(connection)

    def _is_own(self) -> bool:
        with contextlib.suppress(OSError):
            found = map(os.fstat, self._descriptors)
            return all((each.st_dev, each.st_ino) == self._identity for each in found)
        return False  # pragma: no cover  a program that closes all descriptors is not measured

    def _is_in_place(self) -> bool:
        with contextlib.suppress(OSError):
            found = self.path.stat()
            return (found.st_dev, found.st_ino) == self._identity and found.st_size > 0
        return False

    def _is_sound(self) -> bool:
        """Return False if the file is damaged; SQLite also says so if the disk cannot be read."""
        try:
            with self.path.open("rb") as file:
                while file.read(_PART):
                    pass
            with self._reader(timeout=0) as reader:
                (found,) = reader.execute("PRAGMA integrity_check(1)").fetchone()
                return found == "ok" and self._schema <= _parts(reader)
        except _FAULTS as error:
            return not _is_damage(error)

    def _quarantine(self, error: BaseException) -> None:
        """Move a damaged file aside, and begin a new one with the rows that can be read."""
        aside = self.path.with_name(f"{self.path.name}.damaged-{time.time_ns()}")
        self.path.rename(aside)
        journal = self.path.with_name(f"{self.path.name}-journal")
        with contextlib.suppress(FileNotFoundError):
            journal.rename(aside.with_name(f"{aside.name}-journal"))
        self._warnings.append(f"{self.path} is damaged ({error}): it was moved to {aside}")
        connection = self._try_to_begin()
        _salvage(aside, connection)
        self._commit(connection)


class _Closing(sqlite3.Connection):
    """Closes itself when nobody uses it any more: CPython 3.13 warns of one that is left open.

    Its owner cannot do that: in a circle of garbage the order of ends is not ours.
    """

    def __del__(self) -> None:
        """Close it."""
        with contextlib.suppress(sqlite3.ProgrammingError):  # it was never opened
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
                    for row in old.execute(f"SELECT * FROM {table} ORDER BY rowid {order}"):  # noqa: S608  our own names
                        marks = ", ".join("?" * len(row))
                        connection.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)  # noqa: S608


def _descriptors_of(identity: tuple[int, int]) -> set[int]:
    """Return the numbers under which this process has a file open; none if that is not shown."""
    numbers = set()
    with contextlib.suppress(OSError):  # a chroot without /dev
        for name in os.listdir("/dev/fd"):  # noqa: PTH208  Path says no more
            with contextlib.suppress(OSError):  # the folder itself is closed by now
                found = os.fstat(int(name))
                if (found.st_dev, found.st_ino) == identity:
                    numbers.add(int(name))
    return numbers


def _parts(connection: sqlite3.Connection) -> set[str]:
    """Return the kinds and names of what the schema has, such as ``table message``."""
    found = connection.execute(
        "SELECT lower(type || ' ' || name) FROM sqlite_master WHERE name NOT GLOB 'sqlite_*'"
    )
    return {name for (name,) in found}


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


def _is_owned(lock: threading.RLock) -> bool:
    return lock._is_owned()  # type: ignore[attr-defined,no-any-return]  # noqa: SLF001  as Condition asks


_CUT_OFF: dict[str, sqlite3.Connection | None] = {}
"""Connections that a fork cut off, by path: its child must neither close nor use them."""
_LOST: list[sqlite3.Connection] = []
"""Connections whose descriptors the program has closed: they must neither be closed nor used."""
_FILES: weakref.WeakValueDictionary[str, SqliteFile] = weakref.WeakValueDictionary()
"""One object a real path and process."""
_MAKING = threading.RLock()
"""Held while `_FILES` is asked and gets another; a fork's child has a new one."""


def shared_file(path: Path, migrations: Sequence[str], clock: Clock) -> SqliteFile:
    """Return this process's object for a file; nothing is opened before it is used."""
    real = os.path.realpath(path)
    with _MAKING:
        file = _FILES.setdefault(real, SqliteFile(Path(real), migrations, clock))
    if path.is_symlink() and not path.exists():
        file.unusable = f"{path} is a link to a file that does not exist"
    if real in _CUT_OFF:
        file.unusable = f"{real}: the process forked while a transaction was under way"
    return file


def _files() -> list[SqliteFile]:
    return [file for ref in _FILES.valuerefs() if (file := ref()) is not None]


def at_exit() -> None:
    """Let no thread outlive the interpreter."""
    for file in _files():
        file.end_writer()


def before_fork() -> None:
    """Let no transaction be under way while the process forks."""
    for file in _files():
        file.pause()


def after_fork_in_parent() -> None:
    """Go on."""
    for file in _files():
        file.resume()


def after_fork_in_child() -> None:
    """Forget the parent's files, locks first; new handlers of the same path open their own."""
    global _MAKING  # noqa: PLW0603  a thread of the parent may hold it
    _MAKING = threading.RLock()
    files = _files()
    _FILES.clear()
    for file in files:
        file.abandon()
