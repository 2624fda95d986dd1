//! Names that stand for endpoints.
//!
//! [`Resolve`] is where answers come from: [`DnsResolver`] in the binary, canned answers in tests. `Refresh` decides, purely,
//! what an answer means and when to ask again. The loop between them is in `runner`.

mod refresh;
mod resolver;

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

pub(crate) use refresh::Refresh;
pub use refresh::RefreshLimits;
pub use resolver::{DnsResolver, DnsResolverError};

/// Where the addresses of names come from.
pub trait Resolve: Send + Sync + 'static {
    /// Looks up the addresses of `host`, of both families. May take its time: callers set a deadline.
    fn resolve<'a>(&'a self, host: &'a str) -> ResolveFuture<'a>;
}

/// What [`Resolve::resolve`] returns.
pub type ResolveFuture<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

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
