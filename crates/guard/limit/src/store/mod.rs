//! Limits that several Weirs share, counted in Redis.
//!
//! A [`Store`] is a Redis or a Redis Cluster with a thread of its own, which owns the connections. Workers reach it over
//! a bounded channel and wait for the answer until a deadline of a few milliseconds, which they keep themselves. A
//! [`SharedLimiter`] asks the store and writes along in the [`Limiter`](crate::Limiter) of this Weir, which decides when the
//! store cannot. [`check_together`] asks all that one request is to pass, in one script call where it can, and counts it in
//! all or in none. [`Engines`] keeps stores over reloads.
//!
//! Nothing here may cost requests more than that deadline, whatever happens to the store:
//!
//! | the store | what requests notice |
//! |---|---|
//! | answers late | each waits for the deadline; after a few in a row the breaker opens, and none does |
//! | is killed | those under way fail at once; the next connection is refused, and the breaker opens |
//! | hangs | as if it answered late; what it finds in its socket when it goes on is too late and counts nothing |
//! | went away without a word | nothing, if it is found out between requests: every server is tried all five seconds |
//! | answers nonsense, or endlessly | those under way fail, and the connection ends: each answer has a bound |
//! | lost its scripts | one more round trip |
//! | has more questions than may be under way | those beyond fail at once |
//! | is a Cluster that lost a server | the keys of that server only |
//! | is back | nothing: a task finds out by itself, and closes the breaker once a whole check was answered |

mod alone;
mod breaker;
mod call;
mod clock;
mod cluster;
mod config;
mod connection;
mod denials;
mod engines;
mod error;
#[cfg(test)]
mod exact;
mod frames;
mod handle;
mod hub;
mod question;
mod quota;
mod server;
mod shared;
mod slot;
mod tls;
mod together;
mod url;

pub use self::config::{EngineBreakerConfig, EngineConfig, EngineSystem};
pub use self::engines::Engines;
pub use self::error::StoreError;
pub use self::handle::{Store, StoreServer, StoreStats};
pub use self::quota::SharedQuota;
pub use self::shared::SharedLimiter;
pub use self::together::{Counted, Decision, SharedAsk, check_together, take_back};
pub use self::url::RedisUrl;
