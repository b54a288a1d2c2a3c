"""A command that is run in the program's place: its streams, signals and status go through.

Its output comes through pipes, or through a terminal of its own where ours is one, so that it
looks and flows as it would without us. One thread a stream copies; signals are the main thread's:
it sleeps on a pipe that each signal writes to, whichever thread the system gives it to. A wait for
the process alone would sleep through a signal that comes just before it, or to another thread.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import signal
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType

STDIN, STDOUT, STDERR = 0, 1, 2
_PART = 64 * 1024  # bytes
_QUIET = 2.0  # seconds without a word from what a command that has ended left running
_STEP = 0.02
_PASSED_ON = (
    signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
)  # fmt: skip
# What a terminal's keys send goes to all of its programs: the command has it already.
_KEYS = {signal.SIGINT, signal.SIGQUIT}
_OUTPUT_FLAGS = 1  # index in what termios tells
_NOBODY_READS = {errno.EPIPE, errno.EIO}  # the reader has left, or a terminal's end


class Child:
    """One run of a command; ``heard`` is told each part of its output, by a thread.

    Called by the main thread: `start`, then `wait`. ``interrupted`` tells whether a SIGINT came,
    ``unwritten`` why its output could not be passed on, as on a full disk.
    """

    def __init__(self, command: Sequence[str], heard: Callable[[bytes], None]) -> None:
        self._command = command
        self._heard = heard
        self._process: subprocess.Popen[bytes] | None = None
        self._bell = -1
        self._early: list[int] = []
        self._handled: list[signal.Signals] = []
        self._terminals: list[tuple[int, int]] = []
        self._pumps: list[_Pump] = []
        self.interrupted: bool = False
        self.unwritten: OSError | None = None

    def start(self) -> None:
        """Start it. Raises OSError where it cannot be: it is not found, or not executable."""
        _open_standard_streams()
        self._take_signals()
        ends = self._ends()
        try:
            self._process = subprocess.Popen(  # noqa: S603  what the user asks for
                self._command, stdout=ends[STDOUT][1], stderr=ends[STDERR][1], close_fds=False
            )
        except OSError:
            self._give_signals_back()
            raise
        finally:
            for write in {write for _, write in ends.values()}:
                os.close(write)
        targets = {read: target for target, (read, _) in reversed(ends.items())}
        self._pumps = [_Pump(read, target, self._heard) for read, target in targets.items()]
        for pump in self._pumps:
            pump.start()
        for number in self._early:
            self._process.send_signal(number)

    def wait(self) -> int:
        """Return how it ended: its status, or the negative number of the signal that killed it.

        Its output is out then; what others that it started still say is waited for while it comes.
        """
        assert self._process is not None  # noqa: S101  it was started
        while (code := self._process.poll()) is None:
            select.select([self._bell], [], [])
            os.read(self._bell, _PART)
        self._give_signals_back()
        ended = time.monotonic()
        for pump in self._pumps:
            while pump.is_busy(ended):
                pump.join(_STEP)
            self.unwritten = self.unwritten or pump.unwritten
        return code

    def _take_signals(self) -> None:
        self._bell, rope = os.pipe()
        for end in (self._bell, rope):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(rope, warn_on_full_buffer=False)
        for one in (*_PASSED_ON, signal.SIGWINCH):
            if signal.getsignal(one) is not signal.SIG_IGN:  # what nohup and & ask for
                signal.signal(one, self._pass_on)
                self._handled.append(one)
        signal.signal(signal.SIGCHLD, _wake)
        self._handled.append(signal.SIGCHLD)

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGWINCH:
            self._resize()
            return
        self.interrupted = self.interrupted or number == signal.SIGINT
        if number in _KEYS and _has_the_terminal():
            return
        if self._process is None:
            self._early.append(number)
        else:
            self._process.send_signal(number)

    def _give_signals_back(self) -> None:
        signal.set_wakeup_fd(-1)
        for number in self._handled:
            # SIGINT too: what is to be told is in the outbox, and a person who is waiting leaves.
            signal.signal(number, signal.SIG_DFL)
        self._handled.clear()

    def _ends(self) -> dict[int, tuple[int, int]]:
        """Return the two ends of what each stream goes through; one thing keeps its order."""
        out = self._pair(STDOUT)
        same = os.path.sameopenfile(STDOUT, STDERR)
        return {STDOUT: out, STDERR: out if same else self._pair(STDERR)}

    def _pair(self, target: int) -> tuple[int, int]:
        if not os.isatty(target):
            return os.pipe()
        read, write = os.openpty()
        attributes = termios.tcgetattr(target)
        attributes[_OUTPUT_FLAGS] &= ~termios.OPOST  # our own terminal does that
        termios.tcsetattr(write, termios.TCSANOW, attributes)
        self._terminals.append((target, read))
        self._resize()
        return read, write

    def _resize(self) -> None:
        for target, terminal in self._terminals:
            with contextlib.suppress(OSError):  # the command has ended
                size = fcntl.ioctl(target, termios.TIOCGWINSZ, bytes(8))
                fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)


class _Pump(threading.Thread):
    """Copies a stream as it comes. What it sets, the main thread reads, once or in `is_busy`."""

    def __init__(self, source: int, target: int, heard: Callable[[bytes], None]) -> None:
        super().__init__(daemon=True)
        self._source, self._target, self._heard = source, target, heard
        self._writing = False
        self._last = 0.0
        self.unwritten: OSError | None = None

    def run(self) -> None:
        """Copy to the end; where the reader has left, the command learns it as it would itself."""
        try:
            while part := os.read(self._source, _PART):
                self._heard(part)
                self._writing = True
                _write(self._target, part)
                self._last, self._writing = time.monotonic(), False
        except OSError as error:
            if self._writing and error.errno not in _NOBODY_READS:
                self.unwritten = error
        self._writing = False
        os.close(self._source)

    def is_busy(self, since: float) -> bool:
        """Tell whether something is still to come, as far as is known."""
        quiet = time.monotonic() - max(since, self._last)
        return self.is_alive() and (self._writing or quiet < _QUIET)


def _write(target: int, part: bytes) -> None:
    left = memoryview(part)
    while left:
        try:
            left = left[os.write(target, left) :]
        except BlockingIOError:  # somebody else has made the stream so
            select.select([], [target], [])


def _wake(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: that there is a handler is what rings the bell."""


def _open_standard_streams() -> None:
    """Give a stream that is closed to nobody: else a pipe of ours would become it."""
    for number in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _has_the_terminal() -> bool:
    """Tell whether this process is of those that the terminal's keys reach."""
    with contextlib.suppress(OSError):  # there is no terminal
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
        try:
            return os.tcgetpgrp(terminal) == os.getpgrp()
        finally:
            os.close(terminal)
    return False
