//! A login under way: what must be remembered between sending somebody to the provider and their return.
//!
//! It travels in a cookie of its own, sealed, named after its state, so that logins in several tabs do not meet. That the
//! browser which returns has the cookie shows that the login began in it: nobody can make somebody else's browser finish a
//! login that they began (RFC 9700, sections 2.1 and 4.7).

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use crate::session::to_base64url;

/// How long a login may take, in seconds.
pub(super) const LASTS: u64 = 600;
/// How many random bytes one needs.
pub(super) const RANDOM: usize = 64;

/// A login under way.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Transaction {
    /// Comes back with the person (RFC 6749, section 10.12).
    pub(super) state: String,
    /// Comes back in the ID token.
    pub(super) nonce: String,
    /// Proves to the provider that the code comes from whoever asked for it (RFC 7636).
    pub(super) verifier: String,
    /// Where the person wanted to go: a path on this host.
    pub(super) back: String,
    /// Where the provider sends them first; the token endpoint wants to hear it again.
    pub(super) redirect_uri: String,
    /// Until when, in seconds since 1970.
    pub(super) ends: u64,
}

impl Transaction {
    /// A login that begins now. `tag` says whose it is.
    pub(super) fn begin(
        tag: &str,
        back: String,
        redirect_uri: String,
        random: &[u8; RANDOM],
        now: u64,
    ) -> Self {
        let (state, rest) = random.split_at(16);
        let (nonce, verifier) = rest.split_at(16);
        Self {
            state: format!("{tag}{}", to_base64url(state)),
            nonce: to_base64url(nonce),
            // RFC 7636, 4.1: 32 random octets make 43 characters, the fewest that are allowed.
            verifier: to_base64url(verifier),
            back,
            redirect_uri,
            ends: now + LASTS,
        }
    }

    /// What the provider is shown of the verifier (RFC 7636, section 4.2, S256).
    pub(super) fn challenge(&self) -> String {
        to_base64url(digest(&SHA256, self.verifier.as_bytes()).as_ref())
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        json!({
            "s": self.state,
            "n": self.nonce,
            "v": self.verifier,
            "b": self.back,
            "u": self.redirect_uri,
            "e": self.ends,
        })
        .to_string()
        .into_bytes()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let Value::Object(mut fields) = serde_json::from_slice(bytes).ok()? else {
            return None;
        };
        let ends = fields.get("e")?.as_u64()?;
        let mut text = |name| take(&mut fields, name);
        Some(Self {
            state: text("s")?,
            nonce: text("n")?,
            verifier: text("v")?,
            back: text("b")?,
            redirect_uri: text("u")?,
            ends,
        })
    }

    /// The end of its cookie's name. The state that stands in the address is not secret any more when the cookie comes.
    pub(super) fn side_name(state: &str) -> Option<&str> {
        // The last characters are random.
        let at = state.len().checked_sub(SIDE)?;
        state.get(at..)
    }
}

/// How long the end of a cookie's name is; the numbers of chunks are shorter.
pub(super) const SIDE: usize = 10;

fn take(fields: &mut Map<String, Value>, name: &str) -> Option<String> {
    match fields.remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_challenge_of_the_rfc() {
        let mut transaction = Transaction::begin("t", "/".into(), "u".into(), &[7; RANDOM], 0);
        transaction.verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned();
        // RFC 7636, appendix B.
        assert_eq!(
            transaction.challenge(),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn its_parts_have_nothing_in_common() {
        let random: Vec<u8> = (0..64).collect();
        let random = random.try_into().expect("64 bytes");
        let transaction = Transaction::begin("tag", "/".into(), "u".into(), &random, 0);
        assert_eq!(transaction.verifier.len(), 43);
        assert_eq!(transaction.state.len(), 3 + 22);
        assert_ne!(transaction.nonce, transaction.state[3..]);
        assert!(!transaction.verifier.contains(&transaction.nonce));
        assert_eq!(
            Transaction::side_name(&transaction.state).map(str::len),
            Some(SIDE)
        );
        assert_eq!(Transaction::side_name("short"), None);
        assert_eq!(Transaction::side_name("ééééééé."), None);
    }

    proptest! {
        #[test]
        fn it_comes_back(back in "/.*", redirect_uri in ".*", now in 0_u64..1 << 40) {
            let transaction = Transaction::begin("t", back, redirect_uri, &[9; RANDOM], now);
            prop_assert_eq!(Transaction::decode(&transaction.encode()), Some(transaction));
        }

        #[test]
        fn nothing_panics(text in "[{}\":,a-z0-9]{0,60}") {
            let _ = Transaction::decode(text.as_bytes());
        }
    }
}
