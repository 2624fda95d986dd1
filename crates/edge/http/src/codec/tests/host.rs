//! Host, and how it goes with the target.

use super::super::{HeadError, RequestHead};
use super::{error, parsed};

#[test]
fn hosts() {
    let valid = |host: &str| {
        parsed::<RequestHead>(format!("GET / HTTP/1.1\r\nHost:{host}\r\n\r\n").as_bytes())
    };
    let label = "a".repeat(254);
    for (field, host, port) in [
        ("a", "a", None),
        (" \t a \t ", "a", None),
        ("a.b-c_d~e", "a.b-c_d~e", None),
        ("a.", "a.", None),
        ("127.0.0.1:80", "127.0.0.1", Some(80)),
        ("a:0", "a", Some(0)),
        ("a:00080", "a", Some(80)),
        ("a:65535", "a", Some(65535)),
        ("[::1]", "[::1]", None),
        ("[2001:DB8::1]:8443", "[2001:DB8::1]", Some(8443)),
        ("[::ffff:1.2.3.4]", "[::ffff:1.2.3.4]", None),
        (label.as_str(), label.as_str(), None),
    ] {
        let head = valid(field);
        assert_eq!(head.host(), host.as_bytes());
        assert_eq!(head.port(), port, "{field}");
    }
    let label = "a".repeat(255);
    for host in [
        "",
        " ",
        ":",
        ":80",
        "a:",
        "a:x",
        "a:8 0",
        "a:-1",
        "a:+1",
        "a:65536",
        "a:000080",
        "a:99999999999999999999",
        "a:80:80",
        "a b",
        "a\tb",
        "a,b",
        "a, a",
        "a/b",
        "/",
        "a?b",
        "a#b",
        "a@b",
        "u:p@a",
        "a\\b",
        "a%20b",
        "%61",
        "a;b",
        "a'b",
        "a\"b",
        "a<b",
        "a(b)",
        "a*b",
        "*",
        "a|b",
        "a^b",
        "..",
        ".",
        ".a",
        "a..b",
        "a..",
        "http://a",
        "[",
        "[]",
        "]",
        "[a]",
        "[::1",
        "::1",
        "[::1]a",
        "[::1]:",
        "[::1]:a",
        "[::1%25eth0]",
        "[::1%eth0]",
        "[v1.a]",
        "[1.2.3.4]",
        "[[::1]]",
        "a[::1]",
        "\u{e9}",
        &label,
    ] {
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(
            error::<RequestHead>(head.as_bytes()),
            Some(HeadError::InvalidHost),
            "{host:?}"
        );
    }
}

#[test]
fn host_is_there_once_and_matches() {
    use HeadError::{DuplicateHost, HostMismatch, InvalidHost, MissingHost};
    for (head, expected) in [
        ("GET / HTTP/1.1\r\n\r\n", MissingHost),
        ("GET http://a/ HTTP/1.1\r\n\r\n", MissingHost),
        ("OPTIONS * HTTP/1.1\r\n\r\n", MissingHost),
        ("CONNECT a:1 HTTP/1.1\r\n\r\n", MissingHost),
        ("GET / HTTP/1.1\r\nX-Host: a\r\n\r\n", MissingHost),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            DuplicateHost,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nhOST: b\r\n\r\n",
            DuplicateHost,
        ),
        (
            "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
            DuplicateHost,
        ),
        ("GET / HTTP/1.0\r\nHost: a b\r\n\r\n", InvalidHost),
        ("GET / HTTP/1.0\r\nHost:\r\n\r\n", InvalidHost),
        ("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", HostMismatch),
        ("GET http://a/ HTTP/1.1\r\nHost: a:80\r\n\r\n", HostMismatch),
        ("GET http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n", HostMismatch),
        ("GET http://a/ HTTP/1.0\r\nHost: b\r\n\r\n", HostMismatch),
        ("CONNECT a:1 HTTP/1.1\r\nHost: b:1\r\n\r\n", HostMismatch),
        ("CONNECT a:1 HTTP/1.1\r\nHost: b\r\n\r\n", HostMismatch),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:2\r\n\r\n", HostMismatch),
    ] {
        assert_eq!(
            error::<RequestHead>(head.as_bytes()),
            Some(expected),
            "{head:?}"
        );
    }
    let head: RequestHead = parsed(b"GET / HTTP/1.0\r\n\r\n");
    assert_eq!(
        (head.authority(), head.host(), head.port()),
        (&b""[..], &b""[..], None)
    );
    let head: RequestHead = parsed(b"GET http://a:81/ HTTP/1.0\r\n\r\n");
    assert_eq!(
        (head.authority(), head.host(), head.port()),
        (&b"a:81"[..], &b"a"[..], Some(81))
    );
}
