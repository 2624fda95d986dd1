//! Writing.

use super::super::{Fields, RequestHead, ResponseHead, encode};
use super::{parsed, text};

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = b"|".to_vec();
    write(&mut out);
    text(&out)
}

#[test]
fn heads() {
    assert_eq!(
        written(|out| encode::request_line(out, b"GET", b"/a")),
        "|GET /a HTTP/1.1\\r\\n"
    );
    assert_eq!(
        written(|out| encode::status_line(out, 200, b"OK")),
        "|HTTP/1.1 200 OK\\r\\n"
    );
    assert_eq!(
        written(|out| encode::status_line(out, 999, b"")),
        "|HTTP/1.1 999 \\r\\n"
    );
    assert_eq!(written(|out| encode::field(out, b"A", b"b")), "|A: b\\r\\n");
    assert_eq!(
        written(|out| encode::number_field(out, b"a", u64::MAX)),
        "|a: 18446744073709551615\\r\\n"
    );
    assert_eq!(written(encode::end_of_head), "|\\r\\n");
}

#[test]
fn what_is_written_parses() {
    let mut out = Vec::new();
    encode::request_line(&mut out, b"QUERY", b"/a?b");
    encode::field(&mut out, b"Host", b"[::1]:80");
    encode::end_of_head(&mut out);
    let head: RequestHead = parsed(&out);
    assert_eq!(
        (head.method_bytes(), head.target(), head.host()),
        (&b"QUERY"[..], &b"/a?b"[..], &b"[::1]"[..])
    );
    for status in 100..1000 {
        out.clear();
        encode::status_line(&mut out, status, encode::reason_phrase(status).as_bytes());
        encode::end_of_head(&mut out);
        let head: ResponseHead = parsed(&out);
        assert_eq!(
            (head.status(), head.reason()),
            (status, encode::reason_phrase(status).as_bytes())
        );
    }
}

#[test]
fn chunks() {
    for (len, digits) in [
        (1, "1"),
        (0xf, "f"),
        (0x10, "10"),
        (0xabc, "abc"),
        (0x1000, "1000"),
        (u64::MAX, "ffffffffffffffff"),
    ] {
        assert_eq!(
            written(|out| encode::chunk_size(out, len)),
            format!("|{digits}\\r\\n")
        );
    }
    assert_eq!(written(|out| encode::chunk(out, b"")), "|");
    assert_eq!(
        written(|out| encode::chunk(out, b"hello")),
        "|5\\r\\nhello\\r\\n"
    );
    let mut trailers = Fields::new();
    assert_eq!(
        written(|out| encode::last_chunk(out, &trailers)),
        "|0\\r\\n\\r\\n"
    );
    trailers.push(b"A", b"b");
    trailers.push(b"Upgrade", b"no");
    assert_eq!(
        written(|out| encode::last_chunk(out, &trailers)),
        "|0\\r\\nA: b\\r\\n\\r\\n"
    );
}
