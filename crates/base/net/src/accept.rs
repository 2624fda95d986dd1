//! Who may connect: how many in all, and how many from one address.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::BuildHasher,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

const SHARDS: usize = 64;

/// Bounds on open client connections; `usize::MAX` means none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Over all listeners.
    pub total: usize,
    /// From one IPv4 address or IPv6 /64.
    pub per_address: usize,
}

/// Why a connection was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// [`ConnectionLimits::total`] was reached.
    Total,
    /// [`ConnectionLimits::per_address`] was reached.
    PerAddress,
}

/// Open connections by client address, over all workers. Sharded; touched twice per connection.
#[derive(Debug)]
struct AddressTable {
    shards: Vec<Mutex<HashMap<IpAddr, u32>>>,
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
    fn shard(&self, address: IpAddr) -> &Mutex<HashMap<IpAddr, u32>> {
        &self.shards[self.hasher.hash_one(address) as usize % SHARDS]
    }

    fn enter(&self, address: IpAddr, limit: usize) -> bool {
        let mut shard = self
            .shard(address)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match shard.entry(address) {
            Entry::Occupied(count) if *count.get() as usize >= limit => false,
            Entry::Occupied(mut count) => {
                *count.get_mut() += 1;
                true
            }
            Entry::Vacant(_) if limit == 0 => false,
            Entry::Vacant(place) => {
                place.insert(1);
                true
            }
        }
    }

    fn leave(&self, address: IpAddr) {
        let mut shard = self
            .shard(address)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = shard.entry(address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// The gate all workers share: it counts who is in.
#[derive(Debug)]
pub struct Gate {
    open: AtomicUsize,
    total: AtomicUsize,
    per_address: AtomicUsize,
    addresses: AddressTable,
}

impl Gate {
    /// A gate with nobody inside.
    #[must_use]
    pub fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self {
            open: AtomicUsize::new(0),
            total: AtomicUsize::new(limits.total),
            per_address: AtomicUsize::new(limits.per_address),
            addresses: AddressTable::default(),
        })
    }

    /// Changes the bounds for connections to come.
    pub fn set_limits(&self, limits: ConnectionLimits) {
        self.total.store(limits.total, Ordering::Relaxed);
        self.per_address
            .store(limits.per_address, Ordering::Relaxed);
    }

    /// Client connections open now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Lets a connection in or says why not. The pass gives its place back when dropped.
    ///
    /// # Errors
    /// The bound that was reached.
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Pass, Refusal> {
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        if before >= self.total.load(Ordering::Relaxed) {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::Total);
        }
        let per_address = self.per_address.load(Ordering::Relaxed);
        let counted = (per_address != usize::MAX).then(|| network(address));
        if let Some(network) = counted
            && !self.addresses.enter(network, per_address)
        {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::PerAddress);
        }
        Ok(Pass {
            gate: Arc::clone(self),
            counted,
        })
    }
}

/// A connection's place inside the gate.
#[derive(Debug)]
pub struct Pass {
    gate: Arc<Gate>,
    counted: Option<IpAddr>,
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(address) = self.counted {
            self.gate.addresses.leave(address);
        }
    }
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

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn both_bounds_hold_and_places_come_back() {
        let gate = Gate::new(ConnectionLimits {
            total: 3,
            per_address: 2,
        });
        let a = gate.enter(ip("10.0.0.1")).expect("first");
        let _b = gate.enter(ip("10.0.0.1")).expect("second");
        assert_eq!(gate.enter(ip("10.0.0.1")).err(), Some(Refusal::PerAddress));
        let _c = gate.enter(ip("10.0.0.2")).expect("another address");
        assert_eq!(gate.enter(ip("10.0.0.3")).err(), Some(Refusal::Total));
        drop(a);
        assert_eq!(gate.open(), 2);
        gate.enter(ip("10.0.0.1")).expect("a place came back");
    }

    #[test]
    fn an_ipv6_customer_is_one_client() {
        let gate = Gate::new(ConnectionLimits {
            total: 9,
            per_address: 1,
        });
        let _held = gate.enter(ip("2001:db8::1")).expect("first");
        assert!(gate.enter(ip("2001:db8::ffff:2")).is_err());
        gate.enter(ip("2001:db8:0:1::1")).expect("another /64");
        let _v4 = gate.enter(ip("10.0.0.1")).expect("v4");
        assert!(gate.enter(ip("::ffff:10.0.0.1")).is_err());
    }

    #[test]
    fn the_table_forgets_who_left() {
        let gate = Gate::new(ConnectionLimits {
            total: 9,
            per_address: 1,
        });
        drop(gate.enter(ip("10.0.0.1")));
        assert!(
            gate.addresses
                .shards
                .iter()
                .all(|shard| shard.lock().expect("not poisoned").is_empty())
        );
    }
}
