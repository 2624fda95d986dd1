//! Writing what Weir answers itself.

use std::{
    future::poll_fn,
    io,
    rc::Rc,
    task::{Context, Poll},
};

use weir_net::now;
use weir_telemetry::Reason;

use super::{
    answer::{self, Answer},
    run::Next,
    state::Exchange,
};
use crate::{
    codec::{Method, encode},
    guard,
    local::Local,
    plan::{FixedResponse, ListenerPlan},
    route::Template,
    server::Client,
    wire::{Data, Pace, Sink, Source},
};

/// A request body up to this size is read and dropped, so that the connection can go on.
const DISCARD_UP_TO: u64 = 64 * 1024;

/// Answers with a problem document.
pub(crate) async fn error(
    local: &Local,
    client: &mut Client,
    exchange: &mut Exchange,
    listener: &ListenerPlan,
    refusal: Answer,
    allow: Option<&[u8]>,
) -> Next {
    let keep = !refusal.close && may_keep(local, client, exchange, listener);
    answer::answer(local, client, exchange, refusal, allow, keep);
    send(local, client, exchange, listener, keep).await
}

/// `OPTIONS *`: about this server as a whole (RFC 9110, 9.3.7).
pub(crate) async fn options(
    local: &Local,
    client: &mut Client,
    exchange: &mut Exchange,
    listener: &ListenerPlan,
) -> Next {
    let keep = may_keep(local, client, exchange, listener);
    exchange.status = 204;
    let version = client.version;
    let stage = client.wire.stage();
    answer::status_line(stage, 204);
    encode::field(
        stage,
        b"Allow",
        b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
    );
    answer::finish_head_without_length(local, stage, version, keep);
    send(local, client, exchange, listener, keep).await
}

/// Sends the client elsewhere.
pub(crate) async fn redirect(
    local: &Local,
    client: &mut Client,
    exchange: &mut Exchange,
    listener: &ListenerPlan,
    status: u16,
    to: &Template,
) -> Next {
    let keep = may_keep(local, client, exchange, listener);
    exchange.status = status;
    let mut target = std::mem::take(&mut exchange.target);
    target.clear();
    let plan = Rc::clone(client.plan());
    let hidden = exchange
        .route
        .map_or(&[][..], |route| plan.route(route).hidden());
    let values = exchange.values();
    let rendered = guard::render_location(to, &values, hidden, exchange.https, &mut target);
    if rendered.is_err() {
        exchange.target = target;
        let refusal = exchange.bad_path();
        return error(local, client, exchange, listener, refusal, None).await;
    }
    let version = client.version;
    let stage = client.wire.stage();
    let start = stage.len();
    answer::status_line(stage, status);
    encode::field(stage, b"Location", &target);
    guard::amend_own_answer(stage, start, &plan, exchange);
    answer::finish_head(local, stage, version, 0, keep);
    exchange.target = target;
    send(local, client, exchange, listener, keep).await
}

/// A response that the config spells out.
pub(crate) async fn fixed(
    local: &Local,
    client: &mut Client,
    exchange: &mut Exchange,
    listener: &ListenerPlan,
    fixed: &FixedResponse,
) -> Next {
    let keep = may_keep(local, client, exchange, listener);
    exchange.status = fixed.status;
    let version = client.version;
    let head_only = exchange.request.method() == Method::Head;
    let plan = Rc::clone(client.plan());
    let stage = client.wire.stage();
    let start = stage.len();
    answer::status_line(stage, fixed.status);
    stage.extend_from_slice(&fixed.fields);
    guard::amend_own_answer(stage, start, &plan, exchange);
    if matches!(fixed.status, 204 | 304) {
        answer::finish_head_without_length(local, stage, version, keep);
    } else {
        answer::finish_head(local, stage, version, fixed.body.len() as u64, keep);
        if !head_only {
            stage.extend_from_slice(&fixed.body);
            exchange.body_out = fixed.body.len() as u64;
        }
    }
    send(local, client, exchange, listener, keep).await
}

/// Whether the connection may serve another request after an answer of ours.
pub(crate) fn may_keep(
    local: &Local,
    client: &Client,
    exchange: &Exchange,
    listener: &ListenerPlan,
) -> bool {
    // RFC 9110, 10.1.1: a client that waits for 100 may send its body or not; nobody knows.
    let body_can_go = client.wire.body_done()
        || (!exchange.request.expects_continue()
            && client
                .wire
                .body_left()
                .is_some_and(|left| left <= DISCARD_UP_TO));
    body_can_go && client.may_keep(local, exchange, listener)
}

/// Writes what is staged; then reads away what is left of the request's body.
pub(crate) async fn send(
    local: &Local,
    client: &mut Client,
    exchange: &mut Exchange,
    listener: &ListenerPlan,
    keep: bool,
) -> Next {
    if let Err(error) = flush(client, listener).await {
        exchange.reason.get_or_insert_with(|| why_unsent(&error));
        return Next::Abort;
    }
    after(local, client, listener, keep).await
}

/// The answer is written: what becomes of the connection.
pub(crate) async fn after(
    local: &Local,
    client: &mut Client,
    listener: &ListenerPlan,
    keep: bool,
) -> Next {
    if !keep {
        return if client.wire.body_done() && client.wire.input.is_empty() {
            Next::Close
        } else {
            Next::Linger
        };
    }
    if client.wire.body_done() {
        return Next::KeepAlive;
    }
    client.timer.set(now() + listener.body_timeout);
    let worker = &local.worker;
    poll_fn(|cx| {
        loop {
            match client.wire.poll_data(cx, &worker.buffers) {
                Poll::Ready(Ok(Data::Ready)) => {
                    let n = client.wire.data().len();
                    client.wire.consume(n);
                }
                Poll::Ready(Ok(Data::End)) => return Poll::Ready(Next::KeepAlive),
                Poll::Ready(Err(_)) => return Poll::Ready(Next::Close),
                Poll::Pending => break,
            }
        }
        client.timer.poll_expired(cx, now()).map(|()| Next::Close)
    })
    .await
}

/// Writes what is staged, within the time that a slow reader is given.
pub(crate) async fn flush(client: &mut Client, listener: &ListenerPlan) -> io::Result<()> {
    flush_at(client, listener, &mut Pace::default()).await
}

/// As [`flush`], for a client that took some of the answer before.
pub(super) async fn flush_at(
    client: &mut Client,
    listener: &ListenerPlan,
    pace: &mut Pace,
) -> io::Result<()> {
    let mut waited = false;
    poll_fn(|cx| {
        if let Poll::Ready(done) = client.wire.poll_flush(cx) {
            if waited {
                pace.rest(now());
            }
            return Poll::Ready(done);
        }
        waited = true;
        poll_slow(cx, client, listener, pace).map(Err)
    })
    .await
}

/// The client takes nothing now. Ready when it has taken too little for too long.
pub(super) fn poll_slow(
    cx: &mut Context<'_>,
    client: &Client,
    listener: &ListenerPlan,
    pace: &mut Pace,
) -> Poll<io::Error> {
    let time = now();
    let grant = listener.grant(listener.send_timeout);
    client
        .timer
        .set_yielding(time, pace.wait(time, client.wire.sent, grant));
    client
        .timer
        .poll_expired(cx, time)
        .map(|()| io::ErrorKind::TimedOut.into())
}

/// Why an answer did not go out.
pub(super) fn why_unsent(error: &io::Error) -> Reason {
    match error.kind() {
        io::ErrorKind::TimedOut => Reason::SendTimeout,
        _ => Reason::ClientGone,
    }
}
