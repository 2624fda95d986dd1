//! When to ask again after an answer or a failure. Pure.

use std::time::Duration;

use super::RefreshLimits;
use crate::rng::Rng;

/// Failures in a row, and the waits that follow from them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Retry {
    failures: u32,
}

impl Retry {
    /// Failures in a row.
    pub(crate) fn failures(self) -> u32 {
        self.failures
    }

    /// An answer came: it holds for `ttl`, within bounds.
    pub(crate) fn answered(
        &mut self,
        ttl: Duration,
        limits: &RefreshLimits,
        rng: &mut Rng,
    ) -> Duration {
        self.failures = 0;
        stretch(ttl.min(limits.max_ttl).max(limits.min_ttl), rng)
    }

    /// No answer came: waits double.
    pub(crate) fn failed(&mut self, limits: &RefreshLimits, rng: &mut Rng) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let doublings = (self.failures - 1).min(16);
        let delay = limits.first_retry.saturating_mul(1 << doublings);
        stretch(delay.min(limits.max_retry), rng)
    }
}

/// By up to 10 %, and never shorter.
fn stretch(delay: Duration, rng: &mut Rng) -> Duration {
    rng.jitter(delay.mul_f64(1.05), 4).max(delay)
}
