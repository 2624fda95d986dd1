//! What a service is made of: the input to [`Services::prepare`](crate::Services::prepare).
//!
//! Plain data, compared with `==` on reload to find what did not change. What concerns only the workers (protocol,
//! keep-alive, TLS) is not in here: it belongs to the plan that uses the service.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use crate::balance::HashMethod;
use crate::discovery::{ConsulSpec, EtcdSpec, FileSpec, SrvSpec};
use crate::health::HealthSpec;
use crate::policy::Policy;

/// A named group of endpoints that serve the same thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSpec {
    /// Its key in the configuration.
    pub name: String,
    /// Where its endpoints come from.
    pub endpoints: Vec<EndpointSpec>,
    /// How one is chosen.
    pub balance: Balance,
    /// The active check, if any.
    pub health: Option<HealthSpec>,
    /// How it survives.
    pub policy: Policy,
}

/// One entry of a service's endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointSpec {
    /// An address, or a name that stands for some.
    pub target: Target,
    /// Its share relative to the others, 1 to 65,535. Every address that a name stands for has this weight.
    pub weight: u32,
    /// 0 comes first; others take over what those before cannot carry.
    pub priority: u8,
    /// Where it runs.
    pub zone: Option<Arc<str>>,
}

impl From<Target> for EndpointSpec {
    fn from(target: Target) -> Self {
        Self {
            target,
            weight: 1,
            priority: 0,
            zone: None,
        }
    }
}

/// How a service chooses the endpoint of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Balance {
    /// In turn, by weight, evenly spread (nginx's smooth weighted round robin).
    RoundRobin,
    /// By weighted chance.
    Random,
    /// The better of two weighted chances: fewer requests in flight for its weight, then fewer recent picks.
    #[default]
    P2c,
    /// The fewest requests in flight for its weight.
    LeastConnections,
    /// The better of two weighted chances by how long answers take and how many are awaited (Finagle's peak EWMA).
    LeastResponseTime,
    /// The same endpoint for the same client address.
    IpHash,
    /// The same endpoint for the same key.
    Hash(HashBy),
}

/// A consistent hash: what is hashed, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashBy {
    /// What of the request is the key.
    pub on: HashOn,
    /// How keys are spread over endpoints.
    pub method: HashMethod,
    /// How far above its share of the requests in flight an endpoint may be, in percent (125 for a quarter above),
    /// before its keys go to the next one.
    pub bounded: Option<u32>,
}

/// What of a request is the key of a consistent hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashOn {
    /// A header field, by its name in lower case.
    Header(Arc<str>),
    /// A cookie.
    Cookie(Arc<str>),
    /// The path.
    Path,
    /// The address of the client; IPv6 by its first 64 bits.
    Ip,
}

impl Balance {
    /// Its name in the configuration.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::Random => "random",
            Self::P2c => "p2c",
            Self::LeastConnections => "least_connections",
            Self::LeastResponseTime => "least_response_time",
            Self::IpHash => "ip_hash",
            Self::Hash(_) => "hash",
        }
    }

    /// What of a request is its key, if the same key means the same endpoint.
    pub fn hash_on(&self) -> Option<&HashOn> {
        match self {
            Self::IpHash => Some(&HashOn::Ip),
            Self::Hash(by) => Some(&by.on),
            _ => None,
        }
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where an endpoint is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// One address.
    Address(SocketAddr),
    /// A name, resolved now and again; each of its addresses is an endpoint.
    Name {
        /// A host name, without the port.
        host: String,
        /// The port on each address.
        port: u16,
    },
    /// A name with SRV records, each of which names endpoints.
    Srv(SrvSpec),
    /// A file that lists endpoints.
    File(FileSpec),
    /// A service in Consul.
    Consul(Arc<ConsulSpec>),
    /// Keys in etcd.
    Etcd(Arc<EtcdSpec>),
}

/// Why a text is no [`Target`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// No `:port` at the end, or one that is no number in 1..=65535.
    #[error("expected `host:port` with a port from 1 to 65535, found `{0}`")]
    Port(String),
    /// What stands before the port is neither an IP address nor a host name.
    #[error("`{0}` is neither an IP address nor a host name")]
    Host(String),
}

impl Target {
    /// Do both name the same endpoints, even if they ask for them elsewhere, or in another way? Then what one knows is
    /// where the other begins.
    pub(crate) fn is_same_source(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Srv(a), Self::Srv(b)) => a.name == b.name,
            (Self::Consul(a), Self::Consul(b)) => {
                a.service == b.service && a.datacenter == b.datacenter && a.tags == b.tags
            }
            (Self::Etcd(a), Self::Etcd(b)) => a.prefix == b.prefix,
            (a, b) => a == b,
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    /// `10.0.0.1:80`, `[::1]:80` or `host.name:80`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let port_error = || TargetError::Port(text.to_owned());
        if let Ok(address) = text.parse::<SocketAddr>() {
            return if address.port() == 0 {
                Err(port_error())
            } else {
                Ok(Self::Address(address))
            };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(port_error)?;
        // `u16::from_str` takes a sign.
        if !port.bytes().all(|b| b.is_ascii_digit()) {
            return Err(port_error());
        }
        let port = port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(port_error)?;
        if !is_host_name(host) {
            return Err(TargetError::Host(host.to_owned()));
        }
        Ok(Self::Name {
            host: host.to_ascii_lowercase(),
            port,
        })
    }
}

/// Labels of letters, digits, `-` and `_`; the last one not all digits, so that a mistyped IPv4 address is no name.
fn is_host_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let last_is_number = host
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    host.len() <= 253 && host.split('.').all(label) && !last_is_number
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
            Self::Srv(srv) => write!(f, "srv {}", srv.name),
            Self::File(file) => write!(f, "file {}", file.written),
            Self::Consul(consul) => write!(f, "consul {}", consul.service),
            Self::Etcd(etcd) => write!(f, "etcd {}", etcd.prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_by_table() {
        let name = |host: &str, port| Target::Name {
            host: host.into(),
            port,
        };
        for (text, expected) in [
            ("127.0.0.1:80", Target::Address(([127, 0, 0, 1], 80).into())),
            ("[::1]:8080", Target::Address("[::1]:8080".parse().unwrap())),
            ("localhost:3000", name("localhost", 3000)),
            ("Users.Internal:80", name("users.internal", 80)),
            ("my_app-1.svc.:80", name("my_app-1.svc.", 80)),
        ] {
            assert_eq!(text.parse::<Target>().unwrap(), expected, "{text}");
            assert_eq!(expected.to_string().parse::<Target>().unwrap(), expected);
        }
        for text in [
            "",
            "localhost",
            ":80",
            "host:",
            "host:0",
            "127.0.0.1:0",
            "host:65536",
            "host:+80",
            "host:80x",
            "a b:80",
            "::1:80",
            "300.0.0.1:80",
            "10.0.0.1.2:80",
            "-a:80",
            "a..b:80",
            "http://a:80",
            "a/b:80",
            "ä:80",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
        assert!(
            format!("{}:80", ["a"; 127].join("."))
                .parse::<Target>()
                .is_ok()
        );
        assert!(
            format!("{}:80", ["a"; 128].join("."))
                .parse::<Target>()
                .is_err()
        );
    }
}
