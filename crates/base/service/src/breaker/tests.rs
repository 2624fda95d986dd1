//! The machine by example and against many threads; against its model see `model`.

use std::sync::Barrier;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use super::window::{BUCKETS, Window};
use super::{Breaker, BreakerSpec, BreakerState, Change, Refused, Results, Token};
use crate::rng::Rng;

const MS: fn(u64) -> Duration = Duration::from_millis;

/// 1 s of window, at least 4 results, half of them bad; 5 s open; 3 probes, lost after 2 s.
fn spec() -> BreakerSpec {
    BreakerSpec {
        failure_rate: 50,
        slow_rate: Some(75),
        window: MS(1_000),
        min_requests: 4,
        open_for: MS(5_000),
        probes: 3,
        probe_timeout: MS(2_000),
    }
}

fn send(breaker: &Breaker, failed: bool, slow: bool, now_ms: u64) -> Option<Change> {
    let token = breaker.admit(now_ms).expect("admitted");
    breaker.record(token, failed, slow, now_ms)
}

fn opened(spec: BreakerSpec, now_ms: u64) -> Breaker {
    let needed = spec.min_requests;
    let breaker = Breaker::new(spec);
    let changes = (0..needed).filter_map(|_| send(&breaker, true, false, now_ms));
    assert_eq!(changes.count(), 1);
    breaker
}

// ---- one thread, by example ----

#[test]
fn opens_at_the_failure_rate() {
    let breaker = Breaker::new(spec());
    for (failed, opens) in [
        (true, false),
        (true, false),
        (true, false),
        (false, false),
        (true, true),
    ] {
        let change = send(&breaker, failed, false, 100);
        assert_eq!(change.is_some(), opens);
        if let Some(change) = change {
            assert_eq!(change.from, BreakerState::Closed);
            assert_eq!(change.to, BreakerState::Open);
            assert_eq!(change.to_string(), "4 of 5 requests failed, 0 were slow");
        }
    }
    let refused = Refused {
        retry_after_ms: 4_900,
    };
    assert_eq!(breaker.admit(200), Err(refused));
    assert_eq!(breaker.state(200), BreakerState::Open);
}

#[test]
fn opens_at_the_slow_rate() {
    let breaker = Breaker::new(spec());
    let results = [(false, true), (false, true), (false, false), (false, true)];
    let changes = results.map(|(failed, slow)| send(&breaker, failed, slow, 0));
    assert_eq!(changes.map(|c| c.is_some()), [false, false, false, true]);

    let indifferent = Breaker::new(BreakerSpec {
        slow_rate: None,
        ..spec()
    });
    assert!((0..100).all(|_| send(&indifferent, false, true, 0).is_none()));
}

#[test]
fn old_results_do_not_count() {
    let breaker = Breaker::new(spec());
    assert!((0..3).all(|_| send(&breaker, true, false, 0).is_none()));
    assert!(send(&breaker, true, false, 1_000).is_none());
    assert_eq!(breaker.results(1_000).requests, 1);
    assert!((0..2).all(|_| send(&breaker, true, false, 1_999).is_none()));
    assert!(send(&breaker, true, false, 2_000).is_none());
    // Three of these are in the window, and this is the fourth.
    assert!(send(&breaker, true, false, 2_000).is_some());
}

#[test]
fn probes_decide() {
    for (failures, to) in [
        (0, BreakerState::Closed),
        (1, BreakerState::Closed),
        (2, BreakerState::Open),
        (3, BreakerState::Open),
    ] {
        let breaker = opened(spec(), 0);
        assert_eq!(breaker.state(4_999), BreakerState::Open);
        assert_eq!(breaker.state(5_000), BreakerState::HalfOpen);
        let probes: Vec<_> = (0..3).map(|_| breaker.admit(5_000).unwrap()).collect();
        let changes = probes.iter().filter_map(|probe| probe.change(5_000));
        assert_eq!(
            changes.map(|c| (c.from, c.to)).collect::<Vec<_>>(),
            [(BreakerState::Open, BreakerState::HalfOpen)]
        );
        assert!(probes.iter().all(Token::is_probe));
        let refused = breaker.admit(5_000).unwrap_err();
        assert_eq!(refused.retry_after_ms, 1_000);
        let mut last = None;
        for (i, probe) in probes.into_iter().enumerate() {
            assert_eq!(last, None);
            last = breaker.record(probe, i < failures, false, 5_100);
        }
        let last = last.unwrap();
        assert_eq!((last.from, last.to), (BreakerState::HalfOpen, to));
        assert_eq!(breaker.state(5_100), to);
        if to == BreakerState::Closed {
            // What opened it is forgotten.
            assert_eq!(breaker.results(5_100), Results::default());
            assert!((0..3).all(|_| send(&breaker, true, false, 5_100).is_none()));
        } else {
            assert_eq!(breaker.admit(5_101).unwrap_err().retry_after_ms, 4_999);
        }
    }
}

#[test]
fn results_of_an_older_state_are_ignored() {
    let breaker = Breaker::new(spec());
    let old: Vec<_> = (0..10).map(|_| breaker.admit(0).unwrap()).collect();
    assert!((0..4).any(|_| send(&breaker, true, false, 0).is_some()));
    let probe = breaker.admit(5_000).unwrap();
    for token in old {
        assert_eq!(breaker.record(token, true, true, 5_000), None);
    }
    assert_eq!(breaker.results(5_000), Results::default());
    breaker.cancel(probe);
    assert!((0..3).all(|_| breaker.admit(5_000).is_ok()));
}

#[test]
fn lost_probes_are_given_to_others() {
    let breaker = opened(spec(), 0);
    let good = breaker.admit(5_000).unwrap();
    let lost = [5_000, 6_000].map(|now| breaker.admit(now).unwrap());
    assert_eq!(breaker.record(good, false, false, 6_000), None);
    // The time begins with the last one admitted.
    assert!(breaker.admit(7_999).is_err());
    let probes = [8_000, 8_000].map(|now| breaker.admit(now).unwrap());
    assert!(breaker.admit(8_000).is_err());
    for late in lost {
        assert_eq!(breaker.record(late, true, true, 8_001), None);
    }
    // The result from before still counts.
    let changes = probes.map(|probe| breaker.record(probe, false, false, 8_002));
    assert_eq!(
        changes.map(|change| change.map(|c| c.to)),
        [None, Some(BreakerState::Closed)]
    );
}

#[test]
fn probes_that_wait_for_clients_hold_nobody_up() {
    let breaker = opened(spec(), 0);
    let mut dripping: Vec<_> = (0..3).map(|_| breaker.admit(5_000).unwrap()).collect();
    for token in &mut dripping {
        breaker.stall(token, true);
        breaker.stall(token, true);
    }
    // One in a second, and no more than there are stalled.
    assert!(breaker.admit(5_999).is_err() && breaker.is_refusing(5_999));
    let mut others = Vec::new();
    for now in [6_000, 7_000, 8_000] {
        assert!(!breaker.is_refusing(now));
        others.push(breaker.admit(now).unwrap());
        assert_eq!(breaker.admit(now).unwrap_err().retry_after_ms, 1_000);
    }
    assert!(breaker.admit(9_000).is_err());
    // One of the stalled goes on and reports; with two of the others that makes three.
    let mut first = dripping.remove(0);
    breaker.stall(&mut first, false);
    assert_eq!(breaker.record(first, false, false, 9_000), None);
    assert_eq!(breaker.record(others.remove(0), false, false, 9_000), None);
    let change = breaker.record(others.remove(0), false, false, 9_000);
    assert_eq!(change.unwrap().to, BreakerState::Closed);
    // What is left belongs to a time that is over.
    for late in dripping.into_iter().chain(others) {
        assert_eq!(breaker.record(late, true, true, 9_001), None);
    }
    assert_eq!(breaker.results(9_001), Results::default());

    // Stalled ones of an older generation make no room.
    let breaker = opened(spec(), 0);
    let mut old: Vec<_> = (0..3).map(|_| breaker.admit(5_000).unwrap()).collect();
    breaker.stall(&mut old[0], true);
    let fresh: Vec<_> = (0..3)
        .map(|_| breaker.admit(7_000))
        .filter_map(Result::ok)
        .collect();
    assert_eq!(fresh.len(), 1, "for the one that is stalled");
    let fresh: Vec<_> = (0..4)
        .map(|_| breaker.admit(9_000))
        .filter_map(Result::ok)
        .collect();
    assert_eq!(fresh.len(), 3);
    old.drain(..).for_each(|token| breaker.cancel(token));
    assert!(breaker.admit(10_500).is_err());
}

#[test]
fn a_spec_out_of_range_still_works() {
    let zero = BreakerSpec {
        failure_rate: 0,
        slow_rate: Some(0),
        window: Duration::ZERO,
        min_requests: 0,
        open_for: Duration::ZERO,
        probes: 0,
        probe_timeout: Duration::ZERO,
    };
    let huge = BreakerSpec {
        failure_rate: u32::MAX,
        slow_rate: Some(u32::MAX),
        window: Duration::MAX,
        min_requests: 1,
        open_for: Duration::MAX,
        probes: u32::MAX,
        probe_timeout: Duration::MAX,
    };
    for (spec, probes) in [(zero, 1), (huge, 1_000)] {
        let breaker = Breaker::new(spec);
        assert!(send(&breaker, true, false, 7).is_some());
        let later = 7 + 86_400_000;
        let tokens: Vec<_> = (0..probes).map(|_| breaker.admit(later).unwrap()).collect();
        assert!(breaker.admit(later).is_err());
        let changes = tokens.into_iter();
        let changes = changes.filter_map(|token| breaker.record(token, false, false, later));
        assert_eq!(changes.count(), 1);
        assert_eq!(breaker.state(later), BreakerState::Closed);
    }
}

// ---- many threads ----

const THREADS: usize = 64;

/// However many see that the time has come, `probes` pass, and one of them is the first.
#[test]
fn exactly_the_probes_are_admitted() {
    let rounds = 100;
    let breakers: Vec<_> = (0..rounds)
        .map(|round| {
            let probes = 1 + round % 10;
            opened(BreakerSpec { probes, ..spec() }, 0)
        })
        .collect();
    let barrier = Barrier::new(THREADS);
    let admitted: Vec<_> = (0..rounds).map(|_| AtomicUsize::new(0)).collect();
    let first: Vec<_> = (0..rounds).map(|_| AtomicUsize::new(0)).collect();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for (round, breaker) in breakers.iter().enumerate() {
                    barrier.wait();
                    for _ in 0..3 {
                        if let Ok(token) = breaker.admit(5_000) {
                            admitted[round].fetch_add(1, SeqCst);
                            first[round]
                                .fetch_add(usize::from(token.change(5_000).is_some()), SeqCst);
                        }
                    }
                }
            });
        }
    });
    for round in 0..rounds as usize {
        assert_eq!(admitted[round].load(SeqCst), 1 + round % 10);
        assert_eq!(first[round].load(SeqCst), 1);
    }
}

/// All threads bring the last bad result, or a probe's result, at the same time: one of them changes the state.
#[test]
fn one_transition_per_race() {
    let rounds = 100;
    let probes = THREADS as u32;
    let breakers: Vec<_> = (0..rounds)
        .map(|_| Breaker::new(BreakerSpec { probes, ..spec() }))
        .collect();
    let barrier = Barrier::new(THREADS);
    let changes: Vec<_> = (0..rounds).map(|_| AtomicUsize::new(0)).collect();
    // No thread may panic: the others would wait for it for ever.
    let race = |round: usize, breaker: &Breaker| {
        let token = breaker.admit(0).ok();
        barrier.wait();
        let opened = token.and_then(|token| breaker.record(token, true, true, 0));
        barrier.wait();
        let probe = breaker.admit(5_000).ok();
        let tried = probe.as_ref().and_then(|probe| probe.change(5_000));
        barrier.wait();
        let failed = round.is_multiple_of(2);
        let decided = probe.and_then(|probe| breaker.record(probe, failed, false, 5_000));
        let seen = [opened, tried, decided].iter().flatten().count();
        changes[round].fetch_add(seen, SeqCst);
    };
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| breakers.iter().enumerate().for_each(|(i, b)| race(i, b)));
        }
    });
    for (round, (changes, breaker)) in changes.iter().zip(&breakers).enumerate() {
        assert_eq!(changes.load(SeqCst), 3, "round {round}");
        let to = [BreakerState::Open, BreakerState::Closed][round % 2];
        assert_eq!(breaker.state(5_000), to);
    }
}

/// Threads do whatever they like; transitions form a chain, never more than `probes` are out, and nothing sticks.
#[test]
fn random_threads_never_break_or_stick_it() {
    let mut cycles = 0;
    for seed in 0..4 {
        // Without lost probes nobody must be given up, so that the number of those out is exact.
        let lossy = seed % 2 == 1;
        let spec = BreakerSpec {
            open_for: MS(50),
            probe_timeout: if lossy { MS(20) } else { MS(86_400_000) },
            ..spec()
        };
        let probes = i64::from(spec.probes);
        let breaker = Breaker::new(spec);
        let clock = AtomicU64::new(0);
        let out = AtomicI64::new(0);
        // Closed to open, open to half-open, half-open to open, half-open to closed.
        let changes: [AtomicI64; 4] = Default::default();
        thread::scope(|scope| {
            for thread in 0..16 {
                let (breaker, clock, out, changes) = (&breaker, &clock, &out, &changes);
                scope.spawn(move || {
                    let mut rng = Rng::new(seed * 1_000 + thread);
                    for step in 0..3_000u32 {
                        let now_ms = clock.fetch_add(u64::from(rng.below(5) == 0), SeqCst);
                        let Ok(token) = breaker.admit(now_ms) else {
                            clock.fetch_add(1, SeqCst);
                            continue;
                        };
                        let probe = i64::from(token.is_probe());
                        changes[1].fetch_add(i64::from(token.change(now_ms).is_some()), SeqCst);
                        let together = out.fetch_add(probe, SeqCst) + probe;
                        assert!(lossy || together <= probes);
                        if rng.below(4) == 0 {
                            thread::yield_now();
                        }
                        out.fetch_sub(probe, SeqCst);
                        match rng.below(10) {
                            0..=1 => breaker.cancel(token),
                            2 if lossy => {}
                            dice => {
                                let bad_times = (step / 100).is_multiple_of(2);
                                let failed = dice < if bad_times { 9 } else { 4 };
                                let change = breaker.record(token, failed, false, now_ms);
                                let kind = change.map(|c| match (c.from, c.to) {
                                    (BreakerState::Closed, BreakerState::Open) => 0,
                                    (BreakerState::HalfOpen, BreakerState::Open) => 2,
                                    (BreakerState::HalfOpen, BreakerState::Closed) => 3,
                                    other => panic!("{other:?}"),
                                });
                                if let Some(kind) = kind {
                                    changes[kind].fetch_add(1, SeqCst);
                                }
                            }
                        }
                    }
                });
            }
        });
        let [opened, tried, reopened, closed] = changes.map(AtomicI64::into_inner);

        cycles += opened;
        assert!((0..=1).contains(&(opened - closed)));
        assert!((0..=1).contains(&(tried - reopened - closed)));
        assert!((0..=1).contains(&(opened + reopened - tried)));
        // All tokens are gone now; good results must close it.
        let mut now_ms = clock.into_inner();
        now_ms += if lossy { 50 } else { 50.max(now_ms) };
        for _ in 0..=probes {
            if breaker.state(now_ms) != BreakerState::Closed {
                send(&breaker, false, false, now_ms);
            }
        }
        assert_eq!(breaker.state(now_ms), BreakerState::Closed);
    }
    assert!(cycles > 4, "only {cycles}");
}

// ---- the window ----

#[test]
fn a_window_slides_and_forgets() {
    let window = Window::new(100);
    let count = |now_ms| window.results(now_ms).requests;
    window.add(true, true, 0);
    window.add(false, false, 950);
    assert_eq!(count(999), 2);
    assert_eq!(count(1_000), 1);
    assert_eq!(count(1_899), 1);
    assert_eq!(count(1_900), 0);
    window.add(false, true, 5_000);
    // A thread whose clock is late by more than the window writes over nothing.
    window.add(false, true, 4_000);
    window.add(false, true, 4_900);
    assert_eq!(count(5_000), 2);
    // One whose clock is a little late sees what others did after its time.
    assert_eq!(count(4_900), 2);
    window.clear();
    assert_eq!(window.results(5_000), Results::default());
    window.add(true, false, 5_000);
    let expected = Results {
        requests: 1,
        failures: 1,
        slow: 0,
    };
    assert_eq!(window.results(5_000), expected);
    assert_eq!(window.results(5_000 + BUCKETS * 100), Results::default());
}

#[test]
fn a_window_counts_what_all_threads_bring() {
    let window = Window::new(100);
    thread::scope(|scope| {
        for thread in 0..8 {
            let window = &window;
            scope.spawn(move || {
                for i in 0..10_000 {
                    window.add(thread % 2 == 0, i % 4 == 0, i / 11);
                }
            });
        }
    });
    let expected = Results {
        requests: 80_000,
        failures: 40_000,
        slow: 20_000,
    };
    assert_eq!(window.results(909), expected);
}
