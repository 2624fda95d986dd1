//! Rendezvous hashing (Thaler and Ravishankar, 1996), with weights: every endpoint has a score for every key, and the
//! best one wins.
//!
//! The score is that of an exponential race: with `x` a hash of key and endpoint in (0, 1) and `w` the weight, -ln(1 - x) / w,
//! the lowest wins. That makes shares exactly proportional to weights, and as a score depends on nothing but the key and
//! its endpoint, an endpoint that comes, leaves or changes its weight moves exactly the keys that it wins or loses.
//!
//! It also means a look at every endpoint, so the look has to be cheap. -ln(1 - x) is at least x, and where winners are,
//! near 0, hardly more. So a first pass, the [race], computes only the upper 16 bits of x, times a reciprocal of the weight: a
//! bound that no score is below. It takes 16-bit integers, which compilers turn into vector instructions that every processor
//! has, and no branch in it depends on who wins, which processors could not predict. If all weigh the same, the order of x is
//! that of the scores, and its upper bits are bounds as they are.
//!
//! Mostly the lowest bound is so far below all others that its endpoint is the winner. Else, and for second choices, the
//! [search] gives the most promising endpoints the other bits of x and a logarithm, until the best score found is better than
//! the bounds of all others. The result is always that of the exact scores.

mod bounds;
mod race;
mod search;

use std::cmp::Reverse;

use super::Sorted;
use super::key::{mix, word};
use bounds::{Block, LANES, NOBODY, Words, absent};
use search::Search;

/// The endpoints, prepared.
#[derive(Debug)]
pub(super) struct Rendezvous {
    blocks: Box<[Block]>,
    peers: Box<[Peer]>,
    /// What the bounds of the last block are at least: [`NOBODY`] where it has no endpoint.
    absent: [i16; LANES],
    /// Turns a score into units of the bounds.
    scale: f64,
    /// Do all weigh the same?
    even: bool,
}

#[derive(Debug)]
struct Peer {
    key: u64,
    per_weight: f64,
    index: u32,
}

/// A score and whose it is (its rank by key). Lower is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Scored {
    /// The bits of a positive number, which compare as the number does.
    score: u64,
    rank: u32,
}

impl Scored {
    /// Whose it is.
    pub(super) fn rank(self) -> u32 {
        self.rank
    }
}

/// Before and behind all that there are.
const BEST: Scored = Scored { score: 0, rank: 0 };
const WORST: Scored = Scored {
    score: f64::INFINITY.to_bits(),
    rank: u32::MAX,
};

impl Rendezvous {
    pub(super) fn new(peers: &Sorted) -> Self {
        let unit = unit(peers);
        let mut blocks = vec![Block::EMPTY; peers.0.len().div_ceil(LANES)];
        for (rank, peer) in peers.0.iter().enumerate() {
            // Rounded down, and cut off for light weights: it remains a bound from below.
            let reciprocal = (32_768.0 * unit / peer.weight as f64).min(32_767.0) as u16;
            blocks[rank / LANES].put(rank % LANES, word(peer.key, 0), reciprocal);
        }
        let weight = peers.0.first().map(|peer| peer.weight);
        Self {
            absent: absent(peers.0.len()),
            blocks: blocks.into_boxed_slice(),
            peers: peers
                .0
                .iter()
                .map(|peer| Peer {
                    key: peer.key,
                    per_weight: 1.0 / peer.weight as f64,
                    index: peer.index,
                })
                .collect(),
            // A hair more than exact, for what floating point rounds off.
            scale: 32_768.0 * unit * (1.0 + 1e-6),
            even: peers.0.iter().all(|peer| Some(peer.weight) == weight),
        }
    }

    /// Its index in the list.
    #[inline]
    pub(super) fn index(&self, rank: u32) -> u32 {
        self.peers.get(rank as usize).map_or(0, |peer| peer.index)
    }

    /// The rank of the winner.
    #[inline]
    pub(super) fn winner(&self, key: u64) -> u32 {
        let words = Words::of(key);
        let clear = match self.even {
            true => self.clear_winner::<true>(words),
            false => self.clear_winner::<false>(words),
        };
        clear.unwrap_or_else(|| self.search(key, None).map_or(0, Scored::rank))
    }

    /// The best score behind `last`.
    pub(super) fn next(&self, key: u64, last: Scored) -> Option<Scored> {
        self.search(key, Some(last))
    }

    #[cold]
    fn search(&self, key: u64, last: Option<Scored>) -> Option<Scored> {
        Search::new(self, key, last).run()
    }

    /// The ranks of all behind `last`, the best one at the end.
    pub(super) fn behind(&self, key: u64, last: Option<Scored>) -> Vec<u32> {
        let words = Words::of(key);
        let mut all: Vec<Scored> = (0..self.peers.len())
            .map(|rank| self.score(rank, key, words))
            .filter(|scored| last.is_none_or(|last| *scored > last))
            .collect();
        all.sort_unstable_by_key(|scored| Reverse(*scored));
        all.into_iter().map(Scored::rank).collect()
    }

    /// The highest bound that an endpoint with this score or a better one can have.
    #[inline]
    fn limit(&self, score: f64) -> i16 {
        ((score * self.scale) as i16).min(NOBODY - 1)
    }

    /// The exact score of the endpoint with this rank.
    pub(super) fn scored(&self, rank: u32, key: u64) -> Scored {
        self.score(rank as usize, key, Words::of(key))
    }

    fn score(&self, rank: usize, key: u64, words: Words) -> Scored {
        let peer = &self.peers[rank];
        let upper = self.blocks[rank / LANES].upper(rank % LANES, words);
        let lower = mix(key ^ peer.key) >> 16;
        // 53 bits, and the middle of their step.
        let x = (u64::from(upper) << 48 | lower) >> 11;
        let x = (x as f64 + 0.5) / (1u64 << 53) as f64;
        Scored {
            score: (log(x) * peer.per_weight).to_bits(),
            rank: rank as u32,
        }
    }
}

/// The weight in whose units bounds are.
///
/// For weights below it bounds are looser than they could be, and in large units they are coarser. This is the lightest
/// weight, as long as a winner's bound can be expected to be 16 and more.
fn unit(peers: &Sorted) -> f64 {
    let lightest = peers.0.iter().map(|peer| peer.weight).min().unwrap_or(1);
    (lightest as f64).max(peers.total_weight() as f64 / 2048.0)
}

/// -ln(1 - x) for x in (0, 1), by arithmetic that is the same on all processors, to one part in 10^8.
fn log(mut x: f64) -> f64 {
    // 1 - x = m 2^-halvings with m from 1/2 to 1, close to 1 for whoever wins.
    let mut halvings = 0.0;
    while x > 0.5 && halvings < 64.0 {
        x = x * 2.0 - 1.0;
        halvings += 1.0;
    }
    // ln(1 / m) = 2 artanh(z), its series summed in parts that do not wait for each other.
    let z = x / (2.0 - x);
    let s = z * z;
    let square = s * s;
    let first = (1.0 + s * (1.0 / 3.0)) + square * (1.0 / 5.0 + s * (1.0 / 7.0));
    let second = (1.0 / 9.0 + s * (1.0 / 11.0)) + square * (1.0 / 13.0 + s * (1.0 / 15.0));
    halvings * std::f64::consts::LN_2 + 2.0 * z * (first + square * square * second)
}
