//! Limiters of any kind and keys for measuring what a check costs.

use std::sync::Arc;

use weir_limit::{Algorithm, Key, LimitSpec, Limiter, Seed, Tier};

/// One limiter to measure, with the name that the results carry.
pub type Case = (&'static str, LimitSpec);

const MINUTE: u64 = 60_000;

/// Every algorithm with limits that it would be chosen for, of which keys are not remembered beyond `max_keys`.
pub fn cases(max_keys: usize) -> Vec<Case> {
    let small = [Tier::new(10, MINUTE)];
    let tiers = [
        Tier::new(1, 1_000),
        Tier::new(5, 10_000),
        Tier::new(10, MINUTE),
    ];
    let large = [Tier::new(1_000, MINUTE)];
    let smooth = [Tier {
        count: 10,
        window_ms: 1_000,
        burst: 1,
    }];
    let cases = [
        ("sliding_log 10/min", Algorithm::SlidingLog, &small[..]),
        ("sliding_log, three tiers", Algorithm::SlidingLog, &tiers),
        ("sliding_window 1000/min", Algorithm::SlidingWindow, &large),
        ("fixed_window 1000/min", Algorithm::FixedWindow, &large),
        ("token_bucket 1000/min", Algorithm::TokenBucket, &large),
        ("smooth 10/s", Algorithm::Smooth, &smooth),
    ];
    cases
        .map(|(name, algorithm, tiers)| {
            let mut spec = LimitSpec::new(algorithm, tiers);
            spec.max_keys = max_keys;
            (name, spec)
        })
        .into()
}

/// The limiter of a case.
pub fn limiter(spec: &LimitSpec) -> Arc<Limiter> {
    Limiter::new("bench", spec.clone(), Seed::new(1))
}

/// Keys as good as random.
#[derive(Clone, Debug)]
pub struct Keys(u128);

impl Keys {
    /// A row of keys, another for each seed.
    pub fn new(seed: u64) -> Self {
        Self(u128::from(seed) << 1 | 1)
    }
}

impl Iterator for Keys {
    type Item = Key;

    fn next(&mut self) -> Option<Key> {
        // A linear congruential generator; the upper bits are good, and both ends of a key are looked at.
        const BY: u128 = 0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645;
        let mut half = || {
            self.0 = self.0.wrapping_mul(BY).wrapping_add(1);
            (self.0 >> 64) as u64
        };
        Some(Key::new(u128::from(half()) << 64 | u128::from(half())))
    }
}
