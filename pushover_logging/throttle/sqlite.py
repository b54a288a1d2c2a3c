"""The throttle's state in the outbox's file: one for all processes of a host.

Each process goes on deciding from its own memory, with no I/O, and sends on what that lets
through; here the one that sends decides again, for all. A process's counts are reported once a
second. Times are on the wall clock, which may jump: what is read is clamped to its window, so that
a jump costs one push at most.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, fields, replace

from pushover_logging.clock import Clock
from pushover_logging.database import Database
from pushover_logging.throttle.machine import (
    OTHERS,
    Count,
    End,
    Problem,
    Report,
    Rules,
    Verdict,
    View,
)

CAPACITY = 10_000
_UNHEARD = -1  # the level told of a problem that was reported before its first push was claimed
_PATIENCE = 86_400.0  # seconds after which a first that nobody sent is given up


class SqliteThrottle:
    """The problems of one account. Each method is part of its caller's transaction, or its own.

    Called by senders' threads alone. Raises Unavailable where the file cannot be used.
    """

    def __init__(self, database: Database, account: str, rules: Rules, clock: Clock) -> None:
        self._database = database
        self._account = account
        self._rules = rules
        self._clock = clock
        self._seen = 0

    def renew(self) -> None:
        """Follow every problem anew, in a fork's child."""
        self._seen = 0

    def admit(
        self, key: str, level: int, created: float, title: str
    ) -> tuple[Verdict, Count | None]:
        """Say for all processes what becomes of a Message that one of them let through."""
        now = self._clock.time()
        with self._database.transaction() as connection:
            problem = self._load(connection, key, now)
            verdict, count = Verdict.FIRST, None
            if problem is None or self._rules.cooled(problem, now):
                self._make_room(connection, now)
                problem = Problem(told=level, until=now + _PATIENCE)
            elif problem.told == _UNHEARD:
                problem.told, problem.pending, problem.until = level, True, now + _PATIENCE
                problem.total += 1
            else:
                verdict, count = self._rules.admit(problem, key, level, now, created)
            if verdict is not Verdict.SUPPRESSED:
                problem.title = title
            self._save(connection, key, problem)
            return verdict, count

    def ended(self, key: str, end: End) -> None:
        """Know how a push of this problem ended."""
        now = self._clock.time()
        with self._database.transaction() as connection:
            problem = self._load(connection, key, now)
            if problem is not None and self._rules.ended(problem, end, now):
                self._save(connection, key, problem)
            elif problem is not None:
                self._delete(connection, key)

    def exchange(self, reports: Iterable[Report]) -> dict[str, View]:
        """Take the counts of a process; return the problems that changed since it last did so.

        A problem that is not known here is rebuilt from its report.
        """
        now = self._clock.time()
        with self._database.transaction() as connection:
            for one in reports:
                self._count(connection, one, now)
            (newest,) = connection.execute("SELECT MAX(change) FROM problem").fetchone()
            found = connection.execute(
                "SELECT key FROM problem WHERE account = ? AND change > ?",
                (self._account, 0 if (newest or 0) < self._seen else self._seen),
            ).fetchall()
            self._seen = newest or 0
            changed = {key: self._load(connection, key, now) for (key,) in found}
        return {
            key: View(problem.told, None if problem.pending else problem.until - now)
            for key, problem in changed.items()
            if problem is not None and problem.told != _UNHEARD
        }

    def restore(self, count: Count) -> None:
        """Take back a count whose summary was refused or dropped."""
        now = self._clock.time()
        with self._database.transaction() as connection:
            problem = self._load(connection, count.key, now)
            if problem is None:
                self._count(connection, Report(count, _UNHEARD, None), now)
            else:
                self._rules.add(problem, count)
                self._save(connection, count.key, problem)

    def due(self) -> list[Count]:
        """Close every window that is over with something counted; return the counts."""
        now = self._clock.time()
        with self._database.transaction() as connection:
            found = connection.execute(  # also those whose end the clock has left far ahead
                "SELECT key FROM problem WHERE account = ? AND number > 0 "
                "AND (until <= ? OR until - length > ?)",
                (self._account, now, now),
            ).fetchall()
            counts = []
            for (key,) in found:
                problem = self._load(connection, key, now)
                if problem is not None and self._rules.due(problem, now):
                    counts.append(self._rules.close(problem, key, now))
                if problem is not None:
                    self._save(connection, key, problem)
            return counts

    def next_due(self) -> float:
        """Return the seconds until `due` may have something, infinity where nothing is counted."""
        with self._database.transaction() as connection:
            (seconds,) = connection.execute(
                "SELECT MIN(MIN(until - ?, length)) FROM problem WHERE account = ? AND number > 0",
                (self._clock.time(), self._account),
            ).fetchone()
        return math.inf if seconds is None else float(seconds)

    def untold(self) -> list[Count]:
        """Take every count that no push has told, for the last words of the last process."""
        now = self._clock.time()
        with self._database.transaction() as connection:
            found = connection.execute(
                "SELECT key FROM problem WHERE account = ? AND number > 0", (self._account,)
            ).fetchall()
            counts = []
            for (key,) in found:
                problem = self._load(connection, key, now)
                if problem is not None and not problem.pending:
                    counts.append(problem.counted(key, 0.0))
                    problem.number = 0
                    self._save(connection, key, problem)
            return counts

    def _count(self, connection: sqlite3.Connection, report: Report, now: float) -> None:
        count = report.count
        problem = self._load(connection, count.key, now)
        if problem is None:
            problem = Problem(told=_UNHEARD, pending=False, total=0, title=count.title)
            problem.until = now + self._rules.window(problem)
            if report.remaining is not None:
                problem.told, problem.until = report.told, now + report.remaining
        problem.total += count.number
        self._rules.add(problem, count)
        self._save(connection, count.key, problem)

    def _load(self, connection: sqlite3.Connection, key: str, now: float) -> Problem | None:
        found = connection.execute(
            "SELECT until, state FROM problem WHERE account = ? AND key = ?", (self._account, key)
        ).fetchone()
        problem = None if found is None else _problem(*found)
        if problem is None or (problem.pending and now >= problem.until):
            return None
        problem.until = min(problem.until, now + self._length(problem))
        return problem

    def _length(self, problem: Problem) -> float:
        return _PATIENCE if problem.pending else self._rules.window(problem)

    def _save(self, connection: sqlite3.Connection, key: str, problem: Problem) -> None:
        connection.execute(
            "INSERT OR REPLACE INTO problem "
            "SELECT ?, ?, ?, ?, ?, ?, COALESCE(MAX(change), 0) + 1 FROM problem",
            (
                self._account,
                key,
                problem.until,
                self._length(problem),
                problem.number,
                json.dumps(asdict(problem)),
            ),
        )

    def _delete(self, connection: sqlite3.Connection, key: str) -> None:
        connection.execute(
            "DELETE FROM problem WHERE account = ? AND key = ?", (self._account, key)
        )

    def _make_room(self, connection: sqlite3.Connection, now: float) -> None:
        (number,) = connection.execute(
            "SELECT COUNT(*) FROM problem WHERE account = ?", (self._account,)
        ).fetchone()
        if number < CAPACITY:
            return
        found = connection.execute(
            "SELECT key FROM problem WHERE account = ? ORDER BY number > 0, until LIMIT ?",
            (self._account, CAPACITY // 16),
        ).fetchall()
        for (key,) in found:
            problem = self._load(connection, key, now)
            self._delete(connection, key)
            if problem is not None and problem.number:
                count = replace(problem.counted("", 0.0), title=OTHERS)
                self._count(connection, Report(count, problem.told, None), now)


def _problem(until: object, state: str) -> Problem | None:
    """Return what was saved, None for what others have damaged."""
    kinds = {"int": int, "float": float, "bool": bool, "str": str}
    try:
        data = json.loads(state)
        values = {
            one.name: data[one.name]
            if data[one.name] is None
            else kinds.get(str(one.type).partition(" |")[0], str)(data[one.name])
            for one in fields(Problem)
        }
        return Problem(**{**values, "until": float(str(until))})
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
