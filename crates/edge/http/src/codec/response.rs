//! The head of a response.

use super::body::BodyLength;
use super::error::HeadError;
use super::facts::Kind;
use super::field_id::FieldId;
use super::fields::Fields;
use super::request_line::{Method, parse_version};
use super::section::{HeadLimits, Parsed, Section, Span, Version, line_end, line_limit};

/// The head of a response, interim (1xx) or final, parsed in place of the one before it.
///
/// The accessors mean something after [`Self::parse`] returned [`Parsed::Complete`].
#[derive(Clone, Debug)]
pub struct ResponseHead {
    section: Section,
    version: Version,
    status: u16,
    reason: Span,
}

impl ResponseHead {
    /// An empty head; allocates when it first parses.
    #[must_use]
    pub fn new() -> Self {
        Self {
            section: Section::default(),
            version: Version::H11,
            status: 0,
            reason: Span::default(),
        }
    }

    /// Forgets the head, keeps the memory.
    pub fn clear(&mut self) {
        self.section.clear();
        self.status = 0;
        self.reason = Span::default();
    }

    /// Parses the head at the start of `input`, which holds all unread bytes: those of earlier calls, unchanged, and
    /// what came since. `scanned` is the caller's note of how far earlier calls looked; zero starts a new head.
    ///
    /// # Errors
    ///
    /// The first rule that is broken, as early as it can be known. The connection is then beyond repair.
    pub fn parse(
        &mut self,
        input: &[u8],
        scanned: &mut usize,
        limits: &HeadLimits,
    ) -> Result<Parsed, HeadError> {
        if *scanned == 0 || self.section.line_start > input.len() {
            self.clear();
            *scanned = 0;
        }
        if self.section.line_start == 0 {
            // No line may come before the status line (RFC 9112, 2.2 forgives it in requests only): here it would be
            // left over from the response before.
            if input.first().is_some_and(|&byte| byte != b'H') {
                return Err(HeadError::InvalidStatusLine);
            }
            let limit = line_limit(0, limits.max_field, limits.max_head)?;
            let too_long = limits.too_long(limit);
            let Some(end) = line_end(input, scanned, 0, limit, too_long)? else {
                return Ok(Parsed::Partial);
            };
            self.take_status_line(&input[..end])?;
            self.section.line_start = end;
        }
        let parsed = self
            .section
            .parse(input, scanned, limits, Kind::Response, self.version)?;
        let Some(len) = parsed else {
            return Ok(Parsed::Partial);
        };
        self.finish();
        Ok(Parsed::Complete(len))
    }

    /// `HTTP-version SP 3DIGIT [SP reason] CRLF`. RFC 9112, 4 wants the second space even before an empty reason;
    /// servers leave it out, and nothing hangs on it.
    fn take_status_line(&mut self, line: &[u8]) -> Result<(), HeadError> {
        let Some(line) = line.strip_suffix(b"\r\n") else {
            return Err(HeadError::BareLf);
        };
        if line.contains(&b'\r') {
            return Err(HeadError::BareCr);
        }
        let (version, rest) = line
            .split_at_checked(8)
            .ok_or(HeadError::InvalidStatusLine)?;
        self.version = parse_version(version)?;
        let (status, reason) = match rest {
            [b' ', status @ ..] if status.len() >= 3 => status.split_at(3),
            _ => return Err(HeadError::InvalidStatusLine),
        };
        if status[0] == b'0' || !status.iter().all(u8::is_ascii_digit) {
            return Err(HeadError::InvalidStatusLine);
        }
        self.status = status
            .iter()
            .fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
        let reason = match reason {
            [] => reason,
            [b' ', reason @ ..] => reason,
            _ => return Err(HeadError::InvalidStatusLine),
        };
        if reason
            .iter()
            .any(|&byte| super::chars::is_control(byte) && byte != b'\t')
        {
            return Err(HeadError::InvalidStatusLine);
        }
        self.reason = Span::new(line.len() - reason.len(), reason.len());
        Ok(())
    }

    fn finish(&mut self) {
        // RFC 9110, 8.6; RFC 9112, 6.1: neither may be sent in 1xx and 204. Not to be forwarded, then.
        if self.is_never_framed() {
            self.section.fields.mark_hop(FieldId::ContentLength);
        }
        self.section.mark_nominated();
    }

    /// The field lines.
    #[must_use]
    pub const fn fields(&self) -> &Fields {
        &self.section.fields
    }

    /// The status code, 100 to 999.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Whether this is an interim response (1xx), after which another head follows; 101 is final.
    #[must_use]
    pub const fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// The reason phrase; may be empty.
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        self.bytes(self.reason)
    }

    /// The version of the message.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// How much content follows, given the method of the request (RFC 9112, 6.3).
    #[must_use]
    pub fn body(&self, request_method: Method) -> BodyLength {
        let facts = &self.section.facts;
        if request_method == Method::Head
            || self.status == 304
            || self.is_never_framed()
            || request_method == Method::Connect && self.status / 100 == 2
        {
            return BodyLength::None;
        }
        match facts.content_length {
            _ if facts.chunked => BodyLength::Chunked,
            Some(len) => BodyLength::Length(len),
            None => BodyLength::UntilClose,
        }
    }

    /// Content-Length, which announces no content in answer to HEAD and in 304.
    #[must_use]
    pub const fn content_length(&self) -> Option<u64> {
        self.section.facts.content_length
    }

    /// Whether the server lets the connection go on after this response. Not if 1xx or 204 announces content: the
    /// server may be about to send it, where the next response would be looked for.
    #[must_use]
    pub fn keep_alive(&self) -> bool {
        let facts = &self.section.facts;
        let announces = facts.chunked || facts.content_length.is_some_and(|len| len > 0);
        facts.keep_alive(self.version) && !(announces && self.is_never_framed())
    }

    /// The value of Upgrade, if Connection names it, it is one line, and the version is 1.1.
    #[must_use]
    pub fn upgrade(&self) -> Option<&[u8]> {
        self.section
            .facts
            .upgrade(self.version)
            .map(|span| self.bytes(span))
    }

    const fn is_never_framed(&self) -> bool {
        self.status < 200 || self.status == 204
    }

    fn bytes(&self, span: Span) -> &[u8] {
        self.section.fields.bytes(span.start, span.len)
    }
}

impl Default for ResponseHead {
    fn default() -> Self {
        Self::new()
    }
}
