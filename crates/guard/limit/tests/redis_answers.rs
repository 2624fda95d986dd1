//! What a server may answer instead of a verdict, and what becomes of it: errors, nonsense, too much, and nothing.

#[path = "common/scripted.rs"]
mod scripted;

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use scripted::{Act, Scripted, allowed, is_probe, now, numbers};
use weir_limit::store::{EngineConfig, SharedQuota, Store, StoreError};
use weir_limit::{Algorithm, Quota, Tier};
use weir_testkit::{Redis, wait_until};

fn start(server: &Scripted, timeout_ms: u64) -> Store {
    let mut config = EngineConfig::redis(&[server.addr], false).expect("a config");
    config.timeout.value = weir_config::Duration::from_millis(timeout_ms);
    Store::start("test", &config).expect("a thread")
}

async fn ready(store: &Store) {
    let ready = store.ready(Duration::from_secs(10)).await;
    assert!(ready, "{:?}", store.stats());
}

fn quota(store: &Store) -> Arc<SharedQuota> {
    let quota = Quota {
        algorithm: Algorithm::FixedWindow,
        tiers: Box::new([Tier::new(10, 1000)]),
        concurrency: None,
    };
    store.quota("x", None, &quota).expect("a tier")
}

fn why(store: &Store) -> String {
    store.stats().servers[0].why.clone()
}

fn is_open(store: &Store) -> bool {
    store.stats().servers[0].open
}

/// A server whose own checks work: only requests meet what is tested.
fn only_requests(act: impl Fn() -> Act + Send + Sync + 'static) -> Scripted {
    Scripted::start(move |command| match is_probe(command) {
        true => allowed(now()),
        false => act(),
    })
}

/// Every error is told to who asked, and opens the breaker when it stays; it closes once checks work.
#[tokio::test]
async fn errors() {
    for error in [
        "LOADING Redis is loading the dataset in memory",
        "BUSY Redis is busy running a script.",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "CLUSTERDOWN The cluster is down",
        "READONLY You can't write against a read only replica.",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "NOAUTH Authentication required.",
        "NOPERM this user has no permissions to run the 'evalsha' command",
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "MISCONF Redis is configured to save RDB snapshots",
        "NOREPLICAS Not enough good replicas to write.",
        "ERR max number of clients reached",
        "SOMETHING",
    ] {
        let broken = Arc::new(AtomicBool::new(false));
        let ill = Arc::clone(&broken);
        let server = Scripted::start(move |_| match ill.load(Ordering::SeqCst) {
            true => Act::Say(format!("-{error}\r\n").into_bytes()),
            false => allowed(now()),
        });
        let store = start(&server, 1000);
        ready(&store).await;
        let quota = quota(&store);
        assert!(store.check(&quota, b"a", 1).await.is_ok());
        broken.store(true, Ordering::SeqCst);
        let word = error.split(' ').next().expect("a word");
        for _ in 0..5 {
            let begun = Instant::now();
            match store.check(&quota, b"a", 1).await {
                Err(StoreError::Refused(why)) if word != "ERR" => {
                    assert!(why.contains(word), "{why}");
                }
                Err(StoreError::Refused(_)) => {}
                other => panic!("{error}: {other:?}"),
            }
            assert!(begun.elapsed() < Duration::from_millis(500), "at once");
        }
        assert_eq!(store.check(&quota, b"a", 1).await, Err(StoreError::Open));
        wait_until(error, || is_open(&store) && why(&store).contains(error));
        broken.store(false, Ordering::SeqCst);
        ready(&store).await;
        assert!(store.check(&quota, b"a", 1).await.is_ok());
    }
}

/// A script that the server does not keep, however often it is sent whole.
#[tokio::test]
async fn scripts_that_are_never_known() {
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let server = only_requests(move || {
        count.fetch_add(1, Ordering::SeqCst);
        Act::Say(b"-NOSCRIPT No matching script. Please use EVAL.\r\n".to_vec())
    });
    let store = start(&server, 1000);
    ready(&store).await;
    let answer = store.check(&quota(&store), b"a", 1).await;
    assert!(matches!(answer, Err(StoreError::Refused(_))), "{answer:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 2, "by name, and whole");
}

/// What is no answer of a script, or no Redis at all, fails who asked; nothing panics, and the store goes on.
#[tokio::test]
async fn nonsense() {
    let nested = "*1\r\n".repeat(10_000);
    for nonsense in [
        "+OK\r\n",
        "$-1\r\n",
        "*-1\r\n",
        "*0\r\n",
        ":7\r\n",
        "*6\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n$1\r\n1\r\n",
        "*6\r\n:1\r\n:9\r\n:1\r\n:1\r\n:1\r\n:1\r\n",
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "\x15\x03\x01\x00\x02\x02\x46",
        "\r\n",
        ":x\r\n",
        "$5\r\nabcdefgh\r\n",
        "*99999999999999999999\r\n",
        "*1000000000\r\n",
        "$9223372036854775807\r\n",
        "%1\r\n+a\r\n+b\r\n",
        ">2\r\n+message\r\n+b\r\n",
        &nested,
        "",
    ] {
        let said = nonsense.to_owned();
        let server = only_requests(move || match said.is_empty() {
            true => Act::Hang,
            false => Act::Say(said.clone().into_bytes()),
        });
        let store = start(&server, 200);
        ready(&store).await;
        let quota = quota(&store);
        let shown = &nonsense[..nonsense.len().min(40)];
        for _ in 0..3 {
            let answer = store.check(&quota, b"a", 1).await;
            assert!(answer.is_err(), "{shown:?}: {answer:?}");
        }
        wait_until("a server that is tried again", || !is_open(&store));
    }
}

/// Numbers beyond all measure are no reason to refuse a client for ever.
#[tokio::test]
async fn numbers_beyond_measure() {
    let server = only_requests(|| numbers(&[0, 1, i64::MIN, i64::MAX, i64::MAX, i64::MAX]));
    let store = start(&server, 1000);
    ready(&store).await;
    let verdict = store.check(&quota(&store), b"a", 1).await.expect("asked");
    assert_eq!((verdict.allowed, verdict.remaining), (false, 0));
}

/// However much comes, little of it is taken.
#[tokio::test]
async fn answers_without_end() {
    let megabyte = |with: &str| with.repeat((1 << 20) / with.len()).into_bytes();
    for (first, then) in [
        ("+", megabyte("a")),
        ("-ERR ", megabyte("a")),
        ("$536870912\r\n", megabyte("a")),
        ("*1048576\r\n", megabyte(":1\r\n")),
        ("", megabyte("*60000\r\n")),
        ("", megabyte("\r\n")),
    ] {
        let bytes = then.clone();
        let server = only_requests(move || Act::Flood(first.into(), bytes.clone()));
        let store = start(&server, 50);
        ready(&store).await;
        let answer = store.check(&quota(&store), b"a", 1).await;
        assert!(answer.is_err(), "{first}: {answer:?}");
        wait_until("the end of the connection", || {
            server.dammed.load(Ordering::SeqCst) == 1
        });
        // What the kernel holds for both ends counts, too.
        let flooded = server.flooded.load(Ordering::SeqCst);
        assert!(flooded < 16 << 20, "{first}: {flooded}");
    }
}

/// A server that goes away without a word is found out, though nobody asks.
#[tokio::test]
async fn silence_is_noticed() {
    let silent = Arc::new(AtomicBool::new(false));
    let gone = Arc::clone(&silent);
    let server = Scripted::start(move |_| match gone.load(Ordering::SeqCst) {
        true => Act::Hang,
        false => allowed(now()),
    });
    let store = start(&server, 1000);
    ready(&store).await;
    // Asked, it is past all that belongs to a new connection.
    let quota = quota(&store);
    assert!(store.check(&quota, b"a", 1).await.is_ok());
    silent.store(true, Ordering::SeqCst);
    wait_until("an open breaker", || is_open(&store));
    assert!(
        why(&store).contains("no answer within 1s"),
        "{}",
        why(&store)
    );
    let begun = Instant::now();
    let answer = store.check(&quota, b"a", 1).await;
    assert_eq!(answer, Err(StoreError::Open));
    assert!(begun.elapsed() < Duration::from_millis(500), "nobody waits");
    silent.store(false, Ordering::SeqCst);
    ready(&store).await;
}

/// A clock that is set does not cost checks: those that seem late are sent once more by the new time.
#[tokio::test]
async fn a_clock_that_is_set() {
    const HOUR: i64 = 3_600_000_000;
    let ahead = Arc::new(AtomicI64::new(0));
    let set = Arc::clone(&ahead);
    let server = Scripted::start(move |command| {
        let now = now() + set.load(Ordering::SeqCst);
        let until: i64 = command[4].parse().expect("a number");
        match now > until {
            true => numbers(&[-1, 0, 0, 0, 0, now]),
            false => allowed(now),
        }
    });
    let store = start(&server, 1000);
    ready(&store).await;
    let quota = quota(&store);
    for clock in [HOUR, -HOUR, 0, 45 * 24 * HOUR, 0] {
        ahead.store(clock, Ordering::SeqCst);
        for _ in 0..3 {
            assert!(store.check(&quota, b"a", 1).await.is_ok(), "{clock}");
        }
    }
    assert_eq!(store.stats().late, 0);
}

/// Whoever has the key now is not known yet: that is no fault of who says so.
#[tokio::test]
async fn a_slot_that_went_where_nobody_knows() {
    let elsewhere = weir_testkit::free_addr();
    let own = Arc::new(std::sync::OnceLock::<u16>::new());
    let port = Arc::clone(&own);
    let server = Scripted::start(move |command| {
        if command[0] == "CLUSTER" {
            let port = port.get().expect("it is told");
            let map = format!("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:{port}\r\n");
            return Act::Say(map.into_bytes());
        }
        match command.iter().any(|word| word.ends_with(":{moved}")) {
            true => Act::Say(format!("-MOVED 1 {elsewhere}\r\n").into_bytes()),
            false => allowed(now()),
        }
    });
    own.set(server.addr.port()).expect("once");
    let mut config = EngineConfig::redis(&[server.addr], true).expect("a config");
    config.timeout.value = weir_config::Duration::from_secs(1);
    let store = Store::start("test", &config).expect("a thread");
    ready(&store).await;
    let quota = quota(&store);
    for _ in 0..20 {
        let answer = store.check(&quota, b"moved", 1).await;
        assert_eq!(answer, Err(StoreError::Moved));
    }
    assert!(
        store.check(&quota, b"a", 1).await.is_ok(),
        "{:?}",
        store.stats()
    );
    assert_eq!(store.stats().lost, 20);
}

/// The real one, in states that it gets into.
#[tokio::test]
async fn states_of_a_real_redis() {
    let redis = Redis::start();
    let mut config = EngineConfig::redis(&[redis.address()], false).expect("a config");
    config.timeout.value = weir_config::Duration::from_secs(1);
    let store = Store::start("test", &config).expect("a thread");
    let quota = quota(&store);
    let nowhere = weir_testkit::free_port().to_string();
    type Commands<'a> = &'a [&'a [&'a str]];
    let states: [(Commands<'_>, &str, Commands<'_>); 5] = [
        // A failover that made a replica of it.
        (
            &[&["REPLICAOF", "127.0.0.1", &nowhere]],
            "READONLY",
            &[&["REPLICAOF", "NO", "ONE"]],
        ),
        (
            &[
                &["CONFIG", "SET", "replica-serve-stale-data", "no"],
                &["REPLICAOF", "127.0.0.1", &nowhere],
            ],
            "MASTERDOWN",
            &[&["REPLICAOF", "NO", "ONE"]],
        ),
        (
            &[&["CONFIG", "SET", "maxmemory", "1"]],
            "OOM",
            &[&["CONFIG", "SET", "maxmemory", "0"]],
        ),
        (
            &[&["CONFIG", "SET", "min-replicas-to-write", "1"]],
            "NOREPLICAS",
            &[&["CONFIG", "SET", "min-replicas-to-write", "0"]],
        ),
        (
            &[&["ACL", "SETUSER", "default", "-evalsha", "-eval"]],
            "NOPERM",
            &[&["ACL", "SETUSER", "default", "+@all"]],
        ),
    ];
    for (into, said, out) in states {
        ready(&store).await;
        assert!(store.check(&quota, b"a", 1).await.is_ok(), "before {said}");
        for command in into {
            redis.command(command);
        }
        let mut refused = None;
        loop {
            match store.check(&quota, b"b", 1).await {
                Err(StoreError::Refused(why)) => refused = Some(why),
                Err(StoreError::Open) => break,
                other => panic!("{said}: {other:?}"),
            }
        }
        let refused = refused.expect("it was asked");
        assert!(refused.contains(said), "{said}: {refused}");
        wait_until(said, || why(&store).contains(said));
        for command in out {
            redis.command(command);
        }
    }
    ready(&store).await;
}

/// Another's script holds the server up: first it says nothing, then that it is busy.
#[tokio::test]
async fn a_script_that_does_not_end() {
    let redis = Redis::start_with(&["--lua-time-limit", "100"]);
    let config = EngineConfig::redis(&[redis.address()], false).expect("a config");
    let store = Store::start("test", &config).expect("a thread");
    ready(&store).await;
    let quota = quota(&store);
    let mut other = TcpStream::connect(redis.address()).expect("a connection");
    other
        .write_all(b"EVAL \"while redis.call('TIME') do end\" 0\r\n")
        .expect("sent");
    let begun = Instant::now();
    while !why(&store).contains("BUSY") {
        assert!(begun.elapsed() < Duration::from_secs(10), "{}", why(&store));
        let _ = store.check(&quota, b"a", 1).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(store.check(&quota, b"a", 1).await, Err(StoreError::Open));
    redis.command(&["SCRIPT", "KILL"]);
    ready(&store).await;
}
