//! What the claims of a token must say (RFC 7519, section 4.1; RFC 8725, section 3).

use serde_json::{Map, Value};

use crate::method::Fault;
use crate::refusal::Why;

/// What tokens must say. All times are in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// One of them must have issued the token, if there are any.
    pub(crate) issuers: Vec<String>,
    /// It must be for one of them; if there are none, it must be for nobody in particular.
    pub(crate) audiences: Vec<String>,
    /// What kind it must be.
    pub(crate) typ: Option<String>,
    pub(crate) leeway: u64,
    /// Whether it must end.
    pub(crate) expires: bool,
    pub(crate) max_age: Option<u64>,
}

/// Until when a token counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    /// What the token says.
    pub(crate) expires: Option<u64>,
    /// When it will be refused.
    pub(crate) until: u64,
}

const fn fault(why: Why, detail: &'static str) -> Fault {
    Fault { why, detail }
}

impl Rules {
    /// Whether the kind of a token is right (RFC 7515, section 4.1.9: case does not matter, `application/` may be left out).
    pub(crate) fn check_typ(&self, typ: Option<&str>) -> Result<(), Fault> {
        let Some(wanted) = &self.typ else {
            return Ok(());
        };
        let plain = |typ: &str| {
            let typ = typ.to_ascii_lowercase();
            typ.trim_start_matches("application/").to_owned()
        };
        if typ.is_some_and(|typ| plain(typ) == plain(wanted)) {
            return Ok(());
        }
        Err(fault(
            Why::Invalid,
            "the token is not of the kind that is needed here",
        ))
    }

    /// Whether the issuer is right.
    pub(crate) fn check_issuer(&self, claims: &Map<String, Value>) -> Result<(), Fault> {
        let issuer = claims.get("iss");
        let right = match issuer {
            Some(Value::String(issuer)) => {
                self.issuers.is_empty() || self.issuers.iter().any(|known| known == issuer)
            }
            Some(_) => false,
            None => self.issuers.is_empty(),
        };
        if right {
            return Ok(());
        }
        Err(fault(
            Why::Audience,
            "the token was issued by somebody else",
        ))
    }

    /// Whether the claims are right at a moment, and for how long.
    pub(crate) fn check(&self, claims: &Map<String, Value>, now: u64) -> Result<Validity, Fault> {
        self.check_issuer(claims)?;
        self.check_audience(claims)?;
        let expires = moment(claims, "exp")?;
        // RFC 7519, 4.1.4: on or after that moment the token MUST NOT be accepted.
        let mut until = match expires {
            Some(expires) => expires.saturating_add(self.leeway),
            None if self.expires => {
                return Err(fault(
                    Why::Invalid,
                    "the token does not say when it expires",
                ));
            }
            None => u64::MAX,
        };
        let early =
            |moment: Option<u64>| moment.is_some_and(|at| at > now.saturating_add(self.leeway));
        if early(moment(claims, "nbf")?) {
            return Err(fault(Why::Expired, "the token is not valid yet"));
        }
        let issued = moment(claims, "iat")?;
        if early(issued) {
            return Err(fault(Why::Expired, "the token was issued in the future"));
        }
        if let Some(max_age) = self.max_age {
            let Some(issued) = issued else {
                return Err(fault(
                    Why::Invalid,
                    "the token does not say when it was issued",
                ));
            };
            until = until.min(issued.saturating_add(max_age).saturating_add(self.leeway));
        }
        if until <= now {
            return Err(fault(Why::Expired, "the token has expired"));
        }
        Ok(Validity { expires, until })
    }

    fn check_audience(&self, claims: &Map<String, Value>) -> Result<(), Fault> {
        let ours = |value: &Value| {
            let name = value.as_str();
            name.is_some_and(|name| self.audiences.iter().any(|ours| ours == name))
        };
        // RFC 7519, 4.1.3: whoever is not named MUST reject the token.
        let right = match claims.get("aud") {
            None => self.audiences.is_empty(),
            Some(Value::Array(values)) => {
                values.iter().all(Value::is_string) && values.iter().any(ours)
            }
            Some(value) => ours(value),
        };
        if right {
            return Ok(());
        }
        Err(fault(Why::Audience, "the token is for somebody else"))
    }
}

/// A moment of RFC 7519 (`NumericDate`), down to the second. What is no moment makes the token bad.
fn moment(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, Fault> {
    /// Beyond the year 9999 and exact in a float.
    const LAST: f64 = 253_402_300_800.0;
    let number = match claims.get(name) {
        None => return Ok(None),
        Some(Value::Number(number)) => number.as_f64(),
        Some(_) => None,
    };
    match number {
        Some(number) if (0.0..LAST).contains(&number) => Ok(Some(number as u64)),
        _ => Err(fault(Why::Invalid, "a time in the token is not a time")),
    }
}

#[cfg(test)]
mod tests;
