use super::*;

struct Someone {
    ip: &'static str,
    user: Option<&'static [u8]>,
    header: Option<&'static [u8]>,
    route: &'static str,
    /// Whether databases know the address.
    placed: bool,
}

impl Default for Someone {
    fn default() -> Self {
        Self {
            ip: "192.0.2.1",
            user: None,
            header: None,
            route: "/a/{id}",
            placed: true,
        }
    }
}

impl Caller for Someone {
    fn ip(&self) -> IpAddr {
        self.ip.parse().expect("an address")
    }
    fn user(&self) -> Option<&[u8]> {
        self.user
    }
    fn api_key(&self) -> Option<&[u8]> {
        None
    }
    fn header(&self, name: &str) -> Option<&[u8]> {
        self.header.filter(|_| name == "x-tenant")
    }
    fn claim(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        (name == "org").then(|| Cow::Owned(b"7".to_vec()))
    }
    fn country(&self) -> Option<[u8; 2]> {
        self.placed.then_some(*b"CH")
    }
    fn asn(&self) -> Option<u32> {
        self.placed.then_some(64500)
    }
    fn route(&self) -> &str {
        self.route
    }
    fn host(&self) -> &[u8] {
        b"api.example.com"
    }
}

const SEED: Seed = Seed::new(7);

fn both(parts: &[KeyPart], caller: &Someone) -> (Key, String) {
    let spec = KeySpec::new(parts.iter().cloned());
    let mut text = b"old".to_vec();
    let key = spec.key_and_text(caller, SEED, &mut text);
    assert_eq!(key, spec.key(caller, SEED));
    (key, String::from_utf8(text).expect("ASCII"))
}

#[test]
fn texts_by_table() {
    let known = Someone {
        user: Some(b"ada"),
        header: Some(b"acme"),
        ..Someone::default()
    };
    let digest_of = |value: &[u8]| {
        let mut text = Vec::new();
        digest(&mut text, value);
        String::from_utf8(text).expect("ASCII")
    };
    // FIPS 180-4 has the digest of `abc`.
    assert_eq!(digest_of(b"abc"), "~ba7816bf8f01cfea414140de5dae2223");
    for (parts, expected) in [
        (vec![], "everyone".to_owned()),
        (vec![KeyPart::IP], "ip=192.0.2.1".into()),
        (vec![KeyPart::User], format!("user={}", digest_of(b"ada"))),
        (vec![KeyPart::ApiKey], "ip=192.0.2.1".into()),
        (
            vec![KeyPart::Header("x-tenant".into()), KeyPart::Route],
            format!("header.x-tenant={}|route=/a/%7Bid%7D", digest_of(b"acme")),
        ),
        (
            vec![KeyPart::Claim("org".into())],
            format!("claim.org={}", digest_of(b"7")),
        ),
        (
            vec![KeyPart::Country, KeyPart::Asn, KeyPart::Host],
            "country=CH|asn=64500|host=api.example.com".into(),
        ),
    ] {
        assert_eq!(both(&parts, &known).1, expected);
    }
}

#[test]
fn who_lacks_what_is_counted_by_is_told_apart_by_address() {
    for part in [
        KeyPart::Country,
        KeyPart::Asn,
        KeyPart::User,
        KeyPart::Header("x-tenant".into()),
    ] {
        let of = |ip| {
            let stranger = Someone {
                ip,
                placed: false,
                header: Some(b""),
                ..Someone::default()
            };
            both(std::slice::from_ref(&part), &stranger)
        };
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"), "{part:?}");
        assert_eq!(of("192.0.2.1").1, "ip=192.0.2.1", "{part:?}");
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"), "{part:?}");
        // And from those who are counted by their address anyway.
        assert_ne!(
            of("192.0.2.1").0,
            both(&[KeyPart::IP], &Someone::default()).0
        );
    }
}

#[test]
fn the_same_network_of_ipv6_is_one_key() {
    let of = |ip, bits| {
        let caller = Someone {
            ip,
            ..Someone::default()
        };
        both(&[KeyPart::Ip(bits)], &caller)
    };
    assert_eq!(of("2001:db8:1:2::1", 64), of("2001:db8:1:2:f::9", 64));
    assert_eq!(of("2001:db8:1:2::1", 64).1, "ip=2001:db8:1:2::/64");
    assert_ne!(of("2001:db8:1:2::1", 64), of("2001:db8:1:3::1", 64));
    assert_eq!(of("2001:db8:1:2::1", 48), of("2001:db8:1:3::1", 48));
    assert_ne!(of("2001:db8::1", 128), of("2001:db8::2", 128));
    assert_eq!(of("::ffff:192.0.2.1", 64), of("192.0.2.1", 64));
    assert_ne!(of("192.0.2.1", 64), of("192.0.2.2", 64));
}

#[test]
fn parts_never_run_into_each_other() {
    let key = |parts: &[&[u8]]| {
        let mut builder = KeyBuilder::new(SEED);
        for part in parts {
            builder.plain("x", part);
        }
        builder.finish()
    };
    assert_ne!(key(&[b"ab", b"c"]), key(&[b"a", b"bc"]));
    assert_ne!(key(&[b"abc"]), key(&[b"abc", b""]));
    assert_ne!(key(&[]), key(&[b""]));
    // A user cannot be written so that it is taken for an address.
    let nobody = Someone::default();
    let mut known = KeyBuilder::new(SEED);
    known.private("user", "", Some(&[192, 0, 2, 1]), &nobody);
    let mut unknown = KeyBuilder::new(SEED);
    unknown.private("user", "", None, &nobody);
    assert_ne!(known.finish(), unknown.finish());
}

#[test]
fn text_is_short_and_plain_whatever_comes() {
    let mut text = Vec::new();
    let mut builder = KeyBuilder::with_text(SEED, &mut text);
    builder.plain("host", b"a|b={c}\r\n\xff");
    builder.plain("host", &[b'x'; 100_000]);
    builder.finish();
    assert_eq!(
        &text[..text.len() - 32],
        b"host=a%7Cb%3D%7Bc%7D%0D%0A%FF|host=~"
    );
}

#[test]
fn another_seed_gives_other_keys() {
    let spec = KeySpec::default();
    let caller = Someone::default();
    assert_ne!(
        spec.key(&caller, Seed::new(1)),
        spec.key(&caller, Seed::new(2))
    );
    let key = spec.key(&caller, SEED);
    assert_eq!(Key::from_words(key.words()), key);
}
