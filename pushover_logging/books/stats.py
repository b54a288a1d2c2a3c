"""The counters of one handler, and how each outcome changes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from pushover_logging.api.quota import Quota

_DROPPED = {"full", "too old", "set aside", "file lost"}


class Stats(NamedTuple):
    """The counters of one handler in this process, taken at one moment.

    ``records = sent + suppressed + rejected + dropped + failed + pending``. ``summaries`` are the
    sent Messages that tell counts alone, ``possible_duplicates`` those accepted after a send that
    had no answer. ``dropped_by`` splits ``dropped`` by reason (``full``, ``too old``,
    ``set aside``, and ``file lost``: gone with the outbox's file). ``quota`` is the account's as
    the last answer told it, ``last_error`` the text of the last failed send.
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


class Books:
    """Counters that always add up. Not thread-safe: the ledger's guard is held around each call."""

    def __init__(self) -> None:
        self._count: Counter[str] = Counter()
        self.suppressed: int = 0  # at once, by `Duplicates.count`
        self.taken: int = 0  # at once, by `Ledger.admit`, and pending
        self.pending: int = 0
        self.summaries_pending: int = 0
        self.possible_duplicates: int = 0

    def take(self, *, pending: bool) -> None:
        """Count a record that came: suppressed at once, or pending."""
        self._count["records"] += 1
        self.pending += pending
        self._count["suppressed"] += not pending

    def end(self, what: str, number: int = 1) -> None:
        """Count what became of Messages: an outcome, with its reason after a colon.

        "adopted" ones came from a handler that died; a "lost summary" is counted in another.
        """
        kind = what.partition(":")[0]
        if kind == "adopted":
            self._count["records"] += number
            self.pending += number
        elif kind == "adopted summary":
            self.summaries_pending += number
        elif kind in {"summaries", "lost summary"}:
            self.summaries_pending -= number
            self._count[kind] += number
        else:
            self.pending -= number
            self._count[kind] += number

    def stats(self, quota: Quota | None, last_error: str | None) -> Stats:
        """Return the counters as they stand together."""
        self._count["records"] += self.suppressed + self.taken
        self._count["suppressed"] += self.suppressed
        self.suppressed = self.taken = 0
        names = ("records", "sent", "suppressed", "rejected", "failed", "summaries")
        dropped = {
            reason: self._count[reason] for reason in sorted(_DROPPED) if self._count[reason]
        }
        return Stats(
            **{name: self._count[name] for name in names},
            dropped=sum(dropped.values()),
            dropped_by=dropped,
            pending=self.pending,
            possible_duplicates=self.possible_duplicates,
            quota=quota,
            last_error=last_error,
        )
