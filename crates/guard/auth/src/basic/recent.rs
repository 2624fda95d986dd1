//! Passwords that were looked at a moment ago, good ones and wrong ones, for all workers.
//!
//! They are known by an HMAC under a key of this process: neither the password nor anything that could be used to guess it is
//! kept. Both sorts have places of their own, so that wrong guesses do not push good passwords out.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::{hmac, rand};

/// How many of each sort are kept.
const MOST: usize = 1024;

type Tag = [u8; 32];

pub(super) struct Recent {
    key: Option<hmac::Key>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    good: HashMap<Tag, u64>,
    wrong: HashMap<Tag, u64>,
}

impl Recent {
    /// Whether these credentials were good, and until when that counts, if they were looked at before and it still does.
    pub(super) fn find(&self, credentials: &[u8], now: u64) -> Option<(bool, u64)> {
        let tag = self.tag(credentials)?;
        let seen = self.seen();
        let counts = |until: Option<&u64>| until.copied().filter(|until| *until > now);
        let good = counts(seen.good.get(&tag)).map(|until| (true, until));
        good.or_else(|| counts(seen.wrong.get(&tag)).map(|until| (false, until)))
    }

    /// Remembers until a moment what came of looking.
    pub(super) fn insert(&self, credentials: &[u8], good: bool, until: u64) {
        let Some(tag) = self.tag(credentials) else {
            return;
        };
        let mut seen = self.seen();
        let seen = if good {
            &mut seen.good
        } else {
            &mut seen.wrong
        };
        if seen.len() >= MOST
            && let Some(first) = seen.iter().min_by_key(|(_, until)| **until)
        {
            let first = *first.0;
            seen.remove(&first);
        }
        seen.insert(tag, until);
    }

    fn tag(&self, credentials: &[u8]) -> Option<Tag> {
        let tag = hmac::sign(self.key.as_ref()?, credentials);
        tag.as_ref().try_into().ok()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Recent {
    fn default() -> Self {
        let mut key = [0; 32];
        // Without randomness nothing is remembered.
        let key = rand::fill(&mut key)
            .is_ok()
            .then(|| hmac::Key::new(hmac::HMAC_SHA256, &key));
        Self {
            key,
            seen: Mutex::default(),
        }
    }
}

impl std::fmt::Debug for Recent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recent").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_counts_for_a_while() {
        let recent = Recent::default();
        assert_eq!(recent.find(b"a:b", 10), None);
        recent.insert(b"a:b", true, 20);
        recent.insert(b"a:c", false, 20);
        assert_eq!(recent.find(b"a:b", 19), Some((true, 20)));
        assert_eq!(recent.find(b"a:c", 19), Some((false, 20)));
        assert_eq!(recent.find(b"a:d", 19), None);
        assert_eq!(recent.find(b"a:b", 20), None);
    }

    #[test]
    fn wrong_guesses_are_bounded_and_push_nothing_good_out() {
        let recent = Recent::default();
        recent.insert(b"a:b", true, 20);
        for guess in 0..3 * MOST {
            recent.insert(format!("a:{guess}").as_bytes(), false, 20);
        }
        assert_eq!(recent.find(b"a:b", 19), Some((true, 20)));
        assert_eq!(recent.seen().wrong.len(), MOST);
    }
}
