//! Names that must exist, addresses that must be free, and what goes together.

use super::super::parse;
use super::{environment, told};

#[test]
fn names_that_do_not_exist_are_told_with_the_nearest() {
    let text = "\
listeners: { web: \":8080\" }
routes:
  - { service: user, listeners: [web, wep] }
  - { service: other }
services:
  users: [127.0.0.1:3001]
";
    assert_eq!(
        told(text),
        "\
error: there is no service `user`
 --> weir.yaml:3:16
  |
3 |   - { service: user, listeners: [web, wep] }
  |                ^^^^ did you mean `users`?
  = at: routes[0].service

error: there is no listener `wep`
 --> weir.yaml:3:39
  |
3 |   - { service: user, listeners: [web, wep] }
  |                                       ^^^ did you mean `web`?
  = at: routes[0].listeners[1]

error: there is no service `other`
 --> weir.yaml:4:16
  |
4 |   - { service: other }
  |                ^^^^^
  = at: routes[1].service
  = expected: one of `users`
"
    );
}

#[test]
fn a_service_that_nobody_uses_is_told_when_all_else_is_well() {
    let routes = "routes: [{ path: /*, respond: 200 }";
    let services = "services: { users: [127.0.0.1:3001] }\n";
    let warned = parse("weir.yaml", &format!("{routes}]\n{services}"), &environment)
        .expect("a config")
        .warnings
        .to_string();
    assert!(
        warned.contains("no route leads to the service `users`"),
        "{warned}"
    );
    let told = told(&format!(
        "{routes}, {{ path: /a, servce: users }}]\n{services}"
    ));
    assert!(!told.contains("no route leads"), "{told}");
}

#[test]
fn what_is_broken_is_not_told_to_be_missing() {
    let told = told(
        "services: { users: [5], shop: 5 }\nroutes: [{ service: users }, { service: shop }, { service: no }]\nlisteners: 5",
    );
    assert_eq!(told.matches("error:").count(), 4, "{told}");
    assert!(told.contains("there is no service `no`"), "{told}");
}

#[test]
fn an_address_is_taken_once() {
    for (text, message) in [
        (
            "listeners: { a: ':80', b: 127.0.0.1:80 }",
            "the listener `a` takes `:80` and the listener `b` `127.0.0.1:80`: only one can",
        ),
        (
            "listeners: { a: 127.0.0.1:9900 }",
            "the listener `a` takes `127.0.0.1:9900` and the admin API `127.0.0.1:9900`: only one can",
        ),
        (
            "admin: 127.0.0.1:8080",
            "the listener `web` takes `:8080` and the admin API `127.0.0.1:8080`: only one can",
        ),
    ] {
        let told = told(text);
        assert!(told.contains(message), "{told}");
        assert_eq!(told.matches("error:").count(), 1, "{told}");
    }
    let apart = "listeners: { a: 127.0.0.1:80, b: 127.0.0.2:80, c: ':0', d: ':0' }\nadmin: off";
    assert!(parse("weir.yaml", apart, &environment).is_ok());
}

#[test]
fn what_does_not_go_together_is_told() {
    for (text, message) in [
        ("listeners: {}", "there is no listener"),
        ("routes: [{ path: /a }]", "a key is missing"),
        (
            "routes: [{ service: a, redirect: /b }]",
            "`redirect` cannot stand beside `service`",
        ),
        (
            "routes: [{ respond: 200, rewrite: /b }]",
            "`rewrite` says something only about a `service`",
        ),
        (
            "routes: [{ respond: 200, timeout: 1s }]",
            "`timeout` says something only about a `service`",
        ),
        (
            "routes: [{ files: ., retries: 1 }]",
            "`retries` says something only about a `service`",
        ),
        (
            "routes: [{ respond: { status: 204, body: x } }]",
            "an answer with status 204 has no body",
        ),
        (
            "routes: [{ respond: { headers: { Content-Length: '5' } } }]",
            "Weir sets `content-length` itself",
        ),
        (
            "routes: [{ respond: { headers: { 'a b': '5' } } }]",
            "this is not the name of a header field",
        ),
        (
            "routes: [{ respond: { headers: { a: \"x\\r\\nb: c\" } } }]",
            "expected the value of a header field",
        ),
        (
            "routes: [{ redirect: { to: /a, status: 200 } }]",
            "200 is not the status of a redirect",
        ),
        (
            "routes: [{ files: { root: ., index: ../x } }]",
            "a name only, without a folder",
        ),
        ("services: { a: [] }", "this service has no endpoint"),
        (
            "services: { a: ['b:1', 'B:1'] }",
            "this endpoint stands here twice",
        ),
        (
            "services: { a: [{ dns: '10.0.0.1:1' }] }",
            "`10.0.0.1:1` is an address, not a name",
        ),
        ("services: { a: [{ weight: 2 }] }", "a key is missing"),
        (
            "services: { a: { endpoints: ['b:1'], health: { tcp: false } } }",
            "this can only be `true`",
        ),
        (
            "services: { a: { endpoints: ['b:1'], health: up } }",
            "this is not a path",
        ),
        (
            "services: { a: { endpoints: ['b:1'], health: { interval: 1s } } }",
            "a key is missing",
        ),
        (
            "admin: 0.0.0.0:9900",
            "the admin API on `0.0.0.0:9900` needs a token",
        ),
        ("admin: ':9900'", "the admin API on `:9900` needs a token"),
        (
            "listeners: { a: { address: ':1', http: { max_head: 1KiB, max_target: 2KiB } } }",
            "may not be larger than all of it",
        ),
        (
            "listeners: { a: { address: ':1', http: { max_head: 1GiB } } }",
            "`1GiB` is out of bounds",
        ),
        (
            "listeners: { a: { address: ':1', protocol: https } }",
            "unknown word: `https`",
        ),
    ] {
        let told = told(text);
        assert!(told.contains(message), "{text}\n{told}");
    }
}

#[test]
fn what_is_not_built_is_not_taken() {
    for text in [
        "engines: {}",
        "policies: {}",
        "defaults: {}",
        "caches: {}",
        "firewall: { deny: [] }",
        "listeners: { a: { address: ':1', tls: {} } }",
        "listeners: { a: { address: ':1', protocol: tcp } }",
        "listeners: { a: { address: ':1', proxy_protocol: {} } }",
        "listeners: { a: { address: ':1', http: { versions: [h2] } } }",
        "routes: [{ respond: 200, rate_limit: 1/s }]",
        "routes: [{ respond: 200, auth: a }]",
        "routes: [{ respond: 200, cache: 60s }]",
        "routes: [{ split: {} }]",
        "services: { a: { endpoints: ['b:1'], tls: {} } }",
        "services: { a: { endpoints: ['b:1'], breaker: {} } }",
        "services: { a: { endpoints: ['b:1'], balance: ip_hash } }",
        "services: { a: [{ srv: 'b:1' }] }",
        "routes: [{ service: a, retries: { on: [5xx] } }]",
    ] {
        let told = told(text);
        assert!(
            told.contains("unknown key") || told.contains("unknown word"),
            "{text}\n{told}"
        );
    }
}
