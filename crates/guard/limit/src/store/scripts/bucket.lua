
-- The token bucket, and the same counted from the other side, GCRA. A tier is: burst, gain, unit. A whole token is
-- `unit` small parts, and `gain` of them come back each microsecond: whole numbers, so nothing is lost to rounding.
-- The state is a hash: for each pace, how many small parts are missing from a full bucket, and when that was.
function algorithms.bucket(asked)
    local key, cost, first, last = asked.key, asked.cost, asked.first, asked.last
    local now = read_at
    local fields = {}
    for i = first, last, 3 do
        fields[#fields + 1] = ARGV[i + 1] .. '/' .. ARGV[i + 2]
    end
    local states = redis.call('HMGET', key, unpack(fields))
    local pairs_of = {}
    local longest = 0

    for tier = 1, #fields do
        local i = first + 3 * (tier - 1)
        local burst, gain, unit = tonumber(ARGV[i]), tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
        local full, wanted = burst * unit, cost * unit
        local missing = 0
        if states[tier] then
            local then_missing, since = struct.unpack('<dd', states[tier])
            missing = math.max(then_missing - math.max(now - since, 0) * gain, 0)
        end
        local left = math.max(math.floor((full - missing) / unit), 0)
        -- The next whole token.
        local resets = missing > 0 and (missing - 1) % unit + 1 or first_use(asked, burst, unit)
        local fits = cost <= burst and (missing + wanted - full) / gain or -1
        judge(asked, tier, left, missing > 0, resets / gain, fits)
        pairs_of[2 * tier - 1] = fields[tier]
        pairs_of[2 * tier] = struct.pack('<dd', missing + wanted, now)
        longest = math.max(longest, (missing + wanted) / gain)
    end

    return function()
        redis.call('HSET', key, unpack(pairs_of))
        keep(key, longest)
    end
end
