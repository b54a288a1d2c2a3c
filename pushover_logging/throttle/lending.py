"""The throttle in Redis: the rules over its table, and leases for what is about to be told."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pushover_logging.throttle.machine import Rules
from pushover_logging.throttle.problem import Count, Report, View, decoded, encoded
from pushover_logging.throttle.redis import KEPT, LEASE, LOAN, RedisTable
from pushover_logging.throttle.shared import SharedThrottle, view_of


@dataclass(slots=True)
class Loan:
    """A count that somebody is about to tell, as JSON, until when."""

    until: float
    count: str


class RedisThrottle(SharedThrottle):
    """The rules over the items of one account. Raises Unreachable."""

    def __init__(self, url: str, account: str, rules: Rules) -> None:
        rules = replace(rules, patience=LEASE)
        self.items: RedisTable = RedisTable(url, account, rules)
        super().__init__(rules, self.items)

    def report(self, report: Report, receipt: str) -> View:
        """Take a process's count, once a ``receipt``."""
        view = None if report.count.newcomer else self.items.count(report, receipt)
        return view or self.take(report)

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
            for name in self.items.overdue():
                loan = self.items.kept(name, Loan)
                self.items.pop(name)
                count = decoded(Count, loan.count) if loan is not None else None
                if count is not None:
                    self._restore(count)
            until = self.items.now() + LEASE
            counts = [replace(one, loan=secrets.token_hex(8)) for one in close()]
            for one in counts:
                self._lend(one.loan, Loan(until, encoded(one)))
            return counts

        return self.items.atomically(work)

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
                if loan is None:
                    gone.add(name)
                else:
                    self._lend(name, replace(loan, until=now + LEASE))
            return gone

        return self.items.atomically(work)

    def repay(self, count: Count, *, told: bool) -> None:
        """End a loan: the count was told, or comes back."""

        def work() -> None:
            if self.items.kept(LOAN + count.loan, Loan) is not None:
                self.items.pop(LOAN + count.loan)
                if not told:
                    self._restore(replace(count, loan=""))

        self.items.atomically(work)

    def _lend(self, name: str, loan: Loan) -> None:
        self.items.keep(LOAN + name, loan, KEPT, loan.until)
