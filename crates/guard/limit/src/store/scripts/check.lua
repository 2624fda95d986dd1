
local all, counts = {}, ARGV[2] == '1'
local next_limit = 3
for i = 1, #KEYS do
    local at = next_limit
    local asked = { key = KEYS[i], cost = tonumber(ARGV[at + 1]), first = at + 4, last = at + 3 + ARGV[at + 3] }
    asked.count = algorithms[ARGV[at]](asked)
    counts = counts and (asked.told.allowed or ARGV[at + 2] == '0')
    all[i] = asked
    next_limit = asked.last + 1
end

local answer = {}
for _, asked in ipairs(all) do
    local told = asked.told
    local state, left, resets = told.allowed and 2 or 0, told.left, told.resets
    if told.allowed and counts then
        state, left = 1, left - asked.cost
        if asked.cost > 0 then
            asked.count()
        end
    elseif not told.used then
        resets = 0
    end
    for _, number in ipairs({ state, told.tier, math.max(left, 0), math.ceil(resets), math.ceil(told.fits) }) do
        answer[#answer + 1] = number
    end
end
answer[#answer + 1] = read_at
return answer
