//! One place to send requests to, shared by all workers.
//!
//! An endpoint is an address with a memory: requests in flight, how often it was chosen lately, whether connecting works,
//! what health checks say. It keeps that memory for as long as anything names the same address, over changes of DNS
//! and over reloads, because all of these publish new *sets* of the same [`Endpoint`]s. What a set may change (weight,
//! order, who is usable) is therefore not in here.
//!
//! The counters that every request touches share one cache line of their own, and no two endpoints share one.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::balance::{Ewma, hash_address};
use crate::health::{Health, HealthTracker, Thresholds, Transition};
use crate::outlier::{Ejection, OutlierCounts};

/// Names one [`Endpoint`] for the life of the process; never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(u64);

impl EndpointId {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Relaxed))
    }

    /// The bare number, for logs and seeds.
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

/// First pause after a failed connect; it doubles with every further failure in a row.
const FIRST_PAUSE_MS: u64 = 1_000;
/// Longest such pause.
const LONGEST_PAUSE_MS: u64 = 32_000;
/// Longest that an endpoint is left alone because it asked for it.
const LONGEST_AVOID_MS: u64 = 60_000;

/// An address that serves requests, with everything that is known about it.
#[derive(Debug)]
pub struct Endpoint {
    hot: Hot,
    id: EndpointId,
    key: u64,
    address: SocketAddr,
    label: Arc<str>,
    draining: AtomicBool,
    /// Left alone as an outlier.
    ejected: AtomicBool,
    /// Since when it can be used, if it joined a running service or recovered; 0 if it was there from the beginning.
    ready_since_ms: AtomicU64,
    checked: Mutex<Checked>,
}

/// What requests write. 128 bytes, because processors fetch cache lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Hot {
    active: AtomicU32,
    connect_failures: AtomicU32,
    /// Second (high half) and decayed number of picks (low half).
    rate: AtomicU64,
    /// Until when others are preferred; 0 when connecting works as far as is known.
    paused_until_ms: AtomicU64,
    /// Until when the one request that tries a paused endpoint again has it for itself.
    probe_until_ms: AtomicU64,
    /// Until when it asked to be left alone (Retry-After); 0 if it did not.
    avoid_until_ms: AtomicU64,
    ewma: Ewma,
    outliers: OutlierCounts,
}

#[derive(Debug, Default)]
struct Checked {
    tracker: HealthTracker,
    reason: Option<Arc<str>>,
    draining_since_ms: u64,
    /// When a check last succeeded; 0 for never.
    ok_ms: u64,
    ejection: Ejection,
    /// Why it is ejected.
    ejected_for: Option<Arc<str>>,
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
    /// A new endpoint that nothing is known about. `label` is what the user wrote, for logs and metrics.
    pub fn new(address: SocketAddr, label: impl Into<Arc<str>>) -> Self {
        Self {
            hot: Hot::default(),
            id: EndpointId::next(),
            key: hash_address(address),
            address,
            label: label.into(),
            draining: AtomicBool::new(false),
            ejected: AtomicBool::new(false),
            ready_since_ms: AtomicU64::new(0),
            checked: Mutex::default(),
        }
    }

    /// Its name within this process.
    pub fn id(&self) -> EndpointId {
        self.id
    }

    /// What it is to consistent hashes and sticky sessions: the same for the same address, in every process.
    #[inline]
    pub fn key(&self) -> u64 {
        self.key
    }

    /// Where to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the user wrote: `10.0.0.1:8000`, `stable.internal:8000`.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// Requests in flight now, of all workers.
    #[inline]
    pub fn active(&self) -> u32 {
        self.hot.active.load(Relaxed)
    }

    /// How often it was chosen lately: a count that halves every second, so about twice the picks per second.
    #[inline]
    pub fn recent_picks(&self, now_ms: u64) -> u32 {
        decayed(self.hot.rate.load(Relaxed), second(now_ms))
    }

    /// Connecting failed: prefer others for a while (1 s, doubling up to 32 s), if there are others.
    ///
    /// This only keeps traffic from an endpoint that refuses connections until a health check, if there is one, has
    /// seen it; it is not a verdict. After the pause one request in a second may try it, until one succeeds.
    pub fn connect_failed(&self, now_ms: u64) {
        let until = self.hot.paused_until_ms.load(Relaxed);
        // Requests that were already under way when a pause began fail for the same reason: counted once.
        if now_ms < until {
            return;
        }
        let failures = self.hot.connect_failures.load(Relaxed);
        let pause = (FIRST_PAUSE_MS << failures.min(16)).min(LONGEST_PAUSE_MS);
        if self
            .hot
            .paused_until_ms
            .compare_exchange(until, now_ms + pause, Relaxed, Relaxed)
            .is_ok()
        {
            self.hot
                .connect_failures
                .store(failures.saturating_add(1), Relaxed);
        }
    }

    /// Connecting worked, or a response came: forget failed connects.
    #[inline]
    pub fn succeeded(&self) {
        if self.hot.paused_until_ms.load(Relaxed) != 0 {
            self.hot.connect_failures.store(0, Relaxed);
            self.hot.probe_until_ms.store(0, Relaxed);
            self.hot.paused_until_ms.store(0, Relaxed);
        }
    }

    /// It asked to be left alone for so long (Retry-After, RFC 9110, 10.2.3): prefer others, if there are others.
    pub fn avoid_for(&self, wait_ms: u64, now_ms: u64) {
        let until = now_ms + wait_ms.min(LONGEST_AVOID_MS);
        self.hot.avoid_until_ms.fetch_max(until, Relaxed);
    }

    /// Are others preferred because connecting failed, or because it asked to be left alone?
    #[inline]
    pub fn is_paused(&self, now_ms: u64) -> bool {
        if now_ms < self.hot.avoid_until_ms.load(Relaxed) {
            return true;
        }
        let until = self.hot.paused_until_ms.load(Relaxed);
        until != 0 && (now_ms < until || now_ms < self.hot.probe_until_ms.load(Relaxed))
    }

    /// May a request go here? After a pause only the caller that wins the race may: it is the probe, and the next
    /// one is a second away, so a dead endpoint costs one failed connect a second at most, however many workers.
    #[inline]
    pub(crate) fn admit(&self, now_ms: u64) -> bool {
        if now_ms < self.hot.avoid_until_ms.load(Relaxed) {
            return false;
        }
        let until = self.hot.paused_until_ms.load(Relaxed);
        if until == 0 {
            return true;
        }
        let probe = self.hot.probe_until_ms.load(Relaxed);
        now_ms >= until
            && now_ms >= probe
            && self
                .hot
                .probe_until_ms
                .compare_exchange(probe, now_ms + FIRST_PAUSE_MS, Relaxed, Relaxed)
                .is_ok()
    }

    /// What there is to say about it if the last connects failed, whatever its state.
    pub(crate) fn unreachable(&self) -> Option<Arc<str>> {
        let failures = self.hot.connect_failures.load(Relaxed);
        (failures > 0).then(|| "connecting failed; tried now and then until it works".into())
    }

    /// Counts a request in. Only [`Picked`](crate::Picked) calls this, and its drop calls [`Self::finish`].
    #[inline]
    pub(crate) fn start(&self, now_ms: u64) {
        self.hot.active.fetch_add(1, Relaxed);
        let now = second(now_ms);
        let rate = self.hot.rate.load(Relaxed);
        if second_of(rate) < now {
            // The first pick in a new second folds the decay in. Whoever loses this race just counts.
            let folded = (u64::from(now) << 32) | (u64::from(decayed(rate, now)) + 1);
            if self
                .hot
                .rate
                .compare_exchange(rate, folded, Relaxed, Relaxed)
                .is_ok()
            {
                return;
            }
        }
        self.hot.rate.fetch_add(1, Relaxed);
    }

    /// Counts a request out.
    #[inline]
    pub(crate) fn finish(&self) {
        self.hot.active.fetch_sub(1, Relaxed);
    }

    /// How an attempt went, for balancing by response time.
    #[inline]
    pub(crate) fn timed(&self, ok: bool, latency_us: u64, now_ms: u64) {
        if ok {
            self.hot.ewma.observe(latency_us, now_ms);
        } else {
            self.hot.ewma.fail(now_ms);
        }
    }

    /// What it would cost to send a request here beside so many in flight; lower is better.
    #[inline]
    pub(crate) fn score(&self, active: u32, now_ms: u64) -> u64 {
        self.hot.ewma.score(active, 1, now_ms)
    }

    /// How its attempts went, for finding outliers.
    #[inline]
    pub(crate) fn outliers(&self) -> &OutlierCounts {
        &self.hot.outliers
    }

    /// May new requests be sent here, as far as health checks, operators and the outcome of requests say?
    pub fn is_usable(&self) -> bool {
        !self.is_draining() && !self.is_ejected() && self.checked().tracker.verdict().is_usable()
    }

    /// Do health checks and operators allow it? Ejection is not looked at.
    pub(crate) fn is_sound(&self) -> bool {
        !self.is_draining() && self.checked().tracker.verdict().is_usable()
    }

    /// Is it left alone because requests failed?
    pub fn is_ejected(&self) -> bool {
        self.ejected.load(Relaxed)
    }

    /// What is remembered of its ejections.
    pub(crate) fn ejection(&self) -> Ejection {
        self.checked().ejection
    }

    /// Remembers that, and nothing else.
    pub(crate) fn keep_ejection(&self, ejection: Ejection) {
        self.checked().ejection = ejection;
    }

    /// It is left alone from now on, for this reason.
    pub(crate) fn eject(&self, reason: Arc<str>) {
        self.checked().ejected_for = Some(reason);
        self.ejected.store(true, Relaxed);
    }

    /// Its ejection is over.
    pub(crate) fn restore(&self, now_ms: u64) {
        self.checked().ejected_for = None;
        self.ejected.store(false, Relaxed);
        self.joined(now_ms);
    }

    /// When a health check last succeeded; 0 for never.
    pub(crate) fn checked_ok_ms(&self) -> u64 {
        self.checked().ok_ms
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

    fn checked(&self) -> MutexGuard<'_, Checked> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

fn second(now_ms: u64) -> u32 {
    (now_ms / 1000) as u32
}

fn second_of(rate: u64) -> u32 {
    (rate >> 32) as u32
}

/// Halves the count for every second that passed. All endpoints halve at the same moments, so comparisons stay fair.
#[inline]
fn decayed(rate: u64, now: u32) -> u32 {
    let age = now.saturating_sub(second_of(rate));
    (rate as u32).checked_shr(age).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint::new(SocketAddr::from(([127, 0, 0, 1], 80)), "a")
    }

    const T: Thresholds = Thresholds {
        healthy_after: 2,
        unhealthy_after: 2,
    };

    #[test]
    fn ids_are_never_given_twice() {
        assert_ne!(endpoint().id(), endpoint().id());
    }

    #[test]
    fn recent_picks_halve_every_second() {
        let e = endpoint();
        (0..100).for_each(|_| e.start(5_000));
        assert_eq!(e.active(), 100);
        for (at, expected) in [
            (5_000, 100),
            (5_999, 100),
            (6_000, 50),
            (7_000, 25),
            (8_500, 12),
            (60_000, 0),
        ] {
            assert_eq!(e.recent_picks(at), expected, "at {at}");
        }
        e.start(6_100);
        assert_eq!(e.recent_picks(6_100), 51);
        // A worker whose clock reading is a little older does not set the count back.
        e.start(5_999);
        assert_eq!(e.recent_picks(6_100), 52);
    }

    #[test]
    fn failed_connects_pause_and_back_off() {
        let e = endpoint();
        assert!(e.admit(0) && !e.is_paused(0));
        e.connect_failed(10_000);
        e.connect_failed(10_001); // same outage
        assert!(e.is_paused(10_999) && !e.admit(10_999));
        assert!(!e.is_paused(11_000));
        assert!(e.admit(11_000), "one probe");
        assert!(!e.admit(11_000) && e.is_paused(11_000), "and only one");
        e.connect_failed(11_010);
        assert!(!e.admit(13_009));
        assert!(e.admit(13_010), "the second pause is 2 s");
        assert!(!e.admit(13_011));
        assert!(
            e.admit(14_010),
            "a probe that never reported is replaced after 1 s"
        );
        e.succeeded();
        assert!(e.admit(14_011) && e.admit(14_011));
        e.connect_failed(20_000);
        assert!(!e.is_paused(21_000), "a success resets the backoff");
    }

    #[test]
    fn the_pause_is_bounded() {
        let e = endpoint();
        let mut now = 1_000;
        for _ in 0..100 {
            e.connect_failed(now);
            let until = e.hot.paused_until_ms.load(Relaxed);
            assert!(until - now <= LONGEST_PAUSE_MS);
            now = until;
        }
    }

    #[test]
    fn state_tells_reason_and_age() {
        let e = endpoint();
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

    #[test]
    fn counters_of_two_endpoints_never_share_a_line() {
        assert_eq!(align_of::<Endpoint>(), 128);
    }
}
