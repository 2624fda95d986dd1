//! Who takes part, with a config from `bench/faults`.

use std::fs;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::Path;

use weir_testkit::{Haproxy, Nginx, Server, Weir};

use super::super::PROXY_CORE;
use super::endpoint::Endpoints;
use crate::Result;
use crate::command::root;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Weir,
    WeirHedged,
    Nginx,
    Haproxy,
}

impl Subject {
    pub(super) const ALL: [Self; 4] = [Self::Weir, Self::WeirHedged, Self::Nginx, Self::Haproxy];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Weir => "Weir",
            Self::WeirHedged => "Weir, hedged",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
        }
    }

    /// Its name on the command line.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Weir => "weir",
            Self::WeirHedged => "weir-hedged",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
        }
    }

    pub(super) fn is_weir(self) -> bool {
        matches!(self, Self::Weir | Self::WeirHedged)
    }

    fn config(self) -> &'static str {
        match self {
            Self::Weir => "weir.yaml",
            Self::WeirHedged => "weir-hedged.yaml",
            Self::Nginx => "nginx.conf",
            Self::Haproxy => "haproxy.cfg",
        }
    }
}

/// A subject at work, on the proxy's core.
pub(super) enum Running {
    Weir(Weir),
    Nginx(Nginx),
    Haproxy(Haproxy),
}

impl Running {
    /// Starts a subject before these endpoints.
    pub(super) fn start(
        subject: Subject,
        weir: Option<&Path>,
        endpoints: &Endpoints,
    ) -> Result<Self> {
        let path = root().join("bench/faults").join(subject.config());
        let config = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let launch = match subject {
            Subject::Weir | Subject::WeirHedged => {
                let binary = weir.and_then(Path::to_str).ok_or("no Weir to run")?;
                Weir::launch(binary, &config)
            }
            Subject::Nginx => Nginx::launch(&config),
            Subject::Haproxy => Haproxy::launch(&config),
        };
        let launch = endpoints
            .addresses()
            .fold(launch, |launch, (name, addr)| launch.value(name, addr))
            .cores(PROXY_CORE);
        Ok(match subject {
            Subject::Weir | Subject::WeirHedged => Self::Weir(Weir::try_launch(launch)?),
            Subject::Nginx => Self::Nginx(Nginx::try_launch(launch)?),
            Subject::Haproxy => Self::Haproxy(Haproxy::try_launch(launch)?),
        })
    }

    /// Where it listens.
    pub(super) fn addr(&self) -> SocketAddr {
        let server: &Server = match self {
            Self::Weir(weir) => weir.deref(),
            Self::Nginx(nginx) => nginx,
            Self::Haproxy(haproxy) => haproxy,
        };
        server.addr("web")
    }
}
