-- One check of all limits that a request is to pass here: one atomic call. All times are Redis's own, in microseconds.
-- KEYS are the states, one for each limit. ARGV[1] is when the asker gives up: a check that comes later counts nothing,
-- for it was decided without Redis. ARGV[2] is 1 to count, 0 only to look. Then, for each limit: its algorithm; the cost;
-- 1 if it refuses, 0 if it only says what it would do; how many numbers its tiers have; and these.
-- All are checked first. They count if none of those that refuse does, each of the others if it allows.
-- The answer, for each limit: 1 allowed and counted, 2 it would allow, 0 denied; the tier, from 1; what it has left; in how
-- long it has more; in how long the cost would fit, -1 for never. Then what time it is. Too late: -1 first.
local clock = redis.call('TIME')
local read_at = clock[1] * 1000000 + clock[2]
if read_at > tonumber(ARGV[1]) then
    return {-1, 0, 0, 0, 0, read_at}
end

-- In how long a tier of which nothing is used has more than it will have once this is counted.
local function first_use(asked, limit, lasts)
    return asked.cost > 0 and asked.cost <= limit and lasts or 0
end

-- The tier that is told of: of those that deny, the one that will for longest; of those that allow, the one with least left.
local function judge(asked, tier, left, used, resets, fits)
    local allowed, told = left >= asked.cost, asked.told
    local new = { allowed = allowed, tier = tier, left = left, used = used, resets = resets, fits = allowed and 0 or fits }
    if not told or new.allowed ~= told.allowed then
        if not told or told.allowed then
            asked.told = new
        end
    elseif allowed then
        if left < told.left or (left == told.left and resets > told.resets) then
            asked.told = new
        end
    elseif fits < 0 or (told.fits >= 0 and fits > told.fits) then
        asked.told = new
    end
end

-- Everything ends when it cannot matter any more.
local function keep(key, micros)
    redis.call('PEXPIRE', key, math.ceil(micros / 1000) + 1)
end

-- Each judges the tiers of a limit and returns what counts the request in all of them. The numbers of the tiers are
-- those in ARGV from `first` to `last`.
local algorithms = {}
