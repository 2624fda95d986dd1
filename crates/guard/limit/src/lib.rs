//! How much may pass: rate limits and concurrency limits by key, on this machine or shared over Redis.
//!
//! A [`RateLimitConfig`] is what the user wrote, a [`LimitSpec`] what it means, and a [`Limiter`] counts. [`Limiters`] keeps the
//! limiters of a Weir over reloads. The core has no clock, no sockets and no randomness: times are milliseconds that the caller
//! read from a clock that only grows, and the [`Seed`] of keys is an argument. What needs a network is in [`store`].
//!
//! ```
//! use weir_limit::{Algorithm, Key, LimitSpec, Limiters, Plan, Seed, Tier};
//!
//! let limiters = Limiters::new(Seed::new(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834));
//! let mut next = limiters.prepare();
//! let spec = LimitSpec::new(Algorithm::SlidingLog, &[Tier::new(1, 1_000), Tier::new(2, 10_000)]);
//! let limiter = next.limiter("per_ip", spec);
//! limiters.commit(next);
//!
//! let key = Key::new(0x1234);
//! assert!(limiter.check(key, Plan::NONE, 1, 0).allowed);
//! let refused = limiter.check(key, Plan::NONE, 1, 400);
//! assert_eq!((refused.allowed, refused.retry_after_ms), (false, 600));
//! assert!(limiter.check(key, Plan::NONE, 1, 1_000).allowed);
//! assert_eq!(limiter.check(key, Plan::NONE, 1, 2_000).retry_after_ms, 8_000);
//! ```

mod algorithm;
mod config;
pub mod fields;
mod holds;
mod key;
mod limiter;
mod registry;
mod spec;
pub mod store;
mod table;
mod verdict;

pub use crate::config::{KeyWord, PlanConfig, RateLimitConfig};
pub use crate::holds::Held;
pub use crate::key::{Caller, Key, KeyBuilder, KeyPart, KeySpec, Seed};
pub use crate::limiter::{Ask, Limiter, check_together};
pub use crate::registry::{Limiters, Prepared};
pub use crate::spec::{
    Algorithm, FieldStyle, LimitSpec, MAX_COUNT, MAX_LOG, MAX_TIERS, MAX_WINDOW_MS, OnStoreError,
    Plan, Quota, ResetStyle, SMALL, StoreUse, Tier,
};
pub use crate::table::Stats;
pub use crate::verdict::Verdict;
