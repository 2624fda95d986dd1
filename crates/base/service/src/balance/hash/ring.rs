//! A ring of points, as ketama made it known (Karger and others, 1997).
//!
//! Every endpoint has points on a circle, in proportion to its weight; a key belongs to the first point at or after its own
//! place. An endpoint that leaves takes only its points, so only its keys move, and they spread over all others. How even
//! the shares are is a matter of how many points there are: their deviation is one part in the root of their number.
//!
//! A lookup is no search: the first bits of a key lead to where its part of the circle starts in the row of points, and
//! a few neighbours are left to compare.

use super::key::word;
use super::{Indexes, Sorted};

/// Points of an endpoint of weight 1 among such. The usual number (nginx, ketama): shares deviate by 8 %.
const POINTS: u64 = 160;

/// Most points of a ring.
const MOST_POINTS: u64 = 1 << 20;

/// After so many everybody has one point, whatever its weight.
const MOST_HALVINGS: u32 = 40;

/// A ring.
#[derive(Debug)]
pub(super) struct Ring {
    /// Places on a circle of 2^32, ascending.
    places: Box<[u32]>,
    /// Whose each point is.
    owners: Indexes,
    /// For each equal part of the circle, the first point in or after it.
    starts: Box<[u32]>,
    /// A place shifted right by this is the number of its part.
    shift: u32,
}

impl Ring {
    pub(super) fn new(peers: &Sorted) -> Self {
        Self::with_points(peers, POINTS)
    }

    /// A ring with `points` for each unit of weight, or some power of two less.
    pub(super) fn with_points(peers: &Sorted, points: u64) -> Self {
        let halvings = halvings(peers, points);
        let mut row: Vec<u64> = Vec::new();
        for (rank, peer) in peers.0.iter().enumerate() {
            // Points are a row that weight only cuts off: a change of it moves no others.
            for n in 0..count(peer.weight, points, halvings) {
                // Should two places be the same, the smaller key wins, whoever else there is.
                row.push((word(peer.key, n) >> 32 << 32) | rank as u64);
            }
        }
        row.sort_unstable();
        let owners: Vec<u32> = row
            .iter()
            .map(|point| peers.0[*point as u32 as usize].index)
            .collect();
        let places: Box<[u32]> = row.iter().map(|point| (*point >> 32) as u32).collect();

        // Two to four points in each part, on average.
        let parts = (places.len() / 2).max(2).next_power_of_two() / 2;
        let shift = u32::BITS - parts.trailing_zeros();
        let mut starts = Vec::with_capacity(parts);
        let mut point = 0;
        for part in 0..parts as u64 {
            while places
                .get(point)
                .is_some_and(|place| u64::from(*place) < part << shift)
            {
                point += 1;
            }
            starts.push(point as u32);
        }
        Self {
            owners: Indexes::pack(&owners, peers.0.len()),
            places,
            starts: starts.into_boxed_slice(),
            shift,
        }
    }

    /// The point that `key` belongs to.
    #[inline]
    pub(super) fn slot(&self, key: u64) -> usize {
        let place = (key >> 32) as u32;
        // In 64 bits, because a ring of one part shifts all 32 out.
        let part = (u64::from(place) >> self.shift) as usize;
        let start = self.starts.get(part).map_or(0, |start| *start as usize);
        let behind = self.places.get(start..).unwrap_or(&[]);
        match behind.iter().position(|point| *point >= place) {
            Some(steps) => start + steps,
            // Behind the last point the circle starts again.
            None => 0,
        }
    }

    /// Whose each point is.
    #[inline]
    pub(super) fn cells(&self) -> &Indexes {
        &self.owners
    }
}

/// How often the number of points is halved, so that heavy weights mean many *relative to the others*, and memory is
/// bounded.
///
/// Powers of two, because every other scale would move with each change of the set, and all points with it. So an average
/// endpoint has 150 to 290 points, and only when the average weight passes such a step do all endpoints halve or double
/// theirs, and half of all keys move: with equal weights never. Steps are at 11/6 times a power of two, where the averages
/// of small weights seldom are. The average is that of full weights, or every slow start might cross a step.
fn halvings(peers: &Sorted, points: u64) -> u32 {
    let weight = u128::from(peers.total_full()) * 6;
    let step = peers.0.len() as u128 * 11;
    let total = |halvings| -> u64 {
        let counts = peers.0.iter();
        counts
            .map(|peer| count(peer.weight, points, halvings))
            .sum()
    };
    let fits = |halvings: &u32| weight < step << *halvings && total(*halvings) <= MOST_POINTS;
    (0..MOST_HALVINGS).find(fits).unwrap_or(MOST_HALVINGS)
}

/// How many points an endpoint has; at least one.
fn count(weight: u64, points: u64, halvings: u32) -> u64 {
    let points = weight * points;
    ((points + (1 << halvings >> 1)) >> halvings).max(1)
}

#[cfg(test)]
impl Ring {
    /// The part of the circle that each of `n` endpoints has.
    pub(super) fn shares(&self, n: usize) -> Vec<f64> {
        let mut shares = vec![0.0; n];
        let last = self.places.last().copied().unwrap_or_default();
        let mut previous = f64::from(last) - 4_294_967_296.0;
        for (at, place) in self.places.iter().enumerate() {
            shares[self.owners.at(at) as usize] += (f64::from(*place) - previous) / 4_294_967_296.0;
            previous = f64::from(*place);
        }
        shares
    }
}

#[cfg(test)]
mod tests {
    use super::super::HashPeer;
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn lookups_are_what_a_search_finds() {
        let mut rng = Rng::new(5);
        for n in [1usize, 2, 3, 10, 300] {
            for points in [1, 2, 160] {
                let peers: Vec<HashPeer> = (0..n)
                    .map(|_| {
                        let weight = 1 + rng.below(3);
                        HashPeer {
                            key: rng.next_u64(),
                            weight,
                            full: weight,
                        }
                    })
                    .collect();
                let ring = Ring::with_points(&Sorted::new(&peers), points);
                assert!(ring.places.is_sorted());
                let near = ring
                    .places
                    .iter()
                    .flat_map(|place| [place.wrapping_sub(1), *place, place.wrapping_add(1)]);
                let random = (0..2_000).map(|_| rng.next_u64() as u32);
                for place in near.chain(random).chain([0, u32::MAX]) {
                    let found = ring.places.partition_point(|point| *point < place);
                    let expected = found % ring.places.len();
                    assert_eq!(ring.slot(u64::from(place) << 32), expected, "{n} {points}");
                }
            }
        }
    }
}
