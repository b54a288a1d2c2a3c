"""The one line for a script: errors on stderr as before, and on the phone."""

from __future__ import annotations

import logging
import sys
import threading
from types import TracebackType
from typing import Any

from pushover_logging.handler import PushoverHandler

_UNCAUGHT = "Uncaught exception"


def install(**options: Any) -> PushoverHandler:  # noqa: ANN401  the handler checks each
    """Put a PushoverHandler on the root logger and return it.

    ``options`` are the handler's. Where root has no handler, it gets a StreamHandler as well: a
    first handler on root silences Python's own output to stderr. Uncaught exceptions of the
    program and of its threads are logged as CRITICAL, and then shown as before; KeyboardInterrupt
    and SystemExit are no failures. Raises ConfigurationError.
    """
    handler = PushoverHandler(**options)
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.StreamHandler())
    root.addHandler(handler)
    _chain_hooks(root)
    return handler


def _chain_hooks(root: logging.Logger) -> None:
    if getattr(sys.excepthook, "logs_to_pushover", False):
        return  # installed before: told once is enough
    program, thread = sys.excepthook, threading.excepthook

    def log(exc: BaseException | None, where: str) -> None:
        if isinstance(exc, Exception):
            info = (type(exc), exc, exc.__traceback__)
            root.critical("%s in %s", _UNCAUGHT, where, exc_info=info)

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
