//! Request lines and targets.

use super::super::{HeadError, Method, RequestHead, Scheme, TargetForm};
use super::{error, parsed, text};

#[track_caller]
fn line_refused(line: impl AsRef<[u8]>, expected: HeadError) {
    let line = line.as_ref();
    let head = [line, b"\r\nHost: a\r\n\r\n"].concat();
    assert_eq!(
        error::<RequestHead>(&head),
        Some(expected),
        "{}",
        text(line)
    );
}

#[test]
fn methods() {
    for (token, method) in [
        ("GET", Method::Get),
        ("HEAD", Method::Head),
        ("POST", Method::Post),
        ("PUT", Method::Put),
        ("DELETE", Method::Delete),
        ("OPTIONS", Method::Options),
        ("PATCH", Method::Patch),
        ("TRACE", Method::Trace),
        ("get", Method::Other),
        ("QUERY", Method::Other),
        ("M-SEARCH", Method::Other),
        ("!#$%&'*+-.^_`|~09azAZ", Method::Other),
    ] {
        let head: RequestHead = parsed(format!("{token} / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        assert_eq!(head.method(), method);
        assert_eq!(head.method_bytes(), token.as_bytes());
    }
    line_refused(
        format!("{} / HTTP/1.1", "M".repeat(33)),
        HeadError::MethodTooLong,
    );
}

#[test]
fn request_lines_that_are_refused() {
    use HeadError::*;
    for (line, expected) in [
        (" GET / HTTP/1.1", InvalidMethod),
        ("\tGET / HTTP/1.1", InvalidMethod),
        ("GE\0T / HTTP/1.1", InvalidMethod),
        ("GET: / HTTP/1.1", InvalidMethod),
        ("GET\t/ HTTP/1.1", InvalidMethod),
        ("(GET) / HTTP/1.1", InvalidMethod),
        ("G\u{e9}T / HTTP/1.1", InvalidMethod),
        ("GET", InvalidRequestLine),
        ("GET ", InvalidRequestLine),
        ("GET /", InvalidRequestLine),
        ("GET  / HTTP/1.1", InvalidRequestLine),
        ("GET /  HTTP/1.1", InvalidVersion),
        ("GET / HTTP/1.1 ", InvalidVersion),
        ("GET / a HTTP/1.1", InvalidVersion),
        ("GET /\tHTTP/1.1", InvalidRequestLine),
        ("GET /\u{b}x HTTP/1.1", InvalidTarget),
        ("GET / HTTP/1.1\t", InvalidVersion),
        ("GET / ", InvalidVersion),
        ("GET / http/1.1", InvalidVersion),
        ("GET / HTTP/11", InvalidVersion),
        ("GET / HTTP/1.10", InvalidVersion),
        ("GET / HTTP/01.1", InvalidVersion),
        ("GET / HTTP/1,1", InvalidVersion),
        ("GET / HTTP /1.1", InvalidVersion),
        ("GET / HTTPS/1.1", InvalidVersion),
        ("GET / ICY", InvalidVersion),
        ("GET / HTTP/0.9", UnsupportedVersion),
        ("GET / HTTP/1.2", UnsupportedVersion),
        ("GET / HTTP/2.0", UnsupportedVersion),
        ("PRI * HTTP/2.0", UnsupportedVersion),
        ("GET /\0 HTTP/1.1", InvalidTarget),
        ("GET /\u{7f} HTTP/1.1", InvalidTarget),
        ("GET /\u{e9} HTTP/1.1", InvalidTarget),
        ("GET /a#b HTTP/1.1", InvalidTarget),
        ("GET # HTTP/1.1", InvalidTarget),
        ("GET a HTTP/1.1", InvalidTarget),
        ("GET ?a HTTP/1.1", InvalidTarget),
        ("GET \\a HTTP/1.1", InvalidTarget),
        ("GET a.example HTTP/1.1", InvalidTarget),
        ("GET a.example:80 HTTP/1.1", InvalidTarget),
        ("GET ftp://a/ HTTP/1.1", InvalidTarget),
        ("GET http:/a/ HTTP/1.1", InvalidTarget),
        ("GET http:a HTTP/1.1", InvalidTarget),
        ("GET http:// HTTP/1.1", InvalidTarget),
        ("GET http:///a HTTP/1.1", InvalidTarget),
        ("GET http://?a HTTP/1.1", InvalidTarget),
        ("GET http://u@a/ HTTP/1.1", InvalidTarget),
        ("GET http://u:p@a/ HTTP/1.1", InvalidTarget),
        ("GET http://a:/ HTTP/1.1", InvalidTarget),
        ("GET http://a\\b/ HTTP/1.1", InvalidTarget),
        ("GET unix:/a HTTP/1.1", InvalidTarget),
        ("GET * HTTP/1.1", TargetFormForMethod),
        ("OPTIONS ** HTTP/1.1", InvalidTarget),
        ("CONNECT / HTTP/1.1", TargetFormForMethod),
        ("CONNECT a HTTP/1.1", InvalidTarget),
        ("CONNECT * HTTP/1.1", InvalidTarget),
        ("CONNECT a: HTTP/1.1", InvalidTarget),
        ("CONNECT http://a/ HTTP/1.1", InvalidTarget),
        ("CONNECT a:80/x HTTP/1.1", InvalidTarget),
        ("CONNECT u@a:80 HTTP/1.1", InvalidTarget),
    ] {
        line_refused(line, expected);
    }
    line_refused(b"GET /\xff HTTP/1.1", InvalidTarget);
}

#[test]
fn line_ends_of_the_request_line() {
    for (head, expected) in [
        (&b"GET / HTTP/1.1\nHost: a\r\n\r\n"[..], HeadError::BareLf),
        (b"GET / HTTP/1.1\n\n", HeadError::BareLf),
        (b"GET /\n", HeadError::BareLf),
        (b"GET / HTTP/1.1\rHost: a\r\n\r\n", HeadError::BareCr),
        (b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", HeadError::BareCr),
        (b"GET /\rx HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::BareCr),
        (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::BareLf),
        (b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::BareCr),
        (
            b"\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            HeadError::BareLf,
        ),
        (
            b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            HeadError::LeadingEmptyLine,
        ),
        (
            b"\r\n GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            HeadError::InvalidMethod,
        ),
    ] {
        assert_eq!(error::<RequestHead>(head), Some(expected), "{}", text(head));
    }
    let head: RequestHead = parsed(b"\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(head.target(), b"/x");
    assert_eq!(head.host(), b"a");
}

#[test]
fn target_forms() {
    use TargetForm::{Absolute, Asterisk, Authority, Origin};
    for (line, host, form, path, query, authority) in [
        ("GET //a/..", "h", Origin, "//a/..", None, "h"),
        ("GET /?", "h", Origin, "/", Some(""), "h"),
        ("GET /http://x", "h", Origin, "/http://x", None, "h"),
        (
            "GET /{|}^`\"<>\\[]%zz",
            "h",
            Origin,
            "/{|}^`\"<>\\[]%zz",
            None,
            "h",
        ),
        ("OPTIONS *", "h", Asterisk, "*", None, "h"),
        ("OPTIONS /", "h", Origin, "/", None, "h"),
        ("GET http://h", "h", Absolute, "/", None, "h"),
        ("GET http://h/", "h", Absolute, "/", None, "h"),
        (
            "GET HTTPS://h:443?q",
            "H:443",
            Absolute,
            "/",
            Some("q"),
            "h:443",
        ),
        ("OPTIONS http://h", "h", Absolute, "*", None, "h"),
        ("OPTIONS http://h?q", "h", Absolute, "/", Some("q"), "h"),
        (
            "GET http://[::1]:80/a?b",
            "[::1]:80",
            Absolute,
            "/a",
            Some("b"),
            "[::1]:80",
        ),
        ("CONNECT h:443", "h:443", Authority, "", None, "h:443"),
        ("CONNECT h:443", "h", Authority, "", None, "h:443"),
        (
            "CONNECT [::1]:443",
            "[::1]",
            Authority,
            "",
            None,
            "[::1]:443",
        ),
    ] {
        let head: RequestHead =
            parsed(format!("{line} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        assert_eq!(head.form(), form, "{line}");
        assert_eq!(head.path(), path.as_bytes(), "{line}");
        assert_eq!(head.query(), query.map(str::as_bytes), "{line}");
        assert_eq!(head.authority(), authority.as_bytes(), "{line}");
        let scheme = match line.split_once(' ').map(|(_, target)| target.get(..5)) {
            Some(Some("HTTPS")) => Some(Scheme::Https),
            Some(Some("http:")) => Some(Scheme::Http),
            _ => None,
        };
        assert_eq!(head.scheme(), scheme, "{line}");
    }
}
