//! What the methods of a route say of a request that was never sent, one by one.
//!
//! What can be known here and now is found out, slow password hashes included; nobody outside is asked. A credential is never
//! repeated, only who has it.

use std::sync::Arc;

use crate::asked::{Asked, Found};
use crate::authenticator::Authenticator;
use crate::cache::Cache;
use crate::check::{Check, Place};
use crate::identity::Identity;
use crate::method::{Asking, Method, Tried, Work};
use crate::refusal::Why;

/// What one of the methods of a route says.
#[derive(Clone, Debug)]
pub struct Opinion {
    /// The policy that names the method; empty for one that stands in a route.
    pub policy: String,
    /// Which kind it is.
    pub method: &'static str,
    /// What it says.
    pub said: Said,
}

/// What a method says of a request.
#[derive(Clone, Debug)]
pub enum Said {
    /// The request has no credential for it.
    Nothing,
    /// The credential is good, and its owner has all that is needed.
    Good(Arc<Identity>),
    /// The credential is good, but its owner may not come in here.
    Lacks {
        /// Who it is.
        identity: Arc<Identity>,
        /// The scopes that are missing.
        scopes: Vec<String>,
        /// The claims that are missing or have another value, each with the values that would do.
        claims: Vec<(String, Vec<String>)>,
    },
    /// The credential is not good, for this reason.
    Bad(&'static str),
    /// Somebody else would have to be asked.
    Asks,
    /// It answers itself: a step of a login.
    Answers,
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It passes; if it is not anonymous, as somebody whose credential stands in this place.
    Passes(Option<(Arc<Identity>, Place)>),
    /// It is answered with this status.
    Refused(u16),
    /// That depends on what somebody else says.
    Open,
}

impl Authenticator {
    /// Says what each method would say of a request, and what would become of it. `now` is in seconds since 1970.
    pub fn explain<R: Asked>(&self, request: &R, now: u64) -> (Vec<Opinion>, Outcome) {
        let mut opinions = Vec::with_capacity(self.methods.len());
        let mut good = None;
        let mut hashed = false;
        for (at, method) in self.methods.iter().enumerate() {
            let said = if good.is_some() {
                // Nobody looks at it any more.
                Said::Nothing
            } else {
                self.opinion(method, request, now, &mut hashed)
            };
            if let Said::Good(identity) = &said {
                let place = method.place(request);
                good = Some((Arc::clone(identity), Place { method: at, place }));
            }
            opinions.push(Opinion {
                policy: method.policy().to_owned(),
                method: method.method().as_str(),
                said,
            });
        }
        let outcome = match good {
            Some(good) => Outcome::Passes(Some(good)),
            None => self.outcome(&opinions, request, now, hashed),
        };
        (opinions, outcome)
    }

    fn opinion<R: Asked>(&self, method: &Method, request: &R, now: u64, hashed: &mut bool) -> Said {
        let tried = match method.serve(request, now) {
            Some(Tried::Ask(_)) => return Said::Answers,
            Some(tried) => tried,
            None => match method.find(request) {
                Found::Absent => return Said::Nothing,
                Found::Malformed(detail) => return Said::Bad(detail),
                Found::Credential(credential) => method.try_credential(&credential, request, now),
            },
        };
        let tried = match tried {
            Tried::Ask(Asking {
                work: Work::Blocking(work),
                ..
            }) => {
                *hashed = true;
                work()
            }
            tried => tried,
        };
        match tried {
            Tried::Accepted(accepted) => self.admitted(accepted.identity),
            Tried::Refused(fault) if fault.why == Why::Unavailable => Said::Asks,
            Tried::Refused(fault) => Said::Bad(fault.detail),
            Tried::Answer(_) => Said::Answers,
            Tried::Ask(_) => Said::Asks,
        }
    }

    /// What is said of somebody who is known.
    fn admitted(&self, identity: Arc<Identity>) -> Said {
        let scopes = self.require.scopes.iter();
        let scopes: Vec<String> = scopes
            .filter(|scope| !identity.has_scope(scope))
            .map(|scope| scope.to_string())
            .collect();
        let claims = self.require.claims.iter();
        let claims: Vec<(String, Vec<String>)> = claims
            .filter(|(path, wanted)| !identity.claims.matches(path, wanted))
            .map(|(path, wanted)| {
                let wanted = wanted.iter().map(|value| value.to_string());
                (path.as_str().to_owned(), wanted.collect())
            })
            .collect();
        if scopes.is_empty() && claims.is_empty() {
            return Said::Good(identity);
        }
        Said::Lacks {
            identity,
            scopes,
            claims,
        }
    }

    /// What becomes of a request that no method has found good.
    fn outcome<R: Asked>(
        &self,
        opinions: &[Opinion],
        request: &R,
        now: u64,
        hashed: bool,
    ) -> Outcome {
        let any = |is: fn(&Said) -> bool| opinions.iter().any(|opinion| is(&opinion.said));
        if any(|said| matches!(said, Said::Asks)) {
            return Outcome::Open;
        }
        if hashed {
            // As requests are answered whose password was looked at elsewhere.
            let known = any(|said| matches!(said, Said::Lacks { .. }));
            return Outcome::Refused(if known { 403 } else { 401 });
        }
        match self.check(request, &mut Cache::new(1), now) {
            Check::Pass(pass) => Outcome::Passes(pass.identity.zip(pass.place)),
            Check::Refuse(refusal) => match refusal.why {
                Why::Unavailable | Why::Overloaded => Outcome::Open,
                _ => Outcome::Refused(refusal.status),
            },
            Check::Ask(_) => Outcome::Open,
        }
    }
}

#[cfg(test)]
mod tests;
