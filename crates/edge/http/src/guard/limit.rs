//! Rate limits of a route.
//!
//! A request that one of them refuses has used up nothing in any other. Those on this machine are asked first, one after
//! another, and take back what they counted; then those in a store, all in one call that counts in all of them or in
//! none. Where a limit on this machine refuses, no store is asked: a flood that ends here does not reach it. What earlier steps
//! counted in a store is taken back without waiting for it: see [`weir_limit::store::take_back`].

use std::sync::Arc;

use weir_limit::{
    FieldStyle, Key, Limiter, Plan, Verdict,
    fields::{self, Shown},
    store::{self, Counted, SharedAsk, SharedLimiter},
};
use weir_telemetry::{Decision, PolicyMetrics, Reason};

use super::{Checked, Guard, Later, Seen, Step, What};
use crate::{
    exchange::{Answer, Exchange},
    local::Local,
    plan::RoutePlan,
    server::Client,
};

/// A rate limit.
#[derive(Debug)]
pub(crate) struct LimitStep {
    /// What logs and metrics call it.
    pub(crate) name: Arc<str>,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) metrics: Arc<PolicyMetrics>,
    /// What counts where several Weirs do so together.
    pub(crate) shared: Option<SharedLimiter>,
}

/// What a limit said of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    /// Which of the steps of the route, and which limit of it.
    step: u16,
    limit: u16,
    plan: Plan,
    /// `None`: there were as many requests in flight as there may be.
    verdict: Option<Verdict>,
    counted: Counted,
}

/// A limit as one request meets it.
struct Met {
    key: Key,
    plan: Plan,
}

/// Tells the client about its limits.
pub(super) fn write_fields(local: &Local, guard: &Guard, exchange: &mut Exchange) {
    let shown = |said: &Said| {
        Some(Shown {
            limiter: &said.by(guard)?.limiter,
            plan: said.plan,
            verdict: said.verdict?,
        })
    };
    let out = &mut exchange.answer_lines;
    let held_back = exchange.said.iter().find(|said| said.verdict.is_none());
    if let Some(said) = held_back {
        if let Some(limit) = said.by(guard) {
            fields::write_held_back(&limit.limiter, said.plan, out);
        }
        return;
    }
    let now = local.worker.unix_millis(exchange.times.start) / 1000;
    match &exchange.said[..] {
        [] => {}
        [one] => fields::write(shown(one).as_slice(), now, out),
        several => {
            let several: Vec<Shown<'_>> = several.iter().filter_map(shown).collect();
            fields::write(&several, now, out);
        }
    }
}

/// Several limits that are checked one after another; a refusal by one takes back what others counted. Those behind it are asked all
/// the same, so that the client is told how long the longest of them refuses.
pub(super) fn check(
    local: &Local,
    client: &Client,
    exchange: &mut Exchange,
    route: &RoutePlan,
    guard: &Guard,
    limits: &[Arc<LimitStep>],
    at: usize,
) -> Checked {
    if limits.iter().any(|limit| limit.shared.is_some()) {
        return Checked::Later(Later {
            at,
            what: What::Limits,
        });
    }
    let now_ms = exchange.times.start / 1000;
    let mut checked = Checked::Pass;
    for (done, limit) in limits.iter().enumerate() {
        let met = limit.meet(client, exchange, route, guard, None);
        if matches!(checked, Checked::Refuse(_)) {
            // It has no part in the refusal, and takes no place among the requests in flight.
            let verdict = limit.limiter.check(met.key, met.plan, limit.cost(), now_ms);
            let counted = Counted::here(verdict.allowed);
            exchange
                .said
                .push(Said::new(at, done, &met, Some(verdict), counted));
            continue;
        }
        let verdict = match limit.hold(exchange, &met) {
            true => Some(limit.limiter.check(met.key, met.plan, limit.cost(), now_ms)),
            false => None,
        };
        let counted = Counted::here(verdict.is_some_and(|verdict| verdict.allowed));
        exchange
            .said
            .push(Said::new(at, done, &met, verdict, counted));
        if let Err(answer) = limit.settle(local, exchange, verdict) {
            checked = Checked::Refuse(answer);
        }
    }
    if matches!(checked, Checked::Refuse(_)) {
        take_back(local, client, exchange, route, guard, (at, now_ms));
    }
    checked
}

/// As [`check`], where a store may be asked.
pub(super) async fn check_shared(
    local: &Local,
    client: &Client,
    exchange: &mut Exchange,
    route: &RoutePlan,
    guard: &Guard,
    limits: &[Arc<LimitStep>],
    at: usize,
) -> Checked {
    let now_ms = exchange.times.start / 1000;
    let mut text = local.scratch();
    let mut answers = Vec::with_capacity(limits.len());
    let mut asks = Vec::with_capacity(limits.len());
    let mut refused = false;
    for limit in limits {
        let met = limit.meet(client, exchange, route, guard, Some(&mut text));
        // Who is refused takes no place among the requests in flight.
        let held = refused || limit.hold(exchange, &met);
        let answer = match &limit.shared {
            _ if !held => Answered::HeldBack,
            Some(shared) => {
                asks.push(SharedAsk::new(
                    shared,
                    met.key,
                    &text,
                    met.plan,
                    limit.cost(),
                ));
                Answered::InStore
            }
            None => Answered::Here(limit.limiter.check(met.key, met.plan, limit.cost(), now_ms)),
        };
        refused |= match answer {
            Answered::HeldBack => true,
            Answered::Here(verdict) => !verdict.allowed && !limit.limiter.spec().dry_run,
            Answered::InStore => false,
        };
        answers.push((met, answer));
    }
    local.reclaim_scratch(text);
    let decisions = match refused {
        true => asks.iter().map(|ask| ask.known(now_ms)).collect(),
        false => store::check_together(&asks, now_ms).await,
    };
    drop(asks);
    let mut decisions = decisions.into_iter();
    let mut checked = Checked::Pass;
    let mut unavailable = None;
    for (done, (limit, (met, answer))) in limits.iter().zip(answers).enumerate() {
        let (verdict, counted) = match answer {
            Answered::HeldBack => (None, Counted::default()),
            Answered::Here(verdict) => (Some(verdict), Counted::here(verdict.allowed)),
            Answered::InStore => {
                // It was not asked if another refuses.
                let Some(decision) = decisions.next().flatten() else {
                    continue;
                };
                if decision.error.is_some() {
                    limit.count(local, Decision::Unavailable);
                }
                let Some(verdict) = decision.verdict else {
                    if !limit.limiter.spec().dry_run {
                        unavailable.get_or_insert(limit);
                    }
                    continue;
                };
                (Some(verdict), decision.counted)
            }
        };
        exchange
            .said
            .push(Said::new(at, done, &met, verdict, counted));
        if let Checked::Pass = checked
            && let Err(answer) = limit.settle(local, exchange, verdict)
        {
            checked = Checked::Refuse(answer);
        }
    }
    // A limit that says no is the better reason: it can tell until when.
    if let (Checked::Pass, Some(limit)) = (&checked, unavailable) {
        exchange.policy = Some(Arc::clone(&limit.name));
        exchange.retry_after = 1;
        checked = Checked::Refuse(Answer::new(503, Reason::LimitUnavailable));
    }
    if matches!(checked, Checked::Refuse(_)) {
        take_back(local, client, exchange, route, guard, (at, now_ms));
    }
    checked
}

/// Who answers for a limit.
enum Answered {
    /// Nobody: there are as many requests in flight as there may be.
    HeldBack,
    Here(Verdict),
    InStore,
}

/// Takes back what the limits of a step counted for a request that one of them refused. A dry run that would have refused it has
/// counted nothing. What limits before authentication counted stays: they are there to bound that work, too.
fn take_back(
    local: &Local,
    client: &Client,
    exchange: &Exchange,
    route: &RoutePlan,
    guard: &Guard,
    (at, now_ms): (usize, u64),
) {
    let mut text = local.scratch();
    let mut shared = Vec::new();
    for said in &exchange.said {
        let Some(limit) = said.by(guard) else {
            continue;
        };
        if usize::from(said.step) != at || said.counted == Counted::default() {
            continue;
        }
        match &limit.shared {
            Some(store) => {
                let key = limit
                    .meet(client, exchange, route, guard, Some(&mut text))
                    .key;
                let ask = SharedAsk::new(store, key, &text, said.plan, limit.cost());
                shared.push((ask, said.counted));
            }
            None => {
                let key = limit.meet(client, exchange, route, guard, None).key;
                let limiter = &limit.limiter;
                limiter.give_back(key, said.plan, limit.cost(), now_ms);
            }
        }
    }
    local.reclaim_scratch(text);
    store::take_back(shared.iter().map(|(ask, counted)| (ask, *counted)), now_ms);
}

impl Said {
    /// Whose it is.
    fn by<'g>(&self, guard: &'g Guard) -> Option<&'g Arc<LimitStep>> {
        match guard.steps.get(usize::from(self.step)) {
            Some(Step::Limits(limits)) => limits.get(usize::from(self.limit)),
            _ => None,
        }
    }

    fn new(
        step: usize,
        limit: usize,
        met: &Met,
        verdict: Option<Verdict>,
        counted: Counted,
    ) -> Self {
        Self {
            step: step as u16,
            limit: limit as u16,
            plan: met.plan,
            verdict,
            counted,
        }
    }
}

impl LimitStep {
    /// Fields that tell clients about limits, of which there can be only one: what the endpoint says in them would contradict. `RateLimit`
    /// and `RateLimit-Policy` are lists, to which every hop adds its own.
    pub(super) fn answer_names(&self) -> impl Iterator<Item = &'static [u8]> {
        let spec = self.limiter.spec();
        let names: &[&[u8]] = match spec.headers {
            _ if spec.dry_run => &[],
            FieldStyle::Off | FieldStyle::Standard => &[],
            FieldStyle::Legacy | FieldStyle::Both => &[
                b"x-ratelimit-limit",
                b"x-ratelimit-remaining",
                b"x-ratelimit-reset",
            ],
        };
        names.iter().copied()
    }

    fn cost(&self) -> u32 {
        self.limiter.spec().cost
    }

    fn meet(
        &self,
        client: &Client,
        exchange: &Exchange,
        route: &RoutePlan,
        guard: &Guard,
        text: Option<&mut Vec<u8>>,
    ) -> Met {
        let seen = Seen::new(client, exchange, &route.name, &guard.geo);
        let plan = exchange
            .identity
            .as_ref()
            .and_then(|identity| identity.plan.as_deref());
        Met {
            key: match text {
                Some(text) => self.limiter.key_and_text(&seen, text),
                None => self.limiter.key(&seen),
            },
            plan: self.limiter.plan(plan),
        }
    }

    /// Takes a place among the requests in flight; false if there is none.
    fn hold(&self, exchange: &mut Exchange, met: &Met) -> bool {
        if self.limiter.spec().quota(met.plan).concurrency.is_none() {
            return true;
        }
        match self.limiter.hold(met.key, met.plan) {
            Some(held) => {
                exchange.held.push(held);
                true
            }
            None => self.limiter.spec().dry_run,
        }
    }

    /// Acts on a verdict; `None`: there are as many requests in flight as there may be.
    fn settle(
        &self,
        local: &Local,
        exchange: &mut Exchange,
        verdict: Option<Verdict>,
    ) -> Result<(), Answer> {
        let allowed = verdict.is_some_and(|verdict| verdict.allowed);
        let dry_run = self.limiter.spec().dry_run;
        if allowed {
            self.count(local, Decision::Passed);
            return Ok(());
        }
        exchange.policy = Some(Arc::clone(&self.name));
        if dry_run {
            self.count(local, Decision::WouldDeny);
            return Ok(());
        }
        self.count(local, Decision::Denied);
        Err(match verdict {
            Some(_) => Answer::new(429, Reason::RateLimited),
            None => Answer::new(429, Reason::ConcurrencyLimited),
        })
    }

    fn count(&self, local: &Local, decision: Decision) {
        self.metrics.on(local.worker.id).decisions.count(decision);
    }
}
