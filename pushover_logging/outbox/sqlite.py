"""The durable outbox: an account's Messages in a file that all processes of a host share.

One process at a time sends for an account: its leader holds the account's lock, which the operating
system frees when it dies. A row says which handler emitted it; while that handler lives its
presence lock is held, and it reads from the finished row what became of it. The leader adopts the
rows of handlers that are gone: they are sent, and are in nobody's counters.
"""

from __future__ import annotations

import contextlib
import math
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple, TypeVar

from pushover_logging.circuit_breaker import CircuitBreaker
from pushover_logging.clock import Clock
from pushover_logging.outbox.memory import MemoryOutbox
from pushover_logging.outbox.queue import (
    DROPPED,
    FILE_LOST,
    REJECTED,
    SENT,
    SET_ASIDE,
    QueuedMessage,
    from_json,
    to_json,
)
from pushover_logging.storage.sqlite_file import (
    PATIENCE,
    Job,
    SqliteFile,
    Unavailable,
    shared_file,
)

CALL_PATIENCE = 0.25  # seconds that a logging call waits for the disk
AWAY = 30.0  # seconds for which calls leave a file alone that cannot be used
_RETRY = 1.0  # seconds after which the sender tries it again
SILENCE = 15.0  # seconds without a beat after which a leader is passed by
DEATHS_TO_SET_ASIDE = 10  # processes that died while they sent it; from 2 on it is tried last
SET_ASIDE_KEPT = 100  # rows an account, for a person to look at
_NOBODY = 0  # the emitter of rows whose outcome nobody waits for
_EMITTERS = 2**31  # the first offset of the emitters' locks; the accounts' are below
_EMITTER_LIMIT = 2**59
_COUNTING = 2**60  # the first offset of the locks of those that may have counts to report
FAULTS = (Unavailable, OSError)
T = TypeVar("T")

MIGRATIONS = (
    """
    CREATE TABLE message (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, account TEXT NOT NULL,
        emitter INTEGER NOT NULL, priority INTEGER NOT NULL, user TEXT, put_at REAL NOT NULL,
        payload TEXT NOT NULL, attachment BLOB, sending INTEGER NOT NULL DEFAULT 0,
        deaths INTEGER NOT NULL DEFAULT 0, outcome TEXT, level INTEGER, remaining REAL
    );
    CREATE INDEX message_next ON message (account, outcome, (deaths >= 2), priority DESC, seq);
    CREATE INDEX message_emitter ON message (emitter, outcome);
    CREATE TABLE item (
        account TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, due REAL,
        PRIMARY KEY (account, name)
    );
    CREATE INDEX item_due ON item (account, due);
    CREATE TABLE leader (
        account TEXT PRIMARY KEY, epoch INTEGER NOT NULL, beat INTEGER NOT NULL,
        not_before REAL NOT NULL DEFAULT 0
    )
    """,
)
WAITS = "SELECT 1 FROM message WHERE account = ? AND outcome IS NULL"


class Outcome(NamedTuple):
    """What became of a Message, and what its process has to know of the problem since.

    ``level`` and ``remaining`` are as in `throttle.View`, None if the throttle was not asked.
    """

    id: str
    outcome: str
    level: int | None
    remaining: float | None


class FileOutbox:
    """The rows of one account for one handler, and ``memory`` while the file cannot be used.

    `put` is called by any thread, the rest by the sender. ``_lock``, the pipeline's, is over
    ``_own``: the ids that this handler emitted and nobody has finished. Work that the sender hands
    to `together` is one transaction, which the writer's thread runs while the sender waits.
    ``_unwritten`` is what has yet to be written of sends that have ended; it is written with the
    next claim. A fork's child makes a new outbox, with a new emitter.
    """

    def __init__(
        self, path: Path, account: str, memory: MemoryOutbox, lock: threading.RLock, clock: Clock
    ) -> None:
        self.file: SqliteFile = shared_file(path, MIGRATIONS, clock)
        self.memory = memory
        self.is_leading = False
        self.may_inherit = False
        self.not_before = 0.0
        self._account = account
        self._offset = int(account, 16) % _EMITTERS
        self._emitter = 1 + secrets.randbelow(_EMITTER_LIMIT - 1)
        self._lock = lock
        self._clock = clock
        self._own: dict[str, QueuedMessage] = {}
        self._inherited: set[str] = set()
        self._unconfirmed: list[tuple[Job[None], QueuedMessage]] = []
        self._unwritten: list[Callable[[sqlite3.Connection], None]] = []
        self._calls = CircuitBreaker(clock, AWAY)
        self._sender = CircuitBreaker(clock, _RETRY)
        self._warning = ""
        self._has_warned = False
        self._epoch = 0
        self._seen_beat: tuple[object, float] = None, 0.0
        self._adopted_at = -math.inf
        self.file.beats.add(self.beat)

    # -- any thread

    def put(self, queued: QueuedMessage) -> list[QueuedMessage]:
        """Insert a Message, durable on return; if the file is not there in time memory takes it.

        A commit that is under way after `CALL_PATIENCE` is left to the file.
        """
        if self._calls.is_open():
            return self.memory.put(queued)
        job: Job[None] | None = None
        try:
            self._register()
            insert = self._insert(queued)
            with self._lock:
                self._own[queued.id] = queued
            job = self.file.submit(insert)
            if job.wait(CALL_PATIENCE):
                job.value()
            elif self.file.withdraw(job):
                raise Unavailable(f"{self.file.path} is busy")
            else:
                self._unconfirmed.append((job, queued))
            self._has_warned = False
        except FAULTS as error:
            self._go_away(error)
            return self._to_memory(queued)
        except BaseException:  # a signal handler raised
            if job is None or self.file.withdraw(job):
                self._to_memory(queued)
            raise
        return []

    def has(self, queued: QueuedMessage) -> bool:
        """Return True if it waits here."""
        return queued.id in self._own or self.memory.has(queued)

    def is_idle(self) -> bool:
        """Return True if the sender has nothing to write, and nothing that others left to send."""
        return not (self._unwritten or self._inherited or self.may_inherit)

    def look(self) -> bool:
        """Look, without opening the file, if processes that are gone may have left Messages."""
        self.may_inherit = self.file.has_row(WAITS, self._account)
        return self.may_inherit

    def beat(self) -> bool:
        """Show that this leader lives, from the writer's thread; return False if it leads no more."""
        if self.is_leading:
            self.file.submit(self._still_leads)
        return self.is_leading

    # -- the sender

    def together(self, work: Callable[[], T]) -> T:
        """Do ``work`` in one transaction, after what has yet to be written. Raises Unavailable."""

        def whole(connection: sqlite3.Connection) -> T:
            for write in self._unwritten:
                write(connection)
            return work()

        if self._sender.is_open():
            raise Unavailable(f"{self.file.path} is left alone")
        try:
            result = self.file.run(whole, PATIENCE)
        except FAULTS as error:
            self._sender.fail()
            self._go_away(error)
            raise
        self._unwritten.clear()
        self._calls.retry()
        return result

    def catch_up(self) -> None:
        """Write down how sends ended, if that has not been done with a claim."""
        if self._unwritten:
            with contextlib.suppress(*FAULTS):
                self.together(bool)

    def lead(self) -> bool:
        """Become the account's leader, unless another process is; return True if this is."""
        with contextlib.suppress(*FAULTS):
            if not self.is_leading and self._may_lead():
                self.together(self._take_over)
                self.is_leading = True
            self.may_inherit = False
        return self.is_leading

    def resign(self) -> None:
        """Let another process lead."""
        if self.is_leading:
            self.catch_up()
            self.is_leading = False
            with contextlib.suppress(OSError):
                self.file.locks.release(self._offset, self)

    def claim(
        self, blocked_users: Collection[str | None], waiting: Collection[str]
    ) -> QueuedMessage | None:
        """Return the account's most urgent row, marked as being sent. Part of `together`."""
        return self.file.run(lambda connection: self._claim(connection, blocked_users, waiting))

    def ack(
        self,
        queued: QueuedMessage,
        outcome: str,
        view: tuple[int, float] | None = None,
    ) -> None:
        """Finish a claimed row, with the next transaction.

        Its emitter deletes it when it has read the outcome; this handler's own is deleted at once.
        Rejected and set aside ones are kept for a person to look at.
        """
        if queued.row is None:
            self.memory.ack(queued, outcome)
            return
        self._unwritten.append(lambda connection: self._finish(connection, queued, outcome, view))
        with self._lock:
            self._own.pop(queued.id, None)
            self._inherited.discard(queued.id)

    def retry(self, queued: QueuedMessage) -> None:
        """Put a claimed Message back, as it is now."""
        if queued.row is None:
            self.memory.retry(queued)
            return
        values = (to_json(queued), queued.message.user, queued.image, queued.row, queued.id)
        update = (
            "UPDATE message SET sending = 0, payload = ?, user = ?, attachment = ? "
            "WHERE seq = ? AND id = ?"
        )
        self._unwritten.append(lambda connection: connection.execute(update, values) and None)

    def pause(self, until: float) -> None:
        """Keep for the next leader that the service wants no requests before a Unix time."""
        values = (until, self._account)
        update = "UPDATE leader SET not_before = ? WHERE account = ?"
        self._unwritten.append(lambda connection: connection.execute(update, values) and None)

    def sync(self) -> list[Outcome]:
        """Return what became of this handler's rows. Part of `together`."""
        return self.file.run(self._sync)

    def has_waiting(self) -> bool:
        """Return True if the file may have rows of the account to send."""
        return self.file.has_row(WAITS, self._account)

    def after_sync(self) -> list[str]:
        """Take the ids that memory has taken back, and insert memory's Messages again."""
        for job, queued in list(self._unconfirmed):
            if job.wait(0):
                self._unconfirmed.remove((job, queued))
                if job.error is not None:
                    self._to_memory(queued)
        return []

    def reinsert(self) -> None:
        """Insert what memory took while the file was away."""
        waiting: list[QueuedMessage] = []
        while (queued := self.memory.claim((), ())) is not None:
            waiting.append(queued)
        inserts = [self._insert(queued) for queued in waiting]
        try:
            self.together(lambda: self.file.run(lambda connection: [insert(connection) for insert in inserts]))
        except FAULTS:
            for queued in reversed(waiting):
                self.memory.retry(queued)
        else:
            with self._lock:
                self._own.update((queued.id, queued) for queued in waiting)
            for queued in waiting:
                self.memory.ack(queued, "")

    def is_last(self) -> bool:
        """Return True, at exit, if no other process may have counts to report.

        Each leaves before it looks: if several end at once, at least one finds nobody.
        """
        locks = self.file.locks
        try:
            locks.release(_COUNTING + self._emitter, self)
            return not locks.is_held(_COUNTING, _EMITTER_LIMIT)
        except OSError:
            return False

    def outlives(self, pending: int) -> int:
        """Return how many of ``pending`` Messages are in the file."""
        return max(0, pending - len(self.memory))

    def warning(self) -> str:
        """Take what a person has to know of the file."""
        warnings = [self._warning, *self.file.warnings()]
        self._warning = ""
        return "; ".join(filter(None, warnings))
