//! The endpoints of a service at one moment, immutable.
//!
//! Whatever changes membership, weights or health builds a new set on the control runtime and publishes it; workers only
//! ever read one. So everything that can be computed once per change is computed here, and not per request: who is
//! usable, and the tables for weighted draws.

use std::sync::Arc;

use crate::balance::Draws;
use crate::endpoint::Endpoint;

/// An endpoint with its share.
#[derive(Debug, Clone)]
pub struct Member {
    /// The endpoint, shared with other sets.
    pub endpoint: Arc<Endpoint>,
    /// Its share relative to the others; at least 1.
    pub weight: u32,
}

/// The endpoints of a service at one moment.
#[derive(Debug)]
pub struct EndpointSet {
    all: Box<[Member]>,
    /// Those that may be chosen.
    candidates: Box<[Member]>,
    draws: Draws,
    panic: bool,
}

impl EndpointSet {
    /// Sorts out who may be chosen, from what is known about each endpoint now.
    ///
    /// If health checks fail for *all* endpoints, all are candidates (except drained ones): a check that fails
    /// everywhere says more about the check, or about a moment of overload, than about the endpoints, and an endpoint that
    /// is really dead costs no more than the 503 that Weir would have to answer instead.
    pub fn new(all: Vec<Member>) -> Self {
        let (candidates, panic) = choose(&all);
        let weights: Vec<u32> = candidates.iter().map(|m| m.weight).collect();
        Self {
            draws: Draws::new(&weights),
            panic,
            candidates: candidates.into_boxed_slice(),
            all: all.into_boxed_slice(),
        }
    }

    /// All endpoints, usable or not.
    pub fn all(&self) -> &[Member] {
        &self.all
    }

    /// Those that requests may go to.
    pub fn candidates(&self) -> &[Member] {
        &self.candidates
    }

    /// Are the candidates endpoints that health checks call dead, because they call all of them dead?
    pub fn is_panic(&self) -> bool {
        self.panic
    }

    pub(crate) fn draws(&self) -> &Draws {
        &self.draws
    }

    /// Would a set built now from the same members choose among the same endpoints?
    pub(crate) fn is_current(&self) -> bool {
        let (candidates, panic) = choose(&self.all);
        panic == self.panic
            && candidates.len() == self.candidates.len()
            && candidates
                .iter()
                .zip(&self.candidates)
                .all(|(a, b)| Arc::ptr_eq(&a.endpoint, &b.endpoint))
    }
}

/// The candidates among `all`, and whether they are an emergency.
fn choose(all: &[Member]) -> (Vec<Member>, bool) {
    let those = |keep: fn(&Endpoint) -> bool| -> Vec<Member> {
        all.iter().filter(|m| keep(&m.endpoint)).cloned().collect()
    };
    let usable = those(Endpoint::is_usable);
    if !usable.is_empty() {
        return (usable, false);
    }
    let not_drained = those(|e| !e.is_draining());
    let panic = !not_drained.is_empty();
    (not_drained, panic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Thresholds;

    #[test]
    fn candidates_by_state() {
        let t = Thresholds {
            healthy_after: 1,
            unhealthy_after: 1,
        };
        // u unknown, h healthy, d dead (unhealthy), o taken out by an operator
        for (states, expected, panic) in [
            ("", "", false),
            ("uh", "uh", false),
            ("udh", "uh", false),
            ("dd", "dd", true),
            ("do", "d", true),
            ("oo", "", false),
            ("ho", "h", false),
        ] {
            let member = |state: char| {
                let endpoint = Endpoint::new(([127, 0, 0, 1], 1).into(), state.to_string());
                match state {
                    'h' => drop(endpoint.checked_as(t, Ok(()), 0)),
                    'd' => drop(endpoint.checked_as(t, Err("dead"), 0)),
                    'o' => drop(endpoint.set_draining(true, 0)),
                    _ => {}
                }
                Member {
                    endpoint: Arc::new(endpoint),
                    weight: 1,
                }
            };
            let set = EndpointSet::new(states.chars().map(member).collect());
            let candidates: String = set
                .candidates()
                .iter()
                .map(|m| &**m.endpoint.label())
                .collect();
            assert_eq!(
                (candidates.as_str(), set.is_panic()),
                (expected, panic),
                "{states}"
            );
            assert!(set.is_current());
        }
    }
}
