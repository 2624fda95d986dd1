//! Refusals that still hold.
//!
//! When the store refuses it says in how long the cost would fit. Until then nothing can make it fit: what counts only
//! grows less by time passing. So there is nothing to ask, and a client far beyond its limit costs the store one check
//! for each time that it may pass, not one for each that it tries. That the time begins when the question was sent, and
//! not when it was answered, keeps it exact: the store is asked rather too early than too late.
//!
//! Not for long, though: what an operator takes back in the store, or a store whose clock was wrong, is found out soon.
//!
//! A few are remembered, each in the one place where its key may be; another key there takes its place.

use std::sync::{Mutex, PoisonError};

use crate::{Key, Plan, Verdict};

const PLACES: usize = 1024;
/// How long a refusal is believed without asking again.
const LONGEST_MS: u64 = 5000;

/// Some of the refusals of one limit.
#[derive(Debug)]
pub(crate) struct Denials(Box<[Mutex<Option<Denial>>]>);

#[derive(Clone, Copy, Debug)]
struct Denial {
    key: Key,
    plan: Plan,
    /// What costs less might fit.
    cost: u32,
    asked_ms: u64,
    verdict: Verdict,
}

impl Denials {
    pub(crate) fn new() -> Self {
        Self((0..PLACES).map(|_| Mutex::new(None)).collect())
    }

    /// A refusal that the store gave to a question of this time.
    pub(crate) fn remember(
        &self,
        key: Key,
        plan: Plan,
        cost: u32,
        asked_ms: u64,
        verdict: Verdict,
    ) {
        let denial = Denial {
            key,
            plan,
            cost,
            asked_ms,
            verdict,
        };
        *self
            .place(key)
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(denial);
    }

    /// What the store would say, if it would refuse for sure.
    pub(crate) fn holds(&self, key: Key, plan: Plan, cost: u32, now_ms: u64) -> Option<Verdict> {
        let denial = (*self
            .place(key)
            .lock()
            .unwrap_or_else(PoisonError::into_inner))?;
        // A worker whose clock is behind the one that asked may ask again.
        let passed = now_ms.checked_sub(denial.asked_ms)?;
        let same = denial.key == key && denial.plan == plan && denial.cost <= cost;
        // What is told in milliseconds was rounded up: the last may be over already.
        let lasts = denial.verdict.retry_after_ms.min(LONGEST_MS);
        (same && passed + 1 < lasts).then(|| Verdict {
            reset_ms: denial.verdict.reset_ms.saturating_sub(passed),
            retry_after_ms: denial.verdict.retry_after_ms - passed,
            ..denial.verdict
        })
    }

    fn place(&self, key: Key) -> &Mutex<Option<Denial>> {
        &self.0[key.low() as usize % PLACES]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_holds_until_it_would_fit() {
        let verdict = Verdict {
            allowed: false,
            tier: 1,
            remaining: 2,
            reset_ms: 40,
            retry_after_ms: 100,
        };
        let denials = Denials::new();
        let (key, other) = (Key::new(1 << 100), Key::new(2 << 100));
        denials.remember(key, Plan::NONE, 3, 1000, verdict);
        let at = |now_ms| denials.holds(key, Plan::NONE, 3, now_ms);
        assert_eq!(at(1000), Some(verdict));
        let later = at(1060).expect("it holds");
        assert_eq!((later.reset_ms, later.retry_after_ms), (0, 40));
        assert!(at(1098).is_some());
        assert_eq!(at(1099), None, "it may fit");
        assert_eq!(at(999), None);
        assert!(denials.holds(key, Plan::NONE, 4, 1000).is_some());
        assert_eq!(denials.holds(key, Plan::NONE, 2, 1000), None, "it may fit");
        assert_eq!(denials.holds(other, Plan::NONE, 3, 1000), None);
        let verdict = Verdict {
            retry_after_ms: u64::MAX,
            ..verdict
        };
        denials.remember(key, Plan::NONE, 3, 1000, verdict);
        assert!(at(5998).is_some());
        assert_eq!(at(5999), None, "the store is asked again");
    }
}
