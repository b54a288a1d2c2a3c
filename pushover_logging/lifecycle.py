"""What happens to every sender of a process at once: exit, fork, and who may send.

`_SENDERS` is written by whoever makes a sender, read by the exit hook and by a fork's child; a
WeakSet, so that it keeps nothing alive (a thread with a backlog keeps its sender). `THREADS` holds
the identities of the threads that send now; each adds and removes its own, which is atomic.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
import weakref
from typing import Protocol

from pushover_logging.diagnostics import LOGGER_NAME, warn

THREADS: set[int] = set()
THREAD_NAME = "pushover-logging"  # of each sender's thread
_AFTER_ALL_OTHERS = -1000  # the lowest exit priority, in case they log
_UWSGI_WITH_THREADS = [2, 0, 27]  # the first whose threads run by default
_LONGEST = threading.TIMEOUT_MAX / 2  # seconds that a lock can wait for
REQUESTS_AT_ONCE = 2  # https://pushover.net/api#friendly: concurrent connections


class Stoppable(Protocol):
    """What the hooks ask of a sender."""

    close_timeout: float

    def request_close(self) -> None:
        """Ask it to end when its backlog is out; returns at once."""

    def wait(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds until nothing waits in it."""

    def unsent(self) -> tuple[int, int]:
        """Return how many records' Messages end with the process, and how many outlive it."""

    def reset(self) -> None:
        """Start anew in a fork's child."""


class _State:
    """The process-wide state that a fork renews and an exit sets."""

    def __init__(self) -> None:
        self.hooked_child = False
        self.deadline: float | None = None  # of the exit, once it has begun
        self.exited = False
        self.threadless_told = False
        self.said = (0, 0)  # a multiprocessing child may run both hooks
        self.slots = threading.BoundedSemaphore(REQUESTS_AT_ONCE)


_SENDERS: weakref.WeakSet[Stoppable] = weakref.WeakSet()
_STATE = _State()
_HOOKED: list[bool] = []  # once `_at_exit` is registered: a fork's child inherits that


def register(sender: Stoppable) -> None:
    """Make the hooks reach a new sender."""
    _SENDERS.add(sender)
    hook_exit()


def hook_exit() -> None:
    """Register the exit hook, once a process: the first sender does it, in a child its thread.

    It runs before `logging.shutdown`, which was registered earlier. A multiprocessing child runs
    no atexit functions, but its own finalizers, and forgets its parent's.
    """
    if not _HOOKED:
        _HOOKED.append(True)
        atexit.register(_at_exit)
    process, util = map(sys.modules.get, ("multiprocessing.process", "multiprocessing.util"))
    if process and util and process.parent_process() and not _STATE.hooked_child:
        _STATE.hooked_child = True
        util.Finalize(None, _at_exit, exitpriority=_AFTER_ALL_OTHERS)


def has_exited() -> bool:
    """Tell whether the exit's hook has run: nobody waits any more for what comes now.

    `logging.shutdown` may flush a MemoryHandler then, and a function of atexit may log.
    """
    return _STATE.exited


def threads_run() -> bool:
    """Tell whether a thread runs on between the program's calls; where not, it is said once.

    In uWSGI before 2.0.27 it does not, without ``enable-threads``: the server keeps the
    interpreter to itself while it waits for a request, and a thread starts and then stands still.
    """
    uwsgi = sys.modules.get("uwsgi")
    options = getattr(uwsgi, "opt", None)
    if not isinstance(options, dict) or {"enable-threads", "threads"} & options.keys():
        return True
    version = getattr(uwsgi, "version", b"").split(b".")
    if [int(part) if part.isdigit() else 0 for part in version] >= _UWSGI_WITH_THREADS:
        return True
    if not _STATE.threadless_told:
        _STATE.threadless_told = True
        warn("uWSGI runs without threads: calls wait for the service; set enable-threads")
    return False


def request_slot() -> threading.BoundedSemaphore:
    """Return the semaphore that keeps all senders of the process within two requests at once."""
    return _STATE.slots


def is_of_sender(record: logging.LogRecord) -> bool:
    """Tell whether a record is this library's own, or of a thread that sends.

    Where it is handled later, by another thread, the number of its own says nothing: those of
    threads that ended are given to new ones, and a fork's child has them from its parent.
    """
    try:
        return (
            threading.get_ident() in THREADS
            or record.threadName == THREAD_NAME
            or record.name == LOGGER_NAME
        )
    except Exception:  # noqa: BLE001  made by hand, it lacks one of them or has what cannot be compared
        return False


def patience(timeout: float) -> float:
    """Return how long a wait may last: ``timeout`` seconds, at exit what is left for all."""
    timeout = min(max(0.0, timeout), _LONGEST)  # also what is no number
    if _STATE.deadline is None:
        return timeout
    return max(0.0, min(timeout, _STATE.deadline - time.monotonic()))


def may_wait() -> bool:
    """Tell whether the calling thread may wait for a sender.

    Not a sender for itself, and not whoever holds logging's own lock: dictConfig closes the old
    handlers under it, and the sender's HTTP library needs it to ask for its loggers' levels.
    """
    owned = getattr(logging._lock, "_is_owned", None)  # type: ignore[attr-defined]  # noqa: SLF001
    return threading.get_ident() not in THREADS and not (owned is not None and owned())


def _at_exit() -> None:
    senders = list(_SENDERS)
    timeout = max((sender.close_timeout for sender in senders), default=0.0)
    if _STATE.deadline is None:
        _STATE.deadline = time.monotonic() + timeout
    for sender in senders:
        sender.request_close()
    why = f"not sent within {timeout:g} s"
    try:
        for sender in senders:
            sender.wait(timeout)
    except (KeyboardInterrupt, SystemExit):  # Ctrl-C once more, or a handler of SIGTERM
        _STATE.deadline, why = time.monotonic(), "not sent: the exit was interrupted"
    _STATE.exited = True
    unsent = [sender.unsent() for sender in senders]
    lost, kept = sum(lost for lost, _ in unsent), sum(kept for _, kept in unsent)
    if (lost, kept) != _STATE.said:
        _STATE.said = (lost, kept)
        _say(lost, why)
        _say(kept, f"{why}, and left in the outbox")


def _say(number: int, what: str) -> None:
    if number and sys.stderr is not None:
        subject = "message was" if number == 1 else "messages were"
        sys.stderr.write(f"pushover_logging: {number} {subject} {what}\n")


def _after_fork() -> None:
    THREADS.clear()
    _STATE.__init__()  # type: ignore[misc]
    for sender in list(_SENDERS):
        sender.reset()


if hasattr(os, "register_at_fork"):  # pragma: no branch  Windows has no fork
    os.register_at_fork(after_in_child=_after_fork)
