//! States by key, for all workers: bounded, and quick to forget.
//!
//! A table is cut into shards, each behind a lock that is held for one look-up and a few dozen steps of arithmetic. The shard of a
//! key is chosen by the upper end of its bits, its place in the shard by the lower. See [`shard`] for what a shard is.
//!
//! # When limits change
//!
//! A reload that changes what a limit allows makes a new table that stands before the old one. A key that the new table has not seen
//! is looked for in the old, and what that says about the new limits is carried over ([`Rules::carry`]). Before anybody can
//! ask the new table, the old one is told of it, and passes on those who still hold it: so no two tables ever count for one
//! key. And [`Table::settle`] moves what is left, a few keys at a time, and empties the old table.
//!
//! Connections that live for days hold the limits that they began with, so an old table may be asked long after it was emptied. It
//! knows the newest table, not the next: whenever that is replaced, those that passed on to it are told. So nobody keeps any of
//! the tables between the two.

mod entries;
mod shard;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use shard::{OVERHEAD, Shard};

use crate::algorithm::Rules;
use crate::key::Key;
use crate::spec::Quota;
use crate::verdict::Verdict;

/// So many for up to a million keys: a lock is held for less than a tenth of a microsecond, so more would only cost memory.
const SHARDS: usize = 64;

/// With fewer keys for each, order of use in a shard would say little about order of use in the table.
const FEWEST_KEYS: usize = 256;

/// With more keys for each there are more shards, as what a shard does when it grows takes the longer the larger it is.
const MOST_KEYS: usize = 16_384;

/// So many tables stand behind each other when limits change faster than they settle.
const MOST_BEHIND: usize = 4;

/// How many keys are moved under one lock.
const BATCH: usize = 32;

/// On cache lines of its own (two of them: processors fetch them in pairs).
#[derive(Debug)]
#[repr(align(128))]
struct Padded<T>(T);

/// What was counted, over all keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Keys that are remembered now, those too that have long been idle: their place is taken when a new key comes.
    pub keys: u64,
    /// Keys that were forgotten although they still counted, because there were too many.
    pub evicted: u64,
    /// Requests that might pass.
    pub allowed: u64,
    /// Requests beyond the limit.
    pub denied: u64,
    /// Requests beyond the limit of concurrency.
    pub held_back: u64,
}

impl Stats {
    pub(crate) fn add(&mut self, other: Self) {
        self.keys += other.keys;
        self.evicted += other.evicted;
        self.allowed += other.allowed;
        self.denied += other.denied;
        self.held_back += other.held_back;
    }
}

/// The most memory that a key takes under these limits, in bytes, all in.
pub(crate) fn bytes_per_key(quota: &Quota) -> usize {
    if quota.tiers.is_empty() {
        return 0;
    }
    OVERHEAD + 4 * Rules::new(quota).words()
}

/// The states of all keys under the same limits.
#[derive(Debug)]
pub(crate) struct Table {
    quota: Quota,
    max_keys: usize,
    rules: Rules,
    shards: Box<[Padded<Mutex<Shard>>]>,
    /// Whether there is something in `behind`.
    carrying: AtomicBool,
    behind: Mutex<Behind>,
    /// Whether another counts in place of this one.
    succeeded: AtomicBool,
    succession: Mutex<Succession>,
}

/// What was there before.
#[derive(Debug, Default)]
struct Behind {
    table: Option<Arc<Table>>,
    /// What tables counted that are gone.
    past: Stats,
}

/// Who counts in place of a table, and for whom it counts.
#[derive(Debug, Default)]
struct Succession {
    newest: Option<Arc<Table>>,
    /// All that pass on to this one.
    older: Vec<Weak<Table>>,
}

impl Table {
    /// An empty table that takes over from another, as far as that says something about these limits.
    pub(crate) fn new(quota: &Quota, max_keys: usize, behind: Option<&Arc<Self>>) -> Self {
        let rules = Rules::new(quota);
        let max_keys = max_keys.max(1);
        let few = (max_keys / FEWEST_KEYS).clamp(1, SHARDS);
        // Rounded down to a power of two.
        let shards = 1 << few.max(max_keys / MOST_KEYS).ilog2();
        let shard = || Shard::new(rules.words(), max_keys / shards);
        if let Some(behind) = behind {
            behind.forget_behind(MOST_BEHIND - 1);
        }
        Self {
            quota: quota.clone(),
            max_keys,
            shards: (0..shards).map(|_| Padded(Mutex::new(shard()))).collect(),
            rules,
            carrying: AtomicBool::new(behind.is_some()),
            behind: Mutex::new(Behind {
                table: behind.cloned(),
                past: Stats::default(),
            }),
            succeeded: AtomicBool::new(false),
            succession: Mutex::default(),
        }
    }

    /// Whether a table for these limits would be just like this one.
    pub(crate) fn is_for(&self, quota: &Quota, max_keys: usize) -> bool {
        let (a, b) = (&self.quota, quota);
        (a.algorithm, &a.tiers, self.max_keys) == (b.algorithm, &b.tiers, max_keys.max(1))
    }

    #[inline]
    pub(crate) fn ask(&self, key: Key, cost: u32, now_ms: u64, always: bool) -> Verdict {
        let mut shard = self.shard(key);
        // Under the lock: what is counted here afterwards would not be carried over.
        if let Some(newest) = self.newest() {
            drop(shard);
            return newest.ask(key, cost, now_ms, always);
        }
        let idle_after_ms = self.rules.idle_after_ms();
        let state = shard.find_or_make(key, now_ms, idle_after_ms, |state| {
            if self.carrying.load(Ordering::Relaxed) {
                self.carry(key, state);
            }
        });
        let verdict = self.rules.ask(state, cost, now_ms, always);
        shard.tally(verdict.allowed);
        verdict
    }

    /// Takes back what [`Self::ask`] counted at this time.
    pub(crate) fn give_back(&self, key: Key, cost: u32, at_ms: u64) {
        let mut shard = self.shard(key);
        if let Some(newest) = self.newest() {
            drop(shard);
            newest.give_back(key, cost, at_ms);
            return;
        }
        if let Some(state) = shard.find(key) {
            self.rules.give_back(state, cost, at_ms);
            shard.untally();
        }
    }

    /// From now on, who still holds this table asks that one. A table is replaced once.
    pub(crate) fn succeeded_by(self: &Arc<Self>, newest: &Arc<Self>) {
        let mut own = lock(&self.succession);
        if own.newest.is_some() {
            return;
        }
        own.newest = Some(Arc::clone(newest));
        self.succeeded.store(true, Ordering::Release);
        let mut older = std::mem::take(&mut own.older);
        drop(own);
        // Not before this one passes on, too: two would count at once.
        older.retain(|table| {
            let Some(table) = table.upgrade() else {
                return false;
            };
            let before = lock(&table.succession).newest.replace(Arc::clone(newest));
            before.is_some()
        });
        older.push(Arc::downgrade(self));
        lock(&newest.succession).older.append(&mut older);
    }

    /// Whether there is something left to move.
    pub(crate) fn is_settled(&self) -> bool {
        !self.carrying.load(Ordering::Acquire)
    }

    /// Moves every key that has not been seen since the limits changed, lets go of the table behind, and empties it: who still
    /// holds it is passed on. Takes a fraction of a second for a million keys, and never holds a lock for longer than a few
    /// of them take.
    pub(crate) fn settle(&self) {
        let Some(behind) = self.lock_behind().table.clone() else {
            return;
        };
        behind.settle();
        for shard in &behind.shards {
            let mut from = 0;
            loop {
                let batch = lock(&shard.0).export(from, BATCH);
                if batch.is_empty() {
                    break;
                }
                from += batch.len();
                for (key, old) in batch {
                    if let Some(state) = self.shard(key).make_oldest(key) {
                        self.rules.carry(state, &behind.rules, &old);
                    }
                }
            }
            behind.clear(shard);
        }
        let mut left = self.lock_behind();
        // It may have got another in the meantime only by a bug; then that stays.
        if left
            .table
            .as_ref()
            .is_some_and(|table| Arc::ptr_eq(table, &behind))
        {
            let counted = behind.stats();
            left.past.add(Stats { keys: 0, ..counted });
            left.table = None;
            self.carrying.store(false, Ordering::Release);
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut all = Stats::default();
        for shard in &self.shards {
            all.add(lock(&shard.0).stats());
        }
        let behind = self.lock_behind();
        all.add(behind.past);
        if let Some(table) = behind.table.clone() {
            drop(behind);
            all.add(Stats {
                keys: 0,
                ..table.stats()
            });
        }
        all
    }

    #[inline]
    fn newest(&self) -> Option<Arc<Self>> {
        if !self.succeeded.load(Ordering::Acquire) {
            return None;
        }
        lock(&self.succession).newest.clone()
    }

    /// Empties a shard of this table that nobody will ask any more.
    fn clear(&self, shard: &Padded<Mutex<Shard>>) {
        if self.succeeded.load(Ordering::Acquire) {
            let gone = lock(&shard.0).clear();
            drop(gone);
        }
    }

    #[inline]
    fn shard(&self, key: Key) -> MutexGuard<'_, Shard> {
        // Their number is a power of two.
        let at = key.high() as usize & (self.shards.len() - 1);
        lock(&self.shards[at].0)
    }

    /// Fills the state of a key that was not known here from the table behind; false if there is none.
    #[cold]
    fn carry(&self, key: Key, state: &mut [u32]) -> bool {
        let Some(behind) = self.lock_behind().table.clone() else {
            return false;
        };
        behind.show(key, |old| self.rules.carry(state, &behind.rules, old));
        true
    }

    /// Shows the state of a key, if it is known here or behind. Locks are always taken from newer to older tables.
    fn show(&self, key: Key, seen: impl FnOnce(&[u32])) {
        // Asked first: what settles after the look below comes from behind to here unseen.
        let settled = self.is_settled();
        let mut shard = self.shard(key);
        if let Some(state) = shard.find(key) {
            return seen(state);
        }
        drop(shard);
        if settled {
            return;
        }
        let mut state = vec![0; self.rules.words()];
        if self.carry(key, &mut state) {
            return seen(&state);
        }
        // It has settled in the meantime, and what was behind is here.
        let mut shard = self.shard(key);
        if let Some(state) = shard.find(key) {
            seen(state);
        }
    }

    /// Keeps no more than so many tables behind this one.
    fn forget_behind(&self, most: usize) {
        let mut behind = self.lock_behind();
        if let (Some(table), 1..) = (&behind.table, most) {
            return table.forget_behind(most - 1);
        }
        let Some(gone) = behind.table.take() else {
            return;
        };
        self.carrying.store(false, Ordering::Relaxed);
        behind.past.add(Stats {
            keys: 0,
            ..gone.stats()
        });
        drop(behind);
        gone.forget_behind(0);
        for shard in &gone.shards {
            gone.clear(shard);
        }
    }

    fn lock_behind(&self) -> MutexGuard<'_, Behind> {
        lock(&self.behind)
    }
}

/// What is behind a lock is whole between any two calls on it: a panic under it would be a bug that left at most one key wrong.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
