//! A chosen endpoint, while a request is there.

use std::fmt;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use crate::breaker::Token;
use crate::endpoint::Endpoint;
use crate::notice::Notice;
use crate::outcome::Outcome;
use crate::service::Service;
use crate::set::{EndpointSet, Member};
use crate::spec::Balance;

/// The worker's one reference to a service and its published set. Picks count references to this, which no other worker
/// touches.
pub(super) struct View {
    pub(super) service: Arc<Service>,
    pub(super) set: Arc<EndpointSet>,
}

/// A chosen endpoint; the request counts as in flight there until this is dropped, however it ends.
///
/// It keeps the endpoint set that it was chosen from alive instead of counting references to the endpoint, which all
/// workers would have to write to. What breakers gave for it goes back to them, with a result or without.
pub struct Picked {
    view: Rc<View>,
    index: u32,
    /// The right to try the service, and the endpoint.
    tokens: (Option<Token>, Option<Token>),
}

impl Picked {
    pub(super) fn start(
        view: Rc<View>,
        index: u32,
        now_ms: u64,
        service: Option<Token>,
        endpoint: Option<Token>,
    ) -> Self {
        view.set.member(index).endpoint.start(now_ms);
        if view.set.bounded().is_some() {
            view.service.request_started();
        }
        if let Some(change) = service.as_ref().and_then(|token| token.change(now_ms)) {
            view.service.tell(Notice::Breaker(None, change));
        }
        if let Some(change) = endpoint.as_ref().and_then(|token| token.change(now_ms)) {
            let id = view.set.member(index).endpoint.id();
            view.service.tell(Notice::Breaker(Some(id), change));
        }
        Self {
            view,
            index,
            tokens: (service, endpoint),
        }
    }

    fn member(&self) -> &Member {
        self.view.set.member(self.index)
    }

    /// The endpoint.
    #[inline]
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.member().endpoint
    }

    /// The service.
    #[inline]
    pub fn service(&self) -> &Arc<Service> {
        &self.view.service
    }

    /// Says how the attempt ended, as soon as that is known: when the head of an answer is there, or when it failed.
    /// `latency_us` is from the moment it was sent. Only the first report counts; an attempt without one (the client
    /// went away) says nothing about the endpoint.
    #[inline]
    pub fn report(&mut self, outcome: Outcome, latency_us: u64, now_ms: u64) {
        let service = &*self.view.service;
        let member = self.view.set.member(self.index);
        let policy = service.policy();
        let failed = outcome.is_failure();
        if *service.balance() == Balance::LeastResponseTime {
            member.endpoint.timed(!failed, latency_us, now_ms);
        }
        if let Some(outliers) = &policy.outliers
            && member
                .endpoint
                .outliers()
                .record(outcome, outliers)
                .is_some()
        {
            service.tell(Notice::Tripped);
        }
        let Some(breaker) = &policy.breaker else {
            return;
        };
        let slow = latency_us >= breaker.slow_after_us;
        let (whole, own) = (self.tokens.0.take(), self.tokens.1.take());
        if let (Some(token), Some(machine)) = (whole, service.breaker())
            && let Some(change) = machine.record(token, failed, slow, now_ms)
        {
            service.tell(Notice::Breaker(None, change));
        }
        if let (Some(token), Some(machine)) = (own, &member.breaker)
            && let Some(change) = machine.record(token, failed, slow, now_ms)
        {
            service.tell(Notice::Breaker(Some(member.endpoint.id()), change));
        }
    }
}

impl Picked {
    /// The attempt waits for the rest of the client's request now, or no longer does. A circuit breaker that tries the
    /// service out does not wait for clients.
    #[inline]
    pub fn client_stalls(&mut self, stalls: bool) {
        if let (Some(token), Some(breaker)) = (&mut self.tokens.0, self.view.service.breaker()) {
            breaker.stall(token, stalls);
        }
        let member = self.view.set.member(self.index);
        if let (Some(token), Some(breaker)) = (&mut self.tokens.1, &member.breaker) {
            breaker.stall(token, stalls);
        }
    }

    /// Another endpoint answered first: it would have taken longer than this.
    pub fn outpaced(&self, waited_us: u64, now_ms: u64) {
        if *self.view.service.balance() == Balance::LeastResponseTime {
            self.member().endpoint.timed(true, waited_us, now_ms);
        }
    }
}

impl Deref for Picked {
    type Target = Endpoint;

    #[inline]
    fn deref(&self) -> &Endpoint {
        self.endpoint()
    }
}

impl Drop for Picked {
    #[inline]
    fn drop(&mut self) {
        self.endpoint().finish();
        if self.view.set.bounded().is_some() {
            self.view.service.request_finished();
        }
        let (whole, own) = (self.tokens.0.take(), self.tokens.1.take());
        if let (Some(token), Some(breaker)) = (whole, self.view.service.breaker()) {
            breaker.cancel(token);
        }
        if let (Some(token), Some(breaker)) = (own, &self.member().breaker) {
            breaker.cancel(token);
        }
    }
}

impl fmt::Debug for Picked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Picked")
            .field(&self.endpoint().label())
            .finish()
    }
}
