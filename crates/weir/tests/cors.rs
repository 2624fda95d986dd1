//! Pages of other origins: who may read answers, and what browsers are told before they send a request.

mod common;

use common::{PLAIN, one_service, start};
use weir_testkit::{App, Echo, RawClient, Reply, Response, Weir};

const APP: &str = "https://app.example.com";
const EVIL: &str = "https://evil.example";

/// The Access-Control fields and Vary, in order.
fn told(response: &Response) -> Vec<String> {
    let ours = |name: &str| {
        name.eq_ignore_ascii_case("vary")
            || name.to_ascii_lowercase().starts_with("access-control-")
    };
    let fields = response.headers.0.iter().filter(|(name, _)| ours(name));
    fields
        .map(|(name, value)| format!("{}: {value}", name.to_ascii_lowercase()))
        .collect()
}

fn ask(weir: &Weir, method: &str, target: &str, fields: &str) -> Response {
    let mut client = weir.client("web");
    client.send(format!(
        "{method} {target} HTTP/1.1\r\nHost: shop.example\r\n{fields}\r\n"
    ));
    client.response_to(method)
}

/// Asks what a browser asks before a request with this method.
fn preflight(weir: &Weir, target: &str, origin: &str, method: &str) -> Response {
    let fields = format!("Origin: {origin}\r\nAccess-Control-Request-Method: {method}\r\n");
    ask(weir, "OPTIONS", target, &fields)
}

#[test]
fn weir_answers_preflights_itself() {
    let app = App::fine("app");
    let weir = one_service(
        app.addr(),
        PLAIN,
        "methods: [GET, PUT], cors: { origins: 'https://app.example.com', headers: [x-a], max_age: 1h, credentials: true }",
    );
    let fields = format!(
        "Origin: {APP}\r\nAccess-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: x-a\r\n"
    );
    let response = ask(&weir, "OPTIONS", "/a", &fields);
    assert_eq!(response.status, 204);
    assert_eq!(
        told(&response),
        [
            "vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
            "access-control-allow-origin: https://app.example.com",
            "access-control-allow-credentials: true",
            "access-control-allow-headers: x-a",
            "access-control-max-age: 3600",
            "access-control-allow-methods: PUT",
        ]
    );
    assert_eq!(response.header("content-length"), None);
    // A method that no route takes stays one.
    assert_eq!(preflight(&weir, "/a", APP, "DELETE").status, 405);
    let stranger = preflight(&weir, "/a", EVIL, "PUT");
    assert_eq!(stranger.status, 204);
    assert_eq!(
        told(&stranger),
        ["vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers"]
    );
    assert_eq!(app.requests(), 0, "nothing reached the application");
}

#[test]
fn a_preflight_belongs_to_the_route_of_its_request() {
    let app = Echo::start("app");
    let weir = start(&format!(
        "
workers: 1
listeners: {{ web: '@web@' }}
routes:
  - {{ path: /a, methods: GET, service: app, cors: 'https://get.example' }}
  - {{ path: /a, methods: PUT, service: app, cors: 'https://put.example' }}
  - {{ path: /b, methods: OPTIONS, respond: {{ status: 200, body: own }} }}
  - {{ path: /b, methods: PUT, service: app, cors: '{APP}' }}
  - {{ path: /c, methods: OPTIONS, respond: {{ status: 200, body: own }} }}
  - {{ path: /c, methods: PUT, service: app }}
services: {{ app: ['{}'] }}
",
        app.addr()
    ));
    for (origin, method, allowed) in [
        ("https://get.example", "GET", true),
        ("https://get.example", "HEAD", true),
        ("https://get.example", "PUT", false),
        ("https://put.example", "PUT", true),
        ("https://put.example", "GET", false),
    ] {
        let response = preflight(&weir, "/a", origin, method);
        assert_eq!(response.status, 204, "{origin} {method}");
        let said = response.header("access-control-allow-origin");
        assert_eq!(said == Some(origin), allowed, "{origin} {method}");
    }
    assert_eq!(preflight(&weir, "/b", APP, "PUT").status, 204);
    // What is no preflight goes where OPTIONS goes, and so does one whose route has no policy.
    assert_eq!(
        ask(&weir, "OPTIONS", "/b", &format!("Origin: {APP}\r\n")).text(),
        "own"
    );
    assert_eq!(preflight(&weir, "/b", APP, "OPTIONS").text(), "own");
    assert_eq!(preflight(&weir, "/c", APP, "PUT").text(), "own");
    assert_eq!(preflight(&weir, "/d", APP, "PUT").status, 404);
}

#[test]
fn only_listed_origins_may_read_an_answer() {
    let app = App::start("app", |_| {
        Reply::ok()
            .field("Access-Control-Allow-Origin", "*")
            .field("access-control-allow-credentials", "true")
            .field("Vary", "Accept-Encoding")
            .field("X-Other", "1")
    });
    let weir = one_service(
        app.addr(),
        PLAIN,
        "cors: { origins: ['https://app.example.com', 'https://*.shop.example', '~http://localhost:[0-9]+'], credentials: true, expose: [x-other] }",
    );
    for origin in [APP, "https://a.b.shop.example", "http://localhost:3000"] {
        let response = ask(&weir, "GET", "/", &format!("Origin: {origin}\r\n"));
        assert_eq!(response.status, 200);
        assert_eq!(
            told(&response),
            [
                "vary: Accept-Encoding".to_owned(),
                "vary: Origin".to_owned(),
                format!("access-control-allow-origin: {origin}"),
                "access-control-allow-credentials: true".to_owned(),
                "access-control-expose-headers: x-other".to_owned(),
            ]
        );
        assert_eq!(response.header("x-other"), Some("1"));
    }
    for fields in [
        format!("Origin: {EVIL}\r\n"),
        "Origin: null\r\n".to_owned(),
        "Origin: https://app.example.com.evil.example\r\n".to_owned(),
        format!("Origin: {APP}\r\nOrigin: {APP}\r\n"),
        String::new(),
    ] {
        let response = ask(&weir, "GET", "/", &fields);
        assert_eq!(response.status, 200, "the request is not refused");
        assert_eq!(
            told(&response),
            ["vary: Accept-Encoding", "vary: Origin"],
            "{fields}"
        );
    }
}

#[test]
fn any_origin_may_read_what_is_public() {
    let app = App::fine("app");
    let weir = one_service(app.addr(), PLAIN, "cors: '*'");
    for fields in ["", "Origin: null\r\n", "Origin: https://evil.example\r\n"] {
        let response = ask(&weir, "GET", "/", fields);
        assert_eq!(
            told(&response),
            ["access-control-allow-origin: *"],
            "{fields}"
        );
    }
}

#[test]
fn pages_can_read_weirs_own_answers() {
    let dead = weir_testkit::free_addr();
    let weir = start(&format!(
        "
workers: 1
listeners: {{ web: {{ address: '@web@', http: {{ {PLAIN} }} }} }}
policies: {{ pages: {{ cors: {{ origins: '{APP}', credentials: true }} }} }}
defaults: {{ policies: [pages] }}
routes:
  - {{ path: /gone, service: dead }}
  - {{ path: /small, service: dead, max_body: 1 }}
  - {{ path: /few, respond: 200, rate_limit: 1/d }}
  - {{ path: /denied, respond: 200, firewall: {{ deny: [127.0.0.0/8] }} }}
  - {{ path: /fixed, respond: {{ status: 200, headers: {{ vary: Cookie, access-control-allow-origin: '*' }} }} }}
  - {{ path: /moved, redirect: /fixed }}
  - {{ path: /plain, respond: 200, policies: none }}
services: {{ dead: ['{dead}'] }}
"
    ));
    let allowed = [
        "vary: Origin",
        "access-control-allow-origin: https://app.example.com",
        "access-control-allow-credentials: true",
    ];
    ask(&weir, "GET", "/few", "");
    for (target, fields, status) in [
        ("/gone", "", 502),
        ("/small", "Content-Length: 2\r\n", 413),
        ("/few", "", 429),
        ("/denied", "", 403),
        ("/moved", "", 308),
    ] {
        let fields = format!("Origin: {APP}\r\n{fields}");
        let response = ask(&weir, "GET", target, &fields);
        assert_eq!(response.status, status, "{target}");
        assert_eq!(told(&response), allowed, "{target}");
        let stranger = ask(&weir, "GET", target, &fields.replace(APP, EVIL));
        assert_eq!(told(&stranger), ["vary: Origin"], "{target}");
    }
    let fixed = ask(&weir, "GET", "/fixed", &format!("Origin: {APP}\r\n"));
    let with_cookie = [&["vary: Cookie"][..], &allowed[..]].concat();
    assert_eq!(told(&fixed), with_cookie);
    assert!(told(&ask(&weir, "GET", "/plain", &format!("Origin: {APP}\r\n"))).is_empty());
}

#[test]
fn preflights_need_no_credentials_and_keep_the_connection() {
    let app = App::fine("app");
    let weir = one_service(
        app.addr(),
        PLAIN,
        "cors: 'https://app.example.com', forward_auth: app",
    );
    app.behave(|_| Reply::status(401));
    let mut client = RawClient::connect(weir.addr("web"));
    for _ in 0..3 {
        client.send(format!(
            "OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: {APP}\r\nAccess-Control-Request-Method: PUT\r\n\r\n"
        ));
        assert_eq!(client.response().status, 204);
    }
    assert_eq!(app.requests(), 0);
    client.send(format!(
        "PUT / HTTP/1.1\r\nHost: a\r\nOrigin: {APP}\r\nContent-Length: 0\r\n\r\n"
    ));
    let refused = client.response();
    assert_eq!(refused.status, 401);
    assert_eq!(
        refused.header("access-control-allow-origin"),
        Some(APP),
        "{refused:?}"
    );
    assert_eq!(app.requests(), 1);
}

#[test]
fn a_reload_changes_who_may_read() {
    let app = App::fine("app");
    let config = |origin: &str| {
        format!(
            "
workers: 1
listeners: {{ web: '@web@' }}
routes: [ {{ path: /*, service: app, cors: '{origin}' }} ]
services: {{ app: ['{}'] }}
",
            app.addr()
        )
    };
    let mut weir = start(&config(APP));
    let may_read = |weir: &Weir| {
        let response = ask(weir, "GET", "/", &format!("Origin: {APP}\r\n"));
        response.header("access-control-allow-origin").is_some()
    };
    assert!(may_read(&weir));
    assert_eq!(weir.reload_with(&config(EVIL)).status, 200);
    assert!(!may_read(&weir));
    // Nothing changes if the new policy is refused.
    let open = config(APP).replace(
        &format!("cors: '{APP}'"),
        "cors: { origins: '*', credentials: true }",
    );
    let refused = weir.reload_with(&open);
    assert_ne!(refused.status, 200);
    assert!(
        refused.text().contains("act as its visitors"),
        "{refused:?}"
    );
    assert!(!may_read(&weir));
}
