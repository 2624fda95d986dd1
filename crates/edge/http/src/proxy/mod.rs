//! Passing a request to a service.
//!
//! One attempt after another until an endpoint answers or no attempt is safe any
//! more: while nothing was sent another endpoint may be tried whatever the method;
//! once bytes went out, only requests that may be repeated (RFC 9110, 9.2.2) and
//! that had no body to lose.

mod attempt;
mod deadline;
mod failure;

pub(crate) use self::deadline::{Deadline, NEVER};

use std::{rc::Rc, sync::Arc};

use weir_net::now;
use weir_service::EndpointId;
use weir_telemetry::Reason;

use self::{
    attempt::{Headed, Send},
    failure::Failure,
};
use crate::{
    codec::{BodyLength, Version},
    exchange::{Answer, Exchange, Next, forward, reply},
    local::{Local, LocalPlan},
    plan::{ListenerPlan, RoutePlan},
    route::Template,
    server::Client,
    upstream::{self, Upstream},
    wire::{Framing, Relay},
};

/// More endpoints than this are never tried for one request.
const MOST_ATTEMPTS: u8 = 8;

/// Serves the request by an endpoint of the service at `service`.
pub(crate) async fn run(
    local: &Local,
    client: &mut Client,
    exchange: &mut Exchange,
    plan: &Rc<LocalPlan>,
    route: &RoutePlan,
    service: u32,
    rewrite: Option<&Template>,
) -> Next {
    let listener = plan.listener(client.listener_index);
    if let Some(template) = rewrite
        && !render(template, exchange)
    {
        let refusal = exchange.bad_path();
        return fail(local, client, exchange, listener, refusal).await;
    }
    let mut exclude: Vec<EndpointId> = Vec::new();
    let mut last = Answer::new(503, Reason::NoEndpoint);
    let mut fresh = false;
    let total = exchange.times.start.saturating_add(route.timeouts.total);
    loop {
        let time = if exchange.attempts == 0 {
            exchange.times.start
        } else {
            now()
        };
        let Some(picked) = plan.pick(service, time / 1000, &exclude) else {
            if exclude.is_empty() {
                let metrics = &plan.service(service).metrics;
                metrics.on(local.worker.id).no_endpoint.inc();
            }
            return fail(local, client, exchange, listener, last).await;
        };
        let id = picked.endpoint().id();
        exchange.attempts = exchange.attempts.saturating_add(1);
        exchange.endpoint = Some(Arc::clone(picked.endpoint()));
        if exchange.attempts > 1 {
            let metrics = &plan.service(service).metrics;
            metrics.on(local.worker.id).retries.inc();
        }
        let idle = if fresh {
            None
        } else {
            local.take_idle(plan, service, picked.endpoint(), time)
        };
        exchange.reused = idle.is_some();
        let wire = match idle {
            Some(wire) => wire,
            None => match upstream::connect(local, client, exchange, route, service, total).await {
                Ok(wire) => wire,
                Err(Reason::ClientGone) => {
                    exchange.status = 499;
                    exchange.reason = Some(Reason::ClientGone);
                    return Next::Abort;
                }
                Err(reason) => {
                    last = Answer::new(status_of(reason), reason);
                    exclude.push(id);
                    // Nothing was sent: any request may be tried elsewhere.
                    if may_try_again(route.retries.connect, exchange, route, total) {
                        continue;
                    }
                    return fail(local, client, exchange, listener, last).await;
                }
            },
        };
        let mut up = Upstream::new(wire, picked, service);
        up.wire.lend_stage(local.scratch());
        write_head(
            up.wire.stage(),
            client,
            exchange,
            listener,
            rewrite.is_some(),
        );
        let before = up.wire.received;
        let mut request = Relay::up_to(route.max_body.on(listener));
        let send = Send {
            local,
            listener,
            route,
            total,
        };
        let failure = match send
            .and_await_head(client, exchange, &mut up, &mut request)
            .await
        {
            Ok(Headed::Final) => return answer(&send, client, exchange, up, request).await,
            Ok(Headed::Switching) => return switch(&send, client, exchange, up).await,
            Err(failure) => failure,
        };
        exchange.body_in = request.moved;
        request.reset(&local.worker.pipes);
        let silent = up.wire.received == before;
        exchange.endpoint_bytes = up.moved();
        up.discard(local);
        if failure.is_client_gone() {
            exchange.status = 499;
            exchange.reason = Some(Reason::ClientGone);
            return Next::Abort;
        }
        let repeatable = silent && failure.is_lost_connection() && may_repeat(exchange, client);
        if repeatable && exchange.reused {
            // An endpoint closed an idle connection just as we used it: no attempt, and no fault of anybody's.
            // From now on only fresh connections, so this happens once.
            fresh = true;
            exchange.attempts -= 1;
            continue;
        }
        note_failure(local, plan, exchange, service, &failure);
        last = failure.answer();
        exchange.rule = failure.rule();
        exclude.push(id);
        if !(repeatable && may_try_again(route.retries.reset, exchange, route, total)) {
            return fail(local, client, exchange, listener, last).await;
        }
    }
}

/// What the client is told when no connection could be opened.
const fn status_of(reason: Reason) -> u16 {
    match reason {
        Reason::ConnectTimeout | Reason::TotalTimeout => 504,
        _ => 502,
    }
}

/// Makes the target that the route wants. False if its path would be a trap.
fn render(template: &Template, exchange: &mut Exchange) -> bool {
    let mut target = std::mem::take(&mut exchange.target);
    target.clear();
    let rendered = template.render(&exchange.values(), &mut target);
    exchange.target = target;
    rendered.is_ok()
}

/// The head as every attempt sends it.
fn write_head(
    head: &mut Vec<u8>,
    client: &Client,
    exchange: &Exchange,
    listener: &ListenerPlan,
    rewritten: bool,
) {
    let target = if rewritten {
        forward::Target::Rewritten(&exchange.target)
    } else {
        forward::Target::AsReceived {
            path: exchange.path(),
            query: exchange.request.query(),
        }
    };
    forward::request_head(head, exchange, client, listener, target);
}

/// Whether the request may be sent twice without harm, and still can be.
fn may_repeat(exchange: &Exchange, client: &Client) -> bool {
    exchange.request.method().is_idempotent()
        && exchange.request.body() == BodyLength::None
        && client.wire.is_flushed()
}

fn may_try_again(on: bool, exchange: &Exchange, route: &RoutePlan, total: u64) -> bool {
    on && u32::from(exchange.attempts) <= route.retries.attempts
        && exchange.attempts < MOST_ATTEMPTS
        && now() < total
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

/// The endpoint's final head is here: pass it on, and then the body.
async fn answer(
    send: &Send<'_>,
    client: &mut Client,
    exchange: &mut Exchange,
    mut up: Upstream,
    mut request: Relay,
) -> Next {
    let Send {
        local, listener, ..
    } = *send;
    let response = &exchange.response;
    let length = response.body(exchange.request.method());
    let delimited = match length {
        BodyLength::None | BodyLength::Length(_) => forward::Delimited::AsReceived,
        BodyLength::Chunked | BodyLength::UntilClose if client.version == Version::H11 => {
            forward::Delimited::Chunked
        }
        BodyLength::Chunked | BodyLength::UntilClose => forward::Delimited::ByClose,
    };
    up.wire.expect_message(length, response.fields());
    let keep = request.is_done()
        && delimited != forward::Delimited::ByClose
        && client.may_keep(local, exchange, listener);
    exchange.status = response.status();
    client
        .wire
        .frame(if delimited == forward::Delimited::Chunked {
            Framing::Chunked
        } else {
            Framing::Identity
        });
    forward::response_head(
        client.wire.stage(),
        local,
        &exchange.response,
        client.version,
        delimited,
        keep,
    );
    let outcome = send.relay(client, exchange, &mut up, &mut request).await;
    let request_done = request.is_done();
    exchange.body_in = request.moved;
    exchange.endpoint_bytes = up.moved();
    request.reset(&local.worker.pipes);
    match outcome {
        Ok(()) => {
            if request_done && exchange.response.keep_alive() {
                up.recycle(local, client.plan(), exchange.times.first_byte);
            }
            if keep {
                Next::KeepAlive
            } else if request_done && client.wire.input.is_empty() {
                Next::Close
            } else {
                Next::Linger
            }
        }
        Err(failure) => {
            exchange.reason = Some(failure.answer().reason);
            exchange.rule = failure.rule();
            note_failure(local, client.plan(), exchange, up.service, &failure);
            Next::Abort
        }
    }
}

/// The endpoint agreed to another protocol.
async fn switch(
    send: &Send<'_>,
    client: &mut Client,
    exchange: &mut Exchange,
    up: Upstream,
) -> Next {
    let upgrade = exchange.response.upgrade().unwrap_or_default();
    exchange.status = 101;
    forward::switching_head(client.wire.stage(), &exchange.response, upgrade);
    if reply::flush(client, send.listener).await.is_err() {
        exchange.reason = Some(Reason::ClientGone);
        return Next::Abort;
    }
    Next::Tunnel(Box::new(up))
}
