//! Slips about how much may pass, and from where.

use weir_config::{Advice, Trouble};

use super::{several, told};

pub(super) fn advice(trouble: &Trouble<'_>) -> Option<Advice> {
    limit(trouble).or_else(|| firewall(trouble))
}

fn limit(trouble: &Trouble<'_>) -> Option<Advice> {
    if trouble.is_at(".rate_limit.key") {
        return key(trouble);
    }
    if trouble.is_at(".rate_limit.concurrency") && trouble.as_bool() == Some(false) {
        return told("for any number, leave the key out");
    }
    if trouble.is_at(".rate_limit.headers") && trouble.as_bool() == Some(true) {
        return told("leave the key out for `standard`");
    }
    if trouble.is_at(".rate_limit.plans") && trouble.is_list() {
        return told("give each its limits: `plans: { gold: 100/s }`");
    }
    if trouble.is_at(".rate_limit.store") {
        if trouble.as_bool() == Some(true) {
            return told(
                "name an engine: `engines: { shared: redis://10.0.0.5:6379 }`, and here `store: shared`",
            );
        }
        let text = trouble.text()?;
        if text.contains("://") {
            return told("engines are named: `engines: { shared: URL }`, and here `store: shared`");
        }
    }
    if trouble.is_at(".rate_limit") && trouble.is_scalar() {
        let text = trouble.text()?;
        if trouble.as_bool().is_some() {
            return told("say how many: `rate_limit: 100/min`; for none, leave the key out");
        }
        if text
            .bytes()
            .all(|b| b.is_ascii_alphabetic() || b"_-.".contains(&b))
        {
            return told(format!(
                "say how many, such as `100/min`; a policy is named by `policies: {text}`"
            ));
        }
    }
    if trouble.is_at("engines.*") && trouble.message.starts_with("expected") {
        return match trouble.text() {
            Some(text) if super::address(text).is_some() => told(format!("write `redis://{text}`")),
            _ => told("write `redis://10.0.0.5:6379`"),
        };
    }
    if trouble.is_at("engines.*.redis") {
        let text = trouble.text()?;
        if !text.contains("://") {
            return told(format!("write `redis://{text}`"));
        }
    }
    None
}

/// What a limit counts by.
fn key(trouble: &Trouble<'_>) -> Option<Advice> {
    if trouble.is_mapping() {
        let named = ["header", "claim"]
            .into_iter()
            .find_map(|kind| Some((kind, trouble.text_of(kind)?)));
        return match named {
            Some((kind, name)) => told(format!("write `{kind} {name}`")),
            None => told("write a word or a list of words: `key: [ip, route]`"),
        };
    }
    let text = trouble.text()?;
    let words = text.replace('+', ",");
    if words.contains(',')
        && let Some(each) = several(&words)
    {
        return told(format!("write `[{each}]`"));
    }
    let plain = text.trim_start_matches('$').to_ascii_lowercase();
    let word = match plain.as_str() {
        "ip_address" | "client_ip" | "clientip" | "remote_addr" | "remote_ip"
        | "remote_address" | "source_ip" | "address" | "client" | "binary_remote_addr" => "ip",
        "sub" | "subject" | "user_id" | "userid" | "username" | "jwt.sub" | "claim.sub"
        | "consumer" => "user",
        "key" | "apikey" | "api-key" => "api_key",
        "global" | "none" | "all" | "off" | "*" | "nobody" | "service" => "everyone",
        "path" | "url" | "uri" | "endpoint" => "route",
        "hostname" | "domain" => "host",
        _ => "",
    };
    if !word.is_empty() {
        return told(format!("write `{word}`"));
    }
    for (prefix, kind) in [
        ("header:", "header"),
        ("header.", "header"),
        ("http_", "header"),
        ("claim:", "claim"),
        ("claim.", "claim"),
        ("jwt.", "claim"),
    ] {
        if let Some(name) = plain.strip_prefix(prefix).filter(|name| !name.is_empty()) {
            let name = if prefix == "http_" {
                name.replace('_', "-")
            } else {
                name.to_owned()
            };
            return told(format!("write `{kind} {name}`"));
        }
    }
    (plain.starts_with("x-") || plain == "authorization")
        .then(|| told(format!("for a header field, write `header {plain}`")))
        .flatten()
}

fn firewall(trouble: &Trouble<'_>) -> Option<Advice> {
    if trouble.is_at(".firewall") && trouble.is_scalar() {
        return told("say which: `firewall: { allow: [10.0.0.0/8] }`, or `deny`");
    }
    if trouble.is_at(".firewall.rules") && trouble.message.starts_with("expected a list") {
        return told("rules are a list: `rules: [{ deny: /admin/* }]`");
    }
    let lists = [".deny", ".allow", ".from", ".trusted"];
    if !lists.iter().any(|list| trouble.is_at(list)) {
        return None;
    }
    if trouble.is_mapping() {
        let named = ["country", "asn", "file"]
            .into_iter()
            .find_map(|kind| Some((kind, trouble.text_of(kind)?)));
        let (kind, name) = named?;
        return told(format!("write `{kind}:{name}`, without a space"));
    }
    let text = trouble.text()?;
    if let Some(each) = several(text) {
        return told(format!("write `[{each}]`"));
    }
    if text.len() == 2 && text.bytes().all(|b| b.is_ascii_alphabetic()) {
        return told(format!(
            "for a country, write `country:{}`",
            text.to_ascii_uppercase()
        ));
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if let Some(number) = text.strip_prefix("AS").or_else(|| text.strip_prefix("as"))
        && digits(number)
    {
        return told(format!("write `asn:{number}`"));
    }
    let file = [".txt", ".csv", ".list", ".lst", ".conf"];
    if !text.contains(':') && file.iter().any(|end| text.ends_with(end)) {
        return told(format!("a file is written `file:{text}`"));
    }
    if trouble.is_at(".deny") && ["all", "any", "*", "everyone"].contains(&text) {
        return told(
            "with an `allow`, everybody else is denied without saying so; everybody at all is `[0.0.0.0/0, \"::/0\"]`",
        );
    }
    None
}

/// What to say of a word under `store` that names no engine.
pub(in crate::config) fn store_word(word: &str) -> Option<String> {
    Some(match word {
        "redis" | "valkey" => {
            "an engine is named under `engines`: `engines: { shared: redis://10.0.0.5:6379 }`, and here `store: shared`".to_owned()
        }
        "memory" | "local" | "none" | "in_memory" => {
            "each Weir counts for itself when the key is left out".to_owned()
        }
        _ => return None,
    })
}
