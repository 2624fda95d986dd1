//! The admin API of a running Weir.

#[path = "common/running.rs"]
mod running;

use std::fs;
use std::net::SocketAddr;

use running::{WEIR, start, wait_event};
use serde_json::Value;
use weir_testkit::{Echo, Origin, RawClient, Response, Signal, Step, Weir, free_addr, run_cli};

const CONFIG: &str = "
workers: 2
listeners: { web: '@web@', other: '@other@' }
routes:
  - { path: /*, service: app }
  - { path: /own, respond: 200 }
services: { app: { endpoints: ['@app@'], balance: least_connections } }
";

fn ask(addr: SocketAddr, method: &str, path: &str, fields: &str) -> Response {
    let mut client = RawClient::connect(addr);
    client.send(format!("{method} {path} HTTP/1.1\r\nHost: {addr}\r\nContent-Length: 0\r\nConnection: close\r\n{fields}\r\n"));
    client.response_to(method)
}

#[test]
fn health_and_readiness() {
    let hanging = Origin::script([Step::ReadRequest, Step::Hold]);
    let mut weir = start(
        &format!("shutdown: 1h\n{CONFIG}"),
        &[("app", hanging.addr())],
    );
    assert_eq!(weir.admin("/healthz").status, 200);
    assert_eq!(weir.admin("/readyz").status, 200);
    let mut client = weir.client("web");
    client.send("GET /hangs HTTP/1.1\r\nHost: x\r\n\r\n");
    hanging.wait_connections(1);
    weir.signal(Signal::TERM);
    wait_event(&weir, "draining", |_| true);
    assert_eq!(weir.admin("/healthz").status, 200);
    assert_eq!(weir.admin("/readyz").status, 503);
    assert_eq!(running::status(&weir)["draining"], true);
    weir.signal(Signal::TERM);
}

#[test]
fn status_tells_what_runs() {
    let app = Echo::start("app");
    let mut weir = start(CONFIG, &[("app", app.addr())]);
    let mut client = weir.client("web");
    assert_eq!(client.get("/").status, 200);
    let status = running::status(&weir);
    assert_eq!(status["pid"], weir.pid());
    assert_eq!(status["generation"], 1);
    assert_eq!(status["workers"], 2);
    assert_eq!(status["routes"], 2);
    assert_eq!(status["connections"], 1);
    assert_eq!(status["draining"], false);
    assert_eq!(status["last_reload"], Value::Null);
    assert_eq!(status["config"], weir.config().display().to_string());
    let mut listeners: Vec<(String, String)> = status["listeners"]
        .as_array()
        .expect("listeners")
        .iter()
        .map(|l| (l["name"].to_string(), l["address"].to_string()))
        .collect();
    listeners.sort();
    let quoted = |addr: SocketAddr| format!("\"{addr}\"");
    assert_eq!(
        listeners,
        [
            ("\"other\"".to_owned(), quoted(weir.addr("other"))),
            ("\"web\"".to_owned(), quoted(weir.addr("web")))
        ]
    );
    let service = &status["services"][0];
    assert_eq!(
        (&service["name"], &service["balance"]),
        (&Value::from("app"), &Value::from("least_connections"))
    );
    let endpoint = &service["endpoints"][0];
    assert_eq!(endpoint["address"], app.addr().to_string());
    assert_eq!(
        (&endpoint["state"], &endpoint["weight"]),
        (&Value::from("unknown"), &Value::from(1))
    );
    let active = |weir: &Weir, count: u32| {
        weir_testkit::wait_until("the requests in flight", || {
            running::status(weir)["services"][0]["endpoints"][0]["active"] == count
        });
    };
    // An answer that is whole is counted out just after its last byte.
    active(&weir, 0);

    client.send("GET /slow/2000 HTTP/1.1\r\nHost: x\r\n\r\n");
    active(&weir, 1);
    weir.signal(Signal::HUP);
    weir_testkit::wait_until("the reload", || {
        running::status(&weir)["last_reload"]["ok"] == true
    });
    let status = running::status(&weir);
    assert_eq!(
        (&status["generation"], &status["last_reload"]["ok"]),
        (&Value::from(2), &Value::from(true))
    );
    assert_eq!(
        status["services"][0]["endpoints"][0]["active"], 1,
        "the old plan's request is still there"
    );
    assert_eq!(client.response().status, 200);
    active(&weir, 0);
}

#[test]
fn the_status_command_says_the_same() {
    let app = Echo::start("app");
    let weir = start(CONFIG, &[("app", app.addr())]);
    let admin = weir.addr("admin").to_string();
    let people = run_cli(WEIR, &["status", "--admin", &admin], weir.dir());
    assert_eq!(people.code, Some(0), "{people:?}");
    assert!(
        people.stdout.contains(&app.addr().to_string())
            && people.stdout.contains(&weir.addr("web").to_string()),
        "{}",
        people.stdout
    );
    let config = weir.config().display().to_string();
    let machines = run_cli(WEIR, &["status", "--json", "-c", &config], weir.dir());
    let status: Value = serde_json::from_str(&machines.stdout).expect("JSON");
    assert_eq!(status["pid"], weir.pid());
    let nobody = run_cli(
        WEIR,
        &["status", "--admin", &free_addr().to_string()],
        weir.dir(),
    );
    assert_eq!(nobody.code, Some(3), "{nobody:?}");
}

#[test]
fn the_config_is_shown_whole_and_without_secrets() {
    let launch = Weir::launch(
        WEIR,
        "admin: { address: '@admin@', token: 'file:token' }\nlog: { access: '@log@' }\nlisteners: { web: '@web@' }\nroutes: [ { path: /*, respond: { body: '${GREETING:-hello}' } } ]\n",
    )
    .file("token", "do-not-tell\n")
    .env("GREETING", "from the environment");
    // Readiness wants the token as well, so the start is awaited at its socket.
    let weir = {
        let server = launch.spawn();
        let admin = server.addr("admin");
        weir_testkit::wait_until("the admin API", || RawClient::try_connect(admin).is_ok());
        server
    };
    let admin = weir.addr("admin");
    for path in ["/", "/metrics", "/readyz", "/status", "/config", "/nothing"] {
        let refused = ask(admin, "GET", path, "");
        assert_eq!(refused.status, 401, "{path}");
        assert!(refused.header("www-authenticate").is_some(), "{path}");
        assert_eq!(
            ask(admin, "GET", path, "Authorization: Bearer wrong\r\n").status,
            401,
            "{path}"
        );
    }
    assert_eq!(ask(admin, "POST", "/reload", "").status, 401);
    assert_eq!(ask(admin, "GET", "/healthz", "").status, 200);
    let token = "Authorization: Bearer do-not-tell\r\n";
    let config = ask(admin, "GET", "/config", token);
    assert_eq!(config.status, 200);
    assert_eq!(config.json()["admin"]["token"], "***");
    assert_eq!(
        config.json()["routes"][0]["respond"]["body"],
        "from the environment"
    );
    for path in ["/config", "/status", "/metrics", "/"] {
        assert!(
            !ask(admin, "GET", path, token)
                .text()
                .contains("do-not-tell"),
            "{path}"
        );
    }
    // Neither do the messages about a broken config.
    let text = fs::read_to_string(weir.config()).expect("the config");
    fs::write(weir.config(), text.replace("routes:", "rootes:")).expect("written");
    let refused = ask(admin, "POST", "/reload", token);
    assert_eq!(refused.status, 422);
    assert!(!refused.text().contains("do-not-tell"));
    assert!(!weir.stderr().contains("do-not-tell"), "{}", weir.stderr());
}

#[test]
fn an_address_that_others_can_reach_needs_a_token() {
    let launch = Weir::launch(
        WEIR,
        "admin: '0.0.0.0:1'\nlisteners: { web: '@web@' }\nroutes: [ { path: /*, respond: 200 } ]\n",
    )
    .value("admin", free_addr());
    let why = Weir::try_launch(launch).expect_err("refused");
    assert!(
        why.contains("weir.yaml:2:8") && why.contains("token"),
        "{why}"
    );
}

#[test]
fn methods_and_foreign_pages() {
    let app = Echo::start("app");
    let weir = start(CONFIG, &[("app", app.addr())]);
    let admin = weir.addr("admin");
    for (method, path, status, allow) in [
        ("POST", "/status", 405, Some("GET, HEAD")),
        ("DELETE", "/metrics", 405, Some("GET, HEAD")),
        ("GET", "/reload", 405, Some("POST")),
        ("GET", "/drain", 405, Some("POST")),
        ("HEAD", "/healthz", 200, None),
        ("GET", "/nothing", 404, None),
        ("POST", "/drain", 400, None),
        ("POST", "/drain?endpoint=192.0.2.1:1", 404, None),
    ] {
        let response = ask(admin, method, path, "");
        assert_eq!(
            (response.status, response.header("allow")),
            (status, allow),
            "{method} {path}"
        );
    }
    // A page in a browser must not steer it, nor read it under a name of its own.
    let foreign = ask(admin, "POST", "/reload", "Origin: http://evil.example\r\n");
    assert_eq!(foreign.status, 403);
    let rebound = RawClient::exchange(
        admin,
        "GET /config HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(rebound.status, 403);
    assert_eq!(running::generation(&weir), 1);
    // The data plane knows none of it.
    assert_eq!(
        weir.client("web").get("/config").header("x-origin"),
        Some("app")
    );
}

#[test]
fn off_is_off() {
    let launch = Weir::launch(
        WEIR,
        "admin: off\nlog: { access: '@log@' }\nlisteners: { web: '@web@' }\nroutes: [ { path: /*, respond: 200 } ]\n",
    );
    let mut server = launch.value("admin", free_addr()).spawn();
    let (web, admin) = (server.addr("web"), server.addr("admin"));
    weir_testkit::wait_until("the listener", || RawClient::try_connect(web).is_ok());
    assert!(RawClient::try_connect(admin).is_err());
    server.signal(Signal::TERM);
    assert!(server.wait_exit(running::SOON).success());
}
