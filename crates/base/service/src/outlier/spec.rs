//! When an endpoint is an outlier, and for how long it is left alone.

use std::time::Duration;

/// When an endpoint is an outlier, and for how long it is left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutlierSpec {
    /// So many gateway failures in a row eject; 0 for never.
    pub consecutive_failures: u32,
    /// Does a success rate far below that of the others eject?
    pub success_rate: bool,
    /// How often success rates are compared.
    pub interval: Duration,
    /// How long the first ejection lasts; the second in a row twice as long, and so on.
    pub eject_for: Duration,
    /// How long an ejection lasts at most; a day at most.
    pub max_eject_for: Duration,
    /// The largest share of the endpoints that may be ejected at a time, in percent; 0 for none.
    pub max_ejected: u32,
    /// With fewer requests in the interval an endpoint's success rate says nothing.
    pub min_requests: u32,
    /// Does a successful health check end an ejection?
    pub return_on_check: bool,
}

impl Default for OutlierSpec {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            success_rate: true,
            interval: Duration::from_secs(10),
            eject_for: Duration::from_secs(30),
            max_eject_for: Duration::from_secs(300),
            max_ejected: 50,
            min_requests: 20,
            return_on_check: false,
        }
    }
}

const DAY_MS: u64 = 86_400_000;

impl OutlierSpec {
    pub(super) fn interval_ms(&self) -> u64 {
        millis(self.interval).clamp(1, DAY_MS)
    }

    pub(super) fn max_eject_ms(&self) -> u64 {
        millis(self.max_eject_for).clamp(1, DAY_MS)
    }

    /// How long the `in_a_row`-th ejection lasts, without jitter.
    pub(super) fn eject_ms(&self, in_a_row: u32) -> u64 {
        let ms = millis(self.eject_for).saturating_mul(in_a_row.into());
        ms.clamp(1, self.max_eject_ms())
    }

    /// How many of `endpoints` may be ejected at a time: never all, and at least one if there is a choice.
    pub(super) fn most_ejected(&self, endpoints: usize) -> usize {
        if endpoints < 2 || self.max_ejected == 0 {
            return 0;
        }
        let share = endpoints.saturating_mul(self.max_ejected.min(100) as usize) / 100;
        share.clamp(1, endpoints - 1)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
