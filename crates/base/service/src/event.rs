//! What happens to services, for whoever logs and counts it.

use std::sync::Arc;

use crate::breaker::Change;
use crate::discovery::SourceError;
use crate::dns::ResolveError;
use crate::endpoint::Endpoint;
use crate::health::Health;
use crate::outlier::Returned;
use crate::status::AdmissionStatus;

/// Something happened to a service.
#[derive(Debug, Clone)]
pub enum Event {
    /// Health checks changed their verdict on an endpoint.
    HealthChanged {
        /// The service.
        service: Arc<str>,
        /// The endpoint.
        endpoint: Arc<Endpoint>,
        /// The verdict before.
        from: Health,
        /// The verdict now.
        to: Health,
        /// What the check met, when the verdict is unhealthy.
        reason: Option<Arc<str>>,
    },
    /// An endpoint whose requests failed is left alone for a while.
    Ejected {
        /// The service.
        service: Arc<str>,
        /// The endpoint.
        endpoint: Arc<Endpoint>,
        /// Why.
        reason: Arc<str>,
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// An endpoint that was left alone is used again.
    Returned {
        /// The service.
        service: Arc<str>,
        /// The endpoint.
        endpoint: Arc<Endpoint>,
        /// Why.
        reason: Returned,
    },
    /// A circuit breaker changed its state.
    BreakerChanged {
        /// The service.
        service: Arc<str>,
        /// The endpoint, if it is the breaker of one.
        endpoint: Option<Arc<Endpoint>>,
        /// What it was and what it is.
        change: Change,
    },
    /// How much a service has to do, measured now and then.
    Load {
        /// The service.
        service: Arc<str>,
        /// Requests in flight and waiting, and how many may be.
        load: AdmissionStatus,
    },
    /// One health check finished.
    Checked {
        /// The service.
        service: Arc<str>,
        /// The endpoint.
        endpoint: Arc<Endpoint>,
        /// Did it succeed?
        ok: bool,
    },
    /// An entry of the configuration stands for other endpoints now.
    EndpointsChanged {
        /// The service.
        service: Arc<str>,
        /// The entry: `app.internal:80`, `consul web`, `file endpoints.yaml`.
        source: Arc<str>,
        /// Endpoints that came.
        added: usize,
        /// Endpoints that went.
        removed: usize,
        /// Endpoints of the service now.
        total: usize,
    },
    /// A name could not be resolved, or only in part; its last addresses stay in use.
    ResolveFailed {
        /// The service.
        service: Arc<str>,
        /// The name.
        host: Arc<str>,
        /// What went wrong.
        error: ResolveError,
        /// Failures in a row, this one included.
        failures: u32,
    },
    /// A source of endpoints could not be used, or not all of it; what it said last stays in use.
    SourceFailed {
        /// The service.
        service: Arc<str>,
        /// The entry of the configuration: `consul web`, `file endpoints.yaml`.
        source: Arc<str>,
        /// What went wrong.
        error: SourceError,
        /// Failures in a row, this one included; 0 if the source could be used in part.
        failures: u32,
    },
}

/// Takes events. Called on the control runtime, so it must not block.
pub type EventSink = Arc<dyn Fn(Event) + Send + Sync>;
