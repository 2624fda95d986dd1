//! Every algorithm against a log of all that ever passed, looked through from end to end for each request.

use proptest::prelude::*;

use super::Rules;
use crate::spec::{Algorithm, MAX_WINDOW_MS, Quota, Tier};
use crate::verdict::Verdict;

const ALL: [Algorithm; 5] = [
    Algorithm::TokenBucket,
    Algorithm::FixedWindow,
    Algorithm::SlidingLog,
    Algorithm::SlidingWindow,
    Algorithm::Smooth,
];

/// What passed: when, and how much it cost.
#[derive(Clone, Debug, Default)]
struct Log(Vec<(u64, u32)>);

impl Log {
    /// How much of one tier may pass at `now`, if any is left. This is the definition of each algorithm.
    fn left(&self, algorithm: Algorithm, tier: &Tier, now: u64) -> u64 {
        let window = tier.window_ms;
        let sum = |counts: &dyn Fn(u64) -> bool| -> u64 {
            let passed = self.0.iter().filter(|(at, _)| counts(*at));
            passed.map(|(_, cost)| u64::from(*cost)).sum()
        };
        let count = u64::from(tier.count);
        match algorithm {
            Algorithm::SlidingLog => count.saturating_sub(sum(&|at| now - at < window)),
            Algorithm::FixedWindow => count.saturating_sub(sum(&|at| at / window == now / window)),
            Algorithm::SlidingWindow => {
                let slice = window.div_ceil(20);
                let slices = window.div_ceil(slice);
                count.saturating_sub(sum(&|at| at / slice + slices >= now / slice))
            }
            // From no moment on may more have passed than the burst and what came back since.
            Algorithm::TokenBucket | Algorithm::Smooth => {
                let starts = self.0.iter().map(|(at, _)| *at).chain([now]);
                let left = starts.map(|start| {
                    let passed = u128::from(sum(&|at| at >= start)) * u128::from(window);
                    let came_back = u128::from(now - start) * u128::from(count);
                    let allowed = u128::from(tier.burst) * u128::from(window) + came_back;
                    allowed.saturating_sub(passed) / u128::from(window)
                });
                left.min().unwrap_or(0) as u64
            }
        }
    }

    fn allows(&self, quota: &Quota, cost: u32, now: u64) -> bool {
        let mut tiers = quota.tiers.iter();
        tiers.all(|tier| self.left(quota.algorithm, tier, now) >= u64::from(cost))
    }

    /// The most that passed in any stretch of so many milliseconds.
    fn most_in(&self, length: u64) -> u64 {
        let starts = self.0.iter().map(|(at, _)| *at);
        let sums = starts.map(|start| {
            let inside = self
                .0
                .iter()
                .filter(|(at, _)| (start..start + length).contains(at));
            inside.map(|(_, cost)| u64::from(*cost)).sum()
        });
        sums.max().unwrap_or(0)
    }
}

impl Log {
    /// That a limit which let pass the last of the log had room for it, after a change of algorithm; as far as it can know of what
    /// came before `from`.
    fn check_promise(
        &self,
        (old, new): (Algorithm, Algorithm),
        tier: &Tier,
        from: u64,
        now: u64,
    ) -> Result<(), TestCaseError> {
        let since = |start: u64| -> u64 {
            let inside = self.0.iter().filter(|(at, _)| *at >= start.max(from));
            inside.map(|(_, cost)| u64::from(*cost)).sum()
        };
        let window = tier.window_ms;
        let count = u64::from(tier.count);
        match new {
            Algorithm::SlidingLog | Algorithm::SlidingWindow => {
                prop_assert!(since((now + 1).saturating_sub(window)) <= count, "{tier:?}");
            }
            Algorithm::FixedWindow => {
                prop_assert!(since(now - now % window) <= count, "{tier:?}");
            }
            // Buckets know of each other what is owed, and no more than they can owe.
            Algorithm::TokenBucket | Algorithm::Smooth if is_bucket(old) => {}
            Algorithm::TokenBucket | Algorithm::Smooth => {
                let recent = |at: &u64| *at + window > now;
                for start in self.0.iter().map(|(at, _)| *at).filter(recent) {
                    let most = u64::from(tier.burst) * window + (now - start) * count;
                    prop_assert!(since(start) * window <= most, "{tier:?} since {start}");
                }
            }
        }
        Ok(())
    }
}

const fn is_bucket(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::TokenBucket | Algorithm::Smooth)
}

/// A state and the log of what it let pass.
struct Pair {
    quota: Quota,
    rules: Rules,
    state: Vec<u32>,
    log: Log,
    now: u64,
}

impl Pair {
    fn new(quota: Quota, now: u64) -> Self {
        let rules = Rules::new(&quota);
        Self {
            state: vec![0; rules.words()],
            rules,
            quota,
            log: Log::default(),
            now,
        }
    }

    fn ask(&mut self, gap: u64, cost: u32) -> Result<Verdict, TestCaseError> {
        self.now += gap;
        let now = self.now;
        let expected = self.log.allows(&self.quota, cost, now);
        let before = self.state.clone();
        let verdict = self.rules.ask(&mut self.state, cost, now, false);
        prop_assert_eq!(verdict.allowed, expected, "at {}", now);
        if !verdict.allowed {
            prop_assert_eq!(&before, &self.state, "a refusal wrote something");
            self.check_refusal(cost, verdict)?;
        } else if cost > 0 {
            self.log.0.push((now, cost));
        }
        self.check_left(verdict)?;
        Ok(verdict)
    }

    fn check_refusal(&self, cost: u32, verdict: Verdict) -> Result<(), TestCaseError> {
        let tier = &self.quota.tiers[usize::from(verdict.tier)];
        let left = self.log.left(self.quota.algorithm, tier, self.now);
        prop_assert!(left < u64::from(cost), "that tier did not refuse");
        prop_assert!(verdict.retry_after_ms >= verdict.reset_ms.max(1));
        let ever = |tier: &Tier| match self.quota.algorithm {
            Algorithm::TokenBucket | Algorithm::Smooth => cost <= tier.burst,
            _ => cost <= tier.count,
        };
        if self.quota.tiers.iter().all(ever) {
            let then = self.now + verdict.retry_after_ms;
            prop_assert!(!self.log.allows(&self.quota, cost, then - 1), "too late");
            prop_assert!(self.log.allows(&self.quota, cost, then), "too early");
        }
        Ok(())
    }

    fn check_left(&self, verdict: Verdict) -> Result<(), TestCaseError> {
        let algorithm = self.quota.algorithm;
        let tier = &self.quota.tiers[usize::from(verdict.tier)];
        let left = |now| self.log.left(algorithm, tier, now);
        prop_assert_eq!(u64::from(verdict.remaining), left(self.now));
        if verdict.allowed {
            for tier in &self.quota.tiers {
                prop_assert!(left(self.now) <= self.log.left(algorithm, tier, self.now));
            }
        }
        if verdict.reset_ms > 0 {
            let then = self.now + verdict.reset_ms;
            prop_assert!(left(then) > left(self.now), "nothing came back");
            prop_assert_eq!(
                left(then - 1),
                left(self.now),
                "something came back earlier"
            );
        } else {
            let most = match algorithm {
                Algorithm::TokenBucket | Algorithm::Smooth => tier.burst,
                _ => tier.count,
            };
            prop_assert_eq!(left(self.now), u64::from(most), "something will come back");
        }
        Ok(())
    }

    /// What the algorithm promises, seen from outside.
    fn check_windows(&self) -> Result<(), TestCaseError> {
        for tier in &self.quota.tiers {
            let most = u64::from(match self.quota.algorithm {
                Algorithm::SlidingLog | Algorithm::SlidingWindow => tier.count,
                Algorithm::FixedWindow => 2 * tier.count,
                // The last millisecond of the stretch is not a whole window after the first.
                Algorithm::TokenBucket | Algorithm::Smooth => tier.burst + tier.count - 1,
            });
            prop_assert!(self.log.most_in(tier.window_ms) <= most, "{tier:?}");
        }
        Ok(())
    }
}

fn algorithm() -> impl Strategy<Value = Algorithm> {
    (0..ALL.len()).prop_map(|at| ALL[at])
}

fn tier() -> impl Strategy<Value = Tier> {
    let window = prop_oneof![1..40u64, 40..3_000u64, Just(60_000), Just(MAX_WINDOW_MS)];
    (1..12u32, window, 1..12u32).prop_map(|(count, window_ms, burst)| Tier {
        count,
        window_ms,
        burst,
    })
}

/// A bucket owes no more than it holds, so it forgets what passed beyond that.
fn window_algorithm() -> impl Strategy<Value = Algorithm> {
    (1..4usize).prop_map(|at| ALL[at])
}

fn quota() -> impl Strategy<Value = Quota> {
    quota_of(algorithm())
}

fn quota_of(algorithm: impl Strategy<Value = Algorithm>) -> impl Strategy<Value = Quota> {
    (algorithm, prop::collection::vec(tier(), 1..4)).prop_map(|(algorithm, tiers)| Quota {
        algorithm,
        tiers: tiers.into(),
        concurrency: None,
    })
}

/// Long before and just before 32 bits of milliseconds are over.
fn start() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..100_000u64,
        (1u64 << 32) - 2_000..1 << 32,
        Just(u64::from(u32::MAX) * 1000)
    ]
}

fn gap() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => Just(0u64),
        6 => 1..30u64,
        4 => 30..3_000u64,
        2 => 3_000..61_000u64,
        1 => Just(MAX_WINDOW_MS - 1),
        1 => (1u64 << 32) - 10..(1 << 32) + 10,
    ]
}

fn cost() -> impl Strategy<Value = u32> {
    prop_oneof![8 => Just(1u32), 3 => 2..6u32, 1 => Just(0), 1 => 6..20u32]
}

fn requests() -> impl Strategy<Value = Vec<(u64, u32)>> {
    prop::collection::vec((gap(), cost()), 1..150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn each_request_is_judged_as_by_the_whole_log(quota in quota(), start in start(), requests in requests()) {
        let mut pair = Pair::new(quota, start);
        for (gap, cost) in requests {
            pair.ask(gap, cost)?;
        }
        pair.check_windows()?;
    }

    #[test]
    fn large_counts_too(algorithm in algorithm(), count in prop_oneof![60_000..70_000u32, Just(4096)], requests in prop::collection::vec((gap(), 1..30_000u32), 1..60)) {
        let tiers = [Tier::new(count, 2_000), Tier::new(count + count / 2, 60_000)];
        let quota = Quota { algorithm, tiers: tiers.into(), concurrency: None };
        // A log of so many is kept as a sliding window.
        let kept = if algorithm == Algorithm::SlidingLog { Algorithm::SlidingWindow } else { algorithm };
        let rules = Rules::new(&quota);
        let mut pair = Pair { rules, ..Pair::new(Quota { algorithm: kept, ..quota }, 5) };
        for (gap, cost) in requests {
            pair.ask(gap, cost)?;
        }
        pair.check_windows()?;
    }

    #[test]
    fn what_is_given_back_was_never_there(quota in quota(), start in start(), requests in prop::collection::vec((gap(), cost(), any::<bool>()), 1..150)) {
        let mut pair = Pair::new(quota, start);
        for (gap, cost, back) in requests {
            let verdict = pair.ask(gap, cost)?;
            if back && verdict.allowed && cost > 0 {
                pair.rules.give_back(&mut pair.state, cost, pair.now);
                pair.log.0.pop();
            }
        }
    }

    #[test]
    fn what_is_given_back_late_lets_nobody_pass_in_its_place_twice(
        quota in quota(), start in start(),
        requests in prop::collection::vec((gap(), 1..4u32, prop::option::of(0..6usize)), 1..150),
    ) {
        let mut pair = Pair::new(quota, start);
        let mut late: Vec<(usize, u64, u32)> = Vec::new();
        for (step, (gap, cost, back)) in requests.into_iter().enumerate() {
            pair.now += gap;
            let now = pair.now;
            if pair.rules.ask(&mut pair.state, cost, now, false).allowed {
                pair.log.0.push((now, cost));
                late.extend(back.map(|steps| (step + steps, now, cost)));
            }
            for (_, at, cost) in late.extract_if(.., |(due, ..)| *due == step) {
                pair.rules.give_back(&mut pair.state, cost, at);
                let counted = pair.log.0.iter().rposition(|entry| *entry == (at, cost));
                pair.log.0.remove(counted.expect("it passed"));
            }
        }
        pair.check_windows()?;
    }

    #[test]
    fn what_others_let_pass_counts(quota in quota_of(window_algorithm()), start in start(), requests in prop::collection::vec((gap(), cost(), any::<bool>()), 1..150)) {
        let mut pair = Pair::new(quota, start);
        for (gap, cost, always) in requests {
            pair.now += gap;
            let expected = pair.log.allows(&pair.quota, cost, pair.now);
            let verdict = pair.rules.ask(&mut pair.state, cost, pair.now, always);
            prop_assert_eq!(verdict.allowed, expected);
            if (expected || always) && cost > 0 {
                pair.log.0.push((pair.now, cost));
            }
        }
    }

    #[test]
    fn a_log_is_carried_over_exactly_as_far_as_it_goes(
        old in prop::collection::vec(tier(), 1..4), requests in requests(),
        lower in prop::collection::vec((1..12u32, 1..3_000u64), 1..4), then in requests(),
    ) {
        let quota = Quota { algorithm: Algorithm::SlidingLog, tiers: old.into(), concurrency: None };
        let most = quota.tiers.iter().map(|tier| tier.count).max().unwrap_or(1);
        let longest = quota.tiers.iter().map(|tier| tier.window_ms).max().unwrap_or(1);
        let mut pair = Pair::new(quota, 100);
        for (gap, cost) in requests {
            pair.ask(gap, cost)?;
        }
        let tiers = lower.iter().map(|(count, window)| Tier::new(*count.min(&most), *window.min(&longest)));
        let lower = Quota { algorithm: Algorithm::SlidingLog, tiers: tiers.collect(), concurrency: None };
        let mut carried = Pair { log: pair.log, ..Pair::new(lower, pair.now) };
        carried.rules.carry(&mut carried.state, &pair.rules, &pair.state);
        for (gap, cost) in then {
            carried.ask(gap, cost)?;
        }
    }

    #[test]
    fn windows_that_stay_keep_their_counts(
        algorithm in prop_oneof![Just(Algorithm::FixedWindow), Just(Algorithm::SlidingWindow)],
        tiers in prop::collection::vec((1..12u32, prop_oneof![1..12u32, Just(100_000)], 1..3_000u64), 1..4),
        requests in requests(), then in requests(),
    ) {
        let quota = |pick: &dyn Fn(&(u32, u32, u64)) -> u32| Quota {
            algorithm,
            tiers: tiers.iter().map(|tier| Tier::new(pick(tier), tier.2)).collect(),
            concurrency: None,
        };
        let mut pair = Pair::new(quota(&|tier| tier.0), 100);
        for (gap, cost) in requests {
            pair.ask(gap, cost)?;
        }
        let mut carried = Pair { log: pair.log, ..Pair::new(quota(&|tier| tier.1), pair.now) };
        carried.rules.carry(&mut carried.state, &pair.rules, &pair.state);
        for (gap, cost) in then {
            carried.ask(gap, cost)?;
        }
    }

    #[test]
    fn another_algorithm_never_lets_more_pass_than_if_it_had_counted_all_along(
        (old, new) in (algorithm(), algorithm()),
        tiers in prop::collection::vec(tier(), 1..4), start in start(),
        requests in requests(), then in requests(),
    ) {
        let quota = |algorithm| Quota { algorithm, tiers: tiers.clone().into(), concurrency: None };
        let mut pair = Pair::new(quota(old), start);
        for (gap, cost) in requests {
            pair.ask(gap, cost)?;
        }
        let rules = Rules::new(&quota(new));
        let mut state = vec![0; rules.words()];
        rules.carry(&mut state, &pair.rules, &pair.state);
        let changed = super::last_counted(&pair.state);
        let (mut now, mut log) = (pair.now, pair.log);
        for (gap, cost) in then {
            now += gap;
            let verdict = rules.ask(&mut state, cost, now, false);
            if !verdict.allowed {
                prop_assert!(verdict.retry_after_ms >= verdict.reset_ms.max(1));
                let most = |tier: &Tier| if is_bucket(new) { tier.burst } else { tier.count };
                let passes = |at| rules.ask(&mut state.clone(), cost, at, false).allowed;
                if tiers.iter().all(|tier| cost <= most(tier)) {
                    prop_assert!(passes(now + verdict.retry_after_ms), "too early");
                    prop_assert!(!passes(now + verdict.retry_after_ms - 1), "too late");
                }
                continue;
            }
            if cost == 0 {
                continue;
            }
            log.0.push((now, cost));
            for tier in &tiers {
                let from = match old {
                    // It has forgotten what came before the window that ran, unless it may cost a bucket dear.
                    Algorithm::FixedWindow if !is_bucket(new) => changed - changed % tier.window_ms,
                    _ => 0,
                };
                log.check_promise((old, new), tier, from, now)?;
            }
        }
    }

    #[test]
    fn what_a_log_knows_is_taken_over_exactly(
        new in prop_oneof![Just(Algorithm::FixedWindow), Just(Algorithm::SlidingWindow)],
        tiers in prop::collection::vec((1..12u32, 1..3_000u64), 1..4), start in start(),
        requests in requests(), then in requests(),
    ) {
        // The tier of the longest window has the highest limit, so all that counts anywhere is remembered.
        let longest = tiers.iter().map(|tier| tier.1).max().unwrap_or(1);
        let mut tiers: Vec<Tier> = tiers.iter().map(|tier| Tier::new(tier.0, tier.1)).collect();
        tiers.push(Tier::new(12, longest + 1 + longest / 10));
        let quota = |algorithm, tiers: &[Tier]| Quota { algorithm, tiers: tiers.into(), concurrency: None };
        let mut pair = Pair::new(quota(Algorithm::SlidingLog, &tiers), start);
        for (gap, cost) in requests {
            pair.ask(gap, cost)?;
        }
        tiers.pop();
        let mut carried = Pair { log: pair.log, ..Pair::new(quota(new, &tiers), pair.now) };
        carried.rules.carry(&mut carried.state, &pair.rules, &pair.state);
        for (gap, cost) in then {
            carried.ask(gap, cost)?;
        }
    }

    #[test]
    fn an_idle_state_is_as_good_as_none(quota in quota(), requests in requests()) {
        let mut pair = Pair::new(quota, 0);
        for (gap, cost) in requests {
            pair.ask(gap, cost)?;
        }
        let then = super::last_counted(&pair.state) + pair.rules.idle_after_ms();
        let mut fresh = vec![0; pair.rules.words()];
        for cost in [1, 3, 1] {
            let old = pair.rules.ask(&mut pair.state, cost, then, false);
            prop_assert_eq!(old, pair.rules.ask(&mut fresh, cost, then, false));
        }
    }

    #[test]
    fn a_clock_that_is_behind_never_lets_more_pass(quota in quota(), requests in prop::collection::vec((gap(), 0..50u64, cost()), 1..150)) {
        let mut pair = Pair::new(quota, 1_000_000);
        let mut latest = 0;
        for (gap, behind, cost) in requests {
            pair.now += gap;
            let said = pair.now - behind;
            let counts_at = said.max(latest);
            let expected = pair.log.allows(&pair.quota, cost, counts_at);
            let verdict = pair.rules.ask(&mut pair.state, cost, said, false);
            prop_assert_eq!(verdict.allowed, expected);
            if expected {
                latest = counts_at;
                pair.log.0.push((counts_at, cost));
            }
        }
        pair.check_windows()?;
    }
}

fn outcomes(algorithm: Algorithm, tiers: &[Tier], times: &[u64]) -> Vec<bool> {
    let rules = Rules::new(&Quota {
        algorithm,
        tiers: tiers.into(),
        concurrency: None,
    });
    let mut state = vec![0; rules.words()];
    let asked = times
        .iter()
        .map(|now| rules.ask(&mut state, 1, *now, false));
    asked.map(|verdict| verdict.allowed).collect()
}

#[test]
fn what_tells_the_algorithms_apart() {
    let two = Tier::new(2, 1_000);
    let times = [990, 991, 992, 1_000, 1_001, 1_490, 1_991, 1_992];
    let [yes, no] = [true, false];
    for (algorithm, burst, expected) in [
        // One second after each.
        (
            Algorithm::SlidingLog,
            2,
            [yes, yes, no, no, no, no, yes, yes],
        ),
        // All of a sudden at the full second.
        (
            Algorithm::FixedWindow,
            2,
            [yes, yes, no, yes, yes, no, no, no],
        ),
        // When the slice of 50 ms in which they came is over, too.
        (
            Algorithm::SlidingWindow,
            2,
            [yes, yes, no, no, no, no, no, no],
        ),
        // Half a second after the first there is a token again, and again half a second later.
        (
            Algorithm::TokenBucket,
            2,
            [yes, yes, no, no, no, yes, yes, no],
        ),
        // One each half second.
        (Algorithm::Smooth, 1, [yes, no, no, no, no, yes, yes, no]),
    ] {
        let mut tier = two;
        tier.burst = burst;
        let expected = expected.to_vec();
        assert_eq!(
            outcomes(algorithm, &[tier], &times),
            expected,
            "{algorithm}"
        );
    }
}

#[test]
fn a_refused_request_counts_in_no_tier() {
    // With limiters behind each other, the second and third request would use up the minute.
    let tiers = [Tier::new(1, 1_000), Tier::new(3, 60_000)];
    for algorithm in ALL {
        let asked = outcomes(algorithm, &tiers, &[5, 6, 7, 2_000, 4_000, 6_000]);
        assert_eq!(asked[..5], [true, false, false, true, true], "{algorithm}");
    }
}

#[test]
fn a_bucket_owes_what_it_owed() {
    let quota = |count| Quota {
        algorithm: Algorithm::TokenBucket,
        tiers: [Tier::new(count, 1_000)].into(),
        concurrency: None,
    };
    let (old, less, more) = (
        Rules::new(&quota(10)),
        Rules::new(&quota(2)),
        Rules::new(&quota(20)),
    );
    let mut state = vec![0; old.words()];
    for _ in 0..6 {
        assert!(old.ask(&mut state, 1, 77, false).allowed);
    }
    let mut carried = vec![0; less.words()];
    less.carry(&mut carried, &old, &state);
    let verdict = less.ask(&mut carried, 1, 77, false);
    assert_eq!((verdict.allowed, verdict.retry_after_ms), (false, 500));
    let mut carried = vec![0; more.words()];
    more.carry(&mut carried, &old, &state);
    assert_eq!(more.ask(&mut carried, 1, 77, false).remaining, 13);
}

#[test]
fn states_are_small() {
    let words = |algorithm, tiers: &[(u32, u64)]| {
        let tiers: Vec<Tier> = tiers.iter().map(|(n, w)| Tier::new(*n, *w)).collect();
        let quota = Quota {
            algorithm,
            tiers: tiers.into(),
            concurrency: None,
        };
        crate::table::bytes_per_key(&quota)
    };
    let minute = 60_000;
    for (algorithm, tiers) in [
        (Algorithm::SlidingLog, &[(10, minute)][..]),
        (
            Algorithm::SlidingLog,
            &[(1, 1_000), (5, 10_000), (10, minute)],
        ),
        (Algorithm::SlidingWindow, &[(1_000, minute)]),
        (Algorithm::TokenBucket, &[(100, 1_000), (1_000, minute)]),
        (Algorithm::FixedWindow, &[(100, 1_000), (1_000, minute)]),
        (Algorithm::Smooth, &[(100, 1_000)]),
    ] {
        let bytes = words(algorithm, tiers);
        assert!(bytes <= 100, "{algorithm} {tiers:?}: {bytes} bytes a key");
    }
}
