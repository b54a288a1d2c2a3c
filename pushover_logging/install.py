"""`install` sets up a script in one line: errors on stderr as before, and on the phone."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from pushover_logging import config
from pushover_logging.handler import PushoverHandler
from pushover_logging.identity.tracebacks import subexceptions

_UNCAUGHT = "Uncaught exception in %s"
_INSTALLED: weakref.WeakSet[logging.Handler] = weakref.WeakSet()
"""The handlers that `install` put on the root logger."""
_HOOKS: weakref.WeakSet[Callable[..., None]] = weakref.WeakSet()
"""The hooks that `install` has put into `sys` and `threading`."""
_STATE = threading.local()  # `is_inside`: this thread is in a hook of ours


def install(*, optional: bool = False, **options: Any) -> PushoverHandler:  # noqa: ANN401  the handler checks each
    """Put a PushoverHandler on the root logger and return it.

    ``options`` are the handler's. If the root logger has no handler, it also gets a StreamHandler,
    which shows what Python showed on stderr until then (the first handler on root disables that),
    and its level is lowered to the handler's, or to a ``trail_level`` that is given. Uncaught
    exceptions of the program and its threads are logged as CRITICAL and shown as before, except
    KeyboardInterrupt and SystemExit. SIGTERM lets the handler send what it has before it ends the
    program, unless ``terminate`` is False. A second call, as in a notebook, replaces the handler of
    the first. With ``optional``, and if neither token nor user is set, nothing is sent, and a
    warning reports that. Raises ConfigurationError.
    """
    if optional and config.lacks_credentials(options.get("token"), options.get("user")):
        options["token"] = config.UNSET
    handler = PushoverHandler(**{"terminate": True, **options})
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
    _chain_hooks(root)
    return handler


def install_in_worker(**options: Any) -> None:  # noqa: ANN401  as `install`
    """Call `install` with ``options`` in a worker of a pool: the ``initializer`` of each kind.

    It returns nothing, because an InterpreterPoolExecutor refuses a result that it cannot share.
    Raises ConfigurationError.
    """
    install(**options)


def _stderr_handler(root: logging.Logger) -> logging.Handler:
    """Return a handler that shows on stderr what Python shows if root has no handler."""
    stream = logging.StreamHandler()
    stream.setLevel(max(root.level, logging.WARNING))
    stream.addFilter(lambda record: record.msg is not _UNCAUGHT)  # the previous hooks show these
    return stream


def _chain_hooks(root: logging.Logger) -> None:
    """Put a hook before those of the program and its threads, unless ours is the first already.

    A notebook puts its own before ours, so that a later call adds another: of those that call each
    other for one exception, the outermost alone logs it.
    """

    def log(exc: BaseException | None, where: str) -> None:
        if exc is not None and not _is_inner() and _is_failure(exc):
            root.critical(_UNCAUGHT, where, exc_info=(type(exc), exc, exc.__traceback__))

    def main_hook(kind: type[BaseException], exc: BaseException, tb: TracebackType | None) -> None:
        log(exc, "the program")
        with _inside():
            previous_hook(kind, exc, tb)

    def thread_hook(args: threading.ExceptHookArgs) -> None:
        log(args.exc_value, f"thread {args.thread.name if args.thread else '?'}")
        with _inside():
            previous_thread_hook(args)

    previous_hook, previous_thread_hook = sys.excepthook, threading.excepthook
    if previous_hook not in _HOOKS:
        _HOOKS.add(main_hook)
        sys.excepthook = main_hook
    if previous_thread_hook not in _HOOKS:
        _HOOKS.add(thread_hook)
        threading.excepthook = thread_hook


@contextlib.contextmanager
def _inside() -> Iterator[None]:
    """Let the hooks that are called within the block leave the logging to this one."""
    before, _STATE.is_inside = _is_inner(), True
    try:
        yield
    finally:
        _STATE.is_inside = before


def _is_inner() -> bool:
    return getattr(_STATE, "is_inside", False)


def _is_failure(exc: object) -> bool:
    """Return False for a requested exit, also if it is in a group."""
    members = subexceptions(exc)
    if members and not isinstance(exc, Exception):
        return any(map(_is_failure, members))
    return not isinstance(exc, (KeyboardInterrupt, SystemExit))
