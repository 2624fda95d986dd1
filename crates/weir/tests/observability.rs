//! What Weir says about what it did: a log line for every request, and counts that add up.

#[path = "common/running.rs"]
mod running;

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use running::{SOON, WEIR, echoes, start, tunnel};
use serde_json::{Value, json};
use weir_testkit::{Echo, Metrics, Origin, RawClient, Signal, Step, Weir, free_addr, wait_until};

// One worker, so that what it keeps for reuse is there for the next request.
const CONFIG: &str = "
workers: 1
listeners: { web: { address: '@web@', http: { head_timeout: 500ms } } }
routes:
  - { path: /*, service: app }
  - { name: own, path: /own, respond: { body: '0123456789' } }
  - { path: /moved, redirect: /own }
  - { path: /post-only, methods: POST, respond: 200 }
  - { path: /down, service: down }
  - { path: /bad, service: bad }
  - { path: /short, service: short }
  - { path: /silent, service: silent, timeout: { first_byte: 200ms } }
  - { path: /file/*, files: '@dir@' }
services: { app: ['@app@'], down: ['@down@'], bad: ['@bad@'], short: ['@short@'], silent: ['@silent@'] }
";

/// A Weir with an endpoint for every kind of failure.
struct Scene {
    weir: Weir,
    app: Echo,
    _failing: [Origin; 3],
}

fn scene() -> Scene {
    let app = Echo::start("app");
    let failing = [
        Origin::answering_once("HTTP/1.1 2x0 what\r\n\r\n"),
        Origin::answering_once("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"),
        Origin::script([Step::ReadRequest, Step::Hold]),
    ];
    let weir = start(
        CONFIG,
        &[
            ("app", app.addr()),
            ("down", free_addr()),
            ("bad", failing[0].addr()),
            ("short", failing[1].addr()),
            ("silent", failing[2].addr()),
        ],
    );
    Scene {
        weir,
        app,
        _failing: failing,
    }
}

impl Scene {
    /// Sends on a connection of its own, reads whatever comes back, and returns the log line with this id.
    fn logged(&self, id: &str, request: &str) -> Value {
        let request = request.replacen(
            "\r\n",
            &format!("\r\nX-Request-Id: {id}\r\nConnection: close\r\n"),
            1,
        );
        let mut client = self.weir.client("web");
        client.send(request).read_to_end();
        self.weir.wait_log(id, |line| line["id"] == id)
    }
}

/// The line must have these fields, and exactly these further ones with any value.
fn assert_line(line: &Value, fields: Value, any: &[&str]) {
    let mut expected: BTreeMap<&str, Option<&Value>> =
        any.iter().map(|name| (*name, None)).collect();
    for (name, value) in fields.as_object().expect("an object") {
        expected.insert(name, Some(value));
    }
    for (name, value) in line.as_object().expect("an object") {
        match expected.remove(name.as_str()) {
            Some(Some(wanted)) => assert_eq!(value, wanted, "{name} in {line:#}"),
            Some(None) => {}
            None => panic!("{name} in {line:#}"),
        }
    }
    assert!(expected.is_empty(), "{expected:?} not in {line:#}");
}

/// What every line has.
const ALWAYS: [&str; 5] = ["time", "id", "client", "duration_ms", "trace"];

fn always(more: &[&'static str]) -> Vec<&'static str> {
    ALWAYS.iter().copied().chain(more.iter().copied()).collect()
}

#[test]
fn a_line_says_what_a_request_met() {
    let scene = scene();
    let app = scene.app.addr().to_string();
    let line = scene.logged(
        "success-1",
        "POST /some/path?q=1 HTTP/1.1\r\nHost: Shop.Example:80\r\nUser-Agent: tester/1.0\r\nReferer: http://a.example/\r\nContent-Length: 5\r\n\r\nhello",
    );
    assert_line(
        &line,
        json!({
            "listener": "web", "client": "127.0.0.1", "method": "POST", "host": "Shop.Example:80", "target": "/some/path?q=1",
            "protocol": "HTTP/1.1", "route": "/*", "service": "app", "endpoint": app, "status": 200, "bytes_in": 5, "attempts": 1,
            "reused": false, "user_agent": "tester/1.0", "referer": "http://a.example/",
        }),
        &always(&["bytes_out", "connect_ms", "first_byte_ms"]),
    );
    let time = line["time"].as_str().expect("a time");
    assert!(
        time.len() == 24 && time.ends_with('Z') && time.as_bytes()[10] == b'T',
        "{time}"
    );
    assert!(line["bytes_out"].as_u64().is_some_and(|bytes| bytes > 100));
    let ms = |name: &str| line[name].as_f64().expect("a duration");
    assert!(
        ms("duration_ms") >= ms("first_byte_ms") + ms("connect_ms"),
        "{line}"
    );

    let line = scene.logged("success-2", "GET /bytes/70000 HTTP/1.0\r\nHost: x\r\n\r\n");
    assert_eq!(
        (&line["protocol"], &line["bytes_out"], &line["reused"]),
        (&json!("HTTP/1.0"), &json!(70_000), &json!(true)),
        "{line}"
    );
    assert!(line["connect_ms"].is_null(), "{line}");
    let line = scene.logged("success-3", "GET /slow/120 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(
        line["first_byte_ms"].as_f64().is_some_and(|ms| ms >= 120.0),
        "{line}"
    );
}

#[test]
fn a_line_says_what_weir_answered_itself() {
    let scene = scene();
    let base = |method: &str, target: &str, more: Value| {
        let mut line = json!({
            "listener": "web", "method": method, "host": "x", "target": target, "protocol": "HTTP/1.1", "bytes_in": 0,
        });
        let all = line.as_object_mut().expect("an object");
        all.extend(more.as_object().expect("an object").clone());
        line
    };
    let get = |id: &str, target: &str| {
        scene.logged(id, &format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"))
    };

    assert_line(
        &get("own-1", "/own"),
        base(
            "GET",
            "/own",
            json!({ "route": "own", "status": 200, "bytes_out": 10 }),
        ),
        &ALWAYS,
    );
    assert_line(
        &get("own-2", "/moved"),
        base(
            "GET",
            "/moved",
            json!({ "route": "/moved", "status": 308, "bytes_out": 0 }),
        ),
        &ALWAYS,
    );
    let file = get("own-3", "/file/weir.yaml");
    let size = fs::metadata(scene.weir.config()).expect("the config").len();
    assert_line(
        &file,
        base(
            "GET",
            "/file/weir.yaml",
            json!({ "route": "/file/*", "status": 200, "bytes_out": size }),
        ),
        &ALWAYS,
    );
    let head = scene.logged("own-4", "HEAD /own HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_line(
        &head,
        base(
            "HEAD",
            "/own",
            json!({ "route": "own", "status": 200, "bytes_out": 0 }),
        ),
        &ALWAYS,
    );

    let refused = get("own-5", "/post-only");
    // The catch-all takes every method.
    assert_eq!(refused["service"], "app", "{refused}");
    let bad = get("own-6", "/..");
    assert_line(
        &bad,
        base(
            "GET",
            "/..",
            json!({ "status": 400, "reason": "bad_request", "rule": "bad_path" }),
        ),
        &always(&["bytes_out"]),
    );
}

#[test]
fn a_line_says_why_it_failed() {
    let scene = scene();
    let get = |id: &str, target: &str| {
        scene.logged(id, &format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"))
    };
    for (id, target, status, reason) in [
        ("fail-1", "/down", 502, "connect_refused"),
        ("fail-2", "/bad", 502, "upstream_bad_response"),
        ("fail-3", "/short", 200, "upstream_truncated"),
        ("fail-4", "/silent", 504, "first_byte_timeout"),
        ("fail-5", "/file/none", 404, "file_not_found"),
    ] {
        let line = get(id, target);
        assert_eq!(
            (&line["status"], &line["reason"]),
            (&json!(status), &json!(reason)),
            "{line}"
        );
        assert!(line["route"].is_string(), "{line}");
    }
    let bad = get("fail-6", "/bad");
    assert!(bad["rule"].is_string(), "the rule that was broken: {bad}");
    // What is no HTTP has a line as well, with what could be read of it.
    for (bytes, status, reason) in [
        ("GET / HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            400,
            "bad_request",
        ),
        (
            "GET / HTTP/3.0\r\nHost: x\r\n\r\n",
            505,
            "unsupported_version",
        ),
        (
            "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
            501,
            "unsupported_method",
        ),
    ] {
        let before = scene.weir.access_log().len();
        let mut client = scene.weir.client("web");
        assert_eq!(client.send(bytes).response().status, status, "{bytes:?}");
        wait_until("the line", || scene.weir.access_log().len() > before);
        let line = scene.weir.access_log().pop().expect("a line");
        assert_eq!(
            (&line["status"], &line["reason"]),
            (&json!(status), &json!(reason)),
            "{bytes:?}: {line}"
        );
    }
}

#[test]
fn a_client_that_goes_away_is_logged_as_such() {
    let scene = scene();
    let mut client = scene.weir.client("web");
    client.send("GET /slow/3000/gone HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_until("the request at the app", || scene.app.requests() == 1);
    client.reset();
    let line = scene.weir.wait_log("the one that went", |line| {
        line["target"] == "/slow/3000/gone"
    });
    assert_eq!(
        (&line["reason"], &line["status"]),
        (&json!("client_gone"), &json!(499)),
        "{line}"
    );
    assert!(
        line["duration_ms"].as_f64().is_some_and(|ms| ms < 2500.0),
        "it did not wait for the answer: {line}"
    );
}

#[test]
fn a_head_in_pieces_counts_from_its_first_byte() {
    let scene = scene();
    let mut client = scene.weir.client("web");
    client.send("GET /own?pieces HTTP/1.1\r\nHo");
    client.expect_silence(Duration::from_millis(150));
    client.send("st: x\r\n\r\n");
    assert_eq!(client.response().status, 200);
    let line = scene
        .weir
        .wait_log("the pieces", |line| line["target"] == "/own?pieces");
    let ms = |name: &str| {
        line[name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name} in {line}"))
    };
    assert!(
        ms("head_ms") >= 140.0 && ms("duration_ms") >= ms("head_ms"),
        "{line}"
    );
}

#[test]
fn a_tunnel_has_its_line_when_it_ends() {
    let scene = scene();
    let mut socket = tunnel(scene.weir.addr("web"));
    echoes(&mut socket, "hello");
    echoes(&mut socket, "again!");
    scene.weir.client("web").get("/own");
    scene
        .weir
        .wait_log("another line", |line| line["target"] == "/own");
    assert!(
        scene
            .weir
            .access_log()
            .iter()
            .all(|line| line["status"] != 101),
        "the tunnel is still open"
    );
    socket.half_close().expect_close();
    let line = scene
        .weir
        .wait_log("the tunnel's", |line| line["status"] == 101);
    assert_eq!(
        (&line["bytes_in"], &line["bytes_out"]),
        (&json!(11), &json!(11)),
        "{line}"
    );
    assert_eq!(
        (&line["service"], &line["reason"]),
        (&json!("app"), &Value::Null),
        "{line}"
    );
}

#[test]
fn lines_are_json_whatever_a_client_sends() {
    let scene = scene();
    let agents: [&[u8]; 5] = [
        b"quote \" backslash \\ tab \t end",
        b"\xff\xfe not UTF-8 \xc3\x28",
        "emoji \u{1f980} and \u{2028}".as_bytes(),
        b"</script>{\"a\":1}",
        b"%00%0a\\n\\u0000",
    ];
    let mut client = scene.weir.client("web");
    for (number, agent) in agents.iter().enumerate() {
        let mut request =
            format!("GET /own?n={number}&\"'<>\\%0A%22 HTTP/1.1\r\nHost: x\r\nUser-Agent: ")
                .into_bytes();
        request.extend_from_slice(agent);
        request.extend_from_slice(b"\r\n\r\n");
        client.send(&request);
        let status = client.response().status;
        if status != 200 {
            client = scene.weir.client("web");
        }
    }
    // Refused ones as well: their target is the client's.
    for bytes in [
        &b"GET /\x01\x02\" HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\"\\\r\n\r\n",
        b"{\"a\":\r\n\r\n",
    ] {
        scene.weir.client("web").send(bytes).read_to_end();
    }
    // `access_log` panics on a line that is no JSON.
    wait_until("all lines", || {
        scene.weir.access_log().len() == agents.len() + 4
    });
    let text = fs::read(scene.weir.log_path()).expect("the log");
    assert!(std::str::from_utf8(&text).is_ok(), "the log is UTF-8");
    assert!(
        text.iter().all(|byte| *byte == b'\n' || *byte >= b' '),
        "a control character in the log"
    );
}

#[test]
fn ids_and_traces_are_passed_on_or_made() {
    let scene = scene();
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let mut client = scene.weir.client("web");
    client.send(format!("GET /id HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine-1\r\ntraceparent: 00-{trace}-b7ad6b7169203331-01\r\n\r\n"));
    let headers = |response: &weir_testkit::Response| -> BTreeMap<String, String> {
        let pairs: Vec<(String, String)> =
            serde_json::from_value(response.json()["headers"].clone()).expect("pairs");
        pairs
            .into_iter()
            .map(|(name, value)| (name.to_lowercase(), value))
            .collect()
    };
    let seen = headers(&client.response());
    assert_eq!(seen["x-request-id"], "mine-1");
    assert!(
        seen["traceparent"].starts_with(&format!("00-{trace}-")),
        "{seen:?}"
    );
    let line = scene.weir.wait_log("mine", |line| line["id"] == "mine-1");
    assert_eq!(line["trace"], trace);

    let seen = headers(&client.get("/made"));
    let line = scene
        .weir
        .wait_log("made", |line| line["target"] == "/made");
    assert_eq!(line["id"], seen["x-request-id"].as_str());
    assert!(
        seen["traceparent"].contains(line["trace"].as_str().expect("a trace")),
        "{line} {seen:?}"
    );
}

#[test]
fn counts_add_up() {
    let scene = scene();
    let mut client = scene.weir.client("web");
    for _ in 0..5 {
        assert_eq!(client.get("/").status, 200);
    }
    for _ in 0..4 {
        assert_eq!(client.get("/status/404").status, 404);
    }
    for _ in 0..3 {
        assert_eq!(client.get("/own").status, 200);
    }
    for _ in 0..2 {
        assert_eq!(client.get("/down").status, 502);
    }
    assert_eq!(client.get("/..").status, 400);
    assert_eq!(scene.weir.client("web").get("/silent").status, 504);
    assert_eq!(
        RawClient::exchange(scene.weir.addr("web"), "GET / HTTP/1.1\r\n\r\n").status,
        400
    );
    drop(client);
    wait_until("nobody to be connected", || {
        running::status(&scene.weir)["connections"] == 0
    });

    let metrics = scene.weir.metrics();
    let value = |name: &str, labels: &[(&str, &str)]| metrics.value(name, labels);
    assert_eq!(
        value(
            "weir_listener_connections_accepted_total",
            &[("listener", "web")]
        ),
        3.0
    );
    assert_eq!(
        value("weir_listener_connections_open", &[("listener", "web")]),
        0.0
    );
    assert_eq!(
        value("weir_listener_requests_total", &[("listener", "web")]),
        17.0
    );
    assert_eq!(
        value(
            "weir_listener_protocol_errors_total",
            &[("listener", "web"), ("status", "400")]
        ),
        2.0
    );
    let routes = [
        ("/*", "2xx", 5.0),
        ("/*", "4xx", 4.0),
        ("own", "2xx", 3.0),
        ("/down", "5xx", 2.0),
        ("/silent", "5xx", 1.0),
        ("-", "4xx", 2.0),
    ];
    for (route, class, count) in routes {
        assert_eq!(
            value(
                "weir_http_requests_total",
                &[("route", route), ("class", class)]
            ),
            count,
            "{route} {class}"
        );
    }
    assert_eq!(metrics.sum("weir_http_requests_total", &[]), 17.0);
    assert_eq!(
        metrics.sum("weir_http_request_duration_seconds_count", &[]),
        17.0
    );
    for (route, reason, count) in [
        ("/down", "connect_refused", 2.0),
        ("/silent", "first_byte_timeout", 1.0),
        ("-", "bad_request", 2.0),
    ] {
        assert_eq!(
            value(
                "weir_http_failures_total",
                &[("route", route), ("reason", reason)]
            ),
            count,
            "{route} {reason}"
        );
    }
    assert_eq!(metrics.sum("weir_http_failures_total", &[]), 5.0);
    assert_eq!(
        value(
            "weir_service_requests_total",
            &[("service", "app"), ("class", "2xx")]
        ),
        5.0
    );
    assert_eq!(
        value(
            "weir_service_requests_total",
            &[("service", "app"), ("class", "4xx")]
        ),
        4.0
    );
    assert_eq!(
        value(
            "weir_service_first_byte_seconds_count",
            &[("service", "app")]
        ),
        9.0
    );
    let app = scene.app.addr().to_string();
    let labels = [("service", "app"), ("endpoint", app.as_str())];
    assert_eq!(metrics.sum("weir_endpoint_requests_total", &labels), 9.0);
    assert_eq!(value("weir_endpoint_connects_total", &labels), 1.0);
    assert_eq!(
        value("weir_endpoint_reused_connections_total", &labels),
        8.0
    );
    assert_eq!(
        value(
            "weir_endpoint_connect_failures_total",
            &[("service", "down")]
        ),
        2.0
    );
    assert!(value("weir_listener_received_bytes_total", &[("listener", "web")]) > 17.0 * 20.0);
    assert!(value("weir_listener_sent_bytes_total", &[("listener", "web")]) > 17.0 * 50.0);
    wait_until("all lines to be written", || {
        scene
            .weir
            .metrics()
            .value("weir_log_lines_written_total", &[("log", "access")])
            == 17.0
    });
}

#[test]
fn bytes_and_connections_of_endpoints_are_counted() {
    let scene = scene();
    let mut client = scene.weir.client("web");
    assert_eq!(client.get("/bytes/100000").body.len(), 100_000);
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n{}",
        "x".repeat(50_000)
    ));
    assert_eq!(client.response().status, 200);
    let mut socket = tunnel(scene.weir.addr("web"));
    echoes(&mut socket, "counted");
    let app = scene.app.addr().to_string();
    let labels = [("service", "app"), ("endpoint", app.as_str())];
    let count = |metrics: &Metrics, state: &str| {
        metrics.value(
            "weir_service_connections",
            &[("service", "app"), ("state", state)],
        )
    };
    wait_until("the gauges", || {
        let metrics = scene.weir.metrics();
        (count(&metrics, "idle"), count(&metrics, "active")) == (1.0, 1.0)
            || (count(&metrics, "idle"), count(&metrics, "active")) == (0.0, 1.0)
    });
    socket.half_close().expect_close();
    wait_until("no tunnel", || {
        count(&scene.weir.metrics(), "active") == 0.0
    });
    let metrics = scene.weir.metrics();
    let received = metrics.value("weir_endpoint_received_bytes_total", &labels);
    let sent = metrics.value("weir_endpoint_sent_bytes_total", &labels);
    assert!((100_000.0..110_000.0).contains(&received), "{received}");
    assert!((50_000.0..60_000.0).contains(&sent), "{sent}");
}

#[test]
fn the_exposition_is_well_formed() {
    let scene = scene();
    scene.weir.client("web").get("/own");
    scene.weir.client("web").get("/down");
    let response = scene.weir.admin("/metrics");
    assert!(
        response
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/plain; version=0.0.4")),
        "{response:?}"
    );
    let text = response.text();
    assert!(text.ends_with('\n'));
    let metrics = Metrics::parse(&text);
    let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a kind");
            assert!(kinds.insert(name, kind).is_none(), "{name} twice");
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    for sample in metrics.samples() {
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| {
                sample
                    .name
                    .strip_suffix(suffix)
                    .filter(|name| kinds.get(name) == Some(&"histogram"))
            })
            .unwrap_or(&sample.name);
        assert!(kinds.contains_key(family), "{} has no type", sample.name);
        assert!(sample.value.is_finite(), "{sample:?}");
        assert!(
            seen.insert((sample.name.clone(), sample.labels.clone())),
            "{sample:?} twice"
        );
    }
    // Buckets grow, and the last is the count.
    for sample in metrics.matching("weir_http_request_duration_seconds_count", &[]) {
        let route = sample.labels["route"].as_str();
        let buckets: Vec<f64> = metrics
            .matching(
                "weir_http_request_duration_seconds_bucket",
                &[("route", route)],
            )
            .map(|bucket| bucket.value)
            .collect();
        assert!(
            buckets.is_sorted() && buckets.last() == Some(&sample.value),
            "{route}: {buckets:?}"
        );
    }
    assert_eq!(metrics.value("weir_config_generation", &[]), 1.0);
    assert!(metrics.value("process_resident_memory_bytes", &[]) > 1e6);
}

#[test]
fn series_go_with_what_they_are_about() {
    let config = |name: &str| {
        format!(
            "listeners: {{ web: '@web@' }}\nroutes: [ {{ name: {name}, path: /*, service: {name} }} ]\nservices: {{ {name}: ['@app@'] }}\n"
        )
    };
    let app = Echo::start("app");
    let mut weir = start(&config("before"), &[("app", app.addr())]);
    assert_eq!(weir.client("web").get("/").status, 200);
    let has = |weir: &Weir, name: &str| {
        weir.metrics()
            .samples()
            .iter()
            .any(|sample| sample.labels.values().any(|value| value == name))
    };
    assert!(has(&weir, "before"));
    assert_eq!(weir.reload_with(&config("after")).status, 200);
    assert_eq!(weir.client("web").get("/").status, 200);
    assert!(has(&weir, "after"));
    wait_until("the old series to go", || !has(&weir, "before"));
}

#[test]
fn the_log_can_be_off_or_standard_output() {
    let config = |access: &str| {
        format!(
            "admin: '@admin@'\nlog: {{ access: {access} }}\nlisteners: {{ web: '@web@' }}\nroutes: [ {{ path: /*, respond: 200 }} ]\n"
        )
    };
    let mut weir = start(&config("off"), &[]);
    let mut client = weir.client("web");
    assert_eq!(client.get("/while-off").status, 200);
    assert_eq!(weir.reload_with(&config("stdout")).status, 200);
    assert_eq!(client.get("/to-standard-output").status, 200);
    wait_until("the line", || weir.stdout().contains("/to-standard-output"));
    assert_eq!(weir.reload_with(&config("off")).status, 200);
    assert_eq!(client.get("/off-again").status, 200);
    assert_eq!(weir.reload_with(&config("stderr")).status, 200);
    assert_eq!(client.get("/to-standard-error").status, 200);
    wait_until("the line", || weir.stderr().contains("/to-standard-error"));
    weir.signal(Signal::TERM);
    assert!(weir.wait_exit(SOON).success());
    let all = format!("{}{}", weir.stdout(), weir.stderr());
    assert!(
        !all.contains("/while-off") && !all.contains("/off-again"),
        "{all}"
    );
    assert!(!weir.log_path().exists());
}

#[test]
fn a_log_nobody_reads_costs_lines_and_no_request() {
    // A pipe that nobody empties is full at some point.
    let dir = weir_testkit::TempDir::new("pipe");
    let pipe = dir.path().join("log");
    let made = std::process::Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .expect("mkfifo");
    assert!(made.success());
    let reader = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&pipe)
        .expect("the pipe");
    let config = "admin: '@admin@'\nlog: { access: '@pipe@', queue: 2 }\nlisteners: { web: '@web@' }\nroutes: [ { path: /*, respond: 200 } ]\n";
    let launch = Weir::launch(WEIR, config).value("pipe", pipe.display());
    let weir = Weir::from_launch(launch);
    let load = weir_testkit::Load::new(weir.addr("web"))
        .connections(4)
        .path(&format!("/{}", "long".repeat(500)))
        .start();
    wait_until("lines to be dropped", || {
        weir.metrics().sum(
            "weir_log_lines_dropped_total",
            &[("log", "access"), ("reason", "queue_full")],
        ) > 0.0
    });
    load.wait_more(200);
    load.stop().assert_all_ok();
    drop(reader);
}

#[test]
fn events_are_json_or_text_and_have_a_level() {
    let config = |format: &str, level: &str| {
        format!(
            "admin: '@admin@'\nlog: {{ access: off, format: {format}, level: {level} }}\nlisteners: {{ web: '@web@' }}\nroutes: [ {{ path: /*, respond: 200 }} ]\n"
        )
    };
    let mut weir = start(&config("json", "info"), &[]);
    assert_eq!(weir.reload_with(&config("text", "info")).status, 200);
    assert_eq!(weir.reload_with(&config("text", "error")).status, 200);
    wait_until("a line of text", || {
        weir.stderr()
            .lines()
            .any(|line| line.contains("INFO config reloaded"))
    });
    assert_eq!(weir.reload_with("nonsense: 1\n").status, 422);
    wait_until("an error", || {
        weir.stderr().contains("ERROR config refused")
    });
    let infos = weir.stderr().matches("config reloaded").count();
    assert_eq!(weir.reload_with(&config("text", "error")).status, 200);
    weir.signal(Signal::TERM);
    assert!(weir.wait_exit(SOON).success());
    assert_eq!(weir.stderr().matches("config reloaded").count(), infos);
}
