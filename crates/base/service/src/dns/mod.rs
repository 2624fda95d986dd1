//! Names that stand for endpoints.
//!
//! [`Resolve`] is where answers come from: [`DnsResolver`] in the binary, canned answers in tests. `Refresh` decides, purely,
//! what an answer means and when to ask again. The loop between them is in `discovery`.

mod refresh;
mod resolver;
mod retry;

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

pub(crate) use refresh::Refresh;
pub use refresh::RefreshLimits;
pub use resolver::{DnsResolver, DnsResolverError};
pub(crate) use retry::Retry;

/// Where the addresses of names come from.
pub trait Resolve: Send + Sync + 'static {
    /// Looks up the addresses of `host`, of both families. May take its time: callers set a deadline.
    fn resolve<'a>(&'a self, host: &'a str) -> ResolveFuture<'a>;

    /// Looks up the SRV records of `name`. As [`resolve`](Self::resolve), it may take its time.
    fn resolve_srv<'a>(&'a self, name: &'a str) -> SrvFuture<'a> {
        let _ = name;
        Box::pin(std::future::ready(Err(ResolveError::Failed(
            "SRV records cannot be looked up here".to_owned(),
        ))))
    }
}

/// What [`Resolve::resolve`] returns.
pub type ResolveFuture<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// What [`Resolve::resolve_srv`] returns.
pub type SrvFuture<'a> =
    Pin<Box<dyn Future<Output = Result<SrvRecords, ResolveError>> + Send + 'a>>;

/// SRV records (RFC 2782); none if the name exists without any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SrvRecords {
    /// The records.
    pub records: Vec<Srv>,
    /// For how long they hold.
    pub ttl: Duration,
}

/// One SRV record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Srv {
    /// The lowest comes first.
    pub priority: u16,
    /// The share among those of one priority.
    pub weight: u16,
    /// The host; `.` says that the service is not to be had.
    pub target: String,
    /// The port.
    pub port: u16,
}

/// The answers for the two address families. They are separate questions to a name server, and either may fail alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// A records.
    pub v4: Result<Records, ResolveError>,
    /// AAAA records.
    pub v6: Result<Records, ResolveError>,
}

/// The addresses of one family; none if the name exists without any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Records {
    /// The addresses.
    pub addresses: Vec<IpAddr>,
    /// For how long they hold.
    pub ttl: Duration,
}

/// Why a name has no addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The name servers say that there is no such name (NXDOMAIN).
    #[error("there is no such name")]
    NoSuchName,
    /// The name exists, without an address of either family.
    #[error("the name has no address")]
    NoAddress,
    /// No answer within the deadline.
    #[error("no answer in time")]
    Timeout,
    /// Anything else, in the words of the resolver.
    #[error("{0}")]
    Failed(String),
}

impl Answer {
    /// The same failure for both families.
    pub(crate) fn failed(error: ResolveError) -> Self {
        Self {
            v4: Err(error.clone()),
            v6: Err(error),
        }
    }
}
