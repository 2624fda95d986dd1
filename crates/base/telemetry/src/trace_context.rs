//! W3C Trace Context: the `traceparent` field.

use crate::ids::{HexId, IdSource, push_hex};
use std::fmt;

/// `00-` trace id `-` parent id `-` flags.
const LEN: usize = 55;
/// The flags with a meaning: sampled (level 1), and random trace id (level 2). Others must be zero
/// when sent (section 3.2.2.5.2 of level 1).
const KNOWN_FLAGS: u8 = 0b11;

/// A valid `traceparent` of version 00, as sent on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceParent([u8; LEN]);

impl TraceParent {
    /// Reads a field's value; `None` means that a new trace must be started, and `tracestate`
    /// dropped.
    ///
    /// Version 00 has exactly one form. A higher one is read as if it were 00 as long as it begins
    /// alike, and is sent on as 00 (section 4.3). Version ff, ids that are all zero, and upper-case
    /// digits are invalid.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (head, rest) = value.split_first_chunk::<LEN>()?;
        let version = hex_byte(head[0], head[1])?;
        match (version, rest) {
            (0xff, _) => return None,
            (_, []) => {}
            (0, _) => return None,
            (_, [b'-', ..]) => {}
            _ => return None,
        }
        if head[2] != b'-' || head[35] != b'-' || head[52] != b'-' {
            return None;
        }
        if !is_id(&head[3..35]) || !is_id(&head[36..52]) {
            return None;
        }
        let flags = hex_byte(head[53], head[54])?;
        let mut text = *head;
        text[0] = b'0';
        text[1] = b'0';
        text[53] = b'0';
        text[54] = b'0' + (flags & KNOWN_FLAGS);
        Some(Self(text))
    }

    /// Begins a trace.
    pub fn start(ids: &mut IdSource, sampled: bool) -> Self {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        push_hex(&mut text[3..19], ids.next_nonzero());
        push_hex(&mut text[19..35], ids.next_u64());
        push_hex(&mut text[36..52], ids.next_nonzero());
        // The trace id is random, which is the second bit.
        text[54] = b'2' + u8::from(sampled);
        Self(text)
    }

    /// The same trace with a new parent id, for a span of Weir's own.
    #[must_use]
    pub fn child(&self, ids: &mut IdSource) -> Self {
        let mut text = self.0;
        push_hex(&mut text[36..52], ids.next_nonzero());
        Self(text)
    }

    /// The field's value.
    pub const fn as_bytes(&self) -> &[u8; LEN] {
        &self.0
    }

    /// The trace id.
    pub fn trace_id(&self) -> HexId {
        let mut digits = [0; 32];
        digits.copy_from_slice(&self.0[3..35]);
        HexId::from_digits(digits)
    }

    /// Whether the caller may have recorded the trace.
    pub const fn is_sampled(&self) -> bool {
        // The ASCII digits 0 to 3 keep the bit.
        self.0[54] & 1 == 1
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

const fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

fn hex_byte(high: u8, low: u8) -> Option<u8> {
    Some(hex_digit(high)? << 4 | hex_digit(low)?)
}

/// Lower-case hex digits of which one is not zero.
fn is_id(digits: &[u8]) -> bool {
    digits.iter().all(|digit| hex_digit(*digit).is_some())
        && digits.iter().any(|digit| *digit != b'0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn parse(text: &str) -> Option<String> {
        TraceParent::parse(text.as_bytes()).map(|parent| format!("{parent:?}"))
    }

    #[test]
    fn valid_values_pass_through() {
        assert_eq!(parse(VALID).as_deref(), Some(VALID));
        let parent = TraceParent::parse(VALID.as_bytes()).unwrap();
        assert!(parent.is_sampled());
        assert_eq!(
            parent.trace_id().as_str(),
            "0af7651916cd43dd8448eb211c80319c"
        );
    }

    #[test]
    fn unknown_flags_are_cleared() {
        for (flags, sent) in [
            ("00", "00"),
            ("01", "01"),
            ("02", "02"),
            ("03", "03"),
            ("04", "00"),
            ("ff", "03"),
            ("09", "01"),
        ] {
            let text = VALID.replace("-01", &format!("-{flags}"));
            assert_eq!(
                parse(&text),
                Some(VALID.replace("-01", &format!("-{sent}")))
            );
        }
    }

    #[test]
    fn future_versions_are_read_as_00() {
        for future in [
            VALID.replacen("00", "01", 1),
            VALID.replacen("00", "fe", 1) + "-",
            VALID.replacen("00", "cc", 1) + "-what-the-future-will-be-like",
        ] {
            assert_eq!(parse(&future).as_deref(), Some(VALID));
        }
    }

    #[test]
    fn the_rest_is_invalid() {
        for text in [
            "",
            "00",
            &VALID[..54],
            &format!("{VALID}-"),
            &format!("{VALID}-extra"),
            &format!("{VALID} "),
            &VALID.replacen("00", "ff", 1),
            &VALID.replacen("00", "0g", 1),
            &(VALID.replacen("00", "01", 1) + "."),
            &VALID.to_uppercase(),
            &VALID.replace('-', "_"),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x",
            "00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_weir_makes_is_valid() {
        let mut ids = IdSource::new([1; 32]);
        let parent = TraceParent::start(&mut ids, false);
        assert!(!parent.is_sampled());
        assert!(TraceParent::start(&mut ids, true).is_sampled());
        let child = parent.child(&mut ids);
        assert_eq!(child.trace_id(), parent.trace_id());
        assert_ne!(child, parent);
        for made in [parent, child] {
            assert_eq!(TraceParent::parse(made.as_bytes()), Some(made));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_nothing_or_a_valid_value(mut value: Vec<u8>, at in 0usize..60, byte: u8, mutate: bool) {
            if mutate {
                value = VALID.as_bytes().to_vec();
                value.resize(60, b'-');
                value[at] = byte;
                value.truncate(at.max(LEN));
            }
            if let Some(parent) = TraceParent::parse(&value) {
                prop_assert_eq!(TraceParent::parse(parent.as_bytes()), Some(parent));
            }
        }
    }
}
