//! Each algorithm against a real Redis and a log of all that was accepted, at the times that Redis told.

use std::sync::Arc;
use std::time::Duration;

use weir_testkit::Redis;

use super::call::Part;
use super::{EngineConfig, SharedQuota, Store};
use crate::{Algorithm, Quota, Tier, Verdict};

mod together;

const ALL: [Algorithm; 5] = [
    Algorithm::SlidingLog,
    Algorithm::SlidingWindow,
    Algorithm::FixedWindow,
    Algorithm::TokenBucket,
    Algorithm::Smooth,
];

/// A little generator, so that each run tries something else and says what.
struct Random(u64);

impl Random {
    fn new() -> Self {
        use std::hash::{BuildHasher, RandomState};
        let seed = RandomState::new().hash_one(1);
        println!("seed {seed}");
        Self(seed | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// What was accepted: when, in microseconds, and how much.
type Log = Vec<(i64, u32)>;

/// What a tier must say: what it has left, in how long it has more, in how long the cost fits if it does not.
fn expect(algorithm: Algorithm, tier: &Tier, log: &Log, now: i64, cost: u32) -> (i64, i64, i64) {
    let (count, window) = (i64::from(tier.count), tier.window_ms as i64 * 1000);
    let cost = i64::from(cost);
    let units = |since: &dyn Fn(i64) -> bool| -> Vec<i64> {
        let counted = log.iter().filter(|(at, _)| since(*at));
        counted
            .flat_map(|(at, cost)| std::iter::repeat_n(*at, *cost as usize))
            .collect()
    };
    // When a unit stops counting.
    let (used, ends): (Vec<i64>, Box<dyn Fn(i64) -> i64>) = match algorithm {
        Algorithm::SlidingLog => (
            units(&|at| at > now - window),
            Box::new(move |at| at + window),
        ),
        Algorithm::FixedWindow => (
            units(&|at| at / window == now / window),
            Box::new(move |at| (at / window + 1) * window),
        ),
        Algorithm::SlidingWindow => {
            let part = (window + 19) / 20;
            (
                units(&|at| at / part + 20 >= now / part),
                Box::new(move |at| (at / part + 21) * part),
            )
        }
        Algorithm::TokenBucket | Algorithm::Smooth => {
            // In parts of a token: `window` are a whole one, `count` come back each microsecond.
            let (mut missing, mut since) = (0i128, 0);
            for &(at, cost) in log {
                missing = (missing - i128::from(at - since) * i128::from(count)).max(0);
                missing += i128::from(cost) * i128::from(window);
                since = at;
            }
            missing = (missing - i128::from(now - since) * i128::from(count)).max(0);
            let (unit, gain) = (i128::from(window), i128::from(count));
            let full = i128::from(tier.burst) * unit;
            let left = ((full - missing) / unit) as i64;
            let up = |amount: i128| (amount + gain - 1).div_euclid(gain) as i64;
            let part = if missing % unit == 0 {
                unit
            } else {
                missing % unit
            };
            let wait = up(missing + i128::from(cost) * unit - full);
            return (left, up(part), wait);
        }
    };
    let left = count - used.len() as i64;
    let resets = ends(used.first().copied().unwrap_or(now)) - now;
    let too_many = used.len() as i64 + cost - count;
    let fits = if cost > count || too_many <= 0 {
        -1
    } else {
        ends(used[too_many as usize - 1]) - now
    };
    (left, resets, fits)
}

fn compare(quota: &Quota, log: &Log, now: i64, cost: u32, verdict: &Verdict) -> Result<(), String> {
    let tiers = quota
        .tiers
        .iter()
        .map(|tier| expect(quota.algorithm, tier, log, now, cost));
    let tiers: Vec<_> = tiers.collect();
    let allowed = tiers.iter().all(|(left, ..)| *left >= i64::from(cost));
    let (left, resets, fits) = tiers[usize::from(verdict.tier)];
    let millis = |micros: i64| (micros + 999) / 1000;
    let fine = if allowed {
        let least = tiers.iter().map(|(left, ..)| *left).min();
        verdict.allowed
            && Some(left) == least
            && i64::from(verdict.remaining) == left - i64::from(cost)
            && verdict.reset_ms as i64 == millis(resets)
            && verdict.retry_after_ms == 0
    } else {
        let longest = tiers
            .iter()
            .filter(|(left, ..)| *left < i64::from(cost))
            .map(|(.., fits)| *fits)
            .max();
        !verdict.allowed
            && Some(fits) == longest
            && i64::from(verdict.remaining) == left
            && verdict.reset_ms as i64 == millis(resets)
            && verdict.retry_after_ms as i64 == millis(fits).max(millis(resets))
    };
    if fine {
        Ok(())
    } else {
        let recent = &log[log.len().saturating_sub(40)..];
        Err(format!(
            "{quota:?}\nat {now}, cost {cost}: {verdict:?}\nexpected {tiers:?}\n{recent:?}"
        ))
    }
}

fn quota(algorithm: Algorithm, tiers: &[Tier]) -> Quota {
    Quota {
        algorithm,
        tiers: tiers.into(),
        concurrency: None,
    }
}

fn store(redis: &Redis) -> Store {
    let mut config = EngineConfig::redis(&[redis.address()], false).expect("a config");
    config.timeout.value = weir_config::Duration::from_millis(1000);
    Store::start("test", &config).expect("a thread")
}

/// One limit, asked alone; what it says and when.
async fn ask(store: &Store, quota: &Arc<SharedQuota>, client: &[u8], cost: u32) -> (i64, Verdict) {
    let part = part(quota, client, cost, true);
    let answer = store.ask(Arc::new([part]), true).await.expect("asked");
    (answer.at, answer.said[0].verdict)
}

fn part(quota: &Arc<SharedQuota>, client: &[u8], cost: u32, binding: bool) -> Part {
    Part {
        key: quota.key(client).into(),
        quota: Arc::clone(quota),
        cost,
        binding,
    }
}

async fn replay(algorithm: Algorithm, tiers: &[Tier], greatest_cost: u32) {
    let redis = Redis::start();
    let store = store(&redis);
    assert!(store.ready(Duration::from_secs(5)).await);
    let quota = quota(algorithm, tiers);
    let shared = store.quota("test", None, &quota).expect("tiers");
    let mut random = Random::new();
    let mut log = Log::new();
    let (mut allowed, mut denied) = (0, 0);
    let begun = tokio::time::Instant::now();
    // On a busy machine it takes longer until there are enough of both.
    let enough = |allowed: u32, denied: u32| {
        let past = begun.elapsed();
        past > Duration::from_secs(30)
            || past > Duration::from_secs(3) && allowed > 20 && denied > 20
    };
    while !enough(allowed, denied) {
        let cost = 1 + random.below(u64::from(greatest_cost)) as u32;
        let (at, verdict) = ask(&store, &shared, b"client", cost).await;
        compare(&quota, &log, at, cost, &verdict).unwrap_or_else(|why| panic!("{why}"));
        if verdict.allowed {
            log.push((at, cost));
            allowed += 1;
        } else {
            denied += 1;
        }
        // Bursts, and pauses up to beyond the shorter windows.
        if random.below(3) == 0 {
            let pause = random.below(1 + random.0 % 60);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }
    println!("{algorithm}: {allowed} allowed, {denied} denied");
    assert!(allowed > 20 && denied > 20, "{allowed} and {denied}");
    // It ends by itself, or has (-2); -1 would be never.
    let key = shared.key(b"client");
    let lives = redis.command(&["PTTL", &String::from_utf8_lossy(&key)]);
    let longest = tiers.iter().map(|tier| tier.window_ms).max().expect("one");
    let lives = lives.number();
    assert!(lives != -1 && lives <= longest as i64 * 2, "{lives}");
}

fn tiers() -> [Tier; 3] {
    [Tier::new(5, 30), Tier::new(12, 110), Tier::new(20, 333)]
}

#[tokio::test]
async fn sliding_log() {
    replay(Algorithm::SlidingLog, &tiers(), 3).await;
}

/// Longer than what is read at once.
#[tokio::test]
async fn long_sliding_log() {
    let tiers = [Tier::new(300, 100), Tier::new(700, 500)];
    replay(Algorithm::SlidingLog, &tiers, 30).await;
}

#[tokio::test]
async fn sliding_window() {
    replay(Algorithm::SlidingWindow, &tiers(), 3).await;
}

#[tokio::test]
async fn fixed_window() {
    replay(Algorithm::FixedWindow, &tiers(), 3).await;
}

#[tokio::test]
async fn token_bucket() {
    replay(Algorithm::TokenBucket, &tiers(), 3).await;
}

#[tokio::test]
async fn smooth() {
    let mut tiers = [Tier::new(100, 1000), Tier::new(7, 90)];
    tiers[0].burst = 4;
    tiers[1].burst = 5;
    replay(Algorithm::Smooth, &tiers, 3).await;
}

#[tokio::test]
async fn what_costs_more_than_the_limit_never_passes() {
    let redis = Redis::start();
    let store = store(&redis);
    assert!(store.ready(Duration::from_secs(5)).await);
    for algorithm in ALL {
        let quota = quota(algorithm, &[Tier::new(3, 60_000), Tier::new(100, 120_000)]);
        let shared = store
            .quota(algorithm.as_str(), None, &quota)
            .expect("tiers");
        let verdict = store.check(&shared, b"a", 4).await.expect("asked");
        assert!(!verdict.allowed, "{algorithm}");
        assert_eq!((verdict.tier, verdict.remaining), (0, 3), "{algorithm}");
        assert_eq!(verdict.retry_after_ms, 60_000, "{algorithm}");
        // It took nothing from any tier.
        let verdict = store.check(&shared, b"a", 3).await.expect("asked");
        assert!(verdict.allowed, "{algorithm}");
        assert_eq!((verdict.tier, verdict.remaining), (0, 0), "{algorithm}");
    }
}

/// Two stores are two Weirs: two connections, two clocks.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_share_one_limit_exactly() {
    let redis = Redis::start();
    let stores = [store(&redis), store(&redis)];
    for algorithm in ALL {
        let quota = Arc::new(quota(algorithm, &[Tier::new(20, 50), Tier::new(60, 300)]));
        let mut tasks = tokio::task::JoinSet::new();
        for index in 0..8 {
            let store = stores[index % 2].clone();
            assert!(store.ready(Duration::from_secs(5)).await);
            let shared: Arc<SharedQuota> = store
                .quota(algorithm.as_str(), None, &quota)
                .expect("tiers");
            tasks.spawn(async move {
                let mut told = Vec::new();
                for _ in 0..500 {
                    told.push(ask(&store, &shared, b"client", 1).await);
                }
                told
            });
        }
        let mut told: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
        told.sort_by_key(|(at, _)| *at);
        let mut log = Log::new();
        for (at, verdict) in &told {
            compare(&quota, &log, *at, 1, verdict).unwrap_or_else(|why| panic!("{why}"));
            if verdict.allowed {
                log.push((*at, 1));
            }
        }
        println!("{algorithm}: {} of {} allowed", log.len(), told.len());
        assert!(log.len() >= 20 && log.len() < told.len());
    }
}

/// Moves the times in a state into the future, which is as if the clock had been set back.
fn set_back(redis: &Redis, key: &str, kind: Algorithm, micros: i64, part: i64) {
    let change = match kind {
        Algorithm::SlidingLog => {
            "local out = ''
             local log = redis.call('GET', KEYS[1])
             for i = 1, #log, 8 do
                 out = out .. struct.pack('<d', struct.unpack('<d', log, i) + ARGV[1])
             end
             redis.call('SET', KEYS[1], out)"
        }
        // The index of the newest window or part comes first; of a bucket, the time second.
        Algorithm::TokenBucket | Algorithm::Smooth => {
            "for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
                 local state = redis.call('HGET', KEYS[1], field)
                 local missing, since = struct.unpack('<dd', state)
                 redis.call('HSET', KEYS[1], field, struct.pack('<dd', missing, since + ARGV[1]))
             end"
        }
        _ => {
            "for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
                 local state = redis.call('HGET', KEYS[1], field)
                 local index = struct.unpack('<d', state) + math.floor(ARGV[1] / ARGV[2])
                 redis.call('HSET', KEYS[1], field, struct.pack('<d', index) .. string.sub(state, 9))
             end"
        }
    };
    let (micros, part) = (micros.to_string(), part.to_string());
    redis.command(&[
        "EVAL",
        &format!("{change} return 1"),
        "1",
        key,
        &micros,
        &part,
    ]);
}

/// A server whose clock is set back, or whose replica has another, neither opens a limit nor closes it for long.
#[tokio::test]
async fn clocks_that_go_back() {
    let redis = Redis::start();
    let store = store(&redis);
    assert!(store.ready(Duration::from_secs(5)).await);
    for algorithm in ALL {
        let tier = Tier::new(3, 10_000);
        let part = match algorithm {
            Algorithm::SlidingWindow => 500_000,
            _ => 10_000_000,
        };
        let shared = store
            .quota(algorithm.as_str(), None, &quota(algorithm, &[tier]))
            .expect("tiers");
        let key = String::from_utf8(shared.key(b"a")).expect("text");
        assert!(store.check(&shared, b"a", 2).await.expect("asked").allowed);
        set_back(&redis, &key, algorithm, part, part);
        let verdict = store.check(&shared, b"a", 2).await.expect("asked");
        assert_eq!(
            (verdict.allowed, verdict.remaining),
            (false, 1),
            "{algorithm}"
        );
        assert!(verdict.retry_after_ms <= 21_000, "{algorithm}: {verdict:?}");
        assert!(store.check(&shared, b"a", 1).await.expect("asked").allowed);
        // An hour is longer than any window: nothing is known of now.
        set_back(&redis, &key, algorithm, 3_600_000_000, part);
        let verdict = store.check(&shared, b"a", 1).await.expect("asked");
        if matches!(algorithm, Algorithm::TokenBucket | Algorithm::Smooth) {
            // A bucket does not need to know when; it fills from now on.
            assert_eq!(verdict.retry_after_ms.div_ceil(1000), 4, "{algorithm}");
        } else {
            assert!(verdict.allowed && verdict.remaining == 2, "{algorithm}");
        }
    }
}
