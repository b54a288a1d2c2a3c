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
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pushover_logging.circuit_breaker import CircuitBreaker
from pushover_logging.clock import Clock
from pushover_logging.exceptions import Unreachable
from pushover_logging.outbox.memory import MemoryOutbox
from pushover_logging.outbox.queue import (
    DROPPED,
    FILE_LOST,
    REJECTED,
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
_ADOPT = 2.0  # seconds between two looks for handlers that are gone
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


class Emitted(NamedTuple):
    """What this process remembers of a Message that it put into the file."""

    key: str | None
    level: int
    resolves: bool


class Outcome(NamedTuple):
    """What became of an emitted Message, and what its process has to know of the problem since.

    ``level`` and ``remaining`` are as in `throttle.View`.
    """

    emitted: Emitted
    outcome: str
    level: int
    remaining: float


class FileOutbox:
    """The rows of one account for one handler, and ``memory`` while the file cannot be used.

    `put` is called by any thread, the rest by the sender. ``_lock``, the pipeline's, is over
    ``_own``: the ids that this handler emitted and nobody has finished; ``_unconfirmed`` are those
    whose commit has not been seen. Work that the sender hands to `together` is one transaction,
    which the writer's thread runs while the sender waits. A fork's child makes a new outbox, with a
    new emitter.
    """

    def __init__(
        self, path: Path, account: str, memory: MemoryOutbox, lock: threading.RLock, clock: Clock
    ) -> None:
        self.file: SqliteFile = shared_file(path, MIGRATIONS, clock)
        self.memory = memory
        self.is_leading = False
        self.not_before = 0.0
        self._account = account
        self._offset = int(account, 16) % _EMITTERS
        self._emitter = 1 + secrets.randbelow(_EMITTER_LIMIT - 1)
        self._lock = lock
        self._clock = clock
        self._own: dict[str, Emitted] = {}
        self._inherited: set[str] = set()
        self._unconfirmed: set[str] = set()
        self._late: list[tuple[Job[None], QueuedMessage]] = []
        self._calls = CircuitBreaker(clock, AWAY)
        self._sender = CircuitBreaker(clock, _RETRY)
        self._warning = ""
        self._has_warned = self._may_inherit = False
        self._epoch = 0
        self._is_new_leader = False
        self._last_beat: tuple[object, float] = None, 0.0
        self._adopted_at = -math.inf
        self.file.leaders.add(self)

    # -- any thread

    def put(self, queued: QueuedMessage) -> list[QueuedMessage]:
        """Insert a Message, durable on return; if the file is not there in time memory takes it.

        A commit that is under way after `CALL_PATIENCE` is left to the file.
        """
        if self._calls.is_open():
            return self.memory.put(queued)
        job: Job[None] | None = None
        try:
            job = Job(self._insert(queued))
            self.file.submit(job)
            if job.wait(CALL_PATIENCE):
                job.value()
                self._unconfirmed.discard(queued.id)
            elif self.file.withdraw(job):
                raise Unavailable(f"{self.file.path} is busy")  # noqa: TRY301  as any other fault
            else:
                self._late.append((job, queued))
            self._has_warned = False
        except FAULTS as error:
            self._go_away(error)
            return self._to_memory(queued)
        except BaseException:  # a signal handler raised
            if job is None or self.file.withdraw(job) or (job.wait(0) and job.error):
                self._to_memory(queued)
            else:
                self._late.append((job, queued))
            raise
        return []

    def has(self, queued: QueuedMessage) -> bool:
        """Return True if it waits here."""
        return queued.id in self._own or self.memory.has(queued)

    def look(self) -> bool:
        """Look, without opening the file, if processes that are gone may have left Messages."""
        self._may_inherit = self.file.has_row(WAITS, self._account)
        return self._may_inherit

    def beat(self) -> bool:
        """Show that this leader lives; called by the writer."""
        if self.is_leading:
            self.file.submit(Job(self._still_leads))
        return self.is_leading

    # -- the sender

    def is_idle(self) -> bool:
        """Return True if nothing waits that others left."""
        return not (self._inherited or self._may_inherit)

    def has_own(self) -> bool:
        """Return True if Messages of this handler wait, in the file or in memory."""
        return bool(self._own or self._inherited or len(self.memory))

    def wants_leader(self) -> bool:
        """Return True if Messages wait in the file, as far as this process knows."""
        return bool(self._own or self._inherited or self._may_inherit)

    def together(self, work: Callable[[], T]) -> T:
        """Do ``work`` in one transaction. Raises Unreachable, and then nothing has happened."""
        try:
            if self._sender.is_open():
                raise Unavailable(f"{self.file.path} is left alone")  # noqa: TRY301  as any other fault
            result = self.file.run(lambda _: work(), PATIENCE)
        except FAULTS as error:
            if not self._sender.is_open():
                self._sender.fail()
                self._go_away(error)
            raise Unreachable(*error.args) from error
        self._calls.retry()
        return result

    def lead(self) -> bool:
        """Become the account's leader, unless another process is; return True if this is."""
        with contextlib.suppress(Unreachable, *FAULTS):
            if not self.is_leading and self._may_lead():
                self.together(self._take_over)
                self.is_leading = True
            self._may_inherit = False
        return self.is_leading

    def resign(self) -> None:
        """Let another process lead."""
        if self.is_leading:
            self.is_leading = False
            with contextlib.suppress(OSError):
                self.file.locks.release(self._offset, self)

    def claim(
        self, blocked_users: Collection[str | None], waiting: Collection[str]
    ) -> QueuedMessage | None:
        """Return the account's most urgent row, marked as being sent. Part of `together`."""
        return self.file.run(lambda connection: self._claim(connection, blocked_users, waiting))

    def forget(self, queued: QueuedMessage) -> bool:
        """Note that a Message is finished, before that is written; return True if it was own."""
        with self._lock:
            self._inherited.discard(queued.id)
            return self._own.pop(queued.id, None) is not None

    def ack(self, queued: QueuedMessage, outcome: str, view: tuple[int, float] = (-1, 0.0)) -> None:
        """Finish a claimed Message. Part of `together`.

        The emitter deletes a row when it has read its outcome; this handler's own is deleted at
        once. Rejected and set aside ones are kept for a person to look at.
        """
        if queued.row is None:
            self.memory.ack(queued, outcome, view)
        else:
            self.file.run(lambda connection: self._finish(connection, queued, outcome, view))

    def retry(self, queued: QueuedMessage) -> None:
        """Put a claimed Message back, as it is now. Part of `together`."""
        if queued.row is None:
            self.memory.retry(queued)
            return
        values = (to_json(queued), queued.message.user, queued.image, queued.row, queued.id)
        self.file.run(
            lambda connection: connection.execute(
                "UPDATE message SET sending = 0, payload = ?, user = ?, attachment = ? "
                "WHERE seq = ? AND id = ?",
                values,
            )
        )

    def pause(self, seconds: float) -> None:
        """Keep for the next leader that the service wants no requests for so long."""
        until = self._clock.time() + seconds
        self.file.run(
            lambda connection: connection.execute(
                "UPDATE leader SET not_before = ? WHERE account = ?", (until, self._account)
            )
        )

    def sync(self) -> list[Outcome]:
        """Return what became of this handler's rows; adopt those of others that are gone."""
        return self.file.run(self._sync)

    def recover(self) -> None:
        """Insert what memory took while the file was away, and the other way round."""
        for job, queued in list(self._late):
            if job.wait(0):
                self._late.remove((job, queued))
                self._unconfirmed.discard(queued.id)
                if job.error is not None:
                    self._to_memory(queued)
        waiting: list[QueuedMessage] = []
        while (queued_in_memory := self.memory.claim((), ())) is not None:
            waiting.append(queued_in_memory)
        if not waiting:
            return
        try:
            inserts = [self._insert(queued) for queued in waiting]
            self.file.run(lambda connection: [insert(connection) for insert in inserts], PATIENCE)
        except FAULTS:
            for queued in reversed(waiting):
                self._own.pop(queued.id, None)
                self.memory.retry(queued)
        else:
            for queued in waiting:
                self._unconfirmed.discard(queued.id)
                self.memory.ack(queued, "", (-1, 0.0))

    def is_last(self) -> bool:
        """Return True, at exit, if no other process may have counts to report.

        Each leaves before it looks: if several end at once, at least one finds nobody.
        """
        try:
            self.file.locks.release(_COUNTING + self._emitter, self)
            return not self.file.locks.is_held(_COUNTING, _EMITTER_LIMIT)
        except OSError:
            return False

    def take_warning(self) -> str:
        """Return, once, what a person has to know of the file."""
        warnings = [self._warning, *self.file.warnings()]
        self._warning = ""
        return "; ".join(filter(None, warnings))

    # -- within a transaction

    def _insert(self, queued: QueuedMessage) -> Callable[[sqlite3.Connection], None]:
        """Return what inserts a Message, registered as this handler's."""
        for start in (_EMITTERS, _COUNTING):
            self.file.locks.try_acquire(start + self._emitter, self)
        put_at = self._clock.time() - (self._clock.monotonic() - queued.put_at)
        values = (
            queued.id, self._account, self._emitter, queued.message.priority, queued.message.user,
            put_at, to_json(queued), queued.image,
        )  # fmt: skip
        with self._lock:
            self._unconfirmed.add(queued.id)
            self._own[queued.id] = Emitted(queued.key, queued.level, queued.resolves)

        def insert(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO message "
                "(id, account, emitter, priority, user, put_at, payload, attachment) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                values,
            )

        return insert

    def _claim(
        self,
        connection: sqlite3.Connection,
        blocked_users: Collection[str | None],
        waiting: Collection[str],
    ) -> QueuedMessage | None:
        if not self._still_leads(connection):
            return None
        named = [user for user in blocked_users if user is not None]
        conditions = ["user IS NOT NULL"] if None in blocked_users else []
        if named:
            conditions.append(f"(user IS NULL OR user NOT IN ({', '.join('?' * len(named))}))")
        if waiting:
            conditions.append(f"id NOT IN ({', '.join('?' * len(waiting))})")
        more = "".join(f" AND {condition}" for condition in conditions)
        query = (
            "SELECT seq, id, put_at, payload, attachment, deaths FROM message "  # noqa: S608  our own words
            f"WHERE account = ? AND outcome IS NULL{more} "
            "ORDER BY (deaths >= 2), priority DESC, seq LIMIT 1"
        )
        while row := connection.execute(query, (self._account, *named, *waiting)).fetchone():
            queued = self._queued(row)
            if isinstance(queued, QueuedMessage):
                connection.execute("UPDATE message SET sending = 1 WHERE seq = ?", (queued.row,))
                return queued
            self._set_aside(connection, row[0], f"it cannot be read: {queued}")
        return None

    def _queued(self, row: tuple[Any, ...]) -> QueuedMessage | str:
        """Return the Message of a row, or why there is none: others may have damaged it."""
        seq, message_id, put_at, payload, image, deaths = row
        try:
            age = max(0.0, self._clock.time() - float(put_at))
            queued = from_json(message_id, payload, image, self._clock.monotonic() - age)
            queued.may_have_arrived = queued.may_have_arrived or int(deaths) > 0
        except (ValueError, TypeError, OverflowError) as error:
            return str(error)
        queued.row = seq
        return queued

    def _finish(
        self,
        connection: sqlite3.Connection,
        queued: QueuedMessage,
        outcome: str,
        view: tuple[int, float],
    ) -> None:
        is_kept = outcome.startswith(REJECTED)
        if not is_kept:
            deleted = connection.execute(
                "DELETE FROM message WHERE seq = ? AND id = ? AND emitter = ?",
                (queued.row, queued.id, self._emitter),
            )
            if deleted.rowcount:
                return
        connection.execute(
            "UPDATE message SET outcome = ?, sending = 0, level = ?, remaining = ?, "
            "emitter = CASE emitter WHEN ? THEN 0 ELSE emitter END WHERE seq = ? AND id = ?",
            (outcome[:500], *view, self._emitter, queued.row, queued.id),
        )
        if is_kept:
            self._prune(connection)

    def _set_aside(self, connection: sqlite3.Connection, seq: int, why: str) -> None:
        connection.execute(
            "UPDATE message SET outcome = ?, sending = 0 WHERE seq = ?",
            (f"{DROPPED}: {SET_ASIDE}: {why}"[:500], seq),
        )
        self._prune(connection)

    def _prune(self, connection: sqlite3.Connection) -> None:
        """Keep the newest of what is kept for a person, once its emitter has read it."""
        connection.execute(
            "DELETE FROM message WHERE account = ?1 AND outcome IS NOT NULL AND emitter = 0 "
            "AND seq NOT IN (SELECT seq FROM message WHERE account = ?1 AND outcome IS NOT NULL "
            "ORDER BY seq DESC LIMIT ?2)",
            (self._account, SET_ASIDE_KEPT),
        )

    def _sync(self, connection: sqlite3.Connection) -> list[Outcome]:
        now = self._clock.monotonic()
        if self.is_leading and self._still_leads(connection) and now - self._adopted_at >= _ADOPT:
            self._adopt(connection)
        rows = connection.execute(
            "SELECT seq, id, outcome, level, remaining FROM message "
            "WHERE emitter = ? AND outcome IS NOT NULL",
            (self._emitter,),
        ).fetchall()
        outcomes = []
        for seq, message_id, outcome, level, remaining in rows:
            kept = outcome.startswith((REJECTED, f"{DROPPED}: {SET_ASIDE}"))
            connection.execute(
                "UPDATE message SET emitter = 0 WHERE seq = ?"
                if kept
                else "DELETE FROM message WHERE seq = ?",
                (seq,),
            )
            outcomes.append((message_id, outcome, level, remaining))
        with self._lock:
            waiting = len(self._own) + len(self._inherited) - len(self._unconfirmed)
        ((found,),) = connection.execute(
            "SELECT COUNT(*) FROM message WHERE emitter = ?", (self._emitter,)
        )
        if found < waiting - len(outcomes):
            outcomes += self._lost(connection, {outcome[0] for outcome in outcomes})
        return self._own_outcomes(outcomes)

    def _lost(self, connection: sqlite3.Connection, ended: set[str]) -> list[tuple[Any, ...]]:
        """Return the outcome of rows that are gone with the file that they were in."""
        rows = connection.execute("SELECT id FROM message WHERE emitter = ?", (self._emitter,))
        there = {message_id for (message_id,) in rows} | ended
        with self._lock:
            there |= self._unconfirmed
            self._inherited &= there
            lost = [message_id for message_id in self._own if message_id not in there]
        if lost:
            self._warning = f"messages that waited in it are lost: {len(lost)}"
        return [(message_id, f"{DROPPED}: {FILE_LOST}", -1, 0.0) for message_id in lost]

    def _own_outcomes(self, outcomes: Sequence[tuple[Any, ...]]) -> list[Outcome]:
        found = []
        with self._lock:
            for message_id, outcome, level, remaining in outcomes:
                emitted = self._own.pop(message_id, None)
                self._inherited.discard(message_id)
                if emitted is not None:
                    level = level if isinstance(level, int) else -1
                    remaining = remaining if isinstance(remaining, float) else 0.0
                    found.append(Outcome(emitted, outcome, level, remaining))
        return found

    # -- leadership

    def _may_lead(self) -> bool:
        """Take the account's lock, or pass by a leader that shows no sign of life."""
        for start in (_EMITTERS, _COUNTING):
            self.file.locks.try_acquire(start + self._emitter, self)
        if self.file.locks.try_acquire(self._offset, self):
            return True
        now = self._clock.monotonic()
        beat = self.file.run(
            lambda connection: connection.execute(
                "SELECT epoch, beat FROM leader WHERE account = ?", (self._account,)
            ).fetchone(),
            PATIENCE,
        )
        if beat != self._last_beat[0]:
            self._last_beat = beat, now
        return now - self._last_beat[1] >= SILENCE

    def _take_over(self) -> None:
        self.file.run(self._begin_epoch)

    def _begin_epoch(self, connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT INTO leader (account, epoch, beat) VALUES (?, 1, 0) "
            "ON CONFLICT DO UPDATE SET epoch = epoch + 1",
            (self._account,),
        )
        self._epoch, self.not_before = connection.execute(
            "SELECT epoch, not_before FROM leader WHERE account = ?", (self._account,)
        ).fetchone()
        connection.execute(
            "UPDATE message SET deaths = deaths + 1, sending = 0 WHERE account = ? AND sending = 1",
            (self._account,),
        )
        for (seq,) in connection.execute(
            "SELECT seq FROM message WHERE account = ? AND outcome IS NULL "
            "AND CAST(deaths AS INTEGER) >= ?",
            (self._account, DEATHS_TO_SET_ASIDE),
        ).fetchall():
            why = f"{DEATHS_TO_SET_ASIDE} processes died while it was being sent"
            self._set_aside(connection, seq, why)
        self._adopt(connection)

    def _still_leads(self, connection: sqlite3.Connection) -> bool:
        """Beat; return False if another process has passed this one by."""
        updated = connection.execute(
            "UPDATE leader SET beat = beat + 1 WHERE account = ? AND epoch = ?",
            (self._account, self._epoch),
        )
        if not updated.rowcount:
            self.resign()
        return self.is_leading

    def _adopt(self, connection: sqlite3.Connection) -> None:
        """Take over the rows of handlers that are gone; nobody waits for their outcomes."""
        self._adopted_at = self._clock.monotonic()
        rows = connection.execute(
            "SELECT DISTINCT emitter FROM message WHERE account = ? AND emitter != ?",
            (self._account, self._emitter),
        ).fetchall()
        for (emitter,) in rows:
            valid = isinstance(emitter, int) and 0 < emitter < _EMITTER_LIMIT
            if valid and self.file.locks.is_held(_EMITTERS + emitter):
                continue
            waiting = connection.execute(
                "SELECT id FROM message WHERE account = ? AND emitter = ? AND outcome IS NULL",
                (self._account, emitter),
            ).fetchall()
            self._inherited.update(str(message_id) for (message_id,) in waiting)
            connection.execute(
                "UPDATE message SET emitter = CASE WHEN outcome IS NULL THEN ? ELSE 0 END "
                "WHERE account = ? AND emitter = ?",
                (self._emitter, self._account, emitter),
            )
            connection.execute(
                "DELETE FROM message WHERE account = ? AND emitter = 0 "
                "AND outcome NOT LIKE 'rejected%' AND outcome NOT LIKE 'dropped: set aside%'",
                (self._account,),
            )

    def _go_away(self, error: Exception) -> None:
        """Leave the file alone; that is warned of once, until an insert works again."""
        self._calls.fail()
        if not self._has_warned:
            self._has_warned = True
            self._warning = f"the outbox cannot be used, memory takes over: {error}"

    def _to_memory(self, queued: QueuedMessage) -> list[QueuedMessage]:
        with self._lock:
            self._own.pop(queued.id, None)
            self._unconfirmed.discard(queued.id)
        return self.memory.put(queued)


class ListedMessage(NamedTuple):
    """A row as a person is shown it: no user, no text but the title."""

    id: int
    account: str
    put_at: float
    priority: int
    title: str
    set_aside: str | None


def list_messages(connection: sqlite3.Connection) -> list[ListedMessage]:
    """Return all Messages, in the order in which they are sent, those set aside last."""
    rows = connection.execute(
        "SELECT seq, account, put_at, priority, payload, outcome FROM message "
        "WHERE outcome IS NULL OR emitter = 0 OR outcome LIKE 'rejected%' "
        "OR outcome LIKE 'dropped: set aside%' "
        "ORDER BY outcome IS NOT NULL, account, (deaths >= 2), priority DESC, seq"
    )
    return [
        ListedMessage(
            seq,
            account,
            put_at,
            priority,
            _title(payload),
            why and why.removeprefix(f"{DROPPED}: "),
        )
        for seq, account, put_at, priority, payload, why in rows
    ]


def retry_set_aside(connection: sqlite3.Connection) -> int:
    """Have all Messages that were set aside sent again; return how many. Nobody counts them."""
    return connection.execute(
        "UPDATE message SET outcome = NULL, deaths = 0, emitter = 0 WHERE outcome IS NOT NULL"
    ).rowcount


def purge_set_aside(connection: sqlite3.Connection) -> int:
    """Delete all Messages that were set aside; return how many."""
    return connection.execute("DELETE FROM message WHERE outcome IS NOT NULL").rowcount


def _title(payload: str) -> str:
    try:
        return from_json("", payload, None, 0.0).message.title or ""
    except (ValueError, TypeError):
        return "(cannot be read)"
