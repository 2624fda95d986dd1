//! Who may pass: API keys, passwords and tokens through the real binary, and what endpoints are told.

#[path = "common/apps.rs"]
mod apps;
#[path = "common/keys.rs"]
mod keys;

use apps::{WEIR, line, request};
use keys::{base64, jwt, key, mirror};
use weir_testkit::{App, RawClient, Response, TempDir, Weir, wait_until};

fn weir(app: &App, more: &str) -> Weir {
    let config = format!(
        "
listeners: {{ web: '@web@' }}
services: {{ app: ['{}'] }}
{more}
",
        app.addr()
    );
    Weir::start(WEIR, &config)
}

fn with(weir: &Weir, target: &str, fields: &str) -> Response {
    RawClient::exchange(weir.addr("web"), request("GET", target, fields))
}

#[test]
fn api_keys_are_made_used_and_followed() {
    let app = mirror();
    let dir = TempDir::new("keys");
    let file = dir.path().join("keys.yaml");
    let path = file.to_str().expect("text");
    let new = |id: &str, more: &[&str]| {
        let arguments = [&["new", "--json", "--id", id, "--file", path], more].concat();
        let made: serde_json::Value = serde_json::from_str(&key(&arguments, "")).expect("JSON");
        made["key"].as_str().expect("a key").to_owned()
    };
    let acme = new("acme", &["--plan", "gold", "--scope", "orders:read"]);
    let weir = weir(
        &app,
        &format!(
            "
policies: {{ partner: {{ api_key: {{ keys: 'file:{path}' }} }} }}
routes:
  - {{ path: /orders/*, service: app, auth: partner, require: {{ scopes: [orders:read] }}, rate_limit: {{ limits: 1/min, key: api_key, plans: {{ gold: 3/min }} }} }}
  - {{ path: /open/*, service: app, auth: [partner, anonymous] }}
"
        ),
    );
    let stored = std::fs::read_to_string(&file).expect("keys");
    assert!(
        !stored.contains(&acme) && stored.contains("acme"),
        "only its hash is kept: {stored}"
    );

    let none = with(&weir, "/orders/1", "");
    assert_eq!(none.status, 401, "{none:?}");
    assert!(none.header("www-authenticate").is_some(), "{none:?}");
    assert_eq!(
        with(&weir, "/orders/1", "X-Api-Key: weir_acme_nonsense\r\n").status,
        401
    );
    let good = with(
        &weir,
        "/orders/2",
        &format!("X-Api-Key: {acme}\r\nX-Auth-Subject: root\r\nX_Auth_Subject: root\r\n"),
    );
    assert_eq!(good.status, 200, "{good:?}");
    let seen = good.text();
    assert!(
        seen.contains("x-auth-subject: acme\n") && seen.contains("x-auth-method: api_key\n"),
        "{seen}"
    );
    assert!(seen.contains("x-auth-scopes: orders:read\n"), "{seen}");
    assert!(!seen.contains("root") && !seen.contains(&acme), "{seen}");
    assert_eq!(line(&weir, "/orders/2")["user"], "acme");

    // Its plan says three a minute, others have one.
    let again = || with(&weir, "/orders/3", &format!("X-Api-Key: {acme}\r\n")).status;
    assert_eq!([again(), again(), again()], [200, 200, 429]);

    // A key that is made now counts a moment later, and one without the scope is not enough.
    let other = new("other", &[]);
    wait_until("the new key", || {
        with(&weir, "/open/1", &format!("X-Api-Key: {other}\r\n")).status == 200
    });
    let lacking = with(&weir, "/orders/4", &format!("X-Api-Key: {other}\r\n"));
    assert_eq!(lacking.status, 403, "{lacking:?}");
    assert_eq!(line(&weir, "/orders/4")["reason"], "forbidden");

    // Anonymous is for those who say nothing, not for those who say something wrong.
    let anonymous = with(&weir, "/open/2", "X-Auth-Subject: root\r\n");
    assert_eq!(anonymous.status, 200);
    assert!(
        !anonymous.text().contains("x-auth-subject"),
        "{}",
        anonymous.text()
    );
    assert_eq!(with(&weir, "/open/3", "X-Api-Key: wrong\r\n").status, 401);
}

#[test]
fn identity_fields_are_taken_out_of_every_request() {
    let app = mirror();
    let weir = weir(
        &app,
        "
policies: { login: { jwt: { secret: 0123456789abcdef0123456789abcdef, headers: { x-tenant: tenant } } } }
routes:
  - { path: /private/*, service: app, auth: login }
  - { path: /*, service: app }
",
    );
    let fields = "X-Auth-Subject: root\r\nx_auth_scopes: all\r\nX-Tenant: stolen\r\nX_TENANT: stolen\r\nX-Other: kept\r\n";
    let seen = with(&weir, "/public", fields).text();
    assert!(
        !seen.contains("root") && !seen.contains("stolen") && !seen.contains("scopes: all"),
        "{seen}"
    );
    assert!(seen.contains("x-other: kept"), "{seen}");
    // Nor do they come in behind the body.
    let mut client = weir.client("web");
    client.send(
        "POST /public HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x-tenant\r\n\r\n2\r\nhi\r\n0\r\nX-Tenant: stolen\r\nX-Checksum: 7\r\n\r\n",
    );
    assert_eq!(client.response().status, 200);
    assert!(app.requests() >= 2);
}

#[test]
fn passwords_are_checked_beside_the_workers() {
    let app = mirror();
    let hash = key(&["password"], "correct horse battery staple\n");
    let weir = weir(
        &app,
        &format!(
            "
routes: [ {{ path: /*, service: app, auth: {{ basic: {{ realm: Staff, users: {{ ada: '{}' }} }} }} }} ]
",
            hash.trim()
        ),
    );
    let basic = |text: &str| format!("Authorization: Basic {}\r\n", base64(text.as_bytes()));
    let none = with(&weir, "/", "");
    assert_eq!(none.status, 401);
    let challenge = none
        .header("www-authenticate")
        .expect("a challenge")
        .to_owned();
    assert!(
        challenge.starts_with("Basic realm=\"Staff\""),
        "{challenge}"
    );
    // What is no name and password at all is not a wrong one (RFC 6750, 3.1, has the same for tokens).
    assert_eq!(with(&weir, "/", &basic("ada")).status, 400);
    for wrong in ["ada:wrong", "eve:correct horse battery staple", ":"] {
        assert_eq!(with(&weir, "/", &basic(wrong)).status, 401, "{wrong}");
    }
    let good = with(&weir, "/", &basic("ada:correct horse battery staple"));
    assert_eq!(good.status, 200, "{good:?}");
    assert!(
        good.text().contains("x-auth-subject: ada\n"),
        "{}",
        good.text()
    );
    assert!(!good.text().contains("authorization"), "{}", good.text());
}

#[test]
fn tokens_are_checked_and_their_claims_told() {
    let app = mirror();
    let weir = weir(
        &app,
        "
policies:
  login:
    jwt: { secret: 0123456789abcdef0123456789abcdef, issuer: https://id.example, audience: api, headers: { x-tenant: tenant } }
routes:
  - { path: /api/*, service: app, auth: login, require: { claims: { role: admin } }, rate_limit: { limits: 2/min, key: claim tenant } }
",
    );
    let token = |claims: &str| {
        jwt(
            r#"{"alg":"HS256"}"#,
            claims,
            b"0123456789abcdef0123456789abcdef",
        )
    };
    let bearer = |token: &str| {
        with(
            &weir,
            "/api/x",
            &format!("Authorization: Bearer {token}\r\n"),
        )
    };
    let base = r#""iss":"https://id.example","aud":"api","exp":4102444800"#;
    let good = token(&format!(
        r#"{{{base},"sub":"ada","role":"admin","tenant":"acme"}}"#
    ));
    let answer = bearer(&good);
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = answer.text();
    assert!(
        seen.contains("x-auth-subject: ada\n") && seen.contains("x-tenant: acme\n"),
        "{seen}"
    );
    // A token is for the endpoint, too.
    assert!(
        seen.contains(&format!("authorization: Bearer {good}\n")),
        "{seen}"
    );

    for (claims, status, why) in [
        (format!(r#"{{{base},"sub":"ada","role":"user"}}"#), 403, "claim"),
        (r#"{"iss":"https://id.example","aud":"api","exp":1,"sub":"ada","role":"admin"}"#.to_owned(), 401, "expired"),
        (r#"{"iss":"https://evil.example","aud":"api","exp":4102444800,"sub":"ada","role":"admin"}"#.to_owned(), 401, "issuer"),
        (r#"{"iss":"https://id.example","aud":"other","exp":4102444800,"sub":"ada","role":"admin"}"#.to_owned(), 401, "audience"),
        (r#"{"iss":"https://id.example","aud":"api","sub":"ada","role":"admin"}"#.to_owned(), 401, "no expiry"),
    ] {
        let answer = bearer(&token(&claims));
        assert_eq!(answer.status, status, "{why}: {answer:?}");
        assert!(answer.header("www-authenticate").is_some_and(|text| text.starts_with("Bearer")), "{why}");
    }
    let claims = format!(r#"{{{base},"sub":"ada","role":"admin","tenant":"acme"}}"#);
    for (header, secret) in [
        (r#"{"alg":"none"}"#, &b""[..]),
        (r#"{"alg":"HS384"}"#, b"0123456789abcdef0123456789abcdef"),
        (r#"{"alg":"HS256"}"#, b"another secret of enough length!"),
        (
            r#"{"alg":"HS256","crit":["x"],"x":1}"#,
            b"0123456789abcdef0123456789abcdef",
        ),
    ] {
        assert_eq!(
            bearer(&jwt(header, &claims, secret)).status,
            401,
            "{header}"
        );
    }
    // Requests of one tenant count together, whoever they are from.
    let other = token(&format!(
        r#"{{{base},"sub":"bob","role":"admin","tenant":"acme"}}"#
    ));
    assert_eq!([bearer(&other).status, bearer(&good).status], [200, 429]);
}
