//! What a limit says about one request.

/// Whether a request may pass, and what is left.
///
/// It speaks of one tier: of those that refuse, the one that will do so for longest; if none does, the one with the least left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it may pass. If not, it was not counted in any tier.
    pub allowed: bool,
    /// Which tier this is about, as an index into [`Quota::tiers`](crate::Quota::tiers).
    pub tier: u8,
    /// How much may still pass now, after this request.
    pub remaining: u32,
    /// In how many milliseconds there will be more left than now; 0 if nothing is used.
    pub reset_ms: u64,
    /// In how many milliseconds this request would pass if no other does; 0 if it passed. Never less than `reset_ms`
    /// otherwise.
    pub retry_after_ms: u64,
}

impl Verdict {
    /// What is said where there is no limit.
    pub const UNLIMITED: Self = Self {
        allowed: true,
        tier: 0,
        remaining: u32::MAX,
        reset_ms: 0,
        retry_after_ms: 0,
    };

    /// The same, said so many milliseconds earlier.
    #[inline]
    pub(crate) const fn after(mut self, ms: u64) -> Self {
        if self.reset_ms > 0 {
            self.reset_ms += ms;
        }
        if !self.allowed {
            self.retry_after_ms += ms;
        }
        self
    }

    /// Whether this is the one to tell of two verdicts: the refusal, the longer one; or else the one with less left.
    pub fn is_tighter_than(&self, other: &Self) -> bool {
        let rank = |verdict: &Self| {
            (
                verdict.allowed,
                std::cmp::Reverse(verdict.retry_after_ms),
                verdict.remaining,
                std::cmp::Reverse(verdict.reset_ms),
            )
        };
        rank(self) < rank(other)
    }
}
