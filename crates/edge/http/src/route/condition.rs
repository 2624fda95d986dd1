//! Conditions on header fields and on the query: a name, and what its value must be.

use std::cmp::Ordering;
use std::sync::Arc;

use super::expression::{Expression, Expressions};
use super::method::is_token_byte;
use super::normalize::hex_byte;
use super::problem::Complaint;

/// Where a lookup reads the header fields of a request.
pub trait HeaderSource {
    /// Whether `test` holds for any one field line value of this name. `name` is in lower case.
    fn any<F: FnMut(&[u8]) -> bool>(&self, name: &[u8], test: F) -> bool;
}

/// A list of names and values, compared without case. What a command line gives.
impl<N: AsRef<[u8]>, V: AsRef<[u8]>> HeaderSource for [(N, V)] {
    fn any<F: FnMut(&[u8]) -> bool>(&self, name: &[u8], mut test: F) -> bool {
        self.iter()
            .any(|(known, value)| known.as_ref().eq_ignore_ascii_case(name) && test(value.as_ref()))
    }
}

/// One condition.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    name: Box<str>,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Exact(Box<str>),
    Matches(Arc<Expression>),
    Present,
}

impl Condition {
    /// A condition on a header field; the name is kept in lower case (RFC 9110 section 5.1).
    pub(super) fn header(
        name: &str,
        value: &str,
        expressions: &mut Expressions,
    ) -> Result<Self, Complaint> {
        if name.is_empty() || !name.bytes().all(is_token_byte) {
            return Err(Complaint::new(
                format!("`{}` is not a header name", name.escape_debug()),
                "use letters, digits and `-`, such as `x-version`",
            ));
        }
        if value.trim_matches([' ', '\t']) != value
            || value
                .bytes()
                .any(|byte| byte.is_ascii_control() && byte != b'\t')
        {
            return Err(Complaint::new(
                format!(
                    "the value `{}` can never arrive in a header",
                    value.escape_debug()
                ),
                "leave out control characters and the spaces around it",
            ));
        }
        Ok(Self {
            name: name.to_ascii_lowercase().into(),
            test: Test::parse(value, expressions)?,
        })
    }

    /// A condition on a query parameter, name and value written decoded.
    pub(super) fn query(
        name: &str,
        value: &str,
        expressions: &mut Expressions,
    ) -> Result<Self, Complaint> {
        if name.is_empty() {
            return Err(Complaint::new(
                "a query parameter has no name",
                "write it like `page: \"2\"`",
            ));
        }
        Ok(Self {
            name: name.into(),
            test: Test::parse(value, expressions)?,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_exact(&self) -> bool {
        matches!(self.test, Test::Exact(_))
    }

    pub(super) fn is_regex(&self) -> bool {
        matches!(self.test, Test::Matches(_))
    }

    pub(super) fn holds_for_headers<H: HeaderSource + ?Sized>(&self, headers: &H) -> bool {
        headers.any(self.name.as_bytes(), |value| match &self.test {
            Test::Exact(expected) => expected.as_bytes() == value,
            Test::Matches(expression) => expression.is_match(value),
            Test::Present => true,
        })
    }

    /// `scratch` holds a decoded value while a regex looks at it.
    pub(super) fn holds_for_query(&self, query: &[u8], scratch: &mut Vec<u8>) -> bool {
        query.split(|&byte| byte == b'&').any(|pair| {
            let split = memchr::memchr(b'=', pair).unwrap_or(pair.len());
            let (name, value) = (&pair[..split], pair.get(split + 1..).unwrap_or_default());
            decoded(name).eq(self.name.bytes())
                && match &self.test {
                    Test::Exact(expected) => decoded(value).eq(expected.bytes()),
                    Test::Matches(expression) => {
                        scratch.clear();
                        scratch.extend(decoded(value));
                        expression.is_match(scratch)
                    }
                    Test::Present => true,
                }
        })
    }

    pub(super) fn compare(&self, other: &Self) -> Ordering {
        self.name
            .cmp(&other.name)
            .then_with(|| self.test.key().cmp(&other.test.key()))
    }
}

impl Test {
    fn parse(text: &str, expressions: &mut Expressions) -> Result<Self, Complaint> {
        match text.strip_prefix('~') {
            Some("") => Err(Complaint::new(
                "the regex is empty",
                "write it after `~`, or `*` for any value",
            )),
            Some(regex) => expressions.parse(regex).map(Self::Matches),
            None if text == "*" => Ok(Self::Present),
            None => Ok(Self::Exact(text.into())),
        }
    }

    fn key(&self) -> (u8, &str) {
        match self {
            Self::Exact(text) => (0, text),
            Self::Matches(expression) => (1, expression.text()),
            Self::Present => (2, ""),
        }
    }
}

/// `application/x-www-form-urlencoded` bytes, decoded; a broken `%` stands for itself.
fn decoded(bytes: &[u8]) -> impl Iterator<Item = u8> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let &byte = bytes.get(at)?;
        at += 1;
        match byte {
            b'+' => Some(b' '),
            b'%' => match bytes
                .get(at..at + 2)
                .and_then(|digits| hex_byte(digits[0], digits[1]))
            {
                Some(decoded) => {
                    at += 2;
                    Some(decoded)
                }
                None => Some(b'%'),
            },
            _ => Some(byte),
        }
    })
}
