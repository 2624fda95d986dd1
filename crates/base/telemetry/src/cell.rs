//! Single-writer metric cells.
//!
//! A worker counts several times per request, and nobody reads but the scrape. So each worker owns
//! its cells and adds with a plain load and store: no locked instruction and no cache line that
//! bounces between cores. The scrape reads every worker's cell and sums. Atomics are there for the
//! reader's sake only, `Relaxed` because each number stands alone. Two writers on one cell would
//! lose counts, never anything worse.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that only grows. Wraps after 2^64.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds one. Only the owning worker may call this.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`. Only the owning worker may call this.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// This worker's count.
    #[inline]
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down.
///
/// What one worker adds another may take away (a connection handed over), so one worker's share can
/// be negative; the sum over workers is what means something.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Adds one. Only the owning worker may call this.
    #[inline]
    pub fn inc(&self) {
        self.0.store(self.0.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// Takes one away. Only the owning worker may call this.
    #[inline]
    pub fn dec(&self) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(1), Relaxed);
    }

    /// Replaces this worker's share. Only the owning worker may call this.
    #[inline]
    pub fn set(&self, value: i64) {
        self.0.store(value.cast_unsigned(), Relaxed);
    }

    /// This worker's share.
    #[inline]
    pub fn value(&self) -> i64 {
        self.0.load(Relaxed).cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_reader_sees_growing_counts_and_the_exact_end() {
        const EACH: u64 = 200_000;
        let cells: Arc<[Counter; 4]> = Arc::default();
        let writers: Vec<_> = (0..4)
            .map(|worker| {
                let cells = Arc::clone(&cells);
                std::thread::spawn(move || (0..EACH).for_each(|_| cells[worker].inc()))
            })
            .collect();
        let mut last = 0;
        while last < 4 * EACH {
            let sum = cells.iter().map(Counter::value).sum();
            assert!(sum >= last, "went back from {last} to {sum}");
            last = sum;
            std::thread::yield_now();
        }
        for writer in writers {
            writer.join().unwrap();
        }
        assert_eq!(last, 4 * EACH);
    }

    #[test]
    fn a_gauge_share_may_be_negative() {
        let (mine, theirs) = (Gauge::default(), Gauge::default());
        mine.inc();
        mine.inc();
        theirs.dec();
        assert_eq!(theirs.value(), -1);
        assert_eq!(mine.value() + theirs.value(), 1);
        theirs.set(-5);
        assert_eq!(theirs.value(), -5);
    }

    #[test]
    fn a_counter_wraps() {
        let counter = Counter::default();
        counter.add(u64::MAX);
        counter.add(3);
        assert_eq!(counter.value(), 2);
    }
}
