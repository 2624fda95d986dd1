//! Circuit breakers: of a service, of endpoints, of both.

use std::time::Duration;

use weir_service::{BreakerPolicy, BreakerScope, BreakerSpec, BreakerState, Event};

use super::*;
use crate::server::Mode;
use crate::setup::Setup;
use crate::stage::MS;

fn setup(seed: u64, scope: BreakerScope) -> Setup {
    let mut setup = Setup::new(seed, 6, 300);
    setup.balance = balancers()[seed as usize % 8].clone();
    setup.workers = 3;
    setup.policy.breaker = Some(BreakerPolicy {
        spec: BreakerSpec {
            window: Duration::from_secs(2),
            min_requests: 10,
            open_for: Duration::from_millis(500 + 250 * (seed % 3)),
            probes: 1 + seed as u32 % 4,
            ..BreakerSpec::default()
        },
        slow_after_us: 400 * MS,
        scope,
    });
    setup.route.first_byte_us = 300 * MS + 300 * MS * (seed % 2);
    // Many leave while their request is a probe.
    setup.route.given_up = 20;
    setup
}

fn turns(stage: &Stage, to: BreakerState) -> usize {
    let events = stage.events.borrow();
    let turned = events.iter().filter(
        |(_, event)| matches!(event, Event::BreakerChanged { change, .. } if change.to == to),
    );
    turned.count()
}

/// Everything fails for a while. Most requests are refused then, and soon after they are not.
#[test]
fn a_service_that_fails_is_left_alone_and_taken_back() {
    let (mut most, mut slowest) = (0.0f64, 0);
    for_seeds(64, |seed| {
        let scope = [BreakerScope::Service, BreakerScope::Both][seed as usize % 2];
        let stage = Stage::new(setup(seed, scope));
        stage.run(2 * SECOND);
        assert_eq!(turns(&stage, BreakerState::Open), 0);
        let modes = [
            Mode::Failing(503),
            Mode::Failing(500),
            Mode::BlackHole,
            Mode::Refusing,
        ];
        let mode = modes[seed as usize / 2 % 4];
        stage
            .servers
            .borrow()
            .iter()
            .for_each(|server| server.become_(mode));
        stage.run(2 * SECOND);
        let before = attempts(&stage);
        let failing = run(&stage, 3 * SECOND);
        let tried = (attempts(&stage) - before) as f64 / failing.len() as f64;
        most = most.max(tried);
        assert!(
            tried < 0.35,
            "{tried:.3} attempts for each request while it is open"
        );
        assert!(turns(&stage, BreakerState::Open) > 0);
        stage
            .servers
            .borrow()
            .iter()
            .for_each(|server| server.become_(Mode::Up));
        let back = stage.now_us();
        stage.run(5 * SECOND);
        stage.finish();
        let after = stage.results_between(back, u64::MAX);
        let bad = stayed(&after).filter(|r| r.end != End::Answered(200));
        let last = bad.map(|r| r.at_us - back).max().unwrap_or(0);
        slowest = slowest.max(last);
        // What was open, a probe that had begun before, one more time open, and a turn of probes.
        assert!(last < 3 * SECOND, "still failing after {last} us");
        assert!(turns(&stage, BreakerState::Closed) > 0);
    });
    println!(
        "breaker of a service: most attempts for a request while failing {most:.3}, last failure {slowest} us after"
    );
}

/// One endpoint fails; its breaker opens, the others carry on, and nobody notices.
#[test]
fn an_endpoint_that_fails_is_left_alone_and_taken_back() {
    let mut worst = 1.0f64;
    for_seeds(64, |seed| {
        let mut setup = setup(seed, BreakerScope::Endpoint);
        setup.policy.outliers = None;
        let stage = Stage::new(setup);
        stage.run(SECOND);
        let modes = [
            Mode::Failing(503),
            Mode::Failing(500),
            Mode::BlackHole,
            Mode::Sick(80),
        ];
        stage.server(2).become_(modes[seed as usize % 4]);
        stage.run(2 * SECOND);
        let before = seen(&stage)[2];
        let from = stage.now_us();
        stage.run(3 * SECOND);
        let few = seen(&stage)[2] - before;
        stage.server(2).become_(Mode::Up);
        stage.run(3 * SECOND);
        let back = seen(&stage)[2];
        if stage.setup.balance == Balance::LeastResponseTime {
            // It forgets failures within half a minute.
            stage.rate.set(40);
            stage.run(30 * SECOND);
        }
        stage.run(2 * SECOND);
        assert!(seen(&stage)[2] > back, "it is never tried again");
        stage.finish();
        let results = stage.results_between(from, u64::MAX);
        let share = good_share(stayed(&results).filter(|r| r.idempotent));
        worst = worst.min(share);
        assert!(share > 0.995, "{share}");
        // A tenth of a second's worth for each time that it is tried again.
        assert!(few <= 60, "{few} requests while its breaker is open");
    });
    println!("breaker of an endpoint: worst share answered {worst:.4}");
}
