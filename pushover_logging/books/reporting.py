"""Where a handler's counts go: into its own summaries, or to a throttle that processes share.

The handler's guard is held over its throttle and its counters, and not while others are asked.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pushover_logging.books.stats import Books
from pushover_logging.outbox.envelope import Envelope
from pushover_logging.throttle.deciding import Throttle
from pushover_logging.throttle.local import LocalThrottle
from pushover_logging.throttle.valves import Gate

if TYPE_CHECKING:  # Windows has no fcntl, and most programs do without SQLite
    from pushover_logging.books.exchange import Exchanged, Sharing, Told


class Reporting:
    """Called by the sender's thread, `owe` by the program's with the guard held."""

    def __init__(
        self, guard: threading.RLock, throttle: LocalThrottle, books: Books, sharing: Sharing | None
    ) -> None:
        self._guard = guard
        self._throttle = throttle
        self._books = books
        self._sharing = sharing
        self.owes: bool = False  # a look, at the end, whether this process is the last that shares

    def owe(self) -> None:
        """Know that a record came: there may be last words again."""
        self.owes = self._sharing is not None

    def set_gate(self, gate: Gate) -> None:
        """Know how much of the quota is left."""
        for throttle in self._throttles():
            throttle.gate = gate

    def hold(self, *, held: bool) -> None:
        """Know whether nothing can be sent for now."""
        for throttle in self._throttles():
            throttle.held = held

    def next_due(self, *, hurry: bool) -> float:
        """Return the seconds until `due` has something to do, infinity where it has not."""
        if self._sharing is not None:
            return self._sharing.next_due(hurry=hurry)
        with self._guard:
            return self._throttle.next_due()

    def due(self, told: Told, *, final: bool, hurry: bool) -> Sequence[Envelope]:
        """Return the summaries to put: those that are due, with ``final`` all, as last words."""
        sharing = self._sharing
        with self._guard:
            owes = final and self.owes
            if sharing is not None and not owes and sharing.next_due(hurry=hurry) > 0:
                return ()
            self.owes &= not final  # until another record comes
        if sharing is not None:
            answer = self._exchanged(sharing, told, final=final, owes=owes)
            if answer is not None:
                return answer.to_put
        with self._guard:
            counts = self._throttle.untold() if final else self._throttle.due()
        return told(counts)

    def _throttles(self) -> list[Throttle]:
        return [self._throttle, *([self._sharing.throttle] if self._sharing else [])]

    def _exchanged(
        self, sharing: Sharing, told: Told, *, final: bool, owes: bool
    ) -> Exchanged | None:
        """Report to the shared throttle and follow it; None where it cannot be reached."""
        with self._guard:
            reports = self._throttle.reports(sharing.source)
        answer = sharing.exchange(reports, told, ends=owes or (final and bool(reports)))
        with self._guard:
            if answer is not None:
                self._throttle.see(answer.views)
                self._books.summaries_pending += answer.inserted
            for one in reports if answer is None else answer.back:
                self._throttle.restore(one.count)
        return answer
