//! How much of the load each priority carries, and when its health is not believed.
//!
//! Shares are integers of [`ONE`] parts, so thresholds hold exactly: 5 usable of 7 carry everything, 4 of 7 do not.

use super::Peer;
use super::ramp::{FULL, Ramp};

/// The whole load.
pub(super) const ONE: u64 = 1 << 32;

/// The endpoints of one priority, and how well they are.
pub(super) struct Tier<'a> {
    /// Indexes into the peers.
    pub(super) members: &'a [usize],
    /// Weight of all members, in units of `weight * FULL` like all the following.
    total: u128,
    /// ... of those that no operator took out.
    present: u128,
    /// ... of those that are usable.
    usable: u128,
    /// ... of those that are usable, each for what it is worth in its slow start.
    worth: u128,
    preferred_total: u128,
    preferred_worth: u128,
}

impl<'a> Tier<'a> {
    pub(super) fn measure(peers: &[Peer], members: &'a [usize], ramp: &Ramp) -> Self {
        let mut tier = Self {
            members,
            total: 0,
            present: 0,
            usable: 0,
            worth: 0,
            preferred_total: 0,
            preferred_worth: 0,
        };
        for peer in members.iter().map(|i| &peers[*i]) {
            let full = u128::from(peer.weight) * u128::from(FULL);
            let worth = match peer.can_serve() {
                true => u128::from(peer.weight) * u128::from(ramp.factor(peer)),
                false => 0,
            };
            tier.total += full;
            tier.present += if peer.drained { 0 } else { full };
            tier.usable += if peer.can_serve() { full } else { 0 };
            tier.worth += worth;
            if peer.preferred_zone {
                tier.preferred_total += full;
                tier.preferred_worth += worth;
            }
        }
        tier
    }

    /// Did an operator take out all of it?
    pub(super) fn is_drained(&self) -> bool {
        self.present == 0
    }

    /// What `part` of the tier's weight can carry: 1.4 times its share, at most everything, and something if there is any.
    fn can_carry(&self, part: u128) -> u64 {
        let carried = part * 7 * u128::from(ONE) / (self.total * 5).max(1);
        carried.clamp(part.min(1), ONE.into()) as u64
    }

    /// How much of `share`, the tier's part of the load, stays in the preferred zone.
    pub(super) fn preferred_share(&self, share: u64, spill_below: u32) -> u64 {
        let share = u128::from(share);
        // Its part if there were no preference: it never gets less, however few are left elsewhere.
        let fair = share * self.preferred_worth / self.worth.max(1);
        let spill_at = self.preferred_total * u128::from(spill_below);
        let kept = match self.preferred_worth * 100 {
            0 => 0,
            usable if usable >= spill_at => share,
            usable => share * usable / spill_at,
        };
        kept.max(fair) as u64
    }
}

/// The share of each tier, if all are believed: what those before it leave, as far as it can carry it.
pub(super) fn shares(tiers: &[Tier<'_>]) -> Vec<u64> {
    let carried: Vec<u64> = tiers.iter().map(|t| t.can_carry(t.worth)).collect();
    let all: u64 = carried.iter().sum();
    if all < ONE {
        // Everyone carries more than it should, in proportion.
        return carried
            .iter()
            .map(|c| (u128::from(*c) * u128::from(ONE) / u128::from(all.max(1))) as u64)
            .collect();
    }
    let mut rest = ONE;
    carried
        .iter()
        .map(|c| {
            let share = rest.min(*c);
            rest -= share;
            share
        })
        .collect()
}

/// For each tier, is it in panic?
///
/// Slow start plays no part here: a ramping endpoint is well. Nor do drained endpoints: they are out because someone
/// wants them out, which says nothing against the health of the others.
pub(super) fn in_panic(tiers: &[Tier<'_>], panic_below: u32) -> Vec<bool> {
    // With a single tier there is nobody else to carry it: only its own threshold counts.
    let carried =
        tiers.len() > 1 && tiers.iter().map(|t| t.can_carry(t.usable)).sum::<u64>() >= ONE;
    tiers
        .iter()
        .map(|t| !carried && t.usable * 100 < t.present * u128::from(panic_below))
        .collect()
}
