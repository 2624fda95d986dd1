//! The names among the endpoints of a source, each asked for by its own TTL.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::dns::{Answer, Refresh, RefreshLimits, Resolve, ResolveError};
use crate::rng::Rng;

/// Longest that one lookup may take.
pub(crate) const RESOLVE_DEADLINE: Duration = Duration::from_secs(10);
/// Most lookups of one source at a time.
const MAX_LOOKUPS: usize = 32;
/// Most names in one source.
pub(crate) const MAX_NAMES: usize = 4096;

/// What is known of each name.
pub(crate) struct Names {
    resolver: Arc<dyn Resolve>,
    limits: RefreshLimits,
    rng: Rng,
    known: HashMap<Arc<str>, Name>,
    lookups: JoinSet<(Arc<str>, Answer)>,
}

#[derive(Default)]
struct Name {
    refresh: Refresh,
    /// When to ask next; `None` while it is being asked for.
    due: Option<Instant>,
    answered: bool,
}

/// A name that could not be looked up.
#[derive(Debug)]
pub(crate) struct NameFailure {
    pub(crate) host: Arc<str>,
    pub(crate) error: ResolveError,
    pub(crate) failures: u32,
}

/// What some lookups brought.
#[derive(Debug, Default)]
pub(crate) struct NameNews {
    pub(crate) changed: bool,
    pub(crate) failures: Vec<NameFailure>,
}

impl Names {
    /// Begins with addresses that are known from before, without knowing for how long they hold.
    pub(crate) fn new(
        resolver: Arc<dyn Resolve>,
        limits: RefreshLimits,
        rng: Rng,
        known: HashMap<Arc<str>, Vec<IpAddr>>,
    ) -> Self {
        let now = Instant::now();
        let name = |addresses: Vec<IpAddr>| Name {
            refresh: Refresh::from_addresses(&addresses),
            due: Some(now),
            answered: true,
        };
        Self {
            resolver,
            limits,
            rng,
            known: known.into_iter().map(|(host, a)| (host, name(a))).collect(),
            lookups: JoinSet::new(),
        }
    }

    /// Asks for these names from now on, and for no others; says how many are too many.
    pub(crate) fn keep<'a>(&mut self, hosts: impl Iterator<Item = &'a str>) -> usize {
        let all: HashSet<&str> = hosts.collect();
        let untaken = all.len().saturating_sub(MAX_NAMES);
        let wanted: HashSet<&str> = match untaken {
            0 => all,
            _ => {
                let mut all: Vec<&str> = all.into_iter().collect();
                all.sort_unstable();
                all.into_iter().take(MAX_NAMES).collect()
            }
        };
        self.known.retain(|host, _| wanted.contains(&**host));
        let now = Instant::now();
        for host in wanted {
            if !self.known.contains_key(host) {
                let due = Some(now);
                self.known.insert(
                    host.into(),
                    Name {
                        due,
                        ..Name::default()
                    },
                );
            }
        }
        untaken
    }

    /// What a name stands for.
    pub(crate) fn addresses(&self, host: &str) -> Vec<IpAddr> {
        self.known
            .get(host)
            .map_or_else(Vec::new, |name| name.refresh.addresses())
    }

    /// Is there a name without any answer yet, not even a failure?
    pub(crate) fn is_waiting(&self) -> bool {
        self.known.values().any(|name| !name.answered)
    }

    /// What every name stands for, for starting again from there.
    pub(crate) fn all(&self) -> HashMap<Arc<str>, Vec<IpAddr>> {
        let all = self.known.iter();
        let all = all.map(|(host, name)| (Arc::clone(host), name.refresh.addresses()));
        all.filter(|(_, addresses)| !addresses.is_empty()).collect()
    }

    /// Waits for answers. What was asked stays asked if the caller loses patience.
    pub(crate) async fn next(&mut self) -> NameNews {
        loop {
            let wake = self.ask();
            tokio::select! {
                Some(done) = self.lookups.join_next(), if !self.lookups.is_empty() => {
                    let mut news = NameNews::default();
                    self.answered(done.ok(), &mut news);
                    while let Some(done) = self.lookups.try_join_next() {
                        self.answered(done.ok(), &mut news);
                    }
                    return news;
                }
                () = async { sleep_until(wake.unwrap_or_else(Instant::now)).await }, if wake.is_some() => {}
                else => std::future::pending().await,
            }
        }
    }

    /// Asks for what is due; says when more will be.
    fn ask(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let mut wake: Option<Instant> = None;
        for (host, name) in &mut self.known {
            let Some(due) = name.due else { continue };
            if self.lookups.len() >= MAX_LOOKUPS {
                // A lookup that ends makes room, and brings us back here.
                return None;
            }
            if due > now {
                wake = Some(wake.map_or(due, |wake| wake.min(due)));
                continue;
            }
            name.due = None;
            let (resolver, host) = (Arc::clone(&self.resolver), Arc::clone(host));
            self.lookups.spawn(async move {
                let answer = timeout(RESOLVE_DEADLINE, resolver.resolve(&host)).await;
                let answer = answer.unwrap_or_else(|_| Answer::failed(ResolveError::Timeout));
                (host, answer)
            });
        }
        wake
    }

    fn answered(&mut self, answer: Option<(Arc<str>, Answer)>, news: &mut NameNews) {
        let Some((host, answer)) = answer else {
            // A lookup that broke does not say which it was: all are asked for again.
            let again = Instant::now() + self.limits.max_retry;
            for name in self.known.values_mut() {
                name.due.get_or_insert(again);
                name.answered = true;
            }
            return;
        };
        let Some(name) = self.known.get_mut(&host) else {
            return;
        };
        let step = name.refresh.on_answer(answer, &self.limits, &mut self.rng);
        name.due = Some(Instant::now() + step.delay);
        name.answered = true;
        news.changed |= step.changed;
        if let Some(error) = step.error {
            news.failures.push(NameFailure {
                failures: name.refresh.failures(),
                host,
                error,
            });
        }
    }
}
