-- Reads a table; fields whose lease is over go.
-- KEYS: table.
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local all, found = redis.call('HGETALL', KEYS[1]), {}
for at = 1, #all, 2 do
  local blank = string.find(all[at + 1], ' ', 1, true)
  if tonumber(string.sub(all[at + 1], 1, blank - 1)) > now_ms then
    found[#found + 1] = all[at]
    found[#found + 1] = string.sub(all[at + 1], blank + 1)
  else
    redis.call('HDEL', KEYS[1], all[at])
  end
end
return found
