//! Rendezvous hashing (Thaler and Ravishankar, 1996), with weights: every endpoint has a score for every key, and the
//! best one wins.
//!
//! The score is that of an exponential race: with `x` a hash of key and endpoint in (0, 1) and `w` the weight, -ln(1 - x) / w,
//! the lowest wins. That makes shares exactly proportional to weights, and as a score depends on nothing but the key and
//! its endpoint, an endpoint that comes, leaves or changes its weight moves exactly the keys that it wins or loses.
//!
//! It also means a look at every endpoint, so the look has to be cheap. -ln(1 - x) is at least x, and where winners are,
//! near 0, hardly more. So a first pass computes only the upper 16 bits of x, times a reciprocal of the weight: a bound
//! that no score is below. It takes 16-bit integers, which compilers turn into vector instructions that every processor
//! has. Then the most promising endpoints get the other bits of `x` and a logarithm, until the best score found is better
//! than the bounds of all others: hardly ever are these more than one or two. The result is always that of the exact scores.

use std::cmp::Reverse;

use super::Sorted;
use super::key::{mix, word};

/// Endpoints in a block.
const LANES: usize = 32;
/// A block's bounds are kept as this many, the lowest one of each column of four.
const COLUMNS: usize = 8;
/// Blocks whose bounds are kept at once.
const PAGE: usize = 32;
/// The lowest bound of each column of a block.
type Columns = [i16; COLUMNS];
/// What stands for no endpoint; the bound of an endpoint is lower.
const NOBODY: i16 = i16::MAX;

/// The endpoints, prepared.
#[derive(Debug)]
pub(super) struct Rendezvous {
    blocks: Box<[Block]>,
    peers: Box<[Peer]>,
    /// [`NOBODY`] for the lanes of the last block that have no endpoint, and 0 for the others.
    absent: [i16; LANES],
    /// Turns a score into units of the bounds.
    scale: f64,
}

/// What the first pass needs of 32 endpoints.
#[derive(Debug, Clone)]
#[repr(align(64))]
struct Block {
    left: [u16; LANES],
    right: [u16; LANES],
    /// 2^15 times the [unit] over the endpoint's weight, and less than 2^15.
    reciprocal: [u16; LANES],
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
        let empty = Block {
            left: [0; LANES],
            right: [0; LANES],
            reciprocal: [0; LANES],
        };
        let mut blocks = vec![empty; peers.0.len().div_ceil(LANES)];
        for (rank, peer) in peers.0.iter().enumerate() {
            let (block, lane) = (&mut blocks[rank / LANES], rank % LANES);
            let random = word(peer.key, 0);
            block.left[lane] = random as u16;
            block.right[lane] = (random >> 16) as u16;
            // Rounded down, and cut off for light weights: it remains a bound from below.
            block.reciprocal[lane] = (32_768.0 * unit / peer.weight as f64).min(32_767.0) as u16;
        }
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
        }
    }

    /// Its index in the list.
    #[inline]
    pub(super) fn index(&self, rank: u32) -> u32 {
        self.peers.get(rank as usize).map_or(0, |peer| peer.index)
    }

    /// The rank of the winner.
    pub(super) fn winner(&self, key: u64) -> u32 {
        let mut search = Search::new(self, key, None);
        let mut lowest = [[NOBODY; COLUMNS]; PAGE];
        for (page, blocks) in self.blocks.chunks(PAGE).enumerate() {
            let lowest = &mut lowest[..blocks.len()];
            let least = self.bound(page * PAGE, blocks, search.words, lowest);
            if self.blocks.len() <= PAGE
                && let Some(rank) = search.clear_winner(lowest, least)
            {
                return rank;
            }
            search.page(page * PAGE, lowest);
        }
        search.best.rank
    }

    /// The best score behind `last`.
    pub(super) fn next(&self, key: u64, last: Scored) -> Option<Scored> {
        let mut search = Search::new(self, key, Some(last));
        let mut lowest = [[NOBODY; COLUMNS]; PAGE];
        for (page, blocks) in self.blocks.chunks(PAGE).enumerate() {
            let lowest = &mut lowest[..blocks.len()];
            self.bound(page * PAGE, blocks, search.words, lowest);
            search.page(page * PAGE, lowest);
        }
        (search.best != WORST).then_some(search.best)
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

    /// The first pass: the bounds of these blocks, of which the first one has the number `base`, and the lowest one of each
    /// column of all.
    #[inline(always)]
    fn bound(
        &self,
        base: usize,
        blocks: &[Block],
        words: Words,
        lowest: &mut [Columns],
    ) -> Columns {
        let last = self.blocks.len() - 1;
        let mut least = [NOBODY; COLUMNS];
        for (block, columns) in blocks.iter().zip(lowest.iter_mut()).take(last - base) {
            *columns = block.bounds(words, &[0; LANES]);
            least = min(least, *columns);
        }
        if let Some(columns) = lowest.get_mut(last - base) {
            *columns = self.blocks[last].bounds(words, &self.absent);
            least = min(least, *columns);
        }
        least
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
        let (peer, block) = (&self.peers[rank], &self.blocks[rank / LANES]);
        let lane = rank % LANES;
        let upper = upper(block.left[lane], block.right[lane], words);
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

impl Block {
    #[inline(always)]
    fn bound(&self, lane: usize, words: Words) -> i16 {
        let upper = upper(self.left[lane], self.right[lane], words);
        ((u32::from(upper) * u32::from(self.reciprocal[lane])) >> 16) as i16
    }

    /// The lowest bound of each column.
    #[inline(always)]
    fn bounds(&self, words: Words, absent: &[i16; LANES]) -> Columns {
        let mut bounds = [0; LANES];
        for (lane, bound) in bounds.iter_mut().enumerate() {
            *bound = self.bound(lane, words) | absent[lane];
        }
        let half = |c: usize, at: usize| bounds[c + at].min(bounds[c + at + COLUMNS]);
        std::array::from_fn(|c| half(c, 0).min(half(c, LANES / 2)))
    }
}

/// The second pass.
struct Search<'a> {
    table: &'a Rendezvous,
    key: u64,
    words: Words,
    /// Only scores behind this one count.
    last: Scored,
    best: Scored,
    /// The highest bound of an endpoint that could beat the best one so far.
    limit: i16,
}

impl<'a> Search<'a> {
    #[inline(always)]
    fn new(table: &'a Rendezvous, key: u64, last: Option<Scored>) -> Self {
        Self {
            table,
            key,
            words: Words::of(key),
            last: last.unwrap_or(BEST),
            best: WORST,
            limit: NOBODY - 1,
        }
    }

    /// The winner, if the bounds of all endpoints alone decide.
    #[inline(always)]
    fn clear_winner(&self, lowest: &[Columns], least: Columns) -> Option<u32> {
        let (number, column) = place(lowest, least)?;
        let block = self.table.blocks.get(number)?;
        let used = self.table.peers.len() - number * LANES;
        let mut winner = (NOBODY, column);
        let mut second = NOBODY;
        for lane in (column..LANES.min(used)).step_by(COLUMNS) {
            let bound = block.bound(lane, self.words);
            second = second.min(bound.max(winner.0));
            winner = winner.min((bound, lane));
        }
        let (_, lane) = winner;
        let rank = number * LANES + lane;
        let peer = self.table.peers.get(rank)?;

        // Its score is not above this: -ln(1 - x) <= (x + x / (1 - x)) / 2, at the upper end of its step.
        let upper = upper(block.left[lane], block.right[lane], self.words);
        let x = (f64::from(upper) + 1.0) / 65_536.0;
        let score = (x + x / (1.0 - x)) * 0.5 * peer.per_weight;
        let limit = self.table.limit(score);
        (second > limit && count(lowest, limit) == 1).then_some(rank as u32)
    }

    /// Looks for a better one among the endpoints with these bounds, the first of which is in block `base`, by ascending
    /// bounds.
    fn page(&mut self, base: usize, lowest: &mut [Columns]) {
        loop {
            let least = lowest.iter().copied().fold([NOBODY; COLUMNS], min);
            let Some((number, column)) = place(lowest, least) else {
                return;
            };
            if std::mem::replace(&mut lowest[number][column], NOBODY) > self.limit {
                return;
            }
            let block = base + number;
            for lane in (column..LANES).step_by(COLUMNS) {
                let rank = block * LANES + lane;
                if rank >= self.table.peers.len()
                    || self.table.blocks[block].bound(lane, self.words) > self.limit
                {
                    continue;
                }
                let scored = self.table.score(rank, self.key, self.words);
                if scored < self.best && scored > self.last {
                    self.best = scored;
                    self.limit = self.table.limit(f64::from_bits(scored.score));
                }
            }
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

/// The lanes of the last block that `endpoints` endpoints leave empty.
fn absent(endpoints: usize) -> [i16; LANES] {
    let used = endpoints % LANES;
    std::array::from_fn(|lane| if used > 0 && lane >= used { NOBODY } else { 0 })
}

#[inline(always)]
fn min(a: Columns, b: Columns) -> Columns {
    std::array::from_fn(|column| a[column].min(b[column]))
}

/// The block and the column with the lowest bound, given that of each column.
#[inline(always)]
fn place(lowest: &[Columns], least: Columns) -> Option<(usize, usize)> {
    let value = least.into_iter().fold(NOBODY, i16::min);
    // Not `contains`: with an early end in it, it takes one after the other.
    let has = |columns: &Columns| columns.iter().fold(false, |has, b| has | (*b == value));
    let number = lowest.iter().position(has)?;
    let column = lowest[number].iter().position(|bound| *bound == value)?;
    Some((number, column))
}

/// How many bounds are `limit` at most.
#[inline(always)]
fn count(lowest: &[Columns], limit: i16) -> i16 {
    let within = |bound: &i16| i16::from(*bound <= limit);
    lowest.as_flattened().iter().map(within).sum()
}

/// The part of a key that the first pass uses.
#[derive(Debug, Clone, Copy)]
struct Words {
    left: u16,
    right: u16,
    turn: u16,
}

impl Words {
    #[inline]
    fn of(key: u64) -> Self {
        Self {
            left: key as u16,
            right: (key >> 16) as u16,
            turn: (key >> 32) as u16,
        }
    }
}

/// The upper 16 bits of x: the halves of a product, folded.
///
/// The last word makes every value equally likely whatever the product is, zero in particular.
#[inline(always)]
fn upper(left: u16, right: u16, words: Words) -> u16 {
    let (left, right) = (left ^ words.left, right ^ words.right);
    // Not one product taken apart: processors have an instruction for each of its halves.
    let low = left.wrapping_mul(right);
    let high = ((u32::from(left) * u32::from(right)) >> 16) as u16;
    low ^ high ^ words.turn
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
