//! Signed tokens: JSON Web Tokens.
//!
//! The known attacks on tokens have one root: a token says how it wants to be checked, and a library does as it is told.
//! So here the config says which algorithms count, each key is prepared for those that its type leaves and no others
//! ([`key`]), and what a header says is compared with that. `jwk`, `jku` and `x5c` in a header are never looked at, `crit` is
//! refused, and there is no `none`.
//!
//! The reader is our own and small ([`token`]): compact form only, base64url that has one spelling, JSON in which every name
//! stands once, 16 KiB at most. The signatures are verified by AWS-LC. Order matters: nothing of the payload is read before
//! its signature was verified, but for the issuer of a token whose key is unknown, so that other issuers' tokens do not make
//! us fetch keys.

mod algorithm;
mod config;
pub(crate) mod json;
mod key;
mod key_set;
mod roca;
mod rules;
mod schedule;
mod source;
mod token;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

pub use self::{
    algorithm::Algorithm,
    config::{JwksConfig, JwtConfig},
};
pub(crate) use self::{key::Key, key_set::KeySet, rules::Rules, source::KeySource, token::Token};

use self::key_set::NoMatch;
use self::rules::Validity;
use crate::asked::{self, Asked, Found};
use crate::auth::Events;
use crate::challenge::Challenge;
use crate::check::Hidden;
use crate::claims::{ClaimPath, Claims};
use crate::identity::{Identity, MethodKind, Person, Shape};
use crate::method::{Accepted, Asking, Fault, Tried, Work};
use crate::refusal::Why;

/// How long a request waits for keys.
const DEADLINE: Duration = Duration::from_secs(5);

/// The method.
#[derive(Debug)]
pub(crate) struct Jwt {
    header: Option<Arc<str>>,
    cookie: Option<Arc<str>>,
    hide: bool,
    challenge: Challenge,
    inner: Arc<Inner>,
}

/// What a question takes with it.
#[derive(Debug)]
struct Inner {
    checker: Checker,
    persons: Persons,
}

impl Jwt {
    pub(crate) fn new(
        config: &JwtConfig,
        source: Arc<KeySource>,
        policy: Arc<str>,
        events: Events,
    ) -> Self {
        let texts = |list: &Option<weir_config::OneOrMany<String>>| {
            list.as_ref().map_or_else(Vec::new, |list| list.to_vec())
        };
        let seconds = |duration: weir_config::Duration| duration.get().as_secs();
        let rules = Rules {
            issuers: texts(&config.issuer),
            audiences: texts(&config.audience),
            typ: config.typ.clone(),
            leeway: config.leeway.value.on().map_or(0, seconds),
            expires: config.expires,
            max_age: config.max_age.map(seconds),
        };
        let scopes = match &config.scopes {
            Some(path) => vec![path.clone()],
            // RFC 8693, 4.2, and what others have made of it.
            None => vec![ClaimPath::known("scope"), ClaimPath::known("scp")],
        };
        let persons = Persons {
            shape: Shape::new(
                MethodKind::Jwt,
                policy,
                crate::config::pairs(&config.headers),
                events,
            ),
            subject: config.subject.clone(),
            scopes,
            plan: config.plan.clone(),
            claims: crate::config::wanted(&config.claims),
        };
        Self {
            header: config.header.as_ref().map(|name| name.as_str().into()),
            cookie: config.cookie.as_ref().map(|name| name.as_str().into()),
            hide: config.hide,
            challenge: Challenge::new("Bearer", config.realm.as_str()),
            inner: Arc::new(Inner {
                checker: Checker {
                    source,
                    algorithms: config.algorithms(),
                    rules,
                },
                persons,
            }),
        }
    }

    pub(crate) fn find<'r, R: Asked>(&'r self, request: &'r R) -> Found<'r> {
        self.find_in_field(request).or_else(|| match &self.cookie {
            Some(name) => asked::cookie(request, name),
            None => Found::Absent,
        })
    }

    fn find_in_field<'r, R: Asked>(&'r self, request: &'r R) -> Found<'r> {
        match &self.header {
            Some(name) => asked::field(request, name),
            None if self.cookie.is_none() => asked::authorization(request, "Bearer"),
            None => Found::Absent,
        }
    }

    pub(crate) fn place<R: Asked>(&self, request: &R) -> usize {
        let both = self.header.is_some() && self.cookie.is_some();
        usize::from(both && self.find_in_field(request) == Found::Absent)
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.inner.checker.source.epoch()
    }

    pub(crate) fn check(&self, credential: &[u8], now: u64) -> Tried {
        let tried = self.inner.check(credential, now);
        let source = &self.inner.checker.source;
        let Tried::Refused(Fault {
            why: Why::Unknown, ..
        }) = tried
        else {
            return tried;
        };
        // Another set of keys may have it. If it is not time to fetch one, that is that.
        let Some(fetched) = source.demand() else {
            return match source.keys() {
                Some(_) => tried,
                None => Tried::unavailable("there are no keys to verify tokens with"),
            };
        };
        let inner = Arc::clone(&self.inner);
        let credential: Box<[u8]> = credential.into();
        let work = async move {
            fetched.await;
            match inner.checker.source.keys() {
                Some(_) => inner.check(&credential, now),
                None => Tried::unavailable("there are no keys to verify tokens with"),
            }
        };
        Tried::Ask(Asking {
            work: Work::Waiting(Box::pin(work)),
            deadline: DEADLINE,
        })
    }

    pub(crate) const fn challenge(&self) -> &Challenge {
        &self.challenge
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.inner.persons.shape
    }

    pub(crate) const fn hides(&self) -> bool {
        self.hide
    }

    pub(crate) fn places(&self) -> Vec<Hidden> {
        let places = [
            self.header.clone().map(Hidden::Field),
            self.cookie.clone().map(Hidden::Cookie),
        ];
        let places: Vec<Hidden> = places.into_iter().flatten().collect();
        if places.is_empty() {
            return vec![Hidden::Authorization("bearer".into())];
        }
        places
    }
}

impl Inner {
    fn check(&self, token: &[u8], now: u64) -> Tried {
        // Before the keys: should they change in between, the cache forgets at once.
        let epoch = self.checker.source.epoch();
        let verified = self
            .checker
            .verify(token, now)
            .and_then(|(claims, validity)| {
                let identity = self
                    .persons
                    .identity(Claims::new(claims), validity.expires)?;
                Ok((identity, validity.until))
            });
        match verified {
            Ok((identity, until)) => Tried::Accepted(Accepted {
                identity,
                cache_until: until,
                epoch,
                fields: Vec::new(),
            }),
            Err(fault) => Tried::Refused(fault),
        }
    }
}

/// Checks tokens of one issuer, whatever they came in.
#[derive(Debug)]
pub(crate) struct Checker {
    pub(crate) source: Arc<KeySource>,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) rules: Rules,
}

impl Checker {
    /// The claims of a token that was verified.
    ///
    /// # Errors
    /// Why it does not count; [`Why::Unknown`] if other keys might say something else.
    pub(crate) fn verify(
        &self,
        token: &[u8],
        now: u64,
    ) -> Result<(Map<String, Value>, Validity), Fault> {
        let fault = |why, detail| Fault { why, detail };
        let token = Token::read(token).map_err(|detail| fault(Why::Invalid, detail))?;
        // RFC 8725, 3.1: never by what the token says.
        if !self.algorithms.contains(&token.header.algorithm) {
            let detail = "the token is signed in a way that is not accepted";
            return Err(fault(Why::Invalid, detail));
        }
        self.rules.check_typ(token.header.typ.as_deref())?;
        let verified = match self.source.keys() {
            Some(keys) => keys.verify(&token),
            None => Err(NoMatch::Unknown),
        };
        match verified {
            Ok(()) => {}
            Err(NoMatch::Wrong) => {
                return Err(fault(Why::Invalid, "the signature of the token is wrong"));
            }
            Err(NoMatch::Unknown) => {
                let claims = token
                    .claims()
                    .map_err(|detail| fault(Why::Invalid, detail))?;
                self.rules.check_issuer(&claims)?;
                return Err(fault(
                    Why::Unknown,
                    "nobody knows the key that signed the token",
                ));
            }
        }
        let claims = token
            .claims()
            .map_err(|detail| fault(Why::Invalid, detail))?;
        let validity = self.rules.check(&claims, now)?;
        Ok((claims, validity))
    }
}

/// What becomes an identity.
#[derive(Debug)]
pub(crate) struct Persons {
    pub(crate) shape: Shape,
    pub(crate) subject: ClaimPath,
    pub(crate) scopes: Vec<ClaimPath>,
    pub(crate) plan: Option<ClaimPath>,
    /// Claims that are needed.
    pub(crate) claims: Vec<(ClaimPath, Vec<Box<str>>)>,
}

impl Persons {
    /// Whom these claims are about.
    pub(crate) fn identity(
        &self,
        claims: Claims,
        expires: Option<u64>,
    ) -> Result<Arc<Identity>, Fault> {
        if !self
            .claims
            .iter()
            .all(|(path, wanted)| claims.matches(path, wanted))
        {
            return Err(Fault {
                why: Why::Claim,
                detail: "a claim that is needed here is missing or has another value",
            });
        }
        let subject = claims.text(&self.subject).unwrap_or_default().into_owned();
        let plan = self.plan.as_ref().and_then(|path| claims.text(path));
        let plan = plan.map(std::borrow::Cow::into_owned);
        let words = |path: &ClaimPath| -> Vec<String> {
            claims.words(path).into_iter().map(str::to_owned).collect()
        };
        let scopes = self
            .scopes
            .iter()
            .map(words)
            .find(|words| !words.is_empty());
        let scopes = scopes.unwrap_or_default();
        let person = Person {
            subject: &subject,
            key_id: None,
            plan: plan.as_deref(),
            scopes: scopes.iter().map(String::as_str).collect(),
            expires,
        };
        self.shape.identity(person, claims)
    }
}

#[cfg(test)]
mod tests;
