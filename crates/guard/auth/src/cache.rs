//! Credentials that were good a moment ago.
//!
//! Verifying a signature costs tens of microseconds, finding a credential here a fraction of one. An entry counts only for
//! the method that verified it, for exactly the same bytes, until the credential ends, and as long as the keys it was
//! verified with are the keys: each method has an epoch that rises when they change.
//!
//! Only what was verified comes in, so nobody can fill the cache with what they make up; and it is full when it is full: a
//! set of eight places is all that an entry can be in, the one unused for longest gives way. The hash that chooses the set is
//! seeded for each cache, and entries are told apart by their bytes, never by a hash alone. That comparison is not in
//! constant time: to reach it takes a credential with the same 64-bit seeded hash, which nobody can make without the seed.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::identity::Identity;

/// How many entries a set has.
const WAYS: usize = 8;
/// Longer credentials are verified each time.
const LONGEST: usize = 4 << 10;

/// The credentials that one worker verified before.
#[derive(Debug)]
pub struct Cache {
    seed: RandomState,
    sets: Box<[Set]>,
    /// Counts uses.
    tick: u64,
}

/// The hashes stand apart from what they are of, in one line of the processor's cache.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Set {
    hashes: [u64; WAYS],
    entries: [Option<Entry>; WAYS],
}

#[derive(Debug)]
struct Entry {
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
        let sets = capacity
            .div_ceil(WAYS)
            .clamp(1, 1 << 20)
            .next_power_of_two();
        Self {
            seed: RandomState::default(),
            sets: (0..sets).map(|_| Set::default()).collect(),
            tick: 0,
        }
    }

    /// How many there are, whether they still count or not.
    pub fn len(&self) -> usize {
        let entries = self.sets.iter().flat_map(|set| &set.entries);
        entries.flatten().count()
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
        let at = set.position(hash, method, credential)?;
        let place = &mut set.entries[at];
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
            method,
            epoch,
            until,
            used: self.tick,
            credential: credential.into(),
            identity: Arc::clone(identity),
        };
        let set = self.set(hash);
        let oldest = || {
            let used = |at: &usize| set.entries[*at].as_ref().map_or(0, |entry| entry.used);
            (0..WAYS).min_by_key(used).unwrap_or(0)
        };
        let same = set.position(hash, method, credential);
        let at = same.unwrap_or_else(oldest);
        set.hashes[at] = hash;
        set.entries[at] = Some(entry);
    }

    fn hash(&self, method: u64, credential: &[u8]) -> u64 {
        let mut hasher = self.seed.build_hasher();
        hasher.write_u64(method);
        hasher.write(credential);
        hasher.finish()
    }

    fn set(&mut self, hash: u64) -> &mut Set {
        let mask = self.sets.len() - 1;
        // A power of two, so the index is always within.
        &mut self.sets[hash as usize & mask]
    }
}

impl Set {
    /// Where a credential is.
    fn position(&self, hash: u64, method: u64, credential: &[u8]) -> Option<usize> {
        let is_it = |entry: &Entry| entry.method == method && *entry.credential == *credential;
        (0..WAYS)
            .find(|at| self.hashes[*at] == hash && self.entries[*at].as_ref().is_some_and(is_it))
    }
}

impl Default for Cache {
    /// A cache for 4096 credentials.
    fn default() -> Self {
        Self::new(4096)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::auth::Events;
    use crate::claims::Claims;
    use crate::identity::{MethodKind, Person, Shape};

    fn somebody(subject: &str) -> Arc<Identity> {
        let shape = Shape::new(MethodKind::Jwt, "".into(), Vec::new(), Events::nobody());
        let person = Person {
            subject,
            ..Person::default()
        };
        shape
            .identity(person, Claims::default())
            .expect("an identity")
    }

    #[test]
    fn an_entry_counts_for_its_method_its_epoch_its_bytes_and_its_time() {
        let mut cache = Cache::new(8);
        cache.insert(1, 5, b"token", 100, &somebody("alice"));
        assert_eq!(
            cache.find(1, 5, b"token", 99).map(|who| &*who.subject),
            Some("alice")
        );
        for (method, credential) in [
            (2, "token"),
            (1, "tokem"),
            (1, "toke"),
            (1, "token "),
            (1, ""),
        ] {
            assert!(cache.find(method, 5, credential.as_bytes(), 99).is_none());
        }
        assert!(cache.find(1, 5, b"token", 100).is_none(), "it has ended");
        assert!(cache.is_empty(), "and takes no place");
        cache.insert(1, 5, b"token", 100, &somebody("alice"));
        assert!(
            cache.find(1, 6, b"token", 99).is_none(),
            "the keys are others"
        );
        cache.insert(1, 5, &[0; LONGEST + 1], 100, &somebody("alice"));
        assert!(cache.is_empty(), "too long");
    }

    #[test]
    fn it_is_full_when_it_is_full() {
        let mut cache = Cache::new(64);
        let alice = somebody("alice");
        for token in 0_u32..10_000 {
            cache.insert(1, 0, &token.to_le_bytes(), 100, &alice);
            assert!(
                cache.find(1, 0, &token.to_le_bytes(), 0).is_some(),
                "the last one stays"
            );
        }
        assert!((32..=64).contains(&cache.len()), "{}", cache.len());
    }

    proptest! {
        #[test]
        fn it_never_says_what_was_not_put_in(
            steps in proptest::collection::vec((0_u8..2, 0_u64..2, 0_u8..12, 0_u64..20, any::<bool>()), 1..200)
        ) {
            let mut cache = Cache::new(4);
            let mut model = std::collections::HashMap::new();
            for (now, (method, epoch, token, life, insert)) in (0_u64..).zip(steps) {
                let name = (u64::from(method), [token]);
                if insert {
                    let who = format!("{method} {token} {epoch}");
                    cache.insert(name.0, epoch, &name.1, now + life, &somebody(&who));
                    model.insert(name, (epoch, now + life, who));
                } else if let Some(found) = cache.find(name.0, epoch, &name.1, now) {
                    let (put_epoch, until, who) = model.get(&name).expect("it was put in");
                    prop_assert_eq!((*put_epoch, &**who), (epoch, &*found.subject));
                    prop_assert!(*until > now);
                }
            }
        }
    }
}
