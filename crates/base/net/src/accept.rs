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

use crate::clock::{self, Micros};

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

/// Why a connection was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// [`ConnectionLimits::total`] was reached.
    Total,
    /// [`ConnectionLimits::per_address`] was reached.
    PerAddress,
    /// [`ConnectionLimits::rate`] was exceeded.
    Rate,
    /// The protocol does not [admit](crate::Protocol::admit) the client.
    Denied,
    /// The peer is none of the proxies that connect to this listener.
    NotAProxy,
    /// The PROXY header was malformed, too long, or did not come in time.
    ProxyHeader,
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OPEN: ConnectionLimits = ConnectionLimits {
        total: usize::MAX,
        per_address: usize::MAX,
        rate: None,
    };

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn rate(count: u64, per_ms: u64) -> Option<ConnectionRate> {
        let per = std::time::Duration::from_millis(per_ms);
        Some(ConnectionRate { count, per })
    }

    fn known(gate: &Gate) -> usize {
        let shards = gate.addresses.shards.iter();
        shards
            .map(|shard| shard.lock().expect("not poisoned").clients.len())
            .sum()
    }

    #[test]
    fn both_bounds_hold_and_places_come_back() {
        let gate = Gate::new(ConnectionLimits {
            total: 3,
            per_address: 2,
            ..OPEN
        });
        let a = gate.enter(ip("10.0.0.1"), 0).expect("first");
        let _b = gate.enter(ip("10.0.0.1"), 0).expect("second");
        assert_eq!(
            gate.enter(ip("10.0.0.1"), 0).err(),
            Some(Refusal::PerAddress)
        );
        let _c = gate.enter(ip("10.0.0.2"), 0).expect("another address");
        assert_eq!(gate.enter(ip("10.0.0.3"), 0).err(), Some(Refusal::Total));
        drop(a);
        assert_eq!(gate.open(), 2);
        gate.enter(ip("10.0.0.1"), 0).expect("a place came back");
    }

    #[test]
    fn an_ipv6_customer_is_one_client() {
        let gate = Gate::new(ConnectionLimits {
            per_address: 1,
            ..OPEN
        });
        let _held = gate.enter(ip("2001:db8::1"), 0).expect("first");
        assert!(gate.enter(ip("2001:db8::ffff:2"), 0).is_err());
        gate.enter(ip("2001:db8:0:1::1"), 0).expect("another /64");
        let _v4 = gate.enter(ip("10.0.0.1"), 0).expect("v4");
        assert!(gate.enter(ip("::ffff:10.0.0.1"), 0).is_err());
    }

    #[test]
    fn whoever_is_not_known_yet_counts_and_is_claimed_later() {
        let gate = Gate::new(ConnectionLimits {
            total: 2,
            per_address: 1,
            rate: None,
        });
        let proxied = [gate.hold().expect("one"), gate.hold().expect("two")];
        assert_eq!(gate.hold().err(), Some(Refusal::Total));
        let mut claimed = proxied.map(|pass| pass.claim(ip("192.0.2.1"), 0));
        assert!(claimed[0].is_ok());
        assert_eq!(claimed[1].as_ref().err(), Some(&Refusal::PerAddress));
        assert_eq!(gate.open(), 1);
        claimed[0] = Err(Refusal::Total);
        assert_eq!((gate.open(), known(&gate)), (0, 0));
    }

    #[test]
    fn the_table_forgets_who_left() {
        let gate = Gate::new(ConnectionLimits {
            per_address: 1,
            ..OPEN
        });
        drop(gate.enter(ip("10.0.0.1"), 0));
        assert_eq!(known(&gate), 0);
    }

    #[test]
    fn connections_come_at_once_and_then_at_the_rate() {
        let gate = Gate::new(ConnectionLimits {
            rate: rate(3, 3000),
            ..OPEN
        });
        let start = clock::now() + 1_000_000_000;
        let come = |micros| gate.enter(ip("10.0.0.1"), start + micros).map(drop);
        for _ in 0..3 {
            come(0).expect("at once");
        }
        assert_eq!(come(999_999), Err(Refusal::Rate));
        come(1_000_000).expect("a second later");
        assert_eq!(come(1_000_001), Err(Refusal::Rate));
        gate.enter(ip("10.0.0.2"), start).expect("another client");
        gate.set_limits(OPEN);
        come(1_000_002).expect("the rate is gone");
    }

    #[test]
    fn the_table_stays_small_however_many_come() {
        let gate = Gate::new(ConnectionLimits {
            rate: rate(1, 3_600_000),
            ..OPEN
        });
        let now = clock::now();
        for n in 0..600_000_u32 {
            let client = IpAddr::V4((0x0a00_0000 + n).into());
            drop(gate.enter(client, now).expect("its first"));
        }
        assert!(
            known(&gate) <= SHARDS * (REMEMBERED + 1),
            "{}",
            known(&gate)
        );
        let last = IpAddr::V4((0x0a00_0000_u32 + 599_999).into());
        assert_eq!(gate.enter(last, now).err(), Some(Refusal::Rate));
    }

    proptest! {
        /// Against a log of all that were let in: never more than the bucket holds and what ran into it, and nobody is
        /// turned away for whom there was room.
        #[test]
        fn the_rate_is_that_of_a_bucket(
            count in 1..6_u64,
            per_ms in 1..50_u64,
            steps in proptest::collection::vec(0..8_000_u64, 1..120),
        ) {
            let gate = Gate::new(ConnectionLimits { rate: rate(count, per_ms), ..OPEN });
            let interval = (per_ms * 1_000_000).div_ceil(count);
            // Far ahead of the clock that leaving reads, so that nobody is forgotten.
            let mut now = clock::now() + 3_600_000_000;
            let mut busy: u64 = 0;
            for step in steps {
                now += step;
                busy = busy.saturating_sub(step * 1000);
                let room = busy <= interval * (count - 1);
                prop_assert_eq!(gate.enter(ip("10.0.0.1"), now).is_ok(), room);
                if room {
                    busy += interval;
                }
            }
        }
    }
}
