//! Endpoints by name.

#[path = "common/running.rs"]
mod running;

use running::{WEIR, start, status};
use weir_testkit::{Echo, run_cli, wait_until};

const CONFIG: &str = "
workers: 1
listeners: { web: '@web@' }
routes: [ { path: /*, service: app } ]
services: { app: { endpoints: [ { dns: 'localhost:@port@' } ], balance: round_robin } }
";

#[test]
fn each_address_of_a_name_is_an_endpoint() {
    let app = Echo::start("app");
    let port = app.addr().port();
    let mut weir = start(&CONFIG.replace("@port@", &port.to_string()), &[]);
    let endpoints = || {
        let status = status(&weir);
        status["services"][0]["endpoints"]
            .as_array()
            .expect("endpoints")
            .clone()
    };
    wait_until("the name", || !endpoints().is_empty());
    let known = endpoints();
    let v4 = format!("127.0.0.1:{port}");
    assert!(
        known.iter().any(|endpoint| endpoint["address"] == v4),
        "{known:?}"
    );
    assert!(
        known
            .iter()
            .all(|endpoint| endpoint["name"] == format!("localhost:{port}")),
        "{known:?}"
    );

    // The app listens on IPv4 alone. Where the name stands for ::1, too, that refuses, and the other address is tried.
    let mut client = weir.client("web");
    for number in 0..6 {
        client.send(format!(
            "POST /{number} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
        ));
        let response = client.response();
        assert_eq!(
            (response.status, response.header("x-origin")),
            (200, Some("app"))
        );
    }
    let line = weir.wait_log("the last", |line| line["target"] == "/5");
    assert_eq!(line["endpoint"], format!("localhost:{port}"));

    // A reload keeps what is known.
    let connections = app.connections();
    assert_eq!(weir.reload().status, 200);
    assert_eq!(client.get("/").status, 200);
    assert_eq!(app.connections(), connections);

    // Another port is another endpoint, known at once: a reload waits for names.
    let other = Echo::start("other");
    let config = CONFIG.replace("@port@", &other.addr().port().to_string());
    assert_eq!(weir.reload_with(&config).status, 200);
    assert_eq!(client.get("/").header("x-origin"), Some("other"));
}

#[test]
fn a_name_that_does_not_exist_hurts_no_other_service() {
    let app = Echo::start("app");
    let config = "
listeners: { web: '@web@' }
routes:
  - { path: /*, service: app }
  - { path: /missing, service: missing }
services:
  app: ['@app@']
  missing: [ { dns: 'nothing.invalid:80' } ]
";
    let weir = start(config, &[("app", app.addr())]);
    assert_eq!(weir.client("web").get("/").status, 200);
    assert_eq!(weir.client("web").get("/missing").status, 503);
    // Whoever looks why learns it.
    let failure = || {
        let services = status(&weir)["services"].clone();
        let services = services.as_array().expect("services").clone();
        let missing = services.iter().find(|service| service["name"] == "missing");
        missing.expect("the service")["source_failures"][0].clone()
    };
    wait_until("the failure", || failure()["error"].is_string());
    let source = failure()["source"].as_str().map(str::to_owned);
    let admin = weir.addr("admin").to_string();
    let shown = run_cli(WEIR, &["status", "--admin", &admin], weir.dir());
    let row = shown.stdout.lines().find(|line| line.contains("failing"));
    let row = row.unwrap_or_else(|| panic!("{}", shown.stdout));
    assert!(source.is_some_and(|source| row.contains(&source)), "{row}");
    assert!(shown.stdout.contains("no health check"), "{}", shown.stdout);
}
