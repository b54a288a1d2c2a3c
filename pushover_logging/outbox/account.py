"""The rows of one account in a file that all processes of a host share, as one handler sees them.

One process at a time sends for an account (a token with its user): it holds the account's lock,
which the operating system frees when it dies. A new holder takes over all rows at once, so rows
have no leases. A row says which handler's record it is, its origin; that handler holds a lock of
its own while it lives, and is told what became of the row. A dead origin's rows are adopted.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence

from pushover_logging.clock import Clock
from pushover_logging.database import PATIENCE, Unavailable
from pushover_logging.outbox import rows
from pushover_logging.outbox.envelope import Envelope, Fate, decoded
from pushover_logging.outbox.hostfile import HostFile

Work = Callable[[sqlite3.Connection], None]
_ORIGINS = 2**31  # the first offset of an origin's lock; accounts have those below
_PRESENT = _ORIGINS + rows.ORIGIN_LIMIT  # the same of one that may have counts to tell
_UNREADABLE = "cannot be read"


class Account:
    """The account ``name`` (a hash of token and user) in ``file``.

    Each method is a transaction of its own and raises Unavailable or OSError; then nothing of it
    has happened. `news` counts what became of this handler's rows, for its books: any outcome,
    "adopted" and "adopted summary". Called by the sender's thread, `insert` by the program's.
    """

    def __init__(self, file: HostFile, name: str, clock: Clock) -> None:
        self.file = file
        self.name = name
        self._clock = clock
        self._offset = int(name, 16) % _ORIGINS
        self.renew()

    def renew(self) -> None:
        """Become another origin, in a fork's child."""
        self.file.renew()
        self._origin = 1 + secrets.randbelow(rows.ORIGIN_LIMIT - 1)
        self.holds: bool = False
        self._none_for: tuple[frozenset[str | None], object] | None = None
        self.news: Counter[str] = Counter()
        self._generation: int | None = None  # of the file, as it was when stock was taken last

    @contextlib.contextmanager
    def _transaction(self, patience: float = PATIENCE) -> Iterator[sqlite3.Connection]:
        database = self.file.database
        with database.transaction(patience) as connection:
            if self._generation is None:  # nothing of this origin was there before
                self._generation = database.generation
            yield connection

    def may_be_gone(self) -> bool:
        """Tell whether something of this handler may be gone with the file that it was in."""
        return self._generation not in {None, self.file.database.generation}

    def take_stock(self, patience: float) -> tuple[int, int]:
        """Return how many records and summaries of this handler wait; takes the news."""
        with self._transaction(patience) as connection:
            news = rows.outcomes(connection, self._origin)
            found = rows.count(connection, self._origin)
            generation = self.file.database.generation
        self.news.update(news)
        self._generation = generation
        return found

    def insert(self, envelopes: Sequence[Envelope], patience: float = PATIENCE) -> None:
        """Add Messages, all or none; durable on return."""
        self._register()
        with self._transaction(patience) as connection:
            for envelope in envelopes:
                envelope.put_at = self._clock.time()
                rows.insert(connection, self.name, self._origin, envelope)

    def may_wait(self) -> bool:
        """Tell whether Messages of the account may be in the file, by a look that makes nothing."""
        return self.file.database.has_row(rows.WAITS, self.name) is not False

    def has(self, envelope: Envelope) -> bool:
        """Tell whether one is in the file whose insert was interrupted."""
        query = "SELECT 1 FROM message WHERE origin = ? AND put_at = ?"
        with contextlib.suppress(Unavailable, OSError):
            with self._transaction() as connection:
                found = connection.execute(query, (self._origin, envelope.put_at)).fetchone()
            return found is not None
        return False

    def hold(self) -> None:
        """Take the account's lock where it is free, and over all that its last holder left."""
        held = self.file.lock.try_hold(self._offset, self)
        if held and not self.holds:
            self._register()
            news: Counter[str] = Counter()
            with self._transaction() as connection:
                for origin in rows.origins(connection, self.name):
                    self._living(connection, origin, news)
                for origin, what in rows.bury(connection, self.name, self._clock.time()):
                    self._note(connection, origin, what, news)
                news.update(rows.outcomes(connection, self._origin))
            self.news.update(news)
        self.holds = held

    def release(self) -> None:
        """Give the account's lock back."""
        self.holds = False
        self.file.lock.release(self._offset, self)

    def is_last(self) -> bool:
        """Leave those who may have counts to tell, and tell whether no other process is left.

        Each leaves before it looks: where several end at once, at least one finds nobody.
        """
        self.file.lock.release(_PRESENT + self._origin, self)
        return self.file.lock.is_alone(_PRESENT, rows.ORIGIN_LIMIT)

    def has_word(self) -> bool:
        """Tell, without waiting, whether others left word for this handler; False: not known."""
        found = self.file.database.glance(rows.HAS_OUTCOME, self._origin)
        return found is not None and bool(found[0])

    def write(self, works: Sequence[Work]) -> None:
        """Do ``works`` in one transaction, and take the news that others left."""
        with self._transaction() as connection:
            for work in works:
                work(connection)
            news = rows.outcomes(connection, self._origin)
        self.news.update(news)

    def claim(
        self, closed_to: Collection[str | None], fate: Fate, works: Sequence[Work] = ()
    ) -> Envelope | None:
        """Return the most urgent (priority, then age), marked as being sent.

        Does ``works`` first, in the same transaction.
        """
        closed, stamp = frozenset(closed_to), self.file.database.stamp()
        if not works and stamp is not None and self._none_for == (closed, stamp):
            return None
        news: Counter[str] = Counter()
        with self._transaction() as connection:
            for work in works:
                work(connection)
            now = self._clock.time()
            while (row := rows.claim(connection, self.name, closed_to, now)) is not None:
                origin = self._living(connection, row.origin, news)
                try:
                    envelope = self._envelope(row, origin)
                except ValueError as error:
                    why = f"{rows.SET_ASIDE}: {_UNREADABLE}: {error}"
                    rows.end(connection, self.name, row.id, row.put_at, why)
                    self._note(connection, row.origin, rows.LOST[row.summary], news)
                    continue
                what = fate(envelope)
                if what is None:
                    rows.keep(connection, envelope, sending=True)
                    break
                self.end(connection, envelope, what)
                if origin is None:
                    news[what] += 1
            stamp = self.file.database.stamp()
        self._none_for = None if row else (closed, stamp)
        self.news.update(news)
        return envelope if row is not None else None

    def end(self, connection: sqlite3.Connection, envelope: Envelope, what: str) -> None:
        """Let a claimed one go, within a transaction; its origin, where another's, is told."""
        found = rows.end(connection, self.name, envelope.row or 0, envelope.put_at, what)
        if found and envelope.foreign is not None:
            rows.tell(connection, envelope.foreign, what, self._clock.time())

    def _register(self) -> None:
        self.file.lock.try_hold(_ORIGINS + self._origin, self)
        self.file.lock.try_hold(_PRESENT + self._origin, self)

    def _living(
        self, connection: sqlite3.Connection, origin: int, news: Counter[str]
    ) -> int | None:
        """Return ``origin`` where it is another handler that lives; adopt a dead one's rows."""
        if origin == self._origin:
            return None
        if self.file.lock.is_held(_ORIGINS + origin):
            return origin
        news.update(rows.adopt(connection, self.name, origin, self._origin))
        return None

    def _note(
        self, connection: sqlite3.Connection, origin: int, what: str, news: Counter[str]
    ) -> None:
        if self.file.lock.is_held(_ORIGINS + origin) and origin != self._origin:
            rows.tell(connection, origin, what, self._clock.time())
        else:
            news[what] += 1

    def _envelope(self, row: rows.Row, origin: int | None) -> Envelope:
        age = max(0.0, self._clock.time() - row.put_at)
        envelope = decoded(row.payload, row.attachment, self._clock.monotonic() - age)
        envelope.row, envelope.foreign, envelope.put_at = row.id, origin, row.put_at
        envelope.may_have_arrived = envelope.may_have_arrived or row.deaths > 0
        return envelope
