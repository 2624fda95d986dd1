//! API keys: long random texts that Weir knows by their hashes.
//!
//! A key of Weir has 160 random bits, so nobody guesses it, and a plain SHA-256 protects it as well as a slow password hash
//! would, at a hundred-thousandth of the cost. A file of hashes that leaks gives nobody a key. The prefix and the checksum
//! ([`NewKey`]) let scanners find keys that somebody published by mistake, and let Weir tell a mistyped key from a wrong one.
//!
//! Keys are found by the first half of their hash's first half and compared as a whole, in constant time. What can be
//! learned from the time of a lookup is something about hashes, and nobody can choose those.

mod config;
mod entry;
mod file;
mod key;
mod table;

use std::sync::Arc;

use serde_json::Value;

pub use self::{
    config::{ApiKeyConfig, KeysConfig},
    entry::{KeyEntry, KeyHash, Timestamp},
    key::{KeyError, NewKey},
};
pub(crate) use self::{file::KeyFile, table::KeyTable};

use crate::asked::{self, Asked, Found};
use crate::auth::Events;
use crate::challenge::Challenge;
use crate::check::Hidden;
use crate::claims::Claims;
use crate::identity::{MethodKind, Person, Shape};
use crate::method::{Accepted, Tried};
use crate::refusal::Why;

/// Longer texts are no keys.
const LONGEST: usize = 512;

/// The method.
#[derive(Debug)]
pub(crate) struct ApiKeys {
    header: Option<Arc<str>>,
    query: Option<Arc<str>>,
    scheme: Option<Arc<str>>,
    hide: bool,
    keys: Keys,
    challenge: Challenge,
    shape: Shape,
}

/// Where the keys are.
#[derive(Debug)]
pub(crate) enum Keys {
    /// In the config.
    Here(KeyTable),
    /// In a file that changes on its own.
    File(Arc<KeyFile>),
}

impl ApiKeys {
    pub(crate) fn new(config: &ApiKeyConfig, keys: Keys, policy: Arc<str>, events: Events) -> Self {
        let scheme = config.scheme.as_ref().map(|scheme| scheme.as_str());
        let elsewhere = config.query.is_some() || scheme.is_some();
        let header = match &config.header {
            Some(name) => Some(name.as_str()),
            None if elsewhere => None,
            None => Some(ApiKeyConfig::HEADER),
        };
        Self {
            header: header.map(Arc::from),
            query: config.query.as_ref().map(|name| Arc::from(name.as_str())),
            scheme: scheme.map(Arc::from),
            hide: config.hide,
            keys,
            challenge: Challenge::new(scheme.unwrap_or("ApiKey"), config.realm.as_str()),
            shape: Shape::new(
                MethodKind::ApiKey,
                policy,
                crate::config::pairs(&config.headers),
                events,
            ),
        }
    }

    pub(crate) fn find<'r, R: Asked>(&'r self, request: &'r R) -> Found<'r> {
        self.find_each(request)
            .find(|found| *found != Found::Absent)
            .unwrap_or(Found::Absent)
    }

    pub(crate) fn place<R: Asked>(&self, request: &R) -> usize {
        self.find_each(request)
            .position(|found| found != Found::Absent)
            .unwrap_or(0)
    }

    /// What stands in each of the [`places`](Self::places).
    fn find_each<'r, R: Asked>(&'r self, request: &'r R) -> impl Iterator<Item = Found<'r>> {
        let header = self.header.iter().map(|name| asked::field(request, name));
        let scheme = self.scheme.iter();
        let scheme = scheme.map(|scheme| asked::authorization(request, scheme));
        let query = self.query.iter();
        let query = query.map(|name| asked::parameter(request, name));
        header.chain(scheme).chain(query)
    }

    pub(crate) fn epoch(&self) -> u64 {
        match &self.keys {
            Keys::Here(_) => 0,
            Keys::File(file) => file.epoch(),
        }
    }

    pub(crate) fn check(&self, credential: &[u8], now: u64) -> Tried {
        if credential.len() > LONGEST {
            return Tried::refused(Why::Unknown, "the API key is too long");
        }
        if key::is_mistyped(credential) {
            return Tried::refused(Why::Unknown, "the API key is not complete or mistyped");
        }
        // Before the keys: should they change in between, the cache forgets at once.
        let epoch = self.epoch();
        match &self.keys {
            Keys::Here(table) => self.check_in(table, credential, epoch, now),
            Keys::File(file) => self.check_in(&file.table(), credential, epoch, now),
        }
    }

    fn check_in(&self, table: &KeyTable, credential: &[u8], epoch: u64, now: u64) -> Tried {
        let Some(record) = table.find(&KeyHash::of(credential)) else {
            return Tried::refused(Why::Unknown, "nobody has this API key");
        };
        if record.disabled {
            return Tried::refused(Why::Expired, "the API key was disabled");
        }
        if record.expires.is_some_and(|expires| expires <= now) {
            return Tried::refused(Why::Expired, "the API key has expired");
        }
        let mut claims = record.metadata.as_deref().cloned().unwrap_or_default();
        claims.insert("key_id".to_owned(), Value::from(&*record.id));
        if let Some(plan) = &record.plan {
            claims.insert("plan".to_owned(), Value::from(&**plan));
        }
        let person = Person {
            subject: record.subject.as_deref().unwrap_or(&record.id),
            key_id: Some(&record.id),
            plan: record.plan.as_deref(),
            scopes: record.scopes.iter().map(|scope| &**scope).collect(),
            expires: record.expires,
        };
        match self.shape.identity(person, Claims::new(claims)) {
            Ok(identity) => Tried::Accepted(Accepted {
                identity,
                cache_until: record.expires.unwrap_or(u64::MAX),
                epoch,
                fields: Vec::new(),
            }),
            Err(fault) => Tried::Refused(fault),
        }
    }

    pub(crate) const fn challenge(&self) -> &Challenge {
        &self.challenge
    }

    pub(crate) const fn shape(&self) -> &Shape {
        &self.shape
    }

    pub(crate) const fn hides(&self) -> bool {
        self.hide
    }

    pub(crate) fn places(&self) -> Vec<Hidden> {
        let places = [
            self.header.clone().map(Hidden::Field),
            self.scheme.clone().map(Hidden::Authorization),
            self.query.clone().map(Hidden::Parameter),
        ];
        places.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests;
