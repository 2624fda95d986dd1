//! Tables against a list of keys in order of use, over reloads and over threads.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::shard::Shard;
use super::*;
use crate::spec::{Algorithm, Tier};

fn quota(algorithm: Algorithm, count: u32, window_ms: u64) -> Quota {
    Quota {
        algorithm,
        tiers: [Tier::new(count, window_ms)].into(),
        concurrency: None,
    }
}

fn log(count: u32, window_ms: u64) -> Quota {
    quota(Algorithm::SlidingLog, count, window_ms)
}

/// Few bits differ, so that chains are long.
fn key(number: u32) -> Key {
    Key::new(u128::from(number % 4) << 96 | u128::from(number) << 40 | u128::from(number % 8))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_shard_forgets_whom_it_saw_longest_ago(most in 1..12usize, keys in prop::collection::vec(0..24u32, 1..200)) {
        let mut shard = Shard::new(4, most);
        // Last used at the end, with what stands in its state.
        let mut model: Vec<(u32, u32)> = Vec::new();
        let mut evicted = 0;
        for (step, number) in keys.into_iter().enumerate() {
            let step = step as u32 + 1;
            let mut fresh = false;
            let state = shard.find_or_make(key(number), 0, 1_000_000, |_| fresh = true);
            let known = model.iter().position(|(known, _)| *known == number);
            prop_assert_eq!(fresh, known.is_none());
            match known {
                Some(at) => {
                    let (_, written) = model.remove(at);
                    prop_assert_eq!(state[3], written);
                }
                None => {
                    prop_assert!(state.iter().all(|word| *word == 0), "not fresh");
                    if model.len() == most {
                        model.remove(0);
                        evicted += 1;
                    }
                }
            }
            state[3] = step;
            model.push((number, step));
            let stats = shard.stats();
            prop_assert_eq!((stats.keys, stats.evicted), (model.len() as u64, evicted));
        }
        for (number, written) in model {
            prop_assert_eq!(shard.find(key(number)).map(|state| state[3]), Some(written));
        }
    }

    #[test]
    fn a_shard_finds_what_it_keeps(keys in prop::collection::vec(any::<u32>(), 1..2_000)) {
        let mut shard = Shard::new(3, 1_000_000);
        let mut model = HashMap::new();
        for number in keys {
            let key = Key::new(u128::from(number));
            *model.entry(number).or_insert(0) += 1;
            shard.find_or_make(key, 0, 1_000_000, |_| {})[2] += 1;
        }
        prop_assert_eq!(shard.stats().keys, model.len() as u64);
        for (number, count) in model {
            let state = shard.find(Key::new(u128::from(number)));
            prop_assert_eq!(state.map(|state| state[2]), Some(count));
        }
    }
}

#[test]
fn the_place_of_an_idle_key_is_taken_before_there_are_more() {
    let table = Table::new(&log(1, 1_000), 1_000_000, None);
    for now in 0..10_000u64 {
        // One key a millisecond, in one shard.
        table.ask(Key::new(u128::from(now)), 1, now, false);
    }
    let stats = table.stats();
    assert_eq!(
        (stats.keys, stats.evicted, stats.allowed),
        (1_000, 0, 10_000)
    );
}

#[test]
fn there_are_never_more_keys_than_may_be() {
    for max_keys in [1, 2, 100, 1_000, 20_000] {
        let table = Table::new(&log(2, 60_000), max_keys, None);
        let mut bits = 1u128;
        for _ in 0..max_keys * 3 {
            bits = bits.wrapping_mul(0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645) + 1;
            table.ask(Key::new(bits), 1, 5, false);
        }
        let stats = table.stats();
        assert!(stats.keys <= max_keys as u64, "{max_keys}: {stats:?}");
        assert!(
            stats.keys >= max_keys as u64 * 9 / 10,
            "{max_keys}: {stats:?}"
        );
        assert_eq!(stats.keys + stats.evicted, max_keys as u64 * 3);
    }
}

#[test]
fn a_key_in_use_outlives_any_number_of_others() {
    let table = Table::new(&log(3, 60_000), 200, None);
    let mine = Key::new(7);
    for now in 0..3 {
        assert!(table.ask(mine, 1, now, false).allowed);
    }
    for number in 0..100_000u32 {
        table.ask(Key::new(u128::from(number) << 32), 1, 5, false);
        if number % 100 == 0 {
            assert!(!table.ask(mine, 1, 5, false).allowed);
        }
    }
}

#[test]
fn exactly_as_many_pass_as_may_whoever_asks() {
    for algorithm in [
        Algorithm::TokenBucket,
        Algorithm::FixedWindow,
        Algorithm::SlidingLog,
        Algorithm::SlidingWindow,
        Algorithm::Smooth,
    ] {
        let table = Table::new(&quota(algorithm, 1_000, 3_600_000), 1_000, None);
        let passed: usize = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4u64)
                .map(|worker| {
                    let table = &table;
                    // Each with a clock of its own.
                    let ask = move |n: u32| {
                        table
                            .ask(Key::new(u128::from(n % 3)), 1, 50 + worker, false)
                            .allowed
                    };
                    scope.spawn(move || (0..3_000).filter(|n| ask(*n)).count())
                })
                .collect();
            workers
                .into_iter()
                .map(|worker| worker.join().expect("no panic"))
                .sum()
        });
        assert_eq!(passed, 3_000, "{algorithm}");
        let stats = table.stats();
        assert_eq!((stats.allowed, stats.denied), (3_000, 9_000));
    }
}

#[test]
fn counters_are_carried_over_as_keys_come() {
    let old = Arc::new(Table::new(&log(5, 60_000), 1_000, None));
    for _ in 0..4 {
        old.ask(Key::new(1), 1, 100, false);
        old.ask(Key::new(2), 1, 100, false);
    }
    let new = Arc::new(Table::new(&log(6, 60_000), 50_000, Some(&old)));
    assert_eq!(new.ask(Key::new(1), 1, 200, false).remaining, 1);
    old.succeeded_by(&new);
    // Who still holds the old one counts in the new one.
    assert_eq!(old.ask(Key::new(1), 1, 300, false).remaining, 0);
    assert!(!new.ask(Key::new(1), 1, 400, false).allowed);
    assert!(!old.ask(Key::new(1), 1, 400, false).allowed);

    assert!(!new.is_settled());
    new.settle();
    assert!(new.is_settled());
    assert_eq!(Arc::strong_count(&old), 1, "nothing holds the old table");
    assert_eq!(old.stats().keys, 0, "and nothing is left in it");
    assert_eq!(old.ask(Key::new(1), 1, 450, false).remaining, 0);
    assert_eq!(old.stats().keys, 0);
    drop(old);
    assert_eq!(new.ask(Key::new(2), 1, 500, false).remaining, 1);
    assert!(!new.ask(Key::new(1), 1, 500, false).allowed);
    let stats = new.stats();
    assert_eq!((stats.keys, stats.allowed, stats.denied), (2, 11, 4));
}

#[test]
fn limits_may_change_faster_than_tables_settle() {
    let mut tables = vec![Arc::new(Table::new(&log(3, 60_000), 1_000, None))];
    tables[0].ask(Key::new(9), 2, 10, false);
    for count in 4..20 {
        let before = tables.last().expect("the first");
        let next = Arc::new(Table::new(&log(count, 60_000), 1_000, Some(before)));
        // Only keys that keep coming are carried on and on.
        assert_eq!(next.ask(Key::new(9), 1, 10, false).remaining, 1);
        before.succeeded_by(&next);
        tables.push(next);
    }
    let last = tables.pop().expect("the last");
    assert_eq!(tables[0].ask(Key::new(9), 1, 10, false).remaining, 0);
    last.settle();
    assert!(!last.ask(Key::new(9), 1, 10, false).allowed);
    let old: Vec<_> = tables.iter().map(Arc::downgrade).collect();
    drop(tables);
    assert!(
        old.iter().all(|table| table.upgrade().is_none()),
        "nothing holds them but who still asks them"
    );
}

#[test]
fn requests_go_on_while_a_table_settles() {
    const KEYS: u128 = 20_000;
    let old = Arc::new(Table::new(&log(4, 60_000), 100_000, None));
    for number in 0..KEYS {
        let bits = number.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        old.ask(Key::new(bits), 3, 1, false);
    }
    let new = Arc::new(Table::new(&log(5, 60_000), 100_000, Some(&old)));
    old.succeeded_by(&new);
    let passed: usize = std::thread::scope(|scope| {
        let workers: Vec<_> = [&old, &new]
            .map(|table| {
                let ask = |number: u128| {
                    let bits = number.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
                    table.ask(Key::new(bits), 1, 2, false).allowed
                };
                scope.spawn(move || (0..KEYS * 2).filter(|n| ask(n % KEYS)).count())
            })
            .into();
        new.settle();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("no panic"))
            .sum()
    });
    assert_eq!(passed as u128, KEYS * 2, "each key had room for two more");
}

#[test]
fn who_holds_an_old_table_keeps_no_others() {
    let mut tables = vec![Arc::new(Table::new(&log(3, 60_000), 1_000, None))];
    for number in 0..500 {
        tables[0].ask(Key::new(number << 90), 1, 10, false);
    }
    for count in 4..12 {
        let before = &tables[tables.len() - 1];
        let next = Arc::new(Table::new(&log(count, 60_000), 1_000, Some(before)));
        before.succeeded_by(&next);
        next.settle();
        assert_eq!((before.stats().keys, next.stats().keys), (0, 500));
        tables.push(next);
    }
    let (first, last) = (tables.remove(0), tables.remove(7));
    let between: Vec<_> = tables.iter().map(Arc::downgrade).collect();
    drop(tables);
    assert!(
        between.iter().all(|table| table.upgrade().is_none()),
        "the first knows the last, and nobody the others"
    );
    assert_eq!(first.ask(Key::new(7 << 90), 1, 20, false).remaining, 9);
    first.give_back(Key::new(7 << 90), 1, 20);
    assert_eq!(last.ask(Key::new(7 << 90), 1, 20, false).remaining, 9);
}

#[test]
fn tables_that_are_given_up_are_emptied() {
    let mut tables = vec![Arc::new(Table::new(&log(3, 60_000), 1_000, None))];
    for count in 4..10 {
        let before = &tables[tables.len() - 1];
        before.ask(Key::new(u128::from(count)), 1, 10, false);
        let next = Arc::new(Table::new(&log(count, 60_000), 1_000, Some(before)));
        before.succeeded_by(&next);
        tables.push(next);
    }
    let keys: Vec<u64> = tables.iter().map(|table| table.stats().keys).collect();
    assert_eq!(keys, [0, 0, 1, 1, 1, 1, 0]);
    let last = &tables[tables.len() - 1];
    assert_eq!(last.stats().allowed, 6, "what they counted is not lost");
}

#[test]
fn another_algorithm_takes_over_what_was_counted() {
    let old = Arc::new(Table::new(&log(2, 60_000), 10, None));
    for key in [1, 2] {
        assert!(old.ask(Key::new(key), 2, 1, false).allowed);
    }
    let other = quota(Algorithm::FixedWindow, 3, 60_000);
    let new = Arc::new(Table::new(&other, 10, Some(&old)));
    old.succeeded_by(&new);
    assert_eq!(new.ask(Key::new(1), 1, 1, false).remaining, 0);
    new.settle();
    assert!(!new.ask(Key::new(1), 1, 2, false).allowed);
    assert!(!new.ask(Key::new(2), 2, 2, false).allowed);
    assert_eq!(old.ask(Key::new(2), 1, 2, false).remaining, 0);
}
