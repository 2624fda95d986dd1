//! What of a request a check looks at, and where in it a credential may stand.

use std::borrow::Cow;
use std::net::IpAddr;

/// A request, as far as checks need it.
pub trait Asked {
    /// The values of all fields of this name (lower case), one for each line.
    fn fields<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]>;

    /// The method.
    fn method(&self) -> &[u8];

    /// `http` or `https`, as the client sees it.
    fn scheme(&self) -> &str;

    /// The host as the client wrote it, with its port.
    fn host(&self) -> &[u8];

    /// The path, without the query.
    fn path(&self) -> &[u8];

    /// What follows the `?`.
    fn query(&self) -> Option<&[u8]>;

    /// What of it may be kept and told on: all but the keys that may stand in it.
    fn query_without_keys(&self) -> Option<Cow<'_, [u8]>> {
        self.query().map(Cow::Borrowed)
    }

    /// The client's address.
    fn client(&self) -> IpAddr;
}

/// What stands where a method looks for its credential.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'r> {
    /// Nothing that this method understands.
    Absent,
    /// A credential.
    Credential(Cow<'r, [u8]>),
    /// More than one, or something that cannot be one: RFC 6750, section 3.1, `invalid_request`.
    Malformed(&'static str),
}

impl<'r> Found<'r> {
    pub(crate) const TWICE: Self = Self::Malformed("the credential is there more than once");

    /// Of the values that stand in one place, the only one.
    fn only(mut values: impl Iterator<Item = &'r [u8]>) -> Self {
        match (values.next(), values.next()) {
            (None, _) => Self::Absent,
            (Some(_), Some(_)) => Self::TWICE,
            (Some(b""), None) => Self::Absent,
            (Some(value), None) => Self::Credential(Cow::Borrowed(value)),
        }
    }

    /// This, or what stands in another place.
    pub(crate) fn or_else(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Absent => other(),
            found => found,
        }
    }
}

/// The credential of an `Authorization` field with this scheme (RFC 9110, section 11.6.2). Other schemes are other methods'
/// business, but a second `Authorization` field is nobody's: endpoints might read the other one.
pub(crate) fn authorization<'r, R: Asked>(request: &'r R, scheme: &str) -> Found<'r> {
    let mut values = request.fields(b"authorization");
    let Some(value) = values.next() else {
        return Found::Absent;
    };
    let twice = values.next().is_some();
    if twice {
        return Found::TWICE;
    }
    match behind_scheme(value, scheme.as_bytes()) {
        None => Found::Absent,
        Some([b' ' | b'\t', credential @ ..]) => {
            Found::Credential(Cow::Borrowed(credential.trim_ascii_start()))
        }
        Some(_) => Found::Malformed("there is no credential behind the scheme"),
    }
}

/// Whether the value of an `Authorization` field has this scheme, for us or for an endpoint that reads it laxly.
pub fn has_scheme(value: &[u8], scheme: &[u8]) -> bool {
    behind_scheme(value, scheme).is_some()
}

/// What follows this scheme, if it is that of a value. RFC 9110, 11.1: the scheme is case-insensitive, one or more spaces
/// follow it. Endpoints are laxer about what follows, and must not find a credential where there is none for us: whatever
/// cannot go on the scheme ends it.
fn behind_scheme<'v>(value: &'v [u8], scheme: &[u8]) -> Option<&'v [u8]> {
    let value = value.trim_ascii();
    let end = value.iter().position(|byte| !is_tchar(*byte));
    let (word, rest) = value.split_at(end.unwrap_or(value.len()));
    word.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// What tokens consist of (RFC 9110, section 5.6.2).
const fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// The value of a field of its own.
pub(crate) fn field<'r, R: Asked>(request: &'r R, name: &'r str) -> Found<'r> {
    Found::only(request.fields(name.as_bytes()).map(<[u8]>::trim_ascii))
}

/// The value of a cookie (RFC 6265, section 4.2.1), without quotes. Blanks around its name do not count, as with most who
/// read cookies.
pub(crate) fn cookie<'r, R: Asked>(request: &'r R, name: &'r str) -> Found<'r> {
    let pairs = request
        .fields(b"cookie")
        .flat_map(|line| line.split(|b| *b == b';'));
    Found::only(pairs.filter_map(|pair| {
        let (found, value) = split_cookie(pair)?;
        let value = (found == name.as_bytes()).then_some(value)?;
        Some(
            value
                .strip_prefix(b"\"")
                .and_then(|value| value.strip_suffix(b"\""))
                .unwrap_or(value),
        )
    }))
}

/// The name and the value of a cookie, without blanks around them.
pub(crate) fn split_cookie(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = pair.iter().position(|byte| *byte == b'=')?;
    Some((pair[..at].trim_ascii(), pair[at + 1..].trim_ascii()))
}

/// The value of a parameter of the query, percent-decoded.
pub(crate) fn parameter<'r, R: Asked>(request: &'r R, name: &'r str) -> Found<'r> {
    let Some(query) = request.query() else {
        return Found::Absent;
    };
    let values = query.split(|b| *b == b'&').filter_map(|pair| {
        let at = pair.iter().position(|b| *b == b'=')?;
        let (found, value) = (&pair[..at], &pair[at + 1..]);
        // However it is written: endpoints read names as they read values.
        let same = found == name.as_bytes()
            || found.contains(&b'%') && decode_percent(found).as_deref() == Some(name.as_bytes());
        same.then_some(value)
    });
    match Found::only(values) {
        Found::Credential(Cow::Borrowed(raw)) if raw.contains(&b'%') => match decode_percent(raw) {
            Some(value) => Found::Credential(Cow::Owned(value)),
            None => Found::Malformed("the credential in the query is not encoded correctly"),
        },
        found => found,
    }
}

fn decode_percent(raw: &[u8]) -> Option<Vec<u8>> {
    let mut value = Vec::with_capacity(raw.len());
    let mut rest = raw.iter();
    while let Some(&byte) = rest.next() {
        value.push(if byte == b'%' {
            let digit = |b: &u8| char::from(*b).to_digit(16);
            let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
            u8::try_from(high * 16 + low).ok()?
        } else {
            byte
        });
    }
    Some(value)
}
