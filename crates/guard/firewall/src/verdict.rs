//! What a firewall says, and which entry made it say so.

use std::fmt;

use weir_config::Cidr;

use crate::geo::Country;

/// What is to become of a connection or a request. Nothing in it: it may pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Verdict<'a> {
    /// Why it is denied, if it is.
    pub denied: Option<Cause<'a>>,
    /// Why it would have been denied by something that is only tried out.
    pub would_deny: Option<Cause<'a>>,
}

impl<'a> Verdict<'a> {
    /// It may pass.
    pub const PASS: Self = Self {
        denied: None,
        would_deny: None,
    };

    /// Whether it may pass.
    #[inline]
    #[must_use]
    pub const fn passes(&self) -> bool {
        self.denied.is_none()
    }

    /// Denied, or would be in earnest.
    pub(crate) const fn deny(cause: Cause<'a>, dry_run: bool) -> Self {
        if dry_run {
            Self {
                denied: None,
                would_deny: Some(cause),
            }
        } else {
            Self {
                denied: Some(cause),
                would_deny: None,
            }
        }
    }
}

/// The entry that denied. Its text names it for logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause<'a> {
    /// A prefix in `deny`.
    Address(Cidr),
    /// A file in `deny`, as it is written in the config.
    List(&'a str),
    /// A country in `deny`.
    Country(Country),
    /// A network in `deny`.
    Asn(u32),
    /// There is an `allow`, and this client is not in it.
    NotAllowed,
    /// A rule on requests, by its name.
    Rule(&'a str),
}

impl Cause<'_> {
    /// The kind of entry, for the label of a metric.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Address(_) => "address",
            Self::List(_) => "list",
            Self::Country(_) => "country",
            Self::Asn(_) => "asn",
            Self::NotAllowed => "not_allowed",
            Self::Rule(_) => "rule",
        }
    }
}

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(prefix) => prefix.fmt(f),
            Self::List(name) => write!(f, "file:{name}"),
            Self::Country(country) => write!(f, "country:{country}"),
            Self::Asn(asn) => write!(f, "asn:{asn}"),
            Self::NotAllowed => f.write_str("not allowed"),
            Self::Rule(name) => write!(f, "rule:{name}"),
        }
    }
}
