//! More requests than the service can serve: what a wait costs, and that no capacity is lost.

use super::simulation::{Report, Setup, run};
use super::*;

const SECOND: u64 = 1_000_000;

fn setup(servers: u32, work_us: fn(u64) -> u64, rate: fn(u64) -> u64) -> Setup {
    Setup {
        spec: AdmissionSpec {
            requests: servers,
            ..AdmissionSpec::default()
        },
        servers: servers as usize,
        work_us,
        rate,
        mix: [0, 10, 0],
        queue_timeout_us: SECOND,
        timeout_us: u64::MAX,
        from_us: 2 * SECOND,
        until_us: 12 * SECOND,
    }
}

fn served(report: &Report) -> u32 {
    report.of.iter().map(|c| c.served).sum()
}

#[test]
fn at_twice_the_load_waits_are_short_and_capacity_is_used() {
    // 50 servers of 10 ms: 5,000 a second.
    let mut fast = setup(50, |_| 10_000, |_| 10_000);
    let mut report = run(&fast, 1);
    let goodput = f64::from(served(&report)) / 50_000.0;
    let worst = report.of[1].waited(99);
    assert!((0.98..1.02).contains(&goodput), "{goodput}");
    assert!(worst <= 7_000, "{worst}");
    assert_eq!(report.of[1].gave_up, 0);

    // What it would be without: everyone waits for as long as the queue is.
    (fast.spec.target, fast.spec.interval) = (Duration::MAX, Duration::MAX);
    let mut report = run(&fast, 1);
    let median = report.of[1].waited(50);
    assert!(median > 150_000, "{median}");
}

#[test]
fn a_slow_service_with_few_slots_loses_no_capacity_either() {
    // 4 servers of 1 s, 8 requests a second.
    let mut slow = setup(4, |_| 1_000_000, |_| 8);
    slow.from_us = 20 * SECOND;
    slow.until_us = 520 * SECOND;
    slow.queue_timeout_us = 10 * SECOND;
    let mut report = run(&slow, 2);
    let goodput = f64::from(served(&report)) / 2_000.0;
    let median = report.of[1].waited(50);
    assert!((0.93..1.07).contains(&goodput), "{goodput}");
    assert!(median < 3 * SECOND, "{median}");
}

#[test]
fn the_least_important_go_first() {
    // 3 of 10 are important, 4 normal: 60 % and 80 % of the capacity.
    let mut setup = setup(50, |_| 10_000, |_| 10_000);
    setup.mix = [3, 4, 3];
    let mut report = run(&setup, 3);
    let share = |c: &simulation::Counts| f64::from(c.served) / f64::from(c.arrived);
    let [high, normal, low] = [0, 1, 2].map(|i| share(&report.of[i]));
    assert!(high == 1.0 && (0.45..0.55).contains(&normal) && low < 0.01);
    let worst = report.of[0].waited(99);
    assert!(worst < 2_000, "{worst}");
    // What is kept free for the important ones is what it costs: a twentieth.
    let goodput = f64::from(served(&report)) / 50_000.0;
    assert!(goodput > 0.94, "{goodput}");
}

#[test]
fn below_capacity_nobody_is_shed() {
    // 50 % and, in bursts of 15 ms a second, 300 %.
    let rate: fn(u64) -> u64 = |now_us| match now_us % SECOND < 15_000 {
        true => 15_000,
        false => 2_500,
    };
    let report = run(&setup(50, |_| 10_000, rate), 4);
    let counts = &report.of[1];
    assert_eq!(
        (counts.shed, counts.gave_up),
        (0, 0),
        "of {}",
        counts.arrived
    );
    assert!(counts.waited_us.iter().any(|w| *w > 20_000));
}
