//! The entries of an `allow`, a `deny` or a `from`, compiled.

use std::{net::IpAddr, sync::Arc};

use weir_config::{Cidr, Cx};

use crate::{
    config::{Entry, Several},
    geo::{Country, Geo, Memo},
    live::Live,
    prefix_set::PrefixSet,
    registry::Firewalls,
    verdict::Cause,
};

/// Some clients.
#[derive(Debug)]
pub(crate) struct Entries {
    addresses: PrefixSet,
    /// The same, to tell which one it was.
    prefixes: Box<[Cidr]>,
    lists: Box<[List]>,
    /// Sorted.
    countries: Box<[Country]>,
    /// Sorted.
    asns: Box<[u32]>,
    geo: Geo,
}

#[derive(Debug)]
struct List {
    written: Box<str>,
    file: Arc<Live<PrefixSet>>,
}

impl Entries {
    pub(crate) fn compile(
        entries: &Several<Entry>,
        firewalls: &Firewalls,
        geo: &Geo,
        cx: &mut Cx,
    ) -> Self {
        let mut prefixes = Vec::new();
        let mut lists: Vec<List> = Vec::new();
        let mut countries = Vec::new();
        let mut asns = Vec::new();
        for entry in entries.iter() {
            match &entry.value {
                Entry::Address(prefix) => prefixes.push(*prefix),
                Entry::Country(country) => {
                    if !geo.tells_countries() {
                        cx.error(entry.span, "there is no database that tells countries")
                            .help(
                                "name one under the top-level `firewall`: `geo: file:country.mmdb`",
                            );
                    }
                    countries.push(*country);
                }
                Entry::Asn(asn) => {
                    if !geo.tells_asns() {
                        cx.error(entry.span, "there is no database that tells networks")
                            .help("name one under the top-level `firewall`: `geo: file:asn.mmdb`");
                    }
                    asns.push(*asn);
                }
                Entry::File(written) => {
                    if let Some(file) = firewalls.list(entry.span, written, cx) {
                        lists.push(List {
                            written: written.clone(),
                            file,
                        });
                    }
                }
            }
        }
        countries.sort_unstable();
        countries.dedup();
        asns.sort_unstable();
        asns.dedup();
        Self {
            addresses: prefixes.iter().copied().collect(),
            prefixes: prefixes.into(),
            lists: lists.into(),
            countries: countries.into(),
            asns: asns.into(),
            geo: geo.clone(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.prefixes.is_empty()
            && self.lists.is_empty()
            && self.countries.is_empty()
            && self.asns.is_empty()
    }

    /// The entry that an address in canonical form belongs to. What costs least is asked first.
    #[inline]
    pub(crate) fn find(&self, client: IpAddr, memo: &Memo) -> Option<Cause<'_>> {
        if self.addresses.contains(client) {
            let mut prefixes = self.prefixes.iter();
            let prefix = prefixes.find(|prefix| prefix.contains(client));
            // One of them does: the set was made of them.
            return Some(Cause::Address(
                prefix.copied().unwrap_or_else(|| Cidr::from(client)),
            ));
        }
        for list in &self.lists {
            if list.file.load().contains(client) {
                return Some(Cause::List(&list.written));
            }
        }
        if !self.countries.is_empty()
            && let Some(country) = self.geo.country(client, memo)
            && self.countries.binary_search(&country).is_ok()
        {
            return Some(Cause::Country(country));
        }
        if !self.asns.is_empty()
            && let Some(asn) = self.geo.asn(client, memo)
            && self.asns.binary_search(&asn).is_ok()
        {
            return Some(Cause::Asn(asn));
        }
        None
    }
}
