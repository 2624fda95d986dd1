//! A small seedable generator for balancing decisions and jitter.
//!
//! Balancers need a few random bits per request: cheap, reproducible from a seed, statistically sound; secrecy is not
//! needed, so this must never be used for tokens. The algorithm is wyrand (one multiplication a number).

use std::time::Duration;

/// wyrand: one 64-bit word of state.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// A generator whose whole sequence follows from `seed`. Nearby seeds give unrelated sequences.
    pub fn new(seed: u64) -> Self {
        let mut rng = Self(seed ^ 0x9e37_79b9_7f4a_7c15);
        rng.next_u64();
        rng
    }

    /// The next 64 random bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0xa076_1d64_78bd_642f);
        let product = u128::from(self.0) * u128::from(self.0 ^ 0xe703_7ed1_a0b4_28db);
        ((product >> 64) ^ product) as u64
    }

    /// A number in `0..bound`; 0 when `bound` is 0. The bias of the multiply-shift is below `bound / 2^32`.
    #[inline]
    pub fn below(&mut self, bound: u32) -> u32 {
        (((self.next_u64() >> 32) * u64::from(bound)) >> 32) as u32
    }

    /// `base` plus or minus up to `percent` of it, so that periodic work of many instances does not fall in step.
    pub fn jitter(&mut self, base: Duration, percent: u32) -> Duration {
        let span = base.as_nanos() as u64 / 100 * u64::from(percent.min(100));
        let offset = ((u128::from(self.next_u64()) * u128::from(span * 2 + 1)) >> 64) as u64;
        base + Duration::from_nanos(offset) - Duration::from_nanos(span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_is_uniform_and_in_range() {
        let mut rng = Rng::new(7);
        let mut counts = [0u32; 10];
        for _ in 0..100_000 {
            counts[rng.below(10) as usize] += 1;
        }
        // 5 sigma of a binomial(100000, 0.1) is 475.
        assert!(
            counts.iter().all(|c| c.abs_diff(10_000) < 475),
            "{counts:?}"
        );
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.below(1), 0);
    }

    #[test]
    fn seeds_decide_everything() {
        let draw = |seed| {
            let mut rng = Rng::new(seed);
            [rng.next_u64(), rng.next_u64()]
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn jitter_stays_within_its_share() {
        let mut rng = Rng::new(1);
        let base = Duration::from_secs(5);
        let (low, high) = (Duration::from_millis(4500), Duration::from_millis(5500));
        let draws: Vec<_> = (0..1000).map(|_| rng.jitter(base, 10)).collect();
        assert!(draws.iter().all(|d| (low..=high).contains(d)));
        assert!(draws.iter().any(|d| *d < base) && draws.iter().any(|d| *d > base));
        assert_eq!(rng.jitter(Duration::ZERO, 10), Duration::ZERO);
    }
}
