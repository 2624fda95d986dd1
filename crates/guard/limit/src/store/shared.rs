//! A limit that several Weirs share, and what each of them does alone while they cannot.
//!
//! The store decides; the local [`Limiter`] writes along. Every request that passes is counted in it, whoever let it
//! pass, so it is warm: from the first request that the store does not answer it knows what this Weir let pass in the
//! last window, and goes on from there.
//!
//! **While the store cannot be asked** (`on_store_error: local`) each of n Weirs lets pass at most what one limiter
//! does, so all together at most n times the limit in any window; usually far less, since most keys are seen by few.
//!
//! **When the store is back** its counts are what they were when it failed, less what has left its windows since, or
//! none if it lost them. What the Weirs let pass alone is not in them, and is not added: requests that passed already
//! cannot be refused any more, and to have thousands of old ones arrive at once would refuse new ones for nothing.
//! Nor do checks count that were on their way when the store hung: each says until when it is wanted, and who asked has
//! decided without it. So that there is no burst either, a Weir that had to decide alone goes on to ask its own limiter, too,
//! until the longest window has passed: for that long both must agree. The same holds after every new connection, and in a Cluster
//! for a server that has taken over slots, and when the clock of a server jumps: one that started anew, a replica that was
//! promoted, or one for which an hour has passed at once, may have lost counts without anybody having had to decide alone. So the bound of n times the limit holds for every window,
//! also for those in which the store failed or came back. The price: in that time a client at its limit may be
//! refused a few milliseconds early, by as much as an answer takes; `fixed_window` and `sliding_window`, whose windows begin at
//! other times here than there, may refuse it for as long as those differ.
//!
//! How many requests are in flight is counted by each Weir for itself: a count of them that survives a crash of a Weir
//! would have to guess when it is over.

use std::sync::Arc;

use super::denials::Denials;
use super::error::StoreError;
use super::handle::Store;
use super::quota::SharedQuota;
use crate::{Key, Limiter, OnStoreError, Plan, Verdict};

/// A limiter whose counts several Weirs share.
#[derive(Clone, Debug)]
pub struct SharedLimiter {
    limiter: Arc<Limiter>,
    store: Store,
    on_error: OnStoreError,
    denials: Arc<Denials>,
    /// By [`Plan`]; `None` where nothing is limited but what is in flight.
    quotas: Box<[Option<Arc<SharedQuota>>]>,
}

/// What a shared limit says about one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The verdict; `None` to refuse because the store could not be asked.
    pub verdict: Option<Verdict>,
    /// Why the store did not decide; `None` if it did.
    pub error: Option<StoreError>,
}

impl SharedLimiter {
    /// Lets a store decide for a limiter, and the limiter where the store cannot.
    pub fn new(limiter: Arc<Limiter>, store: Store, on_error: OnStoreError) -> Self {
        let spec = limiter.spec();
        let names = std::iter::once(None).chain(spec.plans.iter().map(|(name, _)| Some(&**name)));
        let quotas = names
            .zip(spec.quotas())
            .map(|(plan, quota)| store.quota(limiter.name(), plan, quota))
            .collect();
        Self {
            limiter,
            store,
            on_error,
            denials: Arc::new(Denials::new()),
            quotas,
        }
    }

    /// The limiter of this Weir.
    pub const fn limiter(&self) -> &Arc<Limiter> {
        &self.limiter
    }

    /// The store.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Checks a request; if it may pass, it is counted. `key` and `client` are what [`Limiter::key_and_text`] gives,
    /// `now_ms` is what [`Limiter::check`] takes. It waits for the store, at most as long as the config of the engine says, and
    /// does not even ask where the store has refused and must refuse still.
    pub async fn check(
        &self,
        key: Key,
        client: &[u8],
        plan: Plan,
        cost: u32,
        now_ms: u64,
    ) -> Decision {
        let Some(Some(quota)) = self.quotas.get(plan.index()) else {
            return Decision {
                verdict: Some(Verdict::UNLIMITED),
                error: None,
            };
        };
        if let Some(refusal) = self.denials.holds(key, plan, cost, now_ms) {
            return Decision {
                verdict: Some(refusal),
                error: None,
            };
        }
        let answer = match self.store.ask(quota, client, cost).await {
            Ok(answer) => answer,
            Err(why) => return self.alone(key, plan, cost, now_ms, why),
        };
        let recovering = answer
            .alone_ago
            .is_some_and(|ago| ago.as_millis() < u128::from(quota.longest_window_ms()));
        let mut verdict = answer.verdict;
        if !verdict.allowed {
            self.denials.remember(key, plan, cost, now_ms, verdict);
        }
        if verdict.allowed && recovering {
            let ours = self.limiter.check(key, plan, cost, now_ms);
            if !ours.allowed {
                verdict = ours;
            }
        } else if verdict.allowed {
            self.limiter.count(key, plan, cost, now_ms);
        }
        Decision {
            verdict: Some(verdict),
            error: None,
        }
    }

    fn alone(&self, key: Key, plan: Plan, cost: u32, now_ms: u64, why: StoreError) -> Decision {
        let verdict = match self.on_error {
            OnStoreError::Local => Some(self.limiter.check(key, plan, cost, now_ms)),
            OnStoreError::Open => {
                let ours = self.limiter.count(key, plan, cost, now_ms);
                Some(Verdict {
                    allowed: true,
                    retry_after_ms: 0,
                    ..ours
                })
            }
            OnStoreError::Closed => None,
        };
        Decision {
            verdict,
            error: Some(why),
        }
    }
}
