//! Telling endpoints who the client is.
//!
//! A field that tells where a request came from is worth as much as the sender of
//! it: those of trusted proxies are extended, everyone else's replaced. A proxy
//! that only appended would let any client choose the address that applications see.

use std::{io::Write, net::IpAddr};

use weir_config::Cidr;

use crate::{
    codec::{FieldId, RequestHead, encode},
    config::{ForwardedFields, HttpConfig},
    exchange::FieldSet,
};

/// What a listener does about forwarding fields.
#[derive(Debug)]
pub(crate) struct Forwarding {
    trusted: Box<[Cidr]>,
    x_forwarded: bool,
    forwarded: bool,
    /// Fields that are not copied from the client, because Weir writes them or forbids them.
    pub(crate) replaced: FieldSet,
}

impl Forwarding {
    pub(super) fn compile(config: &HttpConfig) -> Self {
        let send = config.forwarded.send;
        let mut replaced = FieldSet::of(&[
            FieldId::Host,
            FieldId::Forwarded,
            FieldId::XForwardedFor,
            FieldId::XForwardedHost,
            FieldId::XForwardedPort,
            FieldId::XForwardedProto,
            FieldId::XRealIp,
        ]);
        if config.request_id {
            replaced = replaced.with(FieldId::XRequestId);
        }
        Self {
            trusted: config.forwarded.trusted.clone().into_boxed_slice(),
            x_forwarded: matches!(send, ForwardedFields::XForwarded | ForwardedFields::Both),
            forwarded: matches!(send, ForwardedFields::Forwarded | ForwardedFields::Both),
            replaced,
        }
    }

    /// Whether what this peer says about clients is believed.
    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(peer))
    }

    /// Whom the request is from, as far as that can be known: whoever the trusted proxies say, seen from the nearest of
    /// them on. What stands left of an address that is not trusted is that one's own story.
    pub(crate) fn client(&self, peer: IpAddr, trusted: bool, request: &RequestHead) -> IpAddr {
        if !trusted {
            return peer;
        }
        let fields = request.fields();
        let mut chain = Chain::default();
        for value in fields.all(FieldId::XForwardedFor) {
            for element in value.split(|byte| *byte == b',') {
                chain.add(self, address(element));
            }
        }
        if !chain.seen {
            for value in fields.all(FieldId::Forwarded) {
                for element in unquoted_split(value, b',') {
                    chain.add(self, forwarded_for(element));
                }
            }
        }
        chain.client().unwrap_or(peer)
    }

    /// Writes the fields for `client`'s request.
    pub(crate) fn write(
        &self,
        out: &mut Vec<u8>,
        client: &AddressText,
        trusted: bool,
        request: &RequestHead,
    ) {
        if self.x_forwarded {
            write_x_forwarded(out, client, trusted, request);
        }
        if self.forwarded {
            write_forwarded(out, client, trusted, request);
        }
    }
}

/// A chain of forwarding proxies, read from its far end.
#[derive(Default)]
struct Chain {
    seen: bool,
    /// The last that is not trusted.
    client: Option<IpAddr>,
    /// The first of those that are, if all are.
    farthest: Option<IpAddr>,
}

impl Chain {
    fn add(&mut self, forwarding: &Forwarding, address: Option<IpAddr>) {
        self.seen = true;
        match address {
            Some(address) if !forwarding.trusts(address) => self.client = Some(address),
            Some(address) => {
                self.farthest.get_or_insert(address);
            }
            // Nobody can say who stands behind someone unknown.
            None => (self.client, self.farthest) = (None, None),
        }
    }

    fn client(&self) -> Option<IpAddr> {
        self.client.or(self.farthest)
    }
}

/// An address as proxies write it: `10.0.0.1`, `10.0.0.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let port = port.is_empty() || port.starts_with(':');
        return address.parse().ok().filter(|_| port).map(IpAddr::V6);
    }
    let bare = match text.split_once(':') {
        Some((address, port)) if !port.contains(':') => address,
        _ => text,
    };
    bare.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

/// The `for` of an element of Forwarded (RFC 7239, section 4), if it is an address.
fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    unquoted_split(element, b';').find_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let name = pair[..at].trim_ascii();
        let value = pair[at + 1..].trim_ascii();
        let value = value
            .strip_prefix(b"\"")
            .and_then(|value| value.strip_suffix(b"\""))
            .unwrap_or(value);
        name.eq_ignore_ascii_case(b"for").then(|| address(value))?
    })
}

/// Splits where the separator stands outside of quotes.
fn unquoted_split(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    value.split(move |byte| {
        let ends = *byte == separator && !quoted;
        quoted ^= *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && quoted && !escaped;
        ends
    })
}

fn write_x_forwarded(
    out: &mut Vec<u8>,
    client: &AddressText,
    trusted: bool,
    request: &RequestHead,
) {
    let fields = request.fields();
    out.extend_from_slice(b"X-Forwarded-For: ");
    if trusted {
        for chain in fields.all(FieldId::XForwardedFor) {
            out.extend_from_slice(chain);
            out.extend_from_slice(b", ");
        }
    }
    out.extend_from_slice(client.as_str().as_bytes());
    let told = |id| trusted.then(|| fields.first(id)).flatten();
    match told(FieldId::XForwardedProto) {
        Some(proto) => {
            out.extend_from_slice(b"\r\n");
            encode::field(out, b"X-Forwarded-Proto", proto);
        }
        None => out.extend_from_slice(b"\r\nX-Forwarded-Proto: http\r\n"),
    }
    let host = told(FieldId::XForwardedHost).unwrap_or_else(|| request.authority());
    encode::field(out, b"X-Forwarded-Host", host);
    if let Some(port) = told(FieldId::XForwardedPort) {
        encode::field(out, b"X-Forwarded-Port", port);
    }
}

/// RFC 7239, section 4.
fn write_forwarded(out: &mut Vec<u8>, client: &AddressText, trusted: bool, request: &RequestHead) {
    out.extend_from_slice(b"Forwarded: ");
    if trusted {
        for chain in request.fields().all(FieldId::Forwarded) {
            out.extend_from_slice(chain);
            out.extend_from_slice(b", ");
        }
    }
    let address = client.as_str();
    // Section 6: an IPv6 address is bracketed and therefore quoted.
    if address.contains(':') {
        out.extend_from_slice(b"for=\"[");
        out.extend_from_slice(address.as_bytes());
        out.extend_from_slice(b"]\"");
    } else {
        out.extend_from_slice(b"for=");
        out.extend_from_slice(address.as_bytes());
    }
    // The host syntax that the codec accepts has no quote and no backslash.
    out.extend_from_slice(b";host=\"");
    out.extend_from_slice(request.authority());
    out.extend_from_slice(b"\";proto=http\r\n");
}

/// An address as text, made once per connection. An IPv4 client of an IPv6 socket looks like what it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AddressText {
    text: [u8; 46],
    len: u8,
}

impl AddressText {
    pub(crate) fn new(address: IpAddr) -> Self {
        let mut text = [0; 46];
        let mut room = &mut text[..];
        // The longest IPv6 text has 45 characters.
        let _ = write!(room, "{}", address.to_canonical());
        let len = (46 - room.len()) as u8;
        Self { text, len }
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.len)]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{HeadLimits, Parsed};

    const PEER: &str = "10.9.9.9";

    fn client(fields: &str) -> String {
        let mut request = RequestHead::new();
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let limits = HeadLimits {
            max_head: 4096,
            max_fields: 100,
            max_target: 1024,
            max_field: 1024,
        };
        let parsed = request.parse(head.as_bytes(), &mut 0, &limits);
        assert!(matches!(parsed, Ok(Parsed::Complete(_))), "{fields}");
        let forwarding = Forwarding {
            trusted: ["10.0.0.0/8", "fd00::/8"]
                .map(|cidr| weir_config::Text::from_text(cidr).expect("a network"))
                .into(),
            x_forwarded: true,
            forwarded: true,
            replaced: FieldSet::default(),
        };
        let peer: IpAddr = PEER.parse().expect("an address");
        let stranger = forwarding.client([203, 0, 113, 1].into(), false, &request);
        assert_eq!(stranger.to_string(), "203.0.113.1", "{fields}");
        forwarding.client(peer, true, &request).to_string()
    }

    #[test]
    fn the_client_is_the_nearest_that_is_not_trusted() {
        for (chain, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1, 10.0.0.1", "192.0.2.1"),
            ("198.51.100.7, 192.0.2.1, 10.0.0.1, 10.0.0.2", "192.0.2.1"),
            ("10.0.0.1, 10.0.0.2", "10.0.0.1"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8::1, fd00::1", "2001:db8::1"),
            ("[2001:db8::1]:80,10.0.0.1", "2001:db8::1"),
            ("unknown", PEER),
            ("", PEER),
            ("192.0.2.1, unknown, 10.0.0.1", "10.0.0.1"),
            ("192.0.2.1, <script>, 10.0.0.1", "10.0.0.1"),
            ("192.0.2.1,", PEER),
        ] {
            let seen = client(&format!("X-Forwarded-For: {chain}\r\n"));
            assert_eq!(seen, expected, "{chain:?}");
        }
        let lines = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2, 10.0.0.1\r\n";
        assert_eq!(client(lines), "192.0.2.2");
        assert_eq!(client(""), PEER);
    }

    #[test]
    fn forwarded_is_read_where_there_is_nothing_else() {
        for (chain, expected) in [
            ("for=192.0.2.1", "192.0.2.1"),
            ("For=192.0.2.1;proto=http, for=10.0.0.1", "192.0.2.1"),
            (
                "for=\"[2001:db8::1]:4711\";host=\"a,b;for=1.1.1.1\"",
                "2001:db8::1",
            ),
            (
                "proto=http;host=\"x\\\",for=1.1.1.1\";for=192.0.2.3",
                "192.0.2.3",
            ),
            ("for=_hidden, for=10.0.0.1", "10.0.0.1"),
            ("for=unknown", PEER),
            ("by=192.0.2.1", PEER),
        ] {
            let seen = client(&format!("Forwarded: {chain}\r\n"));
            assert_eq!(seen, expected, "{chain:?}");
        }
        let both = "Forwarded: for=192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\n";
        assert_eq!(client(both), "192.0.2.2");
    }

    #[test]
    fn an_address_is_written_as_people_know_it() {
        for (address, text) in [
            ("10.0.0.1", "10.0.0.1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("2001:db8::1", "2001:db8::1"),
            (
                "1111:2222:3333:4444:5555:6666:7777:8888",
                "1111:2222:3333:4444:5555:6666:7777:8888",
            ),
        ] {
            let address: IpAddr = address.parse().expect("an address");
            assert_eq!(AddressText::new(address).as_str(), text);
        }
    }
}
