"""The rows of an outbox's file: its schema, and each thing that a sender does to a row.

Each function takes the connection of a transaction that its caller began. A row's ``set_aside``
says why it is not sent any more; it is NULL while it waits.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from typing import NamedTuple

from pushover_logging.outbox.envelope import Envelope, encoded

DEATHS_TO_SET_ASIDE = 10  # processes that died while they sent it; from 2 on it is tried last
# By whether a row is a summary, which is in the books apart:
ADOPTED = ("adopted", "adopted summary")
LOST = ("set aside", "lost summary")
SET_ASIDE_KEPT = 100  # rows an account, for a person to look at
OUTCOMES_KEPT = 86_400.0  # seconds; an origin that lives asks within one
REJECTED = "rejected"
SET_ASIDE = "set aside"
KEPT_ASIDE = (REJECTED, SET_ASIDE)
ORIGIN_LIMIT = 2**60  # all origins are below
NOBODY = 0  # an origin that no handler is
Connection = sqlite3.Connection

MIGRATIONS = (
    """
    CREATE TABLE message (
        id INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, origin INTEGER NOT NULL,
        summary INTEGER NOT NULL, priority INTEGER NOT NULL, user TEXT, put_at REAL NOT NULL,
        payload TEXT NOT NULL, attachment BLOB, sending INTEGER NOT NULL DEFAULT 0,
        deaths INTEGER NOT NULL DEFAULT 0, set_aside TEXT
    );
    CREATE INDEX message_next
        ON message (account, set_aside, (deaths >= 2), priority DESC, id);
    CREATE TABLE outcome (
        origin INTEGER NOT NULL, what TEXT NOT NULL, number INTEGER NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (origin, what)
    );
    CREATE TABLE problem (
        account TEXT NOT NULL, key TEXT NOT NULL, until REAL NOT NULL, length REAL NOT NULL,
        number INTEGER NOT NULL, state TEXT NOT NULL, change INTEGER NOT NULL,
        PRIMARY KEY (account, key)
    );
    CREATE INDEX problem_change ON problem (change)
    """,
    # A change's number never comes again.
    """
    ALTER TABLE problem RENAME TO before;
    CREATE TABLE problem (
        change INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, key TEXT NOT NULL,
        until REAL NOT NULL, length REAL NOT NULL, number INTEGER NOT NULL, state TEXT NOT NULL,
        UNIQUE (account, key)
    );
    INSERT INTO problem (account, key, until, length, number, state)
        SELECT account, key, until, length, number, state FROM before ORDER BY change;
    DROP TABLE before
    """,
)


class Row(NamedTuple):
    """One that was claimed."""

    id: int
    origin: int
    summary: int
    put_at: float
    payload: str
    attachment: bytes | None
    deaths: int


def insert(connection: sqlite3.Connection, account: str, origin: int, envelope: Envelope) -> None:
    """Add a Message of ``origin`` to those of its account."""
    message = envelope.message
    connection.execute(
        "INSERT INTO message "
        "(account, origin, summary, priority, user, put_at, payload, attachment) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            account,
            origin,
            not envelope.counts_as_record,
            message.priority,
            message.user,
            envelope.put_at,
            encoded(envelope),
            envelope.image,
        ),
    )


def claim(
    connection: sqlite3.Connection, account: str, closed_to: Collection[str | None], now: float
) -> Row | None:
    """Mark and return the most urgent (priority, then age) that is for none of ``closed_to``.

    What two processes died of comes after all others. ``now`` is Unix time.
    """
    named = [user for user in closed_to if user is not None]
    default = "AND user IS NOT NULL " if None in closed_to else ""
    marks = ", ".join("?" * len(named))
    others = f"AND (user IS NULL OR user NOT IN ({marks})) " if named else ""
    found = connection.execute(
        "SELECT id, origin, summary = 1, put_at, payload, attachment, deaths FROM message "  # noqa: S608  our own words
        f"WHERE account = ? AND set_aside IS NULL {default}{others}"
        "ORDER BY (deaths >= 2), priority DESC, id LIMIT 1",
        (account, *named),
    ).fetchone()
    if found is None:
        return None
    connection.execute("UPDATE message SET sending = 1 WHERE id = ?", (found[0],))
    return _mended(connection, Row(*found), now)


def _mended(connection: sqlite3.Connection, row: Row, now: float) -> Row:
    """Put right what others have written over, as far as it is read before the payload is."""
    whole = row._replace(
        origin=row.origin if _is_origin(row.origin) else NOBODY,
        put_at=row.put_at if isinstance(row.put_at, float) else now,
        deaths=row.deaths if isinstance(row.deaths, int) else 0,
    )
    if whole != row:
        connection.execute(
            "UPDATE message SET origin = ?, put_at = ?, deaths = ? WHERE id = ?",
            (whole.origin, whole.put_at, whole.deaths, whole.id),
        )
    return whole


def _is_origin(value: object) -> bool:
    return isinstance(value, int) and NOBODY <= value < ORIGIN_LIMIT


def keep(connection: sqlite3.Connection, envelope: Envelope, *, sending: bool) -> None:
    """Write down what changed in a claimed one, and whether it is still being sent."""
    message = envelope.message
    connection.execute(
        "UPDATE message SET sending = ?, payload = ?, user = ?, attachment = ? "
        "WHERE id = ? AND put_at = ?",
        (
            sending,
            encoded(envelope),
            message.user,
            envelope.image,
            envelope.row,
            envelope.put_at,
        ),
    )


def end(connection: sqlite3.Connection, account: str, row: int, put_at: float, what: str) -> bool:
    """Delete one that came to its end, or keep it aside for a person to look at.

    ``put_at`` must fit as well: False where it is not there, in case the file is another one.
    """
    if not what.startswith(KEPT_ASIDE):
        delete = "DELETE FROM message WHERE id = ? AND put_at = ?"
        return connection.execute(delete, (row, put_at)).rowcount > 0
    found = connection.execute(
        "UPDATE message SET set_aside = ?, sending = 0 WHERE id = ? AND put_at = ?",
        (what[:500], row, put_at),
    ).rowcount
    connection.execute(
        "DELETE FROM message WHERE account = ? AND set_aside IS NOT NULL AND id NOT IN ("
        "SELECT id FROM message WHERE account = ? AND set_aside IS NOT NULL "
        "ORDER BY id DESC LIMIT ?)",
        (account, account, SET_ASIDE_KEPT),
    )
    return found > 0


def tell(connection: sqlite3.Connection, origin: int, what: str, now: float) -> None:
    """Leave word for the handler ``origin`` of what became of one of its rows."""
    connection.execute(
        "INSERT INTO outcome VALUES (?, ?, 1, ?) "
        "ON CONFLICT DO UPDATE SET number = number + 1, at = excluded.at",
        (origin, what.partition(":")[0], now),
    )


HAS_OUTCOME = "SELECT 1 FROM outcome WHERE origin = ?"


def outcomes(connection: sqlite3.Connection, origin: int) -> dict[str, int]:
    """Take the words that were left for ``origin``."""
    found = connection.execute("SELECT what, number FROM outcome WHERE origin = ?", (origin,))
    rows = found.fetchall()
    if rows:
        connection.execute("DELETE FROM outcome WHERE origin = ?", (origin,))
    return dict(rows)


WAITS = "SELECT 1 FROM message WHERE account = ? AND set_aside IS NULL"


def origins(connection: sqlite3.Connection, account: str) -> list[int]:
    """Return the handlers whose rows wait."""
    found = connection.execute(
        "SELECT DISTINCT origin FROM message WHERE account = ? AND set_aside IS NULL", (account,)
    )
    return [origin for (origin,) in found if _is_origin(origin)]


def count(connection: sqlite3.Connection, origin: int) -> tuple[int, int]:
    """Return how many records and how many summaries of ``origin`` wait."""
    records, summaries = connection.execute(
        "SELECT COALESCE(SUM(NOT summary), 0), COALESCE(SUM(summary), 0) FROM message "
        "WHERE origin = ? AND set_aside IS NULL",
        (origin,),
    ).fetchone()
    return records, summaries


def adopt(connection: sqlite3.Connection, account: str, origin: int, mine: int) -> dict[str, int]:
    """Make the waiting rows of ``origin`` mine; return how many, as news."""
    found = connection.execute(
        "SELECT summary = 1, COUNT(*) FROM message "
        "WHERE account = ? AND origin = ? AND set_aside IS NULL GROUP BY summary = 1",
        (account, origin),
    ).fetchall()
    connection.execute(
        "UPDATE message SET origin = ? WHERE account = ? AND origin = ? AND set_aside IS NULL",
        (mine, account, origin),
    )
    return {ADOPTED[summary]: number for summary, number in found}


def bury(connection: sqlite3.Connection, account: str, now: float) -> list[tuple[int, str]]:
    """Note the deaths of those who were sending, and set aside what too many died of.

    Returns, for each that was set aside, its origin and what to tell it.
    """
    connection.execute(
        "UPDATE message SET deaths = deaths + 1, sending = 0 WHERE account = ? AND sending = 1",
        (account,),
    )
    connection.execute("DELETE FROM outcome WHERE at < ?", (now - OUTCOMES_KEPT,))
    found = connection.execute(
        "SELECT id, origin, summary = 1, put_at FROM message "
        "WHERE account = ? AND set_aside IS NULL AND CAST(deaths AS INTEGER) >= ?",
        (account, DEATHS_TO_SET_ASIDE),
    ).fetchall()
    why = f"{SET_ASIDE}: {DEATHS_TO_SET_ASIDE} processes died while it was being sent"
    for row, _, _, put_at in found:
        end(connection, account, row, put_at, why)
    return [(origin, LOST[summary]) for _, origin, summary, _ in found]
