//! Who somebody is, and how endpoints are told.

use std::sync::Arc;

use serde_json::Value;

use crate::auth::Events;
use crate::claims::{ClaimPath, Claims};
use crate::config::IdentityField;
use crate::method::Fault;
use crate::refusal::Why;
use crate::told::{self, Untold, told};

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
    /// See [`unique`](Self::unique).
    unique: Box<str>,
}

impl Identity {
    /// Whether they have a scope.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|has| **has == *scope)
    }

    /// What tells them from everybody else whom any method knows, the same at each Weir and after each restart: for counting.
    /// The API key `acme`, the user `acme` of a password, and the `acme` of an issuer are three. But somebody whom an issuer
    /// knows is the same person with a signed token, with an opaque one, and with a session.
    pub fn unique(&self) -> &str {
        &self.unique
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

    /// Whose names its subjects are, and whether there may be several issuers of them.
    const fn namespace(self) -> (&'static str, bool) {
        match self {
            Self::ApiKey => ("api_key", false),
            Self::Basic => ("basic", false),
            Self::Jwt | Self::Introspection | Self::Oidc => ("token", true),
        }
    }
}

/// The fields that every identity is told in.
pub(crate) const STANDARD_FIELDS: [&str; 3] = ["x-auth-subject", "x-auth-method", "x-auth-scopes"];

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
    headers: Vec<(IdentityField, ClaimPath)>,
    untold: Untold,
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
    pub(crate) const fn new(
        method: MethodKind,
        policy: Arc<str>,
        headers: Vec<(IdentityField, ClaimPath)>,
        events: Events,
    ) -> Self {
        Self {
            method,
            policy,
            headers,
            untold: Untold::new(events),
        }
    }

    /// What logs call the method: the policy that names it, or the word for its kind.
    pub(crate) fn name(&self) -> &str {
        match &*self.policy {
            "" => self.method.as_str(),
            policy => policy,
        }
    }

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
        let subject = person.subject;
        let good = !subject.is_empty() && subject.len() <= LONGEST_SUBJECT;
        if !good || told::check(subject).is_err() {
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
        put(&mut fields, subject_field, subject);
        put(&mut fields, method_field, self.method.as_str());
        let untold =
            |field: &str, claim: &str, why| self.untold.tell(self.name(), field, claim, why);
        if scopes.len()
            < person
                .scopes
                .iter()
                .filter(|scope| !scope.is_empty())
                .count()
        {
            let why = "some are left out: they are no scopes, or there are more than 256";
            untold(scopes_field, "scopes", why);
        }
        let joined = scopes.join(" ");
        match told::check(&joined) {
            Ok(()) if joined.is_empty() => {}
            Ok(()) => put(&mut fields, scopes_field, &joined),
            Err(why) => untold(scopes_field, "scopes", why),
        }
        for (name, path) in &self.headers {
            match claims.at(path).map_or(Ok(None), told) {
                Ok(None) => {}
                Ok(Some(value)) => put(&mut fields, name.as_str(), &value),
                Err(why) => untold(name.as_str(), path.as_str(), why),
            }
        }
        // A subject has no line breaks, so the last one ends the issuer, whatever that holds.
        let (namespace, issued) = self.method.namespace();
        let issuer = claims.as_map().get("iss").filter(|_| issued);
        let issuer = issuer.and_then(Value::as_str).unwrap_or_default();
        let parts = [namespace, issuer, subject];
        Ok(Arc::new(Identity {
            unique: parts.join("\n").into(),
            method: self.method,
            policy: Arc::clone(&self.policy),
            subject: subject.into(),
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
