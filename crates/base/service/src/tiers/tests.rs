use proptest::prelude::*;

use super::*;
use crate::rng::Rng;

const POLICY: TierPolicy = TierPolicy {
    panic_below: 50,
    spill_below: 70,
    slow_start_ms: 0,
    subset: 0,
    seed: 1,
};

/// A warm, usable peer of priority 0, out of the preferred zone.
fn peer(key: u64) -> Peer {
    Peer {
        weight: 1,
        priority: 0,
        preferred_zone: false,
        usable: true,
        drained: false,
        ready_for_ms: u64::MAX,
        key,
    }
}

/// `of` peers, of which the first `usable` are usable.
fn some(usable: u64, of: u64, change: impl Fn(&mut Peer)) -> Vec<Peer> {
    let one = |key| {
        let mut peer = peer(key);
        change(&mut peer);
        peer.usable = key < usable;
        peer
    };
    (0..of).map(one).collect()
}

/// The share of the load, in percent, of the peers that `of` accepts.
fn percent(choice: &Choice, peers: &[Peer], of: impl Fn(&Peer) -> bool) -> f64 {
    let sum = |all: bool| -> f64 {
        let counted = choice
            .candidates
            .iter()
            .filter(|(i, _)| all || of(&peers[*i]));
        counted.map(|(_, w)| f64::from(*w)).sum()
    };
    100.0 * sum(false) / sum(true).max(1.0)
}

#[test]
fn weights_are_the_configured_ones_if_nothing_shifts_them() {
    let mut peers = some(3, 4, |_| {});
    for (peer, weight) in peers.iter_mut().zip([5, 1, 1, 9]) {
        peer.weight = weight;
    }
    peers[3].drained = true;
    let choice = choose(&peers, &POLICY);
    assert_eq!(choice.candidates, [(0, 5), (1, 1), (2, 1)]);
    assert_eq!((choice.panic, choice.warming), (false, false));
    assert!(choice.fallback.is_empty());
    assert_eq!(choose(&[], &POLICY).candidates, []);
    assert!(!choose(&[], &POLICY).panic);
}

/// The tables of Envoy's documentation of priority levels.
#[test]
fn priorities_spill_as_in_envoy() {
    for (usable, expected) in [
        (&[100, 100][..], &[100.0, 0.0][..]),
        (&[72, 100], &[100.0, 0.0]),
        (&[71, 100], &[99.4, 0.6]),
        (&[50, 100], &[70.0, 30.0]),
        (&[25, 100], &[35.0, 65.0]),
        (&[0, 100], &[0.0, 100.0]),
        (&[25, 25], &[50.0, 50.0]),
        (&[25, 20], &[35.0 / 0.63, 28.0 / 0.63]),
        (&[100, 100, 100], &[100.0, 0.0, 0.0]),
        (&[50, 50, 100], &[70.0, 30.0, 0.0]),
        (&[50, 0, 50], &[70.0, 0.0, 30.0]),
        (&[25, 25, 100], &[35.0, 35.0, 30.0]),
        (&[0, 0, 72], &[0.0, 0.0, 100.0]),
        (&[5, 0, 5], &[50.0, 0.0, 50.0]),
    ] {
        let peers: Vec<Peer> = usable
            .iter()
            .zip(0..)
            .flat_map(|(usable, priority)| some(*usable, 100, |p| p.priority = priority))
            .collect();
        let policy = TierPolicy {
            panic_below: 0,
            ..POLICY
        };
        let choice = choose(&peers, &policy);
        for (expected, priority) in expected.iter().zip(0..) {
            let share = percent(&choice, &peers, |p| p.priority == priority);
            assert!(
                (share - expected).abs() < 0.01,
                "{usable:?}: {share} to {priority}"
            );
        }
    }
}

#[test]
fn five_of_seven_carry_everything_exactly() {
    let peers = |usable| {
        let mut peers = some(usable, 7, |_| {});
        peers.extend(some(7, 7, |p| p.priority = 1));
        peers
    };
    assert_eq!(choose(&peers(5), &POLICY).candidates.len(), 5);
    assert_eq!(choose(&peers(4), &POLICY).candidates.len(), 11);
}

#[test]
fn panic_by_table() {
    // Usable of 100 in each tier, threshold; then whether there is panic and how many candidates.
    for (usable, panic_below, panic, candidates) in [
        (&[50][..], 50, false, 50),
        (&[49], 50, true, 100),
        (&[0], 50, true, 100),
        (&[0], 1, true, 100),
        (&[0], 0, false, 0),
        (&[1], 0, false, 1),
        (&[79], 80, true, 100),
        // Others carry it.
        (&[0, 72], 50, false, 72),
        (&[30, 50], 50, false, 80),
        // They do not: only the tier in panic is not believed.
        (&[20, 50], 50, true, 150),
        (&[49, 20], 50, true, 200),
        (&[0, 0], 50, true, 200),
        (&[0, 0], 0, false, 0),
    ] {
        let peers: Vec<Peer> = usable
            .iter()
            .zip(0..)
            .flat_map(|(usable, priority)| some(*usable, 100, |p| p.priority = priority))
            .collect();
        let choice = choose(
            &peers,
            &TierPolicy {
                panic_below,
                ..POLICY
            },
        );
        assert_eq!(
            (choice.panic, choice.candidates.len()),
            (panic, candidates),
            "{usable:?} {panic_below}"
        );
    }
}

#[test]
fn panic_leaves_drained_endpoints_alone() {
    let mut peers = some(0, 4, |_| {});
    peers[0].drained = true;
    let choice = choose(&peers, &POLICY);
    assert!(choice.panic);
    assert_eq!(choice.candidates, [(1, 1), (2, 1), (3, 1)]);

    // Taking out half of the endpoints is no reason for panic.
    let mut peers = some(4, 4, |_| {});
    peers[0].drained = true;
    peers[1].drained = true;
    peers[2].drained = true;
    assert!(!choose(&peers, &POLICY).panic);
    peers.iter_mut().for_each(|p| p.drained = true);
    assert_eq!(choose(&peers, &POLICY).candidates, []);

    // A first tier that is drained as a whole does not hide that the second one is dead.
    peers.extend(some(0, 2, |p| p.priority = 1));
    let choice = choose(&peers, &POLICY);
    assert!(choice.panic);
    assert_eq!(choice.candidates, [(4, 1), (5, 1)]);
}

#[test]
fn zones_by_table() {
    // Usable of 10 in the preferred zone, usable of 10 elsewhere, percent that the preferred zone gets.
    for (here, there, expected) in [
        (10, 10, 100.0),
        (7, 10, 100.0),
        (6, 10, 100.0 * 6.0 / 7.0),
        (3, 10, 100.0 * 3.0 / 7.0),
        (1, 10, 100.0 / 7.0),
        (0, 10, 0.0),
        (3, 0, 100.0),
        // Few are left elsewhere: at least its fair part.
        (6, 1, 100.0 * 6.0 / 7.0),
        (5, 1, 100.0 * 5.0 / 6.0),
    ] {
        let mut peers = some(here, 10, |p| p.preferred_zone = true);
        peers.extend(some(there, 10, |_| {}));
        let choice = choose(
            &peers,
            &TierPolicy {
                panic_below: 0,
                ..POLICY
            },
        );
        let share = percent(&choice, &peers, |p| p.preferred_zone);
        assert!((share - expected).abs() < 0.01, "{here} {there}: {share}");
    }
    // Nobody is in the preferred zone, or everybody is.
    for preferred in [false, true] {
        let peers = some(3, 3, |p| p.preferred_zone = preferred);
        assert_eq!(choose(&peers, &POLICY).candidates, [(0, 1), (1, 1), (2, 1)]);
    }
}

#[test]
fn a_ramp_follows_the_formula() {
    let policy = TierPolicy {
        slow_start_ms: 30_000,
        ..POLICY
    };
    let mut peers = some(3, 3, |_| {});
    for weights in [[1, 1, 1], [65_535, 65_535, 1], [7, 1, 200]] {
        for age in (0..32_000).step_by(100) {
            for (peer, weight) in peers.iter_mut().zip(weights) {
                peer.weight = weight;
            }
            peers[2].ready_for_ms = age;
            let choice = choose(&peers, &policy);
            assert_eq!(choice.warming, age < 30_000);
            assert_eq!(choice.candidates.len(), 3);
            let expected = (age as f64 / 30_000.0).clamp(0.1, 1.0) * f64::from(weights[2])
                / f64::from(weights[0]);
            let ratio = f64::from(choice.candidates[2].1) / f64::from(choice.candidates[0].1);
            assert!(
                (ratio / expected - 1.0).abs() < 0.003,
                "{age}: {ratio}, not {expected}"
            );
        }
    }
}

#[test]
fn what_does_not_change_keeps_its_weight_but_for_powers_of_two() {
    let policy = TierPolicy {
        slow_start_ms: 30_000,
        ..POLICY
    };
    let mut peers = some(4, 4, |_| {});
    for weights in [[1, 1, 1, 1], [65_535, 3, 1, 10], [6, 10, 14, 2]] {
        for (peer, weight) in peers.iter_mut().zip(weights) {
            peer.weight = weight;
        }
        for age in (0..31_000).step_by(77) {
            peers[3].ready_for_ms = age;
            let choice = choose(&peers, &policy);
            for ((at, weight), full) in choice.candidates.iter().zip(&choice.full) {
                let unit = full / peers[*at].weight;
                assert_eq!(*full, peers[*at].weight * unit, "{weights:?} {age}");
                assert!(unit.is_power_of_two(), "{weights:?} {age}");
                assert!(weight == full || *at == 3, "{weights:?} {age}");
            }
        }
    }
    // The zone that is preferred spills: its own keep their weights.
    let mut peers = some(6, 10, |p| (p.preferred_zone, p.weight) = (true, 3));
    peers.extend(some(10, 10, |_| {}));
    let choice = choose(&peers, &policy);
    assert_eq!(choice.candidates.len(), 16);
    for (_, weight) in &choice.candidates[..6] {
        assert!(
            (*weight / 3).is_power_of_two() && weight % 3 == 0,
            "{weight}"
        );
    }
}

#[test]
fn a_start_of_everything_together_has_no_ramp() {
    let policy = TierPolicy {
        slow_start_ms: 30_000,
        ..POLICY
    };
    let mut peers = some(3, 3, |_| {});
    peers[0].weight = 5;
    for age in [0, 1, 100, 5_000, 29_999] {
        for (peer, later) in peers.iter_mut().zip([0, 40, 3_000]) {
            peer.ready_for_ms = u64::saturating_sub(age, later);
        }
        let choice = choose(&peers, &policy);
        assert_eq!(choice.candidates, [(0, 5), (1, 1), (2, 1)], "{age}");
        assert!(!choice.warming);
    }
    // One that comes later has a ramp, though nobody is past the window.
    for (oldest, age, expected) in [(10_000, 0, 0.1), (10_000, 5_000, 0.5), (29_000, 1_000, 0.1)] {
        for peer in &mut peers {
            (peer.weight, peer.ready_for_ms) = (1, oldest);
        }
        peers[2].ready_for_ms = age;
        let choice = choose(&peers, &policy);
        assert!(choice.warming);
        let ratio = f64::from(choice.candidates[2].1) / f64::from(choice.candidates[0].1);
        assert!((ratio - expected).abs() < 0.001, "{oldest} {age}: {ratio}");
    }
}

#[test]
fn a_tier_and_a_zone_come_back_gradually() {
    let policy = TierPolicy {
        slow_start_ms: 10_000,
        ..POLICY
    };
    for (tiers, zones) in [(true, false), (false, true)] {
        let mut last = 0.0;
        for age in (0..=10_000).step_by(500) {
            let mut peers = some(4, 4, |p| {
                p.preferred_zone = zones;
                p.ready_for_ms = age;
            });
            peers.extend(some(4, 4, |p| p.priority = u32::from(tiers)));
            let share = percent(&choose(&peers, &policy), &peers, |p| p.ready_for_ms == age);
            let worth = (age as f64 / 10_000.0).max(0.1);
            let formula = (worth * if tiers { 1.4 } else { 1.0 / 0.7 }).min(1.0) * 100.0;
            assert!((share - formula).abs() < 0.01, "{age}: {share}");
            assert!(share >= last);
            last = share;
        }
        assert!(last > 99.99);
    }
}

#[test]
fn a_subset_is_kept_while_others_come_and_go() {
    let policy = TierPolicy {
        subset: 5,
        ..POLICY
    };
    let chosen = |peers: &[Peer], policy: &TierPolicy| -> Vec<u64> {
        let choice = choose(peers, policy);
        choice
            .candidates
            .iter()
            .map(|(i, _)| peers[*i].key)
            .collect()
    };
    let mut differ = 0;
    for seed in 0..200 {
        let policy = TierPolicy { seed, ..policy };
        let peers = some(40, 40, |_| {});
        let before = chosen(&peers, &policy);
        assert_eq!(before.len(), 5);
        for gone in 0..40 {
            let mut fewer = peers.clone();
            fewer.remove(gone);
            let mut unwell = peers.clone();
            unwell[gone].usable = false;
            let after = chosen(&fewer, &policy);
            assert_eq!(after, chosen(&unwell, &policy));
            let kept = before.iter().filter(|key| after.contains(key)).count();
            let used = before.contains(&(gone as u64));
            assert_eq!((after.len(), kept), (5, 5 - usize::from(used)));
        }
        let other = TierPolicy {
            seed: seed + 1,
            ..policy
        };
        differ += usize::from(chosen(&peers, &other) != before);
    }
    assert!(differ > 195);
}

#[test]
fn subsets_of_a_fleet_spread_over_the_endpoints() {
    let peers = some(50, 50, |_| {});
    let mut used = vec![0u32; 50];
    for seed in 0..2_000 {
        let policy = TierPolicy {
            subset: 10,
            seed,
            ..POLICY
        };
        let choice = choose(&peers, &policy);
        choice.candidates.iter().for_each(|(i, _)| used[*i] += 1);
    }
    // 5 sigma of a binomial(2000, 0.2) is 89.
    assert!(used.iter().all(|n| n.abs_diff(400) < 90), "{used:?}");
}

#[test]
fn every_tier_and_side_has_its_own_subset() {
    let mut peers = some(10, 10, |p| p.preferred_zone = true);
    peers.extend(some(10, 10, |_| {}));
    peers.extend(some(10, 10, |p| p.priority = 1));
    let policy = TierPolicy {
        subset: 3,
        ..POLICY
    };
    let choice = choose(&peers, &policy);
    assert_eq!(choice.candidates.len(), 3);
    assert!(choice.candidates.iter().all(|(i, _)| *i < 10));
    // Next best: the rest of the own subsets, nearest first; then everyone else.
    let classes: Vec<usize> = choice.fallback.iter().map(|i| i / 10).collect();
    assert_eq!(classes[..6], [1, 1, 1, 2, 2, 2]);
    assert_eq!(classes[6..], [[0; 7], [1; 7], [2; 7]].concat());
}

/// The rules again, in floating point and without regard to cost.
fn oracle(peers: &[Peer], policy: &TierPolicy) -> Vec<f64> {
    let serve = |p: &Peer| p.usable && !p.drained;
    let window = policy.slow_start_ms as f64;
    let oldest = peers
        .iter()
        .filter(|p| serve(p))
        .map(|p| p.ready_for_ms)
        .max();
    let oldest = oldest.unwrap_or(0) as f64;
    let worth = |p: &Peer| {
        let age = p.ready_for_ms as f64;
        let reference = oldest.min(window);
        let together = oldest < window && age >= oldest - (policy.slow_start_ms / 10) as f64;
        let ramp = if together || age >= reference {
            1.0
        } else {
            (age / reference).max(0.1)
        };
        f64::from(p.weight) * if serve(p) { ramp } else { 0.0 }
    };
    let sum = |f: &dyn Fn(&Peer) -> f64| peers.iter().map(f).sum::<f64>();
    let weight = |p: &Peer| f64::from(p.weight);
    let mut priorities: Vec<u32> = peers.iter().map(|p| p.priority).collect();
    priorities.sort_unstable();
    priorities.dedup();
    let on = |b: bool| if b { 1.0 } else { 0.0 };
    let at = |p: &Peer, tier: u32| on(p.priority == tier);
    let carry = |f: &dyn Fn(&Peer) -> f64, tier: u32| {
        let all = sum(&|p| at(p, tier) * weight(p));
        (1.4 * sum(&|p| at(p, tier) * f(p)) / all).min(1.0)
    };
    let usable = |p: &Peer| weight(p) * on(serve(p));
    let carried: f64 = priorities.iter().map(|t| carry(&usable, *t)).sum();
    let panics = |tier: u32| {
        let present = sum(&|p| at(p, tier) * weight(p) * on(!p.drained));
        let healthy = sum(&|p| at(p, tier) * usable(p));
        (priorities.len() == 1 || carried < 1.0 - 1e-12)
            && 100.0 * healthy < present * f64::from(policy.panic_below)
    };
    let drained = |tier: u32| sum(&|p| at(p, tier) * on(!p.drained)) == 0.0;
    let everywhere = priorities.iter().all(|t| panics(*t) || drained(*t));
    let total: f64 = priorities.iter().map(|t| carry(&worth, *t)).sum();
    let mut rest: f64 = 1.0;
    let mut loads = vec![0.0; peers.len()];
    for tier in priorities.iter().copied() {
        let mut load = carry(&worth, tier) / total.clamp(1e-9, 1.0);
        load = load.min(rest);
        rest -= load;
        let group = |p: &Peer| {
            let value = match () {
                () if everywhere || panics(tier) => weight(p) * on(!p.drained),
                () => worth(p),
            };
            value * if everywhere { 1.0 } else { at(p, tier) }
        };
        if everywhere {
            load = 1.0;
        }
        let zone = |p: &Peer| on(p.preferred_zone);
        let here = sum(&|p| group(p) * zone(p));
        let all = sum(&group);
        let part = here / all.max(1e-9);
        let spill = f64::from(policy.spill_below) / 100.0;
        let of_zone = here / sum(&|p| at(p, tier) * weight(p) * zone(p)).max(1e-9);
        let kept = if here == 0.0 {
            0.0
        } else {
            (of_zone / spill).min(1.0)
        };
        let kept = match everywhere || panics(tier) {
            true => part,
            false => kept.max(part),
        };
        for (slot, peer) in loads.iter_mut().zip(peers) {
            let (share, side) = match peer.preferred_zone {
                true => (kept, here),
                false => (1.0 - kept, all - here),
            };
            if group(peer) > 0.0 {
                *slot = load * share * group(peer) / side;
            }
        }
    }
    loads
}

fn any_peer() -> impl Strategy<Value = Peer> {
    (
        prop_oneof![4 => 1u32..6, 1 => 1u32..65_536],
        prop_oneof![3 => Just(0u32), 1 => 1u32..4],
        any::<bool>(),
        prop::bool::weighted(0.7),
        prop::bool::weighted(0.1),
        prop_oneof![2 => Just(u64::MAX), 1 => 0u64..30_000],
        any::<u64>(),
    )
        .prop_map(
            |(weight, priority, preferred_zone, usable, drained, ready_for_ms, key)| Peer {
                weight,
                priority,
                preferred_zone,
                usable,
                drained,
                ready_for_ms,
                key,
            },
        )
}

fn any_policy() -> impl Strategy<Value = TierPolicy> {
    (
        0u32..=100,
        0u32..=100,
        prop_oneof![Just(0u64), 1u64..40_000],
        prop_oneof![Just(0u32), 1u32..8],
        any::<u64>(),
    )
        .prop_map(
            |(panic_below, spill_below, slow_start_ms, subset, seed)| TierPolicy {
                panic_below,
                spill_below,
                slow_start_ms,
                subset,
                seed,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whoever_may_serve_is_a_candidate_or_a_fallback(
        peers in prop::collection::vec(any_peer(), 0..30),
        policy in any_policy(),
    ) {
        let choice = choose(&peers, &policy);
        prop_assert!(choice.candidates.windows(2).all(|w| w[0].0 < w[1].0));
        let mut seen = vec![false; peers.len()];
        for (index, weight) in &choice.candidates {
            let peer = &peers[*index];
            seen[*index] = true;
            prop_assert!(*weight >= 1 && !peer.drained && (peer.usable || choice.panic));
        }
        for index in &choice.fallback {
            prop_assert!(!seen[*index] && peers[*index].can_serve());
            seen[*index] = true;
        }
        for (seen, peer) in seen.iter().zip(&peers) {
            prop_assert!(*seen || !peer.can_serve());
        }
        let usable = peers.iter().any(Peer::can_serve);
        let present = peers.iter().any(|p| !p.drained);
        prop_assert_eq!(
            choice.candidates.is_empty(),
            !(usable || present && policy.panic_below > 0)
        );
        prop_assert!(!choice.panic || policy.panic_below > 0);
        prop_assert_eq!(choose(&peers, &policy), choice);
    }

    #[test]
    fn shares_are_those_of_the_rules(
        peers in prop::collection::vec(any_peer(), 1..30),
        policy in any_policy(),
    ) {
        let policy = TierPolicy { subset: 0, ..policy };
        let choice = choose(&peers, &policy);
        let total: f64 = choice.candidates.iter().map(|(_, w)| f64::from(*w)).sum();
        let mut shares = vec![0.0; peers.len()];
        choice.candidates.iter().for_each(|(i, w)| shares[*i] = f64::from(*w) / total);
        for (index, (share, expected)) in shares.iter().zip(oracle(&peers, &policy)).enumerate() {
            prop_assert!(
                (share - expected).abs() < 1e-4 + 1e-3 * expected,
                "peer {index}: {share}, not {expected}; {choice:?}"
            );
        }
    }

    #[test]
    fn a_subset_bounds_each_side_of_each_tier(
        peers in prop::collection::vec(any_peer(), 1..60),
        policy in any_policy(),
        bound in 1u32..6,
    ) {
        let policy = TierPolicy { subset: bound, ..policy };
        let choice = choose(&peers, &policy);
        for priority in 0..4 {
            let of_tier = choice.candidates.iter().filter(|(i, _)| peers[*i].priority == priority);
            let sides: Vec<bool> = of_tier.map(|(i, _)| peers[*i].preferred_zone).collect();
            let preferred = sides.iter().filter(|p| **p).count();
            let most = bound as usize;
            prop_assert!(preferred <= most && sides.len() - preferred <= most);
        }
    }

    #[test]
    fn better_health_never_means_less_load(
        weights in prop::collection::vec(1u32..10, 2..20),
        seed: u64,
    ) {
        let mut peers = Vec::new();
        for (key, weight) in weights.iter().enumerate() {
            for priority in 0..2 {
                peers.push(Peer { weight: *weight, priority, usable: priority == 1, ..peer(key as u64) });
            }
        }
        let mut order: Vec<usize> = (0..weights.len()).map(|i| 2 * i).collect();
        let mut rng = Rng::new(seed);
        let mut last = 0.0;
        while !order.is_empty() {
            let next = order.swap_remove(rng.below(order.len() as u32) as usize);
            peers[next].usable = true;
            let share = percent(&choose(&peers, &POLICY), &peers, |p| p.priority == 0);
            prop_assert!(share >= last - 1e-4, "{share} after {last}");
            last = share;
        }
        prop_assert_eq!(last, 100.0);
    }
}
