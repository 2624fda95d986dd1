//! The state of a running Weir, as `/status` shows it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use weir_service::{BreakerState, EndpointStatus, ServiceStatus};

/// The state of everything at one moment.
#[derive(Clone, Debug)]
pub struct Status {
    /// Weir's version.
    pub version: &'static str,
    /// The process.
    pub pid: u32,
    /// Time since it started.
    pub uptime: Duration,
    /// Where the config came from.
    pub config: String,
    /// The number of the plan that serves now.
    pub generation: u64,
    /// Whether Weir is about to stop.
    pub draining: bool,
    /// The last attempt to reload, if there was one.
    pub last_reload: Option<LastReload>,
    /// Threads that serve.
    pub workers: usize,
    /// Client connections open now.
    pub connections: u64,
    /// Where connections are taken in.
    pub listeners: Vec<ListenerStatus>,
    /// How many routes there are.
    pub routes: usize,
    /// The services with their endpoints.
    pub services: Vec<ServiceStatus>,
    /// The names of those with health checks.
    pub checked: Vec<String>,
    /// Sources of endpoints that failed lately.
    pub source_failures: Vec<SourceFailure>,
    /// The servers of engines that limits share.
    pub engines: Vec<EngineStatus>,
    /// Now, in the milliseconds of the clock that the services were given.
    pub now_ms: u64,
}

/// A server of an engine.
#[derive(Clone, Debug)]
pub struct EngineStatus {
    /// The name of the engine.
    pub name: String,
    /// The server's address.
    pub server: String,
    /// Why it is not asked now, if it is not.
    pub failing: Option<String>,
}

/// An attempt to reload.
#[derive(Clone, Debug)]
pub struct LastReload {
    /// How long ago.
    pub ago: Duration,
    /// Whether it took effect.
    pub ok: bool,
    /// What came of it, for people.
    pub message: String,
}

/// A source of endpoints, such as a name, that could not be used.
#[derive(Clone, Debug)]
pub struct SourceFailure {
    /// The service.
    pub service: Arc<str>,
    /// The source.
    pub source: Arc<str>,
    /// What went wrong.
    pub error: String,
    /// How long ago.
    pub ago: Duration,
}

/// Where connections are taken in.
#[derive(Clone, Debug)]
pub struct ListenerStatus {
    /// Its name in the config.
    pub name: String,
    /// Where it is bound.
    pub address: SocketAddr,
    /// What it speaks.
    pub protocol: &'static str,
}

impl Status {
    /// For machines.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let last_reload = self.last_reload.as_ref().map(|last| {
            json!({ "seconds_ago": seconds(last.ago), "ok": last.ok, "message": last.message })
        });
        let listener = |listener: &ListenerStatus| {
            json!({
                "name": listener.name,
                "address": listener.address.to_string(),
                "protocol": listener.protocol,
            })
        };
        json!({
            "version": self.version,
            "pid": self.pid,
            "uptime_seconds": seconds(self.uptime),
            "config": self.config,
            "generation": self.generation,
            "draining": self.draining,
            "last_reload": last_reload,
            "workers": self.workers,
            "connections": self.connections,
            "listeners": self.listeners.iter().map(listener).collect::<Vec<_>>(),
            "routes": self.routes,
            "engines": self.engines.iter().map(|engine| json!({
                "name": engine.name,
                "server": engine.server,
                "state": if engine.failing.is_some() { "failing" } else { "answers" },
                "error": engine.failing,
            })).collect::<Vec<_>>(),
            "services": self.services.iter().map(|service| self.service(service)).collect::<Vec<_>>(),
        })
    }

    fn service(&self, service: &ServiceStatus) -> Json {
        let failures = self
            .source_failures
            .iter()
            .filter(|failure| failure.service == service.name)
            .map(|failure| {
                json!({
                    "source": &*failure.source,
                    "error": failure.error,
                    "seconds_ago": seconds(failure.ago),
                })
            });
        json!({
            "name": &*service.name,
            "balance": service.balance,
            "panic": service.panic,
            "health_check": self.checked.iter().any(|name| **name == *service.name),
            "source_failures": failures.collect::<Vec<_>>(),
            "breaker": service.breaker.map(BreakerState::as_str),
            "requests": service.admission.map(|admission| json!({
                "in_flight": admission.in_flight,
                "pending": admission.pending,
                // Where only endpoints have a limit, there is none for all together.
                "limit": (admission.limit < UNLIMITED).then_some(admission.limit),
            })),
            "endpoints": service.endpoints.iter().map(|endpoint| self.endpoint(endpoint)).collect::<Vec<_>>(),
        })
    }

    fn endpoint(&self, endpoint: &EndpointStatus) -> Json {
        // Zero stands for "never decided".
        let since = (endpoint.since_ms > 0).then(|| {
            seconds(Duration::from_millis(
                self.now_ms.saturating_sub(endpoint.since_ms),
            ))
        });
        json!({
            "name": &*endpoint.label,
            "address": endpoint.address.to_string(),
            "state": endpoint.state.as_str(),
            "reason": endpoint.reason.as_deref(),
            "state_seconds": since,
            "active": endpoint.active,
            "weight": endpoint.weight,
            "priority": endpoint.priority,
            "zone": endpoint.zone.as_deref(),
            "share_percent": endpoint.share,
            "breaker": endpoint.breaker.map(BreakerState::as_str),
        })
    }
}

/// A limit this high is none.
const UNLIMITED: u32 = 1 << 30;

/// With milliseconds, and no more.
fn seconds(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1000.0
}
