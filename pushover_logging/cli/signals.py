"""How a subcommand that serves ends: quietly at Ctrl-C or SIGTERM."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from types import FrameType

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_POLL_INTERVAL = 0.2  # seconds


@contextlib.contextmanager
def ending_quietly() -> Iterator[None]:
    """End the block at Ctrl-C or SIGTERM without a traceback; restores the signal handlers."""
    # A shell starts a background job with SIGINT ignored, and SIGTERM would skip the clean-up.
    before = [signal.signal(stop, _interrupt) for stop in _STOP_SIGNALS]
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        for stop, handler in zip(_STOP_SIGNALS, before, strict=True):
            signal.signal(stop, handler)


def wait_for_stop() -> None:
    """Wait in short sleeps for a stop signal, which does not interrupt a sleep that it precedes."""
    while True:
        time.sleep(_POLL_INTERVAL)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
