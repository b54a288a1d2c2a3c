"""The counters of one handler, which add up at any moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from pushover_logging.api.quota import Quota

_OUTCOMES = ("sent", "suppressed", "rejected", "failed")


class Stats(NamedTuple):
    """The counters of one handler in this process, taken at one moment.

    ``records = sent + suppressed + rejected + dropped + failed + pending``. ``summaries`` is the
    number of Messages that report counts, jobs that did not run, or an emergency that nobody
    acknowledged. ``possible_duplicates`` is the number of Messages that were accepted after an
    earlier try without an answer. ``dropped_by`` splits ``dropped`` by reason: ``full``,
    ``too old``, ``set aside``, and ``file lost`` (the outbox file was deleted or replaced).
    ``quota`` is the account's quota in the last answer, ``last_error`` the text of the last failed
    send.
    """

    records: int
    sent: int
    suppressed: int
    rejected: int
    dropped: int
    failed: int
    pending: int
    summaries: int
    possible_duplicates: int = 0
    dropped_by: Mapping[str, int] = MappingProxyType({})
    quota: Quota | None = None
    last_error: str | None = None


class Counters:
    """What became of each record. The pipeline's lock is held around each use.

    ``counted`` are the records that were suppressed at once, ``missed`` those that failed at the
    recursion limit, where nothing can be called, not even the lock; ``admitted`` are all others.
    """

    def __init__(self) -> None:
        self.counted = 0
        self.admitted = 0
        self.missed = 0
        self.pending: int = 0
        self.summaries = 0
        self.possible_duplicates = 0
        self._ended: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()

    def end(self, outcome: str) -> None:
        """Count what became of a pending record: an outcome, with a reason after a colon."""
        kind, _, reason = outcome.partition(": ")
        counts = self._ended
        if kind == "dropped":
            counts, kind = self._dropped, reason.partition(": ")[0]
        number = counts.get(kind, 0) + 1
        # No call between the two, which could be one too many at the recursion limit.
        counts[kind], self.pending = number, self.pending - 1

    def stats(self, quota: Quota | None, last_error: str | None) -> Stats:
        """Return the counters as they stand together."""
        ended = {name: self._ended[name] for name in _OUTCOMES}
        ended["suppressed"] += self.counted
        missed = self.missed
        ended["failed"] += missed
        return Stats(
            records=self.counted + self.admitted + missed,
            **ended,
            dropped=self._dropped.total(),
            dropped_by=dict(sorted(self._dropped.items())),
            pending=self.pending,
            summaries=self.summaries,
            possible_duplicates=self.possible_duplicates,
            quota=quota,
            last_error=last_error,
        )
