"""The throttle in Redis: the rules over its table, and leases for what is about to be told.

What this process handed over is kept until it was told (`Handed`): a Redis that was emptied, as by
a restart or FLUSHALL, gets it once more. A loan that vanished so is this process's alone to tell.
"""

import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pushover_logging.throttle.handed import Handed
from pushover_logging.throttle.machine import Rules
from pushover_logging.throttle.problem import Count, Report, View, decoded
from pushover_logging.throttle.redis import KEPT, LEASE, LOAN, RECEIPT, VALVES, RedisTable
from pushover_logging.throttle.shared import SharedThrottle, view_of

RECEIPT_LIVES = 3600.0  # seconds


@dataclass(slots=True)
class Loan:
    """A count that somebody is about to tell, as JSON."""

    count: str


@dataclass(slots=True)
class Receipt:
    """A mark that a report was taken."""


class RedisThrottle(SharedThrottle):
    """The rules over the items of one account. Raises Unreachable."""

    def __init__(self, url: str, account: str, rules: Rules) -> None:
        rules = replace(rules, patience=LEASE)
        self.items: RedisTable = RedisTable(url, account, rules)
        super().__init__(rules, self.items)
        self.start_anew()

    def start_anew(self) -> None:
        """Start anew, as a fork's child does."""
        self.items.renew()
        self._handed = Handed()
        self._lent: dict[str, str] = {}  # loans of this process, and the life they are of

    def report(self, report: Report, receipt: str) -> View:
        """Take a process's count, once a ``receipt``."""
        one = report.count
        view = self.items.count(report, receipt) if one.number and not one.newcomer else None
        view = view or self.items.atomically(lambda: self._take_once(report, receipt))
        self._handed.keep(one, view, self.items.life)
        return view

    def _take_once(self, report: Report, receipt: str) -> View:
        key, name = report.count.key, RECEIPT + receipt
        self.items.expect(VALVES, key, name)
        if self.items.kept(name, Receipt) is None:
            self.items.keep(name, Receipt(), RECEIPT_LIVES, None)
            return self._take(report)
        problem, now = self.items.get(key), self.items.now()  # only the answer was lost
        return View(report.told, report.remaining, at=now) if not problem else view_of(problem, now)

    def remember(self, count: Count, view: View) -> None:
        """Know of a count of this process, or of a problem told by it, that it is in the store."""
        self._handed.keep(count, view, self.items.life)

    def remember_told(self, count: Count, *, along: bool) -> None:
        """Know of a problem told just now, ``along`` with what was counted before."""
        at = self.items.seen_at
        view = View(count.level, self.rules.windows[0], taken=at if along else 0.0, at=at)
        self._handed.keep(count._replace(number=0), view, self.items.life)

    def lost(self, *, look: bool = False) -> list[Report]:
        """Take what a Redis emptied since has lost, to be reported again; ``look`` asks it."""
        if look:
            self.items.atomically(self.items.now)
        return self._handed.lost(self.items.seen_at, self.items.life)

    def view(self, key: str) -> View | None:
        """Return what a process is to know of a problem."""

        def work() -> View | None:
            problem = self.items.get(key)
            return None if problem is None else view_of(problem, self.items.now())

        return self.items.atomically(work)

    def due(self) -> list[Count]:
        """Close every window that is over, and lend out the counts to be told."""
        close = super().due

        def work() -> list[Count]:
            asked = self._handed.over(self.items.seen_at, self.items.life)
            self.items.expect(VALVES, *asked)
            self._handed.look(asked, self.items.life, self.items.get)
            for name in self.items.overdue():
                loan = self.items.kept(name, Loan)
                self.items.pop(name)
                count = decoded(Count, loan.count) if loan is not None else None
                if count is not None:
                    self._restore(count)
            counts = [one._replace(loan=secrets.token_hex(8)) for one in close()]
            for one in counts:
                self._lend(one.loan, Loan(json.dumps(one._asdict())))
            return counts

        counts = self.items.atomically(work)
        for one in counts:
            self._handed.forget(one.key)
            self._lent[one.loan] = self.items.life
        return counts

    def renew(self, keys: Iterable[str], loans: Iterable[str]) -> set[str]:
        """Hold on to the leases of what is being sent; return the loans that have run out."""

        def work() -> set[str]:
            now = self.items.now()
            for key in keys:
                problem = self.items.get(key)
                if problem is not None and problem.pending and now < problem.until:
                    problem.until = now + LEASE
                    self.items.put(key, problem)
            gone = set()
            for name in loans:
                loan = self.items.kept(LOAN + name, Loan)
                if loan is not None:
                    self._lend(name, loan)
                elif not self._vanished(name):
                    gone.add(name)
            return gone

        return self.items.atomically(work)

    def repay(self, count: Count, *, told: bool) -> None:
        """End a loan: the count was told, or comes back."""
        back = count._replace(loan="")

        def work() -> bool:
            lent = self.items.kept(LOAN + count.loan, Loan) is not None
            comes_back = not told and (lent or self._vanished(count.loan))
            if lent:
                self.items.pop(LOAN + count.loan)
            if comes_back and lent:
                self._restore(back)
            elif comes_back:
                self._take(Report(back, count.level, count.following))
            return comes_back

        if self.items.atomically(work):
            view = View(count.level, count.following, at=self.items.seen_at)
            self._handed.keep(back, view, self.items.life)
        self._lent.pop(count.loan, None)

    def _vanished(self, loan: str) -> bool:
        """Tell whether a loan went with the store's data, and nobody else took it over."""
        return self._lent.get(loan, self.items.life) != self.items.life

    def _lend(self, name: str, loan: Loan) -> None:
        self.items.keep(LOAN + name, loan, KEPT, self.items.now() + LEASE)
