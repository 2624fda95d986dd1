//! The exact one: a ring of the times at which the last requests passed.
//!
//! One ring serves all tiers, as long as the highest of them. A tier of N in W allows a request if fewer than N of the remembered
//! times are less than W ago, so no half-open window of length W ever holds more than N, and nobody is refused for whom
//! there was room. A request that counts several is so many times the same time.
//!
//! Times are kept as the low 32 bits of their milliseconds. That is enough, because `at` is whole: none in the ring is further before
//! it than the longest window, which is less than 2^32.

use super::past::Past;
use super::{Gathered, State};
use crate::spec::{MAX_LOG, MAX_TIERS, MAX_WINDOW_MS, Tier};
use crate::verdict::Verdict;

#[derive(Clone, Debug)]
pub(crate) struct SlidingLog {
    tiers: Box<[Limit]>,
    /// The place in `tiers` of the longest window.
    longest: usize,
    capacity: u32,
}

#[derive(Clone, Copy, Debug)]
struct Limit {
    count: u32,
    window_ms: u32,
}

/// A ring, oldest first: the words after one that says where it begins and how long it is, 16 bits each.
#[derive(Clone, Copy)]
struct Ring {
    first: u32,
    len: u32,
    capacity: u32,
}

impl Ring {
    #[inline]
    fn of(state: &State<'_>, capacity: u32) -> Self {
        let word = state.words.first().copied().unwrap_or(0);
        Self {
            first: word & 0xffff,
            len: word >> 16,
            capacity,
        }
    }

    fn store(self, state: &mut State<'_>) {
        if let Some(word) = state.words.first_mut() {
            *word = self.first | self.len << 16;
        }
    }

    /// Where the `index`th oldest stands. Both are below the capacity, so that one turn is enough.
    #[inline]
    fn slot(self, index: u32) -> usize {
        let at = self.first + index;
        let at = if at >= self.capacity {
            at - self.capacity
        } else {
            at
        };
        1 + at as usize
    }

    /// How long before `at` the `index`th oldest was counted.
    #[inline]
    fn before(self, index: u32, state: &State<'_>) -> u32 {
        state.at[0].wrapping_sub(state.words[self.slot(index)])
    }

    /// The first that is less than `window_ms` before a moment `since` after `at`.
    #[inline]
    fn first_within(self, window_ms: u32, since: u64, state: &State<'_>) -> u32 {
        let Some(reach) = u64::from(window_ms).checked_sub(since) else {
            return self.len;
        };
        let within = |index| u64::from(self.before(index, state)) < reach;
        // Who comes often finds all of them in its window.
        if self.len == 0 || within(0) {
            return 0;
        }
        let (mut out, mut inside) = (0, self.len);
        while out + 1 < inside {
            let middle = out.midpoint(inside);
            if within(middle) {
                inside = middle;
            } else {
                out = middle;
            }
        }
        inside
    }

    fn push(&mut self, time: u32, state: &mut State<'_>) {
        if self.len < self.capacity {
            let slot = self.slot(self.len);
            state.words[slot] = time;
            self.len += 1;
        } else {
            state.words[self.slot(0)] = time;
            self.first = (self.first + 1) % self.capacity;
        }
    }
}

impl SlidingLog {
    pub(super) fn new(tiers: &[Tier]) -> Self {
        let tiers: Box<[Limit]> = tiers
            .iter()
            .take(MAX_TIERS)
            .map(|tier| Limit {
                count: tier.count.clamp(1, MAX_LOG),
                window_ms: tier.window_ms.clamp(1, MAX_WINDOW_MS) as u32,
            })
            .collect();
        let longest = (0..tiers.len())
            .max_by_key(|&at| tiers[at].window_ms)
            .unwrap_or(0);
        let capacity = tiers.iter().map(|tier| tier.count).max().unwrap_or(1);
        Self {
            tiers,
            longest,
            capacity,
        }
    }

    pub(super) fn words(&self) -> usize {
        1 + self.capacity as usize
    }

    pub(super) fn idle_after_ms(&self) -> u64 {
        let longest = self.tiers.get(self.longest);
        longest.map_or(0, |tier| u64::from(tier.window_ms))
    }

    #[inline]
    pub(super) fn ask(
        &self,
        state: &mut State<'_>,
        cost: u32,
        now_ms: u64,
        always: bool,
    ) -> Verdict {
        let mut ring = Ring::of(state, self.capacity);
        let since = now_ms - state.at();
        let mut gathered = Gathered::new();
        let mut live = ring.len;
        for (at, tier) in self.tiers.iter().enumerate() {
            let first = ring.first_within(tier.window_ms, since, state);
            let used = ring.len - first;
            if at == self.longest {
                live = used;
            }
            // In how long the `index`th oldest is no longer in the window.
            let gone = |index: u32| {
                let age = since + u64::from(ring.before(index, state));
                u64::from(tier.window_ms).saturating_sub(age)
            };
            let free = tier.count.saturating_sub(used);
            let reset_ms = match used {
                0 if cost == 0 || cost > free => 0,
                0 => u64::from(tier.window_ms),
                // With more than the limit, as when that was higher, so many go before one is of use.
                _ => gone(first + used.saturating_sub(tier.count)),
            };
            gathered.add(if cost <= free {
                Verdict {
                    allowed: true,
                    tier: at as u8,
                    remaining: free - cost,
                    reset_ms,
                    retry_after_ms: 0,
                }
            } else {
                let missing = used.saturating_add(cost).saturating_sub(tier.count);
                Verdict {
                    allowed: false,
                    tier: at as u8,
                    remaining: free,
                    reset_ms,
                    // What counts more than the limit never passes; then it is the time after which nothing else is left to wait for.
                    retry_after_ms: if missing > used {
                        u64::from(tier.window_ms)
                    } else {
                        gone(first + missing - 1)
                    },
                }
            });
        }
        let verdict = gathered.verdict();
        if verdict.allowed || always {
            // What no tier looks at goes first: it may be too old for 32 bits by the next time.
            let gone = ring.len - live;
            ring.first = (ring.first + gone) % ring.capacity;
            ring.len = live;
            for _ in 0..cost.min(self.capacity) {
                ring.push(now_ms as u32, state);
            }
            ring.store(state);
            state.set_at(now_ms);
        }
        verdict
    }

    pub(super) fn give_back(&self, state: &mut State<'_>, cost: u32, at_ms: u64) {
        // It counts no more, and another may have come at a time that looks the same.
        if state.at().saturating_sub(at_ms) >= self.idle_after_ms() {
            return;
        }
        let mut ring = Ring::of(state, self.capacity);
        // It counted at a later time than its own if others with a later clock came first. Then the newest goes in its place.
        let counted = (0..ring.len)
            .rev()
            .find(|&index| state.words[ring.slot(index)] == at_ms as u32);
        let end = counted.map_or(ring.len, |index| index + 1);
        let start = end.saturating_sub(cost);
        for index in end..ring.len {
            state.words[ring.slot(start + index - end)] = state.words[ring.slot(index)];
        }
        ring.len -= end - start;
        ring.store(state);
    }

    /// What a state says about the past: everything, as far as it remembers.
    pub(super) fn past(&self, state: &State<'_>) -> Past {
        let ring = Ring::of(state, self.capacity);
        let times = (0..ring.len).rev().map(|index| {
            let before = u64::from(ring.before(index, state));
            (state.at().saturating_sub(before), 1)
        });
        Past::Times(times.collect())
    }

    /// A log needs no more than when requests came.
    pub(super) fn resume(&self, state: &mut State<'_>, past: &Past, at: u64) {
        let mut ring = Ring::of(state, self.capacity);
        for (time, many) in past.last(self.capacity, self.idle_after_ms()).iter().rev() {
            for _ in 0..*many {
                ring.push(*time as u32, state);
            }
        }
        ring.store(state);
        state.set_at(at);
    }
}
