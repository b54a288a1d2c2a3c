"""How a file of SQLite is opened so that a commit lasts, and brought to this version's schema."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

_OPENING = 0.2  # seconds that opening waits at each of its steps


def opened(path: Path, version: int) -> sqlite3.Connection:
    """Open the file ``path``, whose schema may be ``version`` or older; OSError: it is newer."""
    connection = sqlite3.connect(
        path, timeout=_OPENING, isolation_level=None, check_same_thread=False
    )
    try:
        _check(connection, version)
        connection.execute("PRAGMA journal_mode = TRUNCATE")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA busy_timeout = 0")  # who begins waits himself, in short steps
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection, version: int) -> None:
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found > version:
        msg = f"its schema {found} is of a newer version of this library"
        raise OSError(msg)


def migrate(connection: sqlite3.Connection, migrations: Sequence[str]) -> None:
    """Bring the schema up to date, within a transaction; see `Database`."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for statements in migrations[version:]:
        for statement in statements.split(";"):
            connection.execute(statement)
    if version < len(migrations):
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
