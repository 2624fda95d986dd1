//! Endpoints that break the rules, byte by byte: no client takes a broken answer for a whole one, and what one
//! connection said wrongly is never seen by the next request.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use common::{PLAIN, assert_problem, get, in_front_of, line_of, lines, one_service, start, text};
use weir_testkit::{Origin, RawClient, Step, boundaries, send, wait_until};

#[test]
fn a_broken_head_is_a_bad_gateway() {
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(600));
    let large = format!(
        "HTTP/1.1 200 OK\r\n{}\r\n",
        format!("X: {}\r\n", "y".repeat(1000)).repeat(300)
    );
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(70_000));
    let reason = format!("HTTP/1.1 200 {}\r\n\r\n", "y".repeat(70_000));
    let storm = "HTTP/1.1 102 Processing\r\n\r\n".repeat(100);
    #[rustfmt::skip] // One case a line.
    let cases: &[(&str, &str, &str)] = &[
        ("another protocol", "SSH-2.0-OpenSSH_9.2\r\n", "invalid_status_line"),
        ("frames of HTTP/2", "\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64\0\x04\0", "invalid_status_line"),
        ("HTTP/0.9", "<html>hello</html>", "invalid_status_line"),
        ("ICY", "ICY 200 OK\r\nContent-Length: 0\r\n\r\n", "invalid_status_line"),
        ("empty line first", "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "invalid_status_line"),
        ("version 2", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", "unsupported_version"),
        ("version in lower case", "http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "invalid_status_line"),
        ("version cut short", "HTTP/1 200 OK\r\nContent-Length: 0\r\n\r\n", "invalid_version"),
        ("two spaces", "HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n", "invalid_status_line"),
        ("status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", "invalid_status_line"),
        ("status of four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", "invalid_status_line"),
        ("status below 100", "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", "invalid_status_line"),
        ("status with a letter", "HTTP/1.1 2oo OK\r\nContent-Length: 0\r\n\r\n", "invalid_status_line"),
        ("control byte in the reason", "HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n", "invalid_status_line"),
        ("bare CR in the reason", "HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n", "bare_cr"),
        ("bare LF after the status line", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", "bare_lf"),
        ("bare LF after a field", "HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n", "bare_lf"),
        ("bare LF as the empty line", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n", "bare_lf"),
        ("bare CR in a value", "HTTP/1.1 200 OK\r\nX: y\rz\r\nContent-Length: 0\r\n\r\n", "bare_cr"),
        ("folded", "HTTP/1.1 200 OK\r\nX: y\r\n z\r\nContent-Length: 0\r\n\r\n", "obs_fold"),
        ("space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n", "space_before_colon"),
        ("no colon", "HTTP/1.1 200 OK\r\nX\r\nContent-Length: 0\r\n\r\n", "field_without_colon"),
        ("NUL in a value", "HTTP/1.1 200 OK\r\nX: \0\r\nContent-Length: 0\r\n\r\n", "invalid_field_value"),
        ("NUL in a name", "HTTP/1.1 200 OK\r\nX\0: y\r\nContent-Length: 0\r\n\r\n", "invalid_field_name"),
        ("length and coding", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "content_length_with_transfer_encoding"),
        ("coding and length", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n", "content_length_with_transfer_encoding"),
        ("coding on HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "transfer_encoding_in_http10"),
        ("coding gzip, chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "unknown_transfer_coding"),
        ("coding gzip", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok", "unknown_transfer_coding"),
        ("coding not final", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\nok", "invalid_transfer_encoding"),
        ("coding twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "duplicate_transfer_encoding"),
        ("length twice, equal", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", "duplicate_content_length"),
        ("length twice, different", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 9\r\n\r\nok", "duplicate_content_length"),
        ("length list", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", "invalid_content_length"),
        ("length with plus", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", "invalid_content_length"),
        ("length negative", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nok", "invalid_content_length"),
        ("length above 2^64", "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\nok", "invalid_content_length"),
        ("Connection names Content-Length", "HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 2\r\n\r\nok", "connection_nominates_framing"),
        ("too many fields", &many, "too_many_fields"),
        ("head too large", &large, "head_too_large"),
        ("field too long", &long, "field_too_long"),
        ("status line too long", &reason, "field_too_long"),
        ("101 that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "unexpected_interim"),
        ("1xx without end", &storm, "unexpected_interim"),
        ("1xx, then a broken head", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\nX: y\r\n\r\n", "bare_lf"),
    ];
    let origins: Vec<Origin> = cases
        .iter()
        .map(|case| Origin::script([Step::ReadRequest, send(case.1), Step::Hold]))
        .collect();
    let weir = in_front_of(&origins, "");
    let mut client = weir.client("web");
    for (number, (name, _, _)) in cases.iter().enumerate() {
        let response = client.send(get(number)).response();
        assert_problem(name, &response, 502);
        if !response.keeps_alive() {
            client.expect_close();
            client = weir.client("web");
        }
    }
    for (number, ((name, _, rule), line)) in cases.iter().zip(lines(&weir, cases.len())).enumerate()
    {
        assert_eq!(line["reason"], "upstream_bad_response", "{name}: {line}");
        assert_eq!(line["rule"], *rule, "{name}: {line}");
        let _ = origins[number].wait_end(0);
        assert_eq!(
            origins[number].connections(),
            1,
            "{name}: an answer is never asked for twice"
        );
    }
}

#[test]
fn broken_heads_are_refused_wherever_the_bytes_are_cut() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: y\rz\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n",
        "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n",
    ] {
        let scripts = boundaries(head.as_bytes())
            .map(|cut| {
                vec![
                    Step::ReadRequest,
                    Step::SendSplit(head.into(), cut),
                    Step::Hold,
                ]
            })
            .collect();
        let origin = Origin::scripts(scripts);
        let weir = one_service(origin.addr(), PLAIN, "");
        for cut in boundaries(head.as_bytes()) {
            let response = RawClient::exchange(weir.addr("web"), get("x"));
            assert_problem(
                &format!("{} cut at {cut}", text(head.as_bytes())),
                &response,
                502,
            );
        }
    }
}

#[test]
fn a_valid_answer_is_forwarded_alike_wherever_the_bytes_are_cut() {
    #[rustfmt::skip] // One case a line.
    let cases = [
        ("length", "HTTP/1.1 200 OK\r\nX:  y \r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello", "hello", None),
        ("chunked", "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n2;a=\"b\"\r\nhe\r\n0003\r\nllo\r\n0\r\nX-T: 1\r\n\r\n", "hello", Some("1")),
        ("until close", "HTTP/1.0 200 OK\r\nX: y\r\n\r\nhello", "hello", None),
        ("interim", "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nX: y\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", "hello", None),
        ("no content", "HTTP/1.1 204 No Content\r\nX: y\r\nConnection: close\r\n\r\n", "", None),
        ("no second space", "HTTP/1.1 200\r\nX: y\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", "", None),
    ];
    for (name, answer, body, trailer) in cases {
        let scripts = boundaries(answer.as_bytes())
            .map(|cut| vec![Step::ReadRequest, Step::SendSplit(answer.into(), cut)])
            .collect();
        let origin = Origin::scripts(scripts);
        let weir = one_service(origin.addr(), PLAIN, "");
        let mut client = weir.client("web");
        for cut in boundaries(answer.as_bytes()) {
            let response = client.send(get("x")).response();
            assert_eq!(response.text(), body, "{name} cut at {cut}");
            assert_eq!(response.header("x"), Some("y"), "{name} cut at {cut}");
            assert_eq!(
                response.trailers.first("x-t"),
                trailer,
                "{name} cut at {cut}"
            );
            assert_eq!(
                response.header("connection"),
                None,
                "{name}: the client's connection goes on"
            );
            let interim: Vec<u16> = response.interim.iter().map(|interim| interim.0).collect();
            assert_eq!(
                interim,
                if name == "interim" {
                    vec![103, 102]
                } else {
                    vec![]
                },
                "{name} cut at {cut}"
            );
        }
        assert_eq!(origin.connections(), answer.len() - 1, "{name}");
    }
}

/// How an endpoint ends a connection.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Close,
    Reset,
}

#[test]
fn a_broken_body_is_never_taken_for_a_whole_one() {
    use Ending::{Close, Reset};
    let chunked =
        |body: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    #[rustfmt::skip] // One case a line.
    let cases: Vec<(&str, String, Ending, &str)> = vec![
        ("length, too short", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello".into(), Close, "upstream_truncated"),
        ("length, nothing", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n".into(), Close, "upstream_truncated"),
        ("length, too short, large", format!("HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n{}", "x".repeat(700_000)), Close, "upstream_truncated"),
        ("length, reset", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello".into(), Reset, "upstream_truncated"),
        ("until close, reset", "HTTP/1.1 200 OK\r\n\r\nhello".into(), Reset, "upstream_truncated"),
        ("chunked, nothing", chunked(""), Close, "upstream_truncated"),
        ("chunked, in the size", chunked("5"), Close, "upstream_truncated"),
        ("chunked, in the data", chunked("5\r\nhel"), Close, "upstream_truncated"),
        ("chunked, after the data", chunked("5\r\nhello"), Close, "upstream_truncated"),
        ("chunked, between chunks", chunked("5\r\nhello\r\n"), Close, "upstream_truncated"),
        ("chunked, after the last size", chunked("5\r\nhello\r\n0\r\n"), Close, "upstream_truncated"),
        ("chunked, in a trailer", chunked("5\r\nhello\r\n0\r\nX: y\r\n"), Close, "upstream_truncated"),
        ("chunked, reset", chunked("5\r\nhello\r\n0\r\n"), Reset, "upstream_truncated"),
        ("chunk size broken", chunked("5\r\nhello\r\nzz\r\n\r\n"), Close, "upstream_bad_response"),
        ("chunk size with bare LF", chunked("5\r\nhello\r\n0\n\n"), Close, "upstream_bad_response"),
        ("chunk size beyond 2^64", chunked("5\r\nhello\r\nffffffffffffffff0\r\n"), Close, "upstream_bad_response"),
        ("chunk without its end", chunked("5\r\nhello0\r\n\r\n"), Close, "upstream_bad_response"),
        ("chunk with too much data", chunked("5\r\nhello!\r\n0\r\n\r\n"), Close, "upstream_bad_response"),
        ("chunk extension too long", chunked(&format!("5\r\nhello\r\n0;{}\r\n\r\n", "x".repeat(300))), Close, "upstream_bad_response"),
        ("trailer Content-Length", chunked("5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n"), Close, "upstream_bad_response"),
        ("trailer folded", chunked("5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n"), Close, "upstream_bad_response"),
    ];
    let origins: Vec<Origin> = cases
        .iter()
        .map(|(_, answer, ending, _)| {
            let end = match ending {
                Close => vec![],
                // A reset overtakes bytes that nobody has read yet.
                Reset => vec![Step::Wait(Duration::from_millis(50)), Step::Reset],
            };
            Origin::script([vec![Step::ReadRequest, send(answer)], end].concat())
        })
        .collect();
    let weir = in_front_of(&origins, "");
    for (number, (name, answer, ending, _)) in cases.iter().enumerate() {
        let target = format!("/{number}");
        let mut client = weir.client("web");
        let error = client.send(get(number)).try_response().expect_err(name);
        assert!(
            matches!(
                error.kind(),
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
            ),
            "{name}: {error}"
        );

        // To HTTP/1.0 the end of the connection is the end of the body, unless it is a reset.
        let stream = TcpStream::connect(weir.addr("web")).expect("connect");
        let error = read_all_http10(&stream, &target).expect_err(name);
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{name}");

        // And nothing is left for the next request: it meets a new connection.
        assert_eq!(
            origins[number].connections(),
            2,
            "{name} {ending:?} {}",
            answer.len()
        );
    }
    // Two requests a case.
    for (number, line) in lines(&weir, 2 * cases.len()).iter().enumerate() {
        let (name, _, _, reason) = &cases[number / 2];
        assert_eq!(line["reason"], *reason, "{name}: {line}");
        assert_eq!(
            line["status"], 200,
            "{name}: it was sent before the body broke"
        );
    }
}

fn read_all_http10(mut stream: &TcpStream, target: &str) -> std::io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(format!("GET {target} HTTP/1.0\r\nHost: a\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

#[test]
fn a_connection_that_ends_before_its_answer_is_a_bad_gateway() {
    #[rustfmt::skip] // One case a line.
    let cases: Vec<(&str, Vec<Step>, &str)> = vec![
        ("closed at once", vec![Step::ReadRequest], "upstream_closed"),
        ("reset at once", vec![Step::ReadRequest, Step::Reset], "upstream_reset"),
        ("closed in the head", vec![Step::ReadRequest, send("HTTP/1.1 200 OK\r\nContent-Le")], "upstream_closed"),
        ("reset in the head", vec![Step::ReadRequest, send("HTTP/1.1 200 OK\r\n"), Step::Wait(Duration::from_millis(20)), Step::Reset], "upstream_reset"),
        ("closed after 100", vec![Step::ReadRequest, send("HTTP/1.1 100 Continue\r\n\r\n")], "upstream_closed"),
    ];
    let origins: Vec<Origin> = cases
        .iter()
        .map(|case| Origin::script(case.1.clone()))
        .collect();
    let weir = in_front_of(&origins, "");
    let mut client = weir.client("web");
    for (number, (name, _, reason)) in cases.iter().enumerate() {
        let response = client.send(get(number)).response();
        assert_problem(name, &response, 502);
        assert!(
            response.keeps_alive(),
            "{name}: the client did nothing wrong"
        );
        assert_eq!(
            line_of(&weir, &format!("/{number}"))["reason"],
            *reason,
            "{name}"
        );
        assert_eq!(
            origins[number].connections(),
            1,
            "{name}: there is no other endpoint to try"
        );
    }
}

#[test]
fn an_answer_may_come_before_the_request_is_complete() {
    let answer = "HTTP/1.1 422 Too Early To Tell\r\nContent-Length: 2\r\n\r\nno";
    let origins = vec![
        // It goes on listening,
        Origin::script([Step::ReadHead, send(answer), Step::Hold]),
        // closes with bytes unread, which resets the connection,
        Origin::script([Step::ReadHead, send(answer)]),
        // or answers in two parts, with the rest of the request in between.
        Origin::script([
            Step::ReadHead,
            send(&answer[..answer.len() - 1]),
            Step::ReadUntil(b"end".to_vec()),
            send("o"),
            Step::Hold,
        ]),
    ];
    let weir = in_front_of(&origins, "");
    for number in 0..2 {
        let mut client = weir.client("web");
        client.send(format!(
            "POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\nsome"
        ));
        let response = client.response();
        assert_eq!(
            (response.status, response.text().as_str()),
            (422, "no"),
            "{number}"
        );
        assert_eq!(
            response.header("connection"),
            Some("close"),
            "{number}: the rest of the body is in the way"
        );
        client.send("x".repeat(400_000)).expect_close();
    }
    let mut client = weir.client("web");
    client.send("POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n");
    client.read_until(b"\r\n\r\nn");
    client.send("3\r\nend\r\n0\r\n\r\n");
    assert_eq!(client.read_exactly(1), b"o");
    client.expect_close();
    assert!(
        origins[2].received_text(0).contains("end"),
        "both directions moved at once"
    );

    // The client sends all it has, and reads only then: the answer has waited for it.
    let mut client = weir.client("web");
    client.send(format!(
        "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n{}",
        "x".repeat(500_000)
    ));
    assert_eq!(client.response().status, 422);
}

#[test]
fn patience_with_endpoints_ends() {
    let dribble = Step::SendBytewise(
        format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(400)).into(),
        Duration::from_millis(10),
    );
    let stalls = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
    let slowly = [
        send("HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n"),
        Step::SendBytewise(vec![b'x'; 400], Duration::from_millis(10)),
        Step::Hold,
    ];
    let origins = vec![
        Origin::script([Step::ReadRequest, Step::Hold]),
        Origin::script([Step::ReadRequest, dribble, Step::Hold]),
        Origin::script([Step::ReadRequest, send(stalls), Step::Hold]),
        Origin::script([vec![Step::ReadRequest], slowly.to_vec()].concat()),
    ];
    let weir = in_front_of(
        &origins,
        "timeout: { first_byte: 300ms, idle: 1s, total: 2s }",
    );
    for (number, name, reason) in [
        (0, "silence", "first_byte_timeout"),
        (1, "a head without end", "first_byte_timeout"),
    ] {
        let begun = Instant::now();
        let mut client = weir.client("web");
        let response = client.send(get(number)).response();
        assert_problem(name, &response, 504);
        assert!(begun.elapsed() >= Duration::from_millis(300), "{name}");
        assert!(response.keeps_alive(), "{name}");
        assert_eq!(
            line_of(&weir, &format!("/{number}"))["reason"],
            reason,
            "{name}"
        );
        let _ = origins[number].wait_end(0);
    }
    for (number, name, reason) in [
        (2, "a body that stalls", "idle_timeout"),
        (3, "a body that takes too long", "total_timeout"),
    ] {
        let error = weir
            .client("web")
            .send(get(number))
            .try_response()
            .expect_err(name);
        assert!(
            matches!(
                error.kind(),
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
            ),
            "{name}: {error}"
        );
        assert_eq!(
            line_of(&weir, &format!("/{number}"))["reason"],
            reason,
            "{name}"
        );
    }
}

#[test]
fn the_whole_exchange_has_a_bound() {
    let origin = Origin::script([Step::ReadRequest, Step::Hold]);
    let weir = in_front_of(std::slice::from_ref(&origin), "timeout: 300ms");
    assert_problem("total", &RawClient::exchange(weir.addr("web"), get(0)), 504);
    assert_eq!(line_of(&weir, "/0")["reason"], "total_timeout");
}

#[test]
fn an_endpoint_that_cannot_be_reached_has_its_statuses() {
    let closed = weir_testkit::free_addr();
    let (full, _held) = full_backlog();
    let weir = start(&format!(
        "
workers: 1
listeners: {{ web: '@web@' }}
routes:
- {{ path: /closed, service: closed }}
- {{ path: /full, service: full, timeout: {{ connect: 300ms }} }}
- {{ path: /none, service: none }}
services:
  closed: ['{closed}']
  full: ['{full}']
  none: {{ endpoints: [ {{ dns: 'no-such-name.invalid:80' }} ] }}
"
    ));
    let mut client = weir.client("web");
    let mut ask = |path: &str| client.send(get(path)).response();
    assert_problem("refused", &ask("closed"), 502);
    assert_eq!(line_of(&weir, "/closed")["reason"], "connect_refused");
    assert_problem("no answer", &ask("full"), 504);
    assert_eq!(line_of(&weir, "/full")["reason"], "connect_timeout");
    let response = ask("none");
    assert_problem("a name without addresses", &response, 503);
    assert!(response.header("retry-after").is_some(), "{response:?}");
    assert_eq!(line_of(&weir, "/none")["reason"], "no_endpoint");
}

#[test]
fn a_client_that_is_reset_while_weir_connects_is_noticed() {
    let (full, _held) = full_backlog();
    let weir = one_service(full, "", "timeout: { connect: 1h, total: 2h }");
    for body in ["", "Content-Length: 9\r\n"] {
        let mut client = weir.client("web");
        client.send(format!(
            "POST /connecting HTTP/1.1\r\nHost: a\r\n{body}\r\n"
        ));
        wait_until("the request", || {
            weir.admin("/status").json()["services"][0]["endpoints"][0]["active"] == 1
        });
        let before = weir.access_log().len();
        client.reset();
        wait_until("the line", || weir.access_log().len() > before);
        let line = weir.access_log().pop().expect("a line");
        assert_eq!(
            (&line["reason"], &line["status"]),
            (&"client_gone".into(), &499.into()),
            "{line}"
        );
    }
}

/// A listener whose queue of connections is full, so that the kernel answers no further one.
fn full_backlog() -> (SocketAddr, Vec<Box<dyn std::any::Any>>) {
    use rustix::net::{AddressFamily, SocketType, bind, connect, listen, socket};
    let addr = weir_testkit::free_addr();
    let listener = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&listener, &addr).expect("a free address");
    listen(&listener, 0).expect("listening");
    let mut held: Vec<Box<dyn std::any::Any>> = vec![Box::new(listener)];
    for _ in 0..4 {
        let client = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        rustix::io::ioctl_fionbio(&client, true).expect("non-blocking");
        let _ = connect(&client, &addr);
        held.push(Box::new(client));
    }
    (addr, held)
}
