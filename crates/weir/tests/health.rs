//! Health checks: who gets requests, and what is said about it.

#[path = "common/running.rs"]
mod running;

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;

use running::{events, start, status, wait_event};
use serde_json::Value;
use weir_testkit::{Echo, GrpcHealth, Nginx, RawClient, Serving, Weir, free_addr, wait_until};

/// An nginx that is healthy while its file `healthz` exists.
struct App(Nginx);

impl App {
    fn start(name: &str) -> Self {
        let server = "server { listen @web@; location = /healthz { root @dir@; } location / { add_header X-Origin @name@; return 200 app; } }";
        let nginx = Nginx::launch_http(server)
            .value("name", name)
            .file("healthz", "all is well");
        Self(Nginx::from_launch(nginx))
    }

    fn addr(&self) -> SocketAddr {
        self.0.addr("web")
    }

    fn fall_ill(&self) {
        fs::remove_file(self.0.dir().join("healthz")).expect("removed");
    }

    fn recover(&self) {
        fs::write(self.0.dir().join("healthz"), "all is well").expect("written");
    }
}

/// Who answers, of a dozen requests.
fn who(weir: &Weir) -> BTreeSet<String> {
    let mut client = weir.client("web");
    (0..12)
        .map(|_| {
            let response = client.get("/");
            assert_eq!(response.status, 200);
            response.header("x-origin").expect("a name").to_owned()
        })
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The endpoint's entry in `/status`.
fn endpoint(weir: &Weir, addr: SocketAddr) -> Value {
    let status = status(weir);
    let endpoints = status["services"][0]["endpoints"]
        .as_array()
        .expect("endpoints")
        .clone();
    endpoints
        .into_iter()
        .find(|endpoint| endpoint["address"] == addr.to_string())
        .unwrap_or_else(|| panic!("no {addr} in {status:#}"))
}

fn gauge(weir: &Weir, addr: SocketAddr) -> Option<f64> {
    let addr = addr.to_string();
    let metrics = weir.metrics();
    let mut found = metrics.samples().iter().filter(|sample| {
        sample.name == "weir_endpoint_healthy" && sample.labels["endpoint"] == addr
    });
    found.next().map(|sample| sample.value)
}

fn checked(health: &str) -> String {
    format!(
        "
workers: 2
listeners: {{ web: '@web@' }}
routes: [ {{ path: /*, service: app }} ]
services:
  app:
    endpoints: ['@one@', '@two@']
    balance: round_robin
    health: {{ {health} }}
"
    )
}

#[test]
fn an_endpoint_that_fails_its_http_check_gets_nothing_until_it_passes() {
    let (one, two) = (App::start("one"), App::start("two"));
    let config = checked("http: /healthz, interval: 50ms, unhealthy_after: 2, healthy_after: 2");
    let weir = start(&config, &[("one", one.addr()), ("two", two.addr())]);
    for app in [&one, &two] {
        wait_until("the first verdict", || {
            gauge(&weir, app.addr()) == Some(1.0)
        });
    }
    assert_eq!(who(&weir), set(&["one", "two"]));

    two.fall_ill();
    let label = two.addr().to_string();
    let event = wait_event(&weir, "endpoint health changed", |event| {
        event["to"] == "unhealthy"
    });
    assert_eq!(
        (&event["service"], &event["endpoint"], &event["from"]),
        (
            &Value::from("app"),
            &Value::from(label.as_str()),
            &Value::from("healthy")
        ),
        "{event}"
    );
    assert!(
        event["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("404")),
        "{event}"
    );
    wait_until("the other alone", || who(&weir) == set(&["one"]));
    assert_eq!(gauge(&weir, two.addr()), Some(0.0));
    assert_eq!(gauge(&weir, one.addr()), Some(1.0));
    let entry = endpoint(&weir, two.addr());
    assert_eq!(entry["state"], "unhealthy");
    assert!(
        entry["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("404")),
        "{entry}"
    );

    two.recover();
    wait_event(&weir, "endpoint health changed", |event| {
        event["from"] == "unhealthy" && event["to"] == "healthy"
    });
    wait_until("both again", || who(&weir) == set(&["one", "two"]));
    assert_eq!(gauge(&weir, two.addr()), Some(1.0));
    assert_eq!(endpoint(&weir, two.addr())["state"], "healthy");
}

#[test]
fn a_tcp_check_notices_who_listens() {
    let one = Echo::start("one");
    let two = Echo::start("two");
    let at = two.addr();
    let config = checked("tcp: true, interval: 50ms, unhealthy_after: 1, healthy_after: 1");
    let weir = start(&config, &[("one", one.addr()), ("two", at)]);
    wait_until("the first verdict", || gauge(&weir, at) == Some(1.0));
    drop(two);
    wait_until("unhealthy", || gauge(&weir, at) == Some(0.0));
    wait_until("the other alone", || who(&weir) == set(&["one"]));
    let _two = Echo::start_at("two", at);
    wait_until("healthy", || gauge(&weir, at) == Some(1.0));
    wait_until("both again", || who(&weir) == set(&["one", "two"]));
}

#[test]
fn a_grpc_check_hears_what_the_service_says() {
    let (one, two) = (GrpcHealth::start("one"), GrpcHealth::start("two"));
    for server in [&one, &two] {
        server.say("shop.Cart", Serving::Yes);
    }
    let config = checked("grpc: shop.Cart, interval: 50ms, unhealthy_after: 1, healthy_after: 1");
    let at = two.addr();
    let weir = start(&config, &[("one", one.addr()), ("two", at)]);
    wait_until("both verdicts", || {
        (gauge(&weir, one.addr()), gauge(&weir, at)) == (Some(1.0), Some(1.0))
    });
    assert_eq!(endpoint(&weir, at)["state"], "healthy");
    assert_eq!(who(&weir), set(&["one", "two"]));
    assert!(two.asked().iter().all(|service| service == "shop.Cart"));

    for (serving, reason) in [
        (Serving::No, "the service says NOT_SERVING"),
        (
            Serving::Unknown,
            "the service says status 0, expected SERVING",
        ),
    ] {
        two.say("shop.Cart", serving);
        wait_until("unhealthy", || gauge(&weir, at) == Some(0.0));
        wait_until("the reason", || {
            let reason_told = endpoint(&weir, at)["reason"].to_string();
            reason_told.contains(reason)
        });
        wait_until("the other alone", || who(&weir) == set(&["one"]));
        two.say("shop.Cart", Serving::Yes);
        wait_until("healthy", || gauge(&weir, at) == Some(1.0));
        wait_until("both again", || who(&weir) == set(&["one", "two"]));
    }
}

#[test]
fn a_grpc_check_of_what_is_not_there_fails_and_says_so() {
    let (server, plain) = (GrpcHealth::start("one"), Echo::start("two"));
    let config = checked("grpc: shop.Cart, interval: 50ms");
    let addresses = [("one", server.addr()), ("two", plain.addr())];
    let weir = start(&config, &addresses);
    wait_until("both verdicts", || {
        (gauge(&weir, server.addr()), gauge(&weir, plain.addr())) == (Some(0.0), Some(0.0))
    });
    let told = endpoint(&weir, server.addr())["reason"].to_string();
    assert!(told.contains("does not know this service"), "{told}");
    // The server as a whole is fine.
    let mut weir = weir;
    let whole = checked("grpc: '', interval: 50ms").replace("@one@", &server.addr().to_string());
    let whole = whole.replace("@two@", &plain.addr().to_string());
    assert_eq!(weir.reload_with(&whole).status, 200);
    wait_until("healthy", || gauge(&weir, server.addr()) == Some(1.0));
    assert_eq!(gauge(&weir, plain.addr()), Some(0.0));
    assert_eq!(who(&weir), set(&["one"]));
}

#[test]
fn the_first_check_decides() {
    let one = Echo::start("one");
    let down = free_addr();
    // Three failures would take three hours.
    let config = checked("tcp: true, interval: 1h, unhealthy_after: 3, healthy_after: 3");
    let weir = start(&config, &[("one", one.addr()), ("two", down)]);
    wait_until("both verdicts", || {
        (gauge(&weir, one.addr()), gauge(&weir, down)) == (Some(1.0), Some(0.0))
    });
    let event = wait_event(&weir, "endpoint health changed", |event| {
        event["to"] == "unhealthy"
    });
    assert_eq!(event["from"], "unknown");
    assert_eq!(who(&weir), set(&["one"]));
    let labels = [("endpoint", down.to_string())];
    let tried = weir.metrics().sum(
        "weir_endpoint_connect_failures_total",
        &[(labels[0].0, &labels[0].1)],
    );
    assert_eq!(tried, 0.0, "a request went to an unhealthy endpoint");
}

#[test]
fn when_all_are_unhealthy_they_are_used_all_the_same() {
    let (one, two) = (App::start("one"), App::start("two"));
    let config = checked("http: /healthz, interval: 50ms, unhealthy_after: 1, healthy_after: 1");
    let weir = start(&config, &[("one", one.addr()), ("two", two.addr())]);
    one.fall_ill();
    two.fall_ill();
    wait_until("both to be unhealthy", || {
        [&one, &two]
            .iter()
            .all(|app| gauge(&weir, app.addr()) == Some(0.0))
    });
    assert_eq!(who(&weir), set(&["one", "two"]));
    assert_eq!(status(&weir)["services"][0]["panic"], true);
    one.recover();
    wait_until("the healthy one alone", || who(&weir) == set(&["one"]));
    assert_eq!(status(&weir)["services"][0]["panic"], false);
}

#[test]
fn a_check_asks_what_it_is_told_and_wants_what_it_is_told() {
    let one = Echo::start("one");
    let config = "
listeners: { web: '@web@' }
routes: [ { path: /*, service: status }, { path: /text, service: text }, { path: /wrong, service: wrong } ]
services:
  status: { endpoints: ['@one@'], health: { http: { path: /status/418, expect: \"418, 500-599\" }, interval: 1h } }
  text: { endpoints: ['@one@'], health: { http: { path: /check?deep, host: app.example, headers: { x-check: yes-please }, body: yes-please }, interval: 1h } }
  wrong: { endpoints: ['@one@'], health: { http: { path: /, body: not in there }, interval: 1h } }
";
    let weir = start(config, &[("one", one.addr())]);
    let verdict = |service: &str| {
        wait_event(&weir, "endpoint health changed", |event| {
            event["service"] == service
        })["to"]
            .clone()
    };
    assert_eq!(verdict("status"), "healthy");
    assert_eq!(verdict("text"), "healthy");
    assert_eq!(verdict("wrong"), "unhealthy");
}

#[test]
fn a_service_without_an_endpoint_is_503() {
    let config = "
listeners: { web: '@web@' }
routes: [ { path: /*, service: app } ]
services: { app: ['nothing.invalid:80'] }
";
    let weir = start(config, &[]);
    let mut client = weir.client("web");
    let response = client.get("/");
    assert_eq!(response.status, 503);
    assert_eq!(response.header("retry-after"), Some("1"));
    assert_eq!(response.json()["status"], 503);
    assert!(response.keeps_alive());
    let line = weir.wait_log("the refusal", |line| line["status"] == 503);
    assert_eq!(
        (&line["reason"], &line["service"]),
        (&Value::from("no_endpoint"), &Value::from("app")),
        "{line}"
    );
    assert!(
        line["endpoint"].is_null() && line["attempts"].is_null(),
        "{line}"
    );
    let metrics = weir.metrics();
    assert_eq!(
        metrics.value("weir_service_no_endpoint_total", &[("service", "app")]),
        1.0
    );
    assert_eq!(
        metrics.value("weir_http_failures_total", &[("reason", "no_endpoint")]),
        1.0
    );
    wait_event(&weir, "name resolution failed", |event| {
        event["name"] == "nothing.invalid"
    });
}

#[test]
fn an_endpoint_that_refuses_is_not_a_missing_endpoint() {
    let config = "
listeners: { web: '@web@' }
routes: [ { path: /*, service: app } ]
services: { app: ['@down@'] }
";
    let weir = start(config, &[("down", free_addr())]);
    assert_eq!(weir.client("web").get("/").status, 502);
    weir.wait_log("the refusal", |line| line["reason"] == "connect_refused");
    assert_eq!(
        weir.metrics().sum("weir_service_no_endpoint_total", &[]),
        0.0
    );
}

#[test]
fn a_drained_endpoint_gets_nothing_and_finishes_what_it_has() {
    let (one, two) = (Echo::start("one"), Echo::start("two"));
    let config = checked("tcp: true, interval: 50ms");
    let mut weir = start(&config, &[("one", one.addr()), ("two", two.addr())]);
    wait_until("both", || who(&weir) == set(&["one", "two"]));
    // Two at once: in turn, one of them is at the endpoint that will be drained.
    let mut under_way: Vec<RawClient> = (0..4).map(|_| weir.client("web")).collect();
    let before = one.requests() + two.requests();
    for client in &mut under_way {
        client.send("GET /slow/500 HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    wait_until("the requests", || {
        one.requests() + two.requests() == before + under_way.len()
    });
    let target = format!("/drain?endpoint={}", two.addr());
    assert_eq!(weir.admin_request("POST", &target).status, 200);
    wait_until("one alone", || who(&weir) == set(&["one"]));
    assert_eq!(endpoint(&weir, two.addr())["state"], "draining");
    for client in &mut under_way {
        assert_eq!(client.response().status, 200);
    }
    // Reloads and checks do not bring it back; undoing does.
    assert_eq!(
        weir.reload_with(&config.replace("50ms", "60ms")).status,
        200
    );
    assert_eq!(who(&weir), set(&["one"]));
    assert_eq!(
        weir.admin_request("POST", &format!("{target}&undo=true"))
            .status,
        200
    );
    wait_until("both again", || who(&weir) == set(&["one", "two"]));
    // All drained is nobody left, not a reason to use them all the same.
    for addr in [one.addr(), two.addr()] {
        assert_eq!(
            weir.admin_request("POST", &format!("/drain?endpoint={addr}"))
                .status,
            200
        );
    }
    wait_until("nobody", || weir.client("web").get("/").status == 503);
    assert!(events(&weir).iter().all(|event| event["level"] != "error"));
}
