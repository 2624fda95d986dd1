//! Who may pass, how much, and what policies change on the way.
//!
//! A route's policies compile to a flat list of [`Step`]s, in an order of their own whatever the order of the file:
//!
//! ```text
//! firewall -> (CORS preflight answered) -> limits by address -> authentication -> limits by who is asking -> forward_auth
//! ```
//!
//! Limits that need no identity come before authentication, so that guessing passwords is limited, too. A step decides at
//! once; one that must wait (a store, an identity provider) is finished by [`finish`], which is cold and boxed.
//!
//! What policies change about heads is not a step: see [`RequestEdit`] and [`AnswerEdit`].

mod address;
mod answer_edit;
mod auth;
mod compile;
pub(crate) mod cors;
mod edit;
mod explain;
mod firewall;
mod forward_auth;
mod headers;
mod identity_fields;
mod limit;
mod query;
mod security_headers;
mod seen;
mod subrequest;
mod transform;
mod value;

use std::sync::Arc;

use weir_auth::{Hidden, Place, Question};
use weir_firewall::Geo;
use weir_net::now;
use weir_telemetry::{Decision, PolicyMetrics};

pub(crate) use self::{
    address::client_ip,
    answer_edit::{AnswerEdit, amend_own_answer},
    compile::{Compiler, Subject},
    edit::RequestEdit,
    firewall::{FirewallStep, GLOBAL, GlobalFirewall},
    limit::Said,
    query::{render_location, render_target, write_blotted, write_query},
};
use self::{
    auth::AuthStep,
    forward_auth::{ForwardAuthPlan, Refused, Verdict},
    headers::HeadPlan,
    limit::LimitStep,
    seen::{Seen, scheme},
    value::Facts,
};
pub(crate) use self::{auth::login, forward_auth::refuse};
pub use self::{compile::GuardInput, explain::ExplainedPolicy};
use crate::{
    codec::{Names, RequestHead},
    exchange::{Answer, Exchange},
    local::{Local, LocalPlan},
    plan::{AddressText, ListenerPlan, Plan, RoutePlan},
    route::Values,
    server::Client,
};

/// The policies of a route.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    pub(crate) steps: Box<[Step]>,
    /// What is changed about heads.
    pub(crate) head: Option<HeadPlan>,
    /// Fields of endpoints' answers that Weir writes itself.
    pub(crate) answers_drop: Names,
    pub(crate) geo: Geo,
}

/// Something that decides whether a request may pass.
#[derive(Debug)]
pub(crate) enum Step {
    Firewall(Arc<FirewallStep>),
    Limits(Box<[Arc<LimitStep>]>),
    Auth(Box<AuthStep>),
    ForwardAuth(Box<ForwardAuthStep>),
}

/// A service that is asked about each request.
#[derive(Debug)]
pub(crate) struct ForwardAuthStep {
    pub(crate) name: Arc<str>,
    pub(crate) plan: Arc<ForwardAuthPlan>,
    pub(crate) metrics: Arc<PolicyMetrics>,
}

/// What a check came to.
pub(crate) enum Checked {
    /// The request may pass.
    Pass,
    /// It may not; what else the answer says is in the exchange.
    Refuse(Answer),
    /// That is not known yet.
    Later(Later),
}

/// A check that waits for something.
pub(crate) struct Later {
    /// Index of the step.
    at: usize,
    what: What,
}

enum What {
    Limits,
    Auth(Question),
    ForwardAuth,
}

impl Guard {
    /// Whether it does nothing.
    pub(crate) fn is_idle(&self) -> bool {
        self.steps.is_empty() && self.head.is_none()
    }

    /// Whether there is something to pass here that is not asked on a route with that guard.
    pub(crate) fn is_stricter_than(&self, other: Option<&Self>) -> bool {
        let others = other.map_or(&[][..], |other| &other.steps);
        let counted = |limit: &Arc<LimitStep>| {
            others.iter().any(|other| match other {
                Step::Limits(limits) => limits.iter().any(|other| Arc::ptr_eq(limit, other)),
                _ => false,
            })
        };
        !self.steps.iter().all(|step| match step {
            Step::Limits(limits) => limits.iter().all(counted),
            _ => others.iter().any(|other| match (step, other) {
                (Step::Firewall(a), Step::Firewall(b)) => Arc::ptr_eq(a, b),
                (Step::Auth(a), Step::Auth(b)) => a.authenticator.asks_as(&b.authenticator),
                (Step::ForwardAuth(a), Step::ForwardAuth(b)) => a.name == b.name,
                _ => false,
            }),
        })
    }

    /// What may be a credential and is not to reach the endpoint, when the one that was good stood in this place.
    pub(crate) fn hidden(&self, place: Option<Place>) -> &[Hidden] {
        let auth = self.steps.iter().find_map(|step| match step {
            Step::Auth(auth) => Some(auth.authenticator.hidden_for(place)),
            _ => None,
        });
        auth.unwrap_or_default()
    }
}

/// Whether a request may come in at its listener, before it is known where it leads.
///
/// Who connects was asked when the connection was accepted. Here it is about rules on requests, and about clients behind
/// trusted proxies, who come over connections of those.
#[inline]
pub(crate) fn admit(
    local: &Local,
    client: &Client,
    exchange: &mut Exchange,
    listener: &ListenerPlan,
) -> Option<Answer> {
    let plan = client.plan();
    let everywhere = plan.shared.firewall.as_ref().filter(|_| client.trusted);
    if let Some(firewall) = everywhere {
        exchange.client_ip = Some(client_ip(client, exchange));
        if let Some(answer) = firewall.check_client(local, client, exchange) {
            return Some(answer);
        }
    }
    let firewall = listener.firewall.as_ref()?;
    firewall.check_at_listener(local, client, exchange, &plan.shared.geo)
}

/// Whether a request may pass, as far as that can be known at once.
#[inline]
pub(crate) fn check(
    local: &Local,
    client: &Client,
    exchange: &mut Exchange,
    route: &RoutePlan,
    guard: &Guard,
) -> Checked {
    exchange.client_ip = Some(client_ip(client, exchange));
    exchange.https = scheme(client, exchange) == "https";
    check_from(local, client, exchange, route, guard, 0)
}

/// Whether the firewalls of a route let a request pass: all that a preflight is asked about.
pub(crate) fn firewalls(
    local: &Local,
    client: &Client,
    exchange: &mut Exchange,
    route: &RoutePlan,
    guard: &Guard,
) -> Option<Answer> {
    exchange.client_ip = Some(client_ip(client, exchange));
    for step in &guard.steps {
        if let Step::Firewall(firewall) = step
            && let Checked::Refuse(answer) = firewall.check(local, client, exchange, route, guard)
        {
            return Some(answer);
        }
    }
    None
}

fn check_from(
    local: &Local,
    client: &Client,
    exchange: &mut Exchange,
    route: &RoutePlan,
    guard: &Guard,
    from: usize,
) -> Checked {
    for (at, step) in guard.steps.iter().enumerate().skip(from) {
        let checked = match step {
            Step::Firewall(firewall) => firewall.check(local, client, exchange, route, guard),
            Step::Limits(limits) => limit::check(local, client, exchange, route, guard, limits, at),
            Step::Auth(auth) => auth.check(local, client, exchange, route, guard, at),
            Step::ForwardAuth(_) => Checked::Later(Later {
                at,
                what: What::ForwardAuth,
            }),
        };
        match checked {
            Checked::Pass => {}
            Checked::Refuse(answer) => return refused(local, guard, exchange, answer),
            later @ Checked::Later(_) => return later,
        }
    }
    limit::write_fields(local, guard, exchange);
    Checked::Pass
}

fn refused(local: &Local, guard: &Guard, exchange: &mut Exchange, answer: Answer) -> Checked {
    limit::write_fields(local, guard, exchange);
    // It is not in flight any more, however long its client takes to read why.
    exchange.held.clear();
    Checked::Refuse(answer)
}

/// Whether a request may pass whose check has to wait.
pub(crate) async fn finish(
    local: &Local,
    client: &mut Client,
    exchange: &mut Exchange,
    route: &RoutePlan,
    guard: &Guard,
    mut later: Later,
) -> Finished {
    loop {
        let Later { at, what } = later;
        let checked = match (guard.steps.get(at), what) {
            (Some(Step::Limits(limits)), What::Limits) => {
                limit::check_shared(local, client, exchange, route, guard, limits, at).await
            }
            (Some(Step::Auth(auth)), What::Auth(question)) => {
                auth.resume(local, client, exchange, route, guard, (question, at))
                    .await
            }
            (Some(Step::ForwardAuth(step)), What::ForwardAuth) => {
                let count = |decision| step.metrics.on(local.worker.id).decisions.count(decision);
                match forward_auth::ask(local, client, exchange, &step.plan).await {
                    Verdict::Pass(lines) => {
                        count(Decision::Passed);
                        exchange.request_lines = lines;
                        Checked::Pass
                    }
                    Verdict::Refuse(refused) => {
                        count(Decision::Denied);
                        exchange.policy = Some(Arc::clone(&step.name));
                        limit::write_fields(local, guard, exchange);
                        exchange.held.clear();
                        return Finished::Refused(refused);
                    }
                    Verdict::Unavailable(answer) => {
                        count(Decision::Unavailable);
                        exchange.policy = Some(Arc::clone(&step.name));
                        Checked::Refuse(answer)
                    }
                    Verdict::ClientGone => return Finished::Gone,
                }
            }
            // A step waits only for what it asked for itself.
            _ => Checked::Pass,
        };
        let checked = match checked {
            Checked::Pass => check_from(local, client, exchange, route, guard, at + 1),
            Checked::Refuse(answer) => refused(local, guard, exchange, answer),
            again @ Checked::Later(_) => again,
        };
        match checked {
            Checked::Pass => {
                // What was waited for here is not the endpoint's doing.
                exchange.times.ready = now();
                return Finished::Pass;
            }
            Checked::Refuse(answer) => return Finished::Refuse(answer),
            Checked::Later(next) => later = next,
        }
    }
}

/// What a check that had to wait came to.
pub(crate) enum Finished {
    /// The request may pass.
    Pass,
    /// It may not.
    Refuse(Answer),
    /// It may not, and a service says so in its own words.
    Refused(Refused),
    /// Nobody waits any more.
    Gone,
}

/// The address of a client behind a trusted proxy, if it may be told to somebody.
pub(crate) fn told_address(
    plan: &LocalPlan,
    client: &Client,
    exchange: &Exchange,
) -> Option<AddressText> {
    let route = plan.route(exchange.route?);
    let tells = client.trusted && route.guard.as_ref()?.head.is_some();
    tells.then(|| AddressText::new(client_ip(client, exchange)))
}

/// What policies change about the head of a request. `address` is the client's.
pub(crate) fn request_edit<'a>(
    plan: &'a LocalPlan,
    exchange: &'a Exchange,
    address: &'a AddressText,
) -> RequestEdit<'a> {
    let guard = exchange
        .route
        .and_then(|route| plan.route(route).guard.as_deref());
    RequestEdit {
        identity: exchange.identity.as_deref(),
        lines: &exchange.request_lines,
        hidden: hidden(plan, exchange),
        parameters: &plan.shared.hidden_parameters,
        head: guard
            .and_then(|guard| guard.head.as_ref())
            .map(|head| (head, facts(plan, exchange, address))),
    }
}

/// Credentials of a request that its endpoint does not see.
pub(crate) fn hidden<'a>(plan: &'a LocalPlan, exchange: &Exchange) -> &'a [Hidden] {
    exchange
        .route
        .map_or(&[], |route| plan.route(route).hidden_for(exchange.place))
}

/// What policies change about the head of a request that was never sent. Who sends it is in `known`.
pub(crate) fn explained_edit<'a>(
    plan: &'a Plan,
    route: &'a RoutePlan,
    request: &'a RequestHead,
    values: &Values<'a>,
    client: &'a AddressText,
    request_id: &'a [u8],
    known: &'a Exchange,
) -> RequestEdit<'a> {
    let guard = route.guard.as_deref();
    let hidden = route.hidden_for(known.place);
    let facts = Facts {
        request,
        path: values.path,
        captures: values.captures,
        client_ip: client.as_str().as_bytes(),
        scheme: b"http",
        request_id,
        route: route.name.as_bytes(),
        who: known.identity.as_deref(),
        hidden,
    };
    RequestEdit {
        identity: known.identity.as_deref(),
        lines: b"",
        hidden,
        parameters: &plan.hidden_parameters,
        head: guard
            .and_then(|guard| guard.head.as_ref())
            .map(|head| (head, facts)),
    }
}

/// What values of fields are made of.
fn facts<'a>(
    plan: &'a LocalPlan,
    exchange: &'a Exchange,
    address: &'a AddressText,
) -> Facts<'a, weir_auth::Identity> {
    Facts {
        request: &exchange.request,
        path: exchange.path(),
        captures: &exchange.captures,
        client_ip: address.as_str().as_bytes(),
        scheme: if exchange.https { b"https" } else { b"http" },
        request_id: exchange.request_id(),
        route: exchange
            .route
            .map_or(b"", |route| plan.route(route).name.as_bytes()),
        who: exchange.identity.as_deref(),
        hidden: hidden(plan, exchange),
    }
}
