//! The chunked transfer coding (RFC 9112, 7.1), decoded over whatever bytes are at hand.
//!
//! The decoder keeps its own state and never asks for bytes again: framing is consumed as it comes, data is handed
//! out as ranges of the input. It takes the grammar literally (digits, extensions without white space, CRLF), since
//! every known leniency here (bare LF, white space after the size, a line end inside an extension) has been a way to
//! smuggle a request.
//!
//! Trailers are few and rarely wanted. Of those that come, only fields that cannot change the meaning of the message
//! are kept; framing fields are an attack and end it.

use super::chars::{HEX, TOKEN, is_control};
use super::error::HeadError;
use super::field_id::FieldId;
use super::field_line;
use super::fields::Fields;
use super::section::HeadLimits;

/// Sixteen hexadecimal digits are exactly a `u64`.
const MAX_DIGITS: u8 = 16;
/// Extensions of one chunk. Nobody sends any; RFC 9112, 7.1.1 asks for a limit.
const MAX_EXTENSION: u32 = 256;
/// Extensions of all chunks of one message.
const MAX_EXTENSIONS: u32 = 64 * 1024;

/// What the bytes at hand begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// `start` bytes of framing to drop, then content up to `end`. Go on with what follows `end`.
    Data {
        /// Where the content starts in the input.
        start: usize,
        /// Where it ends; always past `start`.
        end: usize,
    },
    /// Framing to drop, all of the input; the message goes on.
    NeedMore {
        /// The length of the input.
        consumed: usize,
    },
    /// Framing to drop, and the message is complete.
    End {
        /// Where the message ends in the input.
        consumed: usize,
    },
}

/// A rule of the chunked coding that a message broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChunkError {
    /// The data of a chunk is not followed by CRLF.
    DataEnd,
    /// A chunk extension is malformed.
    Extension,
    /// Chunk extensions exceed their limit.
    ExtensionTooLong,
    /// A trailer field would change the framing or routing of the message.
    ForbiddenTrailer,
    /// The line of a chunk size does not end with CRLF.
    LineEnd,
    /// A chunk size is not a hexadecimal number.
    Size,
    /// A chunk size has more than sixteen digits.
    SizeTooLong,
    /// A trailer line breaks a rule for field lines or exceeds a limit.
    Trailer(HeadError),
}

impl ChunkError {
    /// A stable word for logs and metrics.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::DataEnd => "chunk_data_end",
            Self::Extension => "chunk_extension",
            Self::ExtensionTooLong => "chunk_extension_too_long",
            Self::ForbiddenTrailer => "forbidden_trailer",
            Self::LineEnd => "chunk_line_end",
            Self::Size => "chunk_size",
            Self::SizeTooLong => "chunk_size_too_long",
            Self::Trailer(_) => "invalid_trailer",
        }
    }

    /// One sentence for a person.
    #[must_use]
    pub const fn detail(self) -> &'static str {
        match self {
            Self::DataEnd => "The data of a chunk is not followed by CRLF.",
            Self::Extension => "A chunk extension is malformed.",
            Self::ExtensionTooLong => "Chunk extensions exceed their limit.",
            Self::ForbiddenTrailer => {
                "A trailer field would change the framing or routing of the message."
            }
            Self::LineEnd => "The line of a chunk size does not end with CRLF.",
            Self::Size => "A chunk size is not a hexadecimal number.",
            Self::SizeTooLong => "A chunk size has more than sixteen digits.",
            Self::Trailer(error) => error.detail(),
        }
    }
}

impl std::fmt::Display for ChunkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.detail())
    }
}

impl std::error::Error for ChunkError {}

/// Where in the grammar the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the size, after this many digits.
    Size(u8),
    ExtName {
        first: bool,
    },
    ExtValueStart,
    ExtToken,
    ExtQuoted,
    ExtQuotedPair,
    ExtQuotedEnd,
    /// At the LF of the size's line.
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
    End,
}

/// Strict decoder of one chunked message after another.
#[derive(Clone, Debug)]
pub struct ChunkedDecoder {
    state: State,
    /// Of the size while it is read, then of the data still to come.
    remaining: u64,
    extension: u32,
    extensions: u32,
    limits: HeadLimits,
    trailers: Fields,
    trailer_lines: usize,
    trailer_bytes: usize,
    /// The trailer line that is not complete yet.
    line: Vec<u8>,
}

impl ChunkedDecoder {
    /// A decoder at the start of a message. Of the limits, those for heads hold for all trailers together.
    #[must_use]
    pub const fn new(limits: HeadLimits) -> Self {
        Self {
            state: State::Size(0),
            remaining: 0,
            extension: 0,
            extensions: 0,
            limits,
            trailers: Fields::new(),
            trailer_lines: 0,
            trailer_bytes: 0,
            line: Vec::new(),
        }
    }

    /// Starts a new message, keeps the memory.
    pub fn reset(&mut self) {
        self.state = State::Size(0);
        self.remaining = 0;
        self.extension = 0;
        self.extensions = 0;
        self.trailers.clear();
        self.trailer_lines = 0;
        self.trailer_bytes = 0;
        self.line.clear();
    }

    /// Decodes up to the end of the next run of content.
    ///
    /// # Errors
    ///
    /// The first rule that is broken. The connection is then beyond repair.
    pub fn decode(&mut self, input: &[u8]) -> Result<Run, ChunkError> {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            match self.state {
                State::End => return Ok(Run::End { consumed: at }),
                State::Trailers => match self.trailer_line(rest)? {
                    Some(len) => at += len,
                    None => {
                        return Ok(Run::NeedMore {
                            consumed: input.len(),
                        });
                    }
                },
                State::Data if !rest.is_empty() => {
                    let len = usize::try_from(self.remaining)
                        .map_or(rest.len(), |left| left.min(rest.len()));
                    self.remaining -= len as u64;
                    if self.remaining == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok(Run::Data {
                        start: at,
                        end: at + len,
                    });
                }
                _ => {
                    let Some(&byte) = rest.first() else {
                        return Ok(Run::NeedMore { consumed: at });
                    };
                    self.state = self.step(byte)?;
                    at += 1;
                }
            }
        }
    }

    /// Whether the message is complete.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::End
    }

    /// Bytes of the current chunk that have not come yet.
    #[must_use]
    pub fn remaining_in_chunk(&self) -> u64 {
        if self.state == State::Data {
            self.remaining
        } else {
            0
        }
    }

    /// The trailers that may be forwarded, once the message is complete.
    #[must_use]
    pub const fn trailers(&self) -> &Fields {
        &self.trailers
    }

    /// As [`Self::trailers`], to mark what is not to be forwarded.
    pub const fn trailers_mut(&mut self) -> &mut Fields {
        &mut self.trailers
    }

    /// The state after one byte of framing.
    fn step(&mut self, byte: u8) -> Result<State, ChunkError> {
        let token = TOKEN[usize::from(byte)];
        let state = match (self.state, byte) {
            (State::Size(1..), b'\r') => State::SizeLf,
            (State::Size(1..), b';') => {
                self.extension = 0;
                State::ExtName { first: true }
            }
            (State::Size(digits), _) => {
                let digit = HEX[usize::from(byte)];
                if digit > 0xf {
                    return Err(ChunkError::Size);
                }
                if digits == MAX_DIGITS {
                    return Err(ChunkError::SizeTooLong);
                }
                self.remaining = self.remaining << 4 | u64::from(digit);
                return Ok(State::Size(digits + 1));
            }
            (State::SizeLf, b'\n') if self.remaining == 0 => State::Trailers,
            (State::SizeLf, b'\n') => State::Data,
            (State::SizeLf, _) => return Err(ChunkError::LineEnd),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size(0),
            (State::DataCr | State::DataLf, _) => return Err(ChunkError::DataEnd),
            // chunk-ext = *( ";" chunk-ext-name [ "=" chunk-ext-val ] ); RFC 9112, 7.1.1 also has white space there
            // that a sender must not generate.
            (State::ExtName { .. }, _) if token => State::ExtName { first: false },
            (State::ExtName { first: false }, b'=') => State::ExtValueStart,
            (State::ExtName { first: false } | State::ExtToken | State::ExtQuotedEnd, b';') => {
                State::ExtName { first: true }
            }
            (State::ExtName { first: false } | State::ExtToken | State::ExtQuotedEnd, b'\r') => {
                State::SizeLf
            }
            (State::ExtValueStart | State::ExtToken, _) if token => State::ExtToken,
            (State::ExtValueStart, b'"') => State::ExtQuoted,
            (State::ExtQuoted, b'"') => State::ExtQuotedEnd,
            (State::ExtQuoted, b'\\') => State::ExtQuotedPair,
            (State::ExtQuoted | State::ExtQuotedPair, _) if byte == b'\t' || !is_control(byte) => {
                State::ExtQuoted
            }
            _ => return Err(ChunkError::Extension),
        };
        if !matches!(
            state,
            State::SizeLf | State::Data | State::DataLf | State::Trailers | State::Size(_)
        ) {
            self.extension += 1;
            self.extensions += 1;
            if self.extension > MAX_EXTENSION || self.extensions > MAX_EXTENSIONS {
                return Err(ChunkError::ExtensionTooLong);
            }
        }
        Ok(state)
    }

    /// Takes a trailer line, or what is there of one; how much of `rest` it took, if it is complete.
    fn trailer_line(&mut self, rest: &[u8]) -> Result<Option<usize>, ChunkError> {
        let line_room = self
            .limits
            .max_field
            .saturating_add(2)
            .saturating_sub(self.line.len());
        let head_room = self.limits.max_head.saturating_sub(self.trailer_bytes);
        let room = line_room.min(head_room);
        let window = &rest[..rest.len().min(room)];
        let end = memchr::memchr(b'\n', window).map(|at| at + 1);
        let taken = end.unwrap_or(window.len());
        self.trailer_bytes += taken;
        if end.is_none() && rest.len() >= room {
            let error = if line_room < head_room {
                HeadError::FieldTooLong
            } else {
                HeadError::HeadTooLarge
            };
            return Err(ChunkError::Trailer(error));
        }
        if let (Some(end), true) = (end, self.line.is_empty()) {
            self.take_trailer(&rest[..end])?;
            return Ok(Some(end));
        }
        self.line.extend_from_slice(&window[..taken]);
        if end.is_some() {
            let mut line = std::mem::take(&mut self.line);
            let result = self.take_trailer(&line);
            line.clear();
            self.line = line;
            result?;
        }
        Ok(end)
    }

    fn take_trailer(&mut self, line: &[u8]) -> Result<(), ChunkError> {
        if line == b"\r\n" {
            self.state = State::End;
            return Ok(());
        }
        let split = field_line::split_whole(line).map_err(ChunkError::Trailer)?;
        self.trailer_lines += 1;
        if self.trailer_lines > self.limits.max_fields {
            return Err(ChunkError::Trailer(HeadError::TooManyFields));
        }
        let name = &line[..usize::from(split.name_len)];
        let value = &line[split.value_start..split.value_start + split.value_len];
        match FieldId::of(name) {
            // RFC 9112, 7.1.2 and RFC 9110, 6.5.1: a recipient that merged these would reframe the message.
            FieldId::ContentLength | FieldId::Host | FieldId::TransferEncoding => {
                Err(ChunkError::ForbiddenTrailer)
            }
            FieldId::ETag => {
                self.trailers.push(name, value);
                Ok(())
            }
            FieldId::Other if !is_about_content(name) => {
                self.trailers.push(name, value);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Content-anything describes the content, which has been handled already (RFC 9110, 6.5.1).
fn is_about_content(name: &[u8]) -> bool {
    name.get(..8)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"content-"))
}
