//! What sources of endpoints failed with last, for `/status`: the event log says it once, and who looks later asks why
//! a service has no endpoint.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use weir_admin::SourceFailure;
use weir_service::Event;

/// Failures are forgotten after this. Every source is tried again long before.
const KEEP: Duration = Duration::from_secs(600);
/// More are not kept: a listing may name any number of hosts.
const MOST: usize = 1024;

/// Service and source.
type SourceName = (Arc<str>, Arc<str>);

/// The last failure of each source.
#[derive(Debug, Default)]
pub(super) struct SourceFailures(Mutex<HashMap<SourceName, (Instant, String)>>);

impl SourceFailures {
    /// Takes in what happened.
    pub(super) fn note(&self, event: &Event, now: Instant) {
        let (service, source, error) = match event {
            Event::ResolveFailed {
                service,
                host,
                error,
                ..
            } => (service, host, error.to_string()),
            Event::SourceFailed {
                service,
                source,
                error,
                ..
            } => (service, source, error.to_string()),
            _ => return,
        };
        let key = (Arc::clone(service), Arc::clone(source));
        let mut last = self.last();
        last.retain(|_, (at, _)| now.saturating_duration_since(*at) < KEEP);
        if last.len() < MOST || last.contains_key(&key) {
            last.insert(key, (now, error));
        }
    }

    /// Those of the last minutes, in order.
    pub(super) fn recent(&self, now: Instant) -> Vec<SourceFailure> {
        let mut recent: Vec<SourceFailure> = self
            .last()
            .iter()
            .map(|((service, source), (at, error))| SourceFailure {
                service: Arc::clone(service),
                source: Arc::clone(source),
                error: error.clone(),
                ago: now.saturating_duration_since(*at),
            })
            .filter(|failure| failure.ago < KEEP)
            .collect();
        recent.sort_by(|a, b| (&a.service, &a.source).cmp(&(&b.service, &b.source)));
        recent
    }

    fn last(&self) -> MutexGuard<'_, HashMap<SourceName, (Instant, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_service::ResolveError;

    fn failed(service: &str, host: &str, error: &str) -> Event {
        Event::ResolveFailed {
            service: service.into(),
            host: host.into(),
            error: ResolveError::Failed(error.to_owned()),
            failures: 1,
        }
    }

    #[test]
    fn the_last_failure_of_each_source_is_kept_for_a_while() {
        let failures = SourceFailures::default();
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        failures.note(&failed("b", "x.test", "timeout"), at(0));
        failures.note(&failed("a", "x.test", "timeout"), at(10));
        failures.note(&failed("b", "x.test", "refused"), at(20));
        let recent = failures.recent(at(30));
        let named: Vec<_> = recent
            .iter()
            .map(|failure| (&*failure.service, &*failure.source, failure.ago.as_secs()))
            .collect();
        assert_eq!(named, [("a", "x.test", 20), ("b", "x.test", 10)]);
        assert!(recent[1].error.contains("refused"), "{recent:?}");
        assert_eq!(failures.recent(at(615)).len(), 1);
        failures.note(&failed("c", "y.test", "timeout"), at(630));
        assert_eq!(failures.last().len(), 1);
    }

    #[test]
    fn there_is_a_bound() {
        let failures = SourceFailures::default();
        let now = Instant::now();
        for number in 0..2 * MOST {
            failures.note(&failed("a", &number.to_string(), "timeout"), now);
        }
        assert_eq!(failures.last().len(), MOST);
    }
}
