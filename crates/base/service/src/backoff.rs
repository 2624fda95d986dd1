//! How long to wait before a retry: exponential backoff with full jitter.
//!
//! The wait is anything from nothing to a ceiling that doubles with every retry. Of the common variants this one spreads
//! retries of many clients best and costs the least work in total (Brooker, "Exponential Backoff And Jitter", 2015): with
//! less jitter, requests that failed together would come back together.

use std::time::Duration;

use crate::rng::Rng;

/// Waits between the attempts at one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The ceiling of the first wait.
    pub base: Duration,
    /// The ceiling that no wait exceeds; a smaller one than the base counts as the base.
    pub max: Duration,
}

impl Default for Backoff {
    /// Up to 25 ms, then up to 50, 100, 200, 250 ms.
    fn default() -> Self {
        Self {
            base: Duration::from_millis(25),
            max: Duration::from_millis(250),
        }
    }
}

impl Backoff {
    /// The longest wait before retry `retry`, of which the first is 0.
    pub fn ceiling(&self, retry: u32) -> Duration {
        let factor = 1u32.checked_shl(retry).unwrap_or(u32::MAX);
        self.base
            .saturating_mul(factor)
            .min(self.max.max(self.base))
    }

    /// The wait before retry `retry`, of which the first is 0: up to [`Self::ceiling`], every wait equally likely.
    pub fn wait(&self, retry: u32, rng: &mut Rng) -> Duration {
        let nanos = u64::try_from(self.ceiling(retry).as_nanos()).unwrap_or(u64::MAX - 1);
        let wait = (u128::from(rng.next_u64()) * (u128::from(nanos) + 1)) >> 64;
        Duration::from_nanos(wait as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert, proptest};

    #[test]
    fn ceilings_by_table() {
        let ms = Duration::from_millis;
        let backoff = Backoff::default();
        let ceilings = [25, 50, 100, 200, 250, 250].map(ms);
        for (retry, ceiling) in ceilings.into_iter().enumerate() {
            assert_eq!(backoff.ceiling(retry as u32), ceiling);
        }
        let upside_down = Backoff {
            base: ms(100),
            max: ms(10),
        };
        assert_eq!(upside_down.ceiling(5), ms(100));
        let none = Backoff {
            base: Duration::ZERO,
            max: ms(10),
        };
        assert_eq!(none.wait(9, &mut Rng::new(1)), Duration::ZERO);
    }

    /// Full jitter is uniform from nothing to the ceiling, both ends included.
    #[test]
    fn waits_are_spread_evenly() {
        let backoff = Backoff::default();
        let mut rng = Rng::new(1);
        let mut tenths = [0u32; 10];
        for _ in 0..100_000 {
            let wait = backoff.wait(2, &mut rng);
            tenths[(wait.as_nanos() * 10 / 100_000_001) as usize] += 1;
        }
        // 5 sigma of a binomial(100000, 0.1) is 475.
        assert!(
            tenths.iter().all(|n| n.abs_diff(10_000) < 475),
            "{tenths:?}"
        );
        let tiny = Backoff {
            base: Duration::from_nanos(1),
            max: Duration::from_nanos(1),
        };
        let waits: Vec<_> = (0..100).map(|_| tiny.wait(0, &mut rng)).collect();
        assert!(waits.contains(&Duration::ZERO) && waits.contains(&Duration::from_nanos(1)));
    }

    proptest! {
        #[test]
        fn never_beyond_the_ceiling(base in any::<u64>(), max in any::<u64>(), retry in any::<u32>(), seed in any::<u64>()) {
            let backoff = Backoff { base: Duration::from_nanos(base), max: Duration::from_nanos(max) };
            let ceiling = backoff.ceiling(retry);
            prop_assert!(ceiling <= backoff.max.max(backoff.base));
            prop_assert!(ceiling >= backoff.ceiling(retry.saturating_sub(1)));
            prop_assert!(backoff.wait(retry, &mut Rng::new(seed)) <= ceiling);
        }
    }
}
