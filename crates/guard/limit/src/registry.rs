//! All rate limits of a Weir, over reloads.
//!
//! A reload has two phases. [`Limiters::prepare`] makes what the new configuration wants beside what runs, and a plan is compiled
//! against it. [`Limiters::commit`] makes it what runs; a [`Prepared`] that is dropped instead leaves no trace.
//!
//! # What is kept
//!
//! A limit with the same name and the same spec is the same limiter. If the spec changed:
//!
//! - another key, another seed: everything begins anew.
//! - another label, cost, store, header fields, dry run: all counters stay, exactly.
//! - another limit of concurrency: requests in flight stay counted, exactly.
//! - other limits, another algorithm or another number of keys, each plan for itself: what the old algorithm remembers is counted by
//!   the new one, each request at the latest time at which it can have come. Then nobody gets more than if the new limits had held
//!   all along, with these exceptions. What was not remembered does not count: a fixed window knows nothing of the one before,
//!   and a sliding log no more requests than it allowed. Between two buckets (`token_bucket` and `smooth` are both), a tier
//!   whose window stays owes what it owed, at most all, and one with a new window begins anew. And of a bucket is only known how
//!   little it can have let pass in the past: windows take it that those who come often used all that they might, so bursts
//!   may be refused for one window, but not who keeps to the limit evenly.
//!   What stays as it was is carried over exactly.
//! - a new plan begins anew, and one that is gone is forgotten.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::key::Seed;
use crate::limiter::Limiter;
use crate::spec::LimitSpec;

type ByName = BTreeMap<Box<str>, Arc<Limiter>>;

/// All rate limits of a Weir.
#[derive(Debug)]
pub struct Limiters {
    seed: Seed,
    running: Mutex<ByName>,
}

/// The limiters of a configuration that does not run yet.
#[derive(Debug)]
#[must_use = "nothing changes until it is committed"]
pub struct Prepared {
    seed: Seed,
    running: ByName,
    next: ByName,
}

impl Limiters {
    /// None yet. The seed is drawn once for each process.
    pub fn new(seed: Seed) -> Self {
        Self {
            seed,
            running: Mutex::default(),
        }
    }

    /// Begins a new configuration.
    pub fn prepare(&self) -> Prepared {
        Prepared {
            seed: self.seed,
            running: self.running().clone(),
            next: ByName::new(),
        }
    }

    /// Makes it what runs. From now on, requests that still hold limiters from before count with those that took over. Publish the
    /// plan that uses them after this, not before: until then nobody is to ask them.
    pub fn commit(&self, prepared: Prepared) {
        let mut running = self.running();
        for (name, limiter) in &prepared.next {
            if let Some(before) = running.get(name)
                && !Arc::ptr_eq(before, limiter)
            {
                before.succeeded_by(limiter);
            }
        }
        let before = std::mem::replace(&mut *running, prepared.next);
        drop(running);
        // Tables that nobody holds any more are freed without the lock.
        drop(before);
    }

    /// Moves counters that were carried over out of the tables that they were in before, which can then be freed. Call it
    /// after [`Self::commit`] where a fraction of a second matters to nobody; until then old tables stay in memory.
    pub fn settle(&self) {
        for limiter in self.all() {
            limiter.settle();
        }
    }

    /// The limiters that run, by name.
    pub fn all(&self) -> Vec<Arc<Limiter>> {
        self.running().values().cloned().collect()
    }

    fn running(&self) -> MutexGuard<'_, ByName> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Prepared {
    /// The limiter of this name: the one that runs if it has this spec, otherwise one that takes over from it what can be. Whoever
    /// asks for the same name again gets the same.
    pub fn limiter(&mut self, name: &str, spec: LimitSpec) -> Arc<Limiter> {
        if let Some(limiter) = self.next.get(name) {
            return Arc::clone(limiter);
        }
        let running = self.running.get(name);
        let limiter = match running {
            Some(limiter) if *limiter.spec() == spec => Arc::clone(limiter),
            before => {
                let before = before.map(|before| &**before);
                Arc::new(Limiter::build(name, spec, self.seed, before))
            }
        };
        self.next.insert(name.into(), Arc::clone(&limiter));
        limiter
    }
}
