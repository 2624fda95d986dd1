//! The whole state of a breaker in 64 bits: two of phase, 20 of generation, 42 of what the phase knows.
//!
//! Every transition begins a generation, and so does giving up probes. A token would be taken for one of another
//! generation only if its request took as long as a million transitions.

use super::machine::BreakerState;
use super::window::Results;

/// See the module. The default is closed, in generation 0.
#[derive(Clone, Copy, Default)]
pub(super) struct Word(pub(super) u64);

/// A phase and what it knows.
#[derive(Clone, Copy)]
pub(super) enum Phase {
    Closed,
    Open { until_ms: u64 },
    HalfOpen(Probes),
}

/// Ten bits each.
#[derive(Clone, Copy)]
pub(super) struct Probes {
    /// Permits that were taken and not given back.
    pub(super) admitted: u64,
    /// Those of them whose result is known.
    pub(super) done: u64,
    pub(super) failed: u64,
    pub(super) slow: u64,
}

const GENERATION_BITS: u32 = 20;
const GENERATION_MASK: u64 = (1 << GENERATION_BITS) - 1;
/// Enough for milliseconds since 1970 until the year 2109, should the caller's clock count those.
const KNOWN_BITS: u32 = 42;
const KNOWN_MASK: u64 = (1 << KNOWN_BITS) - 1;
const CLOSED: u64 = 0;
const OPEN: u64 = 1;
const HALF_OPEN: u64 = 2;

impl Word {
    /// Closed, in the next generation.
    pub(super) fn next(self) -> Self {
        let generation = (u64::from(self.generation()) + 1) & GENERATION_MASK;
        Self(generation << KNOWN_BITS).with(CLOSED, 0)
    }

    /// Open, in the same generation.
    pub(super) fn open(self, until_ms: u64) -> Self {
        self.with(OPEN, until_ms.min(KNOWN_MASK))
    }

    /// Half-open, in the same generation.
    pub(super) fn half_open(self, probes: Probes) -> Self {
        let Probes {
            admitted,
            done,
            failed,
            slow,
        } = probes;
        self.with(HALF_OPEN, admitted << 30 | done << 20 | failed << 10 | slow)
    }

    #[inline]
    pub(super) fn generation(self) -> u32 {
        (self.0 >> KNOWN_BITS & GENERATION_MASK) as u32
    }

    #[inline]
    pub(super) fn phase(self) -> Phase {
        let known = self.0 & KNOWN_MASK;
        match self.0 >> (KNOWN_BITS + GENERATION_BITS) {
            OPEN => Phase::Open { until_ms: known },
            HALF_OPEN => Phase::HalfOpen(Probes {
                admitted: known >> 30 & 0x3ff,
                done: known >> 20 & 0x3ff,
                failed: known >> 10 & 0x3ff,
                slow: known & 0x3ff,
            }),
            _ => Phase::Closed,
        }
    }

    fn with(self, phase: u64, known: u64) -> Self {
        let generation = u64::from(self.generation()) << KNOWN_BITS;
        Self(phase << (KNOWN_BITS + GENERATION_BITS) | generation | known)
    }
}

impl Phase {
    pub(super) fn state(self) -> BreakerState {
        match self {
            Self::Closed => BreakerState::Closed,
            Self::Open { .. } => BreakerState::Open,
            Self::HalfOpen(_) => BreakerState::HalfOpen,
        }
    }
}

impl Probes {
    /// The first permit, taken by the request that makes a breaker half-open.
    pub(super) const FIRST: Self = Self {
        admitted: 1,
        done: 0,
        failed: 0,
        slow: 0,
    };

    pub(super) fn results(self) -> Results {
        Results {
            requests: self.done,
            failures: self.failed,
            slow: self.slow,
        }
    }
}
