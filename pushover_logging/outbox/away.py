"""When an outbox's file that cannot be used is tried again; that it cannot is said once."""

from __future__ import annotations

from collections.abc import Callable

from pushover_logging.clock import Clock
from pushover_logging.database import Unavailable

AWAY = 30.0  # seconds that calls leave a file alone that cannot be used
RETRY = 1.0  # seconds after which the sender tries it again: when it works, calls may as well
FAULTS = (Unavailable, OSError)


class Absence:
    """How long one handler leaves its file alone.

    A logging call and the sender may write at once; each value is whole, and the later one holds.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = self._retry_at = 0.0
        self._told = False
        self._trouble: str | None = None

    def over(self) -> bool:
        """Tell whether a logging call may try the file."""
        return self._clock.monotonic() >= self._until

    def begin(self, error: Exception) -> None:
        """Leave the file alone for a while; that is said once until an insert works again."""
        self._until = self._clock.monotonic() + AWAY
        if not self._told:
            self._told = True
            self._trouble = f"the outbox cannot be used, memory takes over: {error}"

    def end(self) -> None:
        """Let calls try the file again at once: the sender has used it."""
        self._until = 0.0

    def forget(self) -> None:
        """Say the next time that the file cannot be used: an insert worked."""
        self._told = False

    def attempt(self, work: Callable[[], object]) -> bool:
        """Do ``work`` for the sender; False where the file cannot be used."""
        if self._clock.monotonic() < self._retry_at:
            return False
        try:
            work()
        except FAULTS as error:
            self._retry_at = self._clock.monotonic() + RETRY
            self.begin(error)
            return False
        return True

    def trouble(self) -> str | None:
        """Take what is to be said of it."""
        trouble, self._trouble = self._trouble, None
        return trouble
