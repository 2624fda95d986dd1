//! Rate limits of a route.

use std::sync::Arc;

use weir_limit::{
    FieldStyle, Key, Limiter, Plan, Verdict,
    fields::{self, Shown},
    store::SharedLimiter,
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
            exchange.said.push(Said::new(at, done, &met, Some(verdict)));
            continue;
        }
        let verdict = match limit.hold(exchange, &met) {
            true => Some(limit.limiter.check(met.key, met.plan, limit.cost(), now_ms)),
            false => None,
        };
        exchange.said.push(Said::new(at, done, &met, verdict));
        if let Err(answer) = limit.settle(local, exchange, verdict) {
            checked = Checked::Refuse(answer);
        }
    }
    if matches!(checked, Checked::Refuse(_)) {
        take_back(client, exchange, route, guard, now_ms);
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
    let mut checked = Checked::Pass;
    for (done, limit) in limits.iter().enumerate() {
        let met = limit.meet(client, exchange, route, guard, Some(&mut text));
        let verdict = match limit.hold(exchange, &met) {
            true => limit.ask(local, &met, &text, now_ms).await.map(Some),
            false => Ok(None),
        };
        let settled = match verdict {
            Ok(verdict) => {
                exchange.said.push(Said::new(at, done, &met, verdict));
                limit.settle(local, exchange, verdict)
            }
            Err(answer) => {
                exchange.policy = Some(Arc::clone(&limit.name));
                exchange.retry_after = 1;
                Err(answer)
            }
        };
        if let Err(answer) = settled {
            take_back(client, exchange, route, guard, now_ms);
            checked = Checked::Refuse(answer);
            break;
        }
    }
    local.reclaim_scratch(text);
    checked
}

/// Takes back what limits counted on this machine for a request that one of them refused, those before authentication
/// too. What a store counted stays, and a dry run that would have refused it has counted nothing.
fn take_back(client: &Client, exchange: &Exchange, route: &RoutePlan, guard: &Guard, now_ms: u64) {
    for said in &exchange.said {
        let Some(limit) = said.by(guard) else {
            continue;
        };
        let counted = said.verdict.is_some_and(|verdict| verdict.allowed);
        if !counted || limit.shared.is_some() {
            continue;
        }
        let key = limit.meet(client, exchange, route, guard, None).key;
        // With the plan of then: who is asking may be known only since.
        let limiter = &limit.limiter;
        limiter.give_back(key, said.plan, limit.cost(), now_ms);
    }
}

impl Said {
    /// Whose it is.
    fn by<'g>(&self, guard: &'g Guard) -> Option<&'g Arc<LimitStep>> {
        match guard.steps.get(usize::from(self.step)) {
            Some(Step::Limits(limits)) => limits.get(usize::from(self.limit)),
            _ => None,
        }
    }

    fn new(step: usize, limit: usize, met: &Met, verdict: Option<Verdict>) -> Self {
        Self {
            step: step as u16,
            limit: limit as u16,
            plan: met.plan,
            verdict,
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

    /// What the store says, or whoever stands in for it.
    async fn ask(
        &self,
        local: &Local,
        met: &Met,
        text: &[u8],
        now_ms: u64,
    ) -> Result<Verdict, Answer> {
        let Some(shared) = &self.shared else {
            return Ok(self.limiter.check(met.key, met.plan, self.cost(), now_ms));
        };
        let decided = shared
            .check(met.key, text, met.plan, self.cost(), now_ms)
            .await;
        if decided.error.is_some() {
            self.count(local, Decision::Unavailable);
        }
        decided
            .verdict
            .ok_or_else(|| Answer::new(503, Reason::LimitUnavailable))
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
