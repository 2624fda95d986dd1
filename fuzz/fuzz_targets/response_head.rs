//! Response heads: no panic, no dependence on how the bytes are split, and what would be forwarded means the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_fuzz::codec::{BodyLength, HeadError, HeadLimits, Method, Parsed, ResponseHead, encode};
use weir_fuzz::{LIMITS, fields, forwarded, splits};

type Outcome = Result<Option<(usize, String)>, HeadError>;

fuzz_target!(|input: &[u8]| {
    let mut head = ResponseHead::new();
    let whole = parse(&mut head, input, &mut 0);
    if let Ok(Some((len, _))) = &whole {
        assert!(*len <= input.len());
        assert_eq!(
            parse(&mut ResponseHead::new(), &input[..*len], &mut 0),
            whole,
            "what follows does not matter"
        );
        reencode(&head);
    }
    for ends in splits(input.len()) {
        assert_eq!(in_pieces(&mut head, input, &ends), whole, "{ends:?}");
    }
});

fn in_pieces(head: &mut ResponseHead, input: &[u8], ends: &[usize]) -> Outcome {
    let mut scanned = 0;
    for &end in ends {
        let outcome = parse(head, &input[..end], &mut scanned);
        if outcome != Ok(None) {
            return outcome;
        }
    }
    parse(head, input, &mut scanned)
}

fn parse(head: &mut ResponseHead, input: &[u8], scanned: &mut usize) -> Outcome {
    Ok(match head.parse(input, scanned, &LIMITS)? {
        Parsed::Partial => None,
        Parsed::Complete(len) => Some((len, summary(head))),
    })
}

fn summary(head: &ResponseHead) -> String {
    format!(
        "{} {} {:?} {:?} {:?} {:?} {:?}\n{}",
        head.status(),
        head.reason().escape_ascii(),
        head.version(),
        head.body(Method::Get),
        head.content_length(),
        head.keep_alive(),
        head.upgrade(),
        fields(head.fields()),
    )
}

/// Forwards the head as a proxy would, and reads it as the client would.
fn reencode(head: &ResponseHead) {
    assert!((100..1000).contains(&head.status()));
    assert_eq!(head.body(Method::Head), BodyLength::None);
    let mut out = Vec::new();
    encode::status_line(&mut out, head.status(), head.reason());
    head.fields().write_forwarded(&mut out, |_| true);
    encode::end_of_head(&mut out);
    let mut next = ResponseHead::new();
    // Rewriting may lengthen a head by a space a line.
    let limits = HeadLimits {
        max_head: 4096,
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
    assert_eq!(next.status(), head.status());
    assert_eq!(next.reason(), head.reason());
    assert_eq!(forwarded(next.fields(), b""), forwarded(head.fields(), b""));
    if head.body(Method::Get) != BodyLength::Chunked {
        assert_eq!(
            next.body(Method::Get),
            head.body(Method::Get),
            "the coding goes hop by hop, a length does not"
        );
    }
}
