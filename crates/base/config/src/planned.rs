//! What people look for and Weir does not have yet. To call it unknown, or to guess at another word, would send them looking
//! for a spelling that does not exist.

const TLS: &str = "TLS is not built yet: put something that terminates it in front";
const CACHE: &str = "caching is not built yet";
const AUTH: &str = "authentication is not built yet";
const RATE: &str = "rate limits are not built yet";
const SPLIT: &str =
    "splitting traffic is not built yet; a `weight` on each endpoint of a service comes near";
const STICKY: &str = "sticky sessions are not built yet";
const OUTLIERS: &str =
    "circuit breakers and outlier ejection are not built yet; `health` checks endpoints actively";
const PROTOCOL: &str = "this protocol is not built yet";
const COMPRESS: &str =
    "compression is not built yet; `files` can serve files that were compressed before";
const OTHER: &str = "this is not built yet";

/// Keys and words with what to say about them.
const PLANNED: [(&str, &str); 50] = [
    ("acme", TLS),
    ("auth", AUTH),
    ("authentication", AUTH),
    ("basic_auth", AUTH),
    ("breaker", OUTLIERS),
    ("cache", CACHE),
    ("caches", CACHE),
    ("canary", SPLIT),
    ("certificate", TLS),
    ("certificates", TLS),
    ("circuit_breaker", OUTLIERS),
    ("client_auth", TLS),
    ("compress", COMPRESS),
    ("compression", COMPRESS),
    ("consistent_hash", STICKY),
    ("cors", OTHER),
    ("defaults", OTHER),
    ("engines", OTHER),
    ("grpc", PROTOCOL),
    ("h2", PROTOCOL),
    ("h3", PROTOCOL),
    ("hash", STICKY),
    ("http2", PROTOCOL),
    ("http3", PROTOCOL),
    ("https", TLS),
    ("ip_hash", STICKY),
    ("jwt", AUTH),
    ("maglev", STICKY),
    ("mirror", OTHER),
    ("oidc", AUTH),
    ("outlier_detection", OUTLIERS),
    ("outliers", OUTLIERS),
    ("panic_below", OUTLIERS),
    ("per_ip", RATE),
    ("plugins", OTHER),
    ("policies", OTHER),
    ("policy", OTHER),
    ("proxy_protocol", PROTOCOL),
    ("quic", PROTOCOL),
    ("rate_limit", RATE),
    ("rate_limits", RATE),
    ("ring_hash", STICKY),
    ("slow_start", OTHER),
    ("sni", TLS),
    ("split", SPLIT),
    ("ssl", TLS),
    ("sticky", STICKY),
    ("tcp", PROTOCOL),
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
