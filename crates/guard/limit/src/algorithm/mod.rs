//! The algorithms: what is kept for a key, and what it says about a request.
//!
//! Each is a row of numbers made once from the limits, and a few functions over the state of a key, which is a slice of 32-bit
//! words: `at`, the last time that something was counted (milliseconds, in two words), and then whatever the algorithm
//! keeps. All zero is a key that was never seen. A state says what happened up to `at`; what has passed since is worked out
//! anew each time, so that a refusal writes nothing at all.
//!
//! All tiers are looked at before any is written. Time never runs backwards for a key: workers read their clocks before they
//! get the lock, so who comes later may say an earlier time, and then counts as if at `at`.

mod bucket;
mod fixed_window;
mod past;
mod sliding_log;
mod sliding_window;
#[cfg(test)]
mod tests;

use bucket::Bucket;
use fixed_window::FixedWindow;
use sliding_log::SlidingLog;
use sliding_window::SlidingWindow;

use crate::spec::{Algorithm, MAX_LOG, Quota};
use crate::verdict::Verdict;

/// Words before what an algorithm keeps: `at`.
const HEAD: usize = 2;

/// The limits of one key, compiled.
#[derive(Clone, Debug)]
pub(crate) enum Rules {
    Bucket(Bucket),
    FixedWindow(FixedWindow),
    SlidingLog(SlidingLog),
    SlidingWindow(SlidingWindow),
}

impl Rules {
    pub(crate) fn new(quota: &Quota) -> Self {
        match quota.algorithm {
            Algorithm::TokenBucket | Algorithm::Smooth => Self::Bucket(Bucket::new(&quota.tiers)),
            Algorithm::FixedWindow => Self::FixedWindow(FixedWindow::new(&quota.tiers)),
            Algorithm::SlidingLog if quota.tiers.iter().all(|tier| tier.count <= MAX_LOG) => {
                Self::SlidingLog(SlidingLog::new(&quota.tiers))
            }
            // A log of more would have no bound worth the name.
            Algorithm::SlidingLog | Algorithm::SlidingWindow => {
                Self::SlidingWindow(SlidingWindow::new(&quota.tiers))
            }
        }
    }

    /// How many words the state of a key has.
    pub(crate) fn words(&self) -> usize {
        HEAD + match self {
            Self::Bucket(rules) => rules.words(),
            Self::FixedWindow(rules) => rules.words(),
            Self::SlidingLog(rules) => rules.words(),
            Self::SlidingWindow(rules) => rules.words(),
        }
    }

    /// After so long without a request that was counted, a state is as good as none.
    pub(crate) fn idle_after_ms(&self) -> u64 {
        match self {
            Self::Bucket(rules) => rules.idle_after_ms(),
            Self::FixedWindow(rules) => rules.idle_after_ms(),
            Self::SlidingLog(rules) => rules.idle_after_ms(),
            Self::SlidingWindow(rules) => rules.idle_after_ms(),
        }
    }

    /// Asks a state about a request of this cost, and counts it if it may pass; `always` if somebody else has let it pass.
    #[inline]
    pub(crate) fn ask(&self, state: &mut [u32], cost: u32, now_ms: u64, always: bool) -> Verdict {
        let Some(mut state) = State::of(state) else {
            return Verdict::UNLIMITED;
        };
        let behind = state.at().saturating_sub(now_ms);
        let now_ms = now_ms + behind;
        let verdict = match self {
            Self::Bucket(rules) => rules.ask(&mut state, cost, now_ms, always),
            Self::FixedWindow(rules) => rules.ask(&mut state, cost, now_ms, always),
            Self::SlidingLog(rules) => rules.ask(&mut state, cost, now_ms, always),
            Self::SlidingWindow(rules) => rules.ask(&mut state, cost, now_ms, always),
        };
        verdict.after(behind)
    }

    /// Takes back a request of this cost that was counted at `at_ms`. What has changed too much since stays as it is.
    pub(crate) fn give_back(&self, state: &mut [u32], cost: u32, at_ms: u64) {
        let Some(mut state) = State::of(state) else {
            return;
        };
        match self {
            Self::Bucket(rules) => rules.give_back(&mut state, cost, at_ms),
            Self::FixedWindow(rules) => rules.give_back(&mut state, cost, at_ms),
            Self::SlidingLog(rules) => rules.give_back(&mut state, cost, at_ms),
            Self::SlidingWindow(rules) => rules.give_back(&mut state, cost, at_ms),
        }
    }

    /// Fills a fresh state from that of the same key under other limits, as far as it says something about these.
    pub(crate) fn carry(&self, state: &mut [u32], before: &Self, old: &[u32]) {
        let mut old: Box<[u32]> = old.into();
        let (Some(mut state), Some(old)) = (State::of(state), State::of(&mut old)) else {
            return;
        };
        let at = old.at();
        let past = match before {
            Self::Bucket(before) => {
                if let Self::Bucket(rules) = self {
                    return rules.carry(&mut state, before, &old);
                }
                before.past(&old)
            }
            Self::FixedWindow(before) => before.past(&old, matches!(self, Self::Bucket(_))),
            Self::SlidingLog(before) => before.past(&old),
            Self::SlidingWindow(before) => before.past(&old),
        };
        match self {
            Self::Bucket(rules) => rules.resume(&mut state, &past, at),
            Self::FixedWindow(rules) => rules.resume(&mut state, &past, at),
            Self::SlidingLog(rules) => rules.resume(&mut state, &past, at),
            Self::SlidingWindow(rules) => rules.resume(&mut state, &past, at),
        }
    }
}

/// When something was last counted for a state of [`Rules::words`] words.
pub(crate) fn last_counted(state: &[u32]) -> u64 {
    match state {
        [low, high, ..] => u64::from(*low) | u64::from(*high) << 32,
        _ => 0,
    }
}

/// The state of one key.
struct State<'s> {
    at: &'s mut [u32; HEAD],
    words: &'s mut [u32],
}

impl<'s> State<'s> {
    #[inline]
    fn of(words: &'s mut [u32]) -> Option<Self> {
        let (at, words) = words.split_first_chunk_mut()?;
        Some(Self { at, words })
    }

    #[inline]
    fn at(&self) -> u64 {
        u64::from(self.at[0]) | u64::from(self.at[1]) << 32
    }

    #[inline]
    fn set_at(&mut self, at: u64) {
        *self.at = [at as u32, (at >> 32) as u32];
    }
}

/// What the tiers say, gathered into one verdict.
struct Gathered(Option<Verdict>);

impl Gathered {
    const fn new() -> Self {
        Self(None)
    }

    #[inline]
    fn add(&mut self, verdict: Verdict) {
        match &self.0 {
            Some(tightest) if !verdict.is_tighter_than(tightest) => {}
            _ => self.0 = Some(verdict),
        }
    }

    #[inline]
    fn verdict(self) -> Verdict {
        self.0.unwrap_or(Verdict::UNLIMITED)
    }
}
