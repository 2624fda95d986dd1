//! Whom to call.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::decode::Text;

/// An IP address or a DNS name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A name, in lower case, without a final dot.
    Name(Box<str>),
}

impl Host {
    /// Reads an address (IPv6 without brackets) or a name.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(ip) = text.parse() {
            return Some(Self::Ip(ip));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let labels_fit = name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        });
        // A last label of digits would be a broken IPv4 address (WHATWG URL, "ends in a number").
        let numeric = name
            .rsplit('.')
            .next()
            .is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()));
        (labels_fit && !numeric && name.len() <= 253)
            .then(|| Self::Name(name.to_ascii_lowercase().into()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A host and a port: `10.0.0.1:8000`, `[::1]:8000`, `users.internal:8000`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// The host.
    pub host: Host,
    /// The port, never 0.
    pub port: u16,
}

impl HostPort {
    /// The address, if the host is one.
    pub const fn socket_addr(&self) -> Option<SocketAddr> {
        match self.host {
            Host::Ip(ip) => Some(SocketAddr::new(ip, self.port)),
            Host::Name(_) => None,
        }
    }
}

impl From<SocketAddr> for HostPort {
    fn from(address: SocketAddr) -> Self {
        Self {
            host: Host::Ip(address.ip()),
            port: address.port(),
        }
    }
}

impl Text for HostPort {
    const EXPECTED: &'static str =
        "a host and port, such as `10.0.0.1:8000` or `users.internal:8000`";

    fn from_text(text: &str) -> Result<Self, String> {
        if text.starts_with("https://") {
            return Err("TLS to endpoints is not built yet: only a host and a port, which is spoken to in plain HTTP".to_owned());
        }
        if text.contains("://") {
            return Err("leave out the scheme: only a host and a port".to_owned());
        }
        if text.contains('/') {
            return Err("leave out the path: only a host and a port".to_owned());
        }
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(format!(
                "for a port of this machine, write `127.0.0.1:{text}`"
            ));
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err(format!("the port is missing: `{text}:80`?"));
        };
        let digits = port.bytes().all(|b| b.is_ascii_digit());
        let Some(port) = port.parse().ok().filter(|&port: &u16| port > 0 && digits) else {
            return Err("a port is a number from 1 to 65535".to_owned());
        };
        let bracketed = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = match bracketed {
            Some(host) => host.parse().ok().map(|ip| Host::Ip(IpAddr::V6(ip))),
            None if host.contains(':') => {
                return Err(format!(
                    "an IPv6 address stands in brackets: `[{host}]:{port}`"
                ));
            }
            None => Host::parse(host),
        };
        host.map(|host| Self { host, port }).ok_or_else(String::new)
    }

    fn to_text(&self) -> String {
        self.to_string()
    }

    fn pattern() -> Option<&'static str> {
        Some("^([A-Za-z0-9._-]+|\\[[0-9a-fA-F:.]+\\]):[0-9]{1,5}$")
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.port),
            host => write!(f, "{host}:{}", self.port),
        }
    }
}

crate::text!(HostPort);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_read_and_written() {
        for (text, written) in [
            ("10.0.0.1:8000", "10.0.0.1:8000"),
            ("[::1]:8000", "[::1]:8000"),
            ("Users.Internal:8000", "users.internal:8000"),
            ("users.internal.:8000", "users.internal:8000"),
            ("my_app:1", "my_app:1"),
        ] {
            assert_eq!(HostPort::from_text(text).expect(text).to_text(), written);
        }
        for text in [
            "",
            ":80",
            "host",
            "host:",
            "host:0",
            "host:65536",
            "::1:80",
            "http://a:80",
            "a:80/x",
            "a b:80",
            "-a:80",
            "a..b:80",
            "1.2.3:80",
            "999.1.1.1:80",
            "[::1]",
            "[1.2.3.4]:80",
            "host:+80",
        ] {
            assert!(HostPort::from_text(text).is_err(), "{text}");
        }
    }
}
