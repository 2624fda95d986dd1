//! One attempt: the request goes out, the answer comes back, both bodies may flow at once.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use weir_net::{Micros, now};
use weir_service::EndpointId;
use weir_telemetry::Reason;

use super::{
    Deadline, Destination, Failure,
    hedge::{self, Winner},
};
use crate::{
    codec::{Parsed, Version},
    exchange::{Exchange, forward},
    local::Local,
    plan::{ListenerPlan, RoutePlan},
    server::Client,
    upstream::Upstream,
    wire::{Relay, RelayError, Sink, Waits},
};

/// Interim answers (1xx) before the final one; more are an attack or a loop.
const MOST_INTERIM: u32 = 64;

/// What the endpoint answered.
#[derive(Debug)]
pub(crate) enum Headed {
    /// A final head (200 and up); of another endpoint, if one was asked as well and was faster.
    Final(Option<Box<Upstream>>),
    /// 101, as was asked for.
    Switching,
    /// Nothing yet, and it is time to ask another endpoint as well.
    Late,
}

/// What an attempt is made under.
#[derive(Clone, Copy)]
pub(crate) struct Send<'a> {
    pub(crate) local: &'a Local,
    pub(crate) listener: &'a ListenerPlan,
    pub(crate) route: &'a RoutePlan,
    /// When the whole exchange must be over.
    pub(crate) total: Micros,
}

/// When the request is handed to its connection: a first try needs no look at the clock.
fn now_sent(exchange: &Exchange) -> Micros {
    if exchange.attempts > 1 || exchange.times.queued > 0 {
        return now();
    }
    exchange.times.ready + exchange.times.connect
}

/// The request's way to the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outgoing {
    Moving,
    Sent,
    /// The endpoint takes no more. It may have answered all the same.
    Broken,
}

impl Send<'_> {
    /// Sends the request and waits for the final head, passing interim ones on. Asks a second endpoint as well, if the
    /// route wants that and the first one takes long.
    pub(crate) async fn and_await_head(
        &self,
        client: &mut Client,
        exchange: &mut Exchange,
        up: &mut Upstream,
        request: &mut Relay,
        to: &Destination<'_>,
        exclude: &mut Vec<EndpointId>,
    ) -> Result<Headed, Failure> {
        Client::frame_request(&exchange.request, &mut up.wire);
        exchange.times.sent = now_sent(exchange);
        let mut hedge = hedge::due(self, client, exchange, to);
        loop {
            let headed = self
                .await_head(client, exchange, up, request, hedge)
                .await?;
            let Headed::Late = headed else {
                return Ok(headed);
            };
            hedge = None;
            exclude.push(up.endpoint().id());
            let picked = hedge::choose(self, to, exclude);
            exclude.pop();
            let Some(picked) = picked else {
                continue;
            };
            exclude.push(picked.endpoint().id());
            exchange.hedged = true;
            // Boxed, as all that is rare: an idle connection's task has room for every future that it may ever await.
            let raced = Box::pin(hedge::race(self, client, exchange, up, picked, to)).await?;
            exchange.times.first_byte = now();
            return Ok(Headed::Final(match raced {
                Winner::First => None,
                Winner::Second(up) => Some(up),
            }));
        }
    }

    /// Sends what is left of the request and waits for the final head, or until it is `late`.
    async fn await_head(
        &self,
        client: &mut Client,
        exchange: &mut Exchange,
        up: &mut Upstream,
        request: &mut Relay,
        late: Option<Micros>,
    ) -> Result<Headed, Failure> {
        let worker = &self.local.worker;
        let mut deadline = Deadline::new(exchange.times.sent, self.total);
        let mut outgoing = if request.is_done() {
            Outgoing::Sent
        } else {
            Outgoing::Moving
        };
        let mut interim = 0;
        let (head_limit, head_why) = self.limit_of_head(late);
        poll_fn(|cx| {
            if outgoing == Outgoing::Moving {
                match self.poll_request(cx, client, up, request) {
                    Poll::Ready(Ok(sent)) => outgoing = sent,
                    Poll::Ready(Err(failure)) => return Poll::Ready(Err(failure)),
                    Poll::Pending => {}
                }
                let stalls = outgoing == Outgoing::Moving && request.waits() == Waits::Source;
                up.client_stalls(stalls);
            }
            loop {
                match self.parse(client, exchange, up, &mut interim) {
                    Ok(Some(headed)) => {
                        exchange.times.first_byte = now();
                        return Poll::Ready(Ok(headed));
                    }
                    Ok(None) => {}
                    Err(failure) => return Poll::Ready(Err(failure)),
                }
                // Interim answers that the client does not take yet hold back what follows them.
                if !client.wire.is_flushed() {
                    match client.wire.poll_flush(cx) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(_)) => return Poll::Ready(Err(Failure::ClientGone)),
                        Poll::Pending => break,
                    }
                }
                match up.wire.poll_fill(cx, &worker.buffers) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(Failure::Closed)),
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Failure::Reset)),
                    Poll::Pending => break,
                }
            }
            let stuck = outgoing != Outgoing::Moving || request.waits() == Waits::Sink;
            if stuck && client.poll_gone(cx, worker).is_ready() {
                return Poll::Ready(Err(Failure::ClientGone));
            }
            // Once the request is out, a head must come: whole, or an interim one as a sign of work. Bytes of it are no
            // progress, else an endpoint could hold an exchange for as long as it has bytes to trickle.
            let expired = match (outgoing, request.waits()) {
                (Outgoing::Moving, Waits::Source) => {
                    let timeout = self.listener.body_timeout;
                    let (timeout, why) = self.shortened(client, timeout, Reason::BodyTimeout);
                    let (moved, grant) = (client.wire.received, self.listener.grant(timeout));
                    deadline.poll_client(cx, &client.timer, moved, grant, why)
                }
                (Outgoing::Moving, Waits::Sink) => {
                    let idle = self.route.timeouts.idle;
                    let (limit, why) = self.shortened(client, idle, Reason::IdleTimeout);
                    deadline.poll(cx, &client.timer, up.wire.sent, limit, why)
                }
                _ => {
                    let (limit, why) = self.shortened(client, head_limit, head_why);
                    deadline.poll(cx, &client.timer, u64::from(interim), limit, why)
                }
            };
            expired.map(|why| match late {
                Some(_) if why == head_why => Ok(Headed::Late),
                _ => Err(Failure::of_deadline(why)),
            })
        })
        .await
    }

    /// How long a head may take once the request is out. `late` comes first or not at all.
    pub(super) fn limit_of_head(&self, late: Option<Micros>) -> (Micros, Reason) {
        let (per_try, first_byte) = (self.route.retries.per_try, self.route.timeouts.first_byte);
        match late {
            Some(late) if late < per_try && late < first_byte => (late, Reason::TryTimeout),
            _ if per_try < first_byte => (per_try, Reason::TryTimeout),
            _ => (first_byte, Reason::FirstByteTimeout),
        }
    }

    /// Moves the answer's body, and what is left of the request's.
    pub(crate) async fn relay(
        &self,
        client: &mut Client,
        exchange: &mut Exchange,
        up: &mut Upstream,
        request: &mut Relay,
    ) -> Result<(), Failure> {
        let worker = &self.local.worker;
        let mut response = Relay::default();
        let mut deadline = Deadline::new(exchange.times.first_byte, self.total);
        let mut outgoing = if request.is_done() {
            Outgoing::Sent
        } else {
            Outgoing::Moving
        };
        let result = poll_fn(|cx| {
            if outgoing == Outgoing::Moving {
                match self.poll_request(cx, client, up, request) {
                    Poll::Ready(Ok(sent)) => outgoing = sent,
                    Poll::Ready(Err(failure)) => return Poll::Ready(Err(failure)),
                    Poll::Pending => {}
                }
            }
            match response.poll(
                cx,
                &mut *up.wire,
                &mut client.wire,
                &worker.buffers,
                &worker.pipes,
            ) {
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(RelayError::Source(error))) => {
                    return Poll::Ready(Err(Failure::of_response(error)));
                }
                Poll::Ready(Err(RelayError::Sink)) => {
                    return Poll::Ready(Err(Failure::ClientGone));
                }
                Poll::Pending => {}
            }
            if outgoing != Outgoing::Moving && client.poll_gone(cx, worker).is_ready() {
                return Poll::Ready(Err(Failure::ClientGone));
            }
            let expired = match response.waits() {
                Waits::Sink => {
                    let timeout = self.listener.send_timeout;
                    let (timeout, why) = self.shortened(client, timeout, Reason::SendTimeout);
                    let (moved, grant) = (client.wire.sent, self.listener.grant(timeout));
                    deadline.poll_client(cx, &client.timer, moved, grant, why)
                }
                // The endpoint has the word. A client that goes on sending meanwhile talks with it, at the pace of both.
                Waits::Source => {
                    let idle = self.route.timeouts.idle;
                    let (limit, why) = self.shortened(client, idle, Reason::IdleTimeout);
                    // What the client sends behind its request is no progress.
                    let moved = match outgoing {
                        Outgoing::Moving => {
                            up.wire.received
                                + client.wire.sent
                                + client.wire.received
                                + up.wire.sent
                        }
                        _ => up.wire.received + client.wire.sent,
                    };
                    deadline.poll(cx, &client.timer, moved, limit, why)
                }
            };
            expired.map(|why| Err(Failure::of_deadline(why)))
        })
        .await;
        exchange.body_out = response.moved;
        response.reset(&worker.pipes);
        result
    }

    /// Moves the request. `Broken` is no failure yet: an answer may be on its way.
    fn poll_request(
        &self,
        cx: &mut Context<'_>,
        client: &mut Client,
        up: &mut Upstream,
        request: &mut Relay,
    ) -> Poll<Result<Outgoing, Failure>> {
        let worker = &self.local.worker;
        let polled = request.poll(
            cx,
            &mut client.wire,
            &mut *up.wire,
            &worker.buffers,
            &worker.pipes,
        );
        polled.map(|result| match result {
            Ok(()) => Ok(Outgoing::Sent),
            Err(RelayError::Sink) => {
                up.wire.forget_staged();
                Ok(Outgoing::Broken)
            }
            Err(RelayError::Source(error)) => Err(Failure::of_request(error)),
        })
    }

    /// A client that has ended its direction is waited for only so long.
    fn shortened(&self, client: &Client, limit: Micros, why: Reason) -> (Micros, Reason) {
        let half_close = self.listener.half_close_timeout;
        if client.wire.ended && half_close < limit {
            (half_close, Reason::ClientGone)
        } else {
            (limit, why)
        }
    }

    /// Parses heads out of what has been read; interim ones are staged for the client.
    fn parse(
        &self,
        client: &mut Client,
        exchange: &mut Exchange,
        up: &mut Upstream,
        interim: &mut u32,
    ) -> Result<Option<Headed>, Failure> {
        let limits = &self.local.upstream_limits;
        while !up.wire.input.is_empty() {
            let Parsed::Complete(n) = exchange
                .response
                .parse(up.wire.input.unread(), &mut up.wire.scanned, limits)
                .map_err(Failure::BadResponse)?
            else {
                if up.wire.input.room() == 0 {
                    let size = up.wire.input.len() * 2;
                    up.wire.input.grow(size.min(limits.max_head + 1));
                }
                return Ok(None);
            };
            up.wire.consume_head(n);
            match exchange.response.status() {
                101 => {
                    if forward::switches(&exchange.request, &exchange.response) {
                        return Ok(Some(Headed::Switching));
                    }
                    return Err(Failure::UnexpectedInterim);
                }
                100..=199 => {
                    *interim += 1;
                    if *interim > MOST_INTERIM {
                        return Err(Failure::UnexpectedInterim);
                    }
                    // RFC 9110, 15.2: not to a client of HTTP/1.0.
                    if client.version == Version::H11 {
                        forward::interim_head(client.wire.stage(), &exchange.response);
                    }
                    exchange.response.clear();
                }
                _ => return Ok(Some(Headed::Final(None))),
            }
        }
        Ok(None)
    }
}
