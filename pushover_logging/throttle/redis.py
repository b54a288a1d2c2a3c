"""The throttle's state in Redis: one for all processes of all hosts that name it.

Every key of an account has one hash tag, so that a cluster keeps them together, and an expiry later
than its window and cooling. Times are Redis's own. Whoever is to send a first, or to tell a count,
holds a lease on it: when that runs out untold, another process tells it.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pushover_logging.exceptions import ConfigurationError
from pushover_logging.throttle import scripts
from pushover_logging.throttle.machine import CRITICAL_WINDOW, Rules
from pushover_logging.throttle.problem import Problem, Report, View, decoded, encoded
from pushover_logging.throttle.shared import CAPACITY, clamped
from pushover_logging.throttle.table import REMAINDER
from pushover_logging.throttle.valves import GROUPING, Group, Valves

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError
    from redis.retry import Retry
except ModuleNotFoundError as _error:
    msg = "throttle: a redis:// URL needs an extra: pip install 'pushover-logging[redis]'"
    raise ConfigurationError(msg, option="throttle") from _error

LEASE = 30.0  # seconds; longer than one attempt to send takes
PATIENCE = 0.25  # seconds that Redis may take to answer
KEPT = 40 * 86_400.0  # seconds that a count waits for somebody who tells it
_MARGIN = 60.0
_TRIES = 50
_AT_ONCE = 500
_LIFE = "life"
VALVES = "valves"
_MEMBERS = "members:"
LOAN = "loan:"
RECEIPT = "receipt:"
_NO_PROBLEMS = (VALVES, _MEMBERS, LOAN)
T = TypeVar("T")


class Unreachable(Exception):  # noqa: N818  a state of Redis, which callers answer
    """Redis does not answer, or not in time."""


class RedisTable:
    """The items of one account. A call of `atomically` sees them as they were at one moment.

    Called by one sender's thread. Raises Unreachable. ``life`` names the data that was seen last:
    a Redis that lost its data begins another one. ``seen_at`` is Redis's time then.
    """

    def __init__(self, url: str, account: str, rules: Rules) -> None:
        self._url = url
        self._prefix = f"{{pushover:{account}}}:"
        self._rules = rules
        self.renew()

    def renew(self) -> None:
        """Start anew, as a fork's child does. Connects to nothing yet."""
        try:
            self._redis = redis.Redis.from_url(
                self._url,
                socket_timeout=PATIENCE,
                socket_connect_timeout=PATIENCE,
                retry=Retry(NoBackoff(), 0),
                decode_responses=True,
            )
            self._redis.connection_pool.make_connection()  # looks at what else the URL says
            self._load, self._commit, self._count = map(self._redis.register_script, scripts.ALL)
        except (ValueError, TypeError, LookupError, RedisError) as error:
            msg = f"throttle: the Redis URL cannot be used: {type(error).__name__}"
            raise ConfigurationError(msg, option="throttle") from error
        self._within = False
        self.life: str = ""
        self.seen_at: float = 0.0
        self._begin()

    def _begin(self) -> None:
        self._time: float | None = None
        self._read: dict[str, str] = {}
        self._written: dict[str, tuple[str, float, float | None]] = {}

    def atomically(self, work: Callable[[], T]) -> T:
        """Do ``work`` until nobody else has changed meanwhile what it read."""
        if self._within:
            return work()
        self._within = True
        try:
            for _ in range(_TRIES):
                self._begin()
                result = work()
                if not self._written or self._commits():
                    return result
        finally:
            self._within = False
            self._begin()
        text = "others were faster each time"
        raise Unreachable(text)

    def now(self) -> float:
        """Return Redis's time, the same within one call of `atomically`."""
        if self._time is None:
            self.expect(VALVES)
        return self._time or 0.0

    def expect(self, *names: str) -> None:
        """Read items together that will be asked for."""
        names = tuple(name for name in names if name not in self._read)
        keys = [self._prefix + name for name in (_LIFE, *names)]
        time, life, *values = self._call(self._load, keys, [secrets.token_hex(8)])
        if self._time is None:
            self._time, self._read[_LIFE] = float(time), life
        self.life, self.seen_at = life, self._time
        self._read.update(zip(names, (value or "" for value in values), strict=True))

    def get(self, key: str) -> Problem | None:
        """Return a problem, None for one that is not there or was damaged."""
        return clamped(self._rules, self.kept(key, Problem), self.now())

    def put(self, key: str, problem: Problem) -> None:
        """Keep a problem past its window and cooling, with a count until somebody tells it."""
        now = self.now()
        due = (now if problem.newcomer else problem.until) if problem.number else None
        cooling = self._rules.cools(problem)
        lives = KEPT if problem.number else max(0.0, problem.until - now) + cooling
        self.keep(key, problem, lives, due)

    def pop(self, key: str) -> None:
        """Let an item go."""
        self._written[key] = "", 0.0, None

    def valves(self) -> Valves:
        """Return the valves' state."""
        return self.kept(VALVES, Valves) or Valves()

    def put_valves(self, valves: Valves) -> None:
        """Keep it."""
        self.keep(VALVES, valves, KEPT, None)

    def group(self, name: str) -> Group:
        """Return the newcomers of one origin."""
        return self.kept(_MEMBERS + name, Group) or Group()

    def put_group(self, name: str, group: Group) -> None:
        """Keep them; an empty one goes."""
        if group.members:
            self.keep(_MEMBERS + name, group, GROUPING, None)
        else:
            self.pop(_MEMBERS + name)

    def overdue(self) -> list[str]:
        """Return the loans that have run out."""
        return [name for name in self._due_names() if name.startswith(LOAN)]

    def waiting(self) -> Sequence[tuple[str, Problem]]:
        """Return those whose end is there; what a clock that jumped has left far ahead, is put."""
        now = self.now()
        for name in self._call(self._redis.zrevrange, self._prefix + "due", 0, 9):
            kept = None if name.startswith(_NO_PROBLEMS) else self.kept(name, Problem)
            if kept is None or kept.newcomer:
                continue
            if kept.until > now + self._rules.lasts(kept):
                self.put(name, clamped(self._rules, kept, now) or kept)
        return self._problems(self._due_names())

    def counted(self) -> Sequence[tuple[str, Problem]]:
        """Return the problems with something counted."""
        return self._problems(self._call(self._redis.zrange, self._prefix + "due", 0, -1))

    def next_end(self) -> float | None:
        """Return the seconds until something may be due, None where nothing is counted."""
        self._begin()
        found = self._call(self._redis.zrange, self._prefix + "due", 0, 0, withscores=True)
        return max(0.0, found[0][1] - self.now()) if found else None

    def expendable(self) -> Sequence[str]:
        """Return the longest unchanged, those with a count last."""
        if self._call(self._redis.zcard, self._prefix + "known") < CAPACITY:
            return ()
        oldest = self._call(self._redis.zrange, self._prefix + "known", 0, CAPACITY // 8)
        self.expect(*oldest)
        names = [name for name in oldest if name != REMAINDER and not name.startswith(_NO_PROBLEMS)]
        names.sort(key=lambda name: (problem := self.kept(name, Problem)) is not None
                   and problem.number > 0)  # fmt: skip
        return names[: CAPACITY // 16]

    def count(self, report: Report, receipt: str) -> View | None:
        """Add a process's count in place, once a receipt; None where that takes a decision."""
        one = report.count
        numbers = (one.number, one.since, one.last, one.level)
        keys = [self._prefix + name for name in ("due", one.key, RECEIPT + receipt, _LIFE)]
        lives, source = int(KEPT * 1000), (one.sources or ("",))[0]
        given = [one.key, *map(str, numbers), source, lives, logging.CRITICAL, CRITICAL_WINDOW]
        found = self._call(self._count, keys, given)
        if not found:
            return None
        told, left, new, taken, at, self.life = found
        remaining, self.seen_at = float(left) if left else None, float(at)
        return View(int(told), remaining, newcomer=bool(new), taken=float(taken), at=self.seen_at)

    def _problems(self, names: Sequence[str]) -> list[tuple[str, Problem]]:
        names = [name for name in names if not name.startswith(_NO_PROBLEMS)]
        if names:
            self.expect(*names)
        problems = [(name, self.get(name)) for name in names]
        return [(name, one) for name, one in problems if one is not None]

    def _due_names(self) -> Sequence[str]:
        find, now = self._redis.zrangebyscore, self.now()
        names: Sequence[str] = self._call(find, self._prefix + "due", "-inf", now, 0, _AT_ONCE)
        return names

    def kept(self, name: str, kind: type[T]) -> T | None:
        """Return an item, None for one that is not there or was damaged."""
        if name in self._written:
            return decoded(kind, self._written[name][0])
        if name not in self._read:
            self.expect(name)
        return decoded(kind, self._read[name])

    def keep(self, name: str, item: object, lives: float, due: float | None) -> None:
        """Keep an item for some seconds; ``due`` is the time at which somebody has to see to it."""
        self._written[name] = encoded(item), lives + _MARGIN, due

    def _commits(self) -> bool:
        written = {_LIFE: (self._read.get(_LIFE, ""), 0.0, None)} | self._written
        keys = [self._prefix + name for name in ("due", "known", *written)]
        given: list[Any] = []
        for name, (value, lives, due) in written.items():
            known = self._read.get(name)
            if known is None:
                self.expect(name)
                known = self._read[name]
            given += [name, known, value, int(lives * 1000), "" if due is None else due]
        return bool(self._call(self._commit, keys, given))

    def _call(self, command: Callable[..., Any], *given: Any, **named: Any) -> Any:  # noqa: ANN401  redis-py's own
        try:
            return command(*given, **named)
        except (RedisError, OSError) as error:
            text = f"the shared throttle cannot be reached ({type(error).__name__})"
            raise Unreachable(text) from error
