
-- The sliding window in parts: how much was accepted in the part that is now and in each of those before it that the
-- window touches. A tier is: limit, length of a part, number of parts. The oldest part counts in full, so no window
-- ever holds more than its limit, and one that is denied would have fitted at most a part later.
-- The state is a hash: for each part and number of parts, the index of the newest part and the counts, oldest first.
function algorithms.window(asked)
    local key, cost, first, last = asked.key, asked.cost, asked.first, asked.last
    local now = read_at
    local fields = {}
    for i = first, last, 3 do
        fields[#fields + 1] = ARGV[i + 1] .. '*' .. ARGV[i + 2]
    end
    local states = redis.call('HMGET', key, unpack(fields))
    local longest = 0
    local pairs_of = {}

    for tier = 1, #fields do
        local i = first + 3 * (tier - 1)
        local limit, part, parts = tonumber(ARGV[i]), tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
        longest = math.max(longest, part * (parts + 1))
        local size = parts + 1
        local index = math.floor(now / part)
        local counts = states[tier] and { struct.unpack('<' .. string.rep('d', size + 1), states[tier]) }
        local newest = counts and counts[1] or 0
        -- A clock that went back stands still until it is where it was, unless that is further away than the window.
        if newest > index and newest <= index + size then
            index = newest
        end
        local passed = index - newest
        local kept = {}
        local used = 0
        for j = 1, size do
            local old = counts and passed >= 0 and j + passed <= size and counts[1 + j + passed] or 0
            kept[j] = old
            used = used + old
        end
        -- Part j from the oldest leaves the window when `size` further parts have begun after it.
        local left = math.max(limit - used, 0)
        local freed, resets, fits = 0, first_use(asked, limit, (index + size) * part - now), -1
        for j = 1, size do
            if kept[j] > 0 then
                local leaves = (index + j) * part - now
                if freed == 0 then
                    resets = leaves
                end
                freed = freed + kept[j]
                if fits < 0 and cost <= limit and used - freed + cost <= limit then
                    fits = leaves
                end
            end
        end
        judge(asked, tier, left, used > 0, resets, fits)
        kept[size] = kept[size] + cost
        pairs_of[2 * tier - 1] = fields[tier]
        pairs_of[2 * tier] = struct.pack('<' .. string.rep('d', size + 1), index, unpack(kept))
    end

    return function()
        redis.call('HSET', key, unpack(pairs_of))
        keep(key, longest)
    end
end
