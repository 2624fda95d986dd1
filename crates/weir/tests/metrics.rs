//! What Weir counts: it adds up, is well formed, and goes with what it is about.

#[path = "common/running.rs"]
mod running;
#[path = "common/scene.rs"]
mod scene;

use std::collections::BTreeMap;

use running::{echoes, start, tunnel};
use scene::scene;
use weir_testkit::{Echo, Metrics, RawClient, Weir, wait_until};

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
