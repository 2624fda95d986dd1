//! Connections that are turned away before a byte of them is read: what the event log says of them, and that a flood of
//! them stays a few lines.

#[path = "common/running.rs"]
mod running;

use std::{
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    thread,
    time::{Duration, Instant},
};

use running::{WEIR, events, start, wait_event};
use serde_json::Value;
use weir_testkit::{Echo, RawClient, TempDir, Weir, curl, wait_until};

const REFUSED: &str = "connections refused";
const GET: &str = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\x0a\0\0\x01\0\x01\0\x02";

/// Comes through a proxy, as this client; nothing if it is not served. A reset may come before connecting is over.
fn hold(web: SocketAddr, client: &str) -> Option<RawClient> {
    let mut connection = RawClient::try_connect(web).ok()?;
    connection.send(format!("PROXY TCP4 {client} 10.0.0.1 1 2\r\n{GET}"));
    connection.try_response().is_ok().then_some(connection)
}

fn served(web: SocketAddr, client: &str) -> bool {
    hold(web, client).is_some()
}

fn counted(weir: &Weir, message: &str) -> u64 {
    let events = events(weir).into_iter();
    let told = events.filter(|event| event["message"] == message);
    told.filter_map(|event| event["count"].as_u64()).sum()
}

fn rule(weir: &Weir, rule: &str) -> Value {
    wait_event(weir, REFUSED, |event| event["rule"] == rule)
}

#[test]
fn a_flood_is_told_in_two_lines_with_who_and_why() {
    let weir = start(
        "
workers: 1
firewall: { deny: [192.0.2.0/24] }
listeners: { web: { address: '@web@', proxy_protocol: { from: [127.0.0.1] }, firewall: { allow: [10.0.0.0/8, 192.0.2.0/24] } } }
routes: [ { path: /*, respond: 200 } ]
",
        &[],
    );
    let web = weir.addr("web");
    assert!(!served(web, "192.0.2.1"));
    let first = wait_event(&weir, REFUSED, |_| true);
    for (field, expected) in [
        ("level", "info"),
        ("listener", "web"),
        ("reason", "firewall"),
        ("policy", "firewall 192.0.2.0/24"),
        ("client", "192.0.2.1"),
    ] {
        assert_eq!(first[field], expected, "{first}");
    }
    assert_eq!(first["count"], 1, "{first}");
    for n in 0..500 {
        assert!(!served(web, &format!("192.0.2.{}", n % 200 + 2)));
    }
    assert!(!served(web, "198.51.100.9"));
    assert!(served(web, "10.0.0.1"));
    // The rest waits until ten seconds are over.
    let late = Instant::now() + Duration::from_secs(30);
    while counted(&weir, REFUSED) < 502 {
        assert!(Instant::now() < late, "{:#?}", events(&weir));
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(counted(&weir, REFUSED), 502);
    let told = events(&weir);
    let told: Vec<&Value> = told
        .iter()
        .filter(|event| event["message"] == REFUSED)
        .collect();
    assert_eq!(told.len(), 2, "{told:#?}");
    assert_eq!(told[1]["client"], "198.51.100.9", "{told:#?}");
    assert_eq!(told[1]["policy"], "web not allowed", "{told:#?}");
}

#[test]
fn every_bound_is_told() {
    let weir = start(
        "
firewall: { connections_per_ip: 2, connection_rate_per_ip: 3/h }
limits: { connections: 4 }
listeners: { web: { address: '@web@', proxy_protocol: { from: [127.0.0.1] } } }
routes: [ { path: /*, respond: 200 } ]
",
        &[],
    );
    let web = weir.addr("web");
    let held: Vec<_> = (0..2)
        .map(|_| hold(web, "192.0.2.1").expect("room"))
        .collect();
    assert!(hold(web, "192.0.2.1").is_none());
    let others = ["192.0.2.2", "192.0.2.3"].map(|client| hold(web, client).expect("room"));
    assert!(hold(web, "192.0.2.4").is_none());
    drop((held, others));
    wait_until("room", || running::status(&weir)["connections"] == 0);
    assert!(served(web, "192.0.2.1") && !served(web, "192.0.2.1"));
    for (reason, level, client) in [
        ("per_ip", "info", "192.0.2.1"),
        // Who it is was not known yet: the proxy.
        ("limit", "warn", "127.0.0.1"),
        ("rate", "info", "192.0.2.1"),
    ] {
        let told = wait_event(&weir, REFUSED, |event| event["reason"] == reason);
        let said = (&told["level"], &told["client"], &told["count"]);
        let expected = (&level.into(), &client.into(), &1.into());
        assert_eq!(said, expected, "{told}");
    }
}

#[test]
fn a_proxy_that_sends_no_header_is_told_apart() {
    let weir = start(
        "
listeners:
  web: { address: '@web@', proxy_protocol: { from: [127.0.0.1], timeout: 100ms } }
  far: { address: '@far@', proxy_protocol: { from: [10.9.8.7] } }
routes: [ { path: /*, respond: 200 } ]
",
        &[],
    );
    let web = weir.addr("web");
    for bytes in [
        GET.as_bytes(),
        b"\x16\x03\x01\0\x01",
        b"PROXY TCP4 x\r\n",
        b"",
    ] {
        let mut client = RawClient::connect(web);
        client.send(bytes);
        client.expect_close();
    }
    if let Ok(mut client) = RawClient::try_connect(weir.addr("far")) {
        client.expect_close();
    }
    let told = rule(&weir, "plain_http");
    assert_eq!(told["level"], "warn", "{told}");
    assert_eq!(told["reason"], "proxy_header", "{told}");
    assert_eq!(told["client"], "127.0.0.1", "{told}");
    let help = told["help"].as_str().unwrap_or_default();
    assert!(help.contains("without the PROXY header"), "{told}");
    for other in ["missing", "malformed", "late"] {
        assert_eq!(rule(&weir, other)["listener"], "web");
    }
    let told = rule(&weir, "not_a_proxy");
    assert_eq!(told["listener"], "far", "{told}");
}

#[test]
fn a_header_that_nobody_expects_is_called_one() {
    let weir = start(
        "
listeners:
  web: '@web@'
  far: { address: '@far@', proxy_protocol: { from: [10.9.8.7], others: serve } }
routes: [ { path: /*, respond: 200 } ]
",
        &[],
    );
    for listener in ["web", "far"] {
        for header in [
            &b"PROXY TCP4 192.0.2.1 10.0.0.1 1 2\r\n"[..],
            b"PROXY UNKNOWN\r\n",
            V2,
        ] {
            let mut client = RawClient::connect(weir.addr(listener));
            client.send([header, GET.as_bytes()].concat());
            let response = client.response();
            assert_eq!(response.status, 400);
            let detail = response.json()["detail"].to_string();
            assert!(detail.contains("begins with a PROXY header"), "{detail}");
            let id = response.json()["request_id"].clone();
            let line = weir.wait_log("the refusal", |line| line["id"] == id);
            assert_eq!(line["rule"], "proxy_header", "{line}");
        }
    }
    // Later it is nothing but a request that is malformed.
    let mut client = weir.client("web");
    assert_eq!(client.get("/").status, 200);
    client.send("PROXY TCP4 192.0.2.1 10.0.0.1 1 2\r\n\r\n");
    assert_eq!(client.response().status, 400);
    weir.wait_log("another rule", |line| {
        line["status"] == 400 && line["rule"] != "proxy_header"
    });
}

#[test]
fn a_dry_run_says_whom_it_would_refuse() {
    let weir = start(
        "
firewall: { deny: [127.0.0.2], dry_run: true }
listeners:
  web: '@web@'
  api: { address: '@api@', firewall: { deny: [127.0.0.3], dry_run: true } }
routes: [ { path: /*, respond: 200 } ]
",
        &[],
    );
    for (listener, client, policy) in [
        ("web", "127.0.0.2", "firewall 127.0.0.2/32"),
        ("api", "127.0.0.3", "api 127.0.0.3/32"),
    ] {
        let url = format!("http://{}/", weir.addr(listener));
        assert_eq!(curl(&["--interface", client, &url]).ok().status, 200);
        let told = wait_event(&weir, "connections would be refused", |event| {
            event["client"] == client
        });
        assert_eq!(told["policy"], policy, "{told}");
    }
    assert_eq!(counted(&weir, REFUSED), 0);
}

#[test]
fn when_descriptors_run_out_it_is_said_and_those_inside_go_on() {
    const DESCRIPTORS: usize = 300;
    let (folder, app) = (TempDir::new("connections"), Echo::start("app"));
    let script = folder.path().join("limited");
    let text = format!("#!/bin/sh\nulimit -n {DESCRIPTORS}\nexec '{WEIR}' \"$@\"\n");
    std::fs::write(&script, text).expect("written");
    let runnable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&script, runnable).expect("allowed");
    let launch = Weir::launch(
        script.to_str().expect("a path of ASCII"),
        "
workers: 2
listeners: { web: '@web@' }
routes: [ { path: /*, service: app }, { path: /own, respond: 200 } ]
services: { app: ['@app@'] }
",
    );
    let weir = Weir::from_launch(launch.value("app", app.addr()));
    let web = weir.addr("web");
    // Each of these takes two: its own, and one to the endpoint.
    let mut inside: Vec<RawClient> = (0..100)
        .map(|_| {
            let mut client = RawClient::connect(web);
            client.send("GET /slow/3000 HTTP/1.1\r\nHost: x\r\n\r\n");
            client
        })
        .collect();
    wait_until("they are under way", || {
        running::status(&weir)["connections"] == 100
    });
    let flood: Vec<RawClient> = (0..130).map(|_| RawClient::connect(web)).collect();
    let told = wait_event(&weir, "connections cannot be accepted", |_| true);
    assert_eq!(told["level"], "error", "{told}");
    assert_eq!(told["listener"], "web", "{told}");
    for client in &mut inside {
        assert_eq!(client.response().status, 200);
    }
    drop(flood);
    let mut client = RawClient::connect(web);
    assert_eq!(client.get("/own").status, 200);
}
