"""What an inbox is made of, in one hand: each route takes from it what it needs."""

from __future__ import annotations

from dataclasses import dataclass

from pushover_logging.inbox.clock import SpeedableClock
from pushover_logging.inbox.connections import ConnectionLog
from pushover_logging.inbox.faults import Faults
from pushover_logging.inbox.store import Store


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one inbox; each has its own lock."""

    store: Store
    faults: Faults
    log: ConnectionLog
    clock: SpeedableClock

    def reset(self) -> None:
        """Be as new: no messages, faults or closed connections, quota, keys and clock as made."""
        self.faults.clear()
        self.clock.reset()
        with self.store.changed:
            self.store.clear()
            self.store.account.forget()
        self.log.forget()
