//! Passing a request to a service.
//!
//! One attempt after another until an endpoint answers or no attempt is safe any more: while nothing was sent another
//! endpoint may be tried whatever the method; once bytes went out, only requests that may be repeated (RFC 9110, 9.2.2)
//! and whose body, if they have one, was kept. What retries cost is bounded by the service's budget, by the number of
//! attempts, and by the one deadline of the whole exchange.

mod admit;
mod answer;
mod attempt;
mod deadline;
mod failure;
mod hedge;
pub(crate) mod mirror;
mod retry;
mod retry_after;

pub(crate) use self::{
    deadline::{Deadline, NEVER},
    failure::Failure,
    mirror::Mirrors,
};

use std::{rc::Rc, sync::Arc};

use weir_net::now;
use weir_service::{EndpointId, Entry, Outcome, Picked, Unpicked, Wish};
use weir_telemetry::Reason;

use self::{
    admit::Admitted,
    attempt::{Headed, Send},
};
use crate::{
    codec::BodyLength,
    exchange::{Answer, Exchange, Next, forward, may_be_read_differently, reply},
    guard,
    local::{Local, LocalPlan},
    plan::{ListenerPlan, RoutePlan},
    route::Template,
    server::Client,
    upstream::{self, Upstream},
    wire::{Relay, Replay},
};

/// Where a request goes.
#[derive(Clone, Copy)]
pub(crate) struct Destination<'a> {
    pub(crate) plan: &'a Rc<LocalPlan>,
    pub(crate) route: &'a RoutePlan,
    /// Index of the service in the plan.
    pub(crate) service: u32,
    pub(crate) rewrite: Option<&'a Template>,
    /// What a consistent hash is made of.
    pub(crate) key: Option<u64>,
    /// The endpoint that the client is used to.
    pub(crate) prefer: Option<u64>,
}

/// What one try came to.
enum Tried {
    /// The exchange is over.
    Done(Next),
    /// It failed; another try may be made.
    Failed(Answer, retry::Why),
    /// It was answered.
    Answered,
    /// It was answered with a status that is a reason to try again, if that is possible.
    Unwanted,
}

/// The try that is under way. In one place for all that work on it, as moving it costs more than anything they do.
#[derive(Debug, Default)]
struct Flight {
    up: Option<Upstream>,
    /// The request's body on its way.
    request: Relay,
}

/// Serves the request by an endpoint of a service.
pub(crate) async fn run(
    local: &Local,
    client: &mut Client,
    exchange: &mut Exchange,
    to: Destination<'_>,
) -> Next {
    let listener = to.plan.listener(client.listener_index);
    if let Some(template) = to.rewrite {
        let refusal = if !render(to.plan, template, exchange) {
            Some(exchange.bad_path())
        } else if may_be_read_differently(to.plan, client, exchange, to.route, rewritten(exchange))
        {
            Some(exchange.ambiguous_path())
        } else {
            None
        };
        if let Some(refusal) = refusal {
            return fail(local, client, exchange, listener, refusal).await;
        }
    }
    let send = Send {
        local,
        listener,
        route: to.route,
        total: exchange.deadline,
    };
    let mut entry = match to.plan.gate(to.service) {
        None => None,
        Some(gate) => match admit::enter(&send, client, exchange, &to, &gate).await {
            Admitted::Yes(entry) => Some(entry),
            Admitted::No(answer) => return fail(local, client, exchange, listener, answer).await,
            Admitted::Gone => return gone(exchange),
        },
    };
    let service = &to.plan.service(to.service).service;
    service.budget().request(exchange.times.ready / 1000);
    let mut next = attempts(&send, client, exchange, &to, &mut entry).await;
    let done = client.wire.body_done();
    mirror::offer(local, client, exchange, exchange.body_in, done);
    if let Some(entry) = entry {
        match &mut next {
            // A tunnel is in flight for as long as it lasts.
            Next::Tunnel(up) => up.entry = Some(entry),
            _ => admit::leave(entry, exchange),
        }
    }
    next
}

/// Tries until it is over.
async fn attempts(
    send: &Send<'_>,
    client: &mut Client,
    exchange: &mut Exchange,
    to: &Destination<'_>,
    entry: &mut Option<Entry>,
) -> Next {
    let Send {
        local, listener, ..
    } = *send;
    let mut exclude: Vec<EndpointId> = Vec::new();
    let mut flight = Flight::default();
    let mut last = Answer::new(503, Reason::NoEndpoint);
    let mut picked = match pick(send, client, exchange, to, entry).await {
        Ok(picked) => picked,
        Err(Refused::Gone) => return gone(exchange),
        Err(Refused::Answer(answer)) => {
            return fail(local, client, exchange, listener, answer).await;
        }
    };
    loop {
        if exchange.attempts > 0 {
            let metrics = &to.plan.service(to.service).metrics;
            metrics.on(local.worker.id).retries.inc();
        }
        exchange.attempts = exchange.attempts.saturating_add(1);
        exchange.endpoint = Some(Arc::clone(picked.endpoint()));
        let tried = attempt(
            send,
            client,
            exchange,
            to,
            picked,
            &mut exclude,
            &mut flight,
        );
        let why = match tried.await {
            Tried::Done(next) => return next,
            Tried::Answered => break,
            Tried::Unwanted => retry::Why::Status,
            Tried::Failed(answer, why) => {
                last = answer;
                why
            }
        };
        if let Some(endpoint) = &exchange.endpoint {
            exclude.push(endpoint.id());
        }
        let next = retry::next(send, client, exchange, to, why, &mut exclude);
        match Box::pin(next).await {
            retry::Next::Try(next) => {
                picked = next;
                answer::dismiss(send, client, exchange, to, &mut flight);
            }
            retry::Next::Over if flight.up.is_some() => break,
            retry::Next::Over => return fail(local, client, exchange, listener, last).await,
            retry::Next::Gone => return gone(exchange),
        }
    }
    answer::pass_on(send, client, exchange, &mut flight).await
}

/// Why no endpoint could be had.
enum Refused {
    Gone,
    Answer(Answer),
}

/// Chooses the first endpoint; waits in line if all that could take the request are full.
async fn pick(
    send: &Send<'_>,
    client: &mut Client,
    exchange: &mut Exchange,
    to: &Destination<'_>,
    entry: &mut Option<Entry>,
) -> Result<Picked, Refused> {
    let mut now_ms = match exchange.times.queued {
        0 => exchange.times.ready / 1000,
        _ => now() / 1000,
    };
    loop {
        let wish = Wish {
            now_ms,
            exclude: &[],
            key: to.key,
            prefer: to.prefer,
        };
        let unpicked = match to.plan.pick(to.service, &wish) {
            Ok(picked) => return Ok(picked),
            Err(unpicked) => unpicked,
        };
        if unpicked == Unpicked::Full
            && let Some(held) = entry.take()
        {
            let waiting = admit::wait_for_room(send, client, exchange, to, held);
            match Box::pin(waiting).await {
                Admitted::Yes(entered) => *entry = Some(entered),
                Admitted::No(answer) => return Err(Refused::Answer(answer)),
                Admitted::Gone => return Err(Refused::Gone),
            }
            now_ms = now() / 1000;
            continue;
        }
        let metrics = &to.plan.service(to.service).metrics;
        return Err(Refused::Answer(match unpicked {
            Unpicked::BreakerOpen { retry_after_ms } => {
                exchange.retry_after = retry_after_ms.div_ceil(1000).clamp(1, 3600) as u32;
                Answer::new(503, Reason::BreakerOpen)
            }
            _ => {
                metrics.on(send.local.worker.id).no_endpoint.inc();
                Answer::new(503, Reason::NoEndpoint)
            }
        }));
    }
}

/// One try at one endpoint.
async fn attempt(
    send: &Send<'_>,
    client: &mut Client,
    exchange: &mut Exchange,
    to: &Destination<'_>,
    picked: Picked,
    exclude: &mut Vec<EndpointId>,
    flight: &mut Flight,
) -> Tried {
    let Send {
        local,
        listener,
        route,
        total,
    } = *send;
    let Flight { up: slot, request } = flight;
    let mut picked = picked;
    let mut fresh = false;
    loop {
        let time = if exchange.attempts <= 1 && !fresh {
            exchange.times.ready
        } else {
            now()
        };
        let idle = if fresh {
            None
        } else {
            local.take_idle(to.plan, to.service, picked.endpoint(), time)
        };
        exchange.reused = idle.is_some();
        let wire = match idle {
            Some(wire) => wire,
            None => {
                let begun = now();
                let connecting =
                    upstream::connect(local, client, exchange, route, to.service, total);
                match Box::pin(connecting).await {
                    Ok(wire) => wire,
                    Err(Reason::ClientGone) => return Tried::Done(gone(exchange)),
                    Err(reason) => {
                        let time = now();
                        let ours = matches!(reason, Reason::Draining | Reason::Overloaded);
                        if !ours && (reason != Reason::TotalTimeout || exchange.own_deadline) {
                            picked.report(Outcome::Connect, time - begun, time / 1000);
                        }
                        let answer = Answer::new(status_of(reason), reason);
                        return Tried::Failed(answer, retry::Why::Unsent);
                    }
                }
            }
        };
        let up = slot.insert(Upstream::new(wire, picked, to.service));
        up.wire.lend_stage(local.scratch());
        write_head(
            up.wire.stage(),
            client,
            exchange,
            listener,
            to.rewrite.is_some(),
        );
        let before = up.wire.received;
        *request = Relay::up_to(route.max_body.on(listener));
        request.keep(match exchange.replay.take() {
            Some(replay) => Some(replay),
            None => keep_up_to(exchange, route).map(Replay::up_to),
        });
        let headed = send
            .and_await_head(client, exchange, up, request, to, exclude)
            .await;
        exchange.replay = request.take_replay();
        let failure = match headed {
            Ok(Headed::Final(hedged)) => {
                if let Some(winner) = hedged {
                    exclude.push(up.endpoint().id());
                    exchange.endpoint = Some(Arc::clone(winner.endpoint()));
                    std::mem::replace(up, *winner).discard(local);
                }
                return answer::consider(send, client, exchange, up);
            }
            // Not given back by a try that is over.
            Ok(Headed::Late) => Failure::Timeout(Reason::TryTimeout),
            Ok(Headed::Switching) => {
                exchange.times.first_byte = now();
                up.report(exchange);
                return Tried::Done(answer::switch(send, client, exchange, slot).await);
            }
            Err(failure) => failure,
        };
        let Some(mut up) = slot.take() else {
            return Tried::Failed(failure.answer(), retry::Why::Final);
        };
        exchange.body_in = request.moved;
        request.reset(&local.worker.pipes);
        // Whole interim heads are taken off the input: what is left is part of an answer.
        let silent = up.wire.received == before || up.wire.input.is_empty();
        exchange.endpoint_bytes = up.moved();
        if failure.is_client_gone() {
            up.discard(local);
            return Tried::Done(gone(exchange));
        }
        let lost = silent && failure.is_lost_connection();
        if lost && exchange.reused && may_repeat(exchange, client) {
            // An endpoint closed an idle connection just as we used it: no attempt, and no fault of anybody's.
            // From now on only fresh connections, so this happens once.
            fresh = true;
            picked = up.give_up(local);
            continue;
        }
        up.failed(&failure, exchange);
        up.discard(local);
        note_failure(local, to.plan, exchange, to.service, &failure);
        exchange.rule = failure.rule();
        let why = match &failure {
            _ if lost => retry::Why::Lost,
            Failure::Timeout(Reason::TryTimeout) if silent => retry::Why::TryTimeout,
            Failure::Timeout(Reason::FirstByteTimeout) if silent => retry::Why::Timeout,
            _ => retry::Why::Final,
        };
        return Tried::Failed(failure.answer(), why);
    }
}

/// How much of the request's body is worth keeping.
fn keep_up_to(exchange: &Exchange, route: &RoutePlan) -> Option<usize> {
    if exchange.request.body() == BodyLength::None {
        return None;
    }
    let repeat = if route.retries.attempts > 0 && exchange.request.method().is_idempotent() {
        route.retries.buffer
    } else {
        0
    };
    let most = repeat.max(exchange.mirror_up_to);
    (most > 0).then_some(most)
}

/// The client has gone.
fn gone(exchange: &mut Exchange) -> Next {
    exchange.status = 499;
    exchange.reason = Some(Reason::ClientGone);
    Next::Abort
}

/// What the client is told when no connection could be opened.
const fn status_of(reason: Reason) -> u16 {
    match reason {
        Reason::ConnectTimeout | Reason::TotalTimeout => 504,
        Reason::Draining | Reason::Overloaded => 503,
        _ => 502,
    }
}

/// Makes the target that the route wants. False if its path would be a trap.
fn render(plan: &LocalPlan, template: &Template, exchange: &mut Exchange) -> bool {
    let mut target = std::mem::take(&mut exchange.target);
    target.clear();
    let hidden = guard::hidden(plan, exchange);
    let rendered = guard::render_target(template, &exchange.values(), hidden, &mut target);
    exchange.target = target;
    rendered.is_ok()
}

/// The path that a template made.
fn rewritten(exchange: &Exchange) -> &[u8] {
    let end = memchr::memchr(b'?', &exchange.target).unwrap_or(exchange.target.len());
    &exchange.target[..end]
}

/// The target as the endpoint gets it.
fn target_of(exchange: &Exchange, rewritten: bool) -> forward::Target<'_> {
    if rewritten {
        forward::Target::Rewritten(&exchange.target)
    } else {
        forward::Target::AsReceived {
            path: exchange.path(),
            query: exchange.request.query(),
        }
    }
}

/// The head as every attempt sends it.
fn write_head(
    head: &mut Vec<u8>,
    client: &Client,
    exchange: &Exchange,
    listener: &ListenerPlan,
    rewritten: bool,
) {
    let target = target_of(exchange, rewritten);
    forward::request_head(head, exchange, client, listener, target);
}

/// Whether the request may be sent twice without harm, and still can be.
fn may_repeat(exchange: &Exchange, client: &Client) -> bool {
    exchange.request.method().is_idempotent()
        && client.wire.is_flushed()
        && (exchange.request.body() == BodyLength::None
            || exchange.replay.as_ref().is_some_and(|kept| !kept.is_lost()))
}

async fn fail(
    local: &Local,
    client: &mut Client,
    exchange: &mut Exchange,
    listener: &ListenerPlan,
    answer: Answer,
) -> Next {
    reply::error(local, client, exchange, listener, answer, None).await
}

/// Counts what went wrong where it belongs.
fn note_failure(
    local: &Local,
    plan: &LocalPlan,
    exchange: &mut Exchange,
    service: u32,
    failure: &Failure,
) {
    let Some(endpoint) = &exchange.endpoint else {
        return;
    };
    let metrics = local.endpoint_metrics(plan, service, endpoint);
    let cells = metrics.on(local.worker.id);
    // Another attempt has another endpoint.
    let (received, sent) = std::mem::take(&mut exchange.endpoint_bytes);
    cells.bytes_received.add(received);
    cells.bytes_sent.add(sent);
    match failure {
        Failure::Closed | Failure::Reset => cells.resets.inc(),
        Failure::BadResponse(_) => cells.bad_responses.inc(),
        _ => {}
    }
}
