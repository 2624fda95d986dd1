//! Shared limits on a real Redis: what a client cannot see, and what happens when Redis fails.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use weir_limit::store::{EngineConfig, Engines, SharedLimiter, Store, StoreError};
use weir_limit::{Algorithm, Key, LimitSpec, Limiter, OnStoreError, Plan, Quota, Seed, Tier};
use weir_testkit::{Redis, wait_until};

const ALL: [Algorithm; 5] = [
    Algorithm::SlidingLog,
    Algorithm::SlidingWindow,
    Algorithm::FixedWindow,
    Algorithm::TokenBucket,
    Algorithm::Smooth,
];

fn config(redis: &Redis) -> EngineConfig {
    EngineConfig::redis(&[redis.address()], false).expect("a config")
}

/// A store whose answers are never late for a busy machine.
fn patient(redis: &Redis) -> Store {
    let mut config = config(redis);
    config.timeout.value = weir_config::Duration::from_secs(1);
    Store::start("test", &config).expect("a thread")
}

fn log(count: u32, window_ms: u64) -> Quota {
    Quota {
        algorithm: Algorithm::SlidingLog,
        tiers: Box::new([Tier::new(count, window_ms)]),
        concurrency: None,
    }
}

async fn ready(store: &Store) {
    let ready = store.ready(Duration::from_secs(5)).await;
    assert!(ready, "{:?}", store.stats());
}

#[tokio::test]
async fn counts_outlast_scripts() {
    let redis = Redis::start();
    let store = patient(&redis);
    ready(&store).await;
    let quota = store.quota("x", None, &log(3, 60_000)).expect("a tier");
    for left in [2, 1] {
        let verdict = store.check(&quota, b"a", 1).await.expect("asked");
        assert_eq!((verdict.allowed, verdict.remaining), (true, left));
        redis.command(&["SCRIPT", "FLUSH"]);
    }
    // Many at once find that it is gone, and exactly one fits.
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (store, quota) = (store.clone(), Arc::clone(&quota));
        tasks.spawn(async move { store.check(&quota, b"a", 1).await.expect("asked").allowed });
    }
    let allowed = tasks
        .join_all()
        .await
        .into_iter()
        .filter(|allowed| *allowed);
    assert_eq!(allowed.count(), 1);
    assert_eq!(store.stats().answered, 52);
}

#[tokio::test]
async fn clients_limits_and_plans_are_told_apart() {
    let redis = Redis::start();
    let store = patient(&redis);
    ready(&store).await;
    let quota = log(1, 60_000);
    let quotas = [
        store.quota("x", None, &quota),
        store.quota("x", Some("gold"), &quota),
        store.quota("y", None, &quota),
        store.quota("y/gold", None, &quota),
    ]
    .map(|quota| quota.expect("a tier"));
    for quota in &quotas {
        for client in [&b"a"[..], b"b", b"a}b", b"", b"\0\r\n{"] {
            assert!(store.check(quota, client, 1).await.expect("asked").allowed);
            assert!(!store.check(quota, client, 1).await.expect("asked").allowed);
        }
    }
}

#[tokio::test]
async fn who_one_is_there() {
    let redis = Redis::start_with(&["--requirepass", "hunter2"]);
    let engine = |password: &str| {
        let text = format!(
            "{{ redis: '{}', db: 3, password: {password} }}",
            redis.url()
        );
        let mut cx = weir_config::Cx::from_text("weir.yaml", &text, &|_| None);
        let config = cx.decode::<EngineConfig>();
        Store::start("test", &cx.finish(config).expect("a config").value).expect("a thread")
    };
    ready(&engine("hunter2")).await;
    let store = engine("hunter3");
    let quota = store.quota("x", None, &log(1, 1000)).expect("a tier");
    while store.check(&quota, b"a", 1).await != Err(StoreError::Open) {}
    wait_until("a reason", || {
        store.stats().servers[0].why.contains("assword")
    });
    assert!(!format!("{:?}", store.stats()).contains("hunter"));
}

#[tokio::test]
async fn a_reload_keeps_what_did_not_change() {
    let redis = Redis::start();
    let engines = Engines::new();
    let mut config = config(&redis);
    config.timeout.value = weir_config::Duration::from_secs(1);
    let store = engines.prepare("shared", &config).expect("a thread");
    ready(&store).await;
    let quota = store.quota("x", None, &log(9, 60_000)).expect("a tier");
    assert!(store.check(&quota, b"a", 1).await.is_ok());
    let same = engines
        .prepare("shared", &config.clone())
        .expect("it is there");
    assert_eq!(same.stats().answered, 1);
    config.pending = weir_config::Within::new(7);
    let other = engines.prepare("shared", &config).expect("a thread");
    ready(&other).await;
    assert_eq!(other.stats().answered, 0);
    // Who holds the old one goes on with it, and both count the same.
    assert_eq!(
        store.check(&quota, b"a", 1).await.map(|v| v.remaining),
        Ok(7)
    );
    assert_eq!(
        other.check(&quota, b"a", 1).await.map(|v| v.remaining),
        Ok(6)
    );
    engines.retain(|name| name != "shared");
    assert!(engines.all().is_empty());
    // The last handle ends the thread, and with it the connection: only who asks is left.
    drop((store, same, other));
    wait_until("no connections", || {
        let clients = redis.command(&["CLIENT", "LIST"]).text();
        clients.lines().count() == 1
    });
}

/// What Weir must be allowed to do there, and where.
#[tokio::test]
async fn a_user_with_few_rights_is_enough() {
    let redis = Redis::start();
    let rights =
        "-@all +eval +evalsha +time +strlen +get +getrange +set +append +del +hmget +hset +pexpire";
    let mut user = vec!["ACL", "SETUSER", "weir", "on", ">hunter2", "~weir:*"];
    user.extend(rights.split(' '));
    redis.command(&user);
    let text = format!(
        "{{ redis: '{}', user: weir, password: hunter2, timeout: 1s }}",
        redis.url()
    );
    let mut cx = weir_config::Cx::from_text("weir.yaml", &text, &|_| None);
    let config = cx.decode::<EngineConfig>();
    let config = cx.finish(config).expect("a config").value;
    let store = Store::start("test", &config).expect("a thread");
    ready(&store).await;
    for algorithm in ALL {
        let quota = Quota {
            algorithm,
            ..log(2, 60_000)
        };
        let quota = store.quota("x", None, &quota).expect("a tier");
        for _ in 0..9 {
            store.check(&quota, b"a", 1).await.expect("asked");
        }
    }
}

/// Nothing in the state says how high a limit is.
#[tokio::test]
async fn a_limit_is_raised_and_lowered_with_its_counts() {
    let redis = Redis::start();
    let store = patient(&redis);
    ready(&store).await;
    for algorithm in ALL {
        let quota = |count| {
            let quota = Quota {
                algorithm,
                ..log(count, 60_000)
            };
            store
                .quota(algorithm.as_str(), None, &quota)
                .expect("a tier")
        };
        assert!(
            store
                .check(&quota(3), b"a", 3)
                .await
                .expect("asked")
                .allowed
        );
        let verdict = store.check(&quota(5), b"a", 1).await.expect("asked");
        // A bucket that fills at another pace is another bucket.
        let left = match algorithm {
            Algorithm::TokenBucket | Algorithm::Smooth => 4,
            _ => 1,
        };
        assert_eq!(
            (verdict.allowed, verdict.remaining),
            (true, left),
            "{algorithm}"
        );
        let verdict = store.check(&quota(2), b"a", 1).await.expect("asked");
        if left == 1 {
            assert_eq!(
                (verdict.allowed, verdict.remaining),
                (false, 0),
                "{algorithm}"
            );
        }
    }
}

/// A client far beyond its limit costs the store little, and gets all that it may have.
#[tokio::test]
async fn refusals_that_hold_are_not_asked_for() {
    let redis = Redis::start();
    let store = patient(&redis);
    ready(&store).await;
    let spec = LimitSpec::new(Algorithm::SlidingLog, &[Tier::new(5, 200)]);
    let limiter = Limiter::new("x", spec, Seed::new(1));
    let shared = SharedLimiter::new(limiter, store.clone(), OnStoreError::Local);
    let begun = Instant::now();
    let (mut asked, mut allowed) = (0u64, 0u64);
    while begun.elapsed() < Duration::from_secs(2) {
        let now_ms = begun.elapsed().as_millis() as u64;
        let decision = shared.check(Key::new(1), b"a", Plan::NONE, 1, now_ms).await;
        let verdict = decision.verdict.expect("a verdict");
        asked += 1;
        allowed += u64::from(verdict.allowed);
        if !verdict.allowed {
            assert!((1..=200).contains(&verdict.retry_after_ms), "{verdict:?}");
        }
    }
    let answered = store.stats().answered;
    println!("{asked} asked, {answered} of them the store, {allowed} allowed");
    assert!(allowed <= 5 * 11, "{allowed}");
    assert!(answered * 10 < asked, "{answered} of {asked}");
    assert!(allowed >= 5 * 7, "{allowed}");
}

/// A server whose answers are right but late is left alone, not tried on requests again and again.
#[tokio::test]
async fn a_slow_server() {
    let redis = Redis::start();
    let slow = Arc::new(AtomicBool::new(false));
    let (address, tries) = delay(redis.address(), Arc::clone(&slow));
    let config = EngineConfig::redis(&[address], false).expect("a config");
    let store = Store::start("test", &config).expect("a thread");
    ready(&store).await;
    let quota = store.quota("x", None, &log(1000, 60_000)).expect("a tier");
    slow.store(true, Ordering::Relaxed);
    while store.check(&quota, b"a", 1).await != Err(StoreError::Open) {}
    let late = store.stats().late;
    let before = tries.load(Ordering::Relaxed);
    while tries.load(Ordering::Relaxed) < before + 6 {
        assert_eq!(store.check(&quota, b"a", 1).await, Err(StoreError::Open));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(store.stats().late, late);
    assert!(
        store.stats().servers[0]
            .why
            .contains("no answer within 5ms")
    );
    slow.store(false, Ordering::Relaxed);
    ready(&store).await;
}

/// Passes everything on, the answers 20 ms later while it is to be slow; counts connections.
fn delay(to: SocketAddr, slow: Arc<AtomicBool>) -> (SocketAddr, Arc<AtomicUsize>) {
    let address = weir_testkit::free_addr();
    let listener = TcpListener::bind(address).expect("a free address");
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    thread::spawn(move || {
        for client in listener.incoming() {
            count.fetch_add(1, Ordering::Relaxed);
            let (Ok(client), Ok(server)) = (client, TcpStream::connect(to)) else {
                return;
            };
            let slow = Arc::clone(&slow);
            let ends = [client.try_clone(), server.try_clone()].map(|end| end.expect("a copy"));
            let [client_too, server_too] = ends;
            thread::spawn(move || pass(client, server, || Duration::ZERO));
            thread::spawn(move || {
                pass(server_too, client_too, || {
                    match slow.load(Ordering::Relaxed) {
                        true => Duration::from_millis(20),
                        false => Duration::ZERO,
                    }
                });
            });
        }
    });
    (address, connections)
}

fn pass(mut from: TcpStream, mut to: TcpStream, delay: impl Fn() -> Duration) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        thread::sleep(delay());
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

/// A server that is not there at the start is found when it comes.
#[tokio::test]
async fn it_may_come_later() {
    let mut redis = Redis::start();
    redis.kill();
    let store = patient(&redis);
    let quota = store.quota("x", None, &log(3, 60_000)).expect("a tier");
    let begun = Instant::now();
    assert!(store.check(&quota, b"a", 1).await.is_err());
    assert!(
        begun.elapsed() < Duration::from_millis(900),
        "refused at once"
    );
    assert_eq!(store.check(&quota, b"a", 1).await, Err(StoreError::Open));
    assert!(!store.ready(Duration::from_millis(20)).await);
    redis.restart();
    ready(&store).await;
    assert!(store.check(&quota, b"a", 1).await.is_ok());
}

/// A server that closes idle connections costs nobody an answer.
#[tokio::test]
async fn a_closed_connection_is_opened_again() {
    let redis = Redis::start();
    let store = patient(&redis);
    ready(&store).await;
    let quota = store.quota("x", None, &log(1000, 60_000)).expect("a tier");
    redis.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    wait_until("a new connection", || {
        let info = redis.command(&["CLIENT", "LIST"]).text();
        info.lines().count() == 2
    });
    ready(&store).await;
    assert!(store.check(&quota, b"a", 1).await.is_ok());
}

/// What it costs when all is well, for information.
#[tokio::test]
async fn the_cost_of_a_check() {
    let redis = Redis::start();
    let store = patient(&redis);
    ready(&store).await;
    for (name, algorithm, tiers) in [
        (
            "log",
            Algorithm::SlidingLog,
            &[Tier::new(10, 1000), Tier::new(60, 60_000)][..],
        ),
        (
            "window",
            Algorithm::SlidingWindow,
            &[Tier::new(1000, 1000), Tier::new(50_000, 60_000)],
        ),
        ("bucket", Algorithm::TokenBucket, &[Tier::new(1000, 1000)]),
    ] {
        let quota = Quota {
            algorithm,
            tiers: tiers.into(),
            concurrency: None,
        };
        let quota = store.quota(name, None, &quota).expect("tiers");
        let begun = Instant::now();
        for client in 0..1000u32 {
            let client = (client % 50).to_le_bytes();
            store.check(&quota, &client, 1).await.expect("asked");
        }
        let alone = begun.elapsed() / 1000;
        let begun = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for client in 0..64u32 {
            let (store, quota) = (store.clone(), Arc::clone(&quota));
            tasks.spawn(async move {
                for _ in 0..200 {
                    store
                        .check(&quota, &client.to_le_bytes(), 1)
                        .await
                        .expect("asked");
                }
            });
        }
        tasks.join_all().await;
        let together = begun.elapsed() / (64 * 200);
        println!("{name}: {alone:?} a check, {together:?} with 64 under way");
    }
}
