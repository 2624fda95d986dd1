//! The grammar of field lines.

use super::super::{HeadError, RequestHead};
use super::request::{ok, refused};
use super::{error, text};

#[test]
fn field_lines_that_are_refused() {
    use HeadError::*;
    for (lines, expected) in [
        ("A : b\r\n", SpaceBeforeColon),
        ("A\t: b\r\n", SpaceBeforeColon),
        ("Content-Length : 1\r\n", SpaceBeforeColon),
        (" A: b\r\n", ObsFold),
        ("A: b\r\n c\r\n", ObsFold),
        ("A: b\r\n\tc\r\n", ObsFold),
        ("A: b\r\n \r\n", ObsFold),
        (": b\r\n", EmptyFieldName),
        (":\r\n", EmptyFieldName),
        ("A\r\n", FieldWithoutColon),
        ("A b\r\n", FieldWithoutColon),
        ("A B: c\r\n", InvalidFieldName),
        ("A(: b\r\n", InvalidFieldName),
        ("A\0: b\r\n", InvalidFieldName),
        ("\0A: b\r\n", InvalidFieldName),
        ("\u{e9}: b\r\n", InvalidFieldName),
        ("A\u{b}: b\r\n", InvalidFieldName),
        ("\"A\": b\r\n", InvalidFieldName),
        ("A: \0\r\n", InvalidFieldValue),
        ("A: b\u{1}c\r\n", InvalidFieldValue),
        ("A: b\u{7f}\r\n", InvalidFieldValue),
        ("A:\u{b}b\r\n", InvalidFieldValue),
        ("A: 12345678\t9012345\u{1f}\r\n", InvalidFieldValue),
        ("A: b\rc\r\n", BareCr),
        ("A: b\r\r\n", BareCr),
        ("A\r: b\r\n", BareCr),
        ("\rA: b\r\n", BareCr),
        ("A: b\n", BareLf),
        ("A: b\nC: d\r\n", BareLf),
        ("A\n: b\r\n", BareLf),
        ("\nA: b\r\n", BareLf),
        ("\n", BareLf),
        ("A: b\r\n\n", BareLf),
    ] {
        refused(lines, expected);
    }
    assert_eq!(
        error::<RequestHead>(b"GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
        Some(ObsFold)
    );
    assert_eq!(
        error::<RequestHead>(b"GET / HTTP/1.1\r\nHost: a\r\n\rX"),
        Some(BareCr)
    );
}

#[test]
fn every_byte_in_its_place() {
    for byte in 0..=255_u8 {
        let token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let in_name = [
            b"GET / HTTP/1.1\r\nHost: a\r\nA".as_slice(),
            &[byte],
            b"B: c\r\n\r\n",
        ]
        .concat();
        assert_eq!(
            error::<RequestHead>(&in_name).is_none(),
            token || byte == b':',
            "{byte:#x} in a name"
        );
        let in_value = [
            b"GET / HTTP/1.1\r\nHost: a\r\nA: b".as_slice(),
            &[byte],
            b"c\r\n\r\n",
        ]
        .concat();
        let value = byte >= 0x20 && byte != 0x7f || byte == b'\t';
        assert_eq!(
            error::<RequestHead>(&in_value).is_none(),
            value,
            "{byte:#x} in a value"
        );
        let in_method = [b"G".as_slice(), &[byte], b"T / HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        assert_eq!(
            error::<RequestHead>(&in_method).is_none(),
            token,
            "{byte:#x} in a method"
        );
        let in_target = [
            b"GET /".as_slice(),
            &[byte],
            b"a HTTP/1.1\r\nHost: a\r\n\r\n",
        ]
        .concat();
        let target = (0x21..0x7f).contains(&byte) && byte != b'#';
        assert_eq!(
            error::<RequestHead>(&in_target).is_none(),
            target,
            "{byte:#x} in a target"
        );
        let in_host = [
            b"GET / HTTP/1.1\r\nHost: a".as_slice(),
            &[byte],
            b"1\r\n\r\n",
        ]
        .concat();
        let host = byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte);
        assert_eq!(
            error::<RequestHead>(&in_host).is_none(),
            host,
            "{byte:#x} in a host"
        );
    }
}

#[test]
fn values_are_trimmed() {
    let head = ok("A:b\r\nB: \t c \t d\t \r\nC:\r\nD: \t\r\nE: x\u{e9}\r\n");
    let values: Vec<_> = head
        .fields()
        .iter()
        .skip(1)
        .map(|(_, name, value)| (text(name), value.to_vec()))
        .collect();
    let expected = [
        ("A", "b"),
        ("B", "c \t d"),
        ("C", ""),
        ("D", ""),
        ("E", "x\u{e9}"),
    ];
    assert_eq!(
        values,
        expected.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
    );
}
