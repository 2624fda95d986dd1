//! One shard of a table: entries, a hash table over them, and the order in which they were used.
//!
//! With many keys a look-up costs what it waits for memory, so what is only looked through is kept apart and dense. The hash table
//! and the order of use are links of twelve bytes an entry, which stay in the cache for some hundred thousand keys where
//! the entries themselves do not; a few bits of the hash beside each link say whether it is worth following. So a look-up, a
//! key moved to the front and a key forgotten each touch one entry that is far away.
//!
//! The hash table chains entries and grows by linear hashing (Litwin, 1980): for each entry that is added, one chain is split in two. So
//! no look-up ever waits for a whole table to be rehashed. Entries stand in small blocks that never move.
//!
//! All entries form a list, last used first. A new key takes the place of the last in it, if that has been idle for so long that
//! its state says nothing any more, or if the shard is full. Both take the same few steps, however many there are.

use super::Stats;
use crate::algorithm::last_counted;
use crate::key::Key;

/// Words of an entry before its state: its key.
const KEY: usize = 4;

/// Entries of a block.
const BLOCK: usize = 32;

/// Bytes that an entry takes beside its state: its key, its links and its chain (both grown by an eighth at a time), its part of
/// its block's pointer and header, and what an allocator may round up.
pub(super) const OVERHEAD: usize = 4 * KEY + (12 + 4) * 9 / 8 + 4;

/// No entry.
const NONE: u32 = u32::MAX;

/// A link of a chain: the number of an entry, and above it a part of the hash of its key.
const NUMBER_BITS: u32 = 24;
const NUMBER: u32 = (1 << NUMBER_BITS) - 1;

/// More entries have no number.
const MOST: u32 = NUMBER - 1;

#[derive(Clone, Copy, Debug)]
struct Links {
    /// The next in its chain, as [`tagged`].
    chain: u32,
    /// Who was used after it.
    newer: u32,
    /// Who was used before it.
    older: u32,
}

#[derive(Debug)]
pub(super) struct Shard {
    /// The first of each chain, as [`tagged`].
    chains: Vec<u32>,
    links: Vec<Links>,
    blocks: Vec<Box<[u32]>>,
    /// Words of an entry.
    stride: usize,
    most: u32,
    newest: u32,
    oldest: u32,
    evicted: u64,
    allowed: u64,
    denied: u64,
}

/// An entry as links of chains name it. The tag is of bits that neither chains nor shards are chosen by.
#[inline]
const fn tagged(at: u32, key: Key) -> u32 {
    at | key.words()[1] << NUMBER_BITS
}

impl Shard {
    /// For so many entries at most, with states of so many words.
    pub(super) fn new(words: usize, most: usize) -> Self {
        Self {
            chains: Vec::new(),
            links: Vec::new(),
            blocks: Vec::new(),
            stride: KEY + words,
            most: u32::try_from(most).unwrap_or(MOST).clamp(1, MOST),
            newest: NONE,
            oldest: NONE,
            evicted: 0,
            allowed: 0,
            denied: 0,
        }
    }

    /// The state of a key, used now; a fresh one if it is not known, which the `bool` says. A state that counted nothing for
    /// `idle_after_ms` says nothing any more.
    #[inline]
    pub(super) fn find_or_make(
        &mut self,
        key: Key,
        now_ms: u64,
        idle_after_ms: u64,
    ) -> (&mut [u32], bool) {
        if let Some(at) = self.position(key) {
            if self.newest != at {
                self.unlist(at);
                self.list_newest(at);
            }
            return (self.state(at), false);
        }
        let at = self.place(now_ms, idle_after_ms);
        self.enter(at, key);
        self.list_newest(at);
        (self.state(at), true)
    }

    /// The state of a key, if it is known. Does not count as use.
    pub(super) fn find(&mut self, key: Key) -> Option<&mut [u32]> {
        let at = self.position(key)?;
        Some(self.state(at))
    }

    /// A fresh state for a key that was used before all others here. `None` if it is known, or if there is no room.
    pub(super) fn make_oldest(&mut self, key: Key) -> Option<&mut [u32]> {
        if self.len() >= self.most || self.position(key).is_some() {
            return None;
        }
        let at = self.add();
        self.enter(at, key);
        self.list_oldest(at);
        Some(self.state(at))
    }

    /// So many entries from number `from` on, as key and state.
    pub(super) fn export(&self, from: usize, most: usize) -> Vec<(Key, Box<[u32]>)> {
        let to = self.links.len().min(from + most);
        let entries =
            (from..to).map(|at| (self.key(at as u32), self.entry(at as u32)[KEY..].into()));
        entries.collect()
    }

    #[inline]
    pub(super) fn tally(&mut self, allowed: bool) {
        if allowed {
            self.allowed += 1;
        } else {
            self.denied += 1;
        }
    }

    /// One that was allowed was not, after all.
    pub(super) fn untally(&mut self) {
        self.allowed = self.allowed.saturating_sub(1);
    }

    pub(super) fn stats(&self) -> Stats {
        Stats {
            keys: u64::from(self.len()),
            evicted: self.evicted,
            allowed: self.allowed,
            denied: self.denied,
            held_back: 0,
        }
    }

    fn len(&self) -> u32 {
        self.links.len() as u32
    }

    #[inline]
    fn entry(&self, at: u32) -> &[u32] {
        let from = at as usize % BLOCK * self.stride;
        &self.blocks[at as usize / BLOCK][from..from + self.stride]
    }

    #[inline]
    fn entry_mut(&mut self, at: u32) -> &mut [u32] {
        let from = at as usize % BLOCK * self.stride;
        &mut self.blocks[at as usize / BLOCK][from..from + self.stride]
    }

    #[inline]
    fn state(&mut self, at: u32) -> &mut [u32] {
        &mut self.entry_mut(at)[KEY..]
    }

    #[inline]
    fn key(&self, at: u32) -> Key {
        let entry = self.entry(at);
        Key::from_words([entry[0], entry[1], entry[2], entry[3]])
    }

    #[inline]
    fn links(&mut self, at: u32) -> &mut Links {
        &mut self.links[at as usize]
    }

    /// The chain of a key. There are as many as entries: those beyond the last power of two have been split off already.
    #[inline]
    fn chain(&self, key: Key) -> usize {
        let mask = self.chains.len().next_power_of_two() - 1;
        let at = key.low() as usize & mask;
        if at < self.chains.len() {
            at
        } else {
            at & (mask >> 1)
        }
    }

    #[inline]
    fn position(&self, key: Key) -> Option<u32> {
        if self.chains.is_empty() {
            return None;
        }
        let mut link = self.chains[self.chain(key)];
        while link != NONE {
            let at = link & NUMBER;
            if link == tagged(at, key) && self.key(at) == key {
                return Some(at);
            }
            link = self.links[at as usize].chain;
        }
        None
    }

    /// A place for a new key, in no chain and not in the list.
    fn place(&mut self, now_ms: u64, idle_after_ms: u64) -> u32 {
        let oldest = self.oldest;
        if oldest != NONE {
            let counted = last_counted(self.state(oldest));
            let idle = now_ms.saturating_sub(counted) >= idle_after_ms;
            if idle || self.len() >= self.most {
                self.evicted += u64::from(!idle);
                self.unlist(oldest);
                self.leave(oldest);
                self.state(oldest).fill(0);
                return oldest;
            }
        }
        self.add()
    }

    /// A new entry, and a chain for it.
    fn add(&mut self) -> u32 {
        let at = self.len();
        if at as usize == self.blocks.len() * BLOCK {
            grow(&mut self.blocks);
            self.blocks.push(vec![0; BLOCK * self.stride].into());
        }
        grow(&mut self.links);
        self.links.push(Links {
            chain: NONE,
            newer: NONE,
            older: NONE,
        });
        self.split();
        at
    }

    /// Adds a chain, and moves those entries into it that belong there now.
    fn split(&mut self) {
        let new = self.chains.len();
        grow(&mut self.chains);
        self.chains.push(NONE);
        if new == 0 {
            return;
        }
        let mask = (new + 1).next_power_of_two() - 1;
        let old = new & (mask >> 1);
        let mut link = std::mem::replace(&mut self.chains[old], NONE);
        while link != NONE {
            let at = link & NUMBER;
            let hash = self.entry(at)[0];
            let chain = if hash as usize & mask == new {
                new
            } else {
                old
            };
            let first = std::mem::replace(&mut self.chains[chain], link);
            link = std::mem::replace(&mut self.links(at).chain, first);
        }
    }

    fn enter(&mut self, at: u32, key: Key) {
        let chain = self.chain(key);
        let first = std::mem::replace(&mut self.chains[chain], tagged(at, key));
        self.links(at).chain = first;
        self.entry_mut(at)[..KEY].copy_from_slice(&key.words());
    }

    fn leave(&mut self, at: u32) {
        let chain = self.chain(self.key(at));
        let next = self.links[at as usize].chain;
        let mut before = self.chains[chain];
        if before & NUMBER == at {
            self.chains[chain] = next;
            return;
        }
        while before != NONE {
            let link = &mut self.links(before & NUMBER).chain;
            if *link & NUMBER == at {
                *link = next;
                return;
            }
            before = *link;
        }
    }

    #[inline]
    fn unlist(&mut self, at: u32) {
        let Links { newer, older, .. } = self.links[at as usize];
        if newer == NONE {
            self.newest = older;
        } else {
            self.links(newer).older = older;
        }
        if older == NONE {
            self.oldest = newer;
        } else {
            self.links(older).newer = newer;
        }
    }

    #[inline]
    fn list_newest(&mut self, at: u32) {
        let older = std::mem::replace(&mut self.newest, at);
        let links = self.links(at);
        links.newer = NONE;
        links.older = older;
        if older == NONE {
            self.oldest = at;
        } else {
            self.links(older).newer = at;
        }
    }

    fn list_oldest(&mut self, at: u32) {
        let newer = std::mem::replace(&mut self.oldest, at);
        let links = self.links(at);
        links.newer = newer;
        links.older = NONE;
        if newer == NONE {
            self.newest = at;
        } else {
            self.links(newer).older = at;
        }
    }
}

/// Makes room for one more; by an eighth, so that little of it is idle. A shard has few enough entries for the copy to be short.
fn grow<T>(vec: &mut Vec<T>) {
    if vec.len() == vec.capacity() {
        vec.reserve_exact(8 + vec.len() / 8);
    }
}
