"""Problems in Redis: one state for all processes of all hosts that name it.

A decision reads what it needs (LOAD), is made by the same rules as everywhere, and is written only
if nothing of it has changed meanwhile (COMMIT); otherwise it is made again. What is counted is not
part of that: thousands of processes may count one problem in the same second. Each process has a
running total for each problem; ADD sets it and adds the difference, so that it may be repeated.

A problem's counts have a random incarnation, and numbers of the pushes that took and settled them.
With each answer a process learns how much of its total is settled, which means reported. In a new
incarnation, as after a restart or FLUSHALL of Redis, its total starts from what is not.

Every key of an account has one hash tag, so that a cluster keeps them together, and an expiry.
"""

from __future__ import annotations

import json
import logging
import math
import random
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

from pushover_logging.exceptions import ConfigurationError, Unreachable
from pushover_logging.throttle.limits import GROUPING
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
    from redis.exceptions import RedisError
    from redis.retry import Retry
except ModuleNotFoundError as _error:
    msg = "throttle: a redis:// URL needs an extra: pip install 'pushover-logging[redis]'"
    raise ConfigurationError(msg, option="throttle") from _error

PATIENCE = 0.25  # seconds that Redis may take to answer
KEPT = 40 * 86_400.0  # seconds that a count waits to be reported
_MARGIN = 60.0
_TRIES = 5
_PAUSE = 0.01  # seconds, for each failed try
_FIELDS = ("n", "tally", "all", "incarnation", "taken", "settled")
T = TypeVar("T")

# Counts that others have damaged are gone: each process hands its own over again.
_SOUND = """
local function make_sound(counts)
  local numbers = redis.call('HMGET', counts, 'n', 'all', 'taken', 'settled')
  for at = 1, 4 do
    local number = numbers[at]
    if number and not (#number < 16 and string.match(number, '^%-?%d+$')) then
      redis.call('DEL', counts)
      return
    end
  end
end
"""

# KEYS: for each item the item and its counts. ARGV: the names of the counts' fields.
LOAD = (
    _SOUND
    + """
local time = redis.call('TIME')
local values = {string.format('%d.%06d', time[1], time[2])}
for at = 1, #KEYS, 2 do
  make_sound(KEYS[at + 1])
  values[#values + 1] = redis.call('GET', KEYS[at])
  values[#values + 1] = redis.call('HMGET', KEYS[at + 1], unpack(ARGV))
end
return values
"""
)

# KEYS: what is due, what is known, then each item and its counts. ARGV for each item: its name,
# what it was, what it is, milliseconds to live, when it is due, by how much its count changes and
# what that is as JSON, the changes of taken and settled, and what of it this process counted; at
# the end the process, and a name for a new incarnation. What is deleted must not have been counted
# meanwhile: its count is somewhere else now. A change that is empty is of a damaged item: its
# counts go too, and each process hands its own over again.
COMMIT = """
local per, process, incarnation = 10, ARGV[#ARGV - 1], ARGV[#ARGV]
for at = 3, #KEYS, 2 do
  local first = (at - 3) / 2 * per
  if (redis.call('GET', KEYS[at]) or '') ~= ARGV[first + 2] then return 0 end
  local n = tonumber(redis.call('HGET', KEYS[at + 1], 'n') or 0) or 0
  local change = tonumber(ARGV[first + 6])
  if ARGV[first + 3] == '' and change and n + change ~= 0 then return 0 end
end
local time = redis.call('TIME')
for at = 3, #KEYS, 2 do
  local first, counts = (at - 3) / 2 * per, KEYS[at + 1]
  local name, before, value, lives, due = unpack(ARGV, first + 1, first + 5)
  local change, tally, taken, settled, own = unpack(ARGV, first + 6, first + 10)
  if value == '' then
    redis.call('DEL', KEYS[at])
    redis.call('ZREM', KEYS[2], name)
  else
    redis.call('SET', KEYS[at], value, 'PX', lives)
    redis.call('ZADD', KEYS[2], time[1], name)
  end
  if change == '' then redis.call('DEL', counts)
  elseif change ~= '0' then
    local left = redis.call('HINCRBY', counts, 'n', change)
    if left > 0 then redis.call('HSET', counts, 'tally', tally)
    else redis.call('HDEL', counts, 'n', 'tally') end
  end
  if own ~= '0' then
    redis.call('HSETNX', counts, 'incarnation', incarnation)
    redis.call('HINCRBY', counts, 'p:' .. process, own)
  end
  if change ~= '' and taken ~= '0' then redis.call('HINCRBY', counts, 'taken', taken) end
  if change ~= '' and settled ~= '0' then redis.call('HINCRBY', counts, 'settled', settled) end
  redis.call('PEXPIRE', counts, lives)
  if value ~= '' and due == '' and redis.call('HEXISTS', counts, 'n') == 1 then due = time[1] end
  if due == '' then redis.call('ZREM', KEYS[1], name)
  else redis.call('ZADD', KEYS[1], due, name) end
end
for at = 1, 2 do redis.call('EXPIRE', KEYS[at], 40 * 86400) end
return 1
"""

# KEYS: what is due, the problem, its counts. ARGV: name, process, incarnation that it knows, total,
# what of that is not settled, since, last and so on as JSON, a CRITICAL's level and seconds,
# milliseconds to live, a name for a new incarnation.
# Answers nothing if that takes a decision: also on what others have damaged.
ADD = (
    _SOUND
    + """
local function decoded(text)
  local ok, value = pcall(cjson.decode, text or '')
  return ok and type(value) == 'table' and value or nil
end
local one, counts = decoded(redis.call('GET', KEYS[2])), KEYS[3]
if not one or one.resolved then return false end
make_sound(counts)
local function finite(value)
  local number = tonumber(value)
  return number and math.abs(number) < 1e12 and number or nil
end
local function kept(name) return tonumber(redis.call('HGET', counts, name) or 0) or 0 end
redis.call('HSETNX', counts, 'incarnation', ARGV[10])
local incarnation = redis.call('HGET', counts, 'incarnation')
local total = incarnation == ARGV[3] and ARGV[4] or ARGV[5]
local more = total - kept('p:' .. ARGV[2])
if more > 0 then
  local time = redis.call('TIME')
  local now, new = time[1] + time[2] / 1000000, cjson.decode(ARGV[6])
  local tally = kept('n') > 0 and decoded(redis.call('HGET', counts, 'tally')) or new
  tally.since = math.min(finite(tally.since) or new.since, new.since)
  tally.last = math.max(finite(tally.last) or new.last, new.last)
  tally.level = math.max(finite(tally.level) or new.level, new.level)
  for name, most in pairs({places = 20, sources = 100}) do
    local list = type(tally[name]) == 'table' and tally[name] or {}
    for _, value in ipairs(new[name]) do
      local known = #list >= most
      for _, other in ipairs(list) do known = known or other == value end
      if not known then list[#list + 1] = value end
    end
    tally[name] = list
  end
  local numbers, texts = {}, {}
  for _, list in ipairs({kept('n') > 0 and tally.texts or {}, new.texts}) do
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
  if tally.level >= tonumber(ARGV[7]) then
    tally.report_by = math.min(finite(tally.report_by) or math.huge, now + ARGV[8])
    due = math.min(due, tally.report_by)
  end
  redis.call('HINCRBY', counts, 'n', more)
  redis.call('HINCRBY', counts, 'all', more)
  redis.call('HSET', counts, 'p:' .. ARGV[2], total, 'tally', cjson.encode(tally))
  local before = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or nil)
  if not before or due < before and not one.claimed_by and not one.unannounced then
    redis.call('ZADD', KEYS[1], string.format('%.6f', due), ARGV[1])
  end
  for at = 1, 3 do redis.call('PEXPIRE', KEYS[at], ARGV[9]) end
end
return {incarnation, kept('taken'), kept('settled')}
"""
)


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
        self.process: str = secrets.token_hex(8)
        self.own: dict[str, tuple[int, Problem]] = {}  # counted by the last transaction
        self.states: dict[str, tuple[str, int, int, int]] = {}
        self._begin()

    def _begin(self) -> None:
        self._time: float | None = None
        self._is_within = False
        self._raw: dict[str, str] = {}
        self._counts: dict[str, tuple[Occurrences, int, int]] = {}
        self._written: dict[str, tuple[Item | None, float | None]] = {}

    def transaction(self, work: Callable[[], T]) -> T:
        """Do ``work`` until nobody else has changed meanwhile what it read. Raises Unreachable."""
        try:
            for number in range(_TRIES):
                time.sleep(number * random.uniform(0, _PAUSE))  # noqa: S311  apart from the others
                self._begin()
                self._is_within = True
                result = work()
                if not self._written or self._commits():
                    return result
        finally:
            self._begin()
        text = f"the shared throttle changed under {_TRIES} decisions in a row"
        raise Unreachable(text)

    def now(self) -> float:
        """Return Redis's time; within a transaction that of the first `load`."""
        if self._time is not None:
            return self._time
        seconds, micros = self._call(self._redis.time)
        return float(seconds + micros / 1e6)

    def load(self, names: Iterable[str]) -> Mapping[str, Item]:
        """Return the items that there are; one that others have damaged counts as absent.

        ``states`` has the incarnation of each problem's counts, the numbers of pushes that took and
        settled them, and this process's total.
        """
        wanted = list(names)
        keys = [key for name in wanted for key in self._keys(name)]
        hashed = [*_FIELDS, f"p:{self.process}"]
        now, *values = self._call(lambda: self._load(keys, hashed))
        if self._is_within and self._time is None:
            self._time = float(now)
        items: dict[str, Item] = {}
        for name, raw, counts in zip(wanted, values[::2], values[1::2], strict=True):
            self._raw[name] = raw or ""
            item = from_json(name, raw) if raw else None
            n, tally, ever, incarnation, *numbers = counts
            taken, settled, own = (int(number or 0) for number in numbers)
            self.states[name] = incarnation or "", taken, settled, own
            if isinstance(item, Problem):
                counted, total = _counted(n, tally), int(ever or 0)
                self._counts[name] = counted, item.reporting.count, total
                item.counted, item.total = counted, item.total + total
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
        end = "+inf" if before == math.inf else before
        key = self._prefix + "due"
        found: Sequence[tuple[str, float]] = self._call(
            lambda: self._redis.zrangebyscore(key, "-inf", end, 0, limit, withscores=True)
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
        kept = (LIMITS, OVERFLOW_KEY)
        found = [name for name, _ in ranked if name not in kept and not name.startswith(MEMBERS)]
        return found[: SHARED_CAPACITY // 16]

    def add(self, name: str, total: Total, found: Counted) -> list[Any] | None:
        """Set a process's total of a problem; None if the problem has to be made first."""
        values: list[str | float] = [
            name, self.process, total.incarnation, total.count, total.count - total.settled,
            _tally(found.occurrences), logging.CRITICAL, CRITICAL_WINDOW, int(KEPT * 1000),
            secrets.token_hex(8),
        ]  # fmt: skip
        keys = [self._prefix + "due", *self._keys(name)]
        answer: list[Any] | None = self._call(lambda: self._add(keys, values))
        return answer

    def _keys(self, name: str) -> tuple[str, str]:
        return self._prefix + name, f"{self._prefix}count:{name}"

    def _commits(self) -> bool:
        keys: list[str] = [self._prefix + "due", self._prefix + "known"]
        values: list[Any] = []
        self.own = {}
        for name, (item, due) in self._written.items():
            keys += self._keys(name)
            values += self._arguments(name, item, due)
        values += [self.process, secrets.token_hex(8)]
        return bool(self._call(lambda: self._commit(keys, values)))

    def _arguments(self, name: str, item: Item | None, due: float | None) -> list[Any]:
        """Return what COMMIT has to know of an item; see there."""
        before, reporting, total = self._counts.get(name, (NOTHING, 0, 0))
        change: int | str = 0
        counted, taken, settled, own = NOTHING, 0, 0, 0
        lives, value = KEPT if name == LIMITS else GROUPING, ""
        if item is None:
            is_sound = name in self._counts
            change, taken, settled, lives = -before.count if is_sound else "", 1, 1, KEPT
        elif isinstance(item, Problem):
            counted, more = item.counted, item.counted.count - before.count
            change = more
            if item.reporting.count != reporting:
                taken = 1 if item.reporting.count else 0
                if reporting and not item.reporting.count:
                    settled, taken = (0, -1) if more >= reporting else (1, 0)
            elif more > 0:
                own = more
                self.own[name] = own, item
            if more < 0:  # what was counted meanwhile came since then
                counted = replace(before, since=before.last, places=(), sources=())
            lives = KEPT
            if due is None:
                lives = max(0.0, item.until - self.now()) + self._rules.cooling_time(item)
            item = replace(item, counted=NOTHING, total=item.total - total)
        if item is not None:
            value = to_json(item)
        return [
            name, self._raw[name], value, int((lives + _MARGIN) * 1000),
            "" if due is None else due, change, _tally(counted), taken, settled, own,
        ]  # fmt: skip

    def _call(self, call: Callable[[], Any]) -> Any:  # noqa: ANN401  redis-py's own
        try:
            return call()
        except (RedisError, OSError) as error:
            text = f"the shared throttle cannot be reached ({type(error).__name__})"
            raise Unreachable(text) from error


@dataclass(slots=True)
class Total:
    """What a process has counted of one problem, in the store's ``incarnation`` of its counts.

    ``settled`` of it is reported. Each of ``marks`` says that ``count`` was what it is when the
    store had taken so many pushes' counts: it is settled with the next one. ``found`` is the last
    count, from which a lost problem is made again.
    """

    found: Counted
    incarnation: str = ""
    count: int = 0
    settled: int = 0
    marks: list[tuple[int, int]] = field(default_factory=list)

    def learn(self, incarnation: str, taken: int, settled: int, known: int) -> bool:
        """Take the store's word, which has ``known`` of this total; return False if it lacks some.

        In another incarnation that is what is not settled.
        """
        if incarnation != self.incarnation:
            return self.count <= self.settled
        while self.marks and self.marks[0][0] <= settled:
            self.settled = self.marks.pop(0)[1]
        if known > self.settled:
            self.marks = [mark for mark in self.marks if mark[0] != taken + 1]
            self.marks.append((taken + 1, known))
        return known >= self.count


class RedisThrottle(Throttle):
    """The rules over a `RedisStore`, and this process's totals. Raises Unreachable."""

    def __init__(self, url: str, account: str, rules: Rules) -> None:
        self._redis = RedisStore(url, account, rules)
        self._totals: dict[str, Total] = {}
        super().__init__(self._redis, rules, is_shared=True)

    def count(self, counted: Sequence[Counted]) -> dict[str, View]:
        """Add what this process counted; Unreachable has a list of what no total has."""
        problems: dict[str, str] = {}
        left = list(counted)
        try:
            while left:
                found = left[0]
                if found.problem not in self._totals:
                    super().views([found.problem])
                total = self._total(found.problem, found)
                total.count += found.occurrences.count
                total.found = found
                del left[0]
                problems[found.key] = self._hand_over(found.problem)
            views = self.views(set(problems.values()))
        except Unreachable as error:
            error.left = left
            raise
        return {key: views[problem] for key, problem in problems.items()}

    def views(self, keys: Collection[str]) -> dict[str, View]:
        """Return what a process has to know of problems; hand over what Redis has lost or lacks."""
        views = super().views(keys)
        states = self._redis.states
        for key in keys:
            total = self._totals.get(key)
            if total is None:
                continue
            if not total.learn(*states[key]):
                self._hand_over(key)
                views[key] = super().views([key])[key]
            elif total.settled >= total.count:
                del self._totals[key]
        return views

    def unsettled(self) -> Collection[str]:
        """Return the problems of which this process has a total that is not all reported."""
        return self._totals.keys()

    def _transaction(self, work: Callable[[], T], names: Iterable[str]) -> T:
        self._redis.own, self._redis.states = {}, {}
        result = super()._transaction(work, names)
        for name, (count, problem) in self._redis.own.items():
            occurrences = replace(problem.counted, count=count)
            info = PushInfo(problem.title, problem.user, problem.device, problem.priority)
            found = Counted(name, name, problem.level, occurrences, info)
            self._total(name, found).count += count
        return result

    def _total(self, key: str, found: Counted) -> Total:
        """Return this process's total of a problem; one that it forgot is all settled."""
        total = self._totals.get(key)
        if total is None:
            incarnation, _, _, own = self._redis.states[key]
            total = self._totals[key] = Total(found, incarnation, own, own)
        return total

    def _hand_over(self, key: str) -> str:
        """Have Redis know this process's total of a problem; return the key that it goes by there.

        It may be repeated. If there is no answer, that is what the next call does.
        """
        found = self._totals[key].found
        if self._is_added(key, found):
            return key
        target = self._transaction(lambda: self._placed(found), [found.key, key])
        if target != key:
            self._move(key, target, found)
        if not self._is_added(target, found):
            text = "the shared throttle lost a problem that was just made"
            raise Unreachable(text)
        return target

    def _is_added(self, key: str, found: Counted) -> bool:
        total = self._totals[key]
        answer = self._redis.add(key, total, found)
        if answer is None:
            return False
        incarnation, taken, settled = answer
        if incarnation != total.incarnation:
            total.count -= total.settled
            total.incarnation, total.settled, total.marks = incarnation, 0, []
        total.learn(incarnation, taken, settled, total.count)
        return True

    def _move(self, key: str, target: str, found: Counted) -> None:
        """Let what Redis does not have of a total be part of another problem's."""
        total = self._totals[key]
        incarnation, _, _, known = self._redis.states[key]
        if incarnation != total.incarnation:
            del self._totals[key]
            known = total.settled
        moved, total.count = total.count - known, known
        whole = self._total(target, found)
        whole.count += moved
        whole.found = found

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
