//! The adaptive limit against a model of a service: M/M/c with a queue inside, in virtual time.

use super::gradient::{Batch, Gradient};
use super::simulation::{Report, Setup, run};
use super::*;

const SECOND: u64 = 1_000_000;

fn setup(servers: usize, work_us: fn(u64) -> u64, rate: fn(u64) -> u64, seconds: u64) -> Setup {
    Setup {
        spec: AdmissionSpec {
            requests: 2_000,
            pending: 100,
            adaptive: true,
            ..AdmissionSpec::default()
        },
        servers,
        work_us,
        rate,
        mix: [0, 10, 0],
        queue_timeout_us: SECOND,
        timeout_us: u64::MAX,
        from_us: 0,
        until_us: seconds * SECOND,
    }
}

/// Mean limit, requests a second, and mean latency between two seconds.
fn between(report: &Report, from: usize, until: usize) -> (f64, f64, f64) {
    let slices = from * 10..until * 10;
    let n = slices.len() as f64;
    let served: u32 = report.served[slices.clone()].iter().sum();
    let latency: u64 = report.latency_us[slices.clone()].iter().sum();
    let limits: u32 = report.limits[slices].iter().sum();
    (
        f64::from(limits) / n,
        f64::from(served) * 10.0 / n,
        latency as f64 / f64::from(served.max(1)),
    )
}

#[test]
fn converges_near_the_knee() {
    // 50 servers of 20 ms, 2,500 a second, offered 4,000.
    let mut setup = setup(50, |_| 20_000, |_| 4_000, 60);
    let report = run(&setup, 1);
    for from in (10..60).step_by(10) {
        let (limit, rate, latency) = between(&report, from, from + 10);
        assert!((50.0..110.0).contains(&limit), "{from} s: limit {limit}");
        assert!(rate > 2_400.0, "{from} s: {rate}/s");
        assert!(latency < 44_000.0, "{from} s: {latency} us");
    }
    // With the configured limit only, the service is as busy and everyone is slow.
    setup.spec.adaptive = false;
    setup.until_us = 10 * SECOND;
    let (_, rate, latency) = between(&run(&setup, 1), 5, 10);
    assert!(rate < 2_600.0 && latency > 500_000.0, "{rate} {latency}");
}

#[test]
fn finds_the_limit_of_a_small_service_that_it_overwhelmed_at_the_start() {
    let report = run(&setup(4, |_| 20_000, |_| 400, 150), 2);
    let (limit, rate, latency) = between(&report, 90, 150);
    assert!((4.0..14.0).contains(&limit), "{limit}");
    assert!(rate > 190.0 && latency < 80_000.0, "{rate} {latency}");
}

#[test]
fn grows_fast_from_the_start() {
    // 300 servers of 50 ms: 6,000 a second.
    let report = run(&setup(300, |_| 50_000, |_| 9_000, 20), 3);
    let (_, rate, _) = between(&report, 15, 20);
    assert!(rate > 5_700.0, "{rate}");
}

#[test]
fn a_slow_phase_leaves_no_trace() {
    // Four times slower from 30 s to 60 s.
    let work: fn(u64) -> u64 = |now_us| match now_us / SECOND {
        30..60 => 80_000,
        _ => 20_000,
    };
    for seed in 0..2 {
        let report = run(&setup(20, work, |_| 1_800, 100), seed);
        let (before, ..) = between(&report, 20, 30);
        let (slow, rate, _) = between(&report, 40, 60);
        assert!(slow > 15.0 && rate > 225.0, "{slow} {rate}");
        // Never long at the minimum, nor near it.
        let low = report
            .limits
            .split(|limit| *limit > 6)
            .map(<[u32]>::len)
            .max();
        assert!(low < Some(10), "{low:?}");
        let (after, rate, latency) = between(&report, 85, 100);
        assert!((after / before - 1.0).abs() < 0.4, "{before} {after}");
        assert!(rate > 950.0 && latency < 50_000.0, "{rate} {latency}");
    }
}

#[test]
fn holds_nobody_back_below_capacity() {
    let mut setup = setup(50, |_| 20_000, |_| 1_500, 60);
    setup.from_us = 5 * SECOND;
    let report = run(&setup, 4);
    let counts = &report.of[1];
    assert!(counts.shed * 2_000 < counts.arrived, "{} shed", counts.shed);
    let (_, rate, latency) = between(&report, 5, 60);
    assert!(rate > 1_450.0 && latency < 21_000.0, "{rate} {latency}");
}

/// One second of requests, all alike.
fn second(gradient: &mut Gradient, now_us: &mut u64, latency_us: u64, ok: bool, load: u32) {
    for _ in 0..200 {
        let mut batch = Batch::default();
        *now_us += 5_000;
        for _ in 0..5 {
            batch.add(latency_us, ok, gradient.limit().min(load), *now_us);
        }
        gradient.add(&batch, *now_us);
    }
}

#[test]
fn failures_take_the_limit_down_and_it_comes_back() {
    let (mut gradient, mut now_us) = (Gradient::new(100), 1);
    (0..10).for_each(|_| second(&mut gradient, &mut now_us, 10_000, true, u32::MAX));
    assert_eq!(gradient.limit(), 100);
    (0..10).for_each(|_| second(&mut gradient, &mut now_us, 1, false, u32::MAX));
    assert_eq!(gradient.limit(), 4);
    (0..2).for_each(|_| second(&mut gradient, &mut now_us, 10_000, true, u32::MAX));
    assert!(gradient.limit() > 60, "{}", gradient.limit());
    (0..10).for_each(|_| second(&mut gradient, &mut now_us, 10_000, true, u32::MAX));
    assert_eq!(gradient.limit(), 100);
    gradient.configure(50);
    assert_eq!(gradient.limit(), 50);
}

#[test]
fn an_unused_limit_stays_as_it_is() {
    let (mut gradient, mut now_us) = (Gradient::new(1_000), 1);
    (0..3).for_each(|_| second(&mut gradient, &mut now_us, 10_000, true, u32::MAX));
    let limit = gradient.limit();
    assert!(limit > 100);
    for latency_us in [10_000, 50_000, 1_000_000, 10] {
        (0..20).for_each(|_| second(&mut gradient, &mut now_us, latency_us, true, limit / 3));
        assert_eq!(gradient.limit(), limit);
    }
}

#[test]
fn a_window_is_time_and_not_requests() {
    let (mut gradient, mut batch) = (Gradient::new(1_000), Batch::default());
    (0..1_000).for_each(|_| batch.add(10_000, true, 20, 1));
    // A million requests at one moment are no window.
    assert!((0..1_000).all(|_| !gradient.add(&batch, 1)));
    assert_eq!(gradient.limit(), 20);
}

#[test]
fn workers_tell_what_they_saw_and_the_limit_follows() {
    let spec = AdmissionSpec {
        requests: 64,
        adaptive: true,
        ..AdmissionSpec::default()
    };
    let admission = Admission::new(&spec);
    assert_eq!(admission.limit(), 20);
    let gates = [
        Gate::new(Arc::clone(&admission)),
        Gate::new(Arc::clone(&admission)),
    ];
    let mut entries = std::collections::VecDeque::new();
    for now_us in (0..5 * SECOND).step_by(500) {
        for gate in &gates {
            entries.extend(gate.try_enter(Priority::Normal));
        }
        if entries.len() as u32 >= admission.limit() {
            entries
                .drain(..2)
                .for_each(|e: Entry| e.finish(10_000, true, now_us));
        }
    }
    assert_eq!(admission.limit(), 64);
    admission.configure(&AdmissionSpec {
        adaptive: false,
        requests: 10,
        ..spec
    });
    assert_eq!(admission.limit(), 10);
}
