//! An open-addressed table from (scope, bytes) to a number, built once and read on every request.
//!
//! Not a `HashMap`, which cannot be asked for a borrowed pair of keys and would keep each key in an allocation
//! of its own. Keys come from the config, so a fixed seed is no weakness: a request can only read.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;

#[derive(Debug, Default)]
pub(super) struct Index {
    /// A power of two in length and at most half full, or empty.
    slots: Vec<Slot>,
    bytes: Vec<u8>,
    entries: usize,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u32,
    scope: u32,
    start: u32,
    length: u32,
    value: u32,
}

const FREE: Slot = Slot {
    hash: 0,
    scope: 0,
    start: 0,
    length: 0,
    value: u32::MAX,
};

impl Index {
    /// Adds a key that is not there yet. `value` is below `u32::MAX`.
    pub(super) fn insert(&mut self, scope: u32, key: &[u8], value: u32) {
        debug_assert!(value != u32::MAX && self.find(scope, key).is_none());
        if (self.entries + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let slot = Slot {
            hash: hash(scope, key),
            scope,
            start: self.bytes.len() as u32,
            length: key.len() as u32,
            value,
        };
        self.bytes.extend_from_slice(key);
        self.entries += 1;
        place(&mut self.slots, slot);
    }

    pub(super) fn find(&self, scope: u32, key: &[u8]) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let hash = hash(scope, key);
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = &self.slots[at];
            if slot.value == u32::MAX {
                return None;
            }
            if slot.hash == hash && slot.scope == scope && self.key(slot) == key {
                return Some(slot.value);
            }
            at = (at + 1) & mask;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    fn key(&self, slot: &Slot) -> &[u8] {
        let start = slot.start as usize;
        &self.bytes[start..start + slot.length as usize]
    }

    fn grow(&mut self) {
        let mut slots = vec![FREE; (self.slots.len() * 2).max(8)];
        for &slot in self.slots.iter().filter(|slot| slot.value != u32::MAX) {
            place(&mut slots, slot);
        }
        self.slots = slots;
    }
}

fn place(slots: &mut [Slot], slot: Slot) {
    let mask = slots.len() - 1;
    let mut at = slot.hash as usize & mask;
    while slots[at].value != u32::MAX {
        at = (at + 1) & mask;
    }
    slots[at] = slot;
}

fn hash(scope: u32, key: &[u8]) -> u32 {
    let mut hasher = FixedState::with_seed(0).build_hasher();
    hasher.write_u32(scope);
    hasher.write(key);
    let hash = hasher.finish();
    (hash ^ hash >> 32) as u32
}
