//! The cost of one check, by algorithm, outcome and number of keys, and of making a key.
//!
//! A check is to cost at most 100 ns.

use std::borrow::Cow;
use std::hint::black_box;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use weir_bench_guard::{Case, Keys, cases, limiter};
use weir_limit::{Caller, Key, KeyPart, KeySpec, Limiter, Plan, Seed};

/// Time at which nobody has used anything up.
const START: u64 = 1_000_000_000;

/// Time that goes on so that keys asked for in turn always have room: each once in a minute.
struct Clock {
    now_us: u64,
    step_us: u64,
}

impl Clock {
    fn for_keys(keys: usize) -> Self {
        Self {
            now_us: START * 1_000,
            step_us: 60_000_000 / keys as u64,
        }
    }

    fn tick(&mut self) -> u64 {
        self.now_us += self.step_us;
        self.now_us / 1_000
    }
}

fn each(
    c: &mut Criterion,
    group: &str,
    keys: usize,
    mut measure: impl FnMut(&mut Criterion, &str, &Case),
) {
    for case in cases(keys * 2) {
        measure(c, &format!("{group}/{}", case.0), &case);
    }
}

/// Keys that come in turn and pass.
fn allowed(c: &mut Criterion) {
    for n in [1_000, 100_000, 1_000_000] {
        each(c, "allowed", n, |c, name, (_, spec)| {
            let limiter = limiter(spec);
            let keys: Vec<Key> = Keys::new(1).take(n).collect();
            let mut clock = Clock::for_keys(n);
            for key in &keys {
                limiter.check(*key, Plan::NONE, 1, START);
            }
            let mut keys = keys.iter().cycle();
            let id = BenchmarkId::new(name, n);
            c.bench_with_input(id, &n, |b, _| {
                b.iter(|| {
                    let key = keys.next().copied().unwrap_or(Key::new(0));
                    limiter.check(black_box(key), Plan::NONE, 1, clock.tick())
                });
            });
        });
    }
}

/// Keys that come in turn and are refused.
fn refused(c: &mut Criterion) {
    const N: usize = 1_000;
    each(c, "refused", N, |c, name, (_, spec)| {
        let limiter = limiter(spec);
        let keys: Vec<Key> = Keys::new(1).take(N).collect();
        for key in &keys {
            while limiter.check(*key, Plan::NONE, 1, START).allowed {}
        }
        let mut keys = keys.iter().cycle();
        c.bench_function(name, |b| {
            b.iter(|| {
                let key = keys.next().copied().unwrap_or(Key::new(0));
                limiter.check(black_box(key), Plan::NONE, 1, START)
            });
        });
    });
}

/// Keys that nobody has seen before, when the table is full: each makes another be forgotten.
fn new_key(c: &mut Criterion) {
    const N: usize = 100_000;
    each(c, "new key", N, |c, name, (_, spec)| {
        let limiter = limiter(spec);
        let mut keys = Keys::new(2);
        for key in keys.by_ref().take(N * 3) {
            limiter.check(key, Plan::NONE, 1, START);
        }
        c.bench_function(name, |b| {
            b.iter(|| {
                let key = keys.next().unwrap_or(Key::new(0));
                limiter.check(black_box(key), Plan::NONE, 1, START)
            });
        });
    });
}

/// Two threads at once: over the same thousand keys, and over one key.
fn two_threads(c: &mut Criterion) {
    for n in [1_000, 1] {
        each(c, "two threads", n, |c, name, (_, spec)| {
            let limiter = limiter(spec);
            let id = BenchmarkId::new(name, n);
            c.bench_with_input(id, &n, |b, _| {
                b.iter_custom(|rounds| {
                    let longest = std::thread::scope(|scope| {
                        let threads = [1, 2].map(|turn| {
                            let limiter = &*limiter;
                            scope.spawn(move || run(limiter, n, turn, rounds))
                        });
                        threads
                            .map(|thread| thread.join().unwrap_or_default())
                            .into_iter()
                            .max()
                    });
                    longest.unwrap_or_default()
                });
            });
        });
    }
}

/// So many checks; the time that one thread takes for them.
fn run(limiter: &Limiter, keys: usize, turn: usize, rounds: u64) -> Duration {
    let keys: Vec<Key> = Keys::new(1).take(keys).collect();
    let mut clock = Clock::for_keys(keys.len());
    let mut keys = keys.iter().cycle().skip(turn * 371);
    let started = Instant::now();
    for _ in 0..rounds {
        let key = keys.next().copied().unwrap_or(Key::new(0));
        black_box(limiter.check(key, Plan::NONE, 1, clock.tick()));
    }
    started.elapsed()
}

/// Requests in flight: one more, and one less.
fn hold(c: &mut Criterion) {
    let (_, mut spec) = cases(1_000).swap_remove(0);
    spec.quota.concurrency = Some(10);
    let limiter = limiter(&spec);
    let keys: Vec<Key> = Keys::new(1).take(1_000).collect();
    let mut keys = keys.iter().cycle();
    c.bench_function("hold and release", |b| {
        b.iter(|| {
            let key = keys.next().copied().unwrap_or(Key::new(0));
            black_box(limiter.hold(key, Plan::NONE)).is_some()
        });
    });
}

struct Someone(IpAddr);

impl Caller for Someone {
    fn ip(&self) -> IpAddr {
        self.0
    }
    fn user(&self) -> Option<&[u8]> {
        Some(b"0b7c2f3e-6b1d-4f62-9d0c-6a8f6e0c3d11")
    }
    fn api_key(&self) -> Option<&[u8]> {
        None
    }
    fn header(&self, _: &str) -> Option<&[u8]> {
        None
    }
    fn claim(&self, _: &str) -> Option<Cow<'_, [u8]>> {
        None
    }
    fn country(&self) -> Option<[u8; 2]> {
        None
    }
    fn asn(&self) -> Option<u32> {
        None
    }
    fn route(&self) -> &str {
        "/api/{id}"
    }
    fn host(&self) -> &[u8] {
        b"api.example.com"
    }
}

fn key(c: &mut Criterion) {
    let seed = Seed::new(1);
    let v4 = Someone(IpAddr::from([192, 0, 2, 1]));
    let v6 = Someone(IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, 1]));
    for (name, caller, parts) in [
        ("key/ipv4", &v4, &[KeyPart::IP][..]),
        ("key/ipv6", &v6, &[KeyPart::IP]),
        ("key/user and route", &v4, &[KeyPart::User, KeyPart::Route]),
    ] {
        let spec = KeySpec::new(parts.iter().cloned());
        c.bench_function(name, |b| b.iter(|| spec.key(black_box(caller), seed)));
    }
    let spec = KeySpec::new([KeyPart::User, KeyPart::Route]);
    let mut text = Vec::with_capacity(128);
    c.bench_function("key/user and route, with text", |b| {
        b.iter(|| spec.key_and_text(black_box(&v4), seed, &mut text));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(700))
        .sample_size(20);
    targets = allowed, refused, new_key, two_threads, hold, key
}
criterion_main!(benches);
