"""How a subcommand ends: at Ctrl-C or SIGTERM where it serves, and with a stdout that is gone."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from types import FrameType

_STOPS = (signal.SIGINT, signal.SIGTERM)
# How late, at most, a signal ends the wait; in seconds.
_SIGNAL_DELAY = 0.2


@contextlib.contextmanager
def stopped_quietly() -> Iterator[None]:
    """End the block at Ctrl-C or SIGTERM, without a traceback; leaves the signals as they were."""
    # A shell starts a background job with SIGINT ignored, and SIGTERM would skip the closing.
    before = [signal.signal(stop, _interrupt) for stop in _STOPS]
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        for stop, handler in zip(_STOPS, before, strict=True):
            signal.signal(stop, handler)


def wait_for_stop() -> None:
    """Wait for the signal, in short sleeps: one just before a wait does not interrupt it."""
    while True:
        time.sleep(_SIGNAL_DELAY)


def let_go_of_stdout() -> None:
    """Have what is written from now on, the interpreter's last flush too, go to nobody."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
