//! What the fields of a head say about framing and the connection, gathered while the lines are parsed.
//!
//! The rules of RFC 9112, 6 are applied without repair: where the RFC lets a recipient choose between fixing a head
//! and refusing it, it is refused, because the next hop may choose the other fix.
//!
//! Connection can be abused to make a proxy remove what the next hop relies on. Naming Host or Content-Length is
//! refused. Naming any other field that Weir knows as end-to-end (Authorization, Cookie, Forwarded, X-Forwarded-For,
//! ...) has no effect: a sender must not do that (RFC 9110, 7.6.1). Fields that Weir does not know are stripped.

use super::chars::{is_token, trim};
use super::error::HeadError;
use super::field_id::FieldId;
use super::host::{self, HostPort};
use super::section::{Span, Version};

/// More connection options than this are an attempt to make nomination expensive.
const MAX_CONNECTION_OPTIONS: u8 = 32;

/// Which kind of head is parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Response,
}

/// What the fields seen so far say.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) host: Option<HostPort>,
    pub(super) content_length: Option<u64>,
    pub(super) chunked: bool,
    /// Connection options.
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade_option: bool,
    /// A field that is not hop-by-hop of itself was nominated.
    pub(super) nominates: bool,
    options: u8,
    pub(super) expects_continue: bool,
    pub(super) te_trailers: bool,
    upgrade: Option<Span>,
    upgrade_lines: bool,
}

impl Facts {
    /// Takes in one field; `at` is where its value starts.
    pub(super) fn note(
        &mut self,
        id: FieldId,
        value: &[u8],
        at: usize,
        kind: Kind,
        version: Version,
    ) -> Result<(), HeadError> {
        match id {
            FieldId::Host if kind == Kind::Request => self.note_host(value, at),
            FieldId::ContentLength => self.note_content_length(value),
            FieldId::TransferEncoding => self.note_transfer_encoding(value, version),
            FieldId::Connection => self.note_connection(value),
            FieldId::Expect if kind == Kind::Request => self.note_expect(value, version),
            FieldId::Upgrade => {
                // Several lines would be one list; a sender of one protocol needs one line.
                self.upgrade_lines |= self.upgrade.is_some();
                self.upgrade = Some(Span::new(at, value.len()));
                Ok(())
            }
            FieldId::Te => {
                self.te_trailers |=
                    options(value).any(|option| option.eq_ignore_ascii_case(b"trailers"));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The value of Upgrade, if it applies: RFC 9110, 7.8 makes it void without the connection option and in HTTP/1.0.
    pub(super) fn upgrade(&self, version: Version) -> Option<Span> {
        self.upgrade
            .filter(|_| self.upgrade_option && !self.upgrade_lines && version == Version::H11)
    }

    /// Whether the sender lets the connection go on (RFC 9112, 9.3).
    pub(super) fn keep_alive(&self, version: Version) -> bool {
        !self.close && (version == Version::H11 || self.keep_alive)
    }

    /// RFC 9112, 3.2: exactly one valid Host.
    fn note_host(&mut self, value: &[u8], at: usize) -> Result<(), HeadError> {
        if self.host.is_some() {
            return Err(HeadError::DuplicateHost);
        }
        self.host = Some(host::parse(value, at).ok_or(HeadError::InvalidHost)?);
        Ok(())
    }

    /// RFC 9112, 6.3 (5): one value, a number. Repeated equal values may be merged; we do not. Leading zeros are
    /// valid but read as octal by some, and written by nobody.
    fn note_content_length(&mut self, value: &[u8]) -> Result<(), HeadError> {
        if self.content_length.is_some() {
            return Err(HeadError::DuplicateContentLength);
        }
        if self.chunked {
            return Err(HeadError::ContentLengthWithTransferEncoding);
        }
        self.content_length = Some(decimal(value).ok_or(HeadError::InvalidContentLength)?);
        Ok(())
    }

    /// RFC 9112, 6.1: `chunked` and nothing else, in HTTP/1.1 only, and not beside Content-Length.
    fn note_transfer_encoding(&mut self, value: &[u8], version: Version) -> Result<(), HeadError> {
        if version == Version::H10 {
            return Err(HeadError::TransferEncodingInHttp10);
        }
        if self.chunked {
            return Err(HeadError::DuplicateTransferEncoding);
        }
        if self.content_length.is_some() {
            return Err(HeadError::ContentLengthWithTransferEncoding);
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(transfer_encoding_error(value));
        }
        self.chunked = true;
        Ok(())
    }

    fn note_connection(&mut self, value: &[u8]) -> Result<(), HeadError> {
        for option in options(value) {
            if !is_token(option) {
                return Err(HeadError::InvalidConnection);
            }
            self.options += 1;
            if self.options > MAX_CONNECTION_OPTIONS {
                return Err(HeadError::TooManyConnectionOptions);
            }
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
                continue;
            }
            match FieldId::of(option) {
                FieldId::KeepAlive => self.keep_alive = true,
                FieldId::Upgrade => self.upgrade_option = true,
                FieldId::Host | FieldId::ContentLength => {
                    return Err(HeadError::ConnectionNominatesFraming);
                }
                id => self.nominates |= is_nominable(id),
            }
        }
        Ok(())
    }

    /// RFC 9110, 10.1.1: an unknown expectation may be answered with 417. Forwarding it invites a next hop that reads
    /// `100-continue` into it, and then both wait, or one answers before the content came. HTTP/1.0 has no Expect.
    fn note_expect(&mut self, value: &[u8], version: Version) -> Result<(), HeadError> {
        if version == Version::H10 {
            return Ok(());
        }
        if !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(HeadError::UnknownExpectation);
        }
        self.expects_continue = true;
        Ok(())
    }
}

/// Whether naming the field in Connection takes it out of the message. Those that are hop-by-hop go anyway.
pub(super) const fn is_nominable(id: FieldId) -> bool {
    matches!(id, FieldId::Other | FieldId::Trailer)
}

/// The elements of a comma-separated list; empty ones are skipped (RFC 9110, 5.6.1.2).
pub(super) fn options(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .map(trim)
        .filter(|option| !option.is_empty())
}

/// A decimal number without sign, white space, leading zeros or overflow.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || (digits.len() > 1 && digits[0] == b'0') {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, &digit| {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// RFC 9112, 6.1: a coding that is not understood is 501. Anything else than codings ending in one `chunked` is 400.
fn transfer_encoding_error(value: &[u8]) -> HeadError {
    let codings = || value.split(|&byte| byte == b',').map(trim);
    let chunked = codings()
        .filter(|coding| coding.eq_ignore_ascii_case(b"chunked"))
        .count();
    let last = codings()
        .next_back()
        .is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"));
    let alone = codings().count() == 1;
    if codings().all(is_token) && (chunked == 0 && alone || chunked == 1 && last) {
        HeadError::UnknownTransferCoding
    } else {
        HeadError::InvalidTransferEncoding
    }
}
