//! Slips about policies as such, and about what they change on the way.

use weir_config::{Advice, Trouble};

use super::{KINDS, example, several, told};

pub(super) fn advice(trouble: &Trouble<'_>) -> Option<Advice> {
    policies(trouble).or_else(|| browsers(trouble))
}

fn policies(trouble: &Trouble<'_>) -> Option<Advice> {
    const NONE: &str =
        "to take the defaults away, write `policies: none`; to keep them, leave the key out";
    let list = [
        "routes.policies",
        "routes.auth",
        "routes.listeners",
        "defaults.policies",
    ];
    if list.iter().any(|list| trouble.is_at(list))
        && let Some(names) = trouble.text().and_then(several)
    {
        return told(format!("write `[{names}]`"));
    }
    let wrong = trouble.message.starts_with("expected") || trouble.message.contains("is empty");
    if trouble.is_at("routes.policies") && wrong {
        if trouble.is_mapping() {
            return told(
                "policies are named here; what a route alone says stands in the route itself: `{ path: /*, service: app, rate_limit: 100/min }`",
            );
        }
        let nothing = trouble.is_list() || trouble.text() == Some("");
        if trouble.as_bool() == Some(false) || nothing || trouble.text().is_some_and(is_null) {
            return told(NONE);
        }
    }
    if trouble.is_at("policies") && trouble.is_list() {
        return told("give each a name: `policies: { per_ip: { rate_limit: 100/min } }`");
    }
    if trouble.is_at("policies.*") {
        let name = trouble.key();
        if KINDS.contains(&name) && !trouble.is_mapping() {
            return told(format!(
                "`{name}` is what a policy says, not its name: `policies: {{ mine: {{ {} }} }}`",
                example(name)
            ));
        }
        if trouble.text().is_some_and(|text| text.contains('/')) {
            return told(format!(
                "say what it is: `{name}: {{ rate_limit: 100/min }}`"
            ));
        }
    }
    None
}

fn is_null(text: &str) -> bool {
    matches!(text, "null" | "~" | "Null" | "NULL")
}

fn browsers(trouble: &Trouble<'_>) -> Option<Advice> {
    if trouble.is_at(".cors") || trouble.is_at(".cors.origins") {
        if trouble.as_bool() == Some(true) {
            return told(
                "name the pages that may: `cors: https://app.example.com`; `cors: \"*\"` for those of any site",
            );
        }
        if trouble.as_bool() == Some(false) {
            return told("for none, leave the key out");
        }
        if let Some(help) = trouble.text().and_then(origin) {
            return told(help);
        }
        if trouble.message.contains("credentials: true") && trouble.text() == Some("*") {
            return told(
                "list the origins that may, such as `origins: [https://app.example.com]`; or leave `credentials` out, and pages of any site may ask as strangers",
            );
        }
    }
    if trouble.is_at(".cors.methods") || trouble.is_at(".cors.headers") {
        let text = trouble.text()?;
        if text.contains(',') {
            let words: Vec<&str> = text.split(',').map(str::trim).collect();
            return told(format!("write `[{}]`", words.join(", ")));
        }
    }
    if trouble.is_at(".security_headers.hsts") && trouble.as_bool() == Some(true) {
        return told("say for how long: `hsts: 365d`");
    }
    let missing = trouble.message.strip_prefix("the environment variable `");
    if let Some(name) = missing.and_then(|rest| rest.split('`').next())
        && trouble.is_at(".transform.*.*.*")
    {
        return told(format!(
            "set it; or write `{{{name}}}`, without `$`, for what differs from request to request"
        ));
    }
    if trouble.is_at(".transform.*.*.*") && trouble.is_mapping() {
        return told("a value with braces goes in quotes: `x-request: '{request_id}'`");
    }
    if trouble.is_at(".transform.*.*") && trouble.is_list() {
        return told(format!("write `{}: {{ x-name: value }}`", trouble.key()));
    }
    None
}

/// What to write in place of an origin that is none.
fn origin(text: &str) -> Option<String> {
    if let Some(each) = several(text) {
        return Some(format!("write `[{each}]`"));
    }
    if let Some(regex) = text
        .strip_prefix('/')
        .and_then(|text| text.strip_suffix('/'))
    {
        return Some(format!(
            "a regular expression is written `~{}`",
            regex.replace("\\/", "/")
        ));
    }
    if text.starts_with("localhost") {
        return Some(format!("write `http://{text}`"));
    }
    (text.contains("://") && text.contains('*') && !text.contains("://*.")).then(|| {
        "a star stands only for what a name begins with, as in `https://*.example.com`; anything else is a regular expression after `~`".to_owned()
    })
}

/// What to say of a word under `policies` that names no policy.
pub(in crate::config) fn policy_word(word: &str) -> Option<String> {
    if KINDS.contains(&word) {
        return Some(format!(
            "`{word}` is what a policy says, not its name: write `{}` in the route itself, or under a name in `policies`",
            example(word)
        ));
    }
    ["off", "false", "no", "null", "empty"]
        .contains(&word)
        .then(|| "to take the defaults away, write `policies: none`".to_owned())
}
