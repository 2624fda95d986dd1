//! What all who have to do with one store share.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use redis::RedisConnectionInfo;
use tokio::sync::{Notify, mpsc};
use weir_config::HostPort;

use super::alone::Alone;
use super::cluster::Owner;
use super::config::EngineConfig;
use super::question::Question;
use super::quota::SharedQuota;
use super::server::{Address, Server};
use super::slot::{SLOTS, slot};
use super::tls::Tls;
use crate::{Algorithm, Quota, Tier};

/// The settings of a store, and its servers.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) cluster: bool,
    pub(crate) who: RedisConnectionInfo,
    pub(crate) tls: Option<Tls>,
    pub(crate) prefix: Box<str>,
    pub(crate) timeout: Duration,
    pub(crate) most_pending: usize,
    pub(crate) failures_to_open: u32,
    pub(crate) longest_retry: Duration,
    /// Where to begin.
    pub(crate) seeds: Vec<Seed>,
    pub(crate) started: Instant,
    /// When there was no server to ask.
    pub(crate) alone: Alone,
    /// The check that tells whether a server does its work.
    pub(crate) probe: Arc<SharedQuota>,
    map: RwLock<Map>,
    /// Asks the store's thread to find out anew who has which slots.
    pub(crate) look_again: Notify,
    /// Tells those who wait for the store that something has changed.
    pub(crate) changed: Notify,
}

/// Where to begin, and why nothing could be learned there.
#[derive(Debug)]
pub(crate) struct Seed {
    pub(crate) address: Address,
    pub(crate) why: Mutex<String>,
}

/// Which server is asked for which key.
#[derive(Debug, Default)]
struct Map {
    servers: Vec<Arc<Server>>,
    /// For each slot an index into `servers`, or one beyond; empty if there is one server for all.
    slots: Vec<u16>,
}

/// A server, and the questions that its task is to take.
pub(crate) type Attended = (Arc<Server>, mpsc::Receiver<Question>);

/// A server's slots, first and last.
pub(crate) type SlotRange = (u16, u16);

impl Hub {
    /// The shared part of a store, and the questions for its one server, if it is not a Cluster.
    pub(crate) fn new(config: &EngineConfig) -> (Arc<Self>, Option<Attended>) {
        let mut who = RedisConnectionInfo::default()
            .set_skip_set_lib_name()
            .set_db(i64::try_from(config.db.get()).unwrap_or(0));
        if let Some(user) = &config.user {
            who = who.set_username(&user.value);
        }
        if let Some(password) = &config.password {
            who = who.set_password(password.expose());
        }
        let seed = |server: &HostPort| Seed {
            address: Address {
                host: server.host.to_string().into(),
                port: server.port,
            },
            why: Mutex::new("it was not asked yet".to_owned()),
        };
        let started = Instant::now();
        let prefix: Box<str> = config.prefix.as_str().into();
        let hub = Self {
            cluster: config.cluster,
            who,
            tls: config.tls(),
            timeout: config.timeout.get(),
            most_pending: config.pending.as_usize(),
            failures_to_open: config.breaker.failures.as_u32(),
            longest_retry: config.breaker.retry.get(),
            started,
            alone: Alone::new(started),
            probe: Arc::new(probe(&prefix)),
            prefix,
            map: RwLock::default(),
            look_again: Notify::new(),
            changed: Notify::new(),
            seeds: config.servers().map(seed).collect(),
        };
        let only = hub
            .seeds
            .first()
            .filter(|_| !hub.cluster)
            .map(|seed| Server::new(seed.address.clone(), &hub));
        if let Some((server, _)) = &only {
            hub.set_map(Map {
                servers: vec![Arc::clone(server)],
                slots: Vec::new(),
            });
        }
        (Arc::new(hub), only)
    }

    /// The server that has a key; `None` as long as it is not known.
    pub(crate) fn server_for(&self, key: &[u8]) -> Option<Arc<Server>> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let at = match map.slots.get(usize::from(slot(key))) {
            Some(at) => usize::from(*at),
            None => 0,
        };
        map.servers.get(at).cloned()
    }

    /// The server at an address, if it is known.
    pub(crate) fn server_at(&self, address: &Address) -> Option<Arc<Server>> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let mut servers = map.servers.iter();
        servers.find(|server| server.address == *address).cloned()
    }

    /// All servers.
    pub(crate) fn servers(&self) -> Vec<Arc<Server>> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        map.servers.clone()
    }

    /// Whether every slot has a server that is known.
    pub(crate) fn is_whole(&self) -> bool {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let servers = map.servers.len();
        servers > 0 && map.slots.iter().all(|at| usize::from(*at) < servers)
    }

    /// Changes which server has which slots. One that gets slots it did not have knows nothing of what was decided without
    /// the server that had them.
    pub(crate) fn set_slots(&self, servers: Vec<(Arc<Server>, Owner)>) {
        let mut slots = vec![u16::MAX; usize::from(SLOTS)];
        for (index, (server, owner)) in servers.iter().enumerate() {
            let index = u16::try_from(index).unwrap_or(u16::MAX);
            for &(first, last) in &owner.ranges {
                let range = usize::from(first)..=usize::from(last.min(SLOTS - 1));
                if let Some(range) = slots.get_mut(range) {
                    range.fill(index);
                }
            }
            // A few numbers meet all but the smallest ranges.
            let owned = |client: &Vec<u8>| {
                let slot = slot(client);
                let mut ranges = owner.ranges.iter();
                ranges.any(|&(first, last)| (first..=last).contains(&slot))
            };
            let mut clients = (0..u32::from(SLOTS) * 16).map(|n| n.to_string().into_bytes());
            if let Some(client) = clients.find(owned) {
                server.set_probe(client);
            }
            server.set_announced(owner.hostname.clone());
        }
        let map = Map {
            servers: servers.into_iter().map(|(server, _)| server).collect(),
            slots,
        };
        let mut old = self.map.write().unwrap_or_else(PoisonError::into_inner);
        for server in map.gained(&old) {
            server.alone.now(Instant::now());
        }
        *old = map;
    }

    fn set_map(&self, map: Map) {
        *self.map.write().unwrap_or_else(PoisonError::into_inner) = map;
    }
}

impl Map {
    /// The servers that have slots which others had before; none if this is the first map.
    fn gained(&self, before: &Self) -> impl Iterator<Item = &Arc<Server>> {
        let of = |map: &Self, slot: usize| {
            let at = map.slots.get(slot).copied().map_or(usize::MAX, usize::from);
            map.servers.get(at).map(Arc::as_ptr)
        };
        let mut gained = vec![false; self.servers.len()];
        if !before.slots.is_empty() {
            for (slot, at) in self.slots.iter().enumerate() {
                if let Some(gained) = gained.get_mut(usize::from(*at)) {
                    *gained |= of(before, slot) != of(self, slot);
                }
            }
        }
        let servers = self.servers.iter().zip(gained);
        servers
            .filter(|(_, gained)| *gained)
            .map(|(server, _)| server)
    }
}

/// A limit that nobody reaches.
fn probe(prefix: &str) -> SharedQuota {
    let quota = Quota {
        algorithm: Algorithm::FixedWindow,
        tiers: Box::new([Tier::new(crate::MAX_COUNT, 1000)]),
        concurrency: None,
    };
    SharedQuota::new(prefix, "~probe", None, &quota).expect("it has a tier")
}
