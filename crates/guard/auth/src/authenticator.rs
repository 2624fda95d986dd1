//! Any one of several methods, and what must be true of whoever they recognise.

use std::sync::Arc;

use crate::ask::Asker;
use crate::asked::{Asked, Found};
use crate::cache::Cache;
use crate::challenge::Error;
use crate::check::{Answered, Check, Hidden, Pass, Place, Question};
use crate::claims::ClaimPath;
use crate::identity::Identity;
use crate::method::{Accepted, Fault, Method, Objection, Tried};
use crate::refusal::{Refusal, Why};

/// Who may pass on one route. Made by [`Auth::authenticator`](crate::Auth::authenticator).
#[derive(Debug)]
pub struct Authenticator {
    pub(crate) methods: Vec<Arc<Method>>,
    /// Whether requests without a credential pass.
    pub(crate) anonymous: bool,
    pub(crate) require: Require,
    pub(crate) hidden: HiddenPlaces,
    pub(crate) asker: Asker,
}

/// What those who are known must have.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Require {
    pub(crate) scopes: Vec<Box<str>>,
    /// The scopes in one text, as clients are told.
    pub(crate) scope_text: String,
    pub(crate) claims: Vec<(ClaimPath, Vec<Box<str>>)>,
}

impl Require {
    const fn is_empty(&self) -> bool {
        self.scopes.is_empty() && self.claims.is_empty()
    }

    fn lacking(&self, identity: &Identity) -> Option<Fault> {
        if !self.scopes.iter().all(|scope| identity.has_scope(scope)) {
            return Some(Fault {
                why: Why::Scope,
                detail: "a scope that is needed here is missing",
            });
        }
        let has =
            |(path, wanted): &(ClaimPath, Vec<Box<str>>)| identity.claims.matches(path, wanted);
        (!self.claims.iter().all(has)).then_some(Fault {
            why: Why::Claim,
            detail: "a claim that is needed here is missing or has another value",
        })
    }
}

/// What endpoints do not see.
#[derive(Debug, Default)]
pub(crate) struct HiddenPlaces {
    /// All places of all methods.
    all: Vec<Hidden>,
    /// By the place of the good credential: of the methods, and of each one's places.
    by_place: Vec<Vec<Vec<Hidden>>>,
}

impl HiddenPlaces {
    pub(crate) fn new(methods: &[Arc<Method>]) -> Self {
        let once = |places: &mut dyn Iterator<Item = Hidden>| {
            let mut list: Vec<Hidden> = Vec::new();
            for place in places {
                if !list.contains(&place) {
                    list.push(place);
                }
            }
            list
        };
        let all = once(&mut methods.iter().flat_map(|method| method.places()));
        let hiding = methods.iter().filter(|method| method.hides());
        let always = once(&mut hiding.flat_map(|method| method.places()));
        let by_place = |good: Hidden| {
            let others = all.iter().filter(|place| !place.is_of(&good));
            once(&mut always.iter().chain(others).cloned())
        };
        let by_place = methods
            .iter()
            .map(|method| method.places().into_iter().map(by_place).collect())
            .collect();
        Self { all, by_place }
    }
}

impl Authenticator {
    /// Decides about a request. `now` is in seconds since 1970.
    pub fn check<R: Asked>(&self, request: &R, cache: &mut Cache, now: u64) -> Check {
        for (at, method) in self.methods.iter().enumerate() {
            if let Some(tried) = method.serve(request, now) {
                return self
                    .settle(at, tried, request, None, cache, None)
                    .unwrap_or_else(|objection| self.refuse(objection));
            }
        }
        self.check_from(0, None, request, cache, now)
    }

    /// Goes on with the same request when a [`Question`] was answered. May ask again, once for each method at most.
    pub fn resume<R: Asked>(
        &self,
        request: &R,
        answered: Answered,
        cache: &mut Cache,
        now: u64,
    ) -> Check {
        let Answered {
            tried,
            method: at,
            worst,
        } = answered;
        let found = self.methods.get(at).map(|method| method.find(request));
        let credential = match &found {
            Some(Found::Credential(credential)) => Some(&**credential),
            _ => None,
        };
        match self.settle(at, tried, request, credential, cache, worst) {
            Ok(check) => check,
            Err(objection) => self.check_from(at + 1, Some(objection), request, cache, now),
        }
    }

    /// What of a request must not reach the endpoint, if the credential in this place ([`Pass::place`]) was found good: what
    /// methods hide, and whatever stands in other places, which nobody has found good. `None` is for requests without a
    /// credential, of which endpoints see nothing that could be one.
    pub fn hidden_for(&self, place: Option<Place>) -> &[Hidden] {
        let by_place = |place: Place| self.hidden.by_place.get(place.method)?.get(place.place);
        place.and_then(by_place).unwrap_or(&self.hidden.all)
    }

    /// Everything that may be a credential here, for those who do not know which one was good: logs, for example.
    pub fn hidden(&self) -> &[Hidden] {
        self.hidden_for(None)
    }

    /// Names (lower case) of the fields that tell endpoints about identities: to be taken out of requests from outside, on
    /// this route and on all others.
    pub fn identity_fields(&self) -> impl Iterator<Item = &str> {
        let own = self.methods.iter().flat_map(|method| method.fields());
        crate::identity::STANDARD_FIELDS.into_iter().chain(own)
    }

    /// Whether whoever passes one of the two passes the other.
    pub fn asks_as(&self, other: &Self) -> bool {
        self.methods.len() == other.methods.len()
            && (self.methods.iter().zip(&other.methods)).all(|(a, b)| Arc::ptr_eq(a, b))
            && self.anonymous == other.anonymous
            && self.require == other.require
    }

    /// The methods in their order, for people: `(policy, method)`.
    pub fn methods(&self) -> impl Iterator<Item = (&str, &'static str)> {
        let each = |method: &'_ Arc<Method>| method.method().as_str();
        self.methods
            .iter()
            .map(move |method| (method.policy(), each(method)))
    }

    /// Whether requests without a credential pass.
    pub const fn allows_anonymous(&self) -> bool {
        self.anonymous && self.require.is_empty()
    }

    fn check_from<R: Asked>(
        &self,
        first: usize,
        mut worst: Option<Objection>,
        request: &R,
        cache: &mut Cache,
        now: u64,
    ) -> Check {
        for (at, method) in self.methods.iter().enumerate().skip(first) {
            let credential = match method.find(request) {
                Found::Absent => continue,
                Found::Credential(credential) => credential,
                Found::Malformed(detail) => {
                    let why = Why::Malformed;
                    worst = Some(Objection::of(at, Fault { why, detail }).or_worse(worst));
                    continue;
                }
            };
            let tried = match cache.find(method.id, method.epoch(), &credential, now) {
                Some(identity) => Tried::Accepted(Accepted {
                    identity: Arc::clone(identity),
                    cache_until: 0,
                    epoch: 0,
                    fields: Vec::new(),
                }),
                None => method.try_credential(&credential, request, now),
            };
            match self.settle(at, tried, request, Some(&credential), cache, worst) {
                Ok(check) => return check,
                Err(objection) => worst = Some(objection),
            }
        }
        if let Some(objection) = worst {
            return self.refuse(objection);
        }
        if self.allows_anonymous() {
            return Check::Pass(Pass::default());
        }
        let invited = self.methods.iter().enumerate().find_map(|(at, method)| {
            let tried = method.invite(request, now)?;
            Some(self.settle(at, tried, request, None, cache, None))
        });
        let missing = Objection {
            fault: Fault {
                why: Why::Missing,
                detail: "this needs a credential",
            },
            method: (self.methods.len() == 1).then_some(0),
            identity: None,
            faults: Vec::new(),
        };
        invited
            .unwrap_or(Err(missing))
            .unwrap_or_else(|objection| self.refuse(objection))
    }

    /// What follows from what a method said, or the worst that was said so far.
    fn settle<R: Asked>(
        &self,
        at: usize,
        tried: Tried,
        request: &R,
        credential: Option<&[u8]>,
        cache: &mut Cache,
        worst: Option<Objection>,
    ) -> Result<Check, Objection> {
        let Some(method) = self.methods.get(at) else {
            // The question was another route's.
            return Err(Objection {
                fault: Fault {
                    why: Why::Unavailable,
                    detail: "the check of the credential was given up",
                },
                method: None,
                identity: None,
                faults: Vec::new(),
            });
        };
        let mut known = None;
        let fault = match tried {
            Tried::Accepted(accepted) => {
                if let Some(credential) = credential
                    && accepted.cache_until > 0
                {
                    let epoch = accepted.epoch;
                    let until = accepted.cache_until;
                    cache.insert(method.id, epoch, credential, until, &accepted.identity);
                }
                match self.require.lacking(&accepted.identity) {
                    None => {
                        return Ok(Check::Pass(Pass {
                            identity: Some(accepted.identity),
                            fields: accepted.fields,
                            place: Some(Place {
                                method: at,
                                place: method.place(request),
                            }),
                        }));
                    }
                    Some(fault) => {
                        known = Some(accepted.identity);
                        fault
                    }
                }
            }
            Tried::Refused(fault) => fault,
            Tried::Answer(mut refusal) => {
                refusal.policy = Some(Arc::clone(&method.name));
                return Ok(Check::Refuse(refusal));
            }
            Tried::Ask(asking) => {
                let deadline = asking.deadline;
                match self.asker.ask(asking, &method.share) {
                    Ok(answer) => {
                        return Ok(Check::Ask(Question {
                            answer,
                            deadline,
                            method: at,
                            worst,
                        }));
                    }
                    Err(fault) => fault,
                }
            }
        };
        let objection = Objection {
            identity: known,
            ..Objection::of(at, fault)
        };
        Err(objection.or_worse(worst))
    }

    fn refuse(&self, objection: Objection) -> Check {
        let Fault { why, detail } = objection.fault;
        let mut fields = Vec::new();
        let (status, _) = told_as(why);
        if status == 503 {
            fields.extend_from_slice(b"retry-after: 1\r\n");
        } else {
            for (at, method) in self.methods.iter().enumerate() {
                let Some(challenge) = method.challenge() else {
                    continue;
                };
                // Three issuers are three methods, but one challenge.
                let is_it = |m: &Arc<Method>| m.challenge() == Some(challenge);
                if self.methods[..at].iter().any(is_it) {
                    continue;
                }
                // RFC 6750, 3: a request that lacks this kind of credential is told nothing of others.
                let own = objection.faults.iter();
                let own = own.filter(|(at, _)| self.methods.get(*at).is_some_and(is_it));
                let own = own.map(|(_, fault)| fault).max_by_key(|fault| fault.rank());
                let error = own.filter(|_| challenge.bearer).and_then(|fault| {
                    let (status, code) = told_as(fault.why);
                    let scope = Some(self.require.scope_text.as_str());
                    let error = Error {
                        code: code?,
                        description: fault.detail,
                        scope: scope.filter(|scope| fault.why == Why::Scope && !scope.is_empty()),
                    };
                    Some((status, error))
                });
                // With another status than 401, only those that say why.
                if status == 401 || error.is_some_and(|(own, _)| own == status) {
                    challenge.write(error.map(|(_, error)| error), &mut fields);
                }
            }
        }
        Check::Refuse(Box::new(Refusal {
            status,
            why,
            fields,
            detail,
            policy: objection
                .method
                .and_then(|at| self.methods.get(at))
                .map(|method| Arc::clone(&method.name)),
            identity: objection.identity,
        }))
    }
}

/// The status of a refusal, and what it is called by RFC 6750, section 3.1.
const fn told_as(why: Why) -> (u16, Option<&'static str>) {
    match why {
        Why::Malformed => (400, Some("invalid_request")),
        Why::Scope | Why::Claim => (403, Some("insufficient_scope")),
        Why::Unavailable | Why::Overloaded => (503, None),
        Why::Attempts => (429, None),
        Why::Missing => (401, None),
        Why::Login | Why::Unknown | Why::Invalid | Why::Expired | Why::Audience => {
            (401, Some("invalid_token"))
        }
    }
}

#[cfg(test)]
mod tests;
