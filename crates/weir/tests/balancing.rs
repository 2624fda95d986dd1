//! Each way to choose an endpoint, seen from the endpoints.

#[path = "common/running.rs"]
mod running;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use running::start;
use weir_testkit::{Echo, RawClient, Weir, wait_until};

const NAMES: [&str; 3] = ["one", "two", "three"];

fn three() -> Vec<Echo> {
    NAMES.map(Echo::start).into()
}

fn balanced(balance: &str, weights: [u32; 3], apps: &[Echo], workers: usize) -> Weir {
    let endpoints: Vec<String> = NAMES
        .iter()
        .zip(weights)
        .map(|(name, weight)| format!("{{ address: '@{name}@', weight: {weight} }}"))
        .collect();
    let config = format!(
        "
workers: {workers}
listeners: {{ web: '@web@' }}
routes: [ {{ path: /*, service: app }} ]
services: {{ app: {{ endpoints: [{}], balance: {balance} }} }}
",
        endpoints.join(", ")
    );
    let addresses: Vec<(&str, SocketAddr)> =
        NAMES.into_iter().zip(apps.iter().map(Echo::addr)).collect();
    start(&config, &addresses)
}

/// Who answered `count` requests, one after another.
fn one_by_one(weir: &Weir, count: usize) -> BTreeMap<String, usize> {
    let mut client = weir.client("web");
    let mut seen = BTreeMap::new();
    for _ in 0..count {
        let origin = client
            .get("/")
            .header("x-origin")
            .expect("a name")
            .to_owned();
        *seen.entry(origin).or_default() += 1;
    }
    seen
}

/// Who answers `count` requests that are all under way at once.
fn at_once(weir: &Weir, apps: &[Echo], count: usize) -> BTreeMap<String, usize> {
    let before: usize = apps.iter().map(Echo::requests).sum();
    let mut clients: Vec<RawClient> = Vec::new();
    for number in 1..=count {
        let mut client = weir.client("web");
        client.send("GET /slow/1000 HTTP/1.1\r\nHost: x\r\n\r\n");
        clients.push(client);
        // One after another, so that each choice sees all the others.
        wait_until("the request at its endpoint", || {
            apps.iter().map(Echo::requests).sum::<usize>() == before + number
        });
    }
    let mut seen = BTreeMap::new();
    for client in &mut clients {
        let origin = client
            .response()
            .header("x-origin")
            .expect("a name")
            .to_owned();
        *seen.entry(origin).or_default() += 1;
    }
    seen
}

#[test]
fn round_robin_goes_in_turn_by_weight() {
    let apps = three();
    let weir = balanced("round_robin", [1, 1, 1], &apps, 1);
    assert_eq!(
        one_by_one(&weir, 30).into_values().collect::<Vec<_>>(),
        [10, 10, 10]
    );
    let weir = balanced("round_robin", [1, 2, 3], &apps, 1);
    let seen = one_by_one(&weir, 60);
    assert_eq!((seen["one"], seen["two"], seen["three"]), (10, 20, 30));
    // Each worker has a turn of its own; together they still keep the shares.
    let weir = balanced("round_robin", [1, 2, 3], &apps, 2);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..10 {
        for (name, count) in one_by_one(&weir, 6) {
            *seen.entry(name).or_default() += count;
        }
    }
    assert_eq!((seen["one"], seen["two"], seen["three"]), (10, 20, 30));
}

#[test]
fn random_and_p2c_keep_the_shares_roughly() {
    let apps = three();
    for balance in ["random", "p2c"] {
        let weir = balanced(balance, [1, 1, 2], &apps, 2);
        let seen = one_by_one(&weir, 400);
        // 100, 100 and 200 are expected; five standard deviations are less than 50.
        for (name, expected) in [("one", 100_usize), ("two", 100), ("three", 200)] {
            assert!(seen[name].abs_diff(expected) < 50, "{balance}: {seen:?}");
        }
    }
}

#[test]
fn least_connections_evens_out_what_is_under_way() {
    let apps = three();
    let weir = balanced("least_connections", [1, 1, 1], &apps, 2);
    assert_eq!(
        at_once(&weir, &apps, 9).into_values().collect::<Vec<_>>(),
        [3, 3, 3]
    );
    let weir = balanced("least_connections", [1, 1, 2], &apps, 2);
    let seen = at_once(&weir, &apps, 8);
    assert_eq!((seen["one"], seen["two"], seen["three"]), (2, 2, 4));
    // When nothing is under way everyone gets a share.
    assert_eq!(one_by_one(&weir, 60).len(), 3);
}

#[test]
fn p2c_avoids_who_is_busy() {
    let apps = three();
    let weir = balanced("p2c", [1, 1, 1], &apps, 2);
    let seen = at_once(&weir, &apps, 12);
    assert!(
        seen.values().all(|count| (2..=6).contains(count)) && seen.len() == 3,
        "{seen:?}"
    );
}
