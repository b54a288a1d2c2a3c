"""When something that failed is tried again: the service, a refused user, the file, Redis."""

from __future__ import annotations

from pushover_logging.clock import Clock


class CircuitBreaker:
    """Open for ``first`` seconds after a failure, doubling with each one up to ``longest``.

    Changed by one thread at a time, read by any: each value is whole.
    """

    def __init__(self, clock: Clock, first: float, longest: float | None = None) -> None:
        self._clock = clock
        self._first = first
        self._longest = first if longest is None else longest
        self.until: float = 0.0  # of the monotonic clock
        self.delay: float = 0.0

    def wait(self) -> float:
        """Return the seconds for which it is still open."""
        return max(0.0, self.until - self._clock.monotonic())

    def is_open(self) -> bool:
        """Return True while nothing must be tried."""
        return self._clock.monotonic() < self.until

    def fail(self) -> bool:
        """Open it; return True if this is the first failure since `succeed`."""
        is_first = not self.delay
        self.delay = min(self.delay * 2 or self._first, self._longest)
        self.open_for(self.delay)
        return is_first

    def open_for(self, seconds: float) -> None:
        """Open it for so long, whatever it was before."""
        self.until = self._clock.monotonic() + seconds

    def retry(self) -> None:
        """Let it be tried at once."""
        self.until = 0.0

    def succeed(self) -> None:
        """Close it: a try has worked."""
        self.until = self.delay = 0.0
