//! The machine against one that is written without a thought for other threads.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::{any, prop, proptest};

use super::{Breaker, BreakerSpec, BreakerState, Results, Token};
use crate::rng::Rng;

const MS: fn(u64) -> Duration = Duration::from_millis;

/// The machine as one would write it without other threads: a log instead of counters, and sets of tokens.
struct Model {
    spec: BreakerSpec,
    state: State,
    /// Begins with every state, and when probes are given up: tokens of others are void.
    era: u32,
}

enum State {
    Closed(Vec<(u64, bool, bool)>),
    Open {
        until_ms: u64,
    },
    HalfOpen {
        out: BTreeSet<u32>,
        done: Vec<(bool, bool)>,
        last_ms: u64,
        stalled: BTreeSet<u32>,
    },
}

/// The model's token.
#[derive(Clone, Copy)]
struct Ticket {
    era: u32,
    id: u32,
}

impl Model {
    fn new(spec: BreakerSpec) -> Self {
        let state = State::Closed(Vec::new());
        Self {
            spec,
            state,
            era: 0,
        }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.era += 1;
    }

    /// The ticket, and if it was the one that made the machine half-open.
    fn admit(&mut self, id: u32, now_ms: u64) -> Result<(Ticket, bool), u64> {
        let timeout_ms = self.spec.probe_timeout.as_millis() as u64;
        let mut first = false;
        if let State::Open { until_ms } = self.state {
            if now_ms < until_ms {
                return Err(until_ms - now_ms);
            }
            first = true;
            self.enter(State::HalfOpen {
                out: BTreeSet::new(),
                done: Vec::new(),
                last_ms: now_ms,
                stalled: BTreeSet::new(),
            });
        }
        if let State::HalfOpen {
            out,
            done,
            last_ms,
            stalled,
        } = &mut self.state
        {
            let taken = out.len() + done.len();
            let probes = self.spec.probes as usize;
            let extra = taken < probes + stalled.len() && now_ms >= *last_ms + 1_000;
            if taken >= probes && !extra {
                if now_ms < *last_ms + timeout_ms {
                    return Err((*last_ms + timeout_ms - now_ms).min(1_000));
                }
                out.clear();
                stalled.clear();
                self.era += 1;
            }
            out.insert(id);
            *last_ms = now_ms;
        }
        Ok((Ticket { era: self.era, id }, first))
    }

    fn record(
        &mut self,
        ticket: Ticket,
        failed: bool,
        slow: bool,
        now_ms: u64,
    ) -> Option<BreakerState> {
        if ticket.era != self.era {
            return None;
        }
        match &mut self.state {
            State::Closed(log) => {
                log.push((now_ms, failed, slow));
                let results = self.results(now_ms);
                let enough = results.requests >= self.spec.min_requests.into();
                if !(failed || slow) || !enough || !self.reached(results) {
                    return None;
                }
            }
            State::Open { .. } => panic!("an open machine admits nobody"),
            State::HalfOpen {
                out, done, stalled, ..
            } => {
                stalled.remove(&ticket.id);
                assert!(out.remove(&ticket.id));
                done.push((failed, slow));
                if done.len() < self.spec.probes as usize {
                    return None;
                }
                let results = self.results(now_ms);
                if !self.reached(results) {
                    self.enter(State::Closed(Vec::new()));
                    return Some(BreakerState::Closed);
                }
            }
        }
        let until_ms = now_ms + self.spec.open_for.as_millis() as u64;
        self.enter(State::Open { until_ms });
        Some(BreakerState::Open)
    }

    fn cancel(&mut self, ticket: Ticket) {
        if let State::HalfOpen { out, stalled, .. } = &mut self.state
            && ticket.era == self.era
        {
            out.remove(&ticket.id);
            stalled.remove(&ticket.id);
        }
    }

    fn stall(&mut self, ticket: Ticket, stalls: bool) {
        if let State::HalfOpen { stalled, .. } = &mut self.state
            && ticket.era == self.era
        {
            match stalls {
                true => stalled.insert(ticket.id),
                false => stalled.remove(&ticket.id),
            };
        }
    }

    fn reached(&self, results: Results) -> bool {
        let share = |part: u64| part as f64 / results.requests as f64 * 100.0 + 1e-9;
        share(results.failures) >= f64::from(self.spec.failure_rate)
            || self
                .spec
                .slow_rate
                .is_some_and(|rate| share(results.slow) >= f64::from(rate))
    }

    fn results(&self, now_ms: u64) -> Results {
        let bucket_ms = self.spec.window.as_millis() as u64 / 10;
        let all: Vec<_> = match &self.state {
            State::Closed(log) => log
                .iter()
                .filter(|(at_ms, ..)| at_ms / bucket_ms + 10 > now_ms / bucket_ms)
                .map(|&(_, failed, slow)| (failed, slow))
                .collect(),
            State::Open { .. } => Vec::new(),
            State::HalfOpen { done, .. } => done.clone(),
        };
        Results {
            requests: all.len() as u64,
            failures: all.iter().filter(|(failed, _)| *failed).count() as u64,
            slow: all.iter().filter(|(_, slow)| *slow).count() as u64,
        }
    }

    fn state(&self, now_ms: u64) -> BreakerState {
        match self.state {
            State::Closed(_) => BreakerState::Closed,
            State::Open { until_ms } if now_ms < until_ms => BreakerState::Open,
            _ => BreakerState::HalfOpen,
        }
    }
}

/// Both machines, and the tokens that are out.
struct Pair {
    breaker: Breaker,
    model: Model,
    out: Vec<(Token, Ticket)>,
    ids: u32,
    now_ms: u64,
    changes: u32,
}

impl Pair {
    fn new(spec: BreakerSpec) -> Self {
        Self {
            breaker: Breaker::new(spec.clone()),
            model: Model::new(spec),
            out: Vec::new(),
            ids: 0,
            now_ms: 0,
            changes: 0,
        }
    }

    /// One step, chosen by `dice`: admit, report, cancel, lose, stall, or let time pass. All that can be seen must agree.
    fn step(&mut self, dice: u64) {
        let (what, which, how) = (dice % 16, dice >> 8 & 0xffff, dice >> 32);
        let taken = (!self.out.is_empty()).then(|| which as usize % self.out.len().max(1));
        match (what, taken) {
            (0..=6, _) => self.admit(),
            (7..=11, Some(i)) => {
                // Good and bad times follow each other.
                let bad = if (self.now_ms / 3_000).is_multiple_of(2) {
                    8
                } else {
                    2
                };
                self.report(i, how % 10 < bad, how / 10 % 10 < bad / 2);
            }
            (12, Some(i)) => {
                let (token, ticket) = self.out.swap_remove(i);
                self.breaker.cancel(token);
                self.model.cancel(ticket);
            }
            (13, Some(i)) => drop(self.out.swap_remove(i)),
            (14, Some(i)) => {
                let (token, ticket) = &mut self.out[i];
                self.breaker.stall(token, how % 2 == 0);
                self.model.stall(*ticket, how % 2 == 0);
            }
            _ => self.now_ms += [1, 10, 99, 100, 350, 1_000, 2_000, 5_000][how as usize % 8],
        }
        let now_ms = self.now_ms;
        assert_eq!(self.breaker.state(now_ms), self.model.state(now_ms));
        assert_eq!(self.breaker.results(now_ms), self.model.results(now_ms));
    }

    fn admit(&mut self) {
        self.ids += 1;
        let (real, model) = (
            self.breaker.admit(self.now_ms),
            self.model.admit(self.ids, self.now_ms),
        );
        match (real, model) {
            (Ok(token), Ok((ticket, first))) => {
                assert_eq!(token.change(self.now_ms).is_some(), first);
                self.out.push((token, ticket));
                self.changes += u32::from(first);
            }
            (Err(refused), Err(wait_ms)) => assert_eq!(refused.retry_after_ms, wait_ms),
            (real, model) => panic!("{real:?} but {:?}", model.map(|(_, first)| first)),
        }
        // Bounded, so that long runs stay quick: the oldest are lost.
        if self.out.len() > 64 {
            drop(self.out.remove(0));
        }
    }

    fn report(&mut self, i: usize, failed: bool, slow: bool) {
        let (token, ticket) = self.out.swap_remove(i);
        let change = self.breaker.record(token, failed, slow, self.now_ms);
        let expected = self.model.record(ticket, failed, slow, self.now_ms);
        assert_eq!(change.map(|c| c.to), expected);
        self.changes += u32::from(change.is_some());
    }

    /// From here on all goes well: it must close. At worst it is half-open with probes lost and permits left. Those are
    /// used up (one a time, where some stalled), then the lost ones are given up, then failures from before open it once more.
    fn must_close(mut self) {
        self.out.clear();
        let spec = &self.model.spec;
        let wait = spec.open_for.max(spec.probe_timeout).max(MS(1_000));
        for _ in 0..3 + spec.probes {
            self.now_ms += wait.as_millis() as u64;
            while self.breaker.state(self.now_ms) == BreakerState::HalfOpen {
                self.admit();
                if self.out.is_empty() {
                    break;
                }
                self.report(0, false, false);
            }
        }
        assert_eq!(self.breaker.state(self.now_ms), BreakerState::Closed);
    }
}

fn random_spec(rng: &mut Rng) -> BreakerSpec {
    BreakerSpec {
        failure_rate: 1 + rng.below(100),
        slow_rate: (rng.below(3) > 0).then(|| 1 + rng.below(100)),
        window: MS([100, 1_000, 10_000][rng.below(3) as usize]),
        min_requests: 1 + rng.below(10),
        open_for: MS([1, 500, 5_000][rng.below(3) as usize]),
        probes: 1 + rng.below(8),
        probe_timeout: MS([1, 2_000, 10_000][rng.below(3) as usize]),
    }
}

/// 1,200,000 random steps over 2,000 random machines.
#[test]
fn agrees_with_the_model() {
    let mut changes = 0;
    for seed in 0..2_000 {
        let mut rng = Rng::new(seed);
        let mut pair = Pair::new(random_spec(&mut rng));
        for _ in 0..600 {
            pair.step(rng.next_u64());
        }
        changes += pair.changes;
        pair.must_close();
    }
    assert!(changes > 20_000, "only {changes} transitions");
}

proptest! {
    /// The same, so that a counterexample becomes small.
    #[test]
    fn agrees_with_the_model_in_every_order(seed in any::<u64>(), dice in prop::collection::vec(any::<u64>(), 0..300)) {
        let mut pair = Pair::new(random_spec(&mut Rng::new(seed)));
        for dice in dice {
            pair.step(dice);
        }
        pair.must_close();
    }
}
