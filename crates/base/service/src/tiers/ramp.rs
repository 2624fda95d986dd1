//! Slow start: a new endpoint's weight grows from a tenth to all of it.
//!
//! Linear over the window, as Envoy with its default aggression: `weight * max(10 %, age / window)`. An endpoint with cold
//! caches, an empty pool and code not yet compiled gets the load that it can bear.
//!
//! A ramp spares the new at the cost of those who are warm. As long as nobody is past the window there is nobody to pass
//! the load to, and ages only matter against each other: the oldest is worth its full weight, and the others
//! `age / oldest`. Those that came together with the oldest, to within a tenth of the window, are worth their full weight
//! too. So the first start, and the recovery from an outage of everything, spread the load by the configured weights.

use super::Peer;

/// The factor of an endpoint that is warm.
pub(super) const FULL: u64 = 1 << 16;
/// The factor at which a ramp begins.
const FLOOR: u64 = FULL.div_ceil(10);

/// How far each peer is on its way to its full weight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ramp {
    /// Who is this old is warm; 0: everyone is.
    reference_ms: u64,
    /// Who is this old came together with the oldest, if none is past the window.
    together_ms: u64,
}

impl Ramp {
    pub(super) fn new(peers: &[Peer], window_ms: u64) -> Self {
        let oldest = peers
            .iter()
            .filter(|p| p.can_serve())
            .map(|p| p.ready_for_ms)
            .max();
        let reference_ms = oldest.unwrap_or(0).min(window_ms);
        let together_ms = match reference_ms < window_ms {
            true => reference_ms.saturating_sub(window_ms / 10),
            false => reference_ms,
        };
        Self {
            reference_ms,
            together_ms,
        }
    }

    pub(super) fn is_ramping(&self, peer: &Peer) -> bool {
        peer.ready_for_ms < self.together_ms
    }

    /// What share of its weight `peer` is worth, in units of `1 / FULL`.
    pub(super) fn factor(&self, peer: &Peer) -> u64 {
        if !self.is_ramping(peer) {
            return FULL;
        }
        // The age is below the reference, so this is below FULL, and the reference is not 0.
        let part = u128::from(peer.ready_for_ms) * u128::from(FULL) / u128::from(self.reference_ms);
        (part as u64).max(FLOOR)
    }
}
