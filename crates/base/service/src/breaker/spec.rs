//! When a breaker opens, and for how long.

use std::time::Duration;

use super::window::{BUCKETS, Results};

/// When a breaker opens, for how long, and what closes it. Values out of range are brought into it by
/// [`Breaker::new`](super::Breaker::new).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerSpec {
    /// It opens when this share of the results are failures, in percent, 1 to 100.
    pub failure_rate: u32,
    /// It opens when this share of the results are slow, in percent, 1 to 100; `None` if slowness does not matter.
    pub slow_rate: Option<u32>,
    /// How long results count: 100 ms to an hour.
    pub window: Duration,
    /// With fewer results in the window it stays closed; at least 1.
    pub min_requests: u32,
    /// How long it refuses before it tries again: 1 ms to a day.
    pub open_for: Duration,
    /// How many requests may try at once while it is half-open, and must report for it to decide: 1 to 1,000.
    pub probes: u32,
    /// When all probes are out and none was admitted for this long, those still out are taken to be lost: 1 ms to a day.
    pub probe_timeout: Duration,
}

impl Default for BreakerSpec {
    /// Half failed or four in five slow, of at least 20 within 10 s; 30 s open, then 3 probes.
    fn default() -> Self {
        Self {
            failure_rate: 50,
            slow_rate: Some(80),
            window: Duration::from_secs(10),
            min_requests: 20,
            open_for: Duration::from_secs(30),
            probes: 3,
            probe_timeout: Duration::from_secs(30),
        }
    }
}

/// A [`BreakerSpec`] in the units of the machine, every value in range.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) failure_rate: u64,
    /// 101 if slowness does not matter: a share that is never reached.
    pub(super) slow_rate: u64,
    pub(super) min_requests: u64,
    pub(super) open_ms: u64,
    pub(super) probes: u64,
    pub(super) probe_timeout_ms: u64,
    pub(super) bucket_ms: u64,
}

/// Most probes; the machine's word has ten bits for them.
const MOST_PROBES: u32 = 1_000;
const DAY_MS: u64 = 86_400_000;

impl From<&BreakerSpec> for Limits {
    fn from(spec: &BreakerSpec) -> Self {
        Self {
            failure_rate: spec.failure_rate.clamp(1, 100).into(),
            slow_rate: spec.slow_rate.map_or(101, |rate| rate.clamp(1, 100)).into(),
            min_requests: spec.min_requests.max(1).into(),
            open_ms: millis(spec.open_for).clamp(1, DAY_MS),
            probes: spec.probes.clamp(1, MOST_PROBES).into(),
            probe_timeout_ms: millis(spec.probe_timeout).clamp(1, DAY_MS),
            bucket_ms: millis(spec.window).clamp(100, 3_600_000) / BUCKETS,
        }
    }
}

impl Limits {
    /// Are these results bad enough to be open?
    pub(super) fn reached(&self, results: Results) -> bool {
        results.failures * 100 >= self.failure_rate * results.requests
            || results.slow * 100 >= self.slow_rate * results.requests
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
