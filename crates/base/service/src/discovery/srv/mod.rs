//! SRV records (RFC 2782): hosts, ports, priorities and weights of a service under one name.
//!
//! Failures and empty answers keep the last answer, for the reasons that hold for addresses (see `dns::refresh`). A
//! record with the target `.` says that the service is decidedly not available; it names nobody, so alone it is an
//! empty answer.

mod records;

use std::sync::Arc;

use tokio::time::{Instant, sleep_until, timeout};

use super::listing::{Listing, SourceError};
use super::names::RESOLVE_DEADLINE;
use crate::dns::{RefreshLimits, Resolve, ResolveError, Retry};
use crate::rng::Rng;

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
        let listing = records::listing(answer.records);
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
