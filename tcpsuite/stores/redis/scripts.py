"""What is done in Redis in one step: scripts in Lua.

Of each session there is a hash of what it is (``session:DIGEST``) and one of its data (``data:DIGEST``); of
all of them, two sorted sets by the time of their last use and of their opening (``used``, ``created``), one
of users by the number of their sessions (``owners``), and a hash of what is counted in all (``totals``).
Times are seconds since the epoch.

Others may write there what is none of ours.  Who asks for that session learns it; what is done for many
sessions at once passes over it.
"""

from __future__ import annotations

SHARED = ("used", "created", "owners", "totals")
"""The last part of the names of the keys that every script is given, behind those of a session."""

_FORGET = """
local function forget(session, data, id, used, created, users, totals)
  local found = redis.pcall('HMGET', session, 'user', 'requests')
  local user, requests = found[1], tonumber(found[2]) or 0
  redis.call('DEL', session, data)
  redis.call('ZREM', used, id)
  redis.call('ZREM', created, id)
  if not user then return 0 end
  if tonumber(redis.call('ZINCRBY', users, -1, user)) < 1 then redis.call('ZREM', users, user) end
  redis.pcall('HINCRBY', totals, 'requests', 0 - requests)
  return 1
end
"""

_TOUCH = """
local function touch(session, id, at, requests, used, totals)
  local found = redis.pcall('HMGET', session, 'used', 'requests')
  local before = tonumber(found[1])
  if not before or not string.match(found[2] or '', '^%d+$') then return end
  if tonumber(at) > before then
    redis.call('HSET', session, 'used', at)
    redis.call('ZADD', used, at, id)
  end
  redis.call('HINCRBY', session, 'requests', requests)
  redis.call('HINCRBY', totals, 'requests', requests)
end
"""

# ARGV: digest, limit, limit of a user, user, created, used, requests, version, then keys and values.
CREATE = """
local session, data, used, created, users, totals = unpack(KEYS)
local id, limit, user_limit, user = unpack(ARGV)
if redis.call('EXISTS', session) == 1 then return 'there' end
if redis.call('ZCARD', used) >= tonumber(limit) then return 'full' end
if tonumber(user_limit) > 0 and tonumber(redis.call('ZSCORE', users, user) or 0) >= tonumber(user_limit) then
  return 'user full'
end
redis.call('HSET', session, 'user', user, 'created', ARGV[5], 'used', ARGV[6], 'requests', ARGV[7],
  'version', ARGV[8])
redis.call('ZADD', created, ARGV[5], id)
redis.call('ZADD', used, ARGV[6], id)
redis.call('ZINCRBY', users, 1, user)
redis.call('HINCRBY', totals, 'requests', ARGV[7])
for i = 9, #ARGV, 2 do redis.call('HSET', data, ARGV[i], ARGV[i + 1]) end
return 'yes'
"""

HEAD = "return redis.call('HMGET', KEYS[1], 'user', 'created', 'used', 'requests', 'version')"

GET = """
return {redis.call('HMGET', KEYS[1], 'user', 'created', 'used', 'requests', 'version'),
  redis.call('HGETALL', KEYS[2])}
"""

# ARGV: digest, version, used, requests, the next version, how many keys are removed, those, then keys and
# values.
CHANGE = (
    _TOUCH
    + """
local session, data, used, created, users, totals = unpack(KEYS)
if redis.call('HGET', session, 'version') ~= ARGV[2] then return 0 end
touch(session, ARGV[1], ARGV[3], ARGV[4], used, totals)
redis.call('HSET', session, 'version', ARGV[5])
local removed = tonumber(ARGV[6])
for i = 7, 6 + removed do redis.call('HDEL', data, ARGV[i]) end
for i = 7 + removed, #ARGV, 2 do redis.call('HSET', data, ARGV[i], ARGV[i + 1]) end
return 1
"""
)

# ARGV: what the names of sessions begin with, then digest, used and requests of each.
TOUCH = (
    _TOUCH
    + """
local used, created, users, totals = unpack(KEYS)
for i = 2, #ARGV, 3 do
  touch(ARGV[1] .. ARGV[i], ARGV[i], ARGV[i + 1], ARGV[i + 2], used, totals)
end
"""
)

DELETE = (
    _FORGET
    + """
local session, data, used, created, users, totals = unpack(KEYS)
return forget(session, data, ARGV[1], used, created, users, totals)
"""
)

# ARGV: what the names of sessions and of data begin with, used, created, how many at most.
EXPIRE = (
    _FORGET
    + """
local used, created, users, totals = unpack(KEYS)
local swept = 0
local function sweep(index, before)
  local limit = ARGV[5] - swept
  if limit < 1 then return end
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', '(' .. before, 'LIMIT', 0, limit)) do
    forget(ARGV[1] .. id, ARGV[2] .. id, id, used, created, users, totals)
    swept = swept + 1
  end
end
sweep(used, ARGV[3])
sweep(created, ARGV[4])
return swept
"""
)

PROVE = "redis.call('HINCRBY', KEYS[4], 'requests', 0)"
"""Changes nothing, and is refused where no change would be taken."""

# ARGV: how many users at most.  None of it takes longer where there are more sessions.
TOTALS = """
local used, created, users, totals = unpack(KEYS)
local top = {}
if tonumber(ARGV[1]) > 0 then top = redis.call('ZREVRANGE', users, 0, ARGV[1] - 1, 'WITHSCORES') end
return {redis.call('ZCARD', used), redis.call('ZCARD', users), top,
  redis.call('HGET', totals, 'requests') or '0', redis.call('ZRANGE', created, 0, 0, 'WITHSCORES'),
  redis.call('ZRANGE', used, 0, 0, 'WITHSCORES')}
"""
