//! The same key, the same endpoint: what of a request is hashed.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::start;
use weir_testkit::{Echo, RawClient, Weir};

fn weir(apps: &[Echo], balance: &str, http: &str) -> Weir {
    let endpoints: Vec<String> = apps.iter().map(|app| format!("'{}'", app.addr())).collect();
    start(&format!(
        "
workers: 2
listeners: {{ web: {{ address: '@web@', http: {{ {http} }} }} }}
routes: [ {{ path: /*, service: app }} ]
services: {{ app: {{ endpoints: [{}], balance: {balance} }} }}
",
        endpoints.join(", ")
    ))
}

fn apps() -> Vec<Echo> {
    (0..4)
        .map(|number| Echo::start(&format!("app{number}")))
        .collect()
}

fn ask(client: &mut RawClient, target: &str, fields: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let response = client.send(request).response();
    assert_eq!(response.status, 200, "{response:?}");
    response.header("x-origin").expect("a name").to_owned()
}

/// The endpoint of each request, which must be the same whoever asks and however often.
#[track_caller]
fn homes(weir: &Weir, requests: impl Iterator<Item = (String, String)>) -> Vec<String> {
    requests
        .map(|(target, fields)| {
            let seen: BTreeSet<String> = (0..6)
                .map(|_| ask(&mut weir.client("web"), &target, &fields))
                .collect();
            assert_eq!(seen.len(), 1, "{target} {fields:?}: {seen:?}");
            seen.into_iter().next().expect("one")
        })
        .collect()
}

fn spread(homes: &[String]) -> usize {
    homes.iter().collect::<BTreeSet<_>>().len()
}

/// Requests without a key are not all sent to one endpoint.
#[track_caller]
fn scattered(weir: &Weir, fields: &str) {
    let mut seen = BTreeMap::new();
    let mut client = weir.client("web");
    for _ in 0..60 {
        *seen.entry(ask(&mut client, "/", fields)).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 4, "{fields:?}: {seen:?}");
}

#[test]
fn a_header_is_a_key() {
    let apps = apps();
    let weir = weir(&apps, "{ hash: { on: header x-user } }", "");
    let user = |number: usize| ("/".to_owned(), format!("X-User: user{number}\r\n"));
    assert!(spread(&homes(&weir, (0..24).map(user))) > 1);
    scattered(&weir, "");
    scattered(&weir, "X-Users: a\r\n");
}

#[test]
fn a_cookie_is_a_key() {
    let apps = apps();
    let weir = weir(&apps, "{ hash: { on: cookie s } }", "");
    let user = |number: usize| ("/".to_owned(), format!("Cookie: a=b; s={number}; c=d\r\n"));
    assert!(spread(&homes(&weir, (0..24).map(user))) > 1);
    scattered(&weir, "Cookie: ss=1; a=s\r\n");
}

#[test]
fn a_path_is_a_key_without_its_query() {
    let apps = apps();
    let weir = weir(&apps, "{ hash: { on: path } }", "");
    let paths = (0..24).map(|number| (format!("/item/{number}"), String::new()));
    let first = homes(&weir, paths);
    assert!(spread(&first) > 1);
    let queries = (0..24).map(|number| (format!("/item/{number}?q={number}"), String::new()));
    assert_eq!(homes(&weir, queries), first);
    // Written in another way, it is the same path.
    let written = (0..24).map(|number| (format!("/./%69tem/{number}"), String::new()));
    assert_eq!(homes(&weir, written), first);
}

#[test]
fn an_address_is_a_key_as_far_as_it_is_believed() {
    let apps = apps();
    let user = |number: usize| {
        let fields = format!("X-Forwarded-For: 6.6.6.6, 192.0.2.{number}, 10.0.0.{number}\r\n");
        ("/".to_owned(), fields)
    };
    for balance in ["ip_hash", "{ hash: { on: ip } }"] {
        // Everyone is the same peer, whatever they say.
        let stranger = weir(&apps, balance, "");
        assert_eq!(spread(&homes(&stranger, (0..24).map(user))), 1);
        // Behind trusted proxies, the nearest other address counts.
        let trusted = "forwarded: { trusted: [127.0.0.0/8, 10.0.0.0/8] }";
        let weir = weir(&apps, balance, trusted);
        let first = homes(&weir, (0..24).map(user));
        assert!(spread(&first) > 1, "{balance}");
        let another = |number: usize| {
            let fields = format!("X-Forwarded-For: 192.0.2.{number}:4711, 10.9.9.9\r\n");
            ("/".to_owned(), fields)
        };
        assert_eq!(homes(&weir, (0..24).map(another)), first, "{balance}");
        // IPv6 by its first half.
        let v6 = |host: u16| {
            move |net: u16| {
                let fields = format!("X-Forwarded-For: 2001:db8:0:{net:x}::{host:x}\r\n");
                ("/".to_owned(), fields)
            }
        };
        let one = homes(&weir, (1..24).map(v6(1)));
        assert!(spread(&one) > 1);
        assert_eq!(homes(&weir, (1..24).map(v6(0xbeef))), one);
    }
}
