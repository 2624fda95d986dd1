//! Which bytes may stand where.

/// `tchar` (RFC 9110, 5.6.2): methods, field names, tokens.
pub(super) static TOKEN: [bool; 256] = table(b"!#$%&'*+-.^_`|~");

/// Hexadecimal digits by value; 0xff for everything else.
pub(super) static HEX: [u8; 256] = {
    let mut table = [0xff; 256];
    let mut digit = 0;
    while digit < 16 {
        table[b"0123456789abcdef"[digit as usize] as usize] = digit;
        table[b"0123456789ABCDEF"[digit as usize] as usize] = digit;
        digit += 1;
    }
    table
};

/// A host name as this proxy accepts it: see [`super::host`].
pub(super) static HOST: [bool; 256] = table(b"-._~");

/// Letters, digits and `more`.
const fn table(more: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut index = 0;
    while index < more.len() {
        table[more[index] as usize] = true;
        index += 1;
    }
    table
}

/// Whether `bytes` is a token: not empty, only `tchar`.
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| TOKEN[usize::from(byte)])
}

/// Whether `bytes` is a field value: no control character but a tab, no white space around it. Bytes from 0x80 up
/// (`obs-text`) are opaque and allowed (RFC 9110, 5.5).
pub(super) fn is_field_value(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == b'\t' || !is_control(byte)) && trim(bytes).len() == bytes.len()
}

/// Whether `byte` is SP or HTAB, the optional white space of RFC 9110, 5.6.3.
pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Whether `byte` is a control character.
pub(super) const fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f
}

/// `bytes` without the white space around.
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    let Some(start) = bytes.iter().position(|&byte| !is_space(byte)) else {
        return &[];
    };
    let end = bytes
        .iter()
        .rposition(|&byte| !is_space(byte))
        .map_or(start, |last| last + 1);
    &bytes[start..end]
}

/// The first control character in `bytes`, tabs included. Eight bytes at a time: most of a head is values.
pub(super) fn find_control(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES << 7;
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The usual "is a byte less than n" and "is a byte n": a borrow can only spill upwards from a true hit, so the
        // lowest flag is always right.
        let below_space = word.wrapping_sub(ONES * 0x20) & !word;
        let differs = word ^ (ONES * 0x7f);
        let is_delete = differs.wrapping_sub(ONES) & !differs;
        let hits = (below_space | is_delete) & HIGHS;
        if hits != 0 {
            return Some(index * 8 + (hits.trailing_zeros() / 8) as usize);
        }
    }
    rest.iter()
        .position(|&byte| is_control(byte))
        .map(|at| bytes.len() - rest.len() + at)
}
