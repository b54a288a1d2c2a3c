"""What a person asks of an outbox's file: what waits in it, and what becomes of what was set aside.

Each function takes the connection of a transaction that its caller began.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from pushover_logging.outbox.envelope import decoded
from pushover_logging.outbox.rows import NOBODY


class Listed(NamedTuple):
    """One as a person is shown it: no user, no text but the title."""

    id: int
    account: str
    put_at: float
    priority: int
    title: str
    set_aside: str | None


def listed(connection: sqlite3.Connection) -> list[Listed]:
    """Return all rows, in the order in which they are sent, those set aside last."""
    found = connection.execute(
        "SELECT id, account, put_at, priority, payload, set_aside FROM message "
        "ORDER BY set_aside IS NOT NULL, account, (deaths >= 2), priority DESC, id"
    )
    return [
        Listed(row, account, put_at, priority, _title(payload), aside)
        for row, account, put_at, priority, payload, aside in found
    ]


def take_up(connection: sqlite3.Connection) -> int:
    """Have all that was set aside sent again; return how many.

    Their handlers have counted them already: they are adopted, as those of `NOBODY`.
    """
    return connection.execute(
        "UPDATE message SET set_aside = NULL, deaths = 0, origin = ? WHERE set_aside IS NOT NULL",
        (NOBODY,),
    ).rowcount


def purge(connection: sqlite3.Connection) -> int:
    """Delete all that was set aside; return how many."""
    return connection.execute("DELETE FROM message WHERE set_aside IS NOT NULL").rowcount


def _title(payload: str) -> str:
    try:
        return decoded(payload, None, 0.0).message.title or ""
    except ValueError:
        return "(cannot be read)"
