"""What a person at a terminal sees while something takes its time."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator

PATIENCE = 1.0  # seconds
_CLEAR = "\r\x1b[K"


@contextlib.contextmanager
def shown(text: str) -> Iterator[None]:
    """Show ``text`` on stderr from the block's first second to its end, on a terminal alone."""
    if not sys.stderr.isatty():
        yield
        return
    written = threading.Event()

    def write() -> None:
        sys.stderr.write(f"{text} ...")
        sys.stderr.flush()
        written.set()

    timer = threading.Timer(PATIENCE, write)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        if written.is_set():
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()
