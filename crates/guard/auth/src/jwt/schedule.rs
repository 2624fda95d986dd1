//! When keys are fetched. Pure: times come in as lengths since some beginning.

use std::time::Duration;

/// Keys are never younger than this when they are fetched again without cause.
const LEAST_AGE: Duration = Duration::from_secs(5 * 60);
/// Keys are never older than this.
const MOST_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// A token with an unknown key makes them be fetched, but no more often than this: anybody can make such tokens.
const DEMAND: Duration = Duration::from_secs(30);
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
}

impl Schedule {
    /// A fetch began.
    pub(super) const fn begin(&mut self, now: Duration) {
        self.last = Some(now);
        self.in_flight = true;
    }

    /// It brought keys, which the server says are good for so long.
    pub(super) fn fetched(&mut self, max_age: Option<Duration>) {
        self.in_flight = false;
        self.failures = 0;
        self.age = Some(max_age.unwrap_or(LEAST_AGE).clamp(LEAST_AGE, MOST_AGE));
    }

    /// It brought nothing.
    pub(super) const fn failed(&mut self) {
        self.in_flight = false;
        self.failures = self.failures.saturating_add(1);
    }

    #[cfg(test)]
    pub(super) const fn forget(&mut self) {
        self.last = None;
    }

    /// Whether a fetch has begun and not ended.
    pub(super) const fn in_flight(&self) -> bool {
        self.in_flight
    }

    /// When the next fetch begins if nobody asks for one.
    pub(super) fn due(&self) -> Duration {
        let Some(last) = self.last else {
            return Duration::ZERO;
        };
        let pause = match (self.failures, self.age) {
            (0, Some(age)) => age,
            (failures, _) => {
                let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16));
                doubled.min(LAST_PAUSE)
            }
        };
        last + pause
    }

    /// When a fetch may begin because a token has a key that is not known.
    pub(super) fn demand_due(&self) -> Duration {
        match self.last {
            None => Duration::ZERO,
            // While there are no keys at all, failures are what sets the pace.
            Some(_) if self.age.is_none() => self.due(),
            Some(last) => last + DEMAND,
        }
    }
}

/// `max-age` of a `Cache-Control` field (RFC 9111, section 5.2.2.1); nothing if the answer must not be kept.
pub(super) fn max_age(cache_control: &str) -> Option<Duration> {
    let mut age = None;
    for directive in cache_control.split(',') {
        let directive = directive.trim().to_ascii_lowercase();
        match directive.split_once('=') {
            None if directive == "no-store" || directive == "no-cache" => return None,
            Some(("max-age", seconds)) => age = seconds.trim_matches('"').parse().ok(),
            _ => {}
        }
    }
    age.map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn keys_are_fetched_as_they_age() {
        let mut schedule = Schedule::default();
        assert_eq!((schedule.due(), schedule.demand_due()), (at(0), at(0)));
        for (max_age, due) in [
            (None, 400),
            (Some(at(1)), 400),
            (Some(at(3600)), 3700),
            (Some(at(1_000_000)), 86_500),
        ] {
            schedule.begin(at(100));
            schedule.fetched(max_age);
            assert_eq!(
                (schedule.due(), schedule.demand_due()),
                (at(due), at(130)),
                "{max_age:?}"
            );
        }
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
        schedule.fetched(None);
        schedule.begin(at(2000));
        schedule.failed();
        assert_eq!(
            (schedule.due(), schedule.demand_due()),
            (at(2001), at(2030))
        );
        for _ in 0..100 {
            schedule.failed();
        }
        assert_eq!(schedule.due(), at(2060));
    }

    #[test]
    fn what_servers_say_about_age() {
        for (text, age) in [
            ("max-age=60", Some(60)),
            ("public, MAX-AGE=60", Some(60)),
            ("max-age=\"60\", must-revalidate", Some(60)),
            ("max-age=60, no-store", None),
            ("no-cache", None),
            ("", None),
            ("max-age=-1", None),
            ("max-age=99999999999999999999", None),
            ("s-maxage=60", None),
        ] {
            assert_eq!(max_age(text), age.map(at), "{text}");
        }
    }
}
