"""What is wrong with how a program has set up logging, so that it is not wrong in silence.

Python offers no hook for ``addHandler``, for a ``basicConfig`` that does nothing, or for a logger
that was disabled. So a handler looks once, at the first record that reaches it, and at each new
problem; no other logging call costs more for it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from functools import wraps
from typing import Any

from pushover_logging.diagnostics import LOGGER_NAME, handlers_of, sends_to_pushover, warn

_SHOWN = 3  # names in a warning
# The library's own logger, and those that making a handler brings along: in a dictConfig they are
# there, and get disabled, though the program never made them.
_OWN_LOGGERS = {LOGGER_NAME, "requests", "urllib3", "charset_normalizer", "chardet", "concurrent"}


class _StderrHandler(logging.Handler):
    """Shows what Python shows for a logger without handlers, as long as Pushover is its only one.

    The level is that of `logging.lastResort`. It looks at each record again, because a program can
    add its console handler later.
    """

    is_stderr_as_before = True

    def emit(self, record: logging.LogRecord) -> None:
        if logging.lastResort is not None and all(map(_is_own, handlers_of(_logger(record.name)))):
            logging.lastResort.handle(record)


_STDERR = _StderrHandler(logging.WARNING)


def check(handler: logging.Handler) -> None:
    """Keep Python's stderr output, and warn of disabled loggers, at a handler's first record."""
    with contextlib.suppress(Exception):  # nothing here may harm a logging call
        keep_stderr(handler)
        for problem in disabled_loggers(handler):
            warn("%s", problem)


def keep_stderr(handler: logging.Handler) -> None:
    """Add a handler for stderr if ``handler`` has replaced Python's own output of root."""
    root = logging.getLogger()
    if handler in root.handlers and all(map(_is_own, root.handlers)):
        root.addHandler(_STDERR)


def disabled_loggers(handler: logging.Handler) -> Iterator[str]:
    """Yield what is wrong if loggers whose records would reach ``handler`` are disabled."""
    found = [
        name
        for name, logger in list(logging.root.manager.loggerDict.items())
        if isinstance(logger, logging.Logger)
        and logger.disabled
        and name.partition(".")[0] not in _OWN_LOGGERS
        and handler in handlers_of(logger)
    ]
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        yield (
            f"the records of disabled loggers are lost: {', '.join(found[:_SHOWN])}{more}; "
            "set disable_existing_loggers to False in dictConfig or fileConfig"
        )


def duplicate_handlers(handler: Any, name: str) -> Iterator[str]:  # noqa: ANN401  a PushoverHandler
    """Yield what is wrong if a record of logger ``name`` reaches ``handler``'s phone twice.

    Of two handlers with the same destination, only the first has the problem.
    """
    found = handlers_of(_logger(name))
    same = [each for each in found if getattr(each, "destination", None) == handler.destination]
    if len(same) > 1 and same[0] is handler:
        yield (
            f"records of the logger {name} reach the same phone twice; remove a PushoverHandler "
            "from it or from a logger above it, or set its propagate to False"
        )


def watch_basic_config() -> None:
    """Warn of a call of `logging.basicConfig` that does nothing because of a PushoverHandler."""
    original = logging.basicConfig
    if hasattr(original, "warns_of_pushover"):
        return

    @wraps(original)
    def basic_config(**options: Any) -> None:  # noqa: ANN401  logging's own
        handlers = logging.getLogger().handlers
        if handlers and not options.get("force") and all(map(_is_own, handlers)):
            warn(
                "basicConfig did nothing, because root has a PushoverHandler; "
                "call it before you add the handler"
            )
        original(**options)

    basic_config.warns_of_pushover = True  # type: ignore[attr-defined]
    logging.basicConfig = basic_config


def _is_own(handler: logging.Handler) -> bool:
    return sends_to_pushover(handler) or hasattr(handler, "is_stderr_as_before")


def _logger(name: str) -> logging.Logger:
    """Return the logger of a record, without making one; root if there is none."""
    found = logging.root.manager.loggerDict.get(name)
    return found if isinstance(found, logging.Logger) else logging.getLogger()
