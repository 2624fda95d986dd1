//! How messages end: every way to delimit a body, in both directions, to both versions, with any size and any pace.

mod common;

use std::time::Duration;

use common::{PLAIN, one_service};
use weir_testkit::{Echo, Origin, Step, fnv1a, pattern, send};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn get(version: &str, path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/{version}\r\nHost: a\r\n{fields}\r\n")
}

#[test]
fn both_versions_get_every_body_whole() {
    let echo = Echo::start("app");
    let weir = one_service(echo.addr(), "", "");
    let expected = pattern(10_000);
    #[rustfmt::skip] // One case a line.
    let cases = [
        ("/bytes/10000", "1.1", "length"),
        ("/bytes/10000", "1.0", "length"),
        ("/chunked/10000", "1.1", "chunked"),
        ("/chunked/10000", "1.0", "close"),
        ("/until-close/10000", "1.1", "chunked"),
        ("/until-close/10000", "1.0", "close"),
    ];
    for (path, version, framing) in cases {
        let mut client = weir.client("web");
        let response = client.send(get(version, path, "")).response();
        let name = format!("{path} to HTTP/{version}");
        assert_eq!(response.body, expected, "{name}");
        let (length, coding) = (
            response.header("content-length"),
            response.header("transfer-encoding"),
        );
        match framing {
            "length" => assert_eq!((length, coding), (Some("10000"), None), "{name}"),
            "chunked" => assert_eq!((length, coding), (None, Some("chunked")), "{name}"),
            _ => assert_eq!((length, coding), (None, None), "{name}"),
        }
        // RFC 9112, 6.1: no transfer coding and no trailers for HTTP/1.0.
        let trailer = (path.starts_with("/chunked") && version == "1.1").then_some("end");
        assert_eq!(response.trailers.first("x-trailer"), trailer, "{name}");
        if version == "1.0" {
            assert_eq!(response.header("connection"), Some("close"), "{name}");
            client.expect_close();
        } else {
            assert_eq!(
                client.get("/bytes/1").body.len(),
                1,
                "{name}: and the connection goes on"
            );
        }
    }
}

#[test]
fn connections_persist_as_each_side_wishes() {
    let echo = Echo::start("app");
    let weir = one_service(echo.addr(), "", "");
    #[rustfmt::skip] // One case a line.
    let cases = [
        ("1.1", "", None, true),
        ("1.1", "Connection: keep-alive\r\n", None, true),
        ("1.1", "Connection: close\r\n", Some("close"), false),
        ("1.1", "Connection: x, CLOSE\r\n", Some("close"), false),
        ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", Some("close"), false),
        ("1.1", "Proxy-Connection: close\r\n", None, true),
        ("1.0", "", Some("close"), false),
        ("1.0", "Connection: close\r\n", Some("close"), false),
        ("1.0", "Connection: Keep-Alive\r\n", Some("keep-alive"), true),
        ("1.0", "Proxy-Connection: keep-alive\r\n", Some("close"), false),
    ];
    for (version, fields, answer, persists) in cases {
        for (path, status) in [("/bytes/3", 200), ("/status/404", 404)] {
            let mut client = weir.client("web");
            let response = client.send(get(version, path, fields)).response();
            let name = format!("HTTP/{version} {fields:?} {path}");
            assert_eq!(
                (response.status, response.header("connection")),
                (status, answer),
                "{name}"
            );
            if persists {
                assert_eq!(client.get("/bytes/1").body.len(), 1, "{name}");
            } else {
                client.expect_close();
            }
        }
    }
    // What the client says about its connection is not said to the endpoint, whose connections are Weir's.
    assert_eq!(echo.connections(), 1);
}

#[test]
fn a_connection_carries_as_many_requests_as_it_may() {
    let echo = Echo::start("app");
    let weir = one_service(echo.addr(), "max_requests: 3", "");
    let mut client = weir.client("web");
    client.send(get("1.1", "/bytes/1", "").repeat(5));
    for connection in [None, None, Some("close")] {
        assert_eq!(client.response().header("connection"), connection);
    }
    client.expect_close();
    assert_eq!(echo.requests(), 3, "what follows the last is not served");
}

#[test]
fn an_endpoint_decides_about_its_connection_only() {
    #[rustfmt::skip] // One case a line.
    let cases = [
        ("1.1", OK, true),
        ("1.1, close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", false),
        ("1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false),
        ("1.0, keep-alive", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", true),
    ];
    for (name, answer, reused) in cases {
        let origin = Origin::script([Step::ReadRequest, send(answer), Step::Again]);
        let weir = one_service(origin.addr(), PLAIN, "");
        let mut client = weir.client("web");
        for _ in 0..3 {
            let response = client.send(get("1.1", "/", "")).response();
            assert_eq!(
                (response.text().as_str(), response.minor),
                ("ok", 1),
                "{name}"
            );
            assert_eq!(response.header("connection"), None, "{name}");
            assert_eq!(response.header("keep-alive"), None, "{name}");
        }
        assert_eq!(origin.connections(), if reused { 1 } else { 3 }, "{name}");
    }
}

#[test]
fn answers_without_a_body_have_none() {
    #[rustfmt::skip] // One case a line.
    let cases: &[(&str, &str, &str, Option<&str>, bool)] = &[
        // RFC 9110, 8.6: the length of what GET would get, in answer to HEAD and in 304; never in 204.
        ("HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", Some("9"), true),
        ("HEAD, chunked", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None, true),
        ("HEAD, until close", "HEAD", "HTTP/1.1 200 OK\r\n\r\n", None, true),
        ("204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", None, true),
        ("204 with length 0", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", None, true),
        ("204 with a length", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n", None, false),
        ("204 with a coding", "GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", None, false),
        ("304", "GET", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n", None, true),
        ("304 with a length", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", Some("9"), true),
        ("205", "GET", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", Some("0"), true),
        ("length 0", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Some("0"), true),
    ];
    for (name, method, answer, length, reused) in cases {
        let origin = Origin::script([Step::ReadRequest, send(answer), Step::Again]);
        let weir = one_service(origin.addr(), PLAIN, "");
        let mut client = weir.client("web");
        for _ in 0..2 {
            let response = client
                .send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"))
                .response_to(method);
            assert_eq!(response.header("content-length"), *length, "{name}");
            assert_eq!(response.header("transfer-encoding"), None, "{name}");
            assert_eq!(response.body, b"", "{name}");
        }
        client.expect_silence(Duration::from_millis(20));
        assert_eq!(origin.connections(), if *reused { 1 } else { 2 }, "{name}");
    }
}

#[test]
fn trailers_travel_and_forbidden_ones_do_not() {
    let trailers = "X-Sum: 1\r\nETag: \"x\"\r\nContent-Encoding: gzip\r\nSet-Cookie: a=b\r\nConnection: close\r\nX-Hop: 1\r\n";
    // Those that Connection nominates are meant for this hop.
    for (connection, expected) in [
        ("", vec!["x-sum", "etag", "x-hop"]),
        ("Connection: x-hop\r\n", vec![]),
    ] {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n{connection}\r\n2\r\nok\r\n0\r\n{trailers}\r\n"
        );
        let origin = Origin::answering(answer);
        let weir = one_service(origin.addr(), PLAIN, "");
        let request = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n{connection}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n{trailers}\r\n"
        );
        let mut client = weir.client("web");
        let response = client.send(&request).response();
        let names: Vec<String> = response
            .trailers
            .0
            .iter()
            .map(|(name, _)| name.to_lowercase())
            .collect();
        assert_eq!(names, expected, "to the client, {connection:?}");
        assert_eq!(response.header("trailer"), Some("x-sum"));
        let got = origin.received_text(0);
        let (head, body) = got.split_once("\r\n\r\n").expect("a head");
        assert!(
            head.contains("\r\nConnection: TE\r\nTE: trailers"),
            "{head}"
        );
        let (_, block) = body.split_once("0\r\n").expect("a last chunk");
        let names: Vec<String> = block
            .lines()
            .filter_map(|line| Some(line.split_once(':')?.0.to_lowercase()))
            .collect();
        assert_eq!(names, expected, "to the endpoint, {connection:?}");
        assert_eq!(client.send(get("1.1", "/", "")).response().text(), "ok");
    }
}

#[test]
fn a_length_is_kept_to_the_byte() {
    let echo = Echo::start("app");
    let weir = one_service(echo.addr(), "", "");
    // Around every buffer size that there may be, and with the next request glued behind the body.
    for around in [1, 4096, 8192, 16_384, 32_768, 65_536, 131_072, 400_000] {
        for size in [around - 1, around, around + 1] {
            let mut client = weir.client("web");
            let body = String::from_utf8(pattern(size)).expect("text");
            for framed in [
                format!("Content-Length: {size}\r\n\r\n{body}"),
                if size == 0 {
                    "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into()
                } else {
                    format!("Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n{body}\r\n0\r\n\r\n")
                },
            ] {
                client.send(format!("POST /p HTTP/1.1\r\nHost: a\r\n{framed}GET /bytes/{size} HTTP/1.1\r\nHost: a\r\n\r\nGET /chunked/{size} HTTP/1.1\r\nHost: a\r\n\r\n"));
                let seen = client.response().json();
                assert_eq!(seen["body_length"], size, "{size}");
                assert_eq!(seen["body_hash"], fnv1a(body.as_bytes()), "{size}");
                assert_eq!(client.response().body, body.as_bytes(), "{size}");
                assert_eq!(client.response().body, body.as_bytes(), "{size}");
            }
        }
    }
}
