//! Requests in a row on one connection, and clients that end it early.

mod common;

use std::io::Write;
use std::time::Duration;

use common::{PLAIN, assert_problem, one_service, start, text};
use weir_testkit::{Echo, Origin, Step, fnv1a, pattern, send};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GOOD: &str = "GET /good HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn pipelined_requests_are_answered_in_order() {
    let echo = Echo::start("app");
    let weir = one_service(echo.addr(), "", "");
    let mut bytes = String::new();
    for n in 0..50 {
        bytes += &match n % 5 {
            0 => format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n"),
            1 => format!(
                "POST /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: {n}\r\n\r\n{}",
                "x".repeat(n)
            ),
            2 => format!("HEAD /{n} HTTP/1.1\r\nHost: a\r\n\r\n"),
            3 => format!(
                "PUT /{n} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{n:x}\r\n{}\r\n0\r\nX-T: {n}\r\n\r\n",
                "y".repeat(n)
            ),
            _ => format!("\r\nDELETE /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"),
        };
    }
    for pieces in [bytes.len(), 1000, 7] {
        let mut client = weir.client("web");
        for piece in bytes.as_bytes().chunks(pieces) {
            client.send(piece);
        }
        for n in 0..50 {
            if n % 5 == 2 {
                assert_eq!(client.response_to("HEAD").status, 200);
                continue;
            }
            let seen = client.response().json();
            assert_eq!(seen["target"], format!("/{n}"), "in pieces of {pieces}");
            assert_eq!(
                seen["body_length"],
                if n % 5 == 1 || n % 5 == 3 { n } else { 0 },
                "in pieces of {pieces}"
            );
        }
        // The end of the client's direction does not cost it an answer.
        client
            .send("GET /last HTTP/1.1\r\nHost: a\r\n\r\nGET /end HTTP/1.1\r\nHost: a\r\n\r\n")
            .half_close();
        assert_eq!(client.response().json()["target"], "/last");
        assert_eq!(client.response().json()["target"], "/end");
        client.expect_close();
    }
}

#[test]
fn a_bad_request_among_pipelined_ones_is_the_last() {
    let origin = Origin::answering(OK);
    let weir = start(&format!(
        "
listeners: {{ web: '@web@' }}
routes: [ {{ path: /app/*, service: app }}, {{ path: /own, respond: {{ body: own }} }} ]
services: {{ app: ['{}'] }}
",
        origin.addr()
    ));
    let good = "GET /app/1 HTTP/1.1\r\nHost: a\r\n\r\nGET /own HTTP/1.1\r\nHost: a\r\n\r\nGET /none HTTP/1.1\r\nHost: a\r\n\r\n";
    let never = "GET /app/never HTTP/1.1\r\nHost: a\r\n\r\n";
    #[rustfmt::skip] // One case a line.
    let cases = [
        ("bad field", "GET /app/bad HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", 400),
        ("bad framing", "POST /app/bad HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("version", "GET /app/bad HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("bad chunk", "POST /own HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 0),
    ];
    for (name, bad, status) in cases {
        let mut client = weir.client("web");
        client.send(format!("{good}{bad}{never}"));
        assert_eq!(client.response().text(), "ok", "{name}");
        assert_eq!(client.response().text(), "own", "{name}");
        assert_problem(name, &client.response(), 404);
        if status == 0 {
            // The answer did not need the body, so it is given; the connection cannot go on.
            let response = client.response();
            assert_eq!(
                (response.text().as_str(), response.header("connection")),
                ("own", Some("close")),
                "{name}"
            );
        } else {
            assert_problem(name, &client.response(), status);
        }
        client.expect_close();
    }
    let got = text(&origin.received_anywhere());
    assert!(!got.contains("/never") && !got.contains("/bad"), "{got}");
}

#[test]
fn a_client_that_leaves_takes_its_request_along() {
    let origin = Origin::script([Step::ReadHead, Step::Hold]);
    let weir = one_service(origin.addr(), PLAIN, "");
    // Reset while the endpoint thinks.
    let mut client = weir.client("web");
    client.send("GET /reset HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.wait_received(0, "/reset");
    client.reset();
    origin
        .wait_end(0)
        .expect("Weir closed the endpoint's connection");
    let line = weir.wait_log("reset", |line| line["target"] == "/reset");
    assert_eq!(
        (&line["reason"], &line["status"]),
        (&"client_gone".into(), &499.into()),
        "{line}"
    );
    // Reset while the endpoint pauses in the midst of its answer.
    let pausing = Origin::script([
        Step::ReadHead,
        send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
        Step::Hold,
    ]);
    let behind = one_service(pausing.addr(), PLAIN, "");
    let mut client = behind.client("web");
    client.send("GET /pause HTTP/1.1\r\nHost: a\r\n\r\n");
    client.read_until(b"half");
    client.reset();
    pausing
        .wait_end(0)
        .expect("Weir closed the endpoint's connection");
    let line = behind.wait_log("pause", |line| line["target"] == "/pause");
    assert_eq!(
        (&line["reason"], &line["status"]),
        (&"client_gone".into(), &200.into()),
        "{line}"
    );
    // Ended in the midst of its body.
    let mut client = weir.client("web");
    client.send("POST /cut HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf");
    origin.wait_received(1, "half");
    client.half_close().expect_close();
    origin
        .wait_end(1)
        .expect("Weir closed the endpoint's connection");
    let line = weir.wait_log("cut", |line| line["target"] == "/cut");
    assert_eq!(line["reason"], "client_gone", "{line}");
}

#[test]
fn a_half_closed_client_still_gets_its_answer() {
    let origin = Origin::script([
        Step::ReadRequest,
        Step::Wait(Duration::from_millis(100)),
        send(OK),
        Step::Again,
    ]);
    let weir = one_service(origin.addr(), PLAIN, "");
    let mut client = weir.client("web");
    client.send(GOOD).half_close();
    assert_eq!(client.response().text(), "ok");
    client.expect_close();
    // Its end is known long before the first of these is answered.
    let mut client = weir.client("web");
    client.send(GOOD.repeat(3)).half_close();
    for connection in [None, None, Some("close")] {
        let response = client.response();
        assert_eq!(
            (response.text().as_str(), response.header("connection")),
            ("ok", connection)
        );
    }
    client.expect_close();
}

/// A socket whose client has ended its direction is readable for ever, so nobody who only reads notices a reset.
#[test]
fn a_client_that_is_reset_behind_its_end_takes_its_request_along() {
    let origin = Origin::scripts(vec![
        vec![Step::ReadHead, Step::Hold],
        vec![
            Step::ReadHead,
            send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
            Step::Hold,
        ],
    ]);
    let weir = one_service(
        origin.addr(),
        "half_close_timeout: 1h",
        "timeout: { first_byte: 1h, idle: 1h, total: 2h }",
    );
    let mut client = weir.client("web");
    client
        .send("GET /silent HTTP/1.1\r\nHost: a\r\n\r\n")
        .half_close();
    origin.wait_received(0, "/silent");
    client.reset();
    let line = weir.wait_log("silent", |line| line["target"] == "/silent");
    assert_eq!(
        (&line["reason"], &line["status"]),
        (&"client_gone".into(), &499.into()),
        "{line}"
    );
    // The answer has begun, and then the endpoint says no more.
    let mut client = weir.client("web");
    client
        .send("GET /half HTTP/1.1\r\nHost: a\r\n\r\n")
        .half_close();
    client.read_until(b"half");
    client.reset();
    let line = weir.wait_log("half", |line| line["target"] == "/half");
    assert_eq!(
        (&line["reason"], &line["status"]),
        (&"client_gone".into(), &200.into()),
        "{line}"
    );
    for number in [0, 1] {
        origin
            .wait_end(number)
            .expect("Weir closed the endpoint's connection");
    }
}

#[test]
fn heads_may_start_anywhere_in_a_buffer_and_outgrow_it() {
    let origin = Origin::answering(OK);
    let weir = one_service(origin.addr(), PLAIN, "");
    let small = "GET /small HTTP/1.1\r\nHost: a\r\n\r\n";
    let large = |size: usize| {
        let head = "GET /large HTTP/1.1\r\nHost: a\r\nX: \r\nY: \r\n\r\n";
        let fill = "v".repeat((size - head.len()) / 2);
        head.replace("X: ", &format!("X: {fill}"))
            .replace("Y: ", &format!("Y: {fill}"))
    };
    for size in [4095, 8191, 16_383, 16_385, 20_000, 32_700] {
        for before in [0, 1, 2, 7, 200, 400, 450, 460] {
            let mut client = weir.client("web");
            client.send(format!("{}{}{small}", small.repeat(before), large(size)));
            for _ in 0..before + 2 {
                assert_eq!(client.response().text(), "ok", "{size} after {before}");
            }
        }
    }
}

/// Xorshift: conversations that differ, and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}

#[test]
fn any_conversation_is_answered_to_the_byte() {
    let echo = Echo::start("app");
    let weir = one_service(echo.addr(), "", "");
    std::thread::scope(|scope| {
        for seed in 1..=8 {
            let weir = &weir;
            scope.spawn(move || {
                let mut dice = Dice(0x9e37_79b9_7f4a_7c15 + seed);
                for _ in 0..25 {
                    converse(weir, &mut dice, seed);
                }
            });
        }
    });
}

/// Some requests of all kinds, sent in pieces of all sizes, while their answers are read.
fn converse(weir: &weir_testkit::Weir, dice: &mut Dice, seed: u64) {
    let sizes = [0, 1, 100, 4097, 16_384, 70_000, 300_000];
    let mut bytes = Vec::new();
    let mut expected = Vec::new();
    for _ in 0..1 + dice.below(8) {
        let size = sizes[dice.below(sizes.len())];
        let body = pattern(size);
        let (line, sends) = match dice.below(6) {
            0 => (format!("GET /bytes/{size}"), None),
            1 => (format!("GET /chunked/{size}"), None),
            2 => (format!("GET /until-close/{size}"), None),
            3 => (format!("HEAD /bytes/{size}"), None),
            4 => (format!("POST /{size}"), Some(false)),
            _ => (format!("PUT /{size}"), Some(true)),
        };
        bytes.extend_from_slice(format!("{line} HTTP/1.1\r\nHost: a\r\n").as_bytes());
        match sends {
            None => bytes.extend_from_slice(b"\r\n"),
            Some(false) => {
                bytes.extend_from_slice(format!("Content-Length: {size}\r\n\r\n").as_bytes());
                bytes.extend_from_slice(&body);
            }
            Some(true) => {
                bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                for piece in body.chunks(1 + dice.below(40_000)) {
                    bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                    bytes.extend_from_slice(piece);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n\r\n");
            }
        }
        expected.push((line, size, sends.is_some()));
    }
    let mut client = weir.client("web");
    // Where a machine is busy, an answer may stand behind many large ones for long.
    client.timeout(Duration::from_secs(60));
    let mut writer = client.stream().try_clone().expect("a second handle");
    let most = [1000, 20_000, 1_000_000][dice.below(3)];
    let mut cuts = Dice(dice.0);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(rest.len().min(1 + cuts.below(most)));
                writer.write_all(piece).expect("Weir reads on");
                rest = after;
            }
        });
        for (line, size, sends) in &expected {
            let method = line.split(' ').next().unwrap_or_default();
            let response = client.response_to(method);
            let name = format!("seed {seed}: {line} among {expected:?}");
            if *sends {
                let seen = response.json();
                assert_eq!(seen["body_length"], *size, "{name}");
                assert_eq!(seen["body_hash"], fnv1a(&pattern(*size)), "{name}");
            } else if method == "HEAD" {
                assert_eq!(
                    response.header("content-length"),
                    Some(size.to_string().as_str()),
                    "{name}"
                );
            } else {
                assert!(response.body == pattern(*size), "{name}");
            }
        }
    });
}
