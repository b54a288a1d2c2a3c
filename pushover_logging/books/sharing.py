"""What the processes of a host decide together: each Message's verdict, and the counts.

A process goes on deciding for itself, from memory; this is where it hears of the others.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from pushover_logging.books.exchange import BEAT, HURRIED_BEAT, Exchanged, Told
from pushover_logging.books.looking import decide, settle_envelope
from pushover_logging.clock import Clock
from pushover_logging.outbox.envelope import Envelope
from pushover_logging.outbox.sqlite import SqliteOutbox
from pushover_logging.throttle.problem import End, Report, View
from pushover_logging.throttle.sqlite import SqliteThrottle


class HostSharing:
    """Shared by the processes of a host, in the outbox's file: who sends decides for all."""

    is_far = False

    def __init__(
        self, throttle: SqliteThrottle, outbox: SqliteOutbox, clock: Clock, host: str
    ) -> None:
        self.throttle = throttle
        self._host = host
        self._outbox = outbox
        self._clock = clock
        self.renew()

    def renew(self) -> None:
        """Start anew, as a fork's child does."""
        self.source: str = f"{os.getpid()}@{self._host}"
        self.throttle.renew()
        self._exchanged = self._whole = self._clock.monotonic() - BEAT
        self._seen: object = None
        self._due_at = 0.0

    def next_due(self, *, hurry: bool) -> float:
        """Return the seconds until the next exchange."""
        beat = HURRIED_BEAT if hurry else BEAT
        return max(0.0, self._exchanged + beat - self._clock.monotonic())

    def exchange(self, reports: Sequence[Report], told: Told, *, ends: bool) -> Exchanged | None:
        """Report counts; who sends for the account tells what is due, the last process all.

        Who ``ends`` looks whether it is the last. None: nothing of all this has happened, the file
        cannot be used.
        """
        self._exchanged = self._clock.monotonic()
        if not ends and self._may_wait():
            return Exchanged({}, back=reports)
        self._whole = self._exchanged
        ends = ends and self.throttle.rules.last_words
        if not (reports or ends or self._has_news()):
            return Exchanged({})
        views: dict[str, View] = {}
        inserted = [0]

        def work() -> None:
            views.update(self.throttle.exchange(reports))
            inserted[0] = 0 if ends else self._tell(told, last=False)

        if not self._outbox.exchange(work):
            return None
        if ends:  # only now: whoever is the last must find what all others counted
            last = self._outbox.is_last()
            done = self._outbox.exchange(lambda: inserted.append(self._tell(told, last=last)))
            inserted.append(inserted[-1] if done else 0)
        return Exchanged(views, inserted[-1])

    def _tell(self, told: Told, *, last: bool) -> int:
        """Insert the summaries that are for this process to tell; return how many they are."""
        counts = self.throttle.untold() if last else ()
        if not last and self._outbox.holds():
            counts = self.throttle.due()
        summaries = told(counts)
        for envelope in summaries:
            self._outbox.add(envelope)
        self._seen = self._outbox.stamp()
        self._due_at = self._exchanged + self.throttle.next_due()
        return len(summaries)

    def _may_wait(self) -> bool:
        """Tell whether all this process could hear in a hurry is what became of its own records.

        Many that wait, each with a transaction ten times a second, would keep the sender waiting.
        """
        early = self._exchanged < self._whole + BEAT and not self._outbox.holds()
        return early and not self._outbox.has_word()

    def _has_news(self) -> bool:
        stamp = self._outbox.stamp()
        if not self._outbox.holds():
            self._due_at = 0.0
            return stamp is None or self._outbox.has_word()
        return self._clock.monotonic() >= self._due_at or stamp is None or stamp != self._seen

    def decide(self, envelope: Envelope) -> str | None:
        """Decide for a Message that has a row; memory's are told as they are."""
        return decide(self.throttle, envelope) if self.owns(envelope) else None

    def ended(self, envelope: Envelope, end: End) -> None:
        """Know how a push ended; a row's counts are the shared throttle's."""
        settle_envelope(self.throttle, envelope, end, with_counts=self.owns(envelope))

    def owns(self, envelope: Envelope) -> bool:
        """Tell whether it has a row."""
        return envelope.row is not None
