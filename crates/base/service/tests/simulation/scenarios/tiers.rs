//! Zones and priorities: who takes over, and how much.
//!
//! Measured with the balancers that share by weight. Response times follow what answers took, and only lean on weights.

use super::*;
use crate::control::Check;
use crate::server::{Mode, Work};
use crate::setup::{Place, Setup};
use crate::stage::MS;

fn places(n: usize, priority: u8, zone: Option<&'static str>) -> Vec<Place> {
    let place = Place::new(Work::Exponential(4 * MS), 64);
    vec![
        Place {
            priority,
            zone,
            ..place
        };
        n
    ]
}

/// The share of the requests of these servers, over so much time.
fn share_of(stage: &Rc<Stage>, servers: std::ops::Range<usize>, us: u64) -> f64 {
    let before = seen(stage);
    stage.run(us);
    let now = seen(stage);
    let count = |range: std::ops::Range<usize>| -> u64 { range.map(|i| now[i] - before[i]).sum() };
    count(servers) as f64 / count(0..now.len()) as f64
}

/// Seven in front, five in reserve: nothing spills until fewer than five of seven are left.
#[test]
fn priorities_take_over_what_those_before_cannot_carry() {
    let mut measured = [0.0f64; 8];
    let n = std::cell::Cell::new(0.0);
    for_seeds(16, |seed| {
        let mut setup = Setup::new(seed, 0, 500);
        setup.places = [places(7, 0, None), places(5, 1, None)].concat();
        setup.balance = balancers()[seed as usize % 4].clone();
        setup.check = Some(Check::default());
        let stage = Stage::new(setup);
        stage.run(SECOND / 2);
        n.set(n.get() + 1.0);
        for (dead, measured) in measured.iter_mut().enumerate() {
            if dead > 0 {
                stage.server(dead - 1).kill();
                stage.run(4 * SECOND);
            }
            let share = share_of(&stage, 0..7, SECOND);
            *measured += share;
            let expected = (1.4 * (7 - dead) as f64 / 7.0).min(1.0);
            // Retries of requests that met a dead one go anywhere.
            assert!(
                (share - expected).abs() < 0.09,
                "{dead} dead: {share:.3}, not {expected:.3}"
            );
            if dead <= 2 {
                assert_eq!(share, 1.0);
            }
        }
        // All are back, and so are the requests.
        (0..7).for_each(|index| stage.server(index).become_(Mode::Up));
        stage.run(4 * SECOND);
        assert_eq!(share_of(&stage, 0..7, SECOND), 1.0);
        stage.finish();
        let results = stage.results.borrow();
        assert_eq!(good_share(stayed(&results).filter(|r| r.idempotent)), 1.0);
    });
    let measured = measured.map(|sum| (sum / n.get() * 1000.0).round() / 1000.0);
    println!("priority 0 with 0 to 7 of 7 dead carries {measured:?}");
}

/// Requests stay in the zone while 70 % of it is there; then a part of them leaves.
#[test]
fn zones_spill_what_they_cannot_carry() {
    let mut measured = [0.0f64; 5];
    let n = std::cell::Cell::new(0.0);
    for_seeds(16, |seed| {
        let mut setup = Setup::new(seed, 0, 500);
        setup.places = [places(4, 0, Some("here")), places(8, 0, Some("there"))].concat();
        setup.balance = balancers()[seed as usize % 4].clone();
        if by_load().contains(&setup.balance) {
            // They weigh what is in flight: so there must be something.
            setup.rate = 800;
            setup
                .places
                .iter_mut()
                .for_each(|place| place.work = Work::Exponential(50 * MS));
        }
        setup.check = Some(Check::default());
        setup.policy.zone = Some("here".into());
        let stage = Stage::new(setup);
        stage.run(SECOND / 2);
        n.set(n.get() + 1.0);
        for (dead, measured) in measured.iter_mut().enumerate() {
            if dead > 0 {
                stage.server(dead - 1).kill();
                stage.run(4 * SECOND);
            }
            let share = share_of(&stage, 0..4, SECOND);
            *measured += share;
            let left = (4 - dead) as f64;
            let kept = if left >= 2.8 { 1.0 } else { left / 2.8 };
            let fair = left / (left + 8.0);
            let expected = kept.max(fair);
            // Least connections prefers an idle one of little weight to a busy one of much.
            let least = stage.setup.balance == Balance::LeastConnections;
            let margin = if least { 0.12 } else { 0.09 };
            assert!(
                (share - expected).abs() < margin,
                "{dead} dead: {share:.3}, not {expected:.3}"
            );
        }
        stage.finish();
    });
    let measured = measured.map(|sum| (sum / n.get() * 1000.0).round() / 1000.0);
    println!("a preferred zone with 0 to 4 of 4 dead keeps {measured:?}");
}

/// Each gets its share by weight, if all are equally quick.
#[test]
fn weights_are_obeyed() {
    let mut furthest = [0.0f64; 4];
    for_seeds(10, |seed| {
        for (balance, furthest) in balancers().into_iter().zip(&mut furthest) {
            let mut setup = Setup::new(seed, 0, 1_500);
            setup.places = places(3, 0, None);
            for (place, weight) in setup.places.iter_mut().zip([6, 3, 1]) {
                place.weight = weight;
                // Forty in flight.
                place.work = Work::Exponential(30 * MS);
            }
            setup.balance = balance.clone();
            let stage = Stage::new(setup);
            stage.run(SECOND / 2);
            let before = seen(&stage);
            stage.run(SECOND);
            let counts: Vec<u64> = seen(&stage)
                .iter()
                .zip(before)
                .map(|(a, b)| a - b)
                .collect();
            stage.finish();
            let all: u64 = counts.iter().sum();
            for (count, expected) in counts.iter().zip([0.6, 0.3, 0.1]) {
                let off = (*count as f64 / all as f64 - expected).abs();
                assert!(off < 0.06, "{balance}: {counts:?}");
                *furthest = furthest.max(off);
            }
        }
    });
    println!("weights 6, 3, 1: furthest from the share {furthest:.3?}");
}
