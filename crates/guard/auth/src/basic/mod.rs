//! Names and passwords (RFC 7617).
//!
//! People choose passwords, so they are stored by a hash that is slow on purpose. A worker never computes one: it asks, and
//! the answer is kept for a few minutes, in the worker's cache and here for all workers, so that a browser that sends its
//! password with each request pays once. A name that nobody has costs the same time as one that somebody has.
//!
//! Whoever sends many wrong passwords meets the bound on open questions, and a rate limit on the route before that.

mod config;
mod password;
mod recent;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use self::password::Verifier;
use self::recent::Recent;
pub use self::{
    config::{BasicConfig, UserConfig},
    password::{PasswordError, hash_password},
};

use crate::asked::{self, Asked, Found};
use crate::auth::Events;
use crate::challenge::Challenge;
use crate::claims::Claims;
use crate::encoding::base64;
use crate::identity::{Identity, MethodKind, Person, Shape};
use crate::method::{Accepted, Asking, Fault, Tried, Work};
use crate::refusal::Why;

/// Longer credentials are none.
const LONGEST: usize = 1024;
/// How long a request waits for the hash of its password, the line before it included.
const DEADLINE: Duration = Duration::from_secs(5);

const WRONG: Tried = Tried::refused(Why::Invalid, "the name or the password is wrong");

/// The method.
#[derive(Debug)]
pub(crate) struct Basic {
    hide: bool,
    /// How long a good password counts without another look, in seconds.
    keep: u64,
    users: Arc<Users>,
    challenge: Challenge,
    shape: Arc<Shape>,
}

#[derive(Debug)]
struct Users {
    by_name: HashMap<Box<str>, User>,
    /// Stands in for those whom nobody knows.
    nobody: Verifier,
    recent: Recent,
}

#[derive(Debug)]
struct User {
    password: Verifier,
    identity: Arc<Identity>,
}

impl Basic {
    pub(crate) fn new(
        config: &BasicConfig,
        policy: Arc<str>,
        events: Events,
    ) -> Result<Self, (weir_config::Span, Fault)> {
        let headers = crate::config::pairs(&config.headers);
        let shape = Arc::new(Shape::new(MethodKind::Basic, policy, headers, events));
        let mut by_name = HashMap::new();
        for (name, user) in &config.users {
            let identity =
                person(&shape, name.as_str(), user).map_err(|fault| (name.span, fault))?;
            let password = Verifier::new(&user.password.value);
            let user = User { password, identity };
            by_name.insert(name.as_str().into(), user);
        }
        // As slow as the slowest of those who exist.
        let nobody = by_name
            .values()
            .max_by_key(|user| user.password.cost())
            .map_or_else(Verifier::default, |user| user.password.clone());
        Ok(Self {
            hide: config.hide,
            keep: config.cache.on().map_or(0, |keep| keep.get().as_secs()),
            users: Arc::new(Users {
                by_name,
                nobody,
                recent: Recent::default(),
            }),
            challenge: Challenge::new("Basic", config.realm.as_str()),
            shape,
        })
    }

    pub(crate) fn find<'r, R: Asked>(&'r self, request: &'r R) -> Found<'r> {
        asked::authorization(request, "Basic")
    }

    pub(crate) fn check(&self, credential: &[u8], now: u64) -> Tried {
        if credential.len() > LONGEST {
            return Tried::refused(Why::Malformed, "the credentials are too long");
        }
        let Some(decoded) = base64(credential) else {
            return Tried::refused(Why::Malformed, "the credentials are not base64");
        };
        // RFC 7617, 2: the first colon ends the name; neither part has control characters.
        let Some(colon) = decoded.iter().position(|b| *b == b':') else {
            return Tried::refused(Why::Malformed, "the credentials have no colon");
        };
        if decoded.iter().any(u8::is_ascii_control) {
            return Tried::refused(Why::Malformed, "the credentials hold control characters");
        }
        let users = &self.users;
        if let Some((good, until)) = users.recent.find(&decoded, now) {
            let user = users.user(&decoded[..colon]).filter(|_| good);
            return user.map_or(WRONG, |user| user.accepted(until));
        }
        let (users, keep) = (Arc::clone(users), self.keep);
        let work = move || {
            let user = users.user(&decoded[..colon]);
            // Somebody else in line may have asked the same: browsers open six connections at once.
            let (good, until) = users.recent.find(&decoded, now).unwrap_or_else(|| {
                let verifier = user.map_or(&users.nobody, |user| &user.password);
                let matches = verifier.matches(&decoded[colon + 1..]);
                let (good, until) = (matches && user.is_some(), now + keep);
                if keep > 0 {
                    users.recent.insert(&decoded, good, until);
                }
                (good, until)
            });
            let user = user.filter(|_| good);
            user.map_or(WRONG, |user| {
                user.accepted(if keep > 0 { until } else { 0 })
            })
        };
        Tried::Ask(Asking {
            work: Work::Blocking(Box::new(work)),
            deadline: DEADLINE,
        })
    }

    pub(crate) const fn challenge(&self) -> &Challenge {
        &self.challenge
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    pub(crate) const fn hides(&self) -> bool {
        self.hide
    }
}

impl Users {
    fn user(&self, name: &[u8]) -> Option<&User> {
        let name = std::str::from_utf8(name).ok()?;
        self.by_name.get(name)
    }
}

impl User {
    /// That it is this one, for as long as a cache may say so.
    fn accepted(&self, cache_until: u64) -> Tried {
        Tried::Accepted(Accepted {
            identity: Arc::clone(&self.identity),
            cache_until,
            epoch: 0,
            fields: Vec::new(),
        })
    }
}

fn person(shape: &Shape, name: &str, user: &UserConfig) -> Result<Arc<Identity>, Fault> {
    let metadata = user.metadata.iter().map(|(name, value)| {
        let value = serde_json::Value::from(value.as_str());
        (name.value.as_str().to_owned(), value)
    });
    let mut claims: serde_json::Map<_, _> = metadata.collect();
    if let Some(plan) = &user.plan {
        claims.insert("plan".to_owned(), plan.as_str().into());
    }
    let person = Person {
        subject: name,
        key_id: None,
        plan: user.plan.as_ref().map(|plan| plan.as_str()),
        scopes: user.scopes.iter().map(|scope| scope.as_str()).collect(),
        expires: None,
    };
    shape.identity(person, Claims::new(claims))
}

#[cfg(test)]
mod tests;
