"""The one line for a script: errors on stderr as before, and on the phone."""

from __future__ import annotations

import logging
import sys
import threading
import weakref
from types import TracebackType
from typing import Any

from pushover_logging.handler import PushoverHandler
from pushover_logging.identity.tracebacks import subexceptions

_UNCAUGHT = "Uncaught exception in %s"
_INSTALLED: weakref.WeakSet[logging.Handler] = weakref.WeakSet()
"""What stands on root by `install`; written and read by whoever calls that."""


def install(**options: Any) -> PushoverHandler:  # noqa: ANN401  the handler checks each
    """Put a PushoverHandler on the root logger and return it.

    ``options`` are the handler's. Where root has no handler, it gets a StreamHandler as well, which
    shows what Python showed on stderr until then (a first handler on root silences that), and root
    lets through what ``level`` asks for. Uncaught exceptions of the program and of its threads are
    logged as CRITICAL, and shown as before; KeyboardInterrupt and SystemExit are no failures.
    Called again, as where a notebook's cell is run anew, the new handler takes the former's place.
    Raises ConfigurationError.
    """
    handler = PushoverHandler(**options)
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(_stderr_handler(root))
        if root.level > handler.level:
            root.setLevel(handler.level or logging.DEBUG)
    for former in _INSTALLED & set(root.handlers):
        root.removeHandler(former)  # what waits in it is sent while the process lives
    _INSTALLED.add(handler)
    root.addHandler(handler)
    _chain_hooks(root)
    return handler


def _stderr_handler(root: logging.Logger) -> logging.Handler:
    """Return what shows on stderr what Python would show if root had no handler."""
    stream = logging.StreamHandler()
    stream.setLevel(max(root.level, logging.WARNING))
    stream.addFilter(lambda record: record.msg is not _UNCAUGHT)  # the hooks before ours show these
    return stream


def _chain_hooks(root: logging.Logger) -> None:
    if getattr(sys.excepthook, "logs_to_pushover", False):
        return  # installed before: told once is enough
    program, thread = sys.excepthook, threading.excepthook

    def log(exc: BaseException | None, where: str) -> None:
        if exc is not None and _is_failure(exc):
            root.critical(_UNCAUGHT, where, exc_info=(type(exc), exc, exc.__traceback__))

    def program_hook(
        kind: type[BaseException], exc: BaseException, trace: TracebackType | None
    ) -> None:
        log(exc, "the program")
        program(kind, exc, trace)

    def thread_hook(args: threading.ExceptHookArgs) -> None:
        log(args.exc_value, f"thread {args.thread.name if args.thread else '?'}")
        thread(args)

    program_hook.logs_to_pushover = True  # type: ignore[attr-defined]
    sys.excepthook = program_hook
    threading.excepthook = thread_hook


def _is_failure(exc: object) -> bool:
    """Tell a failure from an end that somebody asked for, which may come in a group as well."""
    members = subexceptions(exc)
    if members and not isinstance(exc, Exception):
        return any(map(_is_failure, members))
    return not isinstance(exc, (KeyboardInterrupt, SystemExit))
