//! Circuit breakers: what fails too often, or answers too slowly, is left alone for a while.
//!
//! The machine is resilience4j's: **closed**, it watches the results of a sliding window; when at least `min_requests` are
//! in it and the share of failures (or of slow answers) reaches its threshold, it **opens** and refuses everything. After
//! `open_for`, the next request makes it **half-open**: exactly `probes` requests may pass, and once all of them have
//! reported, the same thresholds decide between closing and opening again.
//!
//! What is different, because of what went wrong elsewhere:
//! - Probes that never report do not hold it half-open for ever. A permit comes back when its attempt is cancelled, and when
//!   all permits are out and nothing was heard for `probe_timeout`, those still out are given to others.
//! - A client that sends its request slowly says nothing about the service: while probes wait for clients, another request a
//!   second may be one beyond `probes`, so nobody can hold all places by sending nothing.
//! - At the end of the open time one request makes it half-open, however many threads see that the time has come; the state
//!   is one word, so each transition has one winner, and there is no moment at which more than `probes` wait for an answer
//!   that nobody held up.
//! - Results of an earlier state are ignored: a [`Token`] says which state admitted the request.
//! - It opens only on a bad result. resilience4j also does when a good one completes `min_requests`.
//! - It decides on *at least* the threshold, in whole numbers, without rounding.
//!
//! Closed, admission is one load and a result one atomic addition; only a bad result reads the window.

mod machine;
#[cfg(test)]
mod model;
mod spec;
mod stalled;
#[cfg(test)]
mod tests;
mod window;
mod word;

pub use machine::{Breaker, BreakerState, Change, Refused, Token};
pub use spec::BreakerSpec;
pub use window::Results;
