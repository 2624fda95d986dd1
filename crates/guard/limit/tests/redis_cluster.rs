//! Shared limits on a real Redis Cluster.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_limit::store::{EngineConfig, SharedQuota, Store, StoreError};
use weir_limit::{Algorithm, Quota, Tier};
use weir_testkit::{Redis, RedisCluster, wait_until};

fn start(cluster: &mut RedisCluster, timeout_ms: u64) -> Store {
    let seeds: Vec<SocketAddr> = cluster.nodes().iter().map(Redis::address).collect();
    let mut config = EngineConfig::redis(&seeds, true).expect("a config");
    config.timeout.value = weir_config::Duration::from_millis(timeout_ms);
    Store::start("test", &config).expect("a thread")
}

async fn ready(store: &Store) {
    let ready = store.ready(Duration::from_secs(10)).await;
    assert!(ready, "{:?}", store.stats());
}

fn quota(store: &Store, limit: &str, count: u32) -> Arc<SharedQuota> {
    let quota = Quota {
        algorithm: Algorithm::SlidingLog,
        tiers: Box::new([Tier::new(count, 60_000), Tier::new(count * 9, 600_000)]),
        concurrency: None,
    };
    store.quota(limit, None, &quota).expect("tiers")
}

fn client(number: u32) -> Vec<u8> {
    format!("192.0.2.{number}").into_bytes()
}

/// Clients by the server that has them.
fn owners(cluster: &mut RedisCluster, clients: u32) -> BTreeMap<usize, Vec<u32>> {
    let mut owners: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    for number in 0..clients {
        let name = String::from_utf8(client(number)).expect("text");
        let slot = cluster.nodes()[0].command(&["CLUSTER", "KEYSLOT", &name]);
        owners
            .entry((slot.number() / 5462) as usize)
            .or_default()
            .push(number);
    }
    owners
}

#[tokio::test]
async fn limits_are_exact_on_all_servers() {
    let mut cluster = RedisCluster::start();
    let stores = [start(&mut cluster, 1000), start(&mut cluster, 1000)];
    let mut tasks = tokio::task::JoinSet::new();
    for store in &stores {
        ready(store).await;
        let quota = quota(store, "x", 5);
        for number in 0..60 {
            let (store, quota) = (store.clone(), Arc::clone(&quota));
            tasks.spawn(async move {
                let mut allowed = 0;
                for _ in 0..5 {
                    let verdict = store.check(&quota, &client(number), 1).await;
                    allowed += u32::from(verdict.expect("asked").allowed);
                }
                allowed
            });
        }
    }
    let allowed: u32 = tasks.join_all().await.into_iter().sum();
    assert_eq!(allowed, 60 * 5);
    assert_eq!(stores[0].stats().servers.len(), 3);
    for node in cluster.nodes() {
        assert!(node.command(&["DBSIZE"]).number() > 5);
    }
}

/// Only the clients of the server that fails notice; none of them waits once its breaker is open.
#[tokio::test]
async fn one_server_fails() {
    let mut cluster = RedisCluster::start();
    let owners = owners(&mut cluster, 30);
    let store = start(&mut cluster, 200);
    ready(&store).await;
    let quota = quota(&store, "x", 1000);
    let failing: [fn(&mut Redis); 2] = [|node| node.pause(), |node| node.kill()];
    let mending: [fn(&mut Redis); 2] = [|node| node.resume(), Redis::restart];
    for (fail, mend) in failing.into_iter().zip(mending) {
        fail(&mut cluster.nodes()[1]);
        while store.check(&quota, &client(owners[&1][0]), 1).await != Err(StoreError::Open) {}
        let begun = Instant::now();
        let mut asked = 0;
        while begun.elapsed() < Duration::from_millis(700) {
            for (owner, numbers) in &owners {
                for number in numbers {
                    let before = Instant::now();
                    let verdict = store.check(&quota, &client(*number), 1).await;
                    if *owner == 1 {
                        // A try to mend it may just be under way, but not succeed.
                        assert!(verdict.is_err(), "{verdict:?}");
                        assert!(
                            before.elapsed() < Duration::from_millis(200),
                            "nobody waits"
                        );
                    } else {
                        verdict.expect("the others do not notice");
                    }
                    asked += 1;
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(asked > 100, "{asked}");
        mend(&mut cluster.nodes()[1]);
        ready(&store).await;
        let check = store.check(&quota, &client(owners[&1][0]), 1).await;
        assert!(check.is_ok(), "{check:?}");
    }
    println!("{:?}", store.stats());
}

/// A slot on its way from one server to another, and then there.
#[tokio::test]
async fn slots_move() {
    let mut cluster = RedisCluster::start();
    let owners = owners(&mut cluster, 30);
    let store = start(&mut cluster, 1000);
    ready(&store).await;
    let quota = quota(&store, "x", 5);
    let number = owners[&0][0];
    let name = String::from_utf8(client(number)).expect("text");
    let nodes = cluster.nodes();
    let slot = nodes[0]
        .command(&["CLUSTER", "KEYSLOT", &name])
        .number()
        .to_string();
    let ids: Vec<_> = (0..2)
        .map(|at| nodes[at].command(&["CLUSTER", "MYID"]).text())
        .collect();

    // The key is not there yet, so the old owner says ASK.
    nodes[1].command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &ids[0]]);
    nodes[0].command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &ids[1]]);
    for left in [4, 3] {
        let verdict = store
            .check(&quota, &client(number), 1)
            .await
            .expect("asked");
        assert_eq!((verdict.allowed, verdict.remaining), (true, left));
    }
    // Now it says MOVED, until the map is looked up anew.
    nodes[1].command(&["CLUSTER", "SETSLOT", &slot, "NODE", &ids[1]]);
    nodes[0].command(&["CLUSTER", "SETSLOT", &slot, "NODE", &ids[1]]);
    for left in [2, 1, 0] {
        let verdict = store
            .check(&quota, &client(number), 1)
            .await
            .expect("asked");
        assert_eq!((verdict.allowed, verdict.remaining), (true, left));
    }
    let verdict = store
        .check(&quota, &client(number), 1)
        .await
        .expect("asked");
    assert!(!verdict.allowed);
    let misses = |nodes: &mut [Redis]| {
        let stats = nodes[0].command(&["INFO", "errorstats"]).text();
        stats
            .lines()
            .find(|line| line.contains("MOVED"))
            .map(ToOwned::to_owned)
    };
    let mut last = misses(nodes);
    wait_until("a map that is true", || {
        let before = std::mem::replace(&mut last, misses(nodes));
        before == last
    });
}

/// The slot that a server is tried with goes elsewhere, and nobody asks: that is no failure, but a reason to look anew.
#[tokio::test]
async fn a_server_is_looked_after_where_its_slots_are() {
    let mut cluster = RedisCluster::start();
    let store = start(&mut cluster, 1000);
    ready(&store).await;
    let nodes = cluster.nodes();
    let slot = (0..)
        .map(|client: u32| {
            let client = client.to_string();
            nodes[0].command(&["CLUSTER", "KEYSLOT", &client]).number()
        })
        .find(|slot| *slot < 5462)
        .expect("one of them")
        .to_string();
    let new_owner = nodes[1].command(&["CLUSTER", "MYID"]).text();
    // A node gives no slot away that holds a key.
    nodes[0].command(&["FLUSHALL"]);
    for node in [1, 0, 2] {
        nodes[node].command(&["CLUSTER", "SETSLOT", &slot, "NODE", &new_owner]);
    }
    wait_until("a try that meets the new owner", || {
        let errors = nodes[0].command(&["INFO", "errorstats"]).text();
        errors.contains("errorstat_MOVED")
    });
    ready(&store).await;
    let servers = store.stats().servers;
    assert!(
        servers.iter().all(|server| server.times_opened == 0),
        "{servers:?}"
    );
}

/// What Weir must be allowed to do there, and where.
#[tokio::test]
async fn a_user_with_few_rights_is_enough() {
    let mut cluster = RedisCluster::start();
    let rights = "-@all +eval +evalsha +time +strlen +get +getrange +set +append +pexpire +del +hmget +hset \
                  +cluster|slots +asking";
    let mut user = vec!["ACL", "SETUSER", "weir", "on", ">hunter2", "~weir:*"];
    user.extend(rights.split_ascii_whitespace());
    for node in cluster.nodes() {
        node.command(&user);
    }
    let urls = cluster.urls().join(", ");
    let text =
        format!("{{ redis: [{urls}], cluster: true, user: weir, password: hunter2, timeout: 1s }}");
    let mut cx = weir_config::Cx::from_text("weir.yaml", &text, &|_| None);
    let config = cx.decode::<EngineConfig>();
    let config = cx.finish(config).expect("a config").value;
    let store = Store::start("test", &config).expect("a thread");
    ready(&store).await;
    let quota = quota(&store, "x", 5);
    for number in 0..30 {
        let verdict = store.check(&quota, &client(number), 1).await;
        assert!(verdict.expect("asked").allowed);
    }
}

#[tokio::test]
async fn a_cluster_that_the_config_does_not_call_one() {
    let mut cluster = RedisCluster::start();
    // The key of the probe lies on another server.
    let address = cluster.nodes()[0].address();
    let config = EngineConfig::redis(&[address], false).expect("a config");
    let store = Store::start("test", &config).expect("a thread");
    wait_until("what is wrong", || {
        let servers = store.stats().servers;
        servers
            .iter()
            .any(|server| server.why.contains("`cluster: true`"))
    });
}
