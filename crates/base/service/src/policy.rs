//! How a service survives: what is done about endpoints that fail, are slow, are new, or are too few.

use std::sync::Arc;

use crate::admission::AdmissionSpec;
use crate::breaker::BreakerSpec;
use crate::outlier::OutlierSpec;

/// How a service survives. Plain data, compared on reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// When endpoints that fail are left alone for a while.
    pub outliers: Option<OutlierSpec>,
    /// When a service, or an endpoint, that fails is no longer tried.
    pub breaker: Option<BreakerPolicy>,
    /// How much it is asked for at once.
    pub limits: ServiceLimits,
    /// How long an endpoint that joins or recovers takes to get its full share; 0 for none.
    pub slow_start_ms: u64,
    /// When fewer than this share of the endpoints can be used, in percent, all are used.
    pub panic_below: u32,
    /// The zone whose endpoints come first.
    pub zone: Option<Arc<str>>,
    /// When fewer than this share of its endpoints can be used, in percent, other zones get a part.
    pub spill_below: u32,
    /// How many of the endpoints this Weir uses.
    pub subset: Option<u32>,
    /// What makes the subset of this Weir another than that of the next one.
    pub instance: u64,
}

/// A circuit breaker, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// When it opens, and for how long.
    pub spec: BreakerSpec,
    /// An answer that takes this long counts as slow, in microseconds.
    pub slow_after_us: u64,
    /// Whose failures are counted together.
    pub scope: BreakerScope,
}

/// Whose failures a circuit breaker counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerScope {
    /// Those of all endpoints.
    Service,
    /// Those of each endpoint.
    Endpoint,
    /// Both, with a breaker each.
    Both,
}

/// How much a service is asked for at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceLimits {
    /// Most requests in flight at one endpoint.
    pub connections: Option<u32>,
    /// Most requests in flight at all endpoints, and how many may wait.
    pub admission: Option<AdmissionSpec>,
    /// How long one may wait, in microseconds.
    pub queue_timeout_us: u64,
}

impl Policy {
    /// Nothing at all is done.
    pub fn off() -> Self {
        Self {
            outliers: None,
            breaker: None,
            limits: ServiceLimits {
                connections: None,
                admission: None,
                queue_timeout_us: 0,
            },
            slow_start_ms: 0,
            panic_below: 10,
            zone: None,
            spill_below: 70,
            subset: None,
            instance: 0,
        }
    }
}

impl Default for Policy {
    /// What a service has that says nothing: outliers are ejected, and it panics when hardly one is left.
    fn default() -> Self {
        Self {
            outliers: Some(OutlierSpec::default()),
            ..Self::off()
        }
    }
}
