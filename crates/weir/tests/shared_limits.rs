//! Limits that several Weirs share over Redis, through real processes: exact while it answers, bounded while it does not.

#[path = "common/apps.rs"]
mod apps;

use std::thread;
use std::time::{Duration, Instant};

use apps::WEIR;
use weir_testkit::{App, RawClient, Redis, RedisCluster, Reply, Weir, wait_until};

fn weir(app: &App, engine: &str, limit: &str) -> Weir {
    let config = format!(
        "
workers: 1
listeners: {{ web: '@web@' }}
services: {{ app: ['{}'] }}
engines: {{ shared: {{ {engine} }} }}
routes: [ {{ path: /*, service: app, rate_limit: {{ {limit}, store: shared }}, name: all }} ]
",
        app.addr()
    );
    let weir = Weir::start(WEIR, &config);
    // Connecting is not on the way of the first request.
    wait_until("the store", || breaker(&weir) == 0.0);
    weir
}

fn ok() -> App {
    App::start("app", |_| Reply::ok())
}

fn breaker(weir: &Weir) -> f64 {
    weir.metrics()
        .value("weir_engine_breaker_state", &[("engine", "shared")])
}

fn unavailable(weir: &Weir) -> f64 {
    let labels = [
        ("kind", "rate_limit"),
        ("policy", "all"),
        ("decision", "unavailable"),
    ];
    weir.metrics().sum("weir_policy_decisions_total", &labels)
}

fn get(weir: &Weir) -> u16 {
    weir.client("web").get("/").status
}

/// So many requests to each Weir, by many clients at once; how many passed.
fn passed(weirs: &[&Weir], clients: usize, each: usize) -> usize {
    let threads: Vec<_> = weirs
        .iter()
        .flat_map(|weir| (0..clients).map(|_| weir.addr("web")))
        .map(|addr| {
            thread::spawn(move || {
                let mut client = RawClient::connect(addr);
                (0..each).filter(|_| client.get("/").status == 200).count()
            })
        })
        .collect();
    threads
        .into_iter()
        .map(|thread| thread.join().expect("a count"))
        .sum()
}

#[test]
fn two_weirs_share_one_limit_exactly() {
    let (app, redis) = (ok(), Redis::start());
    let engine = format!("redis: '{}', timeout: 500ms", redis.url());
    for limit in [
        "limits: 50/min",
        "limits: [200/min, 60/h]",
        "limits: 70/min, algorithm: sliding_window",
    ] {
        redis.command(&["FLUSHALL"]);
        let before = app.requests();
        let (one, two) = (weir(&app, &engine, limit), weir(&app, &engine, limit));
        let most = if limit.contains("50") {
            50
        } else if limit.contains("60") {
            60
        } else {
            70
        };
        assert_eq!(passed(&[&one, &two], 4, 20), most, "{limit}");
        assert_eq!(app.requests() - before, most, "{limit}");
        let refused = one.client("web").get("/");
        assert_eq!(refused.status, 429);
        assert!(refused.header("retry-after").is_some());
        assert_eq!(unavailable(&one) + unavailable(&two), 0.0);
    }
}

#[test]
fn without_redis_every_weir_limits_by_itself() {
    let (app, mut redis) = (ok(), Redis::start());
    let engine = format!("redis: '{}', timeout: 200ms", redis.url());
    let (one, two) = (
        weir(&app, &engine, "limits: 20/min"),
        weir(&app, &engine, "limits: 20/min"),
    );
    assert_eq!([get(&one), get(&two)], [200, 200]);
    redis.kill();
    wait_until("the breaker to open", || {
        get(&one);
        breaker(&one) == 2.0
    });
    let begin = Instant::now();
    // Each has counted what passed here, so no more than one limit for each.
    let more = passed(&[&one, &two], 2, 20);
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "nobody waits: {:?}",
        begin.elapsed()
    );
    assert!(
        app.requests() <= 40 && more > 0,
        "{} passed",
        app.requests()
    );
    assert_eq!([get(&one), get(&two)], [429, 429]);
    redis.restart();
    wait_until("the breaker to close", || {
        get(&one);
        breaker(&one) == 0.0
    });
    // No jump: what passed in the outage still counts.
    assert_eq!(get(&one), 429);
    assert!(app.requests() <= 40);
}

#[test]
fn what_happens_without_a_store_is_a_choice() {
    let app = ok();
    let nowhere = weir_testkit::free_addr();
    let status = |on_error: &str| {
        let config = format!(
            "
listeners: {{ web: '@web@' }}
services: {{ app: ['{}'] }}
engines: {{ shared: {{ redis: 'redis://{nowhere}' }} }}
routes: [ {{ path: /*, service: app, rate_limit: {{ limits: 1/h, store: shared, on_store_error: {on_error} }} }} ]
",
            app.addr()
        );
        let weir = Weir::start(WEIR, &config);
        let mut client = weir.client("web");
        [client.get("/").status, client.get("/").status]
    };
    assert_eq!(status("local"), [200, 429]);
    assert_eq!(status("open"), [200, 200]);
    assert_eq!(status("closed"), [503, 503]);
}

#[test]
fn a_paused_redis_holds_nobody_up() {
    let (app, mut redis) = (ok(), Redis::start());
    let engine = format!("redis: '{}', timeout: 50ms", redis.url());
    let weir = weir(&app, &engine, "limits: 100000/min");
    assert_eq!(get(&weir), 200);
    redis.pause();
    let mut client = weir.client("web");
    let begin = Instant::now();
    for _ in 0..200 {
        assert_eq!(client.get("/").status, 200);
    }
    // A few wait for the timeout until the breaker opens; the rest do not.
    assert!(
        begin.elapsed() < Duration::from_secs(3),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(breaker(&weir), 2.0);
    redis.resume();
    wait_until("the breaker to close", || breaker(&weir) == 0.0);
    let before = unavailable(&weir);
    assert_eq!(client.get("/").status, 200);
    assert_eq!(unavailable(&weir), before);
}

#[test]
fn a_cluster_counts_as_one() {
    let (app, cluster) = (ok(), RedisCluster::start());
    let urls: Vec<String> = cluster
        .urls()
        .into_iter()
        .map(|url| format!("'{url}'"))
        .collect();
    let engine = format!(
        "redis: [{}], cluster: true, timeout: 500ms",
        urls.join(", ")
    );
    let (one, two) = (
        weir(&app, &engine, "limits: 30/min"),
        weir(&app, &engine, "limits: 30/min"),
    );
    wait_until("all of the cluster", || {
        let before = unavailable(&one);
        get(&one);
        unavailable(&one) == before
    });
    passed(&[&one, &two], 4, 20);
    assert_eq!([get(&one), get(&two)], [429, 429]);
    assert!(app.requests() <= 31, "{}", app.requests());
}
