//! Overload: caps on what a service is asked for at once, the queue in front of it, and who goes first.

#[path = "common/apps.rs"]
mod apps;

use std::thread;
use std::time::{Duration, Instant};

use apps::{all, at_once, line, request, send, weir};
use serde_json::Value;
use weir_testkit::{App, Load, RawClient, Reply, Response, Weir, wait_until};

const HELD: fn(&str) -> App = |name| App::start(name, |_| Reply::hold());

/// Sends a request, and waits until so many are in flight or in the queue, it among them: a queue is in order of arrival.
#[track_caller]
fn enqueue(weir: &Weir, target: &str, fields: &str, inside: u64) -> RawClient {
    let client = send(weir, request("GET", target, fields));
    wait_until(&format!("{inside} requests inside"), || {
        let status: Value = serde_json::from_str(&weir.admin("/status").text()).expect("JSON");
        let services = status["services"].as_array().expect("services").iter();
        let count = |service: &Value, what: &str| service["requests"][what].as_u64().unwrap_or(0);
        inside
            == services
                .map(|s| count(s, "in_flight") + count(s, "pending"))
                .sum::<u64>()
    });
    client
}

/// That nobody may be served now.
#[track_caller]
fn assert_overloaded(response: &Response) {
    assert_eq!(response.status, 503, "{response:?}");
    assert_eq!(response.header("server"), Some("weir"), "{response:?}");
    let after = response
        .header("retry-after")
        .and_then(|value| value.parse::<u64>().ok());
    assert!(after.is_some_and(|after| after >= 1), "{response:?}");
    assert_eq!(response.json()["status"], 503);
}

#[test]
fn requests_beyond_the_cap_wait_in_order_and_beyond_the_queue_are_refused() {
    let app = HELD("app");
    let weir = weir(
        &[&app],
        "limits: { requests: 1, pending: 3, queue_timeout: 30s }",
        "",
    );
    let mut waiting = vec![enqueue(&weir, "/0", "", 1)];
    app.wait_requests(1);
    waiting.extend((1..4).map(|number| enqueue(&weir, &format!("/{number}"), "", number + 1)));

    let begin = Instant::now();
    let mut refused = weir.client("web");
    assert_overloaded(&refused.get("/refused"));
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!(line(&weir, "/refused")["reason"], "overloaded");
    assert!(line(&weir, "/refused")["attempts"].is_null());
    let labels = [("reason", "overloaded")];
    assert_eq!(
        weir.metrics().value("weir_http_failures_total", &labels),
        1.0
    );

    app.release(4);
    for client in &mut waiting {
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(app.targets(), ["/0", "/1", "/2", "/3"]);
    assert_eq!(app.most_at_once(), 1);
    // The connection that was refused is as good as any.
    app.release(1);
    assert_eq!(refused.get("/again").status, 200);
}

#[test]
fn the_cap_holds_under_load_and_everyone_is_served() {
    let app = App::start("app", |_| Reply::ok().after(Duration::from_millis(5)));
    let weir = weir(
        &[&app],
        "limits: { requests: 3, pending: 100, queue_timeout: 30s }",
        "",
    );
    // A burst that is over soon is served whole.
    let answers = at_once(&weir, 24);
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!((app.requests(), app.most_at_once()), (24, 3));
}

#[test]
fn of_a_standing_queue_some_are_refused_early_and_the_others_served_soon() {
    let app = App::start("app", |_| Reply::ok().after(Duration::from_millis(5)));
    let weir = weir(
        &[&app],
        "limits: { requests: 3, pending: 1000, queue_timeout: 30s }",
        "",
    );
    let load = Load::new(weir.addr("web")).connections(100).start();
    load.wait_done(2000);
    let report = load.stop();
    assert_eq!(report.failures(), 0, "{}", report.summary());
    let (served, refused) = (report.status(200), report.status(503));
    assert_eq!(served + refused, report.total(), "{}", report.summary());
    assert!(served > 100 && refused > 100, "{}", report.summary());
    assert_eq!(app.requests() as u64, served);
    // A hundred who all wait would wait for 170 ms each.
    let median = report.latency.percentile(50.0);
    assert!(median < Duration::from_millis(100), "{}", report.summary());
    assert_eq!(app.most_at_once(), 3);
}

#[test]
fn the_cap_holds_over_workers() {
    let app = App::start("app", |_| Reply::ok().after(Duration::from_millis(5)));
    let config = apps::config(
        &[app.addr()],
        "limits: { requests: 2, pending: 100, queue_timeout: 30s }",
        "",
    );
    let weir = Weir::start(apps::WEIR, &config.replace("workers: 1", "workers: 3"));
    for answer in at_once(&weir, 60) {
        assert!(matches!(answer.status, 200 | 503), "{answer:?}");
    }
    assert!(app.requests() > 10);
    assert_eq!(app.most_at_once(), 2);
}

#[test]
fn the_cap_of_an_endpoint_holds_for_each() {
    let (one, two) = (HELD("one"), HELD("two"));
    let weir = weir(
        &[&one, &two],
        "limits: { connections: 1, queue_timeout: 30s }",
        "",
    );
    let mut waiting: Vec<RawClient> = (1..5)
        .map(|inside| enqueue(&weir, "/", "", inside))
        .collect();
    wait_until("both endpoints to have one", || {
        (one.busy(), two.busy()) == (1, 1)
    });
    thread::sleep(Duration::from_millis(100));
    assert_eq!((one.requests(), two.requests()), (1, 1));
    one.release(4);
    two.release(4);
    for client in &mut waiting {
        assert_eq!(client.response().status, 200);
    }
    assert_eq!((one.most_at_once(), two.most_at_once()), (1, 1));
}

#[test]
fn who_waits_too_long_is_refused_and_never_sent() {
    let app = HELD("app");
    let weir = weir(
        &[&app],
        "limits: { requests: 1, pending: 10, queue_timeout: 200ms }",
        "",
    );
    let mut first = enqueue(&weir, "/first", "", 1);
    app.wait_requests(1);
    let begin = Instant::now();
    let mut late = send(&weir, request("GET", "/late", ""));
    assert_overloaded(&late.response());
    let bounds = Duration::from_millis(150)..Duration::from_secs(3);
    assert!(bounds.contains(&begin.elapsed()), "{:?}", begin.elapsed());
    assert_eq!(line(&weir, "/late")["reason"], "overloaded");
    app.release(1);
    assert_eq!(first.response().status, 200);
    assert_eq!(app.targets(), ["/first"]);
}

#[test]
fn the_deadline_of_a_request_holds_in_the_queue_too() {
    let app = HELD("app");
    let weir = weir(
        &[&app],
        "limits: { requests: 1, pending: 10, queue_timeout: 30s }",
        "timeout: 300ms",
    );
    let _first = enqueue(&weir, "/first", "", 1);
    app.wait_requests(1);
    let begin = Instant::now();
    let mut second = send(&weir, request("GET", "/second", ""));
    let status = second.response().status;
    assert!(matches!(status, 503 | 504), "{status}");
    assert!(begin.elapsed() < Duration::from_secs(3));
}

#[test]
fn a_client_that_leaves_the_queue_makes_room() {
    let app = HELD("app");
    let weir = weir(
        &[&app],
        "limits: { requests: 1, pending: 1, queue_timeout: 30s }",
        "",
    );
    let mut first = enqueue(&weir, "/first", "", 1);
    app.wait_requests(1);
    let leaves = enqueue(&weir, "/leaves", "", 2);
    assert_overloaded(&weir.client("web").get("/refused"));
    leaves.reset();
    line(&weir, "/leaves");
    let mut next = enqueue(&weir, "/next", "", 2);
    app.release(2);
    assert_eq!(first.response().status, 200);
    assert_eq!(next.response().status, 200);
    assert_eq!(app.targets(), ["/first", "/next"]);
}

#[test]
fn a_client_that_leaves_its_endpoint_makes_room() {
    let app = HELD("app");
    let weir = weir(
        &[&app],
        "limits: { requests: 1, pending: 1, queue_timeout: 30s }",
        "",
    );
    for round in 0..5 {
        let leaves = enqueue(&weir, "/leaves", "", 1);
        app.wait_requests(2 * round + 1);
        let mut next = enqueue(&weir, "/next", "", 2);
        leaves.reset();
        // Before that, the request that was given up would take the permit of the next.
        wait_until("the request to be given up", || app.left() == round + 1);
        app.release(1);
        assert_eq!(next.response().status, 200);
    }
}

const BY_HEADER: &str = "priority: { header: x-priority }";

#[test]
fn the_high_go_before_the_low() {
    let app = HELD("app");
    let weir = weir(
        &[&app],
        "limits: { requests: 1, pending: 10, queue_timeout: 30s }",
        BY_HEADER,
    );
    let mut waiting = vec![enqueue(&weir, "/first", "", 1)];
    app.wait_requests(1);
    for (target, priority) in [
        ("/low/1", "low"),
        ("/normal/1", "normal"),
        ("/low/2", "LOW"),
        ("/other", "urgent"),
        ("/high/1", "high"),
        ("/high/2", "High"),
    ] {
        let inside = waiting.len() as u64 + 1;
        let fields = format!("X-Priority: {priority}\r\n");
        waiting.push(enqueue(&weir, target, &fields, inside));
    }
    app.release(7);
    for client in &mut waiting {
        assert_eq!(client.response().status, 200);
    }
    // What is no priority is the normal one.
    assert_eq!(
        app.targets(),
        [
            "/first",
            "/high/1",
            "/high/2",
            "/normal/1",
            "/other",
            "/low/1",
            "/low/2"
        ]
    );
}

#[test]
fn in_a_full_queue_the_high_take_the_place_of_the_low() {
    let app = HELD("app");
    let weir = weir(
        &[&app],
        "limits: { requests: 1, pending: 2, queue_timeout: 30s }",
        BY_HEADER,
    );
    let mut first = enqueue(&weir, "/first", "", 1);
    app.wait_requests(1);
    let low = "X-Priority: low\r\n";
    let mut lows = [
        enqueue(&weir, "/low/1", low, 2),
        enqueue(&weir, "/low/2", low, 3),
    ];
    let mut high = send(&weir, request("GET", "/high", "X-Priority: high\r\n"));
    // The one that came last has waited least in vain.
    assert_overloaded(&lows[1].response());
    assert_overloaded(&send(&weir, request("GET", "/low/3", low)).response());
    app.release(3);
    for client in [&mut first, &mut high, &mut lows[0]] {
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(app.targets(), ["/first", "/high", "/low/1"]);
}

#[test]
fn a_route_has_a_priority() {
    let app = HELD("app");
    let config = format!(
        "
workers: 1
listeners: {{ web: '@web@' }}
routes:
  - {{ path: /batch/*, service: app, priority: low }}
  - {{ path: /pay/*, service: app, priority: high }}
  - {{ path: /*, service: app }}
services: {{ app: {{ endpoints: ['{}'], limits: {{ requests: 1, pending: 10, queue_timeout: 30s }} }} }}
",
        app.addr()
    );
    let weir = Weir::start(apps::WEIR, &config);
    let mut waiting = vec![enqueue(&weir, "/first", "", 1)];
    app.wait_requests(1);
    for target in ["/batch/1", "/shop", "/pay/1"] {
        let inside = waiting.len() as u64 + 1;
        waiting.push(enqueue(&weir, target, "", inside));
    }
    app.release(4);
    for client in &mut waiting {
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(app.targets(), ["/first", "/pay/1", "/shop", "/batch/1"]);
}

#[test]
fn an_adaptive_limit_lets_a_healthy_service_work() {
    let app = App::start("app", |_| Reply::ok().after(Duration::from_millis(2)));
    let weir = weir(
        &[&app],
        "limits: { requests: 100, pending: 1000, queue_timeout: 30s, adaptive: true }",
        "",
    );
    for _ in 0..5 {
        assert!(at_once(&weir, 40).iter().all(|answer| answer.status == 200));
    }
    all(&weir, 50, 200);
    assert_eq!(app.requests(), 250);
}

#[test]
fn without_a_queue_what_is_too_much_is_refused_at_once() {
    let app = HELD("app");
    let weir = weir(&[&app], "limits: { requests: 1, pending: 0 }", "");
    let mut first = enqueue(&weir, "/first", "", 1);
    app.wait_requests(1);
    assert_overloaded(&weir.client("web").get("/second"));
    app.release(1);
    assert_eq!(first.response().status, 200);
}

#[test]
fn a_reload_that_makes_room_lets_in_those_who_wait() {
    let app = HELD("app");
    for more in [
        "limits: { connections: 2, pending: 10, queue_timeout: 30s }",
        "limits: { requests: 2, pending: 10, queue_timeout: 30s }",
        "outliers: off",
    ] {
        let before = app.requests();
        let mut weir = weir(
            &[&app],
            "limits: { connections: 1, pending: 10, queue_timeout: 30s }",
            "",
        );
        let mut first = enqueue(&weir, "/first", "", 1);
        app.wait_requests(before + 1);
        let mut second = enqueue(&weir, "/second", "", 2);
        assert_eq!(app.requests(), before + 1, "{more}");
        let reloaded = weir.reload_with(&apps::config(&[app.addr()], more, ""));
        assert_eq!(reloaded.status, 200, "{}", reloaded.text());
        app.wait_requests(before + 2);
        app.release(2);
        assert_eq!(
            (first.response().status, second.response().status),
            (200, 200)
        );
    }
}
