"""The durable outbox: an account's Messages in a file that all processes of a host share.

One process at a time sends for an account: its leader holds the account's lock, which the operating
system frees when it dies. A row says which handler emitted it; while that handler lives its
presence lock is held, and it reads from the finished row what became of it. The leader adopts the
rows of handlers that are gone: they are sent, and are in nobody's counters.
"""

from __future__ import annotations

import concurrent.futures
import math
import secrets
import sqlite3
import threading
import weakref
from collections.abc import Callable, Collection, Iterable, Sequence
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
from pushover_logging.storage.sqlite_file import PATIENCE, SqliteFile, Unavailable, shared_file

CALL_PATIENCE = 0.25  # seconds that a logging call waits for the disk
AWAY = 30.0  # seconds for which calls leave a file alone that cannot be used
_BEAT = 4.0  # seconds between two beats of a leader, which also looks for handlers that are gone
_RETRY = 1.0  # seconds after which the sender tries it again
SILENCE = 15.0  # seconds without a beat after which a leader is passed by
DEATHS_TO_SET_ASIDE = 10  # processes that died while they sent it; from 2 on it is tried last
MAX_PAUSE = 32 * 86_400.0  # seconds for which the service can ask for no requests
SET_ASIDE_KEPT = 100  # rows an account, for a person to look at
_UNREADABLE_KEPT = 2048  # characters of the payload of one that cannot be read
_LONGEST = 500  # characters of an outcome
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
        deaths INTEGER NOT NULL DEFAULT 0, outcome TEXT, is_kept INTEGER NOT NULL DEFAULT 0,
        level INTEGER, remaining REAL
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
    "ALTER TABLE leader ADD COLUMN reason TEXT NOT NULL DEFAULT ''",
)
_KEPT = REJECTED, f"{DROPPED}: {SET_ASIDE}"  # outcomes whose rows a person can look at
_UNKNOWN = -1, 0.0  # a view of a problem that nothing is known of
_IS_DUE = (
    "SELECT 1 FROM message WHERE account = ? AND outcome IS NULL UNION ALL "
    "SELECT 1 FROM item WHERE account = ? AND due <= ?"
)
# A row with the leader's epoch alone if nothing waits; none if nobody leads.
_NEXT = """
    SELECT epoch, seq, user, id, put_at, payload, attachment, deaths FROM leader
    LEFT JOIN message ON message.account = leader.account AND outcome IS NULL
    WHERE leader.account = ? ORDER BY (deaths >= 2), priority DESC, seq
"""
_CUT = "UPDATE message SET payload = substr(payload, 1, ?), attachment = NULL WHERE seq = ?"


class Emitted(NamedTuple):
    """What this process remembers of a Message that it put into the file."""

    key: str | None
    level: int
    resolves: bool
    put_at: float  # on the monotonic clock


class Ended(NamedTuple):
    """The outcome of a row, and what its process has to know of the problem since.

    ``level`` and ``remaining`` are as in `throttle.View`.
    """

    id: str
    outcome: str
    level: int = -1
    remaining: float = 0.0


class FileOutbox:
    """The rows of one account for one handler, and ``memory`` while the file cannot be used.

    `put` is called by any thread, the rest by the sender. ``_lock``, the pipeline's, is over
    ``_own``, the ids that this handler emitted and that are not finished, and ``_inserting``, those
    of them whose commit is not known yet. ``_inherited`` counts the rows that it took over. Work
    that the sender hands to `together` is one transaction, which the writer's thread runs while the
    sender waits, for ``patience`` seconds until it begins. ``has_throttle``: its state is in the
    file too. A fork's child makes a new outbox, with a new emitter.
    """

    def __init__(  # noqa: PLR0913  the parts of a pipeline
        self,
        path: Path,
        account: str,
        memory: MemoryOutbox,
        lock: threading.RLock,
        clock: Clock,
        *,
        has_throttle: bool,
        patience: float = PATIENCE,
    ) -> None:
        self.file: SqliteFile = shared_file(path, MIGRATIONS, clock)
        self.memory = memory
        self.is_leading: bool = False
        self.not_before: float = 0.0
        self.pause_reason: str = ""
        self._account = account
        self._has_throttle = has_throttle
        self._patience = patience
        self._offset = int(account, 16) % _EMITTERS
        self._emitter = 1 + secrets.randbelow(_EMITTER_LIMIT - 1)
        self._lock = lock
        self._clock = clock
        self._own: dict[str, Emitted] = {}
        self._inserting: dict[str, tuple[concurrent.futures.Future[None], QueuedMessage]] = {}
        self._calls = CircuitBreaker(clock, AWAY)
        self._sender = CircuitBreaker(clock, _RETRY)
        self._warning = ""
        self._has_warned = self._may_inherit = False
        self._inherited = self._epoch = 0
        self._last_beat: tuple[object, float] = None, 0.0
        self._beat_at = -math.inf
        weakref.finalize(self, self.file.locks.release, self._emitter).atexit = False

    # -- any thread

    def put(self, queued: QueuedMessage, *, wait: bool = True) -> list[QueuedMessage]:
        """Insert a Message, durable on return; if the file is not there in time memory takes it.

        A commit that is under way after `CALL_PATIENCE` is left to the file, and so is one that the
        caller does not ``wait`` for. Returns the Messages that had to go for it.
        """
        if self._clock.monotonic() < self._calls.until:
            return self.memory.put(queued)
        if not wait:
            self._submit(queued)
            return []
        try:
            concurrent.futures.wait([self._submit(queued)], CALL_PATIENCE)
        finally:  # also if a signal handler raised
            evicted = self._confirm(queued.id)
        return evicted

    def has(self, queued: QueuedMessage) -> bool:
        """Return True if it waits here; asked after a `put` that was interrupted."""
        return queued.id in self._own or self.memory.has(queued)

    def look(self) -> bool:
        """Look, without opening the file, if others may have left Messages, or counts to report."""
        due = self._clock.time() if self._has_throttle else -math.inf
        self._may_inherit = self.file.has_row(_IS_DUE, self._account, self._account, due)
        if self._may_inherit:
            self._beat_at = -math.inf  # a leader finds out with its next transaction
        return self._may_inherit

    def awaits_due(self) -> bool:
        """Return True if the throttle's state in the file will be due: a summary, a mute's end."""
        query = "SELECT 1 FROM item WHERE account = ? AND due IS NOT NULL"
        return self._has_throttle and self.file.has_row(query, self._account)

    # -- the sender

    def is_idle(self) -> bool:
        """Return True if nothing waits that others left."""
        return not (self._inherited or self._may_inherit)

    def wants_leader(self) -> bool:
        """Return True if Messages wait in the file, as far as this process knows."""
        return bool(self._own) or not self.is_idle()

    def together(self, work: Callable[[], T]) -> T:
        """Do ``work`` in one transaction. Raises Unreachable, and then nothing has happened."""
        if self.file.is_within():
            return work()
        if self._sender.is_open():
            msg = f"{self.file.path} is left alone"
            raise Unreachable(msg)
        try:
            result = self.file.run(lambda _: work(), self._patience)
        except FAULTS as error:
            self._sender.fail()
            self._go_away(error)
            raise Unreachable(*error.args) from error
        self._calls.retry()
        return result

    def lead(self) -> bool:
        """Become the account's leader, unless another process is; return True if this is.

        Sets ``not_before`` and ``pause_reason`` to what the service has asked of any leader.
        """
        try:
            self.is_leading = self.together(self._lead)
            self._may_inherit = False
        except Unreachable:
            if self._may_inherit:  # perhaps only because it was locked at that moment
                self.look()
        return self.is_leading

    def resign(self) -> None:
        """Let another process lead."""
        if self.is_leading:
            self.is_leading = False
            self.file.locks.release(self._emitter, self._offset)

    def beat(self, _: sqlite3.Connection) -> None:
        """Show, if it is time, that this leader lives, unless another has passed it by."""
        if self.is_leading and self._clock.monotonic() >= self._beat_at + _BEAT:
            found = self._execute("SELECT epoch FROM leader WHERE account = ?", self._account)
            if self._still_leads(found.fetchone()):
                self._execute("UPDATE leader SET beat = beat + 1 WHERE account = ?", self._account)
                self._adopt()

    def claim(
        self, blocked_users: Collection[str | None], waiting: Collection[str]
    ) -> QueuedMessage | None:
        """Return the account's most urgent row, marked as being sent. Part of `together`.

        None for ``blocked_users``, and none of the ids that are ``waiting``.
        """
        rows = self._execute(_NEXT, self._account)
        row = rows.fetchone()
        if not self._still_leads(row):
            return None
        while row is not None and row[1] is not None:
            _, seq, user, message_id, *rest = row
            if user not in blocked_users and message_id not in waiting:
                try:
                    queued = self._queued(seq, message_id, *rest)
                except (ValueError, TypeError, OverflowError) as error:  # others have damaged it
                    outcome = f"{DROPPED}: {SET_ASIDE}: it cannot be read: {error}"
                    self._execute(_CUT, _UNREADABLE_KEPT, seq)
                    self._end(outcome, _UNKNOWN, "seq = ?", seq)
                else:
                    self._execute("UPDATE message SET sending = 1 WHERE seq = ?", seq)
                    return queued
            row = rows.fetchone()
        return None

    def forget(self, queued: QueuedMessage) -> bool:
        """Note that a Message is finished, before that is written; return True if it was own."""
        is_own = self._pop(queued.id) is not None
        self._inherited = max(0, self._inherited - (not is_own))
        return is_own

    def ack(self, queued: QueuedMessage, outcome: str, view: tuple[int, float] = _UNKNOWN) -> None:
        """Finish a claimed Message. Part of `together`.

        The emitter deletes a row when it has read its outcome; this handler's own is deleted at
        once. Rejected and set aside ones are kept for a person to look at.
        """
        if queued.row is None:
            self.memory.ack(queued, outcome, view)
            return
        row = queued.row, queued.id
        delete = "DELETE FROM message WHERE seq = ? AND id = ? AND emitter = ?"
        if outcome.startswith(_KEPT) or not self._execute(delete, *row, self._emitter).rowcount:
            self._end(outcome, view, "seq = ? AND id = ?", *row)

    def retry(self, queued: QueuedMessage) -> None:
        """Put a claimed Message back, as it is now. Part of `together`."""
        if queued.row is None:
            self.memory.retry(queued)
            return
        self._execute(
            "UPDATE message SET sending = 0, payload = ?, user = ?, attachment = ? "
            "WHERE seq = ? AND id = ?",
            to_json(queued), queued.message.user, queued.image, queued.row, queued.id,
        )  # fmt: skip

    def pause(self, seconds: float, reason: str) -> None:
        """Have all processes respect that the service wants no requests for so long, and why."""
        values = self._clock.time() + seconds, reason[:_LONGEST], self._account
        self._execute("UPDATE leader SET not_before = ?, reason = ? WHERE account = ?", *values)

    def sync(self) -> list[Ended]:
        """Return what became of this handler's rows. Part of `together`."""
        ours = self._emitter
        finished = "FROM message WHERE emitter = ? AND outcome IS NOT NULL"
        rows = self._execute(f"SELECT id, outcome, level, remaining {finished}", ours)
        if ended := [Ended(*row) for row in rows]:
            self._execute(f"DELETE {finished} AND NOT is_kept", ours)
            self._execute("UPDATE message SET emitter = 0 WHERE emitter = ? AND is_kept", ours)
        with self._lock:
            own = set(self._own)
            waiting = own - self._inserting.keys() - {row.id for row in ended}
        (count,) = self._execute("SELECT COUNT(*) FROM message WHERE emitter = ?", ours).fetchone()
        if count != len(waiting) + self._inherited:
            rows = self._execute("SELECT id FROM message WHERE emitter = ?", ours)
            there = {message_id for (message_id,) in rows}
            self._inherited = len(there - own)
            if lost := waiting - there:  # with the file that they were in
                self._warning = f"messages that waited in it are lost: {len(lost)}"
                ended += [Ended(message_id, f"{DROPPED}: {FILE_LOST}") for message_id in lost]
        return ended

    def ended(self, rows: Iterable[Ended]) -> list[tuple[Emitted, Ended]]:
        """Take what `sync` returned, once that is committed; return this handler's own."""
        found = [(self._pop(row.id), row) for row in rows]
        return [(emitted, row) for emitted, row in found if emitted is not None]

    def recover(self) -> list[QueuedMessage]:
        """Insert what memory took while the file was away; return what had to go from there."""
        done = [key for key, (future, _) in list(self._inserting.items()) if future.done()]
        evicted = [gone for message_id in done for gone in self._confirm(message_id)]
        while not self._calls.is_open() and (queued := self.memory.claim((), ())) is not None:
            self._submit(queued)
            self.memory.ack(queued, "", _UNKNOWN)
        return evicted

    def is_last(self) -> bool:
        """Return True, at exit, if no other process may report the counts that are in the file.

        Each leaves before it looks: if several end at once, at least one finds nobody. False if the
        file cannot be used: then nobody waits for it.
        """
        if self._sender.is_open() or not self.file.locks.path.exists():
            return False  # to make the locks would mark another program's file as an outbox
        try:
            self.file.locks.release(self._emitter, _COUNTING + self._emitter)
            return not self.file.locks.is_held(_COUNTING, _EMITTER_LIMIT)
        except OSError:
            return False

    def take_warning(self) -> str:
        """Return, once, what a person has to know of the file."""
        warnings = [*self.file.warnings(), self._warning]
        self._warning = ""
        return "; ".join(filter(None, warnings))

    # -- the ids of this handler

    def _submit(self, queued: QueuedMessage) -> concurrent.futures.Future[None]:
        """Have a Message inserted, whose id is this handler's from now on."""
        put_at = self._clock.time() - (self._clock.monotonic() - queued.put_at)
        values = (
            queued.id, self._account, self._emitter, queued.message.priority, queued.message.user,
            put_at, to_json(queued), queued.image,
        )  # fmt: skip

        def insert(connection: sqlite3.Connection) -> None:
            self._show_presence(_EMITTERS, _COUNTING)
            connection.execute(
                "INSERT OR IGNORE INTO message "
                "(id, account, emitter, priority, user, put_at, payload, attachment) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                values,
            )

        future: concurrent.futures.Future[None] = concurrent.futures.Future()
        with self._lock:
            self._inserting[queued.id] = future, queued
            self._own[queued.id] = Emitted(queued.key, queued.level, queued.resolves, queued.put_at)
        self.file.submit(insert, future)
        return future

    def _confirm(self, message_id: str) -> list[QueuedMessage]:
        """Note that an insert is committed; if it will never be, memory takes the Message.

        One that is under way is left to the file. Returns what had to go from memory.
        """
        with self._lock:
            future, queued = self._inserting.get(message_id, (None, None))
            if future is None or queued is None or not (future.done() or future.cancel()):
                return []
            del self._inserting[message_id]
            busy = Unavailable(f"{self.file.path} is busy")
            error = busy if future.cancelled() else future.exception()
            if error is None:
                self._has_warned = False
                return []
            del self._own[message_id]
        self._go_away(error)
        return self.memory.put(queued)

    def _pop(self, message_id: str) -> Emitted | None:
        with self._lock:
            self._inserting.pop(message_id, None)
            return self._own.pop(message_id, None)

    def _go_away(self, error: BaseException) -> None:
        """Leave the file alone; that is warned of once, until an insert works again."""
        self._calls.fail()
        if not self._has_warned:
            self._has_warned = True
            self._warning = f"the outbox cannot be used, memory takes over: {error}"

    # -- within a transaction

    def _execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        return self.file.run(lambda connection: connection.execute(statement, values))

    def _show_presence(self, *starts: int) -> None:
        """Let other processes see that this handler lives, and that it may have counts."""
        for start in starts:
            self.file.locks.try_acquire(start + self._emitter, self._emitter)

    def _queued(  # noqa: PLR0913, PLR0917  the columns of a row
        self, seq: int, message_id: str, put_at: float, payload: str, image: bytes, deaths: int
    ) -> QueuedMessage:
        if not isinstance(message_id, str):
            msg = "its id is not a text"
            raise ValueError(msg)  # noqa: TRY004  as of any other damage
        own, now = self._own.get(message_id), self._clock.monotonic()
        # A process knows the age of its own by a clock that nobody sets.
        since = now - max(0.0, self._clock.time() - float(put_at)) if own is None else own.put_at
        queued = from_json(message_id, payload, image, since)
        queued.may_have_arrived = queued.may_have_arrived or int(deaths) > 0
        queued.row = seq
        return queued

    def _end(self, outcome: str, view: tuple[int, float], which: str, *values: object) -> None:
        """Write what became of rows; of those that are kept for a person, the newest stay."""
        is_kept = outcome.startswith(_KEPT)
        change = "sending = 0, outcome = ?, is_kept = ?, level = ?, remaining = ?"
        statement = f"UPDATE message SET {change} WHERE {which}"  # noqa: S608  our own words
        self._execute(statement, outcome[:_LONGEST], is_kept, *view, *values)
        if is_kept:  # its emitter has to read it first
            self._execute(
                "DELETE FROM message WHERE account = ? AND is_kept AND emitter = 0 AND seq NOT IN "
                "(SELECT seq FROM message WHERE account = ? AND is_kept ORDER BY seq DESC LIMIT ?)",
                self._account, self._account, SET_ASIDE_KEPT,
            )  # fmt: skip

    # -- leadership

    def _lead(self) -> bool:
        """Take the account's lock, or pass by a leader that shows no sign of life."""
        self._show_presence(_EMITTERS)  # who sends what others left has no counts of its own
        account, now = self._account, self._clock.monotonic()
        self._look_at_pause()
        if not self.file.locks.try_acquire(self._offset, self._emitter):
            found = self._execute("SELECT epoch, beat FROM leader WHERE account = ?", account)
            beat = found.fetchone()
            if beat != self._last_beat[0]:
                self._last_beat = beat, now
            if now - self._last_beat[1] < SILENCE:
                return False
        self._execute(
            "INSERT INTO leader (account, epoch, beat) VALUES (?, 1, 0) "
            "ON CONFLICT DO UPDATE SET epoch = epoch + 1",
            account,
        )
        found = self._execute("SELECT epoch FROM leader WHERE account = ?", account)
        (self._epoch,) = found.fetchone()
        self._execute(
            "UPDATE message SET deaths = deaths + 1, sending = 0 WHERE account = ? AND sending = 1",
            account,
        )
        why = f"{DEATHS_TO_SET_ASIDE} processes died while it was being sent"
        died = "account = ? AND outcome IS NULL AND deaths >= ?"
        self._end(f"{_KEPT[1]}: {why}", _UNKNOWN, died, account, DEATHS_TO_SET_ASIDE)
        self._adopt()
        self.file.leaders.add(self)
        return True

    def _look_at_pause(self) -> None:
        select = "SELECT not_before, reason FROM leader WHERE account = ?"
        not_before, reason = self._execute(select, self._account).fetchone() or (0.0, "")
        is_possible = isinstance(not_before, float) and not_before < self._clock.time() + MAX_PAUSE
        self.not_before = not_before if is_possible else 0.0  # others may have damaged it
        self.pause_reason = reason if isinstance(reason, str) else ""

    def _still_leads(self, leader: Sequence[Any] | None) -> bool:
        """Return False if another process has passed this one by; ``leader`` has its epoch."""
        if leader is None or leader[0] != self._epoch:
            self.resign()
        elif self.is_leading:  # pragma: no branch  it resigned meanwhile
            # If it passed another by, that has let go meanwhile.
            self.file.locks.try_acquire(self._offset, self._emitter)
        return self.is_leading

    def _adopt(self) -> None:
        """Take over the rows of handlers that are gone; nobody waits for their outcomes."""
        self._beat_at = self._clock.monotonic()
        others = self._execute(
            "SELECT DISTINCT emitter FROM message WHERE account = ? AND emitter != ? "
            "AND (emitter OR outcome IS NULL)",
            self._account, self._emitter,
        )  # fmt: skip
        for (emitter,) in others.fetchall():
            is_known = isinstance(emitter, int) and emitter > 0
            if not (is_known and self.file.locks.is_held(_EMITTERS + emitter)):
                self._inherited += self._execute(
                    "UPDATE message SET emitter = ? "
                    "WHERE account = ? AND emitter = ? AND outcome IS NULL",
                    self._emitter, self._account, emitter,
                ).rowcount  # fmt: skip
                self._execute(
                    "UPDATE message SET emitter = 0 WHERE account = ? AND emitter = ?",
                    self._account, emitter,
                )  # fmt: skip
        self._execute(
            "DELETE FROM message WHERE emitter = 0 AND outcome IS NOT NULL AND NOT is_kept"
        )
        self._may_inherit = False  # what is left is of the living


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
        "SELECT seq, account, put_at, priority, payload, replace(outcome, ?, '') FROM message "
        "WHERE outcome IS NULL OR is_kept "
        "ORDER BY is_kept, account, (deaths >= 2), priority DESC, seq",
        (f"{DROPPED}: ",),
    )
    return [
        ListedMessage(seq, account, put_at, priority, _title(payload), why)
        for seq, account, put_at, priority, payload, why in rows
    ]


def retry_set_aside(connection: sqlite3.Connection) -> int:
    """Have all Messages that were set aside sent again; return how many. Nobody counts them."""
    return connection.execute(
        "UPDATE message SET outcome = NULL, is_kept = 0, deaths = 0, emitter = 0 WHERE is_kept"
    ).rowcount


def purge_set_aside(connection: sqlite3.Connection) -> int:
    """Delete all Messages that were set aside; return how many."""
    return connection.execute("DELETE FROM message WHERE is_kept").rowcount


def _title(payload: str) -> str:
    try:
        return from_json("", payload, None, 0.0).message.title or ""
    except (ValueError, TypeError):
        return "(cannot be read)"
