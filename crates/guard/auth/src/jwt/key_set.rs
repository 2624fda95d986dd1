//! The keys of an issuer, and which of them a token may be signed with.

use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::json;
use super::key::Key;
use super::token::Token;

/// Further keys of a set are not read.
const MOST_KEYS: usize = 256;
/// A token that does not name its key is tried with so many.
const MOST_TRIES: usize = 4;

/// The keys of an issuer at one time.
#[derive(Debug, Default)]
pub(crate) struct KeySet {
    keys: Vec<Key>,
    /// How many keys could not be used, and why the first of them.
    pub(crate) unusable: Option<(usize, &'static str)>,
}

/// Why a signature does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoMatch {
    /// No key of the set could have made it: perhaps one that is not known yet.
    Unknown,
    /// Those that could have did not.
    Wrong,
}

impl KeySet {
    /// One key.
    pub(crate) fn one(key: Key) -> Self {
        Self {
            keys: vec![key],
            unusable: None,
        }
    }

    /// Reads a JWK set (RFC 7517, section 5). Keys that cannot be used are left out, as section 5 says they should be.
    ///
    /// # Errors
    /// Why there is not one key that can be used.
    pub(crate) fn read(text: &[u8]) -> Result<Self, String> {
        let set = json::object(text).ok_or("it is not a JSON object, or says something twice")?;
        let Some(Value::Array(jwks)) = set.get("keys") else {
            return Err("it has no list of `keys`".to_owned());
        };
        let mut found = Self::default();
        for jwk in jwks.iter().take(MOST_KEYS) {
            let nothing = Map::new();
            match Key::public(jwk.as_object().unwrap_or(&nothing)) {
                Ok(key) => found.keys.push(key),
                Err(why) => {
                    let (count, first) = found.unusable.unwrap_or((0, why));
                    found.unusable = Some((count + 1, first));
                }
            }
        }
        match found.unusable {
            _ if !found.keys.is_empty() => Ok(found),
            Some((_, why)) => Err(format!("none of its keys can be used; the first: {why}")),
            None => Err("it has no keys".to_owned()),
        }
    }

    /// How many keys can be used.
    pub(crate) const fn len(&self) -> usize {
        self.keys.len()
    }

    /// Looks at the signature of a token whose algorithm the config allows.
    pub(crate) fn verify(&self, token: &Token<'_>) -> Result<(), NoMatch> {
        let algorithm = token.header.algorithm;
        let mut tried = 0;
        for key in self.candidates(token.header.kid.as_deref(), algorithm) {
            if key.verifies(algorithm, token.signed, &token.signature) {
                return Ok(());
            }
            tried += 1;
        }
        Err(if tried == 0 {
            NoMatch::Unknown
        } else {
            NoMatch::Wrong
        })
    }

    /// The keys that a token names, or else those that have no name. A token that names none may be signed with any.
    fn candidates<'a>(
        &'a self,
        kid: Option<&'a str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'a Key> {
        let named = move |key: &&Key| key.kid.as_deref() == kid;
        let any_named = kid.is_some() && self.keys.iter().any(|key| named(&key));
        self.keys
            .iter()
            .filter(move |key| match kid {
                None => true,
                Some(_) if any_named => named(key),
                Some(_) => key.kid.is_none(),
            })
            .filter(move |key| key.fits(algorithm))
            .take(MOST_TRIES)
    }
}
