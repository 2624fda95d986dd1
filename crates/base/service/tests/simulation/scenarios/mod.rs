//! What comes out of it.
//!
//! Each scenario runs for many seeds; what it measures is asserted with margins, for each seed where that is fair, for all of
//! them together where chance has too large a part in one.

mod breakers;
mod chaos;
mod failures;
mod limits;
mod recovery;
mod slow;
mod tiers;

use std::rc::Rc;

use weir_service::{Balance, HashBy, HashMethod, HashOn};

use crate::stage::{End, Record, SECOND, Stage};

/// Runs a scenario with `n` seeds, or as many times that as the environment wants.
fn for_seeds(n: u64, mut run: impl FnMut(u64)) {
    let from_env = |name| {
        std::env::var(name)
            .ok()
            .and_then(|text: String| text.parse().ok())
    };
    if let Some(seed) = from_env("WEIR_SIM_SEED") {
        return run(seed);
    }
    let times: u64 = from_env("WEIR_SIM_SEEDS").unwrap_or(1);
    for seed in 0..n * times.max(1) {
        let named = Named(seed);
        run(seed);
        drop(named);
    }
}

/// Says its seed if what it stands for fails.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("with WEIR_SIM_SEED={}", self.0);
        }
    }
}

/// All balancers.
fn balancers() -> [Balance; 8] {
    let hash = |method, bounded| {
        Balance::Hash(HashBy {
            on: HashOn::Path,
            method,
            bounded,
        })
    };
    [
        Balance::RoundRobin,
        Balance::Random,
        Balance::P2c,
        Balance::LeastConnections,
        Balance::LeastResponseTime,
        Balance::IpHash,
        hash(HashMethod::Ring, Some(125)),
        hash(HashMethod::Rendezvous, None),
    ]
}

/// Those that look at load.
fn by_load() -> [Balance; 3] {
    [
        Balance::P2c,
        Balance::LeastConnections,
        Balance::LeastResponseTime,
    ]
}

/// Requests that count: their clients stayed.
fn stayed(results: &[Record]) -> impl Iterator<Item = &Record> {
    results.iter().filter(|r| r.end != End::Gone)
}

/// The share of these that came to a good end; 1 if there are none.
fn good_share<'a>(results: impl Iterator<Item = &'a Record>) -> f64 {
    let (mut all, mut good) = (0u32, 0u32);
    for record in results {
        all += 1;
        good += u32::from(record.end == End::Answered(200));
    }
    f64::from(good.max(u32::from(all == 0))) / f64::from(all.max(1))
}

/// The `percent`th percentile of the time that good answers took, in microseconds.
fn percentile(results: &[Record], percent: usize) -> u64 {
    let good = results.iter().filter(|r| r.end == End::Answered(200));
    let mut took: Vec<u64> = good.map(|r| r.took_us).collect();
    assert!(!took.is_empty(), "no answers");
    took.sort_unstable();
    took[(took.len() - 1) * percent / 100]
}

/// Lets time pass; returns the requests that came in it (those that have ended).
fn run(stage: &Rc<Stage>, us: u64) -> Vec<Record> {
    let from = stage.now_us();
    stage.run(us);
    stage.results_between(from, stage.now_us())
}

/// Requests that servers have seen or refused, of all servers together.
fn attempts(stage: &Stage) -> u64 {
    let results = stage.results.borrow();
    results.iter().map(|r| u64::from(r.attempts)).sum()
}

/// As [`attempts`], by the servers' own counts, with those that were refused.
fn seen(stage: &Stage) -> Vec<u64> {
    stage
        .servers
        .borrow()
        .iter()
        .map(|s| s.seen.get())
        .collect()
}

/// Most retries that a budget of 20 % with a floor of 10 a second allows in so much time.
fn most_retries(stage: &Stage, us: u64) -> u64 {
    let route = &stage.setup.route;
    let floor = (us.div_ceil(SECOND) + 10) * u64::from(route.floor);
    stage.ledger.requests.get() * u64::from(route.percent) / 100 + floor
}
