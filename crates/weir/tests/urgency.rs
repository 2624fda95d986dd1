//! Deadlines that travel in a header, in from clients and on to endpoints.

mod common;

use std::time::{Duration, Instant};

use common::{PLAIN, one_service};
use weir_testkit::{Echo, RawClient, Weir};

const DEADLINE: &str = "deadline: x-request-timeout-ms";

/// The values of the field that the endpoint got.
fn told(client: &mut RawClient, fields: &str) -> Vec<u64> {
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let response = client.send(request).response();
    assert_eq!(response.status, 200, "{response:?}");
    let told = response.json();
    told["headers"]
        .as_array()
        .expect("pairs")
        .iter()
        .filter(|pair| {
            let name = pair[0].as_str().unwrap_or_default();
            name.eq_ignore_ascii_case("x-request-timeout-ms")
        })
        .map(|pair| {
            let value = pair[1].as_str().expect("a value");
            value.parse().expect("a number")
        })
        .collect()
}

fn weir(app: &Echo, route: &str) -> Weir {
    one_service(app.addr(), PLAIN, route)
}

#[test]
fn what_is_left_is_passed_on() {
    let app = Echo::start("app");
    let bounded = weir(&app, &format!("{DEADLINE}, timeout: 20s"));
    let mut client = bounded.client("web");
    let field = |value: &str| format!("X-Request-Timeout-Ms: {value}\r\n");
    for (sent, most) in [
        (field("5000"), 5000),
        (field("90000"), 20_000),
        (field("99999999999999999999999999"), 20_000),
        (String::new(), 20_000),
        // What says nothing is passed over.
        (field("soon"), 20_000),
        (field("-1"), 20_000),
        (field("1.5"), 20_000),
        (field("1000") + &field("2000"), 20_000),
    ] {
        let seen = told(&mut client, &sent);
        assert!(seen.len() == 1, "{sent}: {seen:?}");
        assert!((most - 4000..=most).contains(&seen[0]), "{sent}: {seen:?}");
    }
    let unbounded = weir(&app, DEADLINE);
    let mut client = unbounded.client("web");
    assert!(told(&mut client, "").is_empty());
    assert_eq!(told(&mut client, &field("30000")).len(), 1);
    // A route that knows of no deadlines passes the field on like any other.
    let plain = weir(&app, "timeout: 20s");
    assert_eq!(told(&mut plain.client("web"), &field("7")), [7]);
}

#[test]
fn nobody_works_on_what_nobody_waits_for() {
    let app = Echo::start("app");
    let weir = weir(&app, DEADLINE);
    let mut client = weir.client("web");
    for (method, value) in [("GET", "0"), ("POST", "00")] {
        let response = client
            .send(format!(
                "{method} / HTTP/1.1\r\nHost: a\r\nx-request-timeout-ms: {value}\r\n\r\n"
            ))
            .response();
        assert_eq!(response.status, 504, "{response:?}");
    }
    assert_eq!((app.connections(), app.requests()), (0, 0));
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn the_deadline_of_a_client_ends_the_exchange() {
    let app = Echo::start("app");
    let weir = weir(&app, &format!("{DEADLINE}, timeout: 20s"));
    let begin = Instant::now();
    let response = weir
        .client("web")
        .send("GET /slow/8000 HTTP/1.1\r\nHost: a\r\nX-Request-Timeout-MS: 300\r\n\r\n")
        .response();
    assert_eq!(response.status, 504, "{response:?}");
    assert!(begin.elapsed() < Duration::from_secs(6));
    let line = common::line_of(&weir, "/slow/8000");
    assert_eq!(line["reason"], "total_timeout");
    // It says nothing about the endpoint.
    for _ in 0..10 {
        assert_eq!(weir.client("web").get("/").status, 200);
    }
}
