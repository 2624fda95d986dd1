use std::sync::Arc;

use proptest::prelude::*;
use weir_testkit::{Mmdb, MmdbValue};

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

fn read(database: &Mmdb) -> Database {
    Database::read(database.build()).expect("it is a database")
}

fn country(text: &str) -> Option<Country> {
    Country::parse(text)
}

fn text(text: &str) -> MmdbValue {
    MmdbValue::Text(text.to_owned())
}

#[test]
fn every_size_of_record_is_read() {
    for bits in [24, 28, 32] {
        let written = Mmdb::new("GeoLite2-Country")
            .record_bits(bits)
            .country("10.0.0.0/8", "CH")
            .country("10.128.0.0/9", "LI")
            .country("2001:db8::/32", "SE");
        let database = read(&written);
        for (address, expected) in [
            ("10.0.0.1", "CH"),
            ("10.200.0.1", "LI"),
            ("2001:db8::1", "SE"),
        ] {
            assert_eq!(
                database.place(ip(address)).country,
                country(expected),
                "{address}"
            );
        }
        for unknown in ["11.0.0.1", "2001:db9::1", "::"] {
            assert_eq!(database.place(ip(unknown)), Place::default(), "{unknown}");
        }
        assert!(database.tells_countries() && !database.tells_asns());
    }
}

#[test]
fn layouts_of_several_makers_are_understood() {
    let registered = MmdbValue::Map(vec![("iso_code", text("us"))]);
    let written = Mmdb::new("ipinfo lite")
        .with(
            "10.0.0.0/8",
            MmdbValue::Map(vec![
                ("asn", text("AS64500")),
                ("country", text("Switzerland")),
                ("country_code", text("CH")),
            ]),
        )
        .with(
            "11.0.0.0/8",
            MmdbValue::Map(vec![("country", text("SE")), ("asn", MmdbValue::Number(7))]),
        )
        .with(
            "12.0.0.0/8",
            MmdbValue::Map(vec![("registered_country", registered)]),
        )
        .with(
            "13.0.0.0/8",
            MmdbValue::Map(vec![(
                "autonomous_system_number",
                MmdbValue::Number(u32::MAX),
            )]),
        )
        .with("14.0.0.0/8", text("no record"))
        .with(
            "15.0.0.0/8",
            MmdbValue::Map(vec![("country", MmdbValue::List(vec![text("CH")]))]),
        );
    let database = read(&written);
    let place = |address| database.place(ip(address));
    assert_eq!(
        place("10.0.0.1"),
        Place {
            country: country("CH"),
            asn: Some(64500)
        }
    );
    assert_eq!(
        place("11.0.0.1"),
        Place {
            country: country("SE"),
            asn: Some(7)
        }
    );
    assert_eq!(
        place("12.0.0.1"),
        Place {
            country: country("US"),
            asn: None
        }
    );
    assert_eq!(
        place("13.0.0.1"),
        Place {
            country: None,
            asn: Some(u32::MAX)
        }
    );
    assert_eq!(place("14.0.0.1"), Place::default());
    assert_eq!(place("15.0.0.1"), Place::default());
    assert!(database.tells_countries() && database.tells_asns());
}

#[test]
fn a_database_of_ipv4_knows_nothing_of_ipv6() {
    let database = read(&Mmdb::new("X-ASN").ipv4_only().asn("10.0.0.0/8", 64500));
    assert_eq!(database.place(ip("10.1.2.3")).asn, Some(64500));
    assert_eq!(database.place(ip("2001:db8::1")).asn, None);
    assert!(!database.tells_countries() && database.tells_asns());
}

#[test]
fn what_is_no_database_is_refused() {
    let whole = Mmdb::new("X-Country").country("10.0.0.0/8", "CH").build();
    assert!(Database::read(Vec::new()).is_err());
    assert!(Database::read(b"PK\x03\x04 not a database".to_vec()).is_err());
    for end in 0..whole.len() - 1 {
        // Cut anywhere: refused, or harmless.
        if let Ok(database) = Database::read(whole[..end].to_vec()) {
            let _ = database.place(ip("10.0.0.1"));
        }
    }
}

/// A database with everything that records hold.
fn sample() -> Arc<Vec<u8>> {
    let mut written = Mmdb::new("X-Enterprise");
    for n in 0..24 {
        written = written
            .country(&format!("10.{n}.0.0/16"), "CH")
            .asn(&format!("11.{n}.0.0/16"), 64500 + n)
            .country(&format!("2001:db8:{n}::/48"), "SE");
    }
    Arc::new(written.build())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn corrupt_databases_neither_panic_nor_hang(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        addresses in proptest::collection::vec(any::<[u8; 4]>(), 4),
    ) {
        thread_local!(static SAMPLE: Arc<Vec<u8>> = sample());
        let mut bytes = SAMPLE.with(|sample| sample.to_vec());
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(database) = Database::read(bytes) {
            for [a, b, c, d] in addresses {
                let _ = database.place(IpAddr::from([10 + a % 2, b % 24, c, d]));
                let v6 = [0x2001, 0xdb8, u16::from(b % 24), u16::from(c), 0, 0, 0, u16::from(d)];
                let _ = database.place(IpAddr::from(v6));
            }
        }
    }
}
