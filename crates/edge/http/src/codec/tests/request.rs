//! Requests: framing, the connection, and one head after another.

use super::super::{
    BodyLength, FieldId, HeadError, HeadLimits, Method, Parsed, RequestHead, TargetForm, Version,
};
use super::{error, parsed, text};

pub(super) fn with(fields: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes()
}

/// A request with these fields, parsed.
pub(super) fn ok(fields: &str) -> RequestHead {
    parsed(&with(fields))
}

#[track_caller]
pub(super) fn refused(fields: &str, expected: HeadError) {
    assert_eq!(
        error::<RequestHead>(&with(fields)),
        Some(expected),
        "{fields:?}"
    );
}

#[test]
fn a_plain_request() {
    let head: RequestHead =
        parsed(b"GET /a/b?c=d?e HTTP/1.1\r\nHost: Example.com:8080\r\nAccept: */*\r\n\r\n");
    assert_eq!(head.method(), Method::Get);
    assert_eq!(head.method_bytes(), b"GET");
    assert_eq!(head.target(), b"/a/b?c=d?e");
    assert_eq!(head.path(), b"/a/b");
    assert_eq!(head.query(), Some(&b"c=d?e"[..]));
    assert_eq!(head.form(), TargetForm::Origin);
    assert_eq!(head.scheme(), None);
    assert_eq!(head.authority(), b"Example.com:8080");
    assert_eq!(head.host(), b"Example.com");
    assert_eq!(head.port(), Some(8080));
    assert_eq!(head.version(), Version::H11);
    assert_eq!(head.body(), BodyLength::None);
    assert!(head.keep_alive());
    assert!(!head.expects_continue());
    assert_eq!(head.upgrade(), None);
    assert!(!head.te_trailers());
    assert_eq!(head.fields().len(), 2);
    assert_eq!(head.fields().first(FieldId::Accept), Some(&b"*/*"[..]));
    assert_eq!(head.fields().by_name(b"aCCept"), Some(&b"*/*"[..]));
}

#[test]
fn what_is_known_of_a_refused_or_partial_head() {
    #[rustfmt::skip] // One case a line.
    let cases: [(&str, &str, &str, &str, bool); 8] = [
        ("GET /a HTTP/1.1\r\nHost: h\r\nBad : x\r\n", "GET", "/a", "h", true),
        ("GET /a HTTP/1.1\r\nHost: h\r\nUser-", "GET", "/a", "h", true),
        ("GET http://t/a HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "http://t/a", "t", true),
        ("GET /a HTTP/9.9\r\nHost: h\r\n\r\n", "GET", "/a", "", false),
        ("\r\nGET /a", "GET", "/a", "", false),
        ("GET", "", "", "", false),
        ("no method: here\r\n", "no", "method:", "", false),
        ("<html>", "", "", "", false),
    ];
    for (input, method, target, authority, has_line) in cases {
        let (mut head, mut scanned) = (RequestHead::new(), 0);
        let _ = head.parse(input.as_bytes(), &mut scanned, &HeadLimits::default());
        head.salvage(input.as_bytes());
        assert_eq!(text(head.method_bytes()), method, "{input:?}");
        assert_eq!(text(head.target()), target, "{input:?}");
        assert_eq!(text(head.authority()), authority, "{input:?}");
        assert_eq!(head.has_line(), has_line, "{input:?}");
        head.clear();
        assert!(head.method_bytes().is_empty());
    }
}

#[test]
fn framing() {
    use HeadError::*;
    for (fields, body) in [
        ("", BodyLength::None),
        ("Content-Length: 0\r\n", BodyLength::Length(0)),
        ("cONTENT-lENGTH:10 \r\n", BodyLength::Length(10)),
        (
            "Content-Length: 18446744073709551615\r\n",
            BodyLength::Length(u64::MAX),
        ),
        ("Transfer-Encoding: chunked\r\n", BodyLength::Chunked),
        ("transfer-encoding:ChUnKeD\r\n", BodyLength::Chunked),
    ] {
        assert_eq!(ok(fields).body(), body, "{fields:?}");
    }
    for value in [
        "",
        "+1",
        "-1",
        "1 2",
        "1,1",
        "1, 1",
        "1,",
        "0x1",
        "1a",
        "a",
        "1.0",
        "01",
        "00",
        "1_000",
        "\u{661}",
        "18446744073709551616",
        "99999999999999999999999",
        "1;a",
        "\"1\"",
    ] {
        refused(
            &format!("Content-Length: {value}\r\n"),
            InvalidContentLength,
        );
    }
    for (value, expected) in [
        ("", InvalidTransferEncoding),
        (",", InvalidTransferEncoding),
        ("chunked,", InvalidTransferEncoding),
        (",chunked", InvalidTransferEncoding),
        ("chunked, chunked", InvalidTransferEncoding),
        ("chunked, identity", InvalidTransferEncoding),
        ("chunked, gzip", InvalidTransferEncoding),
        ("chunked;a=b", InvalidTransferEncoding),
        ("\"chunked\"", InvalidTransferEncoding),
        ("chunked chunked", InvalidTransferEncoding),
        ("gzip, gzip", InvalidTransferEncoding),
        ("gzip, chunked", UnknownTransferCoding),
        ("identity, chunked", UnknownTransferCoding),
        ("gzip", UnknownTransferCoding),
        ("identity", UnknownTransferCoding),
        ("xchunked", UnknownTransferCoding),
        ("chunkedx", UnknownTransferCoding),
        ("chun\u{e9}ked", InvalidTransferEncoding),
        ("\u{b}chunked", InvalidFieldValue),
    ] {
        refused(&format!("Transfer-Encoding: {value}\r\n"), expected);
    }
    for (fields, expected) in [
        (
            "Content-Length: 1\r\nContent-Length: 1\r\n",
            DuplicateContentLength,
        ),
        (
            "Content-Length: 1\r\nA: b\r\ncontent-length: 2\r\n",
            DuplicateContentLength,
        ),
        (
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            ContentLengthWithTransferEncoding,
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
            ContentLengthWithTransferEncoding,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            DuplicateTransferEncoding,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            DuplicateTransferEncoding,
        ),
    ] {
        refused(fields, expected);
    }
    let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(error::<RequestHead>(old), Some(TransferEncodingInHttp10));
    let old: RequestHead = parsed(b"POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\n");
    assert_eq!(old.body(), BodyLength::Length(3));
    for framing in ["Content-Length: 1", "Transfer-Encoding: chunked"] {
        let head = format!("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n{framing}\r\n\r\n");
        assert_eq!(error::<RequestHead>(head.as_bytes()), Some(ConnectWithBody));
    }
}

#[test]
fn connection_options() {
    for (version, fields, keep_alive) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: keep-alive, CLOSE\r\n", false),
        (
            "1.1",
            "Connection: keep-alive\r\nConnection: , close ,\r\n",
            false,
        ),
        ("1.1", "Connection: closed\r\n", true),
        ("1.1", "Proxy-Connection: close\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
        ("1.0", "Keep-Alive: 5\r\n", false),
    ] {
        let head: RequestHead =
            parsed(format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n").as_bytes());
        assert_eq!(head.keep_alive(), keep_alive, "{version} {fields:?}");
    }
    for value in ["a b", "a;b", "\"close\"", "close\u{e9}", "a, (b)"] {
        refused(
            &format!("Connection: {value}\r\n"),
            HeadError::InvalidConnection,
        );
    }
    for value in ["host", "Content-Length", "close, HOST"] {
        refused(
            &format!("Connection: {value}\r\n"),
            HeadError::ConnectionNominatesFraming,
        );
    }
    ok(&format!("Connection: {}\r\n", ["a"; 32].join(",")));
    refused(
        &format!("Connection: {}\r\n", ["a"; 33].join(",")),
        HeadError::TooManyConnectionOptions,
    );
    refused(
        &format!("Connection: {}\r\nConnection: b\r\n", ["a"; 32].join(",")),
        HeadError::TooManyConnectionOptions,
    );
}

#[test]
fn fields_for_this_hop_only() {
    let head = ok(
        "X-Foo: 1\r\nx-bar: 2\r\nX-Foo: 3\r\nConnection: x-foo , TE,trailer\r\nConnection: X-BAR, cookie, x-forwarded-for\r\n\
         Keep-Alive: 1\r\nProxy-Connection: a\r\nTE: trailers\r\nTrailer: a\r\nTransfer-Encoding: chunked\r\nUpgrade: a\r\n\
         Proxy-Authorization: a\r\nHTTP2-Settings: a\r\nCookie: a\r\nX-Forwarded-For: a\r\nX-Foo-2: a\r\nAccept: a\r\n",
    );
    let kept: Vec<_> = head
        .fields()
        .iter()
        .filter(|(field, ..)| !field.hop())
        .map(|(_, name, _)| text(name))
        .collect();
    assert_eq!(
        kept,
        ["Host", "Cookie", "X-Forwarded-For", "X-Foo-2", "Accept"]
    );
    let head = ok("Trailer: a\r\nX-Foo: 1\r\n");
    assert!(head.fields().list().iter().all(|field| !field.hop()));
}

#[test]
fn upgrades() {
    let upgrade = |fields: &str| ok(fields).upgrade().map(text);
    assert_eq!(
        upgrade("Connection: Upgrade\r\nUpgrade: websocket\r\n"),
        Some("websocket".to_owned())
    );
    assert_eq!(
        upgrade("Upgrade: websocket\r\nConnection: keep-alive, upgrade\r\n"),
        Some("websocket".to_owned())
    );
    assert_eq!(upgrade("Upgrade: websocket\r\n"), None);
    assert_eq!(upgrade("Connection: upgrade\r\n"), None);
    assert_eq!(
        upgrade("Connection: upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n"),
        None
    );
    let old: RequestHead =
        parsed(b"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(old.upgrade(), None);
}

#[test]
fn expectations() {
    let forwarded = |head: &RequestHead| {
        head.fields()
            .iter()
            .any(|(field, ..)| field.id() == FieldId::Expect && !field.hop())
    };
    let head = ok("Expect: 100-Continue\r\nContent-Length: 1\r\n");
    assert!(head.expects_continue() && forwarded(&head));
    let head = ok("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n");
    assert!(head.expects_continue() && forwarded(&head));
    for fields in [
        "Expect: 100-continue\r\n",
        "Expect: 100-continue\r\nContent-Length: 0\r\n",
    ] {
        let head = ok(fields);
        assert!(!head.expects_continue() && !forwarded(&head), "{fields:?}");
    }
    let head: RequestHead =
        parsed(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n");
    assert!(!head.expects_continue() && !forwarded(&head));
    for value in [
        "",
        "100",
        "y 100-continue",
        "100-continue, 100-continue",
        "\"100-continue\"",
        "200-ok",
    ] {
        refused(
            &format!("Expect: {value}\r\nContent-Length: 1\r\n"),
            HeadError::UnknownExpectation,
        );
    }
}

#[test]
fn trailers_are_accepted_by_te() {
    assert!(ok("TE: trailers\r\n").te_trailers());
    assert!(ok("TE: gzip;q=0.5, Trailers\r\n").te_trailers());
    assert!(!ok("TE: trailers;q=0\r\n").te_trailers());
    assert!(!ok("TE: gzip\r\n").te_trailers());
}

#[test]
fn one_head_at_a_time() {
    let first = b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\n";
    let second = b"GET /2 HTTP/1.1\r\nHost: b\r\n\r\n";
    let input = [&first[..], second].concat();
    let limits = HeadLimits::default();
    let mut head = RequestHead::new();
    assert_eq!(
        head.parse(&input, &mut 0, &limits),
        Ok(Parsed::Complete(first.len()))
    );
    assert_eq!(
        (head.target(), head.body(), head.keep_alive()),
        (&b"/1"[..], BodyLength::Length(2), false)
    );
    assert_eq!(
        head.parse(&input[first.len()..], &mut 0, &limits),
        Ok(Parsed::Complete(second.len()))
    );
    assert_eq!(
        (head.target(), head.body(), head.keep_alive()),
        (&b"/2"[..], BodyLength::None, true)
    );
    assert_eq!(head.fields().len(), 1);
    assert_eq!(
        head.parse(b"\x16\x03", &mut 0, &limits),
        Err(HeadError::InvalidMethod)
    );
    assert_eq!(
        (head.method(), head.target(), head.host()),
        (Method::Other, &b""[..], &b""[..])
    );
}

#[test]
fn every_error_explains_itself() {
    let mut reasons: Vec<_> = HeadError::ALL.iter().map(|error| error.reason()).collect();
    assert!(reasons.is_sorted());
    reasons.dedup();
    assert_eq!(reasons.len(), HeadError::ALL.len());
    for error in HeadError::ALL {
        assert!((400..=505).contains(&error.status()));
        assert!(!super::super::encode::reason_phrase(error.status()).is_empty());
        assert!(error.detail().ends_with('.'));
    }
}
