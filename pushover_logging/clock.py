"""Time, randomness and threads as one object, which a test can replace; durations as text."""

from __future__ import annotations

import contextlib
import contextvars
import random
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

MAX_UNIX_TIME = 253_402_300_799.0
"""The end of the year 9999, the last of `datetime`."""
DURATION = "whole seconds, or a duration such as 90s, 15m, 1h30m or 2d"
_NUMBER = r"(\d{1,12})"
_DURATION = re.compile(
    rf"{_NUMBER}|(?=\d){''.join(rf'(?:{_NUMBER}{unit})?' for unit in 'dhms')}", re.ASCII
)


def parse_duration(text: str) -> float:
    """Return the seconds of a text such as ``90``, ``90s``, ``15m``, ``1h30m`` or ``2d``.

    Days, hours, minutes and seconds stand in this order, each at most once and a whole number. A
    number alone is seconds. Raises ValueError for anything else.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(text)
    sizes = zip(found.groups(default="0"), (1, 86_400, 3600, 60, 1), strict=True)
    return float(sum(int(number) * size for number, size in sizes))


def _real_monotonic() -> Callable[[], float]:
    # What freezes time replaces `time.monotonic`, perhaps before this module is imported, and each
    # module's own name for it; it leaves this function alone. Windows does not have it.
    if hasattr(time, "clock_gettime"):
        return partial(time.clock_gettime, time.CLOCK_MONOTONIC)
    return time.monotonic  # pragma: no cover  Windows


class Clock:
    """The system's own time, randomness and threads.

    ``monotonic()`` are seconds that never run backwards, of which only differences have a meaning;
    ``time()`` is the wall clock's Unix time in seconds; ``uniform(low, high)`` is a random number.
    All three are bound at import, and a program that freezes time does not stop ``monotonic``.
    """

    monotonic: Callable[[], float] = staticmethod(_real_monotonic())
    time: Callable[[], float] = staticmethod(time.time)
    uniform: Callable[[float, float], float] = staticmethod(random.uniform)

    def start_thread(self, target: Callable[[], None], name: str) -> threading.Thread | None:
        """Start a daemon thread. Raises RuntimeError if the interpreter cannot start one."""
        if sys.is_finalizing():  # Python 3.11 would wait forever for the thread
            msg = "cannot start a thread at interpreter shutdown"
            raise RuntimeError(msg)
        # Since Python 3.14 a thread can inherit the context of its caller, and keep it alive.
        context: dict[str, Any] = (
            {"context": contextvars.Context()} if sys.version_info >= (3, 14) else {}
        )
        thread = threading.Thread(target=target, name=name, daemon=True, **context)
        thread.start()
        return thread


def snapshot(items: Iterable[T]) -> list[T]:
    """Return the items of a deque or a WeakSet, which other threads may change meanwhile."""
    while True:
        with contextlib.suppress(RuntimeError):  # changed during iteration
            return list(items)
