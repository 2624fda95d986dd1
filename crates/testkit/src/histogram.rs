//! Latencies, counted in buckets that are at most 1.6 % wide.

use std::time::Duration;

/// Each power of two of nanoseconds is cut into this many buckets.
const SUB: u64 = 64;
const SUB_BITS: u32 = SUB.trailing_zeros();

/// A histogram of durations from a nanosecond to centuries, in fixed memory.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; ((64 - SUB_BITS as usize) + 1) * SUB as usize],
            total: 0,
            max: Duration::ZERO,
        }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, value: Duration) {
        let nanos = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
        self.max = self.max.max(value);
    }

    /// Adds all that another has counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        self.max
    }

    /// The duration that `percent` of all are not above (the upper edge of its bucket); zero when nothing was counted.
    pub fn percentile(&self, percent: f64) -> Duration {
        let rank = ((percent / 100.0) * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank && *count > 0 {
                return Duration::from_nanos(upper_edge(index)).min(self.max);
            }
        }
        self.max
    }
}

fn bucket(nanos: u64) -> usize {
    if nanos < SUB {
        return nanos as usize;
    }
    let shift = nanos.ilog2() - SUB_BITS;
    ((u64::from(shift) + 1) * SUB + ((nanos >> shift) - SUB)) as usize
}

fn upper_edge(index: usize) -> u64 {
    let index = index as u64;
    if index < SUB {
        return index;
    }
    let shift = (index / SUB - 1) as u32;
    let low = (SUB + index % SUB) << shift;
    low + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket() {
        for exponent in 0..63 {
            for offset in [0, 1, 3] {
                let nanos = (1_u64 << exponent) + offset * (1 << exponent) / 5;
                let edge = upper_edge(bucket(nanos));
                assert!(
                    edge >= nanos && edge as f64 <= nanos as f64 * 1.016,
                    "{nanos} {edge}"
                );
            }
        }
    }

    #[test]
    fn percentiles_of_a_ramp() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|millis| histogram.record(Duration::from_millis(millis)));
        for (percent, expected) in [(50.0, 500.0), (99.0, 990.0), (99.9, 999.0), (100.0, 1000.0)] {
            let found = histogram.percentile(percent).as_secs_f64() * 1000.0;
            assert!((found / expected - 1.0).abs() < 0.016, "{percent}: {found}");
        }
        assert_eq!(Histogram::default().percentile(99.0), Duration::ZERO);
    }
}
