//! Services as status pages, metrics and logs show them: plain data.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::endpoint::EndpointId;
use crate::health::Health;
use crate::set::Member;
use crate::spec::Balance;

/// A service at one moment.
#[derive(Debug, Clone)]
pub struct ServiceStatus {
    /// Its key in the configuration.
    pub name: Arc<str>,
    /// How it chooses endpoints.
    pub balance: Balance,
    /// Health checks fail for all endpoints, so all are used.
    pub panic: bool,
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
}

impl EndpointStatus {
    pub(crate) fn of(member: &Member) -> Self {
        let endpoint = &member.endpoint;
        let state = endpoint.state();
        Self {
            id: endpoint.id(),
            label: Arc::clone(endpoint.label()),
            address: endpoint.address(),
            weight: member.weight,
            state: state.health,
            reason: state.reason,
            since_ms: state.since_ms,
            results_against: endpoint.results_against(),
            active: endpoint.active(),
        }
    }
}
