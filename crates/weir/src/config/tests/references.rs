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
fn services_of_a_split_and_a_mirror_must_exist() {
    let text = "\
routes:
  - { path: /a, split: { stable: 95, canry: 5 } }
  - { path: /b, service: stable, mirror: { service: shadw, share: 10% } }
services:
  stable: [127.0.0.1:3001]
  canary: [127.0.0.1:3002]
  shadow: [127.0.0.1:3003]
";
    assert_eq!(
        told(text),
        "\
error: there is no service `canry`
 --> weir.yaml:2:38
  |
2 |   - { path: /a, split: { stable: 95, canry: 5 } }
  |                                      ^^^^^ did you mean `canary`?
  = at: routes[0].split.canry

error: there is no service `shadw`
 --> weir.yaml:3:53
  |
3 |   - { path: /b, service: stable, mirror: { service: shadw, share: 10% } }
  |                                                     ^^^^^ did you mean `shadow`?
  = at: routes[1].mirror.service
"
    );
    let used = text.replace("canry", "canary").replace("shadw", "shadow");
    let loaded = parse("weir.yaml", &used, &environment).expect("a config");
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
}

#[test]
fn copies_for_the_service_itself_are_warned_about() {
    let services = "services: { a: [127.0.0.1:3001], b: [127.0.0.1:3002], c: [127.0.0.1:3003] }";
    for (route, warned) in [
        ("service: a, mirror: a", true),
        (
            "split: { a: 1, b: 1 }, mirror: { service: b, share: 10% }",
            true,
        ),
        ("split: { a: 1, b: 1 }, mirror: c", false),
    ] {
        let text = format!(
            "routes: [{{ {route} }}, {{ path: /all, split: {{ a: 1, b: 1, c: 1 }} }}]\n{services}"
        );
        let loaded = parse("weir.yaml", &text, &environment).expect("a config");
        let told = loaded.warnings.to_string();
        assert_eq!(!told.is_empty(), warned, "{route}: {told}");
        assert_eq!(
            told.contains("gets the copies beside the requests"),
            warned,
            "{told}"
        );
    }
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
            "routes: [{ redirect: /a, mirror: b }]",
            "`mirror` says something only about a `service` or a `split`",
        ),
        (
            "routes: [{ respond: 200, priority: low }]",
            "`priority` says something only about a `service` or a `split`",
        ),
        (
            "routes: [{ files: ., deadline: x-ms }]",
            "`deadline` says something only about a `service` or a `split`",
        ),
        (
            "routes: [{ service: a, sticky: lane }]",
            "write it under the service `a`",
        ),
        (
            "routes: [{ respond: 200, sticky: lane }]",
            "`sticky` of a route says something only about a `split`",
        ),
        ("routes: [{ split: {} }]", "this splits among no service"),
        ("routes: [{ split: { a: 0 } }]", "no service has a share"),
        (
            "routes: [{ split: { a: 50%, b: 49.5% } }]",
            "these shares are 99.5% together",
        ),
        (
            "routes: [{ split: { a: 50%, b: 50 } }]",
            "weights and percentages cannot stand beside each other",
        ),
        (
            "routes: [{ split: { a: 1001 } }]",
            "expected a weight from 0 to 1000",
        ),
        (
            "routes: [{ split: { a: -1 } }]",
            "expected a weight from 0 to 1000",
        ),
        (
            "routes: [{ service: a, mirror: { service: b, max_body: 1GiB } }]",
            "`1GiB` is out of bounds",
        ),
        (
            "routes: [{ service: a, priority: urgent }]",
            "one of `high`, `normal`, `low`",
        ),
        (
            "routes: [{ service: a, priority: { header: 'a b' } }]",
            "expected the name of a header field",
        ),
        (
            "routes: [{ service: a, deadline: Host }]",
            "this one has a meaning of its own",
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
        "caches: {}",
        "listeners: { a: { address: ':1', tls: {} } }",
        "listeners: { a: { address: ':1', protocol: tcp } }",
        "listeners: { a: { address: ':1', http: { versions: [h2] } } }",
        "routes: [{ respond: 200, cache: 60s }]",
        "services: { a: { endpoints: ['b:1'], tls: {} } }",
    ] {
        let told = told(text);
        assert!(
            told.contains("unknown key") || told.contains("unknown word"),
            "{text}\n{told}"
        );
    }
}
