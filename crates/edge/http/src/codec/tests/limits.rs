//! Limits, and errors that are known before the head is complete.

use super::super::{HeadError, HeadLimits, RequestHead, ResponseHead};
use super::{LIMITS, Outcome, outcome, text};

const SMALL: HeadLimits = HeadLimits {
    max_head: 200,
    max_fields: 3,
    max_target: 20,
    max_field: 60,
};

fn request(head: &str, limits: &HeadLimits) -> Outcome {
    outcome::<RequestHead>(head.as_bytes(), limits)
}

#[test]
fn target() {
    let head = |len| format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", "/".repeat(len));
    assert!(matches!(request(&head(20), &SMALL), Ok(Some(_))));
    assert_eq!(request(&head(21), &SMALL), Err(HeadError::TargetTooLong));
    let unfinished = |len| format!("GET {}", "/".repeat(len));
    assert_eq!(request(&unfinished(40), &SMALL), Ok(None));
    assert_eq!(
        request(&unfinished(80), &SMALL),
        Err(HeadError::TargetTooLong)
    );
    assert_eq!(
        request(&"G".repeat(80), &SMALL),
        Err(HeadError::TargetTooLong)
    );
    // No smaller than the limit for heads.
    let tiny = HeadLimits {
        max_head: 10,
        ..SMALL
    };
    assert_eq!(request("GET /12345", &tiny), Err(HeadError::TargetTooLong));
}

#[test]
fn field() {
    let head = |len: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
            "y".repeat(len - 3)
        )
    };
    assert!(matches!(request(&head(60), &SMALL), Ok(Some(_))));
    assert_eq!(request(&head(61), &SMALL), Err(HeadError::FieldTooLong));
    let unfinished =
        |len: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "y".repeat(len - 3));
    assert_eq!(request(&unfinished(61), &SMALL), Ok(None));
    assert_eq!(
        request(&unfinished(62), &SMALL),
        Err(HeadError::FieldTooLong)
    );
}

#[test]
fn field_name() {
    let limits = HeadLimits {
        max_head: 1 << 20,
        max_field: 1 << 20,
        ..LIMITS
    };
    let head = |len| format!("HTTP/1.1 200 OK\r\n{}: a\r\n\r\n", "y".repeat(len));
    assert!(matches!(
        super::whole::<ResponseHead>(head(65_535).as_bytes(), &limits),
        Ok(Some(_))
    ));
    assert_eq!(
        super::whole::<ResponseHead>(head(65_536).as_bytes(), &limits),
        Err(HeadError::FieldTooLong)
    );
}

#[test]
fn fields() {
    let head = |count| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "A: b\r\n".repeat(count)
        )
    };
    assert!(matches!(request(&head(2), &SMALL), Ok(Some(_))));
    assert_eq!(request(&head(3), &SMALL), Err(HeadError::TooManyFields));
    // Known from the first byte of the line.
    assert_eq!(
        request("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nA: b\r\nA", &SMALL),
        Err(HeadError::TooManyFields)
    );
    assert_eq!(
        request("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nA: b\r\n", &SMALL),
        Ok(None)
    );
}

#[test]
fn head() {
    let head = "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n";
    let limits = |max_head| HeadLimits { max_head, ..SMALL };
    assert!(matches!(request(head, &limits(head.len())), Ok(Some(_))));
    for max_head in head.find("Host").unwrap_or(0)..head.len() {
        assert_eq!(
            request(head, &limits(max_head)),
            Err(HeadError::HeadTooLarge),
            "{max_head}"
        );
    }
    // Counted without what follows.
    assert!(matches!(
        super::whole::<RequestHead>(format!("{head}{head}").as_bytes(), &limits(head.len())),
        Ok(Some(_))
    ));
    // Known as soon as no end can come within the limit.
    assert_eq!(
        request(&head[..head.len() - 2], &limits(head.len() - 2)),
        Err(HeadError::HeadTooLarge)
    );
    assert_eq!(request("", &limits(0)), Ok(None));
    assert_eq!(request("G", &limits(0)), Err(HeadError::HeadTooLarge));
    let status_line = b"HTTP/1.1 200 OK\r\n\r\n";
    for max_head in 0..status_line.len() {
        let limits = limits(max_head);
        assert_eq!(
            outcome::<ResponseHead>(status_line, &limits),
            Err(HeadError::HeadTooLarge),
            "{max_head}"
        );
    }
}

#[test]
fn nothing_to_wait_for() {
    for (start, expected) in [
        (&b"\x16\x03\x01"[..], HeadError::InvalidMethod),
        (b"\0", HeadError::InvalidMethod),
        (b" ", HeadError::InvalidMethod),
        (b"\n", HeadError::BareLf),
        (b"\r\r", HeadError::BareCr),
        (b"\r\n\r", HeadError::LeadingEmptyLine),
        (b"GET / HTTP/1.1\n", HeadError::BareLf),
        (b"GET / HTTP/1.1\r\n\ra", HeadError::BareCr),
        (b"GET / HTTP/1.1\r\nHost: a\r\nA: b\n", HeadError::BareLf),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n",
            HeadError::InvalidContentLength,
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n",
            HeadError::DuplicateHost,
        ),
        (b"GET / HTTP/3.0\r\n", HeadError::UnsupportedVersion),
    ] {
        assert_eq!(
            outcome::<RequestHead>(start, &LIMITS),
            Err(expected),
            "{}",
            text(start)
        );
    }
    for start in [&b"G"[..], b"\r", b"\0", b" "] {
        assert_eq!(
            outcome::<ResponseHead>(start, &LIMITS),
            Err(HeadError::InvalidStatusLine),
            "{}",
            text(start)
        );
    }
}

#[test]
fn every_prefix_of_a_good_head_is_partial() {
    let head = b"\r\nPOST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX-A:\tb \r\n\r\n";
    for end in 0..head.len() {
        assert_eq!(
            super::whole::<RequestHead>(&head[..end], &LIMITS),
            Ok(None),
            "{end}"
        );
    }
    let head = b"HTTP/1.1 200\r\nContent-Length: 3\r\nX-A:\tb \r\n\r\n";
    for end in 0..head.len() {
        assert_eq!(
            super::whole::<ResponseHead>(&head[..end], &LIMITS),
            Ok(None),
            "{end}"
        );
    }
}
