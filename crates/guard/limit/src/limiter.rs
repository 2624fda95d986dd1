//! A rate limit at work, shared by all workers.

use std::sync::Arc;

use crate::fields::Texts;
use crate::holds::{Held, Holds};
use crate::key::{Caller, Key, Seed};
use crate::spec::{LimitSpec, Plan, Quota};
use crate::table::{Stats, Table};
use crate::verdict::Verdict;

/// Counts requests by key and says which may pass.
#[derive(Debug)]
pub struct Limiter {
    name: Box<str>,
    spec: LimitSpec,
    seed: Seed,
    /// By plan; none where any number may pass.
    tables: Box<[Option<Arc<Table>>]>,
    holds: Arc<Holds>,
    texts: Box<[Texts]>,
}

impl Limiter {
    /// One that nobody else knows of. Those of a configuration are made by [`Limiters`](crate::Limiters).
    pub fn new(name: &str, spec: LimitSpec, seed: Seed) -> Arc<Self> {
        Arc::new(Self::build(name, spec, seed, None))
    }

    /// Takes over from the one before it what can be: see [`Limiters`](crate::Limiters).
    pub(crate) fn build(name: &str, spec: LimitSpec, seed: Seed, before: Option<&Self>) -> Self {
        let before = before.filter(|before| before.spec.key == spec.key && before.seed == seed);
        let plan_names =
            std::iter::once(None).chain(spec.plans.iter().map(|(name, _)| Some(&**name)));
        let table = |(plan, quota): (Option<&str>, &Quota)| {
            if quota.tiers.is_empty() {
                return None;
            }
            let same_plan = before.and_then(|before| {
                let at = before.spec.plan(plan);
                // An unknown name is none.
                let known = plan.is_some() == (at != Plan::NONE);
                before.table(at).filter(|_| known)
            });
            Some(match same_plan {
                Some(table) if table.is_for(quota, spec.max_keys) => Arc::clone(table),
                behind => Arc::new(Table::new(quota, spec.max_keys, behind)),
            })
        };
        Self {
            name: name.into(),
            seed,
            tables: plan_names.zip(spec.quotas()).map(table).collect(),
            holds: before.map_or_else(
                || Arc::new(Holds::new()),
                |before| Arc::clone(&before.holds),
            ),
            texts: spec
                .quotas()
                .map(|quota| Texts::new(&spec.label, quota))
                .collect(),
            spec,
        }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it does.
    pub const fn spec(&self) -> &LimitSpec {
        &self.spec
    }

    /// Whom a request is counted to.
    pub fn key(&self, caller: &impl Caller) -> Key {
        self.spec.key.key(caller, self.seed)
    }

    /// The same, and in `text` what a shared store calls it.
    pub fn key_and_text(&self, caller: &impl Caller, text: &mut Vec<u8>) -> Key {
        self.spec.key.key_and_text(caller, self.seed, text)
    }

    /// The limits for those with this plan.
    pub fn plan(&self, name: Option<&str>) -> Plan {
        self.spec.plan(name)
    }

    /// Whether a request of this cost may pass now; if so, it is counted.
    ///
    /// `now_ms` only grows. A worker whose clock is behind what was counted already counts at that time.
    #[inline]
    pub fn check(&self, key: Key, plan: Plan, cost: u32, now_ms: u64) -> Verdict {
        match self.table(plan) {
            Some(table) => table.ask(key, cost, now_ms, false),
            None => Verdict::UNLIMITED,
        }
    }

    /// Counts a request that somebody else let pass, such as a shared store: so this limiter knows as much as the store
    /// when that can no longer be asked. Says what it would have said itself.
    pub fn count(&self, key: Key, plan: Plan, cost: u32, now_ms: u64) -> Verdict {
        match self.table(plan) {
            Some(table) => table.ask(key, cost, now_ms, true),
            None => Verdict::UNLIMITED,
        }
    }

    /// Takes back a request that was counted at this time, because something else refused it.
    pub fn give_back(&self, key: Key, plan: Plan, cost: u32, at_ms: u64) {
        if let Some(table) = self.table(plan) {
            table.give_back(key, cost, at_ms);
        }
    }

    /// Counts a request as in flight until what this returns is dropped. `None` if there are as many as there may be.
    pub fn hold(&self, key: Key, plan: Plan) -> Option<Held> {
        match self.spec.quota(plan).concurrency {
            Some(most) => self.holds.take(key, most, self.spec.max_keys),
            None => Some(Held::FREE),
        }
    }

    /// What was counted so far, over all plans.
    pub fn stats(&self) -> Stats {
        let mut all = Stats {
            held_back: self.holds.refused(),
            ..Stats::default()
        };
        for table in self.tables.iter().flatten() {
            all.add(table.stats());
        }
        all
    }

    /// How many keys have requests in flight that are limited.
    pub fn held_keys(&self) -> usize {
        self.holds.keys()
    }

    /// What header fields say for a plan.
    pub(crate) fn texts(&self, plan: Plan) -> Option<&Texts> {
        self.texts.get(plan.index())
    }

    /// From now on, who still holds this one counts with `next`.
    pub(crate) fn succeeded_by(&self, next: &Self) {
        if self.spec.key != next.spec.key {
            return;
        }
        let names =
            std::iter::once(None).chain(self.spec.plans.iter().map(|(name, _)| Some(&**name)));
        for (table, plan) in self.tables.iter().zip(names) {
            let at = next.spec.plan(plan);
            let known = plan.is_some() == (at != Plan::NONE);
            if let (Some(table), Some(next), true) = (table, next.table(at), known)
                && !Arc::ptr_eq(table, next)
            {
                table.succeeded_by(next);
            }
        }
    }

    /// See [`Limiters::settle`](crate::Limiters::settle).
    pub(crate) fn settle(&self) {
        for table in self.tables.iter().flatten() {
            table.settle();
        }
    }

    fn table(&self, plan: Plan) -> Option<&Arc<Table>> {
        self.tables.get(plan.index())?.as_ref()
    }
}

/// One of several limits that a request is to pass.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'l> {
    /// The limit.
    pub limiter: &'l Limiter,
    /// Whom the request is counted to there.
    pub key: Key,
    /// The plan there.
    pub plan: Plan,
    /// What it costs there.
    pub cost: u32,
}

/// Checks several limits together: if one refuses, what was counted in those before it is given back. `verdicts` holds
/// theirs, up to the refusal. Limits that are a dry run refuse nobody.
pub fn check_together(asks: &[Ask<'_>], now_ms: u64, verdicts: &mut Vec<Verdict>) -> bool {
    verdicts.clear();
    for (at, ask) in asks.iter().enumerate() {
        let verdict = ask.limiter.check(ask.key, ask.plan, ask.cost, now_ms);
        verdicts.push(verdict);
        if verdict.allowed || ask.limiter.spec.dry_run {
            continue;
        }
        for (ask, verdict) in asks[..at].iter().zip(&*verdicts) {
            if verdict.allowed {
                ask.limiter.give_back(ask.key, ask.plan, ask.cost, now_ms);
            }
        }
        return false;
    }
    true
}
