//! Keys of other programs, or at another place than where they belong.

use weir_config::{Advice, Trouble};

use super::{KINDS, example, told};

/// Keys by where they stand, with what to write instead.
const KEYS: [(&str, &[&str], &str); 38] = [
    (
        "*",
        &[
            "port",
            "listen",
            "bind",
            "server",
            "servers",
            "entrypoints",
            "frontend",
        ],
        "where Weir takes connections in is under `listeners`: `listeners: { web: \":8080\" }`",
    ),
    (
        "*",
        &["redis", "store", "stores"],
        "systems that several Weirs share are under `engines`: `engines: { shared: redis://10.0.0.5:6379 }`",
    ),
    (
        "*",
        &["http", "stream", "global", "static_resources"],
        "at the top stand `listeners`, `routes`, `services` and `policies`",
    ),
    (
        "*",
        &["timeout", "timeouts", "retries", "retry"],
        "how long a service may take is said in each route: `{ path: /*, service: app, timeout: 5s }`",
    ),
    (
        "log.*",
        &["file", "path", "output"],
        "the access log goes to `access: /var/log/weir/access.log`, events go to standard error",
    ),
    (
        "engines.*.*",
        &["type", "kind", "driver"],
        "leave it out: the key `redis` says what it is, `redis: redis://10.0.0.5:6379`",
    ),
    (
        "*",
        &["access_log", "error_log"],
        "the access log goes to `log: { access: /var/log/weir/access.log }`, events go to standard error",
    ),
    (
        "admin.*",
        &["port", "host", "ip", "listen"],
        "write `address: 127.0.0.1:9900`",
    ),
    (
        "firewall.*",
        &["rules"],
        "rules look at requests: they stand in the `firewall` of a policy, a route or a listener",
    ),
    (
        "policies.*.*",
        &["type", "kind"],
        "the kind is the key: `{ rate_limit: 100/min }`, `{ jwt: { jwks: https://..., audience: api } }`",
    ),
    (
        "policies.*.*",
        &["auth", "authentication"],
        "write the method itself, `{ jwt: { ... } }`; routes name the policy by `auth`",
    ),
    (
        "policies.*.*",
        &["timeout", "timeouts", "retries", "retry"],
        "how long a service may take is said in each route: `{ path: /*, service: app, timeout: 5s }`",
    ),
    (
        "services.*.*",
        &["timeout", "timeouts", "retries", "retry"],
        "how long a service may take is said in each route: `{ path: /*, service: app, timeout: 5s }`",
    ),
    (
        "services.*.*",
        &["max_connections", "max_conns", "max_requests"],
        "write `limits: { connections: 100 }` at one endpoint, or `requests` at all",
    ),
    (
        "services.*.endpoints.*",
        &["host", "port", "ip"],
        "write `address: 10.0.0.1:8000`",
    ),
    (
        "listeners.*.*",
        &["host", "port", "ip"],
        "write `address: \":8080\"`",
    ),
    (
        ".deny.*",
        &["ip", "ips", "cidr", "country", "source"],
        "who sends it is `from: [10.0.0.0/8, \"country:CH\"]`",
    ),
    (
        ".deny.*",
        &["user_agent", "ua", "agent", "cookie"],
        "write `headers: { user-agent: ~bot }`",
    ),
    (
        ".forward_auth.*",
        &["response_headers", "copy_headers", "auth_response_headers"],
        "fields of its answer that the endpoint gets are `headers: [x-user]`",
    ),
    (
        ".transform.*.*",
        &["headers"],
        "say what is changed about them: `set`, `add`, `remove` or `rename`",
    ),
    (
        "defaults.*",
        &["timeout", "timeouts", "retries", "retry"],
        "how long a service may take is said in each route: `{ path: /*, service: app, timeout: 5s }`",
    ),
    (
        "routes.*",
        &["websocket", "websockets", "upgrade"],
        "leave it out: upgrades, and so WebSockets, pass without being turned on",
    ),
    (
        "routes.*",
        &["path_prefix", "prefix"],
        "a prefix is a path with a star: `path: /api/*`",
    ),
    (
        "routes.*",
        &["paths"],
        "a route has one `path`: write one route for each",
    ),
    (
        "routes.*",
        &["root", "static", "alias"],
        "files are served by `files: ./public`, or `files: { root: ./public }`",
    ),
    (
        "routes.*",
        &["strip_prefix", "strip_path"],
        "with `path: /api/*`, `rewrite: '/{rest}'` takes the prefix away",
    ),
    (
        "routes.*",
        &["ip_restriction", "allow", "deny"],
        "write `firewall: { allow: [10.0.0.0/8] }`, or `deny`",
    ),
    (
        "routes.*",
        &["set_headers", "add_headers", "request_headers"],
        "write `transform: { request: { set: { x-env: prod } } }`",
    ),
    (
        "routes.*",
        &["response_headers"],
        "write `transform: { response: { set: { x-env: prod } } }`",
    ),
    (
        "listeners.*.*",
        &[
            "timeout",
            "timeouts",
            "forwarded",
            "trusted_proxies",
            "trust",
            "trusted",
            "max_body",
        ],
        "how HTTP is spoken is under `http`, such as `http: { idle_timeout: 75s, max_body: 10MiB, forwarded: { trusted: [10.0.0.0/8] } }`",
    ),
    (
        "listeners.*.http.*",
        &["trust", "trusted", "trusted_proxies", "real_ip"],
        "proxies that are believed are named in `forwarded: { trusted: [10.0.0.0/8] }`",
    ),
    (
        "services.*.health.*",
        &["path", "uri", "url"],
        "write `http: /healthz`, or `http: { path: /healthz, expect: 200-399 }`",
    ),
    (
        ".rate_limit.*",
        &["per", "window", "period", "interval", "unit"],
        "the time is a part of the limit: `limits: 100/min`",
    ),
    (
        ".firewall.rules.*",
        &["action", "path", "if", "when", "then"],
        "a rule says what it does first: `{ deny: { path: /admin/* } }`",
    ),
    (
        ".transform.*",
        &["set", "add", "remove", "rename", "headers"],
        "say of which: `request: { set: ... }` or `response: { set: ... }`",
    ),
    (
        ".basic.*",
        &["file", "htpasswd", "users_file"],
        "users stand in the config: `users: { ann: HASH }`; `weir key password` makes a hash",
    ),
    (
        ".jwt.*",
        &[
            "discovery",
            "openid_configuration",
            "public_key",
            "key",
            "keys",
            "pem",
            "certificate",
        ],
        "public keys come as a JWK set: `jwks: https://...` (a provider names it as `jwks_uri` in ISSUER/.well-known/openid-configuration), or `jwks: file:jwks.json`",
    ),
    (
        ".api_key.keys.*",
        &["key", "value", "secret", "token"],
        "Weir keeps no keys, but their hashes: `weir key new` makes a key with its entry, `weir key hash` the hash of one that exists",
    ),
];

pub(super) fn advice(trouble: &Trouble<'_>) -> Option<Advice> {
    let key = trouble.key();
    if let Some((.., help)) = KEYS
        .iter()
        .find(|(place, keys, _)| trouble.is_at(place) && keys.contains(&key))
    {
        let advice = Advice::new(*help);
        let secret = trouble.is_at(".api_key.keys.*");
        return Some(if secret { advice.hidden() } else { advice });
    }
    if KINDS.contains(&key) && (trouble.is_at("*") || trouble.is_at("defaults.*")) {
        let example = example(key);
        return told(format!(
            "give it a name and use it everywhere: `policies: {{ all: {{ {example} }} }}` and `defaults: {{ policies: all }}`"
        ));
    }
    if trouble.is_at("routes.*") && key.starts_with('/') {
        return told(match trouble.text() {
            Some(service) => format!("write `{{ path: {key}, service: {service} }}`"),
            None => format!("write `{{ path: {key}, service: ... }}`"),
        });
    }
    if trouble.is_at(".basic.*") && trouble.is_scalar() {
        return told(format!(
            "users stand under `users`: `users: {{ {key}: HASH }}`; `weir key password` makes a hash"
        ));
    }
    None
}
