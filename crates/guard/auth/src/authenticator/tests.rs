use std::sync::Arc;

use serde_json::json;
use weir_config::Text;

use super::*;
use crate::jwt::Algorithm;
use crate::testing::{Request, Signer, compile};
use crate::{Auth, KeyHash};

const NOW: u64 = 1_800_000_000;
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "abcdef0123456789abcdef0123456789";

fn token(secret: &str, claims: serde_json::Value) -> String {
    let signer = Signer::Secret(secret.as_bytes().to_vec());
    signer.token(Algorithm::Hs256, r#"{"alg":"HS256"}"#, &claims.to_string())
}

fn good(more: serde_json::Value) -> String {
    let claims = json!({ "sub": "alice", "aud": "api", "exp": NOW + 600, "scope": "read write" });
    token(SECRET, crate::testing::with(claims, more))
}

fn authenticator(require: &str, anonymous: bool) -> Arc<Authenticator> {
    let hash = KeyHash::of(b"key").to_text();
    let methods = format!(
        "- jwt: {{ secret: {SECRET}, audience: api, headers: {{ x-user: sub }} }}\n\
         - jwt: {{ secret: {OTHER}, audience: api }}\n\
         - api_key: {{ keys: [{{ id: k, hash: '{hash}', scopes: [read], metadata: {{ role: admin }} }}] }}\n"
    );
    compile(&Auth::offline(), &methods, require, anonymous).expect("compiles")
}

/// The status and the challenges, or who may pass.
fn check(auth: &Authenticator, request: &Request) -> Result<Option<String>, (u16, Why, String)> {
    let mut cache = Cache::default();
    let mut last = None;
    // What the cache says is what was said before.
    for _ in 0..2 {
        let seen = match auth.check(request, &mut cache, NOW) {
            Check::Pass(pass) => Ok(pass.identity.map(|identity| identity.subject.to_string())),
            Check::Refuse(refusal) => {
                let fields = String::from_utf8_lossy(&refusal.fields).into_owned();
                Err((refusal.status, refusal.why, fields))
            }
            Check::Ask(_) => panic!("nothing to ask"),
        };
        assert!(last.is_none_or(|last| last == seen));
        last = Some(seen);
    }
    last.expect("two tries")
}

#[test]
fn any_one_of_the_methods_suffices() {
    let auth = authenticator("", false);
    let first = Request::bearer(&good(json!({})));
    assert_eq!(check(&auth, &first), Ok(Some("alice".to_owned())));
    let second = token(
        OTHER,
        json!({ "sub": "bob", "aud": "api", "exp": NOW + 600 }),
    );
    assert_eq!(
        check(&auth, &Request::bearer(&second)),
        Ok(Some("bob".to_owned()))
    );
    let key = || Request::default().field("x-api-key", "key");
    assert_eq!(check(&auth, &key()), Ok(Some("k".to_owned())));
    // A bad credential beside a good one.
    let expired = good(json!({ "exp": NOW - 3600 }));
    let both = key().field("authorization", format!("Bearer {expired}"));
    assert_eq!(check(&auth, &both), Ok(Some("k".to_owned())));
    let both = first.field("x-api-key", "wrong");
    assert_eq!(check(&auth, &both), Ok(Some("alice".to_owned())));
}

#[test]
fn refusals_say_what_was_wrong_and_what_would_do() {
    let auth = authenticator("", false);
    let apart = "www-authenticate: ApiKey realm=\"weir\"\r\n";
    let bearer = |error: &str, description: &str| {
        format!(
            "www-authenticate: Bearer realm=\"weir\", error=\"{error}\", error_description=\"{description}\"\r\n{apart}"
        )
    };
    // RFC 6750, 3.1: no error code for those who brought nothing.
    let plain = format!("www-authenticate: Bearer realm=\"weir\"\r\n{apart}");
    for (request, status, why, fields) in [
        (Request::default(), 401, Why::Missing, plain.clone()),
        (
            Request::default().field("authorization", "Basic YTpi"),
            401,
            Why::Missing,
            plain,
        ),
        (
            Request::bearer(&good(json!({ "exp": NOW - 3600 }))),
            401,
            Why::Expired,
            bearer("invalid_token", "the token has expired"),
        ),
        (
            Request::bearer("nonsense"),
            401,
            Why::Invalid,
            bearer(
                "invalid_token",
                "the token is not a signed token in compact form",
            ),
        ),
        (
            Request::bearer(&good(json!({ "aud": "else" }))),
            401,
            Why::Audience,
            bearer("invalid_token", "the token is for somebody else"),
        ),
        (
            Request::default().field("authorization", "Bearer"),
            400,
            Why::Malformed,
            String::new(),
        ),
        (
            Request::bearer("a").field("authorization", "Bearer b"),
            400,
            Why::Malformed,
            String::new(),
        ),
    ] {
        let (seen_status, seen_why, seen_fields) = check(&auth, &request).expect_err("refused");
        assert_eq!((seen_status, seen_why), (status, why));
        if status == 401 {
            assert_eq!(seen_fields, fields);
        }
    }
}

#[test]
fn a_challenge_speaks_of_its_own_scheme() {
    let auth = authenticator("", false);
    let key = || Request::default().field("x-api-key", "wrong");
    let (_, why, fields) = check(&auth, &key()).expect_err("a wrong key");
    assert_eq!(why, Why::Unknown);
    let plain =
        "www-authenticate: Bearer realm=\"weir\"\r\nwww-authenticate: ApiKey realm=\"weir\"\r\n";
    assert_eq!(fields, plain);
    // Each of two, whichever is told of in the log.
    let both = key().field("authorization", "Bearer nonsense");
    let (_, why, fields) = check(&auth, &both).expect_err("both are wrong");
    assert_eq!(why, Why::Invalid);
    let nonsense = "error=\"invalid_token\", error_description=\"the token is not a signed token in compact form\"";
    assert!(
        fields.contains(nonsense) && !fields.contains("API key"),
        "{fields}"
    );
    let expired = good(json!({ "exp": NOW - 3600 }));
    let (_, _, fields) = check(
        &auth,
        &key().field("authorization", format!("Bearer {expired}")),
    )
    .expect_err("both are wrong");
    assert!(fields.contains("the token has expired"), "{fields}");
    // A key without the scope and a token that has ended: the answer is about the key.
    let scopes = authenticator("scopes: [write]", false);
    let both = Request::bearer(&expired).field("x-api-key", "key");
    let (status, _, fields) = check(&scopes, &both).expect_err("not enough");
    assert_eq!((status, fields.as_str()), (403, ""));
}

#[test]
fn a_credential_that_is_none_is_ignored_beside_a_good_one() {
    let auth = authenticator("", false);
    for value in ["Bearer", "Bearer,forged", "Bearer ", "Bearer a b"] {
        let both = Request::default()
            .field("authorization", value)
            .field("x-api-key", "key");
        assert_eq!(check(&auth, &both), Ok(Some("k".to_owned())), "{value}");
        let alone = Request::default().field("authorization", value);
        assert!(check(&auth, &alone).is_err(), "{value}");
    }
}

#[test]
fn a_number_that_is_not_known_exactly_is_nobody() {
    let auth = authenticator("", false);
    // Both would be 12345678901234567000000.
    for sub in ["12345678901234567890123", "12345678901234567890124"] {
        let claims = format!(r#"{{"sub":{sub},"aud":"api","exp":{}}}"#, NOW + 600);
        let signer = Signer::Secret(SECRET.as_bytes().to_vec());
        let token = signer.token(Algorithm::Hs256, r#"{"alg":"HS256"}"#, &claims);
        let seen = check(&auth, &Request::bearer(&token));
        assert_eq!(seen.expect_err("nobody").1, Why::Invalid);
    }
    let seen = check(&auth, &Request::bearer(&good(json!({ "sub": u64::MAX }))));
    assert_eq!(seen, Ok(Some("18446744073709551615".to_owned())));
}

#[test]
fn a_bad_credential_is_refused_even_where_none_would_do() {
    let auth = authenticator("", true);
    assert_eq!(check(&auth, &Request::default()), Ok(None));
    assert_eq!(
        check(&auth, &Request::bearer(&good(json!({})))),
        Ok(Some("alice".to_owned()))
    );
    for request in [
        Request::bearer(&good(json!({ "exp": NOW - 3600 }))),
        Request::bearer("nonsense"),
        Request::default().field("x-api-key", "wrong"),
        Request::default().field("authorization", "Bearer "),
    ] {
        assert!(check(&auth, &request).is_err());
    }
    // A credential of a kind that nobody asked for is the endpoint's business.
    assert_eq!(
        check(
            &auth,
            &Request::default().field("authorization", "Basic YTpi")
        ),
        Ok(None)
    );
}

#[test]
fn what_is_required_is_required_of_everybody() {
    let scopes = authenticator("scopes: [read, write]", true);
    assert!(!scopes.allows_anonymous());
    assert_eq!(
        check(&scopes, &Request::bearer(&good(json!({})))),
        Ok(Some("alice".to_owned()))
    );
    let (status, why, _) = check(&scopes, &Request::default()).expect_err("anonymous");
    assert_eq!((status, why), (401, Why::Missing));
    let (status, why, fields) =
        check(&scopes, &Request::default().field("x-api-key", "key")).expect_err("read only");
    assert_eq!((status, why), (403, Why::Scope));
    assert_eq!(fields, "", "no token was there to say something of");
    let lacking = Request::bearer(&good(json!({ "scope": "read" })));
    let (status, _, fields) = check(&scopes, &lacking).expect_err("read only");
    assert_eq!(status, 403);
    assert_eq!(
        fields,
        "www-authenticate: Bearer realm=\"weir\", error=\"insufficient_scope\", \
         error_description=\"a scope that is needed here is missing\", scope=\"read write\"\r\n"
    );
    for claims in [
        json!({ "scope": "write" }),
        json!({ "scope": "" }),
        json!({ "scope": ["read"] }),
    ] {
        let request = Request::bearer(&good(claims));
        assert_eq!(check(&scopes, &request).expect_err("lacking").1, Why::Scope);
    }
    for claims in [
        json!({ "scope": ["write", "read"] }),
        json!({ "scope": null, "scp": ["write", "read"] }),
        json!({ "scope": "write  read other" }),
    ] {
        assert!(check(&scopes, &Request::bearer(&good(claims))).is_ok());
    }

    let claims = authenticator("claims: { role: [admin, owner], realm.level: 3 }", false);
    for (claims_of, passes) in [
        (json!({ "role": "admin", "realm": { "level": 3 } }), true),
        (
            json!({ "role": ["x", "owner"], "realm": { "level": "3" } }),
            true,
        ),
        (json!({ "role": "admin", "realm": { "level": 4 } }), false),
        (json!({ "role": "Admin", "realm": { "level": 3 } }), false),
        (
            json!({ "role": { "admin": true }, "realm": { "level": 3 } }),
            false,
        ),
        (json!({ "role": "admin" }), false),
        (json!({}), false),
    ] {
        let seen = check(&claims, &Request::bearer(&good(claims_of.clone())));
        assert_eq!(seen.is_ok(), passes, "{claims_of}");
        if let Err((status, why, _)) = seen {
            assert_eq!((status, why), (403, Why::Claim));
        }
    }
}

#[test]
fn the_worst_of_several_faults_is_told() {
    let fault = |why| Objection::of(0, Fault { why, detail: "" });
    for (first, second, told) in [
        (Why::Invalid, Why::Expired, Why::Expired),
        (Why::Expired, Why::Invalid, Why::Expired),
        (Why::Unavailable, Why::Expired, Why::Unavailable),
        (Why::Unknown, Why::Unavailable, Why::Unavailable),
        (Why::Audience, Why::Scope, Why::Scope),
        (Why::Unknown, Why::Invalid, Why::Invalid),
    ] {
        let worst = fault(second).or_worse(Some(fault(first)));
        assert_eq!(worst.fault.why, told);
    }
}

#[test]
fn a_refusal_says_whose_it_is_and_who_was_asking() {
    let auth = authenticator("scopes: [write]", false);
    let expired = good(json!({ "exp": NOW - 3600 }));
    let lacking = good(json!({ "scope": "read" }));
    let refused = |request: &Request| match auth.check(request, &mut Cache::default(), NOW) {
        Check::Refuse(refusal) => {
            let who = refusal.identity.map(|who| who.subject.to_string());
            (refusal.why, refusal.policy.as_deref() == Some("test"), who)
        }
        other => panic!("{other:?}"),
    };
    let key = || Request::default().field("x-api-key", "key");
    for (request, why, named, who) in [
        // Any of the three would do.
        (Request::default(), Why::Missing, false, None),
        (Request::bearer(&expired), Why::Expired, true, None),
        (Request::bearer(&lacking), Why::Scope, true, Some("alice")),
        (key(), Why::Scope, true, Some("k")),
        (
            key().field("authorization", format!("Bearer {expired}")),
            Why::Scope,
            true,
            Some("k"),
        ),
        (key().field("x-api-key", "key"), Why::Malformed, true, None),
    ] {
        assert_eq!(refused(&request), (why, named, who.map(str::to_owned)));
    }
}

#[test]
fn identities_are_told_in_fields_that_can_be_stripped() {
    let auth = authenticator("", true);
    let mut names: Vec<&str> = auth.identity_fields().collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(
        names,
        ["x-auth-method", "x-auth-scopes", "x-auth-subject", "x-user"]
    );
    // Tokens are for endpoints, too; keys are not.
    let bearer = || Hidden::Authorization("bearer".into());
    let key = || Hidden::Field("x-api-key".into());
    assert_eq!(auth.hidden(), [bearer(), key()]);
    let methods: Vec<_> = auth.methods().collect();
    assert_eq!(
        methods,
        [("test", "jwt"), ("test", "jwt"), ("test", "api_key")]
    );
}

#[test]
fn tokens_come_in_where_the_config_says() {
    let token = good(json!({}));
    let places = |more: &str| {
        let methods = format!("[{{ jwt: {{ secret: {SECRET}, audience: api, {more} }} }}]");
        compile(&Auth::offline(), &methods, "", false).expect("compiles")
    };
    let header = Request::default().field("x-token", &token);
    let cookie = || Request::default().field("cookie", format!("a=b; session={token}; c=d"));
    let quoted = Request::default().field("cookie", format!("session=\"{token}\""));
    let twice = cookie().field("cookie", "session=x");
    let by_header = places("header: X-Token, hide: true");
    assert!(check(&by_header, &header).is_ok());
    assert!(check(&by_header, &Request::bearer(&token)).is_err());
    assert_eq!(hides(&by_header, 0), [Hidden::Field("x-token".into())]);
    let by_cookie = places("cookie: session, hide: true");
    assert!(check(&by_cookie, &cookie()).is_ok() && check(&by_cookie, &quoted).is_ok());
    assert_eq!(
        check(&by_cookie, &twice).expect_err("two").1,
        Why::Malformed
    );
    assert_eq!(hides(&by_cookie, 0), [Hidden::Cookie("session".into())]);
    assert_eq!(
        hides(&places("hide: true"), 0),
        [Hidden::Authorization("bearer".into())]
    );
    assert!(hides(&places(""), 0).is_empty());
}

fn hides(auth: &Authenticator, place: usize) -> &[Hidden] {
    auth.hidden_for(Some(Place { method: 0, place }))
}

#[test]
fn endpoints_see_no_credential_but_the_good_one() {
    let auth = authenticator("", true);
    let seen = |auth: &Authenticator, request: &Request| match auth.check(
        request,
        &mut Cache::default(),
        NOW,
    ) {
        Check::Pass(pass) => auth.hidden_for(pass.place).to_vec(),
        other => panic!("{other:?}"),
    };
    let bearer = || Hidden::Authorization("bearer".into());
    let key = || Hidden::Field("x-api-key".into());
    let good = good(json!({}));
    // A forged token beside a good key, and the other way round.
    let request = Request::bearer("forged").field("x-api-key", "key");
    assert_eq!(seen(&auth, &request), [key(), bearer()]);
    let request = Request::bearer(&good).field("x-api-key", "forged");
    assert_eq!(seen(&auth, &request), [key()]);
    assert_eq!(seen(&auth, &Request::default()), [bearer(), key()]);
    // Two places of one method.
    let methods =
        format!("[{{ jwt: {{ secret: {SECRET}, audience: api, header: x-t, cookie: t }} }}]");
    let auth = compile(&Auth::offline(), &methods, "", false).expect("compiles");
    let both = Request::default()
        .field("x-t", &good)
        .field("cookie", "t=forged");
    assert_eq!(seen(&auth, &both), [Hidden::Cookie("t".into())]);
    let one = Request::default().field("cookie", format!("t={good}"));
    assert_eq!(seen(&auth, &one), [Hidden::Field("x-t".into())]);
}

#[test]
fn a_credential_is_found_however_it_is_written() {
    let auth = authenticator("", true);
    for value in ["Bearer\tforged", "bearer \tforged", "Bearer,forged"] {
        let request = Request::default().field("authorization", value);
        assert!(check(&auth, &request).is_err(), "{value}");
    }
    let methods = format!("[{{ jwt: {{ secret: {SECRET}, audience: api, cookie: tok }} }}]");
    let auth = compile(&Auth::offline(), &methods, "", true).expect("compiles");
    for value in ["tok =forged", "a=b;tok\t=forged", " tok = forged"] {
        let request = Request::default().field("cookie", value);
        assert!(check(&auth, &request).is_err(), "{value}");
    }
}
