"""The books of one handler: what was admitted, what waits, what became of it.

One RLock guards throttle, outbox and counters. The program's threads enter with `admit`, `put`
and `fail`, the sender's thread with the rest; nothing slow happens inside. A signal handler or a
`__del__` that logs while its own thread is inside finds `_busy` set: `admit` then answers None
and the caller parks the record in `late`, which the interrupted call drains. Between taking the
lock and setting `_busy` nothing is changed yet, so an interruption there may do its work whole.
A fork's child calls `reset`: a new lock, nothing inherited. At exit nothing here needs closing.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import dataclass, field

from pushover_logging.client import Quota
from pushover_logging.outbox.envelope import Envelope
from pushover_logging.outbox.memory import MemoryOutbox
from pushover_logging.throttle.local import LocalThrottle
from pushover_logging.throttle.machine import Count, Verdict


@dataclass(frozen=True, slots=True)
class Stats:
    """The counters of one handler in this process, taken at one moment.

    ``records = sent + suppressed + rejected + dropped + failed + pending``. ``summaries`` are the
    sent Messages that tell counts alone. ``dropped_by`` splits ``dropped`` by reason (``full``,
    ``too old``). ``quota`` is the account's as the last answer told it, ``last_error`` the text
    of the last failed send.
    """

    records: int
    sent: int
    suppressed: int
    rejected: int
    dropped: int
    failed: int
    pending: int
    summaries: int
    dropped_by: Mapping[str, int] = field(default_factory=dict)
    quota: Quota | None = None
    last_error: str | None = None


class Ledger:
    """Throttle, outbox and counters behind one lock."""

    def __init__(self, throttle: LocalThrottle, outbox: MemoryOutbox) -> None:
        self._throttle = throttle
        self._outbox = outbox
        self.reset()

    def reset(self) -> None:
        """Start with empty books, as a fork's child does."""
        self._lock = threading.RLock()
        self._busy = False
        self._forming = 0
        self._count: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self.late: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
        self._outbox.clear()
        self._throttle.clear()

    def __enter__(self) -> None:
        """Enter; `_busy` keeps out what interrupts this thread."""
        self._lock.acquire()
        self._busy = True

    def __exit__(self, *_: object) -> None:
        """Leave."""
        self._busy = False
        self._lock.release()

    def admit(
        self, key: str | None, level: int, now: float, created: float
    ) -> tuple[Verdict, Count | None] | None:
        """Count one record and say what becomes of it; None: interrupted, park it in ``late``.

        ``key`` None passes the throttle by. Anything but SUPPRESSED must be followed by `put` or
        `fail`.
        """
        with self._lock:
            if self._busy:
                return None
            self._busy = True
            try:
                self._count["records"] += 1
                if key is None:
                    self._forming += 1
                    return Verdict.UNTHROTTLED, None
                answer = self._throttle.admit(key, level, now, created)
                if answer[0] is Verdict.SUPPRESSED:
                    self._count["suppressed"] += 1
                else:
                    self._forming += 1
                return answer
            finally:
                self._busy = False

    def put(self, envelope: Envelope) -> int:
        """Put an admitted record's Message, or a summary; return how many had to go for it."""
        with self:
            self._forming -= envelope.counts_as_record
            if envelope.key is not None:
                message = envelope.message
                title = envelope.title or message.title or ""
                self._throttle.describe(envelope.key, title, message.user, message.device)
            gone = self._outbox.put(envelope)
            for one in gone:
                self._drop(one, "full", envelope.accepted_at)
            return len(gone)

    def fail(self, key: str | None, count: Count | None, now: float) -> None:
        """Count an admitted record of which no Message could be made."""
        with self:
            self._forming -= 1
            self._count["failed"] += 1
            self._give_back(key, (count,) if count else (), now)

    def fail_unseen(self) -> bool:
        """Count a record that failed before `admit`; False: interrupted, nothing was counted."""
        with self._lock:
            if self._busy:
                return False
            self._count["records"] += 1
            self._count["failed"] += 1
            return True

    def claim(
        self, now: float, max_age: float, closed_to: Container[str | None] = ()
    ) -> Envelope | None:
        """Return the most urgent Message that is for none of the users ``closed_to``.

        What is older than ``max_age`` seconds drops.
        """
        with self:
            while (envelope := self._outbox.claim(closed_to)) is not None:
                if now - envelope.accepted_at <= max_age:
                    return envelope
                self._outbox.ack(envelope)
                self._drop(envelope, "too old", now)
            return None

    def retry(self, envelope: Envelope) -> None:
        """Put a claimed Message back to its place."""
        with self:
            self._outbox.retry(envelope)

    def accepted(self, envelope: Envelope, now: float) -> None:
        """The API took it: it is told."""
        with self:
            self._outbox.ack(envelope)
            self._count["sent" if envelope.counts_as_record else "summaries"] += 1
            if envelope.key is not None:
                self._throttle.accepted(envelope.key, now)

    def rejected(self, envelope: Envelope, now: float) -> None:
        """The API will never take it. A rejected summary's count is told by the next one."""
        with self:
            self._outbox.reject(envelope)
            self._count["rejected"] += envelope.counts_as_record
            if envelope.key is not None:
                self._throttle.refused(envelope.key, now)
            self._restore(envelope.counts, now)

    def due(self, now: float) -> list[Count]:
        """Close the windows that are over; return their counts."""
        with self:
            return self._throttle.due(now)

    def next_due(self, now: float) -> float:
        """Return the seconds until the next window ends, infinity where none is open."""
        with self:
            return self._throttle.next_due(now)

    def untold(self) -> list[Count]:
        """Take all untold counts, for the last words."""
        with self:
            return self._throttle.untold()

    def settled(self, *, last_words: bool) -> bool:
        """Tell whether nothing waits; with ``last_words``, no count either."""
        with self:
            return not len(self._outbox) and not (last_words and self._throttle.has_untold())

    def unsent(self) -> int:
        """Return how many records' Messages wait or are being sent."""
        with self:
            return self._outbox.records

    def stats(self, quota: Quota | None, last_error: str | None) -> Stats:
        """Return the counters as they stand together at one moment."""
        with self:
            names = ("records", "sent", "suppressed", "rejected", "failed", "summaries")
            return Stats(
                **{name: self._count[name] for name in names},
                dropped=self._dropped.total(),
                dropped_by=dict(self._dropped),
                pending=self._forming + self._outbox.records,
                quota=quota,
                last_error=last_error,
            )

    def _drop(self, envelope: Envelope, reason: str, now: float) -> None:
        if envelope.counts_as_record:
            self._dropped[reason] += 1
        self._give_back(envelope.key, envelope.counts, now)

    def _give_back(self, key: str | None, counts: tuple[Count, ...], now: float) -> None:
        if key is not None:
            self._throttle.lost(key, now)
        self._restore(counts, now)

    def _restore(self, counts: tuple[Count, ...], now: float) -> None:
        for count in counts:
            if count.following:  # last words that did not get through are not said again
                self._throttle.restore(count, now)
