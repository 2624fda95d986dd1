//! Names to series.
//!
//! A plan asks for its series by name while it is compiled, and holds them. The registry itself
//! holds them only weakly: a reload that keeps a name finds the same series, because the old plan
//! still holds it, so counts go on; a name that vanished leaves the exposition when the last plan,
//! exchange or tunnel that counts on it is gone, and a plan that failed to compile leaves nothing
//! behind. There is no moment of commit to get wrong, and no count is lost while something drains.
//!
//! Label values come from the config, so their number is bounded by it; endpoints also come from
//! DNS, so theirs has a cap, beyond which all further endpoints of a service share one series named
//! `other`.

use crate::levels::{Levels, ServiceLevel};
use crate::series::{
    EndpointMetrics, ListenerMetrics, PolicyMetrics, RouteMetrics, Series, ServiceMetrics,
    WorkerMetrics,
};
use crate::writer::LogStats;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// All metrics of one Weir. Clones are handles to the same registry. Not for the hot path: look
/// series up once, hold them.
#[derive(Clone, Debug)]
pub struct Registry(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    workers: u32,
    max_endpoints: usize,
    names: Mutex<Names>,
    worker: WorkerMetrics,
    levels: Levels,
    generation: AtomicU64,
    reloads: AtomicU64,
    failed_reloads: AtomicU64,
}

/// Service and endpoint.
pub(crate) type EndpointKey = (Arc<str>, Arc<str>);

/// Everything that is looked up by name.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) listeners: Directory<Arc<str>, ListenerMetrics>,
    pub(crate) routes: Directory<Arc<str>, RouteMetrics>,
    pub(crate) services: Directory<Arc<str>, ServiceMetrics>,
    /// By service and endpoint.
    pub(crate) endpoints: Directory<EndpointKey, EndpointMetrics>,
    /// By service: what is beyond the cap.
    pub(crate) other_endpoints: Directory<Arc<str>, EndpointMetrics>,
    /// By kind and name.
    pub(crate) policies: Directory<(&'static str, Arc<str>), PolicyMetrics>,
    pub(crate) logs: Vec<(&'static str, Arc<LogStats>)>,
}

impl Registry {
    /// The name of the route that counts requests which no route matched.
    pub const UNROUTED: &str = "-";

    /// A registry for worker ids below `workers`, with at most `max_endpoints` endpoints that have
    /// series of their own.
    pub fn new(workers: usize, max_endpoints: usize) -> Self {
        let workers = u32::try_from(workers).unwrap_or(u32::MAX);
        Self(Arc::new(Shared {
            workers,
            max_endpoints,
            names: Mutex::default(),
            worker: Series::new(workers),
            levels: Levels::default(),
            generation: AtomicU64::new(0),
            reloads: AtomicU64::new(0),
            failed_reloads: AtomicU64::new(0),
        }))
    }

    /// The metrics of the listener of this name.
    pub fn listener(&self, name: &str) -> Arc<ListenerMetrics> {
        let workers = self.0.workers;
        self.names()
            .listeners
            .find_or_add(name.into(), || Series::new(workers))
    }

    /// The metrics of the route of this name.
    pub fn route(&self, name: &str) -> Arc<RouteMetrics> {
        let workers = self.0.workers;
        self.names()
            .routes
            .find_or_add(name.into(), || Series::new(workers))
    }

    /// The metrics of the service of this name.
    pub fn service(&self, name: &str) -> Arc<ServiceMetrics> {
        let workers = self.0.workers;
        self.names()
            .services
            .find_or_add(name.into(), || Series::new(workers))
    }

    /// The metrics of the policy of this name, which is of this kind: `rate_limit`, `firewall` and so on.
    pub fn policy(&self, kind: &'static str, name: &str) -> Arc<PolicyMetrics> {
        let workers = self.0.workers;
        self.names()
            .policies
            .find_or_add((kind, name.into()), || Series::new(workers))
    }

    /// The metrics of an endpoint, or those of the service's `other` endpoints when there are too
    /// many.
    pub fn endpoint(&self, service: &str, endpoint: &str) -> Arc<EndpointMetrics> {
        let workers = self.0.workers;
        let service: Arc<str> = service.into();
        let key = (Arc::clone(&service), endpoint.into());
        let names = &mut *self.names();
        if let Some(known) = names.endpoints.find(&key) {
            return known;
        }
        if names.endpoints.is_below(self.0.max_endpoints) {
            names
                .endpoints
                .find_or_add(key, || EndpointMetrics::new(workers))
        } else {
            names
                .other_endpoints
                .find_or_add(service, || EndpointMetrics::new(workers))
        }
    }

    /// The workers' own metrics.
    pub fn workers(&self) -> &WorkerMetrics {
        &self.0.worker
    }

    /// Says how much of something a service has now, or one of its endpoints; `endpoint` is empty for the service. Any
    /// thread may call this; it takes a lock.
    pub fn set_level(&self, level: ServiceLevel, service: &Arc<str>, endpoint: &str, value: u64) {
        self.0.levels.set(level, service, endpoint, value);
    }

    pub(crate) fn levels(&self) -> &Levels {
        &self.0.levels
    }

    /// Shows a log's statistics under this name.
    pub fn add_log(&self, name: &'static str, stats: Arc<LogStats>) {
        self.names().logs.push((name, stats));
    }

    /// Says which plan serves now.
    pub fn set_generation(&self, generation: u64) {
        self.0.generation.store(generation, Relaxed);
    }

    /// Counts a reload, which took effect or did not.
    pub fn count_reload(&self, success: bool) {
        let counter = if success {
            &self.0.reloads
        } else {
            &self.0.failed_reloads
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn generation(&self) -> u64 {
        self.0.generation.load(Relaxed)
    }

    /// Reloads that took effect, and those that did not.
    pub(crate) fn reloads(&self) -> (u64, u64) {
        (
            self.0.reloads.load(Relaxed),
            self.0.failed_reloads.load(Relaxed),
        )
    }

    pub(crate) fn names(&self) -> MutexGuard<'_, Names> {
        self.0.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Weakly held values by key.
#[derive(Debug)]
pub(crate) struct Directory<K, T> {
    entries: BTreeMap<K, Weak<T>>,
    /// Dead entries are swept when there are this many, so names that come and go cannot pile up.
    sweep_at: usize,
}

impl<K, T> Default for Directory<K, T> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            sweep_at: 64,
        }
    }
}

impl<K: Ord + Clone, T> Directory<K, T> {
    fn find(&self, key: &K) -> Option<Arc<T>> {
        self.entries.get(key).and_then(Weak::upgrade)
    }

    fn find_or_add(&mut self, key: K, make: impl FnOnce() -> T) -> Arc<T> {
        if let Some(known) = self.find(&key) {
            return known;
        }
        if self.entries.len() >= self.sweep_at {
            self.sweep();
        }
        let made = Arc::new(make());
        self.entries.insert(key, Arc::downgrade(&made));
        made
    }

    fn is_below(&mut self, limit: usize) -> bool {
        self.entries.len() < limit || {
            self.sweep();
            self.entries.len() < limit
        }
    }

    fn sweep(&mut self) {
        self.entries.retain(|_, value| value.strong_count() > 0);
        self.sweep_at = 64 + 2 * self.entries.len();
    }

    /// What is alive, by key.
    pub(crate) fn alive(&self) -> Vec<(K, Arc<T>)> {
        self.entries
            .iter()
            .filter_map(|(key, value)| Some((key.clone(), value.upgrade()?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_that_keeps_a_name_keeps_the_counts() {
        let registry = Registry::new(2, 10);
        let old_plan = registry.route("a");
        old_plan.on(0).requests.count(200);
        let new_plan = registry.route("a");
        drop(old_plan);
        assert!(Arc::ptr_eq(&new_plan, &registry.route("a")));
        assert_eq!(new_plan.sum(|cells| cells.requests.value(1)), 1);
    }

    #[test]
    fn a_vanished_name_leaves_with_its_last_holder() {
        let registry = Registry::new(2, 10);
        let plan = registry.service("a");
        let tunnel = Arc::clone(&plan);
        drop(plan);
        assert_eq!(registry.names().services.alive().len(), 1);
        tunnel.on(1).retries.inc();
        drop(tunnel);
        assert!(registry.names().services.alive().is_empty());
        assert!(!registry.service("a").is_used());
    }

    #[test]
    fn kinds_do_not_share_names() {
        let registry = Registry::new(1, 10);
        let (listener, route) = (registry.listener("a"), registry.route("a"));
        listener.on(0).requests.inc();
        assert!(!route.is_used());
    }

    #[test]
    fn endpoints_beyond_the_cap_share_a_series_per_service() {
        let registry = Registry::new(1, 2);
        let first = registry.endpoint("s", "10.0.0.1:80");
        let _second = registry.endpoint("s", "10.0.0.2:80");
        let third = registry.endpoint("s", "10.0.0.3:80");
        assert!(Arc::ptr_eq(&third, &registry.endpoint("s", "10.0.0.4:80")));
        assert!(!Arc::ptr_eq(&third, &registry.endpoint("t", "10.0.0.3:80")));
        assert!(Arc::ptr_eq(&first, &registry.endpoint("s", "10.0.0.1:80")));
        drop(first);
        let fifth = registry.endpoint("s", "10.0.0.5:80");
        assert!(!Arc::ptr_eq(&third, &fifth), "a place came free");
    }

    #[test]
    fn names_that_come_and_go_do_not_pile_up() {
        let registry = Registry::new(1, 10);
        for i in 0..10_000 {
            registry.route(&format!("route {i}"));
        }
        assert!(registry.names().routes.entries.len() <= 64);
    }
}
