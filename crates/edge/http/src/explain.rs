//! What would become of a request, and why: the way of [`exchange`](crate::exchange) without sockets.
//!
//! A question goes through the same codec, the same normalisation, the same table and the same writers as a request,
//! so an explanation cannot tell another story than the workers do.

mod action;
mod head;
mod request;

use std::net::IpAddr;

use weir_auth::Hidden;
use weir_firewall::Memo;

pub use self::action::{ExplainedAction, ExplainedHedge, ExplainedService};
use self::head::without_parameters;
use self::request::{answer, client_of, exchange_of, parse, text};
use crate::{
    codec::{BodyLength, Method, RequestHead, TargetForm},
    exchange::{AMBIGUOUS_PATH, Exchange, Headers, forward},
    guard::{self, ExplainedPolicy},
    plan::{ListenerPlan, Plan, RoutePlan},
    route::{self, Captures, Lookup, Outcome, Values, Verdict},
};

/// A request that was never sent.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Where it comes in: the key of a [`ListenerInput`](crate::ListenerInput).
    pub listener: &'a str,
    /// Whom it comes from.
    pub from: IpAddr,
    /// Its method.
    pub method: &'a str,
    /// Its target, as a request line has it.
    pub target: &'a str,
    /// Its fields, Host among them.
    pub fields: &'a [(String, String)],
    /// When it comes, in seconds since 1970.
    pub now: u64,
}

/// What would become of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The name of the listener.
    pub listener: String,
    /// The path that the route is chosen by, when that is not the one that was sent.
    pub normalized: Option<String>,
    /// The target of the request, without credentials in its query.
    pub target: String,
    /// What became of each route, the most specific first.
    pub steps: Vec<ExplainedStep>,
    /// What comes of it.
    pub decision: Decision,
}

/// A route that was considered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedStep {
    /// Its name.
    pub route: String,
    /// What became of it.
    pub verdict: Verdict,
}

/// What comes of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Weir answers before, or instead of, any route.
    Answered(ExplainedAnswer),
    /// A route takes it.
    Routed(Box<ExplainedRoute>),
}

/// An answer of Weir's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedAnswer {
    /// The status.
    pub status: u16,
    /// Why, in a sentence.
    pub detail: String,
    /// The methods that would be taken, with status 405.
    pub allow: Option<String>,
}

/// The route that takes a request.
#[derive(Clone, Debug, PartialEq)]
pub struct ExplainedRoute {
    /// Its name.
    pub name: String,
    /// The parameters of its path, with their values.
    pub parameters: Vec<(String, String)>,
    /// The largest request body in bytes, if there is a bound.
    pub max_body: Option<u64>,
    /// Policies, in the order in which they are asked.
    pub policies: Vec<ExplainedPolicy>,
    /// What it does.
    pub action: ExplainedAction,
}

/// What is known before the decision falls.
#[derive(Default)]
struct Trail {
    normalized: Option<String>,
    steps: Vec<ExplainedStep>,
}

/// A request and the route that takes it.
struct Case<'a> {
    route: &'a RoutePlan,
    question: &'a Question<'a>,
    request: &'a RequestHead,
    listener: &'a ListenerPlan,
    values: &'a Values<'a>,
    /// The request with what is known about who sends it.
    known: &'a Exchange,
}

/// The names of parameters that are told to nobody.
fn parameters(hidden: &[Hidden]) -> Vec<String> {
    let names = hidden.iter().filter_map(|hidden| match hidden {
        Hidden::Parameter(name) => Some(name.to_string()),
        _ => None,
    });
    names.collect()
}

impl Plan {
    /// Says what would become of a request. `None` if there is no such listener.
    #[must_use]
    pub fn explain(&self, question: &Question<'_>) -> Option<Explanation> {
        let index = self.listener_index(question.listener)?;
        let listener = self.listeners.get(usize::from(index))?;
        let mut trail = Trail::default();
        let decided = self.decide(question, index, listener, &mut trail);
        Some(Explanation {
            listener: listener.name.to_string(),
            normalized: trail.normalized,
            target: without_parameters(question.target, &parameters(&self.hidden_parameters)),
            steps: trail.steps,
            decision: match decided {
                Ok(route) => Decision::Routed(Box::new(route)),
                Err(answer) => Decision::Answered(answer),
            },
        })
    }

    fn decide(
        &self,
        question: &Question<'_>,
        index: u16,
        listener: &ListenerPlan,
        trail: &mut Trail,
    ) -> Result<ExplainedRoute, ExplainedAnswer> {
        let request = parse(question, listener, &self.identity_names)?;
        match request.method() {
            Method::Connect | Method::Trace => {
                return Err(answer(501, "Weir does not serve this method."));
            }
            _ if request.form() == TargetForm::Asterisk => {
                return Err(answer(204, "OPTIONS * asks about the server as a whole."));
            }
            _ if forward::hops_left(&request) == Some(0) => {
                return Err(answer(204, "OPTIONS may go no further: Max-Forwards is 0."));
            }
            _ => {}
        }
        let mut path = Vec::new();
        match route::normalize(request.path(), listener.escaped_slashes, &mut path) {
            Ok(route::Normalized::AsSent) => request.path().clone_into(&mut path),
            Ok(route::Normalized::Rewritten) => trail.normalized = Some(text(&path)),
            Err(error) => return Err(answer(400, &error.to_string())),
        }
        let client = client_of(question, &request, listener);
        if let Some(cause) = self.denied_at_the_door(question, client, listener, &path)? {
            let place = if listener.forwarding.trusts(question.from) {
                "The firewall denies the client behind the trusted proxy"
            } else {
                "The firewall closes the connection, or answers a request of it with 403"
            };
            return Err(answer(403, &format!("{place}: {cause}.")));
        }
        let mut lookup = Lookup {
            listener: index,
            host: request.host(),
            path: &path,
            query: request.query(),
            method: request.method_bytes(),
        };
        let headers = Headers(&request);
        let mut captures = Captures::new();
        if let Some(asked) = guard::cors::asked_method(&request) {
            // A preflight is answered by the route of the request that it asks about.
            lookup.method = asked;
            if let Outcome::Route { index } = self.table.find(&lookup, &headers, &mut captures) {
                let route = &self.routes[self.rule_routes[index as usize] as usize];
                if route.cors().is_some() {
                    trail.steps = self.steps(&lookup, &headers);
                    let detail = format!(
                        "A preflight: `cors` of the route {} answers it.",
                        route.name
                    );
                    return Err(answer(204, &detail));
                }
            }
            lookup.method = request.method_bytes();
        }
        trail.steps = self.steps(&lookup, &headers);
        let rule = match self.table.find(&lookup, &headers, &mut captures) {
            Outcome::Route { index } => index,
            Outcome::NotFound => return Err(answer(404, "No route matches.")),
            Outcome::MethodNotAllowed { allow } => {
                let mut methods = Vec::new();
                self.table.write_allow(allow, &mut methods);
                let refusal = answer(405, "Routes match, but for their methods.");
                return Err(ExplainedAnswer {
                    allow: Some(text(&methods)),
                    ..refusal
                });
            }
        };
        let route = &self.routes[self.rule_routes[rule as usize] as usize];
        if listener.refuses_ambiguous && self.is_ambiguous(&lookup, &headers, route) {
            return Err(answer(400, AMBIGUOUS_PATH));
        }
        let max_body = route.max_body.on(listener);
        if let BodyLength::Length(length) = request.body()
            && length > max_body
        {
            return Err(answer(413, "The body is larger than the route takes."));
        }
        let values = Values {
            host: request.host(),
            path: &path,
            query: request.query(),
            captures: &captures,
        };
        let mut known = exchange_of(question, listener, &self.identity_names, &path)?;
        let policies = route.guard.as_ref().map_or_else(Vec::new, |guard| {
            guard.explain(&mut known, client, &route.name, question.now)
        });
        let case = Case {
            route,
            question,
            request: &request,
            listener,
            values: &values,
            known: &known,
        };
        let parameters = self.table.parameters(rule).iter().enumerate();
        Ok(ExplainedRoute {
            name: route.name.to_string(),
            parameters: parameters
                .map(|(at, name)| {
                    let value = captures.value(at, &path).unwrap_or_default();
                    (name.to_string(), text(value))
                })
                .collect(),
            max_body: (max_body != u64::MAX).then_some(max_body),
            policies,
            action: self.explain_action(&case)?,
        })
    }

    /// Which entry of the firewall of all listeners, or of this one, denies a request.
    fn denied_at_the_door(
        &self,
        question: &Question<'_>,
        client: IpAddr,
        listener: &ListenerPlan,
        path: &[u8],
    ) -> Result<Option<String>, ExplainedAnswer> {
        if let Some(global) = &self.firewall
            && let Some(cause) = global.firewall.check(client, &Memo::default()).denied
        {
            return Ok(Some(format!("`{cause}` under `firewall`")));
        }
        let Some(firewall) = &listener.firewall else {
            return Ok(None);
        };
        let exchange = exchange_of(question, listener, &self.identity_names, path)?;
        let cause = firewall.denies(&exchange, client, &self.geo);
        Ok(cause.map(|cause| format!("`{cause}` under the `firewall` of this listener")))
    }

    fn steps(&self, lookup: &Lookup<'_>, headers: &Headers<'_>) -> Vec<ExplainedStep> {
        // A route with several hosts has several rules; the one that fared best speaks for it.
        let mut seen = vec![false; self.routes.len()];
        let steps = self.table.explain(lookup, headers).into_iter();
        steps
            .filter_map(|step| {
                let route = self.rule_routes[step.rule as usize] as usize;
                (!std::mem::replace(&mut seen[route], true)).then(|| ExplainedStep {
                    route: self.routes[route].name.to_string(),
                    verdict: step.verdict,
                })
            })
            .collect()
    }
}
