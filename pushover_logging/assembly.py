"""Puts the books of one handler together: over memory, or over a file that processes share."""

from __future__ import annotations

from pathlib import Path

from pushover_logging.books.ledger import Ledger
from pushover_logging.clock import Clock
from pushover_logging.outbox.memory import MemoryOutbox
from pushover_logging.throttle.local import LocalThrottle
from pushover_logging.throttle.machine import Rules


def ledger_for(
    rules: Rules, capacity: int, path: Path | None, account: str, host: str, clock: Clock
) -> Ledger:
    """Return books for ``account``; ``path`` is the outbox's file, None for memory.

    ``host`` is what summaries call this one.
    """
    throttle, memory = LocalThrottle(rules, clock), MemoryOutbox(capacity)
    if path is None:
        return Ledger(throttle, memory, clock)
    # Only here: most programs do without SQLite, and Windows has no fcntl.
    from pushover_logging.books.sharing import HostSharing  # noqa: PLC0415
    from pushover_logging.outbox.account import Account, host_file  # noqa: PLC0415
    from pushover_logging.outbox.sqlite import SqliteOutbox  # noqa: PLC0415
    from pushover_logging.throttle.sqlite import SqliteThrottle  # noqa: PLC0415

    file = host_file(path)
    outbox = SqliteOutbox(Account(file, account, clock), memory, clock)
    shared = SqliteThrottle(file.database, account, rules, clock)
    return Ledger(throttle, outbox, clock, HostSharing(shared, outbox, clock, host))
