//! What happens beside the traffic, and whom it is told.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// What happens beside the traffic, for the event log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Keys of an issuer were fetched, and they are others than before.
    KeysFetched {
        /// From where.
        url: String,
        /// How many can be used.
        keys: usize,
    },
    /// They could not be fetched.
    KeysFailed {
        /// From where.
        url: String,
        /// Why.
        error: String,
        /// Whether there are older ones, which go on to count.
        stale: bool,
    },
    /// An OpenID provider does not answer as it should.
    ProviderFailed {
        /// Where it was asked.
        url: String,
        /// Why.
        error: String,
    },
    /// The server that knows about opaque tokens does not answer as it should.
    IntrospectionFailed {
        /// Where it was asked.
        url: String,
        /// Why.
        error: String,
    },
    /// Something that is known about somebody cannot be told to endpoints: the request has no such field. At most once a
    /// minute for each field of a method.
    ClaimUntold {
        /// What logs call the method.
        policy: String,
        /// The field that is missing.
        field: String,
        /// The claim that it would hold.
        claim: String,
        /// Why; never what is in it.
        why: &'static str,
    },
    /// A file of keys has changed and was read again.
    FileRead {
        /// The file.
        path: PathBuf,
        /// How many keys it has.
        keys: usize,
    },
    /// A file of keys has changed, but something is wrong with it. The keys that it had before go on to count.
    FileFailed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: String,
    },
}

/// Whom events are told.
#[derive(Clone)]
pub(crate) struct Events(Arc<dyn Fn(Event) + Send + Sync>);

impl Events {
    pub(crate) fn tell(&self, event: Event) {
        (self.0)(event);
    }

    pub(crate) fn new(tell: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Nobody.
    pub(crate) fn nobody() -> Self {
        Self::new(|_| {})
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}
