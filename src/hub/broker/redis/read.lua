-- Reads a piece of what is kept of a room, and how far the room is.
-- KEYS: head, log. ARGV: fresh epoch, known epoch, known offset, whether a room that is not there
-- begins now (1), how long the head is kept (ms), direction ('up' or 'down'), where to begin, how
-- many messages and bytes at most.
local head = redis.call('HMGET', KEYS[1], 'e', 'o')
local epoch, offset = head[1], tonumber(head[2] or 0)
local is_there = epoch and not (epoch == ARGV[2] and offset < tonumber(ARGV[3]))
if not is_there then
  epoch, offset = ARGV[1], 0
  if ARGV[4] == '1' then
    redis.call('DEL', KEYS[1], KEYS[2])
    redis.call('HSET', KEYS[1], 'e', epoch, 'o', '0')
  end
end
if ARGV[4] == '1' and redis.call('PTTL', KEYS[1]) < tonumber(ARGV[5]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
end
local count_max, bytes_max = tonumber(ARGV[8]), tonumber(ARGV[9])
local rows, count, bytes, more, from = {}, 0, 0, 0, ARGV[7]
while is_there and more == 0 do
  local found
  if ARGV[6] == 'up' then
    found = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', 64)
  else
    found = redis.call('XREVRANGE', KEYS[2], from, '-', 'COUNT', 64)
  end
  for _, row in ipairs(found) do
    bytes = bytes + #row[2][2]
    if count >= count_max or (count > 0 and bytes > bytes_max) then
      more = 1
      break
    end
    count = count + 1
    rows[2 * count - 1] = row[1]
    rows[2 * count] = row[2][2]
    from = '(' .. row[1]
  end
  if #found < 64 then
    break
  end
end
return {epoch, string.format('%.0f', offset), more, rows}
