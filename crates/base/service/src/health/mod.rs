//! Active health checks: what is asked ([`HealthSpec`]), how it is asked (`probe`), what the answers mean
//! ([`HealthTracker`]).

mod grpc;
mod probe;
mod spec;
mod tracker;

pub(crate) use probe::Probe;
pub use spec::{CheckKind, HealthSpec, HttpCheck, StatusRanges, StatusRangesError};
pub use tracker::{Health, HealthTracker, Thresholds, Transition};
