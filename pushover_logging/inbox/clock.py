"""The inbox's clock, which can run faster: at speed 60 an emergency's hour takes a minute."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pushover_logging.exceptions import ConfigurationError

# A century: beyond the year 9999 dates overflow.
MAX_AHEAD_SECONDS = 100 * 365.25 * 86_400


class SpeedableClock:
    """Unix time that passes ``speed`` times as fast as real time, starting now.

    ``wall`` and ``monotonic`` are the real clocks, in seconds. Raises ConfigurationError if
    ``speed`` is not above 0 and at most a million.
    """

    def __init__(
        self,
        speed: float = 1.0,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        check_speed(speed)
        # Protects start, since and speed: server threads read them, tests set them.
        self._lock = threading.Lock()
        self._wall = wall
        self._monotonic = monotonic
        self._initial_speed = self._speed = speed
        self._since = monotonic()
        self._start = wall()

    @property
    def speed(self) -> float:
        """How many of its seconds pass in one real second."""
        return self._speed

    def time(self) -> float:
        """Return the Unix time of this clock."""
        with self._lock:
            return self._now()

    def set_speed(self, speed: float) -> None:
        """Change the speed from now on."""
        check_speed(speed)
        with self._lock:
            self._start, self._since = self._now(), self._monotonic()
            self._speed = speed

    def advance(self, seconds: float) -> None:
        """Jump ahead. Raises ConfigurationError if it is backwards or more than a century."""
        if not 0 <= seconds <= MAX_AHEAD_SECONDS:
            text = f"advance: {seconds} is not from 0 to {MAX_AHEAD_SECONDS:.0f} seconds"
            raise ConfigurationError(text)
        with self._lock:
            if self._now() + seconds > self._wall() + MAX_AHEAD_SECONDS:
                text = f"advance: {seconds} more would be more than a century ahead"
                raise ConfigurationError(text)
            self._start += seconds

    def reset(self) -> None:
        """Return to the real time and the initial speed."""
        with self._lock:
            self._start, self._since = self._wall(), self._monotonic()
            self._speed = self._initial_speed

    def _now(self) -> float:
        return self._start + (self._monotonic() - self._since) * self._speed


def check_speed(speed: float) -> None:
    """Raise ConfigurationError if ``speed`` is not above 0 and at most a million."""
    if not 0 < speed <= 1_000_000:  # noqa: PLR2004 - the error names it
        text = f"speed: {speed} is not above 0 and at most 1000000"
        raise ConfigurationError(text)
