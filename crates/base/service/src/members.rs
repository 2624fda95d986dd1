//! Who belongs to a service: the entries of its configuration, and the endpoints that each stands for at the moment.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::breaker::Breaker;
use crate::endpoint::Endpoint;
use crate::policy::{BreakerScope, Policy};
use crate::set::{EndpointSet, Member};
use crate::spec::{EndpointSpec, Target};

/// An endpoint that a name server, a file or a registry told of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Found {
    /// Where it is.
    pub address: SocketAddr,
    /// Its share relative to the others, at least 1.
    pub weight: u32,
    /// 0 comes first.
    pub priority: u8,
    /// Where it runs.
    pub zone: Option<Arc<str>>,
    /// What logs and metrics call it; by default what the configuration calls the entry.
    pub label: Option<Arc<str>>,
}

impl Found {
    /// Nothing but an address: the rest is as the entry of the configuration says.
    pub fn at(address: SocketAddr, entry: &EndpointSpec) -> Self {
        Self {
            address,
            weight: entry.weight,
            priority: entry.priority,
            zone: entry.zone.clone(),
            label: None,
        }
    }
}

/// What one entry of the configuration stands for at the moment.
#[derive(Debug)]
pub(crate) struct Source {
    label: Arc<str>,
    found: Vec<(Found, Arc<Endpoint>)>,
}

/// How membership changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Change {
    /// Endpoints that came.
    pub added: usize,
    /// Endpoints that went.
    pub removed: usize,
}

impl Source {
    /// The entry `spec` with what was found for it. Endpoints in `known` keep their identity; others join at `joined_ms`, if
    /// they join a service that ran before.
    pub(crate) fn build(
        spec: &EndpointSpec,
        found: Vec<Found>,
        known: &HashMap<SocketAddr, Arc<Endpoint>>,
        joined_ms: Option<u64>,
    ) -> Self {
        let found = match &spec.target {
            Target::Address(address) => vec![Found::at(*address, spec)],
            _ => found,
        };
        let mut this = Self {
            label: spec.target.to_string().into(),
            found: Vec::new(),
        };
        this.found = this.resolve(&found, joined_ms, |address| known.get(&address).cloned());
        this
    }

    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.found.iter().map(|(_, endpoint)| endpoint)
    }

    /// The entry stands for these now.
    pub(crate) fn update(&mut self, found: &[Found], now_ms: u64) -> Change {
        // Those that come first of all join nobody: there is nothing to warm up beside.
        let joined = (!self.found.is_empty()).then_some(now_ms);
        let before: HashMap<SocketAddr, Arc<Endpoint>> = std::mem::take(&mut self.found)
            .into_iter()
            .map(|(_, endpoint)| (endpoint.address(), endpoint))
            .collect();
        let mut kept = HashSet::new();
        self.found = self.resolve(found, joined, |address| {
            let endpoint = before.get(&address)?;
            kept.insert(address);
            Some(Arc::clone(endpoint))
        });
        Change {
            added: self.found.len() - kept.len(),
            removed: before.len() - kept.len(),
        }
    }

    /// Endpoints for what was found, each address once.
    fn resolve(
        &self,
        found: &[Found],
        joined_ms: Option<u64>,
        mut known: impl FnMut(SocketAddr) -> Option<Arc<Endpoint>>,
    ) -> Vec<(Found, Arc<Endpoint>)> {
        let mut seen = HashSet::new();
        let mut all = Vec::with_capacity(found.len());
        for found in found {
            if !seen.insert(found.address) {
                continue;
            }
            let label = found.label.as_ref().unwrap_or(&self.label);
            let endpoint = match known(found.address) {
                Some(endpoint) if endpoint.label() == label => endpoint,
                _ => {
                    let endpoint = Endpoint::new(found.address, Arc::clone(label));
                    if let Some(now_ms) = joined_ms {
                        endpoint.joined(now_ms);
                    }
                    Arc::new(endpoint)
                }
            };
            all.push((found.clone(), endpoint));
        }
        all
    }
}

/// All endpoints in configuration order. An address that two entries share is one endpoint, the first entry's. Breakers of
/// endpoints that were in the set `before` stay as they are.
pub(crate) fn members(
    sources: &[Source],
    before: Option<&EndpointSet>,
    policy: &Policy,
) -> Vec<Member> {
    let breakers: HashMap<_, _> = before
        .into_iter()
        .flat_map(EndpointSet::all)
        .filter_map(|m| Some((m.endpoint.id(), Arc::clone(m.breaker.as_ref()?))))
        .collect();
    let spec = policy
        .breaker
        .as_ref()
        .filter(|breaker| breaker.scope != BreakerScope::Service);
    let mut seen = HashSet::new();
    let all = sources.iter().flat_map(|source| &source.found);
    all.filter(|(_, endpoint)| seen.insert(endpoint.address()))
        .map(|(found, endpoint)| Member {
            breaker: spec.map(|breaker| {
                let carried = breakers.get(&endpoint.id()).map(Arc::clone);
                carried.unwrap_or_else(|| Arc::new(Breaker::new(breaker.spec.clone())))
            }),
            endpoint: Arc::clone(endpoint),
            weight: found.weight.max(1),
            priority: found.priority,
            zone: found.zone.clone(),
        })
        .collect()
}
