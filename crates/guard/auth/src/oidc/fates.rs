//! What became of sessions since their cookies were written.
//!
//! A refresh makes a new cookie, but requests with the old one are under way already, and a browser that is closed meanwhile
//! comes back with it. A refresh token that was used must not be used again: most providers take that for theft, and end
//! everything. So what came of it is kept here for those who still come with the old cookie. The table is bounded; what falls
//! out of it costs somebody a login.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::session::Session;

/// How many sessions are remembered.
const MOST: usize = 4096;

/// What became of a session.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// It was refreshed: what it is now, and its cookie.
    Renewed(Arc<Session>, Arc<str>),
    /// It is over.
    Ended,
    /// The provider did not answer; it is left alone until then, in seconds since 1970.
    Later(u64),
}

/// The sessions of which more is known than their cookies say.
#[derive(Debug, Default)]
pub(super) struct Fates {
    table: Mutex<Table>,
    epoch: AtomicU64,
}

#[derive(Debug, Default)]
struct Table {
    fates: HashMap<u128, Fate>,
    /// In the order they came.
    order: VecDeque<u128>,
}

impl Fates {
    /// What became of a session.
    pub(super) fn find(&self, id: u128) -> Option<Fate> {
        self.table().fates.get(&id).cloned()
    }

    /// Remembers it. A session that has ended stays ended.
    pub(super) fn set(&self, id: u128, fate: Fate) {
        let ended = matches!(fate, Fate::Ended);
        let mut table = self.table();
        match table.fates.get_mut(&id) {
            Some(Fate::Ended) => return,
            Some(Fate::Renewed(..)) if matches!(fate, Fate::Later(_)) => return,
            Some(old) => *old = fate,
            None => {
                if table.order.len() >= MOST
                    && let Some(oldest) = table.order.pop_front()
                {
                    table.fates.remove(&oldest);
                }
                table.order.push_back(id);
                table.fates.insert(id, fate);
            }
        }
        drop(table);
        if ended {
            // Workers may have it in their caches.
            self.epoch.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// A number that changes when a session ends before its time.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_stays_ended() {
        let fates = Fates::default();
        fates.set(1, Fate::Later(5));
        assert_eq!(fates.epoch(), 0);
        fates.set(1, Fate::Ended);
        assert_eq!(fates.epoch(), 1);
        fates.set(1, Fate::Later(9));
        assert!(matches!(fates.find(1), Some(Fate::Ended)));
        assert!(fates.find(2).is_none());
    }

    #[test]
    fn the_oldest_gives_way() {
        let fates = Fates::default();
        for id in 0..=MOST as u128 {
            fates.set(id, Fate::Later(1));
        }
        assert!(fates.find(0).is_none());
        assert!(fates.find(1).is_some());
        let table = fates.table();
        assert_eq!((table.fates.len(), table.order.len()), (MOST, MOST));
    }
}
