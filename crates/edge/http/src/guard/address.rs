//! The address that policies count a client by.

use std::net::IpAddr;

use crate::{exchange::Exchange, server::Client};

/// Whom a request is from: the peer, or whoever the trusted proxies in front of Weir say.
pub(crate) fn client_ip(client: &Client, exchange: &Exchange) -> IpAddr {
    exchange.client_ip.unwrap_or_else(|| {
        let forwarding = &client.options().forwarding;
        forwarding.client(client.peer.ip(), client.trusted, &exchange.request)
    })
}
