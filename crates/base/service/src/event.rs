//! What happens to services, for whoever logs and counts it.

use std::sync::Arc;

use crate::dns::ResolveError;
use crate::endpoint::Endpoint;
use crate::health::Health;

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
    /// One health check finished.
    Checked {
        /// The service.
        service: Arc<str>,
        /// The endpoint.
        endpoint: Arc<Endpoint>,
        /// Did it succeed?
        ok: bool,
    },
    /// A name stands for other addresses now.
    EndpointsChanged {
        /// The service.
        service: Arc<str>,
        /// The name.
        host: Arc<str>,
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
}

/// Takes events. Called on the control runtime, so it must not block.
pub type EventSink = Arc<dyn Fn(Event) + Send + Sync>;
