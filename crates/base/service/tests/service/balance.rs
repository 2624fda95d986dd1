//! Pickers against the ideal values of each algorithm.

use std::sync::Arc;

use proptest::prelude::*;
use weir_service::{Balance, EndpointId, Picked, Picker, Rng, Service, Wish};

use crate::support::loopback;

const ALL: [Balance; 4] = [
    Balance::RoundRobin,
    Balance::Random,
    Balance::P2c,
    Balance::LeastConnections,
];

fn service(balance: Balance, weights: &[u32]) -> Arc<Service> {
    let endpoints: Vec<_> = weights
        .iter()
        .zip(1..)
        .map(|(w, port)| (loopback(port), *w))
        .collect();
    Service::fixed("s", balance, &endpoints)
}

fn ids(service: &Service) -> Vec<EndpointId> {
    service
        .endpoints()
        .all()
        .iter()
        .map(|m| m.endpoint.id())
        .collect()
}

fn position(picked: &Picked) -> usize {
    usize::from(picked.address().port()) - 1
}

/// Picks whose requests end at once.
fn counts(picker: &mut Picker, n: usize, picks: u32, now_ms: impl Fn(u32) -> u64) -> Vec<u32> {
    let mut counts = vec![0; n];
    for i in 0..picks {
        counts[position(&picker.pick(&Wish::at(now_ms(i))).unwrap())] += 1;
    }
    counts
}

fn max_over_mean(counts: &[u32]) -> f64 {
    let mean = counts.iter().map(|c| f64::from(*c)).sum::<f64>() / counts.len() as f64;
    f64::from(*counts.iter().max().unwrap()) / mean
}

#[test]
fn round_robin_is_the_smooth_sequence_from_some_start() {
    for seed in 0..20 {
        let mut picker = Picker::new(service(Balance::RoundRobin, &[5, 1, 1]), seed);
        let letters: String = (0..14)
            .map(|_| ["a", "b", "c"][position(&picker.pick(&Wish::at(0)).unwrap())])
            .collect();
        assert!("aabacaaaabacaaaabacaa".contains(&letters), "{letters}");
    }
}

#[test]
fn workers_start_in_different_places() {
    let service = service(Balance::RoundRobin, &[1; 10]);
    let mut firsts = [0u32; 10];
    for seed in 0..1000 {
        let mut picker = Picker::new(Arc::clone(&service), seed);
        firsts[position(&picker.pick(&Wish::at(0)).unwrap())] += 1;
    }
    assert!(firsts.iter().all(|f| f.abs_diff(100) < 50), "{firsts:?}");
}

#[test]
fn random_follows_weights_within_noise() {
    let weights = [1, 2, 3, 10];
    let mut picker = Picker::new(service(Balance::Random, &weights), 3);
    let picks = 400_000;
    for (count, weight) in counts(&mut picker, 4, picks, |_| 0).iter().zip(weights) {
        let p = f64::from(weight) / 16.0;
        let sigma = (p * (1.0 - p) * f64::from(picks)).sqrt();
        assert!(
            (f64::from(*count) - p * f64::from(picks)).abs() < 5.0 * sigma,
            "{count} for {p}"
        );
    }
}

/// Requests that end at once leave all endpoints idle, so only the tie-break balances. Pure chance would give 1.025.
#[test]
fn p2c_is_even_although_all_are_idle() {
    for rate in [1_000_000_000, 100_000, 20_000] {
        let mut picker = Picker::new(service(Balance::P2c, &[1; 100]), 1);
        let counts = counts(&mut picker, 100, 1_000_000, |i| u64::from(i) * 1000 / rate);
        assert!(
            max_over_mean(&counts) <= 1.01,
            "{} at {rate}/s",
            max_over_mean(&counts)
        );
    }
}

#[test]
fn p2c_follows_weights() {
    let mut picker = Picker::new(service(Balance::P2c, &[4, 2, 1, 1]), 1);
    let counts = counts(&mut picker, 4, 80_000, |i| u64::from(i) / 100);
    for (count, weight) in counts.iter().zip([4u32, 2, 1, 1]) {
        assert!(count.abs_diff(weight * 10_000) < 300, "{counts:?}");
    }
}

/// Nothing ever completes: the gap above the mean stays at a few requests.
#[test]
fn held_requests_spread_evenly() {
    for (balance, gap) in [(Balance::P2c, 4), (Balance::LeastConnections, 2)] {
        for n in [10u32, 100, 1000] {
            let mut picker = Picker::new(service(balance.clone(), &vec![1; n as usize]), 1);
            let held: Vec<Picked> = (0..n * 20)
                .filter_map(|_| picker.pick(&Wish::at(0)).ok())
                .collect();
            let most = held.iter().map(|p| p.active()).max().unwrap();
            assert!(most <= 20 + gap, "{balance} {n}: {most}");
        }
    }
}

#[test]
fn least_connections_by_weight() {
    let mut picker = Picker::new(service(Balance::LeastConnections, &[3, 2, 1]), 1);
    let held: Vec<Picked> = (0..600)
        .filter_map(|_| picker.pick(&Wish::at(0)).ok())
        .collect();
    let mut counts = [0u32; 3];
    held.iter().for_each(|p| counts[position(p)] += 1);
    assert_eq!(counts, [300, 200, 100]);
}

#[test]
fn least_connections_rotates_ties_and_avoids_the_slow() {
    let mut picker = Picker::new(service(Balance::LeastConnections, &[1; 10]), 1);
    assert_eq!(counts(&mut picker, 10, 1000, |_| 0), [100; 10]);
    let slow: Vec<Picked> = (0..10)
        .map(|_| picker.pick(&Wish::at(0)).unwrap())
        .filter(|p| position(p) == 4)
        .collect();
    assert_eq!(slow.len(), 1);
    let counts = counts(&mut picker, 10, 900, |_| 0);
    assert_eq!(counts[4], 0, "{counts:?}");
}

#[test]
fn excluded_endpoints_are_not_picked() {
    for balance in ALL {
        for n in [1, 2, 3, 50] {
            let service = service(balance.clone(), &(1..=n).collect::<Vec<_>>());
            let ids = ids(&service);
            let mut picker = Picker::new(service, 1);
            let mut tried = Vec::new();
            // Retries until nobody is left reach everybody exactly once.
            while let Ok(picked) = picker.pick(&Wish {
                exclude: &tried,
                ..Wish::at(0)
            }) {
                assert!(!tried.contains(&picked.id()), "{balance} {n}");
                tried.push(picked.id());
            }
            tried.sort();
            assert_eq!(tried, ids, "{balance}");
        }
    }
}

#[test]
fn an_empty_service_gives_nothing() {
    for balance in ALL {
        assert!(
            Picker::new(service(balance.clone(), &[]), 1)
                .pick(&Wish::at(0))
                .is_err()
        );
    }
}

#[test]
fn endpoints_that_refuse_connections_are_avoided_then_probed() {
    for balance in ALL {
        let service = service(balance.clone(), &[1, 1, 1]);
        let mut picker = Picker::new(Arc::clone(&service), 1);
        let dead = Arc::clone(&service.endpoints().all()[1].endpoint);
        dead.connect_failed(1_000);
        let during = counts(&mut picker, 3, 300, |_| 1_999);
        assert_eq!(during[1], 0, "{balance} {during:?}");
        let after = counts(&mut picker, 3, 3000, |_| 2_000);
        assert_eq!(after[1], 1, "{balance}: one probe, {after:?}");
        dead.succeeded();
        let later = counts(&mut picker, 3, 3000, |i| 2_000 + u64::from(i));
        assert!(later[1] > 800, "{balance} {later:?}");
    }
}

#[test]
fn if_all_refuse_connections_they_are_tried_anyway() {
    for balance in ALL {
        for n in [1, 2, 5] {
            let service = service(balance.clone(), &vec![1; n]);
            service
                .endpoints()
                .all()
                .iter()
                .for_each(|m| m.endpoint.connect_failed(1_000));
            assert!(
                Picker::new(service, 1).pick(&Wish::at(1_500)).is_ok(),
                "{balance} {n}"
            );
        }
    }
}

/// Four workers that take turns, each with about thirty requests under way.
#[test]
fn workers_balance_together() {
    for balance in ALL {
        let service = service(balance.clone(), &[1; 20]);
        let mut workers: Vec<_> = (0..4)
            .map(|seed| (Picker::new(Arc::clone(&service), seed), Vec::new()))
            .collect();
        let (mut rng, mut counts) = (Rng::new(9), vec![0u32; 20]);
        for i in 0..80_000 {
            let (picker, held) = &mut workers[i % 4];
            let picked = picker.pick(&Wish::at(i as u64 / 10)).unwrap();
            counts[position(&picked)] += 1;
            held.push(picked);
            if held.len() > 30 {
                held.swap_remove(rng.below(31) as usize);
            }
        }
        let limit = if balance == Balance::Random {
            1.1
        } else {
            1.02
        };
        assert!(max_over_mean(&counts) < limit, "{balance}: {counts:?}");
    }
}

#[test]
fn threads_leave_nothing_behind() {
    for balance in ALL {
        let service = service(balance.clone(), &[1; 20]);
        std::thread::scope(|scope| {
            for seed in 0..4 {
                let service = Arc::clone(&service);
                scope.spawn(move || {
                    let mut picker = Picker::new(service, seed);
                    let mut held = Vec::new();
                    for i in 0..20_000 {
                        held.extend(picker.pick(&Wish::at(i / 10)));
                        if held.len() > 30 {
                            held.swap_remove(i as usize % 30);
                        }
                    }
                    assert_eq!(held.len(), 30);
                });
            }
        });
        assert!(
            service
                .endpoints()
                .all()
                .iter()
                .all(|m| m.endpoint.active() == 0)
        );
    }
}

proptest! {
    /// Whatever ends in whatever order, the counters are what is held, and zero in the end.
    #[test]
    fn active_never_leaks(
        balance in 0usize..4, weights in prop::collection::vec(1u32..10, 1..8),
        ops in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..300),
    ) {
        let service = service(ALL[balance].clone(), &weights);
        let mut pickers = [Picker::new(Arc::clone(&service), 1), Picker::new(Arc::clone(&service), 2)];
        let mut held: Vec<Picked> = Vec::new();
        for (pick, index) in ops {
            if pick || held.is_empty() {
                held.extend(pickers[index.index(2)].pick(&Wish::at(0)));
            } else {
                held.swap_remove(index.index(held.len()));
            }
            let active: u32 = service.endpoints().all().iter().map(|m| m.endpoint.active()).sum();
            prop_assert_eq!(active as usize, held.len());
        }
        drop(held);
        prop_assert!(service.endpoints().all().iter().all(|m| m.endpoint.active() == 0));
    }
}
