//! The state of endpoints, if a Weir runs that can be asked.

use serde_json::Value as Json;

use crate::cli::Explain;
use crate::commands::admin::{Remote, parsed};

/// What a running Weir says.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// Its `/status`.
    status: Option<Json>,
}

/// An endpoint of a service now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LiveEndpoint<'a> {
    pub(super) address: &'a str,
    pub(super) state: &'a str,
    pub(super) reason: Option<&'a str>,
}

impl Live {
    /// Asks, and makes do without an answer.
    pub(super) fn ask(arguments: &Explain) -> Self {
        let status = Remote::find(&arguments.admin, &arguments.config)
            .and_then(|remote| remote.ask("GET", "/status"))
            .ok()
            .filter(|answer| answer.status == 200)
            .and_then(|answer| parsed(&answer));
        Self { status }
    }

    /// The endpoints of a service; `None` if nobody knows.
    pub(super) fn endpoints(&self, service: &str) -> Option<Vec<LiveEndpoint<'_>>> {
        let services = self.status.as_ref()?["services"].as_array()?;
        let service = services.iter().find(|known| known["name"] == service)?;
        let endpoint = |endpoint| LiveEndpoint::read(endpoint);
        service["endpoints"]
            .as_array()?
            .iter()
            .map(endpoint)
            .collect()
    }
}

impl<'a> LiveEndpoint<'a> {
    fn read(endpoint: &'a Json) -> Option<Self> {
        Some(Self {
            address: endpoint["address"].as_str()?,
            state: endpoint["state"].as_str()?,
            reason: endpoint["reason"].as_str(),
        })
    }
}
