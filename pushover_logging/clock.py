"""Time, chance and threads as one object, so that a test can stand in for all three."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable

MAX_UNIX_TIME = (
    253_402_300_799.0  # Unix time: the end of the year 9999, after which no calendar has days
)


class Clock:
    """The real ones. A test passes its own: no test waits for time to pass."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards; only differences mean something."""
        return time.monotonic()

    def time(self) -> float:
        """Return the wall clock's Unix time in seconds."""
        return time.time()

    def uniform(self, low: float, high: float) -> float:
        """Return a random number between ``low`` and ``high``."""
        return random.uniform(low, high)  # noqa: S311  spreads retries, keeps no secret

    def start_thread(self, target: Callable[[], None], name: str) -> None:
        """Start a daemon thread. Raises RuntimeError where the interpreter has none to give."""
        if sys.is_finalizing():  # before Python 3.12 it would wait for ever for the thread to begin
            msg = "no thread begins while the interpreter ends"
            raise RuntimeError(msg)
        threading.Thread(target=target, name=name, daemon=True).start()
