"""The durable outbox: an account's rows in a file, and memory where the file cannot be used."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence

from pushover_logging.clock import Clock
from pushover_logging.outbox import rows
from pushover_logging.outbox.account import Account, Work
from pushover_logging.outbox.away import FAULTS, Absence
from pushover_logging.outbox.envelope import Envelope, Fate
from pushover_logging.outbox.memory import MemoryOutbox
from pushover_logging.outbox.stock import PATIENCE_OF_A_CALL, Stock


class SqliteOutbox:
    """An `Account` that never raises.

    Where the file cannot be used, ``memory`` takes over; its Messages are sent from there, by each
    process for itself, and inserted again when the file is back. `put` is called by the program's
    threads under the handler's guard, `may_hold_more` before all others, the rest by its sender,
    but for `is_behind`, which looks at two flags. What must still be written waits in `_unwritten`,
    of the sender's thread alone: how a send ended is written with the next claim, and what could
    not be written, with the next that is.
    """

    def __init__(self, account: Account, memory: MemoryOutbox, clock: Clock) -> None:
        self.account = account
        self._memory = memory
        self._clock = clock

    def renew(self, guard: threading.RLock) -> None:
        """Start anew: at first, and in a fork's child, which has none of its parent's rows."""
        self.account.renew()
        self._memory.renew(guard)
        self._guard = guard
        self._stock = Stock(self.account)
        self._added: list[Envelope] = []
        self._away = Absence(self._clock)
        self._unwritten: list[Work] = []
        self._behind = self._unseen = False

    def may_hold_more(self) -> bool:
        """Look whether processes that are gone may have left Messages in the file.

        Where they may, something waits (`is_behind`) until the sender has taken them over, or has
        seen that another one sends for the account.
        """
        self._unseen = self.account.may_wait()
        return self._unseen

    def put(self, envelope: Envelope) -> list[Envelope]:
        """Insert one, durable on return; where the file is away memory takes it."""
        if self._away.over():
            try:
                self.account.insert([envelope], PATIENCE_OF_A_CALL)
            except FAULTS as error:
                self._away.begin(error)
            except BaseException:  # a signal handler raised, as at Ctrl-C
                if self.account.has(envelope):
                    self._count([envelope], 1)
                else:
                    self._memory.put(envelope)
                raise
            else:
                self._count([envelope], 1)
                self._away.forget()
                return []
        return self._memory.put(envelope)

    def has(self, envelope: Envelope) -> bool:
        """Tell whether it waits here, where its `put` was cut off."""
        return self._memory.has(envelope) or self.account.has(envelope)

    def may_send(self) -> bool:
        """Tell whether this handler holds its account, or has Messages in memory to send."""
        seen = self._away.attempt(self.account.hold)
        self._unseen = self._unseen and not seen
        return (seen and self.account.holds) or len(self._memory) > 0

    def release(self) -> None:
        """Let another handler send for the account."""
        self.account.release()

    def holds(self) -> bool:
        """Tell whether this handler sends for its account."""
        return self.account.holds

    def has_word(self) -> bool:
        """Tell, without waiting, whether others left word of what became of its Messages."""
        return self.account.has_word()

    def stamp(self) -> object:
        """Return what is equal while an exchange would bring nothing; None: it would."""
        waits = self._unwritten or len(self._memory)
        return None if waits else self.account.file.database.stamp()

    def add(self, envelope: Envelope) -> None:
        """Insert a summary within `exchange`. Raises Unavailable."""
        self.account.insert([envelope])
        self._added.append(envelope)

    def trouble(self) -> str | None:
        """Take what is to be said of the file, once an episode."""
        gone = self._take_stock()
        said = [self._away.trouble(), self.account.file.database.take_notice(), gone]
        return "; ".join(filter(None, said)) or None

    def _take_stock(self) -> str | None:
        """Drop what is gone with a file that others deleted, replaced or damaged; say how much."""
        lost = [0]
        if self.account.may_be_gone():
            with self._guard:
                self._away.attempt(lambda: lost.append(self._stock.take()))  # else the next time
        return f"messages that waited in it are lost: {lost[-1]}" if lost[-1] else None

    def lost_of(self, pending: int) -> tuple[int, int]:
        """Return how many of ``pending`` end with the process, and how many outlive it."""
        lost = min(pending, len(self._memory))
        return lost, pending - lost

    def exchange(self, work: Callable[[], None]) -> bool:
        """Do ``work`` in a transaction, take the news, insert again what memory took.

        Returns False where the file is away; then nothing of it has happened.
        """
        self._added.clear()
        done = self._away.attempt(lambda: self._write(lambda _: work()))
        if done:
            self._away.end()
            self._count(self._added, 1)
        if done and len(self._memory):
            self._restore()
        return done

    def news(self) -> dict[str, int]:
        """Take what became of this handler's Messages and is not in its books yet."""
        news = self._stock.news()
        news.update(self._memory.news())
        return dict(news)

    def claim(self, closed_to: Collection[str | None], fate: Fate) -> Envelope | None:
        """Return the most urgent (priority, then age), marked as being sent; see MemoryOutbox."""
        claimed = [self._memory.claim(closed_to, fate)]
        if claimed[0] is None and self.account.holds:
            self._away.attempt(lambda: claimed.append(self._claim(closed_to, fate)))
            self._behind = False
        self.catch_up()
        return claimed[-1]

    def is_behind(self) -> bool:
        """Tell whether a send ended and nobody has tried yet to write that down.

        Also where it was not seen yet what others left.
        """
        return self._behind or self._unseen

    def catch_up(self) -> None:
        """Write down how a send ended, where no claim has done it; take the word of who sends."""
        if self._behind or (not self.account.holds and self.account.has_word()):
            self._away.attempt(self._write)
            self._behind = False

    def retry(self, envelope: Envelope) -> None:
        """Put a claimed one back: an answer came, or none in time; its process lives."""
        if envelope.row is None:
            self._memory.retry(envelope)
        else:
            self._later(lambda connection: rows.keep(connection, envelope, sending=False))

    def keep(self, envelope: Envelope) -> None:
        """Write down what a claimed one is now, before it is sent."""
        if envelope.row is not None:
            self._later(lambda connection: rows.keep(connection, envelope, sending=True))

    def finish(self, envelope: Envelope, what: str, confirm: Callable[[], None]) -> None:
        """Let a claimed one go; ``confirm`` is in the same transaction, that of the next claim.

        A process that is killed before it sends that Message once more, as one that is killed
        before this is called: still one duplicate at most, and a commit less for each Message.
        """
        if envelope.row is None:
            self._memory.finish(envelope, what, lambda: self._later(lambda _: confirm()))
            return

        def end(connection: rows.Connection) -> None:
            confirm()
            self.account.end(connection, envelope, what)

        self._unwritten.append(end)
        self._behind = True
        if envelope.foreign is None:
            self._count([envelope], -1)

    def is_last(self) -> bool:
        """Tell, at the end, whether no other process may have counts to tell."""
        last: list[bool] = []
        return self._away.attempt(lambda: last.append(self.account.is_last())) and last[0]

    def _count(self, envelopes: Sequence[Envelope], number: int) -> None:
        with self._guard:
            self._stock.change(envelopes, number)

    def _later(self, work: Work) -> None:
        self._unwritten.append(work)
        self._away.attempt(self._write)

    def _write(self, *more: Work) -> None:
        self.account.write([*self._unwritten, *more])
        self._unwritten.clear()

    def _claim(self, closed_to: Collection[str | None], fate: Fate) -> Envelope | None:
        # What was sent already must not be claimed again: it is written first.
        claimed = self.account.claim(closed_to, fate, self._unwritten)
        self._unwritten.clear()
        return claimed

    def _restore(self) -> None:
        waiting: list[Envelope] = []
        while (envelope := self._memory.claim((), _stays)) is not None:
            waiting.append(envelope)
        inserted = self._away.attempt(lambda: self.account.insert(waiting))
        if inserted:
            self._away.forget()
            self._count(waiting, 1)
        for envelope in reversed(waiting):
            if inserted:
                self._memory.finish(envelope, "inserted", _nothing)
            else:
                self._memory.retry(envelope)


def _stays(_: Envelope) -> None:
    """Say of each Message that it goes on."""


def _nothing() -> None:
    """Confirm to nobody."""
