//! Several limits of one request in Redis: asked in one call, counted in all or in none.

#[path = "common/apps.rs"]
mod apps;
#[path = "common/keys.rs"]
mod keys;

use apps::{WEIR, request};
use weir_testkit::{App, RawClient, Redis, RedisCluster, Reply, Response, Weir, wait_until};

const TWO: &str = "
  x: { rate_limit: { limits: 6/min, key: header u, store: shared, algorithm: sliding_log } }
  y: { rate_limit: { limits: 2/h, key: header v, store: shared, algorithm: sliding_log } }";

fn weir(app: &App, engine: &str, policies: &str, route: &str) -> Weir {
    let config = format!(
        "
workers: 1
listeners: {{ web: '@web@' }}
services: {{ app: ['{}'] }}
engines: {{ shared: {{ {engine}, timeout: 500ms }} }}
policies: {policies}
routes: [ {{ path: /*, service: app, {route} }} ]
",
        app.addr()
    );
    let weir = Weir::start(WEIR, &config);
    let connected = || {
        let labels = [("engine", "shared")];
        weir.metrics().value("weir_engine_breaker_state", &labels) == 0.0
    };
    wait_until("the store", connected);
    weir
}

fn ok() -> App {
    App::start("app", |_| Reply::ok())
}

fn get(weir: &Weir, fields: &str) -> Response {
    RawClient::exchange(weir.addr("web"), request("GET", "/", fields))
}

fn by(weir: &Weir, u: &str, v: &str) -> Response {
    get(weir, &format!("u: {u}\r\nv: {v}\r\n"))
}

fn retry_after(response: &Response) -> u64 {
    assert_eq!(response.status, 429, "{response:?}");
    let value = response.header("retry-after").expect("a time to wait");
    value.parse().expect("seconds")
}

/// How often a server ran a script that it knew.
fn calls(redis: &Redis) -> u64 {
    let stats = redis.command(&["INFO", "commandstats"]).text();
    let line = stats.lines().find(|line| line.contains("_evalsha:"));
    let calls = line.and_then(|line| line.split_once("calls=")?.1.split(',').next());
    calls.map_or(0, |calls| calls.parse().expect("a number"))
}

/// How much a limit has counted, over all clients.
fn counted(nodes: &[Redis], limit: &str) -> i64 {
    let mut units = 0;
    for node in nodes {
        for key in node
            .command(&["KEYS", &format!("weir:log:{limit}:*")])
            .list()
        {
            units += node.command(&["STRLEN", &key.text()]).number() / 8;
        }
    }
    units
}

#[test]
fn one_call_decides_about_all_and_a_refusal_counts_in_none() {
    let app = ok();
    for order in ["x, y", "y, x"] {
        let redis = [Redis::start()];
        let engine = format!("redis: '{}'", redis[0].url());
        let weir = weir(&app, &engine, TWO, &format!("policies: [{order}]"));
        let before = calls(&redis[0]);
        assert_eq!(by(&weir, "1", "a").status, 200);
        assert_eq!(by(&weir, "1", "a").status, 200);
        assert_eq!(
            calls(&redis[0]) - before,
            2,
            "{order}: one for each request"
        );
        for _ in 0..8 {
            assert!(retry_after(&by(&weir, "1", "a")) > 3500, "{order}");
        }
        assert_eq!(
            calls(&redis[0]) - before,
            3,
            "{order}: a refusal is remembered"
        );
        assert_eq!(counted(&redis, "x"), 2, "{order}");
        assert_eq!(counted(&redis, "y"), 2, "{order}");
        // What is left of the one is all there, for others of the other.
        for v in ["b", "c", "d", "d"] {
            assert_eq!(by(&weir, "1", v).status, 200, "{order} {v}");
        }
        // Both refuse for the first time; the longer one is told of.
        assert!(retry_after(&by(&weir, "1", "d")) > 3500, "{order}");
        let short = retry_after(&by(&weir, "1", "c"));
        assert!((1..=60).contains(&short), "{order}: {short}");
        assert_eq!([counted(&redis, "x"), counted(&redis, "y")], [6, 6]);
        // Nor was anything counted here, where limits go on when Redis is gone.
        drop(redis);
        wait_until("the breaker to open", || {
            by(&weir, "9", "9");
            let labels = [("engine", "shared")];
            weir.metrics().value("weir_engine_breaker_state", &labels) == 2.0
        });
        assert_eq!(by(&weir, "8", "c").status, 200, "{order}: one was left");
        assert_eq!(by(&weir, "8", "c").status, 429, "{order}");
    }
}

#[test]
fn in_a_cluster_it_is_taken_back() {
    let app = ok();
    for order in ["x, y", "y, x"] {
        let mut cluster = RedisCluster::start();
        let urls: Vec<String> = cluster
            .urls()
            .into_iter()
            .map(|url| format!("'{url}'"))
            .collect();
        let engine = format!("redis: [{}], cluster: true", urls.join(", "));
        let weir = weir(&app, &engine, TWO, &format!("policies: [{order}]"));
        wait_until("all of the cluster", || {
            // Clients enough to meet every server.
            let labels = [("kind", "rate_limit"), ("decision", "unavailable")];
            let metrics = |weir: &Weir| weir.metrics().sum("weir_policy_decisions_total", &labels);
            let before = metrics(&weir);
            (0..9).for_each(|n| drop(by(&weir, &format!("try{n}"), &format!("try{n}"))));
            metrics(&weir) == before
        });
        for node in cluster.nodes() {
            node.command(&["FLUSHALL"]);
        }
        // Several clients, whose counts lie on different servers.
        for u in ["1", "2", "3"] {
            let v = format!("a{u}");
            for _ in 0..2 {
                assert_eq!(by(&weir, u, &v).status, 200, "{order}");
            }
            assert!(retry_after(&by(&weir, u, &v)) > 3500, "{order}");
        }
        wait_until("what was refused to be taken back", || {
            counted(cluster.nodes(), "x") == 6
        });
        for u in ["1", "2", "3"] {
            for v in ["b", "c"] {
                assert_eq!(by(&weir, u, &format!("{v}{u}")).status, 200, "{order}");
                assert_eq!(by(&weir, u, &format!("{v}{u}")).status, 200, "{order}");
            }
            // Both refuse, and the one behind the refusal is asked, too.
            assert!(
                retry_after(&by(&weir, u, &format!("c{u}"))) > 3500,
                "{order}"
            );
        }
        assert_eq!(counted(cluster.nodes(), "x"), 18, "{order}");
        assert_eq!(counted(cluster.nodes(), "y"), 18, "{order}");
    }
}

/// A limit of this machine beside one in Redis: what either refuses, the other does not count, and a flood that the one on
/// this machine refuses does not reach Redis.
#[test]
fn one_here_and_one_there() {
    let app = ok();
    let policies = "
  x: { rate_limit: { limits: 4/min, key: header u } }
  y: { rate_limit: { limits: 2/h, key: header v, store: shared, algorithm: sliding_log } }";
    for order in ["x, y", "y, x"] {
        let redis = [Redis::start()];
        let engine = format!("redis: '{}'", redis[0].url());
        let weir = weir(&app, &engine, policies, &format!("policies: [{order}]"));
        for _ in 0..2 {
            assert_eq!(by(&weir, "1", "a").status, 200, "{order}");
        }
        for _ in 0..5 {
            assert!(retry_after(&by(&weir, "1", "a")) > 3500, "{order}");
        }
        for _ in 0..2 {
            assert_eq!(by(&weir, "1", "b").status, 200, "{order}");
        }
        let before = calls(&redis[0]);
        for _ in 0..5 {
            assert!(retry_after(&by(&weir, "1", "c")) <= 60, "{order}");
            // It is known of this one that it refuses for longer.
            assert!(retry_after(&by(&weir, "1", "a")) > 3500, "{order}");
        }
        assert_eq!(calls(&redis[0]), before, "{order}");
        assert_eq!(counted(&redis, "y"), 4, "{order}");
    }
}

/// The limit by user is asked after authentication, the one by address before.
#[test]
fn what_is_refused_after_authentication_has_counted_before_it() {
    let (app, redis) = (ok(), [Redis::start()]);
    let [(ann, ann_hash), (bob, bob_hash)] = ["ann", "bob"].map(keys::new_key);
    let policies = format!(
        "
  by_address: {{ rate_limit: {{ limits: 5/1h, key: ip, store: shared, algorithm: sliding_log }} }}
  by_user: {{ rate_limit: {{ limits: 2/1h, key: user, store: shared, algorithm: sliding_log }} }}
  keys: {{ api_key: {{ keys: [ {{ id: ann, hash: '{ann_hash}' }}, {{ id: bob, hash: '{bob_hash}' }} ] }} }}"
    );
    let engine = format!("redis: '{}'", redis[0].url());
    let route = "auth: keys, policies: [by_address, by_user]";
    let weir = weir(&app, &engine, &policies, route);
    let with = |key: &str| get(&weir, &format!("X-Api-Key: {key}\r\n")).status;
    assert_eq!([with(&ann), with(&ann)], [200, 200]);
    // The limit by address bounds the work of authentication, whatever comes of that.
    assert_eq!(with(&ann), 429);
    assert_eq!(counted(&redis, "by_address"), 3);
    assert_eq!(counted(&redis, "by_user"), 2);
    assert_eq!([with(&bob), with("x"), with("x")], [200, 401, 429]);
    assert_eq!(counted(&redis, "by_address"), 5);
}
