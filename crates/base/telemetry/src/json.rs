//! JSON text, straight into a byte buffer.
//!
//! What is logged comes from the network and may be any bytes; what comes out must be valid JSON on
//! one line, and must not carry control characters to whoever reads it in a terminal. Valid UTF-8
//! stays as it is, C0 and C1 controls become `\u00XX`, and a byte that is not UTF-8 becomes the
//! `\u00XX` of its value, so nothing is silently lost. Nearly every value is clean ASCII, which
//! eight bytes at a time can tell.

use std::time::Duration;

/// Longer values are cut here and end in `…`.
pub(crate) const MAX_TEXT: usize = 8 * 1024;

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);

/// Appends a string with its quotes.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    push_text(out, text);
    out.push(b'"');
}

/// Appends the inside of a string.
#[inline]
pub(crate) fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    if text.len() <= MAX_TEXT && is_clean(text) {
        out.extend_from_slice(text);
    } else {
        push_unclean(out, text);
    }
}

#[cold]
fn push_unclean(out: &mut Vec<u8>, text: &[u8]) {
    if text.len() <= MAX_TEXT {
        return push_escaped(out, text);
    }
    // Not in the middle of a character.
    let back = text[MAX_TEXT - 3..=MAX_TEXT]
        .iter()
        .rev()
        .take_while(|byte| **byte & 0xc0 == 0x80)
        .count();
    push_escaped(out, &text[..MAX_TEXT - back % 4]);
    out.extend_from_slice("…".as_bytes());
}

fn push_escaped(out: &mut Vec<u8>, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                '\0'..='\x1f' | '\x7f'..='\u{9f}' => push_code(out, c as u8),
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        for byte in chunk.invalid() {
            push_code(out, *byte);
        }
    }
}

fn push_code(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(&[
        b'\\',
        b'u',
        b'0',
        b'0',
        HEX[usize::from(byte >> 4)],
        HEX[usize::from(byte & 15)],
    ]);
}

/// Whether every byte is printable ASCII other than `"` and `\`.
#[inline]
fn is_clean(text: &[u8]) -> bool {
    let (words, _) = text.as_chunks::<8>();
    if words
        .iter()
        .any(|word| dirty(u64::from_ne_bytes(*word)) != 0)
    {
        return false;
    }
    match text.last_chunk::<8>() {
        // Overlaps with the last word.
        Some(last) => dirty(u64::from_ne_bytes(*last)) == 0,
        None => text
            .iter()
            .all(|byte| matches!(byte, 0x20..=0x7e if *byte != b'"' && *byte != b'\\')),
    }
}

/// Non-zero if any of eight bytes needs escaping. Subtraction may borrow into the byte above and
/// flag it too, but only when the one below is flagged already.
#[inline]
const fn dirty(word: u64) -> u64 {
    const fn zero(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word
    }
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = zero(word ^ (ONES * b'"' as u64));
    let backslash = zero(word ^ (ONES * b'\\' as u64));
    let delete = zero(word ^ (ONES * 0x7f));
    (word | control | quote | backslash | delete) & HIGHS
}

/// Appends an integer.
#[inline]
pub(crate) fn push_int(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a duration in milliseconds with three decimals.
#[inline]
pub(crate) fn push_millis(out: &mut Vec<u8>, duration: Duration) {
    let micros = duration.subsec_micros();
    push_int(
        out,
        duration
            .as_secs()
            .saturating_mul(1000)
            .saturating_add(u64::from(micros / 1000)),
    );
    let micros = micros % 1000;
    let digit = |value: u32| b'0' + (value % 10) as u8;
    out.extend_from_slice(&[b'.', digit(micros / 100), digit(micros / 10), digit(micros)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a reader should get back.
    fn model(text: &[u8]) -> String {
        let mut out = String::new();
        for chunk in text.utf8_chunks() {
            out.push_str(chunk.valid());
            out.extend(chunk.invalid().iter().map(|byte| char::from(*byte)));
        }
        out
    }

    fn string(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        push_string(&mut out, text);
        out
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(text: Vec<u8>) {
            let json = string(&text);
            prop_assert!(!json.iter().any(|byte| *byte < 0x20 || *byte == 0x7f));
            prop_assert_eq!(serde_json::from_slice::<String>(&json).unwrap(), model(&text));
        }

        #[test]
        fn any_text_comes_back(text: String) {
            prop_assert_eq!(serde_json::from_slice::<String>(&string(text.as_bytes())).unwrap(), text);
        }

        #[test]
        fn cleanness_is_what_it_says(mut text in proptest::collection::vec(0x20u8..0x7f, 0..40), at: usize, odd: u8) {
            if !text.is_empty() {
                let at = at % text.len();
                text[at] = odd;
            }
            let naive = text.iter().all(|b| (0x20..0x7f).contains(b) && *b != b'"' && *b != b'\\');
            prop_assert_eq!(is_clean(&text), naive);
        }

        #[test]
        fn durations_read_as_milliseconds(secs in 0u64..1_000_000, nanos in 0u32..1_000_000_000) {
            let mut out = Vec::new();
            push_millis(&mut out, Duration::new(secs, nanos));
            let micros = u128::from(secs) * 1_000_000 + u128::from(nanos / 1000);
            prop_assert_eq!(String::from_utf8(out).unwrap(), format!("{}.{:03}", micros / 1000, micros % 1000));
        }
    }

    #[test]
    fn every_byte_in_every_place_of_a_word() {
        for byte in 0..=255u8 {
            for place in 0..8 {
                let mut word = *b"abcdefgh";
                word[place] = byte;
                let clean = (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
                assert_eq!(
                    dirty(u64::from_ne_bytes(word)) == 0,
                    clean,
                    "{byte:#x} at {place}"
                );
            }
        }
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        for pad in 0..8 {
            let text = format!("{}{}", "x".repeat(pad), "€😀é".repeat(2000));
            let json: String = serde_json::from_slice(&string(text.as_bytes())).unwrap();
            let kept = json.strip_suffix('…').unwrap();
            assert!(text.starts_with(kept));
            assert!(kept.len() > MAX_TEXT - 4 && kept.len() <= MAX_TEXT);
        }
        let exact = "x".repeat(MAX_TEXT);
        assert_eq!(string(exact.as_bytes()).len(), MAX_TEXT + 2);
        let continuation = vec![0x80; MAX_TEXT + 10];
        assert!(serde_json::from_slice::<String>(&string(&continuation)).is_ok());
    }

    #[test]
    fn terminals_see_no_controls() {
        assert_eq!(
            string("a\x1b[31m\u{9b}b\x7f\r\n\t".as_bytes()),
            br#""a\u001b[31m\u009bb\u007f\r\n\t""#
        );
        assert_eq!(string(b"\xff\xfe"), br#""\u00ff\u00fe""#);
    }
}
