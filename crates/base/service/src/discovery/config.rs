//! What the user says about sources of endpoints.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_config::{
    Cx, Duration, FilePath, Host, HostPort, Node, OneOrMany, Secret, Spanned, object,
};

use super::file;
use super::{ConsulSpec, EtcdSpec, FileSpec, SrvSpec};
use crate::spec::Target;

object! {
    /// A DNS name with SRV records, each of which is an endpoint: host, port, weight and priority. In short form, the name.
    pub struct SrvConfig {
        /// The name, such as `_http._tcp.shop.internal`.
        pub name: Spanned<String>,
        /// The name servers to ask, with their ports, instead of the system's.
        pub servers: Option<OneOrMany<Spanned<HostPort>>>,
    }
    short name;
    check SrvConfig::check;
}

object! {
    /// A service in Consul, whose instances are endpoints. In short form, its name.
    pub struct ConsulConfig {
        /// Its name in Consul.
        pub service: Spanned<String>,
        /// The agent, or several to ask in turn; plain HTTP.
        pub address: OneOrMany<HostPort> = OneOrMany::one(local(8500)),
        /// The datacenter, if not that of the agent.
        pub datacenter: Option<String>,
        /// Tags that an instance must have, all of them.
        pub tag: Option<OneOrMany<String>>,
        /// What may read the service and its nodes.
        pub token: Option<Spanned<Secret>>,
        /// Only instances whose checks in Consul all pass. With `false` all but those in maintenance.
        pub passing: bool = true,
        /// How long instances stay in use that vanish all at once, or that Consul forgot.
        pub hold: Duration = Duration::from_secs(60),
    }
    short service;
    check ConsulConfig::check;
}

object! {
    /// Keys in etcd, each of which is an endpoint: its value is `10.0.0.1:80` or
    /// `{"address": "10.0.0.1:80", "weight": 2, "zone": "eu-1", "priority": 1}`. In short form, what the keys begin with.
    pub struct EtcdConfig {
        /// What the keys begin with; most end it with `/`.
        pub prefix: Spanned<String>,
        /// A member of the cluster, or several to ask in turn; plain HTTP.
        pub address: OneOrMany<HostPort> = OneOrMany::one(local(2379)),
        /// A user who may read the keys.
        pub user: Option<Spanned<String>>,
        /// The user's password.
        pub password: Option<Secret>,
        /// How long endpoints stay in use that vanish all at once, or that etcd forgot.
        pub hold: Duration = Duration::from_secs(60),
    }
    short prefix;
    check EtcdConfig::check;
}

fn local(port: u16) -> HostPort {
    SocketAddr::from(([127, 0, 0, 1], port)).into()
}

impl SrvConfig {
    /// What the crate makes of it.
    pub(crate) fn target(&self) -> Target {
        let servers = self.servers.iter().flat_map(|servers| servers.iter());
        let name = self.name.strip_suffix('.').unwrap_or(&self.name);
        Target::Srv(SrvSpec {
            name: name.to_ascii_lowercase(),
            servers: servers.filter_map(|server| server.socket_addr()).collect(),
        })
    }

    fn check(&self, _: &Node, cx: &mut Cx) {
        if !matches!(Host::parse(&self.name), Some(Host::Name(_))) {
            let problem = cx.error(
                self.name.span,
                format!("`{}` is not a DNS name", *self.name),
            );
            problem.expected("one such as `_http._tcp.shop.internal`");
            if self.name.contains(':') {
                problem.help("the ports come with the SRV records");
            }
        }
        for server in self.servers.iter().flat_map(|servers| servers.iter()) {
            if server.socket_addr().is_none() {
                cx.error(server.span, format!("`{server}` is not an address"))
                    .help("to find a name server by its name would need another one");
            }
        }
    }
}

/// What the crate makes of a file.
pub(crate) fn file_target(path: &FilePath) -> Target {
    Target::File(FileSpec {
        path: path.path().to_owned(),
        written: path.written().to_owned(),
    })
}

/// Says what is wrong with a file already; it may be put right while Weir runs, so it is no error.
pub(crate) fn check_file(path: &Spanned<FilePath>, cx: &mut Cx) {
    // A folder of config files is read as a whole.
    let same =
        |other: &PathBuf| other == path.path() || same_file(other, path.path()).unwrap_or(false);
    if path.path().is_file() && cx.sources().paths().iter().any(same) {
        cx.error(
            path.span,
            "this file is read as a part of the config, so it cannot list endpoints",
        )
        .help("put it into a folder of its own, or give it another ending, such as `.list`");
        return;
    }
    if let Err(error) = file::read(path.path(), path.written()) {
        cx.warning(
            path.span,
            format!("no endpoint comes from this file yet: {error}"),
        );
    }
}

fn same_file(a: &Path, b: &Path) -> io::Result<bool> {
    Ok(a.canonicalize()? == b.canonicalize()?)
}

impl ConsulConfig {
    pub(crate) fn target(&self) -> Target {
        Target::Consul(Arc::new(ConsulSpec {
            service: self.service.value.clone(),
            addresses: self.address.to_vec(),
            datacenter: self.datacenter.clone(),
            tags: self
                .tag
                .iter()
                .flat_map(|tags| tags.iter())
                .cloned()
                .collect(),
            token: self.token.as_ref().map(|token| token.value.clone()),
            passing: self.passing,
            hold: self.hold.get(),
        }))
    }

    fn check(&self, _: &Node, cx: &mut Cx) {
        if self.service.is_empty() {
            cx.error(self.service.span, "this is not the name of a service");
        }
        if let Some(token) = &self.token
            && !token.expose().bytes().all(|byte| byte.is_ascii_graphic())
        {
            cx.error(
                token.span,
                "this token holds characters that no token of Consul has",
            );
        }
    }
}

impl EtcdConfig {
    pub(crate) fn target(&self) -> Target {
        let user = self.user.as_ref().map(|user| user.value.clone());
        Target::Etcd(Arc::new(EtcdSpec {
            prefix: self.prefix.value.clone(),
            addresses: self.address.to_vec(),
            login: user.zip(self.password.clone()),
            hold: self.hold.get(),
        }))
    }

    fn check(&self, node: &Node, cx: &mut Cx) {
        let prefix = &self.prefix;
        if prefix.is_empty() {
            cx.error(
                prefix.span,
                "an empty prefix would make an endpoint of every key",
            )
            .expected("one such as `/services/web/`");
        } else if !prefix.ends_with('/') {
            cx.warning(
                prefix.span,
                format!("keys such as `{}2/a` begin with this, too", **prefix),
            )
            .help(format!("`{}/`?", **prefix));
        }
        if self.user.is_some() != self.password.is_some() {
            let missing = if self.user.is_some() {
                "password"
            } else {
                "user"
            };
            cx.error(node.span, format!("the key `{missing}` is missing"))
                .key(missing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ServiceConfig;

    #[test]
    fn a_file_of_the_config_lists_no_endpoints() {
        let folder = std::env::temp_dir().join(format!("weir-listed-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let write = |name: &str, text: &str| {
            std::fs::write(folder.join(name), text).expect("written");
        };
        let told = |listed: &str, text: &str| {
            write("app.yaml", &format!("endpoints: [{{ file: {listed} }}]"));
            write(listed, text);
            let mut cx = Cx::load(&folder, &|_| None);
            let config = cx.decode::<ServiceConfig>();
            let told = match cx.finish(config) {
                Ok(loaded) => loaded.warnings.to_string(),
                Err(problems) => problems.to_string(),
            };
            std::fs::remove_file(folder.join(listed)).expect("removed");
            told
        };
        for text in ["- 127.0.0.1:1", "endpoints: [127.0.0.1:1]"] {
            let told = told("listed.yaml", text);
            assert!(told.contains("read as a part of the config"), "{told}");
            assert!(told.contains("another ending, such as `.list`"), "{told}");
        }
        assert_eq!(told("app.list", "- 127.0.0.1:1"), "");
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
