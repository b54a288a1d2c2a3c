"""Problems in the outbox's file: one state for all processes of a host, on the wall clock."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pushover_logging.clock import Clock
from pushover_logging.exceptions import Unreachable
from pushover_logging.storage.sqlite_file import PATIENCE, SqliteFile, Unavailable
from pushover_logging.throttle.store import (
    OVERFLOW_KEY,
    SHARED_CAPACITY,
    Item,
    from_json,
    to_json,
)

_PARAMETERS = 500  # of one statement; SQLite takes 999 of them, or more
T = TypeVar("T")


class SqliteStore:
    """The items of one account, as rows; an item that cannot be read counts as absent.

    A transaction is one of the file's, or part of one that is under way. The writer's thread runs
    it while the sender waits, so that no lock is needed.
    """

    def __init__(self, file: SqliteFile, account: str, clock: Clock) -> None:
        self._file = file
        self._account = account
        self._clock = clock
        self._written: dict[str, tuple[Item | None, float | None]] = {}

    def transaction(self, work: Callable[[], T]) -> T:
        """Do ``work`` and write what it saved. Raises Unreachable."""

        def whole(connection: sqlite3.Connection) -> T:
            self._written = {}
            result = work()
            self._write(connection)
            return result

        try:
            return self._file.run(whole, PATIENCE)
        except Unavailable as error:
            raise Unreachable(*error.args) from error

    def now(self) -> float:
        """Return Unix time."""
        return self._clock.time()

    def load(self, names: Iterable[str]) -> Mapping[str, Item]:
        """Return the items that there are."""
        wanted = list(names)
        items: dict[str, Item] = {}
        for start in range(0, len(wanted), _PARAMETERS):
            part = wanted[start : start + _PARAMETERS]
            marks = ", ".join("?" * len(part))
            rows = self._select(
                f"SELECT name, value FROM item WHERE account = ? AND name IN ({marks})", *part
            )  # noqa: E501, S608  our own words
            for name, value in rows:
                item = from_json(name, value)
                if item is not None:
                    items[name] = item
        return items

    def save(self, name: str, item: Item, due: float | None) -> None:
        """Keep an item."""
        self._written[name] = item, due

    def delete(self, name: str) -> None:
        """Forget an item."""
        self._written[name] = None, None

    def due(self, before: float, limit: int) -> Sequence[tuple[str, float]]:
        """Return what is due before a time."""
        return self._select(
            "SELECT name, due FROM item WHERE account = ? AND due <= ? ORDER BY due LIMIT ?",
            before,
            limit,
        )

    def oldest(self) -> Sequence[str]:
        """Return a sixteenth of the problems, the longest unchanged, those with a count last."""
        ((number,),) = self._select("SELECT COUNT(*) FROM item WHERE account = ?")
        if number < SHARED_CAPACITY:
            return ()
        rows = self._select(
            "SELECT name FROM item WHERE account = ? AND name NOT IN ('limits', ?) "
            "ORDER BY due IS NOT NULL, rowid LIMIT ?",
            OVERFLOW_KEY,
            SHARED_CAPACITY // 16,
        )
        return [name for (name,) in rows]

    def _select(self, statement: str, *values: object) -> list[Any]:
        return self._file.run(
            lambda connection: connection.execute(statement, (self._account, *values)).fetchall(),
            PATIENCE,
        )

    def _write(self, connection: sqlite3.Connection) -> None:
        saved = {name: kept for name, kept in self._written.items() if kept[0] is not None}
        for name in self._written.keys() - saved.keys():
            connection.execute(
                "DELETE FROM item WHERE account = ? AND name = ?", (self._account, name)
            )
        rows = [
            (self._account, name, to_json(item), due)
            for name, (item, due) in saved.items()
            if item is not None
        ]
        for start in range(0, len(rows), _PARAMETERS // 4):
            part = rows[start : start + _PARAMETERS // 4]
            marks = ", ".join(["(?, ?, ?, ?)"] * len(part))
            connection.execute(
                f"INSERT OR REPLACE INTO item (account, name, value, due) VALUES {marks}",  # noqa: S608
                [value for row in part for value in row],
            )
        self._written = {}
