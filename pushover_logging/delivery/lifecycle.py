"""What happens to all senders of a process at once: its end, a fork, and who may send.

``_SENDERS`` and ``_OWNERS`` are written when a handler is made, and read by the exit hook and a
fork's child; they are WeakSets and keep nothing alive: a thread with a backlog keeps its sender.
``_THREADS`` are the identities of the threads that send now, and ``_MASKS`` has those that fork;
each thread adds and removes its own.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Sequence
from types import FrameType
from typing import Any, Protocol

from pushover_logging.clock import Clock, snapshot
from pushover_logging.diagnostics import LOGGER_NAME, warn

THREAD_NAME = "pushover-logging"  # how the name of each thread of ours starts
REQUESTS_AT_ONCE = 2  # https://pushover.net/api#friendly: concurrent connections
_AFTER_ALL_OTHERS = -1000  # the lowest exit priority, in case others log
_UWSGI_WITH_THREADS = [2, 0, 27]  # the first whose threads run by default
_ENDING = 1.0  # seconds that a thread may take for its last steps
_LONGEST = threading.TIMEOUT_MAX / 2  # seconds that a lock can wait for
_REMEDY = "set PUSHOVER_OUTBOX=auto to keep it for the next run"
_AGAIN = 0.01  # seconds after which a signal comes again that came in the middle of a call
_NO_DESCRIPTOR = -1  # in `signal.set_wakeup_fd`


class _Sender(Protocol):
    close_timeout: float

    def request_close(self) -> None: ...
    def wait(self, timeout: float | None) -> bool: ...
    def unsent(self) -> tuple[int, int]: ...
    def out_of_reach(self) -> int: ...
    def reason(self) -> str: ...


class _Owner(Protocol):
    def after_fork(self) -> None: ...
    def take_over(self) -> None: ...


class _Process:
    """What an exit sets; a fork's child has a new one."""

    def __init__(self) -> None:
        self.has_hooked_child = False
        self.deadline: float | None = None  # of the exit, once it has begun
        self.has_exited = False
        self.has_warned_of_threads = False
        self.is_terminating = False
        self.wakeup = _NO_DESCRIPTOR  # into which signals write their numbers
        self.reported = (0, 0)  # a multiprocessing child may run both hooks
        self.slots: dict[object, threading.BoundedSemaphore] = {}  # by the kind of locks in it


_SENDERS: weakref.WeakSet[_Sender] = weakref.WeakSet()
_OWNERS: weakref.WeakSet[_Owner] = weakref.WeakSet()
_THREADS: set[int] = set()
_HOOKED: list[bool] = []  # once `_at_exit` is registered: a fork's child inherits that
_MASKS: dict[int, set[int]] = {}  # of the signals that a thread that forks blocked before
_process = _Process()


def register(sender: _Sender) -> None:
    """Let the exit wait for a sender."""
    _SENDERS.add(sender)
    hook_exit()


def unregister(sender: _Sender) -> None:
    """Let the exit no longer wait for a sender."""
    _SENDERS.discard(sender)


def register_owner(owner: _Owner) -> None:
    """Call ``owner.after_fork`` in each fork's child, and ``owner.take_over`` at exit."""
    _OWNERS.add(owner)


def hook_exit() -> None:
    """Register the exit hook, once a process.

    It runs before `logging.shutdown`, which was registered earlier. A multiprocessing child runs
    no atexit functions, but its own finalizers, and forgets its parent's.
    """
    if not _HOOKED:
        _HOOKED.append(True)
        atexit.register(_at_exit)
    process, util = map(sys.modules.get, ("multiprocessing.process", "multiprocessing.util"))
    if process and util and process.parent_process() and not _process.has_hooked_child:
        _process.has_hooked_child = True
        util.Finalize(None, _at_exit, exitpriority=_AFTER_ALL_OTHERS)
        hook_termination()  # which is how a pool that is left by ``with`` ends its workers
        _watch_signals()


def hook_termination() -> None:
    """Have SIGTERM wait for the senders as the exit does, if it has its default action.

    The process then dies by it as it would have. No effect in another thread than the main one,
    which alone may set this. A fork's child inherits it, and a program that is executed does not.
    """
    with contextlib.suppress(ValueError):  # not the main thread, or a subinterpreter's
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _at_termination)


def _watch_signals() -> None:
    """Have SIGTERM end a call that blocks if it came just before that, which CPython misses.

    It looks for signals between two bytecodes, and a pool ends its workers at the moment at which
    they begin to wait for more work. So each signal's number goes into a pipe, and a thread reads
    it. An event loop has a descriptor of its own for that, which stays.
    """
    with contextlib.suppress(ValueError, RuntimeError):  # not the main thread; no thread starts
        before = signal.set_wakeup_fd(_NO_DESCRIPTOR)
        if before != _NO_DESCRIPTOR:
            signal.set_wakeup_fd(before)
            return
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        arguments = reader, threading.get_ident(), _process
        Clock().start_thread(lambda: _repeat_sigterm(*arguments), f"{THREAD_NAME}-signals")
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        _process.wakeup = writer


def _repeat_sigterm(  # pragma: no cover  a process that dies by a signal is not measured
    reader: int, main: int, process: _Process
) -> None:
    """Send the main thread the SIGTERM that it does not handle, until it does."""
    with contextlib.suppress(OSError):  # the program has closed the descriptor
        while numbers := os.read(reader, 64):
            while signal.SIGTERM in numbers and not process.is_terminating:
                if signal.getsignal(signal.SIGTERM) is not _at_termination:
                    break
                time.sleep(_AGAIN)
                signal.pthread_kill(main, signal.SIGTERM)


def is_ending() -> bool:
    """Return True once the process ends: by its exit hook, or by SIGTERM."""
    return _process.deadline is not None


def has_exited() -> bool:
    """Return True once the exit hook has run: nothing waits for a record that comes later.

    `logging.shutdown` may flush a MemoryHandler then, and an atexit function may log.
    """
    return _process.has_exited


def threads_run() -> bool:
    """Return True if a thread runs on between the program's calls; if not, warn once.

    In uWSGI before 2.0.27 it does not, without ``enable-threads``: the server keeps the
    interpreter to itself while it waits for a request.
    """
    uwsgi = sys.modules.get("uwsgi")
    options = getattr(uwsgi, "opt", None)
    if not isinstance(options, dict) or {"enable-threads", "threads"} & options.keys():
        return True
    version = getattr(uwsgi, "version", b"").split(b".")
    if [int(part) if part.isdigit() else 0 for part in version] >= _UWSGI_WITH_THREADS:
        return True
    warn_of_no_thread("uWSGI runs without threads", "set enable-threads")
    return False


def warn_of_no_thread(why: str, remedy: str) -> None:
    """Warn, once a process, that calls do the sender's work."""
    if not _process.has_warned_of_threads:
        _process.has_warned_of_threads = True
        warn("%s: logging calls wait for the service; %s", why, remedy)


def request_slot() -> threading.BoundedSemaphore:
    """Return the semaphore that keeps all senders of the process within two requests at once.

    It is of the kind that `threading` makes now: gevent and eventlet put theirs in place.
    """
    made = threading.BoundedSemaphore(REQUESTS_AT_ONCE)
    return _process.slots.setdefault(threading.Lock, made)


def enter_sender() -> None:
    """Mark the calling thread as one that sends."""
    _THREADS.add(threading.get_ident())


def leave_sender() -> None:
    """Unmark the calling thread."""
    _THREADS.discard(threading.get_ident())


def is_of_sender(record: logging.LogRecord) -> bool:
    """Return True for a record of this library's own, or of a thread that sends.

    Its thread's number says nothing if another thread handles it later: numbers are given again,
    and a fork's child has them from its parent.
    """
    try:
        return (
            threading.get_ident() in _THREADS
            or record.threadName == THREAD_NAME
            or record.name == LOGGER_NAME
        )
    except Exception:  # noqa: BLE001  made by hand, it lacks one of them or has what cannot be compared
        return False


def time_left(timeout: float) -> float:
    """Return how long a wait may last: ``timeout`` seconds, at exit what is left for all."""
    timeout = min(max(0.0, timeout), _LONGEST)  # also of what is not a number
    if _process.deadline is None:
        return timeout
    return max(0.0, min(timeout, _process.deadline - Clock.monotonic()))


def may_wait() -> bool:
    """Return True if the calling thread may wait for a sender.

    A sender may not wait for itself, nor a thread that holds logging's own lock: dictConfig closes
    the old handlers under it, and the sender's HTTP library needs it for its loggers' levels.
    """
    owned = getattr(logging._lock, "_is_owned", None)  # type: ignore[attr-defined]  # noqa: SLF001
    return threading.get_ident() not in _THREADS and not (owned is not None and owned())


def _at_termination(number: int, frame: FrameType | None) -> None:
    """Do what an exit does, and die by the signal; the program itself does nothing more.

    It interrupts the main thread anywhere, also an exit that waits. In the middle of this library's
    own work a sender could wait for that: then the signal comes again after a moment.
    """
    deadline = _deadline()
    if (not may_wait() or _is_of_library(frame)) and Clock.monotonic() < deadline:
        main = threading.get_ident()
        again = threading.Timer(_AGAIN, lambda: signal.pthread_kill(main, number))
        again.daemon = True
        with contextlib.suppress(RuntimeError):  # no thread can start
            again.start()
            return
    _process.is_terminating = True
    try:
        _at_exit()
    finally:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
        os._exit(128 + number)  # the default action does nothing to a container's first process


def _is_of_library(frame: FrameType | None) -> bool:
    """Return True if a frame is in the middle of this library's work, but for its waits."""
    while frame is not None:
        package, _, module = str(frame.f_globals.get("__name__")).partition(".")
        if package == "pushover_logging" and not module.startswith(("cli", "inbox")):
            return frame.f_code.co_name != "wait"
        frame = frame.f_back
    return False


def _deadline() -> float:
    """Return when the process ends at the latest, from the first call on."""
    if _process.deadline is None:
        _process.deadline = Clock.monotonic() + _close_timeout()
    return _process.deadline


def _close_timeout() -> float:
    return max((sender.close_timeout for sender in snapshot(_SENDERS)), default=0.0)


def end_sending() -> tuple[int, int]:
    """Wait for the senders as the exit does, which then waits and reports no more.

    Returns how many Messages are lost, and how many the outbox keeps: the caller reports them.
    """
    _wait_for_senders(snapshot(_SENDERS))
    _process.reported = _unsent(snapshot(_SENDERS))
    return _process.reported


def _wait_for_senders(senders: Sequence[_Sender]) -> None:
    for owner in snapshot(_OWNERS):
        owner.take_over()
    timeout = _close_timeout()
    _deadline()
    for sender in senders:
        sender.request_close()
    for sender in senders:
        sender.wait(timeout)


def _at_exit() -> None:
    senders, timeout, reason = snapshot(_SENDERS), _close_timeout(), ""
    try:
        _wait_for_senders(senders)
        _join_senders()
        if storage := _storage():
            storage.at_exit()
    except (KeyboardInterrupt, SystemExit):  # Ctrl-C once more, or a handler of SIGTERM
        _process.deadline, reason = Clock.monotonic(), "the exit was interrupted"
    _process.has_exited = True
    is_late = not reason and Clock.monotonic() >= _deadline()
    report_unsent(f" within {timeout:g} s" if is_late else "", reason)
    if number := sum(sender.out_of_reach() for sender in senders):
        records = "record" if number == 1 else "records"
        _say(f"up to {number} counted {records} not reported: Redis cannot be reached")


def _join_senders() -> None:
    """Let the threads that have nothing left to send end before their interpreter does.

    One that runs on would end it with an error: a subinterpreter, or CPython without libgcc_s.
    """
    for thread in threading.enumerate():
        if thread.name == THREAD_NAME and thread is not threading.current_thread():
            thread.join(time_left(_ENDING))


def report_unsent(when: str = " before the process ended", reason: str = "") -> None:
    """Write to stderr how many Messages are unsent beyond those that were reported before.

    It also gives a reason, of the senders if there is no other, and how to lose none next time.
    """
    senders = snapshot(_SENDERS)
    reasons = [reason] if reason else [sender.reason() for sender in senders]
    why = next((f": {reason}" for reason in reasons if reason), "")
    lost, kept = _unsent(senders)
    lost_before, kept_before = _process.reported
    _process.reported = (lost, kept)
    remedy = "" if sys.platform == "win32" else f"; {_REMEDY}"
    _report(lost - lost_before, f"not sent{when}{why}{remedy}")
    _report(kept - kept_before, f"not sent{when}, and left in the outbox{why}")


def _unsent(senders: Sequence[_Sender]) -> tuple[int, int]:
    """Return how many Messages are lost if the process ends now, and how many outlive it."""
    unsent = [sender.unsent() for sender in senders]
    return sum(lost for lost, _ in unsent), sum(kept for _, kept in unsent)


def _report(number: int, what: str) -> None:
    if number > 0:
        subject = "message was" if number == 1 else "messages were"
        _say(f"{number} {subject} {what}")


def _say(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"pushover_logging: {text}\n")


def _before_fork() -> None:
    # CPython drops a signal that reaches the child before its hooks run, as from a pool that is
    # left at once; a blocked one waits. Only the forking thread blocks it.
    if signal.getsignal(signal.SIGTERM) is _at_termination:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        _MASKS[threading.get_ident()] = mask
    if storage := _storage():
        storage.before_fork()


def _after_fork_in_parent() -> None:
    if storage := _storage():
        storage.after_fork_in_parent()
    _restore_mask()


def _after_fork_in_child() -> None:
    try:
        _renew()
    finally:
        _restore_mask()
        _MASKS.clear()  # of the parent's other threads


def _restore_mask() -> None:
    mask = _MASKS.pop(threading.get_ident(), None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _renew() -> None:
    """Make what belongs to the process that it is now."""
    global _process  # noqa: PLW0603  it is a new one
    if _process.wakeup != _NO_DESCRIPTOR:  # its reader is the parent's thread
        before = signal.set_wakeup_fd(_NO_DESCRIPTOR)
        if before != _process.wakeup:  # pragma: no branch  else it ends unmeasured
            signal.set_wakeup_fd(before)
    _process = _Process()
    _THREADS.clear()
    _SENDERS.clear()
    if transport := sys.modules.get("pushover_logging.api.transport"):
        transport.after_fork_in_child()
    if storage := _storage():
        storage.after_fork_in_child()
    for owner in snapshot(_OWNERS):
        owner.after_fork()


def _storage() -> Any:  # noqa: ANN401  a module that Windows cannot import, and most never need
    return sys.modules.get("pushover_logging.storage.sqlite_file")


if hasattr(os, "register_at_fork"):  # pragma: no branch  Windows has no fork
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
