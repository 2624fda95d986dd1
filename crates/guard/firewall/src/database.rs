//! A database in MaxMind's format, and the layouts of its records that are in use.
//!
//! MaxMind and DB-IP put `country.iso_code`, `registered_country.iso_code` and `autonomous_system_number` into a record;
//! IPinfo puts `country` or `country_code`, and `asn` as `AS64500`. A record is decoded by one pass over its keys that
//! keeps nothing but these, and a record that is broken or of another shape is one that tells nothing.

use std::{fmt, net::IpAddr};

use maxminddb::Reader;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use crate::{
    geo::{Country, Place},
    live::Content,
};

/// A database, read into memory.
#[derive(Debug)]
pub(crate) struct Database {
    reader: Reader<Vec<u8>>,
    countries: bool,
    asns: bool,
}

impl Content for Database {
    fn read(bytes: Vec<u8>) -> Result<Self, String> {
        let reader = Reader::from_source(bytes).map_err(|error| error.to_string())?;
        let kind = reader.metadata().database_type.to_ascii_lowercase();
        let any = |words: &[&str]| words.iter().any(|word| kind.contains(word));
        let countries = any(&["country", "city"]);
        let asns = any(&["asn", "isp"]);
        // A kind of database that is not known may tell both.
        let both = any(&["enterprise", "insights"]) || !(countries || asns);
        Ok(Self {
            reader,
            countries: countries || both,
            asns: asns || both,
        })
    }

    fn entries(&self) -> usize {
        self.reader.metadata().node_count as usize
    }
}

impl Database {
    pub(crate) fn tells_countries(&self) -> bool {
        self.countries
    }

    pub(crate) fn tells_asns(&self) -> bool {
        self.asns
    }

    /// What is known about an address in canonical form.
    pub(crate) fn place(&self, address: IpAddr) -> Place {
        let found = self.reader.lookup(address);
        let record = found.ok().and_then(|found| found.decode::<Record>().ok()?);
        let record = record.unwrap_or_default();
        Place {
            country: record.country.or(record.code).or(record.registered),
            asn: record.asn,
        }
    }
}

/// What is looked for in a record.
#[derive(Default)]
struct Record {
    country: Option<Country>,
    code: Option<Country>,
    registered: Option<Country>,
    asn: Option<u32>,
}

enum Key {
    Country,
    CountryCode,
    RegisteredCountry,
    IsoCode,
    Asn,
    Other,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl Visitor<'_> for Keys {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_bytes<E>(self, key: &[u8]) -> Result<Key, E> {
                Ok(match key {
                    b"country" => Key::Country,
                    b"country_code" => Key::CountryCode,
                    b"registered_country" => Key::RegisteredCountry,
                    b"iso_code" => Key::IsoCode,
                    b"autonomous_system_number" | b"asn" => Key::Asn,
                    _ => Key::Other,
                })
            }

            fn visit_str<E: Error>(self, key: &str) -> Result<Key, E> {
                self.visit_bytes(key.as_bytes())
            }
        }
        deserializer.deserialize_identifier(Keys)
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Records;
        impl<'de> Visitor<'de> for Records {
            type Value = Record;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
                let mut record = Record::default();
                while let Some(key) = map.next_key()? {
                    match key {
                        Key::Country => record.country = map.next_value::<CountryValue>()?.0,
                        Key::CountryCode => record.code = map.next_value::<CountryValue>()?.0,
                        Key::RegisteredCountry => {
                            record.registered = map.next_value::<CountryValue>()?.0;
                        }
                        Key::Asn => record.asn = map.next_value::<AsnValue>()?.0,
                        Key::IsoCode | Key::Other => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(record)
            }
        }
        deserializer.deserialize_map(Records)
    }
}

/// Two letters, or a map that has them as `iso_code`; a name of a country says nothing.
struct CountryValue(Option<Country>);

impl<'de> Deserialize<'de> for CountryValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Values;
        impl<'de> Visitor<'de> for Values {
            type Value = CountryValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a country")
            }

            fn visit_str<E>(self, text: &str) -> Result<CountryValue, E> {
                Ok(CountryValue(Country::parse(text)))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<CountryValue, A::Error> {
                let mut country = CountryValue(None);
                while let Some(key) = map.next_key()? {
                    if let Key::IsoCode = key {
                        country = map.next_value()?;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(country)
            }
        }
        deserializer.deserialize_any(Values)
    }
}

/// A number, or one after `AS`.
struct AsnValue(Option<u32>);

impl<'de> Deserialize<'de> for AsnValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Values;
        impl Visitor<'_> for Values {
            type Value = AsnValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the number of a network")
            }

            fn visit_u64<E>(self, number: u64) -> Result<AsnValue, E> {
                Ok(AsnValue(number.try_into().ok()))
            }

            fn visit_str<E>(self, text: &str) -> Result<AsnValue, E> {
                Ok(AsnValue(
                    text.strip_prefix("AS").unwrap_or(text).parse().ok(),
                ))
            }
        }
        deserializer.deserialize_any(Values)
    }
}

#[cfg(test)]
mod tests;
