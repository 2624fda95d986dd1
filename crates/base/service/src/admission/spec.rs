//! What the configuration says about admission.

use std::time::Duration;

/// How much a request matters when not all can be served.
///
/// Ordered by importance: `High < Normal < Low` in the order of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Priority {
    /// Served first, shed last.
    High,
    /// What requests have that say nothing else.
    #[default]
    Normal,
    /// Served last, shed first.
    Low,
}

impl Priority {
    /// All of them, most important first.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    pub(super) fn index(self) -> usize {
        self as usize
    }
}

/// How many requests a service takes on at once, and how the others wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmissionSpec {
    /// Most requests in flight; at least 1.
    pub requests: u32,
    /// Most requests that wait; 0: nobody waits.
    pub pending: u32,
    /// How long a request may wait under standing overload.
    pub target: Duration,
    /// How long there must have been a queue without a break for it to count as standing overload.
    pub interval: Duration,
    /// Find out how many requests in flight are best, with `requests` as the most?
    pub adaptive: bool,
}

impl Default for AdmissionSpec {
    fn default() -> Self {
        Self {
            requests: 4096,
            pending: 1024,
            target: Duration::from_millis(5),
            interval: Duration::from_millis(100),
            adaptive: false,
        }
    }
}

/// How long slots are kept free for a priority after one of its requests had to wait.
const RESERVE_US: u64 = 1_000_000;

/// The part of the limit that requests of lower priority leave free while a higher one has had to wait lately.
///
/// Order of service alone is not enough for small limits and long requests: the important one still waits until somebody
/// finishes. But a part kept free always would be a limit other than the configured one for all who use only one
/// priority. So slots are kept free only after somebody more important had to wait, and for a second after that: a
/// twentieth of the limit for high priority, and a fifth for normal and high against low.
#[derive(Debug, Default)]
pub(super) struct Reserve {
    /// Until when for [`Priority::High`], and for [`Priority::Normal`].
    until_us: [u64; 2],
}

impl Reserve {
    /// A request of `priority` has to wait.
    pub(super) fn waits(&mut self, priority: Priority, now_us: u64) {
        if let Some(until) = self.until_us.get_mut(priority.index()) {
            *until = (*until).max(now_us.saturating_add(RESERVE_US));
        }
    }

    /// How many requests may be in flight for one of each priority to be let in.
    pub(super) fn caps(&self, limit: u32, now_us: u64) -> [u32; 3] {
        let [high, normal] = self.until_us.map(|until| now_us < until);
        // Rounded up: a small limit is not for a fifth, let alone half, a reserve.
        let part = |percent: u64| (u64::from(limit) * percent).div_ceil(100) as u32;
        [
            limit,
            if high { part(95) } else { limit },
            if high || normal { part(80) } else { limit },
        ]
    }
}
