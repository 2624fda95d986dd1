//! Where an address belongs: the country and the network that databases tell.

use std::{fmt, net::IpAddr, sync::Arc};

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

/// What is known about an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The country it is used in.
    pub country: Option<Country>,
    /// The number of the network (autonomous system) that announces it.
    pub asn: Option<u32>,
}

/// The databases of a config, which follow their files. A copy is another handle.
#[derive(Clone, Debug, Default)]
pub struct Geo {
    databases: Arc<[Arc<Live<Database>>]>,
    /// A database of the config could not be read, which was reported.
    incomplete: bool,
}

impl Geo {
    pub(crate) fn new(databases: Vec<Arc<Live<Database>>>, incomplete: bool) -> Self {
        Self {
            databases: databases.into(),
            incomplete,
        }
    }

    /// The country of an address, by the first database that knows it.
    #[must_use]
    pub fn country(&self, address: IpAddr) -> Option<Country> {
        let address = address.to_canonical();
        self.databases.iter().find_map(|database| {
            let database = database.load();
            let asked = database.tells_countries();
            asked.then(|| database.place(address).country).flatten()
        })
    }

    /// The network of an address, by the first database that knows it.
    #[must_use]
    pub fn asn(&self, address: IpAddr) -> Option<u32> {
        let address = address.to_canonical();
        self.databases.iter().find_map(|database| {
            let database = database.load();
            let asked = database.tells_asns();
            asked.then(|| database.place(address).asn).flatten()
        })
    }

    /// Both.
    #[must_use]
    pub fn place(&self, address: IpAddr) -> Place {
        Place {
            country: self.country(address),
            asn: self.asn(address),
        }
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
