-- The exact log: when each of the newest units of cost was accepted, oldest first, eight bytes each.
-- A tier is: limit, window. No window ever holds more units than its limit.
local most, longest = 0, 0
for i = FIRST, #ARGV, 2 do
    most = math.max(most, tonumber(ARGV[i]))
    longest = math.max(longest, tonumber(ARGV[i + 1]))
end
local held = redis.call('STRLEN', KEYS[1]) / 8
local stored = held
-- What fits into a page is read at once; of a longer log only the entries that are looked at.
local page = held <= 512 and redis.call('GET', KEYS[1])

-- The i-th newest; 1 is the newest.
local function at(i)
    local from = 8 * (held - i)
    if page then
        return (struct.unpack('<d', page, from + 1))
    end
    return (struct.unpack('<d', redis.call('GETRANGE', KEYS[1], from, from + 7)))
end

-- A clock that went back stands still until it is where it was; what would last longer than any window is forgotten.
if held > 0 then
    local newest = at(1)
    if newest > now + longest then
        redis.call('DEL', KEYS[1])
        held, stored = 0, 0
    else
        now = math.max(now, newest)
    end
end

for i = FIRST, #ARGV, 2 do
    local limit, window = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
    -- How many of the newest lie in the window.
    local used, most_used = 0, math.min(held, limit)
    while used < most_used do
        local middle = math.ceil((used + most_used) / 2)
        if at(middle) > now - window then
            used = middle
        else
            most_used = middle - 1
        end
    end
    local resets = used > 0 and at(used) + window - now or first_use(limit, window)
    local fits = -1
    if cost <= limit and used + cost > limit then
        fits = at(limit - cost + 1) + window - now
    end
    judge((i - FIRST) / 2 + 1, limit - used, resets, fits)
end

if told.allowed and cost > 0 then
    redis.call('APPEND', KEYS[1], string.rep(struct.pack('<d', now), cost))
    if stored + cost > 2 * most then
        redis.call('SET', KEYS[1], redis.call('GETRANGE', KEYS[1], -8 * most, -1))
    end
    keep(now - read_at + longest)
end
return answer()
