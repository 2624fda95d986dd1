//! Services: the endpoints behind Weir, how one of them is chosen, and how Weir knows which of them work.
//!
//! Three parties meet here. The *plan* names a [`Service`]. A *worker* holds a [`Picker`] for it, which chooses an
//! [`Endpoint`] per request without locks, and an [`IdlePool`] of connections. The *control runtime* holds
//! [`Services`], which resolves names, runs health checks, publishes what it learns as a new [`EndpointSet`], and carries all
//! of it over reloads.
//!
//! The cores are pure (balancers, health verdicts, when to resolve again, the pool): time and seeds are arguments. The async
//! shells around them are thin.

mod admission;
mod backoff;
mod balance;
mod breaker;
mod budget;
mod config;
mod discovery;
mod dns;
mod endpoint;
mod event;
mod health;
mod keeper;
mod latencies;
mod members;
mod notice;
mod outcome;
mod outlier;
mod policy;
mod pool;
mod rng;
mod runner;
mod service;
mod services;
mod set;
mod spec;
mod status;
mod tiers;

pub use admission::{Admission, AdmissionSpec, Entry, Full, Gate, Priority, Shed, Ticket};
pub use backoff::Backoff;
pub use balance::{HashMethod, Picked, Picker, Unpicked, Wish, hash_bytes, hash_ip};
pub use breaker::{Breaker, BreakerSpec, BreakerState, Change, Refused, Results, Token};
pub use budget::RetryBudget;
pub use config::{
    BreakerConfig, CookieName, CookiePath, EndpointConfig, EndpointTarget, Factor, HashBalance,
    HashConfig, HashMethodConfig, HealthConfig, HttpProbe, KeepaliveConfig, OutliersConfig, Probe,
    ScopeConfig, ServiceConfig, ServiceLimitsConfig, StickyConfig, SuccessRate, ZonesConfig,
};
pub use discovery::{
    ConsulConfig, ConsulSpec, EtcdConfig, EtcdSpec, FileSpec, SourceError, SrvConfig, SrvSpec,
};
pub use dns::{
    Answer, DnsResolver, DnsResolverError, Records, RefreshLimits, Resolve, ResolveError,
    ResolveFuture, Srv, SrvFuture, SrvRecords,
};
pub use endpoint::{Endpoint, EndpointId, EndpointState};
pub use event::{Event, EventSink};
pub use health::{
    CheckKind, Health, HealthSpec, HealthTracker, HttpCheck, StatusRanges, StatusRangesError,
    Thresholds, Transition,
};
pub use keeper::Keeper;
pub use latencies::Latencies;
pub use members::{Change as MembersChanged, Found};
pub use outcome::Outcome;
pub use outlier::{
    Decision, Detector, Ejection, EjectionReason, OutlierCounts, OutlierSpec, OutlierView,
    Returned, Totals, Trip,
};
pub use policy::{BreakerPolicy, BreakerScope, Policy, ServiceLimits};
pub use pool::{IdleLimits, IdlePool};
pub use rng::Rng;
pub use service::Service;
pub use services::{Clock, Options, Prepared, Services, SpecError};
pub use set::{EndpointSet, Member};
pub use spec::{Balance, EndpointSpec, HashBy, HashOn, ServiceSpec, Target, TargetError};
pub use status::{AdmissionStatus, EndpointStatus, ServiceStatus};
