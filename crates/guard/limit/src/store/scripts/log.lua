
-- The exact log: when each of the newest units of cost was accepted, oldest first, eight bytes each.
-- A tier is: limit, window. No window ever holds more units than its limit.
function algorithms.log(asked)
    local key, cost, first, last = asked.key, asked.cost, asked.first, asked.last
    local now = read_at
    local most, longest = 0, 0
    for i = first, last, 2 do
        most = math.max(most, tonumber(ARGV[i]))
        longest = math.max(longest, tonumber(ARGV[i + 1]))
    end
    local held = redis.call('STRLEN', key) / 8
    local stored = held
    -- What fits into a page is read at once; of a longer log only the entries that are looked at.
    local page = held <= 512 and redis.call('GET', key)

    -- The i-th newest; 1 is the newest.
    local function at(i)
        local from = 8 * (held - i)
        if page then
            return (struct.unpack('<d', page, from + 1))
        end
        return (struct.unpack('<d', redis.call('GETRANGE', key, from, from + 7)))
    end

    -- A clock that went back stands still until it is where it was; what would last longer than any window is forgotten.
    if held > 0 then
        local newest = at(1)
        if newest > now + longest then
            redis.call('DEL', key)
            held, stored = 0, 0
        else
            now = math.max(now, newest)
        end
    end

    for i = first, last, 2 do
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
        local resets = used > 0 and at(used) + window - now or first_use(asked, limit, window)
        local fits = -1
        if cost <= limit and used + cost > limit then
            fits = at(limit - cost + 1) + window - now
        end
        judge(asked, (i - first) / 2 + 1, limit - used, used > 0, resets, fits)
    end

    return function()
        redis.call('APPEND', key, string.rep(struct.pack('<d', now), cost))
        if stored + cost > 2 * most then
            redis.call('SET', key, redis.call('GETRANGE', key, -8 * most, -1))
        end
        keep(key, now - read_at + longest)
    end
end
