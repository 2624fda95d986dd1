//! Services that survive: real endpoints that die, hang and refuse under load, outliers, circuit breakers, slow start.

#[path = "common/apps.rs"]
mod apps;
#[path = "common/running.rs"]
mod running;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use apps::{all, at_once, config, line, send, sent, weir};
use running::{events, status, wait_event};
use serde_json::Value;
use weir_testkit::{App, Load, Nginx, Reply, Weir, free_addr, wait_until};

// Real servers under load.

const FAULTY: &str = "
workers: 2
listeners: { web: '@web@' }
routes: [ { path: /*, service: app, retries: { attempts: 2, on: [connect, reset, timeout, 503], per_try: 300ms } } ]
services:
  app:
    endpoints: ['@one@', '@two@', '@three@']
    outliers: { consecutive_failures: 5, eject_for: 500ms, max_eject_for: 1s }
";

/// An nginx that writes down every request at once.
fn counting(name: &str) -> weir_testkit::Launch {
    Nginx::launch_http(
        "server { listen @web@; access_log @log@; keepalive_requests 1000000; location / { add_header X-Origin @name@; return 200 fine; } }",
    )
    .value("name", name)
}

fn counted(nginx: &Nginx) -> usize {
    let log = fs::read_to_string(nginx.log_path()).unwrap_or_default();
    log.lines().count()
}

/// Three real servers under load; something befalls the second, ends, and no client may notice.
fn befalls(begins: impl Fn(&mut Nginx), ends: impl Fn(&mut Nginx)) {
    let mut origins: Vec<Nginx> = ["one", "two", "three"]
        .map(|name| Nginx::from_launch(counting(name)))
        .into();
    let names = ["one", "two", "three"];
    let addresses: Vec<_> = names
        .into_iter()
        .zip(origins.iter().map(|o| o.addr("web")))
        .collect();
    let weir = running::start(FAULTY, &addresses);
    let load = Load::new(weir.addr("web"))
        .connections(8)
        .path("/")
        .pause(Duration::from_millis(1))
        .start();
    load.wait_more(300);
    begins(&mut origins[1]);
    load.wait_more(1500);
    let before_end = counted(&origins[1]);
    ends(&mut origins[1]);
    wait_until("the endpoint to be used again", || {
        counted(&origins[1]) > before_end + 20
    });
    load.wait_more(300);
    let report = load.stop();
    report.assert_all_ok();
    let (asked, sent) = (report.total(), origins.iter().map(counted).sum::<usize>());
    assert!(
        sent as f64 <= 1.2 * asked as f64,
        "{sent} sent for {asked} asked"
    );
    // A try may wait for its time and a retry or two may follow, but no request is stuck with a dead endpoint.
    assert!(
        report.latency.max() < Duration::from_secs(3),
        "{}",
        report.summary()
    );
}

#[test]
fn an_endpoint_that_is_killed_fails_no_request() {
    befalls(
        |nginx| nginx.kill(),
        |nginx| {
            let addr = nginx.addr("web");
            *nginx = Nginx::from_launch(counting("two").value("web", addr));
        },
    );
}

#[test]
fn an_endpoint_that_hangs_fails_no_request() {
    befalls(|nginx| nginx.pause(), |nginx| nginx.resume());
}

#[test]
fn an_endpoint_that_never_was_there_fails_no_request() {
    let (one, three) = (
        Nginx::from_launch(counting("one")),
        Nginx::from_launch(counting("three")),
    );
    let two = free_addr();
    let weir = running::start(
        FAULTY,
        &[
            ("one", one.addr("web")),
            ("two", two),
            ("three", three.addr("web")),
        ],
    );
    let load = Load::new(weir.addr("web")).connections(8).start();
    load.wait_more(1000);
    let born = Nginx::from_launch(counting("two").value("web", two));
    wait_until("it to be used", || counted(&born) > 20);
    load.stop().assert_all_ok();
}

// Outliers.

/// The endpoint's entry in `/status`.
fn endpoint(weir: &Weir, addr: SocketAddr) -> Value {
    let status = status(weir);
    let endpoints = status["services"][0]["endpoints"].as_array().cloned();
    endpoints
        .into_iter()
        .flatten()
        .find(|endpoint| endpoint["address"] == addr.to_string())
        .unwrap_or_else(|| panic!("no {addr} in {status:#}"))
}

fn state(weir: &Weir, addr: SocketAddr) -> String {
    endpoint(weir, addr)["state"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

fn ejected_gauge(weir: &Weir, addr: SocketAddr) -> f64 {
    let addr = addr.to_string();
    let labels = [("service", "app"), ("endpoint", addr.as_str())];
    weir.metrics().value("weir_endpoint_ejected", &labels)
}

fn breaker_changed(weir: &Weir, to: &str) -> Value {
    wait_event(weir, "circuit breaker changed", |event| event["to"] == to)
}

fn breaker_gauge(weir: &Weir) -> f64 {
    weir.metrics()
        .value("weir_service_breaker_state", &[("service", "app")])
}

const RETRY: &str = "retries: { attempts: 1, on: [connect, reset, 502, 503], budget: 100%, budget_floor: 1000, backoff: 1ms }";

#[test]
fn an_endpoint_that_fails_in_a_row_is_ejected_and_comes_back() {
    let (good, bad) = (App::fine("good"), App::start("bad", |_| Reply::reset()));
    let weir = weir(
        &[&good, &bad],
        "outliers: { consecutive_failures: 3, eject_for: 1s, max_eject_for: 10s, max_ejected: 50% }",
        RETRY,
    );
    all(&weir, 10, 200);
    let event = wait_event(&weir, "endpoint ejected", |_| true);
    assert_eq!(event["service"], "app", "{event}");
    assert_eq!(event["endpoint"], bad.addr().to_string(), "{event}");
    assert!(
        event["reason"].as_str().is_some_and(|why| !why.is_empty()),
        "{event}"
    );
    let ejected = Instant::now();
    wait_until("its state", || state(&weir, bad.addr()) == "ejected");
    assert!(endpoint(&weir, bad.addr())["reason"].is_string());
    assert_eq!(ejected_gauge(&weir, bad.addr()), 1.0);
    // It gets nothing.
    let before = bad.requests();
    all(&weir, 50, 200);
    assert_eq!(bad.requests(), before);
    // Its time is over, it is tried once, fails, and goes for longer.
    let mut client = weir.client("web");
    wait_until("it to be tried again", || {
        assert_eq!(client.get("/").status, 200);
        bad.requests() > before
    });
    assert!(
        ejected.elapsed() > Duration::from_millis(700),
        "{:?}",
        ejected.elapsed()
    );
    wait_until("it to be ejected again", || {
        assert_eq!(client.get("/").status, 200);
        state(&weir, bad.addr()) == "ejected"
    });
    // It is well again, and is used for good.
    bad.behave(|_| Reply::ok());
    let begin = Instant::now();
    let before = bad.requests();
    wait_until("it to be used", || {
        assert_eq!(client.get("/").status, 200);
        bad.requests() > before + 5
    });
    assert!(
        begin.elapsed() > Duration::from_millis(1300),
        "{:?}",
        begin.elapsed()
    );
    wait_event(&weir, "endpoint returned", |event| {
        event["endpoint"] == bad.addr().to_string()
    });
    wait_until("its state", || state(&weir, bad.addr()) != "ejected");
}

#[test]
fn the_errors_of_an_application_eject_nobody() {
    let (one, two) = (App::fine("one"), App::start("two", |_| Reply::status(500)));
    let weir = weir(
        &[&one, &two],
        "outliers: { consecutive_failures: 3, success_rate: off, eject_for: 10s }",
        "",
    );
    let mut client = weir.client("web");
    for _ in 0..40 {
        client.get("/");
    }
    assert_eq!((one.requests(), two.requests()), (20, 20));
    assert_ne!(state(&weir, two.addr()), "ejected");
}

#[test]
fn the_last_endpoint_is_never_ejected() {
    let (one, two) = (
        App::start("one", |_| Reply::reset()),
        App::start("two", |_| Reply::reset()),
    );
    let weir = weir(
        &[&one, &two],
        "outliers: { consecutive_failures: 2, eject_for: 30s, max_ejected: 100% }",
        "retries: 0",
    );
    let mut client = weir.client("web");
    for _ in 0..40 {
        assert_eq!(client.get("/").status, 502);
    }
    // Every request went somewhere, and one endpoint is left.
    assert_eq!(sent(&[&one, &two]), 40);
    wait_until("one to be ejected", || {
        [&one, &two]
            .iter()
            .any(|app| state(&weir, app.addr()) == "ejected")
    });
    thread::sleep(Duration::from_millis(200));
    let ejected = [&one, &two]
        .iter()
        .filter(|app| state(&weir, app.addr()) == "ejected")
        .count();
    assert_eq!(ejected, 1);
    for app in [&one, &two] {
        app.behave(|_| Reply::ok());
    }
    all(&weir, 20, 200);
}

#[test]
fn an_endpoint_that_succeeds_less_than_the_others_is_ejected() {
    let apps = ["one", "two", "three", "four", "five", "six"].map(App::fine);
    apps[5].behave(|request| {
        // Half of its answers are errors, never a run of them.
        let number: u64 = request.target[1..].parse().unwrap_or(0);
        Reply::status(if (number / 6).is_multiple_of(2) {
            500
        } else {
            200
        })
    });
    let apps: Vec<&App> = apps.iter().collect();
    let weir = weir(
        &apps,
        "outliers: { success_rate: auto, interval: 500ms, min_requests: 10, eject_for: 30s }",
        "",
    );
    let mut client = weir.client("web");
    let mut number = 0;
    wait_until("it to be ejected", || {
        client.get(&format!("/{number}"));
        number += 1;
        // It is asked so often only until it is known.
        number % 60 == 0 && state(&weir, apps[5].addr()) == "ejected"
    });
    let event = wait_event(&weir, "endpoint ejected", |_| true);
    assert_eq!(event["endpoint"], apps[5].addr().to_string());
    let before = apps[5].requests();
    all(&weir, 60, 200);
    assert_eq!(apps[5].requests(), before);
}

#[test]
fn off_is_off() {
    let (good, bad) = (App::fine("good"), App::start("bad", |_| Reply::status(503)));
    let weir = weir(&[&good, &bad], "outliers: off", "");
    let mut client = weir.client("web");
    let fine = (0..100).filter(|_| client.get("/").status == 200).count();
    assert_eq!((fine, bad.requests()), (50, 50));
}

// Circuit breakers.

#[test]
fn a_breaker_opens_lets_probes_through_and_closes() {
    let app = App::start("app", |_| Reply::status(500));
    let weir = weir(
        &[&app],
        "outliers: off, breaker: { failure_rate: 50%, window: 10s, min_requests: 10, open_for: 700ms, probes: 2 }",
        "retries: 0",
    );
    all(&weir, 10, 500);
    let opened = Instant::now();
    let refused = weir.client("web").get("/refused");
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.header("server"), Some("weir"));
    assert_eq!(refused.json()["status"], 503);
    assert_eq!(line(&weir, "/refused")["reason"], "breaker_open");
    assert_eq!(app.requests(), 10);
    assert_eq!(breaker_changed(&weir, "open")["service"], "app");
    assert_eq!(breaker_gauge(&weir), 2.0);
    assert_eq!(status(&weir)["services"][0]["breaker"], "open");
    let labels = [("reason", "breaker_open")];
    assert!(weir.metrics().value("weir_http_failures_total", &labels) >= 1.0);

    // Half open: as many as it says, and no more, find out.
    app.behave(|_| Reply::hold());
    thread::sleep(Duration::from_millis(800).saturating_sub(opened.elapsed()));
    let mut probes: Vec<_> = (0..2)
        .map(|number| send(&weir, apps::request("GET", &format!("/probe/{number}"), "")))
        .collect();
    wait_until("the probes", || app.busy() == 2);
    for answer in at_once(&weir, 8) {
        assert_eq!(answer.status, 503);
    }
    assert_eq!(app.requests(), 12);
    app.release(2);
    for probe in &mut probes {
        assert_eq!(probe.response().status, 200);
    }
    app.behave(|_| Reply::ok());
    assert_eq!(breaker_changed(&weir, "closed")["from"], "half_open");
    assert_eq!(breaker_gauge(&weir), 0.0);
    all(&weir, 30, 200);
}

#[test]
fn a_breaker_whose_probes_fail_opens_again() {
    let app = App::start("app", |_| Reply::status(500));
    let weir = weir(
        &[&app],
        "outliers: off, breaker: { failure_rate: 50%, min_requests: 5, open_for: 300ms, probes: 1 }",
        "retries: 0",
    );
    let mut client = weir.client("web");
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(2) {
        let response = client.get("/");
        assert!(matches!(response.status, 500 | 503), "{response:?}");
        thread::sleep(Duration::from_millis(5));
    }
    // Five to open it, then one at a time.
    assert!((7..=13).contains(&app.requests()), "{}", app.requests());
}

#[test]
fn a_probe_whose_client_leaves_does_not_keep_the_breaker_half_open() {
    let app = App::start("app", |_| Reply::status(500));
    let weir = weir(
        &[&app],
        "outliers: off, breaker: { failure_rate: 50%, min_requests: 5, open_for: 200ms, probes: 1 }",
        "retries: 0",
    );
    all(&weir, 5, 500);
    app.behave(|_| Reply::hold());
    thread::sleep(Duration::from_millis(300));
    let probe = send(&weir, apps::request("GET", "/probe", ""));
    wait_until("the probe", || app.busy() == 1);
    probe.reset();
    wait_until("it to be let go", || app.busy() == 0);
    app.behave(|_| Reply::ok());
    let mut client = weir.client("web");
    wait_until("another probe", || client.get("/").status == 200);
    all(&weir, 10, 200);
}

#[test]
fn probes_whose_clients_drip_hold_nobody_up() {
    let app = App::start("app", |_| Reply::status(500));
    let weir = weir(
        &[&app],
        "outliers: off, breaker: { failure_rate: 50%, min_requests: 5, open_for: 200ms, probes: 2 }",
        "retries: 0",
    );
    all(&weir, 5, 500);
    app.behave(|_| Reply::ok());
    thread::sleep(Duration::from_millis(300));
    // Two uploads that never end take both places. Lost they would be after ten seconds.
    let upload = apps::request("POST", "/drip", "Content-Length: 100\r\n") + "x";
    let _dripping = [send(&weir, &upload), send(&weir, &upload)];
    breaker_changed(&weir, "half_open");
    let begin = Instant::now();
    let mut client = weir.client("web");
    let mut served = 0;
    wait_until("two other probes", || {
        served += u32::from(client.get("/").status == 200);
        served >= 2
    });
    assert!(begin.elapsed() < Duration::from_secs(8));
    breaker_changed(&weir, "closed");
    all(&weir, 10, 200);
}

#[test]
fn slow_answers_open_a_breaker() {
    let app = App::start("app", |_| Reply::ok().after(Duration::from_millis(60)));
    let weir = weir(
        &[&app],
        "outliers: off, breaker: { slow_rate: 80%, slow_after: 30ms, min_requests: 5, open_for: 30s }",
        "",
    );
    all(&weir, 5, 200);
    assert_eq!(weir.client("web").get("/").status, 503);
    assert_eq!(app.requests(), 5);
}

#[test]
fn a_breaker_of_an_endpoint_leaves_the_others_alone() {
    let (good, bad) = (App::fine("good"), App::start("bad", |_| Reply::status(500)));
    let weir = weir(
        &[&good, &bad],
        "outliers: off, breaker: { failure_rate: 50%, min_requests: 5, open_for: 30s, scope: endpoint }",
        "retries: 0",
    );
    let mut client = weir.client("web");
    let failed = (0..60).filter(|_| client.get("/").status != 200).count();
    assert_eq!((failed, bad.requests(), good.requests()), (5, 5, 55));
    // With both open nobody is left.
    good.behave(|_| Reply::status(500));
    wait_until("the other to open too", || client.get("/").status == 503);
    let (refused, before) = (client.get("/refused"), good.requests());
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    assert_eq!(line(&weir, "/refused")["reason"], "breaker_open");
    assert_eq!(good.requests(), before);
}

#[test]
fn errors_of_clients_open_no_breaker() {
    let app = App::start("app", |_| Reply::status(404));
    let weir = weir(
        &[&app],
        "outliers: off, breaker: { failure_rate: 10%, min_requests: 5, open_for: 30s }",
        "",
    );
    all(&weir, 40, 404);
    assert_eq!(app.requests(), 40);
}

// Slow start.

fn shares(weir: &Weir, span: Duration) -> BTreeMap<String, usize> {
    let mut client = weir.client("web");
    let mut shares = BTreeMap::new();
    let begin = Instant::now();
    while begin.elapsed() < span {
        let response = client.get("/");
        let origin = response.header("x-origin").expect("a name").to_owned();
        *shares.entry(origin).or_default() += 1;
    }
    shares
}

fn share(shares: &BTreeMap<String, usize>, name: &str) -> f64 {
    let all: usize = shares.values().sum();
    shares.get(name).copied().unwrap_or(0) as f64 / all as f64
}

#[test]
fn an_endpoint_that_joins_gets_its_share_little_by_little() {
    let (old, new) = (App::fine("old"), App::fine("new"));
    let service = "outliers: off, slow_start: 4s";
    let mut weir = weir(&[&old], service, "");
    assert_eq!(shares(&weir, Duration::from_millis(200)).len(), 1);
    let joined = Instant::now();
    let both = config(&[old.addr(), new.addr()], service, "");
    assert_eq!(weir.reload_with(&both).status, 200);
    let mut seen = Vec::new();
    while joined.elapsed() < Duration::from_secs(5) {
        seen.push(share(&shares(&weir, Duration::from_millis(500)), "new"));
    }
    let first = seen[0];
    let last = seen[seen.len() - 1];
    assert!(first < 0.25, "{seen:?}");
    assert!((0.45..0.55).contains(&last), "{seen:?}");
    assert!(
        seen.windows(2).all(|pair| pair[1] > pair[0] - 0.08),
        "{seen:?}"
    );
}

#[test]
fn at_the_start_nobody_is_slow() {
    let (one, two) = (App::fine("one"), App::fine("two"));
    let weir = weir(&[&one, &two], "slow_start: 30s", "");
    all(&weir, 20, 200);
    assert_eq!((one.requests(), two.requests()), (10, 10));
    assert!(events(&weir).iter().all(|event| event["level"] != "error"));
}
