//! The content of a message, found in the bytes after its head.

use super::chunked::{ChunkError, ChunkedDecoder, Run};
use super::fields::Fields;
use super::section::HeadLimits;

/// How the end of the content is told (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// There is no content.
    None,
    /// This many bytes; may be zero.
    Length(u64),
    /// The chunked coding tells.
    Chunked,
    /// It ends with the connection. Responses only.
    UntilClose,
}

impl BodyLength {
    /// Whether it is known at once that no content comes.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        matches!(self, Self::None | Self::Length(0))
    }
}

/// Reads the content of one message after another.
#[derive(Clone, Debug)]
pub struct BodyReader {
    /// `Length` counts down; `None` is the end.
    left: BodyLength,
    chunked: ChunkedDecoder,
}

impl BodyReader {
    /// A reader with nothing to read. `limits` are those for trailers.
    #[must_use]
    pub const fn new(limits: HeadLimits) -> Self {
        Self {
            left: BodyLength::None,
            chunked: ChunkedDecoder::new(limits),
        }
    }

    /// Starts on the content of a new message, keeps the memory.
    pub fn start(&mut self, length: BodyLength) {
        self.left = if length.is_empty() {
            BodyLength::None
        } else {
            length
        };
        self.chunked.reset();
    }

    /// Finds the next run of content in `input`, the unread bytes. The run then counts as read.
    ///
    /// # Errors
    ///
    /// The chunked coding is broken. The connection is then beyond repair.
    pub fn read(&mut self, input: &[u8]) -> Result<Run, ChunkError> {
        let len = match self.left {
            BodyLength::None => return Ok(Run::End { consumed: 0 }),
            BodyLength::Chunked => {
                let run = self.chunked.decode(input)?;
                if self.chunked.is_done() {
                    self.left = BodyLength::None;
                }
                return Ok(run);
            }
            _ if input.is_empty() => return Ok(Run::NeedMore { consumed: 0 }),
            BodyLength::Length(left) => {
                usize::try_from(left).map_or(input.len(), |left| left.min(input.len()))
            }
            BodyLength::UntilClose => input.len(),
        };
        self.advance(len as u64);
        Ok(Run::Data { start: 0, end: len })
    }

    /// Counts `moved` bytes of content as read that went another way, such as through a pipe. Not for chunked content.
    pub const fn advance(&mut self, moved: u64) {
        if let BodyLength::Length(left) = self.left {
            debug_assert!(moved <= left);
            self.left = match left.saturating_sub(moved) {
                0 => BodyLength::None,
                left => BodyLength::Length(left),
            };
        }
    }

    /// The connection ended. Whether that was the end of the content, and not the loss of some.
    #[must_use]
    pub fn finish(&mut self) -> bool {
        if self.left == BodyLength::UntilClose {
            self.left = BodyLength::None;
        }
        self.is_done()
    }

    /// Whether all content was read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.left == BodyLength::None
    }

    /// How the rest of the content is delimited; [`BodyLength::None`] at the end.
    #[must_use]
    pub const fn left(&self) -> BodyLength {
        self.left
    }

    /// Bytes still to come, where that is known.
    #[must_use]
    pub const fn remaining(&self) -> Option<u64> {
        match self.left {
            BodyLength::None => Some(0),
            BodyLength::Length(left) => Some(left),
            BodyLength::Chunked | BodyLength::UntilClose => None,
        }
    }

    /// The trailers that may be forwarded, once all content was read.
    #[must_use]
    pub const fn trailers(&self) -> &Fields {
        self.chunked.trailers()
    }

    /// As [`Self::trailers`], to mark what is not to be forwarded.
    pub const fn trailers_mut(&mut self) -> &mut Fields {
        self.chunked.trailers_mut()
    }
}
