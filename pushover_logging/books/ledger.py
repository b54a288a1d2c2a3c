"""The one place where a handler's throttle, outbox and counters change together.

`_guard` is over the local throttle, a memory outbox and the counters. The program's threads enter
with `admit`, `put` and `fail`, the sender's thread with the rest; nothing slow happens inside, but
for the insert into an outbox file that was asked for. A signal handler or a `__del__` that logs
while its own thread is inside is told so by `admit`, and the `entrance` keeps the record for the
interrupted call. What a file or a shared throttle is asked, the sender asks without the guard. A
fork's child calls `reset`: nothing is inherited. At exit nothing here needs closing.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import TYPE_CHECKING

from pushover_logging.api.quota import Quota
from pushover_logging.books.claims import Claims
from pushover_logging.books.duplicates import Duplicates
from pushover_logging.books.entrance import Entrance
from pushover_logging.books.looking import about
from pushover_logging.books.reporting import Reporting
from pushover_logging.books.stats import Books, Stats
from pushover_logging.clock import Clock
from pushover_logging.guard import is_inside
from pushover_logging.outbox.envelope import Envelope
from pushover_logging.outbox.memory import MemoryOutbox
from pushover_logging.throttle.local import LocalThrottle
from pushover_logging.throttle.problem import Count, End, Origin, Verdict, settle
from pushover_logging.throttle.table import About, Answer

if TYPE_CHECKING:  # Windows has no fcntl, and most programs do without SQLite
    from pushover_logging.books.exchange import Sharing, Told
    from pushover_logging.outbox.sqlite import SqliteOutbox


_HELD = {Verdict.SUPPRESSED, Verdict.DIGESTED}
_UNTHROTTLED = Answer(Verdict.UNTHROTTLED, None, "")


class Ledger:
    """Throttle, outbox and counters; ``sharing`` is None where each process decides alone."""

    def __init__(
        self,
        throttle: LocalThrottle,
        outbox: MemoryOutbox | SqliteOutbox,
        clock: Clock,
        sharing: Sharing | None = None,
    ) -> None:
        self.outbox = outbox
        self._throttle = throttle
        self._clock = clock
        self._sharing = sharing
        self.reset()

    def reset(self) -> None:
        """Start with empty books, as a fork's child does."""
        self._guard = threading.RLock()
        self._books = Books()
        self._open: dict[int, Answer] = {}  # by thread: admitted, and not put yet
        self.duplicates: Duplicates = Duplicates(self._guard, self._throttle, self._books)
        self.entrance: Entrance = Entrance()
        self._claims = Claims(self._guard, self._throttle, self._books, self.outbox, self._sharing)
        self.reporting: Reporting = Reporting(
            self._guard, self._throttle, self._books, self._sharing
        )
        self.outbox.renew(self._guard)
        self._throttle.clear()
        if self._sharing is not None:
            self._sharing.renew()

    def admit(
        self, key: str | None, level: int, created: float, origin: Origin | None = None
    ) -> Answer | None:
        """Count one record and say what becomes of it; None: interrupted, it comes again.

        SUPPRESSED needs no more, DIGESTED a `describe`, anything else a `put` or a `fail`.
        """
        if is_inside(self._guard):
            return None
        if self._open:
            self.give_up()
        with self._guard:
            answer = self._throttle.admit(key, level, created, origin) if key else _UNTHROTTLED
            self.reporting.owe()
            if answer.along is not None and self._sharing is not None:
                self._throttle.restore(answer.along)  # told by who sends, with the others' counts
                answer = answer._replace(along=None)
            pending, thread = answer.verdict not in _HELD, threading.get_ident()
            if pending:  # no call from here on: a signal handler cannot raise in between
                self._books.taken += 1
                self._books.pending += 1
                self._open[thread] = answer
            else:
                self._books.suppressed += 1
            return answer

    def knows(self, key: str) -> bool:
        """Tell, near enough and without the guard, whether a problem is no newcomer."""
        return self._throttle.knows(key)

    def describe(self, key: str, about: About) -> None:
        """Remember how a problem is to be told."""
        with self._guard:
            self._throttle.describe(key, about)

    def resolve(self, key: str) -> Answer | None:
        """End a problem, in the name of a record; answers as `admit` does, RESOLVED to be put."""
        if is_inside(self._guard):
            return None
        with self._guard:
            source = self._sharing.source if self._sharing is not None else None
            answer = self._throttle.part(key, self._clock.time(), source)
            self._books.take(pending=answer.verdict is Verdict.RESOLVED)
            return answer

    def put(self, envelope: Envelope) -> int:
        """Put an admitted record's Message, or a summary; return how many had to go for it."""
        with self._guard:
            self._books.summaries_pending += not envelope.counts_as_record
            if envelope.key is not None and envelope.verdict is not Verdict.RESOLVED:
                self._throttle.describe(envelope.key, about(envelope))
            thread = threading.get_ident()
            try:
                gone = self.outbox.put(envelope)
            except BaseException:  # a signal handler raised: it may be there all the same
                if self.outbox.has(envelope):
                    self._open.pop(thread, None)
                raise
            self._open.pop(thread, None)
            for one in gone:
                self._books.end("full" if one.counts_as_record else "lost summary")
                self._claims.evict(one)
            return len(gone)

    def fail(self, key: str | None, count: Count | None) -> None:
        """Count an admitted record of which no Message could be made."""
        with self._guard:
            self._open.pop(threading.get_ident(), None)
            self._books.end("failed")
            settle(self._throttle, End.LOST, key, (count,) if count else ())

    def give_up(self) -> None:
        """Count as failed what this thread admitted and was then cut off from, as by Ctrl-C.

        Not to be called in the middle of a record.
        """
        cut_off = self._open.get(threading.get_ident())
        if cut_off is not None:
            self.fail(cut_off.key or None, cut_off.along)

    def fail_unseen(self) -> bool:
        """Count a record that failed before `admit`; False: interrupted, nothing was counted."""
        if is_inside(self._guard):
            return False
        with self._guard:
            self._books.take(pending=True)
            self._books.end("failed")
            return True

    def claim(self, max_age: float, closed_to: Collection[str | None] = ()) -> Envelope | None:
        """Return the most urgent Message that is for none of the users ``closed_to``.

        What is older than ``max_age`` seconds drops; what another process has told is counted.
        """
        try:
            return self._claims.claim(max_age, closed_to, self._clock.monotonic())
        finally:
            self._book_news()

    def accepted(self, envelope: Envelope) -> None:
        """The API took it: it is told."""
        with self._guard:
            self._books.possible_duplicates += envelope.may_have_arrived
        what = "sent" if envelope.counts_as_record else "summaries"
        self._claims.finish(envelope, what, End.ACCEPTED)

    def rejected(self, envelope: Envelope, why: str) -> None:
        """The API will never take it. A rejected summary's count is told by the next one."""
        what = f"rejected: {why}" if envelope.counts_as_record else "lost summary"
        self._claims.finish(envelope, what, End.REFUSED)

    def tell(self, told: Told, *, final: bool, hurry: bool) -> None:
        """Put the summaries that are due; with ``final`` all counts, as the last words."""
        for envelope in self.reporting.due(told, final=final, hurry=hurry):
            self.put(envelope)
        self._book_news()

    def settled(self, *, last_words: bool) -> bool:
        """Tell whether nothing waits; with ``last_words``, no count either."""
        with self._guard:
            waits = self._books.pending + self._books.summaries_pending + self.outbox.is_behind()
            untold = self._throttle.has_untold() or self.reporting.owes
            return not waits and not (last_words and untold)

    def unsent(self) -> tuple[int, int]:
        """Return how many records' Messages are lost if the process ends now, and how many wait."""
        with self._guard:
            return self.outbox.lost_of(self._books.pending)

    def stats(self, quota: Quota | None, last_error: str | None) -> Stats:
        """Return the counters as they stand together at one moment."""
        with self._guard:
            return self._books.stats(quota, last_error)

    def _book_news(self) -> None:
        with self._guard:
            for what, number in self.outbox.news().items():
                self._books.end(what, number)
