//! A service that is asked whether a request may pass: what it is told, what its answers mean, and that no failure of it
//! lets anybody pass.

mod common;

use std::time::{Duration, Instant};

use common::{PLAIN, start};
use weir_testkit::{
    App, Origin, Reply, Request, Response, Step, Weir, free_addr, pattern, send, wait_until,
};

/// One worker; `all` goes to the service `app` if `authz` lets it, `free` goes there unasked.
fn weir(app: &App, authz: &str, http: &str, check: &str) -> Weir {
    start(&format!(
        "
workers: 1
listeners: {{ web: {{ address: '@web@', http: {{ {http} }} }} }}
routes:
  - {{ name: all, path: /*, service: app, forward_auth: {{ service: authz, {check} }}, cors: 'https://a.example' }}
  - {{ name: free, path: /free/*, service: app }}
services:
  app: ['{}']
  authz: {{ endpoints: [{authz}], balance: round_robin }}
",
        app.addr()
    ))
}

#[test]
fn an_endpoint_is_not_blamed_for_what_a_slow_service_takes() {
    let app = App::fine("app");
    let authz = App::start("authz", |_| Reply::ok().after(Duration::from_millis(900)));
    let weir = start(&format!(
        "
workers: 1
listeners: {{ web: '@web@' }}
routes:
  - path: /*
    service: app
    forward_auth: {{ service: authz, timeout: 10s }}
    timeout: {{ first_byte: 800ms }}
    retries: {{ hedge_after: 700ms }}
services:
  app: {{ endpoints: ['{}'], breaker: {{ slow_rate: 50%, slow_after: 800ms, min_requests: 3 }} }}
  authz: ['{}']
",
        app.addr(),
        authz.addr()
    ));
    let mut client = weir.client("web");
    for number in 0..4 {
        assert_eq!(client.get(&format!("/{number}")).status, 200, "{number}");
    }
    assert_eq!(app.requests(), 4);
    let line = weir.wait_log("the last", |line| line["target"] == "/3");
    assert!(
        line["duration_ms"]
            .as_f64()
            .is_some_and(|took| took >= 900.0),
        "{line}"
    );
    assert!(
        line["first_byte_ms"]
            .as_f64()
            .is_some_and(|took| took < 800.0),
        "{line}"
    );
}

fn guarded(app: &App, authz: &App, check: &str) -> Weir {
    weir(app, &format!("'{}'", authz.addr()), "", check)
}

fn ask(weir: &Weir, request: &str) -> Response {
    let mut client = weir.client("web");
    client.send(request);
    client.response_to(request.split(' ').next().unwrap_or_default())
}

fn get(weir: &Weir, target: &str, fields: &str) -> Response {
    ask(
        weir,
        &format!("GET {target} HTTP/1.1\r\nHost: shop.example:81\r\n{fields}\r\n"),
    )
}

/// The last request that an application was sent.
#[track_caller]
fn last(app: &App) -> Request {
    app.seen().last().expect("a request").request.clone()
}

fn names(request: &Request) -> Vec<String> {
    let names = request.headers.0.iter();
    names.map(|(name, _)| name.to_ascii_lowercase()).collect()
}

fn all(request: &Request, name: &str) -> Vec<String> {
    request.headers.all(name).map(str::to_owned).collect()
}

#[test]
fn the_service_is_told_what_is_asked_for() {
    let (app, authz) = (App::fine("app"), App::fine("authz"));
    let weir = guarded(&app, &authz, "path: '/check?for=weir'");
    let response = ask(
        &weir,
        "POST /a/./b%2fc?d=e HTTP/1.1\r\nHost: shop.example:81\r\nCookie: s=1\r\nAuthorization: Bearer x\r\n\
         Content-Type: text/plain\r\nContent-Length: 5\r\nExpect: 100-continue\r\nIf-None-Match: \"x\"\r\nRange: bytes=0-1\r\n\
         X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Uri: /free\r\nx_forwarded_method: GET\r\n\
         X-Forwarded-Host: evil.example\r\nX-Weir-Mirror: 1\r\nConnection: x-hop\r\nX-Hop: 1\r\nX-Mine: 1\r\n\r\nhello",
    );
    assert_eq!(response.status, 200, "{response:?}");
    let asked = last(&authz);
    assert_eq!(
        (asked.method.as_str(), asked.target.as_str()),
        ("GET", "/check?for=weir")
    );
    for (name, expected) in [
        ("host", "shop.example:81"),
        ("cookie", "s=1"),
        ("authorization", "Bearer x"),
        ("x-mine", "1"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "shop.example:81"),
        ("x-forwarded-method", "POST"),
    ] {
        assert_eq!(all(&asked, name), [expected], "{name}");
    }
    let uri = all(&asked, "x-forwarded-uri");
    assert_eq!(
        uri,
        [last(&app).target],
        "what is asked about is what is asked for"
    );
    for name in [
        "content-type",
        "content-length",
        "transfer-encoding",
        "expect",
        "if-none-match",
        "range",
        "x-hop",
        "connection",
        "x-weir-mirror",
        "x_forwarded_method",
    ] {
        assert!(!names(&asked).contains(&name.to_owned()), "{name}");
    }
    assert_eq!(asked.body, b"");
    assert_eq!(
        last(&app).body,
        b"hello",
        "the body is for the application alone"
    );
    assert_eq!(
        all(&asked, "x-request-id"),
        all(&last(&app), "x-request-id")
    );
    assert_eq!(all(&asked, "traceparent"), all(&last(&app), "traceparent"));
}

#[test]
fn trusted_proxies_are_believed() {
    let (app, authz) = (App::fine("app"), App::fine("authz"));
    let http = "forwarded: { trusted: [127.0.0.0/8] }";
    let weir = weir(&app, &format!("'{}'", authz.addr()), http, "");
    let told = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: www.example\r\n";
    assert_eq!(get(&weir, "/", told).status, 200);
    let asked = last(&authz);
    assert_eq!(all(&asked, "x-forwarded-for"), ["192.0.2.1, 127.0.0.1"]);
    assert_eq!(all(&asked, "x-forwarded-proto"), ["https"]);
    assert_eq!(all(&asked, "x-forwarded-host"), ["www.example"]);
}

#[test]
fn only_listed_fields_are_passed() {
    let (app, authz) = (App::fine("app"), App::fine("authz"));
    let weir = weir(
        &app,
        &format!("'{}'", authz.addr()),
        PLAIN,
        "pass: [cookie, x-a], method: POST",
    );
    let sent = "Cookie: s=1\r\nAuthorization: x\r\nX-A: 1\r\nX-B: 2\r\n";
    assert_eq!(get(&weir, "/", sent).status, 200);
    assert_eq!(
        names(&last(&authz)),
        [
            "host",
            "cookie",
            "x-a",
            "content-length",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-host",
            "x-forwarded-method",
            "x-forwarded-uri"
        ]
    );
    assert_eq!(last(&authz).method, "POST");
    assert_eq!(all(&last(&app), "authorization"), ["x"]);
}

#[test]
fn the_application_learns_who_asks_from_the_service_alone() {
    let app = App::fine("app");
    let authz = App::start("authz", |request| match request.headers.first("cookie") {
        Some(_) => Reply::status(204)
            .field("X-User", "ada")
            .field("X-Groups", "a")
            .field("x-groups", "b")
            .field("X-Inner", "1"),
        None => Reply::ok(),
    });
    let weir = guarded(&app, &authz, "headers: [x-user, X-Groups, authorization]");
    let forged =
        "X-User: root\r\nX_USER: root\r\nx-groups: wheel\r\nAuthorization: Bearer outer\r\n";
    assert_eq!(
        get(&weir, "/", &format!("Cookie: s=1\r\n{forged}")).status,
        200
    );
    let seen = last(&app);
    assert_eq!(all(&seen, "x-user"), ["ada"]);
    assert_eq!(all(&seen, "x-groups"), ["a", "b"]);
    assert_eq!(
        all(&seen, "authorization"),
        ["Bearer outer"],
        "the service says no other"
    );
    assert!(all(&seen, "x_user").is_empty() && all(&seen, "x-inner").is_empty());
    assert!(
        all(&last(&authz), "x-user").is_empty(),
        "not even the service is told what is forged"
    );
    // A service that says nothing leaves nothing.
    assert_eq!(get(&weir, "/", forged).status, 200);
    assert!(all(&last(&app), "x-user").is_empty());
    // And where nobody is asked, nobody says it.
    let asked = authz.requests();
    assert_eq!(get(&weir, "/free/a", forged).status, 200);
    assert_eq!(authz.requests(), asked);
    assert!(all(&last(&app), "x-user").is_empty() && all(&last(&app), "x_user").is_empty());

    authz.behave(|_| Reply::ok().field("Authorization", "Bearer inner"));
    assert_eq!(get(&weir, "/", forged).status, 200);
    assert_eq!(all(&last(&app), "authorization"), ["Bearer inner"]);
}

#[test]
fn a_refusal_goes_to_the_client_as_it_is() {
    let (app, authz) = (App::fine("app"), App::fine("authz"));
    let weir = guarded(&app, &authz, "");
    for status in [401, 403, 302, 303, 307, 308] {
        authz.behave(move |_| {
            Reply::status(status)
                .field("Location", "https://id.example/login?back=%2F")
                .field("Set-Cookie", "state=1; HttpOnly")
                .field("Set-Cookie", "nonce=2")
                .field("WWW-Authenticate", "Bearer realm=\"a\"")
                .field("Content-Type", "text/html")
                .body("<p>no</p>")
        });
        let mut client = weir.client("web");
        for _ in 0..2 {
            client.send("GET /a HTTP/1.1\r\nHost: a\r\nOrigin: https://a.example\r\n\r\n");
            let response = client.response();
            let seen = format!("{response:?}");
            assert_eq!(response.status, status, "{seen}");
            assert_eq!(
                response.header("location"),
                Some("https://id.example/login?back=%2F")
            );
            let cookies: Vec<&str> = response.headers.all("set-cookie").collect();
            assert_eq!(cookies, ["state=1; HttpOnly", "nonce=2"]);
            assert_eq!(
                response.header("www-authenticate"),
                Some("Bearer realm=\"a\"")
            );
            assert_eq!(response.header("content-type"), Some("text/html"));
            assert_eq!(response.text(), "<p>no</p>");
            assert_eq!(
                response.header("access-control-allow-origin"),
                Some("https://a.example"),
                "{seen}"
            );
        }
        let head = ask(&weir, "HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(
            (head.status, head.header("content-length")),
            (status, Some("9"))
        );
    }
    assert_eq!(app.requests(), 0);
    let line = weir.wait_log("a refusal", |line| line["status"] == 403);
    assert_eq!(line["reason"], "auth_denied", "{line}");
}

#[test]
fn whatever_is_not_clear_lets_nobody_pass() {
    let (app, authz) = (App::fine("app"), App::fine("authz"));
    let weir = guarded(&app, &authz, "timeout: 300ms");
    for (name, reply) in [
        ("500", Reply::status(500)),
        ("404", Reply::status(404)),
        ("400", Reply::status(400)),
        ("304", Reply::status(304)),
        ("429", Reply::status(429)),
        ("reset", Reply::reset()),
        ("too late", Reply::hold()),
    ] {
        authz.behave(move |_| reply.clone());
        let response = get(&weir, "/", "");
        assert_eq!(response.status, 503, "{name}: {response:?}");
        assert_eq!(
            response.header("content-type"),
            Some("application/problem+json")
        );
    }
    assert_eq!(app.requests(), 0);
    let line = weir.wait_log("a failure", |line| line["status"] == 503);
    assert_eq!(line["reason"], "auth_unavailable", "{line}");
    weir.wait_log("the last failure", |line| line["rule"] == "timeout");
    authz.behave(|_| Reply::ok());
    // In a time that a busy machine may need more than once.
    wait_until("it to recover", || get(&weir, "/", "").status == 200);
}

#[test]
fn answers_that_break_the_rules_let_nobody_pass() {
    let app = App::fine("app");
    let hostile: [(&str, Vec<Step>); 8] = [
        ("nothing", vec![Step::ReadRequest]),
        ("rubbish", vec![Step::ReadRequest, send("hello\r\n\r\n")]),
        (
            "half a head",
            vec![Step::ReadRequest, send("HTTP/1.1 200 OK\r\nX-User: a")],
        ),
        (
            "a switch",
            vec![
                Step::ReadRequest,
                send(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
                ),
            ],
        ),
        (
            "interims without end",
            vec![
                Step::ReadRequest,
                send("HTTP/1.1 102 Processing\r\n\r\n".repeat(100)),
                Step::Hold,
            ],
        ),
        (
            "two lengths",
            vec![
                Step::ReadRequest,
                send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
            ],
        ),
        (
            "a head without end",
            vec![
                Step::ReadRequest,
                send(format!("HTTP/1.1 200 OK\r\nX: {}", "a".repeat(300_000))),
                Step::Hold,
            ],
        ),
        ("silence", vec![Step::ReadRequest, Step::Hold]),
    ];
    for (name, script) in hostile {
        let authz = Origin::script(script);
        let weir = weir(&app, &format!("'{}'", authz.addr()), "", "timeout: 500ms");
        assert_eq!(get(&weir, "/", "").status, 503, "{name}");
        if name == "silence" {
            weir.wait_log(name, |line| line["rule"] == "timeout");
        }
    }
    assert_eq!(app.requests(), 0);
}

#[test]
fn a_trickle_is_no_answer() {
    let app = App::fine("app");
    let authz = Origin::script([
        Step::ReadRequest,
        Step::SendBytewise(
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(),
            Duration::from_millis(300),
        ),
    ]);
    let weir = weir(&app, &format!("'{}'", authz.addr()), "", "timeout: 500ms");
    let begin = Instant::now();
    assert_eq!(get(&weir, "/", "").status, 503);
    // All of it would take twelve seconds.
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(app.requests(), 0);
}

#[test]
fn bodies_of_refusals_are_bounded() {
    let app = App::fine("app");
    let big = pattern(3000);
    let authz = App::start("authz", {
        let big = big.clone();
        move |request| {
            let size = request
                .headers
                .first("x-size")
                .and_then(|size| size.parse().ok());
            Reply::status(403)
                .field("Content-Type", "text/plain")
                .field("X-Why", "a")
                .body(&big[..size.unwrap_or(0)])
        }
    });
    let weir = guarded(&app, &authz, "max_body: 2KiB");
    let mut client = weir.client("web");
    for (size, passed) in [
        (2048, true),
        (2049, false),
        (10, true),
        (3000, false),
        (0, true),
    ] {
        client.send(format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Size: {size}\r\n\r\n"
        ));
        let response = client.response();
        assert_eq!(response.status, 403, "{size}");
        assert_eq!(response.header("x-why"), Some("a"));
        assert_eq!(
            response.body,
            if passed { &big[..size] } else { &[] },
            "{size}"
        );
        assert_eq!(response.header("content-type").is_some(), passed, "{size}");
    }
    // Chunks become a length, and half a body is none.
    for (answer, body) in [
        (
            "HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n",
            "abcde",
        ),
        ("HTTP/1.1 401 No\r\n\r\nuntil the end", "until the end"),
        ("HTTP/1.1 401 No\r\nContent-Length: 10\r\n\r\nabc", ""),
        (
            "HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "",
        ),
    ] {
        let authz = Origin::answering_once(answer);
        let weir = self::weir(&app, &format!("'{}'", authz.addr()), "", "timeout: 500ms");
        let response = get(&weir, "/", "");
        assert_eq!(
            (response.status, response.text().as_str()),
            (401, body),
            "{answer}"
        );
        assert_eq!(
            response.header("content-length"),
            Some(body.len().to_string().as_str())
        );
        assert_eq!(response.header("transfer-encoding"), None);
    }
    assert_eq!(app.requests(), 0);
}

#[test]
fn connections_to_the_service_are_used_again() {
    let (app, authz) = (App::fine("app"), App::fine("authz"));
    let weir = guarded(&app, &authz, "");
    let mut client = weir.client("web");
    for number in 0..20 {
        assert_eq!(client.get(&format!("/{number}")).status, 200);
    }
    assert_eq!((authz.requests(), authz.connections()), (20, 1));
    authz.behave(|_| Reply::status(403));
    for number in 0..20 {
        assert_eq!(client.get(&format!("/{number}")).status, 403);
    }
    assert_eq!((authz.requests(), authz.connections()), (40, 1));
}

#[test]
fn a_connection_that_the_service_closed_costs_nothing() {
    let app = App::fine("app");
    let once = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    // Closes after each answer without a word, as idle connections are closed.
    let authz = Origin::answering_once(once);
    let weir = weir(&app, &format!("'{}'", authz.addr()), "", "");
    for number in 0..20 {
        assert_eq!(
            get(&weir, &format!("/{number}"), "").status,
            200,
            "{number}"
        );
    }
    let labels = [("service", "authz")];
    let metrics = weir.metrics();
    assert_eq!(metrics.sum("weir_endpoint_resets_total", &labels), 0.0);
    assert_eq!(metrics.sum("weir_endpoint_requests_total", &labels), 20.0);
}

#[test]
fn another_endpoint_is_asked_if_one_is_dead() {
    let (app, authz) = (App::fine("app"), App::fine("authz"));
    let dead = free_addr();
    let both = format!("'{dead}', '{}'", authz.addr());
    let weir = weir(&app, &both, "", "");
    for number in 0..10 {
        assert_eq!(
            get(&weir, &format!("/{number}"), "").status,
            200,
            "{number}"
        );
    }
    let none = self::weir(&app, &format!("'{dead}'"), "", "");
    assert_eq!(get(&none, "/", "").status, 503);
}

#[test]
fn nobody_is_asked_about_for_a_client_that_has_gone() {
    let (app, authz) = (App::fine("app"), App::start("authz", |_| Reply::hold()));
    let weir = guarded(&app, &authz, "timeout: 30s");
    let mut client = weir.client("web");
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    authz.wait_requests(1);
    client.reset();
    wait_until("the question to be left", || authz.left() == 1);
    assert_eq!(app.requests(), 0);
}

#[test]
fn a_refused_body_does_not_become_a_request() {
    let (app, authz) = (
        App::fine("app"),
        App::start("authz", |_| Reply::status(403)),
    );
    let weir = guarded(&app, &authz, "");
    let mut client = weir.client("web");
    let inner = "GET /free/inner HTTP/1.1\r\nHost: a\r\n\r\n";
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{inner}",
        inner.len()
    ));
    assert_eq!(client.response().status, 403);
    client.send("GET /free/next HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().status, 200);
    assert_eq!(app.targets(), ["/free/next"]);
    // A large one is not waited for.
    let mut client = weir.client("web");
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
    assert_eq!(client.response().status, 403);
}

#[test]
fn a_body_waits_for_the_verdict() {
    let (app, authz) = (App::fine("app"), App::start("authz", |_| Reply::hold()));
    let weir = guarded(&app, &authz, "timeout: 30s");
    let body = pattern(300_000);
    let mut client = weir.client("web");
    client.send(format!(
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    authz.wait_requests(1);
    client.send(&body);
    assert_eq!(app.requests(), 0);
    authz.release(1);
    assert_eq!(client.response().status, 200);
    assert_eq!(last(&app).body, body);
}
