//! Requests, keys and tokens for tests.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaEncoding, RsaKeyPair};
use aws_lc_rs::{hmac, rsa};
use serde_json::{Value, json};
use weir_config::{Cx, Span};

use crate::asked::Asked;
use crate::auth::{Auth, NamedMethod};
use crate::authenticator::Authenticator;
use crate::config::{MethodConfig, RequireConfig};
use crate::jwt::Algorithm;
use crate::session::to_base64url;

/// A request with fields and a query.
#[derive(Default)]
pub(crate) struct Request {
    fields: Vec<(String, Vec<u8>)>,
    query: Option<String>,
}

impl Request {
    pub(crate) fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.fields.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub(crate) fn query(mut self, query: &str) -> Self {
        self.query = Some(query.to_owned());
        self
    }

    pub(crate) fn bearer(token: &str) -> Self {
        Self::default().field("authorization", format!("Bearer {token}"))
    }
}

impl Asked for Request {
    fn fields<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let named = self
            .fields
            .iter()
            .filter(move |(n, _)| n.as_bytes() == name);
        named.map(|(_, value)| value.as_slice())
    }

    fn method(&self) -> &[u8] {
        b"GET"
    }

    fn scheme(&self) -> &str {
        "http"
    }

    fn host(&self) -> &[u8] {
        b"api.example.com"
    }

    fn path(&self) -> &[u8] {
        b"/"
    }

    fn query(&self) -> Option<&[u8]> {
        self.query.as_deref().map(str::as_bytes)
    }

    fn client(&self) -> IpAddr {
        Ipv4Addr::LOCALHOST.into()
    }
}

/// What a list of methods and requirements, in YAML, means.
pub(crate) fn compile(
    auth: &Auth,
    methods: &str,
    require: &str,
    anonymous: bool,
) -> Result<Arc<Authenticator>, String> {
    let mut cx = Cx::from_text("weir.yaml", methods, &|_| None);
    let methods = cx.decode::<Vec<MethodConfig>>();
    let methods = cx
        .finish(methods)
        .map_err(|problems| problems.to_string())?
        .value;
    let mut cx = Cx::from_text("weir.yaml", require, &|_| None);
    let require = cx.decode::<RequireConfig>();
    let require = cx
        .finish(require)
        .map_err(|problems| problems.to_string())?
        .value;
    let named: Vec<NamedMethod> = methods
        .into_iter()
        .map(|config| NamedMethod {
            policy: "test".into(),
            config,
            span: Span::NONE,
        })
        .collect();
    let mut cx = Cx::default();
    let authenticator = auth.authenticator(&named, anonymous, &[require], &mut cx);
    let compiled = cx
        .finish(authenticator)
        .map_err(|problems| problems.to_string())?;
    Ok(compiled.value)
}

/// A key of an issuer.
pub(crate) enum Signer {
    Rsa(RsaKeyPair),
    Curve(Algorithm, EcdsaKeyPair),
    Edwards(Ed25519KeyPair),
    Secret(Vec<u8>),
}

impl Signer {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        let curve = |with| Self::Curve(algorithm, EcdsaKeyPair::generate(with).expect("a key"));
        match algorithm {
            Algorithm::Es256 => curve(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::Es384 => curve(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::Es512 => curve(&signature::ECDSA_P521_SHA512_FIXED_SIGNING),
            Algorithm::EdDsa => Self::Edwards(Ed25519KeyPair::generate().expect("a key")),
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => {
                Self::Secret(b"0123456789abcdef".repeat(4))
            }
            _ => Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key")),
        }
    }

    /// The public key, without `alg` and `kid`.
    pub(crate) fn jwk(&self) -> Value {
        match self {
            Self::Rsa(pair) => {
                // RFC 8017, A.1.1: a sequence of two integers, the first of 257 octets.
                let der: &rsa::PublicKey = pair.public_key();
                let modulus = &der.as_ref()[9..265];
                json!({ "kty": "RSA", "n": to_base64url(modulus), "e": "AQAB" })
            }
            Self::Curve(algorithm, pair) => {
                let name = match algorithm {
                    Algorithm::Es256 => "P-256",
                    Algorithm::Es384 => "P-384",
                    _ => "P-521",
                };
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({ "kty": "EC", "crv": name, "x": to_base64url(x), "y": to_base64url(y) })
            }
            Self::Edwards(pair) => {
                let x = to_base64url(pair.public_key().as_ref());
                json!({ "kty": "OKP", "crv": "Ed25519", "x": x })
            }
            Self::Secret(secret) => json!({ "kty": "oct", "k": to_base64url(secret) }),
        }
    }

    /// A signature in the way of an algorithm, as far as this key has one.
    pub(crate) fn sign(&self, algorithm: Algorithm, text: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let encoding: &'static dyn RsaEncoding = match algorithm {
                    Algorithm::Rs384 => &signature::RSA_PKCS1_SHA384,
                    Algorithm::Rs512 => &signature::RSA_PKCS1_SHA512,
                    Algorithm::Ps256 => &signature::RSA_PSS_SHA256,
                    Algorithm::Ps384 => &signature::RSA_PSS_SHA384,
                    Algorithm::Ps512 => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut signed = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, text, &mut signed)
                    .expect("signed");
                signed
            }
            Self::Curve(_, pair) => pair.sign(&random, text).expect("signed").as_ref().to_vec(),
            Self::Edwards(pair) => pair.sign(text).as_ref().to_vec(),
            Self::Secret(secret) => {
                let hash = match algorithm {
                    Algorithm::Hs384 => hmac::HMAC_SHA384,
                    Algorithm::Hs512 => hmac::HMAC_SHA512,
                    _ => hmac::HMAC_SHA256,
                };
                hmac::sign(&hmac::Key::new(hash, secret), text)
                    .as_ref()
                    .to_vec()
            }
        }
    }

    /// A token in the way of an algorithm, with any header.
    pub(crate) fn token(&self, algorithm: Algorithm, header: &str, payload: &str) -> String {
        let [header, payload] = [header, payload].map(|part| to_base64url(part.as_bytes()));
        let text = format!("{header}.{payload}");
        let signature = to_base64url(&self.sign(algorithm, text.as_bytes()));
        format!("{text}.{signature}")
    }
}

/// A JWK set.
pub(crate) fn jwks(keys: &[Value]) -> Vec<u8> {
    json!({ "keys": keys }).to_string().into_bytes()
}

/// A JWK with further members.
pub(crate) fn with(mut jwk: Value, more: Value) -> Value {
    if let (Some(jwk), Value::Object(more)) = (jwk.as_object_mut(), more) {
        jwk.extend(more);
    }
    jwk
}
