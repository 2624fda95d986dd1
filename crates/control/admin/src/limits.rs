//! Bounds on what the admin API takes on.

use std::time::Duration;

/// Bounds on what [`serve`](crate::serve) takes on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once. One more displaces the one that has asked nothing for the longest time; only if all are
    /// being answered does it wait. One client that is not on this machine gets half of them.
    pub connections: usize,
    /// Bytes of a head.
    pub head: usize,
    /// Bytes of a body. No request of this API needs one.
    pub body: u64,
    /// How long a head may take, and how long a connection may be idle.
    pub head_timeout: Duration,
    /// How long a connection takes requests.
    pub lifetime: Duration,
    /// How long a connection beyond its lifetime, or beyond the end of the server, has to finish its last answer.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            head: 16 << 10,
            body: 4 << 10,
            head_timeout: Duration::from_secs(5),
            lifetime: Duration::from_secs(30),
            grace: Duration::from_secs(5),
        }
    }
}
