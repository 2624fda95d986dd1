//! When to believe that endpoints are gone. Pure.
//!
//! That one of many endpoints left is news, and taken at its word. That *all* left is as often the failure of the
//! source: a registry that restarted without its data, a check that fails everywhere at once, an agent that does not see
//! the others. The price of waiting is small (requests go to endpoints that refuse them, instead of being refused
//! here), the price of believing is an outage. So an empty listing must hold for a while, and after a source lost its
//! data (`reset`) those that it forgot stay as long, beside those that it knows again: agents register anew one by
//! one, and to drop all but the first would send the whole load there.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use super::Listed;

/// What is in use of what a source lists.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    hold: Duration,
    in_use: Vec<Listed>,
    /// What the source lists, while that is not what is in use.
    latest: Option<Vec<Listed>>,
    doubt: Option<Doubt>,
}

#[derive(Debug, Clone, Copy)]
struct Doubt {
    until: Instant,
    /// The data was lost, so that a listing of some does not end it.
    reset: bool,
}

/// How many entries stay although the source does not list them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held(pub(crate) usize);

impl Hold {
    /// Begins with what was in use before.
    pub(crate) fn new(hold: Duration, in_use: Vec<Listed>) -> Self {
        Self {
            hold,
            in_use,
            ..Self::default()
        }
    }

    /// What is in use.
    pub(crate) fn in_use(&self) -> &[Listed] {
        &self.in_use
    }

    /// When [`expire`](Self::expire) is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.latest
            .as_ref()
            .and(self.doubt)
            .map(|doubt| doubt.until)
    }

    /// Takes a listing in; tells, when doubt begins, how many stay for now.
    pub(crate) fn take(&mut self, listing: Vec<Listed>, reset: bool, now: Instant) -> Option<Held> {
        let before = self.doubt.filter(|doubt| now < doubt.until);
        let begin = |reset| Doubt {
            until: now + self.hold,
            reset,
        };
        self.doubt = match before {
            // Further losses do not prolong it: a source that flaps must not hold dead endpoints for ever.
            Some(doubt) if reset => Some(Doubt { reset, ..doubt }),
            Some(doubt) if doubt.reset || listing.is_empty() => Some(doubt),
            Some(_) => None,
            None if reset || (listing.is_empty() && !self.in_use.is_empty()) => Some(begin(reset)),
            None => None,
        }
        .filter(|doubt| now < doubt.until);
        if self.doubt.is_none() {
            self.latest = None;
            self.in_use = listing;
            return None;
        }
        let listed: HashSet<_> = listing.iter().map(|entry| entry.at.clone()).collect();
        let mut in_use = listing.clone();
        in_use.extend(
            self.in_use
                .drain(..)
                .filter(|entry| !listed.contains(&entry.at)),
        );
        let held = in_use.len() - listing.len();
        self.in_use = in_use;
        self.latest = (held > 0).then_some(listing);
        (held > 0 && before.is_none()).then_some(Held(held))
    }

    /// Doubt is over: the source is believed.
    pub(crate) fn expire(&mut self, now: Instant) {
        if self.doubt.is_some_and(|doubt| now >= doubt.until) {
            self.doubt = None;
            if let Some(latest) = self.latest.take() {
                self.in_use = latest;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_secs(60);

    fn list(ports: &[u16]) -> Vec<Listed> {
        let at = |port| Listed::at(std::net::SocketAddr::from(([10, 0, 0, 1], port)).into());
        ports.iter().map(|port| at(*port)).collect()
    }

    struct Case(Hold, Instant);

    impl Case {
        fn new(ports: &[u16]) -> Self {
            Self(Hold::new(HOLD, list(ports)), Instant::now())
        }

        fn at(&mut self, second: u64, ports: &[u16], reset: bool) -> (Option<usize>, Vec<u16>) {
            let held = self
                .0
                .take(list(ports), reset, self.1 + Duration::from_secs(second));
            (held.map(|held| held.0), self.ports())
        }

        fn ports(&self) -> Vec<u16> {
            self.0.in_use().iter().map(|entry| entry.at.port).collect()
        }

        fn expire(&mut self, second: u64) -> Vec<u16> {
            self.0.expire(self.1 + Duration::from_secs(second));
            self.ports()
        }

        fn due(&self) -> Option<u64> {
            Some((self.0.due()? - self.1).as_secs())
        }
    }

    #[test]
    fn some_that_leave_are_believed() {
        let mut case = Case::new(&[]);
        assert_eq!(case.at(0, &[1, 2, 3], false), (None, vec![1, 2, 3]));
        assert_eq!(case.at(1, &[3], false), (None, vec![3]));
        assert_eq!(case.due(), None);
    }

    #[test]
    fn nothing_must_hold() {
        let mut case = Case::new(&[1, 2]);
        assert_eq!(case.at(5, &[], false), (Some(2), vec![1, 2]));
        assert_eq!(case.due(), Some(65));
        assert_eq!(case.at(30, &[], false), (None, vec![1, 2]), "told once");
        assert_eq!(case.due(), Some(65), "and not prolonged");
        assert_eq!(case.expire(64), [1, 2]);
        assert_eq!(case.expire(65), [] as [u16; 0]);
        assert_eq!(case.at(66, &[], false), (None, vec![]));
    }

    #[test]
    fn those_that_come_back_end_the_doubt() {
        let mut case = Case::new(&[1, 2]);
        case.at(0, &[], false);
        assert_eq!(case.at(10, &[2, 3], false), (None, vec![2, 3]));
        assert_eq!(case.due(), None);
    }

    #[test]
    fn lost_data_comes_back_piece_by_piece() {
        let mut case = Case::new(&[1, 2, 3]);
        assert_eq!(case.at(0, &[], true), (Some(3), vec![1, 2, 3]));
        assert_eq!(case.at(5, &[2], false), (None, vec![2, 1, 3]));
        assert_eq!(case.at(6, &[2, 4], false), (None, vec![2, 4, 1, 3]));
        assert_eq!(case.expire(60), [2, 4]);
        let mut case = Case::new(&[1, 2]);
        assert_eq!(case.at(0, &[2], true), (Some(1), vec![2, 1]));
        assert_eq!(case.at(1, &[1, 2], false), (None, vec![1, 2]));
        assert_eq!(case.due(), None, "all are back");
        assert_eq!(
            case.at(61, &[1], false),
            (None, vec![1]),
            "and it is believed again"
        );
    }

    #[test]
    fn losing_data_again_and_again_does_not_hold_for_ever() {
        let mut case = Case::new(&[1, 2]);
        for second in 0..60 {
            case.at(second, &[1], true);
        }
        assert_eq!(case.expire(60), [1]);
    }

    #[test]
    fn without_hold_all_is_believed() {
        let mut hold = Hold::new(Duration::ZERO, list(&[1]));
        assert_eq!(hold.take(Vec::new(), true, Instant::now()), None);
        assert!(hold.in_use().is_empty());
    }
}
