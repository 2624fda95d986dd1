//! Opaque tokens, about which the server that gave them out is asked (RFC 7662).
//!
//! The server is asked once about a token that many requests bring at once ([`Flights`]), and its answer counts for a
//! short time ([`Table`]), never longer than the token does, nor than the server allows unless the config says how long: so long may a token that was revoked still be accepted. That
//! somebody made a token up is remembered, too, in a table of its own: who makes up many drives out no good ones. When the
//! server does not answer, nobody is let in, and nobody is remembered as refused.

mod answer;
mod ask;
mod config;
mod table;

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use weir_client::Client;
use weir_config::OrOff;

use self::answer::{Answer, Rules};
use self::ask::Server;
use self::table::Table;
use crate::asked::{Asked, Found, authorization};
use crate::auth::Events;
use crate::cache_control::Keep;
use crate::challenge::Challenge;
use crate::config::pairs;
use crate::flight::Flights;
use crate::identity::{Identity, MethodKind, Shape};
use crate::method::{Accepted, Asking, Fault, Tried, Work};
use crate::refusal::Why;

pub use self::config::{ClientAuth, IntrospectionConfig};

/// Longer tokens are not asked about.
const LONGEST_TOKEN: usize = 16 << 10;
/// How long it counts that a token is good, and that it is not, in seconds, if neither the config says it nor the server.
const KEEP_GOOD: u64 = 30;
const KEEP_BAD: u64 = 10;

/// The method.
#[derive(Debug)]
pub(crate) struct Introspection {
    shared: Arc<Shared>,
    challenge: Challenge,
    hide: bool,
    deadline: Duration,
}

/// What questions under way and workers share.
struct Shared {
    server: Server,
    rules: Rules,
    shape: Shape,
    /// Tokens are remembered by a keyed hash: what is in memory must not be good for logging in.
    key: hmac::Key,
    good: Table<Arc<Identity>>,
    bad: Table<Fault>,
    flights: Flights<u128, Result<Outcome, &'static str>>,
    /// How long answers count by the config, in seconds.
    keep_good: Option<u64>,
    keep_bad: Option<u64>,
}

/// What became of a question, in a form that many can have.
#[derive(Clone)]
enum Outcome {
    /// The token is good; so long may it be remembered.
    Good(Arc<Identity>, u64),
    Bad(Fault),
}

impl Introspection {
    pub(crate) fn new(
        config: &IntrospectionConfig,
        policy: Arc<str>,
        client: Client,
        events: Events,
    ) -> Result<Self, Unspecified> {
        let room = config.max_tokens.as_usize();
        let seconds = |keep: Option<OrOff<weir_config::Duration>>| {
            keep.map(|keep| keep.on().map_or(0, |keep| keep.get().as_secs()))
        };
        let texts = |texts: &[String]| texts.iter().map(|text| text.as_str().into()).collect();
        let headers = pairs(&config.headers);
        let shape = Shape::new(MethodKind::Introspection, policy, headers, events.clone());
        let shared = Shared {
            server: Server::new(config, client, events),
            rules: Rules {
                issuer: config.issuer.as_deref().map(Box::from),
                audience: config
                    .audience
                    .as_ref()
                    .map_or_else(Vec::new, |some| texts(some)),
                subject: config.subject.clone(),
                scopes: config.scopes.clone(),
                plan: config.plan.clone(),
            },
            shape,
            key: hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())?,
            good: Table::new(room),
            bad: Table::new(room),
            flights: Flights::default(),
            keep_good: seconds(config.cache),
            keep_bad: seconds(config.cache_refused),
        };
        Ok(Self {
            shared: Arc::new(shared),
            challenge: Challenge::new("Bearer", config.realm.as_str()),
            hide: config.hide,
            // A little more than the question takes, so that it is its own end that is told.
            deadline: config.timeout.get() + Duration::from_millis(250),
        })
    }

    pub(crate) fn find<'r, R: Asked>(&self, request: &'r R) -> Found<'r> {
        authorization(request, "Bearer")
    }

    /// Checks a token. `now` is in seconds since 1970.
    pub(crate) fn check(&self, token: &[u8], now: u64) -> Tried {
        // RFC 6749, A.12: visible ASCII.
        let text = std::str::from_utf8(token)
            .ok()
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
        let Some(text) = text.filter(|text| text.len() <= LONGEST_TOKEN) else {
            return Tried::refused(Why::Malformed, "this is not a token");
        };
        let shared = &self.shared;
        let key = shared.hash(token);
        if let Some((identity, until)) = shared.good.find(key, now) {
            return Outcome::Good(identity, until).tried();
        }
        if let Some((fault, _)) = shared.bad.find(key, now) {
            return Tried::Refused(fault);
        }
        let (shared, text) = (Arc::clone(shared), text.to_owned());
        let work = async move {
            let work = Arc::clone(&shared).find_out(key, text, now);
            match shared.flights.join(key, work).await {
                Some(Ok(outcome)) => outcome.tried(),
                Some(Err(detail)) => Tried::unavailable(detail),
                None => Tried::unavailable("the question about the token was given up"),
            }
        };
        Tried::Ask(Asking {
            work: Work::Waiting(Box::pin(work)),
            deadline: self.deadline,
        })
    }

    pub(crate) const fn challenge(&self) -> &Challenge {
        &self.challenge
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.shared.shape
    }

    pub(crate) const fn hides(&self) -> bool {
        self.hide
    }
}

impl Shared {
    /// Asks about a token, and remembers the answer.
    async fn find_out(
        self: Arc<Self>,
        key: u128,
        token: String,
        now: u64,
    ) -> Result<Outcome, &'static str> {
        let response = self.server.ask(&token).await?;
        let allowed = Keep::of(&response);
        match self.rules.read(&response.body, &self.shape, now) {
            Answer::Good(identity, expires) => {
                let keep = keep(self.keep_good, KEEP_GOOD, allowed);
                let until = (now + keep).min(expires.unwrap_or(u64::MAX));
                if until > now {
                    self.good.insert(key, Arc::clone(&identity), until);
                }
                Ok(Outcome::Good(identity, until))
            }
            Answer::Bad(fault) => {
                let keep = keep(self.keep_bad, KEEP_BAD, allowed);
                if keep > 0 {
                    self.bad.insert(key, fault, now + keep);
                }
                Ok(Outcome::Bad(fault))
            }
            Answer::Malformed => {
                self.server.tell("its answer cannot be read".to_owned());
                Err("the server that knows the token talks nonsense")
            }
        }
    }

    fn hash(&self, token: &[u8]) -> u128 {
        let tag = hmac::sign(&self.key, token);
        tag.as_ref()
            .first_chunk()
            .map_or(0, |first| u128::from_be_bytes(*first))
    }
}

/// How long an answer counts, in seconds. RFC 7662, 4, leaves it to whoever asks to weigh that; where they have not, the server
/// does (RFC 9111, section 5.2.2).
fn keep(configured: Option<u64>, usual: u64, allowed: Keep) -> u64 {
    configured.unwrap_or_else(|| match allowed {
        Keep::Unsaid => usual,
        Keep::Not => 0,
        Keep::For(age) => usual.min(age.as_secs()),
    })
}

impl Outcome {
    fn tried(self) -> Tried {
        match self {
            Self::Good(identity, until) => Tried::Accepted(Accepted {
                identity,
                cache_until: until,
                epoch: 0,
                fields: Vec::new(),
            }),
            Self::Bad(fault) => Tried::Refused(fault),
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}
