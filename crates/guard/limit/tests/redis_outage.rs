//! Redis killed, and Redis paused, under load: what requests notice, and what is let pass.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use weir_limit::store::{EngineConfig, SharedLimiter, Store};
use weir_limit::{Algorithm, Key, LimitSpec, Limiter, OnStoreError, Plan, Seed, Tier};
use weir_testkit::{Redis, wait_until};

/// How many requests a worker has under way.
const TASKS: usize = 16;
/// Nobody reaches it, and its window does not end during the test.
const ENDLESS: Tier = Tier::new(1_000_000_000, 45 * 86_400_000);

/// One request.
#[derive(Clone, Copy)]
struct Sample {
    began: Instant,
    took: Duration,
    allowed: bool,
    error: Option<&'static str>,
}

/// One Weir with a worker.
struct Weir {
    shared: Arc<SharedLimiter>,
    stop: Arc<AtomicBool>,
    worker: JoinHandle<Vec<Sample>>,
}

impl Weir {
    fn start(redis: &Redis, timeout_ms: u64, algorithm: Algorithm, tier: Tier) -> Self {
        let mut config = EngineConfig::redis(&[redis.address()], false).expect("a config");
        config.timeout.value = weir_config::Duration::from_millis(timeout_ms);
        let store = Store::start("test", &config).expect("a thread");
        let spec = LimitSpec::new(algorithm, &[tier]);
        let limiter = Limiter::new("test", spec, Seed::new(1));
        let shared = Arc::new(SharedLimiter::new(limiter, store, OnStoreError::Local));
        let stop = Arc::new(AtomicBool::new(false));
        let worker = {
            let (shared, stop) = (Arc::clone(&shared), Arc::clone(&stop));
            thread::spawn(move || work(shared, stop))
        };
        Self {
            shared,
            stop,
            worker,
        }
    }

    fn open(&self) -> bool {
        self.shared.store().stats().servers[0].open
    }

    fn wait_for_answers(&self, more: u64) {
        let answered = || self.shared.store().stats().answered;
        let wanted = answered() + more;
        wait_until("answers", || answered() >= wanted);
    }

    fn wait_for_refusals(&self, more: u64) {
        let open = || self.shared.store().stats().open;
        let wanted = open() + more;
        wait_until("requests during the outage", || open() >= wanted);
    }

    fn end(self) -> Vec<Sample> {
        self.stop.store(true, Ordering::Relaxed);
        self.worker.join().expect("it ended well")
    }
}

/// As a worker does it: a runtime of its own, and many requests at once, all of one client.
fn work(shared: Arc<SharedLimiter>, stop: Arc<AtomicBool>) -> Vec<Sample> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let epoch = Instant::now();
    let key = Key::new(7);
    runtime.block_on(async {
        assert!(shared.store().ready(Duration::from_secs(5)).await);
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..TASKS {
            let (shared, stop) = (Arc::clone(&shared), Arc::clone(&stop));
            tasks.spawn(async move {
                let mut samples = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let now_ms = (began - epoch).as_millis() as u64;
                    let decision = shared.check(key, b"client", Plan::NONE, 1, now_ms).await;
                    samples.push(Sample {
                        began,
                        took: began.elapsed(),
                        allowed: decision.verdict.is_some_and(|verdict| verdict.allowed),
                        error: decision.error.map(|why| why.as_str()),
                    });
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                samples
            });
        }
        tasks.join_all().await.into_iter().flatten().collect()
    })
}

fn between(samples: &[Sample], from: Instant, to: Instant) -> Vec<Sample> {
    let inside = |sample: &&Sample| from <= sample.began && sample.began + sample.took <= to;
    samples.iter().filter(inside).copied().collect()
}

/// Prints the quantiles, and returns the 99th percentile.
fn describe(phase: &str, samples: &[Sample]) -> Duration {
    let mut took: Vec<_> = samples.iter().map(|sample| sample.took).collect();
    took.sort_unstable();
    let at = |share: f64| {
        let index = (took.len() as f64 * share) as usize;
        took.get(index.min(took.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    };
    println!(
        "{phase}: {} requests, p50 {:?}, p99 {:?}, longest {:?}",
        took.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
    at(0.99)
}

/// The most that was let pass within any stretch of this length.
fn most_within(samples: &[Sample], length: Duration) -> usize {
    let mut times: Vec<_> = samples
        .iter()
        .filter(|sample| sample.allowed)
        .map(|sample| sample.began)
        .collect();
    times.sort_unstable();
    let mut first = 0;
    let mut most = 0;
    for (last, time) in times.iter().enumerate() {
        while *time - times[first] >= length {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}

/// The phases of an outage: when it began, when the breaker was open, when the end of it began, when the breaker was closed.
fn outage(
    weir: &Weir,
    redis: &mut Redis,
    begin: fn(&mut Redis),
    end: fn(&mut Redis),
) -> [Instant; 4] {
    weir.wait_for_answers(1000);
    let began = Instant::now();
    begin(redis);
    wait_until("an open breaker", || weir.open());
    let opened = Instant::now();
    weir.wait_for_refusals(3000);
    let ends = Instant::now();
    end(redis);
    wait_until("a closed breaker", || !weir.open());
    let closed = Instant::now();
    weir.wait_for_answers(1000);
    [began, opened, ends, closed]
}

fn check_phases(samples: &[Sample], [began, opened, ends, closed]: [Instant; 4]) {
    let first = samples.first().expect("one").began;
    let last = samples.last().expect("one").began + Duration::from_secs(9);
    describe("before", &between(samples, first, began));
    describe("until the breaker opened", &between(samples, began, opened));
    let open = between(samples, opened, ends);
    let p99 = describe("with the breaker open", &open);
    describe("after", &between(samples, closed, last));
    println!(
        "opened after {:?}, closed after {:?}",
        opened - began,
        closed - ends
    );
    // Nobody waited at all; time is only taken by what else this machine does.
    assert!(open.iter().all(|sample| sample.error == Some("open")));
    assert!(p99 < Duration::from_millis(5), "{p99:?}");
    assert!(samples.iter().all(|sample| sample.allowed));
}

#[test]
fn killed_under_load() {
    let mut redis = Redis::start();
    let weir = Weir::start(&redis, 5, Algorithm::FixedWindow, ENDLESS);
    let phases = outage(&weir, &mut redis, |redis| redis.kill(), Redis::restart);
    println!("{:?}", weir.shared.store().stats());
    check_phases(&weir.end(), phases);
}

#[test]
fn paused_under_load() {
    let mut redis = Redis::start();
    let weir = Weir::start(&redis, 5, Algorithm::FixedWindow, ENDLESS);
    let phases = outage(
        &weir,
        &mut redis,
        |redis| redis.pause(),
        |redis| redis.resume(),
    );
    println!("{:?}", weir.shared.store().stats());
    let shared = Arc::clone(&weir.shared);
    let samples = weir.end();
    check_phases(&samples, phases);

    // What was on its way when Redis stopped has not counted when it went on: it was decided without it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let quota = shared.limiter().spec().quota(Plan::NONE);
    let quota = shared.store().quota("test", None, quota).expect("a tier");
    let verdict = runtime
        .block_on(shared.store().check(&quota, b"client", 1))
        .expect("asked");
    let counted = ENDLESS.count - verdict.remaining - 1;
    let decided = samples
        .iter()
        .filter(|sample| sample.error.is_none())
        .count();
    let [began, opened, ..] = phases;
    let late_otherwise = samples.iter().filter(|sample| {
        let at = sample.began + sample.took;
        sample.error == Some("late") && !(began..=opened + Duration::from_millis(20)).contains(&at)
    });
    let late_otherwise = late_otherwise.count();
    println!("Redis decided {decided} and counted {counted}; {late_otherwise} late at other times");
    let excess = counted as usize - decided;
    assert!(excess <= 4 + late_otherwise, "{excess}");
}

/// Two Weirs, one limit, and Redis loses everything in the middle.
#[test]
fn no_window_holds_more_than_each_alone_would_let_pass() {
    const LIMIT: usize = 30;
    const WINDOW: Duration = Duration::from_millis(500);
    // By how much the moment that was counted may differ from the one that the test saw.
    const BLUR: Duration = Duration::from_millis(60);
    let mut redis = Redis::start();
    let tier = Tier::new(LIMIT as u32, WINDOW.as_millis() as u64);
    let weirs = [(); 2].map(|()| Weir::start(&redis, 500, Algorithm::SlidingLog, tier));
    let long = WINDOW * 3;
    thread::sleep(long);
    let began = Instant::now();
    redis.kill();
    wait_until("open breakers", || weirs.iter().all(Weir::open));
    thread::sleep(long);
    redis.restart();
    wait_until("closed breakers", || !weirs.iter().any(Weir::open));
    let closed = Instant::now();
    thread::sleep(long);
    let ended = Instant::now();
    let samples: Vec<Sample> = weirs.into_iter().flat_map(Weir::end).collect();

    let start = began - long;
    let stretch = WINDOW - BLUR;
    let before = most_within(&between(&samples, start, began), stretch);
    let whole = most_within(&samples, stretch);
    let during = most_within(&between(&samples, began, closed), stretch);
    let after = most_within(&between(&samples, closed + WINDOW + BLUR, ended), stretch);
    println!(
        "most in a window of a limit of {LIMIT}: {before} before, {during} during, {after} after, {whole} ever"
    );
    assert!((LIMIT / 2..=LIMIT).contains(&before), "{before}");
    assert!((LIMIT + 1..=2 * LIMIT).contains(&during), "{during}");
    assert!((LIMIT / 2..=LIMIT).contains(&after), "{after}");
    assert!(whole <= 2 * LIMIT, "{whole}");
}
