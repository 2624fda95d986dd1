//! The task that asks one source, again and again.
//!
//! It is a task of its own because what it waits for (a long poll, a stream) must not start over whenever the
//! addresses of some name change. It stands still while nobody takes what it found.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::sleep;

use super::consul::Consul;
use super::etcd::Etcd;
use super::file::File;
use super::listing::{Listing, SourceError};
use super::srv::Srv;
use crate::dns::{RefreshLimits, Resolve, Retry};
use crate::rng::Rng;
use crate::runner::AbortOnDrop;
use crate::spec::Target;

/// A source that has more to tell than it told.
enum Provider {
    Srv(Srv),
    File(File),
    Consul(Consul),
    Etcd(Etcd),
}

/// A listing, or what went wrong; then failures in a row, this one included.
pub(crate) type News = Result<Listing, (SourceError, u32)>;

/// Where the listings of one source come from.
pub(crate) struct Feed {
    news: mpsc::Receiver<News>,
    _task: AbortOnDrop,
}

impl Feed {
    /// Starts asking. `None` for a target that stands for itself, or for a name alone.
    pub(crate) fn start(
        target: &Target,
        resolver: &Arc<dyn Resolve>,
        limits: RefreshLimits,
        rng: Rng,
    ) -> Option<Self> {
        let resolver = Arc::clone(resolver);
        let provider = match target {
            Target::Address(_) | Target::Name { .. } => return None,
            Target::Srv(spec) => Provider::Srv(Srv::new(spec.name.clone(), resolver, limits)),
            Target::File(spec) => Provider::File(File::new(spec)),
            Target::Consul(spec) => Provider::Consul(Consul::new(Arc::clone(spec), resolver)),
            Target::Etcd(spec) => Provider::Etcd(Etcd::new(Arc::clone(spec), resolver)),
        };
        let (sender, news) = mpsc::channel(1);
        Some(Self {
            news,
            _task: AbortOnDrop::spawn(run(provider, sender, limits, rng)),
        })
    }

    /// Waits for news. What the caller does not wait for is not lost.
    pub(crate) async fn next(&mut self) -> News {
        match self.news.recv().await {
            Some(news) => news,
            // The task ended, which it does only when it broke: endpoints stay as they are.
            None => std::future::pending().await,
        }
    }
}

async fn run(
    mut provider: Provider,
    news: mpsc::Sender<News>,
    limits: RefreshLimits,
    mut rng: Rng,
) {
    let mut retry = Retry::default();
    loop {
        let listing = match &mut provider {
            Provider::Srv(srv) => srv.next(&mut rng).await,
            Provider::File(file) => file.next().await,
            Provider::Consul(consul) => consul.next().await,
            Provider::Etcd(etcd) => etcd.next().await,
        };
        let (told, pause) = match listing {
            Ok(listing) => {
                retry = Retry::default();
                (Ok(listing), None)
            }
            Err(error) => {
                let pause = retry.failed(&limits, &mut rng);
                // A file is looked at all the time; it tells of another failure only once.
                let asks = !matches!(provider, Provider::File(_));
                (Err((error, retry.failures())), asks.then_some(pause))
            }
        };
        if news.send(told).await.is_err() {
            return;
        }
        if let Some(pause) = pause {
            // A registry that comes back should not meet everybody at the same moment.
            sleep(rng.jitter(pause, 25)).await;
        }
    }
}
