//! More than a service can do: who is served, who is not, and how much is done.

use std::time::Duration;

use weir_service::{AdmissionSpec, Priority, ServiceLimits};

use super::*;
use crate::server::{Mode, Work};
use crate::setup::{Place, Setup};
use crate::stage::MS;

/// Four servers that do 400 requests a second each, exactly.
const CAPACITY: f64 = 1_600.0;

fn limits(requests: u32, adaptive: bool) -> ServiceLimits {
    ServiceLimits {
        connections: None,
        admission: Some(AdmissionSpec {
            requests,
            pending: 200,
            target: Duration::from_millis(20),
            interval: Duration::from_millis(100),
            adaptive,
        }),
        queue_timeout_us: SECOND,
    }
}

fn overloaded(seed: u64, limits: ServiceLimits) -> Setup {
    let mut setup = Setup::new(seed, 4, 2 * CAPACITY as u64);
    setup.places = vec![Place::new(Work::Exponential(10 * MS), 4); 4];
    setup.balance = Balance::LeastConnections;
    setup.policy.limits = limits;
    setup.workers = 3;
    setup.route.high = 20;
    setup.route.low = 30;
    setup
}

fn of(results: &[Record], priority: Priority) -> impl Iterator<Item = &Record> {
    stayed(results).filter(move |r| r.priority == priority)
}

/// Good answers a second, as a share of what the servers can do.
fn goodput(results: &[Record], us: u64) -> f64 {
    let good = results
        .iter()
        .filter(|r| r.end == End::Answered(200))
        .count();
    good as f64 / (us as f64 / 1e6) / CAPACITY
}

/// Twice as much as fits: as much as fits is served, the important first, and nobody waits long for it.
#[test]
fn overload_at_twice_the_capacity() {
    let (mut least, mut high, mut low) = (f64::MAX, 1.0f64, 0.0f64);
    let mut all = Vec::new();
    for_seeds(9, |seed| {
        let mut limits = limits(24, false);
        // A cap on each endpoint as well, and then nobody waits inside.
        limits.connections = [None, Some(6), Some(5)][seed as usize % 3];
        let stage = Stage::new(overloaded(seed, limits));
        stage.run(SECOND);
        let results = run(&stage, 4 * SECOND);
        stage.finish();
        let done = goodput(&results, 4 * SECOND);
        let [h, l] = [Priority::High, Priority::Low].map(|p| good_share(of(&results, p)));
        (least, high, low) = (least.min(done), high.min(h), low.max(l));
        assert!(done >= 0.95, "goodput {done:.3}");
        assert!(h >= 0.99, "{h:.3} of the important served");
        assert!(l < 0.35, "{l:.3} of the unimportant served");
        all.extend(results);
    });
    let [p50, p99] = [50, 99].map(|p| percentile(&all, p) / 1000);
    println!(
        "overload x2: goodput at least {least:.3}, high served {high:.4}, low {low:.3}, p50 {p50} ms, p99 {p99} ms"
    );
    assert!(p99 <= 500, "{p99} ms");
}

/// Endpoints with caps of their own, smaller together than what is let in: requests wait for room, in order.
#[test]
fn waiting_for_room() {
    for_seeds(32, |seed| {
        let mut limits = limits(64, seed % 4 == 3);
        limits.connections = Some(1 + seed as u32 % 4);
        let mut setup = overloaded(seed, limits);
        setup.balance = balancers()[seed as usize % 8].clone();
        setup.policy.outliers = None;
        setup.route.given_up = 10;
        let most = f64::from(1 + seed as u32 % 4) / 4.0;
        let stage = Stage::new(setup);
        stage.run(SECOND / 2);
        // One goes away, and comes back.
        stage.server(2).kill();
        stage.run(SECOND / 2);
        stage.server(2).become_(Mode::Up);
        stage.run(1_200 * MS);
        let results = run(&stage, SECOND);
        stage.finish();
        let done = goodput(&results, SECOND);
        assert!(done > 0.7 * most, "{done:.3} of {most}");
    });
}

/// The limit finds out what the service can do, and what it can when it gets slower.
#[test]
fn an_adaptive_limit_follows_the_service() {
    let (mut least, mut limits_seen) = (f64::MAX, Vec::new());
    for_seeds(4, |seed| {
        let mut setup = overloaded(seed, limits(1_000, true));
        setup.rate = (1.5 * CAPACITY) as u64;
        let stage = Stage::new(setup);
        stage.run(4 * SECOND);
        let mut samples = Vec::new();
        let from = stage.now_us();
        for _ in 0..40 {
            samples.extend(stage.service().admission().map(|a| a.limit()));
            stage.run(SECOND / 10);
        }
        let results = stage.results_between(from, stage.now_us());
        let done = goodput(&results, 4 * SECOND);
        least = least.min(done);
        samples.sort_unstable();
        let usual = samples[20];
        limits_seen.push(usual);
        assert!(done >= 0.9, "goodput {done:.3} at limits {samples:?}");
        // 16 work at a time.
        assert!((12..=120).contains(&usual), "limits {samples:?}");
        let p50 = percentile(&results, 50);
        assert!(p50 < 150 * MS, "p50 {p50} us");
        stage
            .servers
            .borrow()
            .iter()
            .for_each(|server| server.slow_down(200));
        stage.run(3 * SECOND);
        let slow = run(&stage, 2 * SECOND);
        let done = goodput(&slow, 2 * SECOND) * 2.0;
        assert!(done >= 0.9, "goodput {done:.3} when twice as slow");
        stage.finish();
    });
    println!("adaptive: goodput at least {least:.3}, limits {limits_seen:?} (16 work at a time)");
}
