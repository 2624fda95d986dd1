//! A question of Weir's own to a service, in the middle of an exchange.
//!
//! It goes the way of every request: in line if the service is limited, to an endpoint that the balancer picks, on a
//! connection of the pool, and its outcome counts for health and breakers. All of it has one deadline, and ends when the
//! client goes. Questions can be repeated without harm, so one that met a dead endpoint is put to another, once.

use std::{
    future::poll_fn,
    pin::pin,
    task::{Context, Poll},
};

use tokio::net::TcpStream;
use weir_net::{Micros, Stream, Timer, now};
use weir_service::{EndpointId, Entry, Outcome, Picked, Priority, Unpicked, Wish};
use weir_telemetry::Reason;

use crate::{
    codec::{Method, Parsed},
    exchange::Exchange,
    local::{Local, LocalPlan},
    proxy::Failure,
    server::Client,
    upstream::{self, Upstream},
    wire::{Data, Sink, Source, Wire},
};

/// Interim answers (1xx) before the final one.
const MOST_INTERIM: u32 = 64;
/// Endpoints that are asked before it is given up.
const MOST_TRIES: usize = 2;

/// A question.
pub(crate) struct Subrequest<'a> {
    pub(crate) local: &'a Local,
    pub(crate) plan: &'a LocalPlan,
    /// Index of the service in the plan.
    pub(crate) service: u32,
    pub(crate) method: Method,
    /// All of it.
    pub(crate) message: &'a [u8],
    pub(crate) timeout: Micros,
    pub(crate) priority: Priority,
    /// How much of the answer's body is kept.
    pub(crate) most_body: usize,
}

/// What came of a question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// Nobody waits any more.
    ClientGone,
    /// The service gave no valid answer. The word says what went wrong.
    Failed(&'static str),
}

use Unanswered::{ClientGone, Failed};

/// Watches a deadline and the client while something is awaited.
struct Watch<'a> {
    local: &'a Local,
    client: &'a mut Client,
    timer: Timer,
}

impl Watch<'_> {
    async fn over<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Unanswered> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            self.poll_over(cx).map(Err)
        })
        .await
    }

    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<Unanswered> {
        if self.client.poll_gone(cx, &self.local.worker).is_ready() {
            return Poll::Ready(ClientGone);
        }
        let expired = self.timer.poll_expired(cx, now());
        expired.map(|()| Failed("timeout"))
    }
}

impl Subrequest<'_> {
    /// Asks. The answer's head is in `asked.response` then, and of its body what was kept in `body`; false if that is
    /// not all of it.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) async fn ask(
        &self,
        client: &mut Client,
        asked: &mut Exchange,
        body: &mut Vec<u8>,
    ) -> Result<bool, Unanswered> {
        let local = self.local;
        let begun = now();
        let timer = local.worker.wheel.timer();
        timer.set(begun.saturating_add(self.timeout));
        let mut watch = Watch {
            local,
            client,
            timer,
        };
        asked.times.start = begun;
        let entry = self.enter(&mut watch, begun).await?;
        let answered = self.tries(&mut watch, asked, body).await;
        if let Some(entry) = entry {
            let time = now();
            let latency = time.saturating_sub(asked.times.sent.max(begun));
            match &answered {
                Ok(_) => {
                    let ok = !matches!(asked.response.status(), 502..=504);
                    entry.finish(latency, ok, time);
                }
                Err(Failed("timeout")) => entry.finish(latency, false, time),
                Err(_) => drop(entry),
            }
        }
        answered
    }

    /// Gets in, in its turn, if the service lets in only so many.
    async fn enter(
        &self,
        watch: &mut Watch<'_>,
        begun: Micros,
    ) -> Result<Option<Entry>, Unanswered> {
        let Some(gate) = self.plan.gate(self.service) else {
            return Ok(None);
        };
        if let Ok(entry) = gate.try_enter(self.priority) {
            return Ok(Some(entry));
        }
        let shed = |word: &'static str| {
            let metrics = &self.plan.service(self.service).metrics;
            metrics.on(self.local.worker.id).shed.inc();
            Failed(word)
        };
        let ticket = gate
            .enqueue(self.priority, begun)
            .map_err(|why| shed(why.as_str()))?;
        let granted = watch.over(ticket).await?;
        granted.map(Some).map_err(|why| shed(why.as_str()))
    }

    async fn tries(
        &self,
        watch: &mut Watch<'_>,
        asked: &mut Exchange,
        body: &mut Vec<u8>,
    ) -> Result<bool, Unanswered> {
        let mut exclude: Vec<EndpointId> = Vec::new();
        loop {
            let wish = Wish {
                now_ms: now() / 1000,
                exclude: &exclude,
                key: None,
                prefer: None,
            };
            let picked = match self.plan.pick(self.service, &wish) {
                Ok(picked) => picked,
                Err(unpicked) => {
                    let metrics = &self.plan.service(self.service).metrics;
                    metrics.on(self.local.worker.id).no_endpoint.inc();
                    return Err(Failed(match unpicked {
                        Unpicked::BreakerOpen { .. } => "breaker_open",
                        Unpicked::Full => "full",
                        _ => "no_endpoint",
                    }));
                }
            };
            exclude.push(picked.endpoint().id());
            let word = match self.attempt(watch, picked, asked, body).await {
                Err(Lost::Before(word)) => word,
                Err(Lost::For(why)) => return Err(why),
                Ok(whole) => return Ok(whole),
            };
            if exclude.len() >= MOST_TRIES {
                return Err(Failed(word));
            }
        }
    }

    /// One try at one endpoint.
    async fn attempt(
        &self,
        watch: &mut Watch<'_>,
        mut picked: Picked,
        asked: &mut Exchange,
        body: &mut Vec<u8>,
    ) -> Result<bool, Lost> {
        let (local, plan) = (self.local, self.plan);
        let metrics = local.endpoint_metrics(plan, self.service, picked.endpoint());
        let cells = metrics.on(local.worker.id);
        let mut idle = local.take_idle(plan, self.service, picked.endpoint(), now());
        loop {
            let reused = idle.is_some();
            let wire = match idle.take() {
                Some(wire) => {
                    cells.reused.inc();
                    wire
                }
                None => self.connect(watch, &mut picked).await?,
            };
            let mut up = Upstream::new(wire, picked, self.service);
            up.wire.lend_stage(local.scratch());
            up.wire.stage().extend_from_slice(self.message);
            asked.times.sent = now();
            asked.times.first_byte = 0;
            asked.response.clear();
            let headed = self.await_head(watch, &mut up.wire, asked).await;
            let (received, sent) = up.moved();
            match headed {
                Ok(()) => {
                    let whole = self.take_body(watch, &mut up.wire, asked, body).await;
                    return self.answered(up, asked, whole);
                }
                Err(Stopped::Failure(failure)) => {
                    cells.bytes_received.add(received);
                    cells.bytes_sent.add(sent);
                    let lost = received == 0 && failure.is_lost_connection();
                    if lost && reused {
                        // It closed an idle connection just as we used it: nobody's fault, so a fresh one is opened.
                        picked = up.give_up(local);
                        continue;
                    }
                    up.failed(&failure, asked);
                    up.discard(local);
                    match failure {
                        Failure::Closed | Failure::Reset => cells.resets.inc(),
                        Failure::BadResponse(_) => cells.bad_responses.inc(),
                        _ => {}
                    }
                    let word = failure.answer().reason.as_str();
                    return Err(if lost {
                        Lost::Before(word)
                    } else {
                        Lost::For(Failed(word))
                    });
                }
                Err(Stopped::Over(why)) => {
                    cells.bytes_received.add(received);
                    cells.bytes_sent.add(sent);
                    if why != ClientGone {
                        up.failed(&Failure::Timeout(Reason::FirstByteTimeout), asked);
                    }
                    up.discard(local);
                    return Err(Lost::For(why));
                }
            }
        }
    }

    async fn connect(&self, watch: &mut Watch<'_>, picked: &mut Picked) -> Result<Box<Wire>, Lost> {
        let local = self.local;
        let metrics = local.endpoint_metrics(self.plan, self.service, picked.endpoint());
        let cells = metrics.on(local.worker.id);
        let begun = now();
        let connected = watch
            .over(TcpStream::connect(picked.endpoint().address()))
            .await;
        let time = now();
        match connected {
            Ok(Ok(socket)) => {
                cells.connects.inc();
                picked.endpoint().succeeded();
                let stream = Stream::tcp(socket);
                Ok(Box::new(Wire::new(stream, local.upstream_limits)))
            }
            Ok(Err(error)) => {
                if !upstream::is_ours(&error) {
                    cells.connect_failures.inc();
                    picked.endpoint().connect_failed(time / 1000);
                    picked.report(Outcome::Connect, time - begun, time / 1000);
                }
                Err(Lost::Before("connect_failed"))
            }
            Err(ClientGone) => Err(Lost::For(ClientGone)),
            Err(why) => {
                cells.connect_failures.inc();
                picked.endpoint().connect_failed(time / 1000);
                picked.report(Outcome::Connect, time - begun, time / 1000);
                Err(Lost::For(why))
            }
        }
    }

    /// Sends what is staged and waits for the final head.
    async fn await_head(
        &self,
        watch: &mut Watch<'_>,
        wire: &mut Wire,
        asked: &mut Exchange,
    ) -> Result<(), Stopped> {
        let mut interim = 0;
        let buffers = &self.local.worker.buffers;
        poll_fn(|cx| {
            if let Poll::Ready(Err(_)) = wire.poll_flush(cx) {
                // It may have answered all the same.
                wire.forget_staged();
            }
            loop {
                match self.parse(wire, asked, &mut interim) {
                    Ok(true) => return Poll::Ready(Ok(())),
                    Ok(false) => {}
                    Err(failure) => return Poll::Ready(Err(Stopped::Failure(failure))),
                }
                match wire.poll_fill(cx, buffers) {
                    Poll::Ready(Ok(0)) => {
                        return Poll::Ready(Err(Stopped::Failure(Failure::Closed)));
                    }
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(_)) => {
                        return Poll::Ready(Err(Stopped::Failure(Failure::Reset)));
                    }
                    Poll::Pending => break,
                }
            }
            watch.poll_over(cx).map(|why| Err(Stopped::Over(why)))
        })
        .await
    }

    /// Whether the final head is there.
    fn parse(
        &self,
        wire: &mut Wire,
        asked: &mut Exchange,
        interim: &mut u32,
    ) -> Result<bool, Failure> {
        let limits = &self.local.upstream_limits;
        while !wire.input.is_empty() {
            let parsed = asked
                .response
                .parse(wire.input.unread(), &mut wire.scanned, limits)
                .map_err(Failure::BadResponse)?;
            let Parsed::Complete(n) = parsed else {
                if wire.input.room() == 0 {
                    let size = wire.input.len() * 2;
                    wire.input.grow(size.min(limits.max_head + 1));
                }
                return Ok(false);
            };
            wire.consume_head(n);
            match asked.response.status() {
                101 => return Err(Failure::UnexpectedInterim),
                100..=199 => {
                    *interim += 1;
                    if *interim > MOST_INTERIM {
                        return Err(Failure::UnexpectedInterim);
                    }
                }
                _ => {
                    asked.times.first_byte = now();
                    let response = &asked.response;
                    wire.expect_message(response.body(self.method), response.fields());
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Reads the body, and keeps as much of it as may be. The status is known, so nothing that happens now fails the
    /// question: `Ok(false)` is a body that was left.
    async fn take_body(
        &self,
        watch: &mut Watch<'_>,
        wire: &mut Wire,
        asked: &Exchange,
        body: &mut Vec<u8>,
    ) -> Result<bool, Unanswered> {
        body.clear();
        let buffers = &self.local.worker.buffers;
        // What nobody will see is read only for the sake of the connection.
        let kept = !matches!(asked.response.status(), 200..=299);
        let mut taken = 0;
        poll_fn(|cx| {
            loop {
                match wire.poll_data(cx, buffers) {
                    Poll::Ready(Ok(Data::Ready)) => {
                        let n = wire.data().len();
                        taken += n;
                        if taken > self.most_body {
                            return Poll::Ready(Ok(false));
                        }
                        if kept {
                            body.extend_from_slice(wire.data());
                        }
                        wire.consume(n);
                    }
                    Poll::Ready(Ok(Data::End)) => return Poll::Ready(Ok(true)),
                    Poll::Ready(Err(_)) => return Poll::Ready(Ok(false)),
                    Poll::Pending => break,
                }
            }
            watch.poll_over(cx).map(|why| match why {
                ClientGone => Err(ClientGone),
                Failed(_) => Ok(false),
            })
        })
        .await
    }

    /// There is an answer: what it says about the endpoint, and what becomes of the connection.
    fn answered(
        &self,
        mut up: Upstream,
        asked: &Exchange,
        whole: Result<bool, Unanswered>,
    ) -> Result<bool, Lost> {
        let (local, plan) = (self.local, self.plan);
        let metrics = local.endpoint_metrics(plan, self.service, up.endpoint());
        let cells = metrics.on(local.worker.id);
        let (received, sent) = up.moved();
        cells.bytes_received.add(received);
        cells.bytes_sent.add(sent);
        let status = asked.response.status();
        cells.requests.count(status);
        let service = plan.service(self.service).metrics.on(local.worker.id);
        service.requests.count(status);
        up.report(asked);
        if whole == Ok(true) && asked.response.keep_alive() {
            up.recycle(local, plan, now());
        } else {
            up.discard(local);
        }
        whole.map_err(Lost::For)
    }
}

/// Why a try ended.
enum Lost {
    /// The endpoint has seen nothing of it, or at least did not begin to answer: another may be asked.
    Before(&'static str),
    /// For good.
    For(Unanswered),
}

/// Why no head came.
enum Stopped {
    Failure(Failure),
    Over(Unanswered),
}
