//! etcd: the keys under a prefix, over the JSON gateway that every etcd has beside gRPC (`/v3/...`).
//!
//! One listing, then a watch from the revision after it, so that nothing falls between the two. A watch that breaks goes on
//! at another member from where it was. Only when that history is gone (compaction) or was never there (another cluster, a
//! restored backup: the revision went backwards) are the keys listed again. A lease that expires deletes its keys,
//! which the watch tells like any other deletion.

mod message;
mod session;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::EtcdSpec;
use super::http::Client;
use super::listing::{Listed, Listing, MAX_LISTED, SourceError};
use super::pace::Pace;
use crate::dns::Resolve;
use message::{Change, Watched};
use session::{Session, Stream};

/// How long a watch may be silent before it is begun anew, maybe with another member: what looks like silence may be a
/// connection that is dead.
const SILENCE: Duration = Duration::from_secs(60);
/// Changes that follow within this time are one change.
const GATHER: Duration = Duration::from_millis(10);
/// How many messages may be gathered.
const MAX_GATHERED: usize = 1000;

/// Endpoints under one prefix.
pub(crate) struct Etcd {
    session: Session,
    keys: BTreeMap<Vec<u8>, Result<Listed, String>>,
    /// Up to where `keys` is true; `None` if they must be listed.
    at: Option<i64>,
    /// As far as it ever was, and in which cluster.
    seen: Option<(u64, i64)>,
    stream: Option<Stream>,
    pace: Pace,
}

impl Etcd {
    pub(crate) fn new(spec: Arc<EtcdSpec>, resolver: Arc<dyn Resolve>) -> Self {
        let client = Client::new(spec.addresses.clone(), resolver);
        Self {
            session: Session::new(spec, client),
            keys: BTreeMap::new(),
            at: None,
            seen: None,
            stream: None,
            pace: Pace::new(),
        }
    }

    /// The next change.
    pub(crate) async fn next(&mut self) -> Result<Listing, SourceError> {
        sleep(self.pace.next(Instant::now())).await;
        let listing = self.advance().await;
        if listing.is_err() {
            self.stream = None;
            self.session.turn();
        }
        listing
    }

    async fn advance(&mut self) -> Result<Listing, SourceError> {
        loop {
            let Some(at) = self.at else {
                return self.list().await;
            };
            let stream = match &mut self.stream {
                Some(stream) => stream,
                None => {
                    let (stream, cluster, revision) = self.session.watch(at + 1).await?;
                    if self.is_elsewhere(cluster, revision) {
                        self.at = None;
                        continue;
                    }
                    self.stream.insert(stream)
                }
            };
            match timeout(SILENCE, stream.next()).await {
                Err(_) => {
                    self.stream = None;
                    self.session.turn();
                }
                Ok(watched) => {
                    if self.take(watched?)? && self.gather().await {
                        return Ok(self.listing(false));
                    }
                }
            }
        }
    }

    /// Takes in what follows at once; false if the keys must be listed again. A watch that breaks here is begun anew by the
    /// next call: what it told until then is not to be lost.
    async fn gather(&mut self) -> bool {
        for _ in 0..MAX_GATHERED {
            let Some(stream) = &mut self.stream else {
                break;
            };
            let Ok(watched) = timeout(GATHER, stream.next()).await else {
                break;
            };
            if watched.and_then(|watched| self.take(watched)).is_err() {
                self.stream = None;
            }
        }
        self.at.is_some()
    }

    /// Takes a message in; says whether keys changed.
    fn take(&mut self, watched: Watched) -> Result<bool, SourceError> {
        match watched {
            Watched::Progress { revision } => {
                self.moved(revision);
                Ok(false)
            }
            Watched::Compacted => {
                self.at = None;
                self.stream = None;
                Ok(false)
            }
            Watched::Canceled(reason) => Err(SourceError::Refused(reason)),
            Watched::Changes(changes) => {
                // Changes are in order, and a message holds all of a revision: the last one says how far it goes.
                for change in changes {
                    let revision = match change {
                        Change::Put {
                            key,
                            revision,
                            value,
                        } => {
                            self.keys.insert(key, value);
                            revision
                        }
                        Change::Delete { key, revision } => {
                            self.keys.remove(&key);
                            revision
                        }
                    };
                    self.moved(revision);
                }
                if self.keys.len() > MAX_LISTED {
                    self.at = None;
                    return Err(too_many());
                }
                Ok(true)
            }
        }
    }

    fn moved(&mut self, revision: i64) {
        if let (Some(at), Some((_, seen))) = (&mut self.at, &mut self.seen) {
            *at = revision.max(*at);
            *seen = *at;
        }
    }

    async fn list(&mut self) -> Result<Listing, SourceError> {
        let listed = self.session.list().await?;
        let reset = self.is_elsewhere(listed.cluster, listed.revision);
        self.keys = listed.keys;
        self.at = Some(listed.revision);
        self.seen = Some((listed.cluster, listed.revision));
        Ok(self.listing(reset))
    }

    /// Is this history not the one that we know?
    fn is_elsewhere(&self, cluster: u64, revision: i64) -> bool {
        self.seen
            .is_some_and(|(known, seen)| cluster != known || revision < seen)
    }

    fn listing(&self, reset: bool) -> Listing {
        let mut listing = Listing {
            reset,
            ..Listing::default()
        };
        for (key, value) in &self.keys {
            listing.push(match value {
                Ok(listed) => Ok(listed.clone()),
                Err(reason) => {
                    let key: String = String::from_utf8_lossy(key).chars().take(100).collect();
                    Err(format!("the value of `{}`: {reason}", key.escape_debug()))
                }
            });
        }
        listing
    }
}

fn too_many() -> SourceError {
    SourceError::Invalid(format!(
        "there are more than {MAX_LISTED} keys under this prefix"
    ))
}
