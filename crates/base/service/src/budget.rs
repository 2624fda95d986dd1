//! A retry budget: retries are a bounded share of the requests, so that they cannot turn a failure into an overload.
//!
//! For every retry that is granted, those of the 10 s up to it are at most `percent` of the *requests* of the same 10 s,
//! plus `floor_per_s` for each second (so that a service with little traffic may retry at all). Seconds are counted in
//! buckets, which makes the bound exact on the safe side: a request counts for 9 to 10 s, a retry for 10 to 11 s. It follows
//! that over any longer time the requests sent are at most 1 + `percent` of those that came, plus the floor. Hedged requests
//! are retries in this sense and take from the same budget. Retries are not requests: they earn no further retries.
//!
//! A request costs one atomic addition. Granting a retry takes a lock, since two that look at the same time must not both
//! take the last one; refusing takes none, so in a storm nobody waits to hear no.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Seconds that requests count for.
const WINDOW_S: u64 = 10;
/// More than the window, so that a late thread does not write where others read.
const SLOTS: usize = 16;

/// What bounds the retries of one service; shared by all workers.
#[derive(Debug, Default)]
pub struct RetryBudget {
    requests: Seconds,
    retries: Seconds,
    /// The latest time at which a retry was asked for: grants are in the order of time, whatever the callers' clocks say.
    latest_ms: Mutex<u64>,
}

impl RetryBudget {
    /// A request came: the first attempt at it, whatever becomes of it.
    #[inline]
    pub fn request(&self, now_ms: u64) {
        self.requests.add(now_ms / 1000);
    }

    /// May there be a retry? Then it is counted: ask only when everything else allows it.
    pub fn try_retry(&self, now_ms: u64, percent: u32, floor_per_s: u32) -> bool {
        if !self.allows(now_ms, percent, floor_per_s) {
            return false;
        }
        let latest = self.latest_ms.lock();
        let mut latest = latest.unwrap_or_else(PoisonError::into_inner);
        *latest = now_ms.max(*latest);
        let granted = self.allows(*latest, percent, floor_per_s);
        if granted {
            self.retries.add(*latest / 1000);
        }
        granted
    }

    /// Requests and retries of the last 10 s, for status pages.
    pub fn recent(&self, now_ms: u64) -> (u64, u64) {
        let second = now_ms / 1000;
        let since = second.saturating_sub(WINDOW_S - 1);
        let of = |seconds: &Seconds| seconds.sum(since, second);
        (of(&self.requests), of(&self.retries))
    }

    fn allows(&self, now_ms: u64, percent: u32, floor_per_s: u32) -> bool {
        let second = now_ms / 1000;
        // One second more than the window is long, and whatever threads with clocks ahead have counted.
        let retries = self
            .retries
            .sum(second.saturating_sub(WINDOW_S), u64::from(u32::MAX));
        let requests = self
            .requests
            .sum(second.saturating_sub(WINDOW_S - 1), second);
        let earned = requests * u64::from(percent) / 100;
        retries < earned + u64::from(floor_per_s) * WINDOW_S
    }
}

/// Counts by second. A word is the number of its second (high half) and the count (low half), so that counting is one
/// addition and an old count is never taken for a new one. Aligned so that requests do not write beside what others read.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Seconds([AtomicU64; SLOTS]);

impl Seconds {
    #[inline]
    fn add(&self, second: u64) {
        let second = second & u64::from(u32::MAX);
        let word = &self.0[second as usize % SLOTS];
        let mut seen = word.load(Relaxed);
        loop {
            let counted = seen >> 32;
            if counted == second {
                if seen as u32 != u32::MAX {
                    word.fetch_add(1, Relaxed);
                }
                return;
            }
            if counted > second {
                return;
            }
            match word.compare_exchange_weak(seen, second << 32 | 1, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    /// Counts from second `first` to `last`, both included.
    fn sum(&self, first: u64, last: u64) -> u64 {
        let words = self.0.iter().map(|word| word.load(Relaxed));
        words
            .filter(|word| (first..=last).contains(&(word >> 32)))
            .map(|word| word & u64::from(u32::MAX))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    use proptest::prelude::{any, prop, prop_assert, proptest};

    use super::*;

    fn granted(budget: &RetryBudget, tries: usize, now_ms: u64, percent: u32, floor: u32) -> usize {
        (0..tries)
            .filter(|_| budget.try_retry(now_ms, percent, floor))
            .count()
    }

    #[test]
    fn grants_by_table() {
        for (requests, percent, floor, expected) in [
            (0, 20, 0, 0),
            (0, 20, 1, 10),
            (4, 20, 0, 0),
            (5, 20, 0, 1),
            (1_000, 20, 0, 200),
            (1_000, 20, 3, 230),
            (1_000, 0, 0, 0),
            (10, 100, 0, 10),
        ] {
            let budget = RetryBudget::default();
            (0..requests).for_each(|_| budget.request(50_000));
            let all = granted(&budget, 2_000, 50_000, percent, floor);
            assert_eq!(all, expected, "{requests} {percent} {floor}");
            assert_eq!(budget.recent(50_999), (requests, expected as u64));
        }
    }

    #[test]
    fn requests_and_retries_are_forgotten() {
        let budget = RetryBudget::default();
        (0..100).for_each(|_| budget.request(0));
        assert_eq!(granted(&budget, 100, 9_999, 20, 0), 20);
        // The retries still count when the requests do not any more.
        assert_eq!(granted(&budget, 100, 10_000, 20, 0), 0);
        assert_eq!(granted(&budget, 100, 19_999, 20, 1), 0);
        assert_eq!(granted(&budget, 100, 20_000, 20, 1), 10);
        assert_eq!(budget.recent(20_000), (0, 10));
    }

    /// A retry of a thread whose clock is late counts from when it was granted.
    #[test]
    fn late_clocks_do_not_stretch_it() {
        let budget = RetryBudget::default();
        (0..10).for_each(|_| budget.request(9_000));
        assert_eq!(granted(&budget, 1, 10_020, 20, 0), 1);
        assert_eq!(granted(&budget, 2, 9_990, 20, 0), 1);
        (0..10).for_each(|_| budget.request(20_000));
        assert_eq!(granted(&budget, 1, 20_000, 20, 0), 0);
        assert_eq!(granted(&budget, 9, 21_000, 20, 0), 2);
    }

    /// What is left of the share by counting in whole seconds: with every request failing, 9/11 of it at the worst.
    #[test]
    fn a_steady_storm_gets_most_of_its_share() {
        let budget = RetryBudget::default();
        let mut retries = 0;
        for now_ms in (0..60_000).step_by(10) {
            budget.request(now_ms);
            retries += granted(&budget, 1, now_ms, 20, 0);
        }
        assert!((980..=1_200).contains(&retries), "{retries}");
    }

    proptest! {
        /// The bound, counted from a log of everything.
        #[test]
        fn never_more_than_the_share_and_the_floor(
            events in prop::collection::vec((any::<bool>(), 0usize..8), 0..2_000), percent in 0u32..=100, floor in 0u32..4,
        ) {
            let budget = RetryBudget::default();
            let (mut requests, mut retries) = (Vec::new(), Vec::new());
            // Clocks of two threads: one is late now and then.
            let (mut clock_ms, mut latest_ms) = (0u64, 0);
            for (is_request, step) in events {
                clock_ms += [0, 0, 0, 1, 30, 200, 999, 7_000][step];
                let now_ms = clock_ms.saturating_sub([0, 0, 40][step % 3]);
                if is_request {
                    budget.request(now_ms);
                    requests.push(now_ms);
                    continue;
                }
                if !budget.try_retry(now_ms, percent, floor) {
                    continue;
                }
                latest_ms = now_ms.max(latest_ms);
                retries.push(latest_ms);
                let within = |log: &[u64]| log.iter().filter(|at| **at + 10_000 > latest_ms).count() as u64;
                let earned = within(&requests) * u64::from(percent) / 100;
                prop_assert!(within(&retries) <= earned + u64::from(floor) * 10);
                let windows = latest_ms / 10_000 + 1;
                let earned = requests.len() as u64 * u64::from(percent) / 100;
                prop_assert!(retries.len() as u64 <= earned + u64::from(floor) * 10 * windows);
            }
        }
    }

    /// Eight threads take all there is at the same moment: exactly that, not one more.
    #[test]
    fn threads_share_exactly_what_there_is() {
        for round in 0..50 {
            let budget = RetryBudget::default();
            let barrier = Barrier::new(8);
            let taken = AtomicUsize::new(0);
            thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        (0..500).for_each(|_| budget.request(round * 777));
                        barrier.wait();
                        let mine = granted(&budget, 300, round * 777 + 2_000, 20, 1);
                        taken.fetch_add(mine, Relaxed);
                    });
                }
            });
            assert_eq!(taken.into_inner(), 810);
        }
    }

    /// Eight threads over a minute of changing seconds: the bound holds whenever a retry was granted.
    #[test]
    fn the_bound_holds_while_time_passes() {
        const STEPS: usize = 200;
        let budget = RetryBudget::default();
        let barrier = Barrier::new(8);
        let retries: Vec<_> = (0..STEPS).map(|_| AtomicUsize::new(0)).collect();
        let at_ms = |step: usize| step as u64 * 310;
        thread::scope(|scope| {
            for thread in 0..8 {
                let (budget, barrier, retries) = (&budget, &barrier, &retries);
                scope.spawn(move || {
                    for (step, retries) in retries.iter().enumerate() {
                        barrier.wait();
                        for i in 0..requests(step) {
                            budget.request(at_ms(step));
                            let mine = granted(budget, 1 + (thread + i) % 3, at_ms(step), 20, 1);
                            retries.fetch_add(mine, Relaxed);
                        }
                    }
                });
            }
        });
        /// Of one thread: bursts and quiet times.
        fn requests(step: usize) -> usize {
            if (step / 30).is_multiple_of(2) { 20 } else { 1 }
        }
        let mut most = 0;
        let granted = (0..STEPS).filter(|step| retries[*step].load(Relaxed) > 0);
        for step in granted {
            let window = (0..=step).filter(|s| at_ms(*s) + 10_000 > at_ms(step));
            let (requests, retries) = window.fold((0, 0), |(requests_so_far, sum), s| {
                let retries = retries[s].load(Relaxed);
                (requests_so_far + 8 * requests(s), sum + retries)
            });
            assert!(retries <= requests / 5 + 10, "{retries} of {requests}");
            most = most.max(retries);
        }
        assert!(most > 800, "{most}");
    }
}
