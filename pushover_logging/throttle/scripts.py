"""The Lua that Redis runs: what must happen in one piece there. The rules stay in Python.

A decision reads what it needs (LOAD), is made by the same rules as everywhere, and is written only
where nothing of it has changed meanwhile (COMMIT); else it is made again. A count is what thousands
of processes add to one problem in the same second, where that would never end: COUNT adds in place.
"""

from __future__ import annotations

# KEYS: the store's life, then each item. ARGV: a name for the life, if it begins just now.
LOAD = """
local time = redis.call('TIME')
redis.call('SET', KEYS[1], ARGV[1], 'NX')
local values = {string.format('%d.%06d', time[1], time[2])}
for at, key in ipairs(KEYS) do values[at + 1] = redis.call('GET', key) end
return values
"""

# KEYS: what is due, what is known, then each item, the store's life (unchanged) the first of them.
# ARGV for each item: its name, what it was, what it is, milliseconds to live, when it is due.
COMMIT = """
for at = 3, #KEYS do
  if (redis.call('GET', KEYS[at]) or '') ~= ARGV[(at - 3) * 5 + 2] then return 0 end
end
local time = redis.call('TIME')
for at = 3, #KEYS do
  local first = (at - 3) * 5
  local name, value, due = ARGV[first + 1], ARGV[first + 3], ARGV[first + 5]
  if value == '' then
    redis.call('DEL', KEYS[at])
    redis.call('ZREM', KEYS[2], name)
  elseif value ~= ARGV[first + 2] then
    redis.call('SET', KEYS[at], value, 'PX', ARGV[first + 4])
    if string.sub(name, 1, 8) ~= 'receipt:' then redis.call('ZADD', KEYS[2], time[1], name) end
  end
  if due == '' then redis.call('ZREM', KEYS[1], name)
  else redis.call('ZADD', KEYS[1], due, name) end
end
return 1
"""

# KEYS: what is due, the problem, the receipt of this report, the store's life. ARGV: the problem's
# name, number, since, last, level, source, milliseconds to live, a CRITICAL's level and seconds.
# Answers nothing where it takes a decision: also on what others have damaged, which is an error.
COUNT = """
local raw, life = redis.call('GET', KEYS[2]), redis.call('GET', KEYS[4])
if not (raw and life) then return false end
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local function added()
  local one = cjson.decode(raw)
  local number = one.number or 0
  local given_up = number == 0 and one.pending ~= false and now >= one['until']
  if one.resolved or one.told == -1 or given_up then return nil end
  local since, last, level = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
  one.since = number == 0 and since or math.min(one.since or since, since)
  one.last = number == 0 and last or math.max(one.last or last, last)
  one.seen = number == 0 and level or math.max(one.seen or level, level)
  one.number = number + ARGV[2]
  one.total = (one.total or 1) + ARGV[2]
  local sources, known = one.sources or {}, false
  for _, source in ipairs(sources) do known = known or source == ARGV[6] end
  if not known and #sources < 100 then sources[#sources + 1] = ARGV[6] end
  one.sources = sources
  if level >= tonumber(ARGV[8]) and one.pending == false then
    one['until'] = math.min(one['until'], now + ARGV[9])
  end
  local left = one.pending ~= false and '' or string.format('%.6f', one['until'] - now)
  local told, taken = string.format('%.0f', one.told), string.format('%.6f', one.taken or 0)
  local answer = {told, left, one.newcomer and '1' or '', taken, string.format('%.6f', now), life}
  return cjson.encode(one), one.newcomer and now or one['until'], answer
end
local whole, value, due, answer = pcall(added)
if not (whole and value) then return false end
if redis.call('SET', KEYS[3], '{}', 'NX', 'PX', 3600000) then
  redis.call('SET', KEYS[2], value, 'PX', ARGV[7])
  redis.call('ZADD', KEYS[1], due, ARGV[1])
end
return answer
"""

ALL = (LOAD, COMMIT, COUNT)
