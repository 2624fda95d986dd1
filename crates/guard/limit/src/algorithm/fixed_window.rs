//! The cheapest: one number for each tier, which is zero again when the next window of the clock begins.
//!
//! Windows begin at multiples of their length. None of them ever holds more than the limit, but a stretch of the same length
//! that lies across the boundary of two can hold twice as much.

use super::past::{Known, Past};
use super::{Gathered, State};
use crate::spec::{MAX_TIERS, MAX_WINDOW_MS, Tier};
use crate::verdict::Verdict;

#[derive(Clone, Debug)]
pub(crate) struct FixedWindow {
    tiers: Box<[Limit]>,
}

#[derive(Clone, Copy, Debug)]
struct Limit {
    count: u32,
    window_ms: u64,
}

impl FixedWindow {
    pub(super) fn new(tiers: &[Tier]) -> Self {
        let limit = |tier: &Tier| Limit {
            count: tier.count,
            window_ms: tier.window_ms.clamp(1, MAX_WINDOW_MS),
        };
        Self {
            tiers: tiers.iter().take(MAX_TIERS).map(limit).collect(),
        }
    }

    pub(super) fn words(&self) -> usize {
        self.tiers.len()
    }

    pub(super) fn idle_after_ms(&self) -> u64 {
        let windows = self.tiers.iter().map(|tier| tier.window_ms);
        windows.max().unwrap_or(0)
    }

    #[inline]
    pub(super) fn ask(
        &self,
        state: &mut State<'_>,
        cost: u32,
        now_ms: u64,
        always: bool,
    ) -> Verdict {
        let last = state.at();
        let mut gathered = Gathered::new();
        let mut all_used = [0; MAX_TIERS];
        let words = state.words.iter().zip(&mut all_used);
        for (at, (tier, (word, counted))) in self.tiers.iter().zip(words).enumerate() {
            let window = now_ms / tier.window_ms;
            let used = if last / tier.window_ms == window {
                *word
            } else {
                0
            };
            *counted = used;
            let until_next = tier.window_ms - now_ms % tier.window_ms;
            let free = tier.count.saturating_sub(used);
            let allowed = cost <= free;
            gathered.add(Verdict {
                allowed,
                tier: at as u8,
                remaining: if allowed { free - cost } else { free },
                reset_ms: if used == 0 && (cost == 0 || !allowed) {
                    0
                } else {
                    until_next
                },
                retry_after_ms: if allowed { 0 } else { until_next },
            });
        }
        let verdict = gathered.verdict();
        if verdict.allowed || always {
            for (word, used) in state.words.iter_mut().zip(all_used) {
                *word = used.saturating_add(cost);
            }
            state.set_at(now_ms);
        }
        verdict
    }

    pub(super) fn give_back(&self, state: &mut State<'_>, cost: u32, at_ms: u64) {
        let last = state.at();
        for (tier, word) in self.tiers.iter().zip(state.words.iter_mut()) {
            // Not from a window that it did not count in.
            if last / tier.window_ms == at_ms / tier.window_ms {
                *word = word.saturating_sub(cost);
            }
        }
    }

    /// What a state says about the past; with what it does not, if `edge`.
    pub(super) fn past(&self, state: &State<'_>, edge: bool) -> Past {
        let at = state.at();
        let tiers = self.tiers.iter().zip(state.words.iter());
        let known = tiers.map(|(tier, word)| {
            let mut known = Known::from(at - at % tier.window_ms);
            known.add(at, *word);
            if edge {
                known.edge(tier.window_ms, tier.count)
            } else {
                known
            }
        });
        Past::of(known.collect())
    }

    /// What was counted in the windows of the clock that run.
    pub(super) fn resume(&self, state: &mut State<'_>, past: &Past, at: u64) {
        for (tier, word) in self.tiers.iter().zip(state.words.iter_mut()) {
            let used = past.since(at - at % tier.window_ms);
            *word = u32::try_from(used).unwrap_or(u32::MAX);
        }
        state.set_at(at);
    }
}
