//! A named group of endpoints, as workers and the control runtime share it.
//!
//! Workers read, control writes. Control builds a new [`EndpointSet`] and publishes it: the set goes behind a lock
//! that is held for one pointer copy, then the version moves. A [`Picker`](crate::Picker) looks at the version on every
//! pick (a load from a line that is almost never written) and takes the lock only when it moved.
//!
//! What workers learn on the way (an endpoint failed again and again, a breaker opened) they leave as a [`Notice`] for
//! control, which decides, publishes and reports.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::admission::{Admission, AdmissionSpec};
use crate::breaker::Breaker;
use crate::budget::RetryBudget;
use crate::endpoint::Endpoint;
use crate::event::Event;
use crate::health::Thresholds;
use crate::members::{Change, Found, Source, members};
use crate::notice::{Notice, Notices};
use crate::policy::{BreakerScope, Policy};
use crate::set::EndpointSet;
use crate::spec::{Balance, EndpointSpec, ServiceSpec, Target};
use crate::status::{AdmissionStatus, EndpointStatus, ServiceStatus};

/// A service at runtime.
#[derive(Debug)]
pub struct Service {
    version: AtomicU64,
    balance: Balance,
    policy: Policy,
    name: Arc<str>,
    budget: Arc<RetryBudget>,
    breaker: Option<Arc<Breaker>>,
    admission: Option<Arc<Admission>>,
    notices: Notices,
    /// Requests in flight; counted only for hashes with bounded load.
    in_flight: AtomicU64,
    current: Mutex<Arc<EndpointSet>>,
    sources: Mutex<Vec<Source>>,
}

impl Service {
    /// A service of these addresses with these weights, for whoever needs one without configuration, names and checks.
    pub fn fixed(name: &str, balance: Balance, endpoints: &[(SocketAddr, u32)]) -> Arc<Self> {
        Self::fixed_with(name, balance, Policy::off(), endpoints)
    }

    /// As [`fixed`](Self::fixed), with a policy.
    pub fn fixed_with(
        name: &str,
        balance: Balance,
        policy: Policy,
        endpoints: &[(SocketAddr, u32)],
    ) -> Arc<Self> {
        let endpoint = |(address, weight): &(SocketAddr, u32)| EndpointSpec {
            weight: (*weight).max(1),
            ..Target::Address(*address).into()
        };
        let spec = ServiceSpec {
            name: name.to_owned(),
            endpoints: endpoints.iter().map(endpoint).collect(),
            balance,
            health: None,
            policy,
        };
        Arc::new(Self::build(&spec, None, 0, |_| Vec::new()))
    }

    /// Builds `spec`, with the endpoints of `previous` that it still names, and what was learned there. `found` knows what
    /// the targets that are not addresses stand for at the moment.
    pub fn build(
        spec: &ServiceSpec,
        previous: Option<&Self>,
        now_ms: u64,
        mut found: impl FnMut(&Target) -> Vec<Found>,
    ) -> Self {
        let mut known: HashMap<SocketAddr, Arc<Endpoint>> = HashMap::new();
        if let Some(previous) = previous {
            for source in previous.sources().iter() {
                known.extend(source.endpoints().map(|e| (e.address(), Arc::clone(e))));
            }
        }
        let policy = spec.policy.clone();
        let first = previous.is_none();
        let sources: Vec<Source> = spec
            .endpoints
            .iter()
            .map(|spec| {
                let now = if first { None } else { Some(now_ms) };
                Source::build(spec, found(&spec.target), &known, now)
            })
            .collect();
        let same = previous.filter(|previous| previous.policy.breaker == policy.breaker);
        let breaker = policy
            .breaker
            .as_ref()
            .filter(|breaker| breaker.scope != BreakerScope::Endpoint)
            .map(|breaker| {
                let carried = same.and_then(|previous| previous.breaker.clone());
                carried.unwrap_or_else(|| Arc::new(Breaker::new(breaker.spec.clone())))
            });
        // Requests in flight stay counted, whatever the limit is now.
        let carried = previous.and_then(|previous| previous.admission.clone());
        let admission = policy.limits.admission.as_ref().map(|spec| match carried {
            Some(admission) => {
                admission.configure(spec);
                admission
            }
            None => Admission::new(spec),
        });
        let before = previous
            .filter(|previous| previous.policy.breaker == policy.breaker)
            .map(Self::endpoints);
        let members = members(&sources, before.as_deref(), &policy);
        let set = EndpointSet::new(members, &spec.balance, &policy, now_ms);
        Self {
            version: AtomicU64::new(1),
            balance: spec.balance.clone(),
            name: spec.name.as_str().into(),
            budget: previous.map_or_else(Arc::default, |previous| Arc::clone(&previous.budget)),
            breaker,
            admission,
            notices: Notices::default(),
            in_flight: AtomicU64::new(0),
            current: Mutex::new(Arc::new(set)),
            sources: Mutex::new(sources),
            policy,
        }
    }

    /// Its key in the configuration.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// How it chooses endpoints.
    #[inline]
    pub fn balance(&self) -> &Balance {
        &self.balance
    }

    /// How it survives.
    #[inline]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What bounds its retries.
    #[inline]
    pub fn budget(&self) -> &RetryBudget {
        &self.budget
    }

    /// Its circuit breaker, if it has one for all endpoints together.
    #[inline]
    pub fn breaker(&self) -> Option<&Arc<Breaker>> {
        self.breaker.as_ref()
    }

    /// What caps its requests in flight, if anything does.
    #[inline]
    pub fn admission(&self) -> Option<&Arc<Admission>> {
        self.admission.as_ref()
    }

    /// Moves whenever another endpoint set is published.
    #[inline]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The published endpoint set. Takes a lock: workers use a [`Picker`](crate::Picker).
    pub fn endpoints(&self) -> Arc<EndpointSet> {
        self.load().1
    }

    pub(crate) fn load(&self) -> (u64, Arc<EndpointSet>) {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        (self.version(), Arc::clone(&current))
    }

    /// Requests in flight; counted only for hashes with bounded load.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(crate) fn request_started(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn request_finished(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Leaves word for the control runtime. Only when something changed: takes a lock.
    #[cold]
    pub(crate) fn tell(&self, notice: Notice) {
        self.notices.push(notice);
    }

    pub(crate) fn notices(&self) -> &Notices {
        &self.notices
    }

    /// What a status page or a metrics page shows.
    pub fn snapshot(&self, now_ms: u64) -> ServiceStatus {
        let set = self.endpoints();
        let endpoints = EndpointStatus::all(&set, now_ms);
        ServiceStatus {
            name: Arc::clone(&self.name),
            balance: self.balance.as_str(),
            panic: set.is_panic(),
            breaker: self.breaker.as_ref().map(|b| b.state(now_ms)),
            admission: self.admission.as_deref().map(AdmissionStatus::of),
            endpoints,
        }
    }

    /// A health check of an endpoint ended; says if that changed the verdict.
    pub fn checked(
        &self,
        endpoint: &Arc<Endpoint>,
        thresholds: Thresholds,
        result: Result<(), &str>,
        now_ms: u64,
    ) -> Option<Event> {
        let transition = endpoint.checked_as(thresholds, result, now_ms);
        if result.is_ok() {
            // It accepts connections: no reason to wait for the end of a pause after failed ones.
            endpoint.succeeded();
        }
        let transition = transition?;
        self.republish(now_ms);
        self.notices.call();
        Some(Event::HealthChanged {
            service: Arc::clone(&self.name),
            reason: endpoint.state().reason,
            endpoint: Arc::clone(endpoint),
            from: transition.from,
            to: transition.to,
        })
    }

    /// Takes the endpoints with this label out, or back in; says how many that changed.
    pub fn set_draining(&self, label: &str, draining: bool, now_ms: u64) -> usize {
        let set = self.endpoints();
        let named = set.all().iter().filter(|m| &**m.endpoint.label() == label);
        let changed = named
            .filter(|m| m.endpoint.set_draining(draining, now_ms))
            .count();
        self.republish(now_ms);
        self.notices.call();
        changed
    }

    /// Entry `index` stands for these endpoints now. Those that stay keep their identity.
    pub fn set_found(&self, index: usize, found: &[Found], now_ms: u64) -> Change {
        let mut sources = self.sources();
        let Some(source) = sources.get_mut(index) else {
            return Change::default();
        };
        let change = source.update(found, now_ms);
        self.publish(&sources, now_ms);
        self.notices.call();
        change
    }

    /// Publishes a new set if anything changed who may be chosen, or how often.
    pub(crate) fn republish(&self, now_ms: u64) {
        let sources = self.sources();
        let current = self.endpoints();
        if !current.is_current(&self.policy, now_ms) {
            self.publish(&sources, now_ms);
        }
    }

    /// A reload replaced it. Requests that wait in line for it choose from the endpoints of its successor from now on: they
    /// stand in front of those who come, and must not wait for what is no more.
    pub(crate) fn succeeded_by(&self, successor: &Self) {
        let Some(admission) = &self.admission else {
            return;
        };
        {
            // Held, so that nothing that is under way here publishes an older set afterwards.
            let _sources = self.sources();
            let set = successor.endpoints();
            let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            *current = set;
            self.version.fetch_add(1, Ordering::Release);
        }
        if successor.admission.is_none() {
            // Nothing is limited any more.
            admission.configure(&AdmissionSpec {
                requests: u32::MAX,
                adaptive: false,
                ..AdmissionSpec::default()
            });
        }
        admission.endpoints_changed();
    }

    /// Callers hold the lock on the sources, so that sets are published in the order of what they were built from.
    fn publish(&self, sources: &[Source], now_ms: u64) {
        let before = self.endpoints();
        let all = members(sources, Some(&before), &self.policy);
        let set = Arc::new(EndpointSet::new(all, &self.balance, &self.policy, now_ms));
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        *current = set;
        self.version.fetch_add(1, Ordering::Release);
        drop(current);
        if let Some(admission) = &self.admission {
            admission.endpoints_changed();
        }
    }

    fn sources(&self) -> MutexGuard<'_, Vec<Source>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
