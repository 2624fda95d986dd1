//! The client's side of a connection, and how it waits for requests.

use std::{
    future::poll_fn,
    net::SocketAddr,
    rc::Rc,
    task::{Context, Poll},
};

use tokio::task::coop::has_budget_remaining;
use weir_firewall::Memo;
use weir_net::{
    Admission, Connection, Listening, Micros, ResetWatch, Timer, Worker, begins_with_proxy_header,
    now,
};
use weir_telemetry::{Reason, Refusal};

use crate::{
    codec::{BodyLength, HeadError, Parsed, RequestHead, Version},
    exchange::{Answer, Exchange},
    local::{Local, LocalPlan},
    plan::{AddressText, ListenerPlan},
    wire::{Framing, Wire},
};

/// How long a fresh connection may stay silent once its listener closes.
const LAST_CALL: Micros = 1_000_000;

/// What came of waiting for a request.
pub(super) enum Heard {
    /// A head that can be acted upon.
    Request(Box<Exchange>),
    /// A head that cannot, and what to say to it.
    Bad(Box<Exchange>, Answer),
    /// The connection is over, and there is nobody to tell.
    End,
}

/// A client's connection.
pub(crate) struct Client {
    pub(crate) wire: Wire,
    pub(crate) timer: Timer,
    /// The address as the socket has it.
    pub(crate) peer: SocketAddr,
    /// Its text, for header fields and logs.
    pub(crate) address: AddressText,
    /// Whether the peer is a proxy that we believe.
    pub(crate) trusted: bool,
    /// What is known about where the address of its last request belongs.
    pub(crate) place: Memo,
    /// Index of the listener in the plan of [`plan`](Self::plan).
    pub(crate) listener_index: u16,
    /// The version of the request being served.
    pub(crate) version: Version,
    /// When it was accepted, or its last exchange ended.
    pub(super) idle_since: Micros,
    /// Requests served.
    served: u32,
    /// Bytes received and sent that the metrics know about.
    counted: (u64, u64),
    listener: Rc<Listening>,
    plan: Rc<LocalPlan>,
    /// The listener closes, and this connection, still silent, was given its last moment.
    leaving: bool,
    /// Waits for a reset once the client has ended its direction.
    reset: ResetWatch,
    /// Keeps the connection counted while it lives.
    _admission: Admission,
}

impl Client {
    pub(super) fn new(local: &Local, connection: Connection) -> Self {
        let Connection {
            stream,
            peer,
            listener,
            admission,
        } = connection;
        let plan = local.plan();
        let listener_index = plan.shared.listener_index(&listener.key).unwrap_or(0);
        let options = plan.listener(listener_index);
        Self {
            trusted: options.forwarding.trusts(peer.ip()),
            wire: Wire::new(stream, options.head),
            timer: local.worker.wheel.timer(),
            address: AddressText::new(peer.ip()),
            peer,
            place: Memo::default(),
            listener_index,
            version: Version::H11,
            idle_since: now(),
            served: 0,
            counted: (0, 0),
            listener,
            plan,
            leaving: false,
            reset: ResetWatch::default(),
            _admission: admission,
        }
    }

    /// The plan that this connection's next request uses.
    pub(crate) fn plan(&self) -> &Rc<LocalPlan> {
        &self.plan
    }

    /// Moves on to the newest plan. A connection whose listener is gone keeps the plan that had it.
    fn follow(&mut self, local: &Local) {
        if local.is_newest(&self.plan) {
            return;
        }
        let plan = local.plan();
        if let Some(index) = plan.shared.listener_index(&self.listener.key) {
            self.listener_index = index;
            self.trusted = plan.listener(index).forwarding.trusts(self.peer.ip());
            self.plan = plan;
        }
    }

    /// Waits for a request and parses its head.
    pub(super) async fn hear(&mut self, local: &Local) -> Heard {
        let worker = &local.worker;
        self.begin_waiting();
        let mut exchange: Option<Box<Exchange>> = None;
        let mut polled = false;
        let heard = poll_fn(|cx| {
            loop {
                if !self.wire.input.is_empty() {
                    let fresh = exchange.is_none();
                    let exchange = exchange.get_or_insert_with(|| {
                        self.follow(local);
                        local.exchange()
                    });
                    match self.parse(exchange) {
                        Ok(true) => return Poll::Ready(Ok(())),
                        // From its first byte on, a head must hurry.
                        Ok(false) if fresh => {
                            let time = now();
                            exchange.times.first_bytes = time;
                            self.timer
                                .set_yielding(time, time + self.options().head_timeout);
                        }
                        Ok(false) => {}
                        Err(error) => return Poll::Ready(Err(Stopped::Bad(error))),
                    }
                }
                match self.wire.poll_fill(cx, &worker.buffers) {
                    Poll::Ready(Ok(n)) if n > 0 => {}
                    Poll::Ready(_) => return Poll::Ready(Err(Stopped::Ended)),
                    Poll::Pending => break,
                }
            }
            worker.buffers.tuck(&mut self.wire.input);
            let closing = worker.draining() || self.listener.closing();
            if !polled && !closing {
                polled = true;
                self.timer.register(cx);
                return Poll::Pending;
            }
            if closing && !has_budget_remaining() {
                // This task has had its turn, so nobody knows yet whether a request is waiting. It is woken at once.
                return Poll::Pending;
            }
            let time = now();
            if exchange.is_none() && closing {
                if self.served > 0 {
                    return Poll::Ready(Err(Stopped::Ended));
                }
                // It has just connected, and its request may be on the way.
                if !self.leaving {
                    self.leaving = true;
                    self.timer.set(time + LAST_CALL);
                }
            }
            self.timer
                .poll_expired(cx, time)
                .map(|()| Err(Stopped::Expired))
        })
        .await;
        let Some(mut exchange) = exchange else {
            if self.leaving && matches!(heard, Err(Stopped::Expired)) {
                let cells = self.options().metrics.on(worker.id);
                cells.refused.count(Refusal::Draining);
            } else if matches!(heard, Err(Stopped::Expired)) {
                self.count_hurried(local);
            }
            return Heard::End;
        };
        match heard {
            Ok(()) => {
                worker.buffers.untuck(&mut self.wire.input);
                self.wire.lend_stage(local.scratch());
                self.begin(&mut exchange);
                Heard::Request(exchange)
            }
            Err(Stopped::Bad(error)) => {
                let error = self.explain(error);
                exchange.request.salvage(self.wire.input.unread());
                exchange.rule = error.reason();
                exchange.detail = error.detail();
                let answer = Answer::closing(error.status(), reason_of(error));
                Heard::Bad(exchange, answer)
            }
            Err(Stopped::Expired) => {
                self.count_hurried(local);
                exchange.request.salvage(self.wire.input.unread());
                let answer = if worker.is_cut() {
                    Answer::closing(503, Reason::Draining)
                } else {
                    Answer::closing(408, Reason::HeadTimeout)
                };
                Heard::Bad(exchange, answer)
            }
            Err(Stopped::Ended) => {
                local.spare(exchange);
                Heard::End
            }
        }
    }

    /// The options of the listener that this connection came in on.
    pub(crate) fn options(&self) -> &ListenerPlan {
        self.plan.listener(self.listener_index)
    }

    /// A wait is over. Was it ended early?
    fn count_hurried(&self, local: &Local) {
        if self.timer.was_hurried(now()) {
            self.options().metrics.on(local.worker.id).hurried.inc();
        }
    }

    fn begin_waiting(&mut self) {
        let options = self.options();
        let limit = if self.served == 0 {
            options.first_byte_timeout
        } else {
            options.idle_timeout
        };
        self.timer
            .set_yielding(self.idle_since, self.idle_since.saturating_add(limit));
    }

    /// Whether a whole head was there; it is then in `exchange`.
    fn parse(&mut self, exchange: &mut Exchange) -> Result<bool, HeadError> {
        let limits = &self.plan.listener(self.listener_index).head;
        match exchange
            .request
            .parse(self.wire.input.unread(), &mut self.wire.scanned, limits)?
        {
            Parsed::Complete(n) => {
                self.wire.consume_head(n);
                Ok(true)
            }
            Parsed::Partial => {
                if self.wire.input.room() == 0 {
                    let size = self.wire.input.len() * 2;
                    self.wire.input.grow(size.min(limits.max_head + 2));
                }
                Ok(false)
            }
        }
    }

    /// A PROXY header breaks this rule or that; what matters is that it is one.
    fn explain(&self, error: HeadError) -> HeadError {
        if self.served == 0 && begins_with_proxy_header(self.wire.input.unread()) {
            return HeadError::ProxyHeader;
        }
        error
    }

    /// A request begins.
    fn begin(&mut self, exchange: &mut Exchange) {
        self.served = self.served.saturating_add(1);
        self.version = exchange.request.version();
        self.wire
            .expect_message(exchange.request.body(), exchange.request.fields());
        if exchange.request.body() == BodyLength::Chunked {
            // A trailer says no more about who is asking than a field of the head.
            self.wire.keep_back(&self.plan.shared.identity_names);
        }
        exchange.times.start = now();
        exchange.times.ready = exchange.times.start;
    }

    /// How the endpoint gets this request's body.
    pub(crate) fn frame_request(request: &RequestHead, up: &mut Wire) {
        up.frame(match request.body() {
            BodyLength::Chunked => Framing::Chunked,
            _ => Framing::Identity,
        });
    }

    /// Whether the client and we would go on after this exchange.
    pub(crate) fn may_keep(
        &self,
        local: &Local,
        exchange: &Exchange,
        listener: &ListenerPlan,
    ) -> bool {
        exchange.request.keep_alive()
            // A client that has ended its direction may have sent more requests before.
            && (!self.wire.ended || !self.wire.input.is_empty())
            && self.served < listener.keepalive_requests
            && !local.worker.draining()
            && !self.listener.closing()
    }

    /// Ready if the client has gone. It may send its next request meanwhile, and it
    /// may end its own direction and still wait for the answer (RFC 9112, 9.6).
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>, worker: &Worker) -> Poll<()> {
        // A reset shows itself only to a reader, so it reads on while there is room.
        while !self.wire.ended && (!self.wire.input.is_held() || self.wire.input.room() > 0) {
            match self.wire.poll_fill(cx, &worker.buffers) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        if self.wire.ended {
            return self.reset.poll(cx, &self.wire.stream);
        }
        Poll::Pending
    }

    /// Bytes received and sent since the last call.
    pub(crate) fn uncounted(&mut self) -> (u64, u64) {
        let now = (self.wire.received, self.wire.sent);
        let before = std::mem::replace(&mut self.counted, now);
        (now.0 - before.0, now.1 - before.1)
    }

    /// Gives back what an idle connection does not need.
    pub(super) fn settle(&mut self, local: &Local) {
        local.worker.buffers.reclaim_if_empty(&mut self.wire.input);
        if self.wire.is_flushed() {
            local.reclaim_scratch(self.wire.take_stage());
        }
    }

    /// The connection is over.
    pub(super) fn close(mut self, local: &Local) {
        local.worker.buffers.reclaim(&mut self.wire.input);
        self.settle(local);
    }
}

/// Why no head came.
enum Stopped {
    Bad(HeadError),
    Ended,
    Expired,
}

const fn reason_of(error: HeadError) -> Reason {
    match error.status() {
        414 => Reason::TargetTooLong,
        417 => Reason::ExpectationFailed,
        431 => Reason::HeadTooLarge,
        501 => Reason::UnsupportedMethod,
        505 => Reason::UnsupportedVersion,
        _ => Reason::BadRequest,
    }
}
