//! What tests of a running Weir's behaviour share: its event log, its status, tunnels through it.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test binary compiles this module and uses a part of it"
)]

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use weir_testkit::{RawClient, Weir, wait_until};

/// The binary under test.
pub const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// Long enough for anything that is about to end, on a busy machine.
pub const SOON: Duration = Duration::from_secs(10);

/// Starts Weir on a config whose `@name@` placeholders stand for these addresses.
pub fn start(config: &str, addresses: &[(&str, SocketAddr)]) -> Weir {
    let launch = Weir::launch(WEIR, config);
    let launch = addresses
        .iter()
        .fold(launch, |launch, (name, addr)| launch.value(name, addr));
    Weir::from_launch(launch)
}

/// The event log so far. Lines that are no JSON are what Weir says to people when it starts.
pub fn events(weir: &Weir) -> Vec<Value> {
    weir.stderr()
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// Waits for an event with this message that `wanted` accepts.
pub fn wait_event(weir: &Weir, message: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut found = None;
    wait_until(&format!("the event {message:?}"), || {
        found = events(weir)
            .into_iter()
            .find(|event| event["message"] == message && wanted(event));
        found.is_some()
    });
    found.expect("awaited")
}

/// `/status`.
pub fn status(weir: &Weir) -> Value {
    weir.admin("/status").json()
}

/// The number of the plan that serves.
pub fn generation(weir: &Weir) -> u64 {
    status(weir)["generation"].as_u64().expect("a number")
}

/// A tunnel through Weir to an [`Echo`](weir_testkit::Echo).
pub fn tunnel(addr: SocketAddr) -> RawClient {
    let mut client = RawClient::connect(addr);
    client.send("GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(client.response().status, 101);
    client
}

/// Sends through a tunnel and expects the same back.
pub fn echoes(tunnel: &mut RawClient, text: &str) {
    tunnel.send(text);
    let back = tunnel.read_exactly(text.len());
    assert_eq!(String::from_utf8_lossy(&back), text);
}

/// Waits until nobody listens at `addr`.
pub fn wait_refused(addr: SocketAddr) {
    wait_until(&format!("{addr} to refuse connections"), || {
        RawClient::try_connect(addr).is_err()
    });
}

/// The line and column where `needle` first stands in `text`, counted from 1.
pub fn place(text: &str, needle: &str) -> (u64, u64) {
    let at = text.find(needle).expect("the needle");
    let before = &text[..at];
    let line = before.matches('\n').count() + 1;
    let column = at - before.rfind('\n').map_or(0, |end| end + 1) + 1;
    (line as u64, column as u64)
}
