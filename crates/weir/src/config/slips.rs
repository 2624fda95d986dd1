//! What a tired engineer writes, and what to write instead.
//!
//! Each part of the config says what it takes. Why somebody wrote something else there is often plain only from a distance: an
//! address where a service is named, the kind of a policy in place of its name, the word of another program. Here is that
//! distance: [`advice`] sees every problem with the keys that lead to it, and what stands there.

mod guard;
mod keys;
mod limits;
mod traffic;
mod who;

use weir_config::{Advice, Trouble};

pub(super) use self::{guard::policy_word, limits::store_word, who::auth_word};

/// What to write instead, if that can be told.
pub(super) fn advice(trouble: &Trouble<'_>) -> Option<Advice> {
    if trouble.message.starts_with("unknown key") {
        return keys::advice(trouble);
    }
    if trouble
        .text()
        .is_some_and(|text| text.starts_with(['“', '”', '„', '‘', '’']))
    {
        return told("these are typographic quotes: write \" or '");
    }
    traffic::advice(trouble)
        .or_else(|| guard::advice(trouble))
        .or_else(|| who::advice(trouble))
        .or_else(|| limits::advice(trouble))
}

/// The kinds of methods by which people prove who they are.
const METHODS: [&str; 5] = ["api_key", "basic", "jwt", "introspection", "oidc"];

/// What a policy can say.
const KINDS: [&str; 12] = [
    "api_key",
    "basic",
    "cors",
    "firewall",
    "forward_auth",
    "introspection",
    "jwt",
    "oidc",
    "rate_limit",
    "require",
    "security_headers",
    "transform",
];

/// A method of this kind as it would be written.
fn method(kind: &str) -> &'static str {
    match kind {
        "api_key" => "api_key: { keys: file:keys.yaml }",
        "basic" => "basic: { users: { ann: HASH } }",
        "introspection" => {
            "introspection: { url: https://..., client_id: ..., client_secret: ... }"
        }
        "oidc" => {
            "oidc: { issuer: https://..., client_id: ..., client_secret: ..., session_secrets: [...] }"
        }
        _ => "jwt: { jwks: https://..., audience: ... }",
    }
}

/// Something of this kind as it would be written.
fn example(kind: &str) -> &'static str {
    match kind {
        "cors" => "cors: https://app.example.com",
        "firewall" => "firewall: { deny: file:deny.txt }",
        "forward_auth" => "forward_auth: SERVICE",
        "rate_limit" => "rate_limit: 100/min",
        "require" => "require: { scopes: [...] }",
        "security_headers" => "security_headers: true",
        "transform" => "transform: { request: { set: { x-env: prod } } }",
        kind => method(kind),
    }
}

/// `host:port` of a URL or an address.
fn address(text: &str) -> Option<&str> {
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"))
        .unwrap_or(text);
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let rest = &rest[..end];
    let (_, port) = rest.rsplit_once(':')?;
    (!port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())).then_some(rest)
}

/// Several things in one text, as a list would have them.
fn several(text: &str) -> Option<String> {
    let each: Vec<&str> = text
        .split([',', ' ', ';'])
        .filter(|part| !part.is_empty())
        .collect();
    (each.len() > 1).then(|| each.join(", "))
}

fn told(help: impl Into<String>) -> Option<Advice> {
    Some(Advice::new(help))
}
