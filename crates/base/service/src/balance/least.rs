//! Comparing endpoints by load, for least connections and for the better of two.
//!
//! Load is requests in flight divided by weight, compared crosswise so that nothing is rounded. At moderate traffic most
//! endpoints tie at zero, and then what decides the tie decides everything: ties go to the endpoint with fewer recent
//! picks for its weight. Without this, "least connections" sends everything to the first idle endpoint, and "the better
//! of two" is no better than chance.

use crate::rng::Rng;
use crate::set::Member;

/// The load of one endpoint at the moment it was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    active: u64,
    weight: u64,
}

impl Load {
    #[inline]
    pub(crate) fn of(member: &Member) -> Self {
        Self {
            active: u64::from(member.endpoint.active()),
            weight: u64::from(member.weight),
        }
    }

    /// Is `self`, the load of `this`, less than `other`, the load of `that`?
    #[inline]
    pub(crate) fn is_less(self, this: &Member, other: Self, that: &Member, now_ms: u64) -> bool {
        let (mine, theirs) = (self.active * other.weight, other.active * self.weight);
        if mine != theirs {
            return mine < theirs;
        }
        let mine = u64::from(this.endpoint.recent_picks(now_ms)) * other.weight;
        let theirs = u64::from(that.endpoint.recent_picks(now_ms)) * self.weight;
        mine < theirs
    }
}

/// Up to this many candidates, least connections looks at all of them.
const WINDOW: usize = 16;

/// The least loaded candidate among those that `skip` does not name.
///
/// Exact up to 16 candidates. Above that a pick looks at 16 in a row from a random one on, because reading the counters of
/// all, which other processors write to, would cost more than the rest of a request. The best of 16 is as good as the
/// best of all to within a request or two: with d choices the gap above the mean is log log n / log d (Mitzenmacher's
/// survey). Windows that took turns would not do: those that overlap at the wrap would for ever get less than their share.
#[inline]
pub(crate) fn least_loaded(
    candidates: &[Member],
    rng: &mut Rng,
    now_ms: u64,
    skip: impl Fn(&Member) -> bool,
) -> Option<usize> {
    let n = candidates.len();
    let start = rng.below(n as u32) as usize;
    let wrapped = (start + n.min(WINDOW)).saturating_sub(n);
    let (first, second) = (
        &candidates[start..n.min(start + WINDOW)],
        &candidates[..wrapped],
    );
    let mut best: Option<(usize, &Member, Load)> = None;
    for (index, member) in first.iter().chain(second).enumerate() {
        let load = Load::of(member);
        // Few are better than the best so far: ask about those only.
        let better =
            best.is_none_or(|(_, other, least)| load.is_less(member, least, other, now_ms));
        if better && !skip(member) {
            best = Some((index, member, load));
        }
    }
    best.map(|(index, ..)| (start + index) % n)
}
