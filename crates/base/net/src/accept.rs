//! Who may connect: how many in all, how many from one address, and how often.
//!
//! Addresses are counted after a PROXY header was read, so what counts is the client and not the proxy in front of it.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::BuildHasher,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use crate::{
    clock::{self, Micros},
    incident::Refusal,
};

const SHARDS: usize = 64;
/// Clients without a connection whose rate a shard remembers; beyond it, those that have been quiet for longest are
/// forgotten, and may begin anew. All shards together remember about a quarter of a million.
const REMEMBERED: usize = 4096;

/// Bounds on client connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Open ones over all listeners; `usize::MAX` for no bound.
    pub total: usize,
    /// Open ones from one IPv4 address or IPv6 /64; `usize::MAX` for no bound.
    pub per_address: usize,
    /// New ones from one IPv4 address or IPv6 /64.
    pub rate: Option<ConnectionRate>,
}

/// So many connections at once, and after that one whenever the time for one has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionRate {
    /// How many; at least one.
    pub count: u64,
    /// In how long.
    pub per: std::time::Duration,
}

/// [`ConnectionRate`] as the generic cell rate algorithm has it (ITU-T I.371): the time that one connection takes up,
/// and how far ahead of the clock a client may be. In nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Pace {
    interval: u64,
    tolerance: u64,
}

/// What is known of one client.
#[derive(Debug, Default)]
struct Client {
    /// Its open connections.
    open: u32,
    /// Until when its connections so far have taken up its time, in nanoseconds.
    busy_until: u64,
}

#[derive(Debug, Default)]
struct Shard {
    clients: HashMap<IpAddr, Client>,
    /// How many of them have no open connection.
    idle: usize,
}

/// Clients by address, over all workers. Sharded; touched twice per connection.
#[derive(Debug)]
struct AddressTable {
    shards: Vec<Mutex<Shard>>,
    hasher: std::hash::RandomState,
}

impl Default for AddressTable {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: std::hash::RandomState::new(),
        }
    }
}

impl AddressTable {
    fn shard(&self, address: IpAddr) -> &Mutex<Shard> {
        &self.shards[self.hasher.hash_one(address) as usize % SHARDS]
    }

    fn enter(
        &self,
        address: IpAddr,
        limit: usize,
        pace: Option<Pace>,
        now: u64,
    ) -> Result<(), Refusal> {
        let mut shard = self
            .shard(address)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Shard { clients, idle } = &mut *shard;
        let (mut open, mut busy_until) = (0, 0);
        if let Some(client) = clients.get(&address) {
            (open, busy_until) = (client.open, client.busy_until);
        }
        if open as usize >= limit {
            return Err(Refusal::PerAddress);
        }
        if let Some(pace) = pace {
            busy_until = busy_until.max(now);
            if busy_until - now > pace.tolerance {
                return Err(Refusal::Rate);
            }
            busy_until += pace.interval;
        }
        let known = clients.insert(
            address,
            Client {
                open: open + 1,
                busy_until,
            },
        );
        if known.is_some_and(|client| client.open == 0) {
            *idle -= 1;
        }
        Ok(())
    }

    fn leave(&self, address: IpAddr, now: u64) {
        let mut shard = self
            .shard(address)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Shard { clients, idle } = &mut *shard;
        if let Entry::Occupied(mut client) = clients.entry(address) {
            client.get_mut().open -= 1;
            if client.get().open > 0 {
                return;
            }
            if client.get().busy_until <= now {
                client.remove();
                return;
            }
            *idle += 1;
        }
        if shard.idle > REMEMBERED {
            shard.forget(now);
        }
    }
}

impl Shard {
    /// Forgets idle clients: those whose time is over, and if that is not enough, the half that would be over first.
    /// So this is rare, however many come.
    #[cold]
    fn forget(&mut self, now: u64) {
        let mut until = now;
        let idle = self.clients.values().filter(|client| client.open == 0);
        let mut times: Vec<u64> = idle.map(|client| client.busy_until).collect();
        let half = times.len() / 2;
        if half > 0 {
            let (_, median, _) = times.select_nth_unstable(half);
            if *median > now {
                until = *median;
            }
        }
        self.clients
            .retain(|_, client| client.open > 0 || client.busy_until > until);
        self.idle = (self.clients.values())
            .filter(|client| client.open == 0)
            .count();
    }
}

/// The gate all workers share: it counts who is in.
#[derive(Debug)]
pub struct Gate {
    open: AtomicUsize,
    total: AtomicUsize,
    per_address: AtomicUsize,
    /// See [`Pace`]; an interval of 0 is none.
    interval: AtomicU64,
    tolerance: AtomicU64,
    addresses: AddressTable,
}

impl Gate {
    /// A gate with nobody inside.
    #[must_use]
    pub fn new(limits: ConnectionLimits) -> Arc<Self> {
        let gate = Self {
            open: AtomicUsize::new(0),
            total: AtomicUsize::new(0),
            per_address: AtomicUsize::new(0),
            interval: AtomicU64::new(0),
            tolerance: AtomicU64::new(0),
            addresses: AddressTable::default(),
        };
        gate.set_limits(limits);
        Arc::new(gate)
    }

    /// Changes the bounds for connections to come.
    pub fn set_limits(&self, limits: ConnectionLimits) {
        self.total.store(limits.total, Ordering::Relaxed);
        self.per_address
            .store(limits.per_address, Ordering::Relaxed);
        let pace = limits.rate.map(|rate| {
            let count = rate.count.max(1);
            let per = u64::try_from(rate.per.as_nanos()).unwrap_or(u64::MAX / 4);
            // Rounded up: never more than was said.
            let interval = per.min(u64::MAX / 4).div_ceil(count).max(1);
            Pace {
                interval,
                tolerance: interval.saturating_mul(count - 1),
            }
        });
        let (interval, tolerance) = pace.map_or((0, 0), |pace| (pace.interval, pace.tolerance));
        self.tolerance.store(tolerance, Ordering::Relaxed);
        self.interval.store(interval, Ordering::Relaxed);
    }

    /// Client connections open now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// How many of the places are taken, in thousandths.
    #[must_use]
    pub fn fullness(&self) -> u32 {
        let total = self.total.load(Ordering::Relaxed);
        if total == usize::MAX {
            return 0;
        }
        (self.open().saturating_mul(1000) / total.max(1)).min(1000) as u32
    }

    /// Lets a connection in whose client is not known yet, or says why not. The pass gives its place back when dropped.
    ///
    /// # Errors
    /// When there are too many already.
    pub fn hold(self: &Arc<Self>) -> Result<Pass, Refusal> {
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        if before >= self.total.load(Ordering::Relaxed) {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::Total);
        }
        Ok(Pass {
            gate: Arc::clone(self),
            counted: None,
        })
    }

    /// Lets the connection of a client in, or says why not.
    ///
    /// # Errors
    /// The bound that was reached.
    pub fn enter(self: &Arc<Self>, client: IpAddr, now: Micros) -> Result<Pass, Refusal> {
        self.hold()?.claim(client, now)
    }
}

/// A connection's place inside the gate.
#[derive(Debug)]
pub struct Pass {
    gate: Arc<Gate>,
    counted: Option<IpAddr>,
}

impl Pass {
    /// Says whose connection it is.
    ///
    /// # Errors
    /// The bound that the client has reached; the place is given back.
    pub fn claim(mut self, client: IpAddr, now: Micros) -> Result<Self, Refusal> {
        let gate = &self.gate;
        let per_address = gate.per_address.load(Ordering::Relaxed);
        let interval = gate.interval.load(Ordering::Relaxed);
        let pace = (interval > 0).then(|| Pace {
            interval,
            tolerance: gate.tolerance.load(Ordering::Relaxed),
        });
        if per_address == usize::MAX && pace.is_none() {
            return Ok(self);
        }
        let network = network(client);
        gate.addresses
            .enter(network, per_address, pace, nanos(now))?;
        self.counted = Some(network);
        Ok(self)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(address) = self.counted {
            self.gate.addresses.leave(address, nanos(clock::now()));
        }
    }
}

const fn nanos(time: Micros) -> u64 {
    time.saturating_mul(1000)
}

/// What counts as one client: an IPv4 address, or the /64 that an IPv6 customer is given.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let prefix = v6.to_bits() >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(prefix))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests;
