//! What is to be sent, and how far that has come.
//!
//! A [`FilesBody`] is a list of runs: some text (the delimiters of a multipart body), then a range of the file, and
//! so on, and text at the end. It does no input or output; it says what comes next and is told what went out.

use std::{fs::File, vec};

use super::{answer::Value, range::ByteRange};

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// This much of the file, at most [`FilesBody::CHUNK`].
    File {
        /// Where it starts in the file.
        offset: u64,
        /// How many bytes, never 0.
        len: usize,
    },
    /// Nothing: all is sent.
    End,
}

/// The content of an answer, and how much of it has been sent.
#[derive(Debug)]
pub struct FilesBody {
    file: File,
    /// All delimiters of a multipart body, one behind the other. Empty for one plain range.
    text: Vec<u8>,
    /// The text before the current range that is not sent yet is `text[text_at..text_end]`.
    text_at: usize,
    text_end: usize,
    /// What is left of the current range.
    range: ByteRange,
    later: vec::IntoIter<Part>,
    remaining: u64,
}

/// A range in a multipart body.
#[derive(Debug)]
struct Part {
    /// Where its delimiter ends in the text.
    text_end: usize,
    range: ByteRange,
}

/// What separates the parts of a multipart body (RFC 2046, 5.1.1).
#[derive(Clone, Copy, Debug)]
pub(super) struct Boundary([u8; 16]);

impl FilesBody {
    /// The most that one [`Piece::File`] covers: what a connection sends before others get their turn.
    pub const CHUNK: usize = 512 * 1024;
    /// Content up to this many bytes is best read behind the head and sent with it in one write.
    pub const SMALL: u64 = 16 * 1024;

    /// One range of the file, nothing around.
    pub(super) fn plain(file: File, range: ByteRange) -> Self {
        Self {
            file,
            text: Vec::new(),
            text_at: 0,
            text_end: 0,
            range,
            later: Vec::new().into_iter(),
            remaining: range.len,
        }
    }

    /// Ranges of a file of `length` bytes as `multipart/byteranges` (RFC 9110, 14.6).
    pub(super) fn multipart(
        file: File,
        length: u64,
        ranges: &[ByteRange],
        media_type: &str,
        boundary: Boundary,
    ) -> Self {
        let mut text = Vec::with_capacity(ranges.len() * (128 + media_type.len()));
        let mut parts = Vec::with_capacity(ranges.len());
        let mut remaining = 0;
        for &range in ranges {
            if !text.is_empty() {
                text.extend_from_slice(b"\r\n");
            }
            text.extend_from_slice(b"--");
            text.extend_from_slice(boundary.as_bytes());
            text.extend_from_slice(b"\r\nContent-Type: ");
            text.extend_from_slice(media_type.as_bytes());
            text.extend_from_slice(b"\r\n");
            let mut value = Value::new(b"Content-Range: ");
            value.content_range(range, length);
            text.extend_from_slice(value.as_bytes());
            text.extend_from_slice(b"\r\n\r\n");
            parts.push(Part {
                text_end: text.len(),
                range,
            });
            remaining += range.len;
        }
        text.extend_from_slice(b"\r\n--");
        text.extend_from_slice(boundary.as_bytes());
        text.extend_from_slice(b"--\r\n");
        remaining += text.len() as u64;
        let mut body = Self {
            file,
            text,
            text_at: 0,
            text_end: 0,
            range: ByteRange::default(),
            later: parts.into_iter(),
            remaining,
        };
        body.next_part();
        body
    }

    /// The open file.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// Bytes that are still to be sent, delimiters included.
    #[must_use]
    pub const fn remaining(&self) -> u64 {
        self.remaining
    }

    /// What comes next. It stays the same until [`advance`](Self::advance).
    #[must_use]
    pub fn piece(&self) -> Piece<'_> {
        if self.text_at < self.text_end {
            Piece::Bytes(&self.text[self.text_at..self.text_end])
        } else if self.range.len > 0 {
            Piece::File {
                offset: self.range.offset,
                len: self.range.len.min(Self::CHUNK as u64) as usize,
            }
        } else {
            Piece::End
        }
    }

    /// Takes note that the first `n` bytes of [`piece`](Self::piece) went out. More than the piece holds counts as
    /// all of it.
    pub fn advance(&mut self, n: usize) {
        if self.text_at < self.text_end {
            let n = n.min(self.text_end - self.text_at);
            self.text_at += n;
            self.remaining -= n as u64;
            return;
        }
        let n = self.range.len.min(n as u64);
        self.range.offset += n;
        self.range.len -= n;
        self.remaining -= n;
        if self.range.len == 0 {
            self.next_part();
        }
    }

    fn next_part(&mut self) {
        if let Some(part) = self.later.next() {
            self.text_end = part.text_end;
            self.range = part.range;
        } else {
            self.text_end = self.text.len();
        }
    }
}

impl Boundary {
    pub(super) fn new(seed: u64) -> Self {
        let mut digits = [0; 16];
        for (index, digit) in digits.iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(seed >> (4 * index)) as usize & 0xf];
        }
        Self(digits)
    }

    pub(super) const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
