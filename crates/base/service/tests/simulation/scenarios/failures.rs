//! Endpoints that go away, all ways that they can: does anybody notice?

use std::time::Duration;

use weir_service::{Health, OutlierSpec, Thresholds};

use super::*;
use crate::control::Check;
use crate::server::Mode;
use crate::setup::Setup;
use crate::stage::MS;

/// A setup with the balancer that the seed says.
fn setup(seed: u64, n: usize, rate: u64) -> Setup {
    Setup {
        balance: balancers()[seed as usize % 8].clone(),
        ..Setup::new(seed, n, rate)
    }
}

/// Comes and goes, in whatever way.
#[test]
fn a_flapping_endpoint_is_not_noticed() {
    let mut worst = 1.0f64;
    for_seeds(48, |seed| {
        let mut setup = setup(seed, 10, 300);
        setup.check = (seed % 3 == 0).then(Check::default);
        setup.route.first_byte_us = 500 * MS;
        let stage = Stage::new(setup);
        let modes = [
            Mode::Refusing,
            Mode::Failing(503),
            Mode::BlackHole,
            Mode::Sick(60),
        ];
        stage.run(SECOND / 2);
        for _ in 0..8 {
            let (mode, down, up) = {
                let mut rng = stage.rng.borrow_mut();
                let mode = modes[rng.below(4) as usize];
                (
                    mode,
                    50 * MS + u64::from(rng.below(800_000)),
                    u64::from(rng.below(900_000)),
                )
            };
            if mode == Mode::Refusing {
                stage.server(4).kill();
            }
            stage.server(4).become_(mode);
            stage.run(down);
            stage.server(4).become_(Mode::Up);
            stage.run(up);
        }
        let took = stage.now_us();
        stage.finish();
        let results = stage.results.borrow();
        let share = good_share(stayed(&results).filter(|r| r.idempotent));
        worst = worst.min(share);
        assert!(share > 0.995, "{share}");
        assert!(stage.ledger.retries.get() <= most_retries(&stage, took));
    });
    println!("flapping: worst share of repeatable requests answered {worst:.4}");
}

/// Accepts connections and requests, and never answers.
#[test]
fn black_holes_are_left_alone() {
    let mut worst = 1.0f64;
    let mut most = 0;
    for_seeds(48, |seed| {
        let mut setup = setup(seed, 10, 300);
        setup.check = (seed % 2 == 0).then(Check::default);
        match seed % 3 {
            0 => setup.route.per_try_us = 300 * MS,
            _ => setup.route.first_byte_us = 500 * MS,
        }
        let holes = 1 + seed as usize % 2;
        let stage = Stage::new(setup);
        stage.run(SECOND);
        for index in 0..holes {
            let mode = if seed % 5 == 0 {
                Mode::Silent
            } else {
                Mode::BlackHole
            };
            stage.server(index * 3).become_(mode);
        }
        let from = stage.now_us();
        stage.run(5 * SECOND);
        let before: u64 = (0..holes).map(|index| seen(&stage)[index * 3]).sum();
        stage.run(2 * SECOND);
        let late: u64 = (0..holes).map(|index| seen(&stage)[index * 3]).sum::<u64>() - before;
        stage.finish();
        let during = stage.results_between(from, u64::MAX);
        let share = good_share(stayed(&during).filter(|r| r.idempotent));
        (worst, most) = (worst.min(share), most.max(late));
        assert!(share > 0.995, "{share}");
        assert!(late <= 2, "{late} requests after 5 s");
    });
    println!("black holes: worst share answered {worst:.4}, most requests after 5 s: {most}");
}

/// Nine of ten machines die at once; the tenth can carry it.
#[test]
fn one_that_is_left_carries_on() {
    let mut worst = [1.0f64; 2];
    for_seeds(48, |seed| {
        let mut setup = setup(seed, 10, 200);
        setup.check = (seed % 2 == 0).then(Check::default);
        setup.policy.panic_below = [0, 10, 50][seed as usize % 3];
        let max_ejected = [50, 100, 10][seed as usize / 3 % 3];
        setup.policy.outliers = Some(OutlierSpec {
            max_ejected,
            ..OutlierSpec::default()
        });
        let stage = Stage::new(setup);
        stage.run(SECOND);
        (0..9).for_each(|index| stage.server(index).kill());
        let first = run(&stage, 4 * SECOND);
        let then = run(&stage, 4 * SECOND);
        for (worst, results) in worst.iter_mut().zip([&first, &then]) {
            *worst = worst.min(good_share(stayed(results)));
        }
        let share = good_share(stayed(&then));
        assert!(share > 0.98, "{share}");
        stage.finish();
    });
    println!(
        "all but one dead: worst share answered in 4 s {:.4}, then {:.4}",
        worst[0], worst[1]
    );
}

/// All are gone for a while, and then back: nobody may be held against what happened when there was no choice.
#[test]
fn all_dead_then_back() {
    let mut slowest = [0u64; 2];
    for_seeds(48, |seed| {
        let mut setup = setup(seed, 6, 200);
        let checked = seed % 2 == 0;
        let check = Check {
            thresholds: Thresholds {
                healthy_after: 2,
                unhealthy_after: 2,
            },
            ..Check::default()
        };
        setup.check = checked.then_some(check);
        setup.policy.panic_below = [0, 10, 50][seed as usize % 3];
        let believed = checked && setup.policy.panic_below == 0;
        let stage = Stage::new(setup);
        stage.run(SECOND);
        let silent = seed % 4 < 2;
        for index in 0..6 {
            stage.server(index).kill();
            if silent {
                stage.server(index).become_(Mode::Failing(503));
            }
        }
        let down = run(&stage, 5 * SECOND + seed * 37 * MS);
        assert!(good_share(stayed(&down)) < 0.1);
        (0..6).for_each(|index| stage.server(index).become_(Mode::Up));
        let back = stage.now_us();
        stage.run(6 * SECOND);
        stage.finish();
        // Who believes his checks waits for two of them; nobody else has a reason to wait.
        let allowed = if believed {
            2 * 1_100 * MS + 300 * MS
        } else {
            100 * MS
        };
        let after = stage.results_between(back, u64::MAX);
        let bad = stayed(&after).filter(|r| r.end != End::Answered(200));
        let last = bad.map(|r| r.at_us - back).max().unwrap_or(0);
        let slowest = &mut slowest[usize::from(believed)];
        *slowest = (*slowest).max(last);
        assert!(last <= allowed, "still failing after {last} us");
    });
    println!(
        "all dead, then back: last failure after {slowest:?} us (with checks that are believed: second)"
    );
}

/// Everything fails: what that multiplies requests by is bounded.
#[test]
fn a_retry_storm_stays_within_the_budget() {
    let mut worst = 0.0f64;
    for_seeds(48, |seed| {
        let mut setup = setup(seed, 5, [50, 300, 1_000][seed as usize % 3]);
        setup.route.attempts = 3;
        setup.route.idempotent = 100;
        setup.route.given_up = 0;
        setup.workers = 4;
        let stage = Stage::new(setup);
        stage.run(SECOND);
        for index in 0..5 {
            let mode = match seed / 8 % 4 {
                0 => Mode::Refusing,
                1 => Mode::Failing(503),
                2 => Mode::Failing(500),
                _ => Mode::Sick(100),
            };
            stage.server(index).kill();
            stage.server(index).become_(mode);
        }
        let (before, from) = (stage.ledger.retries.get(), stage.now_us());
        stage.run(5 * SECOND);
        stage.finish();
        let storm = stage.results_between(from, u64::MAX).len() as u64;
        let extra = stage.ledger.retries.get() - before;
        let floor = u64::from(stage.setup.route.floor) * 10;
        // What was earned before the storm is spent in it.
        let allowed = stage.ledger.requests.get() / 5 + floor;
        assert!(extra <= allowed, "{extra} retries of {storm} requests");
        let all = attempts(&stage);
        let most = stage.ledger.requests.get() + stage.ledger.retries.get();
        assert!(all <= most, "{all} attempts");
        if stage.setup.rate == 1_000 {
            worst = worst.max(1.0 + extra as f64 / storm as f64);
        }
    });
    println!("retry storm: highest amplification at 1,000 a second {worst:.3}");
}

/// Ejections grow, end, and never take the last one.
#[test]
fn ejections_come_and_go() {
    for_seeds(48, |seed| {
        let mut setup = setup(seed, 2 + seed as usize % 5, 300);
        setup.check = (seed % 2 == 0).then(|| Check {
            interval: Duration::from_millis(200),
            ..Check::default()
        });
        setup.policy.panic_below = 0;
        setup.policy.outliers = Some(OutlierSpec {
            interval: Duration::from_secs(1),
            eject_for: Duration::from_millis(300),
            max_eject_for: Duration::from_secs(2),
            max_ejected: [10, 50, 100][seed as usize % 3],
            ..OutlierSpec::default()
        });
        let stage = Stage::new(setup);
        let modes = [
            Mode::Failing(502),
            Mode::Sick(50),
            Mode::Refusing,
            Mode::Up,
            Mode::Up,
        ];
        for _ in 0..12 {
            let (index, mode) = {
                let mut rng = stage.rng.borrow_mut();
                let n = stage.setup.places.len() as u32;
                (rng.below(n) as usize, modes[rng.below(5) as usize])
            };
            stage.server(index).become_(mode);
            stage.run(400 * MS);
        }
        stage
            .servers
            .borrow()
            .iter()
            .for_each(|server| server.become_(Mode::Up));
        stage.run(4 * SECOND);
        let set = stage.service().endpoints();
        for member in set.all() {
            let health = member.endpoint.state().health;
            assert!(health.is_usable() || health == Health::Ejected, "{health}");
        }
        assert!(good_share(stayed(&run(&stage, SECOND))) > 0.98);
        stage.finish();
    });
}
