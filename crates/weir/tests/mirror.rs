//! Copies of requests for another service: whole, marked, bounded, and never felt by the original.

mod common;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::{PLAIN, start};
use weir_testkit::{Echo, Origin, Response, Step, Weir, free_addr, pattern, send, wait_until};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

fn weir(app: SocketAddr, shadow: SocketAddr, mirror: &str, route: &str) -> Weir {
    start(&format!(
        "
workers: 1
listeners: {{ web: {{ address: '@web@', http: {{ {PLAIN} }} }} }}
routes: [ {{ name: all, path: /*, service: app, mirror: {{ service: shadow, {mirror} }}, {route} }} ]
services:
  app: ['{app}']
  shadow: ['{shadow}']
"
    ))
}

/// How many requests had this fate.
fn mirrored(weir: &Weir, result: &str) -> f64 {
    let labels = [("route", "all"), ("result", result)];
    weir.metrics().sum("weir_http_mirrored_total", &labels)
}

fn wait_mirrored(weir: &Weir, result: &str, count: usize) {
    wait_until(&format!("{count} {result}"), || {
        mirrored(weir, result) >= count as f64
    });
    assert_eq!(mirrored(weir, result), count as f64, "{result}");
}

/// Everything that an origin got, once it has this many bytes after the last head.
fn whole(origin: &Origin, end: &[u8]) -> String {
    wait_until("the whole request", || {
        let bytes = origin.received_anywhere();
        bytes.windows(end.len()).any(|part| part == end)
    });
    String::from_utf8_lossy(&origin.received_anywhere()).into_owned()
}

/// The original must not notice.
#[track_caller]
fn unfelt(weir: &Weir, count: usize) {
    let mut client = weir.client("web");
    let mut longest = Duration::ZERO;
    for number in 0..count {
        let begin = Instant::now();
        let response = client.get(&format!("/{number}"));
        longest = longest.max(begin.elapsed());
        assert_eq!(response.status, 200, "request {number}: {response:?}");
    }
    // Far from any timeout of a copy.
    assert!(longest < Duration::from_secs(3), "{longest:?}");
}

/// The original's endpoint is blamed for nothing.
fn blameless(weir: &Weir) {
    let metrics = weir.metrics();
    let labels = [("service", "app")];
    for name in ["connect_failures", "resets", "bad_responses"] {
        let name = format!("weir_endpoint_{name}_total");
        assert_eq!(metrics.sum(&name, &labels), 0.0, "{name}");
    }
    assert_eq!(metrics.sum("weir_http_failures_total", &[]), 0.0);
}

#[test]
fn the_copy_is_what_the_endpoint_gets() {
    let (app, shadow) = (Origin::answering(OK), Origin::answering(OK));
    let weir = weir(app.addr(), shadow.addr(), "", "rewrite: '/v2/{rest}'");
    let response = weir
        .client("web")
        .send(
            "PUT /a%20b/c?d=e&f HTTP/1.1\r\nHost: shop.example:81\r\nX-One: 1\r\nCookie: a=b\r\n\
             Authorization: Bearer x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
        )
        .response();
    assert_eq!(response.status, 200);
    let original = whole(&app, b"hello");
    let copy = whole(&shadow, b"hello");
    assert_eq!(
        copy,
        "PUT /v2/a%20b/c?d=e&f HTTP/1.1\r\nHost: shop.example:81\r\nX-One: 1\r\nCookie: a=b\r\n\
         Authorization: Bearer x\r\nContent-Length: 5\r\nX-Weir-Mirror: 1\r\n\r\nhello"
    );
    // Nobody waits for "100 Continue" on behalf of a copy. All else is the same.
    let marked = original
        .replace("Expect: 100-continue\r\n", "")
        .replace("\r\n\r\nhello", "\r\nX-Weir-Mirror: 1\r\n\r\nhello");
    assert_eq!(copy, marked);
    wait_mirrored(&weir, "answered", 1);
}

#[test]
fn bodies_are_copied_byte_for_byte() {
    let (app, shadow) = (Origin::answering(OK), Origin::answering(OK));
    let weir = weir(app.addr(), shadow.addr(), "", "");
    let mut client = weir.client("web");
    for size in [1_usize, 1000, 16 * 1024, 64 * 1024] {
        let body = pattern(size);
        let mut request =
            format!("POST /{size} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n")
                .into_bytes();
        request.extend_from_slice(&body);
        assert_eq!(client.send(&request).response().status, 200);
        let head = format!("POST /{size} HTTP/1.1\r\n");
        wait_until(&format!("the copy of {size}"), || {
            let all = shadow.received_anywhere();
            let found = all
                .windows(head.len())
                .position(|part| part == head.as_bytes());
            found.is_some_and(|at| all[at..].ends_with(&body))
        });
    }
    // Chunks become one body of known length, whatever their sizes.
    let body = pattern(3000);
    client.send(
        "POST /chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n",
    );
    for chunk in body.chunks(700) {
        client
            .send(format!("{:x}\r\n", chunk.len()))
            .send(chunk)
            .send("\r\n");
    }
    assert_eq!(client.send("0\r\nx: y\r\n\r\n").response().status, 200);
    wait_mirrored(&weir, "answered", 5);
    let all = shadow.received_anywhere();
    assert!(all.ends_with(&body));
    let text = String::from_utf8_lossy(&all);
    let copy = text.split("POST /chunks").nth(1).expect("the copy");
    let head = copy.split("\r\n\r\n").next().expect("a head");
    assert_eq!(
        head,
        " HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\nX-Weir-Mirror: 1"
    );
}

#[test]
fn large_bodies_are_not_copied() {
    let (app, shadow) = (Echo::start("app"), Origin::answering(OK));
    let weir = weir(app.addr(), shadow.addr(), "max_body: 1KiB", "");
    let mut client = weir.client("web");
    let body = pattern(1025);
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1025\r\n\r\n";
    let told = client.send(request).send(&body).response().json();
    assert_eq!(told["body_length"], 1025);
    wait_mirrored(&weir, "too_large", 1);
    // One of unknown length that turns out to be too large.
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for chunk in pattern(300_000).chunks(10_000) {
        client
            .send(format!("{:x}\r\n", chunk.len()))
            .send(chunk)
            .send("\r\n");
    }
    let told = client.send("0\r\n\r\n").response().json();
    assert_eq!(told["body_length"], 300_000);
    wait_mirrored(&weir, "too_large", 2);
    assert_eq!(shadow.connections(), 0);
    // One that is just as large as it may be.
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1024\r\n\r\n";
    assert_eq!(
        client.send(request).send(pattern(1024)).response().status,
        200
    );
    wait_mirrored(&weir, "answered", 1);
}

#[test]
fn a_shadow_that_hangs_is_not_felt() {
    let (app, shadow) = (Echo::start("app"), Origin::script([Step::Hold]));
    let weir = weir(app.addr(), shadow.addr(), "timeout: 4s, pending: 3", "");
    unfelt(&weir, 50);
    // No more than three at once, and each only for so long.
    assert_eq!(mirrored(&weir, "dropped"), 47.0);
    shadow.wait_connections(3);
    wait_mirrored(&weir, "timeout", 3);
    unfelt(&weir, 2);
    wait_mirrored(&weir, "timeout", 5);
    assert_eq!(
        shadow.connections(),
        5,
        "a connection that hung is not used again"
    );
    blameless(&weir);
}

#[test]
fn a_shadow_that_does_not_read_is_not_felt() {
    let (app, shadow) = (Echo::start("app"), Origin::script([Step::Hold]));
    let mirror = "max_body: 16MiB, timeout: 2s, pending: 2";
    let weir = weir(app.addr(), shadow.addr(), mirror, "");
    let body = pattern(10 << 20);
    let mut client = weir.client("web");
    for _ in 0..4 {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let told = client.send(head).send(&body).response().json();
        assert_eq!(told["body_length"], body.len());
    }
    wait_until("the end of all copies", || {
        mirrored(&weir, "timeout") + mirrored(&weir, "dropped") == 4.0
    });
    assert!(mirrored(&weir, "timeout") >= 2.0);
    blameless(&weir);
}

#[test]
fn a_shadow_that_is_dead_is_not_felt() {
    let app = Echo::start("app");
    let weir = weir(app.addr(), free_addr(), "", "");
    unfelt(&weir, 30);
    wait_mirrored(&weir, "failed", 30);
    blameless(&weir);
    let labels = [("service", "shadow")];
    let failures = weir
        .metrics()
        .sum("weir_endpoint_connect_failures_total", &labels);
    assert!(failures >= 1.0);
}

#[test]
fn a_shadow_that_answers_garbage_is_not_felt() {
    let app = Echo::start("app");
    for garbage in [
        "SSH-2.0-OpenSSH_9.6\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "\0\0\0\0",
        "",
    ] {
        let shadow = Origin::answering_once(garbage);
        let weir = weir(app.addr(), shadow.addr(), "", "");
        unfelt(&weir, 10);
        wait_mirrored(&weir, "failed", 10);
        assert_eq!(mirrored(&weir, "answered"), 0.0, "{garbage:?}");
        blameless(&weir);
    }
}

#[test]
fn a_shadow_that_answers_without_end_is_cut_off() {
    let app = Echo::start("app");
    let endless = [
        Step::ReadRequest,
        send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"),
        Step::Send(vec![b'x'; 8 << 20]),
        Step::Hold,
    ];
    let shadow = Origin::script(endless);
    let weir = weir(app.addr(), shadow.addr(), "", "");
    unfelt(&weir, 5);
    wait_mirrored(&weir, "answered", 5);
    assert_eq!(shadow.connections(), 5);
    let labels = [("service", "shadow")];
    let received = weir
        .metrics()
        .sum("weir_endpoint_received_bytes_total", &labels);
    assert!(received < 5.0 * 1_200_000.0, "{received}");
    let interim = Origin::script([
        Step::ReadRequest,
        Step::Send("HTTP/1.1 102 Processing\r\n\r\n".repeat(1000).into_bytes()),
        Step::Hold,
    ]);
    let weir = self::weir(app.addr(), interim.addr(), "", "");
    unfelt(&weir, 2);
    wait_mirrored(&weir, "failed", 2);
}

#[test]
fn connections_are_used_again() {
    let (app, shadow) = (Echo::start("app"), Echo::start("shadow"));
    let weir = weir(app.addr(), shadow.addr(), "", "");
    let mut client = weir.client("web");
    for number in 1..=20 {
        let target = ["/bytes/5000", "/chunked/5000", "/status/404"][number % 3];
        client.get(target);
        wait_mirrored(&weir, "answered", number);
    }
    let head = client.send("HEAD /bytes/5000 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(head.response_to("HEAD").status, 200);
    wait_mirrored(&weir, "answered", 21);
    assert_eq!(shadow.connections(), 1);
    assert_eq!(shadow.requests(), 21);
    // They are counted where they belong, and logged nowhere.
    let metrics = weir.metrics();
    let requests = |service| {
        metrics.sum("weir_endpoint_requests_total", &[("service", service)])
            + metrics.sum("weir_service_requests_total", &[("service", service)])
    };
    assert_eq!((requests("app"), requests("shadow")), (42.0, 42.0));
    assert_eq!(common::lines(&weir, 21).len(), 21);
}

#[test]
fn a_share_of_the_requests_is_copied() {
    let (app, shadow) = (Echo::start("app"), Echo::start("shadow"));
    for (share, least, most) in [("0%", 0, 0), ("25%", 57, 143), ("100%", 400, 400)] {
        let before = shadow.requests();
        let mirror = format!("share: {share}, pending: 1000");
        let weir = weir(app.addr(), shadow.addr(), &mirror, "");
        unfelt(&weir, 400);
        wait_until("all copies", || {
            mirrored(&weir, "answered") == (shadow.requests() - before) as f64
        });
        let copied = shadow.requests() - before;
        // Of 400, 100 are expected; five standard deviations are 43.
        assert!((least..=most).contains(&copied), "{share}: {copied}");
    }
}

#[test]
fn requests_are_copied_whatever_becomes_of_them() {
    let shadow = Origin::answering(OK);
    let weir = weir(free_addr(), shadow.addr(), "", "");
    let mut client = weir.client("web");
    assert_eq!(client.get("/lost").status, 502);
    wait_mirrored(&weir, "answered", 1);
    assert!(shadow.received_text(0).starts_with("GET /lost "));
}

#[test]
fn a_copy_is_not_copied_again() {
    let (app, shadow) = (Echo::start("app"), Echo::start("shadow"));
    let seen = |response: Response| {
        let told = response.json();
        let headers = told["headers"].as_array().expect("pairs").clone();
        headers
            .iter()
            .filter(|pair| {
                pair[0]
                    .as_str()
                    .is_some_and(|name| name.eq_ignore_ascii_case("x-weir-mirror"))
            })
            .count()
    };
    let marked = "GET / HTTP/1.1\r\nHost: a\r\nx-weir-mirror: 1\r\n\r\n";
    // Whoever is not trusted cannot pass a request off as a copy.
    let weir = weir(app.addr(), shadow.addr(), "", "");
    assert_eq!(seen(weir.client("web").send(marked).response()), 0);
    // Two Weirs in a row; the first one copies to the second, which trusts it.
    let behind = start(&format!(
        "
workers: 1
listeners: {{ web: {{ address: '@web@', http: {{ forwarded: {{ trusted: [127.0.0.1] }} }} }} }}
routes: [ {{ name: all, path: /*, service: app, mirror: shadow }} ]
services: {{ app: ['{}'], shadow: ['{}'] }}
",
        app.addr(),
        shadow.addr()
    ));
    assert_eq!(seen(behind.client("web").send(marked).response()), 1);
    let front = self::weir(app.addr(), behind.addr("web"), "", "");
    unfelt(&front, 3);
    wait_mirrored(&front, "answered", 3);
    assert_eq!(shadow.requests(), 0);
    unfelt(&behind, 3);
    wait_until("the copies of originals", || shadow.requests() == 3);
}

#[test]
fn tunnels_are_not_copied() {
    let (app, shadow) = (Echo::start("app"), Echo::start("shadow"));
    let weir = weir(app.addr(), shadow.addr(), "", "");
    let mut client = weir.client("web");
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(client.response().status, 101);
    client.send("ping");
    assert_eq!(client.read_exactly(4), b"ping");
    unfelt(&weir, 1);
    wait_mirrored(&weir, "answered", 1);
    assert_eq!(shadow.requests(), 1);
}

#[test]
fn a_shadow_may_change_by_reload() {
    let apps: Vec<Echo> = ["app", "one", "two"].map(Echo::start).into();
    let config = |shadow: &Echo| {
        format!(
            "
workers: 1
listeners: {{ web: '@web@' }}
routes: [ {{ name: all, path: /*, split: {{ app: 1 }}, mirror: shadow }} ]
services: {{ app: ['{}'], shadow: ['{}'] }}
",
            apps[0].addr(),
            shadow.addr()
        )
    };
    let mut weir = start(&config(&apps[1]));
    unfelt(&weir, 5);
    wait_until("five copies", || apps[1].requests() == 5);
    assert_eq!(weir.reload_with(&config(&apps[2])).status, 200);
    unfelt(&weir, 5);
    wait_until("five more copies", || apps[2].requests() == 5);
    assert_eq!(apps[1].requests(), 5);
}
