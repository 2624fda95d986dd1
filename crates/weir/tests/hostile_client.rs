//! Clients that break the rules, byte by byte: each rule has its case, what is refused never reaches the endpoint, and
//! whoever sent it can read why.

mod common;

use common::{PLAIN, assert_problem, one_service, reject, start};
use weir_testkit::{Origin, RawClient, boundaries, wait_until};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GOOD: &str = "GET /good HTTP/1.1\r\nHost: a\r\n\r\n";

/// A case's name, what the client sends, and the status and rule that it meets.
type Case = (&'static str, &'static [u8], u16, &'static str);

#[rustfmt::skip] // One case a line.
const FRAMING: &[Case] = &[
    ("length and coding", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "content_length_with_transfer_encoding"),
    ("coding and length", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", 400, "content_length_with_transfer_encoding"),
    ("length zero and coding", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "content_length_with_transfer_encoding"),
    ("coding on HTTP/1.0", b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "transfer_encoding_in_http10"),
    ("coding twice", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "duplicate_transfer_encoding"),
    ("coding twice in a list", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400, "invalid_transfer_encoding"),
    ("coding not final", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400, "invalid_transfer_encoding"),
    ("coding empty", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", 400, "invalid_transfer_encoding"),
    ("coding with parameter", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 400, "invalid_transfer_encoding"),
    ("coding quoted", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 400, "invalid_transfer_encoding"),
    ("coding after a comma", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: , chunked\r\n\r\n0\r\n\r\n", 400, "invalid_transfer_encoding"),
    ("coding identity", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 501, "unknown_transfer_coding"),
    ("coding xchunked", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501, "unknown_transfer_coding"),
    ("coding gzip, chunked", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, "unknown_transfer_coding"),
    ("coding after a vertical tab", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400, "invalid_field_value"),
    ("coding before a NUL", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n", 400, "invalid_field_value"),
    ("coding before a bare CR", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\rX: y\r\n\r\n0\r\n\r\n", 400, "bare_cr"),
    ("coding folded", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400, "invalid_transfer_encoding"),
    ("coding, space before colon", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400, "space_before_colon"),
    ("coding, tab before colon", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", 400, "space_before_colon"),
    ("length twice, equal", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab", 400, "duplicate_content_length"),
    ("length twice, different", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nab", 400, "duplicate_content_length"),
    ("length list", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2, 2\r\n\r\nab", 400, "invalid_content_length"),
    ("length with plus", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\nab", 400, "invalid_content_length"),
    ("length negative", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -2\r\n\r\nab", 400, "invalid_content_length"),
    ("length hexadecimal", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x2\r\n\r\nab", 400, "invalid_content_length"),
    ("length with inner space", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2 2\r\n\r\nab", 400, "invalid_content_length"),
    ("length empty", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nab", 400, "invalid_content_length"),
    ("length with exponent", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2e0\r\n\r\nab", 400, "invalid_content_length"),
    ("length with leading zero", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 02\r\n\r\nab", 400, "invalid_content_length"),
    ("length with underscore", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1_0\r\n\r\nab", 400, "invalid_content_length"),
    ("length above 2^64", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\nab", 400, "invalid_content_length"),
    ("length with vertical tab", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\x0b\r\n\r\nab", 400, "invalid_field_value"),
    ("Connection names Content-Length", b"POST / HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\nContent-Length: 2\r\n\r\nab", 400, "connection_nominates_framing"),
    ("Connection names Host", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, Host\r\n\r\n", 400, "connection_nominates_framing"),
    ("Connection is no list of tokens", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: a b\r\n\r\n", 400, "invalid_connection"),
    ("CONNECT with content", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nContent-Length: 2\r\n\r\nab", 400, "connect_with_body"),
];

#[rustfmt::skip] // One case a line.
const LINES: &[Case] = &[
    ("bare LF after the request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400, "bare_lf"),
    ("bare LF after a field", b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400, "bare_lf"),
    ("bare LF as the empty line", b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400, "bare_lf"),
    ("bare LF everywhere", b"GET / HTTP/1.1\nHost: a\n\n", 400, "bare_lf"),
    ("bare LF first", b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bare_lf"),
    ("bare CR in the request line", b"GET /\rx HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bare_cr"),
    ("bare CR in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: y\rz\r\n\r\n", 400, "bare_cr"),
    ("bare CR in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX\rY: z\r\n\r\n", 400, "bare_cr"),
    ("bare CR as the empty line", b"GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n", 400, "bare_cr"),
    ("CR CR LF", b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\r\n\r\n", 400, "bare_cr"),
    ("two empty lines first", b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "leading_empty_line"),
    ("folded with space", b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", 400, "obs_fold"),
    ("folded with tab", b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\tz\r\n\r\n", 400, "obs_fold"),
    ("space before the first field", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, "obs_fold"),
    ("space before the colon", b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", 400, "space_before_colon"),
    ("space in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n", 400, "invalid_field_name"),
    ("NUL in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX\0: y\r\n\r\n", 400, "invalid_field_name"),
    ("8-bit byte in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX\xc3\xa9: y\r\n\r\n", 400, "invalid_field_name"),
    ("empty name", b"GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n", 400, "empty_field_name"),
    ("no colon", b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400, "field_without_colon"),
    ("NUL in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: y\0z\r\n\r\n", 400, "invalid_field_value"),
    ("control byte in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: y\x1bz\r\n\r\n", 400, "invalid_field_value"),
    ("DEL in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: y\x7fz\r\n\r\n", 400, "invalid_field_value"),
    ("NUL first", b"\0GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "invalid_method"),
    ("space first", b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "invalid_method"),
    ("method with a bad byte", b"G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "invalid_method"),
    ("tab after the method", b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "invalid_method"),
    ("two spaces after the method", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "invalid_request_line"),
    ("two spaces after the target", b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400, "invalid_version"),
    ("space after the version", b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400, "invalid_version"),
    ("space in the target", b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "invalid_version"),
    ("HTTP/0.9", b"GET /\r\n", 400, "invalid_request_line"),
    ("no version", b"GET /\r\nHost: a\r\n\r\n", 400, "invalid_request_line"),
    ("only a method", b"GET\r\n\r\n", 400, "invalid_request_line"),
    ("version in lower case", b"GET / http/1.1\r\nHost: a\r\n\r\n", 400, "invalid_version"),
    ("version with two digits", b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400, "invalid_version"),
    ("version without point", b"GET / HTTP/11\r\nHost: a\r\n\r\n", 400, "invalid_version"),
    ("version 1.2", b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505, "unsupported_version"),
    ("version 2.0", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "unsupported_version"),
    ("preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", 505, "unsupported_version"),
    ("TLS ClientHello", b"\x16\x03\x01\x00\xf4\x01\x00\x00\xf0\x03\x03abcdefghijklmnopqrstuvwxyz012345", 400, "invalid_method"),
    ("a long method", b"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWXYZ / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "method_too_long"),
    ("unknown expectation", b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nContent-Length: 2\r\n\r\nab", 417, "unknown_expectation"),
    ("expectation list", b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, x\r\nContent-Length: 2\r\n\r\nab", 417, "unknown_expectation"),
];

#[rustfmt::skip] // One case a line.
const TARGETS: &[Case] = &[
    ("Host missing", b"GET / HTTP/1.1\r\nX: y\r\n\r\n", 400, "missing_host"),
    ("Host missing, absolute form", b"GET http://a/ HTTP/1.1\r\nX: y\r\n\r\n", 400, "missing_host"),
    ("Host twice, equal", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "duplicate_host"),
    ("Host twice, different", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "duplicate_host"),
    ("Host twice on HTTP/1.0", b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400, "duplicate_host"),
    ("Host empty", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, "invalid_host"),
    ("Host with a space", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "invalid_host"),
    ("Host list", b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400, "invalid_host"),
    ("Host with a path", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "invalid_host"),
    ("Host with a user", b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400, "invalid_host"),
    ("Host with a query", b"GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", 400, "invalid_host"),
    ("Host with a scheme", b"GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", 400, "invalid_host"),
    ("Host with a bad port", b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400, "invalid_host"),
    ("Host with an empty port", b"GET / HTTP/1.1\r\nHost: a:\r\n\r\n", 400, "invalid_host"),
    ("Host with a port too large", b"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", 400, "invalid_host"),
    ("Host with an empty label", b"GET / HTTP/1.1\r\nHost: a..b\r\n\r\n", 400, "invalid_host"),
    ("Host with an open bracket", b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400, "invalid_host"),
    ("Host with an 8-bit byte", b"GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n", 400, "invalid_host"),
    ("Host percent-encoded", b"GET / HTTP/1.1\r\nHost: %61\r\n\r\n", 400, "invalid_host"),
    ("Host is not the target's", b"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", 400, "host_mismatch"),
    ("Host has another port than the target", b"GET http://a/ HTTP/1.1\r\nHost: a:8080\r\n\r\n", 400, "host_mismatch"),
    ("target with a user", b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "invalid_target"),
    ("target without a host", b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "invalid_target"),
    ("target of another scheme", b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "invalid_target"),
    ("target without a slash", b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400, "invalid_target"),
    ("target with a fragment", b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "invalid_target"),
    ("target with an 8-bit byte", b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "invalid_target"),
    ("target with a NUL", b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "invalid_target"),
    ("target with a tab", b"GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", 400, "invalid_target"),
    ("asterisk with GET", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target_form_for_method"),
    ("authority form with GET", b"GET a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 400, "invalid_target"),
    ("CONNECT with a path", b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target_form_for_method"),
    ("CONNECT without a port", b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", 400, "invalid_target"),
    ("path with an encoded NUL", b"GET /%00 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400, "bad_path"),
    ("path with a broken escape", b"GET /%zz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400, "bad_path"),
];

#[test]
fn every_rule_refuses_with_its_status_and_nothing_passes() {
    let origin = Origin::answering(OK);
    let weir = one_service(origin.addr(), PLAIN, "");
    let cases: Vec<&Case> = [FRAMING, LINES, TARGETS].into_iter().flatten().collect();
    for (name, bytes, status, _) in &cases {
        let response = reject(&weir, bytes);
        assert_problem(name, &response, *status);
        assert_eq!(response.header("connection"), Some("close"), "{name}");
    }
    assert_eq!(origin.connections(), 0, "nothing reached the endpoint");

    wait_until("the log lines", || weir.access_log().len() >= cases.len());
    for ((name, _, status, rule), line) in cases.iter().zip(weir.access_log()) {
        assert_eq!(line["status"], *status, "{name}: {line}");
        assert_eq!(line["rule"], *rule, "{name}: {line}");
        assert!(line["reason"].is_string(), "{name}: {line}");
        assert!(line["endpoint"].is_null(), "{name}: {line}");
    }
    assert_eq!(RawClient::exchange(weir.addr("web"), GOOD).text(), "ok");
    assert_eq!(origin.received_text(0), GOOD);
}

#[test]
fn refusals_do_not_depend_on_where_the_bytes_are_cut() {
    let origin = Origin::answering(OK);
    let weir = one_service(origin.addr(), PLAIN, "");
    let names = [
        "length and coding",
        "coding not final",
        "coding before a bare CR",
        "length twice, different",
        "length with plus",
        "bare LF after a field",
        "bare LF as the empty line",
        "bare CR as the empty line",
        "folded with space",
        "space before the colon",
        "Host twice, different",
        "Host is not the target's",
        "preface of HTTP/2",
        "two empty lines first",
    ];
    for name in names {
        let case = [FRAMING, LINES, TARGETS]
            .into_iter()
            .flatten()
            .find(|case| case.0 == name);
        let (_, bytes, status, _) = *case.expect("a case of that name");
        // Further than the head there is nothing to cut.
        let head = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .map_or(bytes.len(), |at| at + 4);
        for cut in boundaries(&bytes[..head]) {
            let mut client = weir.client("web");
            let response = client.send_split(bytes, cut).response();
            assert_problem(&format!("{name} cut at {cut}"), &response, status);
            client.expect_close();
        }
    }
    assert_eq!(origin.connections(), 0, "nothing reached the endpoint");
}

#[test]
fn what_is_valid_is_forwarded_alike_wherever_the_bytes_are_cut() {
    let origin = Origin::answering(OK);
    let weir = one_service(origin.addr(), PLAIN, "");
    #[rustfmt::skip] // One case a line.
    let cases: &[(&str, &str, &str)] = &[
        ("fields", "\r\nGET /a?b=c HTTP/1.1\r\nHost:a:80\r\nX-One:  two \t\r\nEmpty:\r\n\r\n", "GET /a?b=c HTTP/1.1\r\nHost: a:80\r\nX-One: two\r\nEmpty: \r\n\r\n"),
        ("length", "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"),
        ("absolute form", "GET http://A.b/x?y HTTP/1.1\r\nHost: a.B\r\n\r\n", "GET /x?y HTTP/1.1\r\nHost: A.b\r\n\r\n"),
        ("hop-by-hop", "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nX: y\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n"),
    ];
    let mut expected = String::new();
    for (name, bytes, forwarded) in cases {
        let mut client = weir.client("web");
        for cut in boundaries(bytes.as_bytes()) {
            assert_eq!(
                client.send_split(bytes, cut).response().text(),
                "ok",
                "{name} cut at {cut}"
            );
            expected.push_str(forwarded);
        }
        assert_eq!(origin.received_text(0), expected, "{name}");
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn methods_and_paths_meet_their_own_statuses() {
    let origin = Origin::answering(OK);
    let weir = start(&format!(
        "
listeners: {{ web: '@web@' }}
routes: [ {{ path: /users, methods: [GET, POST], service: app }} ]
services: {{ app: ['{}'] }}
",
        origin.addr()
    ));
    let mut client = weir.client("web");
    let mut ask = |request: &str| {
        client
            .send(format!("{request}Host: a\r\n\r\n"))
            .response_to(request.split(' ').next().unwrap_or_default())
    };
    let wrong = ask("DELETE /users HTTP/1.1\r\n");
    assert_problem("405", &wrong, 405);
    let allow = wrong.header("allow").expect("RFC 9110, 15.5.6: Allow");
    for method in ["GET", "HEAD", "POST"] {
        assert!(wrong.headers.has_token("allow", method), "{allow}");
    }
    assert_problem("404", &ask("GET /user HTTP/1.1\r\n"), 404);
    let options = ask("OPTIONS * HTTP/1.1\r\n");
    assert_eq!((options.status, options.body.len()), (204, 0));
    assert!(options.headers.has_token("allow", "GET"));
    let head = ask("HEAD /nothing HTTP/1.1\r\n");
    assert_eq!((head.status, head.body.len()), (404, 0));
    assert!(
        head.header("content-length")
            .is_some_and(|length| length != "0"),
        "{head:?}"
    );
    assert_eq!(
        ask("GET /users HTTP/1.1\r\n").text(),
        "ok",
        "all on one connection"
    );
    assert_problem("TRACE", &ask("TRACE /users HTTP/1.1\r\n"), 501);
    client.expect_close();
    let response = reject(&weir, b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n");
    assert_problem("CONNECT", &response, 501);
    for (target, reason) in [
        ("/user", "no_route"),
        ("/users", "method_not_allowed"),
        ("a:443", "unsupported_method"),
    ] {
        let line = weir.wait_log(target, |line| {
            line["target"] == target && line["status"] != 200
        });
        assert_eq!(line["reason"], reason, "{line}");
    }
}
