//! One field line: `name ":" OWS value OWS CRLF` (RFC 9112, 5), and nothing looser.

use super::chars::{TOKEN, find_control, is_space, trim};
use super::error::HeadError;

/// Where the parts of a line are, relative to its start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    pub(super) name_len: u16,
    pub(super) value_start: usize,
    pub(super) value_len: usize,
    /// Of the raw line, its line end included.
    pub(super) len: usize,
}

/// Splits the line that `bytes` starts with. `None` if there is no whole, valid line: then [`split_whole`] tells why,
/// once the line's end is known.
pub(super) fn split(bytes: &[u8]) -> Option<Split> {
    let name_len = bytes.iter().position(|&byte| !TOKEN[usize::from(byte)])?;
    // RFC 9112, 5.1: no white space before the colon; it could make two parsers see two different fields.
    if name_len == 0 || bytes[name_len] != b':' {
        return None;
    }
    let spaces = bytes[name_len + 1..]
        .iter()
        .position(|&byte| !is_space(byte))?;
    let value_start = name_len + 1 + spaces;
    let mut end = value_start;
    loop {
        end += find_control(&bytes[end..])?;
        if bytes[end] != b'\t' {
            break;
        }
        end += 1;
    }
    if bytes[end..].get(..2) != Some(b"\r\n") {
        return None;
    }
    let trailing = bytes[value_start..end]
        .iter()
        .rev()
        .take_while(|&&byte| is_space(byte))
        .count();
    Some(Split {
        name_len: u16::try_from(name_len).ok()?,
        value_start,
        value_len: end - trailing - value_start,
        len: end + 2,
    })
}

/// Splits `line`, which is whole: it ends with its first line feed.
pub(super) fn split_whole(line: &[u8]) -> Result<Split, HeadError> {
    split(line).ok_or_else(|| diagnose(line))
}

/// Which rule a line that does not split breaks.
fn diagnose(line: &[u8]) -> HeadError {
    // RFC 9112, 2.2: a bare CR or LF must not end a line, nor stand in one.
    let Some(line) = line.strip_suffix(b"\r\n") else {
        return HeadError::BareLf;
    };
    if line.contains(&b'\r') {
        return HeadError::BareCr;
    }
    // RFC 9112, 5.2, and 2.2 for white space before the first line.
    if line.first().is_some_and(|&byte| is_space(byte)) {
        return HeadError::ObsFold;
    }
    let Some(colon) = line.iter().position(|&byte| byte == b':') else {
        return HeadError::FieldWithoutColon;
    };
    let name = &line[..colon];
    if name.is_empty() {
        return HeadError::EmptyFieldName;
    }
    if let Some(at) = name.iter().position(|&byte| !TOKEN[usize::from(byte)]) {
        return if trim(&name[at..]).is_empty() {
            HeadError::SpaceBeforeColon
        } else {
            HeadError::InvalidFieldName
        };
    }
    if u16::try_from(name.len()).is_err() {
        return HeadError::FieldTooLong;
    }
    HeadError::InvalidFieldValue
}
