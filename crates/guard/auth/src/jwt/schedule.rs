//! When keys are fetched. Pure: times come in as lengths since some beginning.

use std::time::Duration;

use crate::cache_control::Keep;

/// How old keys become whose server does not say it.
const USUAL_AGE: Duration = Duration::from_secs(5 * 60);
/// Keys are never younger than this when they are fetched again without cause.
const LEAST_AGE: Duration = Duration::from_secs(60);
/// Keys are never older than this.
const MOST_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// A token with an unknown key makes them be fetched, at once; but anybody can make such tokens. So the next one that does
/// must wait, and the longer, the more such fetches have brought nothing new.
const FIRST_DEMAND: Duration = Duration::from_secs(5);
const LAST_DEMAND: Duration = Duration::from_secs(60);
/// After so long without such a fetch, those that brought nothing are forgotten.
const FORGOTTEN: Duration = Duration::from_secs(10 * 60);
/// The pauses after failures double from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(60);

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Schedule {
    last: Option<Duration>,
    failures: u32,
    age: Option<Duration>,
    in_flight: bool,
    /// Whether a token with an unknown key waits for the next fetch.
    wanted: bool,
    /// Whether the fetch under way, or the last one, began for such a token.
    demanded: bool,
    /// When the last one of those began.
    last_demand: Option<Duration>,
    /// How many of them have brought nothing new, one after the other.
    vain: u32,
}

impl Schedule {
    /// A token has a key that is not known. Returns whether there is a fetch to wait for: one is under way, or may begin.
    pub(super) fn want(&mut self, now: Duration) -> bool {
        if !self.in_flight && self.demand_due() <= now {
            self.wanted = true;
        }
        self.in_flight || self.wanted
    }

    /// Whether the next fetch is to begin.
    pub(super) fn is_time(&self, now: Duration) -> bool {
        self.wanted || self.due() <= now
    }

    /// A fetch began.
    pub(super) fn begin(&mut self, now: Duration) {
        self.last = Some(now);
        self.in_flight = true;
        // Without any keys it is no token's fault that it begins.
        self.demanded = std::mem::take(&mut self.wanted) && self.age.is_some();
        if self.demanded {
            if (self.last_demand).is_some_and(|last| now.saturating_sub(last) >= FORGOTTEN) {
                self.vain = 0;
            }
            self.last_demand = Some(now);
        }
    }

    /// It brought keys, others than before or the same, which the server says are good for so long.
    pub(super) fn fetched(&mut self, keep: Keep, changed: bool) {
        self.in_flight = false;
        self.failures = 0;
        self.age = Some(match keep {
            Keep::For(age) => age.clamp(LEAST_AGE, MOST_AGE),
            Keep::Unsaid | Keep::Not => USUAL_AGE,
        });
        if changed {
            self.vain = 0;
        } else {
            self.count_vain();
        }
    }

    /// It brought nothing.
    pub(super) fn failed(&mut self) {
        self.in_flight = false;
        self.failures = self.failures.saturating_add(1);
        self.count_vain();
    }

    fn count_vain(&mut self) {
        if self.demanded {
            self.vain = self.vain.saturating_add(1);
        }
    }

    #[cfg(test)]
    pub(super) const fn forget(&mut self) {
        self.last_demand = None;
    }

    /// When the next fetch begins if nobody asks for one.
    pub(super) fn due(&self) -> Duration {
        let Some(last) = self.last else {
            return Duration::ZERO;
        };
        let pause = match (self.failures, self.age) {
            (0, Some(age)) => age,
            (failures, _) => doubled(FIRST_PAUSE, failures, LAST_PAUSE),
        };
        last + pause
    }

    /// When a fetch may begin because a token has a key that is not known.
    fn demand_due(&self) -> Duration {
        match self.last_demand {
            // While there are no keys at all, failures are what sets the pace.
            _ if self.age.is_none() => self.due(),
            None => Duration::ZERO,
            Some(last) => last + doubled(FIRST_DEMAND, self.vain, LAST_DEMAND),
        }
    }
}

/// A pause that doubles with each time after the first.
fn doubled(first: Duration, times: u32, most: Duration) -> Duration {
    let pause = first.saturating_mul(1 << times.saturating_sub(1).min(16));
    pause.min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn fetch(schedule: &mut Schedule, now: u64, changed: bool) {
        schedule.begin(at(now));
        schedule.fetched(Keep::Unsaid, changed);
    }

    #[test]
    fn keys_are_fetched_as_they_age() {
        let mut schedule = Schedule::default();
        assert_eq!((schedule.due(), schedule.demand_due()), (at(0), at(0)));
        for (keep, due) in [
            (Keep::Unsaid, 400),
            (Keep::Not, 400),
            (Keep::For(at(1)), 160),
            (Keep::For(at(3600)), 3700),
            (Keep::For(at(1_000_000)), 86_500),
        ] {
            schedule.begin(at(100));
            schedule.fetched(keep, true);
            assert_eq!(schedule.due(), at(due), "{keep:?}");
            assert!(!schedule.is_time(at(due - 1)) && schedule.is_time(at(due)));
        }
    }

    #[test]
    fn an_unknown_key_need_not_wait_for_other_fetches() {
        let mut schedule = Schedule::default();
        assert!(schedule.want(at(0)), "it waits for the first");
        schedule.begin(at(0));
        assert!(schedule.want(at(1)), "and for what is under way");
        schedule.fetched(Keep::Unsaid, true);
        assert!(!schedule.is_time(at(1)), "which is enough");
        // A rotation right after the first fetch.
        assert!(schedule.want(at(2)) && schedule.is_time(at(2)));
        fetch(&mut schedule, 2, true);
        // And another one, a little later.
        assert!(!schedule.want(at(6)) && !schedule.is_time(at(6)));
        assert!(schedule.want(at(7)));
        fetch(&mut schedule, 7, true);
        // Fetches that began by themselves hold nobody up.
        fetch(&mut schedule, 307, false);
        assert!(schedule.want(at(308)));
    }

    #[test]
    fn a_flood_of_unknown_keys_makes_few_fetches() {
        let mut schedule = Schedule::default();
        fetch(&mut schedule, 0, true);
        let flood = |schedule: &mut Schedule, seconds: std::ops::Range<u64>| {
            let mut fetches = Vec::new();
            for now in seconds {
                if schedule.want(at(now)) {
                    fetches.push(now);
                    fetch(schedule, now, false);
                }
            }
            fetches
        };
        assert_eq!(
            flood(&mut schedule, 1..300),
            [1, 6, 16, 36, 76, 136, 196, 256]
        );
        // Something new begins again from the beginning, and so does a long silence.
        fetch(&mut schedule, 300, true);
        assert_eq!(flood(&mut schedule, 301..330), [301, 306, 316]);
        assert_eq!(flood(&mut schedule, 916..930), [916, 921]);
    }

    #[test]
    fn failures_are_spaced_out() {
        let mut schedule = Schedule::default();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            schedule.begin(at(1000));
            schedule.failed();
            pauses.push((schedule.due() - at(1000)).as_secs());
            assert_eq!(schedule.demand_due(), schedule.due(), "no keys yet");
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        schedule.fetched(Keep::Unsaid, true);
        assert!(schedule.want(at(2000)));
        schedule.begin(at(2000));
        schedule.failed();
        assert_eq!(
            (schedule.due(), schedule.demand_due()),
            (at(2001), at(2005))
        );
        for _ in 0..100 {
            schedule.failed();
        }
        assert_eq!(
            (schedule.due(), schedule.demand_due()),
            (at(2060), at(2060))
        );
    }
}
