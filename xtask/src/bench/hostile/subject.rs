//! Who is attacked, with a config from `bench/hostile`, and the origin behind it.

use std::fs;
use std::path::Path;

use weir_testkit::{Nginx, Server, Weir, pattern};

use super::super::{LOAD_CORE, PROXY_CORE};
use crate::Result;
use crate::command::root;

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
}

/// A subject at work, on the proxy's core.
pub(super) enum Running {
    Weir(Weir),
    Nginx(Nginx),
}

impl Running {
    pub(super) fn start(subject: Subject, weir: Option<&Path>, origin: &Nginx) -> Result<Self> {
        let launch = match subject {
            Subject::Weir => {
                let binary = weir.and_then(Path::to_str).ok_or("no Weir to run")?;
                Weir::launch(binary, &read("weir.yaml")?)
            }
            Subject::Nginx => Nginx::launch(&read("nginx.conf")?),
        };
        let launch = launch.value("origin", origin.addr("web")).cores(PROXY_CORE);
        Ok(match subject {
            Subject::Weir => Self::Weir(Weir::try_launch(launch)?),
            Subject::Nginx => Self::Nginx(Nginx::try_launch(launch)?),
        })
    }

    pub(super) fn server(&self) -> &Server {
        match self {
            Self::Weir(weir) => weir,
            Self::Nginx(nginx) => nginx,
        }
    }
}

/// Starts the origin on the load's core.
pub(super) fn origin() -> Result<Nginx> {
    let launch = Nginx::launch(&read("origin.conf")?)
        .file("files/1m", pattern(1_000_000))
        .cores(LOAD_CORE);
    Nginx::try_launch(launch)
}

fn read(name: &str) -> Result<String> {
    let path = root().join("bench/hostile").join(name);
    fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
}
