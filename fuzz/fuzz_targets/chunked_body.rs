//! The chunked coding: no panic, no dependence on how the bytes are split, and content and trailers that are written
//! again come back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_fuzz::codec::{ChunkError, ChunkedDecoder, HeadLimits, Run, encode};
use weir_fuzz::{LIMITS, fields, forwarded, splits};

type Outcome = Result<Option<(Vec<u8>, String, usize)>, ChunkError>;

fuzz_target!(|input: &[u8]| {
    let mut decoder = ChunkedDecoder::new(LIMITS);
    let whole = decode(&mut decoder, input, &[]);
    if let Ok(Some((content, ..))) = &whole {
        let mut encoded = Vec::new();
        for chunk in content.chunks(7) {
            encode::chunk(&mut encoded, chunk);
        }
        encode::last_chunk(&mut encoded, decoder.trailers());
        let kept = forwarded(decoder.trailers(), b"");
        // Canonical lines are a byte longer than the shortest that are accepted.
        let mut decoder = ChunkedDecoder::new(HeadLimits {
            max_head: 2 * LIMITS.max_head,
            max_field: 2 * LIMITS.max_field,
            ..LIMITS
        });
        let again = decode(&mut decoder, &encoded, &[]);
        assert!(
            matches!(&again, Ok(Some((again, _, len))) if again == content && *len == encoded.len()),
            "{again:?}"
        );
        assert_eq!(forwarded(decoder.trailers(), b""), kept);
    }
    for ends in splits(input.len()) {
        assert_eq!(decode(&mut decoder, input, &ends), whole, "{ends:?}");
    }
});

fn decode(decoder: &mut ChunkedDecoder, input: &[u8], ends: &[usize]) -> Outcome {
    decoder.reset();
    let mut at = 0;
    let mut content = Vec::new();
    for &end in ends.iter().chain([&input.len()]) {
        loop {
            match decoder.decode(&input[at..end])? {
                Run::Data { start, end: stop } => {
                    assert!(start < stop && stop <= end - at);
                    content.extend_from_slice(&input[at + start..at + stop]);
                    at += stop;
                }
                Run::NeedMore { consumed } => {
                    assert_eq!(at + consumed, end);
                    at = end;
                    break;
                }
                Run::End { consumed } => {
                    assert!(decoder.is_done());
                    return Ok(Some((content, fields(decoder.trailers()), at + consumed)));
                }
            }
        }
    }
    Ok(None)
}
