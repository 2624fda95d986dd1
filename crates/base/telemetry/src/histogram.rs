//! Latency histograms.
//!
//! The buckets are the preferred numbers of ISO 3, series R10: ten steps of about 1.26 per decade,
//! from 50 µs to 125 s. That is fine enough to read a percentile from (an estimate is at most 13 %
//! off), and unlike powers of two the series contains the 1, 2.5 and 5 that people write objectives
//! in: the `le` bounds shown to Prometheus are a subset of the real bounds, so what they count is
//! exact.
//!
//! Finding the bucket takes no loop. A quarter of an octave spans a ratio of at most 1.25 and
//! neighbouring bounds are at least 1.25 apart, so each quarter holds at most one bound: the
//! position of the top bit and the two bits below it index a table of first candidates, and one
//! comparison settles it.

use crate::cell::Counter;
use std::time::Duration;

/// Three significant digits of ISO 3 R10.
const R10: [u64; 10] = [100, 125, 160, 200, 250, 315, 400, 500, 630, 800];
/// Where 50 µs stands in the series, counted from 10 µs.
const FIRST: usize = 7;
const BOUNDS: usize = 65;
/// One bucket below each bound, and one above the last.
const BUCKETS: usize = BOUNDS + 1;
/// All bounds are above 2^LOW ns and below 2^HIGH ns.
const LOW: u32 = 15;
const HIGH: u32 = 37;
const QUARTERS: usize = 4 * (HIGH - LOW) as usize;

/// Upper bounds in nanoseconds, inclusive; the last is open.
const BOUND: [u64; BUCKETS] = {
    let mut bounds = [u64::MAX; BUCKETS];
    let mut i = 0;
    while i < BOUNDS {
        let place = FIRST + i;
        bounds[i] = R10[place % 10] * 100 * 10u64.pow((place / 10) as u32);
        i += 1;
    }
    bounds
};

/// For each quarter octave, how many bounds lie below its start.
const START: [u8; QUARTERS] = {
    let mut table = [0; QUARTERS];
    let mut quarter = 0;
    while quarter < QUARTERS {
        let low = (4 + quarter as u64 % 4) << (LOW - 2 + quarter as u32 / 4);
        let mut below = 0;
        while BOUND[below] < low {
            below += 1;
        }
        table[quarter] = below as u8;
        quarter += 1;
    }
    table
};

/// Counts durations of one kind on one worker. Only the owning worker may record.
#[derive(Debug)]
pub struct Histogram {
    buckets: [Counter; BUCKETS],
    /// In microseconds: nanoseconds of 10,000 waiting requests would wrap within a month.
    sum: Counter,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: [const { Counter::new() }; BUCKETS],
            sum: Counter::default(),
        }
    }
}

impl Histogram {
    /// Counts one duration.
    #[inline]
    pub fn record(&self, duration: Duration) {
        let nanos = duration
            .as_secs()
            .saturating_mul(1_000_000_000)
            .saturating_add(u64::from(duration.subsec_nanos()));
        self.buckets[bucket(nanos)].inc();
        self.sum.add(nanos / 1000);
    }
}

/// The bucket whose bound is the smallest that is not below `nanos`.
#[inline]
fn bucket(nanos: u64) -> usize {
    let v = nanos.clamp(1 << LOW, (1 << HIGH) - 1);
    let octave = v.ilog2();
    let quarter = ((octave - LOW) << 2) as usize | ((v >> (octave - 2)) & 3) as usize;
    let start = usize::from(START[quarter]);
    start + usize::from(nanos > BOUND[start])
}

/// The sum of several workers' histograms.
#[derive(Debug)]
pub(crate) struct Totals {
    buckets: [u64; BUCKETS],
    /// Microseconds.
    pub(crate) sum: u64,
}

impl Totals {
    pub(crate) const fn new() -> Self {
        Self {
            buckets: [0; BUCKETS],
            sum: 0,
        }
    }

    pub(crate) fn add(&mut self, histogram: &Histogram) {
        for (total, bucket) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *total = total.wrapping_add(bucket.value());
        }
        self.sum = self.sum.wrapping_add(histogram.sum.value());
    }

    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The bounds shown, in nanoseconds, each with how many durations did not exceed it.
    pub(crate) fn shown(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut upto = 0;
        BOUND[..BOUNDS]
            .iter()
            .enumerate()
            .filter_map(move |(i, bound)| {
                upto += self.buckets[i];
                is_shown(i).then_some((*bound, upto))
            })
    }
}

/// 1, 2.5 and 5 of each decade, and 100 s as the last.
const fn is_shown(i: usize) -> bool {
    matches!((FIRST + i) % 10, 0 | 4 | 7) && i < BOUNDS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(nanos: u64) -> usize {
        BOUND.iter().position(|bound| nanos <= *bound).unwrap()
    }

    #[test]
    fn bounds_are_what_they_should_be() {
        assert_eq!(BOUND[0], 50_000);
        assert_eq!(BOUND[3], 100_000);
        assert_eq!(BOUND[BOUNDS - 1], 125_000_000_000);
        assert!(BOUND[0] > 1 << LOW && BOUND[BOUNDS - 1] < 1 << HIGH);
        for pair in BOUND[..BOUNDS].windows(2) {
            assert!(
                pair[1] * 4 >= pair[0] * 5,
                "{pair:?} are too close for the table"
            );
        }
    }

    #[test]
    fn every_edge_is_exact() {
        for edge in BOUND.iter().copied().chain((0..64).map(|bit| 1 << bit)) {
            for nanos in [edge.saturating_sub(1), edge, edge.saturating_add(1)] {
                assert_eq!(bucket(nanos), naive(nanos), "{nanos} ns");
            }
        }
    }

    proptest! {
        #[test]
        fn any_duration_finds_its_bucket(bits in 0u32..64, nanos: u64) {
            let nanos = nanos >> bits;
            prop_assert_eq!(bucket(nanos), naive(nanos));
        }
    }

    #[test]
    fn totals_add_up_over_workers() {
        let workers = [Histogram::default(), Histogram::default()];
        workers[0].record(Duration::from_micros(1));
        workers[0].record(Duration::from_millis(1));
        workers[1].record(Duration::from_micros(1001));
        workers[1].record(Duration::from_secs(3600));
        workers[1].record(Duration::MAX);
        let mut totals = Totals::new();
        workers.iter().for_each(|worker| totals.add(worker));
        assert_eq!(totals.count(), 5);
        let shown: Vec<_> = totals.shown().collect();
        assert_eq!(shown.len(), 20);
        assert_eq!(shown[0], (50_000, 1));
        assert!(shown.contains(&(1_000_000, 2)));
        assert!(shown.contains(&(2_500_000, 3)));
        assert_eq!(shown[19], (100_000_000_000, 3));
    }
}
