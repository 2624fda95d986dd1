//! Field lines and their names.

use super::super::{FieldId, Fields, RequestHead};
use super::parsed;

#[test]
fn ids() {
    for (name, id) in [
        ("te", FieldId::Te),
        ("Via", FieldId::Via),
        ("age", FieldId::Age),
        ("HOST", FieldId::Host),
        ("ETag", FieldId::ETag),
        ("Range", FieldId::Range),
        ("Expect", FieldId::Expect),
        ("Trailer", FieldId::Trailer),
        ("If-Match", FieldId::IfMatch),
        ("X-Real-IP", FieldId::XRealIp),
        ("Connection", FieldId::Connection),
        ("keep-ALIVE", FieldId::KeepAlive),
        ("traceparent", FieldId::Traceparent),
        ("X-Request-ID", FieldId::XRequestId),
        ("If-None-Match", FieldId::IfNoneMatch),
        ("Content-Length", FieldId::ContentLength),
        ("HTTP2-Settings", FieldId::Http2Settings),
        ("X-Forwarded-For", FieldId::XForwardedFor),
        ("X-Forwarded-Port", FieldId::XForwardedPort),
        ("tRANSFER-eNCODING", FieldId::TransferEncoding),
        ("Proxy-Authenticate", FieldId::ProxyAuthenticate),
        ("Proxy-Authorization", FieldId::ProxyAuthorization),
        ("If-Unmodified-Since", FieldId::IfUnmodifiedSince),
        (
            "Proxy-Authentication-Info",
            FieldId::ProxyAuthenticationInfo,
        ),
    ] {
        assert_eq!(FieldId::of(name.as_bytes()), id, "{name}");
        // One byte more, less or other is another field.
        for at in 0..name.len() {
            let mut other = name.as_bytes().to_vec();
            other[at] = b'_';
            assert_eq!(FieldId::of(&other), FieldId::Other, "{name} {at}");
            other.remove(at);
            assert_eq!(FieldId::of(&other), FieldId::Other, "{name} {at}");
        }
        assert_eq!(FieldId::of(format!("{name}x").as_bytes()), FieldId::Other);
    }
    assert_eq!(FieldId::of(b""), FieldId::Other);
    assert_eq!(FieldId::of(b"content_length"), FieldId::Other);
    assert_eq!(
        FieldId::of(b"content\rlength"),
        FieldId::ContentLength,
        "not a token: meaningless, as documented"
    );
}

#[test]
fn pushed_fields() {
    let mut fields = Fields::new();
    assert!(fields.is_empty());
    for round in 0..2 {
        fields.push(b"x-a", b"1");
        fields.push(b"Host", b"h");
        fields.push(b"X-A", b"");
        fields.push(b"te", b"trailers");
        assert_eq!(fields.len(), 4, "{round}");
        assert_eq!(fields.first(FieldId::Host), Some(&b"h"[..]));
        assert_eq!(fields.first(FieldId::Via), None);
        assert_eq!(
            fields.all_by_name(b"X-a").collect::<Vec<_>>(),
            [&b"1"[..], b""]
        );
        assert_eq!(fields.by_name(b"x-b"), None);
        let lines: Vec<_> = fields
            .list()
            .iter()
            .filter_map(|field| fields.line(field))
            .collect();
        assert_eq!(
            lines,
            [
                &b"x-a: 1\r\n"[..],
                b"Host: h\r\n",
                b"X-A: \r\n",
                b"te: trailers\r\n"
            ]
        );
        let mut out = Vec::new();
        fields.write_forwarded(&mut out, |_| true);
        assert_eq!(out, b"x-a: 1\r\nHost: h\r\nX-A: \r\n");
        fields.clear();
    }
}

#[test]
fn forwarding_copies_runs_and_rewrites_the_rest() {
    let head: RequestHead = parsed(
        b"GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB:2\r\nC: 3 \r\nD:  4\r\nConnection: x\r\nE: 5\r\nX: 6\r\nF: 7\r\nG:\r\nH: \r\nVia: 8\r\n\r\n",
    );
    let forwarded = |keep: fn(FieldId) -> bool| {
        let mut out = b"start ".to_vec();
        head.fields()
            .write_forwarded(&mut out, |field| keep(field.id()));
        String::from_utf8_lossy(&out).into_owned()
    };
    assert_eq!(
        forwarded(|_| true),
        "start Host: a\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\nF: 7\r\nG: \r\nH: \r\nVia: 8\r\n"
    );
    assert_eq!(
        forwarded(|id| !matches!(id, FieldId::Host | FieldId::Via)),
        "start A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\nF: 7\r\nG: \r\nH: \r\n"
    );
    assert_eq!(forwarded(|id| id == FieldId::Via), "start Via: 8\r\n");
    assert_eq!(forwarded(|_| false), "start ");
}

#[test]
fn nomination_of_pushed_fields() {
    let head: RequestHead = parsed(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x-a, etag\r\n\r\n");
    let mut trailers = Fields::new();
    trailers.push(b"X-A", b"1");
    trailers.push(b"ETag", b"2");
    trailers.push(b"X-B", b"3");
    trailers.mark_nominated_by(head.fields());
    let hops: Vec<_> = trailers
        .list()
        .iter()
        .map(super::super::Field::hop)
        .collect();
    assert_eq!(hops, [true, false, false]);
}
