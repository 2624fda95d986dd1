//! Clients that are slow on purpose, and clients that come in floods: they are let go in time, hold little while they
//! last, and those who mean well are served throughout.

#[path = "common/running.rs"]
mod running;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use running::start;
use weir_testkit::{
    Echo, Load, LoadReport, Nginx, Origin, RawClient, RunningLoad, SlowHttpTest, SlowMode, Step,
    Weir, raise_descriptor_limit, send, wait_until,
};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// A listener with these `http` options before `@app@`, and this at the top.
fn proxy(http: &str, top: &str, app: SocketAddr) -> Weir {
    let config = format!(
        "
workers: 2
{top}
listeners: {{ web: {{ address: '@web@', http: {{ {http} }} }} }}
routes:
  - {{ path: /*, service: app }}
  - {{ path: /own, respond: {{ body: own }} }}
services: {{ app: ['@app@'] }}
"
    );
    start(&config, &[("app", app)])
}

/// Those who mean well: a new connection for each request, and little patience.
fn visitors(weir: &Weir, path: &str) -> RunningLoad {
    Load::new(weir.addr("web"))
        .connections(2)
        .requests_per_connection(1)
        .path(path)
        .pause(MS(5))
        .timeout(Duration::from_secs(3))
        .start()
}

/// Nobody was turned away, or kept waiting.
fn assert_served(what: &str, report: &LoadReport) {
    println!("{what}: visitors: {}", report.summary());
    report.assert_all_ok();
    let late = report.latency.percentile(99.0);
    assert!(late < Duration::from_secs(1), "{what}: {late:?}");
}

/// One of slowhttptest's attacks, with visitors meanwhile. Returns Weir as the attack left it.
fn attack(mode: SlowMode, app: SocketAddr, path: &str, http: &str, most_kib: u64) -> Weir {
    const CLIENTS: usize = 300;
    raise_descriptor_limit(8192);
    let weir = proxy(
        &format!("head_timeout: 3s, body_timeout: 3s, send_timeout: 3s, {http}"),
        "",
        app,
    );
    let load = visitors(&weir, "/small");
    load.wait_more(100);
    let before = weir.usage().resident;
    let attack = SlowHttpTest::new(mode, weir.addr("web"), path)
        .connections(CLIENTS, 300)
        .duration(Duration::from_secs(8));
    let report = attack.run().expect("slowhttptest");
    let usage = weir.usage();
    let visitors = load.stop();
    let (_, name) = mode.describe();
    let grown = usage.peak.saturating_sub(before) / 1024;
    println!(
        "{name}: at most {} of {CLIENTS} open, {} after {} s, available {:.0} %, {grown} KiB more",
        report.peak(),
        report.ended,
        report.seconds.len(),
        report.available() * 100.0
    );
    assert_served(name, &visitors);
    assert!(report.available() >= 0.99, "{name}: {report:?}");
    // It does not look whether a connection that it reads slowly is still there.
    assert!(
        report.all_closed() || mode == SlowMode::Read,
        "{name}: {report:?}"
    );
    assert!(grown < most_kib, "{name}: {grown} KiB more");
    weir
}

#[test]
fn slow_heads_end_in_time() {
    let app = Echo::start("app");
    let weir = attack(SlowMode::Headers, app.addr(), "/", "", 8 << 10);
    let metrics = weir.metrics();
    let refused = metrics.value("weir_listener_protocol_errors_total", &[("status", "408")]);
    assert!(refused >= 270.0, "{refused}");
}

#[test]
fn slow_bodies_end_in_time() {
    let app = Echo::start("app");
    let weir = attack(SlowMode::Body, app.addr(), "/", "", 16 << 10);
    let metrics = weir.metrics();
    let failed = metrics.sum("weir_http_failures_total", &[("reason", "body_timeout")]);
    assert!(failed >= 270.0, "{failed}");
}

#[test]
fn slow_readers_end_in_time() {
    let app = Nginx::origin("app");
    let weir = attack(SlowMode::Read, app.addr("web"), "/1m", "", 16 << 10);
    let metrics = weir.metrics();
    let failed = metrics.sum("weir_http_failures_total", &[("reason", "send_timeout")]);
    assert!(failed >= 270.0, "{failed}");
    assert_eq!(running::status(&weir)["connections"], 0);
}

#[test]
fn requests_for_a_thousand_ranges_cost_little() {
    let app = Nginx::origin("app");
    attack(
        SlowMode::Range,
        app.addr("web"),
        "/1m",
        "idle_timeout: 2s",
        8 << 10,
    );
}

/// Moves something every 50 ms until `done`, or it fails, or ten seconds have passed. Returns how long that was.
fn drip(mut step: impl FnMut() -> std::io::Result<bool>) -> Duration {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        match step() {
            Ok(false) => thread::sleep(MS(50)),
            Ok(true) | Err(_) => break,
        }
    }
    begun.elapsed()
}

#[test]
fn a_body_that_drips_is_as_good_as_none() {
    let app = Echo::start("app");
    let upload = |http: &str, piece: &str| {
        let weir = proxy(&format!("body_timeout: 600ms, {http}"), "", app.addr());
        let mut client = weir.client("web");
        client.send("POST /up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.stream().set_nonblocking(true).expect("a socket");
        let mut pieces = 0;
        let took = drip(|| {
            pieces += 1;
            if pieces > 40 {
                return Ok(true);
            }
            client.try_send(format!("{:x}\r\n{piece}\r\n", piece.len()))?;
            Ok(client.stream().peek(&mut [0]).is_ok())
        });
        client.stream().set_nonblocking(false).expect("a socket");
        if pieces > 40 {
            client.send("0\r\n\r\n");
        }
        (client.response().status, took, weir)
    };
    // 120 bytes a second, with what frames them, where 500 are asked for: silence would have ended it after 600 ms.
    let (status, took, weir) = upload("min_rate: 500B/s", "x");
    assert_eq!(status, 408);
    assert!(took > MS(500) && took < MS(1500), "{took:?}");
    weir.wait_log("the body", |line| line["reason"] == "body_timeout");
    // Twice as fast as it must be, and with any progress enough.
    assert_eq!(upload("min_rate: 500B/s", &"x".repeat(50)).0, 200);
    assert_eq!(upload("min_rate: off", "x").0, 200);
}

#[test]
fn an_upload_that_the_endpoint_takes_slowly_is_no_fault_of_the_client() {
    const SIZE: usize = 24 << 20;
    let slow = running_reader(SIZE, 2 << 20);
    // The client would be far too slow, were it its own doing.
    let weir = proxy("body_timeout: 400ms, min_rate: 100MB/s", "", slow);
    let mut client = weir.client("web");
    client.timeout(Duration::from_secs(20));
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {SIZE}\r\n\r\n"
    ));
    client.send("x".repeat(SIZE));
    assert_eq!(client.response().text(), "ok");
}

/// An endpoint that reads a body of `size` bytes in a `piece` every 100 ms, and answers.
fn running_reader(size: usize, piece: usize) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut left = size;
                while left > 0 {
                    let mut some = vec![0; piece.min(left)];
                    if stream.read_exact(&mut some).is_err() {
                        return;
                    }
                    left -= some.len();
                    thread::sleep(MS(100));
                }
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                thread::sleep(Duration::from_secs(1));
            });
        }
    });
    addr
}

#[test]
fn a_stream_may_be_as_slow_as_its_endpoint() {
    let events = Origin::script([
        Step::ReadRequest,
        send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 40\r\n\r\n"),
        Step::SendBytewise(vec![b'.'; 40], MS(50)),
    ]);
    let weir = proxy(
        "body_timeout: 300ms, send_timeout: 300ms, min_rate: 1MB/s",
        "",
        events.addr(),
    );
    let response = weir.client("web").get("/");
    assert_eq!((response.status, response.body.len()), (200, 40));
}

#[test]
fn an_answer_that_is_sipped_is_not_waited_for() {
    const SIZE: usize = 64 << 20;
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").into_bytes();
    answer.resize(answer.len() + SIZE, b'x');
    let large = Origin::script([Step::ReadRequest, Step::Send(answer)]);
    // Sips of 200 KB, about 4 MB a second, until it has enough; returns why the answer ended.
    let sip = |http: &str, most: Duration| {
        let weir = proxy(&format!("send_timeout: 1s, {http}"), "", large.addr());
        let mut client = weir.client("web");
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut sip = vec![0; 200_000];
        let begun = Instant::now();
        drip(|| {
            let n = client.stream().read(&mut sip)?;
            let gone = weir.access_log().iter().any(|line| line["target"] == "/");
            Ok(n == 0 || gone || begun.elapsed() > most)
        });
        drop(client);
        let line = weir.wait_log("the answer", |line| line["target"] == "/");
        line["reason"].clone()
    };
    // There is progress within every second, but 50 MB a second are asked for.
    assert_eq!(
        sip("min_rate: 50MB/s", Duration::from_secs(9)),
        "send_timeout"
    );
    assert_eq!(sip("min_rate: off", Duration::from_secs(3)), "client_gone");
}

/// So many connections that never say anything, as far as there is room.
fn silent(weir: &Weir, count: usize) -> Vec<TcpStream> {
    // One for which there is none is reset, maybe before connecting is over.
    (0..count)
        .filter_map(|_| TcpStream::connect(weir.addr("web")).ok())
        .collect()
}

/// Asks on a new connection, again and again, until there is an answer; returns how long that took.
fn time_to_enter(weir: &Weir) -> Duration {
    let begun = Instant::now();
    wait_until("a place", || {
        let Ok(mut client) = RawClient::try_connect(weir.addr("web")) else {
            return false;
        };
        let asked = client.try_send("GET /own HTTP/1.1\r\nHost: x\r\n\r\n");
        asked.is_ok()
            && client
                .try_response()
                .is_ok_and(|response| response.status == 200)
    });
    begun.elapsed()
}

#[test]
fn connections_that_do_nothing_make_room() {
    const PLACES: usize = 100;
    let app = Echo::start("app");
    let patient =
        "first_byte_timeout: 10m, head_timeout: 10m, idle_timeout: 10m, body_timeout: 10m";
    let weir = proxy(
        patient,
        &format!("limits: {{ connections: {PLACES} }}"),
        app.addr(),
    );

    // With places to spare, everybody has all the time of the world.
    let few = silent(&weir, PLACES / 2);
    thread::sleep(Duration::from_secs(3));
    assert_eq!(running::status(&weir)["connections"], PLACES as u64 / 2);
    drop(few);

    let flood = silent(&weir, PLACES + 20);
    let took = time_to_enter(&weir);
    println!("past silent connections after {took:?}");
    assert!(took < Duration::from_secs(8), "{took:?}");
    drop(flood);

    let mut idle = Vec::new();
    wait_until("a house full of idle connections", || {
        let Ok(mut client) = RawClient::try_connect(weir.addr("web")) else {
            return true;
        };
        let _ = client.try_send("GET /own HTTP/1.1\r\nHost: x\r\n\r\n");
        let answered = client.try_response().is_ok();
        idle.push(client);
        !answered || idle.len() > PLACES * 3
    });
    let took = time_to_enter(&weir);
    println!("past idle connections after {took:?}");
    assert!(took < Duration::from_secs(8), "{took:?}");
    drop(idle);

    let mut heads = silent(&weir, PLACES + 20);
    for head in &mut heads {
        let _ = head.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-");
    }
    let took = time_to_enter(&weir);
    println!("past slow heads after {took:?}");
    assert!(took < Duration::from_secs(8), "{took:?}");
    drop(heads);

    let mut bodies = silent(&weir, PLACES + 20);
    for body in &mut bodies {
        let _ = body.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx");
    }
    let took = time_to_enter(&weir);
    println!("past slow bodies after {took:?}");
    assert!(took < Duration::from_secs(8), "{took:?}");
    let hurried = weir
        .metrics()
        .sum("weir_listener_connections_hurried_total", &[]);
    assert!(hurried > 20.0, "{hurried}");
}

#[test]
fn a_flood_that_does_not_end_keeps_nobody_out() {
    const PLACES: usize = 200;
    let app = Echo::start("app");
    let weir = proxy(
        "",
        &format!("limits: {{ connections: {PLACES} }}"),
        app.addr(),
    );
    let over = Arc::new(AtomicBool::new(false));
    let flood = thread::spawn({
        let (over, web) = (Arc::clone(&over), weir.addr("web"));
        move || {
            let mut held = std::collections::VecDeque::new();
            while !over.load(Ordering::Relaxed) {
                held.extend(TcpStream::connect(web));
                if held.len() > PLACES * 4 {
                    held.pop_front();
                }
                thread::sleep(MS(10));
            }
        }
    });
    // As many as there are places, in the time that each is given.
    thread::sleep(Duration::from_secs(3));
    let load = visitors(&weir, "/own");
    thread::sleep(Duration::from_secs(5));
    let report = load.stop();
    over.store(true, Ordering::Relaxed);
    flood.join().expect("the flood");
    assert_served("a flood", &report);
}

#[test]
fn a_piece_of_a_head_takes_little_memory() {
    const CLIENTS: usize = 2000;
    raise_descriptor_limit(8192);
    let app = Echo::start("app");
    let weir = proxy("head_timeout: 1m", "", app.addr());
    assert_eq!(weir.client("web").get("/").status, 200);
    let before = weir.usage().resident;
    let mut slow = silent(&weir, CLIENTS);
    for client in &mut slow {
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: example.com\r\nX-Slow: ")
            .expect("sent");
    }
    let status = |weir: &Weir| running::status(weir)["connections"].as_u64();
    wait_until("all to be connected", || {
        status(&weir) >= Some(CLIENTS as u64)
    });
    for client in &mut slow {
        client.write_all(b"y").expect("sent");
    }
    thread::sleep(MS(300));
    let each = weir.usage().resident.saturating_sub(before) / CLIENTS as u64;
    println!("{each} bytes for each slow head");
    assert!(each < 10 << 10, "{each} bytes for each");
    // Each of them is a good head in the end.
    for client in slow.iter_mut().take(50) {
        client.write_all(b"\r\n\r\n").expect("sent");
        let mut start = [0; 12];
        client.read_exact(&mut start).expect("an answer");
        assert_eq!(&start, b"HTTP/1.1 200");
    }
}
