//! Coming back: restarts one after the other, and slow starts.

use weir_service::OutlierSpec;

use super::*;
use crate::control::Check;
use crate::server::{Mode, Work};
use crate::setup::{Place, Setup};
use crate::stage::MS;

/// Every server is stopped, replaced and started, one after the other, cold each time: four times as slow at first, warm
/// after two seconds.
#[test]
fn a_rolling_restart_fails_nobody() {
    let mut worst = 1.0f64;
    let (mut calm, mut during) = (Vec::new(), Vec::new());
    for_seeds(40, |seed| {
        let mut setup = Setup::new(seed, 5, 250);
        setup.balance = balancers()[seed as usize % 5].clone();
        setup.check = Some(Check::default());
        setup.policy.slow_start_ms = 2_000;
        // Health checks are what restarts are made for.
        setup.policy.outliers = (seed % 2 == 0).then(OutlierSpec::default);
        let stage = Stage::new(setup);
        stage.run(SECOND);
        calm.extend(run(&stage, 2 * SECOND));
        let from = stage.now_us();
        for index in 0..5 {
            let server = stage.server(index);
            server.kill();
            stage.run(1_500 * MS);
            server.become_(Mode::Up);
            for percent in [400, 300, 200, 150] {
                server.slow_down(percent);
                stage.run(500 * MS);
            }
            server.slow_down(100);
        }
        stage.finish();
        let restarted = stage.results_between(from, u64::MAX);
        let share = good_share(stayed(&restarted).filter(|r| r.idempotent));
        worst = worst.min(share);
        assert_eq!(share, 1.0, "a repeatable request failed");
        during.extend(restarted);
    });
    let [before, then] = [&calm, &during].map(|results| percentile(results, 99));
    println!(
        "rolling restart: worst share answered {worst:.4}, p99 {before} us before, {then} us during"
    );
    assert!(then <= before * 3, "p99 {before} us -> {then} us");
}

/// Comes back cold to a service under load. Its ramp spares it, and nobody waits.
#[test]
fn recovery_has_no_latency_spike() {
    let (mut calm, mut ramped, mut at_once) = (Vec::new(), Vec::new(), Vec::new());
    for_seeds(24, |seed| {
        for slow_start_ms in [4_000, 0] {
            let mut setup = Setup::new(seed, 4, 400);
            // One that is ten times slower has room for a fifth of its share.
            setup.places = vec![Place::new(Work::Exponential(10 * MS), 2); 4];
            setup.balance = [Balance::RoundRobin, Balance::Random][seed as usize % 2].clone();
            setup.check = Some(Check::default());
            setup.policy.slow_start_ms = slow_start_ms;
            setup.policy.outliers = None;
            let stage = Stage::new(setup);
            stage.run(SECOND);
            let before = run(&stage, SECOND);
            stage.server(1).kill();
            stage.run(4 * SECOND);
            stage.server(1).become_(Mode::Up);
            stage.server(1).slow_down(600);
            // Until it is found to be well.
            while !stage.service().endpoints().all()[1].endpoint.is_usable() {
                stage.run(10 * MS);
            }
            let mut after = Vec::new();
            for percent in [600, 400, 200, 150, 100, 100, 100, 100] {
                stage.server(1).slow_down(percent);
                after.extend(run(&stage, SECOND / 2));
            }
            stage.finish();
            match slow_start_ms {
                0 => at_once.extend(after),
                _ => {
                    calm.extend(before);
                    ramped.extend(after);
                }
            }
        }
    });
    let [before, then, without] = [&calm, &ramped, &at_once].map(|results| percentile(results, 99));
    println!(
        "recovery of a cold server: p99 {before} us before, {then} us with a ramp, {without} us without"
    );
    assert!(then <= before * 2, "p99 {before} us -> {then} us");
    assert!(
        then * 2 <= without,
        "{then} us with a ramp, {without} us without"
    );
}

/// Its share follows `max(10 %, age / window)` within what chance does to a count.
#[test]
fn a_slow_start_follows_its_ramp() {
    let mut counted = [[0u64; 2]; 8];
    for_seeds(16, |seed| {
        let mut setup = Setup::new(seed, 4, 800);
        setup.places = vec![Place::new(Work::Exponential(5 * MS), 64); 4];
        setup.balance = [Balance::RoundRobin, Balance::Random][seed as usize % 2].clone();
        setup.policy.slow_start_ms = 4_000;
        let place = setup.places[0].clone();
        let stage = Stage::new(setup);
        stage.run(SECOND);
        stage.join(&place);
        let mut before = seen(&stage);
        for counted in &mut counted {
            stage.run(SECOND / 2);
            let now = seen(&stage);
            let [mine, all] = [
                now[4] - before[4],
                now.iter().sum::<u64>() - before.iter().sum::<u64>(),
            ];
            *counted = [counted[0] + mine, counted[1] + all];
            before = now;
        }
        stage.finish();
    });
    let mut shares = Vec::new();
    for ([mine, all], half_second) in counted.iter().zip(0..) {
        // The mean of the ramp over this half second, by steps of a millisecond.
        let factor = |ms: u64| (ms as f64 / 4_000.0).max(0.1);
        let share = |f: f64| f / (4.0 + f);
        let (from, to) = (half_second * 500, half_second * 500 + 500);
        let expected = (from..to).map(|ms| share(factor(ms))).sum::<f64>() / 500.0;
        let measured = *mine as f64 / *all as f64;
        let deviation = (expected * (1.0 - expected) / *all as f64).sqrt();
        // Weights follow in steps of a quarter of a second, so they are late by an eighth on average.
        let late = expected - share(factor((from + 250).saturating_sub(250))).min(expected);
        assert!(
            measured > expected - late.max(0.01) - 4.0 * deviation
                && measured < expected + 0.005 + 4.0 * deviation,
            "half second {half_second}: {measured:.4}, the ramp says {expected:.4}"
        );
        shares.push(format!("{measured:.3} ({expected:.3})"));
    }
    println!(
        "slow start, share in each half second (by the formula): {}",
        shares.join(", ")
    );
}
