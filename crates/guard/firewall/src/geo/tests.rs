use std::fs;

use weir_testkit::{Mmdb, TempDir};

use super::*;
use crate::settling::Moment;

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

fn country(text: &str) -> Option<Country> {
    Country::parse(text)
}

/// A database in which 192.0.2.0/24 is in this country, and its file.
fn database(folder: &TempDir, name: &str, country: &str) -> Arc<Live<Database>> {
    write(folder, name, country);
    Arc::new(Live::open(&folder.path().join(name)).expect("a database"))
}

fn write(folder: &TempDir, name: &str, country: &str) {
    let bytes = Mmdb::new("GeoLite2-City")
        .country("192.0.2.0/24", country)
        .country("198.51.100.0/24", "NO")
        .build();
    fs::write(folder.path().join(name), bytes).expect("written");
}

#[test]
fn what_is_known_is_not_looked_up_until_something_changes() {
    let folder = TempDir::new("geo");
    let file = database(&folder, "a.mmdb", "CH");
    let changes = Arc::<Changes>::default();
    let geo = Geo::new(vec![Arc::clone(&file)], false, &changes);
    let (memo, client) = (Memo::default(), ip("192.0.2.1"));
    assert_eq!(geo.country(client, &memo), country("CH"));

    // Behind its back, to see who is asked.
    write(&folder, "a.mmdb", "LI");
    let start = Moment::now();
    for seconds in 1..5 {
        let time = Moment {
            steady: start.steady + std::time::Duration::from_secs(seconds),
            wall: start.wall + std::time::Duration::from_secs(seconds),
        };
        file.look(time, &|_| {});
    }
    assert_eq!(geo.country(client, &Memo::default()), country("LI"));
    assert_eq!(geo.country(client, &memo), country("CH"), "no look-up");
    changes.count();
    assert_eq!(geo.country(client, &memo), country("LI"));

    // Somebody else, as behind a proxy, and back.
    assert_eq!(geo.country(ip("198.51.100.1"), &memo), country("NO"));
    assert_eq!(geo.country(ip("203.0.113.1"), &memo), None);
    assert_eq!(geo.asn(ip("203.0.113.1"), &memo), None);
    assert_eq!(geo.country(client, &memo), country("LI"));
}

#[test]
fn another_config_is_asked_anew() {
    let folder = TempDir::new("geo");
    let changes = Arc::<Changes>::default();
    let geo = |name: &str, country: &str| {
        Geo::new(vec![database(&folder, name, country)], false, &changes)
    };
    let (old, new) = (geo("a.mmdb", "CH"), geo("b.mmdb", "LI"));
    let (memo, client) = (Memo::default(), ip("192.0.2.1"));
    for _ in 0..2 {
        assert_eq!(old.country(client, &memo), country("CH"));
        assert_eq!(new.country(client, &memo), country("LI"));
        assert_eq!(Geo::default().country(client, &memo), None);
    }
}
