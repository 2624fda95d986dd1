//! Header fields that routes change on their way, and those that make browsers careful.

mod common;

use std::net::SocketAddr;

use common::{PLAIN, WEIR, one_service, start};
use weir_testkit::{App, Origin, Reply, Response, TempDir, Weir, wait_until};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

fn ask(weir: &Weir, request: &str) -> Response {
    let mut client = weir.client("web");
    client.send(request);
    client.response_to(request.split(' ').next().unwrap_or_default())
}

/// The head that the last application was sent.
fn head(origin: &Origin) -> String {
    wait_until("a request", || {
        origin.received_anywhere().ends_with(b"\r\n\r\n")
    });
    String::from_utf8_lossy(&origin.received_anywhere()).into_owned()
}

fn fields(response: &Response) -> Vec<String> {
    let fields = response.headers.0.iter();
    fields
        .map(|(name, value)| format!("{name}: {value}"))
        .collect()
}

#[test]
fn a_request_is_changed_on_its_way() {
    let app = Origin::answering(OK);
    let weir = one_service(
        app.addr(),
        PLAIN,
        "transform: { request: {
           set: { X-Env: prod, host: app.internal }, add: { x-tag: a },
           remove: [cookie, x-debug, x-in-*], rename: { x-old: x-new } } }",
    );
    let response = ask(
        &weir,
        "GET /a HTTP/1.1\r\nHost: shop.example:81\r\nx-env: dev\r\nX_Env: dev\r\nX-Tag: b\r\nCookie: a=b\r\nX-Debug: 1\r\n\
         X-In-One: 1\r\nX-Old: 1\r\nX-New: forged\r\nX-Other: 1\r\nx-old: 2\r\n\r\n",
    );
    assert_eq!(response.status, 200);
    assert_eq!(
        head(&app),
        "GET /a HTTP/1.1\r\nHost: app.internal\r\nX-Tag: b\r\nX-Other: 1\r\n\
         x-new: 1\r\nx-new: 2\r\nx-env: prod\r\nx-tag: a\r\n\r\n"
    );
}

#[test]
fn values_are_filled_in() {
    let app = Origin::answering(OK);
    let weir = start(&format!(
        "
workers: 1
listeners: {{ web: {{ address: '@web@', http: {{ forwarded: {{ trusted: [127.0.0.0/8] }}, via: false, traceparent: false }} }} }}
routes:
  - name: shops
    path: /shops/{{shop}}/*
    service: app
    transform:
      request:
        set:
          x-all: '{{client_ip}} {{host}} {{method}} {{path}} {{query}} {{request_id}} {{route}} {{scheme}} {{shop}} {{rest}}'
          x-json: '{{{{\"shop\":\"{{shop}}\"}}}}'
          x-user: '{{user}}'
      response:
        set: {{ x-request-id: '{{request_id}}' }}
services: {{ app: ['{}'] }}
",
        app.addr()
    ));
    let response = ask(
        &weir,
        "GET /shops/7%0d%0aX:%20y/b/c?d=e HTTP/1.1\r\nHost: Shop.example:81\r\nX-Request-Id: id-1\r\n\
         X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nX-User: forged\r\n\r\n",
    );
    assert_eq!(response.header("x-request-id"), Some("id-1"));
    let head = head(&app);
    let path = head.split(' ').nth(1).expect("a target");
    let (path, shop) = (
        path.strip_suffix("?d=e").expect("a query"),
        path.split('/').nth(2).expect("a shop"),
    );
    assert!(
        head.contains(&format!(
            "\r\nx-all: 192.0.2.7 Shop.example GET {path} d=e id-1 shops https {shop} b/c\r\n"
        )),
        "{head}"
    );
    assert!(
        head.contains(&format!("\r\nx-json: {{\"shop\":\"{shop}\"}}\r\n")),
        "{head}"
    );
    assert!(!head.to_ascii_lowercase().contains("x-user"), "{head}");
    assert!(!head.contains("\r\nX: y"), "{head}");
}

#[test]
fn the_host_of_the_client_is_still_told() {
    let app = Origin::answering(OK);
    let weir = one_service(
        app.addr(),
        "",
        "transform: { request: { set: { host: '{host}.internal:8080' } } }",
    );
    ask(&weir, "GET / HTTP/1.1\r\nHost: shop.example:81\r\n\r\n");
    let head = head(&app);
    assert!(
        head.contains("\r\nHost: shop.example.internal:8080\r\n"),
        "{head}"
    );
    assert!(
        head.contains("\r\nX-Forwarded-Host: shop.example:81\r\n"),
        "{head}"
    );
    assert_eq!(head.matches("Host: ").count(), 2, "{head}");
}

#[test]
fn copies_are_changed_alike() {
    let (app, shadow) = (Origin::answering(OK), Origin::answering(OK));
    let weir = start(&format!(
        "
workers: 1
listeners: {{ web: {{ address: '@web@', http: {{ {PLAIN} }} }} }}
routes: [ {{ path: /*, service: app, mirror: shadow, transform: {{ request: {{ set: {{ x-a: b }}, remove: cookie }} }} }} ]
services: {{ app: ['{}'], shadow: ['{}'] }}
",
        app.addr(),
        shadow.addr()
    ));
    ask(&weir, "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b\r\n\r\n");
    assert_eq!(head(&app), "GET / HTTP/1.1\r\nHost: a\r\nx-a: b\r\n\r\n");
    assert_eq!(
        head(&shadow),
        "GET / HTTP/1.1\r\nHost: a\r\nx-a: b\r\nX-Weir-Mirror: 1\r\n\r\n"
    );
}

#[test]
fn an_answer_is_changed_on_its_way() {
    let app = App::start("app", |_| {
        Reply::ok()
            .field("Server", "old/1.0")
            .field("Cache-Control", "no-store")
            .field("X-Old", "1")
            .field("Set-Cookie", "a=1")
    });
    let weir = one_service(
        app.addr(),
        PLAIN,
        "transform: { response: { set: { cache-control: private }, add: { set-cookie: b=2 }, remove: [server, x-origin], rename: { x-old: x-new } } }",
    );
    let mut client = weir.client("web");
    for _ in 0..2 {
        let response = client.get("/");
        assert_eq!(response.text(), "ok\n");
        let mut fields = fields(&response);
        fields.retain(|field| !field.starts_with("Date: "));
        assert_eq!(
            fields,
            [
                "Set-Cookie: a=1",
                "Content-Length: 3",
                "x-new: 1",
                "cache-control: private",
                "set-cookie: b=2"
            ]
        );
    }
}

fn everything(dead: SocketAddr, root: &str) -> String {
    format!(
        "
workers: 1
listeners: {{ web: {{ address: '@web@', http: {{ {PLAIN} }} }} }}
policies:
  usual: {{ security_headers: {{ hide_software: true, frames: sameorigin }}, transform: {{ response: {{ set: {{ x-a: usual, x-b: usual }} }} }} }}
defaults: {{ policies: usual }}
routes:
  - {{ path: /fixed, respond: {{ body: hello, headers: {{ x-a: own, x-frame-options: ALLOW }} }} }}
  - {{ path: /moved, redirect: /fixed }}
  - {{ path: /files/*, files: '{root}' }}
  - {{ path: /dead, service: dead }}
  - {{ path: /own, respond: 204, transform: {{ response: {{ set: {{ x-a: '{{route}}' }}, remove: x-b }} }} }}
  - {{ path: /none, respond: 204, policies: none }}
services: {{ dead: ['{dead}'] }}
"
    )
}

#[test]
fn weirs_own_answers_are_changed_alike() {
    let root = TempDir::new("transform");
    root.write("a.txt", "text");
    let dead = weir_testkit::free_addr();
    let weir = start(&everything(dead, &root.path().to_string_lossy()));
    for (target, status, a) in [
        ("/fixed", 200, Some("usual")),
        ("/moved", 308, Some("usual")),
        ("/files/a.txt", 200, Some("usual")),
        ("/files/none", 404, Some("usual")),
        ("/dead", 502, Some("usual")),
        ("/own", 204, Some("/own")),
    ] {
        let response = weir.client("web").get(target);
        let seen = format!("{target}: {response:?}");
        assert_eq!(response.status, status, "{seen}");
        assert_eq!(
            response.headers.all("x-a").collect::<Vec<_>>(),
            a.into_iter().collect::<Vec<_>>(),
            "{seen}"
        );
        let b = (target != "/own").then_some("usual");
        assert_eq!(response.header("x-b"), b, "{seen}");
        assert_eq!(response.header("server"), None, "{seen}");
        assert_eq!(
            response.header("x-content-type-options"),
            Some("nosniff"),
            "{seen}"
        );
        let frames: Vec<&str> = response.headers.all("x-frame-options").collect();
        let expected = if target == "/fixed" {
            "ALLOW"
        } else {
            "SAMEORIGIN"
        };
        assert_eq!(frames, [expected], "{seen}");
        assert_eq!(response.header("strict-transport-security"), None, "{seen}");
        assert!(response.header("date").is_some(), "{seen}");
    }
    assert_eq!(weir.client("web").get("/fixed").text(), "hello");
    assert_eq!(weir.client("web").get("/files/a.txt").text(), "text");
    let none = weir.client("web").get("/none");
    assert_eq!(none.header("server"), Some("weir"));
    assert_eq!(
        (none.header("x-a"), none.header("x-frame-options")),
        (None, None)
    );
}

#[test]
fn https_alone_is_promised_only_over_https() {
    let app = App::start("app", |request| {
        let reply = Reply::ok();
        if request.target == "/own" {
            return reply
                .field("Strict-Transport-Security", "max-age=1")
                .field("X-Frame-Options", "DENY");
        }
        reply
    });
    let config = |forwarded: &str| {
        one_service(
            app.addr(),
            &format!("forwarded: {{ {forwarded} }}"),
            "security_headers: { hsts: { max_age: 1d, include_subdomains: true } }",
        )
    };
    let hsts = |weir: &Weir, target: &str, proto: &str| {
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: {proto}\r\n\r\n");
        let response = ask(weir, &request);
        assert_eq!(
            response.headers.all("x-frame-options").collect::<Vec<_>>(),
            ["DENY"]
        );
        let all: Vec<&str> = response.headers.all("strict-transport-security").collect();
        all.join("|")
    };
    let trusting = config("trusted: [127.0.0.0/8]");
    assert_eq!(
        hsts(&trusting, "/", "https"),
        "max-age=86400; includeSubDomains"
    );
    assert_eq!(hsts(&trusting, "/own", "https"), "max-age=1");
    assert_eq!(hsts(&trusting, "/", "http"), "");
    let careful = config("trusted: []");
    assert_eq!(hsts(&careful, "/", "https"), "", "anyone can say so");
}

#[test]
fn what_cannot_be_meant_is_refused_at_once() {
    for (route, part) in [
        (
            "path: '/{shop}', transform: { request: { set: { x: '{shopp}' } } }",
            "did you mean `{shop}`?",
        ),
        (
            "path: '/{user}', transform: { request: { set: { x: '{user}' } } }",
            "give the parameter another name",
        ),
        (
            "path: /*, transform: { request: { set: { content-length: '1' } } }",
            "smuggled",
        ),
        (
            "path: /*, transform: { request: { set: { x-auth-subject: root } } }",
            "says who is asking",
        ),
        (
            "path: '/{x}', transform: { request: { set: { host: '{x}' } } }",
            "could choose the host",
        ),
        (
            "path: /*, cors: '*', transform: { response: { set: { access-control-allow-origin: '*' } } }",
            "`cors` of a route",
        ),
        (
            "path: /*, cors: { origins: '*', credentials: true }",
            "act as its visitors",
        ),
        ("path: /*, security_headers: false", "true"),
    ] {
        let config =
            format!("listeners: {{ web: '@web@' }}\nroutes: [ {{ {route}, respond: 200 }} ]\n");
        let refused = Weir::try_launch(Weir::launch(WEIR, &config));
        let problems = refused.err().unwrap_or_default();
        assert!(problems.contains(part), "{route}: {problems}");
    }
}
