//! Who is asking.

use std::sync::Arc;

use weir_auth::{Authenticator, Check, Question, Refusal, Why};
use weir_telemetry::{Decision, PolicyMetrics, Reason};

use super::{Checked, Guard, Later, Seen, What};
use crate::{
    exchange::{Answer, Exchange},
    local::Local,
    plan::RoutePlan,
    server::Client,
};

/// The authentication of a route.
#[derive(Debug)]
pub(crate) struct AuthStep {
    /// What logs and metrics call it.
    pub(crate) name: Arc<str>,
    pub(crate) authenticator: Arc<Authenticator>,
    /// Whom each of the methods asks, for those who want to know without asking.
    pub(crate) asks: Box<[Option<Box<str>>]>,
    pub(crate) metrics: Arc<PolicyMetrics>,
}

impl AuthStep {
    pub(super) fn check(
        &self,
        local: &Local,
        client: &Client,
        exchange: &mut Exchange,
        route: &RoutePlan,
        guard: &Guard,
        at: usize,
    ) -> Checked {
        let now = local.worker.unix_millis(exchange.times.start) / 1000;
        let check = {
            let seen = Seen::new(client, exchange, &route.name, &guard.geo);
            let mut cache = local.credentials.borrow_mut();
            self.authenticator.check(&seen, &mut cache, now)
        };
        self.settle(local, exchange, check, at)
    }

    /// Goes on when the question was answered.
    pub(super) async fn resume(
        &self,
        local: &Local,
        client: &Client,
        exchange: &mut Exchange,
        route: &RoutePlan,
        guard: &Guard,
        (question, at): (Question, usize),
    ) -> Checked {
        let answered = question.answered().await;
        let now = local.worker.unix_millis(weir_net::now()) / 1000;
        let check = {
            let seen = Seen::new(client, exchange, &route.name, &guard.geo);
            let mut cache = local.credentials.borrow_mut();
            self.authenticator.resume(&seen, answered, &mut cache, now)
        };
        self.settle(local, exchange, check, at)
    }

    fn settle(&self, local: &Local, exchange: &mut Exchange, check: Check, at: usize) -> Checked {
        let count = |decision| self.metrics.on(local.worker.id).decisions.count(decision);
        match check {
            Check::Pass(pass) => {
                count(Decision::Passed);
                exchange.identity = pass.identity;
                exchange.place = pass.place;
                exchange.answer_lines.extend_from_slice(&pass.fields);
                Checked::Pass
            }
            Check::Refuse(refusal) => {
                count(match refusal.why {
                    Why::Login => Decision::Passed,
                    Why::Unavailable | Why::Overloaded => Decision::Unavailable,
                    _ => Decision::Denied,
                });
                // Where none of several methods was meant, it is all of them that refuse.
                exchange.policy = Some(Arc::clone(&self.name));
                Checked::Refuse(refuse(exchange, *refusal))
            }
            Check::Ask(question) => Checked::Later(Later {
                at,
                what: What::Auth(question),
            }),
        }
    }
}

/// Answers a request that belongs to a login: its return from the provider, or its end.
pub(crate) async fn login(local: &Local, client: &Client, exchange: &mut Exchange) -> Answer {
    let plan = std::rc::Rc::clone(client.plan());
    let (logins, geo) = (&plan.shared.logins, &plan.shared.geo);
    exchange.https = super::scheme(client, exchange) == "https";
    let now = || local.worker.unix_millis(weir_net::now()) / 1000;
    let mut check = logins.check(&Seen::new(client, exchange, "", geo), now());
    loop {
        match check {
            Check::Ask(question) => check = logins.resume(question.answered().await),
            Check::Refuse(refusal) => return refuse(exchange, *refusal),
            // A login never lets a request pass.
            Check::Pass(_) => return Answer::new(404, Reason::NoRoute),
        }
    }
}

/// The answer that a refusal is; the rest of what it says is noted.
fn refuse(exchange: &mut Exchange, refusal: Refusal) -> Answer {
    exchange.rule = refusal.why.as_str();
    exchange.detail = refusal.detail;
    if refusal.policy.is_some() {
        exchange.policy = refusal.policy;
    }
    // For the log: the request goes no further.
    exchange.identity = refusal.identity;
    // An answer of 503 says by itself when to come again.
    if refusal.status != 503 {
        exchange.answer_lines.extend_from_slice(&refusal.fields);
    }
    let reason = match (refusal.why, refusal.status) {
        (Why::Login, _) => Reason::LoginNeeded,
        (Why::Attempts, _) => Reason::RateLimited,
        (Why::Unavailable | Why::Overloaded, _) => Reason::AuthUnavailable,
        (Why::Scope | Why::Claim, _) => Reason::Forbidden,
        (_, 403) => Reason::Forbidden,
        _ => Reason::Unauthenticated,
    };
    Answer::new(refusal.status, reason)
}
