//! Who takes part, and the origin behind them all.

use std::fs;
use std::path::Path;

use weir_testkit::{Haproxy, Launch, Nginx, Server, Weir, pattern};

use super::{LOAD_CORE, Lab, PROXY_CORE};
use crate::Result;
use crate::command::root;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Weir,
    Nginx,
    Haproxy,
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
        let config = read_config(subject.config)?;
        let launch = match subject.kind {
            Kind::Weir => self.launch_weir(&config)?,
            Kind::Nginx => Nginx::launch(&config),
            Kind::Haproxy => Haproxy::launch(&config),
        };
        Ok(launch.value("origin", origin.addr("web")).cores(PROXY_CORE))
    }

    /// Starts a subject on the proxy's core.
    pub(super) fn start(&self, subject: Subject, origin: &Nginx) -> Result<Running> {
        let launch = self.launch(subject, origin)?;
        Ok(match subject.kind {
            Kind::Weir => Running::Weir(Weir::try_launch(launch)?),
            Kind::Nginx => Running::Nginx(Nginx::try_launch(launch)?),
            Kind::Haproxy => Running::Haproxy(Haproxy::try_launch(launch)?),
        })
    }

    /// Prepares a Weir with a config of the scenario's own, on any core.
    pub(super) fn launch_weir(&self, config: &str) -> Result<Launch> {
        let binary = self
            .weir
            .as_deref()
            .and_then(Path::to_str)
            .ok_or("Weir does not take part in this run")?;
        Ok(Weir::launch(binary, config))
    }
}

/// Starts the origin on the load's core.
pub(super) fn origin() -> Result<Nginx> {
    origin_on(LOAD_CORE)
}

/// Starts the origin on these cores.
pub(super) fn origin_on(cores: &str) -> Result<Nginx> {
    let config = read_config("origin.conf")?;
    let launch = Nginx::launch(&config)
        .file("files/1m", pattern(1_000_000))
        .cores(cores);
    Nginx::try_launch(launch)
}

pub(super) fn read_config(name: &str) -> Result<String> {
    let path = root().join("bench/http").join(name);
    fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
}
