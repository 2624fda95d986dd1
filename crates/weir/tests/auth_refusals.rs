//! What is said about requests that authentication refuses: which method it was, and who was asking.

#[path = "common/apps.rs"]
mod apps;
#[path = "common/keys.rs"]
mod keys;

use apps::{WEIR, line, request};
use keys::{base64, jwt, key, mirror, new_key};
use serde_json::Value;
use weir_testkit::{RawClient, Response, Weir};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn with(weir: &Weir, target: &str, fields: &str) -> Response {
    RawClient::exchange(weir.addr("web"), request("GET", target, fields))
}

/// What the log says of a request: why it was refused, by whom, and who was asking.
fn told(weir: &Weir, target: &str) -> [Value; 4] {
    let line = line(weir, target);
    ["reason", "rule", "policy", "user"].map(|name| line[name].clone())
}

fn expected(reason: &str, rule: &str, policy: &str, user: Option<&str>) -> [Value; 4] {
    [
        reason.into(),
        rule.into(),
        policy.into(),
        user.map_or(Value::Null, Value::from),
    ]
}

fn token(claims: &str) -> String {
    let claims = format!(r#"{{"aud":"api",{claims}}}"#);
    let token = jwt(r#"{"alg":"HS256"}"#, &claims, SECRET.as_bytes());
    format!("Authorization: Bearer {token}\r\n")
}

#[test]
fn the_log_says_which_method_refused_whom() {
    let app = mirror();
    let (good_key, hash) = new_key("acme");
    let password = key(&["password"], "correct horse battery staple\n");
    let weir = Weir::start(
        WEIR,
        &format!(
            "
listeners: {{ web: '@web@' }}
policies:
  tokens: {{ jwt: {{ secret: {SECRET}, audience: api, headers: {{ x-role: role }} }} }}
  keys: {{ api_key: {{ keys: [ {{ id: acme, hash: '{hash}' }} ] }} }}
routes:
  - path: /several/*
    service: app
    auth: [tokens, keys, {{ basic: {{ users: {{ ada: '{password}' }} }} }}]
    require: {{ scopes: [orders:read] }}
  - path: /one/*
    service: app
    auth: {{ jwt: {{ secret: {SECRET}, audience: api }} }}
    require: {{ claims: {{ role: admin }} }}
services: {{ app: ['{app}'] }}
",
            password = password.trim(),
            app = app.addr()
        ),
    );
    let expired = token(r#""sub":"ada","exp":1"#);
    let lacking = token(r#""sub":"ada","exp":4102444800,"role":"user""#);
    let basic = |pair: &str| format!("Authorization: Basic {}\r\n", base64(pair.as_bytes()));
    let bad_key = "X-Api-Key: nonsense\r\n".to_owned();
    let good_key = format!("X-Api-Key: {good_key}\r\n");
    let staff = basic("ada:correct horse battery staple");
    let cases = [
        // Nobody in particular: the name that metrics count several methods under.
        (
            "/several/none",
            String::new(),
            401,
            expected("unauthenticated", "missing", "tokens", None),
        ),
        (
            "/several/expired",
            expired.clone(),
            401,
            expected("unauthenticated", "expired", "tokens", None),
        ),
        (
            "/several/key",
            bad_key.clone(),
            401,
            expected("unauthenticated", "unknown", "keys", None),
        ),
        (
            "/several/twice",
            bad_key.repeat(2),
            400,
            expected("unauthenticated", "malformed", "keys", None),
        ),
        // Without a name, it is what it is. This one is checked elsewhere, and goes on from there.
        (
            "/several/basic",
            basic("ada:wrong"),
            401,
            expected("unauthenticated", "invalid", "basic", None),
        ),
        // Of two faults, the one that is told.
        (
            "/several/both",
            expired.clone() + &bad_key,
            401,
            expected("unauthenticated", "expired", "tokens", None),
        ),
        (
            "/several/scope",
            lacking.clone(),
            403,
            expected("forbidden", "scope", "tokens", Some("ada")),
        ),
        (
            "/several/acme",
            good_key.clone(),
            403,
            expected("forbidden", "scope", "keys", Some("acme")),
        ),
        (
            "/several/staff",
            staff,
            403,
            expected("forbidden", "scope", "basic", Some("ada")),
        ),
        (
            "/several/key-and-expired",
            good_key + &expired,
            403,
            expected("forbidden", "scope", "keys", Some("acme")),
        ),
        (
            "/one/none",
            String::new(),
            401,
            expected("unauthenticated", "missing", "jwt", None),
        ),
        (
            "/one/expired",
            expired,
            401,
            expected("unauthenticated", "expired", "jwt", None),
        ),
        (
            "/one/claim",
            lacking,
            403,
            expected("forbidden", "claim", "jwt", Some("ada")),
        ),
    ];
    let count = cases.len();
    for (target, fields, status, expected) in cases {
        let answer = with(&weir, target, &fields);
        assert_eq!(answer.status, status, "{target}: {answer:?}");
        // Who was asking is for the log.
        assert!(
            answer.header("x-auth-subject").is_none() && !answer.text().contains("ada"),
            "{answer:?}"
        );
        assert_eq!(told(&weir, target), expected, "{target}");
    }
    assert_eq!(app.requests(), 0);
    // Metrics count a route's methods together, as ever.
    let metrics = weir.metrics();
    let denied = |policy: &str| {
        let labels = [("kind", "auth"), ("policy", policy), ("decision", "denied")];
        metrics.sum("weir_policy_decisions_total", &labels)
    };
    assert_eq!(denied("tokens") + denied("/one/*"), count as f64);
    assert_eq!(
        (
            denied("tokens"),
            denied("keys"),
            denied("jwt"),
            denied("basic")
        ),
        (10.0, 0.0, 0.0, 0.0)
    );
}

#[test]
fn who_was_refused_once_is_nobody_in_the_next_request() {
    let app = mirror();
    let weir = Weir::start(
        WEIR,
        &format!(
            "
workers: 1
listeners: {{ web: '@web@' }}
routes:
  - path: /admin
    service: app
    auth: {{ jwt: {{ secret: {SECRET}, audience: api }} }}
    require: {{ claims: {{ role: admin }} }}
  - {{ path: /open, service: app }}
services: {{ app: ['{}'] }}
",
            app.addr()
        ),
    );
    let mut client = weir.client("web");
    let lacking = token(r#""sub":"ada","exp":4102444800"#);
    client.send(request("GET", "/admin", &lacking));
    assert_eq!(client.response().status, 403);
    let answer = client.get("/open");
    assert_eq!(answer.status, 200);
    assert!(!answer.text().contains("x-auth"), "{}", answer.text());
    let line = line(&weir, "/open");
    assert_eq!(
        (&line["user"], &line["policy"]),
        (&Value::Null, &Value::Null)
    );
}
