//! Weighted draws in constant time: Walker's alias method, in Vose's construction.
//!
//! The table is computed once per endpoint set on the control runtime and shared by all workers; a draw is one random
//! word, one comparison and one load. Thresholds are exact to 2^-32, far below sampling noise.

use crate::rng::Rng;

/// Draws an index with a probability in proportion to its weight.
#[derive(Debug)]
pub(crate) enum Draws {
    /// All weights are the same: no table needed.
    Uniform(u32),
    /// One (threshold, alias) cell for each index.
    Alias(Box<[(u32, u32)]>),
}

impl Draws {
    /// Builds the table. Weights are at least 1.
    pub(crate) fn new(weights: &[u32]) -> Self {
        let n = weights.len();
        if weights.windows(2).all(|pair| pair[0] == pair[1]) {
            return Self::Uniform(n as u32);
        }
        let total: u64 = weights.iter().map(|w| u64::from(*w)).sum();
        // Each cell holds `total` units; weight w brings w * n of them. Integers, so nothing is lost to rounding.
        let mut units: Vec<u64> = weights.iter().map(|w| u64::from(*w) * n as u64).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..n).partition(|i| units[*i] < total);
        let mut cells: Vec<(u32, u32)> = (0..n).map(|i| (u32::MAX, i as u32)).collect();
        while let (Some(low), Some(high)) = (small.pop(), large.last().copied()) {
            let threshold = (u128::from(units[low]) << 32) / u128::from(total);
            cells[low] = (threshold as u32, high as u32);
            units[high] -= total - units[low];
            if units[high] < total {
                large.pop();
                small.push(high);
            }
        }
        Self::Alias(cells.into_boxed_slice())
    }

    /// One draw. The set must not be empty.
    #[inline]
    pub(crate) fn draw(&self, rng: &mut Rng) -> u32 {
        match self {
            Self::Uniform(n) => rng.below(*n),
            Self::Alias(cells) => {
                let bits = rng.next_u64();
                let index = (((bits >> 32) * cells.len() as u64) >> 32) as u32;
                let (threshold, alias) = cells[index as usize];
                if (bits as u32) < threshold {
                    index
                } else {
                    alias
                }
            }
        }
    }

    /// Two different indexes: each drawn by weight, the second one among the others. The set must hold at least two.
    ///
    /// A redraw until different is the exact conditional distribution. It is cut off after some tries, for sets where
    /// one weight outweighs all others: then its neighbour in rotation, from a random start, takes the second place.
    #[inline]
    pub(crate) fn draw_two(&self, rng: &mut Rng) -> (u32, u32) {
        match self {
            Self::Uniform(n) => {
                let first = rng.below(*n);
                let second = rng.below(*n - 1);
                (first, if second >= first { second + 1 } else { second })
            }
            Self::Alias(cells) => {
                let n = cells.len() as u32;
                let first = self.draw(rng);
                for _ in 0..8 {
                    let second = self.draw(rng);
                    if second != first {
                        return (first, second);
                    }
                }
                (first, (first + 1 + rng.below(n - 1)) % n)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(weights: &[u32], draws: u32) -> Vec<f64> {
        let table = Draws::new(weights);
        let mut rng = Rng::new(3);
        let mut counts = vec![0u32; weights.len()];
        for _ in 0..draws {
            counts[table.draw(&mut rng) as usize] += 1;
        }
        counts
            .iter()
            .map(|c| f64::from(*c) / f64::from(draws))
            .collect()
    }

    #[test]
    fn shares_follow_weights_within_noise() {
        for weights in [
            &[1u32, 1, 1][..],
            &[5, 1, 1],
            &[1, 2, 3, 4, 65_535],
            &[65_535, 1],
            &[7],
        ] {
            let total: u32 = weights.iter().sum();
            let draws = 1_000_000;
            for (share, weight) in shares(weights, draws).iter().zip(weights) {
                let p = f64::from(*weight) / f64::from(total);
                let sigma = (p * (1.0 - p) / f64::from(draws)).sqrt();
                assert!(
                    (share - p).abs() <= 5.0 * sigma + 1e-9,
                    "{weights:?}: {share} for {p}"
                );
            }
        }
    }

    #[test]
    fn the_table_holds_the_weights_exactly() {
        for weights in [&[5u32, 1, 1][..], &[1, 2, 3, 4], &[10, 3, 3, 1, 1, 1]] {
            let Draws::Alias(cells) = Draws::new(weights) else {
                panic!("uniform")
            };
            let mut mass = vec![0f64; weights.len()];
            for (index, (threshold, alias)) in cells.iter().enumerate() {
                let own = f64::from(*threshold) / 2f64.powi(32);
                mass[index] += own;
                mass[*alias as usize] += 1.0 - own;
            }
            let total: u32 = weights.iter().sum();
            for (mass, weight) in mass.iter().zip(weights) {
                let expected = f64::from(*weight) * weights.len() as f64 / f64::from(total);
                assert!((mass - expected).abs() < 1e-8, "{mass} for {expected}");
            }
        }
    }

    #[test]
    fn two_draws_differ_always() {
        let mut rng = Rng::new(5);
        for weights in [&[1u32, 1][..], &[1, 1, 1, 1], &[65_535, 1, 1], &[2, 1]] {
            let table = Draws::new(weights);
            for _ in 0..10_000 {
                let (a, b) = table.draw_two(&mut rng);
                assert!(a != b && (b as usize) < weights.len());
            }
        }
    }
}
