//! The examples that users begin with.

use std::path::{Path, PathBuf};
use std::time::Duration as Time;

use weir_config::{Decode, OrOff, Within};
use weir_http::Action;
use weir_service::{Balance, Target};

use super::super::Config;
use super::{environment, good};

fn example(name: &str) -> PathBuf {
    Path::new(EXAMPLES).join(name)
}

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");

#[test]
fn the_example_in_yaml_and_json_is_one() {
    let read = |name: &str| match super::super::read(&example(name), &environment).checked() {
        Ok(loaded) => {
            assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
            loaded.value
        }
        Err(problems) => panic!("{problems}"),
    };
    assert_eq!(read("weir.yaml"), read("weir.json"));
}

#[test]
fn what_is_written_reads_back() {
    let text = std::fs::read_to_string(example("weir.yaml")).expect("the example");
    let config = good(&text);
    let mut long = config.to_json();
    // A secret is not written.
    assert_eq!(long["admin"]["token"], "***");
    long["admin"]["token"] = "only-for-trying".into();
    assert_eq!(good(&long.to_string()), config);
}

#[test]
fn nothing_is_a_config_too() {
    let config = good("");
    let (name, web) = config.listeners.iter().next().expect("a listener");
    assert_eq!(
        (name.as_str(), web.address.to_string().as_str()),
        ("web", ":8080")
    );
    assert!(config.routes.is_empty() && config.services.is_empty());
    assert_eq!(config.shutdown.drain.get(), Time::from_secs(30));
    let written = Config::to_json(&config);
    assert_eq!(good(&written.to_string()), config);
    assert_eq!(
        good("listeners:\n  web: ':8080'\nroutes:\nservices:\n"),
        config
    );
}

#[test]
fn short_forms_mean_their_long_forms() {
    for (short, long) in [
        ("admin: 127.0.0.1:1", "admin: { address: 127.0.0.1:1 }"),
        ("shutdown: 5s", "shutdown: { drain: 5s }"),
        ("listeners: { a: ':1' }", "listeners: { a: { address: ':1', protocol: http } }"),
        ("services: { a: ['h:1'] }", "services: { a: { endpoints: [{ address: 'h:1', weight: 1 }] } }"),
        (
            "services: { a: { endpoints: ['h:1'], health: /up } }",
            "services: { a: { endpoints: ['h:1'], health: { http: { path: /up, expect: 200-399 }, interval: 5s } } }",
        ),
        ("routes: [{ host: a, respond: 204 }]", "routes: [{ host: [a], respond: { status: 204 } }]"),
        ("routes: [{ redirect: /a }]", "routes: [{ redirect: { to: /a, status: 308 } }]"),
        ("routes: [{ files: . }]", "routes: [{ files: { root: ., index: index.html } }]"),
        (
            "routes: [{ service: a, timeout: 5s, retries: 1 }]\nservices: { a: ['h:1'] }",
            "routes: [{ service: a, timeout: { total: 5s }, retries: { attempts: 1, on: [connect, reset] } }]
services: { a: ['h:1'] }",
        ),
    ] {
        assert_eq!(good(short), good(long), "{short}");
    }
}

#[test]
fn a_service_becomes_what_balances_and_checks() {
    let config = good(
        "services:
  a:
    endpoints: [10.0.0.1:80, { dns: Shop.Internal:81, weight: 3 }]
    balance: round_robin
    health: { tcp: true, interval: 1s }
    keepalive: { max_idle: 0 }
routes: [{ service: a, max_body: off }]",
    );
    let (name, service) = config.services.iter().next().expect("a service");
    let spec = service.spec(name);
    assert_eq!(
        (spec.name.as_str(), spec.balance),
        ("a", Balance::RoundRobin)
    );
    assert_eq!(
        spec.endpoints[0].target,
        Target::Address(([10, 0, 0, 1], 80).into())
    );
    let name = Target::Name {
        host: "shop.internal".into(),
        port: 81,
    };
    assert_eq!(
        (&spec.endpoints[1].target, spec.endpoints[1].weight),
        (&name, 3)
    );
    assert_eq!(spec.health.expect("a check").interval, Time::from_secs(1));
    assert_eq!(service.keepalive.max_idle, Within::new(0));
    assert!(matches!(&config.routes[0].action, Action::Service(name) if name.as_str() == "a"));
    assert_eq!(config.routes[0].max_body, Some(OrOff::Off));
}
