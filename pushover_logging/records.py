"""A record that came from anywhere, as it can be relied on; the program's own is never changed."""

from __future__ import annotations

import logging

from pushover_logging.clock import LATEST, Clock


def copied(record: logging.LogRecord) -> logging.LogRecord:
    """Return another record of the same type and attributes.

    Without the module ``copy``, which imports: an interpreter that ends does that no more, and what
    a ``__del__`` logs then is still to be told.
    """
    own = object.__new__(type(record))
    own.__dict__.update(record.__dict__)
    return own


def dated(record: logging.LogRecord, clock: Clock) -> logging.LogRecord:
    """Return ``record``, or one like it of this moment where its own time is none.

    A record that was made by hand, or came through a socket, may hold anything.
    """
    created = getattr(record, "created", None)
    if isinstance(created, (float, int)) and 0 <= created <= LATEST:
        return record
    record = copied(record)  # others show it as it is
    record.created = clock.time()
    return record
