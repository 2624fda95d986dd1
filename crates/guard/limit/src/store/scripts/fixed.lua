
-- Fixed windows that begin at whole multiples of their length since 1970. A tier is: limit, window.
-- The state is a hash: for each window length, which window it is and how much was accepted in it.
function algorithms.fixed(asked)
    local key, cost, first, last = asked.key, asked.cost, asked.first, asked.last
    local now = read_at
    local fields = {}
    for i = first, last, 2 do
        fields[#fields + 1] = ARGV[i + 1]
    end
    local states = redis.call('HMGET', key, unpack(fields))
    local pairs_of = {}
    local longest = 0

    for tier = 1, #fields do
        local i = first + 2 * (tier - 1)
        local limit, window = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
        local index = math.floor(now / window)
        local used = 0
        if states[tier] then
            local stored, count = struct.unpack('<dd', states[tier])
            -- A clock that went back does not open a window again that is over.
            if stored == index or stored == index + 1 then
                index, used = stored, count
            end
        end
        local ends = (index + 1) * window - now
        longest = math.max(longest, ends)
        local resets = used > 0 and ends or first_use(asked, limit, ends)
        judge(asked, tier, math.max(limit - used, 0), used > 0, resets, cost <= limit and ends or -1)
        pairs_of[2 * tier - 1] = fields[tier]
        pairs_of[2 * tier] = struct.pack('<dd', index, used + cost)
    end

    return function()
        redis.call('HSET', key, unpack(pairs_of))
        keep(key, longest)
    end
end
