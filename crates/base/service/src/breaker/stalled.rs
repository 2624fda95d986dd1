//! Probes that wait for their clients.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How many of the probes of a generation wait for the rest of their request, and not for the endpoint. Those of other
/// generations hold nobody up.
#[derive(Debug, Default)]
pub(super) struct Stalled(AtomicU64);

impl Stalled {
    /// How many there are of this generation.
    pub(super) fn of(&self, generation: u32) -> u64 {
        let word = self.0.load(Relaxed);
        match (word >> 32) as u32 == generation {
            true => word & u64::from(u32::MAX),
            false => 0,
        }
    }

    /// One of this generation waits, or no longer does. Call it only for the current one: it forgets the others.
    pub(super) fn count(&self, generation: u32, more: bool) {
        let next = |word: u64| {
            let count = match (word >> 32) as u32 == generation {
                true => word & u64::from(u32::MAX),
                false => 0,
            };
            let count = match more {
                true => count + 1,
                false => count.saturating_sub(1),
            };
            Some(u64::from(generation) << 32 | count)
        };
        // It never refuses.
        let _ = self.0.fetch_update(Relaxed, Relaxed, next);
    }
}
