-- One check of all tiers of a limit for one key: one atomic call. All times are Redis's own, in microseconds.
-- KEYS[1] is the state; ARGV[1] the cost; ARGV[2] when the asker gives up: a check that comes later counts nothing,
-- for it was decided without Redis. The numbers of the tiers follow, FIRST being the first of them.
-- The answer: 1 allowed, 0 denied, -1 too late; the tier, from 1; what it has left; in how long it has more; in how
-- long the cost would fit, -1 for never; what time it is.
local FIRST = 3
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local read_at = now
if now > tonumber(ARGV[2]) then
    return {-1, 0, 0, 0, 0, now}
end
local cost = tonumber(ARGV[1])

-- In how long a tier of which nothing is used has more than it will have now.
local function first_use(limit, lasts)
    return cost > 0 and cost <= limit and lasts or 0
end

-- The tier that is told of: of those that deny, the one that will for longest; of those that allow, the one with least left.
local told

local function judge(tier, left, resets, fits)
    local allowed = left >= cost
    local new = { allowed = allowed, tier = tier, left = left, resets = resets, fits = allowed and 0 or fits }
    if not told or new.allowed ~= told.allowed then
        if not told or told.allowed then
            told = new
        end
    elseif allowed then
        if left < told.left or (left == told.left and resets > told.resets) then
            told = new
        end
    elseif fits < 0 or (told.fits >= 0 and fits > told.fits) then
        told = new
    end
end

local function answer()
    local left = told.left
    if told.allowed then
        left = left - cost
    end
    return { told.allowed and 1 or 0, told.tier, math.max(left, 0), math.ceil(told.resets), math.ceil(told.fits), read_at }
end

-- Everything ends when it cannot matter any more.
local function keep(micros)
    redis.call('PEXPIRE', KEYS[1], math.ceil(micros / 1000) + 1)
end
