//! The sources as the rest of the crate knows them: plain data, compared on reload.

use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use weir_config::{HostPort, Secret};

/// A name with SRV records.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SrvSpec {
    /// The name: `_http._tcp.shop.internal`.
    pub name: String,
    /// The name servers to ask; the system's if there are none.
    pub servers: Vec<SocketAddr>,
}

/// A file with a list of endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileSpec {
    /// The path from where this process runs.
    pub path: PathBuf,
    /// The path as the user wrote it.
    pub written: String,
}

/// A service in Consul.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsulSpec {
    /// Its name there.
    pub service: String,
    /// Agents or servers, asked in turn.
    pub addresses: Vec<HostPort>,
    /// The datacenter; by default that of the agent.
    pub datacenter: Option<String>,
    /// Tags that an instance must have, all of them.
    pub tags: Vec<String>,
    /// What may read the service.
    pub token: Option<Secret>,
    /// Only instances whose checks all pass?
    pub passing: bool,
    /// How long instances stay that vanished all at once.
    pub hold: Duration,
}

/// Keys in etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdSpec {
    /// What the keys begin with.
    pub prefix: String,
    /// Members of the cluster, asked in turn.
    pub addresses: Vec<HostPort>,
    /// A user of etcd, with the password.
    pub login: Option<(String, Secret)>,
    /// How long endpoints stay that vanished all at once.
    pub hold: Duration,
}

/// Without the secret, which equal specs share anyway.
impl Hash for ConsulSpec {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.service, &self.addresses, &self.datacenter, &self.tags).hash(state);
    }
}

impl Hash for EtcdSpec {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.prefix, &self.addresses).hash(state);
    }
}
