//! The bounded one: counts by twentieths of the window.
//!
//! A window of length W that ends now touches the slice of the clock that is running and at most twenty before it. All of
//! them are counted in full. So no window of length W ever holds more than the limit; the price is that what lies in the
//! oldest slice but outside the window still counts: of even traffic, a twenty-first less than the limit passes.
//!
//! Slices are 16 bits each where that is enough for the limit, so that a key takes as little as one with ten times in a log.

use std::ops::Range;

use super::past::{Known, Past};
use super::{Gathered, State};
use crate::spec::{MAX_TIERS, MAX_WINDOW_MS, Tier};
use crate::verdict::Verdict;

/// Into how many slices a window is cut.
const SLICES: u64 = 20;

#[derive(Clone, Debug)]
pub(crate) struct SlidingWindow {
    tiers: Box<[Limit]>,
    words: usize,
}

#[derive(Clone, Copy, Debug)]
struct Limit {
    count: u32,
    slice_ms: u64,
    /// How many slices are kept: those of a window, and the one that is running.
    slices: u64,
    /// Whether 16 bits are enough for a slice.
    narrow: bool,
    /// Where its words begin: their sum, then the slices.
    from: usize,
}

impl Limit {
    fn words(&self) -> usize {
        let slices = self.slices as usize;
        1 + if self.narrow {
            slices.div_ceil(2)
        } else {
            slices
        }
    }

    /// Where slice `number` of the clock stands.
    #[inline]
    fn position(&self, number: u64) -> usize {
        (number % self.slices) as usize
    }

    /// Where the one after it stands.
    #[inline]
    fn next(&self, position: usize) -> usize {
        if position + 1 == self.slices as usize {
            0
        } else {
            position + 1
        }
    }

    #[inline]
    fn slice(&self, position: usize, words: &[u32]) -> u32 {
        if self.narrow {
            words[self.from + 1 + position / 2] >> (position % 2 * 16) & 0xffff
        } else {
            words[self.from + 1 + position]
        }
    }

    #[inline]
    fn set_slice(&self, position: usize, value: u32, words: &mut [u32]) {
        if self.narrow {
            let shift = position % 2 * 16;
            let word = &mut words[self.from + 1 + position / 2];
            *word = *word & !(0xffff << shift) | (value & 0xffff) << shift;
        } else {
            words[self.from + 1 + position] = value;
        }
    }

    /// The slices that were written until `last` and still count while `now` runs.
    #[inline]
    fn live(&self, last: u64, now: u64) -> Range<u64> {
        (now + 1).saturating_sub(self.slices)..last + 1
    }

    /// What counts while slice `now` runs, if the state was written when `last` ran.
    #[inline]
    fn used(&self, last: u64, now: u64, words: &[u32]) -> u32 {
        let passed = now - last;
        let sum = words[self.from];
        if passed >= self.slices || sum == 0 {
            return 0;
        }
        // Whichever is less to walk through.
        if passed * 2 > self.slices {
            let live = self.live(last, now);
            return self.sum(self.position(live.start), live.count(), words);
        }
        if passed == 0 {
            return sum;
        }
        // A turn ago, and no longer of use.
        let first = self.next(self.position(last));
        sum - self.sum(first, passed as usize, words)
    }

    /// What so many slices hold.
    #[inline]
    fn sum(&self, mut position: usize, many: usize, words: &[u32]) -> u32 {
        let mut sum = 0;
        for _ in 0..many {
            sum += self.slice(position, words);
            position = self.next(position);
        }
        sum
    }

    /// In how many milliseconds at least `enough` of what counts no longer does.
    fn until_gone(&self, enough: u32, last: u64, now: u64, now_ms: u64, words: &[u32]) -> u64 {
        let mut gone = 0;
        let live = self.live(last, now);
        let mut position = self.position(live.start);
        for slice in live {
            gone += self.slice(position, words);
            if gone >= enough {
                return (slice + self.slices) * self.slice_ms - now_ms;
            }
            position = self.next(position);
        }
        (now + self.slices) * self.slice_ms - now_ms
    }

    #[inline]
    fn count(&self, cost: u32, last: u64, now: u64, words: &mut [u32]) {
        let passed = now - last;
        if passed * 2 > self.slices {
            let mut kept = [0; SLICES as usize];
            let live = self.live(last, now);
            let first = self.position(live.start);
            let many = live.count();
            let mut position = first;
            for kept in &mut kept[..many] {
                *kept = self.slice(position, words);
                position = self.next(position);
            }
            words[self.from..self.from + self.words()].fill(0);
            position = first;
            for kept in &kept[..many] {
                self.set_slice(position, *kept, words);
                words[self.from] += kept;
                position = self.next(position);
            }
        } else if passed > 0 {
            let mut position = self.position(last);
            for _ in 0..passed {
                position = self.next(position);
                words[self.from] -= self.slice(position, words);
                self.set_slice(position, 0, words);
            }
        }
        let position = self.position(now);
        let counted = self.slice(position, words);
        let most = if self.narrow { 0xffff } else { u32::MAX };
        // The sum stays one of 32 bits, whatever is counted without being asked for.
        let room = (most - counted).min(u32::MAX - words[self.from]);
        let cost = cost.min(room);
        self.set_slice(position, counted + cost, words);
        words[self.from] += cost;
    }
}

impl SlidingWindow {
    pub(super) fn new(tiers: &[Tier]) -> Self {
        let mut from = 0;
        let limit = |tier: &Tier| {
            let window_ms = tier.window_ms.clamp(1, MAX_WINDOW_MS);
            let slice_ms = window_ms.div_ceil(SLICES);
            let limit = Limit {
                count: tier.count,
                slice_ms,
                slices: window_ms.div_ceil(slice_ms) + 1,
                narrow: tier.count <= 0xffff,
                from,
            };
            from += limit.words();
            limit
        };
        Self {
            tiers: tiers.iter().take(MAX_TIERS).map(limit).collect(),
            words: from,
        }
    }

    pub(super) fn words(&self) -> usize {
        self.words
    }

    pub(super) fn idle_after_ms(&self) -> u64 {
        let kept = self.tiers.iter().map(|tier| tier.slice_ms * tier.slices);
        kept.max().unwrap_or(0)
    }

    #[inline]
    pub(super) fn ask(
        &self,
        state: &mut State<'_>,
        cost: u32,
        now_ms: u64,
        always: bool,
    ) -> Verdict {
        let at_ms = state.at();
        let mut gathered = Gathered::new();
        for (at, tier) in self.tiers.iter().enumerate() {
            let (last, now) = (at_ms / tier.slice_ms, now_ms / tier.slice_ms);
            let used = tier.used(last, now, state.words);
            let free = tier.count.saturating_sub(used);
            gathered.add(if cost <= free {
                Verdict {
                    allowed: true,
                    tier: at as u8,
                    remaining: free - cost,
                    reset_ms: 0,
                    retry_after_ms: 0,
                }
            } else {
                let missing = used.saturating_add(cost).saturating_sub(tier.count);
                Verdict {
                    allowed: false,
                    tier: at as u8,
                    remaining: free,
                    reset_ms: 0,
                    // What counts more than the limit never passes; then it is the time after which nothing else is left to wait for.
                    retry_after_ms: tier.until_gone(missing, last, now, now_ms, state.words),
                }
            });
        }
        let mut verdict = gathered.verdict();
        // Only for the tier that is told of, as it takes a walk.
        if let Some(tier) = self.tiers.get(usize::from(verdict.tier)) {
            let (last, now) = (at_ms / tier.slice_ms, now_ms / tier.slice_ms);
            if cost == 1 && !verdict.allowed {
                // Room for one is what it waits for, too.
                verdict.reset_ms = verdict.retry_after_ms;
            } else if tier.count != verdict.remaining {
                // With more than the limit, as when that was higher, so many go before one is of use.
                let over = tier.used(last, now, state.words).saturating_sub(tier.count);
                verdict.reset_ms = tier.until_gone(over + 1, last, now, now_ms, state.words);
            }
        }
        if verdict.allowed || always {
            for tier in &self.tiers {
                let (last, now) = (at_ms / tier.slice_ms, now_ms / tier.slice_ms);
                tier.count(cost, last, now, state.words);
            }
            state.set_at(now_ms);
        }
        verdict
    }

    pub(super) fn give_back(&self, state: &mut State<'_>, cost: u32, at_ms: u64) {
        let last_ms = state.at();
        for tier in &self.tiers {
            let (slice, last) = (at_ms / tier.slice_ms, last_ms / tier.slice_ms);
            if slice <= last && last - slice < tier.slices {
                let position = tier.position(slice);
                let counted = tier.slice(position, state.words);
                let cost = cost.min(counted);
                tier.set_slice(position, counted - cost, state.words);
                state.words[tier.from] -= cost;
            }
        }
    }

    /// What a state says about the past: a slice was counted when it ended.
    pub(super) fn past(&self, state: &State<'_>) -> Past {
        let at = state.at();
        let known = self.tiers.iter().map(|tier| {
            let last = at / tier.slice_ms;
            let live = tier.live(last, last);
            let mut known = Known::from(live.start * tier.slice_ms);
            for slice in live {
                let ended = (slice + 1) * tier.slice_ms - 1;
                let counted = tier.slice(tier.position(slice), state.words);
                known.add(ended.min(at), counted);
            }
            known
        });
        Past::of(known.collect())
    }

    /// Slice for slice.
    pub(super) fn resume(&self, state: &mut State<'_>, past: &Past, at: u64) {
        for tier in &self.tiers {
            let last = at / tier.slice_ms;
            let mut later = 0;
            for slice in tier.live(last, last).rev() {
                let since = past.since(slice * tier.slice_ms);
                let counted = u32::try_from(since.saturating_sub(later));
                tier.count(counted.unwrap_or(u32::MAX), slice, slice, state.words);
                later = since;
            }
        }
        state.set_at(at);
    }
}
