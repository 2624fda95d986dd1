//! What tests of found endpoints share: a service whose entries have to be found, and what came of it.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test binary compiles this module and uses a part of it"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use weir_testkit::{Echo, Weir};

use crate::running::{start, status, wait_event};

/// One worker and one service `app` with these entries.
pub fn config(entries: &str) -> String {
    format!(
        "
workers: 1
listeners: {{ web: '@web@' }}
routes: [ {{ path: /*, service: app }} ]
services:
  app:
    endpoints: [ {entries} ]
    balance: round_robin
"
    )
}

/// Weir with these entries.
pub fn weir(entries: &str, addresses: &[(&str, SocketAddr)]) -> Weir {
    start(&config(entries), addresses)
}

/// The endpoints of `app`, as status pages show them.
pub fn endpoints(weir: &Weir) -> Vec<Value> {
    let status = status(weir);
    status["services"][0]["endpoints"]
        .as_array()
        .expect("a list")
        .clone()
}

/// Their addresses, sorted.
pub fn addresses(weir: &Weir) -> Vec<String> {
    let text = |endpoint: &Value| endpoint["address"].as_str().expect("an address").to_owned();
    let mut all: Vec<String> = endpoints(weir).iter().map(text).collect();
    all.sort();
    all
}

/// Waits until the service has exactly these endpoints.
#[track_caller]
pub fn wait_addresses(weir: &Weir, expected: &[&Echo]) {
    let mut expected: Vec<String> = expected
        .iter()
        .map(|echo| echo.addr().to_string())
        .collect();
    expected.sort();
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let seen = addresses(weir);
        if seen == expected {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "waited for {expected:?}, saw {seen:?}"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// How many of so many requests each origin answered; all must be answered with 200.
pub fn shares(weir: &Weir, requests: usize) -> BTreeMap<String, usize> {
    let mut client = weir.client("web");
    let mut shares = BTreeMap::new();
    for _ in 0..requests {
        let response = client.get("/");
        assert_eq!(response.status, 200, "{response:?}");
        *shares
            .entry(response.header("x-origin").expect("an origin").to_owned())
            .or_default() += 1;
    }
    shares
}

/// Who answers, of all that may be chosen.
pub fn names(weir: &Weir) -> Vec<String> {
    shares(weir, 8).into_keys().collect()
}

/// Waits for the event that a source failed, with this in its error.
pub fn wait_failure(weir: &Weir, part: &str) -> Value {
    wait_event(weir, "endpoint source failed", |event| {
        event["error"]
            .as_str()
            .is_some_and(|error| error.contains(part))
    })
}
