//! How often a source may be asked, or may change what is in use. Pure.
//!
//! A single change should be seen at once. A registry that answers every question at once (Consul did so on every write to
//! its catalog, github.com/hashicorp/consul#3890), or a deployment that registers a thousand endpoints one by one, should
//! not keep a processor busy: then changes are taken in several at a time.

use std::time::Duration;

use tokio::time::Instant;

/// How many may follow each other without a pause.
const BURST: u32 = 8;
/// After that, one in each such time.
const INTERVAL: Duration = Duration::from_millis(250);

/// A bucket of permissions.
#[derive(Debug)]
pub(crate) struct Pace {
    /// When the bucket will be, or was, full.
    full_at: Option<Instant>,
}

impl Pace {
    pub(crate) const fn new() -> Self {
        Self { full_at: None }
    }

    /// Takes one permission; says how long to wait for it.
    pub(crate) fn next(&mut self, now: Instant) -> Duration {
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + INTERVAL;
        self.full_at = Some(full_at);
        (full_at - now).saturating_sub(INTERVAL * BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_pass_and_floods_are_slowed() {
        let (mut pace, start) = (Pace::new(), Instant::now());
        let mut now = start;
        for _ in 0..BURST {
            assert_eq!(pace.next(now), Duration::ZERO);
        }
        for _ in 0..40 {
            now += pace.next(now);
        }
        assert_eq!(now - start, INTERVAL * 40);
        now += INTERVAL * BURST;
        for _ in 0..BURST {
            assert_eq!(pace.next(now), Duration::ZERO, "a pause fills it again");
        }
        assert!(pace.next(now) > Duration::ZERO);
    }
}
