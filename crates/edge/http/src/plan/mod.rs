//! What workers run: compiled from the config, validated, immutable.
//!
//! Everything that can be decided once is decided here, so that a request meets
//! only numbers and bytes. A plan cannot hold an unknown service, a bad regex or a
//! template with an unknown parameter: [`Plan::compile`] returns all such problems
//! with the places in the config that they come from, and no plan.

mod compile;
mod forwarding;
mod listener;
mod mirror;
mod readings;
mod retries;
mod route;
mod split;
mod urgency;

use std::{collections::HashMap, sync::Arc};

use weir_auth::{Hidden, Logins};
use weir_firewall::Geo;
use weir_service::{IdleLimits, Service};
use weir_telemetry::{RouteMetrics, ServiceMetrics};

pub use self::compile::{Input, ListenerInput, ServiceInput};
pub(crate) use self::{
    forwarding::AddressText,
    listener::ListenerPlan,
    mirror::{Mirror, Part},
    retries::{Hedge, Retries},
    route::{Action, FixedResponse, RoutePlan},
    split::Split,
    urgency::{DeadlineField, PriorityPlan},
};
use crate::{codec::Names, guard::GlobalFirewall, route::RouteTable, sticky::Sticky};

/// Idle connections to all endpoints that one worker keeps at most.
pub(crate) const MOST_IDLE: usize = 65_536;

/// The HTTP part of a plan.
#[derive(Debug)]
pub struct Plan {
    pub(crate) table: RouteTable,
    /// The route of each rule in the table: a route with several hosts has several rules.
    pub(crate) rule_routes: Vec<u32>,
    pub(crate) routes: Vec<RoutePlan>,
    pub(crate) listeners: Vec<ListenerPlan>,
    pub(crate) services: Vec<ServicePlan>,
    /// Fields that say who is asking.
    pub(crate) identity_names: Arc<Names>,
    /// Parameters of queries in which credentials come.
    pub(crate) hidden_parameters: Vec<Hidden>,
    /// Logins, which have paths of their own.
    pub(crate) logins: Logins,
    /// Who may come in at all.
    pub(crate) firewall: Option<GlobalFirewall>,
    /// What tells where an address belongs.
    pub(crate) geo: Geo,
    /// Requests that no route took.
    pub(crate) unrouted: Arc<RouteMetrics>,
    listener_keys: HashMap<Arc<str>, u16>,
}

/// A service as routes use it.
#[derive(Debug)]
pub(crate) struct ServicePlan {
    pub(crate) name: Arc<str>,
    pub(crate) service: Arc<Service>,
    pub(crate) metrics: Arc<ServiceMetrics>,
    /// Idle connections to keep, per worker.
    pub(crate) keepalive: IdleLimits,
    /// The cookie that keeps a user on an endpoint.
    pub(crate) sticky: Option<Sticky>,
}

impl Plan {
    /// Where the listener with these sockets stands in [`Plan::listeners`].
    pub(crate) fn listener_index(&self, key: &str) -> Option<u16> {
        self.listener_keys.get(key).copied()
    }

    /// How many routes there are.
    #[must_use]
    pub fn routes(&self) -> usize {
        self.routes.len()
    }
}
