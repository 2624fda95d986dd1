//! When this Weir last had to decide without a server, or a server may have lost what it had counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A moment that many set and read.
#[derive(Debug)]
pub(crate) struct Alone {
    epoch: Instant,
    /// In milliseconds from the epoch, and one more; 0 for never.
    last: AtomicU64,
}

impl Alone {
    pub(crate) const fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            last: AtomicU64::new(0),
        }
    }

    /// It is now.
    pub(crate) fn now(&self, now: Instant) {
        let now = self.millis(now) + 1;
        // During an outage every request comes here; mostly another was here in the same millisecond.
        if self.last.load(Ordering::Relaxed) < now {
            self.last.fetch_max(now, Ordering::Relaxed);
        }
    }

    /// How long ago it was; `None` if it never was.
    pub(crate) fn ago(&self, now: Instant) -> Option<Duration> {
        let last = self.last.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Duration::from_millis(self.millis(now).saturating_sub(last)))
    }

    fn millis(&self, moment: Instant) -> u64 {
        let millis = moment.saturating_duration_since(self.epoch).as_millis();
        u64::try_from(millis).unwrap_or(u64::MAX - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_time_counts() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let alone = Alone::new(start);
        assert_eq!(alone.ago(after(5)), None);
        alone.now(after(0));
        assert_eq!(alone.ago(after(5)), Some(Duration::from_millis(5)));
        alone.now(after(7));
        alone.now(after(6));
        assert_eq!(alone.ago(after(9)), Some(Duration::from_millis(2)));
    }
}
