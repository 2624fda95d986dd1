//! Whether a request is tried again, where, and when.

use std::{future::poll_fn, task::Poll};

use weir_net::{Micros, now};
use weir_service::{EndpointId, Picked, Rng, Unpicked, Wish};
use weir_telemetry::Reason;

use super::{Deadline, Destination, attempt::Send, may_repeat};
use crate::{exchange::Exchange, server::Client};

/// Why a try was not the last one, perhaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The endpoint has seen nothing of the request.
    Unsent,
    /// It closed the connection without a word.
    Lost,
    /// It did not begin to answer in time.
    Timeout,
    /// It did not begin to answer in the time that one try may take.
    TryTimeout,
    /// It answered, with a status that is a reason to try again.
    Status,
    /// Something after which there is no other try.
    Final,
}

/// What follows a try.
pub(super) enum Next {
    /// Another one, here.
    Try(Picked),
    /// Nothing.
    Over,
    /// The client has gone.
    Gone,
}

/// Decides about another try, and waits until it may begin.
pub(super) async fn next(
    send: &Send<'_>,
    client: &mut Client,
    exchange: &mut Exchange,
    to: &Destination<'_>,
    why: Why,
    exclude: &mut Vec<EndpointId>,
) -> Next {
    let retries = &send.route.retries;
    let wanted = match why {
        Why::Unsent => retries.connect,
        Why::Lost => retries.reset && may_repeat(exchange, client),
        Why::Timeout => retries.timeout && may_repeat(exchange, client),
        Why::TryTimeout | Why::Status => may_repeat(exchange, client),
        Why::Final => false,
    };
    let time = now();
    let late = time >= send.total || send.local.worker.is_cut();
    if !wanted || u32::from(exchange.attempts) > retries.attempts || late {
        return Next::Over;
    }
    let plan = to.plan.service(to.service);
    let (percent, floor) = (retries.budget_percent, retries.budget_floor);
    if !plan.service.budget().try_retry(time / 1000, percent, floor) {
        let cells = plan.metrics.on(send.local.worker.id);
        cells.retries_denied.inc();
        return Next::Over;
    }
    // An endpoint that could not be reached says nothing about how the others fare: no reason to hold back.
    let waits = why != Why::Unsent || exchange.attempts > 1;
    if waits && let Err(next) = pause(send, client, exchange).await {
        return next;
    }
    loop {
        let wish = Wish {
            now_ms: now() / 1000,
            exclude,
            key: to.key,
            prefer: None,
        };
        match to.plan.pick(to.service, &wish) {
            Ok(picked) => return Next::Try(picked),
            // All were tried: then once more from the beginning, but not at once. Not after a connection was lost or
            // nothing came: it may be this request that does it.
            Err(Unpicked::Tried)
                if !exclude.is_empty() && matches!(why, Why::Unsent | Why::Status) =>
            {
                exclude.clear();
                if !waits && let Err(next) = pause(send, client, exchange).await {
                    return next;
                }
            }
            Err(_) => return Next::Over,
        }
    }
}

/// Waits for a random part of the backoff.
async fn pause(send: &Send<'_>, client: &mut Client, exchange: &Exchange) -> Result<(), Next> {
    let retries = &send.route.retries;
    let nth = u32::from(exchange.attempts.saturating_sub(1));
    let wait = retries
        .backoff
        .wait(nth, &mut Rng::new(send.local.random()));
    let wait = wait.as_micros() as Micros;
    let mut deadline = Deadline::new(now(), send.total);
    let worker = &send.local.worker;
    poll_fn(|cx| {
        if client.poll_gone(cx, worker).is_ready() {
            return Poll::Ready(Err(Next::Gone));
        }
        deadline
            .poll(cx, &client.timer, 0, wait, Reason::Overloaded)
            .map(|why| match why {
                Reason::TotalTimeout | Reason::Draining => Err(Next::Over),
                _ => Ok(()),
            })
    })
    .await
}
