"""Problems in the outbox's file: one state for all processes of a host, on the wall clock."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from pushover_logging.clock import Clock
from pushover_logging.storage.sqlite_file import SqliteFile
from pushover_logging.throttle.store import (
    OVERFLOW_KEY,
    SHARED_CAPACITY,
    Item,
    from_json,
    to_json,
)

T = TypeVar("T")


class Transactions(Protocol):
    """Does work in one transaction of the file; raises Unreachable if that cannot be."""

    file: SqliteFile

    def together(self, work: Callable[[], T]) -> T: ...  # noqa: D102  see above


class SqliteStore:
    """The items of one account, as rows; an item that cannot be read counts as absent.

    The writer's thread runs a transaction while the sender waits, so that no lock is needed.
    """

    def __init__(self, outbox: Transactions, account: str, clock: Clock) -> None:
        self._outbox = outbox
        self._account = account
        self._clock = clock

    def transaction(self, work: Callable[[], T]) -> T:
        """Do ``work``, perhaps as part of a transaction that is under way. Raises Unreachable."""
        return self._outbox.together(work)

    def now(self) -> float:
        """Return Unix time."""
        return self._clock.time()

    def load(self, names: Iterable[str]) -> Mapping[str, Item]:
        """Return the items that there are."""
        items: dict[str, Item] = {}
        for name in names:
            for (value,) in self._do("SELECT value FROM item WHERE account = ? AND name = ?", name):
                item = from_json(name, value)
                if item is not None:
                    items[name] = item
        return items

    def save(self, name: str, item: Item, due: float | None) -> None:
        """Keep an item."""
        self._do("INSERT OR REPLACE INTO item VALUES (?, ?, ?, ?)", name, to_json(item), due)

    def delete(self, name: str) -> None:
        """Forget an item."""
        self._do("DELETE FROM item WHERE account = ? AND name = ?", name)

    def due(self, before: float, limit: int) -> Sequence[tuple[str, float]]:
        """Return what is due before a time."""
        statement = "SELECT name, due FROM item WHERE account = ? AND due <= ? ORDER BY due LIMIT ?"
        return self._do(statement, before, limit)

    def oldest(self) -> Sequence[str]:
        """Return a sixteenth of the problems, the longest unchanged, those with a count last."""
        ((number,),) = self._do("SELECT COUNT(*) FROM item WHERE account = ?")
        if number < SHARED_CAPACITY:
            return ()
        statement = (
            "SELECT name FROM item WHERE account = ? AND name NOT IN ('limits', ?) "
            "ORDER BY due IS NOT NULL, rowid LIMIT ?"
        )
        return [name for (name,) in self._do(statement, OVERFLOW_KEY, SHARED_CAPACITY // 16)]

    def _do(self, statement: str, *values: object) -> list[Any]:
        def execute(connection: sqlite3.Connection) -> list[Any]:
            return connection.execute(statement, (self._account, *values)).fetchall()

        return self._outbox.together(lambda: self._outbox.file.run(execute))
