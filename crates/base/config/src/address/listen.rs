//! Where a listener listens.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::decode::Text;

/// An address to listen on: `:8080` for all of this machine, IPv4 and IPv6; `127.0.0.1:80`; `[::1]:80`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListenAddress {
    address: SocketAddr,
    dual: bool,
}

impl ListenAddress {
    /// This address only.
    pub const fn new(address: SocketAddr) -> Self {
        Self {
            address,
            dual: false,
        }
    }

    /// All addresses of this machine.
    pub const fn any(port: u16) -> Self {
        Self {
            address: SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port),
            dual: true,
        }
    }

    /// What to bind: `[::]` if [`is_dual_stack`](Self::is_dual_stack).
    pub const fn socket_addr(self) -> SocketAddr {
        self.address
    }

    /// The port; 0 lets the system choose.
    pub const fn port(self) -> u16 {
        self.address.port()
    }

    /// Whether an IPv6 socket also takes IPv4 (`IPV6_V6ONLY` off). Where the machine has no IPv6, `0.0.0.0` will do.
    pub const fn is_dual_stack(self) -> bool {
        self.dual
    }

    /// Whether only this machine can reach it.
    pub const fn is_loopback(self) -> bool {
        self.address.ip().to_canonical().is_loopback()
    }

    /// Whether both cannot be bound at once by one program.
    pub fn overlaps(self, other: Self) -> bool {
        if self.port() != other.port() || self.port() == 0 {
            return false;
        }
        let (a, b) = (self.address.ip(), other.address.ip());
        a == b
            || self.dual
            || other.dual
            || (a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified()))
    }
}

impl Text for ListenAddress {
    const EXPECTED: &'static str =
        "an address to listen on, such as `:8080`, `127.0.0.1:8080` or `[::1]:8080`";

    fn from_text(text: &str) -> Result<Self, String> {
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(format!("a port alone is written with a colon: \":{text}\""));
        }
        if let Some(port) = text.strip_prefix(':') {
            let digits = port.bytes().all(|b| b.is_ascii_digit());
            return match port.parse() {
                Ok(port) if digits => Ok(Self::any(port)),
                _ => Err("a port is a number from 0 to 65535".to_owned()),
            };
        }
        let named = text.starts_with("localhost:");
        text.parse().map(Self::new).map_err(|_| {
            if named {
                "names are not taken here; write `127.0.0.1:...` or `[::1]:...`".to_owned()
            } else if text.contains('*') {
                "for all addresses of this machine, write only `:port`".to_owned()
            } else {
                String::new()
            }
        })
    }

    fn to_text(&self) -> String {
        self.to_string()
    }

    fn pattern() -> Option<&'static str> {
        Some("^([0-9.]+|\\[[0-9a-fA-F:.%]+\\])?:[0-9]{1,5}$")
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.dual {
            write!(f, ":{}", self.address.port())
        } else {
            self.address.fmt(f)
        }
    }
}

impl fmt::Debug for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

crate::text!(ListenAddress);

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(text: &str) -> ListenAddress {
        ListenAddress::from_text(text).expect(text)
    }

    #[test]
    fn addresses_are_read_and_written() {
        for text in [
            ":8080",
            ":0",
            "127.0.0.1:80",
            "[::1]:80",
            "0.0.0.0:80",
            "[::]:80",
        ] {
            assert_eq!(listen(text).to_text(), text);
        }
        assert!(listen(":80").is_dual_stack());
        assert!(!listen("[::]:80").is_dual_stack());
        assert!(listen("127.3.0.1:80").is_loopback());
        assert!(listen("[::1]:80").is_loopback());
        assert!(listen("[::ffff:127.0.0.1]:80").is_loopback());
        assert!(!listen(":80").is_loopback());
        for text in [
            "",
            ":",
            ":65536",
            ":+80",
            "8080",
            "localhost:80",
            "*:80",
            "1.2.3:80",
            "::1:80",
            "127.0.0.1",
        ] {
            assert!(ListenAddress::from_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn overlapping_addresses_are_known() {
        for (a, b, overlap) in [
            (":80", ":80", true),
            (":80", "127.0.0.1:80", true),
            ("[::1]:80", ":80", true),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("[::]:80", "127.0.0.1:80", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            (":80", ":81", false),
            (":0", ":0", false),
        ] {
            assert_eq!(listen(a).overlaps(listen(b)), overlap, "{a} {b}");
        }
    }
}
