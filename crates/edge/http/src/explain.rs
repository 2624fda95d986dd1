//! What would become of a request, and why: the way of [`exchange`](crate::exchange) without sockets.
//!
//! A question goes through the same codec, the same normalisation, the same table and the same writers as a request,
//! so an explanation cannot tell another story than the workers do.

use std::{net::IpAddr, time::Duration};

use weir_net::Micros;
use weir_service::Policy;

use crate::{
    codec::{BodyLength, FieldId, Method, Names, Parsed, RequestHead, TargetForm, encode},
    exchange::{Exchange, Headers, Stays, forward},
    guard::{self, ExplainedPolicy},
    plan::{Action, AddressText, Hedge, ListenerPlan, Plan, RoutePlan},
    proxy::NEVER,
    route::{self, Captures, Lookup, Outcome, Template, Values, Verdict},
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
}

/// What would become of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The name of the listener.
    pub listener: String,
    /// The path that the route is chosen by, when that is not the one that was sent.
    pub normalized: Option<String>,
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

/// What a route does with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum ExplainedAction {
    /// An endpoint of a service gets it.
    Service(Box<ExplainedService>),
    /// The client is sent elsewhere.
    Redirect {
        /// The status.
        status: u16,
        /// The place.
        location: String,
    },
    /// It gets a fixed answer.
    Respond {
        /// The status.
        status: u16,
        /// Bytes of the body.
        length: u64,
    },
    /// It gets a file.
    Files {
        /// The directory that it comes from.
        root: String,
        /// The path below the root.
        path: String,
    },
}

/// What the endpoint of a service gets, and how long it may take.
#[derive(Clone, Debug, PartialEq)]
pub struct ExplainedService {
    /// The name of the service.
    pub service: String,
    /// All services that requests of the route are shared out among, with their shares as parts of one; empty if there is
    /// no choice.
    pub split: Vec<(String, f64)>,
    /// Whether a cookie of the request led to this service, rather than the largest share.
    pub kept: bool,
    /// The service that gets copies, and of how many requests, as a part of one.
    pub mirror: Option<(String, f64)>,
    /// The cookies that keep a user on a service of the split, and on an endpoint.
    pub sticky: Vec<String>,
    /// The head, line by line. What is made anew for each request stands in angle brackets.
    pub head: Vec<String>,
    /// For the whole exchange, if there is a bound.
    pub total: Option<Duration>,
    /// For a connection.
    pub connect: Duration,
    /// For the head of the answer.
    pub first_byte: Duration,
    /// Without progress of the answer's body.
    pub idle: Duration,
    /// How often it may be tried again.
    pub retries: u32,
    /// After which failures.
    pub retry_on: Vec<&'static str>,
    /// How long one try may take, if less than the whole.
    pub per_try: Option<Duration>,
    /// Retries that the service may get on top of its requests, in percent of these.
    pub retry_budget: u32,
    /// Retries a second that it always may.
    pub retry_floor: u32,
    /// When a second endpoint gets the request as well.
    pub hedge: Option<ExplainedHedge>,
    /// What else is to be known about the service.
    pub policy: Policy,
}

/// When a second endpoint gets a request as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExplainedHedge {
    /// After this time without an answer.
    After(Duration),
    /// After the time that 95 of 100 answers took lately.
    P95,
}

/// What is known before the decision falls.
#[derive(Default)]
struct Trail {
    normalized: Option<String>,
    steps: Vec<ExplainedStep>,
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
        let request = parse(question, listener)?;
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
        match route::normalize(request.path(), &mut path) {
            Ok(route::Normalized::AsSent) => path.extend_from_slice(request.path()),
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
            policies: self.policies(route, question, listener, &path, client)?,
            action: self.action(route, question, &request, listener, &values)?,
        })
    }

    fn policies(
        &self,
        route: &RoutePlan,
        question: &Question<'_>,
        listener: &ListenerPlan,
        path: &[u8],
        client: IpAddr,
    ) -> Result<Vec<ExplainedPolicy>, ExplainedAnswer> {
        let Some(guard) = &route.guard else {
            return Ok(Vec::new());
        };
        let exchange = exchange_of(question, listener, path)?;
        Ok(guard.explain(&exchange, client, &route.name))
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
            && let Some(cause) = global.firewall.check(client).denied
        {
            return Ok(Some(format!("`{cause}` under `firewall`")));
        }
        let Some(firewall) = &listener.firewall else {
            return Ok(None);
        };
        let exchange = exchange_of(question, listener, path)?;
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

    fn action(
        &self,
        route: &RoutePlan,
        question: &Question<'_>,
        request: &RequestHead,
        listener: &ListenerPlan,
        values: &Values<'_>,
    ) -> Result<ExplainedAction, ExplainedAnswer> {
        Ok(match &route.action {
            Action::Service { service, .. } => ExplainedAction::Service(Box::new(
                self.service(route, *service, question, request, listener, values)?,
            )),
            Action::Split { split, .. } => {
                let kept = split
                    .sticky
                    .as_ref()
                    .and_then(|sticky| sticky.lane(request.fields(), |name| split.lane(name)));
                let largest = || {
                    let by_share = split.shares().max_by(|a, b| a.1.total_cmp(&b.1));
                    by_share.map_or(0, |(lane, _)| lane.service)
                };
                let service = kept.map_or_else(largest, |lane| lane.service);
                ExplainedAction::Service(Box::new(ExplainedService {
                    split: split
                        .shares()
                        .map(|(lane, share)| (lane.name.to_string(), share))
                        .collect(),
                    kept: kept.is_some(),
                    ..self.service(route, service, question, request, listener, values)?
                }))
            }
            Action::Redirect { status, to } => ExplainedAction::Redirect {
                status: *status,
                location: text(&render(to, values)?),
            },
            Action::Respond(fixed) => ExplainedAction::Respond {
                status: fixed.status,
                length: fixed.body.len() as u64,
            },
            Action::Files { .. } if !matches!(question.method, "GET" | "HEAD") => {
                let refusal = answer(405, "Files are read, and nothing else.");
                return Err(ExplainedAnswer {
                    allow: Some("GET, HEAD".to_owned()),
                    ..refusal
                });
            }
            Action::Files { below, plan } => {
                let below = below.and_then(|index| values.captures.value(index, values.path));
                ExplainedAction::Files {
                    root: plan.root().display().to_string(),
                    path: text(below.unwrap_or(values.path)),
                }
            }
        })
    }
}

impl Plan {
    /// What an endpoint of a service gets.
    fn service(
        &self,
        route: &RoutePlan,
        service: u32,
        question: &Question<'_>,
        request: &RequestHead,
        listener: &ListenerPlan,
        values: &Values<'_>,
    ) -> Result<ExplainedService, ExplainedAnswer> {
        let rewritten = match route.rewrite() {
            Some(template) => Some(render(template, values)?),
            None => None,
        };
        let target = match &rewritten {
            Some(target) => forward::Target::Rewritten(target),
            None => forward::Target::AsReceived {
                path: values.path,
                query: values.query,
            },
        };
        let timeouts = route.timeouts;
        let asked = route.deadline.as_ref().and_then(|field| field.of(request));
        let total = asked.map_or(timeouts.total, |asked| timeouts.total.min(asked));
        if total == 0 {
            return Err(answer(504, "The deadline of the request is over."));
        }
        let retries = &route.retries;
        let on = [
            (retries.connect, "connect"),
            (retries.reset, "reset"),
            (retries.timeout, "timeout"),
            (retries.on_status(500), "500"),
            (retries.on_status(502), "502"),
            (retries.on_status(503), "503"),
            (retries.on_status(504), "504"),
            (retries.on_status(429), "429"),
        ];
        let plan = &self.services[service as usize];
        let stays = Stays::of(route, plan.sticky.as_ref());
        let deadline = route.deadline.as_ref().map(|field| {
            let left = (total != NEVER).then_some(total / 1000);
            (&*field.name, left)
        });
        Ok(ExplainedService {
            service: plan.name.to_string(),
            split: Vec::new(),
            kept: false,
            mirror: route.mirror.as_ref().map(|mirror| {
                let shadow = &self.services[mirror.service as usize];
                (shadow.name.to_string(), mirror.share())
            }),
            sticky: stays.each().map(|sticky| text(sticky.name())).collect(),
            head: head(
                question,
                request,
                listener,
                target,
                &Sent {
                    identity_names: &self.identity_names,
                    route,
                    values,
                    stays,
                    deadline,
                },
            ),
            total: (total != NEVER).then(|| duration(total)),
            connect: duration(timeouts.connect),
            first_byte: duration(timeouts.first_byte),
            idle: duration(timeouts.idle),
            retries: retries.attempts,
            retry_on: on
                .iter()
                .filter(|(on, _)| *on)
                .map(|(_, word)| *word)
                .collect(),
            per_try: (retries.per_try != NEVER).then(|| duration(retries.per_try)),
            retry_budget: retries.budget_percent,
            retry_floor: retries.budget_floor,
            hedge: match retries.hedge {
                Hedge::Off => None,
                Hedge::After(time) => Some(ExplainedHedge::After(duration(time))),
                Hedge::P95 => Some(ExplainedHedge::P95),
            },
            policy: plan.service.policy().clone(),
        })
    }
}

/// The request as the codec sees it.
fn parse(question: &Question<'_>, listener: &ListenerPlan) -> Result<RequestHead, ExplainedAnswer> {
    let mut bytes = format!("{} {} HTTP/1.1\r\n", question.method, question.target).into_bytes();
    for (name, value) in question.fields {
        encode::field(&mut bytes, name.as_bytes(), value.as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    let mut request = RequestHead::new();
    match request.parse(&bytes, &mut 0, &listener.head) {
        Ok(Parsed::Complete(read)) if read == bytes.len() => Ok(request),
        Ok(_) => Err(answer(400, "This is not one request head.")),
        Err(error) => Err(answer(error.status(), error.detail())),
    }
}

/// Whom a request is from, as far as trusted proxies tell.
fn client_of(question: &Question<'_>, request: &RequestHead, listener: &ListenerPlan) -> IpAddr {
    let forwarding = &listener.forwarding;
    forwarding.client(question.from, forwarding.trusts(question.from), request)
}

/// The request as policies see it.
fn exchange_of(
    question: &Question<'_>,
    listener: &ListenerPlan,
    path: &[u8],
) -> Result<Box<Exchange>, ExplainedAnswer> {
    let mut exchange = Exchange::new();
    exchange.request = parse(question, listener)?;
    exchange.path_changed = true;
    exchange.path.extend_from_slice(path);
    Ok(exchange)
}

/// What the head that an endpoint gets depends on beside the request.
struct Sent<'a> {
    identity_names: &'a Names,
    route: &'a RoutePlan,
    values: &'a Values<'a>,
    stays: Stays<'a>,
    deadline: Option<(&'a [u8], Option<u64>)>,
}

/// The head as the endpoint gets it, of somebody who proved nothing.
fn head(
    question: &Question<'_>,
    request: &RequestHead,
    listener: &ListenerPlan,
    target: forward::Target<'_>,
    sent_with: &Sent<'_>,
) -> Vec<String> {
    let sent = request.fields().first(FieldId::XRequestId);
    let kept = sent.and_then(weir_telemetry::accepted_request_id);
    let traced = forward::trace_of(request).is_some();
    let request_id = kept.map_or(&b"<new>"[..], str::as_bytes);
    let client = AddressText::new(client_of(question, request, listener));
    let mut out = Vec::new();
    forward::write_request_head(
        &mut out,
        &forward::Outgoing {
            request,
            address: &AddressText::new(question.from),
            trusted: listener.forwarding.trusts(question.from),
            request_id,
            traced,
            new_trace: (listener.traceparent && !traced).then_some(b"<new>"),
            stays: sent_with.stays,
            deadline: sent_with.deadline,
            edit: guard::explained_edit(
                sent_with.identity_names,
                sent_with.route,
                request,
                sent_with.values,
                &client,
                request_id,
            ),
            copy: None,
        },
        listener,
        target,
    );
    let lines = text(&out);
    lines
        .lines()
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

fn render(template: &Template, values: &Values<'_>) -> Result<Vec<u8>, ExplainedAnswer> {
    let mut out = Vec::new();
    match template.render(values, &mut out) {
        Ok(()) => Ok(out),
        Err(error) => Err(answer(400, &error.to_string())),
    }
}

fn answer(status: u16, detail: &str) -> ExplainedAnswer {
    ExplainedAnswer {
        status,
        detail: detail.to_owned(),
        allow: None,
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const fn duration(micros: Micros) -> Duration {
    Duration::from_micros(micros)
}
