//! The handle that workers ask a store through.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout_at;

use super::call::{Call, Part, Said, Told};
use super::cluster;
use super::config::EngineConfig;
use super::error::StoreError;
use super::hub::{Attended, Hub};
use super::question::Question;
use super::quota::SharedQuota;
use super::server::{Server, attend};
use super::slot::slot;
use crate::{Quota, Verdict};

/// A store that several Weirs count in. Clones are handles on the same; when the last is dropped, its thread ends.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    hub: Arc<Hub>,
    counts: Counts,
    /// Dropped, it ends the thread.
    _alive: oneshot::Sender<()>,
}

#[derive(Debug, Default)]
struct Counts {
    answered: AtomicU64,
    late: AtomicU64,
    full: AtomicU64,
    lost: AtomicU64,
    open: AtomicU64,
    refused: AtomicU64,
}

/// How long a server may be unreachable and still be told what to take back.
const TAKE_BACK: Duration = Duration::from_secs(1);

/// What a store says.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// In the order that was asked in.
    pub(crate) said: Vec<Said>,
    /// The store's time, in microseconds since 1970.
    pub(crate) at: i64,
    /// How long ago somebody here had to decide without this server, or may have lost what it had counted; `None` if never.
    pub(crate) alone_ago: Option<Duration>,
}

/// How a store does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreStats {
    /// Checks that were answered.
    pub answered: u64,
    /// Checks without an answer in time.
    pub late: u64,
    /// Checks that were not asked because too many were under way.
    pub full: u64,
    /// Checks whose connection broke.
    pub lost: u64,
    /// Checks that were not asked because the server had failed.
    pub open: u64,
    /// Checks that the server refused.
    pub refused: u64,
    /// Its servers, as far as they are known.
    pub servers: Vec<StoreServer>,
}

/// How one server of a store does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreServer {
    /// Host and port.
    pub address: String,
    /// Whether it is not asked now.
    pub open: bool,
    /// How often its breaker has opened.
    pub times_opened: u64,
    /// Why it opened last, or is still open; empty if it never did.
    pub why: String,
    /// Questions under way.
    pub pending: usize,
}

impl Store {
    /// Starts a store's thread, which connects by itself. `name` is for the thread.
    pub fn start(name: &str, config: &EngineConfig) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let (hub, only) = Hub::new(config);
        let (alive, ended) = oneshot::channel();
        let theirs = Arc::clone(&hub);
        thread::Builder::new()
            .name(format!("store {name}"))
            .spawn(move || runtime.block_on(run(theirs, only, ended)))?;
        Ok(Self {
            inner: Arc::new(Inner {
                hub,
                counts: Counts::default(),
                _alive: alive,
            }),
        })
    }

    /// A quota as this store counts it, for [`Store::check`]; `limit` and `plan` tell it from others there. `None` if it
    /// has no tiers: how many requests are in flight is counted by each Weir for itself.
    pub fn quota(
        &self,
        limit: &str,
        plan: Option<&str>,
        quota: &Quota,
    ) -> Option<Arc<SharedQuota>> {
        SharedQuota::new(&self.inner.hub.prefix, limit, plan, quota).map(Arc::new)
    }

    /// Checks all tiers of a quota for the client known by this text, and counts `cost` in all of them or in none.
    ///
    /// It ends within the timeout of the config, whatever the store and its thread do, and at once while the breaker is
    /// open. After an error nothing is known: mostly nothing was counted there.
    pub async fn check(
        &self,
        quota: &Arc<SharedQuota>,
        client: &[u8],
        cost: u32,
    ) -> Result<Verdict, StoreError> {
        let part = Part {
            key: quota.key(client).into(),
            quota: Arc::clone(quota),
            cost,
            binding: true,
        };
        let answer = self.ask(Arc::new([part]), true).await?;
        let said = answer.said.first().ok_or(StoreError::Lost)?;
        Ok(said.verdict)
    }

    /// Checks several limits whose keys are all in one [`Self::place`]; if none that is binding refuses, and `count` says so,
    /// what they let pass is counted.
    pub(crate) async fn ask(&self, parts: Arc<[Part]>, count: bool) -> Result<Answer, StoreError> {
        let answer = self.inner.ask(Call::Check { parts, count }).await;
        let counter = self.inner.counts.of(&answer);
        counter.fetch_add(1, Ordering::Relaxed);
        answer
    }

    /// Takes back what was counted at these times of the store, of keys that are all in one [`Self::place`]. Nobody waits: where the
    /// server is not asked now, or too many questions are under way, it stays counted.
    pub(crate) fn take_back(&self, parts: Arc<[(Part, i64)]>) {
        let call = Call::TakeBack(parts);
        let Some(server) = self.inner.hub.server_for(call.key()) else {
            return;
        };
        if server.breaker.is_open() {
            return;
        }
        let Ok(place) = server.enter() else { return };
        server.pass(Question {
            call,
            deadline: Instant::now() + TAKE_BACK,
            hops: 2,
            asking: false,
            waiting: None,
            _place: place,
        });
    }

    /// Keys with the same are checked in one script call.
    pub(crate) fn place(&self, key: &[u8]) -> u16 {
        if self.inner.hub.cluster { slot(key) } else { 0 }
    }

    /// Whether both are handles on the same.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Waits until every server of the store is asked, or until the limit of time. True if they are. Without it, checks
    /// soon after the start may fail.
    pub async fn ready(&self, within: Duration) -> bool {
        let hub = &self.inner.hub;
        let ready = async {
            loop {
                let changed = hub.changed.notified();
                if hub.is_whole() && hub.servers().iter().all(|server| server.is_connected()) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(within, ready).await.is_ok()
    }

    /// How it does.
    pub fn stats(&self) -> StoreStats {
        let counts = &self.inner.counts;
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        StoreStats {
            answered: count(&counts.answered),
            late: count(&counts.late),
            full: count(&counts.full),
            lost: count(&counts.lost),
            open: count(&counts.open),
            refused: count(&counts.refused),
            servers: self.inner.hub.servers_told(),
        }
    }

    /// What was decided until now is not in its counts: it takes the place of another.
    pub(crate) fn replaces_another(&self) {
        self.inner.hub.alone.now(Instant::now());
    }
}

impl Hub {
    /// The servers that are known; of a Cluster that nothing is known of, where it was looked for.
    fn servers_told(&self) -> Vec<StoreServer> {
        let servers = self.servers();
        if servers.is_empty() {
            let seeds = self.seeds.iter().map(|seed| StoreServer {
                address: seed.address.to_string(),
                open: true,
                times_opened: 0,
                why: seed
                    .why
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone(),
                pending: 0,
            });
            return seeds.collect();
        }
        let servers = servers.iter().map(|server| StoreServer {
            address: server.address.to_string(),
            open: server.breaker.is_open(),
            times_opened: server.breaker.times_opened(),
            why: server.breaker.why(),
            pending: server.pending(),
        });
        servers.collect()
    }
}

impl Inner {
    async fn ask(&self, call: Call) -> Result<Answer, StoreError> {
        let begun = Instant::now();
        let Some(server) = self.hub.server_for(call.key()) else {
            self.hub.alone.now(begun);
            return Err(StoreError::Open);
        };
        let several = call.len() > 1;
        let answer = if server.breaker.is_open() {
            Err(StoreError::Open)
        } else {
            self.ask_server(&server, call, begun).await
        };
        match answer {
            Ok(told) => Ok(Answer {
                said: told.said.ok_or(StoreError::Late)?,
                at: told.at,
                alone_ago: [&server.alone, &self.hub.alone]
                    .into_iter()
                    .filter_map(|alone| alone.ago(begun))
                    .min(),
            }),
            // They are asked once more, each for itself.
            Err(StoreError::Moved) if several => Err(StoreError::Moved),
            Err(why) => {
                server.alone.now(begun);
                Err(why)
            }
        }
    }

    async fn ask_server(
        &self,
        server: &Server,
        call: Call,
        begun: Instant,
    ) -> Result<Told, StoreError> {
        let place = server.enter()?;
        let deadline = begun + self.hub.timeout;
        let (waiting, answer) = oneshot::channel();
        server.put(Question {
            call,
            deadline,
            hops: 2,
            asking: false,
            waiting: Some(waiting),
            _place: place,
        })?;
        // The deadline is kept on this side: it holds even if the store's thread does nothing at all.
        let answer = match timeout_at(deadline.into(), answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(StoreError::Lost),
            Err(_) => Err(StoreError::Late),
        };
        match &answer {
            Ok(_) => server.breaker.succeeded(),
            // It did its work: it told that another has the key.
            Err(StoreError::Moved) => {}
            Err(why) => {
                server.breaker.failed(why);
            }
        }
        answer
    }
}

impl Counts {
    const fn of(&self, answer: &Result<Answer, StoreError>) -> &AtomicU64 {
        match answer {
            Ok(_) => &self.answered,
            Err(StoreError::Late) => &self.late,
            Err(StoreError::Full) => &self.full,
            Err(StoreError::Lost | StoreError::Moved) => &self.lost,
            Err(StoreError::Open) => &self.open,
            Err(StoreError::Refused(_)) => &self.refused,
        }
    }
}

/// What the store's thread does, until nobody needs it.
async fn run(hub: Arc<Hub>, only: Option<Attended>, ended: oneshot::Receiver<()>) {
    let keep = async {
        match only {
            Some((server, questions)) => attend(server, questions, hub).await,
            None => cluster::keep(hub).await,
        }
    };
    tokio::select! {
        _ = ended => {}
        () = keep => {}
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::{Algorithm, Tier};

    /// Nobody takes the questions: the store's thread hangs.
    #[tokio::test]
    async fn the_deadline_holds_without_the_stores_thread() {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut config = EngineConfig::redis(&[nowhere], false).expect("a config");
        config.pending = weir_config::Within::new(3);
        let (hub, only) = Hub::new(&config);
        let (alive, _ended) = oneshot::channel();
        let store = Store {
            inner: Arc::new(Inner {
                hub,
                counts: Counts::default(),
                _alive: alive,
            }),
        };
        let quota = Quota {
            algorithm: Algorithm::FixedWindow,
            tiers: Box::new([Tier::new(1, 1000)]),
            concurrency: None,
        };
        let quota = store.quota("x", None, &quota).expect("a tier");
        let begun = Instant::now();
        for _ in 0..3 {
            assert_eq!(store.check(&quota, b"a", 1).await, Err(StoreError::Late));
        }
        assert!(begun.elapsed() < Duration::from_secs(1));
        // The questions still lie there, and no more fit; nor does anybody wait.
        assert_eq!(store.check(&quota, b"a", 1).await, Err(StoreError::Full));
        assert_eq!(store.stats().servers[0].pending, 3);
        let server = Arc::clone(&store.inner.hub.servers()[0]);
        server.breaker.failed(&"late");
        server.breaker.failed(&"late");
        assert_eq!(store.check(&quota, b"a", 1).await, Err(StoreError::Open));
        drop(only);
        assert_eq!(store.stats().servers[0].pending, 0);
        let stats = store.stats();
        assert_eq!((stats.late, stats.full, stats.open), (3, 1, 1));
    }
}
