//! What the methods of a route say of a credential. It is never repeated, only who has it.

use std::fmt::Write as _;

use weir_auth::{Identity, Opinion, Outcome, Said, Timestamp};
use weir_config::Text as _;

use super::ExplainedPolicy;
use crate::guard::{Seen, auth::AuthStep};

impl AuthStep {
    /// What is said of a request, and what becomes of it. `now` is in seconds since 1970.
    pub(super) fn explain(&self, seen: &Seen<'_>, now: u64) -> (ExplainedPolicy, Outcome) {
        let (opinions, outcome) = self.authenticator.explain(seen, now);
        let mut methods: Vec<String> = opinions.iter().map(name).collect();
        if self.authenticator.allows_anonymous() {
            methods.push("anonymous".to_owned());
        }
        let asks = self.asks.iter().map(Option::as_deref);
        let said = opinions.iter().zip(asks.chain(std::iter::repeat(None)));
        let mut says: Vec<String> = said
            .filter_map(|(opinion, asks)| {
                Some(format!("{}: {}", name(opinion), said_by(opinion, asks)?))
            })
            .collect();
        if says.is_empty() {
            says.push(match outcome {
                Outcome::Refused(302 | 303) => "there is no credential: a login begins".to_owned(),
                Outcome::Open => {
                    "there is no credential; the provider would be asked for a login".to_owned()
                }
                _ => "there is no credential".to_owned(),
            });
        }
        let explained = ExplainedPolicy {
            says,
            refuses: match outcome {
                Outcome::Refused(status) => Some(status),
                Outcome::Passes(_) | Outcome::Open => None,
            },
            ..ExplainedPolicy::new("auth", &self.name, format!("by {}", methods.join(" or ")))
        };
        (explained, outcome)
    }
}

fn name(opinion: &Opinion) -> String {
    match opinion.policy.as_str() {
        "" => opinion.method.to_owned(),
        policy => format!("{} ({policy})", opinion.method),
    }
}

fn said_by(opinion: &Opinion, asks: Option<&str>) -> Option<String> {
    Some(match &opinion.said {
        Said::Nothing => return None,
        Said::Good(identity) => format!("good, {}", who(identity)),
        Said::Lacks {
            identity,
            scopes,
            claims,
        } => {
            let mut told = format!("known, {}; lacks", who(identity));
            let scopes = scopes.iter().map(|scope| format!("the scope {scope}"));
            let claims = claims
                .iter()
                .map(|(claim, wanted)| format!("the claim {claim}: {}", wanted.join(" or ")));
            let lacking: Vec<String> = scopes.chain(claims).collect();
            let _ = write!(told, " {}", lacking.join(", "));
            told
        }
        Said::Bad(why) => format!("refused, {why}"),
        Said::Asks => match asks {
            Some(url) => format!("would ask {url}"),
            None => "would ask somebody else".to_owned(),
        },
        Said::Answers => "a step of a login, which it answers itself".to_owned(),
    })
}

/// Who somebody is, and what is known about them that decides.
fn who(identity: &Identity) -> String {
    let mut told = format!("of {}", identity.subject);
    if let Some(id) = identity
        .key_id
        .as_deref()
        .filter(|id| **id != *identity.subject)
    {
        let _ = write!(told, ", key {id}");
    }
    if let Some(plan) = &identity.plan {
        let _ = write!(told, ", plan {plan}");
    }
    if !identity.scopes.is_empty() {
        let _ = write!(told, ", scopes {}", identity.scopes.join(" "));
    }
    if let Some(expires) = identity.expires {
        let _ = write!(told, ", until {}", Timestamp::from_unix(expires).to_text());
    }
    told
}
