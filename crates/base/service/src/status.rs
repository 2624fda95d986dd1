//! Services as status pages, metrics and logs show them: plain data.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::admission::Admission;
use crate::breaker::BreakerState;
use crate::endpoint::EndpointId;
use crate::health::Health;
use crate::set::{EndpointSet, Member};

/// A service at one moment.
#[derive(Debug, Clone)]
pub struct ServiceStatus {
    /// Its key in the configuration.
    pub name: Arc<str>,
    /// How it chooses endpoints, by its word in the configuration.
    pub balance: &'static str,
    /// Too few endpoints can be used, so all are.
    pub panic: bool,
    /// The state of the circuit breaker of the whole service.
    pub breaker: Option<BreakerState>,
    /// The line in front of the service, if anything is limited.
    pub admission: Option<AdmissionStatus>,
    /// Its endpoints in configuration order.
    pub endpoints: Vec<EndpointStatus>,
}

/// An endpoint at one moment.
#[derive(Debug, Clone)]
pub struct EndpointStatus {
    /// Its name within this process.
    pub id: EndpointId,
    /// What the user wrote.
    pub label: Arc<str>,
    /// Where Weir connects to.
    pub address: SocketAddr,
    /// Its share relative to the others.
    pub weight: u32,
    /// What is known about it.
    pub state: Health,
    /// Why, if that is not good.
    pub reason: Option<Arc<str>>,
    /// Since when, in the milliseconds of the clock that the services were given; 0 if never decided.
    pub since_ms: u64,
    /// Check results in a row that contradict the state.
    pub results_against: u32,
    /// Requests in flight.
    pub active: u32,
    /// 0 comes first.
    pub priority: u8,
    /// Where it runs.
    pub zone: Option<Arc<str>>,
    /// The share of the requests that it gets now, in percent.
    pub share: u32,
    /// The state of its own circuit breaker.
    pub breaker: Option<BreakerState>,
}

/// The line in front of a service at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmissionStatus {
    /// Requests in flight.
    pub in_flight: u32,
    /// Requests that wait.
    pub pending: u32,
    /// How many may be in flight.
    pub limit: u32,
}

impl AdmissionStatus {
    pub(crate) fn of(admission: &Admission) -> Self {
        Self {
            in_flight: admission.in_flight(),
            pending: u32::try_from(admission.waiting()).unwrap_or(u32::MAX),
            limit: admission.limit(),
        }
    }
}

impl EndpointStatus {
    /// All endpoints of a set.
    pub(crate) fn all(set: &EndpointSet, now_ms: u64) -> Vec<Self> {
        let candidates = set.candidates().iter();
        let weights: HashMap<EndpointId, u64> = candidates
            .map(|m| (m.endpoint.id(), u64::from(m.weight)))
            .collect();
        let total: u64 = weights.values().sum();
        let all = set.all().iter();
        all.map(|member| {
            let own = weights.get(&member.endpoint.id()).copied().unwrap_or(0);
            let share = (own * 100).div_ceil(total.max(1)) as u32;
            Self::of(member, share, now_ms)
        })
        .collect()
    }

    fn of(member: &Member, share: u32, now_ms: u64) -> Self {
        let endpoint = &member.endpoint;
        let state = endpoint.state();
        Self {
            id: endpoint.id(),
            label: Arc::clone(endpoint.label()),
            address: endpoint.address(),
            weight: member.weight,
            state: state.health,
            reason: state.reason.or_else(|| endpoint.unreachable()),
            since_ms: state.since_ms,
            results_against: endpoint.results_against(),
            active: endpoint.active(),
            priority: member.priority,
            zone: member.zone.clone(),
            share,
            breaker: member.breaker.as_ref().map(|b| b.state(now_ms)),
        }
    }
}
