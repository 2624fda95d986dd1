//! How long a request may wait: controlled delay.
//!
//! A queue that absorbs bursts is good; one that never empties only adds its length to everyone's latency, until all
//! requests are served too late for their clients, and none is of use. Which of the two a queue is shows in whether it
//! runs empty (Nichols and Jacobson's CoDel, in the form that Facebook described in "Fail at Scale"): as long as it was
//! empty at some moment of the last `interval`, requests wait as long as they like; else those that waited longer than
//! `target` are let go.
//!
//! Two things differ from a router's queue:
//!
//! - It is judged for each priority by the requests that are served no later than it. Unimportant requests that starve do
//!   not make the important ones impatient.
//! - Times follow the pace of the service. If a slot comes free four times a second, a queue of two is no standing queue,
//!   though it waits for half a second. So the target is at least four times the time between departures, and
//!   the interval at least twenty times.

use super::spec::Priority;

#[derive(Debug)]
pub(super) struct Codel {
    target_us: u64,
    interval_us: u64,
    /// For each priority, since when somebody of it or a higher one has been waiting.
    since_us: [u64; 3],
    /// Mean time between departures in eighths of a microsecond; 0: not known yet.
    pace: u64,
    /// The last departure, or when the queue was last empty.
    last_us: u64,
}

impl Codel {
    pub(super) fn new(target_us: u64, interval_us: u64) -> Self {
        Self {
            target_us,
            interval_us,
            since_us: [0; 3],
            pace: 0,
            last_us: 0,
        }
    }

    pub(super) fn configure(&mut self, target_us: u64, interval_us: u64) {
        (self.target_us, self.interval_us) = (target_us, interval_us);
    }

    /// Somebody comes to wait; `ahead` are those waiting before that, of each priority.
    pub(super) fn arrives(&mut self, ahead: [usize; 3], now_us: u64) {
        let mut nobody = true;
        for (since, ahead) in self.since_us.iter_mut().zip(ahead) {
            nobody &= ahead == 0;
            if nobody {
                *since = now_us;
            }
        }
        if nobody {
            (self.pace, self.last_us) = (0, now_us);
        }
    }

    /// Somebody who waited is let in.
    pub(super) fn departs(&mut self, now_us: u64) {
        let gap = now_us.saturating_sub(self.last_us);
        self.last_us = self.last_us.max(now_us);
        self.pace = match self.pace {
            0 => gap * 8,
            pace => pace - pace / 8 + gap,
        };
    }

    /// How long those of `priority` may have waited, if that is limited.
    pub(super) fn allowed(&self, priority: Priority, now_us: u64) -> Option<u64> {
        // The gap that has not ended yet counts: before the first departure it is all there is to know.
        let gap = (self.pace / 8).max(now_us.saturating_sub(self.last_us));
        let standing = now_us.saturating_sub(self.since_us[priority.index()]);
        (standing > self.interval_us.max(gap.saturating_mul(20)))
            .then(|| self.target_us.max(gap.saturating_mul(4)))
    }
}
