//! Request ids: made, or taken from the client when they are harmless.

use std::fmt;

/// 128 bits as 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HexId([u8; 32]);

impl HexId {
    pub(crate) fn of(high: u64, low: u64) -> Self {
        let mut text = [0; 32];
        push_hex(&mut text[..16], high);
        push_hex(&mut text[16..], low);
        Self(text)
    }

    pub(crate) const fn from_digits(digits: [u8; 32]) -> Self {
        Self(digits)
    }

    /// The digits.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        // Hex digits are UTF-8, so the default is never used.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for HexId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for HexId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Writes a number as hex digits; `text` is 16 long.
pub(crate) fn push_hex(text: &mut [u8], number: u64) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in text.chunks_exact_mut(2).zip(number.to_be_bytes()) {
        pair[0] = HEX[usize::from(byte >> 4)];
        pair[1] = HEX[usize::from(byte & 15)];
    }
}

/// Makes ids: xoshiro256++ (Blackman and Vigna, 2019). Unique, not secret: whoever sees some can
/// foretell the next.
#[derive(Clone, Debug)]
pub struct IdSource([u64; 4]);

impl IdSource {
    /// A source for one worker. The seed comes from the operating system; equal seeds make equal
    /// ids.
    pub fn new(seed: [u8; 32]) -> Self {
        let mut state = [0; 4];
        for (word, bytes) in state.iter_mut().zip(seed.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        if state == [0; 4] {
            // The one state that the generator never leaves.
            state[0] = 1;
        }
        Self(state)
    }

    /// 64 random bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.0;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let t = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= t;
        *d = d.rotate_left(45);
        result
    }

    /// 64 random bits of which one is set: trace context forbids ids that are all zero.
    pub(crate) fn next_nonzero(&mut self) -> u64 {
        loop {
            let number = self.next_u64();
            if number != 0 {
                return number;
            }
        }
    }

    /// A new id, for a request or a trace. Never all zero.
    pub fn next_id(&mut self) -> HexId {
        HexId::of(self.next_nonzero(), self.next_u64())
    }
}

/// The X-Request-Id of a client, if Weir may pass it on and log it: 1 to 128 letters, digits and
/// `._:/+=@-`.
pub fn accepted_request_id(value: &[u8]) -> Option<&str> {
    let is_safe = |byte: &u8| byte.is_ascii_alphanumeric() || b"._:/+=@-".contains(byte);
    if !(1..=128).contains(&value.len()) || !value.iter().all(is_safe) {
        return None;
    }
    std::str::from_utf8(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_generator_is_xoshiro256_plus_plus() {
        // The reference implementation's first outputs for the state 1, 2, 3, 4.
        let mut seed = [0; 32];
        for (i, word) in [1u64, 2, 3, 4].into_iter().enumerate() {
            seed[i * 8..i * 8 + 8].copy_from_slice(&word.to_le_bytes());
        }
        let mut source = IdSource::new(seed);
        let expected = [
            41_943_041,
            58_720_359,
            3_588_806_011_781_223,
            3_591_011_842_654_386,
            9_228_616_714_210_784_205,
        ];
        assert_eq!(expected.map(|_| source.next_u64()), expected);
    }

    #[test]
    fn ids_are_hex_and_distinct() {
        let mut source = IdSource::new([7; 32]);
        let ids: HashSet<HexId> = (0..10_000).map(|_| source.next_id()).collect();
        assert_eq!(ids.len(), 10_000);
        for id in ids {
            assert!(
                id.as_bytes()
                    .iter()
                    .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            );
            assert_eq!(id.as_str().len(), 32);
        }
        assert_eq!(
            HexId::of(0x0123_4567_89ab_cdef, 1).to_string(),
            "0123456789abcdef0000000000000001"
        );
    }

    #[test]
    fn a_seed_of_zeros_works() {
        let mut source = IdSource::new([0; 32]);
        assert_ne!(source.next_id(), source.next_id());
    }

    #[test]
    fn harmless_ids_are_accepted() {
        for id in [
            "a",
            "0b9c1f6e-1f1b-4a57-9d2c-9d6a2b1b6f7a",
            "Root=1-67891233-abcdef012345678912345678",
            "a/b+c=@:._",
        ] {
            assert_eq!(accepted_request_id(id.as_bytes()), Some(id));
        }
        assert!(accepted_request_id(&[b'a'; 128]).is_some());
        for id in [
            &b""[..],
            &[b'a'; 129],
            b"a b",
            b"a\n",
            b"a\"",
            b"a\\",
            b"a\0",
            "é".as_bytes(),
            b"a,b",
            b"<a>",
            b"a;b",
        ] {
            assert_eq!(accepted_request_id(id), None);
        }
    }
}
