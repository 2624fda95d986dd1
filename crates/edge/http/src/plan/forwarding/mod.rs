//! Telling endpoints who the client is.
//!
//! A field that tells where a request came from is worth as much as the sender of
//! it: those of trusted proxies are extended, everyone else's replaced. A proxy
//! that only appended would let any client choose the address that applications see.
//!
//! There are two kinds of such fields, and a proxy that writes one kind passes on whatever its clients wrote in the other. So
//! only one kind is read: the one that the trusted proxies write.

mod address_text;
mod chain;
#[cfg(test)]
mod tests;
mod write;

use std::net::IpAddr;

use weir_config::Cidr;

pub(crate) use self::address_text::AddressText;
use self::chain::Chain;
use crate::{
    codec::{FieldId, RequestHead},
    config::{ForwardedFields, HttpConfig, ReadFields},
    exchange::FieldSet,
};

/// What a listener does about forwarding fields.
#[derive(Debug)]
pub(crate) struct Forwarding {
    trusted: Box<[Cidr]>,
    read: ReadFields,
    x_forwarded: bool,
    forwarded: bool,
    /// Fields that are not copied from the client, because Weir writes them or forbids them.
    pub(crate) replaced: FieldSet,
}

/// What a trusted proxy told of how the client asked, as far as it did.
#[derive(Clone, Copy, Default)]
struct Told<'r> {
    proto: Option<&'r [u8]>,
    host: Option<&'r [u8]>,
    port: Option<&'r [u8]>,
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
            read: config.forwarded.read,
            x_forwarded: matches!(send, ForwardedFields::XForwarded | ForwardedFields::Both),
            forwarded: matches!(send, ForwardedFields::Forwarded | ForwardedFields::Both),
            replaced,
        }
    }

    /// Whether what this peer says about clients is believed.
    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(peer))
    }

    /// Whom the request is from, as far as that can be known.
    pub(crate) fn client(&self, peer: IpAddr, trusted: bool, request: &RequestHead) -> IpAddr {
        if !trusted {
            return peer;
        }
        let chain = Chain::read(self, request.fields());
        chain.client().and_then(|hop| hop.address).unwrap_or(peer)
    }

    /// How the client asks: a proxy that is trusted says how it was asked itself.
    pub(crate) fn scheme(&self, trusted: bool, request: &RequestHead) -> &'static str {
        let https = |proto: &[u8]| {
            // The nearest to the client comes first, if there are several.
            let first = proto.split(|byte| *byte == b',').next();
            first.is_some_and(|first| first.trim_ascii().eq_ignore_ascii_case(b"https"))
        };
        match self.told(trusted, request).proto {
            Some(proto) if https(proto) => "https",
            _ => "http",
        }
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
            self.write_x_forwarded(out, client, trusted, request);
        }
        if self.forwarded {
            write::forwarded(out, self, client, trusted, request);
        }
    }

    /// Writes `X-Forwarded-*`, whatever else endpoints are told.
    pub(crate) fn write_x_forwarded(
        &self,
        out: &mut Vec<u8>,
        client: &AddressText,
        trusted: bool,
        request: &RequestHead,
    ) {
        write::x_forwarded(out, self, client, trusted, request);
    }

    fn told<'r>(&self, trusted: bool, request: &'r RequestHead) -> Told<'r> {
        let fields = request.fields();
        match self.read {
            _ if !trusted => Told::default(),
            ReadFields::XForwarded => Told {
                proto: fields.first(FieldId::XForwardedProto),
                host: fields.first(FieldId::XForwardedHost),
                port: fields.first(FieldId::XForwardedPort),
            },
            ReadFields::Forwarded => {
                let client = Chain::read(self, fields).client();
                Told {
                    proto: client.and_then(chain::Hop::proto),
                    host: client.and_then(chain::Hop::host),
                    port: None,
                }
            }
        }
    }
}
