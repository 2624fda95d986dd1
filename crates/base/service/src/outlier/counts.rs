//! What each request leaves in its endpoint: a run of failures, and totals of the interval.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use super::OutlierSpec;
use crate::outcome::Outcome;

/// How the attempts at one endpoint went. Written by all workers: one atomic addition for a success.
#[derive(Debug, Default)]
pub struct OutlierCounts {
    /// Gateway failures since the last attempt that was none.
    run: AtomicU32,
    /// [`Totals`] of this interval so far: failures in the high half, requests in the low.
    current: AtomicU64,
    /// Those of the interval before.
    last: AtomicU64,
}

/// Attempts that had an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// All of them.
    pub requests: u32,
    /// Those that failed in any way.
    pub failures: u32,
}

/// An endpoint failed as often in a row as it may: have the [`Detector`](super::Detector) look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trip {
    /// How often it failed in a row.
    pub failures: u32,
}

impl OutlierCounts {
    /// Counts an attempt.
    ///
    /// Of many threads that see the same run, one is told: at the limit, and if it goes on (the endpoint could not be
    /// ejected), at twice the limit, four times, and so on.
    #[inline]
    pub fn record(&self, outcome: Outcome, spec: &OutlierSpec) -> Option<Trip> {
        let failed = u64::from(outcome.is_failure());
        self.current.fetch_add(failed << 32 | 1, Relaxed);
        if outcome.is_gateway_failure() {
            return self.prolong(spec.consecutive_failures);
        }
        if self.run.load(Relaxed) != 0 {
            self.run.store(0, Relaxed);
        }
        None
    }

    #[cold]
    fn prolong(&self, limit: u32) -> Option<Trip> {
        let failures = self.run.fetch_add(1, Relaxed).wrapping_add(1);
        let multiple = failures.checked_div(limit)?;
        (failures.is_multiple_of(limit) && multiple.is_power_of_two()).then_some(Trip { failures })
    }

    /// Gateway failures in a row until now.
    pub fn consecutive(&self) -> u32 {
        self.run.load(Relaxed)
    }

    /// Totals of the interval so far.
    pub fn interval(&self) -> Totals {
        Totals::from(self.current.load(Relaxed))
    }

    /// Totals of the last whole interval.
    pub fn last_interval(&self) -> Totals {
        Totals::from(self.last.load(Relaxed))
    }

    /// Begins another interval; says how the one before went.
    pub(super) fn turn(&self) -> Totals {
        let totals = self.current.swap(0, Relaxed);
        self.last.store(totals, Relaxed);
        Totals::from(totals)
    }

    /// The endpoint comes back: what it did before is not held against it, but a run that no success has ended goes on,
    /// one short of the limit.
    pub(super) fn probation(&self, limit: u32) {
        self.current.store(0, Relaxed);
        self.run.fetch_min(limit.saturating_sub(1), Relaxed);
    }

    /// The endpoint comes back, and a health check has ended its run.
    pub(super) fn forget(&self) {
        self.current.store(0, Relaxed);
        self.run.store(0, Relaxed);
    }
}

impl From<u64> for Totals {
    fn from(word: u64) -> Self {
        Self {
            requests: word as u32,
            failures: (word >> 32) as u32,
        }
    }
}
