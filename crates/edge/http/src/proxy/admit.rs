//! Waiting in line in front of a service that has as many requests as it may.

use std::{future::poll_fn, pin::pin, task::Poll};

use weir_net::{Micros, now};
use weir_service::{Entry, Gate, Shed, Ticket};
use weir_telemetry::Reason;

use super::{Deadline, Destination, attempt::Send};
use crate::{
    exchange::{Answer, Exchange},
    server::Client,
};

/// What came of asking to be let in.
pub(super) enum Admitted {
    /// It may go on. The entry is held until the exchange is over.
    Yes(Entry),
    /// It may not, and this is the answer.
    No(Answer),
    /// The client has gone.
    Gone,
}

/// Lets a request in at once, or in its turn, or not at all.
pub(super) async fn enter(
    send: &Send<'_>,
    client: &mut Client,
    exchange: &mut Exchange,
    to: &Destination<'_>,
    gate: &Gate,
) -> Admitted {
    if let Ok(entry) = gate.try_enter(exchange.priority) {
        return Admitted::Yes(entry);
    }
    let time = exchange.times.ready;
    match gate.enqueue(exchange.priority, time) {
        Ok(ticket) => Box::pin(wait(send, client, exchange, to, ticket, time)).await,
        Err(shed) => Admitted::No(refuse(send, exchange, to, shed.as_str())),
    }
}

/// Waits until some request of the service is over, because all endpoints had as many as they may.
pub(super) async fn wait_for_room(
    send: &Send<'_>,
    client: &mut Client,
    exchange: &mut Exchange,
    to: &Destination<'_>,
    entry: Entry,
) -> Admitted {
    let time = now();
    let since = entry.waited_since_us().unwrap_or(time);
    match entry.wait_for_room(time) {
        Ok(ticket) => wait(send, client, exchange, to, ticket, since).await,
        Err(shed) => Admitted::No(refuse(send, exchange, to, shed.as_str())),
    }
}

/// Waits in line. `since` is when it first got in line.
async fn wait(
    send: &Send<'_>,
    client: &mut Client,
    exchange: &mut Exchange,
    to: &Destination<'_>,
    ticket: Ticket,
    since: Micros,
) -> Admitted {
    let begun = now();
    let limits = &to.plan.service(to.service).service.policy().limits;
    let limit = since
        .saturating_add(limits.queue_timeout_us)
        .saturating_sub(begun);
    let mut ticket = pin!(ticket);
    let mut deadline = Deadline::new(begun, send.total);
    let worker = &send.local.worker;
    let waited = poll_fn(|cx| {
        if let Poll::Ready(granted) = ticket.as_mut().poll(cx) {
            return Poll::Ready(granted.map_err(Stopped::Shed));
        }
        if client.poll_gone(cx, worker).is_ready() {
            return Poll::Ready(Err(Stopped::Gone));
        }
        deadline
            .poll(cx, &client.timer, 0, limit, Reason::Overloaded)
            .map(|why| Err(Stopped::Late(why)))
    })
    .await;
    exchange.times.queued += now() - begun;
    match waited {
        Ok(entry) => Admitted::Yes(entry),
        Err(Stopped::Gone) => Admitted::Gone,
        Err(Stopped::Late(Reason::TotalTimeout)) => {
            Admitted::No(Answer::new(504, Reason::TotalTimeout))
        }
        Err(Stopped::Late(Reason::Draining)) => {
            Admitted::No(Answer::closing(503, Reason::Draining))
        }
        Err(Stopped::Late(_)) => Admitted::No(refuse(send, exchange, to, "queue_timeout")),
        Err(Stopped::Shed(shed)) => Admitted::No(refuse(send, exchange, to, shed.as_str())),
    }
}

enum Stopped {
    Shed(Shed),
    Gone,
    Late(Reason),
}

/// Turned away; `rule` is the word for it in the log.
fn refuse(
    send: &Send<'_>,
    exchange: &mut Exchange,
    to: &Destination<'_>,
    rule: &'static str,
) -> Answer {
    let metrics = &to.plan.service(to.service).metrics;
    metrics.on(send.local.worker.id).shed.inc();
    exchange.rule = rule;
    Answer::new(503, Reason::Overloaded)
}

/// The exchange is over: how long the endpoint took says how much the service can bear.
pub(super) fn leave(entry: Entry, exchange: &Exchange) {
    let times = &exchange.times;
    if times.first_byte == 0 {
        // Nothing was learned, unless it was too slow to answer at all.
        let late = matches!(
            exchange.reason,
            Some(Reason::FirstByteTimeout | Reason::TryTimeout | Reason::ConnectTimeout)
        );
        if late {
            let time = now();
            entry.finish(time.saturating_sub(times.ready), false, time);
        }
        return;
    }
    let ok = !matches!(exchange.status, 502..=504);
    entry.finish(
        times.first_byte.saturating_sub(times.sent),
        ok,
        times.first_byte,
    );
}
