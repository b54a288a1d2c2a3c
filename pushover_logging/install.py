"""`install` sets up a script in one line: errors stay on stderr, and also reach the phone."""

from __future__ import annotations

import logging
import weakref
from typing import Any

from pushover_logging import config, uncaught
from pushover_logging.exceptions import invalid
from pushover_logging.handler import PushoverHandler

_INSTALLED: weakref.WeakSet[logging.Handler] = weakref.WeakSet()
"""The handlers that `install` put on the root logger."""


def install(
    *,
    optional: bool = False,
    crashes: bool = False,
    futures: bool = False,
    **options: Any,  # noqa: ANN401  the handler checks each
) -> PushoverHandler:
    """Add a PushoverHandler to the root logger and return it.

    ``options`` are those of PushoverHandler; ``terminate`` is True unless you set it. If the root
    logger has no handler, it also gets a StreamHandler, which shows the same on stderr as Python
    did before, and its level is lowered to that of the handler, or to ``trail_level`` if you set
    it. A second call, as in a notebook, replaces the handler of the first.

    These exceptions are logged, and shown as before: as CRITICAL, uncaught ones of the program, its
    threads, its `multiprocessing` processes and its cells (IPython, Jupyter), except
    KeyboardInterrupt and SystemExit; as ERROR, those that reach `sys.unraisablehook`.

    ``optional``: if neither token nor user is set, send nothing and warn once, instead of raising.
    ``futures``: also log, as CRITICAL, the exceptions of `concurrent.futures.Future` objects that
    are collected before the program has asked for their result. ``crashes``: `faulthandler` writes
    to a file beside the outbox file, and the next process reports the crash; needs ``outbox``.

    Raises ConfigurationError.
    """
    crashes, futures = config.boolean("crashes", crashes), config.boolean("futures", futures)
    if optional and config.lacks_credentials(options.get("token"), options.get("user")):
        options["token"] = config.UNSET
    handler = PushoverHandler(**{"terminate": True, **options})
    settings = handler._settings if crashes else None  # noqa: SLF001  None too if nothing is sent
    if settings is not None and settings.path is None:
        takes = "an outbox beside it, which outlives the process"
        raise invalid(repr(crashes), "crashes", takes)
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(_stderr_handler(root))
        level = handler.level
        if "trail_level" in options:
            level = getattr(level, "lowest", level)
        if root.level > level:
            root.setLevel(level or logging.DEBUG)
    for previous in _INSTALLED & set(root.handlers):
        root.removeHandler(previous)  # its sender still sends what it has queued
    _INSTALLED.add(handler)
    root.addHandler(handler)
    uncaught.chain_hooks()
    if futures:
        uncaught.watch_futures()
    if settings is not None and settings.path is not None:
        from pushover_logging.crashes import watch  # noqa: PLC0415  Windows has no fcntl

        watch(settings.path, handler.handle)
    return handler


def install_in_worker(**options: Any) -> None:  # noqa: ANN401  as `install`
    """Call `install` in a worker: pass this as the ``initializer`` of any kind of pool.

    ``options`` are those of `install`. Returns None, because an InterpreterPoolExecutor refuses a
    result that it cannot share. Raises ConfigurationError.
    """
    install(**options)


def _stderr_handler(root: logging.Logger) -> logging.Handler:
    """Return a handler that shows on stderr what Python shows if root has no handler."""
    stream = logging.StreamHandler()
    stream.setLevel(max(root.level, logging.WARNING))
    # The previous hooks show these.
    stream.addFilter(lambda record: record.msg is not uncaught.UNCAUGHT)
    return stream
