"""What is done in Redis in one step to count limits together: scripts in Lua.

Of each process there is a key that lives as long as its lease (``alive:ID``), and holds the number of its
last question.  Of each address or user that has a limit there is a hash of how many connections each process
has reserved, or the time at which all that it has spent will be paid for (``of:LISTENER:LIMIT:KEY``).

Who finds that the store is new, though it knows other processes, has it wait for them (``awaited``): until
all have said what they have, or a lease is over, nobody is given more than that.
"""

from __future__ import annotations

_HELD = """
-- What a key of ours holds; of a kind that we never put there, it makes room for ours.
local function held(command, key)
  local told = redis.pcall(command, key)
  if type(told) == 'table' and told.err then
    if string.find(told.err, 'WRONGTYPE', 1, true) then redis.call('DEL', key) end
    told = redis.call(command, key)
  end
  return told
end

-- 0 for what is no number of places.
local function places(text)
  local number = tonumber(text)
  if number and number >= 0 and number <= 1000000000 then return math.floor(number) end
  return 0
end
"""

CLAIM = (
    _HELD
    + """
local mine, peers, epoch, awaited = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, number, acked, lease, alive, keep, whole, known_peers = unpack(ARGV)
local stored = tonumber(held('GET', mine)) or 0
if stored >= tonumber(number) then return redis.error_reply('ERR asked too late') end
local known = stored == tonumber(acked)
redis.call('SET', mine, number, 'PX', lease)
held('SCARD', awaited)
if redis.call('PTTL', awaited) == -1 then redis.call('DEL', awaited) end  -- ours ends, whoever is awaited
local at = 8 + tonumber(known_peers)
if redis.call('SET', epoch, id, 'NX') then
  for i = 9, at do
    if redis.call('EXISTS', alive .. ARGV[i]) == 0 then redis.call('SADD', awaited, ARGV[i]) end
  end
  if redis.call('EXISTS', awaited) == 1 then
    redis.call('SADD', awaited, id)
    redis.call('PEXPIRE', awaited, lease)
  end
end
if known and whole == '1' then redis.call('SREM', awaited, id) end
local settled = redis.call('EXISTS', awaited) == 0
local grows = known and settled
local living, others = {[id] = true}, {}
local function lives(other)
  if living[other] == nil then living[other] = redis.call('EXISTS', alive .. other) == 1 end
  return living[other]
end
for _, other in ipairs(held('SMEMBERS', peers)) do
  if other ~= id then
    if lives(other) then
      others[#others + 1] = other
    else
      redis.call('SREM', peers, other)
    end
  end
end
redis.call('SADD', peers, id)
local answer = {known and 1 or 0, settled and 1 or 0, others}
for i = 5, #KEYS do
  local used, wanted, most = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  at = at + 3
  local reserved, all = 0, held('HGETALL', KEYS[i])
  for j = 1, #all, 2 do
    if not lives(all[j]) then
      redis.call('HDEL', KEYS[i], all[j])
    elseif all[j] ~= id then
      reserved = reserved + places(all[j + 1])
    end
  end
  if not grows then wanted = used end
  local allowed = math.max(0, math.min(wanted, most - reserved))
  local kept = math.max(used, allowed)
  if kept > 0 then
    redis.call('HSET', KEYS[i], id, kept)
    redis.call('PEXPIRE', KEYS[i], keep)
  else
    redis.call('HDEL', KEYS[i], id)
  end
  answer[#answer + 1] = allowed
  answer[#answer + 1] = grows and most - reserved - kept or 0
end
return answer
"""
)
"""KEYS: alive:ID, peers, epoch, awaited, then those of the claims.  ARGV: id, number, number of the last
question that was answered, milliseconds of a lease, what the names of living ones begin with, milliseconds
after which claims are forgotten, whether all is said with this, how many processes this one knows, those,
then used, wanted and limit of each claim."""

SPEND = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local answer = {}
for i = 1, #KEYS do
  local at = 4 * i - 4
  local debt, wanted = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local rate, burst = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local longest = burst / rate
  local paid = math.max(now, tonumber(redis.pcall('GET', KEYS[i])) or 0)
  -- Nobody waits much longer than for a whole burst, though the clock or the rate was another before.
  paid = math.max(now, math.min(paid, now + 2 * longest) + debt / rate)
  local given = math.max(0, math.min(wanted, math.floor((now + longest - paid) * rate + 0.000001)))
  paid = paid + given / rate
  local left = math.ceil((paid - now) * 1000)
  if left > 0 then
    redis.call('SET', KEYS[i], string.format('%.6f', paid), 'PX', left)
  else
    redis.call('DEL', KEYS[i])
  end
  answer[#answer + 1] = given
  answer[#answer + 1] = string.format('%.6f', paid - now)
end
return answer
"""
"""KEYS: those of what is spent.  ARGV: debt, wanted, rate and burst of each."""

LEAVE = """
redis.call('DEL', KEYS[1])
redis.call('SREM', KEYS[2], ARGV[1])
redis.call('SREM', KEYS[3], ARGV[1])
"""
"""KEYS: alive:ID, peers, awaited.  ARGV: id."""
