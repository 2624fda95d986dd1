//! What is let pass when Redis fails in every way that loses counts: never more than each Weir alone would let pass.

#[path = "common/scripted.rs"]
mod scripted;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use scripted::{Scripted, allowed, now, numbers};
use weir_limit::store::{EngineConfig, Engines, SharedLimiter, Store};
use weir_limit::{Algorithm, Key, LimitSpec, Limiter, OnStoreError, Plan, Quota, Seed, Tier};
use weir_testkit::{Redis, RedisCluster, wait_until};

const LIMIT: u32 = 5;
const ALL: [Algorithm; 5] = [
    Algorithm::SlidingLog,
    Algorithm::SlidingWindow,
    Algorithm::FixedWindow,
    Algorithm::TokenBucket,
    Algorithm::Smooth,
];

fn config(servers: &[std::net::SocketAddr], cluster: bool) -> EngineConfig {
    let mut config = EngineConfig::redis(servers, cluster).expect("a config");
    config.timeout.value = weir_config::Duration::from_secs(1);
    config
}

fn start(config: &EngineConfig) -> Store {
    Store::start("test", config).expect("a thread")
}

async fn ready(store: &Store) {
    let ready = store.ready(Duration::from_secs(10)).await;
    assert!(ready, "{:?}", store.stats());
}

/// A limit whose window does not end during the test.
fn spec(algorithm: Algorithm) -> LimitSpec {
    let mut tier = Tier::new(LIMIT, 45 * 86_400_000);
    tier.burst = LIMIT;
    LimitSpec::new(algorithm, &[tier])
}

fn weir(store: &Store, algorithm: Algorithm) -> SharedLimiter {
    let limiter = Limiter::new(algorithm.as_str(), spec(algorithm), Seed::new(1));
    SharedLimiter::new(limiter, store.clone(), OnStoreError::Local)
}

/// When the requests come of which the limiters are told; refusals of those before are not believed any more after.
const BEFORE: u64 = 1_000;
const AFTER: u64 = 11_000;

/// How many of twice the limit pass.
async fn passed(weir: &SharedLimiter, client: &[u8], now_ms: u64) -> u32 {
    let mut passed = 0;
    for _ in 0..2 * LIMIT {
        let decision = weir.check(Key::new(7), client, Plan::NONE, 1, now_ms).await;
        passed += u32::from(decision.verdict.expect("a verdict").allowed);
    }
    passed
}

/// A Redis that starts anew has nothing, also if nobody asked while it was away.
#[tokio::test]
async fn counts_that_are_lost_unseen() {
    let mut redis = Redis::start();
    let store = start(&config(&[redis.address()], false));
    ready(&store).await;
    let weirs = ALL.map(|algorithm| weir(&store, algorithm));
    for weir in &weirs {
        assert_eq!(passed(weir, b"a", BEFORE).await, LIMIT);
    }
    redis.restart();
    wait_until("a connection to the new one", || {
        redis.command(&["CLIENT", "LIST"]).text().lines().count() == 2
    });
    ready(&store).await;
    let errors = store.stats();
    for weir in &weirs {
        assert_eq!(
            passed(weir, b"a", AFTER).await,
            0,
            "{:?}",
            weir.limiter().spec()
        );
    }
    let after = store.stats();
    assert_eq!((errors.lost, errors.open), (after.lost, after.open));
}

/// One Weir alone decides, then the replica takes over, which has heard of nothing.
#[tokio::test]
async fn a_failover_in_a_cluster() {
    let mut cluster = RedisCluster::start();
    cluster.add_replica(0);
    let seeds: Vec<_> = cluster.nodes().iter().map(Redis::address).collect();
    let config = config(&seeds, true);
    let stores = [start(&config), start(&config)];
    let mut weirs = Vec::new();
    for store in &stores {
        ready(store).await;
        weirs.push(weir(store, Algorithm::SlidingLog));
    }
    // A client of the first server.
    let client = (0..)
        .map(|number: u32| number.to_string())
        .find(|name| {
            let slot = cluster.nodes()[0].command(&["CLUSTER", "KEYSLOT", name]);
            slot.number() < 5462
        })
        .expect("one of them");
    let address = cluster.nodes()[0].address().to_string();
    cluster.nodes()[0].kill();
    let fails = |store: &Store| {
        let servers = store.stats().servers;
        let first = servers.iter().find(|server| server.address == address);
        first.is_some_and(|server| server.open)
    };
    wait_until("open breakers", || stores.iter().all(fails));
    let mut all = 0;
    for weir in &weirs {
        let alone = passed(weir, client.as_bytes(), BEFORE).await;
        assert_eq!(alone, LIMIT);
        all += alone;
    }
    cluster.nodes()[3].command(&["CLUSTER", "FAILOVER", "TAKEOVER"]);
    wait_until("a map with the new one", || {
        let gone = |store: &Store| {
            let servers = store.stats().servers;
            servers.iter().all(|server| server.address != address)
        };
        stores.iter().all(gone)
    });
    for store in &stores {
        ready(store).await;
    }
    for weir in &weirs {
        all += passed(weir, client.as_bytes(), AFTER).await;
    }
    assert!(all <= 2 * LIMIT, "{all} of a limit of {LIMIT} in two Weirs");
}

/// Before anything is known of a Cluster each Weir decides alone; what it let pass then is not forgotten.
#[tokio::test]
async fn a_cluster_that_comes_late() {
    let mut cluster = RedisCluster::start();
    let seed = cluster.nodes()[0].address();
    let seeds: Vec<_> = cluster.nodes().iter().map(Redis::address).collect();
    for node in cluster.nodes() {
        node.pause();
    }
    let store = start(&config(&seeds, true));
    let weir = weir(&store, Algorithm::SlidingLog);
    assert_eq!(passed(&weir, b"a", BEFORE).await, LIMIT);
    // Why it cannot be asked is told of where it was looked for.
    wait_until("a reason", || {
        let servers = store.stats().servers;
        let first = servers
            .iter()
            .find(|server| server.address == seed.to_string());
        first.is_some_and(|server| server.open && server.why.contains("no answer within 1s"))
    });
    for node in cluster.nodes() {
        node.resume();
    }
    ready(&store).await;
    assert_eq!(passed(&weir, b"a", AFTER).await, 0);
}

/// For a server whose clock is set, all windows are over at once, or none has begun.
#[tokio::test]
async fn a_clock_that_jumps() {
    for jump in [3_600_000_000, -3_600_000_000] {
        let ahead = Arc::new(AtomicI64::new(0));
        let set = Arc::clone(&ahead);
        // It lets pass whoever asks: as it does who has forgotten all.
        let server = Scripted::start(move |command| {
            let now = now() + set.load(Ordering::SeqCst);
            let until: i64 = command[5].parse().expect("a number");
            match now > until {
                true => numbers(&[-1, 0, 0, 0, 0, now]),
                false => allowed(now),
            }
        });
        let store = start(&config(&[server.addr], false));
        ready(&store).await;
        let weir = weir(&store, Algorithm::SlidingLog);
        for _ in 0..LIMIT {
            let decision = weir.check(Key::new(7), b"a", Plan::NONE, 1, BEFORE).await;
            assert!(decision.verdict.expect("a verdict").allowed);
        }
        ahead.store(jump, Ordering::SeqCst);
        assert_eq!(passed(&weir, b"a", AFTER).await, 0, "{jump}");
    }
}

/// A reload puts another engine in the place of one that failed.
#[tokio::test]
async fn an_engine_that_is_replaced() {
    let mut redis = Redis::start();
    redis.kill();
    let engines = Engines::new();
    let mut config = config(&[redis.address()], false);
    let first = engines.prepare("shared", &config).expect("a thread");
    let limiter = Limiter::new("x", spec(Algorithm::SlidingLog), Seed::new(1));
    let alone = SharedLimiter::new(Arc::clone(&limiter), first, OnStoreError::Local);
    assert_eq!(passed(&alone, b"a", BEFORE).await, LIMIT);
    redis.restart();
    config.pending = weir_config::Within::new(7);
    let second = engines.prepare("shared", &config).expect("a thread");
    ready(&second).await;
    let shared = SharedLimiter::new(limiter, second, OnStoreError::Local);
    assert_eq!(passed(&shared, b"a", AFTER).await, 0);
}

/// Everything that is written there ends by itself, and soon.
#[tokio::test]
async fn nothing_stays_in_redis() {
    let redis = Redis::start();
    let store = start(&config(&[redis.address()], false));
    ready(&store).await;
    let tiers = [Tier::new(2, 300), Tier::new(7, 900)];
    let quotas = ALL.map(|algorithm| {
        let quota = Quota {
            algorithm,
            tiers: Box::new(tiers),
            concurrency: None,
        };
        store
            .quota(algorithm.as_str(), None, &quota)
            .expect("tiers")
    });
    let begun = Instant::now();
    let mut most = 0;
    while begun.elapsed() < Duration::from_millis(1500) {
        for quota in &quotas {
            for client in 0..20u8 {
                store
                    .check(quota, &[b'a' + client], 1)
                    .await
                    .expect("asked");
            }
        }
        let keys = redis.command(&["KEYS", "*"]);
        most = most.max(keys.list().len());
        for key in keys.list() {
            let key = key.text();
            let lives = redis.command(&["PTTL", &key]).number();
            // -2: it has ended meanwhile; -1 would be never.
            assert!(lives != -1 && lives <= 2 * 900 + 1000, "{key}: {lives}");
        }
    }
    assert!(most >= 5 * 20, "{most}");
    wait_until("an empty Redis", || {
        redis.command(&["DBSIZE"]).number() == 0
    });
}
