//! One slow endpoint of ten; and one that fails faster than the others answer.

use weir_service::{Balance, Event, Policy};

use super::*;
use crate::server::{Mode, Work};
use crate::setup::{Hedge, Place, Setup};
use crate::stage::MS;

/// Ten servers with room, at three requests in flight each; one takes ten times as long.
fn with_slow_one(seed: u64, balance: Balance) -> Rc<Stage> {
    let mut setup = Setup::new(seed, 10, 3_000);
    setup.places = vec![Place::new(Work::Exponential(10 * MS), 64); 10];
    setup.balance = balance;
    setup.workers = 2;
    let stage = Stage::new(setup);
    stage.server(seed as usize % 10).slow_down(1_000);
    stage
}

#[test]
fn the_tail_behind_a_slow_endpoint_is_half_of_round_robins() {
    let mut of_all: Vec<Vec<Record>> = vec![Vec::new(); 5];
    for_seeds(4, |seed| {
        let measured = balancers().into_iter().take(5).map(|balance| {
            let stage = with_slow_one(seed, balance);
            stage.run(SECOND);
            let results = run(&stage, 3 * SECOND / 2);
            stage.finish();
            results
        });
        let measured: Vec<_> = measured.collect();
        let tail = |index: usize| percentile(&measured[index], 99);
        for (index, balance) in balancers().iter().enumerate().take(5) {
            if by_load().contains(balance) {
                let (tail, turns) = (tail(index), tail(0));
                assert!(
                    tail * 2 <= turns,
                    "{balance}: p99 {tail} us, in turn {turns} us"
                );
            }
        }
        of_all
            .iter_mut()
            .zip(measured)
            .for_each(|(all, one)| all.extend(one));
    });
    for (balance, results) in balancers().iter().zip(&of_all) {
        let [p50, p99] = [50, 99].map(|p| percentile(results, p) as f64 / 1000.0);
        println!("one of ten slow, {balance}: p50 {p50:.1} ms, p99 {p99:.1} ms");
    }
}

/// Answers 503 at once: the load-aware see an idle endpoint. Five in a row, and it is out.
#[test]
fn what_fails_fast_attracts_nothing() {
    let mut most = [0.0f64; 8];
    for_seeds(40, |seed| {
        let index = seed as usize % 8;
        let mut setup = Setup::new(seed, 10, 500);
        setup.balance = balancers()[index].clone();
        let stage = Stage::new(setup);
        stage.server(3).become_(Mode::Failing(503));
        let results = run(&stage, 10 * SECOND);
        let seen = seen(&stage);
        let share = seen[3] as f64 / seen.iter().sum::<u64>() as f64;
        most[index] = most[index].max(share);
        assert!(share < 0.01, "{}: {share}", balancers()[index]);
        let repeatable = stayed(&results).filter(|r| r.idempotent);
        assert_eq!(good_share(repeatable), 1.0);
        stage.finish();
    });
    println!("failing fast with 503, highest share: {most:.4?}");
}

/// The application's own errors do not count as failures in a row. Response times alone must not be fooled, and in the
/// second interval nobody is.
#[test]
fn an_application_that_fails_fast_attracts_nothing() {
    let mut shares = vec![[0.0f64; 2]; 5];
    for_seeds(20, |seed| {
        let index = seed as usize % 5;
        let mut setup = Setup::new(seed, 10, 800);
        setup.balance = balancers()[index].clone();
        setup.route.on_5xx = false;
        let stage = Stage::new(setup);
        stage.run(3 * SECOND);
        stage.server(3).become_(Mode::Failing(500));
        let before = seen(&stage);
        stage.run(6 * SECOND);
        let between = seen(&stage);
        stage.run(6 * SECOND);
        let now = seen(&stage);
        stage.run(8 * SECOND);
        let after = seen(&stage);
        let share = |from: &[u64], to: &[u64]| {
            let total: u64 = to.iter().sum::<u64>() - from.iter().sum::<u64>();
            (to[3] - from[3]) as f64 / total as f64
        };
        let early = share(&before, &between);
        let late = share(&now, &after);
        shares[index] = [shares[index][0].max(early), shares[index][1].max(late)];
        if balancers()[index] == Balance::LeastResponseTime {
            // Too few requests go there for its success rate to say anything.
            assert!(early < 0.01 && late < 0.01, "{early} {late}");
        } else {
            assert_eq!(late, 0.0, "{}", balancers()[index]);
        }
        stage.finish();
    });
    println!("failing fast with 500, highest share before and after ejection: {shares:.4?}");
}

/// Without outlier detection only the balancer itself can know.
#[test]
fn response_times_are_not_fooled_by_fast_failures() {
    let mut most = 0.0f64;
    for_seeds(20, |seed| {
        let mut setup = Setup::new(seed, 10, 800);
        setup.balance = Balance::LeastResponseTime;
        setup.policy = Policy::off();
        setup.route.on_5xx = seed % 2 == 0;
        let stage = Stage::new(setup);
        stage.run(2 * SECOND);
        stage.server(3).become_(Mode::Failing(500));
        let before = seen(&stage);
        stage.run(10 * SECOND);
        let after = seen(&stage);
        let share = (after[3] - before[3]) as f64
            / (after.iter().sum::<u64>() - before.iter().sum::<u64>()) as f64;
        most = most.max(share);
        // A tenth would be its fair share.
        assert!(share < 0.03, "{share}");
        stage.finish();
    });
    println!("failing fast, response times alone: highest share {most:.4}");
}

/// A second try after as long as 95 of 100 answers take cuts the tail, and stays within the budget.
#[test]
fn hedges_cut_the_tail_within_the_budget() {
    let (mut plain, mut hedged) = (Vec::new(), Vec::new());
    let (mut requests, mut hedges) = (0, 0);
    for_seeds(8, |seed| {
        for hedge in [Hedge::Off, Hedge::P95] {
            let mut setup = Setup::new(seed, 10, 500);
            setup.places = vec![Place::new(Work::LongTail(10 * MS), 64); 10];
            setup.route.hedge = hedge;
            setup.route.floor = 0;
            let stage = Stage::new(setup);
            stage.run(2 * SECOND);
            let results = run(&stage, 6 * SECOND);
            match hedge {
                Hedge::Off => plain.extend(results),
                _ => {
                    hedged.extend(results);
                    requests += stage.ledger.requests.get();
                    hedges += stage.ledger.retries.get();
                }
            }
            stage.finish();
            let ejected = |event: &Event| matches!(event, Event::Ejected { .. });
            assert!(
                !stage
                    .events
                    .borrow()
                    .iter()
                    .any(|(_, event)| ejected(event))
            );
        }
    });
    let [before, after] = [&plain, &hedged].map(|results| percentile(results, 99));
    println!(
        "hedging at p95: p99 {before} us -> {after} us for {:.1} % more requests",
        hedges as f64 * 100.0 / requests as f64
    );
    assert!(after * 10 <= before * 7, "{before} -> {after}");
    assert!(hedges * 10 <= requests, "{hedges} of {requests}");
}
