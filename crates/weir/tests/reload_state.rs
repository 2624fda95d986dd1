//! What outlives a reload, and what moves with it: health, connections, the admin API, the access log.

#[path = "common/running.rs"]
mod running;

use std::fs;
use std::net::SocketAddr;

use running::{events, start, status, wait_refused};
use serde_json::Value;
use weir_testkit::{Echo, RawClient, Signal, Weir, free_addr, wait_until};

#[test]
fn unchanged_services_keep_their_health_and_their_connections() {
    let config = |number: u32| {
        format!(
            "
workers: 1
listeners: {{ web: '@web@' }}
routes:
  - {{ path: /version, respond: {{ body: 'v{number}' }} }}
  - {{ path: '/more/{number}', service: checked }}
  - {{ path: /checked, service: checked }}
  - {{ path: /*, service: plain }}
services:
  plain: ['@app@']
  checked:
    endpoints: ['@app@', '@down@']
    health: {{ http: /, interval: 1h }}
"
        )
    };
    let app = Echo::start("app");
    let mut weir = start(&config(0), &[("app", app.addr()), ("down", free_addr())]);
    // Nothing listens at the second endpoint; the first check decides that, and the next is an hour away.
    let changed = |weir: &Weir| {
        events(weir)
            .iter()
            .filter(|event| event["message"] == "endpoint health changed")
            .count()
    };
    wait_until("both verdicts", || changed(&weir) == 2);
    let states = |weir: &Weir| -> Vec<Value> {
        let status = status(weir);
        let services = status["services"].as_array().expect("services").clone();
        let checked = services
            .into_iter()
            .find(|s| s["name"] == "checked")
            .expect("it");
        checked["endpoints"]
            .as_array()
            .expect("endpoints")
            .iter()
            .map(|endpoint| endpoint["state"].clone())
            .collect()
    };
    assert_eq!(states(&weir), ["healthy", "unhealthy"]);
    let mut client = weir.client("web");
    let before = client.get("/").json();
    for number in 1..=5 {
        assert_eq!(weir.reload_with(&config(number)).status, 200);
        assert_eq!(states(&weir), ["healthy", "unhealthy"]);
        assert_eq!(client.get("/version").text(), format!("v{number}"));
        let seen = client.get("/").json();
        assert_eq!(
            seen["connection"], before["connection"],
            "another connection to the endpoint"
        );
    }
    assert_eq!(changed(&weir), 2);
    let metrics = weir.metrics();
    let down = weir.addr("down").to_string();
    assert_eq!(
        metrics.value("weir_endpoint_healthy", &[("endpoint", &down)]),
        0.0
    );
    // Counters go on, too; the last answer is counted just after it was sent.
    let labels = [("service", "plain"), ("class", "2xx")];
    wait_until("six requests", || {
        weir.metrics().sum("weir_service_requests_total", &labels) == 6.0
    });
}

#[test]
fn endpoints_that_stay_keep_their_connections_when_their_service_changes() {
    let config = |weight: u32| {
        format!(
            "
workers: 1
listeners: {{ web: '@web@' }}
routes: [ {{ path: /*, service: app }} ]
services: {{ app: [ {{ address: '@app@', weight: {weight} }} ] }}
"
        )
    };
    let app = Echo::start("app");
    let mut weir = start(&config(1), &[("app", app.addr())]);
    let mut client = weir.client("web");
    assert_eq!(client.get("/").json()["connection"], 1);
    assert_eq!(weir.reload_with(&config(2)).status, 200);
    assert_eq!(client.get("/").json()["connection"], 1);
}

fn ask(addr: SocketAddr, path: &str, token: Option<&str>) -> u16 {
    let token = token.map_or_else(String::new, |token| {
        format!("Authorization: Bearer {token}\r\n")
    });
    RawClient::exchange(
        addr,
        format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\n{token}Connection: close\r\n\r\n"),
    )
    .status
}

#[test]
fn the_admin_api_moves_and_changes_its_token() {
    let config = |admin: &str| {
        format!(
            "admin: {admin}\nlog: {{ access: '@log@' }}\nlisteners: {{ web: '@web@' }}\nroutes: [ {{ path: /*, respond: 200 }} ]\n"
        )
    };
    let mut weir = start(&config("'@admin@'"), &[]);
    let (old, new) = (weir.addr("admin"), free_addr());
    // Another line in front of it is no other address.
    assert_eq!(
        weir.reload_with(&format!("# a comment\n{}", config("'@admin@'")))
            .status,
        200
    );

    let answer = weir.reload_with(&config(&format!("'{new}'")));
    assert_eq!(answer.status, 200, "{}", answer.text());
    wait_until("the new address", || RawClient::try_connect(new).is_ok());
    assert_eq!(ask(new, "/readyz", None), 200);
    wait_refused(old);

    let reload = |addr: SocketAddr, token: Option<&str>| {
        let token = token.map_or_else(String::new, |token| {
            format!("Authorization: Bearer {token}\r\n")
        });
        RawClient::exchange(
            addr,
            format!(
                "POST /reload HTTP/1.1\r\nHost: {addr}\r\n{token}Content-Length: 0\r\nConnection: close\r\n\r\n"
            ),
        )
    };
    // A token on the same address, and another one.
    weir.rewrite_config(&config(&format!(
        "{{ address: '{new}', token: first-token }}"
    )));
    let answer = reload(new, None);
    assert_eq!(answer.status, 200, "{}", answer.text());
    wait_until("the token to be wanted", || {
        ask(new, "/status", None) == 401
    });
    assert_eq!(ask(new, "/status", Some("first-token")), 200);
    weir.rewrite_config(&config(&format!(
        "{{ address: '{new}', token: second-token }}"
    )));
    assert_eq!(reload(new, Some("first-token")).status, 200);
    wait_until("the other token", || {
        ask(new, "/status", Some("second-token")) == 200
    });
    assert_eq!(ask(new, "/status", Some("first-token")), 401);

    // Off, and on again where it was at first.
    weir.rewrite_config(&config("off"));
    assert_eq!(reload(new, Some("second-token")).status, 200);
    wait_refused(new);
    weir.rewrite_config(&config("'@admin@'"));
    weir.signal(Signal::HUP);
    wait_until("the first address", || RawClient::try_connect(old).is_ok());
    assert_eq!(ask(old, "/readyz", None), 200);
}

#[test]
fn the_access_log_moves_with_the_config_and_reopens_on_sigusr1() {
    let config = |file: &str| {
        format!(
            "admin: '@admin@'\nlog: {{ access: '@dir@/{file}' }}\nlisteners: {{ web: '@web@' }}\nroutes: [ {{ path: /*, respond: 200 }} ]\n"
        )
    };
    let mut weir = start(&config("first.log"), &[]);
    let dir = weir.dir().to_owned();
    let lines = |file: &str| fs::read_to_string(dir.join(file)).unwrap_or_default();
    let wait_line = |file: &str, text: &str| {
        wait_until(&format!("{text} in {file}"), || lines(file).contains(text));
    };
    let mut client = weir.client("web");
    client.get("/to-the-first");
    wait_line("first.log", "/to-the-first");

    assert_eq!(weir.reload_with(&config("second.log")).status, 200);
    client.get("/to-the-second");
    wait_line("second.log", "/to-the-second");
    assert!(!lines("first.log").contains("/to-the-second"));

    fs::rename(dir.join("second.log"), dir.join("second.log.1")).expect("renamed");
    client.get("/still-to-the-renamed");
    wait_line("second.log.1", "/still-to-the-renamed");
    weir.signal(Signal::USR1);
    wait_until("the new file", || dir.join("second.log").exists());
    client.get("/to-the-new");
    wait_line("second.log", "/to-the-new");
    assert!(!lines("second.log.1").contains("/to-the-new"));

    // A log that cannot be opened changes nothing.
    let answer = weir.reload_with(&config("missing/third.log"));
    assert_eq!(answer.status, 422);
    assert!(answer.text().contains("access log"), "{}", answer.text());
    client.get("/again-to-the-second");
    wait_line("second.log", "/again-to-the-second");
}
