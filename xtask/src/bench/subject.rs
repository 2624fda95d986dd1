//! Who takes part, and the origin behind them all.

use std::fs;
use std::path::Path;

use weir_testkit::{Haproxy, Launch, Nginx, Server, Weir, pattern};

use super::{LOAD_CORE, Lab, PROXY_CORE};
use crate::Result;
use crate::command::root;

/// What a subject is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Weir,
    Nginx,
    Haproxy,
}

impl Kind {
    /// Prepares one on the proxy's core. `weir` is the binary, if Weir takes part.
    pub(super) fn launch(self, weir: Option<&Path>, config: &str) -> Result<Launch> {
        let launch = match self {
            Self::Weir => {
                let binary = weir.and_then(Path::to_str);
                Weir::launch(binary.ok_or("Weir does not take part in this run")?, config)
            }
            Self::Nginx => Nginx::launch(config),
            Self::Haproxy => Haproxy::launch(config),
        };
        Ok(launch.cores(PROXY_CORE))
    }

    /// Starts what was prepared.
    pub(super) fn start(self, launch: Launch) -> Result<Running> {
        Ok(match self {
            Self::Weir => Running::Weir(Weir::try_launch(launch)?),
            Self::Nginx => Running::Nginx(Nginx::try_launch(launch)?),
            Self::Haproxy => Running::Haproxy(Haproxy::try_launch(launch)?),
        })
    }
}

/// A proxy with a config from `bench/http`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject {
    pub(super) name: &'static str,
    kind: Kind,
    config: &'static str,
}

pub(super) const WEIR: Subject = Subject {
    name: "Weir",
    kind: Kind::Weir,
    config: "weir-full.yaml",
};
pub(super) const WEIR_NO_LOG: Subject = Subject {
    name: "Weir, no log",
    kind: Kind::Weir,
    config: "weir-nolog.yaml",
};
pub(super) const NGINX: Subject = Subject {
    name: "nginx",
    kind: Kind::Nginx,
    config: "nginx-full.conf",
};
pub(super) const NGINX_NO_LOG: Subject = Subject {
    name: "nginx, no log",
    kind: Kind::Nginx,
    config: "nginx-nolog.conf",
};
pub(super) const NGINX_LARGE: Subject = Subject {
    config: "nginx-large.conf",
    ..NGINX
};
pub(super) const HAPROXY_LARGE: Subject = Subject {
    config: "haproxy-large.cfg",
    ..HAPROXY_NO_LOG
};
pub(super) const HAPROXY_NO_LOG: Subject = Subject {
    name: "HAProxy, no log",
    kind: Kind::Haproxy,
    config: "haproxy-nolog.cfg",
};

/// A subject at work.
pub(super) enum Running {
    Weir(Weir),
    Nginx(Nginx),
    Haproxy(Haproxy),
}

impl Running {
    pub(super) fn server(&self) -> &Server {
        match self {
            Self::Weir(weir) => weir,
            Self::Nginx(nginx) => nginx,
            Self::Haproxy(haproxy) => haproxy,
        }
    }
}

impl Lab {
    /// Those of `subjects` that take part in this run.
    pub(super) fn present(&self, subjects: &[Subject]) -> Vec<Subject> {
        let present = |subject: &&Subject| subject.kind != Kind::Weir || self.weir.is_some();
        subjects.iter().filter(present).copied().collect()
    }

    /// Prepares a subject on the proxy's core.
    pub(super) fn launch(&self, subject: Subject, origin: &Nginx) -> Result<Launch> {
        let config = read_config("http", subject.config)?;
        let launch = subject.kind.launch(self.weir.as_deref(), &config)?;
        Ok(launch.value("origin", origin.addr("web")))
    }

    /// Starts a subject on the proxy's core.
    pub(super) fn start(&self, subject: Subject, origin: &Nginx) -> Result<Running> {
        subject.kind.start(self.launch(subject, origin)?)
    }

    /// Prepares a Weir with a config of the scenario's own.
    pub(super) fn launch_weir(&self, config: &str) -> Result<Launch> {
        Kind::Weir.launch(self.weir.as_deref(), config)
    }
}

/// Starts the origin on the load's core.
pub(super) fn origin() -> Result<Nginx> {
    origin_on(LOAD_CORE)
}

/// Starts the origin on these cores.
pub(super) fn origin_on(cores: &str) -> Result<Nginx> {
    origin_with("http", cores)
}

/// Starts the origin of these benchmarks on these cores.
pub(super) fn origin_with(bench: &str, cores: &str) -> Result<Nginx> {
    let config = read_config(bench, "origin.conf")?;
    let launch = Nginx::launch(&config)
        .file("files/1m", pattern(1_000_000))
        .cores(cores);
    Nginx::try_launch(launch)
}

/// A file in the folder of these benchmarks.
pub(super) fn read_config(bench: &str, name: &str) -> Result<String> {
    let path = root().join("bench").join(bench).join(name);
    fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
}
