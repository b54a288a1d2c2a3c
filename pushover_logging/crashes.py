"""Reports of hard crashes: `faulthandler` writes beside the outbox, and the next process sends it.

A process that dies of SIGSEGV runs no more Python. Each process has a file of its own, which it
keeps locked (`flock`, which the system frees at its death) and removes at its end.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import fcntl
import glob
import logging
import os
import re
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path

_MAX_BYTES = 65_536
_FATAL = re.compile(r"^Fatal Python error: .+$", re.MULTILINE)
_FRAME = re.compile(r'^  File "(.+)", line (\d+) in (.+)$', re.MULTILINE)


class _CrashFile:
    """The file of one process, locked while it is open."""

    def __init__(self, outbox: Path) -> None:
        self.outbox = outbox
        self.path, self.descriptor = _create(outbox)
        options = {"c_stack": False} if sys.version_info >= (3, 14) else {}
        faulthandler.enable(self.descriptor, all_threads=False, **options)

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self.path.unlink()


_files: list[_CrashFile] = []
"""That of this process, if any. The thread that installs writes it, and a fork's child."""


def watch(outbox: Path, report: Callable[[logging.LogRecord], object]) -> None:
    """Report the crashes of dead processes, once each, and have one of this process written down.

    Raises OSError if no file can be made beside ``outbox``.
    """
    outbox.parent.mkdir(parents=True, exist_ok=True)
    for path in outbox.parent.glob(f"{glob.escape(outbox.name)}.crash-*"):
        _report(path, report)
    if not _files:
        atexit.register(_remove)
    before, _files[:] = list(_files), [_CrashFile(outbox)]
    for file in before:
        file.remove()
        os.close(file.descriptor)


def _create(outbox: Path) -> tuple[Path, int]:
    """Return the path and the descriptor of a new file, locked."""
    while True:
        path = outbox.with_name(f"{outbox.name}.crash-{os.getpid()}-{secrets.token_hex(4)}")
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND
        descriptor = os.open(path, flags, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return path, descriptor
        os.close(descriptor)  # another process took it for that of a dead one


def _report(path: Path, report: Callable[[logging.LogRecord], object]) -> None:
    """Report and remove the file of a dead process; leave that of a living one alone."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(descriptor)
        if status.st_nlink:  # else another process has reported it
            text = os.read(descriptor, _MAX_BYTES).decode("ascii", "backslashreplace")
            if _FATAL.search(text):
                pid = int(path.name.rpartition(".crash-")[2].partition("-")[0])
                report(_record(text, pid, status.st_mtime))
            path.unlink()
    except OSError:  # its process lives
        pass
    finally:
        os.close(descriptor)


def _record(text: str, pid: int, died: float) -> logging.LogRecord:
    """Return the record of a crash; its exception is text, as Python prints it."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(died))
    args = (pid, when)
    record = logging.LogRecord("root", logging.CRITICAL, "", 0, "Process %d died at %s", args, None)
    record.created = died
    fatal = _FATAL.findall(text)[0]
    frames = [
        f'  File "{file}", line {line}, in {function}\n'
        for file, line, function in reversed(_FRAME.findall(text))
    ]
    record.exc_text = f"Traceback (most recent call last):\n{''.join(frames)}{fatal}"
    return record


def _remove() -> None:
    for file in _files:
        file.remove()


def _after_fork_in_child() -> None:
    """Have a crash of the child written to a file of its own.

    Closing the parent's frees no lock: that belongs to the open file, which the parent has too.
    """
    before, _files[:] = list(_files), []
    for file in before:
        try:
            _files.append(_CrashFile(file.outbox))
        except OSError:
            faulthandler.disable()
        os.close(file.descriptor)
    util = sys.modules.get("multiprocessing.util")
    if before and util is not None:  # its children run no atexit functions
        util.register_after_fork(_CrashFile, lambda _: util.Finalize(None, _remove, exitpriority=0))


os.register_at_fork(after_in_child=_after_fork_in_child)
