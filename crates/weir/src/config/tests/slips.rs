//! What a tired engineer writes leads to what to write instead, in one message.

use crate::process::{self, ConfigSource};

/// Everything that `weir check` says about a config.
pub(super) fn checked(text: &str) -> String {
    let source = ConfigSource::Text {
        name: "weir.yaml".to_owned(),
        text: text.to_owned(),
    };
    match process::compile(&source) {
        Ok(compiled) => compiled.warnings.to_string(),
        Err(problems) => problems.to_string(),
    }
}

const BASE: &str = "listeners: { web: \":8080\" }\nservices: { app: [127.0.0.1:3001] }\n";

/// A config with a route that says this beside its path and service.
fn route(said: &str) -> String {
    format!("{BASE}routes: [{{ path: /*, service: app, {said} }}]\n")
}

/// A config with one policy, which a route names.
fn policy(said: &str) -> String {
    format!(
        "{BASE}policies: {{ p: {said} }}\nroutes: [{{ path: /*, service: app, policies: p }}]\n"
    )
}

fn listener(said: &str) -> String {
    format!(
        "listeners: {{ web: {{ address: \":8080\", {said} }} }}\nroutes: [{{ respond: 200 }}]\n"
    )
}

fn service(said: &str) -> String {
    format!("services: {{ app: {said} }}\nroutes: [{{ service: app }}]\n")
}

fn lead(cases: &[(&str, &str)], whole: impl Fn(&str) -> String) {
    for (slip, part) in cases {
        let text = whole(slip);
        let told = checked(&text);
        assert!(told.contains(part), "{text}\n{told}");
        let places = told.matches(" --> weir.yaml:").count();
        let begins = |line: &&str| line.starts_with("error: ") || line.starts_with("warning: ");
        let problems = told.lines().filter(begins).count();
        assert!(problems > 0 && places == problems, "{text}\n{told}");
    }
}

#[test]
fn slips_about_who_is_asking() {
    let jwt = "write `auth: { jwt: { jwks: https://..., audience: ... } }`";
    lead(
        &[
            ("auth: jwt", jwt),
            (
                "auth: [basic]",
                "write `auth: { basic: { users: { ann: HASH } } }`",
            ),
            ("auth: true", "say how: `auth: { jwt:"),
            ("auth: required", "say how: `auth: { jwt:"),
            ("auth: bearer", "`auth: { jwt:"),
            ("auth: none", "`policies: none`"),
            ("auth: off", "`policies: none`"),
            ("auth: optional", "`auth: [NAME, anonymous]`"),
            ("require: { scopes: [a] }", "write `auth` beside it"),
            ("require: [a]", "`require: { scopes: [...] }`"),
            (
                "require: { scope: [a] }, auth: anonymous",
                "did you mean `scopes`?",
            ),
        ],
        route,
    );
    lead(
        &[
            (
                "{ jwt: { issuer: https://id.example.com/, audience: api } }",
                "which https://id.example.com/.well-known/openid-configuration names as `jwks_uri`: `jwks: https://...`",
            ),
            ("{ jwt: { audience: api } }", "`jwks: file:jwks.json`"),
            ("{ jwt: https://id.example.com }", "write `jwt: { jwks:"),
            ("{ jwt: true }", "write `jwt: { jwks:"),
            (
                "{ jwt: { jwks: jwks.json, audience: api } }",
                "`file:jwks.json`",
            ),
            (
                "{ jwt: { jwks_url: https://a.example, audience: api } }",
                "did you mean `jwks`?",
            ),
            (
                "{ jwt: { jwks: https://a.example, aud: api } }",
                "did you mean `audience`?",
            ),
            (
                "{ jwt: { discovery: https://a.example, audience: api } }",
                "`jwks_uri`",
            ),
            (
                "{ jwt: { jwks: https://a.example, audience: api, algorithms: HS256 } }",
                "write RS256 or ES256, or leave `algorithms` out",
            ),
            (
                "{ jwt: { jwks: https://a.example, audience: api, algorithms: none } }",
                "without a signature",
            ),
            (
                "{ jwt: { jwks: https://a.example, audience: api, scopes: [a] } }",
                "`require: { scopes: [...] }`",
            ),
            ("{ api_key: { keys: keys.yaml } }", "write `file:keys.yaml`"),
            (
                "{ api_key: x-api-key }",
                "`api_key: { keys: file:keys.yaml }`",
            ),
            ("{ api_key: { keys: { ann: hunter2 } } }", "`weir key new`"),
            ("{ api_key: { keys: [hunter2] } }", "`weir key new`"),
            (
                "{ api_key: { keys: [{ id: a, key: hunter2 }] } }",
                "`weir key hash`",
            ),
            (
                "{ api_key: { keys: [{ id: a, hash: hunter2 }] } }",
                "`weir key hash`",
            ),
            (
                "{ api_key: { keys: file:nowhere.yaml } }",
                "cannot read it: No such file",
            ),
            (
                "{ basic: { users: { ann: hunter2 } } }",
                "`weir key password`",
            ),
            ("{ basic: { ann: hunter2 } }", "`users: { ann: HASH }`"),
            (
                "{ basic: { users: ['ann:hunter2'] } }",
                "`weir key password`",
            ),
            (
                "{ basic: { file: .htpasswd } }",
                "users stand in the config",
            ),
            ("{ basic: file:.htpasswd }", "users stand in the config"),
            ("{ oidc: google }", "write `oidc: { issuer:"),
            (
                "{ oidc: { issuer: https://a.example, client_id: a } }",
                "`session_secrets: [file:session.key]`",
            ),
            (
                "{ introspection: https://a.example }",
                "write `introspection: { url:",
            ),
        ],
        policy,
    );
}

#[test]
fn no_message_repeats_what_is_probably_a_secret() {
    for said in [
        "{ api_key: { keys: { ann: hunter2 } } }",
        "{ api_key: { keys: [hunter2] } }",
        "{ api_key: { keys: [{ id: a, key: hunter2 }] } }",
        "{ api_key: { keys: [{ id: a, hash: hunter2 }] } }",
        "{ basic: { users: { ann: hunter2 } } }",
        "{ basic: { ann: hunter2 } }",
        "{ basic: hunter2 }",
        "{ jwt: hunter2 }",
        "{ jwt: { secrt: hunter2 } }",
        "{ jwt: { secret: { a: hunter2 } } }",
        "hunter2",
    ] {
        let told = checked(&policy(said));
        assert!(told.contains("error: "), "{said}");
        assert!(!told.contains("hunter2"), "{said}\n{told}");
    }
    let engine = "engines: { shared: 'redis://:hunter2@10.0.0.1' }\nroutes: [{ respond: 200 }]\n";
    let told = checked(engine);
    assert!(
        told.contains("password: file:") && !told.contains("hunter2"),
        "{told}"
    );
}

#[test]
fn slips_about_policies() {
    let none = "write `policies: none`";
    lead(
        &[
            ("policies: []", none),
            ("policies: false", none),
            ("policies: off", none),
            ("policies: null", none),
            (
                "policies: { rate_limit: 10/s }",
                "stands in the route itself",
            ),
            (
                "policies: rate_limit",
                "write `rate_limit: 100/min` in the route itself",
            ),
            ("cors: true", "`cors: https://app.example.com`"),
            (
                "cors: { origins: '*', credentials: true }",
                "`origins: [https://app.example.com]`",
            ),
            (
                "cors: { allow_origins: [https://a.example] }",
                "did you mean `origins`?",
            ),
            (
                "cors: { origins: https://a.example, methods: 'GET, POST' }",
                "write `[GET, POST]`",
            ),
            ("security_headers: { hsts: true }", "`hsts: 365d`"),
            ("transform: { set: { x-a: b } }", "`request: { set: ... }`"),
            (
                "transform: { request: { set: { x-a: 5 } } }",
                "put it in quotes: \"5\"",
            ),
            (
                "transform: { request: { set: { x-a: {request_id} } } }",
                "goes in quotes",
            ),
            (
                "transform: { request: { set: { x-a: $user } } }",
                "stands in braces",
            ),
            (
                "transform: { request: { add: ['x-a: b'] } }",
                "`add: { x-name: value }`",
            ),
            (
                "forward_auth: http://127.0.0.1:4180/verify",
                "write its name: `forward_auth: app`, and `services: { app: [127.0.0.1:4180] }`",
            ),
        ],
        route,
    );
    lead(
        &[
            ("policies: [{ rate_limit: 10/s }]", "give each a name"),
            (
                "policies: { rate_limit: 10/s }",
                "is what a policy says, not its name",
            ),
            ("rate_limit: 10/s", "`defaults: { policies: all }`"),
            ("policies: { a: { type: jwt } }", "the kind is the key"),
            ("policies: { a: { auth: jwt } }", "write the method itself"),
            ("policies: { a: { timeout: 5s } }", "is said in each route"),
            ("firewall: { rules: [] }", "rules look at requests"),
            (
                "defaults: { rate_limit: 10/s }",
                "`defaults: { policies: all }`",
            ),
        ],
        |said| format!("{said}\nroutes: [{{ respond: 200 }}]\n"),
    );
}

#[test]
fn slips_about_limits_and_lists() {
    lead(
        &[
            ("rate_limit: 100", "`100/s`, `100/min`"),
            ("rate_limit: 100/minute", "write `100/min`"),
            ("rate_limit: off", "leave the key out"),
            ("rate_limit: per_ip", "`policies: per_ip`"),
            ("rate_limit: { requests: 100/s }", "did you mean `limits`?"),
            (
                "rate_limit: { limits: 100/s, window: 1m }",
                "the time is a part of the limit",
            ),
            (
                "rate_limit: { limits: 100/s, by: ip }",
                "did you mean `key`?",
            ),
            (
                "rate_limit: { limits: 10/s, key: ip_address }",
                "write `ip`",
            ),
            (
                "rate_limit: { limits: 10/s, key: [header] }",
                "which one: `header NAME`",
            ),
            (
                "rate_limit: { limits: 10/s, key: x-tenant }",
                "write `header x-tenant`",
            ),
            (
                "rate_limit: { limits: 10/s, key: { header: x-user } }",
                "write `header x-user`",
            ),
            (
                "rate_limit: { limits: 10/s, key: 'claim:org' }",
                "write `claim org`",
            ),
            (
                "rate_limit: { limits: 10/s, key: http_x_user }",
                "write `header x-user`",
            ),
            (
                "rate_limit: { limits: 10/s, key: global }",
                "write `everyone`",
            ),
            (
                "rate_limit: { limits: 10/s, algorithm: gcra }",
                "did you mean `smooth`?",
            ),
            (
                "rate_limit: { limits: 10/s, store: redis }",
                "`engines: { shared: redis://10.0.0.5:6379 }`",
            ),
            (
                "rate_limit: { limits: 10/s, store: 'redis://a:1' }",
                "here `store: shared`",
            ),
            (
                "rate_limit: { limits: 10/s, store: memory }",
                "when the key is left out",
            ),
            ("rate_limit: { limits: 10/s, dry_run: yes }", "write `true`"),
            (
                "rate_limit: { limits: 10/s, key: 'ip, route' }",
                "write `[ip, route]`",
            ),
            (
                "rate_limit: { limits: 10/s, key: ip+route }",
                "write `[ip, route]`",
            ),
            (
                "rate_limit: { limits: 10/s, headers: false }",
                "write `off`",
            ),
            ("rate_limit: { limits: 10/s, headers: true }", "`standard`"),
            (
                "rate_limit: { limits: 10/s, store: true }",
                "here `store: shared`",
            ),
            (
                "rate_limit: { limits: 10/s, plans: [gold: 1/s] }",
                "`plans: { gold: 100/s }`",
            ),
            (
                "firewall: { deny: '10.0.0.1, 10.0.0.2' }",
                "write `[10.0.0.1, 10.0.0.2]`",
            ),
            (
                "firewall: { rules: [{ deny: { ip: 10.0.0.1 } }] }",
                "`from: [",
            ),
            (
                "firewall: { rules: [{ deny: { user_agent: bot } }] }",
                "`headers: { user-agent: ~bot }`",
            ),
            ("firewall: { deny: 10.0.0.1/33 }", "from 0 to 32"),
            ("firewall: { deny: country:Switzerland }", "`country:CH`"),
            ("firewall: { deny: ch }", "write `country:CH`"),
            (
                "firewall: { deny: { country: CH } }",
                "write `country:CH`, without a space",
            ),
            (
                "firewall: { deny: [country: CH] }",
                "write `country:CH`, without a space",
            ),
            ("firewall: { deny: AS64500 }", "write `asn:64500`"),
            ("firewall: { deny: deny.txt }", "`file:deny.txt`"),
            (
                "firewall: { deny: all, allow: 10.0.0.0/8 }",
                "with an `allow`",
            ),
            ("firewall: { deny: '10.0.*.*' }", "write `10.0.0.0/16`"),
            (
                "firewall: { deny: 10.0.0.0-10.0.0.255 }",
                "write `10.0.0.0/24`",
            ),
            (
                "firewall: { deny: 10.0.0.0/255.0.0.0 }",
                "write `10.0.0.0/8`",
            ),
            ("firewall: { allow: private }", "`192.168.0.0/16`"),
            ("firewall: { block: 10.0.0.1 }", "did you mean `deny`?"),
            (
                "firewall: 10.0.0.0/8",
                "`firewall: { allow: [10.0.0.0/8] }`",
            ),
            (
                "firewall: { rules: { deny: /a } }",
                "`rules: [{ deny: /admin/* }]`",
            ),
            (
                "firewall: { rules: [{ path: /a, action: deny }] }",
                "`{ deny: { path: /admin/* } }`",
            ),
        ],
        route,
    );
    lead(
        &[
            ("{ shared: 10.0.0.1:6379 }", "write `redis://10.0.0.1:6379`"),
            (
                "{ shared: { url: redis://10.0.0.1 } }",
                "did you mean `redis`?",
            ),
            (
                "{ shared: { type: redis, redis: redis://10.0.0.1 } }",
                "leave it out",
            ),
        ],
        |said| format!("engines: {said}\nroutes: [{{ respond: 200 }}]\n"),
    );
    let short = "engines: { shared: redis://10.0.0.1:6379 }\n";
    let limit = "rate_limit: { limits: 10/s, store: shared }";
    assert_eq!(checked(&format!("{short}{}", route(limit))), "");
}

#[test]
fn slips_about_routes() {
    lead(
        &[
            (
                "service: 127.0.0.1:3001",
                "`services: { app: [127.0.0.1:3001] }`",
            ),
            (
                "service: http://a.internal:80/x",
                "`services: { app: [a.internal:80] }`",
            ),
            (
                "proxy_pass: http://a.internal:80/x",
                "did you mean `service`?",
            ),
            ("service: [app, b]", "`split: { a: 90, b: 10 }`"),
            ("service: { name: app }", "write its name"),
            ("upstream: app", "did you mean `service`?"),
            ("redirect: 301", "`redirect: { to: /new, status: 301 }`"),
            ("redirect: { url: /b }", "did you mean `to`?"),
            ("redirect: {rest}", "`redirect: '/{rest}'`"),
            ("respond: pong", "`respond: { body: \"pong\" }`"),
            ("respond: { code: 200 }", "did you mean `status`?"),
            ("respond: { body: { ok: true } }", "write it as a text"),
            ("split: [app]", "give each its share"),
            ("root: ./public", "`files: ./public`"),
        ],
        |said| format!("{BASE}routes: [{{ path: /a, {said} }}]\n"),
    );
    lead(
        &[
            ("path: /users/:id", "a parameter is written `{id}`"),
            ("path: [/a, /b]", "one route for each"),
            ("paths: [/a, /b]", "one route for each"),
            ("prefix: /a", "`path: /api/*`"),
            ("methods: GET|POST", "write `[GET, POST]`"),
            ("methods: 'GET,POST'", "write `[GET, POST]`"),
            ("websocket: true", "leave it out"),
            ("path: /a/*, rewrite: /$1", "`$` stands for itself"),
            ("path: “/a”", "typographic quotes"),
            ("timeout: 5sec", "write `5s`"),
            ("max_body: 5M", "write `5MiB` or `5MB`"),
            ("retries: off", "`retries: 0`"),
        ],
        |said| format!("{BASE}routes: [{{ service: app, {said} }}]\n"),
    );
    lead(
        &[
            ("{ /a: app }", "`routes: [{ path: /a, service: app }]`"),
            ("[app]", "write `{ path: /a, service: app }`"),
            ("[{ /a: app }]", "write `{ path: /a, service:"),
            (
                "[{ path: /a/{id}, service: app }]",
                "goes in quotes: '/a/{id}'",
            ),
        ],
        |said| format!("{BASE}routes: {said}\n"),
    );
}

#[test]
fn slips_about_listeners_services_and_the_process() {
    lead(
        &[
            (
                "proxy_protocol: true",
                "`proxy_protocol: { from: [10.0.0.0/8] }`",
            ),
            (
                "proxy_protocol: [10.0.0.0/8]",
                "`proxy_protocol: { from: [10.0.0.0/8] }`",
            ),
            ("trusted_proxies: [10.0.0.0/8]", "`http: {"),
            (
                "http: { trusted_proxies: [10.0.0.0/8] }",
                "`forwarded: { trusted: [10.0.0.0/8] }`",
            ),
        ],
        listener,
    );
    lead(
        &[
            ("127.0.0.1:3001", "write `[127.0.0.1:3001]`"),
            ("['http://127.0.0.1:3001']", "write `127.0.0.1:3001`"),
            ("[':3001']", "write `127.0.0.1:3001`"),
            ("{ servers: [127.0.0.1:3001] }", "did you mean `endpoints`?"),
            ("{ address: 127.0.0.1:3001 }", "did you mean `endpoints`?"),
            ("{ endpoints: ['a:1'], health: true }", "`health: /healthz`"),
            (
                "{ endpoints: ['a:1'], health: { path: /h } }",
                "`http: /healthz`",
            ),
            (
                "{ endpoints: ['a:1'], healthcheck: /h }",
                "did you mean `health`?",
            ),
            (
                "{ endpoints: ['a:1'], balance: least_conn }",
                "did you mean `least_connections`?",
            ),
            ("{ endpoints: ['a:1'], sticky: true }", "`sticky: lb`"),
            ("{ endpoints: ['a:1'], breaker: true }", "write `{}`"),
            ("{ endpoints: ['a:1'], outliers: false }", "write `off`"),
            (
                "{ endpoints: ['a:1'], breaker: false }",
                "leave the key out",
            ),
            (
                "{ endpoints: ['a:1'], limits: 100 }",
                "`limits: { requests: 100 }`",
            ),
            (
                "{ endpoints: ['a:1'], slow_start: true }",
                "`slow_start: 30s`",
            ),
        ],
        service,
    );
    lead(
        &[
            ("listeners: [':8080']", "`listeners: { web: \":8080\" }`"),
            (
                "listeners: { web: 'http://0.0.0.0:8080' }",
                "leave out the scheme",
            ),
            ("listeners:\n  web:\":8080\"", "a space follows the colon"),
            (
                "services: [{ name: app }]",
                "`services: { app: [127.0.0.1:3001] }`",
            ),
            ("port: 8080", "`listeners: { web: \":8080\" }`"),
            ("redis: redis://a", "`engines: { shared:"),
            ("admin: true", "`admin: 127.0.0.1:9900`"),
            ("log: debug", "`log: { level: debug }`"),
            ("admin: { port: 9900 }", "`address: 127.0.0.1:9900`"),
            ("metrics: ':9090'", "/metrics"),
            ("access_log: a", "`log: { access:"),
            ("listeners: { web: { port: 80 } }", "`address: \":8080\"`"),
            ("log: { file: a.log }", "`access: /var/log/weir/access.log`"),
        ],
        |said| format!("{said}\nroutes: [{{ respond: 200 }}]\n"),
    );
}
