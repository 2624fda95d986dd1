//! Answers that Weir gives instead of the endpoint.

/// An answer in place of the endpoint's: a refusal, or a step of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// Why, for logs and metrics.
    pub why: Why,
    /// Lines for the response (`WWW-Authenticate`, `Location`, `Set-Cookie`, `Cache-Control`), each with its CRLF.
    pub fields: Vec<u8>,
    /// What to say to people.
    pub detail: &'static str,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Why {
    /// It has no credential.
    Missing,
    /// What stands in the place of its credential is none.
    Malformed,
    /// Nobody has this key or name.
    Unknown,
    /// The password is wrong, or the signature.
    Invalid,
    /// The credential was good before, or will be later.
    Expired,
    /// The token is for somebody else, or from somebody else.
    Audience,
    /// It lacks a scope.
    Scope,
    /// It lacks a claim.
    Claim,
    /// This could not be found out now.
    Unavailable,
    /// Too much is being found out already.
    Overloaded,
    /// A step of a login: not a refusal, but not for the endpoint either.
    Login,
}

impl Why {
    /// All of them, in their order.
    pub const ALL: [Self; 11] = [
        Self::Missing,
        Self::Malformed,
        Self::Unknown,
        Self::Invalid,
        Self::Expired,
        Self::Audience,
        Self::Scope,
        Self::Claim,
        Self::Unavailable,
        Self::Overloaded,
        Self::Login,
    ];

    /// One word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Invalid => "invalid",
            Self::Expired => "expired",
            Self::Audience => "audience",
            Self::Scope => "scope",
            Self::Claim => "claim",
            Self::Unavailable => "unavailable",
            Self::Overloaded => "overloaded",
            Self::Login => "login",
        }
    }
}
