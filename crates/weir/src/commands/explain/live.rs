//! The state of endpoints, if a Weir runs that can be asked.

use std::path::{Component, Path};

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
    /// Asks, and makes do without an answer. A Weir that runs with another config has nothing to say about this one, unless
    /// the user says that it is the one to ask.
    pub(super) fn ask(arguments: &Explain, config: &Path) -> Self {
        let named = arguments.admin.address.is_some();
        let status = Remote::find(&arguments.admin, &arguments.config)
            .and_then(|remote| remote.ask("GET", "/status"))
            .ok()
            .filter(|answer| answer.status == 200)
            .and_then(|answer| parsed(&answer))
            .filter(|status| named || status["config"].as_str().is_some_and(|it| same(config, it)));
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

/// Whether a running Weir can mean this config by a path, which may be relative to a folder that only it knows.
fn same(config: &Path, running: &str) -> bool {
    let running = Path::new(running);
    let full = if running.is_absolute() {
        running.canonicalize().ok()
    } else {
        None
    };
    let running = full.unwrap_or_else(|| {
        let parts = running.components();
        parts.filter(|part| *part != Component::CurDir).collect()
    });
    config
        .canonicalize()
        .is_ok_and(|config| config.ends_with(running))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weir_with_another_config_is_not_asked() {
        let here = Path::new("Cargo.toml");
        let full = here.canonicalize().unwrap();
        for (running, expected) in [
            ("Cargo.toml", true),
            ("./Cargo.toml", true),
            (full.to_str().unwrap(), true),
            ("weir.yaml", false),
            ("/etc/weir/Cargo.toml", false),
            ("weir up", false),
        ] {
            assert_eq!(same(here, running), expected, "{running}");
        }
        assert!(!same(Path::new("nowhere.yaml"), "nowhere.yaml"));
    }
}
