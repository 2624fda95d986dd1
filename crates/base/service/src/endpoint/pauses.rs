//! Leaving an endpoint alone for a while: because connecting failed, or because it asked for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use super::Endpoint;

/// First pause after a failed connect; it doubles with every further failure in a row.
const FIRST_PAUSE_MS: u64 = 1_000;
/// Longest such pause.
const LONGEST_PAUSE_MS: u64 = 32_000;
/// Longest that an endpoint is left alone because it asked for it.
const LONGEST_AVOID_MS: u64 = 60_000;

/// Until when, and why.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    connect_failures: AtomicU32,
    /// Until when others are preferred; 0 when connecting works as far as is known.
    until_ms: AtomicU64,
    /// Until when the one request that tries a paused endpoint again has it for itself.
    probe_until_ms: AtomicU64,
    /// Until when it asked to be left alone (Retry-After); 0 if it did not.
    avoid_until_ms: AtomicU64,
}

impl Endpoint {
    /// Connecting failed: prefer others for a while (1 s, doubling up to 32 s), if there are others.
    ///
    /// This only keeps traffic from an endpoint that refuses connections until a health check, if there is one, has
    /// seen it; it is not a verdict. After the pause one request in a second may try it, until one succeeds.
    pub fn connect_failed(&self, now_ms: u64) {
        let until = self.hot.pauses.until_ms.load(Relaxed);
        // Requests that were already under way when a pause began fail for the same reason: counted once.
        if now_ms < until {
            return;
        }
        let failures = self.hot.pauses.connect_failures.load(Relaxed);
        let pause = (FIRST_PAUSE_MS << failures.min(16)).min(LONGEST_PAUSE_MS);
        if self
            .hot
            .pauses
            .until_ms
            .compare_exchange(until, now_ms + pause, Relaxed, Relaxed)
            .is_ok()
        {
            self.hot
                .pauses
                .connect_failures
                .store(failures.saturating_add(1), Relaxed);
        }
    }

    /// Connecting worked, or a response came: forget failed connects.
    #[inline]
    pub fn succeeded(&self) {
        if self.hot.pauses.until_ms.load(Relaxed) != 0 {
            self.hot.pauses.connect_failures.store(0, Relaxed);
            self.hot.pauses.probe_until_ms.store(0, Relaxed);
            self.hot.pauses.until_ms.store(0, Relaxed);
        }
    }

    /// It asked to be left alone for so long (Retry-After, RFC 9110, 10.2.3): prefer others, if there are others.
    pub fn avoid_for(&self, wait_ms: u64, now_ms: u64) {
        let until = now_ms + wait_ms.min(LONGEST_AVOID_MS);
        self.hot.pauses.avoid_until_ms.fetch_max(until, Relaxed);
    }

    /// Are others preferred because connecting failed, or because it asked to be left alone?
    #[inline]
    pub fn is_paused(&self, now_ms: u64) -> bool {
        if now_ms < self.hot.pauses.avoid_until_ms.load(Relaxed) {
            return true;
        }
        let until = self.hot.pauses.until_ms.load(Relaxed);
        until != 0 && (now_ms < until || now_ms < self.hot.pauses.probe_until_ms.load(Relaxed))
    }

    /// May a request go here? After a pause only the caller that wins the race may: it is the probe, and the next
    /// one is a second away, so a dead endpoint costs one failed connect a second at most, however many workers.
    #[inline]
    pub(crate) fn admit(&self, now_ms: u64) -> bool {
        if now_ms < self.hot.pauses.avoid_until_ms.load(Relaxed) {
            return false;
        }
        let until = self.hot.pauses.until_ms.load(Relaxed);
        if until == 0 {
            return true;
        }
        let probe = self.hot.pauses.probe_until_ms.load(Relaxed);
        now_ms >= until
            && now_ms >= probe
            && self
                .hot
                .pauses
                .probe_until_ms
                .compare_exchange(probe, now_ms + FIRST_PAUSE_MS, Relaxed, Relaxed)
                .is_ok()
    }

    /// What there is to say about it if the last connects failed, whatever its state.
    pub(crate) fn unreachable(&self) -> Option<Arc<str>> {
        let failures = self.hot.pauses.connect_failures.load(Relaxed);
        (failures > 0).then(|| "connecting failed; tried now and then until it works".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint::new(([127, 0, 0, 1], 80).into(), "a")
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
            let until = e.hot.pauses.until_ms.load(Relaxed);
            assert!(until - now <= LONGEST_PAUSE_MS);
            now = until;
        }
    }
}
