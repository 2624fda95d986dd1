//! The head of a request.

use super::body::BodyLength;
use super::chars::TOKEN;
use super::error::HeadError;
use super::facts::Kind;
use super::field_id::FieldId;
use super::fields::Fields;
use super::host::HostPort;
use super::names::Names;
use super::request_line::{self, MAX_BESIDE_TARGET, Method, RequestLine, Scheme, TargetForm};
use super::section::{HeadLimits, Parsed, Section, Span, Version, line_end, line_limit};

/// The head of a request, parsed in place of the one before it.
///
/// The accessors mean something after [`Self::parse`] returned [`Parsed::Complete`]. A head that it accepts satisfies
/// every rule of this module: the accessors need no further check.
#[derive(Clone, Debug)]
pub struct RequestHead {
    section: Section,
    line: RequestLine,
    authority: HostPort,
}

impl RequestHead {
    /// An empty head; allocates when it first parses.
    #[must_use]
    pub fn new() -> Self {
        Self {
            section: Section::default(),
            line: RequestLine::NONE,
            authority: HostPort::default(),
        }
    }

    /// Forgets the head, keeps the memory.
    pub fn clear(&mut self) {
        self.section.clear();
        self.line = RequestLine::NONE;
        self.authority = HostPort::default();
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
        if self.section.line_start == 0 && !self.parse_request_line(input, scanned, limits)? {
            return Ok(Parsed::Partial);
        }
        let parsed =
            self.section
                .parse(input, scanned, limits, Kind::Request, self.line.version)?;
        let Some(len) = parsed else {
            return Ok(Parsed::Partial);
        };
        self.finish(input)?;
        Ok(Parsed::Complete(len))
    }

    /// Makes the accessors show what is known of a head that was refused, or never complete: for the log, and for
    /// nothing else. That is its whole lines, and of a request line that broke a rule what stands where the method and
    /// the target should. `input` is what [`Self::parse`] saw last.
    pub fn salvage(&mut self, input: &[u8]) {
        let whole = self.section.line_start.min(input.len());
        if whole > 0 {
            self.section.fields.adopt(&input[..whole]);
            self.authority = self
                .line
                .authority
                .or(self.section.facts.host)
                .unwrap_or_default();
            return;
        }
        let start = if input.starts_with(b"\r\n") { 2 } else { 0 };
        let line = &input[start..];
        let end = memchr::memchr(b'\n', line).unwrap_or(line.len());
        self.line = request_line::salvage(&line[..end], start);
        self.section.fields.adopt(&input[..start + end]);
    }

    /// Whether the request line was understood.
    #[must_use]
    pub const fn has_line(&self) -> bool {
        self.section.line_start > 0
    }

    /// Whether the request line is complete.
    fn parse_request_line(
        &mut self,
        input: &[u8],
        scanned: &mut usize,
        limits: &HeadLimits,
    ) -> Result<bool, HeadError> {
        // RFC 9112, 2.2: an empty line before the request line should be ignored. One is.
        let start = match input {
            [] => return Ok(false),
            [b'\r'] => {
                *scanned = 1;
                return Ok(false);
            }
            [b'\r', b'\n', ..] => 2,
            [b'\r', ..] => return Err(HeadError::BareCr),
            _ => 0,
        };
        let limit = line_limit(
            start,
            limits.max_target.saturating_add(MAX_BESIDE_TARGET),
            limits.max_head,
        )?;
        match input.get(start) {
            Some(b'\r') => return Err(HeadError::LeadingEmptyLine),
            Some(b'\n') => return Err(HeadError::BareLf),
            // A TLS handshake, or anything else that is not HTTP, is told from its first byte.
            Some(&byte) if !TOKEN[usize::from(byte)] => return Err(HeadError::InvalidMethod),
            _ => {}
        }
        let Some(end) = line_end(input, scanned, start, limit, HeadError::TargetTooLong)? else {
            return Ok(false);
        };
        self.line = request_line::parse(&input[start..end], start, limits.max_target)?;
        self.section.line_start = end;
        Ok(true)
    }

    /// The rules that need the whole head.
    fn finish(&mut self, input: &[u8]) -> Result<(), HeadError> {
        let facts = &self.section.facts;
        let host = facts.host;
        // RFC 9112, 3.2: HTTP/1.1 must have Host. In HTTP/1.0 it is optional.
        if host.is_none() && self.line.version == Version::H11 {
            return Err(HeadError::MissingHost);
        }
        if let (Some(target), Some(host)) = (self.line.authority, host)
            && !self.same_authority(input, target, host)
        {
            return Err(HeadError::HostMismatch);
        }
        self.authority = self.line.authority.or(host).unwrap_or_default();
        // RFC 9110, 9.3.6: content in CONNECT has no meaning; what follows the head would be taken for the tunnel.
        if self.line.method == Method::Connect
            && (facts.chunked || facts.content_length.is_some_and(|len| len > 0))
        {
            return Err(HeadError::ConnectWithBody);
        }
        // RFC 9110, 10.1.1: an expectation in HTTP/1.0, or without content, is to be ignored. Were it forwarded, the
        // next hop would wait for content that never comes.
        if !self.expects_continue() {
            self.section.fields.mark_hop(FieldId::Expect);
        }
        self.section.mark_nominated();
        Ok(())
    }

    /// RFC 9112, 3.2.2 lets a proxy replace Host by what the target says; whoever sends both sends the same. CONNECT
    /// may leave the port out of Host, as some clients do.
    fn same_authority(&self, input: &[u8], target: HostPort, host: HostPort) -> bool {
        let bytes = |span: Span| {
            input
                .get(span.start as usize..(span.start + span.len) as usize)
                .unwrap_or_default()
        };
        let same = |a: Span, b: Span| bytes(a).eq_ignore_ascii_case(bytes(b));
        same(target.whole, host.whole)
            || self.line.form == TargetForm::Authority
                && !host.has_port()
                && same(target.host, host.host)
    }

    /// The field lines.
    #[must_use]
    pub const fn fields(&self) -> &Fields {
        &self.section.fields
    }

    /// Forgets the fields with these names, none of which may be one that the codec knows.
    #[inline]
    pub(crate) fn remove_fields(&mut self, names: &Names) {
        self.section.fields.remove_named(names);
    }

    /// The method, if it is a well-known one.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.line.method
    }

    /// The method as it came.
    #[must_use]
    pub fn method_bytes(&self) -> &[u8] {
        self.bytes(self.line.method_span)
    }

    /// The request target as it came.
    #[must_use]
    pub fn target(&self) -> &[u8] {
        self.bytes(self.line.target)
    }

    /// The form of the target.
    #[must_use]
    pub const fn form(&self) -> TargetForm {
        self.line.form
    }

    /// The scheme of a target in absolute form.
    #[must_use]
    pub const fn scheme(&self) -> Option<Scheme> {
        self.line.scheme
    }

    /// The path of the target, without query. `*` in asterisk form, empty in authority form. In absolute form an
    /// empty path is `/`, or `*` with OPTIONS and no query (RFC 9112, 3.2.4).
    #[must_use]
    pub fn path(&self) -> &[u8] {
        match self.bytes(self.line.path) {
            [] if self.line.form == TargetForm::Authority => b"",
            [] if self.line.method == Method::Options && self.line.query.is_none() => b"*",
            [] => b"/",
            path => path,
        }
    }

    /// What follows the first `?` of the target.
    #[must_use]
    pub fn query(&self) -> Option<&[u8]> {
        self.line.query.map(|span| self.bytes(span))
    }

    /// `host[:port]` of the target, else of Host; valid, and in its original case. Empty only in HTTP/1.0 without Host.
    #[must_use]
    pub fn authority(&self) -> &[u8] {
        self.bytes(self.authority.whole)
    }

    /// The authority without its port. An IPv6 address keeps its brackets.
    #[must_use]
    pub fn host(&self) -> &[u8] {
        self.bytes(self.authority.host)
    }

    /// The port of the authority.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        let digits = self.authority().get(self.host().len() + 1..)?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// The version of the message.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.line.version
    }

    /// How much content follows (RFC 9112, 6.3). Never [`BodyLength::UntilClose`].
    #[must_use]
    pub fn body(&self) -> BodyLength {
        let facts = &self.section.facts;
        match facts.content_length {
            _ if facts.chunked => BodyLength::Chunked,
            Some(len) => BodyLength::Length(len),
            None => BodyLength::None,
        }
    }

    /// Whether the client asks to go on after this request.
    #[must_use]
    pub fn keep_alive(&self) -> bool {
        self.section.facts.keep_alive(self.line.version)
    }

    /// Whether the client waits for `100 Continue` before it sends content, of which there is some.
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        let facts = &self.section.facts;
        facts.expects_continue && (facts.chunked || facts.content_length.is_some_and(|len| len > 0))
    }

    /// The value of Upgrade, if Connection names it, it is one line, and the version is 1.1.
    #[must_use]
    pub fn upgrade(&self) -> Option<&[u8]> {
        self.section
            .facts
            .upgrade(self.line.version)
            .map(|span| self.bytes(span))
    }

    /// Whether the client accepts trailers (RFC 9110, 10.1.4).
    #[must_use]
    pub const fn te_trailers(&self) -> bool {
        self.section.facts.te_trailers
    }

    fn bytes(&self, span: Span) -> &[u8] {
        self.section.fields.bytes(span.start, span.len)
    }
}

impl Default for RequestHead {
    fn default() -> Self {
        Self::new()
    }
}
