//! What a route does with a request that was never sent.

use std::time::Duration;

use weir_net::Micros;
use weir_service::Policy;

use super::{
    Case, ExplainedAnswer,
    head::{Sent, head},
    request::{answer, text},
};
use crate::{
    exchange::{Stays, forward},
    guard,
    plan::{Action, Hedge, Plan},
    proxy::NEVER,
    route,
};

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

impl Plan {
    pub(super) fn explain_action(
        &self,
        case: &Case<'_>,
    ) -> Result<ExplainedAction, ExplainedAnswer> {
        let Case {
            route,
            question,
            request,
            values,
            ..
        } = case;
        Ok(match &route.action {
            Action::Service { service, .. } => {
                ExplainedAction::Service(Box::new(self.explain_service(*service, case)?))
            }
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
                    ..self.explain_service(service, case)?
                }))
            }
            Action::Redirect { status, to } => ExplainedAction::Redirect {
                status: *status,
                location: text(&rendered(|out| {
                    guard::render_location(to, values, route.hidden(), false, out)
                })?),
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

    /// What an endpoint of a service gets.
    fn explain_service(
        &self,
        service: u32,
        case: &Case<'_>,
    ) -> Result<ExplainedService, ExplainedAnswer> {
        let Case {
            route,
            request,
            values,
            known,
            ..
        } = case;
        let rewritten = match route.rewrite() {
            Some(template) => Some(rendered(|out| {
                let hidden = route.hidden_for(known.place);
                guard::render_target(template, values, hidden, out)
            })?),
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
                case,
                target,
                &Sent {
                    plan: self,
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

fn rendered(
    render: impl FnOnce(&mut Vec<u8>) -> Result<(), route::PathError>,
) -> Result<Vec<u8>, ExplainedAnswer> {
    let mut out = Vec::new();
    match render(&mut out) {
        Ok(()) => Ok(out),
        Err(error) => Err(answer(400, &error.to_string())),
    }
}

const fn duration(micros: Micros) -> Duration {
    Duration::from_micros(micros)
}
