//! Two limits in one script call, and what is taken back, against the same model.

use std::sync::Arc;
use std::time::Duration;

use weir_testkit::{Redis, wait_until};

use super::super::Store;
use super::super::call::Part;
use super::{ALL, Log, Random, ask, compare, expect, part, quota, store};
use crate::{Algorithm, Quota, Tier};

/// Takes back and waits until that is done.
fn take_back(store: &Store, counted: &[(Part, i64)]) {
    store.take_back(counted.into());
    wait_until("it to be taken back", || {
        store.stats().servers[0].pending == 0
    });
}

/// Two limits of every algorithm in one script call, and what was counted taken back now and then.
#[tokio::test]
async fn two_limits_count_together_or_not_at_all() {
    let redis = Redis::start();
    let store = store(&redis);
    assert!(store.ready(Duration::from_secs(5)).await);
    let mut random = Random::new();
    let (mut together, mut apart, mut back) = (0, 0, 0);
    for (at, pair) in ALL.iter().flat_map(|a| ALL.map(|b| [*a, b])).enumerate() {
        let quotas = [
            quota(pair[0], &[Tier::new(5, 40), Tier::new(12, 130)]),
            quota(pair[1], &[Tier::new(4, 25), Tier::new(15, 170)]),
        ];
        let names = [format!("{at}a"), format!("{at}b")];
        let shared = [0, 1].map(|n| store.quota(&names[n], None, &quotas[n]).expect("tiers"));
        let mut logs = [Log::new(), Log::new()];
        for _ in 0..60 {
            let costs = [0, 1].map(|_| 1 + random.below(3) as u32);
            let binding = [random.below(8) > 0, random.below(8) > 0];
            let count = random.below(8) > 0;
            let parts = [0, 1].map(|n| part(&shared[n], b"client", costs[n], binding[n]));
            let answer = store.ask(Arc::new(parts.clone()), count).await;
            let answer = answer.expect("asked");
            let allowed = [0, 1].map(|n| answer.said[n].verdict.allowed);
            let counts = count && (0..2).all(|n| allowed[n] || !binding[n]);
            for n in 0..2 {
                let said = answer.said[n];
                assert_eq!(said.counted, counts && allowed[n], "{pair:?}");
                let mut verdict = said.verdict;
                if allowed[n] && !said.counted {
                    // What the model expects of one that counts.
                    assert!(verdict.remaining >= costs[n], "{pair:?}: {verdict:?}");
                    verdict.remaining -= costs[n];
                    let used = expect_used(&quotas[n], &logs[n], answer.at, verdict.tier);
                    assert_eq!(verdict.reset_ms > 0, used, "{pair:?}: {verdict:?}");
                    if !used {
                        continue;
                    }
                }
                compare(&quotas[n], &logs[n], answer.at, costs[n], &verdict)
                    .unwrap_or_else(|why| panic!("{pair:?}: {why}"));
                if said.counted {
                    logs[n].push((answer.at, costs[n]));
                }
            }
            together += u32::from(counts && allowed == [true; 2]);
            apart += u32::from(!counts && allowed[0] != allowed[1]);
            if counts && random.below(4) == 0 {
                let counted = (0..2).filter(|n| allowed[*n]);
                let counted: Vec<_> = counted.map(|n| (parts[n].clone(), answer.at)).collect();
                if counted.is_empty() {
                    continue;
                }
                for n in (0..2).filter(|n| allowed[*n]) {
                    logs[n].pop();
                }
                take_back(&store, &counted);
                back += 1;
            }
            if random.below(4) == 0 {
                let pause = random.below(1 + random.0 % 30);
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
        }
    }
    println!("{together} counted in both, {apart} refused by one, {back} taken back");
    assert!(together > 100 && apart > 50 && back > 50);
}

/// Whether anything is used of a tier.
fn expect_used(quota: &Quota, log: &Log, now: i64, tier: u8) -> bool {
    let tier = &quota.tiers[usize::from(tier)];
    let (left, resets, _) = expect(quota.algorithm, tier, log, now, 1);
    match quota.algorithm {
        // A token that is back in part is not yet counted as left.
        Algorithm::TokenBucket | Algorithm::Smooth => {
            left < i64::from(tier.burst)
                || resets < tier.window_ms as i64 * 1000 / i64::from(tier.count)
        }
        _ => left < i64::from(tier.count),
    }
}

/// What others counted meanwhile stays counted, and no limit is opened.
#[tokio::test]
async fn taking_back_leaves_what_others_counted() {
    let redis = Redis::start();
    let store = store(&redis);
    assert!(store.ready(Duration::from_secs(5)).await);
    for algorithm in ALL {
        let mut tier = Tier::new(6, 3_600_000);
        tier.burst = 6;
        let quota = quota(
            algorithm,
            &[
                tier,
                Tier {
                    count: 9,
                    burst: 9,
                    ..tier
                },
            ],
        );
        let shared = store
            .quota(algorithm.as_str(), None, &quota)
            .expect("tiers");
        let left = async |cost| {
            let part = part(&shared, b"a", cost, true);
            let answer = store.ask(Arc::new([part]), false).await.expect("asked");
            answer.said[0].verdict.remaining
        };
        let back = |cost, at| take_back(&store, &[(part(&shared, b"a", cost, true), at)]);
        let (first, _) = ask(&store, &shared, b"a", 1).await;
        let (second, _) = ask(&store, &shared, b"a", 2).await;
        let (third, _) = ask(&store, &shared, b"a", 3).await;
        assert_eq!(left(1).await, 0, "{algorithm}");
        back(2, second);
        if !matches!(algorithm, Algorithm::TokenBucket | Algorithm::Smooth) {
            assert_eq!(left(1).await, 2, "{algorithm}");
            back(1, first);
            assert_eq!(left(1).await, 3, "{algorithm}");
        }
        back(3, third);
        let all = left(1).await;
        assert!((4..=6).contains(&all), "{algorithm}: {all}");
        // What is not there is not taken back, nor is it from a time before all.
        back(3, third);
        back(3, first - 7_200_000_000);
        assert!(left(1).await <= 6, "{algorithm}");
        assert_eq!(left(7).await, left(1).await, "{algorithm}");
    }
}
