"""What the processes of many hosts decide together, in Redis; alone, while it is away."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Sequence
from dataclasses import replace

from pushover_logging.books.exchange import BEAT, HURRIED_BEAT, Exchanged, Told
from pushover_logging.books.looking import counted, decide, settle_envelope
from pushover_logging.clock import Clock
from pushover_logging.diagnostics import warn
from pushover_logging.message import MESSAGE_LIMIT
from pushover_logging.outbox.envelope import Envelope
from pushover_logging.rendering.text import with_note
from pushover_logging.throttle.lending import RedisThrottle
from pushover_logging.throttle.problem import Count, End, Report, Verdict, View, come_back
from pushover_logging.throttle.redis import LEASE, Unreachable

AWAY = 30.0  # seconds for which a Redis that does not answer is left alone
POLL = 10.0  # seconds after which a process without news asks what is due
NOTE = "(the shared state cannot be reached: duplicates are possible)"


class RedisSharing:
    """One handler's part; called by its sender's thread, without its guard.

    While Redis is away the process decides alone. `_owed` are counts that may have arrived: each
    has a receipt, by which Redis takes it once. `_ends` are pushes whose end Redis does not know.
    What was handed over to a Redis that has lost it since is owed again.
    """

    is_far = True

    def __init__(self, throttle: RedisThrottle, clock: Clock, host: str) -> None:
        self.throttle = throttle
        self._clock = clock
        self._host = host
        self.renew()

    def renew(self) -> None:
        """Start anew, as a fork's child does."""
        self.source: str = (
            f"{os.getpid()} {socket.gethostname()}@{self._host}"  # all containers' are 1
        )
        self.throttle.start_anew()
        now = self._clock.monotonic()
        self._exchanged = now - BEAT
        self._due_at = self._away_until = 0.0
        self._renewed = now
        self._owed: list[tuple[str, Report]] = []
        self._ends: list[tuple[Envelope, End]] = []
        self._views: dict[str, View] = {}
        self._firsts: dict[str, None] = {}  # whose leases are held here
        self._loans: dict[str, None] = {}

    def next_due(self, *, hurry: bool) -> float:
        """Return the seconds until the next exchange."""
        beat = HURRIED_BEAT if hurry else BEAT
        return max(0.0, self._exchanged + beat - self._clock.monotonic())

    def exchange(self, reports: Sequence[Report], told: Told, *, ends: bool) -> Exchanged | None:
        """Report counts and tell what is due. None: nothing of it has happened, Redis is away.

        Who ``ends`` tells nothing, now or soon: another process does when it is due.
        """
        now = self._exchanged = self._clock.monotonic()
        if now < self._away_until:
            return None
        left = [(secrets.token_hex(8), one) for one in reports]
        counts: list[Count] = []
        try:
            self._settle_debts()
            while left:
                self._owed.append(left.pop())
                self._settle_debts()
            if ends:
                self._owe_again(look=True)
            if now - self._renewed >= LEASE / 3 and (self._firsts or self._loans):
                self._renewed = now
                self.throttle.renew(self._firsts, self._loans)
            if ends:
                self._due_at = now + POLL
            elif reports or now >= self._due_at:
                counts = self.throttle.due()
                self._loans.update(dict.fromkeys(one.loan for one in counts))
                end = self.throttle.items.next_end()
                wait = POLL if end is None else min(end, POLL)
                self._due_at = now + wait + self._clock.uniform(0, wait / 10)
            self._settle_debts()
            self._away_until = 0.0
        except Unreachable as error:
            self._go_away(error)
            if len(left) == len(reports):
                return None
        views, self._views = self._views, {}
        return Exchanged(views, to_put=told(counts), back=[one for _, one in left])

    def decide(self, envelope: Envelope) -> str | None:
        """Decide with all others what becomes of a Message; None: alone."""
        key = envelope.key
        if self._clock.monotonic() >= self._away_until:
            try:
                return self._decide(envelope, key)
            except Unreachable as error:
                self._go_away(error)
        if key is not None:
            _note(envelope)
        return None

    def _decide(self, envelope: Envelope, key: str | None) -> str:
        loans = [count.loan for count in envelope.counts if count.loan]
        if loans and self.throttle.renew((), loans) and envelope.verdict is Verdict.SUMMARY:
            for count in envelope.counts:  # others tell those that ran out
                self.throttle.repay(count, told=False)
            return "lost summary"
        if envelope.decided and key in self._firsts:
            view = self.throttle.view(key)
            envelope.decided = view is not None and view.remaining is None
        what = decide(self.throttle, envelope)
        if what and key is not None:
            view = self.throttle.view(envelope.key or key)
            if view is not None:
                self._views[key] = view
                if envelope.verdict is not Verdict.RESOLVED:
                    self.throttle.remember(counted(envelope, envelope.key or key), view)
        elif envelope.verdict is Verdict.FIRST and envelope.key is not None:
            self._firsts[envelope.key] = None
        return what

    def ended(self, envelope: Envelope, end: End) -> None:
        """Know how a push ended; told at once, or when Redis is back."""
        if not self.owns(envelope):
            return
        self._ends.append((envelope, end))
        if self._clock.monotonic() >= self._away_until:
            try:
                self._settle_debts()
            except Unreachable as error:
                self._go_away(error)

    def owns(self, envelope: Envelope) -> bool:
        """Tell whether the envelope's counts came from Redis."""
        return envelope.decided or any(count.loan for count in envelope.counts)

    def _owe_again(self, *, look: bool = False) -> None:
        self._owed += [(secrets.token_hex(8), one) for one in self.throttle.lost(look=look)]

    def _settle_debts(self) -> None:
        self._owe_again()
        while self._owed:
            receipt, report = self._owed[0]
            self._views[report.count.key] = self.throttle.report(report, receipt)
            del self._owed[0]
            self._owe_again()
        while self._ends:
            self._end(*self._ends[0])
            del self._ends[0]

    def _end(self, envelope: Envelope, end: End) -> None:
        for count in envelope.counts:
            if count.loan:
                self.throttle.repay(come_back(count, end), told=end is End.ACCEPTED)
                self._loans.pop(count.loan, None)
        if envelope.decided:
            own = replace(envelope, counts=tuple(one for one in envelope.counts if not one.loan))
            settle_envelope(self.throttle, own, end)
            self._firsts.pop(envelope.key or "", None)
            if end is End.ACCEPTED and envelope.key and envelope.verdict is not Verdict.RESOLVED:
                along = envelope.verdict is not Verdict.FIRST
                self.throttle.remember_told(counted(own, envelope.key), along=along)

    def _go_away(self, error: Unreachable) -> None:
        if self._away_until == 0.0:
            warn("%s: this process decides alone", error)
        self._away_until = self._clock.monotonic() + AWAY
        self._due_at = 0.0


def _note(envelope: Envelope) -> None:
    """Say in a push that others may tell the same."""
    message = envelope.message
    if not message.message.endswith(NOTE):
        text = with_note(message.message, NOTE[1:-1], MESSAGE_LIMIT, markup=message.html)
        envelope.message = replace(message, message=text)
