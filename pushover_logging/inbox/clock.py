"""The stand-in's clock: an emergency that repeats for an hour is over in a minute at speed 60."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pushover_logging.exceptions import ConfigurationError

# A century; a year that no calendar has would end in an OverflowError somewhere else.
MAX_AHEAD_SECONDS = 100 * 365.25 * 86_400


class SpeedableClock:
    """Unix time that passes ``speed`` times as fast as the real one from its making on.

    ``wall`` and ``monotonic`` are the real clocks, in seconds.
    Raises ConfigurationError for a speed that is not above 0, up to a million.
    """

    def __init__(
        self,
        speed: float = 1.0,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        check_speed(speed)
        # Over the three: the threads of the server read, a test sets.
        self._lock = threading.Lock()
        self._wall = wall
        self._monotonic = monotonic
        self._made = self._speed = speed
        self._since = monotonic()
        self._start = wall()

    @property
    def speed(self) -> float:
        """How many seconds pass in one."""
        return self._speed

    def time(self) -> float:
        """Return the Unix time of this clock."""
        with self._lock:
            return self._now()

    def set_speed(self, speed: float) -> None:
        """Go on from now at another speed."""
        check_speed(speed)
        with self._lock:
            self._start, self._since = self._now(), self._monotonic()
            self._speed = speed

    def advance(self, seconds: float) -> None:
        """Jump ahead; ConfigurationError for a jump back or over a century."""
        if not 0 <= seconds <= MAX_AHEAD_SECONDS:
            text = f"advance: {seconds} is not from 0 to {MAX_AHEAD_SECONDS:.0f} seconds"
            raise ConfigurationError(text)
        with self._lock:
            if self._now() + seconds > self._wall() + MAX_AHEAD_SECONDS:
                text = f"advance: {seconds} more would be over a century ahead"
                raise ConfigurationError(text)
            self._start += seconds

    def reset(self) -> None:
        """Show the real time again, from now on at the speed that it was made with."""
        with self._lock:
            self._start, self._since, self._speed = self._wall(), self._monotonic(), self._made

    def _now(self) -> float:
        return self._start + (self._monotonic() - self._since) * self._speed


def check_speed(speed: float) -> None:
    """Raise ConfigurationError for a speed that is not above 0, up to a million."""
    if not 0 < speed <= 1_000_000:  # noqa: PLR2004 - the error says it
        text = f"speed: {speed} is not above 0, up to 1000000"
        raise ConfigurationError(text)
