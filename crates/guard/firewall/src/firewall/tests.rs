use std::{fs, net::Ipv4Addr, path::Path, time::Instant};

use weir_testkit::{Mmdb, TempDir, wait_until};

use super::*;
use crate::{
    config::{FirewallConfig, FirewallPolicyConfig},
    geo::Country,
    live::FileEvent,
    policy::FirewallPolicy,
};

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

/// What the text of a top-level `firewall` means for files in `folder`.
fn global(firewalls: &Firewalls, folder: &Path, text: &str) -> Result<(Firewall, Geo), String> {
    let path = folder.join("weir.yaml");
    fs::write(&path, text).expect("written");
    let mut cx = Cx::load(&path, &|_| None);
    let config: Option<FirewallConfig> = cx.decode();
    let compiled = config.map(|config| {
        let geo = firewalls.geo(&config, &mut cx);
        (firewalls.global(&config, &geo, &mut cx), geo)
    });
    let loaded = cx
        .finish(compiled)
        .map_err(|problems| problems.to_string())?;
    Ok(loaded.value)
}

fn policy(text: &str, geo: &Geo) -> Result<FirewallPolicy, String> {
    let mut cx = Cx::from_text("weir.yaml", text, &|_| None);
    let config: Option<FirewallPolicyConfig> = cx.decode();
    let compiled = config.map(|config| Firewalls::unwatched().policy(&config, geo, &mut cx));
    let loaded = cx
        .finish(compiled)
        .map_err(|problems| problems.to_string())?;
    Ok(loaded.value)
}

fn decided(firewall: &Firewall, address: &str) -> String {
    let verdict = firewall.check(ip(address), &Memo::default());
    match (verdict.denied, verdict.would_deny) {
        (Some(cause), None) => format!("{}: {cause}", cause.kind()),
        (None, Some(cause)) => format!("would: {cause}"),
        (None, None) => "pass".to_owned(),
        both => format!("{both:?}"),
    }
}

fn country_file(folder: &Path) {
    let database = Mmdb::new("GeoLite2-Country")
        .country("192.0.2.0/24", "CH")
        .country("198.51.100.0/24", "SE")
        .country("2001:db8::/32", "CH");
    fs::write(folder.join("country.mmdb"), database.build()).expect("written");
    let database = Mmdb::new("GeoLite2-ASN").asn("203.0.113.0/24", 64500);
    fs::write(folder.join("asn.mmdb"), database.build()).expect("written");
}

#[test]
fn deny_wins_and_allow_excludes() {
    let folder = TempDir::new("firewall");
    country_file(folder.path());
    fs::write(
        folder.path().join("deny.txt"),
        "192.0.2.66\n2001:db8:bad::/48\n",
    )
    .expect("written");
    let text = r#"
deny: [192.0.2.7, "file:deny.txt", "asn:64500"]
allow: ["country:CH", 203.0.113.0/24, 10.0.0.0/8]
geo: [file:country.mmdb, file:asn.mmdb]
"#;
    let firewalls = Firewalls::unwatched();
    let (firewall, geo) = global(&firewalls, folder.path(), text).expect("it compiles");
    for (address, expected) in [
        ("192.0.2.1", "pass"),
        ("192.0.2.7", "address: 192.0.2.7/32"),
        ("::ffff:192.0.2.7", "address: 192.0.2.7/32"),
        ("192.0.2.66", "list: file:deny.txt"),
        ("2001:db8::1", "pass"),
        ("2001:db8:bad::1", "list: file:deny.txt"),
        ("203.0.113.9", "asn: asn:64500"),
        ("198.51.100.1", "not_allowed: not allowed"),
        ("8.8.8.8", "not_allowed: not allowed"),
        ("10.1.2.3", "pass"),
    ] {
        assert_eq!(decided(&firewall, address), expected, "{address}");
    }
    let memo = Memo::default();
    let country = geo.country(ip("::ffff:192.0.2.9"), &memo);
    assert_eq!(country, Country::parse("CH"));
    assert_eq!(geo.asn(ip("203.0.113.1"), &memo), Some(64500));
    assert_eq!(geo.asn(ip("8.8.8.8"), &memo), None);
    assert_eq!(firewalls.files().len(), 3);
    assert!(!firewall.is_open());
    drop((firewall, geo));
    assert!(firewalls.files().is_empty(), "nobody uses them any more");
}

#[test]
fn nothing_said_is_open_and_an_empty_list_allows_nobody() {
    let folder = TempDir::new("firewall");
    fs::write(folder.path().join("nobody.txt"), "# nobody\n").expect("written");
    let firewalls = Firewalls::unwatched();
    let (open, _) = global(&firewalls, folder.path(), "{}").expect("it compiles");
    assert!(open.is_open());
    assert_eq!(decided(&open, "192.0.2.1"), "pass");
    let (closed, _) =
        global(&firewalls, folder.path(), "allow: file:nobody.txt").expect("it compiles");
    assert!(!closed.is_open());
    assert_eq!(decided(&closed, "192.0.2.1"), "not_allowed: not allowed");
}

#[test]
fn a_dry_run_denies_nobody() {
    let text = "{ deny: [192.0.2.1], allow: [192.0.2.0/24], dry_run: true }";
    let policy = policy(text, &Geo::default()).expect("it compiles");
    assert_eq!(
        decided(&policy.firewall, "192.0.2.1"),
        "would: 192.0.2.1/32"
    );
    assert_eq!(decided(&policy.firewall, "10.0.0.1"), "would: not allowed");
    assert_eq!(decided(&policy.firewall, "192.0.2.2"), "pass");
}

#[test]
fn what_nothing_can_tell_is_an_error() {
    let told = policy("{ deny: ['country:CH'] }", &Geo::default()).expect_err("no database");
    assert!(told.contains("no database that tells countries"), "{told}");
    let folder = TempDir::new("firewall");
    country_file(folder.path());
    fs::write(folder.path().join("bad.mmdb"), "nonsense").expect("written");
    fs::write(folder.path().join("bad.txt"), "10.0.0.1\nx\n").expect("written");
    for (text, expected) in [
        (
            "{ deny: ['asn:1'], geo: country.mmdb }",
            "no database that tells networks",
        ),
        ("{ geo: bad.mmdb }", "`bad.mmdb`: "),
        ("{ geo: missing.mmdb }", "`missing.mmdb`: cannot read it"),
        (
            "{ deny: 'file:bad.txt' }",
            "`bad.txt`: line 2: `x` is neither",
        ),
    ] {
        let told = global(&Firewalls::unwatched(), folder.path(), text).err();
        let told = told.expect(text);
        assert!(told.contains(expected), "{text}\n{told}");
    }
    // What could not be read is told, and nothing that follows from it.
    let text = "{ deny: ['country:CH'], geo: bad.mmdb }";
    let told = global(&Firewalls::unwatched(), folder.path(), text).err();
    let told = told.expect(text);
    assert!(!told.contains("no database"), "{told}");
}

#[test]
fn files_that_change_change_what_is_decided() {
    let folder = TempDir::new("firewall");
    country_file(folder.path());
    let list = folder.path().join("deny.txt");
    fs::write(&list, "10.0.0.1\n").expect("written");
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let firewalls = Firewalls::new({
        let told = std::sync::Arc::clone(&told);
        move |event| {
            let text = match event {
                FileEvent::Loaded { path, entries } => format!("{} {entries}", path.display()),
                FileEvent::Kept { path, error } => format!("{} {error}", path.display()),
            };
            told.lock().expect("not poisoned").push(text);
        }
    });
    let text = "{ deny: ['file:deny.txt', 'country:CH'], geo: country.mmdb }";
    let (firewall, geo) = global(&firewalls, folder.path(), text).expect("it compiles");
    // A plan that comes later finds the same file.
    let (later, _) = global(&firewalls, folder.path(), text).expect("it compiles");
    assert_eq!(firewalls.files().len(), 2);
    // As a connection has it that lives for long.
    let memo = Memo::default();
    let passes = |address| later.check(ip(address), &memo).passes();
    assert!(!passes("192.0.2.1"));
    assert_eq!(decided(&firewall, "192.0.2.1"), "country: country:CH");

    fs::write(&list, "10.0.0.1\n10.0.0.2\n").expect("written");
    let database = Mmdb::new("GeoLite2-Country").country("192.0.2.0/24", "LI");
    fs::write(folder.path().join("new"), database.build()).expect("written");
    fs::rename(
        folder.path().join("new"),
        folder.path().join("country.mmdb"),
    )
    .expect("renamed");
    wait_until("both files are taken over", || {
        !passes("10.0.0.2") && decided(&firewall, "192.0.2.1") == "pass"
    });
    assert!(passes("192.0.2.1"), "what changed counts at once");
    assert_eq!(geo.country(ip("192.0.2.1"), &memo), Country::parse("LI"));
    let told = told.lock().expect("not poisoned").clone();
    assert!(
        told.iter().any(|text| text.ends_with("deny.txt 2")),
        "{told:?}"
    );
}

#[test]
fn a_million_prefixes_are_ready_at_once() {
    use std::fmt::Write;
    // Addresses and networks of both families, spread by a fixed multiplier, in no order.
    let mut text = String::with_capacity(24 << 20);
    for n in 0..1_000_000_u32 {
        let bits = n.wrapping_mul(2_654_435_761);
        let v4 = Ipv4Addr::from_bits(bits);
        let _ = match n % 10 {
            0 => writeln!(text, "2001:db8:{:x}:{:x}::/64", bits >> 16, bits & 0xffff),
            1 => writeln!(text, "{}/24", Ipv4Addr::from_bits(bits & 0xffff_ff00)),
            _ => writeln!(text, "{v4}"),
        };
    }
    let began = Instant::now();
    let set = crate::parse_list(text.as_bytes()).expect("a list");
    let load = began.elapsed();
    let rounds = 2_000_000_u32;
    let began = Instant::now();
    let mut inside = 0_u32;
    for n in 0..rounds {
        let address = IpAddr::V4(Ipv4Addr::from_bits(n.wrapping_mul(1_640_531_527)));
        inside += u32::from(set.contains(address));
    }
    let lookup = began.elapsed() / rounds;
    println!(
        "{} prefixes: read in {load:?}, {lookup:?} a lookup, {} bytes a prefix, {inside} hits",
        set.len(),
        set.bytes() / set.len(),
    );
    assert_eq!(set.len(), 1_000_000);
    assert!(inside > 0 && inside < rounds);
    // Loose: the machine may be busy, and this is not an optimised build.
    assert!(load.as_secs() < 15, "{load:?}");
    assert!(lookup.as_micros() < 5, "{lookup:?}");
}
