//! From the path in the request to a path on the disk.
//!
//! The router has resolved dot segments and left `%2F` and other encoded bytes alone, as it must. Here they are decoded
//! once, and whatever would then mean something else than it said is refused: an encoded slash or backslash, NUL, and
//! dot segments however spelled. What remains is a relative path of plain names. The kernel is asked to stay beneath
//! the root all the same; neither defence leans on the other.

use std::ffi::CStr;

use super::refusal::Refusal;

/// The longest path that Linux opens, with the NUL at its end.
const PATH_MAX: usize = 4096;

/// A relative path, without a slash at either end, ready for a system call. The root itself is `.`.
#[derive(Clone, Debug)]
pub(super) struct DiskPath {
    /// Behind `len` there is always a NUL, before it never one.
    bytes: [u8; PATH_MAX],
    len: usize,
    /// The request's path ends with a slash.
    directory: bool,
}

impl DiskPath {
    pub(super) const fn new() -> Self {
        Self {
            bytes: [0; PATH_MAX],
            len: 0,
            directory: false,
        }
    }

    /// Reads `path`, the percent-encoded path below the root; `full` is the request's whole path.
    ///
    /// `full` has a say in what counts as a directory: a path that has its slash is never sent to itself.
    pub(super) fn decode(
        &mut self,
        path: &[u8],
        full: &[u8],
        dotfiles: bool,
    ) -> Result<(), Refusal> {
        self.directory = path.ends_with(b"/") || full.ends_with(b"/");
        self.len = 0;
        let path = path.strip_prefix(b"/").unwrap_or(path);
        let path = path.strip_suffix(b"/").unwrap_or(path);
        if path.is_empty() {
            return Ok(());
        }
        for segment in path.split(|&byte| byte == b'/') {
            if segment.is_empty() {
                return Err(Refusal::NotFound);
            }
            let first = self.len == 0;
            if !first {
                self.push(b"/")?;
            }
            let start = self.len;
            self.decode_segment(segment)?;
            match &self.bytes[start..self.len] {
                b"." | b".." => return Err(Refusal::Malformed),
                b".well-known" if first => {}
                [b'.', ..] if !dotfiles => return Err(Refusal::NotFound),
                _ => {}
            }
        }
        Ok(())
    }

    /// Appends to the path.
    pub(super) fn push(&mut self, more: &[u8]) -> Result<(), Refusal> {
        let end = self.len + more.len();
        if end >= PATH_MAX {
            return Err(Refusal::NotFound);
        }
        self.bytes[self.len..end].copy_from_slice(more);
        self.len = end;
        self.bytes[end] = 0;
        Ok(())
    }

    /// Appends the name of a file in this directory.
    pub(super) fn push_name(&mut self, name: &[u8]) -> Result<(), Refusal> {
        if self.len > 0 {
            self.push(b"/")?;
        }
        self.push(name)
    }

    /// Takes back what was appended.
    pub(super) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        self.bytes[self.len] = 0;
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn is_directory(&self) -> bool {
        self.directory
    }

    /// The last name of the path.
    pub(super) fn name(&self) -> &[u8] {
        let path = &self.bytes[..self.len];
        memchr::memrchr(b'/', path).map_or(path, |slash| &path[slash + 1..])
    }

    /// The path for a system call.
    pub(super) fn as_c_str(&self) -> &CStr {
        if self.len == 0 {
            return c".";
        }
        CStr::from_bytes_with_nul(&self.bytes[..=self.len]).unwrap_or(c"")
    }

    fn decode_segment(&mut self, segment: &[u8]) -> Result<(), Refusal> {
        let mut rest = segment;
        while let Some(percent) = memchr::memchr(b'%', rest) {
            self.push_checked(&rest[..percent])?;
            let (Some(high), Some(low)) = (hex(rest, percent + 1), hex(rest, percent + 2)) else {
                return Err(Refusal::Malformed);
            };
            let byte = high << 4 | low;
            if byte == b'/' {
                return Err(Refusal::Malformed);
            }
            self.push_checked(&[byte])?;
            rest = &rest[percent + 3..];
        }
        self.push_checked(rest)
    }

    fn push_checked(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        if memchr::memchr2(0, b'\\', bytes).is_some() {
            return Err(Refusal::Malformed);
        }
        self.push(bytes)
    }
}

/// The same address with a slash at the end, for Location.
///
/// It begins with exactly one slash, so that no client takes the next name for a host (`//evil`, `/\evil`), and holds no
/// byte that could end the field.
pub(super) fn with_slash(full: &[u8], query: Option<&[u8]>) -> Vec<u8> {
    let start = full.iter().position(|byte| !matches!(byte, b'/' | b'\\'));
    let rest = &full[start.unwrap_or(full.len())..];
    let mut location = Vec::with_capacity(full.len() + 3 + query.map_or(0, <[u8]>::len));
    location.push(b'/');
    push_encoded(&mut location, rest);
    if !rest.is_empty() && !rest.ends_with(b"/") {
        location.push(b'/');
    }
    if let Some(query) = query {
        location.push(b'?');
        push_encoded(&mut location, query);
    }
    location
}

fn push_encoded(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'#' | b'<' | b'>') {
            out.push(byte);
        } else {
            let digits = [byte >> 4, byte & 0xf].map(|digit| DIGITS[usize::from(digit)]);
            out.extend_from_slice(&[b'%', digits[0], digits[1]]);
        }
    }
}

fn hex(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = char::from(*bytes.get(at)?).to_digit(16)?;
    u8::try_from(digit).ok()
}
