//! Who takes part, with a config from `bench/faults`.

use std::path::Path;

use super::super::subject::{Kind, Running, read_config};
use super::endpoint::Endpoints;
use crate::Result;

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
        self.kind() == Kind::Weir
    }

    fn kind(self) -> Kind {
        match self {
            Self::Weir | Self::WeirHedged => Kind::Weir,
            Self::Nginx => Kind::Nginx,
            Self::Haproxy => Kind::Haproxy,
        }
    }

    fn config(self) -> &'static str {
        match self {
            Self::Weir => "weir.yaml",
            Self::WeirHedged => "weir-hedged.yaml",
            Self::Nginx => "nginx.conf",
            Self::Haproxy => "haproxy.cfg",
        }
    }

    /// Starts it before these endpoints.
    pub(super) fn start(self, weir: Option<&Path>, endpoints: &Endpoints) -> Result<Running> {
        let config = read_config("faults", self.config())?;
        let launch = endpoints.addresses().fold(
            self.kind().launch(weir, &config)?,
            |launch, (name, addr)| launch.value(name, addr),
        );
        self.kind().start(launch)
    }
}
