//! How long answers took lately: quantiles in constant memory.

/// Buckets for each doubling; the answer is off by an eighth at most.
const PER_DOUBLING: u32 = 8;
/// From one microsecond to half an hour.
const BUCKETS: usize = 31 * PER_DOUBLING as usize;
/// Below this many there is no quantile worth acting upon.
const ENOUGH: u32 = 100;
/// Counts are halved this often, so that what was long ago fades.
const HALVED_EVERY_MS: u64 = 10_000;

/// A histogram of latencies that forgets, for one worker.
#[derive(Debug, Default)]
pub struct Latencies {
    /// Made with the first latency.
    counts: Box<[u32]>,
    total: u32,
    halve_at_ms: u64,
}

impl Latencies {
    /// An answer took this long.
    pub fn record(&mut self, latency_us: u64, now_ms: u64) {
        if self.counts.is_empty() {
            self.counts = vec![0; BUCKETS].into_boxed_slice();
            self.halve_at_ms = now_ms + HALVED_EVERY_MS;
        }
        if now_ms >= self.halve_at_ms {
            self.halve_at_ms = now_ms + HALVED_EVERY_MS;
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().sum();
        }
        self.counts[bucket(latency_us)] += 1;
        self.total += 1;
    }

    /// What 95 of 100 answers took at most, in microseconds; `None` while too little is known.
    pub fn p95_us(&self) -> Option<u64> {
        if self.total < ENOUGH {
            return None;
        }
        let beyond = self.total / 20;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate().rev() {
            seen += count;
            if seen > beyond {
                return Some(upper_bound(index));
            }
        }
        None
    }
}

fn bucket(latency_us: u64) -> usize {
    let us = latency_us.max(1);
    let doubling = us.ilog2();
    // The bits behind the first one say where within the doubling.
    let part = if doubling >= 3 {
        (us >> (doubling - 3)) & 7
    } else {
        (us << (3 - doubling)) & 7
    };
    ((doubling * PER_DOUBLING) as usize + part as usize).min(BUCKETS - 1)
}

/// The least latency that is above all of the bucket.
fn upper_bound(index: usize) -> u64 {
    let (doubling, part) = (
        index as u32 / PER_DOUBLING,
        index as u64 % u64::from(PER_DOUBLING),
    );
    ((8 + part + 1) << doubling) >> 3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn the_quantile_is_within_an_eighth() {
        let mut rng = Rng::new(5);
        for scale in [50, 1_000, 70_000, 2_000_000] {
            let mut latencies = Latencies::default();
            let mut all: Vec<u64> = (0..10_000)
                .map(|_| scale + u64::from(rng.below(scale as u32 * 3)))
                .collect();
            all.iter().for_each(|us| latencies.record(*us, 0));
            all.sort_unstable();
            let (exact, found) = (all[9_500], latencies.p95_us().unwrap());
            assert!(
                found >= exact * 99 / 100 && found <= exact * 9 / 8 + 2,
                "{exact} {found}"
            );
        }
    }

    #[test]
    fn little_is_known_at_first_and_the_past_fades() {
        let mut latencies = Latencies::default();
        (0..99).for_each(|_| latencies.record(1_000, 0));
        assert_eq!(latencies.p95_us(), None);
        (0..9_901).for_each(|_| latencies.record(1_000, 0));
        assert!(latencies.p95_us().unwrap() < 1_200);
        for tick in 1..=10 {
            (0..1_000).for_each(|_| latencies.record(50_000, tick * HALVED_EVERY_MS));
        }
        assert!(latencies.p95_us().unwrap() >= 50_000);
    }

    #[test]
    fn every_latency_has_a_bucket() {
        for us in [0, 1, 2, 3, 7, 8, 9, 1_000, u64::from(u32::MAX), u64::MAX] {
            assert!(bucket(us) < BUCKETS);
        }
        for us in [1, 5, 8, 100, 12_345, 1_000_000] {
            let bound = upper_bound(bucket(us));
            assert!(bound >= us && bound <= us * 9 / 8 + 2, "{us} {bound}");
        }
    }
}
