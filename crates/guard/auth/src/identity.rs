//! Who somebody is, and how endpoints are told.

use std::sync::Arc;

use serde_json::Value;

use crate::claims::{ClaimPath, Claims};
use crate::config::IdentityField;
use crate::method::Fault;
use crate::refusal::Why;

/// Somebody whose credential was good.
#[derive(Debug)]
pub struct Identity {
    /// How they were recognised.
    pub method: MethodKind,
    /// The policy that names the method; empty for one that stands in a route.
    pub policy: Arc<str>,
    /// Who they are: `sub` of a token, the user of a password, the subject of an API key.
    pub subject: Box<str>,
    /// The API key, by its id; for rate limits and logs.
    pub key_id: Option<Box<str>>,
    /// The plan of rate limits that they are on.
    pub plan: Option<Box<str>>,
    /// What they may do.
    pub scopes: Box<[Box<str>]>,
    /// What else is known about them.
    pub claims: Claims,
    /// Lines that tell the endpoint about them, each with its CRLF.
    pub fields: Box<[u8]>,
    /// When the credential ends, in seconds since 1970.
    pub expires: Option<u64>,
}

impl Identity {
    /// Whether they have a scope.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|has| **has == *scope)
    }
}

/// How somebody was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MethodKind {
    /// By an API key.
    ApiKey,
    /// By a name and a password.
    Basic,
    /// By a signed token.
    Jwt,
    /// By a token that another server knows about.
    Introspection,
    /// By a login at an OpenID provider.
    Oidc,
}

impl MethodKind {
    /// The word in the config, in logs and in `X-Auth-Method`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::Basic => "basic",
            Self::Jwt => "jwt",
            Self::Introspection => "introspection",
            Self::Oidc => "oidc",
        }
    }
}

/// The fields that every identity is told in.
pub(crate) const STANDARD_FIELDS: [&str; 3] = ["x-auth-subject", "x-auth-method", "x-auth-scopes"];

/// Longer values are not passed on.
const LONGEST_VALUE: usize = 1024;
/// Longer names nobody has.
const LONGEST_SUBJECT: usize = 256;
/// Further scopes are not looked at.
const MOST_SCOPES: usize = 256;

/// What the identities of one method have in common.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) method: MethodKind,
    pub(crate) policy: Arc<str>,
    /// Further fields, and the claims they hold.
    pub(crate) headers: Vec<(IdentityField, ClaimPath)>,
}

/// What makes one identity different from another.
#[derive(Debug, Default)]
pub(crate) struct Person<'a> {
    pub(crate) subject: &'a str,
    pub(crate) key_id: Option<&'a str>,
    pub(crate) plan: Option<&'a str>,
    pub(crate) scopes: Vec<&'a str>,
    pub(crate) expires: Option<u64>,
}

impl Shape {
    /// The names of all fields that it writes.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &str> {
        let further = self.headers.iter().map(|(name, _)| name.as_str());
        STANDARD_FIELDS.into_iter().chain(further)
    }

    /// Somebody, unless their name cannot be told to endpoints: to tell something like it would make them somebody else.
    pub(crate) fn identity(
        &self,
        person: Person<'_>,
        claims: Claims,
    ) -> Result<Arc<Identity>, Fault> {
        if !is_tellable(person.subject) || person.subject.len() > LONGEST_SUBJECT {
            return Err(Fault {
                why: Why::Invalid,
                detail: "the subject is missing, too long, or holds control characters",
            });
        }
        let scopes: Box<[Box<str>]> = person
            .scopes
            .iter()
            .filter(|scope| is_scope(scope))
            .take(MOST_SCOPES)
            .map(|scope| Box::from(*scope))
            .collect();
        let mut fields = Vec::with_capacity(128);
        let [subject_field, method_field, scopes_field] = STANDARD_FIELDS;
        put(&mut fields, subject_field, person.subject);
        put(&mut fields, method_field, self.method.as_str());
        let joined = scopes.join(" ");
        if !joined.is_empty() && joined.len() <= 4 * LONGEST_VALUE {
            put(&mut fields, scopes_field, &joined);
        }
        for (name, path) in &self.headers {
            if let Some(value) = claims.at(path).and_then(told) {
                put(&mut fields, name.as_str(), &value);
            }
        }
        Ok(Arc::new(Identity {
            method: self.method,
            policy: Arc::clone(&self.policy),
            subject: person.subject.into(),
            key_id: person.key_id.map(Box::from),
            plan: person.plan.map(Box::from),
            scopes,
            claims,
            fields: fields.into(),
            expires: person.expires,
        }))
    }
}

fn put(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// A claim as the value of a field. What cannot be told exactly is not told at all: `"a\r\nb"` must not become `ab`, nor
/// `["a,b"]` the same as `["a", "b"]`.
fn told(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Array(values) => {
            let texts: Vec<String> = values
                .iter()
                .map(|value| match value {
                    Value::Array(_) => None,
                    value => told(value).filter(|text| !text.contains(',')),
                })
                .collect::<Option<_>>()?;
            texts.join(",")
        }
        Value::Null | Value::Object(_) => return None,
    };
    is_tellable(&text).then_some(text)
}

/// Whether a value reaches the endpoint as it is (RFC 9110, section 5.5): recipients cut blanks at both ends.
fn is_tellable(value: &str) -> bool {
    let blank = |b: Option<&u8>| matches!(b, None | Some(b' ' | b'\t'));
    let bytes = value.as_bytes();
    !blank(bytes.first())
        && !blank(bytes.last())
        && bytes.len() <= LONGEST_VALUE
        && bytes.iter().all(|b| !b.is_ascii_control())
}

/// RFC 6749, section 3.3: `scope-token`.
pub(crate) fn is_scope(scope: &str) -> bool {
    !scope.is_empty()
        && scope.len() <= 256
        && scope
            .bytes()
            .all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\'))
}

#[cfg(test)]
mod tests;
