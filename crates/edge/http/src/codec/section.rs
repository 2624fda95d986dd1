//! The part that requests and responses share: lines, limits and the field section.
//!
//! Lines are taken one at a time, and a line is judged only when it is whole, so the outcome does not depend on how
//! the bytes were split. Limits are judged as bytes come: a line that cannot end within them fails before its end is
//! seen. A head that comes byte by byte costs linear time: `scanned` keeps the search for line ends from starting over.

use super::error::HeadError;
use super::facts::{Facts, Kind};
use super::field_id::FieldId;
use super::field_line;
use super::fields::{Field, Fields};

/// Offsets are 32 bits wide; no limit may reach them.
const MAX_HEAD: usize = 1 << 24;

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head: start line, fields and line ends. At most 16 MiB counts.
    pub max_head: usize,
    /// Field lines.
    pub max_fields: usize,
    /// Bytes of the request target.
    pub max_target: usize,
    /// Bytes of one field line without its line end.
    pub max_field: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            max_head: 64 * 1024,
            max_fields: 128,
            max_target: 16 * 1024,
            max_field: 32 * 1024,
        }
    }
}

/// How far a parse came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// More bytes are needed.
    Partial,
    /// The head takes this many bytes of the input.
    Complete(usize),
}

/// The protocol version of a message. Nothing else is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0
    H10,
    /// HTTP/1.1
    H11,
}

/// A range of a head.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) len: u32,
}

impl Span {
    pub(super) const EMPTY: Self = Self { start: 0, len: 0 };

    #[allow(
        clippy::cast_possible_truncation,
        reason = "heads are capped at MAX_HEAD"
    )]
    pub(super) const fn new(start: usize, len: usize) -> Self {
        Self {
            start: start as u32,
            len: len as u32,
        }
    }
}

/// The field section of a head, while it is parsed and after.
#[derive(Clone, Debug, Default)]
pub(super) struct Section {
    pub(super) fields: Fields,
    pub(super) facts: Facts,
    /// Where the line that is being waited for starts. Zero: the start line is still awaited.
    pub(super) line_start: usize,
}

impl Section {
    pub(super) fn clear(&mut self) {
        self.fields.clear();
        self.facts = Facts::default();
        self.line_start = 0;
    }

    /// Marks what Connection nominates, once all fields are known.
    pub(super) fn mark_nominated(&mut self) {
        if self.facts.nominates {
            self.fields.mark_own_nominated();
        }
    }

    /// Goes on parsing from `line_start`; the length of the head once it is complete.
    pub(super) fn parse(
        &mut self,
        input: &[u8],
        scanned: &mut usize,
        limits: &HeadLimits,
        kind: Kind,
        version: Version,
    ) -> Result<Option<usize>, HeadError> {
        loop {
            let start = self.line_start;
            let limit = line_limit(start, limits.max_field, limits.max_head)?;
            let rest = &input[start..input.len().min(limit)];
            match rest {
                [b'\r', b'\n', ..] => {
                    *scanned = start + 2;
                    self.fields.adopt(&input[..start + 2]);
                    return Ok(Some(start + 2));
                }
                [b'\r', _, ..] => return Err(HeadError::BareCr),
                [b'\r'] | [] => {}
                _ if self.fields.len() >= limits.max_fields => {
                    return Err(HeadError::TooManyFields);
                }
                _ => {}
            }
            // A line that is here as a whole, as nearly all are, is found and split in one pass.
            let fresh = if *scanned <= start {
                field_line::split(rest)
            } else {
                None
            };
            let line = match fresh {
                Some(line) => line,
                None => {
                    let Some(end) = line_end(input, scanned, start, limit, limits.too_long(limit))?
                    else {
                        return Ok(None);
                    };
                    field_line::split_whole(&input[start..end])?
                }
            };
            let name = &input[start..start + usize::from(line.name_len)];
            let value_start = start + line.value_start;
            let value = &input[value_start..value_start + line.value_len];
            let id = FieldId::of(name);
            self.facts.note(id, value, value_start, kind, version)?;
            let next = start + line.len;
            self.fields.push_line(Field::new(
                id,
                start,
                line.name_len,
                value_start,
                line.value_len,
                next,
            ));
            self.line_start = next;
            *scanned = next;
        }
    }
}

impl HeadLimits {
    /// Which limit it is that ends at `limit`.
    pub(super) fn too_long(&self, limit: usize) -> HeadError {
        if limit == self.max_head.min(MAX_HEAD) {
            HeadError::HeadTooLarge
        } else {
            HeadError::FieldTooLong
        }
    }
}

/// Where a line that starts at `start` must have ended.
pub(super) fn line_limit(
    start: usize,
    max_line: usize,
    max_head: usize,
) -> Result<usize, HeadError> {
    let max_head = max_head.min(MAX_HEAD);
    if start >= max_head {
        return Err(HeadError::HeadTooLarge);
    }
    Ok(max_head.min(start.saturating_add(max_line).saturating_add(2)))
}

/// The end of the line that starts at `start`, past its line feed, or `None` if it is not there yet. `limit` is where
/// it must have ended, else it is `too_long`.
pub(super) fn line_end(
    input: &[u8],
    scanned: &mut usize,
    start: usize,
    limit: usize,
    too_long: HeadError,
) -> Result<Option<usize>, HeadError> {
    let end = input.len().min(limit);
    let from = (*scanned).max(start).min(end);
    match memchr::memchr(b'\n', &input[from..end]) {
        Some(at) => {
            *scanned = from + at + 1;
            Ok(Some(*scanned))
        }
        None if input.len() >= limit => Err(too_long),
        None => {
            *scanned = end;
            Ok(None)
        }
    }
}
