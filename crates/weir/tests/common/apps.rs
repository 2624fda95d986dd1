//! What tests of failing and overloaded services share: Weir before scripted applications.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test binary compiles this module and uses a part of it"
)]

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use weir_testkit::{App, RawClient, Response, Weir};

/// The binary under test.
pub const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// A config with one worker, one route and the service `app` of these endpoints; `service` and `route` are further keys
/// in flow style. Endpoints are asked in turn, so that every second request meets the second.
pub fn config(endpoints: &[SocketAddr], service: &str, route: &str) -> String {
    let endpoints: Vec<String> = endpoints.iter().map(|addr| format!("'{addr}'")).collect();
    format!(
        "
workers: 1
listeners: {{ web: '@web@' }}
firewall: {{ connections_per_ip: 100000 }}
routes: [ {{ path: /*, service: app, {route} }} ]
services: {{ app: {{ endpoints: [{}], balance: round_robin, {service} }} }}
",
        endpoints.join(", ")
    )
}

/// Starts Weir with [`config`].
pub fn weir(apps: &[&App], service: &str, route: &str) -> Weir {
    let endpoints: Vec<SocketAddr> = apps.iter().map(|app| app.addr()).collect();
    Weir::start(WEIR, &config(&endpoints, service, route))
}

/// A request without a body.
pub fn request(method: &str, target: &str, fields: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: app.example\r\n{fields}\r\n")
}

/// A request with a body.
pub fn with_body(method: &str, target: &str, body: &[u8]) -> Vec<u8> {
    let length = format!("Content-Length: {}\r\n", body.len());
    let mut bytes = request(method, target, &length).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// A GET, its answer, and how long that took.
pub fn timed(weir: &Weir, target: &str) -> (Response, Duration) {
    let mut client = weir.client("web");
    let begin = Instant::now();
    let response = client.get(target);
    (response, begin.elapsed())
}

/// Sends a request on a connection of its own, and does not wait.
pub fn send(weir: &Weir, bytes: impl AsRef<[u8]>) -> RawClient {
    let mut client = weir.client("web");
    client.send(bytes);
    client
}

/// So many GETs, one after another on one connection, all with this status.
#[track_caller]
pub fn all(weir: &Weir, count: usize, status: u16) -> Vec<Response> {
    let mut client = weir.client("web");
    (0..count)
        .map(|number| {
            let response = client.get(&format!("/{number}"));
            assert_eq!(response.status, status, "request {number}: {response:?}");
            response
        })
        .collect()
}

/// So many GETs at the same time, each on a connection and a thread of its own.
pub fn at_once(weir: &Weir, count: usize) -> Vec<Response> {
    let addr = weir.addr("web");
    let threads: Vec<JoinHandle<Response>> = (0..count)
        .map(|number| thread::spawn(move || RawClient::connect(addr).get(&format!("/{number}"))))
        .collect();
    let answer = |thread: JoinHandle<Response>| thread.join().expect("an answer");
    threads.into_iter().map(answer).collect()
}

/// All requests that these applications were sent.
pub fn sent(apps: &[&App]) -> usize {
    apps.iter().map(|app| app.requests()).sum()
}

/// The access log line for this target.
pub fn line(weir: &Weir, target: &str) -> Value {
    weir.wait_log(target, |line| line["target"] == target)
}
