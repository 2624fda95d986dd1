//! When a server is not asked any more.
//!
//! Those who ask say how it went; a few failures in a row open the breaker, and then nobody asks and nobody waits. It
//! does not let single requests through to find out whether the server is back, as breakers often do: each of them would
//! wait for nothing. The task that owns the connection tries on its own, and closes the breaker when a whole check was
//! answered in time.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::error::tidy;

/// One server's breaker.
#[derive(Debug)]
pub(crate) struct Breaker {
    failures_to_open: u32,
    failures: AtomicU32,
    open: AtomicBool,
    opened: AtomicU64,
    /// Why it opened last.
    why: Mutex<String>,
    /// Tells the connection's task that requests opened it.
    tripped: Notify,
}

impl Breaker {
    /// A closed one, which opens after so many failures in a row.
    pub(crate) fn new(failures_to_open: u32) -> Self {
        Self {
            failures_to_open: failures_to_open.max(1),
            failures: AtomicU32::new(0),
            open: AtomicBool::new(false),
            opened: AtomicU64::new(0),
            why: Mutex::default(),
            tripped: Notify::new(),
        }
    }

    /// Whether the server is not asked.
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// An answer came in time.
    pub(crate) fn succeeded(&self) {
        // Almost always there is nothing to write, and then nothing moves between cores.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// None came, or not the right one. True for the failure that opened it.
    pub(crate) fn failed(&self, why: &dyn std::fmt::Display) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        let opened = failures >= self.failures_to_open && self.open(why);
        if opened {
            self.tripped.notify_one();
        }
        opened
    }

    /// Opens it, for a reason that needs no counting. False if it was open.
    pub(crate) fn open(&self, why: &dyn std::fmt::Display) -> bool {
        if self.open.swap(true, Ordering::AcqRel) {
            return false;
        }
        self.opened.fetch_add(1, Ordering::Relaxed);
        self.explain(why);
        true
    }

    /// Notes why it is still open.
    pub(crate) fn explain(&self, why: &dyn std::fmt::Display) {
        *self.why.lock().unwrap_or_else(PoisonError::into_inner) = tidy(why);
    }

    /// Closes it: the server answers.
    pub(crate) fn close(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.open.store(false, Ordering::Release);
    }

    /// Ends when requests have opened it.
    pub(crate) async fn tripped(&self) {
        loop {
            self.tripped.notified().await;
            // The note may be left from an earlier time.
            if self.is_open() {
                return;
            }
        }
    }

    /// How often it has opened.
    pub(crate) fn times_opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Why it opened last; empty if it never did.
    pub(crate) fn why(&self) -> String {
        self.why
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_open_it() {
        let breaker = Breaker::new(3);
        for _ in 0..10 {
            assert!(!breaker.failed(&"slow"));
            assert!(!breaker.failed(&"slow"));
            breaker.succeeded();
        }
        assert!(!breaker.failed(&"slow"));
        assert!(!breaker.failed(&"slow"));
        assert!(!breaker.is_open());
        assert!(breaker.failed(&"slow"));
        assert!(breaker.is_open());
        assert!(!breaker.failed(&"slow"), "only the first opens it");
        breaker.succeeded();
        assert!(breaker.is_open(), "a late answer does not close it");
        breaker.close();
        assert!(!breaker.is_open());
        assert!(!breaker.failed(&"slow"), "it begins anew");
        assert_eq!((breaker.times_opened(), &*breaker.why()), (1, "slow"));
    }
}
