"""Problems in Redis: one state for all processes of all hosts that name it.

A decision reads what it needs (LOAD), is made by the same rules as everywhere, and is written only
if nothing of it has changed meanwhile (COMMIT); otherwise it is made again. What is counted is not
part of that: thousands of processes may count one problem in the same second. Each process has a
running total for each problem; ADD sets it and adds the difference, so that it may be repeated.

With each answer a process learns how much of its total is settled, which means reported. If Redis
has lost its total, as after a restart or FLUSHALL, that starts again from what is not.

Every key of an account has one hash tag, so that a cluster keeps them together, and an expiry.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

from pushover_logging.exceptions import ConfigurationError, Unreachable
from pushover_logging.identity.record_parts import JOB
from pushover_logging.throttle.limits import GROUPING, Group
from pushover_logging.throttle.rules import (
    CRITICAL_WINDOW,
    NOTHING,
    Occurrences,
    Problem,
    PushInfo,
    Rules,
)
from pushover_logging.throttle.store import (
    DAMAGE,
    DEADLINE,
    LIMITS,
    MEMBERS,
    OVERFLOW_KEY,
    SHARED_CAPACITY,
    Item,
    from_json,
    restored,
    to_json,
)
from pushover_logging.throttle.throttle import Counted, Throttle, View

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.exceptions import MovedError, RedisError
    from redis.retry import Retry
except ModuleNotFoundError as _error:
    msg = "throttle: a redis:// URL needs an extra: pip install 'pushover-logging[redis]'"
    raise ConfigurationError(msg, option="throttle") from _error

PATIENCE = 0.25  # seconds that Redis may take to answer
KEPT = 40 * 86_400.0  # seconds that a count waits to be reported
_JOB_KEPT = 800 * 86_400.0  # the same of what a job's next run resolves
_MARGIN = 60.0
_TRIES = 5
_PAUSE = 0.01  # seconds, for each failed try
T = TypeVar("T")

# An item is a hash: its JSON in ``item``, and for a problem the number of what is counted in ``n``,
# the rest of those Occurrences as JSON in ``tally``, and each process's total. ``phase`` goes up
# when a push takes the count and when that is settled, and down when the count is put back: it is
# odd while a push is on its way. If others have damaged a number, the item is lost.
_SOUND = """
local function make_sound(key)
  for _, number in pairs(redis.call('HMGET', key, 'n', 'phase')) do
    if number and not (#number < 16 and string.match(number, '^%-?%d+$')) then
      redis.call('DEL', key)
    end
  end
end
"""

# KEYS: the items. ARGV: the process.
LOAD = (
    _SOUND
    + """
local time = redis.call('TIME')
local values = {string.format('%d.%06d', time[1], time[2])}
for _, key in ipairs(KEYS) do
  make_sound(key)
  values[#values + 1] = redis.call('HMGET', key, 'item', 'n', 'tally', 'phase', 'p:' .. ARGV[1])
end
return values
"""
)

# KEYS: what is due, what is known, then the items. ARGV: the process, then for each item its name,
# what it was, what it is, milliseconds to live, when it is due, by how much its count and its phase
# change, and what the count is as JSON. A count that grows, without a push that puts it back, is
# this process's own. What is deleted must not have been counted meanwhile: its count is somewhere
# else now. A change that is empty is of a damaged item: its counts go too, and each process hands
# its own over again.
COMMIT = """
local function arguments(at)
  local first = (at - 3) * 8 + 2
  return unpack(ARGV, first, first + 7)
end
for at = 3, #KEYS do
  local _, before, value, _, _, change = arguments(at)
  if (redis.call('HGET', KEYS[at], 'item') or '') ~= before then return 0 end
  local n = redis.call('HGET', KEYS[at], 'n') or 0
  if value == '' and change ~= '' and n + change ~= 0 then return 0 end
end
local time = redis.call('TIME')
for at = 3, #KEYS do
  local key = KEYS[at]
  local name, _, value, lives, due, change, phase, tally = arguments(at)
  if change == '' then redis.call('DEL', key)
  elseif change ~= '0' then
    local left = redis.call('HINCRBY', key, 'n', change)
    if left > 0 then redis.call('HSET', key, 'tally', tally)
    else redis.call('HDEL', key, 'n', 'tally') end
  end
  if phase ~= '0' then redis.call('HINCRBY', key, 'phase', phase)
  elseif (tonumber(change) or 0) > 0 then
    redis.call('HINCRBY', key, 'p:' .. ARGV[1], change)
  end
  if value == '' then
    redis.call('HDEL', key, 'item')
    redis.call('ZREM', KEYS[2], name)
  else
    redis.call('HSET', key, 'item', value)
    redis.call('ZADD', KEYS[2], time[1], name)
    if due == '' and redis.call('HEXISTS', key, 'n') == 1 then due = time[1] end
  end
  redis.call('PEXPIRE', key, lives)
  if due == '' then redis.call('ZREM', KEYS[1], name)
  else redis.call('ZADD', KEYS[1], due, name) end
end
for at = 1, 2 do redis.call('EXPIRE', KEYS[at], 800 * 86400) end
return 1
"""

# KEYS: what is due, the problem. ARGV: name, process, its total, what of that is not
# settled (the total if Redis has lost the one before), since, last and so on as JSON, a CRITICAL's
# level and seconds, milliseconds to live. Answers 1 if Redis knew a total of the process, else 0;
# nothing if that takes a decision: also on what others have damaged.
ADD = (
    _SOUND
    + """
local function decoded(text)
  local ok, value = pcall(cjson.decode, text or '')
  return ok and type(value) == 'table' and value or nil
end
local function finite(value) return type(value) == 'number' and math.abs(value) < 1e12 end
local key, own = KEYS[2], 'p:' .. ARGV[2]
make_sound(key)
local one = decoded(redis.call('HGET', key, 'item'))
if not one or one.resolved then return false end
local known = redis.call('HGET', key, own)
local more = (known and ARGV[3] or ARGV[4]) - (known or 0)
if more > 0 then
  local time, new = redis.call('TIME'), cjson.decode(ARGV[5])
  local now = time[1] + time[2] / 1000000
  local tally = decoded(redis.call('HGET', key, 'tally'))
  if not (tally and finite(tally.since) and finite(tally.last) and finite(tally.level)) then
    tally = new
  end
  tally.since = math.min(tally.since, new.since)
  tally.last = math.max(tally.last, new.last)
  tally.level = math.max(tally.level, new.level)
  for name, most in pairs({places = 20, sources = 100}) do
    local list = type(tally[name]) == 'table' and tally[name] or {}
    for _, value in ipairs(new[name]) do
      local is_known = #list >= most
      for _, other in ipairs(list) do is_known = is_known or other == value end
      if not is_known then list[#list + 1] = value end
    end
    tally[name] = list
  end
  local numbers, texts = {}, {}
  for _, list in ipairs({tally ~= new and tally.texts or {}, new.texts}) do
    for _, value in ipairs(type(list) == 'table' and list or {}) do
      local number, text = string.match(tostring(value), '^(%d+) (.*)$')
      if text and (numbers[text] or #texts < 20) then
        if not numbers[text] then texts[#texts + 1] = text end
        numbers[text] = (numbers[text] or 0) + number
      end
    end
  end
  table.sort(texts, function(one, other) return numbers[one] > numbers[other] end)
  for at, text in ipairs(texts) do texts[at] = string.format('%d %s', numbers[text], text) end
  tally.texts = texts
  local due = one.unannounced and now or math.max(tonumber(one['until']) or 0, now)
  due = math.max(due, finite(one.muted_until) and one.muted_until or 0)
  if tally.level >= tonumber(ARGV[6]) then
    tally.report_by = math.min(finite(tally.report_by) and tally.report_by or math.huge,
                               now + ARGV[7])
    due = math.min(due, tally.report_by)
  end
  redis.call('HINCRBY', key, 'n', more)
  redis.call('HINCRBY', key, own, more)
  redis.call('HSET', key, 'tally', cjson.encode(tally))
  local before = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or nil)
  if not before or due < before and not one.claimed_by and not one.unannounced then
    redis.call('ZADD', KEYS[1], string.format('%.6f', due), ARGV[1])
  end
  redis.call('PEXPIRE', key, ARGV[8])
  redis.call('EXPIRE', KEYS[1], 800 * 86400)
end
return known and 1 or 0
"""
)


class _Loaded(NamedTuple):
    """What a transaction has read of an item; ``reporting`` is how many a push was reporting."""

    raw: str
    is_problem: bool = False
    counted: Occurrences = NOTHING
    reporting: int = 0


class RedisStore:
    """The items of one account, on Redis's own time. Used by one sender's thread, without a lock.

    A fork's child makes a new store; nothing connects before the first call.
    """

    def __init__(self, url: str, account: str, rules: Rules) -> None:
        self._rules = rules
        self._prefix = f"{{pushover:{account}}}:"
        try:
            self._redis = redis.Redis.from_url(
                url,
                socket_timeout=PATIENCE,
                socket_connect_timeout=PATIENCE,
                retry=Retry(NoBackoff(), 0),
                decode_responses=True,
            )
            self._redis.connection_pool.make_connection()  # looks at what else the URL says
            self._load, self._commit, self._add = map(
                self._redis.register_script, (LOAD, COMMIT, ADD)
            )
        except (ValueError, TypeError, LookupError, RedisError) as error:
            msg = f"throttle: the Redis URL cannot be used: {type(error).__name__}"
            raise ConfigurationError(msg, option="throttle") from error
        self._place = _place(url, self._redis.connection_pool.connection_kwargs)
        self.process: str = secrets.token_hex(8)
        # Of the transaction under way, or the last one:
        self.states: dict[str, tuple[int, int | None]] = {}  # phase, and this process's total
        self.own: dict[str, tuple[int, Problem]] = {}  # what it has counted
        self._time: float | None = None
        self._loaded: dict[str, _Loaded] = {}
        self._written: dict[str, tuple[Item | None, float | None]] = {}

    def transaction(self, work: Callable[[], T]) -> T:
        """Do ``work`` until nobody else has changed meanwhile what it read. Raises Unreachable."""
        try:
            for number in range(_TRIES):
                time.sleep(number * random.uniform(0, _PAUSE))  # noqa: S311  apart from the others
                self._time = None
                self.states, self.own, self._loaded, self._written = {}, {}, {}, {}
                result = work()
                if not self._written or self._commits():
                    return result
        finally:
            self._time = None
        text = f"the shared throttle changed under {_TRIES} decisions in a row"
        raise Unreachable(text)

    def now(self) -> float:
        """Return Redis's time; within a transaction that of the first `load`."""
        if self._time is not None:
            return self._time
        seconds, micros = self._call(self._redis.time)
        return float(seconds + micros / 1e6)

    def load(self, names: Iterable[str]) -> Mapping[str, Item]:
        """Return the items that there are; one that others have damaged counts as absent."""
        wanted = list(names)
        keys = [self._prefix + name for name in wanted]
        now, *values = self._call(lambda: self._load(keys, [self.process]))
        self._time = self._time or float(now)
        items: dict[str, Item] = {}
        for name, (raw, n, tally, phase, total) in zip(wanted, values, strict=True):
            self.states[name] = int(phase or 0), None if total is None else int(total)
            self._loaded[name] = _Loaded(raw or "")
            item = from_json(name, raw) if raw else None
            if isinstance(item, Problem):
                counted = _counted(n, tally)
                self._loaded[name] = _Loaded(
                    raw, is_problem=True, counted=counted, reporting=item.reporting.count
                )
                item.counted, item.total = counted, item.total + counted.count
                item.last = max(item.last, counted.last)
            if item is not None:
                items[name] = item
        return items

    def save(self, name: str, item: Item, due: float | None) -> None:
        """Keep an item, which this transaction has loaded, or found absent."""
        self._written[name] = item, due

    def delete(self, name: str) -> None:
        """Forget an item that this transaction has loaded."""
        self._written[name] = None, None

    def due(self, before: float, limit: int) -> Sequence[tuple[str, float]]:
        """Return what is due before a time."""
        key = self._prefix + "due"
        found: Sequence[tuple[str, float]] = self._call(
            lambda: self._redis.zrangebyscore(key, "-inf", before, 0, limit, withscores=True)
        )
        return found

    def oldest(self) -> Sequence[str]:
        """Return a sixteenth of the problems, the longest unchanged, those with a count last."""
        known = self._prefix + "known"
        if self._call(lambda: self._redis.zcard(known)) < SHARED_CAPACITY:
            return ()
        names = self._call(lambda: self._redis.zrange(known, 0, SHARED_CAPACITY // 8))
        scores = self._call(lambda: self._redis.zmscore(self._prefix + "due", names))
        ranked = sorted(zip(names, scores, strict=True), key=lambda found: found[1] is not None)
        kept = (LIMITS, OVERFLOW_KEY, MEMBERS, DEADLINE)
        found = [name for name, _ in ranked if not name.startswith(kept)]
        return found[: SHARED_CAPACITY // 16]

    def names(self) -> Sequence[str]:
        """Return the names of all items that were lately decided."""
        known: Sequence[str] = self._call(lambda: self._redis.zrange(f"{self._prefix}known", 0, -1))
        return known

    def add(self, name: str, total: int, unsettled: int, found: Counted) -> bool | None:
        """Set this process's total of a problem, or ``unsettled`` if Redis knows none of it.

        Returns True if it knew one; None if the problem has to be made first.
        """
        values: list[str | float] = [
            name, self.process, total, unsettled, _tally(found.occurrences), logging.CRITICAL,
            CRITICAL_WINDOW, int(KEPT * 1000),
        ]  # fmt: skip
        keys = [self._prefix + "due", self._prefix + name]
        answer = self._call(lambda: self._add(keys, values))
        return None if answer is None else bool(answer)

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        self._redis.close()

    def _commits(self) -> bool:
        keys: list[str] = [self._prefix + "due", self._prefix + "known"]
        values: list[Any] = [self.process]
        for name, (item, due) in self._written.items():
            keys.append(self._prefix + name)
            values += self._arguments(name, item, due)
        return bool(self._call(lambda: self._commit(keys, values)))

    def _arguments(self, name: str, item: Item | None, due: float | None) -> list[Any]:
        """Return what COMMIT has to know of an item; see there."""
        before, counted, lives, value = self._loaded[name], NOTHING, KEPT, ""
        change: int | str = 0
        phase = 0
        if isinstance(item, Problem):
            counted = item.counted
            change = counted.count - before.counted.count
            phase = bool(item.reporting.count) - bool(before.reporting)
            if phase < 0 and change < before.reporting:
                phase = 1  # it was not put back, so it is settled
            if change > 0 and not phase:
                self.own[name] = change, item
            if due is None:
                lives = max(0.0, item.until - self.now()) + self._rules.cooling_time(item)
                if name.startswith(JOB) and not item.resolved:
                    lives = max(lives, _JOB_KEPT)
            value = to_json(replace(item, counted=NOTHING, total=item.total - counted.count))
            if change < 0:  # what was counted meanwhile came since then
                counted = replace(
                    before.counted, since=before.counted.last, places=(), sources=(), texts=()
                )
        elif item is not None:
            lives, value = GROUPING if isinstance(item, Group) else KEPT, to_json(item)
            lives += max(0.0, due - self.now()) if due is not None else 0.0
        elif before.is_problem:  # as if all of it had been taken and settled
            change, phase = -before.counted.count, 3 if before.reporting else 2
        else:
            change = ""
        return [
            name, before.raw, value, int((lives + _MARGIN) * 1000), "" if due is None else due,
            change, phase, _tally(counted),
        ]  # fmt: skip

    def _call(self, call: Callable[[], Any]) -> Any:  # noqa: ANN401  redis-py's own
        try:
            return call()
        except (RedisError, OSError, *DAMAGE, LookupError) as error:  # also of what is no Redis
            text = f"{self._place} cannot be reached ({type(error).__name__})"
            words = str(error).split()
            if isinstance(error, MovedError) or words[:1] == ["MOVED"]:  # before redis-py 6
                text = f"the shared throttle is a cluster: its URL must name {words[-1]}"
            raise Unreachable(text) from error


def _place(url: str, found: Mapping[str, Any]) -> str:
    """Return how errors name a Redis: never by a part of its password.

    One that was not encoded in the URL can look like a host or a port.
    """
    if "@" in url and not {"username", "password"} & found.keys():
        return "Redis"
    address = f"{found.get('host', 'localhost')}:{found.get('port', 6379)}"
    return f"Redis at {found.get('path', address)}"


@dataclass(slots=True)
class Total:
    """What a process has counted of one problem; ``known`` is what Redis had of that at last.

    ``settled`` of it is reported. Each of ``marks`` is a phase of the problem, and what is settled
    once that is reached. ``found`` is the last count, from which a lost problem is made again.

    ``count`` is what the sender was answered. If an answer was lost, the sender reports that count
    another way, and ``known`` is ahead: the next counts add nothing until they have made up for it.
    So a total that is ahead must be kept; one made anew from Redis' own number would not know it.
    """

    found: Counted
    count: int
    settled: int
    known: int
    marks: list[tuple[int, int]] = field(default_factory=list)

    @property
    def unsettled(self) -> int:
        """Return how much is not reported."""
        return max(0, self.count - self.settled)

    def learn(self, phase: int, known: int | None) -> None:
        """Take what Redis has; ``known`` None if that is lost, and starts from what is unsettled.

        The counts that it knows are settled with the push that takes the next counts, or, as far as
        a push on its way has them, with that.
        """
        if known is None:
            self.count, self.settled, self.marks = self.unsettled, 0, []
        self.known = known or 0
        while self.marks and self.marks[0][0] <= phase:
            self.settled = self.marks.pop(0)[1]
        next_settled = phase + 2 + phase % 2
        self.marks = [mark for mark in self.marks if mark[0] < next_settled]
        self.marks.append((next_settled, self.known))


class RedisThrottle(Throttle):
    """The rules over a `RedisStore`, and this process's totals. Raises Unreachable.

    The sender's thread alone has the totals. Each is forgotten once it is settled, and Redis has it
    as it is; so they are as few as the problems that this process has lately counted.
    """

    def __init__(self, url: str, account: str, rules: Rules) -> None:
        self._redis = RedisStore(url, account, rules)
        self._totals: dict[str, Total] = {}
        self._made_of = url, account, rules
        super().__init__(self._redis, rules, is_shared=True)

    @contextlib.contextmanager
    def another(self) -> Iterator[Throttle]:
        """Lend another thread a throttle over the same Redis, with a connection of its own."""
        throttle = RedisThrottle(*self._made_of)
        try:
            yield throttle
        finally:
            throttle._redis.close()

    def count(self, counted: Sequence[Counted]) -> dict[str, View]:
        """Add what this process counted; its totals are raised once all of that is answered."""
        problems: dict[str, str] = {}
        more: Counter[str] = Counter()
        views = super().views({found.problem for found in counted})
        for found in counted:
            self._total(found.problem, found)
        for found in counted:
            key, number = found.problem, found.occurrences.count
            is_news = found.unannounced or not views[key].remaining
            if is_news or not self._is_added(key, more[key] + number, found):
                key = self._transaction(partial(self._placed, found))
                if not self._is_added(key, more[key] + number, found):
                    text = "the shared throttle lost a problem that was just made"
                    raise Unreachable(text)
            more[key] += number
            problems[found.key] = key
        views = super().views(set(problems.values()))
        for key, number in more.items():
            self._totals[key].count += number
        return {key: views[problem] for key, problem in problems.items()}

    def views(self, keys: Collection[str]) -> dict[str, View]:
        """Return what a process has to know of problems; hand over again what Redis has lost."""
        views = super().views(keys)
        for key in self._totals.keys() & set(keys):
            total = self._totals[key]
            lost = total.count - total.known
            if lost > 0:
                occurrences = replace(total.found.occurrences, count=lost)
                found = total.found._replace(problem=key, occurrences=occurrences)
                total.count -= lost  # perhaps it is part of a group's problem by now
                try:
                    views[key] = self.count([found])[found.key]
                except Unreachable:
                    total.count += lost
                    raise
            if not total.unsettled and total.known == total.count:
                del self._totals[key]
        return views

    def unsettled(self) -> Collection[str]:
        """Return the problems of which this process has a total that is not all reported."""
        return self._totals.keys()

    def unreported(self) -> int:
        """Return how many records those counts are; any thread may ask."""
        return sum(total.unsettled for total in list(self._totals.values()))

    def _transaction(self, work: Callable[[], T]) -> T:
        try:
            result = super()._transaction(work)
        finally:
            for name in self._totals.keys() & self._redis.states.keys():
                self._totals[name].learn(*self._redis.states[name])
        for name, (count, problem) in self._redis.own.items():
            occurrences = replace(problem.counted, count=count)
            info = PushInfo(problem.title, problem.user, problem.device, problem.priority)
            found = Counted(name, name, problem.level, occurrences, info)
            total = self._total(name, found)
            total.count += count
            total.known += count
        return result

    def _total(self, key: str, found: Counted) -> Total:
        """Return this process's total of a problem; one that it forgot is all settled."""
        total = self._totals.get(key)
        if total is None:
            known = self._redis.states[key][1] or 0
            total = self._totals[key] = Total(found, known, known, known)
        total.found = found
        return total

    def _is_added(self, key: str, more: int, found: Counted) -> bool:
        """Have Redis know this process's total with ``more``; False if it has no such problem."""
        total = self._total(key, found)
        is_known = self._redis.add(key, total.count + more, total.unsettled + more, found)
        if is_known is False:
            total.learn(0, None)
        return is_known is not None

    def _placed(self, found: Counted) -> str:
        key, problem = self._place(found)
        self._save(key, problem)
        return key


def _tally(counted: Occurrences) -> str:
    return json.dumps({name: value for name, value in asdict(counted).items() if value != math.inf})


def _counted(n: str | None, tally: str | None) -> Occurrences:
    """Return what is counted; nothing if others have damaged it."""
    try:
        values = json.loads(tally or "{}") | {"count": int(n or 0)}
        for name in ("places", "sources", "texts"):  # Lua writes an empty list as a mapping
            values[name] = list(map(str, values.get(name, ())))
        found = restored(Occurrences, values)
    except DAMAGE:
        return NOTHING
    return found if found.count > 0 else NOTHING
