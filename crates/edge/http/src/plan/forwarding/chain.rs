//! The way of a request as trusted proxies tell it.

use std::net::{IpAddr, Ipv6Addr};

use super::{Forwarding, ReadFields};
use crate::codec::{FieldId, Fields};

/// Who handed a request on, from its far end.
#[derive(Default)]
pub(super) struct Chain<'a> {
    /// The last that is not trusted.
    client: Option<Hop<'a>>,
    /// The first of those that are, if all are.
    farthest: Option<Hop<'a>>,
}

/// One who handed a request on.
#[derive(Clone, Copy)]
pub(super) struct Hop<'a> {
    /// `None` if it is not said as an address.
    pub(super) address: Option<IpAddr>,
    /// What else its element says, in [`ReadFields::Forwarded`].
    element: &'a [u8],
}

impl<'a> Hop<'a> {
    /// How it sent the request on.
    pub(super) fn proto(self) -> Option<&'a [u8]> {
        parameter(self.element, b"proto")
    }

    /// Which host it asked for.
    pub(super) fn host(self) -> Option<&'a [u8]> {
        parameter(self.element, b"host")
    }
}

impl<'a> Chain<'a> {
    /// The chain in the fields of a proxy that is trusted.
    pub(super) fn read(forwarding: &Forwarding, fields: &'a Fields) -> Self {
        let mut chain = Self::default();
        for hop in hops(forwarding.read, fields) {
            match hop.address {
                Some(address) if !forwarding.trusts(address) => chain.client = Some(hop),
                Some(_) => {
                    chain.farthest.get_or_insert(hop);
                }
                // Nobody can say who stands behind someone unknown.
                None => (chain.client, chain.farthest) = (None, None),
            }
        }
        chain
    }

    /// Whom the request is from: whoever the trusted proxies say, seen from the nearest of them on. What stands left of one that is not
    /// trusted is that one's own story.
    pub(super) fn client(&self) -> Option<Hop<'a>> {
        self.client.or(self.farthest)
    }
}

/// Who handed a request on, in order.
pub(super) fn hops(read: ReadFields, fields: &Fields) -> impl Iterator<Item = Hop<'_>> {
    let (id, quotes) = match read {
        ReadFields::XForwarded => (FieldId::XForwardedFor, false),
        ReadFields::Forwarded => (FieldId::Forwarded, true),
    };
    fields.all(id).flat_map(move |line| {
        // A proxy that adds itself to a line of its client closes what it opens. So what is open at the end was the client's, and must not
        // hide who came after.
        let quotes = quotes && is_closed(line);
        unquoted_split(line, b',', quotes).map(move |element| match read {
            ReadFields::XForwarded => Hop {
                address: address(element),
                element: b"",
            },
            ReadFields::Forwarded => Hop {
                address: parameter(element, b"for").and_then(address),
                element,
            },
        })
    })
}

/// An address as proxies write it: `10.0.0.1`, `10.0.0.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let port = port.is_empty() || port.starts_with(':');
        let address: Ipv6Addr = address.parse().ok().filter(|_| port)?;
        return Some(IpAddr::V6(address).to_canonical());
    }
    let bare = match text.split_once(':') {
        Some((address, port)) if !port.contains(':') => address,
        _ => text,
    };
    bare.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

/// A parameter of an element of Forwarded (RFC 7239, section 4), without its quotes.
fn parameter<'a>(element: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    unquoted_split(element, b';', true).find_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let name = pair[..at].trim_ascii();
        let value = pair[at + 1..].trim_ascii();
        let value = value
            .strip_prefix(b"\"")
            .and_then(|value| value.strip_suffix(b"\""))
            .unwrap_or(value);
        // What is escaped is no address, host or protocol.
        (name.eq_ignore_ascii_case(wanted) && !value.contains(&b'\\')).then_some(value)
    })
}

/// Whether every quote of a line is closed.
pub(super) fn is_closed(line: &[u8]) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    for byte in line {
        quoted ^= *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && quoted && !escaped;
    }
    !quoted
}

/// Splits where the separator stands outside of quotes, if there are quotes.
fn unquoted_split(value: &[u8], separator: u8, quotes: bool) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    value.split(move |byte| {
        let ends = *byte == separator && !quoted;
        quoted ^= quotes && *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && quoted && !escaped;
        ends
    })
}
