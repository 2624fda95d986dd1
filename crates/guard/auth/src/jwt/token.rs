//! The compact form of a signed token (RFC 7515, section 7.1), read strictly.

use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::json;
use crate::encoding::base64url;

/// Longer tokens are refused: fields of requests are not longer either, unless the config says so.
pub(crate) const LONGEST: usize = 16 << 10;
/// Longer key ids nobody has.
const LONGEST_KID: usize = 256;

/// A token whose parts were read, but whose signature was not looked at.
#[derive(Debug)]
pub(crate) struct Token<'t> {
    pub(crate) header: Header,
    /// What is signed.
    pub(super) signed: &'t [u8],
    payload: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

/// What a token says about its signature. Of that, only what can make it refused is used, and the id of the key.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Option<String>,
    pub(crate) typ: Option<String>,
}

impl<'t> Token<'t> {
    /// Reads the header, and the encoding of the rest.
    ///
    /// # Errors
    /// What is wrong, for people; it quotes nothing.
    pub(crate) fn read(token: &'t [u8]) -> Result<Self, &'static str> {
        if token.len() > LONGEST {
            return Err("the token is too long");
        }
        let mut parts = token.split(|b| *b == b'.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("the token is not a signed token in compact form");
        };
        if signature.is_empty() {
            return Err("the token has no signature");
        }
        let header = base64url(header).ok_or("the header of the token is not base64url")?;
        let header = json::object(&header).ok_or("the header of the token is not a JSON object")?;
        Ok(Self {
            header: Header::read(&header)?,
            signed: &token[..token.len() - signature.len() - 1],
            payload: base64url(payload).ok_or("the payload of the token is not base64url")?,
            signature: base64url(signature).ok_or("the signature is not base64url")?,
        })
    }

    /// The claims. Believe them only once the signature was verified.
    pub(crate) fn claims(&self) -> Result<Map<String, Value>, &'static str> {
        json::object(&self.payload).ok_or("the payload of the token is not a JSON object")
    }
}

impl Header {
    fn read(members: &Map<String, Value>) -> Result<Self, &'static str> {
        // RFC 7515, 4.1.11: what `crit` names MUST be understood, and nothing that could stand there is. Without it,
        // nobody may leave the payload unencoded (RFC 7797, section 6).
        if members.contains_key("crit") || members.contains_key("b64") {
            return Err("the token needs extensions that are not understood");
        }
        let text = |name: &str| match members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err("the header of the token has a member of the wrong type"),
        };
        let algorithm = text("alg")?.ok_or("the token does not say how it is signed")?;
        let kid = text("kid")?;
        if kid.is_some_and(|kid| kid.len() > LONGEST_KID) {
            return Err("the id of the token's key is too long");
        }
        Ok(Self {
            // `none` among them.
            algorithm: Algorithm::of(algorithm)
                .ok_or("the token is signed in a way that is not accepted")?,
            kid: kid.cloned(),
            typ: text("typ")?.cloned(),
        })
    }
}
