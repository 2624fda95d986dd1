//! What became of sessions since their cookies were written, those aside that have ended ([`memory`](super::memory)).
//!
//! A refresh makes a new cookie, but requests with the old one are under way already, and a browser that is closed meanwhile
//! comes back with it. A refresh token that was used must not be used again: most providers take that for theft, and end
//! everything. So what came of it is kept here for those who still come with the old cookie. The table is bounded; what falls
//! out of it costs somebody a login.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::session::Session;

/// How many sessions are remembered.
const MOST: usize = 4096;

/// What became of a session.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// It was refreshed: what it is now, and its cookie.
    Renewed(Arc<Session>, Arc<str>),
    /// The provider did not answer; it is left alone until then, in seconds since 1970.
    Later(u64),
}

/// The sessions of which more is known than their cookies say.
#[derive(Debug, Default)]
pub(super) struct Fates {
    table: Mutex<Table>,
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

    /// Remembers it. A session that was refreshed stays refreshed.
    pub(super) fn set(&self, id: u128, fate: Fate) {
        let mut table = self.table();
        match table.fates.get_mut(&id) {
            Some(Fate::Renewed(..)) if matches!(fate, Fate::Later(_)) => {}
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
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refreshed_stays_refreshed() {
        let fates = Fates::default();
        fates.set(1, Fate::Later(5));
        let session = Session {
            id: 1,
            turn: 1,
            claims: serde_json::Map::new(),
            scopes: Vec::new(),
            refresh_token: None,
            id_token: None,
            refresh_at: 0,
            holds_until: 0,
            began: 0,
            ends: 0,
        };
        fates.set(1, Fate::Renewed(Arc::new(session), "".into()));
        fates.set(1, Fate::Later(9));
        assert!(matches!(fates.find(1), Some(Fate::Renewed(..))));
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
