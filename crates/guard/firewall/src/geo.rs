//! Where an address belongs: the country and the network that databases tell.

use std::{
    cell::Cell,
    fmt,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{database::Database, live::Live};

/// A country: two letters of ISO 3166-1, in upper case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Country([u8; 2]);

impl Country {
    /// Reads two letters, in either case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match *text.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Some(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => None,
        }
    }

    /// The two letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // They are letters: see `parse`.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a database knows about an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The country it is used in.
    pub(crate) country: Option<Country>,
    /// The number of the network (autonomous system) that announces it.
    pub(crate) asn: Option<u32>,
}

/// The databases of a config, which follow their files. A copy is another handle.
#[derive(Clone, Debug, Default)]
pub struct Geo {
    databases: Arc<[Arc<Live<Database>>]>,
    /// A database of the config could not be read, which was reported.
    incomplete: bool,
    /// Differs for every config.
    id: u64,
    changes: Arc<Changes>,
}

/// Counts what may make a place another one: a database that was read again, or a config with other databases.
#[derive(Debug, Default)]
pub(crate) struct Changes(AtomicU64);

impl Changes {
    /// To be called after the change. Says how many there were with it.
    pub(crate) fn count(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Release) + 1
    }

    /// Whoever sees a change here sees what was changed, too.
    #[inline]
    fn so_far(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// What was found out about one address: a connection keeps it, so that its requests look up nothing as long as they
/// come from the same address and no database changes. A record is found and decoded in some hundred nanoseconds, and a
/// route may ask several times.
#[derive(Debug, Default)]
pub struct Memo(Cell<Known>);

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    about: Option<IpAddr>,
    /// [`Geo::id`].
    geo: u64,
    /// [`Changes::so_far`], read before anything was looked up.
    changes: u64,
    country: Option<Option<Country>>,
    asn: Option<Option<u32>>,
}

impl Memo {
    /// What is known and still holds.
    #[inline]
    fn recall(&self, address: IpAddr, geo: &Geo) -> Known {
        let known = self.0.get();
        let changes = geo.changes.so_far();
        if known.about == Some(address) && known.geo == geo.id && known.changes == changes {
            return known;
        }
        Known {
            about: Some(address),
            geo: geo.id,
            changes,
            country: None,
            asn: None,
        }
    }
}

impl Geo {
    pub(crate) fn new(
        databases: Vec<Arc<Live<Database>>>,
        incomplete: bool,
        changes: &Arc<Changes>,
    ) -> Self {
        Self {
            databases: databases.into(),
            incomplete,
            id: changes.count(),
            changes: Arc::clone(changes),
        }
    }

    /// The country of an address, by the first database that knows it.
    #[inline]
    #[must_use]
    pub fn country(&self, address: IpAddr, memo: &Memo) -> Option<Country> {
        let mut known = memo.recall(address, self);
        known.country.unwrap_or_else(|| {
            let country = self.find(address, Database::tells_countries, |place| place.country);
            known.country = Some(country);
            memo.0.set(known);
            country
        })
    }

    /// The network of an address, by the first database that knows it.
    #[inline]
    #[must_use]
    pub fn asn(&self, address: IpAddr, memo: &Memo) -> Option<u32> {
        let mut known = memo.recall(address, self);
        known.asn.unwrap_or_else(|| {
            let asn = self.find(address, Database::tells_asns, |place| place.asn);
            known.asn = Some(asn);
            memo.0.set(known);
            asn
        })
    }

    fn find<T>(
        &self,
        address: IpAddr,
        tells: fn(&Database) -> bool,
        what: fn(Place) -> Option<T>,
    ) -> Option<T> {
        let address = address.to_canonical();
        self.databases.iter().find_map(|database| {
            let database = database.load();
            tells(&database)
                .then(|| what(database.place(address)))
                .flatten()
        })
    }

    /// Whether a database is there that tells countries. One that could not be read is taken for one that would have.
    #[must_use]
    pub fn tells_countries(&self) -> bool {
        self.incomplete || (self.databases.iter()).any(|database| database.load().tells_countries())
    }

    /// Whether a database is there that tells networks, as with countries.
    #[must_use]
    pub fn tells_asns(&self) -> bool {
        self.incomplete || (self.databases.iter()).any(|database| database.load().tells_asns())
    }
}

#[cfg(test)]
mod tests;
