//! What a provider answers when it is asked for tokens, and what must be true of an ID token.

use serde_json::{Map, Value};

/// How far the clocks of provider and Weir may be apart, in seconds.
const LEEWAY: u64 = 60;
/// How long tokens hold whose provider does not say it.
const HOLDS: u64 = 300;
/// Longer secrets of a provider do not fit into cookies.
const LONGEST: usize = 8 << 10;

/// An answer of the token endpoint (RFC 6749, section 5.1; OpenID Connect Core 1.0, section 3.1.3.3).
#[derive(Clone, PartialEq)]
pub(super) struct Tokens {
    pub(super) id_token: Option<String>,
    pub(super) refresh_token: Option<String>,
    /// How long the access token holds, in seconds.
    pub(super) holds: u64,
    /// What was granted, if it is not what was asked for.
    pub(super) scopes: Option<Vec<String>>,
}

impl Tokens {
    pub(super) fn read(answer: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| match answer.get(name) {
            Some(Value::String(text)) if !text.is_empty() && text.len() <= LONGEST => {
                Some(text.clone())
            }
            _ => None,
        };
        // How long it may be, its reader says.
        let id_token = answer.get("id_token").and_then(Value::as_str);
        // Section 5.1: both are REQUIRED.
        text("access_token")?;
        text("token_type")?;
        let holds = match answer.get("expires_in") {
            None | Some(Value::Null) => HOLDS,
            // Some providers write a number as text.
            Some(Value::String(digits)) => digits.parse().ok()?,
            Some(number) => number.as_u64()?,
        };
        let scopes = text("scope").map(|scopes| {
            let words = scopes.split(' ').filter(|word| !word.is_empty());
            words.map(str::to_owned).collect()
        });
        Some(Self {
            id_token: id_token
                .filter(|token| !token.is_empty())
                .map(str::to_owned),
            refresh_token: text("refresh_token"),
            holds,
            scopes,
        })
    }
}

/// What an ID token must say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    /// The nonce of the login; that of a refresh has none, or the same.
    pub(super) nonce: Option<&'a str>,
    /// Whom a refresh must be about.
    pub(super) subject: Option<&'a str>,
}

/// Whether an ID token whose signature is good is about this login (OpenID Connect Core 1.0, sections 3.1.3.7 and 12.2).
pub(super) fn check(
    claims: &Map<String, Value>,
    expected: Expected<'_>,
    now: u64,
) -> Result<(), &'static str> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let time = |name: &str| {
        let value = claims.get(name)?;
        value
            .as_u64()
            .or_else(|| Some(value.as_f64()?.max(0.0) as u64))
    };
    // 2. The issuer MUST match exactly.
    if text("iss") != Some(expected.issuer) {
        return Err("the ID token comes from somebody else");
    }
    // 3. The audience MUST contain the client.
    let others = match claims.get("aud") {
        Some(Value::String(one)) if one == expected.client_id => false,
        Some(Value::Array(all)) if all.iter().any(|one| one == expected.client_id) => all.len() > 1,
        _ => return Err("the ID token is for somebody else"),
    };
    // 4 and 5, as strictly as the first version had it: who is meant by several must be said, and it must be us.
    match claims.get("azp") {
        None if !others => {}
        Some(Value::String(azp)) if azp == expected.client_id => {}
        _ => return Err("the ID token was made for somebody else"),
    }
    // 9. The current time MUST be before exp.
    match time("exp") {
        Some(exp) if exp.saturating_add(LEEWAY) > now => {}
        _ => return Err("the ID token has expired"),
    }
    // 10. iat is REQUIRED (section 2); a token from the future was not issued by a clock like ours.
    match time("iat") {
        Some(iat) if iat <= now.saturating_add(LEEWAY) => {}
        _ => return Err("the ID token comes from the future"),
    }
    if time("nbf").is_some_and(|nbf| nbf > now.saturating_add(LEEWAY)) {
        return Err("the ID token does not count yet");
    }
    // 11. A nonce MUST be there and be the same.
    if let Some(nonce) = expected.nonce
        && !text("nonce").is_some_and(|own| same(own.as_bytes(), nonce.as_bytes()))
    {
        return Err("the ID token is for another login");
    }
    match (text("sub"), expected.subject) {
        // Section 2: not longer than 255 ASCII characters.
        (Some(sub), None) if !sub.is_empty() && sub.len() <= 255 => Ok(()),
        // Section 12.2: MUST be the same as when the person logged in.
        (Some(sub), Some(before)) if sub == before => Ok(()),
        _ => Err("the ID token is about nobody, or somebody else"),
    }
}

/// Whether two texts are the same, in a time that tells nothing but their length.
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}

/// The claims that are about the person, not about the token.
pub(super) fn about_person(mut claims: Map<String, Value>) -> Map<String, Value> {
    const ABOUT_TOKEN: [&str; 11] = [
        "acr", "aio", "at_hash", "c_hash", "exp", "iat", "jti", "nbf", "nonce", "rat", "s_hash",
    ];
    for name in ABOUT_TOKEN {
        claims.remove(name);
    }
    claims
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const EXPECTED: Expected<'_> = Expected {
        issuer: "https://id",
        client_id: "weir",
        nonce: Some("n1"),
        subject: None,
    };

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(object) => object,
            _ => panic!("an object"),
        }
    }

    fn claims(changes: Value) -> Map<String, Value> {
        let mut claims = object(json!({
            "iss": "https://id", "aud": "weir", "sub": "ann", "exp": 2000, "iat": 1000, "nonce": "n1",
        }));
        for (name, value) in object(changes) {
            if value.is_null() {
                claims.remove(&name);
            } else {
                claims.insert(name, value);
            }
        }
        claims
    }

    #[test]
    fn good_tokens() {
        for changes in [
            json!({}),
            json!({ "aud": ["weir"] }),
            json!({ "aud": ["weir", "api"], "azp": "weir" }),
            json!({ "azp": "weir" }),
            json!({ "exp": 1301 }),
            json!({ "exp": 1301.5 }),
            json!({ "iat": 1360 }),
        ] {
            assert_eq!(
                check(&claims(changes.clone()), EXPECTED, 1300),
                Ok(()),
                "{changes}"
            );
        }
    }

    #[test]
    fn tokens_that_are_about_something_else() {
        for changes in [
            json!({ "iss": null }),
            json!({ "iss": "https://id/" }),
            json!({ "iss": "https://other" }),
            json!({ "aud": null }),
            json!({ "aud": "other" }),
            json!({ "aud": [] }),
            json!({ "aud": ["other"] }),
            json!({ "aud": { "weir": 1 } }),
            json!({ "aud": ["weir", "api"] }),
            json!({ "aud": ["weir", "api"], "azp": "api" }),
            json!({ "azp": "api" }),
            json!({ "azp": 1 }),
            json!({ "exp": null }),
            json!({ "exp": 1240 }),
            json!({ "exp": "2000" }),
            json!({ "exp": -1 }),
            json!({ "iat": null }),
            json!({ "iat": 1361 }),
            json!({ "nbf": 1361 }),
            json!({ "nonce": null }),
            json!({ "nonce": "n2" }),
            json!({ "nonce": ["n1"] }),
            json!({ "sub": null }),
            json!({ "sub": "" }),
            json!({ "sub": 5 }),
            json!({ "sub": "x".repeat(256) }),
        ] {
            assert!(
                check(&claims(changes.clone()), EXPECTED, 1300).is_err(),
                "{changes}"
            );
        }
    }

    #[test]
    fn a_refresh_is_about_the_same_person() {
        let refresh = Expected {
            nonce: None,
            subject: Some("ann"),
            ..EXPECTED
        };
        assert_eq!(
            check(&claims(json!({ "nonce": null })), refresh, 1300),
            Ok(())
        );
        assert!(check(&claims(json!({ "sub": "bob" })), refresh, 1300).is_err());
    }

    #[test]
    fn answers() {
        let tokens = Tokens::read(&object(json!({
            "access_token": "a", "token_type": "Bearer", "id_token": "i", "refresh_token": "r",
            "expires_in": 60, "scope": "openid  email",
        })))
        .expect("tokens");
        assert_eq!(tokens.holds, 60);
        assert_eq!(
            tokens.scopes,
            Some(vec!["openid".to_owned(), "email".to_owned()])
        );
        let tokens = Tokens::read(&object(json!({
            "access_token": "a", "token_type": "Bearer", "expires_in": "60",
        })));
        assert_eq!(tokens.expect("tokens").id_token, None);
        for answer in [
            json!({}),
            json!({ "access_token": "a" }),
            json!({ "access_token": 1, "token_type": "Bearer" }),
            json!({ "access_token": "a", "token_type": "Bearer", "expires_in": -1 }),
            json!({ "access_token": "a", "token_type": "Bearer", "expires_in": "soon" }),
        ] {
            assert!(Tokens::read(&object(answer.clone())).is_none(), "{answer}");
        }
    }
}
