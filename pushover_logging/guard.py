"""Locks that a signal handler finds in a state it can live with, whatever it does.

A handler of signals runs in the middle of any call of the main thread, as a ``__del__`` does in any
thread's: it may log, while its own thread is inside a lock, and it may raise, as Ctrl-C does,
between any two steps. Python asks for signals at the end of a call: ``with lock:`` has none between
taking the lock and being inside, and a lock that is let go of first thing in a ``finally`` has none
before that (in Python 3.10 a few steps are left).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


def is_inside(lock: threading.RLock) -> bool:
    """Tell whether the calling thread holds the lock already: what asks may be an interruption."""
    return lock._is_owned()  # type: ignore[attr-defined,no-any-return]  # noqa: SLF001  as Condition asks


@contextlib.contextmanager
def held(lock: threading.RLock, timeout: float) -> Iterator[bool]:
    """Hold the lock in a block; False where others have it for longer than ``timeout`` seconds."""
    if is_inside(lock):  # an outer block holds it for longer than this one lasts
        yield True
        return
    try:
        yield lock.acquire(timeout=timeout)
    finally:
        try:  # noqa: SIM105  a call of its own before this would leave a signal the time to raise
            lock.release()
        except RuntimeError:  # it is not held
            pass
