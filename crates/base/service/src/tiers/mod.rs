//! Who of a service's endpoints gets what share: priorities, zones, slow start, subsets and panic, folded into weights.
//!
//! All of these answer one question, "how much should this endpoint get now?", and the answer only changes when health,
//! membership or time moves. So it is worked out here, once per change and away from requests, and handed to the balancer
//! as plain integer weights. Every balancer then obeys every tier without knowing of any.
//!
//! In order:
//!
//! 1. **Slow start**: an endpoint that joined or recovered is worth `max(10 %, age / window)` of its weight. See [`Ramp`].
//! 2. **Priorities**: a tier can carry 1.4 times the share of its weight that is usable, at most everything (Envoy's
//!    overprovisioning: nothing spills until 5 of 7 are left). What priority 0 cannot carry goes to priority 1, and so on; if
//!    all tiers together cannot carry it, each gets its part of what they can. An endpoint in slow start counts here for what
//!    it is worth, so a tier that comes back takes its traffic back gradually, and not all of it with cold caches.
//! 3. **Panic**: if less than `panic_below` of a tier is usable, and the tiers together cannot carry the load, health is no
//!    longer believed for that tier: sending everything to the few that are left would take them down too. All its endpoints
//!    that no operator took out share its load. If every tier is in panic, all endpoints share all of it.
//! 4. **Zones**: inside a tier everything stays in the preferred zone while `spill_below` of that zone is usable. Below that
//!    the zone keeps `usable / spill_below`, and the rest spills. It never gets less than it would without a preference.
//! 5. **Subset**: inside each tier, and on each side of its zone preference, only so many endpoints are used: those ranked
//!    highest by rendezvous hashing on this instance's seed. Others coming and going do not change who ranks how.
//!
//! Shares are measured by weight, not by heads: losing the endpoint that carries ten of twelve parts is not "a third".

mod load;
mod ramp;
mod subset;
#[cfg(test)]
mod tests;

use load::{ONE, Tier};
use ramp::Ramp;

/// An endpoint as the tiers see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// Its configured share; at least 1.
    pub(crate) weight: u32,
    /// 0 is used first.
    pub(crate) priority: u32,
    /// Is it in the zone that the service prefers? If the service prefers none, the same for all.
    pub(crate) preferred_zone: bool,
    /// Do health checks and outlier detection let it have requests?
    pub(crate) usable: bool,
    /// Did an operator take it out? Then nothing makes it a candidate, not even panic.
    pub(crate) drained: bool,
    /// How long it has been usable without a break; `u64::MAX` for one that was there when the service started.
    pub(crate) ready_for_ms: u64,
    /// What identifies it in every process of the fleet: a hash of its address.
    pub(crate) key: u64,
}

impl Peer {
    fn can_serve(&self) -> bool {
        self.usable && !self.drained
    }
}

/// What the configuration says about tiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TierPolicy {
    /// Percent of a tier that must be usable for health to be believed; 0: it always is.
    pub(crate) panic_below: u32,
    /// Percent of the preferred zone that must be usable for it to keep everything.
    pub(crate) spill_below: u32,
    /// How long the ramp of a new or recovered endpoint takes; 0: there is none.
    pub(crate) slow_start_ms: u64,
    /// Most endpoints used in each tier and side of the zone preference; 0: all.
    pub(crate) subset: u32,
    /// Tells this instance from the others of its fleet, and stays the same for as long as possible.
    pub(crate) seed: u64,
}

/// Who gets what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Indexes of the peers that get requests, in their order, with their weights. If nothing shifts a share, these are
    /// exactly the configured weights.
    pub(crate) candidates: Vec<(usize, u32)>,
    /// What each would weigh without slow start.
    pub(crate) full: Vec<u32>,
    /// Usable peers that get no share, best first: for a request that has tried all candidates, or finds them all full.
    pub(crate) fallback: Vec<usize>,
    /// Are there candidates that health calls unusable?
    pub(crate) panic: bool,
    /// Is any peer in its slow start, so that the same peers will give other weights in a moment?
    pub(crate) warming: bool,
}

/// Works out who gets what.
pub(crate) fn choose(peers: &[Peer], policy: &TierPolicy) -> Choice {
    let ramp = Ramp::new(peers, policy.slow_start_ms);
    let mut by_priority: Vec<usize> = (0..peers.len()).collect();
    by_priority.sort_by_key(|i| peers[*i].priority);
    let tiers: Vec<Tier<'_>> = by_priority
        .chunk_by(|a, b| peers[*a].priority == peers[*b].priority)
        .map(|members| Tier::measure(peers, members, &ramp))
        .collect();
    let in_panic = load::in_panic(&tiers, policy.panic_below);
    let all_panic = in_panic
        .iter()
        .zip(&tiers)
        .all(|(panic, tier)| *panic || tier.is_drained());

    // Where the subset ends, whether or not the group has a share now.
    let mut inside = vec![false; peers.len()];
    let mut groups: Vec<Group> = Vec::new();
    for ((tier, share), panic) in tiers.iter().zip(load::shares(&tiers)).zip(&in_panic) {
        if *panic {
            let group = subset::ranked_highest(
                peers,
                tier.members.iter().filter(|i| !peers[**i].drained),
                policy,
            );
            group.iter().for_each(|i| inside[*i] = true);
            groups.push(Group::new(share, group, true));
            continue;
        }
        let preferred_share = tier.preferred_share(share, policy.spill_below);
        for (preferred, share) in [(true, preferred_share), (false, share - preferred_share)] {
            let group = subset::ranked_highest(
                peers,
                tier.members
                    .iter()
                    .filter(|i| peers[**i].can_serve() && peers[**i].preferred_zone == preferred),
                policy,
            );
            group.iter().for_each(|i| inside[*i] = true);
            groups.push(Group::new(share, group, false));
        }
    }
    if all_panic {
        // No tier is better than another: each endpoint by its own weight.
        let members = groups.drain(..).flat_map(|g| g.members).collect();
        groups = vec![Group::new(ONE, members, true)];
    }
    groups.retain(|g| g.share > 0 && !g.members.is_empty());

    let weighed = weigh(peers, &groups, &ramp);
    let full = weighed.iter().map(|w| w.full).collect();
    let candidates: Vec<_> = weighed.iter().map(|w| (w.index, w.weight)).collect();
    let mut chosen = vec![false; peers.len()];
    candidates.iter().for_each(|(i, _)| chosen[*i] = true);
    let mut fallback: Vec<usize> = (0..peers.len())
        .filter(|i| peers[*i].can_serve() && !chosen[*i])
        .collect();
    fallback.sort_by_cached_key(|i| {
        let peer = &peers[*i];
        let rank = subset::rank(policy.seed, peer.key);
        (!inside[*i], peer.priority, !peer.preferred_zone, !rank, *i)
    });
    Choice {
        candidates,
        full,
        fallback,
        panic: groups.iter().any(|g| g.panic),
        warming: (0..peers.len()).any(|i| peers[i].can_serve() && ramp.is_ramping(&peers[i])),
    }
}

/// Peers that divide one share of the load by their weights.
struct Group {
    /// Of [`ONE`].
    share: u64,
    members: Vec<usize>,
    panic: bool,
}

impl Group {
    fn new(share: u64, members: Vec<usize>, panic: bool) -> Self {
        Self {
            share,
            members,
            panic,
        }
    }

    /// What a member is worth. In panic every bit of capacity is wanted: no ramps.
    fn worth(&self, peer: &Peer, ramp: &Ramp) -> u64 {
        u64::from(peer.weight)
            * if self.panic {
                ramp::FULL
            } else {
                ramp.factor(peer)
            }
    }
}

/// Turns shares of groups into one weight for each member, and one that it would have without its ramp.
///
/// Scales are powers of two, and the best served members have exactly their configured weight in them: what does not change is
/// the same number before and after, or a power of two apart. A ring of points needs that, or all points would move while
/// one endpoint starts slowly.
fn weigh(peers: &[Peer], groups: &[Group], ramp: &Ramp) -> Vec<Weighed> {
    if let [group] = groups {
        let factor = |i: &usize| group.worth(&peers[*i], ramp) / u64::from(peers[*i].weight);
        let first = group.members.first().map(factor);
        if group.members.iter().all(|i| Some(factor(i)) == first) {
            let weighed = |i: &usize| Weighed {
                index: *i,
                weight: peers[*i].weight,
                full: peers[*i].weight,
            };
            let mut same: Vec<Weighed> = group.members.iter().map(weighed).collect();
            same.sort_unstable();
            return same;
        }
    }
    let rates: Vec<Rate> = groups.iter().map(|g| Rate::of(peers, g, ramp)).collect();
    let Some(best) = rates.iter().copied().reduce(Rate::better) else {
        return Vec::new();
    };
    // In units of a factor and of a part, which together are a power of two.
    let one = u128::from(ramp::FULL) * u128::from(ONE);
    let mut exact: Vec<(usize, u128, u128)> = Vec::new();
    for (group, rate) in groups.iter().zip(&rates) {
        let part = rate.part_of(best);
        exact.extend(group.members.iter().map(|i| {
            let full = u128::from(peers[*i].weight) * u128::from(ramp::FULL);
            let worth = u128::from(group.worth(&peers[*i], ramp));
            (*i, worth * part, full * part)
        }));
    }
    let most = exact.iter().map(|(_, _, full)| *full).max().unwrap_or(1);
    let bits = (u128::from(LARGEST) * one / most.max(1)).max(1).ilog2();
    let scaled = |exact: u128| (((exact << bits) + one / 2) / one).max(1) as u32;
    let mut weighed: Vec<Weighed> = exact
        .into_iter()
        .map(|(index, worth, full)| Weighed {
            index,
            weight: scaled(worth),
            full: scaled(full),
        })
        .collect();
    weighed.sort_unstable();
    let zeros = weighed.iter().map(|w| (w.weight | w.full).trailing_zeros());
    let zeros = zeros.min().unwrap_or(0);
    for weighed in &mut weighed {
        weighed.weight >>= zeros;
        weighed.full >>= zeros;
    }
    weighed
}

/// What a member gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Weighed {
    index: usize,
    weight: u32,
    full: u32,
}

/// The largest weight that scaling gives. The lightest peer next to the heaviest (1 to 65,535), at the bottom of its ramp, is
/// still 409 units, so rounding costs it about a thousandth; and sums and products with counters stay far inside 64 bits.
const LARGEST: u32 = 1 << 28;

/// How much load a group has for what its members are worth.
#[derive(Clone, Copy)]
struct Rate {
    share: u128,
    worth: u128,
}

impl Rate {
    fn of(peers: &[Peer], group: &Group, ramp: &Ramp) -> Self {
        let worth = |i: &usize| u128::from(group.worth(&peers[*i], ramp));
        Self {
            share: group.share.into(),
            worth: group.members.iter().map(worth).sum(),
        }
    }

    fn better(self, other: Self) -> Self {
        match self.share * other.worth >= other.share * self.worth {
            true => self,
            false => other,
        }
    }

    /// How much it is of the best rate, in parts of [`ONE`].
    fn part_of(self, best: Self) -> u128 {
        let (share, worth) = (self.share * best.worth, self.worth * best.share);
        share * u128::from(ONE) / worth.max(1)
    }
}
