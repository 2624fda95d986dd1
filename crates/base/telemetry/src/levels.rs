//! What control measures now and then, rather than workers as it happens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A measurement of a service, or of one of its endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServiceLevel {
    /// Requests in flight.
    InFlight,
    /// Requests that wait in line.
    Pending,
    /// How many requests may be in flight.
    Limit,
    /// The circuit breaker: 0 closed, 1 half-open, 2 open.
    Breaker,
    /// Whether an endpoint is ejected: 0 or 1.
    EndpointEjected,
    /// The circuit breaker of an endpoint.
    EndpointBreaker,
}

/// By level, service, and endpoint; the endpoint is empty for a service as a whole.
type Key = (ServiceLevel, Arc<str>, Arc<str>);

/// More are not kept; the status of each endpoint is still in the admin API.
const MOST: usize = 20_000;

/// All levels.
#[derive(Debug, Default)]
pub(crate) struct Levels(Mutex<BTreeMap<Key, u64>>);

impl Levels {
    pub(crate) fn set(&self, level: ServiceLevel, service: &Arc<str>, endpoint: &str, value: u64) {
        let mut levels = self.lock();
        let key = (level, Arc::clone(service), Arc::from(endpoint));
        if levels.len() < MOST || levels.contains_key(&key) {
            levels.insert(key, value);
        }
    }

    /// Those of services that `is_alive` knows; the others are forgotten.
    pub(crate) fn of(
        &self,
        level: ServiceLevel,
        is_alive: impl Fn(&str) -> bool,
    ) -> Vec<(Arc<str>, Arc<str>, u64)> {
        let mut levels = self.lock();
        levels.retain(|(_, service, _), _| is_alive(service));
        levels
            .iter()
            .filter(|((of, ..), _)| *of == level)
            .map(|((_, service, endpoint), value)| {
                (Arc::clone(service), Arc::clone(endpoint), *value)
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_value_counts_and_the_gone_are_forgotten() {
        let levels = Levels::default();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        levels.set(ServiceLevel::Pending, &a, "", 1);
        levels.set(ServiceLevel::Pending, &a, "", 2);
        levels.set(ServiceLevel::Pending, &b, "", 3);
        levels.set(ServiceLevel::EndpointEjected, &a, "x:1", 1);
        let shown = |level| {
            let all = levels.of(level, |service| service == "a");
            all.into_iter()
                .map(|(s, e, v)| format!("{s} {e} {v}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(shown(ServiceLevel::Pending), ["a  2"]);
        assert_eq!(shown(ServiceLevel::EndpointEjected), ["a x:1 1"]);
        assert_eq!(levels.lock().len(), 2);
    }
}
