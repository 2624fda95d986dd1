//! The second pass: who is best by exact scores, where bounds do not decide it.

use super::bounds::{ALL_THERE, Block, COLUMNS, Columns, LANES, NOBODY, Words, lowest, min};
use super::{BEST, Rendezvous, Scored, WORST};

/// Blocks whose bounds are kept at once.
const PAGE: usize = 32;

/// Looks for the best score.
pub(super) struct Search<'a> {
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
    pub(super) fn new(table: &'a Rendezvous, key: u64, last: Option<Scored>) -> Self {
        Self {
            table,
            key,
            words: Words::of(key),
            last: last.unwrap_or(BEST),
            best: WORST,
            limit: NOBODY - 1,
        }
    }

    /// The best one behind the last.
    pub(super) fn run(mut self) -> Option<Scored> {
        let mut lowest = [[NOBODY; COLUMNS]; PAGE];
        for (page, blocks) in self.table.blocks.chunks(PAGE).enumerate() {
            let lowest = &mut lowest[..blocks.len()];
            self.bound(page * PAGE, blocks, lowest);
            self.page(page * PAGE, lowest);
        }
        (self.best != WORST).then_some(self.best)
    }

    /// The lowest bound of each column of these blocks, of which the first one has the number `base`.
    fn bound(&self, base: usize, blocks: &[Block], lowest: &mut [Columns]) {
        let last = self.table.blocks.len() - 1;
        for (number, (block, columns)) in (base..).zip(blocks.iter().zip(lowest)) {
            let absent = if number == last {
                &self.table.absent
            } else {
                &ALL_THERE
            };
            *columns = block.bounds::<false>(self.words, absent);
        }
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
                    || self.table.blocks[block].bound::<false>(lane, self.words) > self.limit
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

/// The block and the column with the lowest bound, given that of each column.
#[inline(always)]
fn place(blocks: &[Columns], least: Columns) -> Option<(usize, usize)> {
    let least = lowest(least);
    // Not `contains`: with an early end in it, it takes one after the other.
    let has = |columns: &Columns| columns.iter().fold(false, |has, b| has | (*b == least));
    let number = blocks.iter().position(has)?;
    let column = blocks[number].iter().position(|bound| *bound == least)?;
    Some((number, column))
}
