//! `method SP request-target SP HTTP-version CRLF` (RFC 9112, 3), with exactly one space in each place.

use super::chars::TOKEN;
use super::error::HeadError;
use super::host::{self, HostPort};
use super::section::{Span, Version};

/// Bytes of a request line beside its target: the method, two spaces, the version.
pub(super) const MAX_BESIDE_TARGET: usize = MAX_METHOD + 2 + VERSION_LEN;
/// No registered method is longer than 17 bytes.
const MAX_METHOD: usize = 32;
const VERSION_LEN: usize = 8;

/// A method. Methods are case-sensitive: `get` is [`Method::Other`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each variant is the method of its name")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Patch,
    Trace,
    Connect,
    /// Any other token.
    Other,
}

impl Method {
    /// Recognises a method.
    #[must_use]
    pub fn of(token: &[u8]) -> Self {
        match token {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"OPTIONS" => Self::Options,
            b"PATCH" => Self::Patch,
            b"TRACE" => Self::Trace,
            b"CONNECT" => Self::Connect,
            _ => Self::Other,
        }
    }

    /// Whether repeating a request has the effect of sending it once (RFC 9110, 9.2.2).
    #[must_use]
    pub const fn is_idempotent(self) -> bool {
        matches!(
            self,
            Self::Get | Self::Head | Self::Put | Self::Delete | Self::Options | Self::Trace
        )
    }
}

/// The four forms of a request target (RFC 9112, 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetForm {
    /// `/path?query`
    Origin,
    /// `http://host/path?query`
    Absolute,
    /// `host:port`, with CONNECT
    Authority,
    /// `*`, with OPTIONS
    Asterisk,
}

/// The scheme of a target in absolute form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `http`
    Http,
    /// `https`
    Https,
}

/// A request line as ranges of its head.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestLine {
    pub(super) method: Method,
    pub(super) method_span: Span,
    pub(super) target: Span,
    pub(super) form: TargetForm,
    pub(super) scheme: Option<Scheme>,
    /// From a target in absolute or authority form.
    pub(super) authority: Option<HostPort>,
    /// Without the query; may be empty in absolute form.
    pub(super) path: Span,
    pub(super) query: Option<Span>,
    pub(super) version: Version,
}

impl RequestLine {
    /// Stands for a line that was not parsed.
    pub(super) const NONE: Self = Self {
        method: Method::Other,
        method_span: Span::EMPTY,
        target: Span::EMPTY,
        form: TargetForm::Origin,
        scheme: None,
        authority: None,
        path: Span::EMPTY,
        query: None,
        version: Version::H11,
    };
}

/// Parses `line`, which is whole (it ends with its first line feed) and starts at `at` in its head.
pub(super) fn parse(line: &[u8], at: usize, max_target: usize) -> Result<RequestLine, HeadError> {
    let Some(line) = line.strip_suffix(b"\r\n") else {
        return Err(HeadError::BareLf);
    };
    // No part of the line can hold a CR; told apart only once it failed.
    split(line, at, max_target).map_err(|error| {
        if line.contains(&b'\r') {
            HeadError::BareCr
        } else {
            error
        }
    })
}

/// What stands in the places of the method and the target, of a line that is no request line or not whole. Nothing of
/// it is checked but that a method leads.
pub(super) fn salvage(line: &[u8], at: usize) -> RequestLine {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let method_len = line
        .iter()
        .position(|&byte| !TOKEN[usize::from(byte)])
        .unwrap_or(line.len());
    let Some(rest) = line[method_len..].strip_prefix(b" ") else {
        return RequestLine::NONE;
    };
    if method_len > MAX_METHOD {
        return RequestLine::NONE;
    }
    let target_len = memchr::memchr(b' ', rest).unwrap_or(rest.len());
    RequestLine {
        method_span: Span::new(at, method_len),
        target: Span::new(at + method_len + 1, target_len),
        ..RequestLine::NONE
    }
}

/// Splits the line, without its line end.
fn split(line: &[u8], at: usize, max_target: usize) -> Result<RequestLine, HeadError> {
    let method_len = line
        .iter()
        .position(|&byte| !TOKEN[usize::from(byte)])
        .unwrap_or(line.len());
    if method_len > MAX_METHOD {
        return Err(HeadError::MethodTooLong);
    }
    let (method, rest) = line.split_at(method_len);
    let Some(rest) = rest.strip_prefix(b" ") else {
        return Err(if rest.is_empty() {
            HeadError::InvalidRequestLine
        } else {
            HeadError::InvalidMethod
        });
    };
    // RFC 9112, 3: other white space than one SP is never a separator here.
    let Some(target_len) = memchr::memchr(b' ', rest) else {
        return Err(HeadError::InvalidRequestLine);
    };
    let (target, version) = (&rest[..target_len], &rest[target_len + 1..]);
    if target.is_empty() {
        return Err(HeadError::InvalidRequestLine);
    }
    if target.len() > max_target {
        return Err(HeadError::TargetTooLong);
    }
    let version = parse_version(version)?;
    // RFC 9112, 3.2: refuse rather than repair. A fragment is never sent.
    if target.iter().fold(false, |bad, &byte| {
        bad | !(0x21..=0x7e).contains(&byte) | (byte == b'#')
    }) {
        return Err(HeadError::InvalidTarget);
    }
    let method_id = Method::of(method);
    let start = at + method_len + 1;
    let mut line = RequestLine {
        method: method_id,
        method_span: Span::new(at, method_len),
        target: Span::new(start, target.len()),
        version,
        ..RequestLine::NONE
    };
    line.take_target(target, start)?;
    Ok(line)
}

impl RequestLine {
    fn take_target(&mut self, target: &[u8], start: usize) -> Result<(), HeadError> {
        // RFC 9112, 3.2.3: CONNECT takes the authority form with a port, and nothing else does.
        if self.method == Method::Connect {
            let authority = host::parse(target, start).filter(HostPort::has_port);
            let form_error = if target[0] == b'/' {
                HeadError::TargetFormForMethod
            } else {
                HeadError::InvalidTarget
            };
            self.authority = Some(authority.ok_or(form_error)?);
            self.form = TargetForm::Authority;
            return Ok(());
        }
        if target[0] == b'/' {
            self.take_path(target, start);
            return Ok(());
        }
        // RFC 9112, 3.2.4: only OPTIONS takes the asterisk.
        if target == b"*" {
            if self.method != Method::Options {
                return Err(HeadError::TargetFormForMethod);
            }
            self.form = TargetForm::Asterisk;
            self.take_path(target, start);
            return Ok(());
        }
        let (scheme, prefix) = scheme(target).ok_or(HeadError::InvalidTarget)?;
        let rest = &target[prefix..];
        let authority_len = rest
            .iter()
            .position(|byte| matches!(byte, b'/' | b'?'))
            .unwrap_or(rest.len());
        // RFC 9110, 4.2.4: no user information.
        let authority =
            host::parse(&rest[..authority_len], start + prefix).ok_or(HeadError::InvalidTarget)?;
        self.form = TargetForm::Absolute;
        self.scheme = Some(scheme);
        self.authority = Some(authority);
        self.take_path(&rest[authority_len..], start + prefix + authority_len);
        Ok(())
    }

    fn take_path(&mut self, path_and_query: &[u8], start: usize) {
        let path_len = memchr::memchr(b'?', path_and_query).unwrap_or(path_and_query.len());
        self.path = Span::new(start, path_len);
        if path_len < path_and_query.len() {
            self.query = Some(Span::new(
                start + path_len + 1,
                path_and_query.len() - path_len - 1,
            ));
        }
    }
}

/// `HTTP/1.0` and `HTTP/1.1` exactly: case-sensitive (RFC 9112, 2.3). Any other version, such as the preface of
/// HTTP/2, is well-formed but not spoken here.
pub(super) fn parse_version(version: &[u8]) -> Result<Version, HeadError> {
    match version {
        b"HTTP/1.1" => Ok(Version::H11),
        b"HTTP/1.0" => Ok(Version::H10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(HeadError::UnsupportedVersion)
        }
        _ => Err(HeadError::InvalidVersion),
    }
}

fn scheme(target: &[u8]) -> Option<(Scheme, usize)> {
    let is = |prefix: &[u8]| {
        target
            .get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    if is(b"http://") {
        Some((Scheme::Http, 7))
    } else if is(b"https://") {
        Some((Scheme::Https, 8))
    } else {
        None
    }
}
