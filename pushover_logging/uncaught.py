"""Logs exceptions that nobody caught, wherever Python hands them, and shows them as before."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pushover_logging.delivery import trail
from pushover_logging.identity.tracebacks import subexceptions

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

UNCAUGHT = "Uncaught exception in %s"
_HOOKS: weakref.WeakSet[Callable[..., None]] = weakref.WeakSet()
"""The hooks that `chain_hooks` has put into `sys` and `threading`."""
_STATE = threading.local()  # `is_inside`: this thread is in a hook of ours
_STARTED: set[str] = set()
"""What is watched once a process; a fork's child inherits it."""


def chain_hooks() -> None:
    """Put a hook before each of Python's, unless ours is the first already.

    A notebook puts its own before ours, so that a later call adds another: of those that call each
    other for one exception, the outermost alone logs it.
    """

    def main_hook(kind: type[BaseException], exc: BaseException, tb: TracebackType | None) -> None:
        _log(exc, "the program")
        with _inside():
            previous_hook(kind, exc, tb)

    def thread_hook(args: threading.ExceptHookArgs) -> None:
        _log(args.exc_value, f"thread {args.thread.name if args.thread else '?'}")
        with _inside():
            previous_thread_hook(args)

    def unraisable_hook(args: UnraisableHookArgs) -> None:
        with contextlib.suppress(Exception):  # at the interpreter's end modules are gone
            name = getattr(args.object, "__qualname__", type(args.object).__qualname__)
            with trail.elsewhere():
                _log(args.exc_value, name, logging.ERROR)
        with _inside():
            previous_unraisable_hook(args)

    previous_hook, previous_thread_hook = sys.excepthook, threading.excepthook
    previous_unraisable_hook = sys.unraisablehook
    if previous_hook not in _HOOKS:
        _HOOKS.add(main_hook)
        sys.excepthook = main_hook
    if previous_thread_hook not in _HOOKS:
        _HOOKS.add(thread_hook)
        threading.excepthook = thread_hook
    if previous_unraisable_hook not in _HOOKS:
        _HOOKS.add(unraisable_hook)
        sys.unraisablehook = unraisable_hook
    _watch_cells()
    _watch_process()


def watch_futures() -> None:
    """Log the exception of each `concurrent.futures.Future` that is gone and was never asked.

    There is no hook for that: three methods of the class are wrapped, once a process.
    """
    if "futures" in _STARTED:
        return
    _STARTED.add("futures")
    from concurrent.futures import Future as kind  # noqa: N813, PLC0415  most do without

    set_exception, result, exception = kind.set_exception, kind.result, kind.exception

    def watched_set_exception(self: Any, exception: BaseException | None) -> None:  # noqa: ANN401
        self._pushover_logging = _Unasked(exception)
        set_exception(self, exception)

    def asked(method: Callable[..., Any]) -> Callable[..., Any]:
        def ask(self: Any, timeout: float | None = None) -> Any:  # noqa: ANN401
            try:
                return method(self, timeout)
            finally:
                unasked = getattr(self, "_pushover_logging", None)
                if unasked is not None and self.done():
                    unasked.exc = None
                del self  # the exception's traceback would keep it, and that the exception

        return ask

    kind.set_exception = watched_set_exception  # type: ignore[method-assign]
    kind.result = asked(result)  # type: ignore[method-assign]
    kind.exception = asked(exception)  # type: ignore[method-assign]


class _Unasked:
    """The exception of a future, which goes when that goes."""

    def __init__(self, exc: BaseException | None) -> None:
        self.exc = exc

    def __del__(self) -> None:
        if self.exc is not None:
            with trail.elsewhere():
                _log(self.exc, "a future")


def _log(exc: BaseException | None, where: str, level: int = logging.CRITICAL) -> None:
    if exc is not None and not _is_inner() and is_failure(exc):
        info = type(exc), exc, exc.__traceback__
        logging.getLogger().log(level, UNCAUGHT, where, exc_info=info)


def _watch_cells() -> None:
    """Log what ends a cell of IPython or Jupyter; it shows that itself."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None and "cells" not in _STARTED:
        _STARTED.add("cells")
        shell.events.register("post_run_cell", _log_cell)


def _log_cell(result: Any) -> None:  # noqa: ANN401  IPython's ExecutionResult
    _log(result.error_before_exec or result.error_in_exec, f"cell {result.execution_count}")


def _watch_process() -> None:
    """Log what ends a `multiprocessing.Process`, in this one if it is one, and in forks."""
    _watch_own_process()
    if "forks" not in _STARTED and hasattr(os, "register_at_fork"):  # Windows has no fork
        _STARTED.add("forks")
        os.register_at_fork(after_in_child=_after_fork_in_child)


def _after_fork_in_child() -> None:
    util = sys.modules.get("multiprocessing.util")
    if util is not None:  # it forgets the parent's finalizers only later
        util.register_after_fork(_Unasked, lambda _: _watch_own_process())


def _watch_own_process() -> None:
    process, util = map(sys.modules.get, ("multiprocessing.process", "multiprocessing.util"))
    if process and util and process.parent_process():
        util.Finalize(None, _log_process, exitpriority=100)


def _log_process() -> None:
    """Log the exception that a process ends with: its finalizers run while that is handled."""
    process = sys.modules["multiprocessing.process"].current_process()
    _log(sys.exc_info()[1], f"process {process.name}")


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


def is_failure(exc: object) -> bool:
    """Return False for a requested exit, also if it is in a group."""
    members = subexceptions(exc)
    if members and not isinstance(exc, Exception):
        return any(map(is_failure, members))
    return not isinstance(exc, (KeyboardInterrupt, SystemExit))
