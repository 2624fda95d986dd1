//! Everything at once: members come and go, configurations are read again, servers do what they like, and so do clients.
//!
//! Little can be said of what comes out, but the invariants hold; and once all is well, all is well.

use std::time::Duration;

use weir_service::{
    AdmissionSpec, BreakerPolicy, BreakerScope, BreakerSpec, OutlierSpec, Policy, Rng,
    ServiceLimits, Thresholds,
};

use super::*;
use crate::control::Check;
use crate::server::{Mode, Work};
use crate::setup::{Hedge, Place, Setup};
use crate::stage::MS;

fn policy(rng: &mut Rng) -> Policy {
    let mut one_in = |n: u32| rng.below(n) == 0;
    let mut policy = Policy::default();
    if one_in(4) {
        policy.outliers = None;
    }
    if one_in(2) {
        policy.outliers = policy.outliers.map(|spec| OutlierSpec {
            interval: Duration::from_millis(500),
            eject_for: Duration::from_millis(400),
            max_ejected: 100,
            return_on_check: one_in(2),
            ..spec
        });
    }
    if one_in(2) {
        policy.breaker = Some(BreakerPolicy {
            spec: BreakerSpec {
                window: Duration::from_secs(1),
                min_requests: 5,
                open_for: Duration::from_millis(200),
                probes: 2,
                ..BreakerSpec::default()
            },
            slow_after_us: 100 * MS,
            scope: match (one_in(3), one_in(2)) {
                (true, _) => BreakerScope::Both,
                (false, true) => BreakerScope::Service,
                (false, false) => BreakerScope::Endpoint,
            },
        });
    }
    if one_in(2) {
        policy.limits = ServiceLimits {
            connections: one_in(2).then_some(4),
            admission: Some(AdmissionSpec {
                requests: if one_in(2) { 8 } else { 40 },
                pending: if one_in(4) { 0 } else { 20 },
                adaptive: one_in(3),
                ..AdmissionSpec::default()
            }),
            queue_timeout_us: 200 * MS,
        };
    }
    policy.slow_start_ms = if one_in(2) { 800 } else { 0 };
    policy.panic_below = [0, 10, 50][rng.below(3) as usize];
    policy.zone = (rng.below(3) == 0).then(|| "a".into());
    policy.subset = (rng.below(4) == 0).then_some(3);
    policy
}

fn setup(seed: u64) -> Setup {
    let mut rng = Rng::new(seed ^ 0xc4a05);
    let n = 1 + rng.below(7) as usize;
    let mut setup = Setup::new(seed, n, 40 + u64::from(rng.below(160)));
    setup.balance = balancers()[rng.below(8) as usize].clone();
    if setup.balance == Balance::IpHash && rng.below(4) > 0 {
        // Its tables take long to build without optimisation.
        setup.balance = Balance::P2c;
    }
    setup.policy = policy(&mut rng);
    setup.workers = 1 + rng.below(4) as usize;
    setup.places = (0..n)
        .map(|_| Place {
            weight: 1 + rng.below(4),
            priority: (rng.below(3) / 2) as u8,
            zone: [None, Some("a"), Some("b")][rng.below(3) as usize],
            ..Place::new(
                Work::LongTail(2 * MS + u64::from(rng.below(15)) * MS),
                1 + rng.below(16),
            )
        })
        .collect();
    setup.check = (rng.below(2) == 0).then(|| Check {
        interval: Duration::from_millis(100 + u64::from(rng.below(400))),
        timeout: Duration::from_millis(100),
        thresholds: Thresholds {
            healthy_after: 1 + rng.below(2),
            unhealthy_after: 1 + rng.below(3),
        },
    });
    let route = &mut setup.route;
    route.attempts = rng.below(4);
    route.first_byte_us = 150 * MS + u64::from(rng.below(300)) * MS;
    route.per_try_us = if rng.below(3) == 0 {
        100 * MS
    } else {
        u64::MAX
    };
    route.total_us = 300 * MS + u64::from(rng.below(900)) * MS;
    route.connect_us = 100 * MS;
    route.hedge =
        [Hedge::Off, Hedge::Off, Hedge::P95, Hedge::After(20 * MS)][rng.below(4) as usize];
    route.idempotent = 50 + rng.below(51);
    route.given_up = rng.below(40);
    (route.high, route.low) = (rng.below(30), rng.below(40));
    route.floor = [0, 3, 10][rng.below(3) as usize];
    setup
}

/// Does something to someone.
fn happen(stage: &Rc<Stage>) {
    let (what, index, number) = {
        let mut rng = stage.rng.borrow_mut();
        let n = stage.servers.borrow().len() as u32;
        (rng.below(14), rng.below(n) as usize, rng.below(1_000))
    };
    let server = stage.server(index);
    match what {
        0 => server.become_(Mode::Failing(500 + number as u16 % 4)),
        1 => server.become_(Mode::BlackHole),
        2 => server.become_(Mode::Sick(number / 10)),
        3 => server.slow_down(100 + 2 * u64::from(number)),
        4 => server.become_(Mode::Silent),
        5 => server.kill(),
        6 if stage.servers.borrow().len() < 16 => stage.join(&stage.setup.places[0].clone()),
        7 | 8 if stage.members().len() > 1 || number < 100 => stage.set_member(index, false),
        9 => stage.set_member(index, true),
        10 if number < 400 => stage.reload(),
        11 => {
            let label = server.address.to_string();
            let service = stage.service();
            service.set_draining(&label, number < 500, stage.world.now_ms());
        }
        12 => stage
            .rate
            .set(stage.setup.rate * (1 + u64::from(number % 5))),
        _ => {
            server.slow_down(100);
            server.become_(Mode::Up);
        }
    }
}

#[test]
fn invariants_hold_whatever_happens() {
    let mut requests = 0;
    for_seeds(1_500, |seed| {
        let stage = Stage::new(setup(seed));
        for _ in 0..16 {
            happen(&stage);
            let us = u64::from(stage.rng.borrow_mut().below(120)) * MS;
            stage.run(us);
        }
        stage.finish();
        requests += stage.results.borrow().len();
    });
    println!("chaos: {requests} requests");
}

/// After whatever happened, when all servers are well and nobody asks for too much, nobody is turned away for long.
#[test]
fn all_is_well_that_ends_well() {
    let mut slowest = 0;
    for_seeds(250, |seed| {
        let mut setup = setup(seed);
        setup.route.total_us = 2 * SECOND;
        setup.route.first_byte_us = 2 * SECOND;
        setup.route.per_try_us = u64::MAX;
        for place in &mut setup.places {
            *place = Place {
                weight: place.weight,
                ..Place::new(Work::Exponential(5 * MS), 32)
            };
        }
        let stage = Stage::new(setup);
        for _ in 0..12 {
            happen(&stage);
            let us = u64::from(stage.rng.borrow_mut().below(120)) * MS;
            stage.run(us);
        }
        let n = stage.servers.borrow().len();
        for index in 0..n {
            stage.set_member(index, true);
            let server = stage.server(index);
            server.slow_down(100);
            server.become_(Mode::Up);
            let label = server.address.to_string();
            stage
                .service()
                .set_draining(&label, false, stage.world.now_ms());
        }
        stage.rate.set(40);
        let back = stage.now_us();
        stage.run(5 * SECOND);
        stage.finish();
        let after = stage.results_between(back, u64::MAX);
        let bad = stayed(&after).filter(|r| r.end != End::Answered(200));
        let last = bad.map(|r| r.at_us - back).max().unwrap_or(0);
        slowest = slowest.max(last);
        assert!(last < 3 * SECOND, "still failing after {last} us");
    });
    println!("chaos, then peace: last failure after {slowest} us");
}
