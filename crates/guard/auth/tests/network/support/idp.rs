//! An OpenID provider that follows a script: good in all, but for what a test changes.

use std::sync::{Arc, Mutex, OnceLock};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Map, Value, json};

use super::{Answer, Seen, Server};

/// The provider. A code is `NONCE.CHALLENGE` of the login that it is for, so that nothing need be kept.
pub(crate) struct Idp {
    pub(crate) server: Server,
    pub(crate) issuer: String,
    pub(crate) rules: Arc<Mutex<Rules>>,
}

/// What it does.
pub(crate) struct Rules {
    /// Signs; shown with this id.
    pub(crate) key: EcdsaKeyPair,
    pub(crate) kid: String,
    /// Changes to the claims of ID tokens; `null` takes one out.
    pub(crate) claims: Value,
    /// Changes to the answer of the token endpoint.
    pub(crate) tokens: Value,
    /// Changes to what it says about itself.
    pub(crate) metadata: Value,
    /// Changes a token after it was signed.
    pub(crate) forge: fn(String) -> String,
    /// Answers these paths otherwise.
    pub(crate) instead: Option<(&'static str, Answer)>,
    /// The refresh token that counts: the number of refreshes so far.
    pub(crate) turn: u64,
    pub(crate) now: u64,
}

pub(crate) fn new_key() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key")
}

impl Idp {
    pub(crate) fn start(now: u64) -> Self {
        let rules = Arc::new(Mutex::new(Rules {
            key: new_key(),
            kid: "first".to_owned(),
            claims: json!({}),
            tokens: json!({}),
            metadata: json!({}),
            forge: |token| token,
            instead: None,
            turn: 0,
            now,
        }));
        let issuer = Arc::new(OnceLock::new());
        let server = Server::start({
            let (rules, issuer) = (Arc::clone(&rules), Arc::clone(&issuer));
            move |seen| {
                let issuer: &String = issuer.wait();
                rules.lock().expect("rules").answer(seen, issuer)
            }
        });
        let name = format!("http://{}", server.addr);
        issuer.set(name.clone()).expect("it is set once");
        Self {
            server,
            issuer: name,
            rules,
        }
    }

    /// Changes what it does.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.rules.lock().expect("rules"));
    }
}

impl Rules {
    fn answer(&mut self, seen: &Seen, issuer: &str) -> Answer {
        if let Some((path, answer)) = &self.instead
            && *path == seen.path
        {
            return answer.clone();
        }
        match seen.path.as_str() {
            "/.well-known/openid-configuration" => Answer::json(changed(
                json!({
                    "issuer": issuer,
                    "authorization_endpoint": format!("{issuer}/auth"),
                    "token_endpoint": format!("{issuer}/token"),
                    "jwks_uri": format!("{issuer}/keys"),
                    "end_session_endpoint": format!("{issuer}/end?a=b"),
                    "revocation_endpoint": format!("{issuer}/revoke"),
                }),
                &self.metadata,
            )),
            "/keys" => Answer::json(json!({ "keys": [self.jwk()] })),
            "/revoke" => Answer::json("{}"),
            "/token" => self.tokens(seen, issuer),
            _ => Answer::status(404, "{}"),
        }
    }

    fn jwk(&self) -> Value {
        let point = self.key.public_key().as_ref();
        json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.kid,
            "x": base64url(&point[1..33]), "y": base64url(&point[33..]),
        })
    }

    fn tokens(&mut self, seen: &Seen, issuer: &str) -> Answer {
        let refuse = |error| Answer::status(400, json!({ "error": error }));
        let code = seen.form("code").unwrap_or_default();
        let mut claims = json!({
            "iss": issuer, "aud": "weir", "sub": "ann", "email": "ann@example.com",
            "iat": self.now, "exp": self.now + 3600,
        });
        match seen.form("grant_type").as_deref() {
            Some("authorization_code") => {
                let Some((nonce, challenge)) = code.split_once('.') else {
                    return refuse("invalid_grant");
                };
                let verifier = seen.form("code_verifier").unwrap_or_default();
                if base64url(digest(&SHA256, verifier.as_bytes()).as_ref()) != challenge {
                    return refuse("invalid_grant");
                }
                claims["nonce"] = json!(nonce);
            }
            Some("refresh_token") => {
                // A token that was used is a stolen one.
                if seen.form("refresh_token") != Some(format!("turn-{}", self.turn)) {
                    return refuse("invalid_grant");
                }
                self.turn += 1;
            }
            _ => return refuse("unsupported_grant_type"),
        }
        let id_token = (self.forge)(self.sign(&changed(claims, &self.claims)));
        Answer::json(changed(
            json!({
                "access_token": "opaque", "token_type": "Bearer", "expires_in": 100, "id_token": id_token,
                "refresh_token": format!("turn-{}", self.turn),
            }),
            &self.tokens,
        ))
    }

    fn sign(&self, claims: &Value) -> String {
        let header = json!({ "alg": "ES256", "kid": self.kid });
        let signed = [header, claims.clone()].map(|part| base64url(part.to_string().as_bytes()));
        let signed = signed.join(".");
        let signature = self
            .key
            .sign(&SystemRandom::new(), signed.as_bytes())
            .expect("signed");
        format!("{signed}.{}", base64url(signature.as_ref()))
    }
}

fn changed(value: Value, changes: &Value) -> Value {
    let (Value::Object(mut members), Value::Object(changes)) = (value, changes) else {
        panic!("objects");
    };
    for (name, value) in changes {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    Value::Object(Map::from_iter(members))
}

pub(crate) fn base64url(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = (0..).zip(chunk).fold(0_u32, |bits, (at, byte)| {
            bits | (u32::from(*byte) << (16 - 8 * at))
        });
        for at in 0..=chunk.len() {
            text.push(char::from(LETTERS[(bits >> (18 - 6 * at)) as usize & 0x3f]));
        }
    }
    text
}
