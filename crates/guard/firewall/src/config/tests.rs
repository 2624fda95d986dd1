use super::*;

fn parse<T: Decode>(text: &str) -> Result<T, String> {
    let mut cx = Cx::from_text("weir.yaml", text, &|_| None);
    let value = cx.decode();
    cx.finish(value)
        .map(|loaded| loaded.value)
        .map_err(|problems| problems.to_string())
}

#[test]
fn short_and_long_forms_mean_the_same() {
    let short: FirewallConfig =
        parse("{ deny: file:deny.txt, connections_per_ip: 256, geo: country.mmdb }")
            .expect("short");
    let long: FirewallConfig =
        parse("{ deny: [file:deny.txt], connections_per_ip: 256, geo: [file:country.mmdb] }")
            .expect("long");
    let texts = |config: &FirewallConfig| config.to_json().to_string();
    assert_eq!(texts(&short), texts(&long));
    let again: FirewallConfig = parse(&texts(&long)).expect("what it writes it reads");
    assert_eq!(texts(&again), texts(&long));
    for empty in ["{}", "{ deny: [] }", "{ deny: , allow: null }"] {
        assert_eq!(parse(empty), Ok(FirewallConfig::default()), "{empty}");
    }
}

#[test]
fn every_kind_of_entry_is_read_and_written() {
    for (text, written) in [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("2001:db8::1", "2001:db8::1/128"),
        ("country:ch", "country:CH"),
        ("asn:64500", "asn:64500"),
        ("asn:AS64500", "asn:64500"),
        ("file:a/deny.txt", "file:a/deny.txt"),
    ] {
        assert_eq!(Entry::from_text(text).expect(text).to_text(), written);
    }
    for text in [
        "",
        "10.0.0.1/8",
        "country:",
        "country:CHE",
        "asn:",
        "asn:-1",
        "asn:4294967296",
        "file:",
        "x",
    ] {
        assert!(Entry::from_text(text).is_err(), "{text}");
    }
}

#[test]
fn rules_are_read_in_short_and_long_form() {
    let policy: FirewallPolicyConfig = parse(
        r#"
rules:
  - { deny: "/wp-admin/*", name: scanners }
  - deny: { path: ["/a", "~^/b"], methods: POST, headers: { user-agent: "~sqlmap" }, query: "~union" }
    dry_run: true
  - { allow: { query: { id: "7" }, from: 10.0.0.0/8 } }
"#,
    )
    .expect("a policy");
    assert_eq!(policy.rules.len(), 3);
    let again: FirewallPolicyConfig = parse(&policy.to_json().to_string()).expect("it reads again");
    assert_eq!(again.to_json(), policy.to_json());
    let RuleAction::Allow(matches) = &policy.rules[2].action else {
        panic!("it allows");
    };
    assert!(matches!(matches.query, Some(QueryConfig::Parameters(_))));
}

#[test]
fn mistakes_are_told_where_they_are() {
    for (text, told) in [
        ("{ deny: [10.0.0.1/8] }", "begins at another address"),
        (
            "{ deny: ['country:Switzerland'] }",
            "two letters of ISO 3166",
        ),
        ("{ connection_rate_per_ip: 2000000/s }", "out of bounds"),
        ("{ connection_rate_per_ip: 1/2d }", "out of bounds"),
        ("{ rules: [] }", "unknown key `rules`"),
    ] {
        let problems = parse::<FirewallConfig>(text).expect_err(text);
        assert!(problems.contains(told), "{text}\n{problems}");
    }
    for (text, told) in [
        ("{ rules: [{ name: x }] }", "allow"),
        ("{ rules: [{ deny: /a, allow: /b }] }", "allow"),
        ("{ geo: x }", "unknown key `geo`"),
    ] {
        let problems = parse::<FirewallPolicyConfig>(text).expect_err(text);
        assert!(problems.contains(told), "{text}\n{problems}");
    }
}
