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
use super::handle::Store;
use super::quota::SharedQuota;
use super::together::{Decision, SharedAsk, check_together};
use crate::{Key, Limiter, OnStoreError, Plan};

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
        let ask = SharedAsk::new(self, key, client, plan, cost);
        let decided = check_together(std::slice::from_ref(&ask), now_ms).await;
        let decided = decided.into_iter().next().flatten();
        decided.unwrap_or(Decision::UNLIMITED)
    }

    /// What happens when the store cannot be asked.
    pub(crate) const fn on_error(&self) -> OnStoreError {
        self.on_error
    }

    /// Refusals of the store that still hold.
    pub(crate) fn denials(&self) -> &Denials {
        &self.denials
    }

    /// What the store counts for those with this plan.
    pub(crate) fn quota(&self, plan: Plan) -> Option<&Arc<SharedQuota>> {
        self.quotas.get(plan.index())?.as_ref()
    }
}
