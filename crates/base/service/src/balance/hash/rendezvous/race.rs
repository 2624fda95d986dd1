//! Who wins if the bounds of all endpoints alone decide, as they mostly do.

use super::Rendezvous;
use super::bounds::{ALL_THERE, COLUMNS, Columns, LANES, NOBODY, Words, lowest};

/// Most blocks whose place in a race has a number.
const BLOCKS: usize = i16::MAX as usize / COLUMNS;

/// The two lowest bounds of each column, over all blocks.
struct Race {
    first: Columns,
    second: Columns,
    /// In which block the lowest one is.
    block: Columns,
    /// The number of the next block.
    next: Columns,
}

impl Rendezvous {
    /// The rank of the winner, if it is clear. `EVEN`: all weigh the same.
    #[inline(always)]
    pub(super) fn clear_winner<const EVEN: bool>(&self, words: Words) -> Option<u32> {
        let (last, blocks) = self.blocks.split_last()?;
        if blocks.len() >= BLOCKS {
            return None;
        }
        let mut race = Race::new();
        for block in blocks {
            race.add(block.bounds::<EVEN>(words, &ALL_THERE));
        }
        race.add(last.bounds::<EVEN>(words, &self.absent));

        // One of the four in that column of that block.
        let least = lowest(race.first);
        let (number, column) = race.place(least);
        let block = self.blocks.get(number)?;
        let used = self.peers.len() - number * LANES;
        let (mut winner, mut second) = ((NOBODY, column), NOBODY);
        for lane in (column..LANES).step_by(COLUMNS) {
            let bound = match lane < used {
                true => block.bound::<EVEN>(lane, words),
                false => NOBODY,
            };
            second = second.min(bound.max(winner.0));
            winner = match bound < winner.0 {
                true => (bound, lane),
                false => winner,
            };
        }
        let (_, lane) = winner;
        let rank = number * LANES + lane;

        let limit = match EVEN {
            true => least,
            // Its score is not above this: -ln(1 - x) <= (x + x / (1 - x)) / 2, at the upper end of its step.
            false => {
                let x = (f64::from(block.upper(lane, words)) + 1.0) / 65_536.0;
                self.limit((x + x / (1.0 - x)) * 0.5 * self.peers.get(rank)?.per_weight)
            }
        };
        (second > limit && race.count(limit) == 1).then_some(rank as u32)
    }
}

impl Race {
    #[inline(always)]
    fn new() -> Self {
        Self {
            first: [NOBODY; COLUMNS],
            second: [NOBODY; COLUMNS],
            block: [0; COLUMNS],
            next: [0; COLUMNS],
        }
    }

    /// Takes in the lowest bound of each column of the next block.
    #[inline(always)]
    fn add(&mut self, bounds: Columns) {
        for (c, bound) in bounds.into_iter().enumerate() {
            self.block[c] = match bound < self.first[c] {
                true => self.next[c],
                false => self.block[c],
            };
            self.second[c] = self.second[c].min(bound.max(self.first[c]));
            self.first[c] = self.first[c].min(bound);
            self.next[c] += 1;
        }
    }

    /// The block and the column with this lowest bound; anything, if more than one column has it.
    #[inline(always)]
    fn place(&self, least: i16) -> (usize, usize) {
        let mut place = 0;
        for c in 0..COLUMNS {
            let here = self.block[c] * COLUMNS as i16 + c as i16;
            place |= if self.first[c] == least { here } else { 0 };
        }
        let place = usize::from(place.unsigned_abs());
        (place / COLUMNS, place % COLUMNS)
    }

    /// How many of the bounds kept are `limit` at most.
    #[inline(always)]
    fn count(&self, limit: i16) -> i16 {
        let within = |bounds: &Columns| -> i16 {
            let within = |bound: &i16| i16::from(*bound <= limit);
            bounds.iter().map(within).sum()
        };
        within(&self.first) + within(&self.second)
    }
}
