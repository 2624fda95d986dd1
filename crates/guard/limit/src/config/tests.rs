use weir_config::{Decode, Diagnostics};

use super::*;

fn read(text: &str) -> Result<RateLimitConfig, Diagnostics> {
    let mut cx = Cx::from_text("weir.yaml", text, &|_| None);
    let config = cx.decode::<RateLimitConfig>();
    cx.finish(config).map(|loaded| {
        assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
        loaded.value
    })
}

fn spec(text: &str) -> LimitSpec {
    read(text)
        .unwrap_or_else(|problems| panic!("{problems}"))
        .spec("label")
}

fn tiers(quota: &Quota) -> Vec<(u32, u64, u32)> {
    let tiers = quota.tiers.iter();
    tiers
        .map(|tier| (tier.count, tier.window_ms, tier.burst))
        .collect()
}

#[test]
fn short_forms() {
    let one = spec("1000/min");
    assert_eq!(tiers(&one.quota), [(1000, 60_000, 1000)]);
    assert_eq!(one.quota.algorithm, Algorithm::SlidingWindow);
    assert_eq!(one.key, KeySpec::default());
    assert_eq!((one.cost, one.max_keys, one.store), (1, 1_000_000, None));

    let three = spec("[10/min, 1/s, 5/10s]");
    assert_eq!(
        tiers(&three.quota),
        [(1, 1_000, 1), (5, 10_000, 5), (10, 60_000, 10)],
        "by window"
    );
    assert_eq!(three.quota.algorithm, Algorithm::SlidingLog);
}

#[test]
fn the_whole_of_it() {
    let spec = spec(
        "limits: [10/s, 100/min]
key: [ip/56, header X-Tenant, route]
algorithm: sliding_log
cost: 2
concurrency: 10
plans:
  gold: { limits: 100/s, concurrency: off }
  silver: [20/s, 150/min]
  house: off
  slow: { concurrency: 1 }
store: shared
on_store_error: closed
headers: both
reset: epoch
max_keys: 5000
dry_run: true
",
    );
    let key = [
        KeyPart::Ip(56),
        KeyPart::Header("x-tenant".into()),
        KeyPart::Route,
    ];
    assert_eq!(spec.key, KeySpec::new(key));
    assert_eq!((spec.cost, spec.max_keys, spec.dry_run), (2, 5_000, true));
    assert_eq!(
        (spec.headers, spec.reset),
        (FieldStyle::Both, ResetStyle::Epoch)
    );
    let store = spec.store.as_ref().expect("a store");
    assert_eq!(
        (&*store.engine, store.on_error),
        ("shared", OnStoreError::Closed)
    );
    assert_eq!(&*spec.label, "label");

    let quota = |plan| spec.quota(spec.plan(plan));
    let base = [(10, 1_000, 10), (100, 60_000, 100)];
    assert_eq!(
        (tiers(quota(None)), quota(None).concurrency),
        (base.into(), Some(10))
    );
    assert_eq!(quota(Some("unheard of")), quota(None));
    let gold = quota(Some("gold"));
    assert_eq!(
        (tiers(gold), gold.concurrency),
        ([(100, 1_000, 100)].into(), None)
    );
    let silver = quota(Some("silver"));
    assert_eq!(silver.tiers.len(), 2);
    assert_eq!(silver.concurrency, Some(10), "as without a plan");
    let house = quota(Some("house"));
    assert_eq!((house.tiers.len(), house.concurrency), (0, None));
    let slow = quota(Some("slow"));
    assert_eq!((tiers(slow), slow.concurrency), (base.into(), Some(1)));
}

#[test]
fn bursts() {
    let bursts = |text: &str| -> Vec<u32> {
        let spec = spec(text);
        spec.quota.tiers.iter().map(|tier| tier.burst).collect()
    };
    assert_eq!(bursts("{ limits: 10/s, algorithm: token_bucket }"), [10]);
    assert_eq!(
        bursts("{ limits: [10/s, 100/min], algorithm: token_bucket, burst: 30 }"),
        [30, 100]
    );
    assert_eq!(bursts("{ limits: 10/s, algorithm: smooth }"), [1]);
    assert_eq!(bursts("{ limits: 10/s, algorithm: smooth, cost: 4 }"), [4]);
    assert_eq!(
        bursts("{ limits: [10/s, 100/min], algorithm: smooth, burst: 5 }"),
        [5, 100]
    );
    let spec = spec(
        "{ limits: 10/s, algorithm: token_bucket, burst: 30, plans: { a: 5/s, b: { burst: 7 }, c: { limits: 5/s, burst: 9 } } }",
    );
    let of = |plan| spec.quota(spec.plan(Some(plan))).tiers[0].burst;
    assert_eq!((of("a"), of("b"), of("c")), (5, 7, 9));
}

#[test]
fn keys_by_table() {
    for (text, expected) in [
        ("ip", Some(vec![KeyPart::IP])),
        ("ip/48", Some(vec![KeyPart::Ip(48)])),
        ("everyone", Some(vec![])),
        ("header  X-A", Some(vec![KeyPart::Header("x-a".into())])),
        ("claim org.id", Some(vec![KeyPart::Claim("org.id".into())])),
        (
            "[user, api_key, country, asn, route, host]",
            Some(vec![
                KeyPart::User,
                KeyPart::ApiKey,
                KeyPart::Country,
                KeyPart::Asn,
                KeyPart::Route,
                KeyPart::Host,
            ]),
        ),
        ("ip/8", None),
        ("ip/129", None),
        ("header", None),
        ("header a b", None),
        ("ip x", None),
        ("users", None),
        ("[]", None),
        ("[ip, ip]", None),
        ("[ip, everyone]", None),
    ] {
        let read = read(&format!("{{ limits: 1/s, key: {text} }}"));
        let key = read.ok().map(|config| config.spec("").key);
        assert_eq!(key, expected.map(KeySpec::new), "{text}");
    }
}

#[test]
fn what_is_written_is_read_back() {
    for text in [
        "10/min",
        "concurrency: 5",
        "{ limits: [1/s, 10/min], key: [user, header x-a], algorithm: smooth, burst: 2, plans: { a: off, b: 5/s } }",
    ] {
        let config = read(text).expect(text);
        let json = config.to_json().to_string();
        assert_eq!(read(&json).expect(&json), config);
    }
}

/// What is said, without where.
fn said(text: &str) -> String {
    let mut cx = Cx::from_text("weir.yaml", text, &|_| None);
    let config = cx.decode::<RateLimitConfig>();
    match cx.finish(config) {
        Ok(loaded) => loaded.warnings.to_string(),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn mistakes_by_table() {
    for (text, expected) in [
        ("{}", "this limits nothing"),
        ("plans: { a: off }", "this limits nothing"),
        ("100", "expected a rate such as"),
        ("10/90d", "this is a longer time than Weir counts over"),
        ("2000000000/s", "at most 1000000000"),
        (
            "{ limits: 5000/min, algorithm: sliding_log }",
            "choose `algorithm: sliding_window`",
        ),
        (
            "{ limits: 5/s, cost: 6 }",
            "no request would ever pass `5/s`",
        ),
        ("{ limits: 5/s, burst: 6 }", "`sliding_log` has no burst"),
        (
            "{ limits: 9/s, algorithm: smooth, burst: 2, cost: 3 }",
            "no request would ever pass",
        ),
        ("[5/s, 6/s]", "two limits of the same length of time"),
        (
            "[5/s, 1/ms, 300/min]",
            "`300/min` is never reached beside `5/s`",
        ),
        ("[5/s, 5/min]", "`5/s` is never reached beside `5/min`"),
        (
            "[9/s, 8/2s, 7/3s, 6/4s, 5/5s, 4/6s, 3/7s, 2/8s, 1/9s]",
            "more than 8 limits at once",
        ),
        ("{ limits: 5/s, key: contry }", "did you mean `country`?"),
        ("{ limits: 5/s, key: header }", "which one: `header NAME`"),
        ("{ limits: 5/s, key: [ip, ip] }", "this stands here twice"),
        (
            "{ limits: 5/s, algoritm: smooth }",
            "did you mean `algorithm`?",
        ),
        ("{ limits: 5/s, algorithm: leaky }", "unknown word: `leaky`"),
        ("{ limits: 60/min, max_keys: 100000000 }", "GiB of memory"),
        (
            "{ limits: 5/s, plans: { a: { burst: 3 } } }",
            "`sliding_log` has no burst",
        ),
        (
            "{ limits: 5/s, cost: 2, plans: { a: 1/s } }",
            "no request would ever pass `1/s`",
        ),
    ] {
        let said = said(text);
        assert!(said.contains(expected), "{text}\n{said}");
    }
    assert_eq!(
        said("limits: [10/s, 1000/min]"),
        "\
warning: `1000/min` is never reached beside `10/s`
 --> weir.yaml:1:16
  |
1 | limits: [10/s, 1000/min]
  |                ^^^^^^^^
 ::: weir.yaml:1:10
  |
1 | limits: [10/s, 1000/min]
  |          ---- because of this one
  = at: limits[1]
"
    );
}
