//! SRV records (RFC 2782): hosts, ports, priorities and weights of a service under one name.
//!
//! Failures and empty answers keep the last answer, for the reasons that hold for addresses (see `dns::refresh`). A
//! record with the target `.` says that the service is decidedly not available; it names nobody, so alone it is an
//! empty answer.

use std::sync::Arc;

use tokio::time::{Instant, sleep_until, timeout};
use weir_config::{Host, HostPort};

use super::listing::{Listed, Listing, SourceError};
use super::names::RESOLVE_DEADLINE;
use crate::dns::{self, RefreshLimits, Resolve, ResolveError, Retry};
use crate::rng::Rng;

/// Most records of one name. More are ignored.
const MAX_RECORDS: usize = 4096;

/// One name with SRV records.
pub(crate) struct Srv {
    name: String,
    resolver: Arc<dyn Resolve>,
    limits: RefreshLimits,
    due: Option<Instant>,
}

impl Srv {
    pub(crate) fn new(name: String, resolver: Arc<dyn Resolve>, limits: RefreshLimits) -> Self {
        Self {
            name,
            resolver,
            limits,
            due: None,
        }
    }

    /// The next positive answer, once the TTL of the last is over.
    pub(crate) async fn next(&mut self, rng: &mut Rng) -> Result<Listing, SourceError> {
        if let Some(due) = self.due {
            sleep_until(due).await;
        }
        self.due = None;
        let answer = timeout(RESOLVE_DEADLINE, self.resolver.resolve_srv(&self.name)).await;
        let answer = answer.unwrap_or(Err(ResolveError::Timeout));
        let answer = answer.map_err(|error| match error {
            ResolveError::NoSuchName => SourceError::Refused(error.to_string()),
            _ => SourceError::Unreachable(error.to_string()),
        })?;
        let ttl = answer.ttl;
        let listing = listing(answer.records);
        if listing.entries.is_empty() {
            let why = "the name has no usable SRV record".to_owned();
            return Err(SourceError::Refused(
                listing.skipped.map_or(why, |(_, why)| why),
            ));
        }
        self.due = Some(Instant::now() + Retry::default().answered(ttl, &self.limits, rng));
        Ok(listing)
    }
}

/// The records as endpoints, in an order that does not depend on theirs.
fn listing(mut records: Vec<dns::Srv>) -> Listing {
    records.sort_unstable();
    records.dedup();
    records.truncate(MAX_RECORDS);
    let mut listing = Listing::default();
    let mut rank = 0;
    let mut last = None;
    for record in records {
        if record.target == "." {
            continue;
        }
        let entry = match Host::parse(&record.target) {
            Some(host) if record.port > 0 => {
                // Priorities are any numbers; the balancer counts groups from 0.
                rank += u16::from(last.is_some_and(|last| last < record.priority));
                last = Some(record.priority);
                Ok(Listed {
                    weight: u32::from(record.weight.max(1)),
                    priority: u8::try_from(rank).unwrap_or(u8::MAX),
                    ..Listed::at(HostPort {
                        host,
                        port: record.port,
                    })
                })
            }
            Some(_) => Err(format!("`{}` has the port 0", record.target)),
            None => Err(format!("`{}` is not a host", record.target.escape_debug())),
        };
        listing.push(entry);
    }
    listing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(records: &[(u16, u16, u16, &str)]) -> Vec<(String, u32, u8)> {
        let record = |(priority, weight, port, target): &(u16, u16, u16, &str)| dns::Srv {
            priority: *priority,
            weight: *weight,
            target: (*target).to_owned(),
            port: *port,
        };
        let listing = listing(records.iter().map(record).collect());
        let entry = |entry: Listed| (entry.at.to_string(), entry.weight, entry.priority);
        listing.entries.into_iter().map(entry).collect()
    }

    #[test]
    fn priorities_become_ranks_and_no_weight_is_none() {
        let found = records(&[
            (20, 0, 80, "c.test."),
            (10, 5, 81, "B.test."),
            (10, 0, 80, "a.test."),
            (65_535, 9, 80, "d.test."),
        ]);
        let expected = [
            ("a.test:80", 1, 0),
            ("b.test:81", 5, 0),
            ("c.test:80", 1, 1),
            ("d.test:80", 9, 2),
        ];
        let expected = expected.map(|(at, weight, rank)| (at.to_owned(), weight, rank));
        assert_eq!(found, expected);
    }

    #[test]
    fn what_names_nobody_is_left_out() {
        assert!(records(&[(0, 0, 0, ".")]).is_empty());
        assert!(records(&[(0, 0, 0, "a.test."), (0, 0, 80, "bad host.")]).is_empty());
        assert_eq!(records(&[(0, 0, 80, "."), (7, 1, 80, "a.test.")]).len(), 1);
        let many: Vec<_> = (1..=60_000)
            .map(|port| (port, 1, port, "a.test."))
            .collect();
        let found = records(&many);
        assert_eq!(found.len(), MAX_RECORDS);
        assert_eq!(found.last().map(|(_, _, rank)| *rank), Some(255));
    }
}
