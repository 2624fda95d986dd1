//! A second try beside the first, when the first takes long (Dean and Barroso, "The Tail at Scale").
//!
//! Most requests that take long are unlucky with their endpoint, not heavy. Sent to a second one after as long as 95 of
//! 100 answers take, few requests are doubled and most of the tail is gone. Only requests that may be repeated and have
//! no body, under the same budget as retries: a service that is slow because it is overloaded must not get more of the
//! same. The first good answer counts, and the other connection is closed, which tells its endpoint to stop.

use std::{
    future::poll_fn,
    io,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::net::TcpStream;
use weir_net::{Buffers, Micros, Stream, now};
use weir_service::{EndpointId, Outcome, Picked, Wish};

use super::{Deadline, Destination, attempt::Send, failure::Failure, may_repeat, write_head};
use crate::{
    codec::{BodyLength, HeadLimits, Parsed, ResponseHead},
    exchange::Exchange,
    plan::Hedge,
    server::Client,
    upstream::{self, Upstream},
    wire::{Sink, Wire},
};

/// When this exchange is worth a second try; `None` if never.
pub(super) fn due(
    send: &Send<'_>,
    client: &Client,
    exchange: &Exchange,
    to: &Destination<'_>,
) -> Option<Micros> {
    let after = match send.route.retries.hedge {
        Hedge::Off => return None,
        Hedge::After(time) => time,
        Hedge::P95 => to.plan.latencies(to.service, |all| all.p95_us())?,
    };
    let fits = exchange.request.body() == BodyLength::None
        && exchange.request.upgrade().is_none()
        && may_repeat(exchange, client);
    fits.then_some(after)
}

/// Who answered first.
pub(super) enum Winner {
    /// The endpoint that was asked first.
    First,
    /// The other one; its head is the exchange's now.
    Second(Box<Upstream>),
}

/// Chooses a second endpoint, if the budget and the endpoints allow it.
pub(super) fn choose(
    send: &Send<'_>,
    to: &Destination<'_>,
    exclude: &[EndpointId],
) -> Option<Picked> {
    let retries = &send.route.retries;
    let now_ms = now() / 1000;
    let wish = Wish {
        now_ms,
        exclude,
        key: to.key,
        prefer: None,
    };
    let plan = to.plan.service(to.service);
    let cells = plan.metrics.on(send.local.worker.id);
    let (percent, floor) = (retries.budget_percent, retries.budget_floor);
    if !plan.service.budget().try_retry(now_ms, percent, floor) {
        cells.retries_denied.inc();
        return None;
    }
    let picked = to.plan.pick(to.service, &wish).ok()?;
    cells.hedges.inc();
    Some(picked)
}

/// Waits for the first good answer of two. The first request is out already.
pub(super) async fn race(
    send: &Send<'_>,
    client: &mut Client,
    exchange: &mut Exchange,
    first: &mut Upstream,
    picked: Picked,
    to: &Destination<'_>,
) -> Result<Winner, Failure> {
    let local = send.local;
    let buffers = &local.worker.buffers;
    let begun = now();
    let endpoint = Arc::clone(picked.endpoint());
    let idle = local.take_idle(to.plan, to.service, &endpoint, begun);
    let mut head = local.scratch();
    write_head(
        &mut head,
        client,
        exchange,
        send.listener,
        to.rewrite.is_some(),
    );
    let mut opening = pin!(open(endpoint.address(), idle, send));
    let mut second = Second::Opening(picked);
    // Lent, so that its head has room of its own.
    let mut spare = local.exchange();
    let mut first_over: Option<Result<(), Failure>> = None;
    let mut deadline = Deadline::new(begun, send.total);
    let result = poll_fn(|cx| {
        if first_over.is_none() {
            let head = poll_head(
                cx,
                &mut first.wire,
                &mut exchange.response,
                buffers,
                &local.upstream_limits,
            );
            match head {
                // A bad answer waits for a better one.
                Poll::Ready(Ok(())) => {
                    if second.is_over() || !is_bad(send, exchange.response.status()) {
                        return Poll::Ready(Ok(false));
                    }
                    first_over = Some(Ok(()));
                }
                Poll::Ready(Err(failure)) => {
                    if second.is_over() {
                        return Poll::Ready(Err(failure));
                    }
                    first_over = Some(Err(failure));
                }
                Poll::Pending => {}
            }
        }
        match second.poll(cx, opening.as_mut(), &head, &mut spare.response, send, to) {
            Poll::Ready(true) => {
                let good = !is_bad(send, spare.response.status());
                if good || first_over.is_some() {
                    return Poll::Ready(Ok(!matches!(first_over, Some(Ok(()))) || good));
                }
                second.fail(Outcome::GatewayError, send);
            }
            Poll::Ready(false) => match first_over.take() {
                Some(Ok(())) => return Poll::Ready(Ok(false)),
                Some(Err(failure)) => return Poll::Ready(Err(failure)),
                None => {}
            },
            Poll::Pending => {}
        }
        if client.poll_gone(cx, &local.worker).is_ready() {
            return Poll::Ready(Err(Failure::ClientGone));
        }
        let (limit, why) = send.limit_of_head(None);
        deadline
            .poll(cx, &client.timer, 0, limit, why)
            .map(|why| Err(Failure::of_deadline(why)))
    })
    .await;
    local.reclaim_scratch(head);
    let time = now();
    let winner = match result {
        Ok(true) => match second.win() {
            Some(mut up) => {
                std::mem::swap(&mut exchange.response, &mut spare.response);
                first.outpaced(exchange, time);
                up.sent = begun;
                let cells = to.plan.service(to.service).metrics.on(local.worker.id);
                cells.hedge_wins.inc();
                Ok(Winner::Second(up))
            }
            None => Err(Failure::Closed),
        },
        Ok(false) => {
            second.cancel(send);
            Ok(Winner::First)
        }
        Err(failure) => {
            if matches!(failure, Failure::Timeout(_)) {
                second.fail(Outcome::Timeout, send);
            } else {
                second.cancel(send);
            }
            Err(failure)
        }
    };
    local.spare(spare);
    winner
}

/// Whether an answer waits for a better one: a status that is a reason to try again, or one by which the endpoint says that
/// it cannot serve.
fn is_bad(send: &Send<'_>, status: u16) -> bool {
    send.route.retries.on_status(status) || matches!(status, 502..=504)
}

/// The second try.
enum Second {
    Opening(Picked),
    Waiting(Box<Upstream>),
    Over,
}

impl Second {
    fn is_over(&self) -> bool {
        matches!(self, Self::Over)
    }

    /// True when its head is there, false when it has just failed.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        opening: std::pin::Pin<&mut impl Future<Output = io::Result<Box<Wire>>>>,
        head: &[u8],
        response: &mut ResponseHead,
        send: &Send<'_>,
        to: &Destination<'_>,
    ) -> Poll<bool> {
        if matches!(self, Self::Opening(_)) {
            let opened = match opening.poll(cx) {
                Poll::Ready(opened) => opened,
                Poll::Pending => return Poll::Pending,
            };
            let Self::Opening(mut picked) = std::mem::replace(self, Self::Over) else {
                return Poll::Pending;
            };
            match opened {
                Ok(mut wire) => {
                    wire.lend_stage(send.local.scratch());
                    wire.stage().extend_from_slice(head);
                    *self = Self::Waiting(Box::new(Upstream::new(wire, picked, to.service)));
                }
                Err(error) => {
                    if !upstream::is_ours(&error) {
                        let time = now() / 1000;
                        picked.endpoint().connect_failed(time);
                        picked.report(Outcome::Connect, 0, time);
                    }
                    return Poll::Ready(false);
                }
            }
        }
        let Self::Waiting(up) = self else {
            return Poll::Pending;
        };
        if !up.wire.is_flushed() {
            match up.wire.poll_flush(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => {
                    self.fail(Outcome::Reset, send);
                    return Poll::Ready(false);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        let local = send.local;
        match poll_head(
            cx,
            &mut up.wire,
            response,
            &local.worker.buffers,
            &local.upstream_limits,
        ) {
            Poll::Ready(Ok(())) => Poll::Ready(true),
            Poll::Ready(Err(failure)) => {
                let outcome = failure.outcome().unwrap_or(Outcome::Reset);
                self.fail(outcome, send);
                Poll::Ready(false)
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn win(self) -> Option<Box<Upstream>> {
        match self {
            Self::Waiting(up) => Some(up),
            Self::Opening(_) | Self::Over => None,
        }
    }

    /// It went wrong.
    fn fail(&mut self, outcome: Outcome, send: &Send<'_>) {
        let time = now();
        match std::mem::replace(self, Self::Over) {
            Self::Waiting(mut up) => {
                up.report_as(outcome, time);
                up.discard(send.local);
            }
            Self::Opening(mut picked) => picked.report(outcome, 0, time / 1000),
            Self::Over => {}
        }
    }

    /// It is not needed any more.
    fn cancel(&mut self, send: &Send<'_>) {
        if let Self::Waiting(up) = std::mem::replace(self, Self::Over) {
            up.discard(send.local);
        }
    }
}

/// A connection for the second try: one that waits, or a new one.
async fn open(
    address: std::net::SocketAddr,
    idle: Option<Box<Wire>>,
    send: &Send<'_>,
) -> io::Result<Box<Wire>> {
    if let Some(wire) = idle {
        return Ok(wire);
    }
    let stream = Stream::tcp(TcpStream::connect(address).await?);
    Ok(Box::new(Wire::new(stream, send.local.upstream_limits)))
}

/// Reads until a final head is there; interim ones are skipped.
fn poll_head(
    cx: &mut Context<'_>,
    wire: &mut Wire,
    response: &mut ResponseHead,
    buffers: &Buffers,
    limits: &HeadLimits,
) -> Poll<Result<(), Failure>> {
    loop {
        while !wire.input.is_empty() {
            let parsed = response.parse(wire.input.unread(), &mut wire.scanned, limits);
            match parsed {
                Err(error) => return Poll::Ready(Err(Failure::BadResponse(error))),
                Ok(Parsed::Complete(n)) => {
                    wire.consume_head(n);
                    match response.status() {
                        101 => return Poll::Ready(Err(Failure::UnexpectedInterim)),
                        100..=199 => response.clear(),
                        _ => return Poll::Ready(Ok(())),
                    }
                }
                Ok(Parsed::Partial) => {
                    if wire.input.room() == 0 {
                        let size = wire.input.len() * 2;
                        wire.input.grow(size.min(limits.max_head + 1));
                    }
                    break;
                }
            }
        }
        match wire.poll_fill(cx, buffers) {
            Poll::Ready(Ok(0)) => return Poll::Ready(Err(Failure::Closed)),
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(Err(Failure::Reset)),
            Poll::Pending => return Poll::Pending,
        }
    }
}
