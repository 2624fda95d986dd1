//! How long an endpoint takes to answer, as one number that fears the worst: Finagle's peak EWMA.
//!
//! A sample above the average replaces it at once, one below pulls it down slowly, and time alone pulls it down too: with a
//! time constant of 10 s, however many requests there are. So a slow endpoint is noticed with its first slow answer and
//! gets another chance after a while. The score is this cost, times the requests that would then be in flight, over the weight.
//!
//! Two things are added to the average, because least response time is known for them:
//! * An endpoint that **fails fast** looks fast. Failures are therefore not samples: they build up a penalty, which every
//!   success halves and time takes back within half a minute. One lost connection is forgotten with two answers; where
//!   everything fails, the penalty goes to a minute of latency, and a request comes by every several seconds.
//! * An endpoint that **nothing is known about** would get everything at once. It is the best one as long as nothing is in
//!   flight there and bad while something is: one probe, whose answer makes it one of many.
//!
//! All of it is one atomic word: the cost, the penalty, and the time of both.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Time constant of the average, in milliseconds.
const TAU_MS: f32 = 10_000.0;

/// What an endpoint that has an open probe, or whose first requests failed, is taken to cost: 10 s, in microseconds.
const UNKNOWN_US: f32 = 10_000_000.0;

/// Below this, in microseconds, a cost is as good as forgotten.
const FORGOTTEN_US: f32 = 0.01;

/// A failure makes a penalty this much worse. Penalty p doubles the cost p times and adds 4^p - 1 ms: a factor alone would be
/// nothing where the cost is next to nothing.
const FAILURE: u64 = 2;
/// The worst penalty.
const MOST_PENALTY: u64 = 8;
/// Every 2^12 ms, about 4 s, a penalty gets one better.
const PENALTY_SHIFT: u32 = 12;

/// Steps of the score for each microsecond.
const STEPS: f32 = 1024.0;

/// The peak EWMA of one endpoint's latency.
#[derive(Debug, Default)]
pub(crate) struct Ewma(AtomicU64);

/// What the word says. All bits zero: nothing is known.
#[derive(Debug, Clone, Copy)]
struct State {
    /// Microseconds; 0 when unknown.
    cost: f32,
    penalty: u64,
    /// Milliseconds, the lowest 27 bits.
    stamp: u64,
}

impl Ewma {
    /// An answer came after `latency_us`.
    #[inline]
    pub(crate) fn observe(&self, latency_us: u64, now_ms: u64) {
        let sample = (latency_us as f32).max(1.0);
        self.change(now_ms, |state, elapsed| {
            // Nothing that a reader could tell: many answers in one millisecond do not fight for the word.
            if elapsed == 0 && state.penalty == 0 && sample <= state.cost {
                return None;
            }
            let cost = if sample >= state.cost {
                sample
            } else {
                let keep = decay(state.unpunished(elapsed));
                state.cost * keep + sample * (1.0 - keep)
            };
            let penalty = state.aged_penalty(elapsed) / 2;
            Some((cost, penalty))
        });
    }

    /// A request failed in a way that says nothing about how fast the endpoint is.
    #[inline]
    pub(crate) fn fail(&self, now_ms: u64) {
        self.change(now_ms, |state, elapsed| {
            let penalty = (state.aged_penalty(elapsed) + FAILURE).min(MOST_PENALTY);
            Some((state.aged_cost(elapsed), penalty))
        });
    }

    /// What a request that goes here would cost, with `active` in flight before it; lower is better.
    #[inline]
    pub(crate) fn score(&self, active: u32, weight: u32, now_ms: u64) -> u64 {
        let state = State::unpack(self.0.load(Relaxed));
        let elapsed = state.elapsed(now_ms);
        let penalty = state.aged_penalty(elapsed);
        let mut cost = match state.aged_cost(elapsed) {
            0.0 if active == 0 && penalty == 0 => return 0,
            0.0 => UNKNOWN_US,
            cost => cost,
        };
        if penalty > 0 {
            cost = cost * (1u64 << penalty) as f32 + ((1u64 << (2 * penalty)) - 1) as f32 * 1_000.0;
        }
        (cost * (active as f32 + 1.0) * STEPS / weight.max(1) as f32) as u64
    }

    #[inline]
    fn change(&self, now_ms: u64, next: impl Fn(State, u64) -> Option<(f32, u64)>) {
        let mut word = self.0.load(Relaxed);
        loop {
            let state = State::unpack(word);
            let elapsed = state.elapsed(now_ms);
            let Some((cost, penalty)) = next(state, elapsed) else {
                return;
            };
            let next = State {
                cost,
                penalty,
                // Whoever is late does not set the clock back.
                stamp: (state.stamp + elapsed) & STAMP_MASK,
            };
            let next = if word == 0 { next.at(now_ms) } else { next };
            match self
                .0
                .compare_exchange_weak(word, next.pack(), Relaxed, Relaxed)
            {
                Ok(_) => return,
                Err(other) => word = other,
            }
        }
    }
}

const STAMP_BITS: u32 = 27;
const STAMP_MASK: u64 = (1 << STAMP_BITS) - 1;
/// A stamp up to this far in the future is another thread's, which read the clock a little later.
const AHEAD_MS: u64 = 1 << 16;

impl State {
    #[inline]
    fn unpack(word: u64) -> Self {
        Self {
            cost: f32::from_bits((word >> 32) as u32),
            penalty: word >> STAMP_BITS & 31,
            stamp: word & STAMP_MASK,
        }
    }

    #[inline]
    fn pack(self) -> u64 {
        u64::from(self.cost.to_bits()) << 32 | self.penalty << STAMP_BITS | self.stamp
    }

    #[inline]
    fn at(self, now_ms: u64) -> Self {
        Self {
            stamp: now_ms & STAMP_MASK,
            ..self
        }
    }

    /// Milliseconds since the stamp; 0 if it is ahead. The stamp goes round in 37 hours: what was idle for that long may
    /// keep its old cost for a few seconds more.
    #[inline]
    fn elapsed(self, now_ms: u64) -> u64 {
        let elapsed = now_ms.wrapping_sub(self.stamp) & STAMP_MASK;
        if elapsed > STAMP_MASK - AHEAD_MS {
            0
        } else {
            elapsed
        }
    }

    /// How much of the time since the stamp was without a penalty. Before that a cost does not fall, because nobody tried.
    #[inline]
    fn unpunished(self, elapsed: u64) -> u64 {
        elapsed.saturating_sub(self.penalty << PENALTY_SHIFT)
    }

    #[inline]
    fn aged_cost(self, elapsed: u64) -> f32 {
        let cost = self.cost * decay(self.unpunished(elapsed));
        if cost < FORGOTTEN_US { 0.0 } else { cost }
    }

    #[inline]
    fn aged_penalty(self, elapsed: u64) -> u64 {
        self.penalty.saturating_sub(elapsed >> PENALTY_SHIFT)
    }
}

/// e^(-elapsed / tau): powers of two by their exponent, what is between them by a polynomial (to one part in 10^4).
#[inline]
fn decay(elapsed: u64) -> f32 {
    if elapsed == 0 {
        return 1.0;
    }
    let halvings = elapsed as f32 * (std::f32::consts::LOG2_E / TAU_MS);
    if halvings >= 64.0 {
        return 0.0;
    }
    let whole = halvings as u32;
    let x = (halvings - whole as f32) * std::f32::consts::LN_2;
    let part = 1.0
        - x * (1.0
            - x * (0.5 - x * (1.0 / 6.0 - x * (1.0 / 24.0 - x * (1.0 / 120.0 - x / 720.0)))));
    part * f32::from_bits((127 - whole) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    /// The score of an idle endpoint of weight 1, in microseconds.
    fn cost(ewma: &Ewma, now_ms: u64) -> f64 {
        ewma.score(0, 1, now_ms) as f64 / f64::from(STEPS)
    }

    fn is_near(a: f64, b: f64) -> bool {
        (a - b).abs() <= b * 0.001 + 0.01
    }

    #[test]
    fn decay_is_the_exponential() {
        for elapsed in [
            0u64, 1, 2, 10, 100, 999, 5_000, 6_931, 6_932, 10_000, 60_000, 400_000,
        ] {
            let exact = (-(elapsed as f64) / 10_000.0).exp();
            let ours = f64::from(decay(elapsed));
            assert!(
                (ours - exact).abs() <= exact * 1e-4,
                "{elapsed}: {ours} {exact}"
            );
        }
        // Small steps matter most: their complement is what samples are weighted with.
        let complement = 1.0 - f64::from(decay(10));
        assert!((complement - 0.0009995).abs() < 0.00001, "{complement}");
        assert_eq!(decay(u64::MAX), 0.0);
    }

    #[test]
    fn peaks_at_once_and_forgets_slowly() {
        let ewma = Ewma::default();
        ewma.observe(1_000, 1_000);
        assert!(is_near(cost(&ewma, 1_000), 1_000.0));
        ewma.observe(50_000, 1_001);
        assert!(is_near(cost(&ewma, 1_001), 50_000.0));
        // After one time constant of fast answers 1/e of the difference is left; how many answers does not matter.
        for step in [10, 500] {
            let ewma = Ewma::default();
            ewma.observe(50_000, 0);
            (step..=10_000)
                .step_by(step as usize)
                .for_each(|now| ewma.observe(1_000, now));
            let expected = 1_000.0 + 49_000.0 / std::f64::consts::E;
            assert!(
                (cost(&ewma, 10_000) - expected).abs() < expected * 0.01,
                "{}",
                cost(&ewma, 10_000)
            );
        }
        // Without any the cost falls as well, until it is forgotten and the endpoint is tried again.
        assert!(is_near(cost(&ewma, 11_001), 50_000.0 / std::f64::consts::E));
        assert_eq!(ewma.score(0, 1, 300_000), 0);
    }

    #[test]
    fn score_counts_requests_and_weight() {
        let ewma = Ewma::default();
        ewma.observe(2_000, 5);
        let one = ewma.score(0, 1, 5);
        assert_eq!(ewma.score(3, 1, 5), one * 4);
        assert_eq!(ewma.score(3, 4, 5), one);
        assert_eq!(ewma.score(3, 0, 5), one * 4);
        assert!(ewma.score(u32::MAX, 1, 5) > one);
    }

    #[test]
    fn clocks_of_threads_may_differ() {
        let ewma = Ewma::default();
        ewma.observe(5_000, 1_000);
        ewma.observe(1_000, 990);
        assert!(is_near(cost(&ewma, 990), 5_000.0));
        ewma.observe(9_000, 980);
        assert!(is_near(cost(&ewma, 1_000), 9_000.0));
        // The stamp stays at 1,000.
        assert!(is_near(cost(&ewma, 11_000), 9_000.0 / std::f64::consts::E));
        // Readings so far ahead that the stamp went round, and the largest ones.
        for now in [1 << 27, u64::MAX, 0, u64::MAX - 1] {
            ewma.observe(u64::MAX, now);
            ewma.fail(now);
            ewma.score(u32::MAX, u32::MAX, now);
        }
    }

    #[test]
    fn one_failure_passes_and_many_add_up() {
        let ewma = Ewma::default();
        ewma.observe(1_000, 0);
        ewma.fail(0);
        assert!(is_near(cost(&ewma, 0), 4_000.0 + 15_000.0));
        ewma.observe(1_000, 1);
        ewma.observe(1_000, 2);
        assert!(is_near(cost(&ewma, 2), 1_000.0));
        for _ in 0..100 {
            ewma.fail(2);
        }
        // More than a minute, and nothing after half of one.
        assert!(is_near(cost(&ewma, 2), 256_000.0 + 65_535_000.0));
        assert!(is_near(cost(&ewma, 30_000), 2_000.0 + 3_000.0));
        assert!(is_near(cost(&ewma, 32_771), 1_000.0));
        // Or after four answers.
        (0..4).for_each(|_| ewma.observe(1_000, 3));
        assert!(is_near(cost(&ewma, 3), 1_000.0));
    }

    #[test]
    fn the_unknown_gets_one_probe() {
        let (new, slow) = (Ewma::default(), Ewma::default());
        slow.observe(500_000, 0);
        assert_eq!(new.score(0, 1, 0), 0);
        assert!(new.score(1, 1, 0) > slow.score(9, 1, 0));
        new.observe(1_000, 0);
        assert!(new.score(1, 1, 0) < slow.score(0, 1, 0));
        // One that failed at once has no cost, but is not unknown either: for a while.
        let broken = Ewma::default();
        broken.fail(0);
        assert!(broken.score(0, 1, 0) > slow.score(9, 1, 0));
        assert!(broken.score(0, 1, 8_000) > slow.score(9, 1, 8_000));
        assert_eq!(broken.score(0, 1, 8_200), 0);
    }

    /// What one endpoint of a simulated service does.
    #[derive(Clone, Copy)]
    struct Model {
        latency_us: u64,
        fails: bool,
    }

    /// Two endpoints are drawn for each request, and the better one takes it. Returns the requests that each one took.
    fn simulate(
        models: &[Model],
        known: usize,
        per_second: u64,
        seconds: u64,
        seed: u64,
    ) -> Vec<u64> {
        let mut rng = Rng::new(seed);
        let ewmas: Vec<Ewma> = models.iter().map(|_| Ewma::default()).collect();
        for (ewma, model) in ewmas.iter().zip(models).take(known) {
            ewma.observe(model.latency_us, 0);
        }
        let mut active = vec![0u32; models.len()];
        let mut taken = vec![0; models.len()];
        let mut open: std::collections::BTreeSet<(u64, u64, usize)> = Default::default();
        for request in 0..per_second * seconds {
            let now_us = request * 1_000_000 / per_second;
            while let Some((end, _, peer)) = open.first().copied().filter(|o| o.0 <= now_us) {
                open.pop_first();
                active[peer] -= 1;
                match models[peer].fails {
                    true => ewmas[peer].fail(end / 1_000),
                    // Half as long to half again as long.
                    false => ewmas[peer].observe(
                        models[peer].latency_us / 2
                            + u64::from(rng.below(models[peer].latency_us as u32)),
                        end / 1_000,
                    ),
                }
            }
            let first = rng.below(models.len() as u32) as usize;
            let second = (first + 1 + rng.below(models.len() as u32 - 1) as usize) % models.len();
            let score = |peer: usize| ewmas[peer].score(active[peer], 1, now_us / 1_000);
            let peer = if score(second) < score(first) {
                second
            } else {
                first
            };
            taken[peer] += 1;
            active[peer] += 1;
            open.insert((now_us + models[peer].latency_us, request, peer));
        }
        taken
    }

    #[test]
    fn failing_fast_attracts_nothing() {
        let mut models = [Model {
            latency_us: 10_000,
            fails: false,
        }; 10];
        models[3] = Model {
            latency_us: 100,
            fails: true,
        };
        let mut most = 0;
        for seed in 0..20 {
            for known in [0, 10] {
                let taken = simulate(&models, known, 1_000, 60, seed);
                most = most.max(taken[3]);
            }
        }
        println!("of 60,000 requests in 60 s at most {most} went to the one of ten that fails");
        assert!(most <= 30, "{most}");
    }

    #[test]
    fn a_new_endpoint_gets_a_probe_and_then_its_share() {
        let mut models = [Model {
            latency_us: 10_000,
            fails: false,
        }; 10];
        // It takes a second to answer at first: whatever came meanwhile would be a flood.
        models[9].latency_us = 900_000;
        for seed in 0..20 {
            let taken = simulate(&models, 9, 1_000, 1, seed);
            assert_eq!(taken[9], 1, "seed {seed}");
        }
        models[9].latency_us = 10_000;
        for seed in 0..20 {
            let taken = simulate(&models, 9, 1_000, 60, seed);
            assert!((3_000..9_000).contains(&taken[9]), "seed {seed}: {taken:?}");
        }
    }

    #[test]
    fn a_slow_endpoint_gets_little() {
        let mut models = [Model {
            latency_us: 10_000,
            fails: false,
        }; 10];
        models[0].latency_us = 100_000;
        for seed in 0..20 {
            let taken = simulate(&models, 0, 1_000, 60, seed);
            // A tenth of the requests would be its share in turn, a hundredth if it were worked to the full.
            assert!(taken[0] < 600, "seed {seed}: {taken:?}");
        }
    }
}
