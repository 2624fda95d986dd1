//! Tokens that come back evenly: `token_bucket` and `smooth`.
//!
//! The two are one algorithm (GCRA is a token bucket that keeps a time in place of a level) and differ in how much can be
//! saved up: a token bucket a whole limit, `smooth` one request. With a burst of B and a rate of N in W, any stretch of time
//! of length L lets through at most B + N·L/W, and whoever is refused would have broken that.
//!
//! What is kept is how much is owed, not how much is there, so that zero is a key never seen. It is counted in parts of a token: one
//! token is W of them, and N of them come back each millisecond. So everything is whole numbers, and nothing is ever rounded.

use super::past::{Past, Rate};
use super::{Gathered, State};
use crate::spec::{MAX_TIERS, MAX_WINDOW_MS, Tier};
use crate::verdict::Verdict;

#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    tiers: Box<[Limit]>,
}

#[derive(Clone, Copy, Debug)]
struct Limit {
    /// Parts that come back each millisecond.
    refill: u64,
    /// Parts of one token: the window in milliseconds.
    token: u64,
    /// Parts that can be owed.
    capacity: u64,
}

impl Limit {
    /// What is owed `since` after it was `owed`.
    #[inline]
    fn owed(&self, owed: u64, since: u64) -> u64 {
        owed.saturating_sub(since.saturating_mul(self.refill))
    }

    fn cost(&self, cost: u32) -> u64 {
        u64::from(cost).saturating_mul(self.token)
    }

    fn drained_in(&self) -> u64 {
        self.capacity.div_ceil(self.refill)
    }
}

/// What a tier owes: two words.
fn owed(words: &[u32; 2]) -> u64 {
    u64::from(words[0]) | u64::from(words[1]) << 32
}

fn owing(owed: u64) -> [u32; 2] {
    [owed as u32, (owed >> 32) as u32]
}

impl Bucket {
    pub(super) fn new(tiers: &[Tier]) -> Self {
        let limit = |tier: &Tier| {
            let token = tier.window_ms.clamp(1, MAX_WINDOW_MS);
            Limit {
                refill: u64::from(tier.count.max(1)),
                token,
                // Less than 2^32 times less than 2^32.
                capacity: u64::from(tier.burst.max(1)) * token,
            }
        };
        Self {
            tiers: tiers.iter().take(MAX_TIERS).map(limit).collect(),
        }
    }

    pub(super) fn words(&self) -> usize {
        2 * self.tiers.len()
    }

    pub(super) fn idle_after_ms(&self) -> u64 {
        let drained = self.tiers.iter().map(Limit::drained_in);
        drained.max().unwrap_or(0)
    }

    #[inline]
    pub(super) fn ask(
        &self,
        state: &mut State<'_>,
        cost: u32,
        now_ms: u64,
        always: bool,
    ) -> Verdict {
        let since = now_ms - state.at();
        let mut gathered = Gathered::new();
        let all_owed = state.words.as_chunks::<2>().0;
        for (at, (tier, before)) in self.tiers.iter().zip(all_owed).enumerate() {
            let owed = tier.owed(owed(before), since);
            let after = owed.saturating_add(tier.cost(cost));
            let allowed = after <= tier.capacity;
            let level = if allowed { after } else { owed };
            let tokens = tier.capacity.saturating_sub(level) / tier.token;
            // What may still be owed when there is one more token.
            let next = tier.capacity.saturating_sub((tokens + 1) * tier.token);
            gathered.add(Verdict {
                allowed,
                tier: at as u8,
                remaining: u32::try_from(tokens).unwrap_or(u32::MAX),
                reset_ms: level.saturating_sub(next).div_ceil(tier.refill),
                retry_after_ms: if allowed {
                    0
                } else if tier.cost(cost) > tier.capacity {
                    // It never passes; then it is the time after which nothing else is left to wait for.
                    tier.drained_in()
                } else {
                    (after - tier.capacity).div_ceil(tier.refill)
                },
            });
        }
        let verdict = gathered.verdict();
        if verdict.allowed || always {
            let all_owed = state.words.as_chunks_mut::<2>().0;
            for (tier, words) in self.tiers.iter().zip(all_owed) {
                let after = tier
                    .owed(owed(words), since)
                    .saturating_add(tier.cost(cost));
                *words = owing(after.min(tier.capacity));
            }
            state.set_at(now_ms);
        }
        verdict
    }

    pub(super) fn give_back(&self, state: &mut State<'_>, cost: u32, at_ms: u64) {
        let since = state.at().saturating_sub(at_ms);
        let all_owed = state.words.as_chunks_mut::<2>().0;
        for (tier, words) in self.tiers.iter().zip(all_owed) {
            // What came back since may have been its own.
            let left = tier.owed(tier.cost(cost), since);
            *words = owing(owed(words).saturating_sub(left));
        }
    }

    /// As many tokens are owed as before in tiers whose window stays, and all of them if there are too many; others begin anew.
    pub(super) fn carry(&self, state: &mut State<'_>, before: &Self, old: &State<'_>) {
        let old_owed = old.words.as_chunks::<2>().0;
        let all_owed = state.words.as_chunks_mut::<2>().0;
        for (tier, words) in self.tiers.iter().zip(all_owed) {
            let same = |limit: &Limit| limit.token == tier.token;
            if let Some(at) = before.tiers.iter().position(same) {
                *words = owing(owed(&old_owed[at]).min(tier.capacity));
            }
        }
        state.set_at(old.at());
    }

    /// What a state says about the past.
    pub(super) fn past(&self, state: &State<'_>) -> Past {
        let all_owed = state.words.as_chunks::<2>().0;
        let rate = |(tier, words): (&Limit, &[u32; 2])| Rate {
            owed: owed(words),
            refill: tier.refill,
            token: tier.token,
        };
        Past::Rates {
            at: state.at(),
            tiers: self.tiers.iter().zip(all_owed).map(rate).collect(),
        }
    }

    /// Owes what it would owe if it had counted all of it. That may be more than it can owe: then it is as if that was counted at
    /// a time to come, when it will owe as much as it can; no later than in one window.
    pub(super) fn resume(&self, state: &mut State<'_>, past: &Past, at: u64) {
        let owed = |tier: &Limit| {
            let most = tier.capacity + tier.refill.saturating_mul(tier.token);
            past.owed(at, tier.refill, tier.token).min(most)
        };
        let beyond = |tier: &Limit| {
            let parts = owed(tier).saturating_sub(tier.capacity);
            parts.div_ceil(tier.refill)
        };
        let wait = self.tiers.iter().map(beyond).max().unwrap_or(0);
        let all_owed = state.words.as_chunks_mut::<2>().0;
        for (tier, words) in self.tiers.iter().zip(all_owed) {
            // Up to there, whole milliseconds count: what came back in the last of them, beyond what had to, does not.
            let (owed, since) = match beyond(tier) {
                0 => (owed(tier), wait),
                beyond => (tier.capacity, wait - beyond),
            };
            *words = owing(tier.owed(owed, since));
        }
        state.set_at(at + wait);
    }
}
