//! `application/x-www-form-urlencoded`, which OAuth speaks in bodies and queries (RFC 6749, appendix B).

use std::fmt::Write as _;

/// Fields as a form: a body, or what follows `?` in a URL.
pub fn form<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::new();
    for (name, value) in fields {
        if !out.is_empty() {
            out.push('&');
        }
        put(&mut out, name);
        out.push('=');
        put(&mut out, value);
    }
    out
}

/// Text with all but the unreserved characters of RFC 3986, section 2.3 encoded.
pub fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    put(&mut out, text);
    out
}

fn put(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // A String takes everything.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// A value of a form as it was meant; `None` if it is not encoded correctly or no UTF-8.
pub fn percent_decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_form_as_in_the_rfc() {
        // RFC 6749, appendix B.
        assert_eq!(percent_encoded(" %&+£€"), "%20%25%26%2B%C2%A3%E2%82%AC");
        assert_eq!(
            percent_decoded("+%25%26%2B%C2%A3%E2%82%AC").as_deref(),
            Some(" %&+£€")
        );
        assert_eq!(form([("a", "1 2"), ("b&", "")]), "a=1%202&b%26=");
    }

    #[test]
    fn what_is_not_encoded_correctly_is_refused() {
        for text in ["%", "%4", "%zz", "%+1", "%ff", "%C3"] {
            assert_eq!(percent_decoded(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_comes_back(text in ".*") {
            prop_assert_eq!(percent_decoded(&percent_encoded(&text)), Some(text));
        }

        #[test]
        fn nothing_panics(text in "[%+0-9a-fA-F\u{0}-\u{ff}]*") {
            let _ = percent_decoded(&text);
        }
    }
}
