//! Encodings, strictly: one text for the same bytes and no other.

use std::sync::LazyLock;

use weir_client::percent_encoded;

/// base64url without padding (RFC 4648, section 5; RFC 7515, section 2), canonical: the bits that encode nothing are zero.
pub(crate) fn base64url(text: &[u8]) -> Option<Vec<u8>> {
    const NONE: u8 = 0xff;
    static VALUES: LazyLock<[u8; 256]> = LazyLock::new(|| {
        let mut values = [NONE; 256];
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        for (value, letter) in (0..).zip(letters) {
            values[usize::from(*letter)] = value;
        }
        values
    });
    let values = &*VALUES;
    let value = |letter: u8| u32::from(values[usize::from(letter)]);
    let (groups, tail) = text.as_chunks::<4>();
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let mut seen = 0;
    for &[a, b, c, d] in groups {
        let (a, b, c, d) = (value(a), value(b), value(c), value(d));
        seen |= a | b | c | d;
        let bits = (a << 18) | (b << 12) | (c << 6) | d;
        bytes.extend_from_slice(&[(bits >> 16) as u8, (bits >> 8) as u8, bits as u8]);
    }
    match *tail {
        [] => {}
        [a, b] => {
            let (a, b) = (value(a), value(b));
            seen |= a | b | if b & 0xf == 0 { 0 } else { 0x80 };
            bytes.push(((a << 2) | (b >> 4)) as u8);
        }
        [a, b, c] => {
            let (a, b, c) = (value(a), value(b), value(c));
            seen |= a | b | c | if c & 0x3 == 0 { 0 } else { 0x80 };
            let bits = (a << 10) | (b << 4) | (c >> 2);
            bytes.extend_from_slice(&[(bits >> 8) as u8, bits as u8]);
        }
        _ => return None,
    }
    (seen < 0x40).then_some(bytes)
}

/// base64 with its padding (RFC 4648, section 4), as Basic credentials have it (RFC 7617). Padding may be missing.
pub(crate) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let end = text.iter().rposition(|b| *b != b'=').map_or(0, |at| at + 1);
    if text.len() - end > 2 || (end < text.len() && !text.len().is_multiple_of(4)) {
        return None;
    }
    let text: Option<Vec<u8>> = text[..end]
        .iter()
        .map(|b| match b {
            b'+' => Some(b'-'),
            b'/' => Some(b'_'),
            b'-' | b'_' => None,
            b => Some(*b),
        })
        .collect();
    base64url(&text?)
}

/// base64 with its padding (RFC 4648, section 4).
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| chunk.get(at).map_or(0, |byte| u32::from(*byte));
        let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at)) as usize & 0x3f];
            text.push(if at <= chunk.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    text
}

/// The `Authorization` of an OAuth client (RFC 6749, section 2.3.1): id and secret are encoded before they are joined.
pub(crate) fn basic_credentials(id: &str, secret: &str) -> String {
    let joined = [percent_encoded(id), percent_encoded(secret)].join(":");
    format!("Basic {}", to_base64(joined.as_bytes()))
}

/// Bytes from hexadecimal digits of either case.
pub(crate) fn from_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let (pairs, []) = text.as_chunks::<2>() else {
        return None;
    };
    if pairs.len() != N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
        let (high, low) = (
            char::from(high).to_digit(16)?,
            char::from(low).to_digit(16)?,
        );
        *byte = (high * 16 + low) as u8;
    }
    Some(bytes)
}

/// Hexadecimal digits in lower case.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 0xf)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(*byte)])
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(bytes: &[u8], letters: &[u8; 64]) -> String {
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let bits = chunk.iter().enumerate().fold(0_u32, |bits, (at, byte)| {
                bits | (u32::from(*byte) << (16 - 8 * at))
            });
            for at in 0..=chunk.len() {
                text.push(char::from(letters[(bits >> (18 - 6 * at)) as usize & 0x3f]));
            }
        }
        text
    }

    const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const PLAIN: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    #[test]
    fn only_the_canonical_text_is_read() {
        // RFC 4648, section 10.
        for (text, bytes) in [
            ("", ""),
            ("Zg", "f"),
            ("Zm8", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg", "foob"),
        ] {
            assert_eq!(
                base64url(text.as_bytes()).as_deref(),
                Some(bytes.as_bytes())
            );
        }
        for text in [
            "Zg==", "Zh", "Zm9", "Zm8=", "Z", "Zm9vY", "Zm9v ", "Zm 9v", "Zm9v\n", "Zm+v", "Zm/v",
            "Zm9vYg==", "é", ".",
        ] {
            assert_eq!(base64url(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn credentials_of_oauth_clients() {
        // RFC 6749, section 2.3.1.
        let seen = basic_credentials("s6BhdRkqt3", "gX1fBat3bV");
        assert_eq!(seen, "Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW");
        assert_eq!(
            basic_credentials("a:b", "c d"),
            format!("Basic {}", to_base64(b"a%3Ab:c%20d"))
        );
    }

    #[test]
    fn padding_is_whole_or_missing() {
        for text in ["YTpi", "YTo=", "YTo", "YQ==", "YQ", ""] {
            assert!(base64(text.as_bytes()).is_some(), "{text}");
        }
        for text in [
            "YTo==", "YQ=", "YTpi=", "YTpi==", "YTpi====", "=", "Y=Q=", "YT_i",
        ] {
            assert_eq!(base64(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_comes_back(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert_eq!(base64url(encode(&bytes, URL).as_bytes()), Some(bytes.clone()));
            prop_assert_eq!(base64(encode(&bytes, PLAIN).as_bytes()), Some(bytes.clone()));
            prop_assert_eq!(base64(to_base64(&bytes).as_bytes()), Some(bytes));
        }

        #[test]
        fn no_two_texts_mean_the_same(text in "[A-Za-z0-9_=+/ -]{0,12}") {
            if let Some(bytes) = base64url(text.as_bytes()) {
                prop_assert_eq!(encode(&bytes, URL), text);
            }
        }

        #[test]
        fn hex_comes_back(bytes in any::<[u8; 8]>()) {
            prop_assert_eq!(from_hex::<8>(to_hex(&bytes).as_bytes()), Some(bytes));
        }
    }
}
