//! Copies of requests for another service, to try it with real traffic.
//!
//! A copy must never be felt. It is made when the request is complete, out of bytes that were kept while they passed, and
//! from then on it shares nothing with the original: a task of its own on the same worker sends it, with a deadline of
//! its own, on connections of another service, and drops the answer. Nobody waits for it and nothing of it is tried again.
//! How many may be under way is bounded, and so is what each may hold; what is beyond that is not copied, but counted.
//!
//! Copies are marked by `X-Weir-Mirror: 1`, so that a service can tell them from what users wait for. They are not copied
//! again.

use std::{
    cell::RefCell,
    collections::HashMap,
    future::poll_fn,
    io,
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::net::TcpStream;
use weir_net::{Micros, Stream, Timer, now};
use weir_service::{Outcome, Picked, Wish};
use weir_telemetry::{Mirrored, RouteMetrics};

use super::target_of;
use crate::{
    codec::{BodyLength, Method, Parsed, ResponseHead},
    exchange::{Exchange, forward},
    local::{Local, LocalPlan},
    plan::{Mirror, RoutePlan},
    server::Client,
    upstream::Upstream,
    wire::{Data, Sink, Source, Wire},
};

/// Of an answer this much is read; a connection with more to come is closed.
const MOST_ANSWER: u64 = 1024 * 1024;
/// Interim answers (1xx) before the final one.
const MOST_INTERIM: u32 = 64;

/// The copies that a worker has under way, by route.
#[derive(Default)]
pub(crate) struct Mirrors(RefCell<HashMap<Arc<str>, u32>>);

impl Mirrors {
    fn enter(&self, route: &Arc<str>, most: u32) -> bool {
        let mut running = self.0.borrow_mut();
        match running.get_mut(route) {
            Some(count) if *count >= most => false,
            Some(count) => {
                *count += 1;
                true
            }
            None => {
                running.insert(Arc::clone(route), 1);
                true
            }
        }
    }

    fn leave(&self, route: &Arc<str>) {
        let mut running = self.0.borrow_mut();
        if let Some(count) = running.get_mut(route) {
            *count -= 1;
            if *count == 0 {
                running.remove(route);
            }
        }
    }
}

/// Whether a copy of this request shall be made, as far as its head tells.
pub(crate) fn wants(
    local: &Local,
    route: &RoutePlan,
    mirror: &Mirror,
    exchange: &Exchange,
) -> bool {
    let request = &exchange.request;
    // Two Weirs that copy to each other would never end. What becomes a tunnel is no request and answer.
    let is_copy = request.fields().by_name(forward::MIRROR).is_some();
    if is_copy || forward::upgrade(request).is_some() || !mirror.takes(|| local.random()) {
        return false;
    }
    if let BodyLength::Length(length) = request.body()
        && length > mirror.max_body as u64
    {
        count(local, &route.metrics, Mirrored::TooLarge);
        return false;
    }
    true
}

/// Sends the copy that is due, if the request is complete. `moved` bytes of its body passed, and if `done` there are no
/// more.
pub(crate) fn offer(
    local: &Local,
    client: &Client,
    exchange: &mut Exchange,
    moved: u64,
    done: bool,
) {
    if !exchange.mirrored || !(done || exchange.request.body() == BodyLength::None) {
        return;
    }
    exchange.mirrored = false;
    let plan = client.plan();
    let Some(route) = exchange.route.map(|route| plan.route(route)) else {
        return;
    };
    let Some(mirror) = &route.mirror else {
        return;
    };
    if let Err(result) = start(local, client, plan, route, mirror, exchange, moved) {
        count(local, &route.metrics, result);
    }
}

fn start(
    local: &Local,
    client: &Client,
    plan: &Rc<LocalPlan>,
    route: &RoutePlan,
    mirror: &Mirror,
    exchange: &Exchange,
    moved: u64,
) -> Result<(), Mirrored> {
    let body = match exchange.request.body() {
        BodyLength::None => &[][..],
        _ => {
            let kept = exchange.replay.as_ref().and_then(|kept| kept.bytes());
            let body = kept.ok_or(Mirrored::TooLarge)?;
            if body.len() > mirror.max_body {
                return Err(Mirrored::TooLarge);
            }
            // An endpoint that answered before it had the whole body ended the keeping of it.
            if body.len() as u64 != moved {
                return Err(Mirrored::Dropped);
            }
            body
        }
    };
    if local.worker.draining() {
        return Err(Mirrored::Dropped);
    }
    let running = Running::enter(local, route, mirror.pending).ok_or(Mirrored::Dropped)?;
    let listener = plan.listener(client.listener_index);
    let target = target_of(exchange, route.rewrite().is_some());
    let mut message = Vec::with_capacity(1024 + body.len());
    forward::mirrored_head(&mut message, exchange, client, listener, target, body.len());
    message.extend_from_slice(body);
    let copy = Delivery {
        running,
        plan: Rc::clone(plan),
        service: mirror.service,
        metrics: Arc::clone(&route.metrics),
        timeout: mirror.timeout,
        method: exchange.request.method(),
        message,
    };
    tokio::task::spawn_local(copy.run());
    Ok(())
}

fn count(local: &Local, metrics: &RouteMetrics, result: Mirrored) {
    metrics.on(local.worker.id).mirrored.count(result);
}

/// Counts a copy as under way while it lives, however its task ends.
struct Running {
    local: Rc<Local>,
    route: Arc<str>,
}

impl Running {
    fn enter(local: &Local, route: &RoutePlan, most: u32) -> Option<Self> {
        let local = local.handle()?;
        let entered = local.mirrors.enter(&route.name, most);
        entered.then(|| Self {
            local,
            route: Arc::clone(&route.name),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.local.mirrors.leave(&self.route);
    }
}

/// A copy on its way.
struct Delivery {
    running: Running,
    /// The plan of the original: it has the service that is meant.
    plan: Rc<LocalPlan>,
    service: u32,
    metrics: Arc<RouteMetrics>,
    timeout: Micros,
    method: Method,
    /// The head and the body.
    message: Vec<u8>,
}

/// What the shadow made of a copy.
struct Answered {
    status: u16,
    /// The connection is fit for another request.
    reusable: bool,
}

impl Delivery {
    async fn run(self) {
        let local = Rc::clone(&self.running.local);
        let metrics = Arc::clone(&self.metrics);
        let result = self.deliver(&local).await;
        count(&local, &metrics, result);
    }

    async fn deliver(self, local: &Local) -> Mirrored {
        let Self {
            running: _running,
            plan,
            service,
            timeout,
            method,
            message,
            ..
        } = self;
        let begun = now();
        let timer = local.worker.wheel.timer();
        timer.set(begun.saturating_add(timeout));
        let Ok(mut picked) = plan.pick(service, &Wish::at(begun / 1000)) else {
            return Mirrored::Failed;
        };
        let metrics = local.endpoint_metrics(&plan, service, picked.endpoint());
        let cells = metrics.on(local.worker.id);
        let wire = match local.take_idle(&plan, service, picked.endpoint(), begun) {
            Some(wire) => {
                cells.reused.inc();
                wire
            }
            None => match within(&timer, connect(local, &picked)).await {
                Some(Ok(wire)) => {
                    cells.connects.inc();
                    picked.endpoint().succeeded();
                    wire
                }
                Some(Err(error)) => {
                    if is_theirs(&error) {
                        let time = now();
                        cells.connect_failures.inc();
                        picked.endpoint().connect_failed(time / 1000);
                        picked.report(Outcome::Connect, time - begun, time / 1000);
                    }
                    return Mirrored::Failed;
                }
                None => {
                    cells.connect_failures.inc();
                    return Mirrored::Timeout;
                }
            },
        };
        let mut up = Upstream::new(wire, picked, service);
        *up.wire.stage() = message;
        let talked = within(&timer, talk(local, &mut up.wire, method)).await;
        let (received, sent) = up.moved();
        cells.bytes_received.add(received);
        cells.bytes_sent.add(sent);
        match talked {
            Some(Ok(answered)) => {
                cells.requests.count(answered.status);
                let service = plan.service(service);
                service
                    .metrics
                    .on(local.worker.id)
                    .requests
                    .count(answered.status);
                if answered.reusable {
                    up.recycle(local, &plan, now());
                } else {
                    up.discard(local);
                }
                Mirrored::Answered
            }
            Some(Err(Broken)) => {
                cells.resets.inc();
                up.discard(local);
                Mirrored::Failed
            }
            None => {
                up.discard(local);
                Mirrored::Timeout
            }
        }
    }
}

/// What comes of it before the timer expires.
async fn within<T>(timer: &Timer, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => timer.poll_expired(cx, now()).map(|()| None),
    })
    .await
}

async fn connect(local: &Local, picked: &Picked) -> io::Result<Box<Wire>> {
    let socket = TcpStream::connect(picked.endpoint().address()).await?;
    let stream = Stream::tcp(socket);
    Ok(Box::new(Wire::new(stream, local.upstream_limits)))
}

/// Whether the endpoint, or the way to it, is to blame.
fn is_theirs(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable, TimedOut,
    };
    matches!(
        error.kind(),
        ConnectionRefused | ConnectionReset | HostUnreachable | NetworkUnreachable | TimedOut
    )
}

/// The shadow closed, or sent what is no answer.
struct Broken;

/// Sends what is staged and reads the answer away.
async fn talk(local: &Local, wire: &mut Wire, method: Method) -> Result<Answered, Broken> {
    let mut sending = true;
    let mut reading = Reading::default();
    poll_fn(|cx| {
        if sending && let Poll::Ready(sent) = wire.poll_flush(cx) {
            sending = false;
            if sent.is_err() {
                // It may have answered all the same.
                wire.forget_staged();
                reading.reusable = false;
            }
        }
        match reading.poll(cx, local, wire, method) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(Answered {
                status: reading.response.status(),
                reusable: reading.reusable && !sending && reading.response.keep_alive(),
            })),
            Poll::Ready(Err(broken)) => Poll::Ready(Err(broken)),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// How far an answer has been read.
struct Reading {
    response: ResponseHead,
    headed: bool,
    interim: u32,
    taken: u64,
    reusable: bool,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            response: ResponseHead::new(),
            headed: false,
            interim: 0,
            taken: 0,
            reusable: true,
        }
    }
}

impl Reading {
    /// Ready when the answer is complete, or as much of it was read as is worth it.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        local: &Local,
        wire: &mut Wire,
        method: Method,
    ) -> Poll<Result<(), Broken>> {
        let buffers = &local.worker.buffers;
        while !self.headed {
            if !self.parse(local, wire, method)? {
                match wire.poll_fill(cx, buffers) {
                    Poll::Ready(Ok(n)) if n > 0 => {}
                    Poll::Ready(_) => return Poll::Ready(Err(Broken)),
                    Poll::Pending => return Poll::Pending,
                }
            }
        }
        loop {
            match wire.poll_data(cx, buffers) {
                Poll::Ready(Ok(Data::Ready)) => {
                    let n = wire.data().len();
                    wire.consume(n);
                    self.taken += n as u64;
                    if self.taken > MOST_ANSWER {
                        self.reusable = false;
                        return Poll::Ready(Ok(()));
                    }
                }
                Poll::Ready(Ok(Data::End)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Whether something was parsed.
    fn parse(&mut self, local: &Local, wire: &mut Wire, method: Method) -> Result<bool, Broken> {
        if wire.input.is_empty() {
            return Ok(false);
        }
        let limits = &local.upstream_limits;
        let parsed = self
            .response
            .parse(wire.input.unread(), &mut wire.scanned, limits)
            .map_err(|_| Broken)?;
        let Parsed::Complete(n) = parsed else {
            if wire.input.room() == 0 {
                let size = wire.input.len() * 2;
                wire.input.grow(size.min(limits.max_head + 1));
            }
            return Ok(false);
        };
        wire.consume_head(n);
        match self.response.status() {
            101 => return Err(Broken),
            100..=199 => {
                self.interim += 1;
                if self.interim > MOST_INTERIM {
                    return Err(Broken);
                }
                self.response.clear();
            }
            _ => {
                self.headed = true;
                wire.expect_message(self.response.body(method), self.response.fields());
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_counted_by_route() {
        let mirrors = Mirrors::default();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        assert!(mirrors.enter(&a, 2) && mirrors.enter(&a, 2));
        assert!(!mirrors.enter(&a, 2), "full");
        assert!(mirrors.enter(&b, 1), "another route has its own bound");
        mirrors.leave(&a);
        assert!(mirrors.enter(&a, 2));
        for route in [&a, &a, &b] {
            mirrors.leave(route);
        }
        assert!(mirrors.0.borrow().is_empty());
        mirrors.leave(&a);
        // A reload may lower the bound while more are under way.
        assert!(mirrors.enter(&a, 5) && mirrors.enter(&a, 5));
        assert!(!mirrors.enter(&a, 1));
    }
}
