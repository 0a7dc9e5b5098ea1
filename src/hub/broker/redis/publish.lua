-- Gives messages the next offsets of their room, keeps them and passes them on, at one instant.
-- KEYS: head, log, and for each message that may come again its place. ARGV: fresh epoch, known
-- epoch, known offset, messages kept, how long the head and the log are kept (ms), channel; then
-- for each message the body, and how long its place is remembered (ms; 0 where it has none).
-- The answer: the epoch of those that are new, and for each message its offset; or the place of one
-- that was there before.
local epoch, offset, first
local lengths, bodies, answer = {}, {}, {false}
local key = 2
for at = 8, #ARGV, 2 do
  local body, window, seen = ARGV[at], ARGV[at + 1], false
  if window ~= '0' then
    key = key + 1
    seen = redis.call('GET', KEYS[key])
  end
  if seen then
    answer[#answer + 1] = seen
  else
    if not epoch then
      local head = redis.call('HMGET', KEYS[1], 'e', 'o')
      epoch, offset = head[1], tonumber(head[2] or 0)
      -- A node that has seen more than is here knows that something was lost: the room begins anew.
      if not epoch or (epoch == ARGV[2] and offset < tonumber(ARGV[3])) then
        epoch, offset = ARGV[1], 0
        redis.call('DEL', KEYS[1], KEYS[2])
      end
      first, answer[1] = offset + 1, epoch
    end
    offset = offset + 1
    local place = string.format('%.0f', offset)
    redis.call('XADD', KEYS[2], place .. '-0', 'm', body)
    if window ~= '0' then
      redis.call('SET', KEYS[key], epoch .. ' ' .. place, 'PX', window)
    end
    lengths[#lengths + 1] = #body
    bodies[#bodies + 1] = body
    answer[#answer + 1] = offset
  end
end
if epoch then
  redis.call('HSET', KEYS[1], 'e', epoch, 'o', string.format('%.0f', offset))
  redis.call('XTRIM', KEYS[2], 'MAXLEN', '=', ARGV[4])
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
  redis.call('PEXPIRE', KEYS[2], ARGV[6])
  local head = 'm ' .. epoch .. ' ' .. string.format('%.0f', first) .. ' '
  redis.call('PUBLISH', ARGV[7], head .. table.concat(lengths, ',') .. ' ' .. table.concat(bodies))
end
return answer
