"""Child: runs a command with this process's streams and signals, and returns its status.

Its output goes through pipes, or through a pseudo-terminal if ours is a terminal, so that it looks
as it would without us. One thread per stream copies the output. The main thread handles signals: it
waits on a pipe that every signal writes to, in whichever thread it arrives. Waiting for the process
alone would miss a signal that arrives just before, or in another thread.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType

STDIN, STDOUT, STDERR = 0, 1, 2
_CHUNK = 64 * 1024  # bytes
_MAX_SILENCE = 2.0  # seconds to wait for output of processes that the command left running
_POLL_INTERVAL = 0.02
_FORWARDED = (
    signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
)  # fmt: skip
# A terminal's keys send these to all its foreground processes: the command gets them anyway.
_KEY_SIGNALS = {signal.SIGINT, signal.SIGQUIT}
_OUTPUT_FLAGS = 1  # index in the list of termios.tcgetattr
_READER_GONE = {errno.EPIPE, errno.EIO}  # of a pipe, or of a terminal


class Child:
    """One run of a command in ``environ``; ``on_output`` gets each part of its output, in a thread.

    The main thread calls `start`, then `wait`. ``interrupted`` is True after a SIGINT.
    ``write_error`` is why the output could not be written, for example to a full disk.
    """

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        on_output: Callable[[bytes], None],
    ) -> None:
        self._command = command
        self._environ = environ
        self._on_output = on_output
        self._process: subprocess.Popen[bytes] | None = None
        self._wakeup = -1
        self._early_signals: list[int] = []
        self._handled_signals: set[signal.Signals] = set()
        self._terminals: list[tuple[int, int]] = []
        self._copiers: list[_Copier] = []
        self._is_stopped = False  # by a signal, after the command's end
        self.interrupted: bool = False
        self.write_error: OSError | None = None

    def start(self) -> None:
        """Start the command. Raises OSError if it is not found or not executable."""
        _open_closed_streams()
        self._handle_signals()
        ends = self._ends()
        try:
            self._process = subprocess.Popen(  # noqa: S603  the user's command
                self._command,
                env=self._environ,
                stdout=ends[STDOUT][1],
                stderr=ends[STDERR][1],
                close_fds=False,
            )
        except OSError:
            self._stop_forwarding()
            raise
        finally:
            for write in {write for _, write in ends.values()}:
                os.close(write)
        targets = {read: target for target, (read, _) in reversed(ends.items())}
        self._copiers = [_Copier(read, target, self._on_output) for read, target in targets.items()]
        for copier in self._copiers:
            copier.start()
        for number in self._early_signals:
            self._process.send_signal(number)

    def wait(self) -> int:
        """Return its exit status, or the negative number of the signal that killed it.

        Its output is written then. Output of processes that it left running is waited for while it
        keeps coming and no signal does.
        """
        assert self._process is not None  # noqa: S101  start was called
        while (code := self._process.poll()) is None:
            select.select([self._wakeup], [], [])
            os.read(self._wakeup, _CHUNK)
        self._stop_forwarding()
        ended = time.monotonic()
        for copier in self._copiers:
            while copier.is_busy(ended) and not self._is_stopped:
                copier.join(_POLL_INTERVAL)
            self.write_error = self.write_error or copier.write_error
        return code

    def _handle_signals(self) -> None:
        self._wakeup, writer = os.pipe()
        for end in (self._wakeup, writer):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (*_FORWARDED, signal.SIGWINCH):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup and & ignore some
                signal.signal(number, self._forward)
                self._handled_signals.add(number)
        signal.signal(signal.SIGCHLD, _ignore)
        self._handled_signals.add(signal.SIGCHLD)

    def _forward(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGWINCH:
            self._resize()
            return
        if self._process is not None and self._process.returncode is not None:
            self._is_stopped = True
            return
        self.interrupted = self.interrupted or number == signal.SIGINT
        if number in _KEY_SIGNALS and _is_in_foreground():
            return
        if self._process is None:
            self._early_signals.append(number)
        else:
            self._process.send_signal(number)

    def _stop_forwarding(self) -> None:
        """Ignore signals from now on, until `exiting_on_signals`, but not SIGINT.

        The alert is in the outbox, so a user who waits can interrupt the exit.
        """
        signal.set_wakeup_fd(-1)
        for number in {signal.SIGINT, signal.SIGCHLD, signal.SIGWINCH} & self._handled_signals:
            signal.signal(number, signal.SIG_DFL)

    def _ends(self) -> dict[int, tuple[int, int]]:
        """Return the read and write end for stdout and for stderr."""
        out = self._pair(STDOUT)
        is_same = os.path.sameopenfile(STDOUT, STDERR)  # then one pair keeps the order
        return {STDOUT: out, STDERR: out if is_same else self._pair(STDERR)}

    def _pair(self, target: int) -> tuple[int, int]:
        if not os.isatty(target):
            return os.pipe()
        read, write = os.openpty()
        attributes = termios.tcgetattr(target)
        attributes[_OUTPUT_FLAGS] &= ~termios.OPOST  # our own terminal processes it
        termios.tcsetattr(write, termios.TCSANOW, attributes)
        self._terminals.append((target, read))
        self._resize()
        return read, write

    def _resize(self) -> None:
        for target, terminal in self._terminals:
            with contextlib.suppress(OSError):  # the command has ended
                size = fcntl.ioctl(target, termios.TIOCGWINSZ, bytes(8))
                fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)


class _Copier(threading.Thread):
    """Copies a stream. The main thread reads its attributes."""

    def __init__(self, source: int, target: int, on_output: Callable[[bytes], None]) -> None:
        super().__init__(daemon=True)
        self._source, self._target, self._on_output = source, target, on_output
        self._writing = False
        self._last = 0.0
        self.write_error: OSError | None = None

    def run(self) -> None:
        """Copy to the end. If the reader is gone, close the pipe, as the reader did."""
        try:
            while part := os.read(self._source, _CHUNK):
                self._on_output(part)
                self._writing = True
                _write(self._target, part)
                self._last, self._writing = time.monotonic(), False
        except OSError as error:
            if self._writing and error.errno not in _READER_GONE:
                self.write_error = error
        self._writing = False
        os.close(self._source)

    def is_busy(self, since: float) -> bool:
        """Return True if more output is expected."""
        silence = time.monotonic() - max(since, self._last)
        return self.is_alive() and (self._writing or silence < _MAX_SILENCE)


@contextlib.contextmanager
def exiting_on_signals(status: int) -> Iterator[None]:
    """Let a signal that was forwarded end the block by an exit with ``status``, the command's.

    After the block it is ignored: what is left to do takes seconds. SIGINT ends the process.
    """
    numbers = [
        number
        for number in _FORWARDED
        if number != signal.SIGINT and signal.getsignal(number) is not signal.SIG_IGN
    ]
    try:
        for number in numbers:
            signal.signal(number, lambda *_: sys.exit(status))
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)


def _write(target: int, part: bytes) -> None:
    left = memoryview(part)
    while left:
        try:
            left = left[os.write(target, left) :]
        except BlockingIOError:  # another process has made the stream non-blocking
            select.select([], [target], [])


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: a signal writes to the wakeup pipe only if it has a handler."""


def _open_closed_streams() -> None:
    """Open the null device for closed streams, so that no pipe of ours gets their number."""
    for number in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _is_in_foreground() -> bool:
    """Return True if the keys of the controlling terminal send signals to this process."""
    with contextlib.suppress(OSError):  # there is no terminal
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
        try:
            return os.tcgetpgrp(terminal) == os.getpgrp()
        finally:
            os.close(terminal)
    return False
