//! What must hold at every moment, whatever happens.
//!
//! The [`Ledger`] keeps its own books of all that requests hold (endpoints, entries, places in line, probes, retries), and
//! compares them with what the service counts whenever a moment is over.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use weir_service::{
    Admission, Balance, Breaker, BreakerState, Endpoint, EndpointId, EndpointSet, Health, Picked,
    Priority, Service, Unpicked,
};

/// Readings of clocks differ by this much at most.
pub(crate) const SKEW_MS: u64 = 3;
/// What a retry budget looks at.
const WINDOW_MS: u64 = 10_000;

/// The books.
#[derive(Default)]
pub(crate) struct Ledger {
    /// Requests at each endpoint that ever had one.
    active: RefCell<Vec<(Arc<Endpoint>, Cell<u32>)>>,
    entries: Cell<u32>,
    waiting: RefCell<BTreeMap<(Priority, u64), u64>>,
    /// Number of the moment, and who was let in from the line in it.
    moment: Cell<u64>,
    let_in: RefCell<Vec<(Priority, u64)>>,
    arrivals: Cell<u64>,
    /// Probes out of each breaker that ever was half-open.
    probes: RefCell<Vec<(Arc<Breaker>, Cell<u32>)>>,
    requests_ms: RefCell<VecDeque<u64>>,
    retries_ms: RefCell<VecDeque<u64>>,
    /// Retries and hedges granted, of all time.
    pub(crate) retries: Cell<u64>,
    pub(crate) requests: Cell<u64>,
}

/// A place in the books that is given back when this is dropped.
pub(crate) struct Mark(Rc<Ledger>, What);

enum What {
    Active(usize),
    Entry,
    Waiting(Priority, u64),
    Probe(usize),
}

impl Drop for Mark {
    fn drop(&mut self) {
        let one_less = |cell: &Cell<u32>| cell.set(cell.get() - 1);
        match self.1 {
            What::Active(index) => one_less(&self.0.active.borrow()[index].1),
            What::Entry => one_less(&self.0.entries),
            What::Waiting(priority, turn) => {
                self.0.waiting.borrow_mut().remove(&(priority, turn));
            }
            What::Probe(index) => one_less(&self.0.probes.borrow()[index].1),
        }
    }
}

/// What was known of an endpoint just before a pick.
struct Seen {
    id: EndpointId,
    excluded: bool,
    paused: bool,
    has_room: bool,
    breaker: BreakerState,
    active: u64,
    weight: u64,
    candidate: bool,
}

/// What was known just before a pick.
pub(crate) struct Before {
    members: Vec<Seen>,
    breaker: BreakerState,
    least: bool,
}

impl Before {
    pub(crate) fn look(
        service: &Service,
        set: &EndpointSet,
        exclude: &[EndpointId],
        now_ms: u64,
    ) -> Self {
        let connections = service.policy().limits.connections.unwrap_or(u32::MAX);
        let state = |breaker: Option<&Arc<Breaker>>| {
            breaker.map_or(BreakerState::Closed, |breaker| breaker.state(now_ms))
        };
        let candidates = set.candidates().len();
        let members = set.candidates().iter().chain(set.reserve()).enumerate();
        let members = members.map(|(index, member)| Seen {
            id: member.endpoint.id(),
            excluded: exclude.contains(&member.endpoint.id()),
            paused: member.endpoint.is_paused(now_ms),
            has_room: member.endpoint.active() < connections,
            breaker: state(member.breaker.as_ref()),
            active: member.endpoint.active().into(),
            weight: member.weight.into(),
            candidate: index < candidates,
        });
        Self {
            members: members.collect(),
            breaker: state(service.breaker()),
            least: *service.balance() == Balance::LeastConnections && candidates <= 16,
        }
    }

    /// What the service's breaker was.
    pub(crate) fn breaker(&self) -> BreakerState {
        self.breaker
    }

    /// What an endpoint's breaker was.
    pub(crate) fn breaker_of(&self, id: EndpointId) -> BreakerState {
        let seen = self.members.iter().find(|seen| seen.id == id);
        seen.map_or(BreakerState::Closed, |seen| seen.breaker)
    }

    /// Could this one have been had for certain?
    fn is_good(seen: &Seen) -> bool {
        !seen.excluded && seen.has_room && seen.breaker == BreakerState::Closed
    }

    /// Is what the picker chose right?
    pub(crate) fn judge(&self, result: &Result<Picked, Unpicked>) {
        let good = |patient: bool| {
            self.members
                .iter()
                .any(|seen| Self::is_good(seen) && (patient || !seen.paused))
        };
        match result {
            Ok(picked) => {
                let id = picked.endpoint().id();
                let seen = self.members.iter().find(|seen| seen.id == id);
                let seen = seen.expect("the endpoint is in the set");
                assert!(!seen.excluded, "an endpoint that was tried already");
                assert!(seen.has_room, "an endpoint that is full");
                assert_ne!(seen.breaker, BreakerState::Open, "an open breaker");
                assert_ne!(self.breaker, BreakerState::Open, "an open breaker");
                assert!(
                    !(seen.paused && good(false)),
                    "a paused endpoint beside one that is not"
                );
                if self.least && seen.candidate {
                    let better = self.members.iter().find(|other| {
                        other.candidate
                            && Self::is_good(other)
                            && !other.paused
                            && other.active * seen.weight < seen.active * other.weight
                    });
                    assert!(better.is_none() || seen.paused, "there was one less loaded");
                }
            }
            Err(Unpicked::NoEndpoint) => assert!(self.members.is_empty(), "there are endpoints"),
            Err(Unpicked::Tried) => {
                let untried = self.members.iter().any(|seen| !seen.excluded);
                assert!(!untried, "there are endpoints that were not tried");
            }
            Err(Unpicked::Full) => {
                let full = |seen: &Seen| !seen.excluded && !seen.has_room;
                assert!(self.members.iter().any(full), "nobody is full");
                assert!(!good(true), "there is an endpoint with room");
            }
            Err(Unpicked::BreakerOpen { retry_after_ms }) => {
                assert!(*retry_after_ms > 0);
                if self.breaker == BreakerState::Closed {
                    let open = |seen: &Seen| seen.breaker != BreakerState::Closed;
                    assert!(self.members.iter().any(open), "no breaker is open");
                    assert!(!good(true), "there is an endpoint with a closed breaker");
                }
            }
        }
    }
}

impl Ledger {
    /// A request is at an endpoint.
    pub(crate) fn picked(self: &Rc<Self>, picked: &Picked) -> Mark {
        let endpoint = picked.endpoint();
        let mut active = self.active.borrow_mut();
        let known = active.iter().position(|(e, _)| e.id() == endpoint.id());
        let index = known.unwrap_or_else(|| {
            active.push((Arc::clone(endpoint), Cell::new(0)));
            active.len() - 1
        });
        let count = &active[index].1;
        count.set(count.get() + 1);
        Mark(Rc::clone(self), What::Active(index))
    }

    /// A request is let past a breaker; `before` is what that was before the request came.
    pub(crate) fn admitted(
        self: &Rc<Self>,
        breaker: &Arc<Breaker>,
        before: BreakerState,
        most: u32,
    ) -> Option<Mark> {
        if before != BreakerState::HalfOpen {
            return None;
        }
        let mut probes = self.probes.borrow_mut();
        let known = probes.iter().position(|(b, _)| Arc::ptr_eq(b, breaker));
        let index = known.unwrap_or_else(|| {
            probes.push((Arc::clone(breaker), Cell::new(0)));
            probes.len() - 1
        });
        let count = &probes[index].1;
        count.set(count.get() + 1);
        assert!(count.get() <= most, "{} probes are out", count.get());
        Some(Mark(Rc::clone(self), What::Probe(index)))
    }

    /// A request was let in.
    pub(crate) fn entered(self: &Rc<Self>) -> Mark {
        self.entries.set(self.entries.get() + 1);
        Mark(Rc::clone(self), What::Entry)
    }

    /// A request gets in line; in its old place if it has one.
    pub(crate) fn queued(self: &Rc<Self>, priority: Priority, turn: Option<u64>) -> (u64, Mark) {
        let turn = turn.unwrap_or_else(|| {
            self.arrivals.set(self.arrivals.get() + 1);
            self.arrivals.get()
        });
        self.waiting
            .borrow_mut()
            .insert((priority, turn), self.moment.get());
        (turn, Mark(Rc::clone(self), What::Waiting(priority, turn)))
    }

    /// A request that waited is let in.
    pub(crate) fn let_in(&self, priority: Priority, turn: u64) {
        self.let_in.borrow_mut().push((priority, turn));
    }

    /// A request came, by the clock of its worker.
    pub(crate) fn request(&self, now_ms: u64) {
        self.requests.set(self.requests.get() + 1);
        self.requests_ms.borrow_mut().push_back(now_ms);
    }

    /// A retry was granted, by the clock of its worker.
    pub(crate) fn retry(&self, now_ms: u64, percent: u32, floor_per_s: u32) {
        self.retries.set(self.retries.get() + 1);
        let (mut requests, mut retries) =
            (self.requests_ms.borrow_mut(), self.retries_ms.borrow_mut());
        retries.push_back(now_ms);
        let old = |at: &u64| *at + WINDOW_MS + 2 * SKEW_MS <= now_ms;
        while requests.front().is_some_and(old) {
            requests.pop_front();
        }
        let old = |at: &u64| *at + WINDOW_MS <= now_ms;
        while retries.front().is_some_and(old) {
            retries.pop_front();
        }
        let most = requests.len() as u64 * u64::from(percent) / 100 + u64::from(floor_per_s) * 10;
        assert!(
            retries.len() as u64 <= most,
            "{} retries in 10 s at {} requests",
            retries.len(),
            requests.len()
        );
    }

    /// All that was to be done at one moment is done.
    pub(crate) fn step(
        &self,
        admission: Option<&Arc<Admission>>,
        pending: u32,
        requests: Option<u32>,
    ) {
        for (endpoint, count) in &*self.active.borrow() {
            assert_eq!(endpoint.active(), count.get(), "requests at {endpoint}");
        }
        let moment = self.moment.get();
        if let Some(admission) = admission {
            let waiting = self.waiting.borrow();
            assert_eq!(admission.in_flight(), self.entries.get(), "entries");
            assert_eq!(admission.waiting(), waiting.len(), "places in line");
            assert!(waiting.len() <= pending as usize, "{} wait", waiting.len());
            if let Some(limit) = requests {
                assert!(
                    self.entries.get() <= limit,
                    "{} in flight",
                    self.entries.get()
                );
            }
            for (priority, turn) in self.let_in.borrow_mut().drain(..) {
                // Those who came in this moment may have come after.
                let mut before = waiting.range(..(priority, turn));
                let passed = before.find(|(_, since)| **since < moment);
                assert!(passed.is_none(), "{priority:?} {turn} before {passed:?}");
            }
        }
        self.moment.set(moment + 1);
    }

    /// Nobody holds anything.
    pub(crate) fn assert_empty(&self) {
        for (endpoint, count) in &*self.active.borrow() {
            assert_eq!(
                (endpoint.active(), count.get()),
                (0, 0),
                "requests at {endpoint}"
            );
        }
        assert_eq!(self.entries.get(), 0);
        assert!(self.waiting.borrow().is_empty());
        for (_, out) in &*self.probes.borrow() {
            assert_eq!(out.get(), 0, "probes are out");
        }
    }
}

/// What must hold of a published set. `looked`: the keeper has just looked at it.
pub(crate) fn assert_set(service: &Service, looked: bool) {
    let set = service.endpoints();
    let state = |endpoint: &Arc<Endpoint>| endpoint.state().health;
    let states: Vec<Health> = set.all().iter().map(|m| state(&m.endpoint)).collect();
    let count = |which: fn(&Health) -> bool| states.iter().filter(|s| which(s)).count();
    let ejected = set.all().iter().filter(|m| m.endpoint.is_ejected()).count();
    let sound_ejected = count(|s| *s == Health::Ejected);
    let sound = count(|s| s.is_usable()) + sound_ejected;
    if sound > 0 {
        assert!(
            !set.candidates().is_empty(),
            "nobody is used, of {states:?}"
        );
    }
    for member in set.candidates().iter().chain(set.reserve()) {
        assert_ne!(
            state(&member.endpoint),
            Health::Draining,
            "a drained endpoint"
        );
    }
    if looked {
        let spec = service.policy().outliers.as_ref();
        let most = |n: usize| match spec {
            Some(spec) if n > 1 && spec.max_ejected > 0 => {
                (n * spec.max_ejected as usize / 100).clamp(1, n - 1)
            }
            _ => 0,
        };
        assert!(
            ejected <= most(states.len()),
            "{ejected} ejected of {states:?}"
        );
        assert!(
            sound_ejected <= most(sound),
            "{sound_ejected} ejected of {states:?}"
        );
        assert!(
            sound == 0 || sound_ejected < sound,
            "the last one is ejected: {states:?}"
        );
    }
}

/// All probes that a half-open breaker may have out can be had: none was lost.
pub(crate) fn assert_no_probe_lost(breaker: &Breaker, probes: u32, now_ms: u64) {
    if breaker.state(now_ms) != BreakerState::HalfOpen {
        return;
    }
    let mut tokens = Vec::new();
    while let Ok(token) = breaker.admit(now_ms) {
        tokens.push(token);
        assert!(
            tokens.len() <= probes as usize,
            "more probes than there may be"
        );
    }
    let done = breaker.results(now_ms).requests;
    assert_eq!(
        tokens.len() as u64 + done,
        u64::from(probes),
        "permits for probes were lost"
    );
    tokens.into_iter().for_each(|token| breaker.cancel(token));
}
