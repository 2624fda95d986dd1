//! What the methods promise, measured: shares, moved keys, bounds, weights. Every number here was computed beforehand from a
//! formula, or is stated as what was found.

use super::rendezvous::Scored;
use super::*;
use crate::rng::Rng;

const METHODS: [HashMethod; 3] = [HashMethod::Maglev, HashMethod::Ring, HashMethod::Rendezvous];

impl HashTable {
    fn pick(&self, key: u64) -> u32 {
        self.walk(key).next().unwrap_or(0)
    }
}

fn key_of(number: usize) -> u64 {
    hash_bytes(&(number as u64).to_le_bytes())
}

/// Endpoints of weight 1; another seed, other endpoints.
fn peers(n: usize, seed: usize) -> Vec<HashPeer> {
    (0..n)
        .map(|number| HashPeer {
            key: key_of(seed * 1_000_003 + number),
            weight: 1,
            full: 1,
        })
        .collect()
}

fn weighted(n: usize, seed: usize, mut weight: impl FnMut(usize) -> u32) -> Vec<HashPeer> {
    let mut peers = peers(n, seed);
    for (number, peer) in peers.iter_mut().enumerate() {
        peer.weight = weight(number);
        peer.full = peer.weight;
    }
    peers
}

fn keys(n: usize, seed: u64) -> impl Iterator<Item = u64> {
    let mut rng = Rng::new(seed);
    (0..n).map(move |_| rng.next_u64())
}

fn counts(table: &HashTable, n: usize, sample: usize) -> Vec<u32> {
    let mut counts = vec![0; n];
    keys(sample, 7).for_each(|key| counts[table.pick(key) as usize] += 1);
    counts
}

/// Sum of squared deviations over their variance; about the number of endpoints if the shares are those of the weights.
fn chi_square(counts: &[u32], peers: &[HashPeer]) -> f64 {
    let sample = f64::from(counts.iter().sum::<u32>());
    let total: f64 = peers.iter().map(|peer| f64::from(peer.weight)).sum();
    let deviation = |(count, peer): (&u32, &HashPeer)| {
        let due = sample * f64::from(peer.weight) / total;
        (f64::from(*count) - due).powi(2) / due
    };
    counts.iter().zip(peers).map(deviation).sum()
}

/// How many keys have another endpoint in `after`, in parts of the sample; and of these, how many that had to stay.
fn moved(
    before: (&[HashPeer], &HashTable),
    after: (&[HashPeer], &HashTable),
    sample: usize,
) -> (f64, f64) {
    let (mut moved, mut needless) = (0, 0);
    for key in keys(sample, 11) {
        let old = before.0[before.1.pick(key) as usize];
        let new = after.0[after.1.pick(key) as usize];
        if old.key != new.key {
            moved += 1;
            // A key may go because its endpoint is gone, or to one that was not there.
            let gone = after.0.iter().all(|peer| peer.key != old.key);
            let come = before.0.iter().all(|peer| peer.key != new.key);
            needless += usize::from(!gone && !come);
        }
    }
    let part = |count: usize| count as f64 / sample as f64;
    (part(moved), part(needless))
}

#[test]
fn the_order_of_the_list_does_not_matter() {
    for method in METHODS {
        let peers = weighted(50, 1, |number| 1 + number as u32 % 4);
        let mut listed = peers.clone();
        listed.reverse();
        listed.rotate_left(13);
        let (a, b) = (
            HashTable::build(method, &peers),
            HashTable::build(method, &listed),
        );
        for key in keys(20_000, 1) {
            assert_eq!(
                peers[a.pick(key) as usize],
                listed[b.pick(key) as usize],
                "{method:?}"
            );
        }
    }
}

/// The same endpoint for the same user, in every version to come.
#[test]
fn picks_are_fixed_for_ever() {
    let peers = weighted(20, 3, |number| 1 + number as u32 % 3);
    let expected = [
        [6, 8, 1, 6, 2, 6, 8, 13],
        [8, 3, 11, 16, 5, 10, 13, 4],
        [6, 16, 8, 10, 0, 5, 0, 16],
    ];
    for (method, expected) in METHODS.into_iter().zip(expected) {
        let table = HashTable::build(method, &peers);
        let picks: Vec<u32> = (0..8).map(|user| table.pick(key_of(user))).collect();
        assert_eq!(picks, expected, "{method:?}");
    }
}

#[test]
fn few_endpoints() {
    for method in METHODS {
        let empty = HashTable::build(method, &[]);
        assert_eq!(empty.walk(5).next(), None);
        let one = HashTable::build(method, &peers(1, 1));
        for key in [0, 1, u64::MAX, u64::MAX / 2, 1 << 63] {
            assert_eq!(one.pick(key), 0);
            assert_eq!(one.walk(key).collect::<Vec<_>>(), [0]);
            let three = HashTable::build(method, &weighted(3, 1, |number| number as u32));
            let mut order: Vec<u32> = three.walk(key).collect();
            assert_eq!(order[0], three.pick(key));
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2], "{method:?}");
        }
        // Two with the same key are still two.
        let twice = [peers(1, 1)[0]; 2];
        let table = HashTable::build(method, &twice);
        assert_eq!(table.walk(9).count(), 2);
    }
}

#[test]
fn walks_visit_all_once_and_skip_nobody_who_stays() {
    for method in METHODS {
        for n in [2, 10, 100, 1_500] {
            let peers = weighted(n, 5, |number| 4 + number as u32 % 3);
            let table = HashTable::build(method, &peers);
            for key in keys(if n > 1_000 { 5 } else { 60 }, 3) {
                let order: Vec<u32> = table.walk(key).collect();
                assert_eq!(order[0], table.pick(key), "{method:?}");
                let mut sorted = order.clone();
                sorted.sort_unstable();
                assert!(sorted.into_iter().eq(0..n as u32), "{method:?} {n}");
                if method == HashMethod::Maglev || n > 100 {
                    continue;
                }
                // Without the first one, the rest is the order. (The ring would have other points if the average
                // weight passed a step; here it does not.)
                let mut rest = peers.clone();
                rest.remove(order[0] as usize);
                let without = HashTable::build(method, &rest);
                let second = without.walk(key).map(|index| rest[index as usize].key);
                let expected = order[1..].iter().map(|index| peers[*index as usize].key);
                assert!(second.eq(expected), "{method:?} {n}");
            }
        }
    }
}

#[test]
fn maglev_slots_are_exact() {
    for n in [2usize, 3, 10, 100, 655, 656, 1_000, 2_000] {
        let peers = Sorted::new(&peers(n, 2));
        let maglev = Maglev::new(&peers);
        let mut slots = vec![0u32; n];
        (0..maglev.cells().len()).for_each(|at| slots[maglev.cells().at(at) as usize] += 1);
        let (least, most) = (slots.iter().min().unwrap(), slots.iter().max().unwrap());
        assert!(most - least <= 1, "{n}: {least} {most}");
        assert!(maglev.cells().len() >= n * 100);
        let spread = f64::from(*most) * n as f64 / maglev.cells().len() as f64;
        println!(
            "maglev: {n} endpoints, {} slots, max/mean {spread:.5}",
            maglev.cells().len()
        );
        assert!(spread <= 1.0 + n as f64 / maglev.cells().len() as f64);
    }
    let slots = |weights: &[u32]| {
        let peers = weighted(weights.len(), 2, |number| weights[number]);
        let maglev = Maglev::new(&Sorted::new(&peers));
        let mut slots = vec![0u32; weights.len()];
        (0..maglev.cells().len()).for_each(|at| slots[maglev.cells().at(at) as usize] += 1);
        slots
    };
    assert_eq!(slots(&[1, 2]), [21_846, 43_691]);
    // Any weights: within one slot of the exact share, also where one is 65,535 times another.
    let mut rng = Rng::new(4);
    for most in [10, 1_000, 65_535] {
        let weights: Vec<u32> = (0..200).map(|_| 1 + rng.below(most)).collect();
        let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        for (slots, weight) in slots(&weights).iter().zip(&weights) {
            let due = 65_537.0 * f64::from(*weight) / total;
            assert!((f64::from(*slots) - due).abs() < 1.0, "{slots} for {due}");
        }
    }
    assert_eq!(slots(&[65_535, 1, 1]), [65_535, 1, 1]);
}

#[test]
fn shares_of_a_ring_deviate_by_the_root_of_its_points() {
    // Expected: 1 + E[max of n normal deviates] / sqrt(points).
    for (points, n, expected) in [
        (100, 10, 1.16),
        (100, 100, 1.25),
        (160, 10, 1.12),
        (160, 100, 1.20),
        (1_000, 10, 1.05),
        (1_000, 100, 1.08),
    ] {
        let (mut worst, mut sum) = (0f64, 0.0);
        let rounds = 20;
        for seed in 0..rounds {
            let ring = Ring::with_points(&Sorted::new(&peers(n, seed)), points);
            let shares = ring.shares(n);
            let most = shares.iter().fold(0f64, |most, share| most.max(*share)) * n as f64;
            worst = worst.max(most);
            sum += most;
        }
        let mean = sum / rounds as f64;
        println!(
            "ring: {points} points, {n} endpoints: max/mean {mean:.3}, worst of {rounds} {worst:.3}"
        );
        assert!((mean - expected).abs() < 0.03, "{points} {n}: {mean}");
    }
}

#[test]
fn points_of_a_ring_follow_weights_and_are_bounded() {
    let ring = |peers: &[HashPeer]| Ring::new(&Sorted::new(peers));
    assert_eq!(ring(&peers(10, 1)).cells().len(), 1_600);
    // The same when everybody weighs more: what counts is the relation.
    for weight in [2u32, 64, 100, 1_000, 65_535] {
        let points = ring(&weighted(10, 1, |_| weight)).cells().len();
        assert!((1_450..=2_950).contains(&points), "{weight}: {points}");
    }
    assert_eq!(
        ring(&weighted(2, 1, |number| 1 + number as u32))
            .cells()
            .len(),
        480
    );
    // Many endpoints, and weights far apart: never more than 2^20 and one each.
    assert!(ring(&peers(10_000, 1)).cells().len() <= 1 << 20);
    let far = weighted(3_000, 1, |number| if number == 0 { 65_535 } else { 1 });
    let ring = ring(&far);
    assert!(ring.cells().len() <= (1 << 20) + 3_000);
    let heavy = ring.shares(3_000)[0];
    assert!((heavy - 65_535.0 / 68_534.0).abs() < 0.03, "{heavy}");
}

/// Five standard deviations above what chance alone gives `n` endpoints.
fn chance(n: usize) -> f64 {
    n as f64 + 5.0 * (2.0 * n as f64).sqrt() + 5.0
}

#[test]
fn rendezvous_is_as_even_as_chance() {
    for (n, sample) in [
        (2usize, 100_000),
        (3, 100_000),
        (10, 100_000),
        (33, 100_000),
        (100, 100_000),
        (1_000, 10_000),
        (1_100, 10_000),
    ] {
        let peers = peers(n, 1);
        let counts = counts(&HashTable::build(HashMethod::Rendezvous, &peers), n, sample);
        let most = f64::from(*counts.iter().max().unwrap()) * n as f64 / sample as f64;
        let chi = chi_square(&counts, &peers);
        println!("rendezvous: {n} endpoints: max/mean {most:.4}, chi-square {chi:.0}");
        assert!(chi < chance(n), "{n}: {chi}");
        // Chance: 1 + 2.5 / sqrt(1,000), and some more.
        assert!(n != 100 || most < 1.12, "{most}");
    }
}

#[test]
fn weights_are_shares() {
    for (n, most, sample) in [
        (3usize, 3u32, 100_000),
        (10, 4, 100_000),
        (100, 10, 100_000),
        (100, 1_000, 100_000),
        (1_000, 10, 10_000),
    ] {
        let peers = weighted(n, 6, |number| 1 + (number as u32 * 7_919) % most);
        let table = HashTable::build(HashMethod::Rendezvous, &peers);
        let chi = chi_square(&counts(&table, n, sample), &peers);
        println!("rendezvous: {n} endpoints, weights to {most}: chi-square {chi:.0}");
        assert!(chi < chance(n), "{n} {most}: {chi}");
    }
    for method in METHODS {
        let peers = weighted(2, 8, |number| 1 + number as u32);
        let counts = counts(&HashTable::build(method, &peers), 2, 200_000);
        let heavy = f64::from(counts[1]) / 200_000.0;
        println!("{method:?}: weights 1 and 2: {heavy:.4}");
        let tolerance = if method == HashMethod::Ring {
            0.06
        } else {
            0.005
        };
        assert!((heavy - 2.0 / 3.0).abs() < tolerance, "{method:?}: {heavy}");
    }
}

#[test]
fn only_the_keys_of_who_leaves_or_comes_move() {
    for n in [10usize, 100] {
        let all = peers(n + 1, 9);
        let fewer = &all[..n];
        for method in METHODS {
            let (big, small) = (
                HashTable::build(method, &all),
                HashTable::build(method, fewer),
            );
            let share = 1.0 / (n + 1) as f64;
            let (left, needless) = moved((&all, &big), (fewer, &small), 40_000);
            println!(
                "{method:?}: one of {} leaves: {:.2} of its share move, {:.2} needlessly",
                n + 1,
                left / share,
                needless / share
            );
            let (came, needless_back) = moved((fewer, &small), (&all, &big), 40_000);
            // The same keys, the other way.
            assert_eq!((left, needless), (came, needless_back));
            if method == HashMethod::Maglev {
                assert!(left < share * 2.2, "{n}: {left}");
            } else {
                assert_eq!(needless, 0.0, "{method:?} {n}");
                let chance = if method == HashMethod::Ring { 0.3 } else { 0.1 };
                assert!(
                    (left - share).abs() < share * chance,
                    "{method:?} {n}: {left}"
                );
            }
        }
    }
}

#[test]
fn a_weight_that_changes_moves_its_own_keys() {
    for method in [HashMethod::Ring, HashMethod::Rendezvous] {
        let light = weighted(50, 10, |_| 2);
        let mut heavy = light.clone();
        (heavy[7].weight, heavy[7].full) = (3, 3);
        let (before, after) = (
            HashTable::build(method, &light),
            HashTable::build(method, &heavy),
        );
        let mut won = 0;
        for key in keys(50_000, 2) {
            let (old, new) = (before.pick(key), after.pick(key));
            assert!(old == new || new == 7, "{method:?}");
            won += u32::from(old != new);
        }
        let expected = 50_000.0 * (3.0 / 101.0 - 2.0 / 100.0);
        assert!(
            (f64::from(won) / expected - 1.0).abs() < 0.3,
            "{method:?}: {won}"
        );
    }
}

#[test]
fn keys_of_who_is_skipped_spread_over_all_others() {
    for method in METHODS {
        let n = 20;
        let table = HashTable::build(method, &peers(n, 12));
        let mut seconds = vec![0u32; n];
        let mut sum = 0;
        for key in keys(150_000, 5) {
            let mut walk = table.walk(key);
            if walk.next() == Some(4) {
                seconds[walk.next().unwrap() as usize] += 1;
                sum += 1;
            }
        }
        assert_eq!(seconds[4], 0);
        let most = f64::from(*seconds.iter().max().unwrap()) * (n - 1) as f64 / f64::from(sum);
        println!("{method:?}: of the keys of one of 20, most go to one with max/mean {most:.2}");
        let bound = if method == HashMethod::Ring {
            2.0
        } else {
            1.15
        };
        assert!(most < bound, "{method:?}: {most}");
    }
}

#[test]
fn bounded_load_is_never_exceeded() {
    for method in METHODS {
        for (n, factor) in [
            (10usize, 125u32),
            (10, 100),
            (100, 125),
            (100, 110),
            (100, 200),
        ] {
            for weighted_by in [1u32, 4] {
                let peers = weighted(n, 13, |number| 1 + number as u32 % weighted_by);
                let table = HashTable::build(method, &peers);
                let weights: u64 = peers.iter().map(|peer| u64::from(peer.weight)).sum();
                let mut load = vec![0u32; n];
                let mut elsewhere = 0u32;
                let requests = 5_000u32;
                for (held, key) in keys(requests as usize, 6).enumerate() {
                    // One key in three is the same one.
                    let key = if held % 3 == 0 { 42 << 40 } else { key };
                    let room = |index: &u32| {
                        let index = *index as usize;
                        has_room(
                            load[index],
                            peers[index].weight,
                            held as u64,
                            weights,
                            factor,
                        )
                    };
                    let index = table.walk(key).find(room).expect("somebody has room");
                    elsewhere += u32::from(index != table.pick(key));
                    load[index as usize] += 1;
                    for (load, peer) in load.iter().zip(&peers) {
                        let due =
                            f64::from(factor) / 100.0 * (held + 1) as f64 * f64::from(peer.weight)
                                / weights as f64;
                        assert!(
                            f64::from(*load) <= (due - 1e-9).ceil(),
                            "{method:?} {load} {due}"
                        );
                    }
                }
                if weighted_by == 1 {
                    println!(
                        "{method:?}: {n} endpoints, at most {factor} %: {:.1} % of keys elsewhere",
                        f64::from(elsewhere) * 100.0 / f64::from(requests)
                    );
                }
            }
        }
    }
}

#[test]
fn rendezvous_searches_find_what_all_scores_say() {
    let mut rng = Rng::new(17);
    for n in [1usize, 2, 31, 32, 33, 64, 200, 1_024, 1_025, 1_300] {
        for most in [1u32, 3, 100, 65_535] {
            let peers = weighted(n, n, |_| 1 + rng.below(most));
            let scores = Rendezvous::new(&Sorted::new(&peers));
            for key in keys(40, 3) {
                let mut sorted = scores.behind(key, None);
                assert_eq!(
                    Some(scores.winner(key)),
                    sorted.last().copied(),
                    "{n} {most}"
                );
                let mut last = scores.scored(scores.winner(key), key);
                sorted.pop();
                for _ in 0..5 {
                    let next = scores.next(key, last);
                    assert_eq!(next.map(Scored::rank), sorted.pop(), "{n} {most}");
                    match next {
                        Some(next) => last = next,
                        None => break,
                    }
                }
            }
        }
    }
}

#[test]
fn equal_weights_with_equal_upper_bits_are_told_apart() {
    // Of 2,000 endpoints the best two share their upper 16 bits for one key in thirty. Beyond 131,072 nobody races.
    for (n, sample) in [(2usize, 3_000), (33, 1_000), (2_000, 1_000), (131_100, 2)] {
        for weight in [1, 65_535] {
            let scores = Rendezvous::new(&Sorted::new(&weighted(n, 21, |_| weight)));
            for key in keys(sample, 8) {
                let best = scores.behind(key, None).last().copied();
                assert_eq!(Some(scores.winner(key)), best, "{n}");
            }
        }
    }
}
