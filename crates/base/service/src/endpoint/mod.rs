//! One place to send requests to, shared by all workers.
//!
//! An endpoint is an address with a memory: requests in flight, how often it was chosen lately, whether connecting works,
//! what health checks say. It keeps that memory for as long as anything names the same address, over changes of DNS
//! and over reloads, because all of these publish new *sets* of the same [`Endpoint`]s. What a set may change (weight,
//! order, who is usable) is therefore not in here.
//!
//! The counters that every request touches share one cache line of their own, and no two endpoints share one.

mod health;
mod outlier;
mod pauses;

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use crate::balance::{Ewma, hash_address};
use crate::outlier::OutlierCounts;
use health::Checked;
pub use health::EndpointState;
use pauses::Pauses;

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
    /// Second (high half) and decayed number of picks (low half).
    rate: AtomicU64,
    pauses: Pauses,
    ewma: Ewma,
    outliers: OutlierCounts,
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

    #[test]
    fn ids_are_never_given_twice() {
        let endpoint = || Endpoint::new(SocketAddr::from(([127, 0, 0, 1], 80)), "a");
        assert_ne!(endpoint().id(), endpoint().id());
    }

    #[test]
    fn recent_picks_halve_every_second() {
        let e = Endpoint::new(SocketAddr::from(([127, 0, 0, 1], 80)), "a");
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
    fn counters_of_two_endpoints_never_share_a_line() {
        assert_eq!(align_of::<Endpoint>(), 128);
    }
}
