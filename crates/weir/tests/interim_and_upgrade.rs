//! What comes between a request and its answer, and what replaces HTTP: 100-continue, early hints, tunnels.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::{PLAIN, assert_problem, one_service, serve, start, text};
use weir_testkit::{Echo, Origin, RawClient, Step, boundaries, pattern, send};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const EXPECTING: &str =
    "POST /up HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
const ASKING: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n";

#[test]
fn a_client_waits_for_100_and_the_endpoint_says_it() {
    let origin = Origin::script([
        Step::ReadHead,
        send(CONTINUE),
        Step::Read(5),
        send(OK),
        Step::Again,
    ]);
    let weir = one_service(origin.addr(), PLAIN, "");
    let mut client = weir.client("web");
    for _ in 0..2 {
        client.send(EXPECTING);
        assert_eq!(client.read_until(b"\r\n\r\n"), CONTINUE.as_bytes());
        assert_eq!(client.send("hello").response().text(), "ok");
    }
    // Lower or upper case, chunked, byte by byte.
    client.send(EXPECTING.replace("100-continue", "100-Continue"));
    assert_eq!(client.read_until(b"\r\n\r\n"), CONTINUE.as_bytes());
    client.send_bytewise("hello", Duration::from_millis(1));
    assert_eq!(client.response().text(), "ok");
    assert_eq!(origin.connections(), 1);
    assert!(origin.received_text(0).starts_with(
        "POST /up HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello"
    ));
}

#[test]
fn a_client_that_does_not_wait_loses_nothing() {
    let origin = Origin::script([Step::ReadRequest, send(CONTINUE), send(OK), Step::Again]);
    let weir = one_service(origin.addr(), PLAIN, "");
    let bytes = format!("{EXPECTING}hello");
    let mut client = weir.client("web");
    for cut in boundaries(bytes.as_bytes()) {
        let response = client.send_split(&bytes, cut).response();
        assert_eq!(response.text(), "ok", "cut at {cut}");
        assert_eq!(response.interim.len(), 1, "cut at {cut}");
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_final_answer_instead_of_100_ends_the_connection_safely() {
    #[rustfmt::skip] // One case a line.
    let cases = [
        ("417", "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n", 417),
        ("401", "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno", 401),
        ("200", OK, 200),
        ("200 chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200),
    ];
    for (name, answer, status) in cases {
        for framing in ["Content-Length: 44", "Transfer-Encoding: chunked"] {
            let origin = Origin::scripts(vec![
                vec![Step::ReadHead, send(answer), Step::Hold],
                vec![Step::ReadRequest, send(OK), Step::Again],
            ]);
            let weir = one_service(origin.addr(), PLAIN, "");
            let mut client = weir.client("web");
            let response = client
                .send(format!(
                    "POST /up HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{framing}\r\n\r\n"
                ))
                .response();
            assert_eq!(response.status, status, "{name}");
            // Whether the body comes is known to the client alone. Were the connection to go on, a body could be taken
            // for a request, or a request for the body.
            assert_eq!(response.header("connection"), Some("close"), "{name}");
            client
                .send("GET /smuggled HTTP/1.1\r\nHost: a\r\nX: 345\r\n\r\n")
                .expect_close();
            assert_eq!(
                RawClient::exchange(weir.addr("web"), "GET / HTTP/1.1\r\nHost: a\r\n\r\n").text(),
                "ok",
                "{name}"
            );
            assert_eq!(
                origin.connections(),
                2,
                "{name}: nor does the endpoint's go on, which waits for a body"
            );
            assert!(
                !text(&origin.received_anywhere()).contains("smuggled"),
                "{name}"
            );
        }
    }
}

#[test]
fn answers_of_weirs_own_do_not_wait_for_a_body() {
    let weir = start(
        "
listeners: { web: { address: '@web@', http: { max_body: 100 } } }
routes: [ { path: /own, respond: { body: own } }, { path: /get, methods: [GET], respond: 204 } ]
",
    );
    for (target, length, status) in [
        ("/own", 5, 200),
        ("/none", 5, 404),
        ("/get", 5, 405),
        ("/own", 101, 413),
    ] {
        let mut client = weir.client("web");
        let response = client.send(format!("POST {target} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n")).response();
        assert_eq!(
            (response.status, response.interim.len()),
            (status, 0),
            "{target}"
        );
        assert_eq!(response.header("connection"), Some("close"), "{target}");
        client.send("hello").expect_close();
        // Without the expectation the body is on its way, and small enough to be read.
        let mut client = weir.client("web");
        let response = client
            .send(format!(
                "POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
            ))
            .response();
        assert_eq!(response.status, status, "{target}");
        if status != 413 {
            client.send("hello");
            assert_eq!(client.get("/own").text(), "own", "{target}");
        }
    }
}

#[test]
fn an_expectation_that_means_nothing_goes_no_further() {
    let origin = Origin::answering(OK);
    let weir = one_service(origin.addr(), PLAIN, "");
    for request in [
        "GET /0 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
        "POST /1 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
        "POST /2 HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
        "POST /3 HTTP/1.0\r\nHost: a\r\nExpect: anything\r\nContent-Length: 2\r\n\r\nhi",
    ] {
        let response = RawClient::exchange(weir.addr("web"), request);
        assert_eq!(
            (response.text().as_str(), response.interim.len()),
            ("ok", 0),
            "{request}"
        );
    }
    assert!(
        !origin.received_text(0).contains("Expect"),
        "{}",
        origin.received_text(0)
    );
}

#[test]
fn interim_answers_pass_without_what_is_for_this_hop() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x-hop, close\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTransfer-Encoding: chunked\r\nUpgrade: x\r\nProxy-Authenticate: Basic\r\nX: y\r\n\r\n";
    let (go, may_go) = mpsc::sync_channel::<()>(1);
    let may_go = std::sync::Mutex::new(may_go);
    let addr = serve(move |mut stream, _| {
        let mut buffer = [0; 4096];
        while stream.read(&mut buffer).is_ok_and(|n| n > 0) {
            let _ = stream.write_all(hints.as_bytes());
            let _ = may_go.lock().expect("one at a time").recv();
            let _ = stream.write_all(
                format!("HTTP/1.1 199 Content\r\nContent-Length: 5\r\nX: z\r\n\r\n{CONTINUE}{OK}")
                    .as_bytes(),
            );
        }
    });
    let weir = one_service(addr, PLAIN, "");
    for (request, interim) in [
        ("GET / HTTP/1.1", true),
        ("HEAD / HTTP/1.1", true),
        ("GET / HTTP/1.0", false),
    ] {
        let mut client = weir.client("web");
        client.send(format!("{request}\r\nHost: a\r\n\r\n"));
        if interim {
            // At once, not together with the answer.
            let early = client.read_until(b"\r\n\r\n");
            assert_eq!(
                text(&early),
                r"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nX: y\r\n\r\n",
                "{request}"
            );
        }
        go.send(()).expect("the endpoint waits");
        let response = client.response_to(request.split(' ').next().unwrap_or_default());
        assert_eq!(response.status, 200, "{request}");
        let seen: Vec<u16> = response.interim.iter().map(|interim| interim.0).collect();
        assert_eq!(
            seen,
            if interim { vec![199, 100] } else { vec![] },
            "{request}"
        );
        assert!(
            response
                .interim
                .iter()
                .all(|(_, fields)| fields.first("content-length").is_none()),
            "{request}"
        );
    }
}

#[test]
fn interim_answers_are_bounded_and_a_deaf_client_costs_little() {
    // 64 pass, and each may be large; a client that does not read holds them back.
    let large = format!(
        "HTTP/1.1 103 Early Hints\r\n{}\r\n",
        format!("X: {}\r\n", "y".repeat(50_000)).repeat(4)
    );
    let most = format!("{}{OK}", large.repeat(64));
    let origin = Origin::answering(&most);
    let weir = one_service(origin.addr(), PLAIN, "");
    let before = weir.usage().peak;
    let mut clients: Vec<RawClient> = (0..8).map(|_| weir.client("web")).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for client in &clients {
        let mut end = Vec::new();
        let mut buffer = vec![0; 1 << 20];
        let mut count = 0;
        while !end.ends_with(b"\r\n\r\nok") {
            let n = client.stream().read(&mut buffer).expect("more");
            assert!(n > 0, "it ended after {count} bytes");
            count += n;
            end.extend_from_slice(&buffer[..n]);
            end.drain(..end.len().saturating_sub(64));
        }
        assert!(count >= most.len(), "{count} bytes of {}", most.len());
    }
    let growth = weir.usage().peak - before;
    assert!(
        growth < 20_000_000,
        "{growth} bytes more at the peak, of {} on the way",
        8 * most.len()
    );
}

#[test]
fn a_tunnel_opens_with_everything_that_was_sent_early() {
    // The client speaks before it may, which waits until the endpoint agreed; that one speaks in the same packet.
    let script = vec![
        Step::ReadHead,
        send(format!("{SWITCHING}glued")),
        Step::ReadUntil(b"earlyping".to_vec()),
        send("pong"),
        Step::ReadToEnd,
    ];
    let origin = Origin::script(script);
    let weir = one_service(origin.addr(), PLAIN, "");
    let bytes = format!("{ASKING}early");
    for cut in boundaries(bytes.as_bytes()) {
        let mut client = weir.client("web");
        client.send_split(&bytes, cut);
        let head = text(&client.read_until(b"\r\n\r\n"));
        assert_eq!(
            head,
            r"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
        );
        assert_eq!(client.read_exactly(5), b"glued", "cut at {cut}");
        client.send("ping");
        assert_eq!(client.read_exactly(4), b"pong", "cut at {cut}");
        client.half_close().expect_close();
    }
    let got = origin.received_text(0);
    assert_eq!(
        got,
        "GET /ws HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nearlyping"
    );
    let line = weir.wait_log("a tunnel", |line| line["status"] == 101);
    assert_eq!(
        (&line["bytes_in"], &line["bytes_out"]),
        (&9.into(), &9.into()),
        "{line}"
    );
}

#[test]
fn a_tunnel_opens_wherever_the_endpoints_bytes_are_cut() {
    let answer = format!("HTTP/1.1 103 Early Hints\r\n\r\n{SWITCHING}glued");
    let scripts = boundaries(answer.as_bytes())
        .map(|cut| {
            vec![
                Step::ReadHead,
                Step::SendSplit(answer.clone().into(), cut),
                Step::ReadUntil(b"ping".to_vec()),
                send("pong"),
            ]
        })
        .collect();
    let origin = Origin::scripts(scripts);
    let weir = one_service(origin.addr(), PLAIN, "");
    for cut in boundaries(answer.as_bytes()) {
        let mut client = weir.client("web");
        client.send(ASKING);
        assert!(
            client.read_until(b"\r\n\r\n").starts_with(b"HTTP/1.1 103 "),
            "cut at {cut}"
        );
        assert!(
            client.read_until(b"\r\n\r\n").starts_with(b"HTTP/1.1 101 "),
            "cut at {cut}"
        );
        assert_eq!(client.read_exactly(5), b"glued", "cut at {cut}");
        client.send("ping");
        assert_eq!(client.read_to_end(), b"pong", "cut at {cut}");
    }
}

#[test]
fn either_side_of_a_tunnel_may_stop_talking_first() {
    let origin = Origin::scripts(vec![
        // The client stops first: the endpoint reads its end, and still answers.
        vec![
            Step::ReadHead,
            send(SWITCHING),
            Step::ReadToEnd,
            send("last words"),
        ],
        // The endpoint stops first, and still listens.
        vec![
            Step::ReadHead,
            send(SWITCHING),
            send("bye"),
            Step::HalfClose,
            Step::ReadToEnd,
        ],
    ]);
    let weir = one_service(origin.addr(), PLAIN, "");
    let open = || {
        let mut client = weir.client("web");
        client.send(ASKING).read_until(b"\r\n\r\n");
        client
    };
    let mut client = open();
    client.send("question").half_close();
    assert_eq!(client.read_to_end(), b"last words");
    assert!(origin.received_text(0).ends_with("question"));

    let mut client = open();
    assert_eq!(client.read_to_end(), b"bye");
    client.send("still ").send("here");
    origin.wait_received(1, "still here");
    client.half_close();
    origin.wait_end(1).expect("the client's end was passed on");
}

#[test]
fn a_broken_tunnel_ends_on_both_sides() {
    let origin = Origin::scripts(vec![
        vec![Step::ReadHead, send(SWITCHING), Step::Hold],
        vec![
            Step::ReadHead,
            send(SWITCHING),
            Step::ReadUntil(b"go".to_vec()),
            Step::Reset,
        ],
    ]);
    let weir = one_service(origin.addr(), PLAIN, "");
    let mut client = weir.client("web");
    client.send(ASKING).read_until(b"\r\n\r\n");
    client.reset();
    let end = origin.wait_end(0).expect_err("a reset, passed on");
    assert!(end.contains("reset"), "{end}");
    let mut client = weir.client("web");
    client.send(ASKING).read_until(b"\r\n\r\n");
    client.send("go");
    let mut stream = client.stream();
    let end = stream.read(&mut [0]).expect_err("a reset, passed on");
    assert_eq!(end.kind(), ErrorKind::ConnectionReset);
    for reason in ["client_gone", "upstream_reset"] {
        let line = weir.wait_log(reason, |line| line["reason"] == reason);
        assert_eq!(line["status"], 101, "{line}");
    }
}

#[test]
fn a_tunnel_whose_client_is_reset_behind_its_end_does_not_linger() {
    let origin = Origin::script([
        Step::ReadHead,
        send(SWITCHING),
        Step::ReadToEnd,
        send("last words"),
        // Holding would end with the client's direction.
        Step::Wait(Duration::from_secs(60)),
    ]);
    let weir = one_service(origin.addr(), PLAIN, "");
    let mut client = weir.client("web");
    client.send(ASKING).read_until(b"\r\n\r\n");
    client.half_close().read_until(b"last words");
    // From here on nobody says anything; the reset is all that can end the tunnel.
    client.reset();
    let line = weir.wait_log("the tunnel", |line| line["status"] == 101);
    assert_eq!(line["reason"], "client_gone", "{line}");
}

#[test]
fn a_silent_tunnel_ends_and_a_talking_one_does_not() {
    let echo = Echo::start("app");
    let weir = one_service(
        echo.addr(),
        &format!("{PLAIN}, tunnel_timeout: 1s, idle_timeout: 500ms, body_timeout: 500ms"),
        "timeout: { total: 700ms, idle: 500ms, first_byte: 500ms }",
    );
    let mut client = weir.client("web");
    client.send(ASKING).read_until(b"\r\n\r\n");
    for _ in 0..30 {
        client.send("x");
        assert_eq!(client.read_exactly(1), b"x");
        thread::sleep(Duration::from_millis(50));
    }
    client.expect_close();
}

#[test]
fn a_tunnel_carries_much_both_ways_at_once() {
    const SIZE: usize = 20_000_000;
    let echo = Echo::start("app");
    let weir = one_service(echo.addr(), PLAIN, "");
    let before = weir.usage().peak;
    let mut client = weir.client("web");
    client.send(ASKING).read_until(b"\r\n\r\n");
    let bytes = pattern(SIZE);
    thread::scope(|scope| {
        let mut writer = client.stream().try_clone().expect("a second handle");
        let bytes = &bytes;
        scope.spawn(move || {
            writer.write_all(bytes).expect("all goes out");
            writer.shutdown(Shutdown::Write).expect("half-close");
        });
        assert!(client.read_to_end() == *bytes, "every byte came back");
    });
    let growth = weir.usage().peak - before;
    assert!(growth < 20_000_000, "{growth} bytes more at the peak");
}

#[test]
fn a_refused_upgrade_goes_on_as_http() {
    for (answer, status) in [
        (OK, 200),
        (
            "HTTP/1.1 426 Upgrade Required\r\nConnection: upgrade\r\nUpgrade: other\r\nContent-Length: 0\r\n\r\n",
            426,
        ),
    ] {
        let origin = Origin::answering(answer);
        let weir = one_service(origin.addr(), PLAIN, "");
        // What follows the request is the next request.
        let mut client = weir.client("web");
        client.send(format!("{ASKING}GET /next HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(client.response().status, status);
        assert_eq!(client.response().status, status);
        assert!(
            origin
                .received_text(0)
                .contains("GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
        );
        // And no tunnel's bytes.
        let mut client = weir.client("web");
        client.send(format!("{ASKING}\x01\x02 frames"));
        assert_eq!(client.response().status, status);
        assert_problem("frames", &client.response(), 400);
        client.expect_close();
        assert!(!origin.received_text(0).contains("frames"));
    }
}

#[test]
fn only_a_whole_agreement_opens_a_tunnel() {
    #[rustfmt::skip] // One case a line.
    let cases = [
        ("nobody asked", "GET /ws HTTP/1.1\r\nHost: a\r\n\r\n", SWITCHING),
        ("asked without Connection", "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", SWITCHING),
        ("asked in HTTP/1.0", "GET /ws HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", SWITCHING),
        ("asked with a body", "POST /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nhi", SWITCHING),
        ("asked with an unknown body", "POST /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", SWITCHING),
        ("asked for h2c", "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"),
        ("asked for h2c among others", "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket, h2c\r\n\r\n", SWITCHING),
        ("no protocol", ASKING, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n"),
        ("no connection option", ASKING, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"),
        ("another protocol", ASKING, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"),
        ("in HTTP/1.0", ASKING, "HTTP/1.0 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
    ];
    for (name, request, answer) in cases {
        let origin = Origin::script([
            Step::ReadRequest,
            send(format!("{answer}tunnelled")),
            Step::Hold,
        ]);
        let weir = one_service(origin.addr(), PLAIN, "");
        let response = RawClient::exchange(weir.addr("web"), request);
        assert_problem(name, &response, 502);
        assert_eq!(
            weir.wait_log(name, |line| line["status"] == 502)["rule"],
            "unexpected_interim",
            "{name}"
        );
        let _ = origin.wait_end(0);
        let got = origin.received_text(0).to_lowercase();
        let asks = request == ASKING;
        assert_eq!(
            got.contains("upgrade") || got.contains("http2-settings") || got.contains("h2c"),
            asks,
            "{name}: {got}"
        );
    }
    // The names of protocols are compared without regard to case, and a length of zero is no body.
    let origin = Origin::script([Step::ReadRequest, send(SWITCHING), send("hi")]);
    let weir = one_service(origin.addr(), PLAIN, "");
    for request in [
        "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n",
        "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x/1, websocket\r\nContent-Length: 0\r\n\r\n",
    ] {
        let mut client = weir.client("web");
        assert!(
            client
                .send(request)
                .read_until(b"\r\n\r\n")
                .starts_with(b"HTTP/1.1 101 "),
            "{request}"
        );
        assert_eq!(client.read_to_end(), b"hi", "{request}");
    }
}
