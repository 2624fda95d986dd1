//! What time it is at the store, as far as its answers tell.
//!
//! A check that was given up must not count when a store that hung goes on, for it was decided without the store. So
//! each check says until when it is wanted, in the store's own time. How far that is ahead of ours lies between two
//! bounds which each answer narrows: the store read its clock after the question was sent and before the answer came.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Clocks that nobody sets come apart by less between two answers, in microseconds.
const DRIFT: i64 = 100_000;

/// Bounds of how far a server's clock is ahead of ours.
#[derive(Debug)]
pub(crate) struct StoreClock {
    /// Our time is counted from here.
    epoch: Instant,
    /// The least and the most that may have to be added to our microseconds.
    ahead: Mutex<Option<(i64, i64)>>,
}

impl StoreClock {
    pub(crate) fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            ahead: Mutex::new(None),
        }
    }

    /// Takes the time that an answer tells. A store whose clock was set fits no bounds; those of the answer hold then. True
    /// if it was set so far that windows may have ended by it.
    pub(crate) fn learn(&self, sent: Instant, received: Instant, told: i64) -> bool {
        let (least, most) = (
            told.saturating_sub(self.ours(received)),
            told.saturating_sub(self.ours(sent)),
        );
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let (bounds, apart) = match *ahead {
            Some((a, b)) if a.max(least) <= b.min(most) => ((a.max(least), b.min(most)), 0),
            Some((a, b)) => ((least, most), a.max(least).saturating_sub(b.min(most))),
            None => ((least, most), 0),
        };
        *ahead = Some(bounds);
        apart > DRIFT
    }

    /// The store's time at a moment of ours, rather too late than too early; without an answer yet, the end of all time.
    pub(crate) fn at(&self, moment: Instant) -> i64 {
        let ahead = *self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        match ahead {
            Some((_, most)) => self.ours(moment).saturating_add(most),
            None => i64::MAX >> 11,
        }
    }

    /// Whether there was an answer.
    pub(crate) fn is_known(&self) -> bool {
        self.ahead
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    fn ours(&self, moment: Instant) -> i64 {
        let micros = moment.saturating_duration_since(self.epoch).as_micros();
        i64::try_from(micros).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn answers_narrow_the_bounds_until_the_clock_is_set() {
        let start = Instant::now();
        let after = |micros| start + Duration::from_micros(micros);
        let clock = StoreClock::new(start);
        assert!(clock.at(start) > 1 << 51, "beyond any year of ours");
        // The true difference is 1000.
        clock.learn(after(0), after(400), 1300);
        assert_eq!(clock.at(after(0)), 1300);
        clock.learn(after(1000), after(1400), 2010);
        assert_eq!(clock.at(after(0)), 1010);
        clock.learn(after(2000), after(9000), 9900);
        assert_eq!(clock.at(after(0)), 1010, "a slow answer tells little");
        clock.learn(after(10_000), after(10_100), 50);
        assert_eq!(clock.at(after(10_000)), 50, "the clock was set back");
        assert!(!clock.learn(after(20_000), after(20_001), 60_000), "drift");
        assert!(clock.learn(after(30_000), after(30_001), 600_000));
        assert!(clock.learn(after(40_000), after(40_001), -600_000));
        assert!(!clock.learn(after(50_000), after(50_001), -590_000));
    }
}
