"""The throttle's state in the outbox's file: one for all processes of a host.

The one process that sends decides for all. Times are on the wall clock, which may jump: what is
read is clamped, so that a jump costs one push at most. The problems of an account are rows; what
the valves keep are rows too, with names that no fingerprint has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from pushover_logging.clock import Clock
from pushover_logging.database import Database
from pushover_logging.throttle.machine import Rules
from pushover_logging.throttle.problem import Problem, Report, View, decoded, encoded
from pushover_logging.throttle.shared import CAPACITY, SharedThrottle, clamped, view_of
from pushover_logging.throttle.table import REMAINDER
from pushover_logging.throttle.valves import Group, Valves

_PATIENCE = 86_400.0  # seconds after which a first that nobody sent is given up
_VALVES = "valves"
_MEMBERS = "members:"
T = TypeVar("T")


class SqliteTable:
    """The rows of one account; each call is part of its caller's transaction, or its own."""

    def __init__(self, database: Database, account: str, rules: Rules, clock: Clock) -> None:
        self._database = database
        self._account = account
        self._rules = rules
        self.now: Callable[[], float] = clock.time

    def atomically(self, work: Callable[[], T]) -> T:
        """Do ``work`` in a transaction. Raises Unavailable; then nothing of it has happened."""
        with self._database.transaction():
            return work()

    def get(self, key: str) -> Problem | None:
        """Return a problem, None for one that is not there or was damaged."""
        found = self._select("SELECT state FROM problem WHERE account = ? AND key = ?", key)
        problem = decoded(Problem, found[0][0]) if found else None
        return clamped(self._rules, problem, self.now())

    def put(self, key: str, problem: Problem) -> None:
        """Keep a problem; its changes are numbered, so that others can follow them."""
        until = self.now() if problem.newcomer else problem.until
        self._insert(key, until, self._rules.lasts(problem), problem.number, encoded(problem))

    def pop(self, key: str) -> None:
        """Let a problem go."""
        with self._database.transaction() as connection:
            connection.execute(
                "DELETE FROM problem WHERE account = ? AND key = ?", (self._account, key)
            )

    def valves(self) -> Valves:
        """Return the valves' state."""
        return self._kept(_VALVES, Valves) or Valves()

    def put_valves(self, valves: Valves) -> None:
        """Keep it."""
        self._insert(_VALVES, math.inf, 0.0, 0, encoded(valves))

    def group(self, name: str) -> Group:
        """Return the newcomers of one origin."""
        return self._kept(_MEMBERS + name, Group) or Group()

    def put_group(self, name: str, group: Group) -> None:
        """Keep them; an empty one goes."""
        if group.members:
            self._insert(_MEMBERS + name, self.now(), 0.0, 0, encoded(group))
        else:
            self.pop(_MEMBERS + name)

    def waiting(self) -> Sequence[tuple[str, Problem]]:
        """Return those whose end is there, or that a clock which jumped has left far ahead.

        These are put back within reach, once: else they would move along with the clock.
        """
        now = self.now()
        for key, problem in self._problems("AND until - length > ?", now):
            self.put(key, problem)
        return self._problems("AND until <= ?", now)

    def counted(self) -> Sequence[tuple[str, Problem]]:
        """Return the problems with something counted."""
        return self._problems("")

    def changed(self, since: int) -> tuple[int, Sequence[tuple[str, Problem]]]:
        """Return the number of the last change, and the problems that changed ``since``."""
        with self._database.transaction() as connection:
            ((newest,),) = connection.execute(
                "SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = 'problem'"
            )
        found = self._select(
            "SELECT key FROM problem WHERE account = ? AND change > ?",
            0 if newest < since else since,
        )
        problems = [(key, self.get(key)) for (key,) in found if key != _VALVES]
        return newest, [(key, one) for key, one in problems if one is not None]

    def next_end(self) -> float:
        """Return the seconds until something may be due, infinity where nothing is counted."""
        ((until, length),) = self._select(
            "SELECT MIN(until), MIN(length) FROM problem WHERE account = ? AND number > 0"
        )
        return math.inf if until is None else max(0.0, min(until - self.now(), length))

    def expendable(self) -> Sequence[str]:
        """Return the longest over without a count, at last the oldest."""
        ((number,),) = self._select("SELECT COUNT(*) FROM problem WHERE account = ?")
        if number < CAPACITY:
            return ()
        found = self._select(
            "SELECT key FROM problem WHERE account = ? AND key NOT IN (?, ?) "
            "ORDER BY number > 0, until LIMIT ?",
            _VALVES,
            REMAINDER,
            CAPACITY // 16,
        )
        return [key for (key,) in found]

    def _problems(self, condition: str, *values: object) -> list[tuple[str, Problem]]:
        found = self._select(
            f"SELECT key FROM problem WHERE account = ? AND number > 0 {condition}",  # noqa: S608  our own words
            *values,
        )
        problems = [(key, self.get(key)) for (key,) in found]
        return [(key, one) for key, one in problems if one is not None]

    def _kept(self, key: str, kind: type[T]) -> T | None:
        found = self._select("SELECT state FROM problem WHERE account = ? AND key = ?", key)
        return decoded(kind, found[0][0]) if found else None

    def _select(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self._database.transaction() as connection:
            return connection.execute(statement, (self._account, *values)).fetchall()

    def _insert(self, key: str, until: float, length: float, number: int, state: str) -> None:
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO problem (account, key, until, length, number, state) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (self._account, key, until, length, number, state),
            )


class SqliteThrottle(SharedThrottle):
    """The rules over the rows of one account. Raises Unavailable where the file cannot be used."""

    def __init__(self, database: Database, account: str, rules: Rules, clock: Clock) -> None:
        rules = replace(rules, patience=_PATIENCE)
        self._rows = SqliteTable(database, account, rules, clock)
        super().__init__(rules, self._rows)
        self._seen = 0

    def renew(self) -> None:
        """Follow every problem anew, in a fork's child."""
        self._seen = 0

    def exchange(self, reports: Iterable[Report]) -> dict[str, View]:
        """Take the counts of a process; return the problems that changed since it last did so."""

        def work() -> dict[str, View]:
            views = {one.count.key: self._take(one) for one in reports}
            self._seen, changed = self._rows.changed(self._seen)
            now = self._rows.now()
            return views | {key: view_of(problem, now) for key, problem in changed}

        return self._rows.atomically(work)

    def next_due(self) -> float:
        """Return the seconds until `due` may have something, infinity where nothing is counted."""
        return self._rows.atomically(self._rows.next_end)
