//! Keys that verify signatures, from JSON Web Keys (RFC 7517, RFC 7518, section 6) or from a secret of the config.
//!
//! A key verifies exactly the algorithms that its type, its curve and its `alg` leave, and each of them was prepared when
//! the key was read. So there is no way to use an RSA key as the secret of an HMAC: it has no HMAC in it.

use aws_lc_rs::hmac;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::ParsedPublicKey;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::roca;
use crate::encoding::base64url;

/// A key.
#[derive(Debug)]
pub(crate) struct Key {
    pub(super) kid: Option<Box<str>>,
    verifiers: Vec<(Algorithm, Verifier)>,
}

enum Verifier {
    Public(ParsedPublicKey),
    Secret(Box<hmac::Key>),
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Public(_) => "Public",
            Self::Secret(_) => "Secret",
        })
    }
}

impl Key {
    /// A secret that both sides know. `None` if it is shorter than the hashes (RFC 7518, section 3.2).
    pub(crate) fn secret(secret: &[u8], algorithms: &[Algorithm]) -> Option<Self> {
        let verifier = |algorithm: &Algorithm| {
            let hmac = algorithm.hmac()?;
            (secret.len() >= algorithm.shortest_secret()).then(|| {
                (
                    *algorithm,
                    Verifier::Secret(Box::new(hmac::Key::new(hmac, secret))),
                )
            })
        };
        Some(Self {
            kid: None,
            verifiers: algorithms.iter().map(verifier).collect::<Option<_>>()?,
        })
    }

    /// A public key.
    ///
    /// # Errors
    /// Why this key cannot be used; others of the same set may be fine.
    pub(crate) fn public(jwk: &Map<String, Value>) -> Result<Self, &'static str> {
        let text = |name: &str| match jwk.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err("a member has the wrong type"),
        };
        if !matches!(text("use")?, None | Some("sig")) {
            return Err("it is not for signatures");
        }
        match jwk.get("key_ops") {
            None => {}
            Some(Value::Array(operations)) if operations.iter().any(|op| op == "verify") => {}
            Some(_) => return Err("it is not for verifying"),
        }
        if ["d", "p", "q", "k"]
            .iter()
            .any(|name| jwk.contains_key(*name))
        {
            return Err("it is secret, or was meant to be");
        }
        let pinned = match text("alg")? {
            None => None,
            Some(name) => Some(Algorithm::of(name).ok_or("its algorithm is not known")?),
        };
        let verifiers = match text("kty")? {
            Some("RSA") => rsa(text("n")?, text("e")?, pinned)?,
            Some("EC") => curve(text("crv")?, text("x")?, text("y")?, pinned)?,
            Some("OKP") => edwards(text("crv")?, text("x")?, pinned)?,
            Some(_) => return Err("its type is not known"),
            None => return Err("it has no type"),
        };
        Ok(Self {
            kid: text("kid")?.map(Box::from),
            verifiers,
        })
    }

    /// Whether it can verify this algorithm.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        self.verifiers.iter().any(|(fits, _)| *fits == algorithm)
    }

    /// Whether this is its signature.
    pub(super) fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        let verifier = self.verifiers.iter().find(|(fits, _)| *fits == algorithm);
        match verifier {
            None => false,
            Some((_, Verifier::Public(key))) => key.verify_sig(signed, signature).is_ok(),
            // In constant time.
            Some((_, Verifier::Secret(key))) => hmac::verify(key, signed, signature).is_ok(),
        }
    }
}

type Verifiers = Vec<(Algorithm, Verifier)>;

fn bytes(text: Option<&str>) -> Result<Vec<u8>, &'static str> {
    let text = text.ok_or("a part of it is missing")?;
    base64url(text.as_bytes()).ok_or("a part of it is not base64url")
}

fn rsa(
    n: Option<&str>,
    e: Option<&str>,
    pinned: Option<Algorithm>,
) -> Result<Verifiers, &'static str> {
    let (n, e) = (bytes(n)?, bytes(e)?);
    // RFC 7518, 6.3.1: as few octets as possible. An exponent of 1 signs nothing, an even one cannot be.
    let exponent = match e.as_slice() {
        [] | [0, ..] => None,
        e if e.len() > 4 => None,
        e => Some(
            e.iter()
                .fold(0_u64, |value, byte| value << 8 | u64::from(*byte)),
        ),
    };
    if !exponent.is_some_and(|e| e >= 3 && e % 2 == 1) || n.first() == Some(&0) {
        return Err("its numbers are not those of an RSA key");
    }
    if !(256..=1024).contains(&n.len()) {
        return Err("it has fewer than 2048 or more than 8192 bits");
    }
    if roca::is_weak(&n) {
        return Err("it was made by a generator whose keys can be factored (CVE-2017-15361)");
    }
    let components = PublicKeyComponents { n, e };
    let wanted = match pinned {
        Some(algorithm) => vec![algorithm],
        None => Algorithm::RSA.to_vec(),
    };
    wanted
        .into_iter()
        .map(|algorithm| {
            let parameters = algorithm.rsa().ok_or("its algorithm is not for its type")?;
            let key = components
                .to_parsed_public_key(parameters)
                .map_err(|_| "its numbers are not those of an RSA key")?;
            Ok((algorithm, Verifier::Public(key)))
        })
        .collect()
}

fn curve(
    name: Option<&str>,
    x: Option<&str>,
    y: Option<&str>,
    pinned: Option<Algorithm>,
) -> Result<Verifiers, &'static str> {
    let (algorithm, size) = match name {
        Some("P-256") => (Algorithm::Es256, 32),
        Some("P-384") => (Algorithm::Es384, 48),
        Some("P-521") => (Algorithm::Es512, 66),
        _ => return Err("its curve is not known"),
    };
    let (x, y) = (bytes(x)?, bytes(y)?);
    // RFC 7518, 6.2.1.2: always the full size.
    if x.len() != size || y.len() != size {
        return Err("its coordinates have the wrong size");
    }
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    on_curve(algorithm, &point, pinned)
}

fn edwards(
    name: Option<&str>,
    x: Option<&str>,
    pinned: Option<Algorithm>,
) -> Result<Verifiers, &'static str> {
    if name != Some("Ed25519") {
        return Err("its curve is not known");
    }
    let x = bytes(x)?;
    if x.len() != 32 {
        return Err("its coordinates have the wrong size");
    }
    on_curve(Algorithm::EdDsa, &x, pinned)
}

fn on_curve(
    algorithm: Algorithm,
    point: &[u8],
    pinned: Option<Algorithm>,
) -> Result<Verifiers, &'static str> {
    if pinned.is_some_and(|pinned| pinned != algorithm) {
        return Err("its algorithm is not for its curve");
    }
    let verification = algorithm.curve().ok_or("its curve is not known")?;
    let key = ParsedPublicKey::new(verification, point)
        .map_err(|_| "its coordinates are no point of its curve")?;
    Ok(vec![(algorithm, Verifier::Public(key))])
}
