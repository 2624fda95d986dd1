//! What was found out a moment ago, by keyed hash, for all workers.
//!
//! The table has a place for each entry before there is one: sets of four places, one of which an entry can be in, with a
//! lock for each set, so that workers meet only on the same token. Of a full set, the entry that ends first gives way.

use std::sync::{Mutex, PoisonError};

const WAYS: usize = 4;

type Set<V> = [Option<(u128, u64, V)>; WAYS];

/// A bounded table of values that end.
pub(super) struct Table<V> {
    sets: Box<[Mutex<Set<V>>]>,
}

impl<V: Clone> Table<V> {
    /// A table with room for at least so many.
    pub(super) fn new(capacity: usize) -> Self {
        let sets = capacity
            .div_ceil(WAYS)
            .clamp(1, 1 << 20)
            .next_power_of_two();
        Self {
            sets: (0..sets)
                .map(|_| Mutex::new([const { None }; WAYS]))
                .collect(),
        }
    }

    /// The value of a key and when it ends, if it has not ended. Times are in seconds.
    pub(super) fn find(&self, key: u128, now: u64) -> Option<(V, u64)> {
        let set = self.set(key).lock().unwrap_or_else(PoisonError::into_inner);
        set.iter().flatten().find_map(|(own, until, value)| {
            (*own == key && *until > now).then(|| (value.clone(), *until))
        })
    }

    /// Remembers a value until a moment.
    pub(super) fn insert(&self, key: u128, value: V, until: u64) {
        let mut set = self.set(key).lock().unwrap_or_else(PoisonError::into_inner);
        let same =
            |place: &Option<(u128, u64, V)>| place.as_ref().is_some_and(|(own, ..)| *own == key);
        let ends =
            |place: &Option<(u128, u64, V)>| place.as_ref().map_or(0, |(_, until, _)| *until);
        let at = set
            .iter()
            .position(same)
            .or_else(|| (0..WAYS).min_by_key(|at| ends(&set[*at])));
        if let Some(at) = at {
            set[at] = Some((key, until, value));
        }
    }

    fn set(&self, key: u128) -> &Mutex<Set<V>> {
        // Keys are hashes, and the number of sets is a power of two: the index is always within.
        &self.sets[key as usize & (self.sets.len() - 1)]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_entry_ends_when_it_says() {
        let table = Table::new(1);
        table.insert(1, "a", 10);
        assert_eq!(table.find(1, 9), Some(("a", 10)));
        assert_eq!(table.find(1, 10), None);
        assert_eq!(table.find(2, 9), None);
        table.insert(1, "b", 20);
        assert_eq!(table.find(1, 19), Some(("b", 20)));
    }

    #[test]
    fn of_a_full_set_what_ends_first_gives_way() {
        let table = Table::new(4);
        for (key, until) in [(1, 50), (2, 20), (3, 40), (4, 30), (5, 60)] {
            table.insert(key, key, until);
        }
        let found: Vec<u128> = (1..=5)
            .filter(|key| table.find(*key, 0).is_some())
            .collect();
        assert_eq!(found, [1, 3, 4, 5]);
    }

    proptest! {
        #[test]
        fn it_never_says_what_was_not_put_in(
            steps in proptest::collection::vec((0_u128..40, 0_u64..100, any::<u8>()), 1..200),
        ) {
            let table = Table::new(16);
            let mut model = HashMap::new();
            for (key, until, value) in steps {
                table.insert(key, value, until);
                model.insert(key, (value, until));
                for now in [0, 50, 99] {
                    for (key, (value, until)) in &model {
                        if let Some(found) = table.find(*key, now) {
                            prop_assert_eq!(found, (*value, *until));
                            prop_assert!(*until > now);
                        }
                    }
                }
            }
        }
    }
}
