//! What other programs call things: known words that no count of letters would lead to.

/// Words of other programs, with what Weir calls it. A word may stand for several things, of which the one counts that is known
/// at its place.
const SYNONYMS: [(&str, &[&str]); 89] = [
    ("addr", &["address", "endpoints", "redis"]),
    ("address", &["endpoints", "redis"]),
    ("algo", &["algorithm", "algorithms"]),
    ("allow_credentials", &["credentials"]),
    ("allow_headers", &["headers"]),
    ("allow_methods", &["methods"]),
    ("allow_origin", &["origins"]),
    ("allow_origins", &["origins"]),
    ("allowed_headers", &["headers"]),
    ("allowed_methods", &["methods"]),
    ("allowed_origins", &["origins"]),
    ("allowlist", &["allow"]),
    ("apikey", &["api_key"]),
    ("aud", &["audience"]),
    ("backend", &["service"]),
    ("backends", &["services", "endpoints"]),
    ("bind", &["address", "listeners"]),
    ("blacklist", &["deny"]),
    ("block", &["deny"]),
    ("blocklist", &["deny"]),
    ("by", &["key"]),
    ("clusters", &["services"]),
    ("code", &["status"]),
    ("content", &["body"]),
    ("content_type_options", &["no_sniff"]),
    ("count", &["attempts"]),
    ("csp", &["content_security_policy"]),
    ("denylist", &["deny"]),
    ("destination", &["to", "service"]),
    ("dir", &["root"]),
    ("directory", &["root"]),
    ("domain", &["host"]),
    ("domains", &["host"]),
    ("expose_headers", &["expose"]),
    ("frame_options", &["frames"]),
    ("gcra", &["smooth"]),
    ("health_check", &["health"]),
    ("healthcheck", &["health"]),
    ("hosts", &["host", "endpoints"]),
    ("instances", &["endpoints"]),
    ("iss", &["issuer"]),
    ("jwks_uri", &["jwks"]),
    ("jwks_url", &["jwks"]),
    ("keys_file", &["keys"]),
    ("lb", &["balance"]),
    ("leaky_bucket", &["smooth"]),
    ("least_conn", &["least_connections"]),
    ("leastconn", &["least_connections"]),
    ("limit", &["limits", "rate_limit"]),
    ("listen", &["address", "listeners"]),
    ("load_balancing", &["balance"]),
    ("location", &["path", "to"]),
    ("logging", &["log"]),
    ("logs", &["log"]),
    ("match", &["path"]),
    ("max_retries", &["retries"]),
    ("middlewares", &["policies"]),
    ("nodes", &["endpoints"]),
    ("path_prefix", &["path"]),
    ("percent", &["share"]),
    ("percentage", &["share"]),
    ("prefix", &["path"]),
    ("proxy_pass", &["service"]),
    ("rate", &["limits", "rate_limit"]),
    ("referrer_policy", &["referrer"]),
    ("request_headers", &["request"]),
    ("requests", &["limits"]),
    ("response_headers", &["response"]),
    ("retry", &["retries"]),
    ("rr", &["round_robin"]),
    ("servers", &["endpoints"]),
    ("static", &["files"]),
    ("status", &["expect"]),
    ("status_code", &["status"]),
    ("strategy", &["balance"]),
    ("target", &["to", "service"]),
    ("targets", &["endpoints"]),
    ("text", &["body"]),
    ("to", &["service"]),
    ("trace", &["debug"]),
    ("tries", &["attempts"]),
    ("trusted_proxies", &["trusted"]),
    ("upstream", &["service"]),
    ("upstreams", &["services", "endpoints"]),
    ("uri", &["to", "path", "redis", "url"]),
    (
        "url",
        &["to", "endpoints", "redis", "jwks", "service", "address"],
    ),
    ("warning", &["warn"]),
    ("whitelist", &["allow"]),
    ("x_frame_options", &["frames"]),
];

/// What Weir calls it, if that is one of the words that are known.
pub(crate) fn synonym<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    let lower = word.to_ascii_lowercase();
    let at = SYNONYMS
        .binary_search_by_key(&lower.as_str(), |(word, _)| word)
        .ok()?;
    let meant = SYNONYMS[at].1.iter();
    meant
        .filter_map(|meant| known.clone().into_iter().find(|known| known == meant))
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found() {
        for (word, meant) in SYNONYMS {
            assert_eq!(
                synonym(word, meant.iter().copied()),
                Some(meant[0]),
                "{word}: are they sorted?"
            );
        }
    }

    #[test]
    fn what_a_word_means_depends_on_what_is_known() {
        assert_eq!(synonym("upstreams", ["endpoints"]), Some("endpoints"));
        assert_eq!(synonym("Upstreams", ["a", "services"]), Some("services"));
        assert_eq!(synonym("upstreams", ["a"]), None);
        assert_eq!(synonym("downstreams", ["services"]), None);
    }
}
