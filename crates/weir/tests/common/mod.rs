//! What the end-to-end tests share.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test binary compiles this module and uses a part of it"
)]

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use weir_testkit::{Origin, Response, Weir, wait_until};

/// The binary under test.
pub const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// Starts Weir on a config in block style.
pub fn start(config: &str) -> Weir {
    Weir::start(WEIR, config)
}

/// One worker, one listener `web`, and one service `app` behind every path. `http` holds options of the listener, and
/// `route` of the route, both in flow style (`max_head: 4KiB, via: false`).
pub fn one_service(app: SocketAddr, http: &str, route: &str) -> Weir {
    start(&format!(
        "
workers: 1
listeners: {{ web: {{ address: '@web@', http: {{ {http} }} }} }}
routes: [ {{ path: /*, service: app, {route} }} ]
services: {{ app: ['{app}'] }}
"
    ))
}

/// Options of a listener that adds nothing of its own but what it must: forwarded heads can be compared whole.
pub const PLAIN: &str =
    "forwarded: { send: off }, via: false, request_id: false, traceparent: false";

/// Checks an answer that Weir gives itself before it closes the connection: a whole problem document (RFC 9457).
#[track_caller]
pub fn assert_problem(name: &str, response: &Response, status: u16) {
    let seen = format!("{name}: {response:?}");
    assert_eq!(response.status, status, "{seen}");
    assert_eq!(response.header("server"), Some("weir"), "{seen}");
    assert_eq!(
        response.header("content-type"),
        Some("application/problem+json"),
        "{seen}"
    );
    let problem = response.json();
    assert_eq!(problem["status"], status, "{seen}");
    for key in ["title", "detail"] {
        assert!(
            problem[key].as_str().is_some_and(|text| !text.is_empty()),
            "{seen}"
        );
    }
}

/// A server that plays `handler` on a thread per connection, which gets the connection's number from 0. It lives as
/// long as the test binary.
pub fn serve(handler: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> SocketAddr {
    let addr = weir_testkit::free_addr();
    let listener = TcpListener::bind(addr).expect("a free address");
    let handler = Arc::new(handler);
    thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let handler = Arc::clone(&handler);
            thread::spawn(move || handler(stream, number));
        }
    });
    addr
}

/// Bytes as a person reads them.
pub fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// One Weir before many origins: request `/N` goes to origin N.
pub fn in_front_of(origins: &[Origin], route: &str) -> Weir {
    let (mut routes, mut services) = (String::new(), String::new());
    for (number, origin) in origins.iter().enumerate() {
        let addr = origin.addr();
        let _ = writeln!(
            routes,
            "- {{ path: /{number}, service: s{number}, {route} }}"
        );
        let _ = writeln!(services, "  s{number}: ['{addr}']");
    }
    start(&format!(
        "
workers: 1
listeners: {{ web: {{ address: '@web@', http: {{ {PLAIN} }} }} }}
routes:
{routes}
services:
{services}
"
    ))
}

/// A GET for `/path`.
pub fn get(path: impl std::fmt::Display) -> String {
    format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// The first lines of the log, in order.
pub fn lines(weir: &Weir, count: usize) -> Vec<serde_json::Value> {
    wait_until("the log lines", || weir.access_log().len() >= count);
    weir.access_log()
}

/// The log line of the request for this target.
pub fn line_of(weir: &Weir, target: &str) -> serde_json::Value {
    weir.wait_log(target, |line| line["target"] == target)
}

/// The answer to a message after which Weir must close the connection.
#[track_caller]
pub fn reject(weir: &Weir, bytes: &[u8]) -> Response {
    let mut client = weir.client("web");
    let response = client.send(bytes).response();
    client.expect_close();
    response
}
