//! Services: the endpoints behind Weir, how one of them is chosen, and how Weir knows which of them work.
//!
//! Three parties meet here. The *plan* names a [`Service`]. A *worker* holds a [`Picker`] for it, which chooses an
//! [`Endpoint`] per request without locks, and an [`IdlePool`] of connections. The *control runtime* holds
//! [`Services`], which resolves names, runs health checks, publishes what it learns as a new [`EndpointSet`], and carries all
//! of it over reloads.
//!
//! The cores are pure (balancers, health verdicts, when to resolve again, the pool): time and seeds are arguments. The async
//! shells around them are thin.

mod balance;
mod config;
mod dns;
mod endpoint;
mod event;
mod health;
mod pool;
mod rng;
mod runner;
mod service;
mod services;
mod set;
mod spec;
mod status;

pub use balance::{Picked, Picker};
pub use config::{
    EndpointConfig, EndpointTarget, HealthConfig, HttpProbe, KeepaliveConfig, Probe, ServiceConfig,
};
pub use dns::{
    Answer, DnsResolver, DnsResolverError, Records, RefreshLimits, Resolve, ResolveError,
    ResolveFuture,
};
pub use endpoint::{Endpoint, EndpointId, EndpointState};
pub use event::{Event, EventSink};
pub use health::{
    CheckKind, Health, HealthSpec, HealthTracker, HttpCheck, StatusRanges, StatusRangesError,
    Thresholds, Transition,
};
pub use pool::{IdleLimits, IdlePool};
pub use rng::Rng;
pub use service::Service;
pub use services::{Clock, Options, Prepared, Services, SpecError};
pub use set::{EndpointSet, Member};
pub use spec::{Balance, EndpointSpec, ServiceSpec, Target, TargetError};
pub use status::{EndpointStatus, ServiceStatus};
