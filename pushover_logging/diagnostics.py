"""The library's own warnings, on the logger ``pushover_logging``.

PushoverHandler ignores them: a warning about sending must not depend on sending. If no other
handler takes a warning, it goes to stderr through `logging.lastResort`, as in a program without
any handler.
"""

from __future__ import annotations

import contextlib
import logging

LOGGER_NAME = "pushover_logging"


def warn(text: str, *args: object) -> None:
    """Log a warning about the library's own work; ``text`` is a %-template for ``args``.

    Raises nothing, even if a handler of the program fails or stderr is closed.
    """
    logger = logging.getLogger(LOGGER_NAME)
    with contextlib.suppress(Exception):
        if _is_handled(logger):
            logger.warning(text, *args)
        elif logging.lastResort is not None:
            record = logger.makeRecord(LOGGER_NAME, logging.WARNING, __file__, 0, text, args, None)
            logging.lastResort.handle(record)


def inform(text: str, *args: object) -> None:
    """Log at INFO, as `warn` does at WARNING; without a handler for it, nobody reads it."""
    with contextlib.suppress(Exception):
        logging.getLogger(LOGGER_NAME).info(text, *args)


def handlers_of(logger: logging.Logger) -> list[logging.Handler]:
    """Return the handlers that a record of ``logger`` reaches, in order."""
    found: list[logging.Handler] = []
    current: logging.Logger | None = logger
    while current is not None:
        found += current.handlers
        current = current.parent if current.propagate else None
    return found


def sends_to_pushover(handler: logging.Handler) -> bool:
    """Return True for a PushoverHandler."""
    return hasattr(handler, "sends_to_pushover")


def _is_handled(logger: logging.Logger) -> bool:
    # dictConfig disables a logger that it does not name.
    if logger.disabled or not logger.isEnabledFor(logging.WARNING):
        return False
    return any(
        not sends_to_pushover(handler) and handler.level <= logging.WARNING
        for handler in handlers_of(logger)
    )
