//! When is an endpoint healthy? A pure state machine over check results.
//!
//! The first result decides at once: at start nobody should wait for `unhealthy_after` intervals to learn that an
//! endpoint is dead, nor for `healthy_after` to use one that works. After that it takes that many results *in a row* to
//! change one's mind, so one lost packet changes nothing.

use std::fmt;

/// What is known about an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    /// No check has finished yet, or none is configured. Counts as usable: otherwise every start and every newly
    /// added endpoint would begin with errors.
    #[default]
    Unknown,
    /// Checks succeed.
    Healthy,
    /// Checks fail.
    Unhealthy,
    /// Requests failed: left alone for a while.
    Ejected,
    /// Taken out by hand: gets no new requests, finishes what it has.
    Draining,
}

impl Health {
    /// May this endpoint get new requests?
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Unknown | Self::Healthy)
    }

    /// The word that logs, metrics and the admin API use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Ejected => "ejected",
            Self::Draining => "draining",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many results in a row change the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Successes until an unhealthy endpoint is healthy again; 0 counts as 1.
    pub healthy_after: u32,
    /// Failures until a healthy endpoint is unhealthy; 0 counts as 1.
    pub unhealthy_after: u32,
}

/// A change of the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// What was held before.
    pub from: Health,
    /// What holds now.
    pub to: Health,
    /// When, in the caller's milliseconds.
    pub at_ms: u64,
}

/// The verdict on one endpoint and the results that speak against it.
#[derive(Debug, Clone, Default)]
pub struct HealthTracker {
    verdict: Health,
    /// Results in a row that contradict the verdict.
    against: u32,
    since_ms: u64,
}

impl HealthTracker {
    /// Takes one check result in; says when it changed the verdict.
    pub fn on_result(
        &mut self,
        thresholds: Thresholds,
        ok: bool,
        now_ms: u64,
    ) -> Option<Transition> {
        let (opposite, needed) = match (self.verdict, ok) {
            (Health::Healthy, true) | (Health::Unhealthy, false) => {
                self.against = 0;
                return None;
            }
            (Health::Healthy, false) => (Health::Unhealthy, thresholds.unhealthy_after),
            (Health::Unhealthy, true) => (Health::Healthy, thresholds.healthy_after),
            (_, true) => (Health::Healthy, 1),
            (_, false) => (Health::Unhealthy, 1),
        };
        self.against += 1;
        if self.against < needed {
            return None;
        }
        let from = std::mem::replace(&mut self.verdict, opposite);
        self.against = 0;
        self.since_ms = now_ms;
        Some(Transition {
            from,
            to: opposite,
            at_ms: now_ms,
        })
    }

    /// The verdict so far; never [`Health::Draining`].
    pub fn verdict(&self) -> Health {
        self.verdict
    }

    /// When the verdict was last changed; 0 before the first.
    pub fn since_ms(&self) -> u64 {
        self.since_ms
    }

    /// Results in a row that contradict the verdict.
    pub fn against(&self) -> u32 {
        self.against
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T: Thresholds = Thresholds {
        healthy_after: 2,
        unhealthy_after: 3,
    };

    fn run(results: &str) -> Vec<(usize, Health)> {
        let mut tracker = HealthTracker::default();
        results
            .chars()
            .enumerate()
            .filter_map(|(i, c)| tracker.on_result(T, c == '+', i as u64).map(|t| (i, t.to)))
            .collect()
    }

    #[test]
    fn transitions_by_table() {
        use Health::{Healthy, Unhealthy};
        for (results, expected) in [
            ("+", vec![(0, Healthy)]),
            ("-", vec![(0, Unhealthy)]),
            ("+--+--", vec![(0, Healthy)]),
            ("+---", vec![(0, Healthy), (3, Unhealthy)]),
            ("-+-++", vec![(0, Unhealthy), (4, Healthy)]),
            (
                "+---++---",
                vec![(0, Healthy), (3, Unhealthy), (5, Healthy), (8, Unhealthy)],
            ),
        ] {
            assert_eq!(run(results), expected, "{results}");
        }
    }

    proptest! {
        /// The model: the verdict flips exactly when the last `needed` results all contradict it.
        #[test]
        fn agrees_with_the_model(
            results in prop::collection::vec(any::<bool>(), 0..200), healthy_after in 0u32..5, unhealthy_after in 0u32..5,
        ) {
            let thresholds = Thresholds { healthy_after, unhealthy_after };
            let mut tracker = HealthTracker::default();
            let (mut verdict, mut since_flip) = (Health::Unknown, 0);
            for (i, ok) in results.iter().enumerate() {
                let needed = match verdict {
                    Health::Unknown => 1,
                    Health::Healthy => unhealthy_after.max(1),
                    _ => healthy_after.max(1),
                } as usize;
                let contradicts = |ok: &bool| *ok != (verdict == Health::Healthy) || verdict == Health::Unknown;
                let window = &results[since_flip..=i];
                let flips = window.len() >= needed && window[window.len() - needed..].iter().all(contradicts);
                let transition = tracker.on_result(thresholds, *ok, i as u64);
                prop_assert_eq!(transition.is_some(), flips);
                if flips {
                    verdict = if *ok { Health::Healthy } else { Health::Unhealthy };
                    since_flip = i + 1;
                }
                prop_assert_eq!(tracker.verdict(), verdict);
            }
        }
    }
}
