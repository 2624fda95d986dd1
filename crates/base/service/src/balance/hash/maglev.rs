//! Maglev's lookup table (Eisenbud and others, 2016), with weights.
//!
//! Every endpoint has its own order of all slots of the table, a permutation; endpoints take turns, and whoever has its turn
//! takes its most preferred free slot, until the table is full. Shares are exact because turns are counted, and most slots
//! keep their owner when the set changes because preferences do not depend on the others.
//!
//! The paper has no weights. Here every endpoint has a quota of slots, its exact share rounded by largest remainders, so
//! no share is off by a whole slot (weights 1 and 2 get 21,846 and 43,691 of 65,537), and its turns are spread evenly.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::key::word;
use super::{Indexes, Sorted, SortedPeer};

/// Table sizes: primes, so that every skip walks through all slots. The first one at least a hundred times the number
/// of endpoints is taken, which bounds the difference of shares by 1 %; where two neighbouring sizes meet, one endpoint more
/// means another table, and most keys move.
const SIZES: [u32; 5] = [65_537, 131_101, 262_147, 524_309, 1_048_583];

/// A full table.
#[derive(Debug)]
pub(super) struct Maglev(Indexes);

impl Maglev {
    pub(super) fn new(peers: &Sorted) -> Self {
        let wanted = peers.0.len() * 100;
        let [.., largest] = SIZES;
        let size = SIZES.into_iter().find(|size| *size as usize >= wanted);
        Self::with_size(peers, size.unwrap_or(largest))
    }

    fn with_size(peers: &Sorted, size: u32) -> Self {
        if peers.0.is_empty() {
            return Self(Indexes::pack(&[], 0));
        }
        let quotas = quotas(peers, size);
        let mut orders: Vec<Order> = peers.0.iter().map(|peer| Order::new(peer, size)).collect();
        let mut slots = vec![u32::MAX; size as usize];
        let mut turn = |peer: usize| {
            let slot = orders[peer].take(size, |slot| slots[slot] == u32::MAX);
            slots[slot] = peers.0[peer].index;
        };
        // Turn k of a quota q is due at (k - 1/2) / q of the way: the one that is due first, in units of 2^-32.
        let due = |taken: u32, quota: u32| ((u64::from(taken) * 2 + 1) << 32) / u64::from(quota);
        let mut turns: BinaryHeap<Reverse<(u64, usize, u32)>> = quotas
            .iter()
            .enumerate()
            .filter(|(_, quota)| **quota > 0)
            .map(|(peer, quota)| Reverse((due(0, *quota), peer, 0)))
            .collect();
        while let Some(mut next) = turns.peek_mut() {
            let Reverse((at, peer, taken)) = &mut *next;
            turn(*peer);
            *taken += 1;
            if *taken < quotas[*peer] {
                *at = due(*taken, quotas[*peer]);
            } else {
                std::collections::binary_heap::PeekMut::pop(next);
            }
        }
        Self(Indexes::pack(&slots, peers.0.len()))
    }

    /// The slot of `key`: its place in the range of all keys, scaled to the table.
    #[inline]
    pub(super) fn slot(&self, key: u64) -> usize {
        ((u128::from(key) * self.0.len() as u128) >> 64) as usize
    }

    /// How a walk from there goes on. The number of slots is prime, so every stride comes by all of them.
    #[inline]
    pub(super) fn stride(&self, key: u64) -> usize {
        // The lower half of the key: the upper one decided the slot.
        let strides = self.0.len().saturating_sub(1) as u64;
        (((key & 0xffff_ffff) * strides) >> 32) as usize + 1
    }

    /// Who owns each slot.
    #[inline]
    pub(super) fn cells(&self) -> &Indexes {
        &self.0
    }
}

/// One endpoint's preferences: an arithmetic progression modulo a prime.
struct Order {
    next: u32,
    skip: u32,
}

impl Order {
    fn new(peer: &SortedPeer, size: u32) -> Self {
        Self {
            next: (word(peer.key, 0) % u64::from(size)) as u32,
            skip: (word(peer.key, 1) % u64::from(size - 1)) as u32 + 1,
        }
    }

    /// Its most preferred slot among the free ones. There must be one.
    fn take(&mut self, size: u32, is_free: impl Fn(usize) -> bool) -> usize {
        loop {
            let slot = self.next as usize;
            self.next += self.skip;
            if self.next >= size {
                self.next -= size;
            }
            if is_free(slot) {
                return slot;
            }
        }
    }
}

/// How many of `size` slots each endpoint gets: the whole part of its share, and what is left to the largest remainders.
fn quotas(peers: &Sorted, size: u32) -> Vec<u32> {
    let total = u128::from(peers.total_weight());
    let (mut quotas, remainders): (Vec<u32>, Vec<u128>) = peers
        .0
        .iter()
        .map(|peer| u128::from(peer.weight) * u128::from(size))
        .map(|units| ((units / total) as u32, units % total))
        .unzip();
    let given: u64 = quotas.iter().map(|quota| u64::from(*quota)).sum();
    // Fewer are left than there are endpoints. The sort is stable: of equal remainders the first keys win.
    let mut order: Vec<usize> = (0..quotas.len()).collect();
    order.sort_by_key(|peer| Reverse(remainders[*peer]));
    for peer in order.into_iter().take((u64::from(size) - given) as usize) {
        quotas[peer] += 1;
    }
    quotas
}
