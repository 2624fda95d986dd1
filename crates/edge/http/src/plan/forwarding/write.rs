//! The fields that tell endpoints where a request came from.

use super::{
    AddressText, Forwarding, ReadFields,
    chain::{hops, is_closed},
};
use crate::codec::{FieldId, Fields, RequestHead, encode};

/// Of a chain that is written in another kind of fields than it came in, as many hops as this, nearest last.
const MOST_HOPS: usize = 32;

/// Writes `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`.
pub(super) fn x_forwarded(
    out: &mut Vec<u8>,
    forwarding: &Forwarding,
    client: &AddressText,
    trusted: bool,
    request: &RequestHead,
) {
    let fields = request.fields();
    let read = forwarding.read;
    out.extend_from_slice(b"X-Forwarded-For: ");
    match read {
        _ if !trusted => {}
        ReadFields::XForwarded => chains(out, fields, FieldId::XForwardedFor),
        ReadFields::Forwarded => each_hop(fields, read, |address, _| {
            match address {
                Some(address) => out.extend_from_slice(address.as_str().as_bytes()),
                None => out.extend_from_slice(b"unknown"),
            }
            out.extend_from_slice(b", ");
        }),
    }
    out.extend_from_slice(client.as_str().as_bytes());
    out.extend_from_slice(b"\r\n");
    let told = forwarding.told(trusted, request);
    encode::field(out, b"X-Forwarded-Proto", told.proto.unwrap_or(b"http"));
    let host = told.host.unwrap_or_else(|| request.authority());
    encode::field(out, b"X-Forwarded-Host", host);
    if let Some(port) = told.port {
        encode::field(out, b"X-Forwarded-Port", port);
    }
}

/// Writes `Forwarded` (RFC 7239, section 4).
pub(super) fn forwarded(
    out: &mut Vec<u8>,
    forwarding: &Forwarding,
    client: &AddressText,
    trusted: bool,
    request: &RequestHead,
) {
    let fields = request.fields();
    let read = forwarding.read;
    out.extend_from_slice(b"Forwarded: ");
    match read {
        _ if !trusted => {}
        ReadFields::Forwarded if fields.all(FieldId::Forwarded).all(is_closed) => {
            chains(out, fields, FieldId::Forwarded);
        }
        // What stands behind an open quote would be part of it.
        ReadFields::Forwarded => each_hop(fields, read, |address, _| {
            element(out, address.as_ref());
            out.extend_from_slice(b", ");
        }),
        ReadFields::XForwarded => {
            let told = forwarding.told(trusted, request);
            each_hop(fields, read, |address, first| {
                element(out, address.as_ref());
                // What the fields say besides is about the way from the client.
                if first {
                    if let Some(host) = told.host.filter(|host| is_quotable(host)) {
                        out.extend_from_slice(b";host=\"");
                        out.extend_from_slice(host);
                        out.push(b'"');
                    }
                    if let Some(proto) = told.proto.filter(|proto| is_token(proto)) {
                        out.extend_from_slice(b";proto=");
                        out.extend_from_slice(proto);
                    }
                }
                out.extend_from_slice(b", ");
            });
        }
    }
    element(out, Some(client));
    // The host syntax that the codec accepts has no quote and no backslash.
    out.extend_from_slice(b";host=\"");
    out.extend_from_slice(request.authority());
    out.extend_from_slice(b"\";proto=http\r\n");
}

/// Writes all values of a field as the beginning of one.
fn chains(out: &mut Vec<u8>, fields: &Fields, id: FieldId) {
    for chain in fields.all(id) {
        out.extend_from_slice(chain);
        out.extend_from_slice(b", ");
    }
}

/// The nearest hops in order; `true` goes with the first of them.
fn each_hop(fields: &Fields, read: ReadFields, mut each: impl FnMut(Option<AddressText>, bool)) {
    let far = hops(read, fields).count().saturating_sub(MOST_HOPS);
    for (index, hop) in hops(read, fields).skip(far).enumerate() {
        each(hop.address.map(AddressText::new), index == 0);
    }
}

fn element(out: &mut Vec<u8>, address: Option<&AddressText>) {
    let Some(address) = address else {
        out.extend_from_slice(b"for=unknown");
        return;
    };
    let address = address.as_str();
    // Section 6: an IPv6 address is bracketed and therefore quoted.
    if address.contains(':') {
        out.extend_from_slice(b"for=\"[");
        out.extend_from_slice(address.as_bytes());
        out.extend_from_slice(b"]\"");
    } else {
        out.extend_from_slice(b"for=");
        out.extend_from_slice(address.as_bytes());
    }
}

fn is_quotable(value: &[u8]) -> bool {
    !value.iter().any(|byte| matches!(byte, b'"' | b'\\'))
}

fn is_token(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(u8::is_ascii_alphanumeric)
}
