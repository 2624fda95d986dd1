//! Answers that Weir gives instead of the endpoint.

use std::sync::Arc;

use crate::identity::Identity;

/// An answer in place of the endpoint's: a refusal, or a step of a login.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// Why, for logs and metrics.
    pub why: Why,
    /// Lines for the response (`WWW-Authenticate`, `Location`, `Set-Cookie`), each with its CRLF. `Cache-Control: no-store` belongs to
    /// every refusal and is not among them.
    pub fields: Vec<u8>,
    /// What to say to people.
    pub detail: &'static str,
    /// Whose answer it is, for logs: the policy of the method, or the word for its kind if no policy names it. `None` if it
    /// is none in particular: several would have known a credential, and there is none.
    pub policy: Option<Arc<str>>,
    /// Who was asking, for logs, if that is known although they may not pass.
    pub identity: Option<Arc<Identity>>,
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
    /// Too many logins from this address have come to nothing.
    Attempts,
    /// A step of a login: not a refusal, but not for the endpoint either.
    Login,
}

impl Why {
    /// All of them, in their order.
    pub const ALL: [Self; 12] = [
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
        Self::Attempts,
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
            Self::Attempts => "attempts",
            Self::Login => "login",
        }
    }
}
