//! Methods as bits, so that "is it listed" and "do two rules overlap" are one AND.

use super::problem::Complaint;

/// A set of methods, as known to the table that it came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MethodSet(u64);

const GET: MethodSet = MethodSet(1);
const HEAD: MethodSet = MethodSet(1 << 1);
const STANDARD: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE",
];

impl MethodSet {
    /// No methods. As the method list of a rule this means "any method".
    pub(super) const EMPTY: Self = Self(0);

    /// Whether no method is in the set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) fn overlaps(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// How well a rule with this list takes `method` (a set of one, or none when no rule names the method).
    pub(super) fn fit(self, method: Self) -> Fit {
        if self.is_empty() {
            Fit::Any
        } else if self.overlaps(method) {
            Fit::Listed
        } else if method == HEAD && self.overlaps(GET) {
            Fit::Implied
        } else {
            Fit::No
        }
    }

    /// What a rule with this list answers, for Allow: HEAD comes with GET (RFC 9110 section 9.3.2).
    pub(super) fn allowed(self) -> Self {
        if self.overlaps(GET) {
            self.union(HEAD)
        } else {
            self
        }
    }
}

/// How a rule takes a method, the most specific first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    Listed,
    /// HEAD, by a rule that lists GET.
    Implied,
    Any,
    No,
}

/// The names behind the bits of one table.
#[derive(Debug, Default)]
pub(super) struct Methods {
    extensions: Vec<Box<str>>,
}

impl Methods {
    /// The bit of a method that a rule lists.
    pub(super) fn intern(&mut self, name: &str) -> Result<MethodSet, Complaint> {
        if let Some(known) = self.find(name.as_bytes()) {
            return Ok(known);
        }
        if let Some(standard) = STANDARD
            .iter()
            .find(|standard| standard.eq_ignore_ascii_case(name))
        {
            return Err(Complaint::new(
                format!("`{name}` is not a method: methods are case-sensitive"),
                format!("write `{standard}`"),
            ));
        }
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_token_byte) {
            return Err(Complaint::new(
                format!("`{}` is not a method", name.escape_debug()),
                "write a token such as `GET` or `PROPFIND`",
            ));
        }
        if STANDARD.len() + self.extensions.len() == 64 {
            return Err(Complaint::new(
                "the routes name more than 64 different methods",
                "leave `methods` out where any method will do",
            ));
        }
        self.extensions.push(name.into());
        Ok(MethodSet(1 << (STANDARD.len() + self.extensions.len() - 1)))
    }

    /// The bit of a method in a request; `None` for one that no rule lists.
    pub(super) fn find(&self, name: &[u8]) -> Option<MethodSet> {
        let standard = match name {
            b"GET" => 0,
            b"HEAD" => 1,
            b"POST" => 2,
            b"PUT" => 3,
            b"DELETE" => 4,
            b"PATCH" => 5,
            b"OPTIONS" => 6,
            b"CONNECT" => 7,
            b"TRACE" => 8,
            _ => {
                let at = self
                    .extensions
                    .iter()
                    .position(|known| known.as_bytes() == name)?;
                STANDARD.len() + at
            }
        };
        Some(MethodSet(1 << standard))
    }

    pub(super) fn names(&self, set: MethodSet) -> impl Iterator<Item = &str> {
        let standard = STANDARD.iter().copied();
        let extensions = self.extensions.iter().map(|name| &**name);
        standard
            .chain(extensions)
            .enumerate()
            .filter(move |(bit, _)| set.overlaps(MethodSet(1 << bit)))
            .map(|(_, name)| name)
    }
}

/// `tchar` of RFC 9110 section 5.6.2.
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
