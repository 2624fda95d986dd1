//! Clients that break the rules behind the head or by measure: chunks, sizes, time.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use common::{PLAIN, assert_problem, one_service, reject, text};
use weir_testkit::{Origin, RawClient, Step, wait_until};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GOOD: &str = "GET /good HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_chunked_body_arrives_whole_wherever_the_bytes_are_cut() {
    let origin = Origin::answering(OK);
    let weir = one_service(origin.addr(), PLAIN, "");
    let head =
        "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\nTrailer: x-sum\r\n\r\n";
    let body = "5;ext=\"a;\\\"b\"\r\nhello\r\n00006\r\n world\r\n0;last\r\nX-Sum: 1\r\nTE: no\r\nContent-Type: no\r\n\r\n";
    let bytes = format!("{head}{body}");
    let mut client = weir.client("web");
    for cut in head.len()..bytes.len() {
        let seen = origin.received(0).len();
        assert_eq!(
            client.send_split(&bytes, cut).response().text(),
            "ok",
            "cut at {cut}"
        );
        let got = origin.received(0)[seen..].to_vec();
        let got = String::from_utf8(got).expect("text");
        let (head, body) = got.split_once("\r\n\r\n").expect("a head");
        assert_eq!(
            head, "POST /c HTTP/1.1\r\nHost: a\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked",
            "cut at {cut}"
        );
        assert!(
            body.ends_with("0\r\nX-Sum: 1\r\n\r\n"),
            "cut at {cut}: {body:?}"
        );
        assert_eq!(dechunk(body), "hello world", "cut at {cut}");
        assert!(
            !body.contains("ext") && !body.contains("last"),
            "extensions end here: {body:?}"
        );
    }
}

/// The content of a chunked body that Weir wrote: plain sizes, no extensions.
fn dechunk(mut body: &str) -> String {
    let mut content = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n").expect("a size");
        let size = usize::from_str_radix(size, 16).expect("hexadecimal");
        if size == 0 {
            return content;
        }
        content.push_str(&rest[..size]);
        body = rest[size..]
            .strip_prefix("\r\n")
            .expect("the end of a chunk");
    }
}

#[test]
fn a_broken_chunked_body_is_refused_and_never_completed() {
    let long_extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(300));
    let long_trailer = format!("0\r\nX: {}\r\n\r\n", "y".repeat(70_000));
    let many_trailers = format!("0\r\n{}\r\n", "X: y\r\n".repeat(2000));
    #[rustfmt::skip] // One case a line.
    let cases: &[(&str, &str, &str)] = &[
        ("size not hexadecimal", "g\r\nhello\r\n0\r\n\r\n", "chunk_size"),
        ("size empty", "\r\nhello\r\n0\r\n\r\n", "chunk_size"),
        ("size with 0x", "0x5\r\nhello\r\n0\r\n\r\n", "chunk_size"),
        ("size negative", "-5\r\nhello\r\n0\r\n\r\n", "chunk_size"),
        ("size with plus", "+5\r\nhello\r\n0\r\n\r\n", "chunk_size"),
        ("space before size", " 5\r\nhello\r\n0\r\n\r\n", "chunk_size"),
        ("space after size", "5 \r\nhello\r\n0\r\n\r\n", "chunk_size"),
        ("size of 17 digits", "00000000000000005\r\nhello\r\n0\r\n\r\n", "chunk_size_too_long"),
        ("bare LF after size", "5\nhello\r\n0\r\n\r\n", "chunk_size"),
        ("bare CR after size", "5\rhello\r\n0\r\n\r\n", "chunk_line_end"),
        ("no CRLF after data", "5\r\nhello0\r\n\r\n", "chunk_data_end"),
        ("more data than the size", "5\r\nhello!\r\n0\r\n\r\n", "chunk_data_end"),
        ("bare LF after data", "5\r\nhello\n0\r\n\r\n", "chunk_data_end"),
        ("bare CR after data", "5\r\nhello\r0\r\n\r\n", "chunk_data_end"),
        ("extension without name", "5;\r\nhello\r\n0\r\n\r\n", "chunk_extension"),
        ("extension with bare LF", "5;a\nb\r\nhello\r\n0\r\n\r\n", "chunk_extension"),
        ("extension with control byte", "5;a=\"\u{1}\"\r\nhello\r\n0\r\n\r\n", "chunk_extension"),
        ("extension too long", &long_extension, "chunk_extension_too_long"),
        ("bare LF after last chunk", "5\r\nhello\r\n0\n\n", "chunk_size"),
        ("bare LF ends trailers", "5\r\nhello\r\n0\r\n\n", "invalid_trailer"),
        ("trailer Content-Length", "5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n", "forbidden_trailer"),
        ("trailer Transfer-Encoding", "5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n", "forbidden_trailer"),
        ("trailer Host", "5\r\nhello\r\n0\r\nHost: b\r\n\r\n", "forbidden_trailer"),
        ("trailer folded", "5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n", "invalid_trailer"),
        ("trailer without colon", "5\r\nhello\r\n0\r\nX\r\n\r\n", "invalid_trailer"),
        ("trailer with NUL", "5\r\nhello\r\n0\r\nX: \0\r\n\r\n", "invalid_trailer"),
        ("trailer with space before colon", "5\r\nhello\r\n0\r\nX : y\r\n\r\n", "invalid_trailer"),
        ("trailer too long", &long_trailer, "invalid_trailer"),
        ("too many trailers", &many_trailers, "invalid_trailer"),
    ];
    let origin = Origin::script([Step::ReadHead, Step::ReadToEnd]);
    let weir = one_service(origin.addr(), PLAIN, "");
    for (number, (name, body, rule)) in cases.iter().enumerate() {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let response = reject(&weir, format!("{head}{body}{GOOD}").as_bytes());
        assert_problem(name, &response, 400);
        assert_eq!(response.header("connection"), Some("close"), "{name}");
        let line = weir.wait_log(name, |line| line["rule"] == *rule);
        assert_eq!(line["reason"], "body_broken", "{name}: {line}");
        // What the endpoint got, if anything, is no complete request, and nothing follows it.
        if origin.connections() > number {
            let _ = origin.wait_end(number);
            let got = origin.received_text(number);
            assert!(
                !got.contains("0\r\n\r\n") && !got.contains("/good"),
                "{name}: {got:?}"
            );
        }
    }
}

#[test]
fn sizes_are_bounded() {
    let origin = Origin::answering(OK);
    let options = format!(
        "{PLAIN}, max_head: 4KiB, max_field: 2KiB, max_target: 1KiB, max_fields: 20, max_body: 1KiB"
    );
    let weir = one_service(origin.addr(), &options, "");
    let get =
        |target: &str, fields: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let (most_target, most_field) = (
        format!("/{}", "t".repeat(1023)),
        format!("X: {}\r\n", "v".repeat(2045)),
    );
    let fields = |count: usize| {
        (1..count)
            .map(|n| format!("X{n}: y\r\n"))
            .collect::<String>()
    };
    #[rustfmt::skip] // One case a line.
    let cases = [
        ("longest target", get(&most_target, "")),
        ("longest field", get("/", &most_field)),
        ("most fields", get("/", &fields(20))),
        ("largest body", format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1024\r\n\r\n{}", "b".repeat(1024))),
        ("largest chunked body", format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n{}\r\n0\r\n\r\n", "b".repeat(1024))),
    ];
    for (name, request) in cases {
        assert_eq!(
            RawClient::exchange(weir.addr("web"), request).status,
            200,
            "{name}"
        );
    }
    let seen = origin.received_anywhere().len();

    let endless = |start: &str| format!("{start}{}", "x".repeat(100_000));
    #[rustfmt::skip] // One case a line.
    let cases = [
        ("target too long", get(&format!("{most_target}t"), ""), 414, "target_too_long"),
        ("target without end", endless("GET /"), 414, "target_too_long"),
        ("field too long", get("/", &format!("XY{most_field}")), 431, "head_too_large"),
        ("field without end", endless("GET / HTTP/1.1\r\nHost: a\r\nX: "), 431, "head_too_large"),
        ("name without end", endless("GET / HTTP/1.1\r\nHost: a\r\n"), 431, "head_too_large"),
        ("too many fields", get("/", &fields(21)), 431, "head_too_large"),
        ("head too large", get("/", &most_field.repeat(2)), 431, "head_too_large"),
        ("body too large", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1025\r\n\r\n".to_owned(), 413, "body_too_large"),
        ("body far too large", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\n".to_owned(), 413, "body_too_large"),
    ];
    for (name, request, status, _) in &cases {
        let response = reject(&weir, request.as_bytes());
        assert_problem(name, &response, *status);
        assert_eq!(response.header("connection"), Some("close"), "{name}");
    }
    wait_until("the log lines", || {
        weir.access_log().len() >= 5 + cases.len()
    });
    for ((name, _, _, reason), line) in cases.iter().zip(&weir.access_log()[5..]) {
        assert_eq!(line["reason"], *reason, "{name}: {line}");
    }
    assert_eq!(
        origin.received_anywhere().len(),
        seen,
        "nothing of it reached the endpoint"
    );

    // A chunked body shows its size only on the way.
    let chunked = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n401\r\n{}\r\n0\r\n\r\n",
        "b".repeat(1025)
    );
    let connections = origin.connections();
    let response = reject(&weir, chunked.as_bytes());
    assert_problem("chunked body too large", &response, 413);
    if origin.connections() > connections {
        let _ = origin.wait_end(connections);
    }
    assert!(
        !text(&origin.received_anywhere()[seen..]).contains(r"0\r\n\r\n"),
        "it was never completed"
    );
}

#[test]
fn whoever_is_refused_can_read_why_while_still_sending() {
    let origin = Origin::answering(OK);
    let weir = one_service(origin.addr(), &format!("{PLAIN}, max_body: 1KiB"), "");
    #[rustfmt::skip] // One case a line.
    let cases = [
        ("a body too large", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 800000\r\n\r\n", 413),
        ("a bad head", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +800000\r\n\r\n", 400),
        ("no route takes CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 501),
    ];
    for (name, head, status) in cases {
        let mut stream = TcpStream::connect(weir.addr("web")).expect("connect");
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("a timeout");
        stream
            .write_all(head.as_bytes())
            .expect("the head goes out");
        // The client reads nothing until it has sent all: a reset in between would cost it the answer.
        for _ in 0..80 {
            stream
                .write_all(&[b'b'; 10_000])
                .unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        stream.shutdown(Shutdown::Write).expect("half-close");
        let mut answer = Vec::new();
        stream
            .read_to_end(&mut answer)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let answer = String::from_utf8(answer).expect("text");
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{name}: {answer}"
        );
        assert!(answer.ends_with("}\n"), "{name}: {answer}");
    }
    // Who never stops is cut off, but has the answer by then.
    let mut stream = TcpStream::connect(weir.addr("web")).expect("connect");
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900000000\r\n\r\n")
        .expect("the head goes out");
    let sent = (0..900)
        .take_while(|_| stream.write_all(&[b'b'; 1_000_000]).is_ok())
        .count();
    assert!(sent < 100, "{sent} MB were taken for nothing");
    let mut start = [0; 13];
    stream.read_exact(&mut start).expect("the answer");
    assert_eq!(&start, b"HTTP/1.1 413 ");
    assert_eq!(origin.connections(), 0);
}

#[test]
fn patience_with_clients_ends() {
    let origin = Origin::answering(OK);
    let weir = one_service(
        origin.addr(),
        &format!(
            "{PLAIN}, first_byte_timeout: 500ms, head_timeout: 500ms, idle_timeout: 500ms, body_timeout: 500ms"
        ),
        "",
    );
    // A connection without a byte, and one that idles, end in silence.
    weir.client("web").expect_close();
    let mut client = weir.client("web");
    assert_eq!(client.send(GOOD).response().text(), "ok");
    client.expect_close();

    // A head that does not end is told; a byte now and then does not help.
    let mut client = weir.client("web");
    let begun = Instant::now();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX: ");
    client.timeout(Duration::from_millis(50));
    let response = loop {
        client.send("x");
        match client.try_response() {
            Ok(response) => break response,
            Err(e)
                if e.kind() == std::io::ErrorKind::TimedOut
                    && begun.elapsed() < Duration::from_secs(5) => {}
            Err(e) => panic!("{e}"),
        }
    };
    assert_problem("slow head", &response, 408);
    assert!(
        begun.elapsed() >= Duration::from_millis(500),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(
        weir.wait_log("slow head", |line| line["status"] == 408)["reason"],
        "head_timeout"
    );

    // A body that stops is told as well.
    let response = reject(
        &weir,
        b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe",
    );
    assert_problem("slow body", &response, 408);
    let line = weir.wait_log("slow body", |line| line["target"] == "/body");
    assert_eq!(line["reason"], "body_timeout", "{line}");
}
