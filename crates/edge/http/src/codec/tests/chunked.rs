//! The chunked coding.

use super::super::{ChunkError, ChunkedDecoder, FieldId, HeadError, HeadLimits, Run};
use super::{LIMITS, fields_summary, text};

/// The content, the trailers, and how many bytes the message took.
pub(super) type Decoded = Result<Option<(Vec<u8>, String, usize)>, ChunkError>;

/// Decodes `input`, handing it over up to each of `ends` in turn.
pub(super) fn decode(
    decoder: &mut ChunkedDecoder,
    input: &[u8],
    ends: impl IntoIterator<Item = usize>,
) -> Decoded {
    decoder.reset();
    let mut at = 0;
    let mut content = Vec::new();
    for end in ends.into_iter().chain([input.len()]) {
        loop {
            match decoder.decode(&input[at..end])? {
                Run::Data { start, end: stop } => {
                    assert!(start < stop && stop <= end - at);
                    content.extend_from_slice(&input[at + start..at + stop]);
                    at += stop;
                }
                Run::NeedMore { consumed } => {
                    assert_eq!(at + consumed, end, "all of the input is framing");
                    at = end;
                    break;
                }
                Run::End { consumed } => {
                    assert!(decoder.is_done());
                    assert_eq!(
                        decoder.decode(&input[at + consumed..]),
                        Ok(Run::End { consumed: 0 })
                    );
                    return Ok(Some((
                        content,
                        fields_summary(decoder.trailers()),
                        at + consumed,
                    )));
                }
            }
        }
    }
    Ok(None)
}

/// Decodes whole, split at every place, and byte by byte, all with one decoder.
fn everyhow(input: &[u8], limits: HeadLimits) -> Decoded {
    let mut decoder = ChunkedDecoder::new(limits);
    let expected = decode(&mut decoder, input, []);
    for split in 0..input.len() {
        assert_eq!(
            decode(&mut decoder, input, [split]),
            expected,
            "{} split at {split}",
            text(input)
        );
    }
    assert_eq!(
        decode(&mut decoder, input, 0..input.len()),
        expected,
        "{} byte by byte",
        text(input)
    );
    expected
}

fn content(input: &str) -> (String, String, usize) {
    let (content, trailers, len) = everyhow(input.as_bytes(), LIMITS)
        .unwrap_or_else(|error| panic!("{input:?}: {error}"))
        .unwrap_or_else(|| panic!("{input:?}: not complete"));
    (text(&content), trailers, len)
}

#[test]
fn messages() {
    for (input, expected) in [
        ("0\r\n\r\n", ""),
        ("0000000000000000\r\n\r\n", ""),
        ("1\r\na\r\n0\r\n\r\n", "a"),
        ("5\r\nhello\r\n00006\r\n world\r\n0\r\n\r\n", "hello world"),
        (
            "a\r\n0123456789\r\nA\r\n0123456789\r\n000\r\n\r\n",
            "01234567890123456789",
        ),
        ("1;a\r\nx\r\n0\r\n\r\n", "x"),
        (
            "1;a=b;c;d=\"e\\\";\tf \u{e9}\"\r\nx\r\n0;z=\"\"\r\n\r\n",
            "x",
        ),
        ("1;a=b\r\nx\r\n0;chunk-signature=ad80c730\r\n\r\n", "x"),
        ("2\r\n\r\n\r\n0\r\n\r\n", "\\r\\n"),
        ("3\r\n0\r\n\r\n0\r\n\r\n", "0\\r\\n"),
    ] {
        let (content, trailers, len) = content(input);
        assert_eq!(content, expected, "{input:?}");
        assert_eq!((trailers.as_str(), len), ("", input.len()), "{input:?}");
    }
    let (_, _, len) = content("0\r\n\r\nGET / HTTP/1.1\r\n");
    assert_eq!(len, 5);
}

#[test]
fn what_is_not_complete() {
    let message = b"5;a=\"b\"\r\nhello\r\n0\r\nA: b\r\n\r\n";
    for end in 0..message.len() {
        assert_eq!(everyhow(&message[..end], LIMITS), Ok(None), "{end}");
    }
}

#[test]
fn messages_that_are_refused() {
    use ChunkError::*;
    for (input, expected) in [
        ("\r\n", Size),
        ("\n", Size),
        (";a\r\n", Size),
        ("g\r\n", Size),
        ("+1\r\n", Size),
        ("-1\r\n", Size),
        ("0x1\r\n", Size),
        (" 1\r\n", Size),
        ("\t1\r\n", Size),
        ("1 \r\n", Size),
        ("1 ;a\r\n", Size),
        ("1_0\r\n", Size),
        ("1,\r\n", Size),
        ("1\0\r\n", Size),
        ("1\n", Size),
        ("1h\r\n", Size),
        ("\u{661}\r\n", Size),
        ("00000000000000001\r\n", SizeTooLong),
        ("10000000000000000\r\n", SizeTooLong),
        ("fffffffffffffffff\r\n", SizeTooLong),
        ("1\ra", LineEnd),
        ("1\r\r\n", LineEnd),
        ("1;a\rb", LineEnd),
        ("1;\r\n", Extension),
        ("1;;a\r\n", Extension),
        ("1; a\r\n", Extension),
        ("1;a \r\n", Extension),
        ("1;a =b\r\n", Extension),
        ("1;a= b\r\n", Extension),
        ("1;=b\r\n", Extension),
        ("1;a=\r\n", Extension),
        ("1;a=;b\r\n", Extension),
        ("1;a=b=c\r\n", Extension),
        ("1;a=\"b\r\n", Extension),
        ("1;a=\"b\n\"\r\n", Extension),
        ("1;a=\"b\\\r\"\r\n", Extension),
        ("1;a=\"\0\"\r\n", Extension),
        ("1;a=\"b\"c\r\n", Extension),
        ("1;a=b\"c\"\r\n", Extension),
        ("1;a\n", Extension),
        ("1;a\nx\r\n", Extension),
        ("1;a\0\r\n", Extension),
        ("1;\u{e9}\r\n", Extension),
        ("1\r\nab\r\n", DataEnd),
        ("1\r\na\n", DataEnd),
        ("1\r\na\rb", DataEnd),
        ("1\r\na0\r\n\r\n", DataEnd),
        ("2\r\na\r\n0\r\n\r\n", DataEnd),
        ("1\r\na\r\n\r\n", Size),
        ("0\r\n\n", Trailer(HeadError::BareLf)),
        ("0\r\nA: b\n\r\n", Trailer(HeadError::BareLf)),
        ("0\r\nA: b\rc\r\n\r\n", Trailer(HeadError::BareCr)),
        ("0\r\nA : b\r\n\r\n", Trailer(HeadError::SpaceBeforeColon)),
        ("0\r\n A: b\r\n\r\n", Trailer(HeadError::ObsFold)),
        ("0\r\nA: b\r\n c\r\n\r\n", Trailer(HeadError::ObsFold)),
        ("0\r\nA: \0\r\n\r\n", Trailer(HeadError::InvalidFieldValue)),
        ("0\r\nA\r\n\r\n", Trailer(HeadError::FieldWithoutColon)),
        (
            "0\r\nGET / HTTP/1.1\r\n",
            Trailer(HeadError::FieldWithoutColon),
        ),
        ("0\r\nContent-Length: 1\r\n\r\n", ForbiddenTrailer),
        ("0\r\ntransfer-encoding: chunked\r\n\r\n", ForbiddenTrailer),
        ("0\r\nHost: a\r\n\r\n", ForbiddenTrailer),
    ] {
        assert_eq!(
            everyhow(input.as_bytes(), LIMITS),
            Err(expected),
            "{input:?}"
        );
    }
}

#[test]
fn the_largest_size_is_only_waited_for() {
    let mut decoder = ChunkedDecoder::new(LIMITS);
    assert_eq!(
        decoder.decode(b"ffffffffffffffff\r\nab"),
        Ok(Run::Data { start: 18, end: 20 })
    );
    assert_eq!(decoder.remaining_in_chunk(), u64::MAX - 2);
    decoder.reset();
    assert_eq!(decoder.remaining_in_chunk(), 0);
}

#[test]
fn extensions_are_capped() {
    let chunk = |len: usize| format!("1;{}\r\na\r\n", "x".repeat(len - 1));
    let message =
        |extension: usize, chunks: usize| format!("{}0\r\n\r\n", chunk(extension).repeat(chunks));
    assert_eq!(content(&message(256, 1)).0, "a");
    assert_eq!(
        everyhow(message(257, 1).as_bytes(), LIMITS),
        Err(ChunkError::ExtensionTooLong)
    );
    let mut decoder = ChunkedDecoder::new(LIMITS);
    assert!(matches!(
        decode(&mut decoder, message(256, 256).as_bytes(), []),
        Ok(Some(_))
    ));
    assert_eq!(
        decode(&mut decoder, message(256, 257).as_bytes(), []),
        Err(ChunkError::ExtensionTooLong)
    );
}

#[test]
fn trailers_that_change_nothing_are_kept() {
    let input = "0\r\nX-Sum:  1 \r\nETag: \"a\"\r\nContent-Type: a\r\nContent-Foo: a\r\nConnection: a\r\nTrailer: a\r\n\
        Authorization: a\r\nSet-Cookie: a\r\nX-Forwarded-For: a\r\nTE: a\r\ngrpc-status: 0\r\n\r\n";
    let mut decoder = ChunkedDecoder::new(LIMITS);
    assert!(matches!(everyhow(input.as_bytes(), LIMITS), Ok(Some(_))));
    assert!(matches!(
        decode(&mut decoder, input.as_bytes(), []),
        Ok(Some(_))
    ));
    let kept: Vec<_> = decoder
        .trailers()
        .iter()
        .map(|(_, name, value)| (text(name), text(value)))
        .collect();
    let expected = [("X-Sum", "1"), ("ETag", "\\\"a\\\""), ("grpc-status", "0")];
    assert_eq!(
        kept,
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    assert!(decoder.trailers().first(FieldId::ETag).is_some());
    assert!(matches!(
        decode(&mut decoder, b"0\r\n\r\n", []),
        Ok(Some(_))
    ));
    assert!(decoder.trailers().is_empty());
}

#[test]
fn trailers_are_capped() {
    let limits = HeadLimits {
        max_head: 100,
        max_fields: 3,
        max_target: 0,
        max_field: 50,
    };
    let all = |lines: &str| everyhow(format!("0\r\n{lines}\r\n").as_bytes(), limits);
    let line = |len: usize| format!("A: {}\r\n", "b".repeat(len - 5));
    let error = |error| Err(ChunkError::Trailer(error));
    assert!(matches!(all(&line(52)), Ok(Some(_))));
    assert_eq!(all(&line(53)), error(HeadError::FieldTooLong));
    assert!(matches!(all(&line(49).repeat(2)), Ok(Some(_))));
    assert_eq!(all(&line(50).repeat(2)), error(HeadError::HeadTooLarge));
    assert!(matches!(all(&line(10).repeat(3)), Ok(Some(_))));
    assert_eq!(all(&line(10).repeat(4)), error(HeadError::TooManyFields));
    assert_eq!(
        all("TE: a\r\nTE: a\r\nTE: a\r\nTE: a\r\n"),
        error(HeadError::TooManyFields)
    );
}
