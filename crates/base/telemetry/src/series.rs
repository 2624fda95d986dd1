//! One named thing's metrics: a set of cells per worker, made when a worker first needs it.
//!
//! A config may hold 10,000 routes of which most are quiet, on a machine with 64 cores. So a series
//! that nobody has used is a name and an empty slot; the first use makes a slot per worker, and
//! each worker's first use makes its cells, on that worker's thread, where its allocator and memory
//! are near.

use crate::histogram::{Histogram, Totals};
use crate::sets::{
    EndpointCells, ListenerCells, PolicyCells, RouteCells, ServiceCells, WorkerCells,
};
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// A listener's metrics.
pub type ListenerMetrics = Series<ListenerCells>;
/// A route's metrics.
pub type RouteMetrics = Series<RouteCells>;
/// A service's metrics.
pub type ServiceMetrics = Series<ServiceCells>;
/// A policy's metrics.
pub type PolicyMetrics = Series<PolicyCells>;
/// The workers' own metrics.
pub type WorkerMetrics = Series<WorkerCells>;

type Slots<C> = Box<[OnceLock<Box<C>>]>;

/// One set of cells per worker.
pub struct Series<C> {
    slots: OnceLock<Slots<C>>,
    workers: u32,
}

impl<C: Default> Series<C> {
    pub(crate) const fn new(workers: u32) -> Self {
        Self {
            slots: OnceLock::new(),
            workers,
        }
    }

    /// The cells of one worker, which alone may write them.
    ///
    /// # Panics
    /// When `worker` is not below the number of workers that the registry was made for.
    #[inline]
    pub fn on(&self, worker: usize) -> &C {
        self.slots
            .get_or_init(|| (0..self.workers).map(|_| OnceLock::new()).collect())[worker]
            .get_or_init(Box::default)
    }
}

impl<C> Series<C> {
    /// The cells that exist, with their worker.
    pub(crate) fn cells(&self) -> impl Iterator<Item = (usize, &C)> {
        self.slots
            .get()
            .into_iter()
            .flatten()
            .enumerate()
            .filter_map(|(worker, slot)| Some((worker, &**slot.get()?)))
    }

    pub(crate) fn is_used(&self) -> bool {
        self.slots.get().is_some()
    }

    pub(crate) fn sum(&self, read: impl Fn(&C) -> u64) -> u64 {
        self.cells()
            .fold(0, |sum, (_, cells)| sum.wrapping_add(read(cells)))
    }

    pub(crate) fn level(&self, read: impl Fn(&C) -> i64) -> i64 {
        self.cells()
            .fold(0, |sum, (_, cells)| sum.wrapping_add(read(cells)))
    }

    pub(crate) fn totals(&self, read: impl Fn(&C) -> &Histogram) -> Totals {
        let mut totals = Totals::new();
        for (_, cells) in self.cells() {
            totals.add(read(cells));
        }
        totals
    }
}

impl<C> fmt::Debug for Series<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Series")
            .field("workers", &self.workers)
            .field("used_by", &self.cells().count())
            .finish()
    }
}

const HEALTH_UNKNOWN: u8 = 2;

/// An endpoint's metrics: cells per worker, and its health, which is not any worker's.
#[derive(Debug)]
pub struct EndpointMetrics {
    series: Series<EndpointCells>,
    health: AtomicU8,
}

impl EndpointMetrics {
    pub(crate) const fn new(workers: u32) -> Self {
        Self {
            series: Series::new(workers),
            health: AtomicU8::new(HEALTH_UNKNOWN),
        }
    }

    /// The cells of one worker, which alone may write them.
    ///
    /// # Panics
    /// When `worker` is not below the number of workers that the registry was made for.
    #[inline]
    pub fn on(&self, worker: usize) -> &EndpointCells {
        self.series.on(worker)
    }

    /// Says what health checks found last. Any thread may call this.
    pub fn set_healthy(&self, healthy: bool) {
        self.health.store(u8::from(healthy), Relaxed);
    }

    /// What health checks found last, if anything.
    pub(crate) fn health(&self) -> Option<bool> {
        match self.health.load(Relaxed) {
            HEALTH_UNKNOWN => None,
            health => Some(health == 1),
        }
    }

    pub(crate) const fn series(&self) -> &Series<EndpointCells> {
        &self.series
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn an_unused_series_is_small() {
        // With the two counts of its Arc; the name and the index entry come on top.
        assert!(size_of::<RouteMetrics>() + 16 <= 64);
        assert!(size_of::<EndpointMetrics>() + 16 <= 64);
    }

    #[test]
    fn cells_exist_only_where_used() {
        let series = RouteMetrics::new(8);
        assert!(!series.is_used());
        assert_eq!(series.cells().count(), 0);
        series.on(3).requests.count(200);
        assert!(series.is_used());
        assert_eq!(
            series.cells().map(|(worker, _)| worker).collect::<Vec<_>>(),
            [3]
        );
    }

    #[test]
    fn workers_write_at_once_and_the_sum_is_exact() {
        let series = Arc::new(RouteMetrics::new(4));
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let series = &series;
                scope.spawn(move || {
                    for i in 0..50_000 {
                        series
                            .on(worker)
                            .requests
                            .count(if i % 5 == 0 { 503 } else { 200 });
                    }
                });
            }
            for _ in 0..100 {
                assert!(series.sum(|cells| cells.requests.value(1)) <= 160_000);
            }
        });
        assert_eq!(series.sum(|cells| cells.requests.value(1)), 160_000);
        assert_eq!(series.sum(|cells| cells.requests.value(4)), 40_000);
    }

    #[test]
    fn health_is_unknown_until_told() {
        let endpoint = EndpointMetrics::new(1);
        assert_eq!(endpoint.health(), None);
        endpoint.set_healthy(false);
        assert_eq!(endpoint.health(), Some(false));
        endpoint.set_healthy(true);
        assert_eq!(endpoint.health(), Some(true));
    }
}
