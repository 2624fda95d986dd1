//! What becomes of an endpoint's answer: passed on, or dismissed for another try.

use std::{
    rc::Rc,
    task::{Context, Poll, Waker},
};

use super::{
    Destination, Flight, Tried, attempt::Send, may_repeat, mirror, note_failure, retry_after,
};
use crate::{
    codec::{BodyLength, Version},
    exchange::{Exchange, Next, forward, reply},
    proxy::failure::Failure,
    server::Client,
    upstream::Upstream,
    wire::{Data, Framing, Source},
};
use weir_telemetry::Reason;

/// An answer's head is here: what it says about the endpoint, and whether it is one to pass on.
pub(super) fn consider(
    send: &Send<'_>,
    client: &Client,
    exchange: &Exchange,
    up: &mut Upstream,
) -> Tried {
    up.report(exchange);
    let status = exchange.response.status();
    if status == 503
        && let Some(wait_ms) = retry_after::read(&exchange.response, send.local)
    {
        up.endpoint()
            .avoid_for(wait_ms, exchange.times.first_byte / 1000);
    }
    let retries = &send.route.retries;
    if retries.on_status(status)
        && u32::from(exchange.attempts) <= retries.attempts
        && may_repeat(exchange, client)
    {
        return Tried::Unwanted;
    }
    Tried::Answered
}

/// Passes the answer on: its head, and then the body.
pub(super) async fn pass_on(
    send: &Send<'_>,
    client: &mut Client,
    exchange: &mut Exchange,
    flight: &mut Flight,
) -> Next {
    let Send {
        local, listener, ..
    } = *send;
    let Flight { up: slot, request } = flight;
    let Some(up) = slot.as_mut() else {
        return Next::Abort;
    };
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
    let plan = Rc::clone(client.plan());
    forward::response_head(
        client.wire.stage(),
        local,
        &plan,
        exchange,
        client.version,
        delimited,
        keep,
    );
    mirror::offer(local, client, exchange, request.moved, request.is_done());
    let outcome = send.relay(client, exchange, up, request).await;
    let request_done = request.is_done();
    exchange.body_in = request.moved;
    exchange.endpoint_bytes = up.moved();
    request.reset(&local.worker.pipes);
    match outcome {
        Ok(()) => {
            if request_done
                && exchange.response.keep_alive()
                && let Some(up) = slot.take()
            {
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

/// Puts an answer aside; the connection goes on if the whole answer is already here.
pub(super) fn dismiss(
    send: &Send<'_>,
    client: &Client,
    exchange: &mut Exchange,
    to: &Destination<'_>,
    flight: &mut Flight,
) {
    let local = send.local;
    let Flight { up: slot, request } = flight;
    let Some(mut up) = slot.take() else {
        return;
    };
    let response = &exchange.response;
    let status = response.status();
    let reusable = request.is_done() && response.keep_alive();
    up.wire
        .expect_message(response.body(exchange.request.method()), response.fields());
    exchange.endpoint_bytes = up.moved();
    request.reset(&local.worker.pipes);
    note_failure(local, to.plan, exchange, to.service, &Failure::Unwanted);
    let metrics = local.endpoint_metrics(to.plan, to.service, up.endpoint());
    metrics.on(local.worker.id).requests.count(status);
    to.plan
        .service(to.service)
        .metrics
        .on(local.worker.id)
        .requests
        .count(status);
    exchange.response.clear();
    exchange.times.first_byte = 0;
    let whole = reusable && {
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            match up.wire.poll_data(&mut cx, &local.worker.buffers) {
                Poll::Ready(Ok(Data::Ready)) => {
                    let n = up.wire.data().len();
                    up.wire.consume(n);
                }
                Poll::Ready(Ok(Data::End)) => break true,
                Poll::Ready(Err(_)) | Poll::Pending => break false,
            }
        }
    };
    if whole {
        up.recycle(local, client.plan(), weir_net::now());
    } else {
        up.discard(local);
    }
}

/// The endpoint agreed to another protocol.
pub(super) async fn switch(
    send: &Send<'_>,
    client: &mut Client,
    exchange: &mut Exchange,
    slot: &mut Option<Upstream>,
) -> Next {
    exchange.status = 101;
    let plan = Rc::clone(client.plan());
    forward::switching_head(client.wire.stage(), &plan, exchange);
    if reply::flush(client, send.listener).await.is_err() {
        exchange.reason = Some(Reason::ClientGone);
        return Next::Abort;
    }
    match slot.take() {
        Some(up) => Next::Tunnel(Box::new(up)),
        None => Next::Abort,
    }
}
