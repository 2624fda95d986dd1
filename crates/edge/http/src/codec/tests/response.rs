//! Response heads.

use super::super::{BodyLength, FieldId, HeadError, Method, ResponseHead, Version};
use super::{error, parsed, text};

fn ok(status: u16, fields: &str) -> ResponseHead {
    parsed(format!("HTTP/1.1 {status} x\r\n{fields}\r\n").as_bytes())
}

#[test]
fn a_plain_response() {
    let head: ResponseHead =
        parsed(b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\nETag: \"a\"\r\n\r\n");
    assert_eq!(head.status(), 404);
    assert_eq!(head.reason(), b"Not Found");
    assert_eq!(head.version(), Version::H11);
    assert_eq!(head.body(Method::Get), BodyLength::Length(3));
    assert_eq!(head.content_length(), Some(3));
    assert!(head.keep_alive());
    assert!(!head.is_interim());
    assert_eq!(head.fields().first(FieldId::ETag), Some(&b"\"a\""[..]));
}

#[test]
fn status_lines() {
    for (line, version, status, reason) in [
        ("HTTP/1.1 200 OK", Version::H11, 200, "OK"),
        ("HTTP/1.0 100 ", Version::H10, 100, ""),
        ("HTTP/1.1 999", Version::H11, 999, ""),
        (
            "HTTP/1.1 200  a\tb \u{e9}",
            Version::H11,
            200,
            " a\tb \u{e9}",
        ),
    ] {
        let head: ResponseHead = parsed(format!("{line}\r\n\r\n").as_bytes());
        assert_eq!(
            (head.version(), head.status()),
            (version, status),
            "{line:?}"
        );
        assert_eq!(head.reason(), reason.as_bytes(), "{line:?}");
    }
    use HeadError::*;
    for (line, expected) in [
        ("", InvalidStatusLine),
        (" HTTP/1.1 200 OK", InvalidStatusLine),
        ("http/1.1 200 OK", InvalidStatusLine),
        ("ICY 200 OK", InvalidStatusLine),
        ("HTTP", InvalidStatusLine),
        ("HTTP/1.1", InvalidStatusLine),
        ("HTTP/1.1 ", InvalidStatusLine),
        ("HTTP/1.1 20", InvalidStatusLine),
        ("HTTP/1.1  200 OK", InvalidStatusLine),
        ("HTTP/1.1\t200 OK", InvalidStatusLine),
        ("HTTP/1.1 2000 OK", InvalidStatusLine),
        ("HTTP/1.1 200OK", InvalidStatusLine),
        ("HTTP/1.1 200\tOK", InvalidStatusLine),
        ("HTTP/1.1 099 OK", InvalidStatusLine),
        ("HTTP/1.1 +20 OK", InvalidStatusLine),
        ("HTTP/1.1 2x0 OK", InvalidStatusLine),
        ("HTTP/1.1 200 O\0K", InvalidStatusLine),
        ("HTTP/1.1 200 O\u{7f}K", InvalidStatusLine),
        ("HTTP/1.10 200 OK", InvalidStatusLine),
        ("HTTP/1.1200 OK", InvalidStatusLine),
        ("HTTP/1x1 200 OK", InvalidVersion),
        ("HTTP/2.0 200 OK", UnsupportedVersion),
        ("HTTP/1.2 200 OK", UnsupportedVersion),
        ("HTTP/1.1 200 O\rK", BareCr),
        ("HTTP/1.1 200 OK\r", BareCr),
        ("HTTP/1.1 200 OK\nA: b", BareLf),
    ] {
        assert_eq!(
            error::<ResponseHead>(format!("{line}\r\n\r\n").as_bytes()),
            Some(expected),
            "{line:?}"
        );
    }
    assert_eq!(
        error::<ResponseHead>(b"\r\nHTTP/1.1 200 OK\r\n\r\n"),
        Some(InvalidStatusLine)
    );
}

#[test]
fn body_lengths() {
    use BodyLength::{Chunked, Length, None, UntilClose};
    let length = "Content-Length: 5\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (method, status, fields, body) in [
        (Method::Get, 200, "", UntilClose),
        (Method::Get, 200, length, Length(5)),
        (Method::Get, 200, "Content-Length: 0\r\n", Length(0)),
        (Method::Get, 200, chunked, Chunked),
        (Method::Get, 206, length, Length(5)),
        (Method::Get, 205, length, Length(5)),
        (Method::Get, 100, length, None),
        (Method::Get, 101, length, None),
        (Method::Get, 103, chunked, None),
        (Method::Get, 204, length, None),
        (Method::Get, 204, chunked, None),
        (Method::Get, 304, length, None),
        (Method::Get, 304, chunked, None),
        (Method::Head, 200, length, None),
        (Method::Head, 200, chunked, None),
        (Method::Head, 404, "", None),
        (Method::Connect, 200, length, None),
        (Method::Connect, 299, chunked, None),
        (Method::Connect, 302, length, Length(5)),
        (Method::Connect, 407, "", UntilClose),
        (Method::Other, 599, chunked, Chunked),
    ] {
        assert_eq!(
            ok(status, fields).body(method),
            body,
            "{method:?} {status} {fields:?}"
        );
    }
}

#[test]
fn framing_errors() {
    use HeadError::*;
    for (head, expected) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            DuplicateContentLength,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
            InvalidContentLength,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            InvalidContentLength,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            ContentLengthWithTransferEncoding,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            UnknownTransferCoding,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
            UnknownTransferCoding,
        ),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            TransferEncodingInHttp10,
        ),
        (
            "HTTP/1.1 204 x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
            InvalidTransferEncoding,
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 5\r\n\r\n",
            ConnectionNominatesFraming,
        ),
        ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", SpaceBeforeColon),
        ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", ObsFold),
        ("HTTP/1.1 200 OK\r\n A: b\r\n\r\n", ObsFold),
        ("HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n", BareLf),
        ("HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n", InvalidFieldValue),
    ] {
        assert_eq!(
            error::<ResponseHead>(head.as_bytes()),
            Some(expected),
            "{head:?}"
        );
    }
    // What is only for requests is nothing in a response.
    ok(200, "Host: a b\r\nHost: c\r\nExpect: something\r\n");
}

#[test]
fn keeping_the_connection() {
    for (head, keep_alive) in [
        ("HTTP/1.1 200 x\r\n", true),
        ("HTTP/1.1 200 x\r\nConnection: close\r\n", false),
        ("HTTP/1.0 200 x\r\n", false),
        ("HTTP/1.0 200 x\r\nConnection: keep-alive\r\n", true),
        ("HTTP/1.1 204 x\r\n", true),
        ("HTTP/1.1 204 x\r\nContent-Length: 0\r\n", true),
        ("HTTP/1.1 204 x\r\nContent-Length: 1\r\n", false),
        ("HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n", false),
        ("HTTP/1.1 103 x\r\nContent-Length: 1\r\n", false),
        ("HTTP/1.1 304 x\r\nContent-Length: 1\r\n", true),
    ] {
        let parsed: ResponseHead = parsed(format!("{head}\r\n").as_bytes());
        assert_eq!(parsed.keep_alive(), keep_alive, "{head:?}");
    }
}

#[test]
fn fields_for_this_hop_only_in_interim_responses_too() {
    for status in [103, 200] {
        let head = ok(
            status,
            "Connection: x-a, keep-alive\r\nX-A: 1\r\nKeep-Alive: 1\r\nLink: a\r\nProxy-Authenticate: a\r\nSet-Cookie: a\r\n",
        );
        let kept: Vec<_> = head
            .fields()
            .iter()
            .filter(|(field, ..)| !field.hop())
            .map(|(_, name, _)| text(name))
            .collect();
        assert_eq!(kept, ["Link", "Set-Cookie"]);
    }
    for status in [100, 101, 103, 204] {
        let head = ok(status, "Content-Length: 0\r\n");
        assert!(head.fields().list()[0].hop(), "{status}");
    }
    assert!(!ok(304, "Content-Length: 0\r\n").fields().list()[0].hop());
}

#[test]
fn interim_responses_and_upgrades() {
    assert!(ok(100, "").is_interim());
    assert!(ok(103, "").is_interim());
    let head = ok(101, "Connection: upgrade\r\nUpgrade: websocket\r\n");
    assert!(!head.is_interim());
    assert_eq!(head.upgrade(), Some(&b"websocket"[..]));
    assert_eq!(ok(101, "Upgrade: websocket\r\n").upgrade(), None);
    assert_eq!(ok(200, "Upgrade: h2\r\n").upgrade(), None);
}
