"""Puts the books of one handler together, over memory or a file, and its formatter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pushover_logging import config
from pushover_logging.books.ledger import Ledger
from pushover_logging.clock import Clock
from pushover_logging.diagnostics import warn
from pushover_logging.outbox.memory import MemoryOutbox
from pushover_logging.rendering.formatter import PushoverFormatter
from pushover_logging.rendering.redaction import Redaction
from pushover_logging.throttle.local import LocalThrottle
from pushover_logging.throttle.machine import Rules

if TYPE_CHECKING:
    from pushover_logging.books.exchange import Sharing
    from pushover_logging.outbox.hostfile import HostFile
    from pushover_logging.outbox.sqlite import SqliteOutbox

_UNSEEN = 600.0  # seconds after which a first that nobody is heard to have told is tried again


def ledger_for(  # noqa: PLR0913, PLR0917  what all parts of the books need
    rules: Rules, capacity: int, path: Path | None, account: str, host: str, clock: Clock
) -> Ledger:
    """Return books for ``account``; ``path`` is the outbox's file, None for memory.

    ``host`` is what summaries call this one.
    """
    memory = MemoryOutbox(capacity)
    if path is None and rules.store is None:
        return Ledger(LocalThrottle(rules, clock), memory, clock)
    outbox: MemoryOutbox | SqliteOutbox = memory
    sharing: Sharing | None = None
    # Imported only here: most programs do without SQLite and Redis, and Windows has no fcntl.
    if path is not None and (file := _outbox_file(path)):
        from pushover_logging.books.sharing import HostSharing  # noqa: PLC0415
        from pushover_logging.outbox.account import Account  # noqa: PLC0415
        from pushover_logging.outbox.sqlite import SqliteOutbox  # noqa: PLC0415
        from pushover_logging.throttle.sqlite import SqliteThrottle  # noqa: PLC0415

        outbox = SqliteOutbox(Account(file, account, clock), memory, clock)
        shared = SqliteThrottle(file.database, account, rules, clock)
        sharing = HostSharing(shared, outbox, clock, host)
    if rules.store is not None:
        from pushover_logging.books.remote import RedisSharing  # noqa: PLC0415
        from pushover_logging.throttle.lending import RedisThrottle  # noqa: PLC0415

        sharing = RedisSharing(RedisThrottle(rules.store, account, rules), clock, host)
    return Ledger(LocalThrottle(replace(rules, patience=_UNSEEN), clock), outbox, clock, sharing)


def _outbox_file(path: Path) -> HostFile | None:
    """Return the file, None where somebody named one that was never an outbox."""
    from pushover_logging.outbox.hostfile import host_file  # noqa: PLC0415  as above

    file = host_file(path)
    if file.is_of_others():
        warn("outbox: %s is no outbox's file; it is left as it is, and memory is used", path)
        return None
    return file


def phone_for(
    given: Mapping[str, Any], secrets: Iterable[str], *, encrypted: bool
) -> PushoverFormatter:
    """Return the formatter that a handler's options make. Raises ConfigurationError."""
    phone = PushoverFormatter(
        style=given["style"],
        title=given["title"],
        body=given["body"],
        extras=given["extras"],
        host=config.host(given["host"]),
        redaction=Redaction(given["redact"], secrets),
    )
    if encrypted:
        phone.encrypted_length = config.encrypted_length()
    return phone
