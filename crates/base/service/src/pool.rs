//! Idle upstream connections of one worker to one service.
//!
//! Generic and pure: what a connection is, and how it is closed, is the caller's business, and time is passed in. The
//! newest connection is taken first, so that those a service no longer needs grow old and go. Everything is bounded:
//! connections per endpoint, in all, and their age.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::endpoint::EndpointId;

/// The bounds of an [`IdlePool`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdleLimits {
    /// Most idle connections to one endpoint; 0 keeps none.
    pub per_endpoint: usize,
    /// Most idle connections in all.
    pub total: usize,
    /// How long one may stay idle.
    pub idle_timeout: Duration,
}

/// Idle connections by endpoint.
#[derive(Debug)]
pub struct IdlePool<C> {
    limits: IdleLimits,
    /// Oldest in front.
    idle: HashMap<EndpointId, VecDeque<Idle<C>>, RandomState>,
    len: usize,
}

#[derive(Debug)]
struct Idle<C> {
    connection: C,
    expires_ms: u64,
}

impl<C> IdlePool<C> {
    /// An empty pool.
    pub fn new(limits: IdleLimits) -> Self {
        Self {
            limits,
            idle: HashMap::default(),
            len: 0,
        }
    }

    /// Keeps a connection for later. Gives back the one that has to go for it, if the pool is full: the endpoint's oldest,
    /// or this one when only other endpoints have any.
    pub fn put(&mut self, endpoint: EndpointId, connection: C, now_ms: u64) -> Option<C> {
        if self.limits.per_endpoint == 0 {
            return Some(connection);
        }
        let queue = self.idle.entry(endpoint).or_default();
        let mut displaced = None;
        if queue.len() >= self.limits.per_endpoint || self.len >= self.limits.total {
            let Some(oldest) = queue.pop_front() else {
                return Some(connection);
            };
            displaced = Some(oldest.connection);
            self.len -= 1;
        }
        let timeout_ms = u64::try_from(self.limits.idle_timeout.as_millis()).unwrap_or(u64::MAX);
        queue.push_back(Idle {
            connection,
            expires_ms: now_ms.saturating_add(timeout_ms),
        });
        self.len += 1;
        displaced
    }

    /// Takes the connection that was used last. Those that were idle for too long are dropped, never returned.
    pub fn take(&mut self, endpoint: EndpointId, now_ms: u64) -> Option<C> {
        let queue = self.idle.get_mut(&endpoint)?;
        let newest = queue.pop_back()?;
        self.len -= 1;
        if newest.expires_ms > now_ms {
            return Some(newest.connection);
        }
        // The others are older still.
        self.len -= queue.len();
        queue.clear();
        None
    }

    /// Drops what was idle for too long, and says how many that were. To be called now and then, as often as a connection
    /// may outlive its timeout.
    pub fn evict(&mut self, now_ms: u64) -> usize {
        let before = self.len;
        let len = &mut self.len;
        self.idle.retain(|_, queue| {
            while queue
                .front()
                .is_some_and(|oldest| oldest.expires_ms <= now_ms)
            {
                queue.pop_front();
                *len -= 1;
            }
            !queue.is_empty()
        });
        before - self.len
    }

    /// Drops all connections to an endpoint, and says how many that were.
    pub fn remove_endpoint(&mut self, endpoint: EndpointId) -> usize {
        let removed = self.idle.remove(&endpoint).map_or(0, |queue| queue.len());
        self.len -= removed;
        removed
    }

    /// Drops the connections to endpoints that `keep` does not want, and says how many that were.
    pub fn retain_endpoints(&mut self, mut keep: impl FnMut(EndpointId) -> bool) -> usize {
        let before = self.len;
        let len = &mut self.len;
        self.idle.retain(|endpoint, queue| {
            let keep = keep(*endpoint);
            if !keep {
                *len -= queue.len();
            }
            keep
        });
        before - self.len
    }

    /// Changes the bounds. Connections above them stay until they are used or too old; new ones obey.
    pub fn set_limits(&mut self, limits: IdleLimits) {
        self.limits = limits;
    }

    /// Idle connections to one endpoint.
    pub fn idle(&self, endpoint: EndpointId) -> usize {
        self.idle.get(&endpoint).map_or(0, VecDeque::len)
    }

    /// Idle connections in all.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Endpoint;
    use proptest::prelude::*;

    fn ids(n: usize) -> Vec<EndpointId> {
        (0..n)
            .map(|_| Endpoint::new(([127, 0, 0, 1], 1).into(), "").id())
            .collect()
    }

    fn pool(per_endpoint: usize, total: usize) -> IdlePool<u32> {
        IdlePool::new(IdleLimits {
            per_endpoint,
            total,
            idle_timeout: Duration::from_millis(100),
        })
    }

    #[test]
    fn newest_first_and_oldest_out() {
        let (mut pool, id) = (pool(2, 10), ids(1)[0]);
        assert_eq!(pool.put(id, 1, 0), None);
        assert_eq!(pool.put(id, 2, 0), None);
        assert_eq!(pool.put(id, 3, 0), Some(1));
        assert_eq!(pool.idle(id), 2);
        assert_eq!(
            (pool.take(id, 1), pool.take(id, 1), pool.take(id, 1)),
            (Some(3), Some(2), None)
        );
        assert!(pool.is_empty());
    }

    #[test]
    fn nothing_too_old_is_returned() {
        let (mut pool, id) = (pool(4, 10), ids(1)[0]);
        pool.put(id, 1, 0);
        pool.put(id, 2, 60);
        assert_eq!(pool.take(id, 159), Some(2));
        assert_eq!(pool.take(id, 159), None);
        assert_eq!(pool.len(), 0);
        pool.put(id, 3, 200);
        assert_eq!((pool.evict(299), pool.evict(300)), (0, 1));
    }

    #[test]
    fn bounds_hold() {
        let ids = ids(3);
        let mut full = pool(2, 3);
        assert_eq!(full.put(ids[0], 1, 0), None);
        assert_eq!(full.put(ids[0], 2, 0), None);
        assert_eq!(full.put(ids[1], 3, 0), None);
        assert_eq!(full.put(ids[2], 4, 0), Some(4), "full of others");
        assert_eq!(full.put(ids[1], 5, 0), Some(3), "makes its own room");
        assert_eq!(full.remove_endpoint(ids[0]), 2);
        assert_eq!(full.retain_endpoints(|id| id != ids[1]), 1);
        assert!(full.is_empty());
        assert_eq!(pool(0, 3).put(ids[0], 1, 0), Some(1), "0 keeps none");
    }

    proptest! {
        /// Against a plain list of (endpoint, connection, put at).
        #[test]
        fn agrees_with_a_list(ops in prop::collection::vec((0u8..4, 0usize..3, 0u64..60), 0..200)) {
            let ids = ids(3);
            let mut pool = pool(3, 5);
            let mut model: Vec<(usize, u32, u64)> = Vec::new();
            let (mut now, mut next) = (0, 0);
            for (op, endpoint, later) in ops {
                now += later;
                match op {
                    0 | 1 => {
                        next += 1;
                        let mut expected = None;
                        let own = model.iter().filter(|c| c.0 == endpoint).count();
                        if own >= 3 || model.len() >= 5 {
                            let oldest = model.iter().position(|c| c.0 == endpoint);
                            expected = Some(oldest.map_or(next, |i| model.remove(i).1));
                        }
                        if expected != Some(next) {
                            model.push((endpoint, next, now));
                        }
                        prop_assert_eq!(pool.put(ids[endpoint], next, now), expected);
                    }
                    2 => {
                        let newest = model.iter().rposition(|c| c.0 == endpoint);
                        let expected = newest.map(|i| model.remove(i)).filter(|c| c.2 + 100 > now).map(|c| c.1);
                        if expected.is_none() {
                            model.retain(|c| c.0 != endpoint);
                        }
                        prop_assert_eq!(pool.take(ids[endpoint], now), expected);
                    }
                    _ => {
                        let before = model.len();
                        model.retain(|c| c.2 + 100 > now);
                        prop_assert_eq!(pool.evict(now), before - model.len());
                    }
                }
                prop_assert_eq!(pool.len(), model.len());
            }
        }
    }
}
