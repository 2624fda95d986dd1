//! What health checks and operators say about an endpoint.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, MutexGuard, PoisonError};

use super::Endpoint;
use crate::health::{Health, HealthTracker, Thresholds, Transition};
use crate::outlier::Ejection;

#[derive(Debug, Default)]
pub(super) struct Checked {
    tracker: HealthTracker,
    reason: Option<Arc<str>>,
    draining_since_ms: u64,
    /// When a check last succeeded; 0 for never.
    ok_ms: u64,
    /// When checks found it up that had found it down; 0 for never.
    recovered_ms: u64,
    pub(super) ejection: Ejection,
    /// Why it is ejected.
    pub(super) ejected_for: Option<Arc<str>>,
}

/// What [`Endpoint::state`] tells.
#[derive(Debug, Clone)]
pub struct EndpointState {
    /// The verdict; draining wins over what checks say.
    pub health: Health,
    /// Why: the last failed check, or nothing.
    pub reason: Option<Arc<str>>,
    /// Since when, in the caller's milliseconds; 0 if never decided.
    pub since_ms: u64,
}

impl Endpoint {
    /// May new requests be sent here, as far as health checks, operators and the outcome of requests say?
    pub fn is_usable(&self) -> bool {
        !self.is_draining() && !self.is_ejected() && self.checked().tracker.verdict().is_usable()
    }

    /// Do health checks and operators allow it? Ejection is not looked at.
    pub(crate) fn is_sound(&self) -> bool {
        !self.is_draining() && self.checked().tracker.verdict().is_usable()
    }

    /// When a health check last succeeded; 0 for never.
    pub(crate) fn checked_ok_ms(&self) -> u64 {
        self.checked().ok_ms
    }

    /// When health checks, which had found it down, found it up again; 0 for never.
    pub(crate) fn recovered_ms(&self) -> u64 {
        self.checked().recovered_ms
    }

    /// It can be used from now on, and could not before.
    pub(crate) fn joined(&self, now_ms: u64) {
        self.ready_since_ms.store(now_ms.max(1), Relaxed);
    }

    /// How long it has been usable; for ever if it was there from the beginning.
    pub(crate) fn ready_for_ms(&self, now_ms: u64) -> u64 {
        match self.ready_since_ms.load(Relaxed) {
            0 => u64::MAX,
            since => now_ms.saturating_sub(since),
        }
    }

    /// Was it taken out by hand?
    pub fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// The verdict, its reason and its age.
    pub fn state(&self) -> EndpointState {
        let checked = self.checked();
        if self.is_draining() {
            let reason = Some("taken out by an operator".into());
            return EndpointState {
                health: Health::Draining,
                reason,
                since_ms: checked.draining_since_ms,
            };
        }
        if checked.tracker.verdict().is_usable()
            && let Some(reason) = &checked.ejected_for
        {
            return EndpointState {
                health: Health::Ejected,
                reason: Some(Arc::clone(reason)),
                since_ms: checked.ejection.since_ms,
            };
        }
        EndpointState {
            health: checked.tracker.verdict(),
            reason: checked.reason.clone(),
            since_ms: checked.tracker.since_ms(),
        }
    }

    /// Check results in a row that contradict the verdict.
    pub fn results_against(&self) -> u32 {
        self.checked().tracker.against()
    }

    /// Takes a health check's result in. `Err` says what was wrong.
    pub(crate) fn checked_as(
        &self,
        thresholds: Thresholds,
        result: Result<(), &str>,
        now_ms: u64,
    ) -> Option<Transition> {
        let mut checked = self.checked();
        if result.is_ok() {
            checked.ok_ms = now_ms;
        }
        let transition = checked
            .tracker
            .on_result(thresholds, result.is_ok(), now_ms);
        // The first verdict of an endpoint that just joined does not make it join again.
        if transition.is_some_and(|t| t.from == Health::Unhealthy && t.to == Health::Healthy) {
            self.joined(now_ms);
            checked.recovered_ms = now_ms;
        }
        match (result, checked.tracker.verdict()) {
            (Err(reason), Health::Unhealthy) => {
                if checked.reason.as_deref() != Some(reason) {
                    checked.reason = Some(reason.into());
                }
            }
            (_, Health::Unhealthy) => {}
            _ => checked.reason = None,
        }
        transition
    }

    /// Forgets what checks said: they are configured differently now, or not at all.
    pub(crate) fn forget_checks(&self) {
        let mut checked = self.checked();
        checked.tracker = HealthTracker::default();
        checked.reason = None;
    }

    /// Takes it out, or back in; says whether that changed anything.
    pub(crate) fn set_draining(&self, draining: bool, now_ms: u64) -> bool {
        let mut checked = self.checked();
        checked.draining_since_ms = now_ms;
        self.draining.swap(draining, Relaxed) != draining
    }

    pub(super) fn checked(&self) -> MutexGuard<'_, Checked> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Thresholds = Thresholds {
        healthy_after: 2,
        unhealthy_after: 2,
    };

    #[test]
    fn state_tells_reason_and_age() {
        let e = Endpoint::new(([127, 0, 0, 1], 80).into(), "a");
        assert_eq!(e.state().health, Health::Unknown);
        e.checked_as(T, Err("connection refused"), 7);
        let state = e.state();
        assert_eq!((state.health, state.since_ms), (Health::Unhealthy, 7));
        assert_eq!(state.reason.as_deref(), Some("connection refused"));
        e.checked_as(T, Err("timeout"), 8);
        assert_eq!(
            e.state().reason.as_deref(),
            Some("timeout"),
            "the latest reason"
        );
        e.checked_as(T, Ok(()), 9);
        assert_eq!(
            (e.state().health, e.results_against()),
            (Health::Unhealthy, 1)
        );
        assert!(e.checked_as(T, Ok(()), 10).is_some());
        assert_eq!(e.state().reason, None);
        assert!(e.set_draining(true, 11) && !e.set_draining(true, 11));
        assert_eq!((e.state().health, e.is_usable()), (Health::Draining, false));
        e.set_draining(false, 12);
        e.forget_checks();
        assert_eq!(e.state().health, Health::Unknown);
    }
}
