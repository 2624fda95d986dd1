//! What people and machines read.

use super::*;
use crate::cli::{Cli, Command};
use clap::Parser;

const CONFIG: &str = r#"
admin: off
listeners: { web: ":8080", inside: "127.0.0.1:8081" }
routes:
  - { path: /*, service: app }
  - { path: "/users/{id}", methods: GET, service: users, rewrite: "/v2/users/{id}", timeout: 5s, retries: 0, max_body: 1MiB }
  - { path: /old/*, redirect: "/new/{rest}" }
  - { path: /ping, respond: { body: pong } }
  - { path: /assets/*, files: / }
services:
  app: [127.0.0.1:3000, { address: "127.0.0.1:3001", weight: 2 }]
  users: { endpoints: ["127.0.0.1:3002"], balance: round_robin }
"#;

fn ask(line: &str) -> (String, serde_json::Value) {
    ask_in(CONFIG, line)
}

fn ask_in(config: &str, line: &str) -> (String, serde_json::Value) {
    // A blank within a field is written as one that does not break.
    let words = line.split(' ').map(|word| word.replace('\u{a0}', " "));
    let words = ["weir", "explain"]
        .map(str::to_owned)
        .into_iter()
        .chain(words);
    let Ok(Cli {
        command: Command::Explain(arguments),
    }) = Cli::try_parse_from(words)
    else {
        panic!("{line}")
    };
    let source = ConfigSource::Text {
        name: "weir.yaml".to_owned(),
        text: config.to_owned(),
    };
    let compiled = process::compile(&source).unwrap_or_else(|problems| panic!("{problems}"));
    let url = Url::parse(&arguments.url).unwrap();
    let told = tell(&arguments, &url, &compiled).unwrap();
    let live = Live::default();
    (
        report::for_people(&told, &live, Paint { colors: false }),
        report::for_machines(&told, &live),
    )
}

#[test]
fn a_service_with_everything() {
    let (text, json) =
        ask("GET http://shop.example:8080/users/7?a=b -H accept:*/* --from 192.0.2.1");
    let expected = "\
GET http://shop.example:8080/users/7?a=b from 192.0.2.1

listener  web (:8080)
host      shop.example:8080
route     GET /users/{id}
          {id} = 7
service   users, balanced by round_robin
timeouts  total 5s, connect 5s, first byte 1m, idle 1m
retries   none
body      up to 1MiB

routes, the most specific first
  GET /users/{id}  chosen: the most specific route that matches
  /*               matches, but is less specific
  /ping            path does not match
  /assets/*        path does not match
  /old/*           path does not match

endpoints, from the config alone: no running Weir tells their state
  127.0.0.1:3002  weight 1

the endpoint gets
  GET /v2/users/7?a=b HTTP/1.1
  Host: shop.example:8080
";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.contains("  X-Forwarded-For: 192.0.2.1\n"), "{text}");
    let service = &json["route"]["service"];
    assert_eq!(service["timeout_seconds"]["total"], 5.0);
    assert_eq!(service["endpoints"][0]["address"], "127.0.0.1:3002");
    assert_eq!(json["route"]["parameters"]["id"], "7");
}

#[test]
fn paths_are_shown_as_routes_see_them() {
    let (text, json) = ask("GET /a/../users//7");
    assert!(text.contains("path      /users/7 (normalised"), "{text}");
    assert_eq!(json["normalized_path"], "/users/7");
    assert_eq!(json["request"]["host"], "localhost:8080");
}

#[test]
fn other_actions() {
    let (text, json) = ask("GET /old/a?b");
    assert!(text.contains("redirect  308 to /new/a?b\n"), "{text}");
    assert_eq!(json["route"]["redirect"]["location"], "/new/a?b");
    let (text, json) = ask("GET /ping");
    assert!(
        text.contains("respond   200 with a body of 4 bytes\n"),
        "{text}"
    );
    assert_eq!(json["route"]["respond"]["status"], 200);
    let (text, json) = ask("GET /assets/a/b.css");
    assert!(text.contains("file      a/b.css\nbelow     /\n"), "{text}");
    let file = &json["route"]["file"];
    assert_eq!(
        (&file["path"], &file["root"]),
        (&"a/b.css".into(), &"/".into())
    );
}

#[test]
fn answers_of_weirs_own() {
    for (line, status) in [
        ("GET /a/%2e%2e/%2e%2e/b", 400),
        ("GET /a -H host:a,b", 400),
        ("G<T /a", 400),
        ("CONNECT /a", 400),
        ("TRACE /a", 501),
        ("OPTIONS *", 204),
        ("GET /a -H expect:nothing", 417),
        ("GET /users/1 -H content-length:2000000", 413),
    ] {
        let (text, json) = ask(line);
        assert_eq!(json["answer"]["status"], status, "{line}: {text}");
        assert!(
            text.contains(&format!("answer    {status} from Weir itself: ")),
            "{text}"
        );
    }
}

#[test]
fn the_port_chooses_the_listener() {
    let (_, json) = ask("GET http://localhost:8081/");
    assert_eq!(
        (&json["listener"], &json["note"]),
        (&"inside".into(), &serde_json::Value::Null)
    );
    let (text, json) = ask("GET http://localhost/");
    assert_eq!(json["listener"], "web");
    assert!(
        text.contains("note: no listener has port 80, so `web` is assumed\n"),
        "{text}"
    );
    let (_, json) = ask("GET http://localhost/ --listener inside");
    assert_eq!(json["listener"], "inside");
}

#[test]
fn a_split_is_told_with_its_shares_and_cookies() {
    let config = r#"
admin: off
routes:
  - path: /*
    split: { stable: 95, canary: 5, next: 0 }
    sticky: { cookie: lane, secret: 0123456789abcdef }
    mirror: { service: shadow, share: 12.5% }
    deadline: x-ms
services:
  stable: { endpoints: ["127.0.0.1:3000"], sticky: lb }
  canary: { endpoints: ["127.0.0.1:3001"] }
  next: { endpoints: ["127.0.0.1:3002"] }
  shadow: { endpoints: ["127.0.0.1:3003"] }
"#;
    let (text, json) = ask_in(config, "GET http://a:8080/ -H x-ms:1500");
    for part in [
        "service   stable, balanced by p2c\n",
        "split     95% to stable, 5% to canary, 0% to next; shown is the largest\n",
        "mirror    12.5% to shadow\n",
        "sticky    by the cookies lane and lb\n",
        "timeouts  total 1s500ms,",
        "  x-ms: 1500\n",
    ] {
        assert!(text.contains(part), "{part}{text}");
    }
    let service = &json["route"]["service"];
    assert_eq!(service["split"][1]["service"], "canary");
    assert_eq!(service["split"][1]["share"], 0.05);
    assert_eq!(service["mirror"]["service"], "shadow");
    assert_eq!(service["kept_by_cookie"], false);
    // A user who is on a lane stays there; the cookie is signed with the secret above.
    let cookie = "cookie:lane=canary.622714454aa21b40574edb66773d23fe";
    let (text, json) = ask_in(config, &format!("GET http://a:8080/ -H {cookie}"));
    for part in [
        "service   canary, balanced by p2c\n",
        "; a cookie keeps this one where it is\n",
        "sticky    by the cookie lane\n",
    ] {
        assert!(text.contains(part), "{part}{text}");
    }
    assert_eq!(json["route"]["service"]["kept_by_cookie"], true);
    assert!(!text.contains("lane=canary"), "{text}");
    let (text, _) = ask_in(config, "GET http://a:8080/ -H x-ms:0");
    assert!(text.contains("504 from Weir itself"), "{text}");
}

#[test]
fn what_bounds_a_service_is_told() {
    let config = r#"
admin: off
routes:
  - path: /*
    service: app
    retries: { attempts: 3, on: [connect, 503], per_try: 2s, budget: 30%, budget_floor: 5, hedge_after: p95 }
  - { path: /quick, service: few, retries: { attempts: 1, budget: 0%, hedge_after: 150ms } }
  - { path: /plain, service: plain }
services:
  app:
    endpoints: [{ address: "127.0.0.1:3000", zone: eu }, { address: "127.0.0.1:3001", zone: us }]
    limits: { connections: 64, requests: 100, pending: 20, queue_timeout: 500ms }
    zones: { prefer: eu, spill_below: 60% }
    subset: 10
  few: { endpoints: ["127.0.0.1:3002"], limits: { adaptive: true, pending: 0 }, zones: { prefer: eu, spill_below: 0% } }
  plain: ["127.0.0.1:3003"]
"#;
    let (text, json) = ask_in(config, "GET http://a:8080/");
    for part in [
        "retries   up to 3, after connect or 503, a try up to 2s; at most 30% of requests plus 5 a second\n",
        "hedge     a second endpoint gets it too after the time of 95 in 100 answers\n",
        "limits    64 in flight at one endpoint, 100 at all, 20 may wait up to 500ms\n",
        "zones     eu alone, while 60% of it can be used\n",
        "subset    no more than 10 of the endpoints\n",
    ] {
        assert!(text.contains(part), "{part}{text}");
    }
    let service = &json["route"]["service"];
    assert_eq!(
        service["retries"],
        serde_json::json!({
            "attempts": 3, "on": ["connect", "503"],
            "per_try_seconds": 2.0, "budget_percent": 30, "budget_floor": 5,
        })
    );
    assert_eq!(service["hedge_after"], "p95");
    assert_eq!(
        service["limits"],
        serde_json::json!({
            "connections": 64, "requests": 100, "adaptive": false, "pending": 20,
            "queue_timeout_seconds": 0.5,
        })
    );
    assert_eq!(
        service["zones"],
        serde_json::json!({ "prefer": "eu", "spill_below_percent": 60 })
    );
    assert_eq!(service["subset"], 10);

    let (text, json) = ask_in(config, "GET http://a:8080/quick");
    for part in [
        "retries   up to 1, after connect or reset; at most 10 a second\n",
        "hedge     a second endpoint gets it too after 150ms\n",
        "limits    as many at all as they bear, 4096 at most, none may wait\n",
        "zones     eu alone, as long as any of it can be used\n",
    ] {
        assert!(text.contains(part), "{part}{text}");
    }
    assert_eq!(json["route"]["service"]["hedge_after"], "150ms");
    assert_eq!(json["route"]["service"]["limits"]["adaptive"], true);

    let (text, json) = ask_in(config, "GET http://a:8080/plain");
    for word in ["hedge ", "limits ", "zones ", "subset "] {
        assert!(!text.contains(word), "{word}{text}");
    }
    let service = &json["route"]["service"];
    assert!(service["hedge_after"].is_null() && service["zones"].is_null());
    assert!(service["limits"]["requests"].is_null());
}

/// Routes that are asked who is asking. The key is `key`, the password `right`.
const GUARDED: &str = r#"
admin: off
policies:
  partner:
    api_key: { query: key, header: x-api-key, keys: [{ id: ann, hash: "sha256:HASH", plan: gold, scopes: ["orders:read"] }] }
  token: { jwt: { secret: 0123456789abcdef0123456789abcdeg, audience: api, header: x-token } }
  login: { jwt: { jwks: "https://id.example.com/jwks.json", audience: api } }
  fair: { rate_limit: { limits: 10/s, key: [user, header x-tenant], plans: { gold: 100/s } } }
routes:
  - { path: /*, service: app, auth: [partner, token, login], policies: fair }
  - { path: /orders, service: app, auth: [partner, token, login], policies: fair, require: { scopes: ["orders:write"], claims: { role: admin } } }
  - { path: /open, service: app, auth: [partner, anonymous], policies: fair }
  - { path: /denied, service: app, auth: partner, policies: fair, firewall: { deny: 127.0.0.0/8 } }
services: { app: [127.0.0.1:3000] }
"#;

fn ask_guarded(line: &str) -> (String, serde_json::Value) {
    // SHA-256 of `key`.
    let hash = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683";
    ask_in(&GUARDED.replace("HASH", hash), line)
}

#[test]
fn credentials_are_tried_and_not_repeated() {
    let methods = "by api_key (partner) or jwt (token) or jwt (login)";
    let nobody =
        "ip 127.0.0.1, for want of a user and ip 127.0.0.1, for want of one header x-tenant";
    for (line, status, parts) in [
        (
            "GET /a",
            Some(401),
            ["there is no credential", "not reached"],
        ),
        (
            "GET /a -H x-api-key:key",
            None,
            [
                "api_key (partner): good, of ann, plan gold, scopes orders:read",
                "counted by user ann and ip 127.0.0.1, for want of one header x-tenant, on plan gold: 100/s (sliding_window)",
            ],
        ),
        (
            "GET /a?key=key&b=c -H x-tenant:t1",
            None,
            [
                "api_key (partner): good, of ann",
                "counted by user ann and what header x-tenant holds, on plan gold",
            ],
        ),
        (
            "GET /a -H x-api-key:hunter2",
            Some(401),
            [
                "api_key (partner): refused, nobody has this API key",
                "not reached",
            ],
        ),
        (
            "GET /a -H x-token:hunter2",
            Some(401),
            [
                "jwt (token): refused, the token is not a signed token",
                "not reached",
            ],
        ),
        (
            "GET /a -H authorization:Bearer\u{a0}eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIiwiYXVkIjoiYXBpIiwiZXhwIjo5OTk5OTk5OTk5fQ.c2ln",
            None,
            [
                "jwt (login): would ask https://id.example.com/jwks.json",
                "counted by user, once that is known",
            ],
        ),
        (
            "GET /orders -H x-api-key:key",
            Some(403),
            [
                "known, of ann, plan gold, scopes orders:read; lacks the scope orders:write, the claim role: admin",
                "not reached",
            ],
        ),
        ("GET /open", None, ["there is no credential", nobody]),
        (
            "GET /denied -H x-api-key:key",
            None,
            ["denied: 127.0.0.0/8", "not reached"],
        ),
    ] {
        let (text, json) = ask_guarded(line);
        for part in parts {
            assert!(text.contains(part), "{line}: {part}\n{text}");
        }
        let policies = json["route"]["policies"].as_array().expect("policies");
        let auth = policies
            .iter()
            .find(|policy| policy["kind"] == "auth")
            .expect("one");
        assert_eq!(
            auth["status"],
            serde_json::json!(status),
            "{line}: {json:#}"
        );
        assert_eq!(auth["refuses"], status.is_some());
        if status == Some(401) {
            assert!(text.contains(&format!("{methods} (401)\n")), "{text}");
        }
        for shown in [text, json.to_string()] {
            assert!(!shown.contains("hunter2"), "{line}: {shown}");
            assert!(!shown.contains("eyJ"), "{line}: {shown}");
            assert!(!shown.contains("key=key"), "{line}: {shown}");
        }
    }
}

#[test]
fn the_endpoint_is_told_who_it_is_and_sees_no_credential() {
    let (text, json) = ask_guarded("GET /a?key=key&b=c");
    assert!(
        text.starts_with("GET /a?key=***&b=c from 127.0.0.1\n"),
        "{text}"
    );
    assert_eq!(json["request"]["url"], "/a?key=***&b=c");
    for line in ["  GET /a?b=c HTTP/1.1\n", "  x-auth-subject: ann\n"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let (text, _) =
        ask("GET /users/7 -H authorization:hunter2 -H cookie:a=hunter2 -H x-access-token:hunter2");
    let hidden = "  authorization: ***\n  cookie: ***\n  x-access-token: ***\n";
    assert!(text.contains(hidden), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}
