//! A key's endpoints in its order of preference.

use super::rendezvous::Rendezvous;
use super::{HashTable, Indexes, Kind};

/// The endpoints of a [`HashTable`], each once, in the order in which a key prefers them.
///
/// Ring and Maglev go on from the key's place to other cells of the table, over those of endpoints that came already: the ring
/// to the next one, Maglev in strides that are the key's own, because who is next to whom in its table is no accident.
/// So the keys of an endpoint that is skipped spread over all others by weight.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    order: Order<'a>,
    /// How many came, and how many there are.
    came: u32,
    peers: u32,
}

#[derive(Debug)]
enum Order<'a> {
    Cells {
        cells: &'a Indexes,
        at: usize,
        /// From one cell to the next one, round the table. It has no divisor in common with the number of cells.
        stride: usize,
        /// Cells that nobody looked at.
        left: usize,
        seen: Seen,
    },
    Scores {
        scores: &'a Rendezvous,
        key: u64,
        /// The rank of who came last.
        rank: u32,
        /// The ranks at the end of the order, the next one last.
        rest: Vec<u32>,
    },
}

/// Rendezvous searches this often for the next one; then it computes all scores and sorts them.
const SEARCHES: u32 = 8;

impl<'a> Walk<'a> {
    #[inline]
    pub(super) fn new(table: &'a HashTable, key: u64) -> Self {
        let cells = |cells: &'a Indexes, at, stride| Order::Cells {
            cells,
            at,
            stride,
            left: cells.len(),
            seen: Seen::default(),
        };
        Self {
            order: match &table.kind {
                Kind::Maglev(maglev) => cells(maglev.cells(), maglev.slot(key), maglev.stride(key)),
                Kind::Ring(ring) => cells(ring.cells(), ring.slot(key), 1),
                Kind::Rendezvous(scores) => Order::Scores {
                    scores,
                    key,
                    rank: 0,
                    rest: Vec::new(),
                },
            },
            came: 0,
            peers: table.peers,
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        if self.came == self.peers {
            return None;
        }
        self.came += 1;
        match &mut self.order {
            Order::Cells { cells, at, .. } if self.came == 1 => Some(cells.at(*at)),
            order => order.next(self.came, self.peers),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.peers - self.came) as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Walk<'_> {}

impl Order<'_> {
    fn next(&mut self, turn: u32, peers: u32) -> Option<u32> {
        match self {
            Self::Cells {
                cells,
                at,
                stride,
                left,
                seen,
            } => {
                if turn == 2 {
                    seen.insert(cells.at(*at));
                }
                while *left > 1 {
                    *left -= 1;
                    *at += *stride;
                    if *at >= cells.len() {
                        *at -= cells.len();
                    }
                    let index = cells.at(*at);
                    if seen.insert(index) {
                        return Some(index);
                    }
                }
                // In a table with fewer cells than endpoints some have none: they come last.
                (0..peers).find(|index| seen.insert(*index))
            }
            Self::Scores {
                scores,
                key,
                rank,
                rest,
            } => {
                *rank = match turn {
                    1 => scores.winner(*key),
                    2..=SEARCHES => {
                        let last = scores.scored(*rank, *key);
                        scores.next(*key, last)?.rank()
                    }
                    _ => {
                        if turn == SEARCHES + 1 {
                            let last = scores.scored(*rank, *key);
                            *rest = scores.behind(*key, Some(last));
                        }
                        rest.pop()?
                    }
                };
                Some(scores.index(*rank))
            }
        }
    }
}

/// A set of small numbers that costs no allocation up to a thousand.
#[derive(Debug, Default)]
struct Seen {
    first: [u64; 16],
    more: Vec<u64>,
}

impl Seen {
    /// Adds `index`; was it new?
    #[inline]
    fn insert(&mut self, index: u32) -> bool {
        let (at, bit) = ((index / 64) as usize, 1 << (index % 64));
        let word = match at.checked_sub(self.first.len()) {
            None => &mut self.first[at],
            Some(at) => {
                if at >= self.more.len() {
                    self.more.resize(at + 1, 0);
                }
                &mut self.more[at]
            }
        };
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}
