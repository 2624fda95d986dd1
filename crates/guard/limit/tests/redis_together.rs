//! Several shared limits of one request, on a real Redis and a real Redis Cluster.

use std::net::SocketAddr;
use std::time::Duration;

use weir_limit::store::{
    Counted, Decision, EngineConfig, Engines, SharedAsk, SharedLimiter, Store, check_together,
    take_back,
};
use weir_limit::{Algorithm, Key, LimitSpec, Limiter, OnStoreError, Plan, Seed, Tier};
use weir_testkit::{Redis, RedisCluster, RedisReply, wait_until};

const ALL: [Algorithm; 5] = [
    Algorithm::SlidingLog,
    Algorithm::SlidingWindow,
    Algorithm::FixedWindow,
    Algorithm::TokenBucket,
    Algorithm::Smooth,
];

async fn start(addresses: &[SocketAddr], cluster: bool) -> Store {
    let mut config = EngineConfig::redis(addresses, cluster).expect("a config");
    config.timeout.value = weir_config::Duration::from_secs(1);
    ready(Store::start("test", &config).expect("a thread")).await
}

async fn ready(store: Store) -> Store {
    let ready = store.ready(Duration::from_secs(10)).await;
    assert!(ready, "{:?}", store.stats());
    store
}

fn limit(store: &Store, name: &str, algorithm: Algorithm, count: u32) -> SharedLimiter {
    let mut tier = Tier::new(count, 3_600_000);
    tier.burst = count;
    let limiter = Limiter::new(name, LimitSpec::new(algorithm, &[tier]), Seed::new(1));
    SharedLimiter::new(limiter, store.clone(), OnStoreError::Local)
}

fn dry_run(store: &Store, name: &str, count: u32) -> SharedLimiter {
    let mut spec = LimitSpec::new(Algorithm::SlidingLog, &[Tier::new(count, 3_600_000)]);
    spec.dry_run = true;
    let limiter = Limiter::new(name, spec, Seed::new(1));
    SharedLimiter::new(limiter, store.clone(), OnStoreError::Local)
}

fn key(client: &[u8]) -> Key {
    let bits = client.iter().fold(7u128, |bits, byte| {
        (bits ^ u128::from(*byte)).wrapping_mul(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef)
    });
    Key::new(bits)
}

fn ask<'l>(limit: &'l SharedLimiter, client: &[u8]) -> SharedAsk<'l> {
    SharedAsk::new(limit, key(client), client, Plan::NONE, 1)
}

/// What the limiter of this Weir would still let pass.
fn left_here(limit: &SharedLimiter, client: &[u8]) -> u32 {
    let limiter = limit.limiter();
    let verdict = limiter.check(key(client), Plan::NONE, 1, 0);
    if !verdict.allowed {
        return 0;
    }
    limiter.give_back(key(client), Plan::NONE, 1, 0);
    verdict.remaining + 1
}

fn allowed(decision: &Option<Decision>) -> Option<bool> {
    Some(decision.as_ref()?.verdict?.allowed)
}

fn remaining(decision: &Option<Decision>) -> Option<u32> {
    Some(decision.as_ref()?.verdict?.remaining)
}

fn nothing_under_way(store: &Store) {
    wait_until("nothing under way", || {
        let servers = store.stats().servers;
        servers.iter().all(|server| server.pending == 0)
    });
}

#[tokio::test]
async fn who_is_refused_is_counted_nowhere() {
    let redis = Redis::start();
    let store = start(&[redis.address()], false).await;
    for algorithm in ALL {
        let wide = limit(&store, &format!("{algorithm}-wide"), algorithm, 9);
        let narrow = limit(&store, &format!("{algorithm}-narrow"), algorithm, 2);
        let tried = dry_run(&store, &format!("{algorithm}-tried"), 1);
        let asks = [ask(&wide, b"a"), ask(&narrow, b"b"), ask(&tried, b"c")];
        let before = store.stats().answered;
        let said = check_together(&asks, 0).await;
        assert_eq!(
            said.iter().map(allowed).collect::<Vec<_>>(),
            [Some(true); 3]
        );
        let said = check_together(&asks, 0).await;
        let all: Vec<_> = said.iter().map(allowed).collect();
        assert_eq!(
            all,
            [Some(true), Some(true), Some(false)],
            "{algorithm}: a dry run refuses nobody"
        );
        let said = check_together(&asks, 0).await;
        assert_eq!(store.stats().answered - before, 3, "one call each");
        assert_eq!(
            said.iter().map(remaining).collect::<Vec<_>>(),
            [Some(7), Some(0), Some(0)],
            "{algorithm}"
        );
        assert!(
            said.iter()
                .flatten()
                .all(|said| said.counted == Counted::default())
        );
        // It is known to refuse: nobody is asked.
        let said = check_together(&asks, 0).await;
        assert_eq!(
            said.iter().map(allowed).collect::<Vec<_>>(),
            [None, Some(false), Some(false)]
        );
        assert_eq!(store.stats().answered - before, 3);
        assert_eq!(
            (left_here(&wide, b"a"), left_here(&narrow, b"b")),
            (7, 0),
            "{algorithm}"
        );
        assert_eq!(left_here(&tried, b"c"), 0, "{algorithm}");
    }
}

/// What must be allowed there does not grow by it, and it leaves here what others counted.
#[tokio::test]
async fn what_was_counted_can_be_taken_back() {
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
    let store = ready(Store::start("test", &config).expect("a thread")).await;
    for algorithm in ALL {
        let limits =
            ["x", "y"].map(|name| limit(&store, &format!("{algorithm}-{name}"), algorithm, 5));
        let asks = [ask(&limits[0], b"a"), ask(&limits[1], b"b")];
        check_together(&asks, 0).await;
        let said = check_together(&asks, 0).await;
        let counted = said.iter().flatten().map(|said| said.counted);
        take_back(asks.iter().zip(counted), 0);
        nothing_under_way(&store);
        let said = check_together(&asks, 0).await;
        assert_eq!(
            said.iter().map(remaining).collect::<Vec<_>>(),
            [Some(3); 2],
            "{algorithm}"
        );
        assert_eq!(left_here(&limits[0], b"a"), 3, "{algorithm}");
    }
    assert_eq!(store.stats().refused, 0);
}

/// One that is asked twice counts twice, or not at all.
#[tokio::test]
async fn the_same_limit_twice() {
    let redis = Redis::start();
    let store = start(&[redis.address()], false).await;
    let limit = limit(&store, "x", Algorithm::FixedWindow, 3);
    let asks = [ask(&limit, b"a"), ask(&limit, b"a")];
    let said = check_together(&asks, 0).await;
    let all: Vec<_> = said.iter().map(remaining).collect();
    assert_eq!(all, [Some(2), Some(1)]);
    let said = check_together(&asks, 0).await;
    assert_eq!(allowed(&said[1]), Some(false));
    nothing_under_way(&store);
    assert_eq!(left_here(&limit, b"a"), 1);
    // By another clock than that of the refusal, which is remembered.
    let said = check_together(&asks[..1], 9000).await;
    assert_eq!(remaining(&said[0]), Some(0));
}

/// After an outage the limiter of a Weir must agree. What it refuses, the store does not keep either.
#[tokio::test]
async fn what_is_refused_here_is_not_counted_there() {
    let redis = Redis::start();
    let engines = Engines::new();
    let mut config = EngineConfig::redis(&[redis.address()], false).expect("a config");
    config.timeout.value = weir_config::Duration::from_secs(1);
    drop(engines.prepare("shared", &config).expect("a thread"));
    config.pending = weir_config::Within::new(77);
    // It takes the place of another, which others may have had to do without.
    let store = ready(engines.prepare("shared", &config).expect("a thread")).await;
    let limits = ["x", "y"].map(|name| limit(&store, name, Algorithm::SlidingLog, 3));
    for _ in 0..3 {
        limits[1].limiter().check(key(b"a"), Plan::NONE, 1, 0);
    }
    let asks = [ask(&limits[0], b"a"), ask(&limits[1], b"a")];
    for _ in 0..9 {
        let said = check_together(&asks, 0).await;
        let all: Vec<_> = said.iter().map(allowed).collect();
        assert_eq!(all, [Some(true), Some(false)]);
        nothing_under_way(&store);
    }
    assert_eq!(left_here(&limits[0], b"a"), 3);
    let other = start(&[redis.address()], false).await;
    let limits = ["x", "y"].map(|name| limit(&other, name, Algorithm::SlidingLog, 3));
    let asks = [ask(&limits[0], b"a"), ask(&limits[1], b"a")];
    let said = check_together(&asks, 0).await;
    let all: Vec<_> = said.iter().map(remaining).collect();
    assert_eq!(all, [Some(2), Some(2)]);
}

/// Nobody waits for what is taken back, not even while the store hangs, and there is never more of it than of questions.
#[tokio::test]
async fn taking_back_never_waits_and_has_a_bound() {
    let mut redis = Redis::start();
    let mut config = EngineConfig::redis(&[redis.address()], false).expect("a config");
    config.timeout.value = weir_config::Duration::from_secs(1);
    config.pending = weir_config::Within::new(3);
    let store = ready(Store::start("test", &config).expect("a thread")).await;
    let limit = limit(&store, "x", Algorithm::SlidingLog, 100);
    let asks = [ask(&limit, b"a")];
    let said = check_together(&asks, 0).await;
    let counted = said[0].as_ref().expect("asked").counted;
    redis.pause();
    for _ in 0..1000 {
        take_back([(&asks[0], counted)], 0);
    }
    assert!(store.stats().servers[0].pending <= 3);
    redis.resume();
    nothing_under_way(&store);
}

/// While a slot is on its way from one server to another, keys of the same slot may be on both.
#[tokio::test]
async fn limits_of_a_slot_that_moves() {
    let mut cluster = RedisCluster::start();
    let seeds: Vec<SocketAddr> = cluster.nodes().iter().map(Redis::address).collect();
    let store = start(&seeds, true).await;
    let limits = ["x", "y"].map(|name| limit(&store, name, Algorithm::SlidingLog, 9));
    let nodes = cluster.nodes();
    let slot_of = |client: &str| nodes[0].command(&["CLUSTER", "KEYSLOT", client]).number();
    let client = (0..)
        .map(|number| format!("192.0.2.{number}"))
        .find(|client| slot_of(client) < 5462)
        .expect("one of them");
    let slot = slot_of(&client).to_string();
    let client = client.as_bytes();
    let asks = [ask(&limits[0], client), ask(&limits[1], client)];
    let before = store.stats().answered;
    let said = check_together(&asks, 0).await;
    assert_eq!(said.iter().map(remaining).collect::<Vec<_>>(), [Some(8); 2]);
    assert_eq!(store.stats().answered - before, 1, "one call for one slot");

    let ids: Vec<_> = (0..2)
        .map(|at| nodes[at].command(&["CLUSTER", "MYID"]).text())
        .collect();
    nodes[1].command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &ids[0]]);
    nodes[0].command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &ids[1]]);
    let moved = nodes[0].command(&["CLUSTER", "GETKEYSINSLOT", &slot, "9"]);
    let moved: Vec<_> = moved.list().iter().map(RedisReply::text).collect();
    let moved = moved.iter().find(|key| key.contains(":x:")).expect("a key");
    let (host, port) = (seeds[1].ip().to_string(), seeds[1].port().to_string());
    nodes[0].command(&["MIGRATE", &host, &port, moved, "0", "1000"]);
    for left in [7, 6] {
        let said = check_together(&asks, 0).await;
        let errors: Vec<_> = said
            .iter()
            .flatten()
            .filter_map(|said| said.error.as_ref())
            .collect();
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(
            said.iter().map(remaining).collect::<Vec<_>>(),
            [Some(left); 2]
        );
    }
    assert!(
        store
            .stats()
            .servers
            .iter()
            .all(|server| server.times_opened == 0)
    );
    // Refused by one, it is not counted by the other for long, wherever that is.
    let narrow = limit(&store, "z", Algorithm::SlidingLog, 1);
    let both = [ask(&limits[0], client), ask(&narrow, client)];
    assert!(
        check_together(&both, 0)
            .await
            .iter()
            .all(|said| allowed(said) == Some(true))
    );
    assert_eq!(allowed(&check_together(&both, 0).await[1]), Some(false));
    nothing_under_way(&store);
    let said = check_together(&asks[..1], 0).await;
    assert_eq!(remaining(&said[0]), Some(4));
    assert_eq!(left_here(&limits[0], client), 4);
}
