use serde_json::json;

use super::*;

const NOW: u64 = 1_800_000_000;

fn rules() -> Rules {
    Rules {
        issuers: vec!["https://id.test".to_owned(), "other".to_owned()],
        audiences: vec!["api".to_owned(), "web".to_owned()],
        typ: None,
        leeway: 60,
        expires: true,
        max_age: None,
    }
}

fn check(rules: &Rules, more: Value) -> Result<Validity, Why> {
    let mut claims = json!({ "iss": "https://id.test", "aud": "api", "exp": NOW + 600 });
    if let (Some(claims), Value::Object(more)) = (claims.as_object_mut(), more) {
        claims.extend(more);
        // `null` here means that the claim is not there.
        claims.retain(|_, value| !value.is_null());
    }
    let claims = claims.as_object().expect("an object");
    rules.check(claims, NOW).map_err(|fault| fault.why)
}

#[test]
fn times() {
    let good = |expires: u64| {
        Ok(Validity {
            expires: Some(expires),
            until: expires + 60,
        })
    };
    for (claims, result) in [
        (json!({}), good(NOW + 600)),
        // RFC 7519, 4.1.4: on or after.
        (json!({ "exp": NOW - 59 }), good(NOW - 59)),
        (json!({ "exp": NOW - 60 }), Err(Why::Expired)),
        (json!({ "exp": NOW as f64 + 0.5 }), good(NOW)),
        (json!({ "exp": null }), Err(Why::Invalid)),
        (json!({ "exp": "1800000600" }), Err(Why::Invalid)),
        (json!({ "exp": -1 }), Err(Why::Invalid)),
        (json!({ "exp": 1e300 }), Err(Why::Invalid)),
        (json!({ "exp": u64::MAX }), Err(Why::Invalid)),
        (json!({ "exp": [NOW + 600] }), Err(Why::Invalid)),
        (json!({ "exp": true }), Err(Why::Invalid)),
        (json!({ "nbf": NOW + 60 }), good(NOW + 600)),
        (json!({ "nbf": NOW + 61 }), Err(Why::Expired)),
        (json!({ "nbf": "x" }), Err(Why::Invalid)),
        (json!({ "iat": NOW + 60 }), good(NOW + 600)),
        (json!({ "iat": NOW + 61 }), Err(Why::Expired)),
        (json!({ "iat": 0 }), good(NOW + 600)),
        (json!({ "iat": {} }), Err(Why::Invalid)),
    ] {
        assert_eq!(check(&rules(), claims.clone()), result, "{claims}");
    }
}

#[test]
fn without_an_end_only_if_the_config_says_so() {
    let forever = Rules {
        expires: false,
        ..rules()
    };
    let validity = check(&forever, json!({ "exp": null })).expect("good");
    assert_eq!(
        validity,
        Validity {
            expires: None,
            until: u64::MAX
        }
    );
    assert_eq!(
        check(&forever, json!({ "exp": NOW - 60 })),
        Err(Why::Expired)
    );
}

#[test]
fn too_old_whatever_it_says() {
    let aged = Rules {
        max_age: Some(100),
        ..rules()
    };
    assert_eq!(check(&aged, json!({})), Err(Why::Invalid));
    let young = check(&aged, json!({ "iat": NOW - 100 })).expect("good");
    assert_eq!(young.until, NOW + 60);
    assert_eq!(check(&aged, json!({ "iat": NOW - 160 })), Err(Why::Expired));
    let short = check(&aged, json!({ "iat": NOW, "exp": NOW + 10 })).expect("good");
    assert_eq!(short.until, NOW + 70);
}

#[test]
fn clocks_that_agree() {
    let exact = Rules {
        leeway: 0,
        ..rules()
    };
    assert!(check(&exact, json!({ "exp": NOW + 1, "nbf": NOW, "iat": NOW })).is_ok());
    for claims in [
        json!({ "exp": NOW }),
        json!({ "nbf": NOW + 1 }),
        json!({ "iat": NOW + 1 }),
    ] {
        assert_eq!(check(&exact, claims), Err(Why::Expired));
    }
}

#[test]
fn issuers_and_audiences_to_the_letter() {
    for (claims, good) in [
        (json!({ "iss": "other" }), true),
        (json!({ "iss": "https://id.test/" }), false),
        (json!({ "iss": "HTTPS://ID.TEST" }), false),
        (json!({ "iss": "" }), false),
        (json!({ "iss": null }), false),
        (json!({ "iss": ["https://id.test"] }), false),
        (json!({ "aud": "web" }), true),
        (json!({ "aud": ["x", "api"] }), true),
        (json!({ "aud": ["x", "y"] }), false),
        (json!({ "aud": ["api", 7] }), false),
        (json!({ "aud": [] }), false),
        (json!({ "aud": "API" }), false),
        (json!({ "aud": "api " }), false),
        (json!({ "aud": null }), false),
        (json!({ "aud": { "api": true } }), false),
    ] {
        let seen = check(&rules(), claims.clone());
        let expected = if good { seen } else { Err(Why::Audience) };
        assert_eq!(seen, expected, "{claims}");
    }
}

#[test]
fn who_is_not_named_refuses_what_names_somebody() {
    let open = Rules {
        issuers: Vec::new(),
        audiences: Vec::new(),
        ..rules()
    };
    assert!(check(&open, json!({ "aud": null, "iss": null })).is_ok());
    assert!(check(&open, json!({ "aud": null, "iss": "anybody" })).is_ok());
    assert_eq!(
        check(&open, json!({ "aud": null, "iss": 7 })),
        Err(Why::Audience)
    );
    // RFC 7519, 4.1.3.
    assert_eq!(check(&open, json!({ "aud": "api" })), Err(Why::Audience));
}

#[test]
fn kinds() {
    let access = Rules {
        typ: Some("at+jwt".to_owned()),
        ..rules()
    };
    for (typ, good) in [
        (Some("at+jwt"), true),
        (Some("AT+JWT"), true),
        (Some("application/at+jwt"), true),
        (Some("Application/AT+jwt"), true),
        (Some("jwt"), false),
        (Some("application/"), false),
        (Some(""), false),
        (None, false),
    ] {
        assert_eq!(access.check_typ(typ).is_ok(), good, "{typ:?}");
        assert!(rules().check_typ(typ).is_ok());
    }
}
