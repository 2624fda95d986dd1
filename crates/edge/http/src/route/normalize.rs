//! One spelling for every path, before anything is decided on it (RFC 3986 section 6.2.2).
//!
//! Most paths are already in that spelling; one scan finds that out and copies nothing. The module docs of
//! `route` say which ambiguities are resolved, which are refused, and why.

use std::borrow::Cow;

use crate::config::EscapedSlashes;

/// What [`normalize`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalized {
    /// The path is normal as it was sent: use it, and forward it as it is.
    AsSent,
    /// The path was spelled differently: use the output buffer, and forward that instead of what was sent.
    Rewritten,
}

/// Why a path is refused; each one is a 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The path does not begin with `/`.
    #[error("the path does not begin with a slash")]
    NotAbsolute,
    /// `%` without two hex digits.
    #[error("`%` in the path is not followed by two hex digits")]
    BadPercent,
    /// `%00`.
    #[error("the path holds an encoded NUL")]
    Nul,
    /// A raw backslash, which some servers read as a slash.
    #[error("the path holds a backslash")]
    Backslash,
    /// A control byte, space, `?` or `#`.
    #[error("the path holds a byte that is not allowed there")]
    InvalidByte,
    /// `..` climbs above the root.
    #[error("the path climbs above the root")]
    AboveRoot,
    /// `%2F` or `%5C`, where they are not wanted.
    #[error("the path holds an encoded slash")]
    EscapedSlash,
    /// A dot segment that some servers see behind `%2F`, `%5C` or `;`.
    #[error("the path hides a dot segment behind an encoded slash or a semicolon")]
    HiddenDotSegment,
}

/// Brings `path` (without its query) into normal form. `escaped` says what becomes of slashes that are encoded.
///
/// `out` is only written when the path is not plainly normal; its contents mean something only after
/// [`Normalized::Rewritten`]. An empty path becomes `/` (RFC 9110 section 4.2.3). The result begins with `/`,
/// is ASCII, has no empty segment except a last one, and no dot segments. Normalising it again changes nothing.
pub fn normalize(
    path: &[u8],
    escaped: EscapedSlashes,
    out: &mut Vec<u8>,
) -> Result<Normalized, PathError> {
    if is_plain(path) {
        return Ok(Normalized::AsSent);
    }
    out.clear();
    let decoded = match escaped {
        EscapedSlashes::Decode => decode_slashes(path)?,
        EscapedSlashes::Reject if escaped_slashes(path).next().is_some() => {
            return Err(PathError::EscapedSlash);
        }
        EscapedSlashes::Keep | EscapedSlashes::Reject => Cow::Borrowed(path),
    };
    resolve(&decoded, out)?;
    if out == path {
        Ok(Normalized::AsSent)
    } else {
        Ok(Normalized::Rewritten)
    }
}

/// Where a slash or a backslash stands encoded, and whether it is a backslash.
pub(super) fn escaped_slashes(path: &[u8]) -> impl Iterator<Item = (usize, bool)> {
    memchr::memchr_iter(b'%', path).filter_map(|at| match path[at + 1..] {
        [b'2', b'f' | b'F', ..] => Some((at, false)),
        [b'5', b'c' | b'C', ..] => Some((at, true)),
        _ => None,
    })
}

/// The path with its encoded slashes decoded, once. A backslash is as little welcome as one that is sent as it is.
fn decode_slashes(path: &[u8]) -> Result<Cow<'_, [u8]>, PathError> {
    let mut decoded = Cow::Borrowed(path);
    let mut copied = 0;
    for (at, backslash) in escaped_slashes(path) {
        if backslash {
            return Err(PathError::Backslash);
        }
        if copied == 0 {
            decoded = Cow::Owned(Vec::with_capacity(path.len()));
        }
        let out = decoded.to_mut();
        out.extend_from_slice(&path[copied..at]);
        out.push(b'/');
        copied = at + 3;
    }
    if copied > 0 {
        decoded.to_mut().extend_from_slice(&path[copied..]);
    }
    Ok(decoded)
}

/// Normalises one literal segment of a rule's path.
pub(super) fn literal_segment(segment: &str) -> Result<Box<str>, PathError> {
    let mut out = Vec::with_capacity(segment.len());
    push_segment(segment.as_bytes(), &mut out)?;
    if hides_dot_segment(&out) {
        return Err(PathError::HiddenDotSegment);
    }
    // The normal form is ASCII: every other byte was encoded or refused.
    Ok(String::from_utf8_lossy(&out).into())
}

/// Whether rewriting produced a path with a dot segment, which must not reach a server.
pub(super) fn has_dot_segment(path: &[u8]) -> bool {
    path.split(|&byte| byte == b'/').any(hides_dot_segment)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// May stand in a path as it is.
    Plain,
    Slash,
    /// Plain, unless it begins a segment.
    Dot,
    Percent,
    /// Not allowed raw by RFC 3986 but sent by real clients: encoded.
    Encode,
    Refuse,
}

static CLASSES: [Class; 256] = classes();

const fn classes() -> [Class; 256] {
    let mut table = [Class::Encode; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'/' => Class::Slash,
            b'.' => Class::Dot,
            b'%' => Class::Percent,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => Class::Plain,
            // sub-delims, ":" and "@" (RFC 3986 section 3.3).
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':'
            | b'@' => Class::Plain,
            0..=b' ' | 0x7f | b'\\' | b'?' | b'#' => Class::Refuse,
            _ => Class::Encode,
        };
        byte += 1;
    }
    table
}

pub(super) fn is_path_byte(byte: u8) -> bool {
    matches!(CLASSES[usize::from(byte)], Class::Plain | Class::Dot)
}

pub(super) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

pub(super) fn push_encoded(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[
        b'%',
        HEX[usize::from(byte >> 4)],
        HEX[usize::from(byte & 15)],
    ]);
}

fn is_plain(path: &[u8]) -> bool {
    if path.first() != Some(&b'/') {
        return false;
    }
    let mut previous = 0;
    for &byte in path {
        match CLASSES[usize::from(byte)] {
            Class::Plain => {}
            Class::Slash | Class::Dot if previous != b'/' => {}
            _ => return false,
        }
        previous = byte;
    }
    true
}

pub(super) fn resolve(path: &[u8], out: &mut Vec<u8>) -> Result<(), PathError> {
    let Some(segments) = path.strip_prefix(b"/") else {
        if path.is_empty() {
            out.push(b'/');
            return Ok(());
        }
        return Err(PathError::NotAbsolute);
    };
    out.reserve(path.len());
    let mut segments = segments.split(|&byte| byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        let start = out.len();
        out.push(b'/');
        push_segment(segment, out)?;
        match &out[start + 1..] {
            // The trailing slash stays; the other empty segments are runs of slashes.
            b"" if last => {}
            b"" => out.truncate(start),
            b"." => out.truncate(start + usize::from(last)),
            b".." => {
                out.truncate(start);
                let parent = memchr::memrchr(b'/', out).ok_or(PathError::AboveRoot)?;
                out.truncate(parent + usize::from(last));
            }
            other if hides_dot_segment(other) => return Err(PathError::HiddenDotSegment),
            _ => {}
        }
    }
    Ok(())
}

/// Appends one segment, byte by byte in normal form.
fn push_segment(segment: &[u8], out: &mut Vec<u8>) -> Result<(), PathError> {
    let mut bytes = segment.iter();
    while let Some(&byte) = bytes.next() {
        match CLASSES[usize::from(byte)] {
            Class::Plain | Class::Dot | Class::Slash => out.push(byte),
            Class::Encode => push_encoded(byte, out),
            Class::Percent => {
                let decoded = bytes
                    .next()
                    .zip(bytes.next())
                    .and_then(|(&high, &low)| hex_byte(high, low));
                match decoded.ok_or(PathError::BadPercent)? {
                    0 => return Err(PathError::Nul),
                    decoded if is_unreserved(decoded) => out.push(decoded),
                    decoded => push_encoded(decoded, out),
                }
            }
            Class::Refuse if byte == b'\\' => return Err(PathError::Backslash),
            Class::Refuse => return Err(PathError::InvalidByte),
        }
    }
    Ok(())
}

/// The byte that two hex digits spell.
pub(super) fn hex_byte(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let value = digit(high)? << 4 | digit(low)?;
    u8::try_from(value).ok()
}

fn is_dot_segment(segment: &[u8]) -> bool {
    matches!(segment, b"." | b"..")
}

/// Whether a server that decodes `%2F` or `%5C` before it resolves dots, or one that drops `;parameters`, would
/// find a dot segment in this (normalised) segment.
fn hides_dot_segment(segment: &[u8]) -> bool {
    let is_boundary =
        |at: &usize| matches!(&segment[at + 1..], [b'2', b'F', ..] | [b'5', b'C', ..]);
    let hides = |piece: &[u8]| {
        let name = memchr::memchr(b';', piece).map_or(piece, |parameters| &piece[..parameters]);
        is_dot_segment(name)
    };
    if !segment.contains(&b'.') {
        return false;
    }
    let mut start = 0;
    for boundary in memchr::memchr_iter(b'%', segment).filter(is_boundary) {
        if hides(&segment[start..boundary]) {
            return true;
        }
        start = boundary + 3;
    }
    hides(&segment[start..])
}
