//! Limiters as a Weir uses them: over reloads, over plans, several at once, and with a million keys.

use std::sync::Arc;
use std::thread;

use weir_limit::{
    Algorithm, Ask, Key, KeyPart, KeySpec, LimitSpec, Limiter, Limiters, Plan, Quota, Seed, Tier,
    check_together,
};

const SEED: Seed = Seed::new(0x0123_4567_89ab_cdef);
const KEY: Key = Key::new(7);

fn log(count: u32, window_ms: u64) -> LimitSpec {
    LimitSpec::new(Algorithm::SlidingLog, &[Tier::new(count, window_ms)])
}

fn quota(count: u32) -> Quota {
    log(count, 60_000).quota
}

/// Makes one limiter the whole configuration.
fn reload(limiters: &Limiters, name: &str, spec: LimitSpec) -> Arc<Limiter> {
    let mut next = limiters.prepare();
    let limiter = next.limiter(name, spec);
    limiters.commit(next);
    limiter
}

fn passes(limiter: &Limiter, now_ms: u64) -> bool {
    limiter.check(KEY, Plan::NONE, 1, now_ms).allowed
}

#[test]
fn a_reload_keeps_what_did_not_change() {
    let limiters = Limiters::new(SEED);
    let before = reload(&limiters, "a", log(2, 60_000));
    assert!(passes(&before, 1));
    let after = reload(&limiters, "a", log(2, 60_000));
    assert!(Arc::ptr_eq(&before, &after));

    // A spec that differs in what is not counted shares its counters.
    let mut told = log(2, 60_000);
    told.label = "told".into();
    let after = reload(&limiters, "a", told);
    assert!(!Arc::ptr_eq(&before, &after));
    assert!(passes(&after, 2));
    assert!(!passes(&before, 3) && !passes(&after, 3));
}

#[test]
fn a_reload_carries_counters_over_to_other_limits() {
    let limiters = Limiters::new(SEED);
    let before = reload(&limiters, "a", log(3, 60_000));
    assert!(passes(&before, 1) && passes(&before, 1));
    let after = reload(&limiters, "a", log(4, 30_000));
    assert!(passes(&after, 2));
    assert!(
        passes(&before, 3),
        "who still holds the old one counts with the new one"
    );
    assert!(!passes(&after, 4) && !passes(&before, 4));
    limiters.settle();
    assert!(!passes(&after, 5));
    assert!(passes(&after, 30_001));
    assert_eq!(after.stats().allowed, 5);
}

#[test]
fn a_configuration_that_is_dropped_leaves_no_trace() {
    let limiters = Limiters::new(SEED);
    let before = reload(&limiters, "a", log(1, 60_000));
    let mut next = limiters.prepare();
    let never = next.limiter("a", log(5, 60_000));
    drop(next);
    assert!(passes(&before, 1));
    assert!(!passes(&before, 1));
    assert_eq!(never.stats().keys, 0);
    assert!(Arc::ptr_eq(&before, &limiters.all()[0]));
}

#[test]
fn another_key_begins_anew() {
    let limiters = Limiters::new(SEED);
    let before = reload(&limiters, "a", log(1, 60_000));
    assert!(passes(&before, 1) && !passes(&before, 1));
    let mut by_user = log(1, 60_000);
    by_user.key = KeySpec::new([KeyPart::User]);
    let by_user = reload(&limiters, "a", by_user);
    assert!(passes(&by_user, 1));
    // And what was gone for a reload.
    let mut next = limiters.prepare();
    next.limiter("b", log(1, 60_000));
    limiters.commit(next);
    assert!(passes(&reload(&limiters, "a", log(1, 60_000)), 1));
}

#[test]
fn another_algorithm_goes_on_counting() {
    for algorithm in [
        Algorithm::TokenBucket,
        Algorithm::FixedWindow,
        Algorithm::SlidingWindow,
        Algorithm::Smooth,
    ] {
        let limiters = Limiters::new(SEED);
        let before = reload(&limiters, "a", log(3, 60_000));
        assert!((0..3).all(|_| passes(&before, 1)));
        let after = LimitSpec::new(algorithm, &[Tier::new(3, 60_000)]);
        let after = reload(&limiters, "a", after);
        assert!(!passes(&after, 1), "{algorithm}");
        limiters.settle();
        assert!(!passes(&after, 2) && !passes(&before, 2), "{algorithm}");
        assert!(passes(&after, 63_001), "{algorithm}");
    }
}

#[test]
fn the_same_name_is_the_same_limiter_within_a_configuration() {
    let limiters = Limiters::new(SEED);
    let mut next = limiters.prepare();
    let one = next.limiter("a", log(1, 60_000));
    let two = next.limiter("a", log(1, 60_000));
    assert!(Arc::ptr_eq(&one, &two));
}

#[test]
fn plans_have_limits_of_their_own_and_keep_them() {
    let mut spec = log(1, 60_000);
    let none = Quota {
        tiers: Box::default(),
        ..quota(1)
    };
    spec.plans = [
        ("gold".into(), quota(3)),
        ("silver".into(), quota(2)),
        ("house".into(), none),
    ]
    .into();
    let limiters = Limiters::new(SEED);
    let limiter = reload(&limiters, "a", spec.clone());
    let passed = |limiter: &Limiter, plan| {
        let plan = limiter.plan(plan);
        let pass = || limiter.check(KEY, plan, 1, 5).allowed;
        (0..10).filter(|_| pass()).count()
    };
    assert_eq!(passed(&limiter, Some("gold")), 3);
    assert_eq!(passed(&limiter, Some("silver")), 2);
    assert_eq!(passed(&limiter, Some("house")), 10);
    assert_eq!(passed(&limiter, Some("unheard of")), 1);
    assert_eq!(
        passed(&limiter, None),
        0,
        "counts with those of unknown plans"
    );

    // Plans are carried over by name, wherever they stand.
    spec.plans = [("silver".into(), quota(4)), ("gold".into(), quota(3))].into();
    let after = reload(&limiters, "a", spec);
    assert_eq!(passed(&after, Some("silver")), 2);
    assert_eq!(passed(&after, Some("gold")), 0);
    assert_eq!(passed(&limiter, Some("silver")), 0);
}

#[test]
fn requests_in_flight_stay_counted_over_a_reload() {
    let limiters = Limiters::new(SEED);
    let mut spec = log(100, 60_000);
    spec.quota.concurrency = Some(2);
    let before = reload(&limiters, "a", spec.clone());
    let held = (before.hold(KEY, Plan::NONE), before.hold(KEY, Plan::NONE));
    assert!(held.0.is_some() && held.1.is_some());
    spec.quota.concurrency = Some(3);
    let after = reload(&limiters, "a", spec);
    let third = after.hold(KEY, Plan::NONE);
    assert!(third.is_some());
    assert!(after.hold(KEY, Plan::NONE).is_none());
    drop(held);
    assert!(after.hold(KEY, Plan::NONE).is_some());
    assert_eq!((after.held_keys(), after.stats().held_back), (1, 1));
}

#[test]
fn limits_together_count_all_or_nothing() {
    let (one, two) = (
        Limiter::new("one", log(5, 60_000), SEED),
        Limiter::new("two", log(2, 60_000), SEED),
    );
    let ask = |limiter| Ask {
        limiter,
        key: KEY,
        plan: Plan::NONE,
        cost: 1,
    };
    let asks = [ask(&*one), ask(&*two)];
    let mut verdicts = Vec::new();
    let passed: Vec<bool> = (0..4)
        .map(|_| check_together(&asks, 9, &mut verdicts))
        .collect();
    assert_eq!(passed, [true, true, false, false]);
    assert_eq!(verdicts.len(), 2);
    assert_eq!(
        one.check(KEY, Plan::NONE, 0, 9).remaining,
        3,
        "nothing was used up"
    );
    assert_eq!((one.stats().allowed, two.stats().denied), (3, 2));

    // A dry run refuses nobody.
    let mut dry = log(1, 60_000);
    dry.dry_run = true;
    let dry = Limiter::new("dry", dry, SEED);
    let asks = [ask(&*dry), ask(&*one)];
    let passed: Vec<bool> = (0..4)
        .map(|_| check_together(&asks, 9, &mut verdicts))
        .collect();
    assert_eq!(passed, [true, true, true, false]);
    assert_eq!(dry.stats().denied, 3);
}

#[test]
fn a_limiter_that_was_told_knows_as_much_as_the_store() {
    let limiter = Limiter::new("a", log(3, 60_000), SEED);
    for _ in 0..3 {
        limiter.count(KEY, Plan::NONE, 1, 10);
    }
    assert!(!passes(&limiter, 11));
    assert!(passes(&limiter, 60_010));
}

/// Threads that ask as workers do, each with a clock of its own, while limits change under them.
#[test]
fn exactly_as_many_pass_as_may_over_reloads() {
    const THREADS: usize = 4;
    let limiters = Limiters::new(SEED);
    reload(&limiters, "a", log(1_000, 3_600_000));
    let passed: usize = thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|worker| {
                let limiters = &limiters;
                scope.spawn(move || {
                    let mut passed = 0;
                    // Each plan is kept for a while.
                    let mut limiter = Arc::clone(&limiters.all()[0]);
                    for n in 0..2_000 {
                        if n % 50 == 0 {
                            limiter = Arc::clone(&limiters.all()[0]);
                        }
                        passed += usize::from(passes(&limiter, 50 + worker as u64));
                    }
                    passed
                })
            })
            .collect();
        for count in 1_001..1_050 {
            // Never more than so many, and in the end exactly that.
            reload(&limiters, "a", log(count, 3_600_000));
            limiters.settle();
        }
        workers
            .into_iter()
            .map(|worker| worker.join().expect("no panic"))
            .sum()
    });
    let last = Arc::clone(&limiters.all()[0]);
    let left = (0..2_000).filter(|_| passes(&last, 60)).count();
    assert_eq!(passed + left, 1_049);
}
