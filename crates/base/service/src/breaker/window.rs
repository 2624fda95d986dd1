//! How results went lately: a sliding window of ten buckets that many threads write without waiting for each other.
//!
//! Each bucket has one word for each of the four kinds of result (good or failed, quick or slow), and each word carries the
//! number of the bucket-time that it counts, so that counting is one atomic addition and no reader can mistake an old count
//! for a new one. A word whose number is out of date is replaced by whoever gets there first. The window therefore covers
//! between nine tenths and all of its length.
//!
//! Forgetting everything is moving on by ten bucket-times: all words become out of date at once.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Buckets of a window.
pub(super) const BUCKETS: u64 = 10;

/// The low bits of a word count results, the others number the bucket-time: at 10 ms a bucket, the shortest, they last for 20 years.
const COUNT_BITS: u32 = 28;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
/// A word that counted this many stays there. Only additions that are under way at that moment go beyond.
const FULL: u64 = COUNT_MASK - 0xffff;

/// Results of the last while.
#[derive(Debug)]
pub(super) struct Window {
    bucket_ms: u64,
    /// Bucket-times by which [`Self::clear`] has moved on.
    skipped: AtomicU64,
    buckets: Box<[Bucket; BUCKETS as usize]>,
}

/// Good, failed, slow, failed and slow. Workers write them all the time: a cache line for each bucket, apart from what
/// they only read.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Bucket([AtomicU64; 4]);

/// Results that a breaker decides by. One that failed slowly is in both counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Results {
    /// All of them.
    pub requests: u64,
    /// Those that failed.
    pub failures: u64,
    /// Those that took too long.
    pub slow: u64,
}

impl Window {
    /// An empty window of ten buckets that are `bucket_ms` long each.
    pub(super) fn new(bucket_ms: u64) -> Self {
        Self {
            bucket_ms: bucket_ms.max(1),
            // Words start at 0, so no valid number may be 0.
            skipped: AtomicU64::new(BUCKETS),
            buckets: Box::new(array::from_fn(|_| Bucket::default())),
        }
    }

    /// Counts a result. Dropped if this thread's clock is so late that its bucket is no longer in the window.
    #[inline]
    pub(super) fn add(&self, failed: bool, slow: bool, now_ms: u64) {
        let number = self.number(now_ms);
        let bucket = &self.buckets[(number % BUCKETS) as usize];
        let word = &bucket.0[usize::from(failed) | usize::from(slow) << 1];
        let mut seen = word.load(Relaxed);
        loop {
            let counted = seen >> COUNT_BITS;
            if counted == number {
                if seen & COUNT_MASK < FULL {
                    // If the word was replaced since it was read, this result counts as one of ten bucket-times later.
                    word.fetch_add(1, Relaxed);
                }
                return;
            }
            if counted > number {
                return;
            }
            let fresh = number << COUNT_BITS | 1;
            match word.compare_exchange_weak(seen, fresh, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    /// What is in the window now. Results of threads whose clocks are ahead are in it already.
    pub(super) fn results(&self, now_ms: u64) -> Results {
        let oldest = self.number(now_ms).saturating_sub(BUCKETS - 1);
        let mut sums = Results::default();
        for bucket in self.buckets.iter() {
            let counts = bucket.0.each_ref().map(|word| {
                let word = word.load(Relaxed);
                let current = word >> COUNT_BITS >= oldest;
                if current { word & COUNT_MASK } else { 0 }
            });
            sums.requests += counts.iter().sum::<u64>();
            sums.failures += counts[1] + counts[3];
            sums.slow += counts[2] + counts[3];
        }
        sums
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.skipped.fetch_add(BUCKETS, Relaxed);
    }

    /// The number of the bucket-time at `now_ms`, at least [`BUCKETS`].
    #[inline]
    fn number(&self, now_ms: u64) -> u64 {
        let number = now_ms / self.bucket_ms + self.skipped.load(Relaxed);
        number & (u64::MAX >> COUNT_BITS)
    }
}
