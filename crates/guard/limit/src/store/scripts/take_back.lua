-- Takes back what limits counted for a request that another refused, as if it had never come. For each key there are, as
-- for a check: the algorithm; the cost; when it was counted, by this clock; how many numbers the tiers have; and these.
-- Nobody waits for it, and others may have counted in between. Where what they did cannot be told from what is taken back (the clock
-- was set back, the state is gone), rather too little is taken: no limit is ever opened by this.
local algorithms = {}

-- Moments that are exactly the one are this request's, or as good as.
function algorithms.log(key, cost, counted, first, last)
    local longest = 0
    for i = first, last, 2 do
        longest = math.max(longest, tonumber(ARGV[i + 1]))
    end
    local held = redis.call('STRLEN', key) / 8
    local from, to = 0, held
    while from < to do
        local middle = math.floor((from + to) / 2)
        if struct.unpack('<d', redis.call('GETRANGE', key, 8 * middle, 8 * middle + 7)) < counted then
            from = middle + 1
        else
            to = middle
        end
    end
    local found = redis.call('GETRANGE', key, 8 * from, 8 * (from + cost) - 1)
    local same = 0
    while 8 * same < #found and struct.unpack('<d', found, 8 * same + 1) == counted do
        same = same + 1
    end
    if same == 0 then
        return
    end
    if same == held then
        redis.call('DEL', key)
        return
    end
    local older = from > 0 and redis.call('GETRANGE', key, 0, 8 * from - 1) or ''
    redis.call('SET', key, older .. redis.call('GETRANGE', key, 8 * (from + same), -1))
    redis.call('PEXPIRE', key, math.ceil(longest / 1000) + 1)
end

-- Changes the states of all tiers in a hash, where there is one.
local function change(key, fields, how)
    local states = redis.call('HMGET', key, unpack(fields))
    local pairs_of = {}
    for tier = 1, #fields do
        local state = states[tier] and how(tier, states[tier])
        if state then
            pairs_of[#pairs_of + 1] = fields[tier]
            pairs_of[#pairs_of + 1] = state
        end
    end
    if #pairs_of > 0 then
        redis.call('HSET', key, unpack(pairs_of))
    end
end

function algorithms.window(key, cost, counted, first, last)
    local fields = {}
    for i = first, last, 3 do
        fields[#fields + 1] = ARGV[i + 1] .. '*' .. ARGV[i + 2]
    end
    change(key, fields, function(tier, state)
        local i = first + 3 * (tier - 1)
        local part, size = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]) + 1
        local format = '<' .. string.rep('d', size + 1)
        local counts = { struct.unpack(format, state) }
        -- What follows is where the reading ended.
        counts[size + 2] = nil
        local j = size - (counts[1] - math.floor(counted / part))
        if j < 1 or j > size then
            return nil
        end
        counts[1 + j] = math.max(counts[1 + j] - cost, 0)
        return struct.pack(format, unpack(counts))
    end)
end

function algorithms.fixed(key, cost, counted, first, last)
    local fields = {}
    for i = first, last, 2 do
        fields[#fields + 1] = ARGV[i + 1]
    end
    change(key, fields, function(tier, state)
        local index, count = struct.unpack('<dd', state)
        if index ~= math.floor(counted / fields[tier]) then
            return nil
        end
        return struct.pack('<dd', index, math.max(count - cost, 0))
    end)
end

-- A bucket that is full gains nothing more. Whether this one would have been is known only if nobody else has taken since; if
-- somebody has, all that it can have gained until then stays taken.
function algorithms.bucket(key, cost, counted, first, last)
    local fields = {}
    for i = first, last, 3 do
        fields[#fields + 1] = ARGV[i + 1] .. '/' .. ARGV[i + 2]
    end
    change(key, fields, function(tier, state)
        local i = first + 3 * (tier - 1)
        local gain, unit = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
        local missing, since = struct.unpack('<dd', state)
        local back = cost * unit - math.max(since - counted, 0) * gain
        if since < counted or back <= 0 then
            return nil
        end
        return struct.pack('<dd', math.max(missing - back, 0), since)
    end)
end

local next_limit = 1
for i = 1, #KEYS do
    local at = next_limit
    local first, last = at + 4, at + 3 + ARGV[at + 3]
    algorithms[ARGV[at]](KEYS[i], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), first, last)
    next_limit = last + 1
end
return #KEYS
