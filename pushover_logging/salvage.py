"""What can be read of a damaged SQLite file is saved into a new one."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

# The second where SQLite would name a part of a damaged file, whose name is no UTF-8 any more.
FAULTS = (sqlite3.Error, UnicodeDecodeError)
_DAMAGE = (
    "malformed", "not a database", "unsupported file format",
    "no such ", "has no column", "already exists", "constraint failed",  # a schema of others
)  # fmt: skip


def is_damage(error: Exception) -> bool:
    """Tell whether SQLite's complaint means that the file itself is damaged."""
    text = str(error)  # Python 3.10 gives no error code
    if isinstance(error, UnicodeDecodeError):
        return True
    return isinstance(error, sqlite3.DatabaseError) and any(one in text for one in _DAMAGE)


def salvage(damaged: Path, connection: sqlite3.Connection) -> None:
    """Copy the rows that can be read, from both ends of each table."""
    with contextlib.closing(
        sqlite3.connect(f"{damaged.resolve().as_uri()}?mode=ro", uri=True)
    ) as old:
        old.execute("PRAGMA writable_schema = ON")  # reads a file that was cut off, up to there
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in names:
            for order in ("ASC", "DESC"):
                with contextlib.suppress(*FAULTS):
                    rows = old.execute(f"SELECT * FROM {table} ORDER BY rowid {order}")  # noqa: S608  our own names
                    for row in rows:
                        marks = ", ".join("?" * len(row))
                        connection.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)  # noqa: S608
