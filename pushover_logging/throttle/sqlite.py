"""Problems in the outbox's file: one state for all processes of a host, on the wall clock."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
_AT_ONCE = 100  # items of one statement; SQLite takes 999 parameters, or more


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
        self._written: dict[str, tuple[Item, float | None]] = {}
        self._room = 0  # new problems for which there is room without another look

    def transaction(self, work: Callable[[], T]) -> T:
        """Do ``work``, perhaps as part of a transaction that is under way. Raises Unreachable."""

        def whole() -> T:
            self._written = {}
            result = work()
            self._write()
            return result

        return self._outbox.together(whole)

    def now(self) -> float:
        """Return Unix time."""
        return self._clock.time()

    def load(self, names: Iterable[str]) -> Mapping[str, Item]:
        """Return the items that there are."""
        items: dict[str, Item] = {}
        for part in _parts(names):
            marks = ", ".join("?" * len(part))
            statement = f"SELECT name, value FROM item WHERE account = ? AND name IN ({marks})"  # noqa: S608  our own words
            for name, value in self._do(statement, *part):
                item = from_json(name, value)
                if item is not None:
                    items[name] = item
        return items

    def save(self, name: str, item: Item, due: float | None) -> None:
        """Keep an item."""
        self._written[name] = item, due

    def delete(self, name: str) -> None:
        """Forget an item."""
        self._written.pop(name, None)
        self._do("DELETE FROM item WHERE account = ? AND name = ?", name)

    def due(self, before: float, limit: int) -> Sequence[tuple[str, float]]:
        """Return what is due before a time."""
        statement = "SELECT name, due FROM item WHERE account = ? AND due <= ? ORDER BY due LIMIT ?"
        return self._do(statement, before, limit)

    def oldest(self) -> Sequence[str]:
        """Return a sixteenth of the problems, the longest unchanged, those with a count last."""
        self._room -= 1
        if self._room < 0:
            self._write()
            ((number,),) = self._do("SELECT COUNT(*) FROM item WHERE account = ?")
            self._room = min(SHARED_CAPACITY - number, _AT_ONCE)  # other processes add some too
        if self._room > 0:
            return ()
        statement = (
            "SELECT name FROM item WHERE account = ? AND name NOT IN ('limits', ?) "
            "AND name NOT GLOB 'deadline:*' "
            "ORDER BY due IS NOT NULL, rowid LIMIT ?"
        )
        return [name for (name,) in self._do(statement, OVERFLOW_KEY, SHARED_CAPACITY // 16)]

    def names(self) -> Sequence[str]:
        """Return the names of all items."""
        return [name for (name,) in self._do("SELECT name FROM item WHERE account = ?")]

    def others_have(self, start: str) -> bool:
        """Return True if another account of the file has items with names that start so."""
        statement = "SELECT 1 FROM item WHERE account != ? AND name GLOB ? LIMIT 1"
        return bool(self._do(statement, f"{start}*"))

    def _write(self) -> None:
        for part in _parts(self._written.items()):
            rows = [(name, to_json(item), due) for name, (item, due) in part]
            marks = ", ".join(["(?, ?, ?)"] * len(rows))
            statement = f"INSERT OR REPLACE INTO item SELECT ?, * FROM (VALUES {marks})"  # noqa: S608  our own words
            self._do(statement, *itertools.chain(*rows))
        self._written = {}

    def _do(self, statement: str, *values: object) -> list[Any]:
        def execute(connection: sqlite3.Connection) -> list[Any]:
            return connection.execute(statement, (self._account, *values)).fetchall()

        return self._outbox.together(lambda: self._outbox.file.run(execute))


def _parts(items: Iterable[T]) -> Iterator[Sequence[T]]:
    every = list(items)
    return (every[start : start + _AT_ONCE] for start in range(0, len(every), _AT_ONCE))
