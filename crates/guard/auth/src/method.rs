//! One method of a route, and what may come of trying it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::api_key::ApiKeys;
use crate::ask::Share;
use crate::asked::{Asked, Found};
use crate::basic::Basic;
use crate::challenge::Challenge;
use crate::check::Hidden;
use crate::identity::{Identity, MethodKind, Shape};
use crate::introspection::Introspection;
use crate::jwt::Jwt;
use crate::oidc::Oidc;
use crate::refusal::{Refusal, Why};

/// A compiled method. Two compilations of the same config share it, so that what is cached for it stays good.
#[derive(Debug)]
pub(crate) struct Method {
    /// Tells its entries in caches from those of others.
    pub(crate) id: u64,
    /// What logs call it: the policy that names it, or the word for its kind.
    pub(crate) name: Arc<str>,
    /// How much it may ask.
    pub(crate) share: Share,
    pub(crate) kind: Kind,
}

/// What a method checks with.
#[derive(Debug)]
pub(crate) enum Kind {
    ApiKey(ApiKeys),
    Basic(Basic),
    Jwt(Jwt),
    Introspection(Introspection),
    Oidc(Oidc),
}

/// What came of trying a method.
#[derive(Debug)]
pub(crate) enum Tried {
    /// The credential is good.
    Accepted(Accepted),
    /// It is not.
    Refused(Fault),
    /// Weir answers, whatever other methods say.
    Answer(Box<Refusal>),
    /// It will be known later.
    Ask(Asking),
}

/// A good credential.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) identity: Arc<Identity>,
    /// Until when, in seconds since 1970, a cache may answer in its place; 0 for not at all.
    pub(crate) cache_until: u64,
    /// What [`Method::epoch`] was before the credential was checked.
    pub(crate) epoch: u64,
    /// Lines for the response.
    pub(crate) fields: Vec<u8>,
}

/// A bad credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) why: Why,
    /// Without `"` and `\`, for `error_description`.
    pub(crate) detail: &'static str,
}

/// Work for elsewhere.
pub(crate) struct Asking {
    pub(crate) work: Work,
    /// How long a request waits for it.
    pub(crate) deadline: Duration,
}

/// Work for elsewhere, of two sorts.
pub(crate) enum Work {
    /// Burns a processor: runs on a thread for that, few at a time.
    Blocking(Box<dyn FnOnce() -> Tried + Send>),
    /// Waits for the network: runs on the control runtime.
    Waiting(Pin<Box<dyn Future<Output = Tried> + Send>>),
}

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking").finish_non_exhaustive()
    }
}

impl Tried {
    pub(crate) const fn refused(why: Why, detail: &'static str) -> Self {
        Self::Refused(Fault { why, detail })
    }

    pub(crate) const fn unavailable(detail: &'static str) -> Self {
        Self::refused(Why::Unavailable, detail)
    }
}

/// What one of a route's methods has against a request.
#[derive(Clone, Debug)]
pub(crate) struct Objection {
    pub(crate) fault: Fault,
    /// Which of the methods, if it is one of them.
    pub(crate) method: Option<usize>,
    /// Who is asking, if the method knows them and they lack something else.
    pub(crate) identity: Option<Arc<Identity>>,
    /// What each of the methods has to say that the request has a credential for.
    pub(crate) faults: Vec<(usize, Fault)>,
}

impl Objection {
    /// What a method says of a credential.
    pub(crate) fn of(method: usize, fault: Fault) -> Self {
        Self {
            fault,
            method: Some(method),
            identity: None,
            faults: vec![(method, fault)],
        }
    }

    /// Which of two objections to one request is told: what could not be found out before what was found out, and what is
    /// closer to being let in before what is farther.
    pub(crate) fn or_worse(self, other: Option<Self>) -> Self {
        let Some(other) = other else {
            return self;
        };
        let (mut told, untold) = if other.fault.rank() >= self.fault.rank() {
            (other, self)
        } else {
            (self, other)
        };
        told.faults.extend(untold.faults);
        told
    }
}

impl Fault {
    /// The higher, the sooner it is told.
    pub(crate) const fn rank(&self) -> u8 {
        match self.why {
            Why::Overloaded => 7,
            Why::Unavailable => 6,
            Why::Claim | Why::Scope | Why::Login => 5,
            Why::Expired => 4,
            Why::Audience => 3,
            Why::Invalid => 2,
            Why::Unknown => 1,
            Why::Missing | Why::Malformed | Why::Attempts => 0,
        }
    }
}

impl Method {
    /// One that nothing is in use of yet.
    pub(crate) fn new(id: u64, kind: Kind) -> Self {
        let mut method = Self {
            id,
            name: Arc::default(),
            share: Share::default(),
            kind,
        };
        method.name = method.shape().name().into();
        method
    }

    /// What its identities have in common.
    fn shape(&self) -> &Shape {
        match &self.kind {
            Kind::ApiKey(method) => method.shape(),
            Kind::Basic(method) => method.shape(),
            Kind::Jwt(method) => method.shape(),
            Kind::Introspection(method) => method.shape(),
            Kind::Oidc(method) => method.shape(),
        }
    }

    /// Which kind it is, for logs and endpoints.
    pub(crate) fn method(&self) -> MethodKind {
        self.shape().method
    }

    /// The policy that names it.
    pub(crate) fn policy(&self) -> &str {
        &self.shape().policy
    }

    /// Requests that are for the method itself, such as the end of a login, whatever credential they have.
    pub(crate) fn serve<R: Asked>(&self, request: &R, now: u64) -> Option<Tried> {
        match &self.kind {
            Kind::Oidc(method) => method.serve(request, now),
            _ => None,
        }
    }

    /// The credential of a request, if there is one for this method.
    pub(crate) fn find<'r, R: Asked>(&'r self, request: &'r R) -> Found<'r> {
        match &self.kind {
            Kind::ApiKey(method) => method.find(request),
            Kind::Basic(method) => method.find(request),
            Kind::Jwt(method) => method.find(request),
            Kind::Introspection(method) => method.find(request),
            Kind::Oidc(method) => method.find(request),
        }
    }

    /// A number that changes when what was verified before must be verified again.
    pub(crate) fn epoch(&self) -> u64 {
        match &self.kind {
            Kind::ApiKey(method) => method.epoch(),
            Kind::Basic(_) | Kind::Introspection(_) => 0,
            Kind::Jwt(method) => method.epoch(),
            Kind::Oidc(method) => method.epoch(),
        }
    }

    /// Checks a credential. `now` is in seconds since 1970.
    pub(crate) fn try_credential<R: Asked>(
        &self,
        credential: &[u8],
        request: &R,
        now: u64,
    ) -> Tried {
        match &self.kind {
            Kind::ApiKey(method) => method.check(credential, now),
            Kind::Basic(method) => method.check(credential, now),
            Kind::Jwt(method) => method.check(credential, now),
            Kind::Introspection(method) => method.check(credential, now),
            Kind::Oidc(method) => method.check(credential, request, now),
        }
    }

    /// What to do about a request without a credential, other than to send a challenge: a login.
    pub(crate) fn invite<R: Asked>(&self, request: &R, now: u64) -> Option<Tried> {
        match &self.kind {
            Kind::Oidc(method) => method.invite(request, now),
            _ => None,
        }
    }

    /// What it asks clients for.
    pub(crate) const fn challenge(&self) -> Option<&Challenge> {
        match &self.kind {
            Kind::ApiKey(method) => Some(method.challenge()),
            Kind::Basic(method) => Some(method.challenge()),
            Kind::Jwt(method) => Some(method.challenge()),
            Kind::Introspection(method) => Some(method.challenge()),
            Kind::Oidc(method) => Some(method.challenge()),
        }
    }

    /// Where its credential may stand, in the order in which it looks.
    pub(crate) fn places(&self) -> Vec<Hidden> {
        match &self.kind {
            Kind::ApiKey(method) => method.places(),
            Kind::Basic(_) => vec![Hidden::Authorization("basic".into())],
            Kind::Jwt(method) => method.places(),
            Kind::Introspection(_) => vec![Hidden::Authorization("bearer".into())],
            Kind::Oidc(method) => method.places(),
        }
    }

    /// In which of its [`places`](Self::places) a request has the credential that [`find`](Self::find) finds.
    pub(crate) fn place<R: Asked>(&self, request: &R) -> usize {
        match &self.kind {
            Kind::ApiKey(method) => method.place(request),
            Kind::Jwt(method) => method.place(request),
            Kind::Basic(_) | Kind::Introspection(_) | Kind::Oidc(_) => 0,
        }
    }

    /// Whether endpoints do not see its credential, even if it is good.
    pub(crate) const fn hides(&self) -> bool {
        match &self.kind {
            Kind::ApiKey(method) => method.hides(),
            Kind::Basic(method) => method.hides(),
            Kind::Jwt(method) => method.hides(),
            Kind::Introspection(method) => method.hides(),
            // Nobody else could read it.
            Kind::Oidc(_) => true,
        }
    }

    /// Names of the fields that identities of this method carry to endpoints.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &str> {
        self.shape().fields()
    }
}
