//! What is kept for each key of a shard: the key itself and its state, by number.
//!
//! Entries stand in blocks that never move: as large as an allocator hands out at once without much ado, so that the list of blocks
//! of a large table is short enough to stay in a near cache; for a million keys it would otherwise be one more wait for memory.

use crate::key::Key;

/// Words of an entry before its state: its key.
pub(super) const KEY: usize = 4;

/// Bytes for each entry beside key and state: its part of the block's header and of what the allocator rounds up.
pub(super) const BYTES: usize = 4;

/// Entries of a block at most, as a power of two. More would be much for a table of few keys, as each shard has a block.
const BLOCK: u32 = 7;

/// A block has no more words, unless one entry has.
const BLOCK_WORDS: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Entries {
    blocks: Vec<Box<[u32]>>,
    /// Words of an entry.
    stride: usize,
    /// Entries of a block, as a power of two.
    block: u32,
    len: usize,
}

impl Entries {
    /// With states of so many words.
    pub(super) fn new(words: usize) -> Self {
        let stride = KEY + words;
        Self {
            blocks: Vec::new(),
            stride,
            block: (BLOCK_WORDS / stride).max(1).ilog2().min(BLOCK),
            len: 0,
        }
    }

    /// The same with no entries.
    pub(super) fn none(&self) -> Self {
        Self::new(self.stride - KEY)
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// One more, of `most` at most.
    pub(super) fn add(&mut self, most: usize) -> u16 {
        let at = self.len;
        let (block, _) = self.position(at);
        if block == self.blocks.len() {
            let size = most.saturating_sub(at).min(1 << self.block);
            self.blocks.push(vec![0; size * self.stride].into());
        }
        self.len += 1;
        at as u16
    }

    /// The key of an entry, and its state.
    #[inline]
    pub(super) fn get(&self, at: u16) -> (Key, &[u32]) {
        let (block, index) = self.position(usize::from(at));
        let from = index * self.stride;
        let entry = &self.blocks[block][from..from + self.stride];
        (
            Key::from_words([entry[0], entry[1], entry[2], entry[3]]),
            &entry[KEY..],
        )
    }

    #[inline]
    pub(super) fn state(&mut self, at: u16) -> &mut [u32] {
        &mut self.entry(at)[KEY..]
    }

    /// Makes it the entry of a key that nothing is known of.
    pub(super) fn begin(&mut self, at: u16, key: Key) -> &mut [u32] {
        let (known, state) = self.entry(at).split_at_mut(KEY);
        known.copy_from_slice(&key.words());
        state.fill(0);
        state
    }

    #[inline]
    fn entry(&mut self, at: u16) -> &mut [u32] {
        let (block, index) = self.position(usize::from(at));
        let from = index * self.stride;
        &mut self.blocks[block][from..from + self.stride]
    }

    /// In which block an entry stands, and where there.
    #[inline]
    const fn position(&self, at: usize) -> (usize, usize) {
        (at >> self.block, at & ((1 << self.block) - 1))
    }
}
