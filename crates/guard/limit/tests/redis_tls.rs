//! Shared limits on a real Redis that is reached through TLS: whom Weir believes, whom not, and what it says about that.

#[path = "common/certificates.rs"]
mod certificates;

use std::sync::Arc;
use std::time::{Duration, Instant};

use certificates::{Authority, redis_arguments};
use weir_limit::store::{EngineConfig, Engines, SharedQuota, Store, StoreError, StoreServer};
use weir_limit::{Algorithm, Quota, Tier};
use weir_testkit::{Redis, RedisCluster, wait_until};

fn config(text: &str) -> Result<EngineConfig, String> {
    let mut cx = weir_config::Cx::from_text("weir.yaml", text, &|_| None);
    let config = cx.decode::<EngineConfig>();
    let loaded = cx.finish(config).map_err(|problems| problems.to_string())?;
    Ok(loaded.value)
}

fn store(text: &str) -> Store {
    let config = config(text).expect(text);
    Store::start("test", &config).expect("a thread")
}

async fn ready(store: &Store) {
    let ready = store.ready(Duration::from_secs(10)).await;
    assert!(ready, "{:?}", store.stats());
}

fn quota(store: &Store) -> Arc<SharedQuota> {
    let quota = Quota {
        algorithm: Algorithm::SlidingLog,
        tiers: Box::new([Tier::new(2, 60_000)]),
        concurrency: None,
    };
    store.quota("x", None, &quota).expect("a tier")
}

/// It works, and counts.
async fn counts(store: &Store, client: &[u8]) {
    ready(store).await;
    let quota = quota(store);
    for allowed in [true, true, false] {
        let verdict = store.check(&quota, client, 1).await.expect("asked");
        assert_eq!(verdict.allowed, allowed);
    }
}

/// It is not asked, and this is why.
async fn fails(store: &Store, said: &str) {
    let begun = Instant::now();
    let is_it = |server: &StoreServer| server.open && server.why.contains(said);
    while !store.stats().servers.iter().all(is_it) {
        let stats = store.stats();
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{said}: {stats:?}"
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let answer = store.check(&quota(store), b"a", 1).await;
    assert_eq!(answer, Err(StoreError::Open));
}

fn start(authority: &Authority, files: &[String; 2], wants_clients: bool) -> Redis {
    let arguments = redis_arguments(&authority.ca(), files, wants_clients);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Redis::start_tls(&arguments)
}

#[tokio::test]
async fn whom_it_believes() {
    let (ours, other) = (Authority::new(), Authority::new());
    let redis = start(
        &ours,
        &ours.issue("redis", &["redis.test", "127.0.0.1"]),
        false,
    );
    let at = |host: &str| redis.tls_url(host);
    let (ca, others) = (ours.ca(), other.ca());
    let engine =
        |host: &str, more: &str| store(&format!("{{ redis: '{}', timeout: 1s{more} }}", at(host)));
    counts(&engine("127.0.0.1", &format!(", ca: {ca}")), b"a").await;
    // Reached under a name that it has no certificate for, unless the config knows better.
    let store = engine("localhost", &format!(", ca: {ca}"));
    fails(&store, "not valid for name \"localhost\"").await;
    fails(&store, "(see `server_name`)").await;
    let named = engine("localhost", &format!(", ca: {ca}, server_name: redis.test"));
    counts(&named, b"b").await;
    let wrong = engine("127.0.0.1", &format!(", ca: {ca}, server_name: b.test"));
    fails(&wrong, "not valid for name \"b.test\"").await;
    // Somebody else vouches for it.
    let store = engine("127.0.0.1", &format!(", ca: {others}"));
    fails(&store, "an authority that is not trusted (see `ca`)").await;
    // Whatever this system trusts, it is not that.
    fails(&engine("127.0.0.1", ""), "`ca`").await;
}

#[tokio::test]
async fn a_certificate_that_has_expired() {
    let authority = Authority::new();
    let files = authority.issue_expired("redis", &["127.0.0.1"]);
    let mut redis = start(&authority, &files, false);
    let engine = format!(
        "{{ redis: '{}', ca: {}, timeout: 1s }}",
        redis.tls_url("127.0.0.1"),
        authority.ca()
    );
    let store = store(&engine);
    fails(&store, "expired").await;
    // Renewed in place.
    authority.issue("redis", &["127.0.0.1"]);
    redis.restart();
    counts(&store, b"a").await;
}

#[tokio::test]
async fn a_server_that_wants_to_know_who_weir_is() {
    let authority = Authority::new();
    let files = authority.issue("redis", &["127.0.0.1"]);
    let mut redis = start(&authority, &files, true);
    let [cert, key] = authority.issue("weir", &["weir.test"]);
    let engine = format!(
        "redis: '{}', ca: {}, timeout: 1s",
        redis.tls_url("127.0.0.1"),
        authority.ca()
    );
    let nobody = store(&format!("{{ {engine} }}"));
    fails(&nobody, "it wants a certificate from us").await;
    let [expired_cert, expired_key] = authority.issue_expired("expired", &["weir.test"]);
    let refused = store(&format!(
        "{{ {engine}, cert: {expired_cert}, key: {expired_key} }}"
    ));
    fails(&refused, "CertificateExpired").await;

    let engine = format!("{{ {engine}, cert: {cert}, key: {key} }}");
    let known = store(&engine);
    counts(&known, b"a").await;
    // Certificates that are renewed in place count from the next connection on, and so do those that broke.
    std::fs::copy(&expired_cert, &cert).expect("copied");
    redis.restart();
    fails(&known, "do not go together").await;
    std::fs::copy(&expired_key, &key).expect("copied");
    fails(&known, "CertificateExpired").await;
    authority.issue("weir", &["weir.test"]);
    counts(&known, b"b").await;
}

#[tokio::test]
async fn who_one_is_there() {
    let authority = Authority::new();
    let files = authority.issue("redis", &["127.0.0.1"]);
    let redis = start(&authority, &files, false);
    redis.command(&[
        "ACL", "SETUSER", "weir", "on", ">hunter2", "~weir:*", "+@all",
    ]);
    redis.command(&["ACL", "SETUSER", "default", "nopass", "-@all", "+acl"]);
    let engine = format!(
        "redis: '{}', ca: {}, timeout: 1s",
        redis.tls_url("127.0.0.1"),
        authority.ca()
    );
    counts(
        &store(&format!("{{ {engine}, user: weir, password: hunter2 }}")),
        b"a",
    )
    .await;
    fails(
        &store(&format!("{{ {engine}, user: weir, password: hunter3 }}")),
        "`user` and `password`",
    )
    .await;
    fails(&store(&format!("{{ {engine} }}")), "NOPERM").await;
}

/// One side speaks TLS and the other does not: both say so.
#[tokio::test]
async fn plain_text_is_no_tls() {
    let authority = Authority::new();
    let redis = start(&authority, &authority.issue("redis", &["127.0.0.1"]), false);
    let plain = redis.url().replace("redis://", "rediss://");
    let store_tls = store(&format!("{{ redis: '{plain}', ca: {} }}", authority.ca()));
    fails(&store_tls, "TLS").await;
    let tls = redis.tls_url("127.0.0.1").replace("rediss://", "redis://");
    let store_plain = store(&format!("{{ redis: '{tls}' }}"));
    fails(&store_plain, "rediss://").await;
}

#[test]
fn files_are_looked_at_before_anything_runs() {
    let authority = Authority::new();
    let [cert, key] = authority.issue("weir", &["weir.test"]);
    let [other, _] = authority.issue("other", &["weir.test"]);
    let ca = authority.ca();
    let engine = |more: &str| config(&format!("{{ redis: rediss://a, {more} }}"));
    assert!(engine(&format!("ca: {ca}, cert: {cert}, key: {key}")).is_ok());
    for (more, said) in [
        (format!("ca: {key}"), "holds no certificate"),
        (format!("ca: {ca}.gone"), "cannot read"),
        (format!("cert: {cert}, key: {cert}"), "holds no private key"),
        (format!("cert: {key}, key: {key}"), "holds no certificate"),
        (format!("cert: {other}, key: {key}"), "do not go together"),
    ] {
        let problems = engine(&more).expect_err(&more);
        assert!(problems.contains(said), "{more}: {problems}");
    }
}

/// A reload with the same config keeps the connection, whatever happened to the files.
#[tokio::test]
async fn a_reload_keeps_the_connection() {
    let authority = Authority::new();
    let redis = start(&authority, &authority.issue("redis", &["127.0.0.1"]), false);
    let text = format!(
        "{{ redis: '{}', ca: {}, timeout: 1s }}",
        redis.tls_url("127.0.0.1"),
        authority.ca()
    );
    let engines = Engines::new();
    let first = engines.prepare("shared", &config(&text).expect("a config"));
    let first = first.expect("a thread");
    counts(&first, b"a").await;
    let again = engines.prepare("shared", &config(&text).expect("a config"));
    assert_eq!(again.expect("it is there").stats().answered, 3);
}

fn start_cluster(authority: &Authority, hosts: &[&str]) -> RedisCluster {
    let files = authority.issue("redis", hosts);
    let arguments = redis_arguments(&authority.ca(), &files, true);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    RedisCluster::start_tls(&arguments)
}

fn cluster_engine(cluster: &RedisCluster, authority: &Authority, host: &str, more: &str) -> Store {
    let [cert, key] = authority.issue("weir", &["weir.test"]);
    store(&format!(
        "{{ redis: ['{}'], cluster: true, ca: {}, cert: {cert}, key: {key}, timeout: 1s{more} }}",
        cluster.tls_urls(host)[0],
        authority.ca()
    ))
}

async fn counts_everywhere(store: &Store) {
    ready(store).await;
    assert_eq!(store.stats().servers.len(), 3);
    for number in 0..30u32 {
        counts(store, format!("192.0.2.{number}").as_bytes()).await;
    }
}

#[tokio::test]
async fn a_cluster_of_addresses() {
    let authority = Authority::new();
    let mut cluster = start_cluster(&authority, &["127.0.0.1"]);
    counts_everywhere(&cluster_engine(&cluster, &authority, "127.0.0.1", "")).await;
    for node in cluster.nodes() {
        assert!(node.command(&["DBSIZE"]).number() > 3);
    }
    // Nothing of it can be known under a name that no certificate is for.
    let store = cluster_engine(&cluster, &authority, "localhost", "");
    fails(&store, "not valid for name \"localhost\"").await;
}

/// As with managed Clusters: certificates are for a name, and nodes tell their addresses.
#[tokio::test]
async fn a_cluster_under_one_name() {
    let authority = Authority::new();
    let cluster = start_cluster(&authority, &["cluster.test"]);
    let store = cluster_engine(
        &cluster,
        &authority,
        "127.0.0.1",
        ", server_name: cluster.test",
    );
    counts_everywhere(&store).await;
    let store = cluster_engine(&cluster, &authority, "127.0.0.1", "");
    fails(&store, "not valid for name \"127.0.0.1\"").await;
}

/// All nodes tell this hostname, and know so of each other.
fn announce(cluster: &mut RedisCluster, hostname: &str) {
    for node in cluster.nodes() {
        node.command(&["CONFIG", "SET", "cluster-announce-hostname", hostname]);
    }
    let told = |node: &Redis| {
        let nodes = node.command(&["CLUSTER", "NODES"]).text();
        nodes.matches(&format!(",{hostname}")).count() == 3
    };
    wait_until("hostnames that all know", || {
        cluster.nodes().iter().all(told)
    });
}

/// Each node tells the hostname that its certificate is for, beside its address or in its place.
#[tokio::test]
async fn a_cluster_of_hostnames() {
    let authority = Authority::new();
    let mut cluster = start_cluster(&authority, &["localhost"]);
    announce(&mut cluster, "localhost");
    // A name in the config is for those that announce none, such as the node that is asked first.
    for kind in ["ip", "hostname"] {
        for node in cluster.nodes() {
            node.command(&["CONFIG", "SET", "cluster-preferred-endpoint-type", kind]);
            node.command(&["FLUSHALL"]);
        }
        let store = cluster_engine(
            &cluster,
            &authority,
            "127.0.0.1",
            ", server_name: localhost",
        );
        counts_everywhere(&store).await;
        let servers = store.stats().servers;
        let at = if kind == "ip" {
            "127.0.0.1:"
        } else {
            "localhost:"
        };
        assert!(servers.iter().all(|server| server.address.starts_with(at)));
    }
    // One that its certificate is not for.
    announce(&mut cluster, "other.test");
    for node in cluster.nodes() {
        node.command(&["CONFIG", "SET", "cluster-preferred-endpoint-type", "ip"]);
    }
    let store = cluster_engine(&cluster, &authority, "localhost", "");
    fails(&store, "not valid for name \"other.test\"").await;
    fails(&store, "(the Cluster announces this name)").await;
}
