//! What an answer means, and when to ask again. Pure.
//!
//! Names are asked again when their TTL ends, within bounds: a TTL of 0 must not become a busy loop, and one of a day must
//! not hide a move for a day. Waits are stretched by up to 10 %, never shortened: before its TTL ends, a cache on
//! the way would only repeat itself.
//!
//! A failure never takes endpoints away. If the name server is down, slow, or says that a name which had addresses does
//! not exist (which is what a broken or half-loaded server says), the last addresses are the best guess there is, and
//! health checks know better than DNS whether they work. Only a positive answer replaces them. The two families
//! fail alone: a lost AAAA answer must not halve a service.

use std::net::IpAddr;
use std::time::Duration;

use super::retry::Retry;
use super::{Answer, Records, ResolveError};
use crate::rng::Rng;

/// Bounds on how often a name is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshLimits {
    /// Answers are kept for at least this long, whatever their TTL.
    pub min_ttl: Duration,
    /// And for at most this long.
    pub max_ttl: Duration,
    /// Wait after the first failure; it doubles with every further one.
    pub first_retry: Duration,
    /// The longest such wait.
    pub max_retry: Duration,
}

impl Default for RefreshLimits {
    /// TTL from 1 s to 10 min, retries from 1 s to 30 s.
    fn default() -> Self {
        Self {
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_secs(600),
            first_retry: Duration::from_secs(1),
            max_retry: Duration::from_secs(30),
        }
    }
}

/// Most addresses that one name stands for, in each family. More are ignored.
const MAX_ADDRESSES: usize = 1024;

/// What is known of one name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refresh {
    v4: Vec<IpAddr>,
    v6: Vec<IpAddr>,
    retry: Retry,
}

/// What to do after an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// Did the addresses change?
    pub(crate) changed: bool,
    /// What went wrong, if anything did.
    pub(crate) error: Option<ResolveError>,
    /// When to ask again.
    pub(crate) delay: Duration,
}

impl Refresh {
    /// A name that stood for these addresses.
    pub(crate) fn from_addresses(addresses: &[IpAddr]) -> Self {
        let (v4, v6) = addresses.iter().partition(|ip| ip.is_ipv4());
        Self {
            v4: sorted(v4),
            v6: sorted(v6),
            retry: Retry::default(),
        }
    }

    /// The addresses in a stable order, however servers rotate them: IPv4 first.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        [&self.v4[..], &self.v6[..]].concat()
    }

    /// Failures in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.retry.failures()
    }

    /// Takes an answer in.
    pub(crate) fn on_answer(
        &mut self,
        answer: Answer,
        limits: &RefreshLimits,
        rng: &mut Rng,
    ) -> Step {
        let mut error = None;
        let mut ttl = limits.max_ttl;
        let mut found = [None, None];
        for (family, result) in found.iter_mut().zip([answer.v4, answer.v6]) {
            match result {
                Ok(records) => {
                    if !records.addresses.is_empty() {
                        ttl = ttl.min(records.ttl);
                    }
                    *family = Some(records);
                }
                Err(e) => error = error.or(Some(e)),
            }
        }
        let empty =
            |family: &Option<Records>| family.as_ref().is_none_or(|r| r.addresses.is_empty());
        if found.iter().all(empty) {
            // Nothing positive in it: keep everything.
            error = error.or(Some(ResolveError::NoAddress));
            found = [None, None];
        }
        let mut changed = false;
        for (known, family) in [&mut self.v4, &mut self.v6].into_iter().zip(found) {
            if let Some(records) = family {
                let addresses = sorted(records.addresses);
                changed |= addresses != *known;
                *known = addresses;
            }
        }
        let delay = match error {
            Some(_) => self.retry.failed(limits, rng),
            None => self.retry.answered(ttl, limits, rng),
        };
        Step {
            changed,
            error,
            delay,
        }
    }
}

fn sorted(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(MAX_ADDRESSES);
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn records(addresses: &[&str], ttl: u64) -> Result<Records, ResolveError> {
        let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
        Ok(Records {
            addresses,
            ttl: Duration::from_secs(ttl),
        })
    }

    fn servfail() -> Result<Records, ResolveError> {
        Err(ResolveError::Failed("SERVFAIL".into()))
    }

    struct Name(Refresh, Rng);

    impl Name {
        fn new() -> Self {
            Self(Refresh::default(), Rng::new(1))
        }

        /// The step, and the addresses after it.
        fn answer(
            &mut self,
            v4: Result<Records, ResolveError>,
            v6: Result<Records, ResolveError>,
        ) -> (Step, Vec<String>) {
            let step = self
                .0
                .on_answer(Answer { v4, v6 }, &RefreshLimits::default(), &mut self.1);
            (
                step,
                self.0.addresses().iter().map(ToString::to_string).collect(),
            )
        }
    }

    fn about(delay: Duration, seconds: u64) -> bool {
        let base = SECOND * seconds as u32;
        base <= delay && delay <= base.mul_f64(1.1)
    }

    #[test]
    fn both_families_and_the_shorter_ttl_count() {
        let mut name = Name::new();
        let (step, addresses) = name.answer(
            records(&["10.0.0.2", "10.0.0.1"], 60),
            records(&["::2"], 30),
        );
        assert_eq!(addresses, ["10.0.0.1", "10.0.0.2", "::2"]);
        assert!(
            step.changed && step.error.is_none() && about(step.delay, 30),
            "{step:?}"
        );
        let (step, _) = name.answer(
            records(&["10.0.0.1", "10.0.0.2"], 60),
            records(&["::2"], 60),
        );
        assert!(!step.changed, "only rotated");
    }

    #[test]
    fn ttl_is_clamped() {
        for (ttl, delay) in [
            (0, 1),
            (1, 1),
            (5, 5),
            (600, 600),
            (86_400, 600),
            (u64::from(u32::MAX), 600),
        ] {
            let (step, _) = Name::new().answer(records(&["10.0.0.1"], ttl), records(&[], 5));
            assert!(about(step.delay, delay), "{ttl}: {step:?}");
        }
    }

    #[test]
    fn failures_keep_addresses_and_back_off() {
        let mut name = Name::new();
        name.answer(records(&["10.0.0.1"], 5), records(&[], 5));
        for delay in [1, 2, 4, 8, 16, 30, 30] {
            let (step, addresses) = name.answer(servfail(), servfail());
            assert_eq!(addresses, ["10.0.0.1"]);
            assert!(
                !step.changed && step.error.is_some() && about(step.delay, delay),
                "{step:?}"
            );
        }
        let (step, addresses) = name.answer(records(&["10.0.0.9"], 5), records(&[], 5));
        assert_eq!(
            (step.changed, addresses),
            (true, vec!["10.0.0.9".to_owned()])
        );
        assert!(
            about(name.answer(servfail(), servfail()).0.delay, 1),
            "an answer resets the backoff"
        );
    }

    #[test]
    fn negative_answers_keep_addresses() {
        let mut name = Name::new();
        name.answer(records(&["10.0.0.1"], 5), records(&["::1"], 5));
        let none = || Err(ResolveError::NoSuchName);
        let (step, addresses) = name.answer(none(), none());
        assert_eq!(
            (step.error, addresses.len()),
            (Some(ResolveError::NoSuchName), 2)
        );
        let (step, addresses) = name.answer(records(&[], 5), records(&[], 5));
        assert_eq!(
            (step.error, addresses.len()),
            (Some(ResolveError::NoAddress), 2)
        );
    }

    #[test]
    fn families_fail_alone() {
        let mut name = Name::new();
        name.answer(records(&["10.0.0.1"], 60), records(&["::1"], 60));
        let (step, addresses) = name.answer(records(&["10.0.0.2"], 60), servfail());
        assert_eq!(addresses, ["10.0.0.2", "::1"], "v4 is news, v6 is kept");
        assert!(step.changed && step.error.is_some() && about(step.delay, 1));
        let (_, addresses) = name.answer(records(&["10.0.0.2"], 60), records(&[], 60));
        assert_eq!(
            addresses,
            ["10.0.0.2"],
            "a positive answer may end a family"
        );
        let (_, addresses) = name.answer(servfail(), records(&[], 60));
        assert_eq!(addresses, ["10.0.0.2"], "but not one half of a failure");
    }

    #[test]
    fn hostile_answers_are_bounded() {
        let many = (0..5000u32)
            .map(|i| IpAddr::from(i.to_be_bytes()))
            .collect();
        let mut name = Name::new();
        let (_, addresses) = name.answer(
            Ok(Records {
                addresses: many,
                ttl: SECOND,
            }),
            records(&[], 5),
        );
        assert_eq!(addresses.len(), MAX_ADDRESSES);
    }
}
