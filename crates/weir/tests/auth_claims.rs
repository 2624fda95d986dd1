//! What endpoints are told of claims, what they never see, and how people are told apart, through the real binary.

#[path = "common/apps.rs"]
mod apps;
#[path = "common/keys.rs"]
mod keys;

use apps::{WEIR, request};
use keys::{jwt, mirror, new_key};
use serde_json::json;
use weir_testkit::{App, RawClient, Response, Weir, wait_until};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn weir(app: &App, more: &str) -> Weir {
    let config = format!(
        "
workers: 1
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

fn bearer(mut claims: serde_json::Value) -> String {
    for (name, value) in [("aud", json!("api")), ("exp", json!(4_102_444_800_u64))] {
        claims[name] = value;
    }
    let token = jwt(r#"{"alg":"HS256"}"#, &claims.to_string(), SECRET.as_bytes());
    format!("Authorization: Bearer {token}\r\n")
}

#[test]
fn endpoints_are_told_all_of_a_claim_or_the_log_says_why_not() {
    let app = mirror();
    let weir = weir(
        &app,
        &format!(
            "
policies: {{ tokens: {{ jwt: {{ secret: {SECRET}, audience: api, headers: {{ x-groups: groups, x-name: name }} }} }} }}
routes: [ {{ path: /*, service: app, auth: tokens }} ]
"
        ),
    );
    let seen = |claims| {
        let answer = with(&weir, "/", &bearer(claims));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text().to_owned()
    };
    let groups: Vec<String> = (0..40)
        .map(|at| format!("a-group-of-thirty-letters-{at:04}"))
        .collect();
    let told = seen(json!({ "sub": "ada", "groups": groups }));
    assert!(
        told.contains(&format!("x-groups: {}\n", groups.join(","))),
        "{told}"
    );
    // A token of more than 8 KiB.
    let groups: Vec<String> = (0..250)
        .map(|at| format!("a-group-of-thirty-letters-{at:04}"))
        .collect();
    let told = seen(json!({ "sub": "ada", "groups": groups }));
    assert!(
        told.contains(&format!("x-groups: {}\n", groups.join(","))),
        "{told}"
    );
    let told = seen(json!({ "sub": "ada", "groups": ["a,b", "c"], "name": "Lovelace, Ada" }));
    assert!(
        told.contains("x-groups: a%2Cb,c\n") && told.contains("x-name: Lovelace, Ada\n"),
        "{told}"
    );
    assert!(!weir.stderr().contains("a claim cannot be told"));

    for name in ["secret\u{1}name", "secret\nname"] {
        let told = seen(json!({ "sub": "ada", "name": name }));
        assert!(!told.contains("x-name"), "{told}");
    }
    wait_until("a line of the event log", || {
        weir.stderr().contains("a claim cannot be told")
    });
    let log = weir.stderr();
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("a claim cannot be told"))
        .collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in ["tokens", "x-name", "control characters"] {
        assert!(lines[0].contains(part), "{lines:?}");
    }
    assert!(!lines[0].contains("secret"), "{lines:?}");
}

#[test]
fn a_token_that_nobody_verified_reaches_no_endpoint() {
    let app = mirror();
    let (key, hash) = new_key("acme");
    let methods = [
        format!("{{ api_key: {{ keys: [ {{ id: acme, hash: '{hash}' }} ] }} }}"),
        format!("{{ jwt: {{ secret: {SECRET}, audience: api }} }}"),
    ];
    let [keys, tokens] = &methods;
    let weir = weir(
        &app,
        &format!(
            "
routes:
  - {{ path: /a, service: app, auth: [{keys}, {tokens}] }}
  - {{ path: /b, service: app, auth: [{tokens}, {keys}] }}
  - {{ path: /c, service: app, auth: [{tokens}, {keys}, anonymous] }}
"
        ),
    );
    let expired = jwt(
        r#"{"alg":"HS256"}"#,
        r#"{"sub":"forged","aud":"api","exp":1}"#,
        SECRET.as_bytes(),
    );
    let forged = [
        format!("Authorization: Bearer {expired}\r\n"),
        "Authorization: Bearer forged\r\n".to_owned(),
        "authorization: bEARER forged\r\n".to_owned(),
        "Authorization: Bearer\tforged\r\n".to_owned(),
        "Authorization:   Bearer  forged\r\n".to_owned(),
        "Authorization: Bearer,forged\r\n".to_owned(),
        "Authorization: Bearer:forged\r\n".to_owned(),
        "Authorization: Bearer\r\n".to_owned(),
        "Authorization: Bearer forged\r\nAuthorization: Bearer again\r\n".to_owned(),
        "Authorization: Basic Zm9yZ2Vk\r\nAuthorization: Bearer forged\r\n".to_owned(),
    ];
    for target in ["/a", "/b", "/c"] {
        for fields in &forged {
            let answer = with(&weir, target, &format!("X-Api-Key: {key}\r\n{fields}"));
            assert_eq!(answer.status, 200, "{target} {fields}: {answer:?}");
            let seen = answer.text().to_ascii_lowercase();
            assert!(seen.contains("x-auth-subject: acme\n"), "{seen}");
            assert!(
                !seen.contains("bearer") && !seen.contains("forged"),
                "{fields}: {seen}"
            );
            // Without the key, they are bad credentials.
            let status = with(&weir, target, fields).status;
            assert!(matches!(status, 400 | 401), "{target} {fields}: {status}");
        }
        // Nor does the endpoint see a key that is not good beside a token that is.
        let fields = format!("X-Api-Key: forged\r\n{}", bearer(json!({ "sub": "ada" })));
        let seen = with(&weir, target, &fields).text().to_owned();
        assert!(
            seen.contains("x-auth-subject: ada\n") && !seen.contains("forged"),
            "{seen}"
        );
    }
}

#[test]
fn those_who_are_called_the_same_are_counted_apart() {
    let app = mirror();
    let (key, hash) = new_key("acme");
    let weir = weir(
        &app,
        &format!(
            "
routes:
  - path: /*
    service: app
    auth: [{{ api_key: {{ keys: [ {{ id: acme, hash: '{hash}' }} ] }} }}, {{ jwt: {{ secret: {SECRET}, audience: api }} }}]
    rate_limit: {{ limits: 1/h, key: user }}
"
        ),
    );
    for fields in [
        format!("X-Api-Key: {key}\r\n"),
        bearer(json!({ "sub": "acme" })),
        bearer(json!({ "sub": "acme", "iss": "https://one.example" })),
        bearer(json!({ "sub": "acme", "iss": "https://two.example" })),
    ] {
        let statuses = [(); 2].map(|()| with(&weir, "/", &fields).status);
        assert_eq!(statuses, [200, 429], "{fields}");
    }
}

#[test]
fn an_answer_of_a_login_says_once_that_nobody_may_keep_it() {
    let app = mirror();
    let weir = weir(
        &app,
        &format!(
            "
routes: [ {{ path: /*, service: app, auth: {{ oidc: {{ issuer: 'http://127.0.0.1:1', client_id: weir, session_secrets: {SECRET} }} }} }} ]
"
        ),
    );
    for (target, status) in [("/oauth2/callback", 400), ("/oauth2/logout", 303)] {
        let answer = with(&weir, target, "");
        assert_eq!(answer.status, status, "{answer:?}");
        let text = format!("{answer:?}").to_ascii_lowercase();
        assert_eq!(text.matches("no-store").count(), 1, "{text}");
    }
}
