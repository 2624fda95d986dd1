//! What a limit says, resolved: every default filled in, nothing left to look up.

use std::sync::Arc;

use weir_config::{Duration, Rate, choice};

use crate::key::KeySpec;

/// A policy may have so many limits at once.
pub const MAX_TIERS: usize = 8;

/// No window is longer: a state keeps times as 32 bits of milliseconds before the last one.
pub const MAX_WINDOW_MS: u64 = 45 * 86_400_000;

/// No limit is higher.
pub const MAX_COUNT: u32 = 1_000_000_000;

/// No limit of a sliding log is higher: each request that counts is remembered.
pub const MAX_LOG: u32 = 4096;

/// Without another word, a log is kept while no limit is higher than this.
pub const SMALL: u32 = 60;

choice! {
    /// How requests are counted.
    pub enum Algorithm {
        /// Tokens come back evenly; as many as `burst` can be saved up, by default as many as the limit says. Allows up to twice the
        /// limit in one window, after a pause.
        TokenBucket = "token_bucket",
        /// One count, which begins anew with each window of the clock. Cheapest, but allows twice the limit around the
        /// moment when it does.
        FixedWindow = "fixed_window",
        /// Remembers when each request came: never more than the limit in any window, never fewer. Takes 4 bytes for each.
        SlidingLog = "sliding_log",
        /// Counts by twentieths of the window: never more than the limit in any window; of even traffic up to 5 % less.
        SlidingWindow = "sliding_window",
        /// Spaces requests evenly (GCRA, a leaky bucket): `10/s` is one each 100 ms. `burst` lets so many come at once.
        Smooth = "smooth",
    }
}

choice! {
    /// What happens to requests while the shared store cannot be asked.
    pub enum OnStoreError {
        /// Each Weir counts for itself.
        Local = "local",
        /// They pass.
        Open = "open",
        /// They are refused.
        Closed = "closed",
    }
}

choice! {
    /// Which header fields tell clients about their limits.
    pub enum FieldStyle {
        /// `RateLimit` and `RateLimit-Policy`.
        Standard = "standard",
        /// `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`.
        Legacy = "legacy",
        /// Both.
        Both = "both",
        /// None; a refusal still has `Retry-After`.
        Off = "off",
    }
}

choice! {
    /// What `X-RateLimit-Reset` says.
    pub enum ResetStyle {
        /// Seconds from now.
        Delta = "delta",
        /// The second, since 1970.
        Epoch = "epoch",
    }
}

/// One limit: so many in so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tier {
    /// How many, from 1 to [`MAX_COUNT`].
    pub count: u32,
    /// In how many milliseconds, from 1 to [`MAX_WINDOW_MS`].
    pub window_ms: u64,
    /// How many at once; only `token_bucket` and `smooth` look at it, and for the others it is `count`.
    pub burst: u32,
}

impl Tier {
    /// A limit whose burst is its count.
    pub const fn new(count: u32, window_ms: u64) -> Self {
        Self {
            count,
            window_ms,
            burst: count,
        }
    }

    /// As it is written in the config: `10/min`.
    pub fn rate(&self) -> Rate {
        Rate::new(u64::from(self.count), Duration::from_millis(self.window_ms))
    }
}

/// The limits that hold together for one key: without a plan, or of one plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// How requests are counted.
    pub algorithm: Algorithm,
    /// The limits, by window, shortest first. At most [`MAX_TIERS`]; none if any number may pass.
    pub tiers: Box<[Tier]>,
    /// How many requests may be in flight at once.
    pub concurrency: Option<u32>,
}

/// Where a limit is counted that several Weirs share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreUse {
    /// The name under `engines`.
    pub engine: Arc<str>,
    /// What if it cannot be asked.
    pub on_error: OnStoreError,
}

/// A `rate_limit`, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSpec {
    /// What clients see it called in header fields; may be empty.
    pub label: Arc<str>,
    /// What requests are counted by.
    pub key: KeySpec,
    /// Limits of those that have no plan, or none that is named here.
    pub quota: Quota,
    /// Limits by plan.
    pub plans: Box<[(Arc<str>, Quota)]>,
    /// How much a request counts.
    pub cost: u32,
    /// The shared store, if there is one.
    pub store: Option<StoreUse>,
    /// Header fields.
    pub headers: FieldStyle,
    /// For [`FieldStyle::Legacy`].
    pub reset: ResetStyle,
    /// How many keys are counted at once, for each plan; beyond that the one not seen for longest is forgotten.
    pub max_keys: usize,
    /// Whether those beyond the limit are only counted, not refused.
    pub dry_run: bool,
}

/// Which limits of a [`LimitSpec`] hold for a request: an index into its plans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Plan(u16);

impl Plan {
    /// Those without a plan.
    pub const NONE: Self = Self(0);

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

impl LimitSpec {
    /// Limits of this many for every address, with all defaults: a beginning for tests and tools.
    pub fn new(algorithm: Algorithm, tiers: &[Tier]) -> Self {
        Self {
            label: Arc::from(""),
            key: KeySpec::default(),
            quota: Quota {
                algorithm,
                tiers: tiers.into(),
                concurrency: None,
            },
            plans: Box::default(),
            cost: 1,
            store: None,
            headers: FieldStyle::Standard,
            reset: ResetStyle::Delta,
            max_keys: 1_000_000,
            dry_run: false,
        }
    }

    /// The plan of this name; [`Plan::NONE`] for no plan and for those that are not named here.
    pub fn plan(&self, name: Option<&str>) -> Plan {
        let at = name.and_then(|name| self.plans.iter().position(|(plan, _)| **plan == *name));
        Plan(at.map_or(0, |at| u16::try_from(at + 1).unwrap_or(0)))
    }

    /// The limits of a plan.
    pub fn quota(&self, plan: Plan) -> &Quota {
        match plan
            .index()
            .checked_sub(1)
            .and_then(|at| self.plans.get(at))
        {
            Some((_, quota)) => quota,
            None => &self.quota,
        }
    }

    /// The limits without a plan, then those of each plan: by [`Plan`].
    pub(crate) fn quotas(&self) -> impl Iterator<Item = &Quota> {
        std::iter::once(&self.quota).chain(self.plans.iter().map(|(_, quota)| quota))
    }
}
