//! One shard of a table: entries, a hash table over them, and the order in which they were used.
//!
//! With many keys a look-up costs what it waits for memory, so what is only looked through is kept apart and dense. The hash table
//! and the order of use are heads of four bytes and links of eight for each entry, which stay in a cache for some hundred
//! thousand keys where the entries themselves do not; a part of the hash beside each link says whether it is worth following.
//! So a look-up, a key moved to the front and a key forgotten each touch one entry that is far away.
//!
//! The hash table chains entries and grows by linear hashing (Litwin, 1980): for each entry that is added, one chain is split in two. So
//! no look-up ever waits for a whole table to be rehashed.
//!
//! All entries form a list, last used first. A new key takes the place of the last in it, if that has been idle for so long that
//! its state says nothing any more, or if the shard is full. Both take the same few steps, however many there are. To move a key to
//! the front, the links of its neighbours are written, which are far from each other; but a processor does that while it waits
//! for the entry. Stamps of use instead of a list, and a look at sixteen of them for the oldest, were measured beside it: no
//! faster for keys that are known, slower for those that are new, and the order was not exact.

use super::Stats;
use super::entries::{self, Entries};
use crate::algorithm::last_counted;
use crate::key::Key;

/// Bytes that an entry takes beside its state: its key, its links and its chain (both grown by an eighth at a time), and its part of
/// what a block takes.
pub(super) const OVERHEAD: usize = 4 * entries::KEY + (8 + 4) * 9 / 8 + 1 + entries::BYTES;

/// No entry.
const NONE: u16 = u16::MAX;

/// The end of a chain.
const END: u32 = u32::MAX;

/// More entries have no number.
const MOST: usize = NONE as usize;

#[derive(Clone, Copy, Debug)]
struct Links {
    /// The next in its chain, as [`tagged`].
    chain: u32,
    /// Who was used after it.
    newer: u16,
    /// Who was used before it.
    older: u16,
}

#[derive(Debug)]
pub(super) struct Shard {
    /// The first of each chain, as [`tagged`].
    chains: Vec<u32>,
    links: Vec<Links>,
    entries: Entries,
    most: usize,
    newest: u16,
    oldest: u16,
    evicted: u64,
    allowed: u64,
    denied: u64,
}

/// An entry as links of chains name it. The tag is of bits that neither chains nor shards are chosen by.
#[inline]
const fn tagged(at: u16, key: Key) -> u32 {
    at as u32 | key.words()[1] << 16
}

impl Shard {
    /// For so many entries at most, with states of so many words.
    pub(super) fn new(words: usize, most: usize) -> Self {
        Self {
            chains: Vec::new(),
            links: Vec::new(),
            entries: Entries::new(words),
            most: most.clamp(1, MOST),
            newest: NONE,
            oldest: NONE,
            evicted: 0,
            allowed: 0,
            denied: 0,
        }
    }

    /// The state of a key, used now. If it is not known, `begin` gets it first, all zero. A state that counted nothing for
    /// `idle_after_ms` says nothing any more.
    #[inline]
    pub(super) fn find_or_make(
        &mut self,
        key: Key,
        now_ms: u64,
        idle_after_ms: u64,
        begin: impl FnOnce(&mut [u32]),
    ) -> &mut [u32] {
        if let Some(at) = self.position(key) {
            if self.newest != at {
                self.unlist(at);
                self.list_newest(at);
            }
            return self.entries.state(at);
        }
        let at = self.place(now_ms, idle_after_ms);
        self.enter(at, key);
        self.list_newest(at);
        let state = self.entries.begin(at, key);
        begin(state);
        state
    }

    /// The state of a key, if it is known. Does not count as use.
    pub(super) fn find(&mut self, key: Key) -> Option<&mut [u32]> {
        let at = self.position(key)?;
        Some(self.entries.state(at))
    }

    /// A fresh state for a key that was used before all others here. `None` if it is known, or if there is no room.
    pub(super) fn make_oldest(&mut self, key: Key) -> Option<&mut [u32]> {
        if self.entries.len() >= self.most || self.position(key).is_some() {
            return None;
        }
        let at = self.add();
        self.enter(at, key);
        self.list_oldest(at);
        Some(self.entries.begin(at, key))
    }

    /// So many entries from number `from` on, as key and state.
    pub(super) fn export(&self, from: usize, most: usize) -> Vec<(Key, Box<[u32]>)> {
        let to = self.entries.len().min(from + most);
        let entries = (from..to).map(|at| self.entries.get(at as u16));
        entries.map(|(key, state)| (key, state.into())).collect()
    }

    /// Forgets all keys, but not how many passed. What is returned takes a while to be freed.
    #[must_use = "free it without the lock of the shard"]
    pub(super) fn clear(&mut self) -> Self {
        let none = Self {
            chains: Vec::new(),
            links: Vec::new(),
            entries: self.entries.none(),
            newest: NONE,
            oldest: NONE,
            ..*self
        };
        std::mem::replace(self, none)
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
            keys: self.entries.len() as u64,
            evicted: self.evicted,
            allowed: self.allowed,
            denied: self.denied,
            held_back: 0,
        }
    }

    #[inline]
    fn links(&mut self, at: u16) -> &mut Links {
        &mut self.links[usize::from(at)]
    }

    /// The chain of a hash. There are as many as entries: those beyond the last power of two have been split off already.
    #[inline]
    fn chain(&self, hash: u32) -> usize {
        let mask = self.chains.len().next_power_of_two() - 1;
        let at = hash as usize & mask;
        if at < self.chains.len() {
            at
        } else {
            at & (mask >> 1)
        }
    }

    #[inline]
    fn position(&self, key: Key) -> Option<u16> {
        if self.chains.is_empty() {
            return None;
        }
        let mut link = self.chains[self.chain(key.low())];
        while link != END {
            let at = link as u16;
            if link == tagged(at, key) && self.entries.get(at).0 == key {
                return Some(at);
            }
            link = self.links[usize::from(at)].chain;
        }
        None
    }

    /// A place for a new key, in no chain and not in the list.
    fn place(&mut self, now_ms: u64, idle_after_ms: u64) -> u16 {
        let oldest = self.oldest;
        if oldest != NONE {
            let (key, state) = self.entries.get(oldest);
            let idle = now_ms.saturating_sub(last_counted(state)) >= idle_after_ms;
            if idle || self.entries.len() >= self.most {
                self.evicted += u64::from(!idle);
                self.unlist(oldest);
                self.leave(oldest, key);
                return oldest;
            }
        }
        self.add()
    }

    /// A new entry, and a chain for it.
    fn add(&mut self) -> u16 {
        grow(&mut self.links);
        self.links.push(Links {
            chain: END,
            newer: NONE,
            older: NONE,
        });
        self.split();
        self.entries.add(self.most)
    }

    /// Adds a chain, and moves those entries into it that belong there now.
    fn split(&mut self) {
        let new = self.chains.len();
        grow(&mut self.chains);
        self.chains.push(END);
        if new == 0 {
            return;
        }
        // The bit that tells them apart.
        let bit = (new + 1).next_power_of_two() >> 1;
        let old = new ^ bit;
        let mut link = std::mem::replace(&mut self.chains[old], END);
        while link != END {
            let at = link as u16;
            let moves = self.entries.get(at).0.low() as usize & bit != 0;
            let chain = if moves { new } else { old };
            let first = std::mem::replace(&mut self.chains[chain], link);
            link = std::mem::replace(&mut self.links(at).chain, first);
        }
    }

    fn enter(&mut self, at: u16, key: Key) {
        let chain = self.chain(key.low());
        let first = std::mem::replace(&mut self.chains[chain], tagged(at, key));
        self.links(at).chain = first;
    }

    fn leave(&mut self, at: u16, key: Key) {
        let chain = self.chain(key.low());
        let next = self.links(at).chain;
        let mut before = self.chains[chain];
        if before as u16 == at {
            self.chains[chain] = next;
            return;
        }
        while before != END {
            let link = &mut self.links(before as u16).chain;
            if *link as u16 == at {
                *link = next;
                return;
            }
            before = *link;
        }
    }

    #[inline]
    fn unlist(&mut self, at: u16) {
        let Links { newer, older, .. } = self.links[usize::from(at)];
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
    fn list_newest(&mut self, at: u16) {
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

    fn list_oldest(&mut self, at: u16) {
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
