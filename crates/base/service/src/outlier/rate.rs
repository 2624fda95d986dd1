//! Whose success rate is clearly below that of the others?
//!
//! Envoy ejects below mean - 1.9 standard deviations. That fails both ways: two ill endpoints of five widen the deviation
//! until neither is found, while among endpoints that only differ by chance some are always that far out. Here an endpoint is
//! compared with the *median* of the others, which stays where the healthy ones are as long as they are the majority, and
//! must be
//!
//! 1. at least 5 points below it, so that it matters,
//! 2. further below it than three times the usual spread of the others (scaled median absolute deviation), so that
//!    endpoints that differ by nature (shards) are not picked one after the other, and
//! 3. below it beyond chance: of at least five failures, and the Wilson intervals of both at 3 deviations do not meet.
//!
//! The worst goes first and is then no longer among the others. Two endpoints are enough to compare.

use super::Totals;

/// How much lower than the others' a rate must be to matter.
const GAP: f64 = 0.05;
/// How many times the usual spread it must be lower.
const SPREADS: f64 = 3.0;
/// The median absolute deviation is so much smaller than the standard deviation of a normal distribution.
const MAD_SCALE: f64 = 1.4826;
/// Fewer failures are chance.
const LEAST_FAILURES: u32 = 5;
/// Width of the intervals that must not meet, in deviations.
const DEVIATIONS: f64 = 3.0;

/// One whose rate is clearly below the others'.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Below {
    /// Which: the tag that it was given.
    pub(super) index: usize,
    /// Its success rate, 0 to 1.
    pub(super) rate: f64,
    /// The median of the others'.
    pub(super) others: f64,
}

/// Endpoints with enough requests to compare, by rate, lowest first.
#[derive(Debug)]
pub(super) struct Rates(Vec<(f64, Totals, usize)>);

impl Rates {
    /// From totals, each with at least one request, and what the caller calls them.
    pub(super) fn new(totals: impl Iterator<Item = (usize, Totals)>) -> Self {
        let mut rates: Vec<_> = totals
            .filter(|(_, totals)| totals.requests > 0)
            .map(|(index, totals)| (totals.success_rate(), totals, index))
            .collect();
        rates.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.2.cmp(&b.2)));
        Self(rates)
    }

    /// Takes out the worst that is clearly below the others.
    pub(super) fn take_worst(&mut self) -> Option<Below> {
        let requests: f64 = self.0.iter().map(|(_, t, _)| f64::from(t.requests)).sum();
        for position in 0..self.0.len() {
            let (rate, totals, index) = self.0[position];
            let others = median(&self.0, position)?;
            if rate > others - GAP {
                return None;
            }
            let highest = wilson(rate, totals.requests.into()).1;
            let lowest = wilson(others, requests - f64::from(totals.requests)).0;
            if totals.failures < LEAST_FAILURES || highest >= lowest {
                // Too few requests to tell: one with a better rate may have more.
                continue;
            }
            if rate > others - SPREADS * self.spread(position, others) {
                return None;
            }
            self.0.remove(position);
            return Some(Below {
                index,
                rate,
                others,
            });
        }
        None
    }

    /// How far the rates usually are from `median_rate`, not looking at the one at `position`.
    fn spread(&self, position: usize, median_rate: f64) -> f64 {
        let off = self.0.iter().map(|(rate, ..)| (rate - median_rate).abs());
        let mut off: Vec<_> = off.collect();
        off.swap_remove(position);
        off.sort_by(f64::total_cmp);
        middle(off.len(), |i| off[i]).unwrap_or(0.0) * MAD_SCALE
    }
}

impl Totals {
    /// The share of attempts that did not fail; 1 if there were none.
    fn success_rate(self) -> f64 {
        let failures = self.failures.min(self.requests);
        1.0 - f64::from(failures) / f64::from(self.requests.max(1))
    }
}

/// The median of the rates, which are in order, not looking at the one at `position`.
fn median(rates: &[(f64, Totals, usize)], position: usize) -> Option<f64> {
    middle(rates.len() - 1, |i| rates[i + usize::from(i >= position)].0)
}

/// The median of `len` values in order.
fn middle(len: usize, value: impl Fn(usize) -> f64) -> Option<f64> {
    let last = len.checked_sub(1)?;
    Some(f64::midpoint(value(last / 2), value(len / 2)))
}

/// Between what the true rate lies if `rate` was seen in `n` attempts (Wilson score interval).
fn wilson(rate: f64, n: f64) -> (f64, f64) {
    let z2 = DEVIATIONS * DEVIATIONS;
    let scale = 1.0 + z2 / n;
    let center = (rate + z2 / (2.0 * n)) / scale;
    let half = DEVIATIONS * (rate * (1.0 - rate) / n + z2 / (4.0 * n * n)).sqrt() / scale;
    (center - half, center + half)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn found(of: &[(u32, u32)]) -> Vec<usize> {
        let totals = of.iter().enumerate();
        let mut rates = Rates::new(totals.map(|(i, &(failures, requests))| {
            let totals = Totals { requests, failures };
            (i, totals)
        }));
        let worst = std::iter::from_fn(|| rates.take_worst());
        let mut found: Vec<_> = worst.map(|below| below.index).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn outliers_by_table() {
        let none: &[usize] = &[];
        for (of, outliers) in [
            // Nobody to compare with.
            (&[][..], none),
            (&[(100, 100)], none),
            // Two are enough, if it is clear.
            (&[(100, 100), (0, 100)], &[0]),
            (&[(5, 20), (0, 20)], none),
            (&[(14, 20), (0, 20)], &[0]),
            // All are equally ill.
            (&[(50, 100), (50, 100), (52, 100), (48, 100)], none),
            (&[(100, 100), (100, 100), (100, 100)], none),
            // Mean - 1.9 deviations finds neither of two among five, nor any of four among ten.
            (
                &[(100, 100), (90, 100), (0, 100), (1, 100), (0, 100)],
                &[0, 1],
            ),
            (
                &[
                    (100, 100),
                    (100, 100),
                    (100, 100),
                    (100, 100),
                    (0, 100),
                    (0, 100),
                    (0, 100),
                    (0, 100),
                    (0, 100),
                    (0, 100),
                ],
                &[0, 1, 2, 3],
            ),
            // It ejects the first of these for two failures of a hundred.
            (
                &[
                    (2, 100),
                    (0, 100),
                    (0, 100),
                    (0, 100),
                    (0, 100),
                    (0, 100),
                    (0, 100),
                ],
                none,
            ),
            // One in ten fails, of many: ill. One in fifty: not worth it.
            (&[(100, 1000), (0, 1000), (1, 1000)], &[0]),
            (&[(20, 1000), (0, 1000), (1, 1000)], none),
            // They differ by nature.
            (
                &[
                    (50, 1000),
                    (100, 1000),
                    (150, 1000),
                    (200, 1000),
                    (250, 1000),
                ],
                none,
            ),
            // Most are ill: then this is normal.
            (&[(100, 100), (100, 100), (0, 100)], none),
        ] {
            assert_eq!(found(of), outliers, "{of:?}");
        }
    }

    #[test]
    fn tells_both_rates() {
        let totals = [(38, 100), (1, 100), (1, 100)].into_iter().enumerate();
        let below = Rates::new(totals.map(|(i, (failures, requests))| {
            let totals = Totals { requests, failures };
            (i, totals)
        }))
        .take_worst()
        .unwrap();
        assert_eq!(below.index, 0);
        assert!((below.rate - 0.62).abs() < 1e-9 && (below.others - 0.99).abs() < 1e-9);
    }

    /// Endpoints that fail equally often are told apart by chance only, and that must be rare: fewer than one in 2,000.
    #[test]
    fn chance_ejects_nobody() {
        let mut rng = Rng::new(1);
        let (mut looked, mut ejected) = (0, 0);
        for _ in 0..3_000 {
            let n = 2 + rng.below(20);
            let requests = [20, 50, 200][rng.below(3) as usize];
            let share = [1, 10, 50, 200, 500, 900][rng.below(6) as usize];
            let mut failures = || (0..requests).filter(|_| rng.below(1000) < share).count();
            let of: Vec<_> = (0..n).map(|_| (failures() as u32, requests)).collect();
            looked += of.len();
            ejected += found(&of).len();
        }
        assert!(ejected * 2_000 < looked, "{ejected} of {looked}");
    }

    /// One that fails three times in ten among nine that do not is found in the first interval with 50 requests or more.
    #[test]
    fn an_ill_endpoint_is_found() {
        let mut rng = Rng::new(2);
        let mut missed = 0;
        for _ in 0..1_000 {
            let mut failures =
                |share, requests| (0..requests).filter(|_| rng.below(1000) < share).count() as u32;
            let mut of = vec![(failures(300, 50), 50)];
            of.extend((0..9).map(|_| (failures(5, 50), 50)));
            missed += u32::from(!found(&of).contains(&0));
        }
        assert!(missed < 20, "{missed}");
    }
}
