//! Where requests lead: the most specific route, whatever the order, and nowhere that a clever path would like to.

#[path = "common/running.rs"]
mod running;

use running::start;
use weir_testkit::{Echo, RawClient, Response, Weir, fnv1a};

/// Routes by the name that they answer with.
const ROUTES: &[(&str, &str)] = &[
    ("any", "path: /*"),
    ("exact", "path: /a/b"),
    ("parameter", "path: '/a/{id}'"),
    ("literal-after-parameter", "path: '/a/{id}/c'"),
    ("prefix", "path: /a/*"),
    ("long-prefix", "path: /a/b/c/*"),
    ("regex", "path: '~^/a/\\d+$'"),
    ("host", "host: api.example.com, path: /*"),
    ("host-exact-path", "host: api.example.com, path: /a/b"),
    ("wildcard", "host: '*.example.com', path: /*"),
    ("long-wildcard", "host: '*.eu.example.com', path: /*"),
    (
        "two-hosts",
        "host: [one.example.org, two.example.org], path: /*",
    ),
    ("post", "path: /m, methods: POST"),
    ("get", "path: /m, methods: [GET, DELETE]"),
    ("only-put", "path: /put, methods: PUT"),
    ("header", "path: /h, headers: { x-version: '2' }"),
    ("header-any", "path: /h, headers: { x-version: '*' }"),
    ("header-regex", "path: /h, headers: { x-version: '~^3\\.' }"),
    (
        "two-headers",
        "path: /h, headers: { x-version: '2', x-beta: '*' }",
    ),
    ("no-header", "path: /h"),
    ("query", "path: /q, query: { beta: '1' }"),
    ("query-any", "path: /q, query: { beta: '*' }"),
    ("no-query", "path: /q"),
    ("encoded", "path: /caf%C3%A9"),
    ("slash", "path: /dir/"),
];

/// Request line and fields, and the route that it leads to; a number is a status without a route.
const REQUESTS: &[(&str, &str)] = &[
    ("GET / x", "any"),
    ("GET /other x", "any"),
    ("GET /a/b x", "exact"),
    ("GET /a/b?x=y x", "exact"),
    ("GET /a/z x", "parameter"),
    ("GET /a/z/c x", "literal-after-parameter"),
    ("GET /a/z/d x", "prefix"),
    ("GET /a x", "prefix"),
    ("GET /a/ x", "prefix"),
    ("GET /a/b/ x", "prefix"),
    ("GET /ab x", "any"),
    // A complete path stands before every prefix.
    ("GET /a/b/c x", "literal-after-parameter"),
    ("GET /a/b/c/ x", "long-prefix"),
    ("GET /a/b/c/d/e x", "long-prefix"),
    ("GET /a/b/cd x", "prefix"),
    // A parameter is complete, so it stands before a regex.
    ("GET /a/12 x", "parameter"),
    ("GET /a/b api.example.com", "host-exact-path"),
    ("GET /a/b API.Example.COM:8080", "host-exact-path"),
    ("GET /a/z api.example.com", "host"),
    ("GET /a/b www.example.com", "wildcard"),
    ("GET /a/b x.y.example.com", "wildcard"),
    ("GET /a/b x.eu.example.com", "long-wildcard"),
    ("GET /a/b example.com", "exact"),
    ("GET / one.example.org", "two-hosts"),
    ("GET / two.example.org.", "two-hosts"),
    ("GET / three.example.org", "any"),
    (
        "GET http://api.example.com/a/b api.example.com",
        "host-exact-path",
    ),
    ("POST /m x", "post"),
    ("GET /m x", "get"),
    ("HEAD /m x", "get"),
    ("DELETE /m x", "get"),
    ("PATCH /m x", "any"),
    ("PUT /put x", "only-put"),
    ("GET /put x", "any"),
    ("GET /h x", "no-header"),
    ("GET /h x X-Version: 2", "header"),
    ("GET /h x x-version: 1", "header-any"),
    ("GET /h x x-version: 3.1", "header-regex"),
    ("GET /h x x-version: 2|X-Beta: on", "two-headers"),
    ("GET /q x", "no-query"),
    ("GET /q?alpha=1 x", "no-query"),
    ("GET /q?beta=1 x", "query"),
    ("GET /q?a=b&beta=1 x", "query"),
    ("GET /q?beta=2 x", "query-any"),
    ("GET /q?beta x", "query-any"),
    ("GET /q?b%65ta=%31 x", "query"),
    ("GET /caf%c3%a9 x", "encoded"),
    ("GET /dir/ x", "slash"),
    ("GET /dir x", "any"),
    // Spelled differently, and the same path.
    ("GET /a/./b x", "exact"),
    ("GET /a/x/../b x", "exact"),
    ("GET //a//b x", "exact"),
    ("GET /%61/%62 x", "exact"),
    ("GET /a%2Fb x", "any"),
];

fn config(routes: &[&(&str, &str)]) -> String {
    let mut text = String::from("listeners: { web: '@web@' }\nroutes:\n");
    for (name, conditions) in routes {
        text.push_str(&format!(
            "  - {{ {conditions}, respond: {{ body: {name} }} }}\n"
        ));
    }
    text
}

fn ask(client: &mut RawClient, request: &str) -> Response {
    let mut parts = request.splitn(4, ' ');
    let mut part = || parts.next().unwrap_or_default();
    let (method, target, host) = (part(), part(), part());
    let fields: String = part()
        .split('|')
        .filter(|f| !f.is_empty())
        .map(|f| format!("{f}\r\n"))
        .collect();
    client.send(format!(
        "{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"
    ));
    client.response_to(method)
}

/// In another order for every seed, and the same order for the same.
fn shuffled(seed: u64) -> Vec<&'static (&'static str, &'static str)> {
    let mut routes: Vec<_> = ROUTES.iter().collect();
    routes.sort_by_key(|(name, _)| fnv1a(format!("{seed} {name}").as_bytes()));
    routes
}

#[test]
fn the_most_specific_route_wins_in_any_order() {
    let mut weir = start(&config(&ROUTES.iter().collect::<Vec<_>>()), &[]);
    let mut client = weir.client("web");
    for seed in 0..6 {
        if seed > 0 {
            assert_eq!(weir.reload_with(&config(&shuffled(seed))).status, 200);
        }
        for (request, expected) in REQUESTS {
            let response = ask(&mut client, request);
            assert_eq!(response.status, 200, "{request} in order {seed}");
            if !request.starts_with("HEAD") {
                assert_eq!(response.text(), *expected, "{request} in order {seed}");
            }
        }
    }
}

#[test]
fn routes_belong_to_listeners() {
    let config = "
listeners: { web: '@web@', inside: '@inside@' }
routes:
  - { path: /*, respond: { body: everywhere } }
  - { path: /*, listeners: inside, respond: { body: inside } }
  - { path: /metrics, listeners: [inside], respond: { body: secret } }
";
    let weir = start(config, &[]);
    let get = |listener: &str, path: &str| weir.client(listener).get(path).text();
    assert_eq!(get("web", "/"), "everywhere");
    assert_eq!(get("inside", "/"), "inside");
    assert_eq!(get("inside", "/metrics"), "secret");
    assert_eq!(get("web", "/metrics"), "everywhere");
}

#[test]
fn nothing_there_is_404_and_another_method_is_405_with_allow() {
    let config = "
listeners: { web: '@web@' }
routes:
  - { path: /m, methods: [GET, POST], respond: 200 }
  - { path: /m, methods: PUT, headers: { x: '1' }, respond: 200 }
  - { host: only.example, path: /there, respond: 200 }
";
    let weir = start(config, &[]);
    let mut client = weir.client("web");
    for request in [
        "GET / x",
        "GET /m/ x",
        "GET /there x",
        "GET /there other.example",
    ] {
        let response = ask(&mut client, request);
        assert_eq!(response.status, 404, "{request}");
        assert_eq!(
            response.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(response.json()["status"], 404);
    }
    let response = ask(&mut client, "DELETE /m x");
    assert_eq!(response.status, 405);
    let mut allow: Vec<&str> = response
        .header("allow")
        .expect("Allow")
        .split(", ")
        .collect();
    allow.sort_unstable();
    assert_eq!(allow, ["GET", "HEAD", "POST"]);
    assert_eq!(ask(&mut client, "PUT /m x x: 1").status, 200);
    let line = weir.wait_log("the 405", |line| line["status"] == 405);
    assert_eq!(line["reason"], "method_not_allowed");
    assert_eq!(ask(&mut client, "OPTIONS * x").status, 204);
}

fn target_of(response: &Response) -> String {
    response.json()["target"]
        .as_str()
        .expect("a target")
        .to_owned()
}

#[test]
fn endpoints_get_the_rewritten_target() {
    let app = Echo::start("app");
    let config = "
listeners: { web: '@web@' }
routes:
  - { path: /plain/*, service: app }
  - { path: /strip/*, service: app, rewrite: '/{rest}' }
  - { path: /add/*, service: app, rewrite: '/v2/{rest}' }
  - { path: '/users/{id}/orders/{order}', service: app, rewrite: '/orders/{order}?user={id}' }
  - { path: '~^/blog/(?<year>\\d{4})/(?<slug>[a-z-]+)$', service: app, rewrite: '/posts/{slug}?y={year}' }
services: { app: ['@app@'] }
";
    let weir = start(config, &[("app", app.addr())]);
    let mut client = weir.client("web");
    for (sent, expected) in [
        ("/plain/x", "/plain/x"),
        ("/plain/x?a=b&c", "/plain/x?a=b&c"),
        ("/plain", "/plain"),
        ("/plain/%41//b", "/plain/A/b"),
        ("/plain/a%2Fb", "/plain/a%2Fb"),
        ("/strip/x/y?q=1", "/x/y?q=1"),
        ("/strip", "/"),
        ("/strip/", "/"),
        ("/add/x", "/v2/x"),
        ("/users/7/orders/9?page=2", "/orders/9?user=7"),
        ("/users/a%20b/orders/9", "/orders/9?user=a%20b"),
        ("/blog/2026/hello-world", "/posts/hello-world?y=2026"),
    ] {
        let response = client.get(sent);
        assert_eq!(response.status, 200, "{sent}: {}", response.text());
        assert_eq!(target_of(&response), expected, "{sent}");
    }
}

#[test]
fn redirects_and_fixed_answers() {
    let config = "
listeners: { web: '@web@' }
routes:
  - { path: /old/*, redirect: '/new/{rest}' }
  - { path: /moved, redirect: { to: 'https://{host}{path}', status: 301 } }
  - { path: /other, redirect: { to: 'https://elsewhere.example/', status: 303 } }
  - { path: /gone, respond: 410 }
  - { path: /empty, respond: 204 }
  - { path: /json, respond: { status: 201, body: '{\"a\":1}', content_type: application/json, headers: { x-one: 'first', cache-control: no-store } } }
";
    let weir = start(config, &[]);
    let mut client = weir.client("web");
    for (sent, status, location) in [
        ("/old/a/b?c=d", 308, "/new/a/b?c=d"),
        ("/old", 308, "/new/"),
        // However it is spelled, the target stays on this host.
        ("/old//evil.example/", 308, "/new/evil.example/"),
        ("/other", 303, "https://elsewhere.example/"),
    ] {
        let response = client.get(sent);
        assert_eq!(
            (response.status, response.header("location")),
            (status, Some(location)),
            "{sent}"
        );
        assert!(response.keeps_alive());
    }
    client.send("GET /moved HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    assert_eq!(
        client.response().header("location"),
        Some("https://shop.example/moved")
    );

    assert_eq!(client.get("/gone").status, 410);
    let empty = client.get("/empty");
    assert_eq!((empty.status, empty.header("content-length")), (204, None));
    let json = client.get("/json");
    assert_eq!((json.status, json.text().as_str()), (201, "{\"a\":1}"));
    assert_eq!(json.header("content-type"), Some("application/json"));
    assert_eq!(json.header("x-one"), Some("first"));
    client.send("HEAD /json HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = client.response_to("HEAD");
    assert_eq!(
        (head.header("content-length"), head.body.len()),
        (Some("7"), 0)
    );
    // A body that nobody asked for is read away.
    client.send("POST /json HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.response().status, 201);
    assert_eq!(client.get("/gone").status, 410);
}

/// All that a server behind might make of a path, decoding it again and again.
fn readings(path: &str) -> Vec<String> {
    let mut readings = vec![path.to_owned()];
    for _ in 0..3 {
        let last = readings.last().expect("one");
        let mut decoded = Vec::new();
        let mut bytes = last.bytes();
        while let Some(byte) = bytes.next() {
            let rest: Vec<u8> = bytes.clone().take(2).collect();
            let hex = (byte == b'%' && rest.len() == 2)
                .then(|| u8::from_str_radix(&String::from_utf8_lossy(&rest), 16).ok())
                .flatten();
            decoded.push(hex.unwrap_or(byte));
            if hex.is_some() {
                bytes.nth(1);
            }
        }
        let decoded = String::from_utf8_lossy(&decoded).into_owned();
        if decoded == *last {
            break;
        }
        readings.push(decoded);
    }
    readings
}

/// Whether the path has a segment that climbs, with slashes of either kind and parameters cut off.
fn climbs(path: &str) -> bool {
    path.split(['/', '\\'])
        .any(|segment| segment.split(';').next() == Some(".."))
}

#[test]
fn hostile_paths_reach_no_prefix_that_is_not_theirs() {
    let (public, admin) = (Echo::start("public"), Echo::start("admin"));
    let config = "
listeners: { web: '@web@' }
routes:
  - { path: /public/*, service: public }
  - { path: /strip/*, service: public, rewrite: '/public/{rest}' }
  - { path: /admin/*, service: admin }
services: { public: ['@public@'], admin: ['@private@'] }
";
    let weir = start(
        config,
        &[("public", public.addr()), ("private", admin.addr())],
    );
    let tails = [
        "../admin/x",
        "%2e%2e/admin/x",
        "%2E%2e%2fadmin/x",
        "..%2fadmin/x",
        "..%2Fadmin",
        "..%5cadmin/x",
        "..\\admin\\x",
        "./../admin/x",
        "a/../../admin/x",
        "a/%2e%2e/%2e%2e/admin/x",
        "..;/admin/x",
        "..;a=b/admin/x",
        "%2e%2e;/admin/x",
        "a/..%2f..%2fadmin",
        "%252e%252e/admin/x",
        "%252e%252e%252fadmin/x",
        "..%00/admin/x",
        "%00",
        "..%c0%af../admin",
        "..//admin/x",
        "//../admin/x",
        "/../admin/x",
        "%2f..%2fadmin",
        "....//admin",
        "../../../../admin/x",
        "%",
        "%2",
        "%zz",
        "..",
        "../",
        "%2e%2e",
        ".%2e/admin/x",
        "%2e./admin/x",
        "x/..;/..;/admin",
        "..#/admin",
        "..?/admin/x",
        "%5c..%5cadmin",
    ];
    for prefix in ["/public/", "/strip/"] {
        for tail in tails {
            let target = format!("{prefix}{tail}");
            let mut client = weir.client("web");
            client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
            let response = client.response();
            match response.status {
                400 | 404 => continue,
                200 => {}
                other => panic!("{target}: {other}"),
            }
            let seen = response.json();
            let path = target_of(&response);
            let path = path.split('?').next().expect("a path");
            if seen["name"] == "admin" {
                // It climbed, and Weir knew: route, log and endpoint agree that this is /admin.
                assert!(
                    path.starts_with("/admin") && !climbs(path),
                    "{target} became {path}"
                );
                continue;
            }
            assert!(path.starts_with("/public"), "{target} became {path}");
            // Decoded once, as every server does, it must not climb; nothing may hide behind one encoding.
            for reading in readings(path).iter().take(2) {
                assert!(
                    !climbs(reading),
                    "{target} became {path}, which reads as {reading}"
                );
            }
        }
    }
}

#[test]
fn a_path_that_changed_is_forwarded_as_it_was_judged() {
    let app = Echo::start("app");
    let config = "
listeners: { web: '@web@' }
routes: [ { path: /a/*, service: app }, { path: /b/*, respond: 403 } ]
services: { app: ['@app@'] }
";
    let weir = start(config, &[("app", app.addr())]);
    let mut client = weir.client("web");
    assert_eq!(target_of(&client.get("/b/../a/x?../b")), "/a/x?../b");
    assert_eq!(client.get("/a/../b/x").status, 403);
    assert_eq!(target_of(&client.get("/a/%7Euser/%2e/x")), "/a/~user/x");
    let line = weir.wait_log("as sent", |line| line["target"] == "/b/../a/x?../b");
    assert_eq!(line["route"], "/a/*");
}

fn many(count: usize, generation: usize) -> String {
    let mut text = String::from(
        "listeners: { web: '@web@' }\nroutes:\n  - { path: /*, respond: { body: none } }\n",
    );
    for n in 0..count {
        text.push_str(&match n % 4 {
            0 => format!("  - {{ path: /exact/{n}, respond: {{ body: 'g{generation} {n}' }} }}\n"),
            1 => format!("  - {{ path: /prefix/{n}/*, respond: {{ body: 'g{generation} {n}' }} }}\n"),
            2 => format!("  - {{ host: h{n}.example, path: '/p/{{id}}', respond: {{ body: 'g{generation} {n}' }} }}\n"),
            _ => format!("  - {{ host: '*.w{n}.example', path: /*, methods: [GET, POST], respond: {{ body: 'g{generation} {n}' }} }}\n"),
        });
    }
    text
}

fn check_many(weir: &Weir, count: usize, generation: usize) {
    let mut client = weir.client("web");
    let numbers = (0..count)
        .step_by(count / 50)
        .flat_map(|n| n..n + 4)
        .filter(|n| *n < count);
    for n in numbers {
        let request = match n % 4 {
            0 => format!("GET /exact/{n} x"),
            1 => format!("GET /prefix/{n}/a/b x"),
            2 => format!("GET /p/7 h{n}.example"),
            _ => format!("GET /any a.b.w{n}.example"),
        };
        assert_eq!(
            ask(&mut client, &request).text(),
            format!("g{generation} {n}"),
            "{request}"
        );
    }
    assert_eq!(ask(&mut client, "GET /exact/99999999 x").text(), "none");
}

#[test]
fn ten_thousand_routes_lead_where_they_should_and_reload() {
    const COUNT: usize = 10_000;
    let mut weir = start(&many(COUNT, 1), &[]);
    check_many(&weir, COUNT, 1);
    assert_eq!(running::status(&weir)["routes"], COUNT + 1);
    for generation in 2..=3 {
        weir.rewrite_config(&many(COUNT, generation));
        weir.signal(weir_testkit::Signal::HUP);
        weir_testkit::wait_until("the next generation", || {
            weir.client("web").get("/exact/0").text() == format!("g{generation} 0")
        });
        check_many(&weir, COUNT, generation);
    }
    assert_eq!(weir.reload_with(&many(10, 4)).status, 200);
    assert_eq!(weir.client("web").get("/exact/0").text(), "g4 0");
    assert_eq!(weir.client("web").get("/exact/400").text(), "none");
}

#[test]
fn encoded_slashes_mean_what_the_listener_says() {
    let app = Echo::start("app");
    let config = "
listeners:
  keep: '@keep@'
  reject: { address: '@reject@', http: { escaped_slashes: reject } }
  decode: { address: '@decode@', http: { escaped_slashes: decode } }
routes:
  - { path: /public/*, service: app }
  - { path: /admin/*, service: app, firewall: { rules: [ { deny: /admin/secret/* } ] } }
services: { app: ['@app@'] }
";
    let weir = start(config, &[("app", app.addr())]);
    let ask = |listener: &str, target: &str| {
        let mut client = weir.client(listener);
        client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let response = client.response();
        match response.status {
            200 => target_of(&response),
            status => status.to_string(),
        }
    };
    for (target, keep, reject, decode) in [
        ("/public/a", "/public/a", "/public/a", "/public/a"),
        ("/public/a%2fb", "/public/a%2Fb", "400", "/public/a/b"),
        ("/public%2Fa", "404", "400", "/public/a"),
        ("/public/x%2F..%2F..%2Fadmin/a", "400", "400", "/admin/a"),
        ("/admin%2Fsecret%2Fa", "404", "400", "403"),
        ("/admin/secret%2fa?b=%2F", "403", "400", "403"),
        ("/public/a%5Cb", "/public/a%5Cb", "400", "400"),
        (
            "/public/a?b=%2F",
            "/public/a?b=%2F",
            "/public/a?b=%2F",
            "/public/a?b=%2F",
        ),
    ] {
        let found = ["keep", "reject", "decode"].map(|listener| ask(listener, target));
        assert_eq!(found, [keep, reject, decode], "{target}");
    }
    let line = weir.wait_log("a refusal", |line| {
        line["listener"] == "reject" && line["status"] == 400
    });
    assert_eq!(line["rule"], "bad_path");
}
