//! What comes of a check.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::identity::Identity;
use crate::method::{Objection, Tried};
use crate::refusal::Refusal;

/// What to do with a request.
#[derive(Debug)]
pub enum Check {
    /// Let it pass.
    Pass(Pass),
    /// Answer it with this.
    Refuse(Box<Refusal>),
    /// Wait for an answer, then [`resume`](crate::Authenticator::resume).
    Ask(Question),
}

/// A request that may pass.
#[derive(Debug, Default)]
pub struct Pass {
    /// Who sent it; `None` for anonymous ones.
    pub identity: Option<Arc<Identity>>,
    /// Lines to add to the response (`Set-Cookie`), each with its CRLF.
    pub fields: Vec<u8>,
    /// Where the credential stood that was found good: what to hide depends on it
    /// ([`hidden_for`](crate::Authenticator::hidden_for)). `None` for anonymous ones.
    pub place: Option<Place>,
}

/// A place where a route looks for credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which of the methods.
    pub(crate) method: usize,
    /// Which of its places.
    pub(crate) place: usize,
}

/// A credential that endpoints do not see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hidden {
    /// All fields of this name (lower case).
    Field(Arc<str>),
    /// The `Authorization` field, if it has this scheme (in any case).
    Authorization(Arc<str>),
    /// The cookies of this name, in every `Cookie` field.
    Cookie(Arc<str>),
    /// All cookies whose names begin like this.
    Cookies(Arc<str>),
    /// The parameters of this name in the query.
    Parameter(Arc<str>),
}

impl Hidden {
    /// Whether what stands here is the credential that was found there: the same place, or a field and what stands in it.
    pub(crate) fn is_of(&self, good: &Self) -> bool {
        const AUTHORIZATION: &str = "authorization";
        match (self, good) {
            (Self::Authorization(one), Self::Authorization(other)) => {
                one.eq_ignore_ascii_case(other)
            }
            (Self::Field(name), Self::Authorization(_))
            | (Self::Authorization(_), Self::Field(name)) => **name == *AUTHORIZATION,
            (Self::Field(name), Self::Cookie(_) | Self::Cookies(_)) => **name == *"cookie",
            _ => self == good,
        }
    }
}

/// Something that is being found out elsewhere. Dropping it gives up waiting.
#[derive(Debug)]
pub struct Question {
    pub(crate) answer: oneshot::Receiver<Tried>,
    pub(crate) deadline: Duration,
    /// Which of the methods asked.
    pub(crate) method: usize,
    /// What the methods before it had to say.
    pub(crate) worst: Option<Objection>,
}

/// The answer to a [`Question`], for [`resume`](crate::Authenticator::resume).
#[derive(Debug)]
pub struct Answered {
    pub(crate) tried: Tried,
    pub(crate) method: usize,
    pub(crate) worst: Option<Objection>,
}

impl Question {
    /// Waits for the answer, but not for ever.
    pub async fn answered(self) -> Answered {
        let tried = match tokio::time::timeout(self.deadline, self.answer).await {
            Ok(Ok(tried)) => tried,
            Ok(Err(_)) => Tried::unavailable("the check of the credential was given up"),
            Err(_) => Tried::unavailable("the check of the credential took too long"),
        };
        Answered {
            tried,
            method: self.method,
            worst: self.worst,
        }
    }
}
