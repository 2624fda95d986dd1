//! What the admin API needs of the process that it administers.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use weir_config::Diagnostics;

use crate::status::Status;

/// A running Weir. Called on the control runtime, so nothing but [`reload`](Self::reload) may take long.
pub trait Control: Send + Sync + 'static {
    /// All metrics in the Prometheus text format 0.0.4.
    fn metrics(&self) -> String;

    /// Whether a config is applied, listeners accept, and Weir is not about to stop.
    fn is_ready(&self) -> bool;

    /// The state of everything.
    fn status(&self) -> Status;

    /// The config in use, without secrets.
    fn config(&self) -> Json;

    /// Reads the config again and applies it. Always runs to its end, even if whoever asked has gone.
    fn reload(&self) -> ReloadFuture;

    /// Takes an endpoint out, or back in. The error says what was not found.
    fn drain(&self, target: &DrainTarget) -> Result<Drained, String>;
}

/// What [`Control::reload`] returns.
pub type ReloadFuture = Pin<Box<dyn Future<Output = Result<Reloaded, Refused>> + Send>>;

/// A reload that took effect.
#[derive(Clone, Debug)]
pub struct Reloaded {
    /// The number of the plan that serves now.
    pub generation: u64,
    /// What changed, in a sentence for people.
    pub message: String,
    /// What is suspicious about the new config.
    pub warnings: Diagnostics,
}

/// A reload that changed nothing.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Why, in a sentence for people.
    pub message: String,
    /// Every problem of the config.
    pub diagnostics: Diagnostics,
}

/// Which endpoint to take out of service, or back in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainTarget {
    /// The service; all that have the endpoint if `None`.
    pub service: Option<String>,
    /// The endpoint, by its address or by what the config says: `127.0.0.1:3001`, `users.internal:80`.
    pub endpoint: String,
    /// Whether it gets no new requests from now on, or gets them again.
    pub on: bool,
}

/// The endpoints that a [`DrainTarget`] meant.
#[derive(Clone, Debug)]
pub struct Drained {
    /// Each with its service.
    pub endpoints: Vec<(Arc<str>, SocketAddr)>,
}

impl Reloaded {
    pub(crate) fn to_json(&self) -> Json {
        json!({
            "ok": true,
            "generation": self.generation,
            "message": self.message,
            "warnings": self.warnings.to_json(),
            "report": report(&self.warnings),
        })
    }
}

impl Refused {
    pub(crate) fn to_json(&self) -> Json {
        json!({
            "ok": false,
            "message": self.message,
            "diagnostics": self.diagnostics.to_json(),
            "report": report(&self.diagnostics),
        })
    }
}

impl Drained {
    pub(crate) fn to_json(&self, target: &DrainTarget) -> Json {
        let endpoints: Vec<Json> = self
            .endpoints
            .iter()
            .map(|(service, address)| json!({ "service": &**service, "address": address.to_string() }))
            .collect();
        json!({ "draining": target.on, "endpoints": endpoints })
    }
}

/// As a terminal shows it.
fn report(diagnostics: &Diagnostics) -> String {
    diagnostics.to_string()
}
