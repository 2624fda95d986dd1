//! Several shared limits that one request is to pass.
//!
//! Those in the same store are asked in one script call, which checks all first and counts only if none refuses: so a
//! request that is refused has used up nothing anywhere, and no other request ever sees that it was there. In a Cluster
//! that holds for limits whose keys are in one slot, such as those with the same `key`. Other limits are asked one after
//! another; once one refuses, those behind it are asked only what they would say, so that the client is told how long the
//! longest refuses, and what those before it counted is taken back.
//!
//! **Taking back** is one more script call for each store, or slot of a Cluster, that nobody waits for. Until it arrives, mostly less
//! than a millisecond later, another request of the same client may find what was refused still counted, and be refused for it:
//! never the other way round. It is not tried twice. If the server fails just then, or too many questions are under way, it
//! stays counted until it leaves the window, as if the request had passed. The same way goes back what earlier steps
//! of a request counted when a limit refuses that is asked later, such as one by user: see [`take_back`].
//!
//! A limit that is known to refuse still is not asked, nor are the others then: see `denials.rs`. In the limiters of
//! this Weir a request is counted last, and only if no limit refused it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::call::Part;
use super::error::StoreError;
use super::handle::Answer;
use super::shared::SharedLimiter;
use crate::{Key, OnStoreError, Plan, Verdict};

/// How many limits one script call checks at most; a Redis does nothing else meanwhile.
const MOST: usize = 32;

/// A question to a shared limit.
#[derive(Debug)]
pub struct SharedAsk<'l> {
    shared: &'l SharedLimiter,
    key: Key,
    plan: Plan,
    cost: u32,
    /// `None` where any number may pass.
    part: Option<Part>,
}

/// What a shared limit says about one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The verdict; `None` to refuse because the store could not be asked.
    pub verdict: Option<Verdict>,
    /// Why the store did not decide; `None` if it did.
    pub error: Option<StoreError>,
    /// Where the request was counted.
    pub counted: Counted,
}

/// Where a limit has counted a request, so that it can be taken back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    here: bool,
    /// In the store, and when by its clock.
    there: Option<i64>,
}

impl Counted {
    /// Only in the limiter of this Weir, if at all.
    pub const fn here(counted: bool) -> Self {
        Self {
            here: counted,
            there: None,
        }
    }

    /// Whether it was counted in the limiter of this Weir.
    pub const fn is_here(self) -> bool {
        self.here
    }
}

impl Decision {
    /// What is said where there is no limit.
    pub(crate) const UNLIMITED: Self = Self::from_here(Verdict::UNLIMITED);

    const fn from_here(verdict: Verdict) -> Self {
        Self {
            verdict: Some(verdict),
            error: None,
            counted: Counted::here(false),
        }
    }
}

impl<'l> SharedAsk<'l> {
    /// Asks for a request. `key` and `client` are what [`Limiter::key_and_text`](crate::Limiter::key_and_text) gives.
    pub fn new(shared: &'l SharedLimiter, key: Key, client: &[u8], plan: Plan, cost: u32) -> Self {
        let part = shared.quota(plan).map(|quota| Part {
            key: quota.key(client).into(),
            quota: Arc::clone(quota),
            cost,
            binding: !shared.limiter().spec().dry_run,
        });
        Self {
            shared,
            key,
            plan,
            cost,
            part,
        }
    }

    /// What is known without the store: that there is no limit, or that it refuses still.
    pub fn known(&self, now_ms: u64) -> Option<Decision> {
        if self.part.is_none() {
            return Some(Decision::UNLIMITED);
        }
        let denials = self.shared.denials();
        let refusal = denials.holds(self.key, self.plan, self.cost, now_ms);
        refusal.map(Decision::from_here)
    }

    /// Whether a request ends by this.
    fn refuses(&self, decision: &Decision) -> bool {
        match decision.verdict {
            Some(verdict) => !verdict.allowed && !self.shared.limiter().spec().dry_run,
            None => !self.shared.limiter().spec().dry_run,
        }
    }

    /// What happens without the store.
    fn alone(&self, now_ms: u64, why: StoreError) -> Decision {
        let limiter = self.shared.limiter();
        let ours = match self.shared.on_error() {
            OnStoreError::Local => Some(limiter.check(self.key, self.plan, self.cost, now_ms)),
            OnStoreError::Open => Some(limiter.count(self.key, self.plan, self.cost, now_ms)),
            OnStoreError::Closed => None,
        };
        let verdict = match (self.shared.on_error(), ours) {
            (OnStoreError::Open, Some(ours)) => Some(Verdict {
                allowed: true,
                retry_after_ms: 0,
                ..ours
            }),
            (_, ours) => ours,
        };
        Decision {
            verdict,
            error: Some(why),
            // What did not fit any more is not to be taken back.
            counted: Counted::here(ours.is_some_and(|ours| ours.allowed)),
        }
    }

    /// Whether the store, or this Weir, may have lost counts that still matter.
    fn is_recovering(&self, answer: &Answer) -> bool {
        let longest = self
            .part
            .as_ref()
            .map(|part| part.quota.longest_window_ms());
        let ago = answer.alone_ago.map(|ago| ago.as_millis());
        ago.zip(longest)
            .is_some_and(|(ago, longest)| ago < u128::from(longest))
    }

    /// Counts here what the store has counted; where it may have lost counts lately, both must agree.
    fn write_along(&self, decision: &mut Decision, recovering: bool, now_ms: u64) {
        let limiter = self.shared.limiter();
        let ours = if recovering {
            limiter.check(self.key, self.plan, self.cost, now_ms)
        } else {
            limiter.count(self.key, self.plan, self.cost, now_ms)
        };
        // What did not fit any more is not to be taken back.
        decision.counted.here = ours.allowed;
        if recovering && !ours.allowed {
            decision.verdict = Some(ours);
        }
    }
}

/// Asks several limits, and counts the request in all of them or, if one refuses that is not a dry run, in none.
///
/// The answers are in the order of the questions; `None` for one that was not asked because another refused. It waits for the
/// stores, for each question at most as long as the config of the engine says. `now_ms` is what
/// [`Limiter::check`](crate::Limiter::check) takes.
pub async fn check_together(asks: &[SharedAsk<'_>], now_ms: u64) -> Vec<Option<Decision>> {
    let mut decisions: Vec<_> = asks.iter().map(|ask| ask.known(now_ms)).collect();
    let refuses = |decisions: &[Option<Decision>]| {
        let mut both = asks.iter().zip(decisions);
        both.any(|(ask, decision)| decision.as_ref().is_some_and(|said| ask.refuses(said)))
    };
    if refuses(&decisions) {
        return decisions;
    }
    let mut recovering = vec![false; asks.len()];
    let mut groups = groups(asks, &decisions);
    let mut refused = false;
    while let Some(group) = groups.pop_front() {
        let parts = group.iter().filter_map(|&at| asks[at].part.clone());
        let Some(&first) = group.first() else {
            continue;
        };
        match asks[first]
            .shared
            .store()
            .ask(parts.collect(), !refused)
            .await
        {
            Ok(answer) => {
                for (&at, said) in group.iter().zip(&answer.said) {
                    let ask = &asks[at];
                    if !said.verdict.allowed {
                        let denials = ask.shared.denials();
                        denials.remember(ask.key, ask.plan, ask.cost, now_ms, said.verdict);
                    }
                    recovering[at] = said.counted && ask.is_recovering(&answer);
                    decisions[at] = Some(Decision {
                        verdict: Some(said.verdict),
                        error: None,
                        counted: Counted {
                            here: false,
                            there: said.counted.then_some(answer.at),
                        },
                    });
                }
            }
            // Their slot is moving.
            Err(StoreError::Moved) if group.len() > 1 => {
                for at in group.into_iter().rev() {
                    groups.push_front(vec![at]);
                }
                continue;
            }
            // What it would say does not matter so much.
            Err(_) if refused => {}
            Err(why) => {
                for at in group {
                    decisions[at] = Some(asks[at].alone(now_ms, why.clone()));
                }
            }
        }
        refused = refused || refuses(&decisions);
    }
    for (at, ask) in asks.iter().enumerate() {
        if let Some(decision) = &mut decisions[at]
            && decision.counted.there.is_some()
            && !refused
        {
            ask.write_along(decision, recovering[at], now_ms);
            refused = ask.refuses(decision);
        }
    }
    if refused {
        let counted = |decision: &mut Option<Decision>| {
            let decision = decision.as_mut();
            decision.map_or_else(Counted::default, |said| std::mem::take(&mut said.counted))
        };
        let all = decisions.iter_mut().map(counted);
        take_back(asks.iter().zip(all), now_ms);
    }
    decisions
}

/// Takes back what limits have counted for a request of this time, because something else refused it: here at once, in their stores
/// soon, without waiting.
pub fn take_back<'a, 'l: 'a>(
    asks: impl IntoIterator<Item = (&'a SharedAsk<'l>, Counted)>,
    now_ms: u64,
) {
    let mut there: Vec<(&SharedAsk<'_>, &Part, i64)> = Vec::new();
    for (ask, counted) in asks {
        if counted.here {
            let limiter = ask.shared.limiter();
            limiter.give_back(ask.key, ask.plan, ask.cost, now_ms);
        }
        if let (Some(at), Some(part)) = (counted.there, &ask.part) {
            there.push((ask, part, at));
        }
    }
    while let Some(&(first, part, _)) = there.first() {
        let store = first.shared.store();
        let place = store.place(&part.key);
        let mut parts = Vec::new();
        there.retain(|(ask, part, at)| {
            let same = parts.len() < MOST
                && store.is(ask.shared.store())
                && store.place(&part.key) == place;
            if same {
                parts.push(((*part).clone(), *at));
            }
            !same
        });
        store.take_back(parts.into());
    }
}

/// Which questions go out together: of those that nothing is known of, by store and, in a Cluster, slot.
fn groups(asks: &[SharedAsk<'_>], known: &[Option<Decision>]) -> VecDeque<Vec<usize>> {
    let mut groups: VecDeque<Vec<usize>> = VecDeque::new();
    for (at, ask) in asks.iter().enumerate() {
        let (Some(part), None) = (&ask.part, &known[at]) else {
            continue;
        };
        let store = ask.shared.store();
        let fits = |group: &&mut Vec<usize>| {
            let others = || group.iter().filter_map(|&at| asks[at].part.as_ref());
            group.len() < MOST
                && store.is(asks[group[0]].shared.store())
                && others().all(|other| {
                    // Twice the same count is two questions: the script looks at all before it counts.
                    other.key != part.key && store.place(&other.key) == store.place(&part.key)
                })
        };
        match groups.iter_mut().find(fits) {
            Some(group) => group.push(at),
            None => groups.push_back(vec![at]),
        }
    }
    groups
}
