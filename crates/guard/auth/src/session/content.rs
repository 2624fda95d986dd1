//! What a session remembers.

use serde_json::{Map, Value, json};

/// Somebody who has logged in, as their cookie knows them. Times are in seconds since 1970.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Session {
    /// Tells it from all others, and stays the same when it is refreshed.
    pub(crate) id: u128,
    /// Counts its refreshes.
    pub(crate) turn: u64,
    /// The claims of the ID token, those aside that are about the token.
    pub(crate) claims: Map<String, Value>,
    pub(crate) scopes: Vec<String>,
    pub(crate) refresh_token: Option<String>,
    /// Tells the provider who logs out.
    pub(crate) id_token: Option<String>,
    /// When to ask the provider whether it still holds; never without a refresh token.
    pub(crate) refresh_at: u64,
    /// Until when it holds without asking.
    pub(crate) holds_until: u64,
    /// When somebody logged in.
    pub(crate) began: u64,
    /// When it ends, whatever the provider says.
    pub(crate) ends: u64,
}

impl Session {
    /// The bytes to seal.
    pub(crate) fn encode(&self) -> Vec<u8> {
        // Short names: it travels with every request.
        json!({
            "i": format!("{:032x}", self.id),
            "n": self.turn,
            "c": self.claims,
            "p": self.scopes,
            "r": self.refresh_token,
            "t": self.id_token,
            "a": self.refresh_at,
            "h": self.holds_until,
            "b": self.began,
            "e": self.ends,
        })
        .to_string()
        .into_bytes()
    }

    /// What was sealed. It is ours, but an older Weir may have written it.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let Value::Object(mut fields) = serde_json::from_slice(bytes).ok()? else {
            return None;
        };
        let number = |fields: &Map<String, Value>, name| fields.get(name)?.as_u64();
        let (turn, refresh_at) = (number(&fields, "n")?, number(&fields, "a")?);
        let (holds_until, ends) = (number(&fields, "h")?, number(&fields, "e")?);
        // Those of an older Weir do not say it: they began long ago.
        let began = number(&fields, "b").unwrap_or(0);
        let mut text = |name| match fields.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let id = u128::from_str_radix(&text("i")?, 16).ok()?;
        let (refresh_token, id_token) = (text("r"), text("t"));
        let Some(Value::Object(claims)) = fields.remove("c") else {
            return None;
        };
        let Some(Value::Array(scopes)) = fields.remove("p") else {
            return None;
        };
        let scopes = scopes
            .into_iter()
            .map(|scope| match scope {
                Value::String(scope) => Some(scope),
                _ => None,
            })
            .collect::<Option<_>>()?;
        Some(Self {
            id,
            turn,
            claims,
            scopes,
            refresh_token,
            id_token,
            refresh_at,
            holds_until,
            began,
            ends,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_comes_back(
            id in any::<u128>(),
            times in any::<[u64; 5]>(),
            email in ".*",
            scopes in proptest::collection::vec("[a-z:]{1,9}", 0..4),
            refresh_token in proptest::option::of(".*"),
            id_token in proptest::option::of(".*"),
        ) {
            let [turn, refresh_at, holds_until, began, ends] = times;
            let Value::Object(claims) = json!({ "email": email, "groups": scopes }) else {
                unreachable!("it is an object");
            };
            let session = Session {
                id, turn, claims, scopes, refresh_token, id_token, refresh_at, holds_until, began, ends,
            };
            prop_assert_eq!(Session::decode(&session.encode()), Some(session));
        }

        #[test]
        fn nothing_panics(text in "[{}\\[\\]\":,a-z0-9]{0,60}") {
            let _ = Session::decode(text.as_bytes());
        }
    }
}
