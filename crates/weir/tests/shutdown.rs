//! The end: what runs may finish, nothing new begins, and nothing keeps it waiting for ever.

#[path = "common/running.rs"]
mod running;

use std::time::{Duration, Instant};

use running::{SOON, echoes, start, tunnel, wait_event, wait_refused};
use weir_testkit::{Echo, Load, LoadError, Origin, RawClient, Signal, Step, Weir, wait_until};

fn config(drain: &str) -> String {
    format!(
        "
workers: 2
shutdown: {drain}
listeners: {{ web: '@web@' }}
routes: [ {{ path: /*, service: app }} ]
services: {{ app: ['@app@'] }}
"
    )
}

fn exit_of(weir: &mut Weir) -> Option<i32> {
    weir.wait_exit(SOON).code()
}

fn drains_after(signal: Signal) {
    let app = Echo::start("app");
    let mut weir = start(&config("20s"), &[("app", app.addr())]);
    let web = weir.addr("web");
    let mut idle: Vec<RawClient> = (0..4).map(|_| RawClient::connect(web)).collect();
    for client in &mut idle {
        assert_eq!(client.get("/").status, 200);
    }
    let mut silent = RawClient::connect(web);
    let before = app.requests();
    let mut busy: Vec<RawClient> = (0..4).map(|_| RawClient::connect(web)).collect();
    for client in &mut busy {
        client.send("GET /slow/1500 HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    // A body that is still on its way counts as under way, too.
    let mut upload = RawClient::connect(web);
    upload.send("POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234");
    wait_until("slow requests at the app", || {
        app.requests() == before + busy.len() && app.connections() > busy.len()
    });
    assert_eq!(weir.admin("/readyz").status, 200);

    weir.signal(signal);
    wait_event(&weir, "draining", |_| true);
    let ready = weir.admin("/readyz");
    assert_eq!(ready.status, 503, "{}", ready.text());
    assert_eq!(weir.admin("/healthz").status, 200);
    assert_eq!(weir.admin("/status").json()["draining"], true);
    assert_eq!(weir.reload().status, 422, "a reload while it ends");
    for client in &mut idle {
        client.expect_close();
    }
    wait_refused(web);
    upload.send("56789");
    for client in busy.iter_mut().chain([&mut upload]) {
        let response = client.response();
        assert_eq!(response.status, 200);
        assert!(
            response.headers.has_token("connection", "close"),
            "{response:?}"
        );
        client.expect_close();
    }
    silent.expect_close();
    assert_eq!(exit_of(&mut weir), Some(0));
    let stopped = wait_event(&weir, "stopped", |_| true);
    assert_eq!(stopped["aborted"], 0);
    // Every request is in the log, the last ones included.
    assert_eq!(weir.access_log().len(), before + busy.len() + 1);
}

#[test]
fn sigterm_lets_exchanges_finish_and_takes_no_new_ones() {
    drains_after(Signal::TERM);
}

#[test]
fn sigint_does_the_same() {
    drains_after(Signal::INT);
}

#[test]
fn a_request_on_a_connection_that_has_just_opened_is_still_served() {
    let app = Echo::start("app");
    let mut weir = start(&config("20s"), &[("app", app.addr())]);
    let mut fresh = weir.client("web");
    wait_until("the connection", || {
        running::status(&weir)["connections"] == 1
    });
    weir.signal(Signal::TERM);
    wait_event(&weir, "draining", |_| true);
    let response = fresh.get("/");
    assert_eq!(response.status, 200);
    assert!(!response.keeps_alive());
    assert_eq!(exit_of(&mut weir), Some(0));
}

#[test]
fn the_deadline_ends_what_hangs() {
    let hanging = Origin::script([Step::ReadRequest, Step::Hold]);
    let mut weir = start(&config("400ms"), &[("app", hanging.addr())]);
    let mut clients: Vec<RawClient> = (0..3).map(|_| weir.client("web")).collect();
    for client in &mut clients {
        client.send("GET /hangs HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    hanging.wait_connections(3);
    weir.signal(Signal::TERM);
    for client in &mut clients {
        let response = client.response();
        assert_eq!(response.status, 503, "{response:?}");
        assert!(response.headers.has_token("connection", "close"));
        client.expect_close();
    }
    assert_eq!(exit_of(&mut weir), Some(0));
    assert_eq!(wait_event(&weir, "stopped", |_| true)["aborted"], 3);
    let lines = weir.access_log();
    assert_eq!(lines.len(), 3, "{lines:?}");
    for line in lines {
        assert_eq!(cut(&line), ("/hangs", 503), "{line}");
    }
}

/// The target and the status of an exchange that the end of the drain has cut.
fn cut(line: &serde_json::Value) -> (&str, u64) {
    assert_eq!(line["reason"], "draining", "{line}");
    let target = line["target"].as_str().expect("a target");
    (target, line["status"].as_u64().expect("a status"))
}

#[test]
fn what_the_deadline_cuts_is_in_the_log_with_what_it_moved() {
    let origin = Origin::script([
        Step::ReadHead,
        Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabcde".to_vec()),
        Step::Hold,
    ]);
    let mut weir = start(&config("400ms"), &[("app", origin.addr())]);
    let mut answered = weir.client("web");
    answered.send("GET /half HTTP/1.1\r\nHost: x\r\n\r\n");
    answered.read_until(b"abcde");
    let mut begun = weir.client("web");
    begun.send("GET /head HTTP/1.1\r\nHost: x\r\nX-Half: ");
    // A head that has begun is an exchange; a connection that has said nothing is none.
    let mut silent = weir.client("web");
    wait_until("the connections", || {
        running::status(&weir)["connections"] == 3
    });
    weir.signal(Signal::TERM);
    let response = begun.response();
    assert_eq!(response.status, 503, "{response:?}");
    for client in [&mut answered, &mut begun, &mut silent] {
        client.expect_close();
    }
    assert_eq!(exit_of(&mut weir), Some(0));
    let mut lines = weir.access_log();
    lines.sort_by_key(|line| line["target"].to_string());
    let cuts: Vec<_> = lines.iter().map(cut).collect();
    assert_eq!(cuts, [("/half", 200), ("/head", 503)]);
    assert_eq!(lines[0]["bytes_out"], 5, "{lines:?}");
}

#[test]
fn a_tunnel_lasts_until_the_deadline() {
    let app = Echo::start("app");
    let mut weir = start(&config("700ms"), &[("app", app.addr())]);
    let mut tunnel = tunnel(weir.addr("web"));
    weir.signal(Signal::TERM);
    wait_event(&weir, "draining", |_| true);
    echoes(&mut tunnel, "still here");
    tunnel.expect_close();
    assert_eq!(exit_of(&mut weir), Some(0));
    let lines = weir.access_log();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(cut(&lines[0]), ("/ws", 101), "{lines:?}");
    assert_eq!(lines[0]["bytes_out"], 10, "{lines:?}");
}

#[test]
fn a_connection_that_says_nothing_is_turned_away_and_counted() {
    let hanging = Origin::script([Step::ReadRequest, Step::Hold]);
    let mut weir = start(&config("1h"), &[("app", hanging.addr())]);
    let mut busy = weir.client("web");
    busy.send("GET /hangs HTTP/1.1\r\nHost: x\r\n\r\n");
    hanging.wait_connections(1);
    let mut silent = weir.client("web");
    wait_until("both connections", || {
        running::status(&weir)["connections"] == 2
    });
    weir.signal(Signal::TERM);
    silent.expect_close();
    let labels = [("listener", "web"), ("reason", "draining")];
    wait_until("the refusal", || {
        let refused = weir
            .metrics()
            .sum("weir_listener_connections_refused_total", &labels);
        refused == 1.0
    });
    weir.signal(Signal::TERM);
    assert_eq!(exit_of(&mut weir), Some(130));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let hanging = Origin::script([Step::ReadRequest, Step::Hold]);
    let mut weir = start(&config("1h"), &[("app", hanging.addr())]);
    let mut client = weir.client("web");
    client.send("GET /hangs HTTP/1.1\r\nHost: x\r\n\r\n");
    hanging.wait_connections(1);
    weir.signal(Signal::TERM);
    wait_event(&weir, "draining", |_| true);
    assert!(weir.is_running());
    weir.signal(Signal::TERM);
    assert_eq!(exit_of(&mut weir), Some(130));
    client.expect_close();
}

#[test]
fn with_nothing_to_do_it_ends_at_once() {
    let app = Echo::start("app");
    let mut weir = start(&config("1h"), &[("app", app.addr())]);
    assert_eq!(weir.client("web").get("/").status, 200);
    // An open but idle connection is nothing to do.
    let mut idle = weir.client("web");
    assert_eq!(idle.get("/").status, 200);
    let began = Instant::now();
    weir.signal(Signal::TERM);
    assert_eq!(exit_of(&mut weir), Some(0));
    assert!(began.elapsed() < SOON - Duration::from_secs(1));
}

#[test]
fn under_load_no_answer_breaks_off() {
    let app = Echo::start("app");
    let mut weir = start(&config("20s"), &[("app", app.addr())]);
    let load = Load::new(weir.addr("web"))
        .connections(8)
        .path("/bytes/20000")
        .path("/chunked/20000")
        .start();
    load.wait_more(400);
    weir.signal(Signal::TERM);
    assert_eq!(exit_of(&mut weir), Some(0));
    let report = load.stop();
    // A request may meet the close of an idle connection, or find nobody; what was begun was finished.
    assert_eq!(
        report.status(200),
        report.total() - report.failures(),
        "{}",
        report.summary()
    );
    for error in [
        LoadError::Truncated,
        LoadError::Malformed,
        LoadError::Timeout,
    ] {
        assert!(!report.errors.contains_key(&error), "{}", report.summary());
    }
}

/// Whether a connection goes on is decided before an answer's body, so a drain that begins meanwhile must be noticed
/// when the answer has ended: nobody wakes the connection a second time.
#[test]
fn a_client_that_stays_after_an_answer_does_not_hold_up_the_drain() {
    let origin = Origin::script([
        Step::ReadRequest,
        Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabcde".to_vec()),
        Step::Wait(Duration::from_millis(700)),
        Step::Send(b"fghij".to_vec()),
        Step::Hold,
    ]);
    let mut weir = start(&config("60s"), &[("app", origin.addr())]);
    let mut client = RawClient::connect(weir.addr("web"));
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    client.read_until(b"abcde");
    weir.signal(Signal::TERM);
    wait_event(&weir, "draining", |_| true);
    assert_eq!(client.read_exactly(5), b"fghij");
    client.expect_close();
    assert_eq!(exit_of(&mut weir), Some(0));
}
