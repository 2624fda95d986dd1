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
