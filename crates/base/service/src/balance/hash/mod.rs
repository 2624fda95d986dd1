//! Consistent hashing: the same key goes to the same endpoint for as long as it can.
//!
//! A [`HashTable`] is computed from the endpoints and their weights alone, on the control runtime, at each change of the set,
//! and shared by all workers. It depends neither on the order in which endpoints are listed nor on what was there before, so
//! every Weir of a fleet arrives at the same table. Three methods, all weighted:
//!
//! | | keys that move when 1 of N leaves | most loaded of 100, against the mean | a pick | memory, 100 endpoints |
//! |---|---|---|---|---|
//! | [Maglev](HashMethod::Maglev) | about 2/N | 1.001 | one load | 64 KiB |
//! | [ring](HashMethod::Ring) | exactly 1/N, its own | 1.20 | two or three loads | 94 KiB |
//! | [rendezvous](HashMethod::Rendezvous) | exactly 1/N, its own | only chance | a pass over all endpoints | 3 KiB |
//!
//! [`HashTable::walk`] goes on to a key's second choice, third choice and so on, for endpoints that are down, that a request
//! already tried, or that have no [room](has_room).

mod bounded;
mod key;
mod maglev;
mod rendezvous;
mod ring;
mod walk;

#[cfg(test)]
mod tests;

use maglev::Maglev;
use rendezvous::Rendezvous;
use ring::Ring;

pub(crate) use bounded::has_room;
pub(crate) use key::hash_address;
pub use key::{hash_bytes, hash_ip};
use walk::Walk;

/// How keys are spread over endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HashMethod {
    /// Google's Maglev table: the most even spread and the fastest pick; a change moves about twice as many keys as it must.
    #[default]
    Maglev,
    /// Points on a circle, as memcached clients and many proxies have it: a change moves only the keys that it must.
    Ring,
    /// The highest score of key and endpoint wins: moves only the keys that it must, and is as even as chance; costs a
    /// little for every endpoint.
    Rendezvous,
}

impl HashMethod {
    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Maglev => "maglev",
            Self::Ring => "ring",
            Self::Rendezvous => "rendezvous",
        }
    }
}

/// An endpoint as the tables see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HashPeer {
    /// Says who it is, in every process alike: [`hash_address`].
    pub(crate) key: u64,
    /// Its share relative to the others; 0 counts as 1.
    pub(crate) weight: u32,
    /// What its share is when nothing holds it back.
    pub(crate) full: u32,
}

/// Finds the endpoint of a key. Immutable.
#[derive(Debug)]
pub(crate) struct HashTable {
    kind: Kind,
    peers: u32,
}

#[derive(Debug)]
enum Kind {
    Maglev(Maglev),
    Ring(Ring),
    Rendezvous(Rendezvous),
}

impl HashTable {
    /// Computes the table of these endpoints. Takes milliseconds for a thousand of them: nothing for a worker.
    pub(crate) fn build(method: HashMethod, peers: &[HashPeer]) -> Self {
        let sorted = Sorted::new(peers);
        Self {
            kind: match method {
                HashMethod::Maglev => Kind::Maglev(Maglev::new(&sorted)),
                HashMethod::Ring => Kind::Ring(Ring::new(&sorted)),
                HashMethod::Rendezvous => Kind::Rendezvous(Rendezvous::new(&sorted)),
            },
            peers: peers.len() as u32,
        }
    }

    /// All endpoints, as their indexes in what the table was built from, each once, in the order in which `key` prefers them.
    /// `key` is a [hash](hash_bytes): its bits must be random. The first endpoint comes cheapest.
    ///
    /// If endpoints leave, what is left of the order stays as it is (for Maglev: mostly), so a key whose endpoint is skipped
    /// goes where it would go if that endpoint were not there.
    #[inline]
    pub(crate) fn walk(&self, key: u64) -> Walk<'_> {
        Walk::new(self, key)
    }
}

/// The endpoints in an order that does not depend on how they were listed.
struct Sorted(Box<[SortedPeer]>);

#[derive(Clone, Copy)]
struct SortedPeer {
    key: u64,
    weight: u64,
    full: u64,
    /// Where it was listed.
    index: u32,
}

impl Sorted {
    fn new(peers: &[HashPeer]) -> Self {
        let mut sorted: Box<[SortedPeer]> = (0..)
            .zip(peers)
            .map(|(index, peer)| SortedPeer {
                key: key::mix(peer.key),
                weight: u64::from(peer.weight.max(1)),
                full: u64::from(peer.full.max(1)),
                index,
            })
            .collect();
        sorted.sort_unstable_by_key(|peer| (peer.key, peer.index));
        Self(sorted)
    }

    fn total_weight(&self) -> u64 {
        self.0.iter().map(|peer| peer.weight).sum()
    }

    /// If nothing held anybody back.
    fn total_full(&self) -> u64 {
        self.0.iter().map(|peer| peer.full).sum()
    }
}

/// A row of endpoint indexes, as narrow as they fit: tables of several services share the processor's caches with
/// everything else.
#[derive(Debug)]
enum Indexes {
    Narrow(Box<[u8]>),
    Medium(Box<[u16]>),
    Wide(Box<[u32]>),
}

impl Indexes {
    /// Packs `row`, whose entries are all below `bound`.
    fn pack(row: &[u32], bound: usize) -> Self {
        if bound <= 1 << 8 {
            Self::Narrow(row.iter().map(|index| *index as u8).collect())
        } else if bound <= 1 << 16 {
            Self::Medium(row.iter().map(|index| *index as u16).collect())
        } else {
            Self::Wide(row.into())
        }
    }

    /// Entry `at`; 0 behind the end.
    #[inline]
    fn at(&self, at: usize) -> u32 {
        match self {
            Self::Narrow(row) => row.get(at).map_or(0, |index| u32::from(*index)),
            Self::Medium(row) => row.get(at).map_or(0, |index| u32::from(*index)),
            Self::Wide(row) => row.get(at).copied().unwrap_or(0),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Narrow(row) => row.len(),
            Self::Medium(row) => row.len(),
            Self::Wide(row) => row.len(),
        }
    }
}
