//! A named group of endpoints, as workers and the control runtime share it.
//!
//! Workers read, control writes. Control builds a new [`EndpointSet`] and publishes it: the set goes behind a lock
//! that is held for one pointer copy, then the version moves. A [`Picker`](crate::Picker) looks at the version on every
//! pick (a load from a line that is almost never written) and takes the lock only when it moved.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::endpoint::Endpoint;
use crate::set::{EndpointSet, Member};
use crate::spec::{Balance, EndpointSpec, ServiceSpec, Target};
use crate::status::{EndpointStatus, ServiceStatus};

/// A service at runtime.
#[derive(Debug)]
pub struct Service {
    version: AtomicU64,
    balance: Balance,
    name: Arc<str>,
    current: Mutex<Arc<EndpointSet>>,
    sources: Mutex<Vec<Source>>,
}

/// What one entry of the configuration stands for at the moment.
#[derive(Debug)]
struct Source {
    spec: EndpointSpec,
    endpoints: Vec<Arc<Endpoint>>,
}

/// How membership changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Change {
    pub(crate) added: usize,
    pub(crate) removed: usize,
}

impl Service {
    /// A service of these addresses with these weights, for whoever needs one without configuration, names and checks.
    pub fn fixed(name: &str, balance: Balance, endpoints: &[(SocketAddr, u32)]) -> Arc<Self> {
        let endpoint = |(address, weight): &(SocketAddr, u32)| EndpointSpec {
            target: Target::Address(*address),
            weight: (*weight).max(1),
        };
        let spec = ServiceSpec {
            name: name.to_owned(),
            endpoints: endpoints.iter().map(endpoint).collect(),
            balance,
            health: None,
        };
        Arc::new(Self::build(&spec, None, |_| Vec::new()))
    }

    /// Builds `spec`, with the endpoints of `previous` that it still names. `resolved` knows the addresses of names.
    pub(crate) fn build(
        spec: &ServiceSpec,
        previous: Option<&Self>,
        mut resolved: impl FnMut(&Target) -> Vec<IpAddr>,
    ) -> Self {
        let mut known: HashMap<SocketAddr, Arc<Endpoint>> = HashMap::new();
        if let Some(previous) = previous {
            let endpoints = previous
                .sources()
                .iter()
                .flat_map(|s| s.endpoints.clone())
                .collect::<Vec<_>>();
            known.extend(endpoints.into_iter().map(|e| (e.address(), e)));
        }
        let sources: Vec<Source> = spec
            .endpoints
            .iter()
            .map(|spec| {
                let addresses = match &spec.target {
                    Target::Address(address) => vec![*address],
                    Target::Name { port, .. } => resolved(&spec.target)
                        .into_iter()
                        .map(|ip| SocketAddr::new(ip, *port))
                        .collect(),
                };
                let label: Arc<str> = spec.target.to_string().into();
                let endpoints = addresses
                    .into_iter()
                    .map(|address| match known.get(&address) {
                        Some(endpoint) if *endpoint.label() == label => Arc::clone(endpoint),
                        _ => Arc::new(Endpoint::new(address, Arc::clone(&label))),
                    })
                    .collect();
                Source {
                    spec: spec.clone(),
                    endpoints,
                }
            })
            .collect();
        Self {
            version: AtomicU64::new(1),
            balance: spec.balance,
            name: spec.name.as_str().into(),
            current: Mutex::new(Arc::new(EndpointSet::new(members(&sources)))),
            sources: Mutex::new(sources),
        }
    }

    /// Its key in the configuration.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// How it chooses endpoints.
    #[inline]
    pub fn balance(&self) -> Balance {
        self.balance
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

    /// What a status page or a metrics page shows.
    pub fn snapshot(&self) -> ServiceStatus {
        let set = self.endpoints();
        let endpoints = set.all().iter().map(EndpointStatus::of).collect();
        ServiceStatus {
            name: Arc::clone(&self.name),
            balance: self.balance,
            panic: set.is_panic(),
            endpoints,
        }
    }

    /// The addresses that the entry for `target` stands for at the moment; `None` if there is no such entry.
    pub(crate) fn addresses_of(&self, target: &Target) -> Option<Vec<IpAddr>> {
        let sources = self.sources();
        let source = sources
            .iter()
            .find(|source| source.spec.target == *target)?;
        Some(source.endpoints.iter().map(|e| e.address().ip()).collect())
    }

    /// The name behind entry `index` stands for these addresses now. Endpoints that stay keep their identity.
    pub(crate) fn set_addresses(&self, index: usize, addresses: &[IpAddr]) -> Change {
        let mut sources = self.sources();
        let Some(source) = sources.get_mut(index) else {
            return Change::default();
        };
        let Target::Name { port, .. } = source.spec.target else {
            return Change::default();
        };
        let label: Arc<str> = match source.endpoints.first() {
            Some(endpoint) => Arc::clone(endpoint.label()),
            None => source.spec.target.to_string().into(),
        };
        let before = std::mem::take(&mut source.endpoints);
        let mut known: HashMap<SocketAddr, Arc<Endpoint>> =
            before.into_iter().map(|e| (e.address(), e)).collect();
        let mut change = Change::default();
        for ip in addresses {
            let address = SocketAddr::new(*ip, port);
            let endpoint = known.remove(&address).unwrap_or_else(|| {
                change.added += 1;
                Arc::new(Endpoint::new(address, Arc::clone(&label)))
            });
            source.endpoints.push(endpoint);
        }
        change.removed = known.len();
        self.publish(&sources);
        change
    }

    /// Publishes a new set if health or draining changed who may be chosen.
    pub(crate) fn republish(&self) {
        let sources = self.sources();
        if !self.endpoints().is_current() {
            self.publish(&sources);
        }
    }

    /// Callers hold the lock on the sources, so that sets are published in the order of what they were built from.
    fn publish(&self, sources: &[Source]) {
        let set = Arc::new(EndpointSet::new(members(sources)));
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        *current = set;
        self.version.fetch_add(1, Ordering::Release);
    }

    fn sources(&self) -> MutexGuard<'_, Vec<Source>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All endpoints in configuration order. An address that two entries share is one endpoint, the first entry's.
fn members(sources: &[Source]) -> Vec<Member> {
    let mut seen = HashSet::new();
    let all = sources
        .iter()
        .flat_map(|s| s.endpoints.iter().map(|e| (e, s.spec.weight)));
    all.filter(|(endpoint, _)| seen.insert(endpoint.address()))
        .map(|(endpoint, weight)| Member {
            endpoint: Arc::clone(endpoint),
            weight,
        })
        .collect()
}
