//! What must not count again: sessions that have ended before their time, and logins whose codes were redeemed.
//!
//! A session lives in a sealed cookie, and a cookie that somebody has kept is as good as ever. So that it has ended must be
//! known here, for as long as the cookie would say otherwise, and nothing may drive it out: neither what becomes of other
//! sessions, nor a reload that changes the policy. So this is a table of its own; [`Auth`](crate::Auth) holds it, by what
//! tells cookies apart, for as long as there is anything in it.
//!
//! The table is bounded, and it fails closed: when it is full, nothing of it is forgotten, but a *line* is drawn, and what
//! began before that counts as over altogether. That costs people a login, and revives nobody.
//!
//! It is the memory of one process. After a restart, and at another Weir with the same secrets, a session that has ended here
//! counts again where somebody has kept its cookie: until it must be refreshed, which fails since its refresh token was given
//! back to the provider; without refresh tokens, until its end. Where that matters, `session` should be short. New
//! `session_secrets` without the old ones end all sessions everywhere.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::attempts::Attempts;

/// How much is remembered of each sort.
const MOST: usize = 100_000;

/// What is remembered of the sessions and the logins of a client of a provider.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Sessions.
    pub(super) ended: Over,
    /// States.
    pub(super) redeemed: Over,
    /// Logins that came to nothing.
    pub(super) attempts: Attempts,
}

impl Memory {
    /// Whether nothing is remembered that still matters.
    pub(crate) fn is_empty(&self, now: u64) -> bool {
        self.ended.is_empty(now) && self.redeemed.is_empty(now) && self.attempts.is_empty(now)
    }
}

/// Memories, by what tells cookies apart.
#[derive(Debug, Default)]
pub(crate) struct Memories(HashMap<Name, Arc<Memory>>);

/// The issuer, the client, and the name of the cookie.
pub(crate) type Name = [Box<str>; 3];

impl Memories {
    /// The memory of this name. Those that nobody uses are given up when they are empty. `now` is in seconds since 1970.
    pub(crate) fn find(&mut self, name: Name, now: u64) -> Arc<Memory> {
        self.0
            .retain(|_, memory| Arc::strong_count(memory) > 1 || !memory.is_empty(now));
        Arc::clone(self.0.entry(name).or_default())
    }
}

/// What is over. Times are in seconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Over {
    table: Mutex<Table>,
    /// Changes with each entry.
    epoch: AtomicU64,
}

#[derive(Debug, Default)]
struct Table {
    over: HashMap<u128, Life>,
    /// What began then, or before, is over.
    line: u64,
    /// Until when the line matters: what began before it has ended by itself.
    line_until: u64,
}

/// From when until when something would count.
#[derive(Clone, Copy, Debug)]
struct Life {
    began: u64,
    ends: u64,
}

impl Over {
    /// Whether something that began then is over.
    pub(super) fn has(&self, id: u128, began: u64) -> bool {
        self.table().has(id, began)
    }

    /// Remembers that something is over, until its end. `false` if it was over already.
    pub(super) fn add(&self, id: u128, began: u64, ends: u64, now: u64) -> bool {
        let mut table = self.table();
        if table.has(id, began) {
            // Where only the line says so, it must say so as long.
            table.line_until = table.line_until.max(ends);
            return false;
        }
        if table.over.len() >= MOST {
            table.make_room(now);
        }
        // It may lie behind a line that was drawn just now; but one entry more is cheaper than to think about that.
        table.over.insert(id, Life { began, ends });
        drop(table);
        // Workers may have it in their caches.
        self.epoch.fetch_add(1, Ordering::AcqRel);
        true
    }

    /// A number that changes whenever something is over.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    fn is_empty(&self, now: u64) -> bool {
        let table = self.table();
        table.line_until <= now && table.over.values().all(|life| life.ends <= now)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn has(&self, id: u128, began: u64) -> bool {
        (self.line > 0 && began <= self.line) || self.over.contains_key(&id)
    }

    /// Gives up what has ended by itself. If that is not enough to be done for a while, the older half makes a line.
    fn make_room(&mut self, now: u64) {
        self.over.retain(|_, life| life.ends > now);
        if self.over.len() <= MOST / 4 * 3 {
            return;
        }
        let mut begun: Vec<u64> = self.over.values().map(|life| life.began).collect();
        let middle = begun.len() / 2;
        let (_, line, _) = begun.select_nth_unstable(middle);
        // Never 0, which stands for no line.
        let line = (*line).max(self.line).max(1);
        self.line = line;
        let ends = self.over.values().map(|life| life.ends).max();
        self.line_until = self.line_until.max(ends.unwrap_or(0));
        self.over.retain(|_, life| life.began > line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_stays_over() {
        let over = Over::default();
        assert!(!over.has(1, 10));
        assert!(over.add(1, 10, 100, 20));
        assert!(!over.add(1, 10, 100, 20));
        assert_eq!(over.epoch(), 1);
        assert!(over.has(1, 10) && !over.has(2, 10));
        assert!(!over.is_empty(99) && over.is_empty(100));
    }

    #[test]
    fn a_full_table_forgets_nobody_and_lets_new_ones_in() {
        let over = Over::default();
        // The first to go is the one that came first, and lasts longest.
        over.add(0, 1, 1_000_000, 1);
        let many = 3 * MOST as u64;
        for n in 1..many {
            let now = 1000 + n / 100;
            over.add(u128::from(n), now, now + 100_000, now);
        }
        for n in 1..many {
            assert!(over.has(u128::from(n), 1000 + n / 100), "{n}");
        }
        assert!(over.has(0, 1));
        assert!(over.table().over.len() <= MOST);
        assert!(!over.has(u128::from(many), 1000 + many / 100 + 1));
        assert!(!over.is_empty(999_999) && over.is_empty(1_000_000));
    }

    #[test]
    fn what_has_ended_by_itself_makes_room() {
        let over = Over::default();
        for n in 0..2 * MOST as u64 {
            over.add(u128::from(n), n, n + 100, n);
        }
        let table = over.table();
        assert!(table.line == 0 && table.over.len() <= MOST);
    }

    #[test]
    fn memories_last_as_long_as_they_matter() {
        let mut memories = Memories::default();
        let name = |name: &str| [Box::from("i"), Box::from("c"), Box::from(name)];
        let one = memories.find(name("one"), 10);
        one.ended.add(1, 5, 50, 10);
        drop(one);
        drop(memories.find(name("two"), 10));
        assert!(!memories.find(name("two"), 20).ended.has(1, 5));
        assert_eq!(memories.0.len(), 2);
        assert!(memories.find(name("one"), 49).ended.has(1, 5));
        assert_eq!(memories.0.len(), 1);
        memories.find(name("two"), 50);
        assert_eq!(memories.0.len(), 1);
    }
}
