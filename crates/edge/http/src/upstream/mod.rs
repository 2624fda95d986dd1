//! Connections to endpoints: opened, used by one exchange at a time, kept for the next.

use std::{future::poll_fn, io, pin::pin, sync::Arc, task::Poll};

use tokio::net::TcpStream;
use weir_net::{Micros, Stream, now};
use weir_service::{Endpoint, Entry, Outcome, Picked};
use weir_telemetry::Reason;

use crate::{
    exchange::Exchange,
    local::{Local, LocalPlan},
    plan::RoutePlan,
    proxy::{Deadline, Failure},
    server::Client,
    wire::Wire,
};

/// A connection in use, and the endpoint's count of requests in flight.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Boxed, because it moves between exchanges and the pool.
    pub(crate) wire: Box<Wire>,
    /// Index of the service in the plan.
    pub(crate) service: u32,
    picked: Picked,
    /// Its place among the service's requests in flight, for as long as this lasts. Given back after the endpoint's own.
    pub(crate) entry: Option<Entry>,
    /// When the request was sent here, if that was later than to another endpoint.
    pub(crate) sent: Micros,
    /// Bytes received and sent before this exchange.
    before: (u64, u64),
}

impl Upstream {
    pub(crate) fn new(wire: Box<Wire>, picked: Picked, service: u32) -> Self {
        Self {
            before: (wire.received, wire.sent),
            wire,
            service,
            entry: None,
            sent: 0,
            picked,
        }
    }

    /// Where it leads.
    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        self.picked.endpoint()
    }

    /// Whether the attempt waits for the rest of the client's request.
    #[inline]
    pub(crate) fn client_stalls(&mut self, stalls: bool) {
        self.picked.client_stalls(stalls);
    }

    /// The endpoint answered: what that says about it.
    pub(crate) fn report(&mut self, exchange: &Exchange) {
        let times = &exchange.times;
        let latency = times.first_byte.saturating_sub(times.sent.max(self.sent));
        let outcome = Outcome::of_status(exchange.response.status());
        self.picked
            .report(outcome, latency, times.first_byte / 1000);
    }

    /// The endpoint failed: what that says about it. A deadline that the client chose says nothing.
    pub(crate) fn failed(&mut self, failure: &Failure, exchange: &Exchange) {
        if matches!(failure, Failure::Timeout(Reason::TotalTimeout)) && !exchange.own_deadline {
            return;
        }
        if let Some(outcome) = failure.outcome() {
            let time = now();
            let latency = time.saturating_sub(exchange.times.sent);
            self.picked.report(outcome, latency, time / 1000);
        }
    }

    /// The attempt ended like this.
    pub(crate) fn report_as(&mut self, outcome: Outcome, time: Micros) {
        self.picked.report(outcome, 0, time / 1000);
    }

    /// Another endpoint was faster.
    pub(crate) fn outpaced(&self, exchange: &Exchange, time: Micros) {
        let waited = time.saturating_sub(exchange.times.sent);
        self.picked.outpaced(waited, time / 1000);
    }

    /// Closes the connection, keeps the choice.
    pub(crate) fn give_up(mut self, local: &Local) -> Picked {
        local.worker.buffers.reclaim(&mut self.wire.input);
        self.wire.forget_staged();
        local.reclaim_scratch(self.wire.take_stage());
        self.picked
    }

    /// Bytes received and sent for this exchange.
    pub(crate) fn moved(&self) -> (u64, u64) {
        let (received, sent) = self.before;
        (self.wire.received - received, self.wire.sent - sent)
    }

    /// Closes the connection and gives its memory back.
    pub(crate) fn discard(self, local: &Local) {
        drop(self.give_up(local));
    }

    /// Keeps the connection for the next request, if nothing speaks against it.
    ///
    /// Unread bytes do: they would be taken for the beginning of the next answer,
    /// which is how one user gets to see another's.
    pub(crate) fn recycle(self, local: &Local, plan: &LocalPlan, time: Micros) {
        let wire = &self.wire;
        let clean = wire.body_done() && wire.input.is_empty() && !wire.ended && wire.is_flushed();
        if !clean {
            return self.discard(local);
        }
        let Self {
            mut wire,
            service,
            picked,
            entry: _,
            sent: _,
            before: _,
        } = self;
        picked.endpoint().succeeded();
        local.worker.buffers.reclaim_if_empty(&mut wire.input);
        local.reclaim_scratch(wire.take_stage());
        local.put_idle(plan.service(service), picked.endpoint().id(), wire, time);
    }
}

/// Opens a connection to the exchange's endpoint, and counts how that went.
///
/// # Errors
/// Why it could not be opened, for the log and for what the client is told.
pub(crate) async fn connect(
    local: &Local,
    client: &mut Client,
    exchange: &mut Exchange,
    route: &RoutePlan,
    service: u32,
    total: Micros,
) -> Result<Box<Wire>, Reason> {
    let Some(endpoint) = exchange.endpoint.clone() else {
        return Err(Reason::Internal);
    };
    let begun = now();
    let mut connecting = pin!(TcpStream::connect(endpoint.address()));
    let mut deadline = Deadline::new(begun, total);
    let connected = poll_fn(|cx| {
        if let Poll::Ready(connected) = connecting.as_mut().poll(cx) {
            return Poll::Ready(connected.map_err(Unconnected::Failed));
        }
        // The body of the request, if it has one, is read while we wait; there is room for a buffer of it.
        if client.poll_gone(cx, &local.worker).is_ready() {
            return Poll::Ready(Err(Unconnected::Late(Reason::ClientGone)));
        }
        let (limit, why) = (route.timeouts.connect, Reason::ConnectTimeout);
        deadline
            .poll(cx, &client.timer, 0, limit, why)
            .map(|why| Err(Unconnected::Late(why)))
    })
    .await;
    let done = now();
    exchange.times.connect += done - begun;
    let metrics = local.endpoint_metrics(client.plan(), service, &endpoint);
    let cells = metrics.on(local.worker.id);
    match connected {
        Ok(socket) => {
            cells.connects.inc();
            endpoint.succeeded();
            let stream = Stream::tcp(socket);
            Ok(Box::new(Wire::new(stream, local.upstream_limits)))
        }
        Err(Unconnected::Late(why @ (Reason::ClientGone | Reason::Draining))) => Err(why),
        Err(Unconnected::Failed(error)) if is_ours(&error) => Err(Reason::Overloaded),
        Err(why) => {
            cells.connect_failures.inc();
            endpoint.connect_failed(done / 1000);
            Err(match why {
                Unconnected::Late(why) => why,
                Unconnected::Failed(error) => match error.kind() {
                    io::ErrorKind::TimedOut => Reason::ConnectTimeout,
                    io::ErrorKind::ConnectionRefused => Reason::ConnectRefused,
                    _ => Reason::ConnectFailed,
                },
            })
        }
    }
}

/// Why there is no connection.
enum Unconnected {
    Failed(io::Error),
    Late(Reason),
}

/// Out of descriptors, ports or memory: no fault of the endpoint's.
pub(crate) fn is_ours(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let ours = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::ADDRNOTAVAIL,
    ];
    error
        .raw_os_error()
        .is_some_and(|code| ours.iter().any(|errno| errno.raw_os_error() == code))
}
