//! Credentials that were good a moment ago.
//!
//! Verifying a signature costs tens of microseconds, finding a credential here a fraction of one. An entry counts only for
//! the method that verified it, for exactly the same bytes, until the credential ends, and as long as the keys it was
//! verified with are the keys: each method has an epoch that rises when they change.
//!
//! Only what was verified comes in, so nobody can fill the cache with what they make up; and it is full when it is full: a
//! set of four places is all that an entry can be in, the one unused for longest gives way. The hash that chooses the set is
//! seeded for each cache, and entries are told apart by their bytes, never by a hash alone. That comparison is not in
//! constant time: to reach it takes a credential with the same 64-bit seeded hash, which nobody can make without the seed.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::identity::Identity;

/// How many entries a set has.
const WAYS: usize = 4;
/// Longer credentials are verified each time.
const LONGEST: usize = 4 << 10;

/// The credentials that one worker verified before.
#[derive(Debug)]
pub struct Cache {
    seed: RandomState,
    sets: Box<[[Option<Entry>; WAYS]]>,
    /// Counts uses.
    tick: u64,
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    method: u64,
    epoch: u64,
    /// When it ends, in seconds since 1970.
    until: u64,
    used: u64,
    credential: Box<[u8]>,
    identity: Arc<Identity>,
}

impl Cache {
    /// A cache for at least so many credentials, of 4 KiB at most each. It takes no memory to speak of before it has any.
    pub fn new(capacity: usize) -> Self {
        let sets = capacity.div_ceil(WAYS).clamp(1, 1 << 20).next_power_of_two();
        Self {
            seed: RandomState::default(),
            sets: (0..sets).map(|_| [const { None }; WAYS]).collect(),
            tick: 0,
        }
    }

    /// How many there are, whether they still count or not.
    pub fn len(&self) -> usize {
        self.sets.iter().flatten().flatten().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Who has this credential, if it was verified by this method and still counts.
    pub(crate) fn find(
        &mut self,
        method: u64,
        epoch: u64,
        credential: &[u8],
        now: u64,
    ) -> Option<&Arc<Identity>> {
        let hash = self.hash(method, credential);
        self.tick += 1;
        let tick = self.tick;
        let set = self.set(hash);
        let place = set.iter_mut().find(|place| {
            place.as_ref().is_some_and(|entry| {
                entry.hash == hash && entry.method == method && *entry.credential == *credential
            })
        })?;
        let entry = place.as_mut()?;
        if entry.epoch != epoch || entry.until <= now {
            *place = None;
            return None;
        }
        entry.used = tick;
        place.as_ref().map(|entry| &entry.identity)
    }

    /// Remembers a credential until a moment.
    pub(crate) fn insert(
        &mut self,
        method: u64,
        epoch: u64,
        credential: &[u8],
        until: u64,
        identity: &Arc<Identity>,
    ) {
        if credential.len() > LONGEST {
            return;
        }
        let hash = self.hash(method, credential);
        self.tick += 1;
        let entry = Entry {
            hash,
            method,
            epoch,
            until,
            used: self.tick,
            credential: credential.into(),
            identity: Arc::clone(identity),
        };
        let set = self.set(hash);
        let same = set.iter().position(|place| {
            place.as_ref().is_some_and(|entry| {
                entry.hash == hash && entry.method == method && *entry.credential == *credential
            })
        });
        let oldest = || {
            let used = |at: &usize| set[*at].as_ref().map_or(0, |entry| entry.used);
            (0..WAYS).min_by_key(used).unwrap_or(0)
        };
        let at = same.unwrap_or_else(oldest);
        set[at] = Some(entry);
    }

    fn hash(&self, method: u64, credential: &[u8]) -> u64 {
        let mut hasher = self.seed.build_hasher();
        hasher.write_u64(method);
        hasher.write(credential);
        hasher.finish()
    }

    fn set(&mut self, hash: u64) -> &mut [Option<Entry>; WAYS] {
        let mask = self.sets.len() - 1;
        // A power of two, so the index is always within.
        &mut self.sets[hash as usize & mask]
    }
}

impl Default for Cache {
    /// A cache for 4096 credentials.
    fn default() -> Self {
        Self::new(4096)
    }
}
