"""What becomes of a claimed Message: decided, sent, ended, in all places that have to know.

A throttle in the outbox's own file is asked within the claim's transaction, so that both change
together. One over a network is asked outside of it: the program's calls wait for the file.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from pushover_logging.books.looking import counted, last_look, settle_envelope
from pushover_logging.books.stats import Books
from pushover_logging.outbox.envelope import Envelope
from pushover_logging.outbox.memory import MemoryOutbox
from pushover_logging.throttle.local import LocalThrottle
from pushover_logging.throttle.problem import End, Verdict

if TYPE_CHECKING:  # Windows has no fcntl, and most programs do without SQLite
    from pushover_logging.books.exchange import Sharing
    from pushover_logging.outbox.sqlite import SqliteOutbox

_TOLD = {Verdict.FIRST, Verdict.AGAIN, Verdict.ESCALATED}


class Claims:
    """Called by the sender's thread without the handler's ``guard``, `evict` by the program's.

    `_gone` are Messages that ended where others could not be told: any thread appends, the sender
    takes, each of which is atomic.
    """

    def __init__(
        self,
        guard: threading.RLock,
        throttle: LocalThrottle,
        books: Books,
        outbox: MemoryOutbox | SqliteOutbox,
        sharing: Sharing | None,
    ) -> None:
        self._guard = guard
        self._throttle = throttle
        self._books = books
        self._outbox = outbox
        self._sharing = sharing
        self._is_far = sharing is not None and sharing.is_far
        self._gone: deque[Envelope] = deque()

    def claim(
        self, max_age: float, closed_to: Collection[str | None], now: float
    ) -> Envelope | None:
        """Return the next to be sent; see `Ledger.claim`. ``now`` is the monotonic second."""

        def fate(envelope: Envelope) -> str | None:
            if now - envelope.accepted_at <= max_age:
                return None if self._is_far else self._decide(envelope)
            if self._is_far:
                self._gone.append(envelope)
            else:
                self._end_shared(envelope, End.LOST)
            with self._guard:
                self._end_local(envelope, End.LOST)
                if envelope.key is not None and envelope.verdict in _TOLD:  # a digest says so
                    self._throttle.withdraw(counted(envelope, envelope.key)._replace(number=1))
            return "too old" if envelope.counts_as_record else "lost summary"

        while True:
            envelope = self._outbox.claim(closed_to, fate)
            while self._gone:
                self._end_shared(self._gone.popleft(), End.LOST)
            if envelope is None or not self._is_far:
                return envelope
            what = self._decide_far(envelope)
            if what is None:
                return envelope
            self._outbox.finish(envelope, what, _nothing)
            self._book(envelope, what)

    def finish(self, envelope: Envelope, what: str, end: End) -> None:
        """Let a claimed Message go that the API has answered for good."""
        if self._is_far:
            self._outbox.finish(envelope, what, _nothing)
            self._end_shared(envelope, end)
        else:
            self._outbox.finish(envelope, what, lambda: self._end_shared(envelope, end))
        with self._guard:
            self._end_local(envelope, end)
        self._book(envelope, what)
        message = envelope.message
        if message.attachment or message.attachment_base64:  # the file may be away for days
            envelope.message = replace(
                message, attachment=None, attachment_base64=None, attachment_type=None
            )

    def evict(self, envelope: Envelope) -> None:
        """Know, with the guard held, that a Message had to go for another; others hear of it."""
        self._end_local(envelope, End.LOST)
        if self._sharing is not None and self._sharing.owns(envelope):
            self._gone.append(envelope)

    def _decide_far(self, envelope: Envelope) -> str | None:
        """Decide, and write down what was decided: who takes over must not ask anew."""
        before = envelope.decided, envelope.alarmed
        try:
            what = self._decide(envelope)
            if what is None and before != (envelope.decided, envelope.alarmed):
                self._outbox.keep(envelope)
        except BaseException:
            self._outbox.retry(envelope)
            raise
        return what

    def _decide(self, envelope: Envelope) -> str | None:
        """Say what becomes of a claimed one unsent; None: it is sent, as the envelope says now."""
        what = self._sharing.decide(envelope) if self._sharing is not None else None
        if what is None:  # this process decides alone
            with self._guard:
                what = last_look(self._throttle, envelope)
        return what or None

    def _book(self, envelope: Envelope, what: str) -> None:
        with self._guard:
            if envelope.foreign is None:
                self._books.end(what)

    def _end_shared(self, envelope: Envelope, end: End) -> None:
        if self._sharing is not None:
            self._sharing.ended(envelope, end)

    def _end_local(self, envelope: Envelope, end: End) -> None:
        shared = self._sharing is not None and self._sharing.owns(envelope)
        settle_envelope(self._throttle, envelope, end, with_counts=not shared)


def _nothing() -> None:
    pass
