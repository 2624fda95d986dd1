//! How many requests of a key are in flight.
//!
//! A key stands here only while one of its requests is, so the table is as large as the traffic, and bounded all the same. What is in
//! flight cannot be forgotten: when the table is full, new keys are refused.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::key::Key;

const SHARDS: usize = 16;

/// Keys are random bits already.
#[derive(Debug, Default)]
struct Bits(u64);

impl Hasher for Bits {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_ne_bytes(word);
        }
    }

    fn write_u128(&mut self, bits: u128) {
        self.0 = bits as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

type Shard = HashMap<Key, u32, BuildHasherDefault<Bits>>;

/// Requests in flight, by key. The same for all plans, and for all versions of a limit that count by the same key.
#[derive(Debug)]
pub(crate) struct Holds {
    shards: [Mutex<Shard>; SHARDS],
    refused: AtomicU64,
}

impl Holds {
    pub(crate) fn new() -> Self {
        Self {
            shards: [const { Mutex::new(HashMap::with_hasher(BuildHasherDefault::new())) }; SHARDS],
            refused: AtomicU64::new(0),
        }
    }

    /// One more in flight, if that makes no more than `most` of this key, and no more keys than `max_keys`.
    pub(crate) fn take(self: &Arc<Self>, key: Key, most: u32, max_keys: usize) -> Option<Held> {
        let mut shard = self.shard(key);
        let keys = shard.len();
        let room = match shard.entry(key) {
            Entry::Occupied(mut held) => {
                let room = *held.get() < most;
                *held.get_mut() += u32::from(room);
                room
            }
            Entry::Vacant(none) => {
                let room = most > 0 && keys < max_keys.div_ceil(SHARDS);
                if room {
                    none.insert(1);
                }
                room
            }
        };
        drop(shard);
        if !room {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(Held(Some((Arc::clone(self), key))))
    }

    /// How many keys have requests in flight.
    pub(crate) fn keys(&self) -> usize {
        let shards = self.shards.iter();
        shards.map(|shard| lock(shard).len()).sum()
    }

    /// How many requests found no room.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn release(&self, key: Key) {
        if let Entry::Occupied(mut held) = self.shard(key).entry(key) {
            match held.get().checked_sub(1) {
                None | Some(0) => _ = held.remove(),
                Some(left) => *held.get_mut() = left,
            }
        }
    }

    fn shard(&self, key: Key) -> MutexGuard<'_, Shard> {
        lock(&self.shards[key.high() as usize % SHARDS])
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // Nothing in here can panic half way.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request in flight: counts as such until it is dropped.
#[derive(Debug)]
#[must_use = "a request counts as in flight only while this lives"]
pub struct Held(Option<(Arc<Holds>, Key)>);

impl Held {
    /// Where nothing limits how many there are.
    pub(crate) const FREE: Self = Self(None);
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some((holds, key)) = &self.0 {
            holds.release(*key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_may_be_and_nothing_is_left_behind() {
        let holds = Arc::new(Holds::new());
        let key = Key::new(3);
        let one = holds.take(key, 2, 100);
        let two = holds.take(key, 2, 100);
        assert!(one.is_some() && two.is_some());
        assert!(holds.take(key, 2, 100).is_none());
        assert!(holds.take(Key::new(4), 2, 100).is_some(), "another key");
        drop(one);
        let three = holds.take(key, 2, 100);
        assert!(three.is_some());
        // With a lower limit, nobody is let in until enough have left.
        assert!(holds.take(key, 1, 100).is_none());
        drop(two);
        assert!(holds.take(key, 1, 100).is_none());
        drop(three);
        assert!(holds.take(key, 1, 100).is_some());
        assert_eq!((holds.keys(), holds.refused()), (0, 3));
    }

    #[test]
    fn a_full_table_takes_no_new_keys() {
        let holds = Arc::new(Holds::new());
        let held: Vec<Held> = (0..1_000)
            .filter_map(|n| holds.take(Key::new(n), 5, 32))
            .collect();
        // These keys are all of one shard.
        assert_eq!((held.len(), holds.keys()), (2, 2));
        assert!(holds.take(Key::new(0), 5, 32).is_some(), "a known key");
    }

    #[test]
    fn threads_share_one_count() {
        let holds = Arc::new(Holds::new());
        let most = AtomicU64::new(0);
        let now = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        if let Some(held) = holds.take(Key::new(1), 3, 100) {
                            most.fetch_max(
                                now.fetch_add(1, Ordering::SeqCst) + 1,
                                Ordering::SeqCst,
                            );
                            now.fetch_sub(1, Ordering::SeqCst);
                            drop(held);
                        }
                    }
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 3);
        assert_eq!(holds.keys(), 0);
    }
}
