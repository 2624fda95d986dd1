//! What people look for and Weir does not have yet. To call it unknown, or to guess at another word, would send them looking
//! for a spelling that does not exist.

const TLS: &str = "TLS is not built yet: put something that terminates it in front";
const CACHE: &str = "caching is not built yet";
const AUTH: &str =
    "ways to know who is asking are policies: `api_key`, `basic`, `jwt`, `introspection`, `oidc`";
const RATE: &str = "a rate limit is written `rate_limit: 100/min`, in a route or in a policy";
const SPLIT: &str =
    "a canary is one of the services of a route's `split`, such as `{ stable: 95, canary: 5 }`";
const HASH: &str = "a consistent hash is written `balance: { hash: { on: header x-user } }`";
const OUTLIERS: &str =
    "circuit breakers are `breaker`, ejection is `outliers`, both under a service";
const PROTOCOL: &str = "this protocol is not built yet";
const COMPRESS: &str =
    "compression is not built yet; `files` can serve files that were compressed before";
const OTHER: &str = "this is not built yet";

/// Keys and words with what to say about them.
const PLANNED: [(&str, &str); 31] = [
    ("acme", TLS),
    ("authentication", AUTH),
    ("basic_auth", AUTH),
    ("cache", CACHE),
    ("caches", CACHE),
    ("canary", SPLIT),
    ("certificate", TLS),
    ("certificates", TLS),
    ("circuit_breaker", OUTLIERS),
    ("client_auth", TLS),
    ("compress", COMPRESS),
    ("compression", COMPRESS),
    ("consistent_hash", HASH),
    ("h2", PROTOCOL),
    ("h3", PROTOCOL),
    ("http2", PROTOCOL),
    ("http3", PROTOCOL),
    ("https", TLS),
    ("limit_req", RATE),
    ("outlier_detection", OUTLIERS),
    ("plugins", OTHER),
    ("quic", PROTOCOL),
    ("rate_limits", RATE),
    ("ratelimit", RATE),
    ("ring_hash", HASH),
    ("sni", TLS),
    ("ssl", TLS),
    ("tcp", PROTOCOL),
    ("throttle", RATE),
    ("tls", TLS),
    ("udp", PROTOCOL),
];

/// What to say about a word that is not known, if it is only early.
pub(crate) fn planned(word: &str) -> Option<&'static str> {
    let found = PLANNED.binary_search_by_key(&word, |(word, _)| word);
    found.ok().map(|at| PLANNED[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found() {
        for (word, help) in PLANNED {
            assert_eq!(planned(word), Some(help), "{word}: are they sorted?");
        }
        assert_eq!(planned("tlss"), None);
    }
}
