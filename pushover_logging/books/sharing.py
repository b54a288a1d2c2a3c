"""What the processes of a host decide together: each Message's verdict, and the counts.

A process goes on deciding for itself, from memory; this is where it hears of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pushover_logging.clock import Clock
from pushover_logging.outbox.envelope import Envelope
from pushover_logging.outbox.sqlite import SqliteOutbox
from pushover_logging.throttle.machine import Count, End, Report, Verdict, View, settle
from pushover_logging.throttle.sqlite import SqliteThrottle

Told = Callable[[Sequence[Count]], Sequence[Envelope]]
"""Makes the Messages that tell counts."""

_BEAT = 1.0  # seconds between two exchanges with what processes share
_LAST_BEAT = 0.1  # the same while a process waits for its end


class Sharing:
    """One handler's part in a shared throttle; called by its sender's thread, without its guard."""

    def __init__(self, throttle: SqliteThrottle, outbox: SqliteOutbox, clock: Clock) -> None:
        self._throttle = throttle
        self._outbox = outbox
        self._clock = clock
        self.renew()

    def renew(self) -> None:
        """Start anew, as a fork's child does."""
        self._throttle.renew()
        self._exchanged = self._clock.monotonic() - _BEAT
        self._seen: object = None
        self._due_at = 0.0

    def next_due(self, *, final: bool) -> float:
        """Return the seconds until the next exchange."""
        beat = _LAST_BEAT if final else _BEAT
        return max(0.0, self._exchanged + beat - self._clock.monotonic())

    def exchange(
        self, reports: Sequence[Report], told: Told, *, final: bool, waiting: bool
    ) -> tuple[Mapping[str, View], int] | None:
        """Report counts; return what changed, and how many summaries were put.

        Who sends for the account tells what is due; the last process tells all (``final``).
        ``waiting``: something of this process is in the file. None: nothing of it has happened,
        the file cannot be used.
        """
        self._exchanged = self._clock.monotonic()
        last = final and self._outbox.is_last()
        if not (reports or last or self._has_news(waiting=waiting)):
            return {}, 0
        views: dict[str, View] = {}
        summaries: list[Envelope] = []

        def work() -> None:
            views.update(self._throttle.exchange(reports))
            if last:
                summaries.extend(told(self._throttle.untold()))
            elif self._outbox.holds():
                summaries.extend(told(self._throttle.due()))
            for envelope in summaries:
                self._outbox.add(envelope)
            self._seen = self._outbox.stamp()
            self._due_at = self._exchanged + self._throttle.next_due()

        return (views, len(summaries)) if self._outbox.exchange(work) else None

    def _has_news(self, *, waiting: bool) -> bool:
        if not self._outbox.holds():
            self._due_at = 0.0
            if not waiting:
                return False
        elif self._clock.monotonic() >= self._due_at:
            return True
        stamp = self._outbox.stamp()
        return stamp is None or stamp != self._seen

    def decide(self, envelope: Envelope) -> str | None:
        """Say what becomes of a Message that has a row unsent; memory's are told as they are."""
        key = envelope.key
        if key is None or envelope.decided or envelope.row is None:
            return None
        title = envelope.title or ""
        verdict, count = self._throttle.admit(key, envelope.level, envelope.created, title)
        if verdict is Verdict.SUPPRESSED:
            return "suppressed"
        envelope.decided, envelope.verdict = True, verdict
        envelope.counts = (count,) if count else ()
        return None

    def ended(self, envelope: Envelope, end: End) -> None:
        """Know how a push ended; a row's counts are the shared throttle's."""
        settle(self._throttle, end, envelope.key, envelope.counts if envelope.row else ())
