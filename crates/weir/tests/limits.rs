//! Every bound on what a client, or an endpoint, may take: time, bytes, connections.

#[path = "common/running.rs"]
mod running;

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use running::start;
use serde_json::Value;
use weir_testkit::{
    Echo, Load, Origin, RawClient, Step, Weir, curl, raise_descriptor_limit, send, wait_until,
};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// A listener with these `http` options, and every path to `@app@` by a route with those options.
fn proxy(http: &str, route: &str, app: SocketAddr) -> Weir {
    let config = format!(
        "
workers: 2
listeners: {{ web: {{ address: '@web@', http: {{ {http} }} }} }}
routes:
  - {{ path: /*, service: app, {route} }}
  - {{ path: /own, respond: {{ body: own }} }}
services: {{ app: ['@app@'] }}
"
    );
    start(&config, &[("app", app)])
}

fn logged(weir: &Weir, reason: &str) -> Value {
    weir.wait_log(reason, |line| line["reason"] == reason)
}

/// Sends a byte now and then until the other side has answered or closed; never for longer than 10 seconds.
fn drip(client: &mut RawClient, bytes: &[u8], pause: Duration) {
    client.stream().set_nonblocking(true).expect("a socket");
    for byte in bytes
        .iter()
        .take((10_000 / pause.as_millis().max(1)) as usize)
    {
        if client.try_send([*byte]).is_err() {
            break;
        }
        match client.stream().peek(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(pause),
            _ => break,
        }
    }
    client.stream().set_nonblocking(false).expect("a socket");
}

#[test]
fn a_connection_that_says_nothing_is_closed() {
    let app = Echo::start("app");
    let weir = proxy("first_byte_timeout: 200ms", "", app.addr());
    weir.client("web").expect_close();
    // A connection that has spoken is under another limit.
    let mut client = weir.client("web");
    assert_eq!(client.get("/").status, 200);
    client.expect_silence(MS(400));
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn an_idle_connection_is_closed() {
    let app = Echo::start("app");
    let weir = proxy("idle_timeout: 200ms", "", app.addr());
    let mut client = weir.client("web");
    assert_eq!(client.get("/").status, 200);
    assert_eq!(client.get("/own").status, 200);
    client.expect_close();
    assert_eq!(
        weir.metrics()
            .sum("weir_listener_protocol_errors_total", &[]),
        0.0
    );
}

#[test]
fn a_head_must_be_complete_in_time_however_it_drips() {
    let app = Echo::start("app");
    let weir = proxy("head_timeout: 500ms", "", app.addr());
    let endless = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "y".repeat(2000));
    let mut first = weir.client("web");
    drip(&mut first, endless.as_bytes(), MS(20));
    let response = first.response();
    assert_eq!((response.status, response.keeps_alive()), (408, false));
    first.expect_close();
    logged(&weir, "head_timeout");

    // A later request of a connection is no better, nor is one that stops in the middle.
    let mut later = weir.client("web");
    assert_eq!(later.get("/").status, 200);
    later.send("GET / HTTP/1.1\r\nHo");
    assert_eq!(later.response().status, 408);
    later.expect_close();
    let metrics = weir.metrics();
    assert_eq!(
        metrics.value("weir_listener_protocol_errors_total", &[("status", "408")]),
        2.0
    );
}

#[test]
fn a_body_must_make_progress() {
    let app = Echo::start("app");
    let weir = proxy("body_timeout: 1s, min_rate: off", "", app.addr());
    for head in [
        "Content-Length: 100\r\n\r\n0123456789",
        "Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n",
    ] {
        let mut client = weir.client("web");
        client.send(format!("POST /stops HTTP/1.1\r\nHost: x\r\n{head}"));
        let response = client.response();
        assert_eq!(
            (response.status, response.keeps_alive()),
            (408, false),
            "{head}"
        );
        client.expect_close();
    }
    logged(&weir, "body_timeout");

    // As long as there is some, it may take as long as it likes.
    let mut client = weir.client("web");
    client.send("POST /slowly HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n");
    client.send_bytewise("0123456789", MS(150));
    assert_eq!(client.response().json()["body_length"], 10);

    // Weir answers itself without the body, but does not wait for it for ever.
    let mut client = weir.client("web");
    client.send("POST /own HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n0123456789");
    assert_eq!(client.response().status, 200);
    client.expect_close();
}

/// An address where connecting neither works nor fails: its queue is full and nobody takes from it.
struct Blackhole {
    listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl Blackhole {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        rustix::net::listen(&listener, 0).expect("a listener");
        let addr = listener.local_addr().expect("its address");
        let mut queued = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&addr, MS(150)) {
            queued.push(stream);
            assert!(queued.len() < 50, "the queue does not fill");
        }
        Self {
            listener,
            _queued: queued,
        }
    }

    fn addr(&self) -> SocketAddr {
        self.listener.local_addr().expect("its address")
    }
}

#[test]
fn connecting_has_a_limit_and_another_endpoint_is_tried() {
    let hole = Blackhole::open();
    let app = Echo::start("app");
    let config = "
workers: 1
listeners: { web: '@web@' }
routes:
  - { path: /hole, service: hole, timeout: { connect: 300ms } }
  - { path: /both, service: both, timeout: { connect: 300ms } }
services:
  hole: ['@hole@']
  both: { endpoints: ['@hole@', '@app@'], balance: round_robin }
";
    let weir = start(config, &[("hole", hole.addr()), ("app", app.addr())]);
    let mut client = weir.client("web");
    let response = client.get("/hole");
    assert_eq!((response.status, response.keeps_alive()), (504, true));
    let line = logged(&weir, "connect_timeout");
    assert!(
        line["connect_ms"].as_f64().is_some_and(|ms| ms >= 290.0),
        "{line}"
    );
    // Whatever the method: nothing was sent.
    for _ in 0..3 {
        client.send("POST /both HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!(client.response().json()["body_length"], 3);
    }
    let hole = hole.addr().to_string();
    let metrics = weir.metrics();
    let failures = metrics.sum(
        "weir_endpoint_connect_failures_total",
        &[("endpoint", &hole), ("service", "both")],
    );
    // Once it failed it is left alone for a while.
    assert_eq!(failures, 1.0);
}

#[test]
fn an_endpoint_must_begin_to_answer() {
    let silent = Origin::script([Step::ReadRequest, Step::Hold]);
    let weir = proxy("", "timeout: { first_byte: 300ms }", silent.addr());
    let mut client = weir.client("web");
    let response = client.get("/");
    assert_eq!((response.status, response.keeps_alive()), (504, true));
    logged(&weir, "first_byte_timeout");
    // Its connection is not used again, and not tried again: the request may have taken effect.
    silent.wait_end(0).expect("closed");
    assert_eq!(silent.connections(), 1);
    assert_eq!(client.get("/own").text(), "own");
}

#[test]
fn a_half_head_counts_as_no_beginning() {
    let dripping = Origin::script([
        Step::ReadRequest,
        Step::SendBytewise(b"HTTP/1.1 200 OK\r\n".to_vec(), MS(20)),
        Step::Hold,
    ]);
    let weir = proxy("", "timeout: { first_byte: 500ms }", dripping.addr());
    assert_eq!(weir.client("web").get("/").status, 504);
}

#[test]
fn an_answer_must_make_progress() {
    let stalling = Origin::script([
        Step::ReadRequest,
        send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfirst bytes"),
        Step::Hold,
    ]);
    let weir = proxy("", "timeout: { idle: 300ms }", stalling.addr());
    let mut client = weir.client("web");
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let error = client.try_response().expect_err("it breaks off");
    assert!(
        matches!(
            error.kind(),
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
        ),
        "{error}"
    );
    let line = logged(&weir, "idle_timeout");
    assert_eq!(
        (&line["status"], &line["bytes_out"]),
        (&Value::from(200), &Value::from(11)),
        "{line}"
    );
}

#[test]
fn the_whole_exchange_has_a_limit_if_one_is_set() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    let dripping = Origin::script([
        Step::ReadRequest,
        send(head),
        Step::SendBytewise(vec![b'x'; 1000], MS(20)),
    ]);
    let weir = proxy("", "timeout: 500ms", dripping.addr());
    let mut client = weir.client("web");
    client.send("GET /drips HTTP/1.1\r\nHost: x\r\n\r\n");
    client.try_response().expect_err("it breaks off");
    let line = logged(&weir, "total_timeout");
    assert!(
        line["bytes_out"]
            .as_u64()
            .is_some_and(|bytes| bytes > 0 && bytes < 1000),
        "{line}"
    );

    let silent = Origin::script([Step::ReadRequest, Step::Hold]);
    let weir = proxy("", "timeout: 300ms", silent.addr());
    assert_eq!(weir.client("web").get("/").status, 504);
    logged(&weir, "total_timeout");
}

#[test]
fn a_client_must_take_what_it_asked_for() {
    let size = 64 << 20;
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").into_bytes();
    answer.resize(answer.len() + size, b'x');
    let large = Origin::script([Step::ReadRequest, Step::Send(answer)]);
    let weir = proxy("send_timeout: 400ms", "", large.addr());
    let mut client = weir.client("web");
    client.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    // It reads nothing. What the endpoint still has to say backs up behind it, not in Weir.
    let line = logged(&weir, "send_timeout");
    assert!(
        line["bytes_out"]
            .as_u64()
            .is_some_and(|bytes| bytes > 0 && bytes < size as u64),
        "{line}"
    );
    let mut rest = Vec::new();
    let end = client.stream().read_to_end(&mut rest);
    assert!(
        end.is_err() && rest.len() < size,
        "{end:?} after {} bytes",
        rest.len()
    );
    let usage = weir.usage();
    assert!(usage.peak < 96 << 20, "{usage:?}");
}

#[test]
fn an_upload_waits_for_a_slow_endpoint_without_piling_up() {
    // The kernel takes connections for it, and some bytes; nobody reads them.
    let stuck = TcpListener::bind("127.0.0.1:0").expect("a port");
    let stuck_at = stuck.local_addr().expect("its address");
    let weir = proxy("", "timeout: { idle: 600ms }", stuck_at);
    let before = weir.usage().resident;
    let mut client = weir.client("web");
    let size: usize = 256 << 20;
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n"
    ));
    let piece = vec![b'x'; 1 << 20];
    let mut sent = 0;
    while sent < size && client.try_send(&piece).is_ok() {
        sent += piece.len();
    }
    assert!(sent < size, "all of it went somewhere");
    let after = weir.usage().resident;
    assert!(after < before + (16 << 20), "{before} became {after}");
    logged(&weir, "idle_timeout");
}

fn post(weir: &Weir, path: &str, size: usize, chunked: bool) -> u16 {
    let mut client = weir.client("web");
    let body = "x".repeat(size);
    let rest = if chunked {
        format!("Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n{body}\r\n0\r\n\r\n")
    } else {
        format!("Content-Length: {size}\r\n\r\n{body}")
    };
    client.send(format!("POST {path} HTTP/1.1\r\nHost: x\r\n{rest}"));
    let response = client.response();
    if response.status == 413 {
        assert!(!response.keeps_alive());
        client.expect_close();
    } else {
        assert_eq!(response.json()["body_length"], size);
    }
    response.status
}

#[test]
fn bodies_have_a_size_by_listener_and_by_route() {
    let app = Echo::start("app");
    let config = "
listeners: { web: { address: '@web@', http: { max_body: 1000 } } }
routes:
  - { path: /*, service: app }
  - { path: /small, service: app, max_body: 10 }
  - { path: /large, service: app, max_body: 100KB }
  - { path: /any, service: app, max_body: off }
services: { app: ['@app@'] }
";
    let weir = start(config, &[("app", app.addr())]);
    for chunked in [false, true] {
        for (path, fits, too_large) in [
            ("/", 1000, Some(1001)),
            ("/small", 10, Some(11)),
            ("/large", 100_000, Some(100_001)),
            ("/any", 300_000, None),
        ] {
            assert_eq!(post(&weir, path, fits, chunked), 200, "{path} {chunked}");
            if let Some(size) = too_large {
                assert_eq!(post(&weir, path, size, chunked), 413, "{path} {chunked}");
            }
        }
    }
    logged(&weir, "body_too_large");
    // A body whose length is told is refused before any of it is sent, and never reaches the endpoint.
    let before = app.requests();
    let mut client = weir.client("web");
    client.send(
        "POST /small HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n",
    );
    let response = client.response();
    assert_eq!((response.status, response.interim.len()), (413, 0));
    assert_eq!(app.requests(), before);
}

#[test]
fn heads_have_a_size() {
    let app = Echo::start("app");
    let weir = proxy(
        "max_head: 4KiB, max_field: 1KiB, max_fields: 20, max_target: 500",
        "",
        app.addr(),
    );
    let ask = |target: &str, fields: &str| {
        let mut client = weir.client("web");
        client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n"));
        let response = client.response();
        if response.status != 200 {
            client.expect_close();
        }
        response.status
    };
    assert_eq!(ask(&format!("/{}", "a".repeat(400)), ""), 200);
    assert_eq!(ask(&format!("/{}", "a".repeat(600)), ""), 414);
    assert_eq!(ask("/", &"X: y\r\n".repeat(19)), 200);
    assert_eq!(ask("/", &"X: y\r\n".repeat(20)), 431);
    assert_eq!(ask("/", &format!("X: {}\r\n", "y".repeat(900))), 200);
    assert_eq!(ask("/", &format!("X: {}\r\n", "y".repeat(1100))), 431);
    assert_eq!(
        ask("/", &format!("X: {}\r\n", "y".repeat(900)).repeat(5)),
        431
    );
    for reason in ["head_too_large", "target_too_long"] {
        logged(&weir, reason);
    }
}

#[test]
fn a_connection_carries_so_many_requests() {
    let app = Echo::start("app");
    let weir = proxy("max_requests: 3", "", app.addr());
    let mut client = weir.client("web");
    assert!(client.get("/").keeps_alive());
    assert!(client.get("/own").keeps_alive());
    assert!(!client.get("/").keeps_alive());
    client.expect_close();
    // Also when all come at once: what is beyond is not answered.
    let mut client = weir.client("web");
    client.send("GET /own HTTP/1.1\r\nHost: x\r\n\r\n".repeat(5));
    for last in [false, false, true] {
        assert_eq!(client.response().keeps_alive(), !last);
    }
    client.expect_close();
}

/// Connects and asks; `None` if the connection is closed without an answer.
fn admitted(addr: SocketAddr) -> Option<RawClient> {
    // Who is not is reset, maybe before connecting is over.
    let mut client = RawClient::try_connect(addr).ok()?;
    client.send("GET /own HTTP/1.1\r\nHost: x\r\n\r\n");
    let response = client.try_response().ok()?;
    assert_eq!(response.status, 200);
    Some(client)
}

#[test]
fn connections_in_all_are_bounded() {
    let config = "
limits: { connections: 3 }
listeners: { web: '@web@', other: '@other@' }
routes: [ { path: /*, respond: 200 } ]
";
    let mut weir = start(config, &[]);
    let (web, other) = (weir.addr("web"), weir.addr("other"));
    let mut inside: Vec<RawClient> = [web, other, web]
        .map(|addr| admitted(addr).expect("room"))
        .into();
    assert!(admitted(web).is_none());
    assert!(admitted(other).is_none());
    let metrics = weir.metrics();
    assert_eq!(
        metrics.value(
            "weir_listener_connections_refused_total",
            &[("listener", "web"), ("reason", "limit")]
        ),
        1.0
    );
    assert_eq!(
        metrics.value(
            "weir_listener_connections_refused_total",
            &[("listener", "other"), ("reason", "limit")]
        ),
        1.0
    );
    // The admin API is none of them, and those inside go on.
    for client in &mut inside {
        assert_eq!(client.get("/").status, 200);
    }
    drop(inside.pop());
    wait_until("a place", || running::status(&weir)["connections"] == 2);
    inside.push(admitted(web).expect("room"));
    // More room takes effect at once.
    assert_eq!(
        weir.reload_with(&config.replace("connections: 3", "connections: 4"))
            .status,
        200
    );
    inside.push(admitted(web).expect("room"));
    assert!(admitted(web).is_none());
}

#[test]
fn connections_from_one_address_are_bounded() {
    let config = "
firewall: { connections_per_ip: 2 }
listeners: { web: '@web@' }
routes: [ { path: /*, respond: 200 } ]
";
    let weir = start(config, &[]);
    let web = weir.addr("web");
    let inside: Vec<RawClient> = (0..2).map(|_| admitted(web).expect("room")).collect();
    assert!(admitted(web).is_none());
    assert_eq!(
        weir.metrics().value(
            "weir_listener_connections_refused_total",
            &[("reason", "per_ip")]
        ),
        1.0
    );
    // Somebody else still gets in.
    let url = format!("http://{web}/");
    assert_eq!(curl(&["--interface", "127.0.0.2", &url]).ok().status, 200);
    drop(inside);
    wait_until("a place", || admitted(web).is_some());
}

#[test]
fn slow_clients_by_the_hundred_hurt_nobody() {
    const SLOW: usize = 400;
    raise_descriptor_limit(4096);
    let app = Echo::start("app");
    let weir = proxy("head_timeout: 3s, body_timeout: 3s", "", app.addr());
    let web = weir.addr("web");
    let load = Load::new(web)
        .connections(4)
        .path("/bytes/1000")
        .expect_body(weir_testkit::pattern(1000))
        .start();
    load.wait_more(200);
    let before = weir.usage().resident;
    let mut slow: Vec<RawClient> = (0..SLOW)
        .map(|number| {
            let mut client = RawClient::connect(web);
            client.send(match number % 4 {
                // Nothing at all; a piece of a head; a large piece of one; a head without its body.
                0 => String::new(),
                1 => "GET / HTTP/1.1\r\nHost: x\r\nX-".to_owned(),
                2 => format!(
                    "GET / HTTP/1.1\r\nHost: x\r\n{}",
                    "X: 0123456789012345678901234567890123456789\r\n".repeat(90)
                ),
                _ => "POST /own HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nx".to_owned(),
            });
            client
        })
        .collect();
    wait_until("all to be connected", || {
        running::status(&weir)["connections"].as_u64() >= Some(SLOW as u64 - SLOW as u64 / 4)
    });
    for _ in 0..5 {
        for client in &mut slow {
            // Some are cut by now, which is as it should be.
            let _ = client.try_send("y");
        }
        load.wait_more(100);
    }
    let after = weir.usage().resident;
    let each = after.saturating_sub(before) / SLOW as u64;
    assert!(each < 40 << 10, "{each} bytes for each slow client");
    for client in &mut slow {
        client.timeout(Duration::from_secs(20)).read_to_end();
    }
    load.wait_more(200);
    load.stop().assert_all_ok();
    wait_until("all to be gone", || {
        running::status(&weir)["connections"] == 0
    });
    assert!(
        running::events(&weir)
            .iter()
            .all(|event| event["level"] != "error")
    );
}

#[test]
fn an_endpoint_that_answers_with_endless_heads_is_cut() {
    let endless = Origin::script([
        Step::ReadRequest,
        send(format!("HTTP/1.1 200 OK\r\n{}", "X: y\r\n".repeat(100_000))),
        Step::Hold,
    ]);
    let weir = proxy("", "", endless.addr());
    assert_eq!(weir.client("web").get("/").status, 502);
    logged(&weir, "upstream_bad_response");
    let interim = Origin::script([
        Step::ReadRequest,
        send("HTTP/1.1 100 Continue\r\n\r\n".repeat(1000)),
        Step::Hold,
    ]);
    let weir = proxy("", "", interim.addr());
    assert_eq!(weir.client("web").get("/").status, 502);
}
