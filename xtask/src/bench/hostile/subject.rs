//! Who is attacked, with a config from `bench/hostile`.

use std::path::Path;

use weir_testkit::Nginx;

use super::super::subject::{Kind, Running, read_config};
use crate::Result;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Weir,
    Nginx,
}

impl Subject {
    pub(super) const ALL: [Self; 2] = [Self::Weir, Self::Nginx];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Weir => "Weir",
            Self::Nginx => "nginx",
        }
    }

    /// Its name on the command line.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Weir => "weir",
            Self::Nginx => "nginx",
        }
    }

    /// Starts it before this origin.
    pub(super) fn start(self, weir: Option<&Path>, origin: &Nginx) -> Result<Running> {
        let (kind, config) = match self {
            Self::Weir => (Kind::Weir, "weir.yaml"),
            Self::Nginx => (Kind::Nginx, "nginx.conf"),
        };
        let launch = kind.launch(weir, &read_config("hostile", config)?)?;
        kind.start(launch.value("origin", origin.addr("web")))
    }
}
