//! Request heads: no panic, no dependence on how the bytes are split, and what would be forwarded means the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_fuzz::codec::{
    BodyLength, FieldId, HeadError, HeadLimits, Method, Parsed, RequestHead, encode,
};
use weir_fuzz::{LIMITS, fields, forwarded, splits};

type Outcome = Result<Option<(usize, String)>, HeadError>;

fuzz_target!(|input: &[u8]| {
    let mut head = RequestHead::new();
    let whole = parse(&mut head, input, &mut 0);
    if let Ok(Some((len, _))) = &whole {
        assert!(*len <= input.len());
        assert_eq!(
            parse(&mut RequestHead::new(), &input[..*len], &mut 0),
            whole,
            "what follows does not matter"
        );
        reencode(&head);
    }
    for ends in splits(input.len()) {
        assert_eq!(in_pieces(&mut head, input, &ends), whole, "{ends:?}");
    }
});

fn in_pieces(head: &mut RequestHead, input: &[u8], ends: &[usize]) -> Outcome {
    let mut scanned = 0;
    for &end in ends {
        let outcome = parse(head, &input[..end], &mut scanned);
        if outcome != Ok(None) {
            return outcome;
        }
    }
    parse(head, input, &mut scanned)
}

fn parse(head: &mut RequestHead, input: &[u8], scanned: &mut usize) -> Outcome {
    Ok(match head.parse(input, scanned, &LIMITS)? {
        Parsed::Partial => None,
        Parsed::Complete(len) => Some((len, summary(head))),
    })
}

fn summary(head: &RequestHead) -> String {
    format!(
        "{:?} {} {} {:?} {:?} {} {:?} {} {} {:?} {:?} {:?} {} {} {:?} {}\n{}",
        head.method(),
        head.method_bytes().escape_ascii(),
        head.target().escape_ascii(),
        head.form(),
        head.scheme(),
        head.path().escape_ascii(),
        head.query(),
        head.authority().escape_ascii(),
        head.host().escape_ascii(),
        head.port(),
        head.version(),
        head.body(),
        head.keep_alive(),
        head.expects_continue(),
        head.upgrade(),
        head.te_trailers(),
        fields(head.fields()),
    )
}

/// Forwards the head as a proxy would, and reads it as the next hop would.
fn reencode(head: &RequestHead) {
    assert!(!head.target().is_empty() && !head.method_bytes().is_empty());
    assert!(!head.path().is_empty() || head.method() == Method::Connect);
    let mut out = Vec::new();
    encode::request_line(&mut out, head.method_bytes(), head.target());
    let host = if head.authority().is_empty() {
        b"h"
    } else {
        head.authority()
    };
    encode::field(&mut out, b"Host", host);
    if head.body() == BodyLength::Chunked {
        encode::field(&mut out, b"Transfer-Encoding", b"chunked");
    }
    head.fields()
        .write_forwarded(&mut out, |field| field.id() != FieldId::Host);
    encode::end_of_head(&mut out);
    let mut next = RequestHead::new();
    // Rewriting may lengthen a head by a Host field and a space a line.
    let limits = HeadLimits {
        max_head: 4096,
        max_fields: 32,
        max_field: 1024,
        ..LIMITS
    };
    let parsed = next.parse(&out, &mut 0, &limits);
    assert_eq!(
        parsed,
        Ok(Parsed::Complete(out.len())),
        "{}",
        out.escape_ascii()
    );
    assert_eq!(next.method_bytes(), head.method_bytes());
    assert_eq!(next.target(), head.target());
    assert_eq!(next.path(), head.path());
    assert_eq!(next.query(), head.query());
    assert_eq!(next.authority(), host);
    assert_eq!(next.body(), head.body());
    assert_eq!(
        forwarded(next.fields(), b"host"),
        forwarded(head.fields(), b"host")
    );
    assert!(next.fields().list().iter().all(|field| field.canonical()));
}
