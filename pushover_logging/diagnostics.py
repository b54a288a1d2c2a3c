"""The library's own warnings: on the logger ``pushover_logging``, and never lost.

This handler does not take them (a warning about sending must not have to be sent). Where no other
handler would, they go to stderr through `logging.lastResort`, as Python does for a program
without any handler.
"""

from __future__ import annotations

import contextlib
import logging

LOGGER_NAME = "pushover_logging"


def warn(text: str, *args: object) -> None:
    """Log a warning about the library's own work; ``text`` is a %-template for ``args``.

    Raises nothing: a handler of the program's may fail, or a stderr be closed, and what is warned
    of goes on all the same.
    """
    logger = logging.getLogger(LOGGER_NAME)
    with contextlib.suppress(Exception):
        if _is_heard(logger):
            logger.warning(text, *args)
        elif logging.lastResort is not None:
            record = logger.makeRecord(LOGGER_NAME, logging.WARNING, __file__, 0, text, args, None)
            logging.lastResort.handle(record)


def _is_heard(logger: logging.Logger) -> bool:
    # dictConfig disables a logger that it does not name: then nobody would hear it.
    if logger.disabled or not logger.isEnabledFor(logging.WARNING):
        return False
    current: logging.Logger | None = logger
    while current is not None:
        for handler in current.handlers:
            if not hasattr(handler, "sends_to_pushover") and handler.level <= logging.WARNING:
                return True
        current = current.parent if current.propagate else None
    return False
