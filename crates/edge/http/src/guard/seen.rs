//! A request as those see it who decide about it.

use std::{borrow::Cow, net::IpAddr};

use weir_auth::Identity;
use weir_firewall::{Geo, Memo};

use super::query::without_keys;
use crate::{exchange::Exchange, route, server::Client};

/// One request with what is known about its client.
pub(crate) struct Seen<'a> {
    pub(crate) exchange: &'a Exchange,
    /// The client's real address.
    pub(crate) ip: IpAddr,
    /// What the client sees: `http` or `https`.
    pub(crate) scheme: &'static str,
    pub(crate) route: &'a str,
    /// In lower case.
    host: Cow<'a, [u8]>,
    pub(crate) geo: &'a Geo,
    /// What `geo` has said before.
    pub(crate) memo: &'a Memo,
    /// None of a request that was never sent.
    client: Option<&'a Client>,
}

impl<'a> Seen<'a> {
    pub(crate) fn new(
        client: &'a Client,
        exchange: &'a Exchange,
        route: &'a str,
        geo: &'a Geo,
    ) -> Self {
        Self {
            scheme: scheme(client, exchange),
            client: Some(client),
            ..Self::of(
                exchange,
                super::client_ip(client, exchange),
                route,
                geo,
                &client.place,
            )
        }
    }

    /// A request that comes from this address by plain HTTP.
    pub(super) fn of(
        exchange: &'a Exchange,
        ip: IpAddr,
        route: &'a str,
        geo: &'a Geo,
        memo: &'a Memo,
    ) -> Self {
        Self {
            exchange,
            ip,
            scheme: "http",
            route,
            host: lower(exchange.request.host()),
            geo,
            memo,
            client: None,
        }
    }

    fn identity(&self) -> Option<&'a Identity> {
        self.exchange.identity.as_deref()
    }
}

/// How the client asks, as far as that is known.
pub(crate) fn scheme(client: &Client, exchange: &Exchange) -> &'static str {
    let forwarding = &client.options().forwarding;
    forwarding.scheme(client.trusted, &exchange.request)
}

/// Names of hosts are the same in either case (RFC 9110, 4.2.3), and with the dot of the root behind them.
fn lower(host: &[u8]) -> Cow<'_, [u8]> {
    let host = host.strip_suffix(b".").unwrap_or(host);
    if host.iter().any(u8::is_ascii_uppercase) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

impl weir_auth::Asked for Seen<'_> {
    fn fields<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.exchange.request.fields().all_by_name(name)
    }

    fn method(&self) -> &[u8] {
        self.exchange.request.method_bytes()
    }

    fn scheme(&self) -> &str {
        self.scheme
    }

    fn host(&self) -> &[u8] {
        self.exchange.request.authority()
    }

    fn path(&self) -> &[u8] {
        self.exchange.path()
    }

    fn query(&self) -> Option<&[u8]> {
        self.exchange.request.query()
    }

    fn query_without_keys(&self) -> Option<Cow<'_, [u8]>> {
        let route = self.client.zip(self.exchange.route);
        let hidden = route.map_or(&[][..], |(client, route)| {
            client.plan().route(route).hidden()
        });
        without_keys(self.exchange.request.query(), hidden)
    }

    fn client(&self) -> IpAddr {
        self.ip
    }
}

impl weir_firewall::Request for Seen<'_> {
    fn method(&self) -> &[u8] {
        self.exchange.request.method_bytes()
    }

    fn path(&self) -> &[u8] {
        self.exchange.path()
    }

    fn readings(&self) -> Vec<Vec<u8>> {
        route::readings(self.exchange.path())
    }

    fn query(&self) -> &[u8] {
        self.exchange.request.query().unwrap_or_default()
    }

    fn any_field<F: FnMut(&[u8]) -> bool>(&self, name: &[u8], test: F) -> bool {
        self.exchange.request.fields().all_by_name(name).any(test)
    }

    fn client(&self) -> IpAddr {
        self.ip
    }
}

impl weir_limit::Caller for Seen<'_> {
    fn ip(&self) -> IpAddr {
        self.ip
    }

    fn user(&self) -> Option<&[u8]> {
        self.identity().map(|identity| identity.unique().as_bytes())
    }

    fn api_key(&self) -> Option<&[u8]> {
        Some(self.identity()?.key_id.as_deref()?.as_bytes())
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        // With two lines nobody knows which one the endpoint will read: a client could change one at will.
        let mut lines = self.exchange.request.fields().all_by_name(name.as_bytes());
        let line = lines.next();
        line.filter(|_| lines.next().is_none())
    }

    fn claim(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        Some(match self.identity()?.claims.text_at(name)? {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        })
    }

    fn country(&self) -> Option<[u8; 2]> {
        self.geo
            .country(self.ip, self.memo)?
            .as_str()
            .as_bytes()
            .try_into()
            .ok()
    }

    fn asn(&self) -> Option<u32> {
        self.geo.asn(self.ip, self.memo)
    }

    fn route(&self) -> &str {
        self.route
    }

    fn host(&self) -> &[u8] {
        &self.host
    }
}
