//! The state machine: one word that every transition replaces at once.

use std::fmt;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};

use super::spec::{BreakerSpec, Limits};
use super::stalled::Stalled;
use super::window::{Results, Window};
use super::word::{Phase, Probes, Word};

/// How long one that came while all probes were out should wait: probes mostly answer soon.
const PROBING_MS: u64 = 1_000;
/// How long after the latest probe another one may come in for one that waits for its client.
const STALLED_MS: u64 = 1_000;
/// What the machine's word has room for.
const MOST_ADMITTED: u64 = 0x3ff;

/// A circuit breaker, shared by all workers.
#[derive(Debug)]
pub struct Breaker {
    /// A [`Word`]. Read by every request, written by transitions and probes only.
    word: AtomicU64,
    /// When the latest probe was admitted.
    admitted_ms: AtomicU64,
    stalled: Stalled,
    limits: Limits,
    window: Window,
}

/// The right to send one request; its result, or word that there is none, is owed to the breaker that gave it.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a probe that neither reports nor is cancelled holds its permit until it times out"]
pub struct Token {
    generation: u32,
    kind: Kind,
    /// Does it count among the stalled?
    stalled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ordinary,
    Probe,
    /// The one that made it half-open.
    FirstProbe,
}

/// The breaker is open, or half-open with all probes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// When it is worth trying again: at least 1.
    pub retry_after_ms: u64,
}

/// What a breaker does with requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Admits all of them.
    Closed,
    /// Refuses all of them.
    Open,
    /// Admits a few of them, whose results decide.
    HalfOpen,
}

/// A transition. Exactly one caller hears of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// What it was.
    pub from: BreakerState,
    /// What it is now.
    pub to: BreakerState,
    /// By what it was decided; nothing for the end of the open time.
    pub results: Results,
    /// When, in the caller's milliseconds.
    pub at_ms: u64,
}

impl Breaker {
    /// A closed breaker that has seen nothing.
    pub fn new(spec: BreakerSpec) -> Self {
        let limits = Limits::from(&spec);
        Self {
            word: AtomicU64::new(Word::default().0),
            admitted_ms: AtomicU64::new(0),
            stalled: Stalled::default(),
            limits,
            window: Window::new(limits.bucket_ms),
        }
    }

    /// May a request be sent? Then [`Self::record`] or [`Self::cancel`] takes the token back.
    ///
    /// # Errors
    /// It may not: when to try again.
    #[inline]
    pub fn admit(&self, now_ms: u64) -> Result<Token, Refused> {
        let word = Word(self.word.load(Acquire));
        match word.phase() {
            Phase::Closed => Ok(token(word, Kind::Ordinary)),
            _ => self.admit_probe(word, now_ms),
        }
    }

    #[cold]
    fn admit_probe(&self, mut word: Word, now_ms: u64) -> Result<Token, Refused> {
        loop {
            let (next, kind) = match word.phase() {
                Phase::Closed => return Ok(token(word, Kind::Ordinary)),
                Phase::Open { until_ms } if now_ms < until_ms => {
                    let retry_after_ms = until_ms - now_ms;
                    return Err(Refused { retry_after_ms });
                }
                Phase::Open { .. } => (word.next().half_open(Probes::FIRST), Kind::FirstProbe),
                Phase::HalfOpen(probes) if self.has_place(word, probes, now_ms) => {
                    let admitted = probes.admitted + 1;
                    (word.half_open(Probes { admitted, ..probes }), Kind::Probe)
                }
                Phase::HalfOpen(probes) => {
                    let lost_ms = self
                        .admitted_ms
                        .load(Relaxed)
                        .saturating_add(self.limits.probe_timeout_ms);
                    if now_ms < lost_ms {
                        let retry_after_ms = (lost_ms - now_ms).min(PROBING_MS);
                        return Err(Refused { retry_after_ms });
                    }
                    // Those still out are lost. In a new generation, should one of them report after all, it is ignored.
                    let admitted = probes.done + 1;
                    let probes = Probes { admitted, ..probes };
                    (word.next().half_open(probes), Kind::Probe)
                }
            };
            // First, so that nobody sees the permit taken and thinks that its time is long over.
            self.admitted_ms.fetch_max(now_ms, Relaxed);
            match self.replace(word, next) {
                Ok(()) => return Ok(token(next, kind)),
                Err(other) => word = other,
            }
        }
    }

    /// Is there a place for one more probe?
    fn has_place(&self, word: Word, probes: Probes, now_ms: u64) -> bool {
        if probes.admitted < self.limits.probes {
            return true;
        }
        let places = self.limits.probes + self.stalled.of(word.generation());
        probes.admitted < places.min(MOST_ADMITTED)
            && now_ms >= self.admitted_ms.load(Relaxed).saturating_add(STALLED_MS)
    }

    /// The request of this token waits for its client now, or no longer does.
    ///
    /// The service is not to blame for that, so the place of a probe is not held by it for long. Its result still counts.
    pub fn stall(&self, token: &mut Token, stalls: bool) {
        if token.kind == Kind::Ordinary || token.stalled == stalls {
            return;
        }
        token.stalled = stalls;
        if Word(self.word.load(Acquire)).generation() == token.generation {
            self.stalled.count(token.generation, stalls);
        }
    }

    /// Would a request be refused now? For choosing among several: only [`Self::admit`] gives the right to send one.
    #[inline]
    pub fn is_refusing(&self, now_ms: u64) -> bool {
        let word = Word(self.word.load(Acquire));
        match word.phase() {
            Phase::Closed => false,
            Phase::Open { until_ms } => now_ms < until_ms,
            Phase::HalfOpen(probes) => {
                let admitted_ms = self.admitted_ms.load(Relaxed);
                let lost_ms = admitted_ms.saturating_add(self.limits.probe_timeout_ms);
                !self.has_place(word, probes, now_ms) && now_ms < lost_ms
            }
        }
    }

    /// How an admitted request ended. Says if that changed the state.
    #[inline]
    pub fn record(
        &self,
        mut token: Token,
        failed: bool,
        slow: bool,
        now_ms: u64,
    ) -> Option<Change> {
        self.stall(&mut token, false);
        let word = Word(self.word.load(Acquire));
        if word.generation() != token.generation {
            return None;
        }
        if token.kind != Kind::Ordinary {
            return self.record_probe(word, failed, slow, now_ms);
        }
        self.window.add(failed, slow, now_ms);
        if failed || slow {
            return self.judge(word, now_ms);
        }
        None
    }

    /// Opens, if the window says so.
    #[cold]
    fn judge(&self, word: Word, now_ms: u64) -> Option<Change> {
        let results = self.window.results(now_ms);
        if results.requests < self.limits.min_requests || !self.limits.reached(results) {
            return None;
        }
        self.replace(word, self.opened(word, now_ms)).ok()?;
        Some(Change {
            from: BreakerState::Closed,
            to: BreakerState::Open,
            results,
            at_ms: now_ms,
        })
    }

    #[cold]
    fn record_probe(
        &self,
        mut word: Word,
        failed: bool,
        slow: bool,
        now_ms: u64,
    ) -> Option<Change> {
        let generation = word.generation();
        loop {
            let Phase::HalfOpen(probes) = word.phase() else {
                return None;
            };
            let probes = Probes {
                done: probes.done + 1,
                failed: probes.failed + u64::from(failed),
                slow: probes.slow + u64::from(slow),
                ..probes
            };
            let results = probes.results();
            let next = if probes.done < self.limits.probes {
                word.half_open(probes)
            } else if self.limits.reached(results) {
                self.opened(word, now_ms)
            } else {
                // Before anybody is let in: nothing of the old failures may be in the window then.
                self.window.clear();
                word.next()
            };
            match self.replace(word, next) {
                Ok(()) => {
                    let to = next.phase().state();
                    return (to != BreakerState::HalfOpen).then_some(Change {
                        from: BreakerState::HalfOpen,
                        to,
                        results,
                        at_ms: now_ms,
                    });
                }
                Err(other) if other.generation() != generation => return None,
                Err(other) => word = other,
            }
        }
    }

    /// The request ended without a result: nobody waited for it, or it was never sent. Gives a probe's permit back.
    #[inline]
    pub fn cancel(&self, mut token: Token) {
        if token.kind != Kind::Ordinary {
            self.stall(&mut token, false);
            self.cancel_probe(&token);
        }
    }

    #[cold]
    fn cancel_probe(&self, token: &Token) {
        let mut word = Word(self.word.load(Acquire));
        while word.generation() == token.generation
            && let Phase::HalfOpen(probes) = word.phase()
        {
            let admitted = probes.admitted.saturating_sub(1);
            match self.replace(word, word.half_open(Probes { admitted, ..probes })) {
                Ok(()) => return,
                Err(other) => word = other,
            }
        }
    }

    /// What it does with requests now. When the open time is over it is half-open, even before a request came to find out.
    pub fn state(&self, now_ms: u64) -> BreakerState {
        match Word(self.word.load(Acquire)).phase() {
            Phase::Open { until_ms } if until_ms <= now_ms => BreakerState::HalfOpen,
            phase => phase.state(),
        }
    }

    /// By what it will be decided next: the window, or the probes that have reported. Nothing while it is open.
    pub fn results(&self, now_ms: u64) -> Results {
        match Word(self.word.load(Acquire)).phase() {
            Phase::Closed => self.window.results(now_ms),
            Phase::Open { .. } => Results::default(),
            Phase::HalfOpen(probes) => probes.results(),
        }
    }

    fn opened(&self, word: Word, now_ms: u64) -> Word {
        word.next().open(now_ms.saturating_add(self.limits.open_ms))
    }

    fn replace(&self, old: Word, new: Word) -> Result<(), Word> {
        let replaced = self.word.compare_exchange(old.0, new.0, AcqRel, Acquire);
        replaced.map(drop).map_err(Word)
    }
}

impl Token {
    /// The transition that this admission was, if it was the one that made the breaker half-open.
    pub fn change(&self, now_ms: u64) -> Option<Change> {
        (self.kind == Kind::FirstProbe).then_some(Change {
            from: BreakerState::Open,
            to: BreakerState::HalfOpen,
            results: Results::default(),
            at_ms: now_ms,
        })
    }

    /// Is the request a probe?
    pub fn is_probe(&self) -> bool {
        self.kind != Kind::Ordinary
    }
}

impl BreakerState {
    /// The word that logs, metrics and the admin API use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

impl fmt::Display for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn token(word: Word, kind: Kind) -> Token {
    Token {
        generation: word.generation(),
        kind,
        stalled: false,
    }
}

/// Why, for logs: `12 of 20 requests failed, 3 were slow`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Results {
            requests,
            failures,
            slow,
        } = self.results;
        match self.from {
            BreakerState::Open => f.write_str("its time is over"),
            BreakerState::Closed => {
                write!(
                    f,
                    "{failures} of {requests} requests failed, {slow} were slow"
                )
            }
            BreakerState::HalfOpen => {
                write!(
                    f,
                    "{failures} of {requests} probes failed, {slow} were slow"
                )
            }
        }
    }
}
