//! One entry of a service's configuration that stands for endpoints to be found.
//!
//! Listings and addresses of names arrive on their own; what is in use follows from both. A change is told once all names that
//! are new in it have been asked for: to drop those who leave before those who come are known would leave a gap.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use weir_config::{Host, HostPort};

use super::feed::{Feed, News};
use super::hold::{Held, Hold};
use super::listing::{Listed, MAX_LISTED, MAX_WEIGHT, SourceError};
use super::names::{MAX_NAMES, NameFailure, Names};
use crate::dns::{DnsResolver, Resolve};
use crate::members::Found;
use crate::rng::Rng;
use crate::runner::Context;
use crate::spec::{EndpointSpec, Target};

/// How long a change waits for the names that are new in it.
const SETTLE: Duration = Duration::from_secs(3);

/// Finds the endpoints of one entry.
pub(crate) struct Watcher {
    entry: EndpointSpec,
    source: Arc<str>,
    resolver: Arc<dyn Resolve>,
    context: Arc<Context>,
    rng: Rng,
    feed: Option<Feed>,
    started: bool,
    hold: Hold,
    names: Names,
    found: Vec<Found>,
    /// Was there an answer?
    answered: bool,
    /// Something changed that has not been told; at the latest then it is.
    settle_by: Option<Instant>,
    /// Which entries cannot be used, as was told last.
    skipped: Option<(usize, String)>,
    /// Problems that nobody has been told.
    untold: Vec<Problem>,
}

/// What a watcher knows, for another one to start from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    listed: Vec<Listed>,
    names: HashMap<Arc<str>, Vec<IpAddr>>,
}

/// What went wrong.
#[derive(Debug)]
pub(crate) enum Problem {
    Name(NameFailure),
    Source { error: SourceError, failures: u32 },
}

/// What happened.
#[derive(Debug, Default)]
pub(crate) struct Step {
    /// The entry stands for these now, if that changed.
    pub(crate) found: Option<Vec<Found>>,
    pub(crate) problems: Vec<Problem>,
}

impl Watcher {
    /// Begins where another one was. `None` for an address, which stands for itself. Nothing is asked yet.
    pub(crate) fn new(
        entry: &EndpointSpec,
        known: Option<Known>,
        context: &Arc<Context>,
        seed: u64,
    ) -> Option<Self> {
        let known = match (&entry.target, known) {
            (Target::Address(_), _) => return None,
            (Target::Name { host, port }, known) => Known {
                listed: vec![Listed::at(HostPort {
                    host: Host::Name(host.as_str().into()),
                    port: *port,
                })],
                names: known.map(|known| known.names).unwrap_or_default(),
            },
            (_, known) => known.unwrap_or_default(),
        };
        let options = &context.options;
        let mut rng = Rng::new(options.seed ^ seed);
        let resolver = match &entry.target {
            Target::Srv(srv) => match DnsResolver::with_name_servers(srv.servers.clone()) {
                Ok(resolver) => Arc::new(resolver),
                // None are given: those of the system.
                Err(_) => Arc::clone(&options.resolver),
            },
            _ => Arc::clone(&options.resolver),
        };
        let hold = match &entry.target {
            Target::Consul(spec) => spec.hold,
            Target::Etcd(spec) => spec.hold,
            _ => Duration::ZERO,
        };
        let names = Rng::new(rng.next_u64());
        let mut this = Self {
            entry: entry.clone(),
            source: entry.target.to_string().into(),
            names: Names::new(Arc::clone(&resolver), options.refresh, names, known.names),
            resolver,
            context: Arc::clone(context),
            rng,
            feed: None,
            started: false,
            hold: Hold::new(hold, known.listed),
            found: Vec::new(),
            answered: false,
            settle_by: None,
            skipped: None,
            untold: Vec::new(),
        };
        this.names.keep(hosts(this.hold.in_use()));
        this.found = this.expand();
        Some(this)
    }

    /// What events call it.
    pub(crate) fn source(&self) -> &Arc<str> {
        &self.source
    }

    /// What the entry stands for.
    pub(crate) fn found(&self) -> &[Found] {
        &self.found
    }

    /// Is anything known about it?
    pub(crate) fn is_known(&self) -> bool {
        !self.found.is_empty()
    }

    /// All that is known.
    pub(crate) fn known(&self) -> Known {
        Known {
            listed: self.hold.in_use().to_vec(),
            names: self.names.all(),
        }
    }

    /// Waits for the first answer, or for the first failure. Problems are told by the next [`next`](Self::next).
    pub(crate) async fn first(&mut self) {
        let step = self.next().await;
        self.untold.extend(step.problems);
    }

    /// Waits until something happens. What is under way stays so if the caller loses patience.
    pub(crate) async fn next(&mut self) -> Step {
        if !self.started {
            self.started = true;
            let rng = Rng::new(self.rng.next_u64());
            let refresh = self.context.options.refresh;
            self.feed = Feed::start(&self.entry.target, &self.resolver, refresh, rng);
        }
        loop {
            let settled = self
                .settle_by
                .is_some_and(|by| !self.names.is_waiting() || by <= Instant::now());
            let found = if settled { self.settle() } else { None };
            // Who waits for the first answer also waits for one that changes nothing.
            let first = settled && !self.answered;
            self.answered |= settled;
            if first || found.is_some() || !self.untold.is_empty() {
                return Step {
                    found,
                    problems: std::mem::take(&mut self.untold),
                };
            }
            let (hold_due, settle_due) = (self.hold.due(), self.settle_by);
            tokio::select! {
                news = next_listing(&mut self.feed) => self.listed(news),
                news = self.names.next() => {
                    if news.changed {
                        self.settle_by.get_or_insert_with(Instant::now);
                    }
                    self.untold.extend(news.failures.into_iter().map(Problem::Name));
                }
                () = until(hold_due) => {
                    self.hold.expire(Instant::now());
                    self.renamed();
                }
                () = until(settle_due) => {}
            }
        }
    }

    fn listed(&mut self, news: News) {
        match news {
            Ok(listing) => {
                self.skipped(listing.skipped);
                let listed = listing.entries.len();
                let now = Instant::now();
                if let Some(Held(held)) = self.hold.take(listing.entries, listing.reset, now) {
                    let left = self.hold.due().map_or(Duration::ZERO, |due| due - now);
                    let for_up_to = Duration::from_secs(left.as_secs_f64().ceil() as u64);
                    let error = SourceError::Held {
                        listed,
                        held,
                        for_up_to,
                    };
                    self.untold.push(Problem::Source { error, failures: 0 });
                }
                self.renamed();
            }
            Err((error, failures)) => self.untold.push(Problem::Source { error, failures }),
        }
    }

    /// Tells of entries that cannot be used, unless they are still the same.
    fn skipped(&mut self, skipped: Option<(usize, String)>) {
        if skipped == self.skipped {
            return;
        }
        self.skipped.clone_from(&skipped);
        if let Some((count, reason)) = skipped {
            let error = SourceError::Skipped { count, reason };
            self.untold.push(Problem::Source { error, failures: 0 });
        }
    }

    /// Other entries are in use.
    fn renamed(&mut self) {
        let count = self.names.keep(hosts(self.hold.in_use()));
        if count > 0 {
            self.skipped(Some((count, format!("more than {MAX_NAMES} names"))));
        }
        let by = Instant::now() + SETTLE;
        self.settle_by.get_or_insert(by);
    }

    /// What is in use now, if that is something else than before.
    fn settle(&mut self) -> Option<Vec<Found>> {
        self.settle_by = None;
        let found = self.expand();
        // A listing whose names all fail is a failure of DNS, not of the endpoints.
        let failed = found.is_empty() && !self.hold.in_use().is_empty();
        if failed || found == self.found {
            return None;
        }
        self.found.clone_from(&found);
        Some(found)
    }

    fn expand(&self) -> Vec<Found> {
        let mut seen = HashSet::new();
        let mut all = Vec::new();
        for listed in self.hold.in_use() {
            let ips = match &listed.at.host {
                Host::Ip(ip) => vec![*ip],
                Host::Name(name) => self.names.addresses(name),
            };
            let addresses = ips
                .into_iter()
                .map(|ip| SocketAddr::new(ip, listed.at.port));
            for address in addresses.filter(|address| seen.insert(*address)) {
                all.push(self.place(listed, address));
            }
        }
        all.truncate(MAX_LISTED);
        all
    }

    /// What a source says of an endpoint comes on top of what the configuration says of the source.
    fn place(&self, listed: &Listed, address: SocketAddr) -> Found {
        let entry = &self.entry;
        let label = match entry.target {
            Target::Name { .. } => None,
            _ => Some(listed.at.to_string().into()),
        };
        Found {
            address,
            weight: listed
                .weight
                .saturating_mul(entry.weight)
                .clamp(1, MAX_WEIGHT),
            priority: listed.priority.saturating_add(entry.priority),
            zone: listed.zone.clone().or_else(|| entry.zone.clone()),
            label,
        }
    }
}

fn hosts(listed: &[Listed]) -> impl Iterator<Item = &str> {
    listed.iter().filter_map(|listed| match &listed.at.host {
        Host::Name(name) => Some(&**name),
        Host::Ip(_) => None,
    })
}

async fn next_listing(feed: &mut Option<Feed>) -> News {
    match feed {
        Some(feed) => feed.next().await,
        None => std::future::pending().await,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
