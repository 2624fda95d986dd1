//! The endpoints of a service at one moment, immutable.
//!
//! Whatever changes membership, weights or health builds a new set on the control runtime and publishes it; workers only
//! ever read one. So everything that can be computed once per change is computed here, and not per request: who may be
//! chosen and how often ([`tiers`](crate::tiers)), and the tables for weighted draws and consistent hashes.

use std::sync::Arc;

use crate::balance::{Draws, HashMethod, HashPeer, HashTable};
use crate::breaker::Breaker;
use crate::endpoint::Endpoint;
use crate::policy::Policy;
use crate::spec::Balance;
use crate::tiers::{Choice, Peer, TierPolicy, choose};

/// An endpoint with its share.
#[derive(Debug, Clone)]
pub struct Member {
    /// The endpoint, shared with other sets.
    pub endpoint: Arc<Endpoint>,
    /// Its share relative to the others; at least 1.
    pub weight: u32,
    /// 0 comes first; others take over what those before cannot carry.
    pub priority: u8,
    /// Where it runs.
    pub zone: Option<Arc<str>>,
    /// Its own circuit breaker.
    pub breaker: Option<Arc<Breaker>>,
}

impl Member {
    /// What sending a request here would cost; lower is better. Its weight, beside the mean, says how much its requests in
    /// flight count; not its response time, or the heavier of two idle ones would get everything.
    #[inline]
    pub(crate) fn score(&self, mean_weight: u64, now_ms: u64) -> u64 {
        let active = u64::from(self.endpoint.active()) * mean_weight / u64::from(self.weight);
        self.endpoint
            .score(u32::try_from(active).unwrap_or(u32::MAX), now_ms)
    }
}

/// The endpoints of a service at one moment.
#[derive(Debug)]
pub struct EndpointSet {
    all: Box<[Member]>,
    choice: Choice,
    /// Those that may be chosen, with the weights that they have now; then those in reserve, the best first.
    members: Box<[Member]>,
    /// How many of these may be chosen.
    candidates: usize,
    draws: Draws,
    hash: Option<HashTable>,
    /// Keys of the members, sorted, for finding the one that a client is used to.
    keys: Box<[(u64, u32)]>,
    total_weight: u64,
    /// Most requests in flight at one endpoint.
    connections: u32,
    bounded: Option<u32>,
}

impl EndpointSet {
    /// Sorts out who may be chosen, from what is known about each endpoint now.
    pub(crate) fn new(all: Vec<Member>, balance: &Balance, policy: &Policy, now_ms: u64) -> Self {
        let choice = choose(&peers(&all, policy, now_ms), &tier_policy(policy));
        let chosen = choice.candidates.iter().map(|(index, weight)| Member {
            weight: *weight,
            ..all[*index].clone()
        });
        let reserve = choice.fallback.iter().map(|index| all[*index].clone());
        let members: Box<[Member]> = chosen.chain(reserve).collect();
        let candidates = &members[..choice.candidates.len()];
        let weights: Vec<u32> = candidates.iter().map(|m| m.weight).collect();
        let method = match balance {
            Balance::IpHash => Some(HashMethod::Maglev),
            Balance::Hash(by) => Some(by.method),
            _ => None,
        };
        let hash = method.filter(|_| candidates.len() > 1).map(|method| {
            let peer = |(m, full): (&Member, &u32)| HashPeer {
                key: m.endpoint.key(),
                weight: m.weight,
                full: *full,
            };
            let peers: Vec<_> = candidates.iter().zip(&choice.full).map(peer).collect();
            HashTable::build(method, &peers)
        });
        let mut keys: Box<[(u64, u32)]> = (0..)
            .zip(&members)
            .map(|(index, m)| (m.endpoint.key(), index))
            .collect();
        keys.sort_unstable();
        Self {
            draws: Draws::new(&weights),
            hash,
            keys,
            candidates: weights.len(),
            total_weight: weights.iter().map(|w| u64::from(*w)).sum(),
            connections: policy.limits.connections.unwrap_or(u32::MAX),
            bounded: match balance {
                Balance::Hash(by) => by.bounded,
                _ => None,
            },
            choice,
            members,
            all: all.into_boxed_slice(),
        }
    }

    /// All endpoints, usable or not.
    pub fn all(&self) -> &[Member] {
        &self.all
    }

    /// Those that requests may go to, with the weights that they have now.
    pub fn candidates(&self) -> &[Member] {
        &self.members[..self.candidates]
    }

    /// Those that get requests only if no candidate will do, the best first.
    pub fn reserve(&self) -> &[Member] {
        &self.members[self.candidates..]
    }

    /// Are too few endpoints usable, so that all are used?
    pub fn is_panic(&self) -> bool {
        self.choice.panic
    }

    /// Do some weights grow with time?
    pub(crate) fn is_warming(&self) -> bool {
        self.choice.warming
    }

    /// A candidate, or beyond these, one in reserve.
    #[inline]
    pub(crate) fn member(&self, index: u32) -> &Member {
        &self.members[index as usize]
    }

    /// Where the member with this key stands.
    pub(crate) fn position(&self, key: u64) -> Option<u32> {
        let at = self.keys.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        Some(self.keys[at].1)
    }

    #[inline]
    pub(crate) fn draws(&self) -> &Draws {
        &self.draws
    }

    #[inline]
    pub(crate) fn hash(&self) -> Option<&HashTable> {
        self.hash.as_ref()
    }

    /// Most requests in flight at one endpoint.
    #[inline]
    pub(crate) fn connections(&self) -> u32 {
        self.connections
    }

    /// How far above its share a hash may load an endpoint, in percent.
    #[inline]
    pub(crate) fn bounded(&self) -> Option<u32> {
        self.bounded
    }

    #[inline]
    pub(crate) fn total_weight(&self) -> u64 {
        self.total_weight
    }

    /// The mean weight of the candidates; at least 1.
    #[inline]
    pub(crate) fn mean_weight(&self) -> u64 {
        (self.total_weight / (self.candidates as u64).max(1)).max(1)
    }

    /// Would a set built now from the same members choose among the same endpoints with the same weights?
    pub(crate) fn is_current(&self, policy: &Policy, now_ms: u64) -> bool {
        choose(&peers(&self.all, policy, now_ms), &tier_policy(policy)) == self.choice
    }
}

fn peers(all: &[Member], policy: &Policy, now_ms: u64) -> Vec<Peer> {
    // The others can be gone before control has looked again: an ejection never leaves nobody.
    let spared = !all.iter().any(|m| m.endpoint.is_usable());
    let peer = |m: &Member| Peer {
        weight: m.weight,
        priority: m.priority.into(),
        preferred_zone: policy.zone.is_none() || policy.zone == m.zone,
        usable: m.endpoint.is_usable() || (spared && m.endpoint.is_sound()),
        drained: m.endpoint.is_draining(),
        ready_for_ms: m.endpoint.ready_for_ms(now_ms),
        key: m.endpoint.key(),
    };
    all.iter().map(peer).collect()
}

fn tier_policy(policy: &Policy) -> TierPolicy {
    TierPolicy {
        panic_below: policy.panic_below,
        spill_below: policy.spill_below,
        slow_start_ms: policy.slow_start_ms,
        subset: policy.subset.unwrap_or(0),
        seed: policy.instance,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Thresholds;

    #[test]
    fn candidates_by_state() {
        let t = Thresholds {
            healthy_after: 1,
            unhealthy_after: 1,
        };
        let policy = Policy {
            panic_below: 0,
            ..Policy::off()
        };
        let panicking = Policy {
            panic_below: 50,
            ..Policy::off()
        };
        // u unknown, h healthy, d dead (unhealthy), o taken out by an operator, e ejected
        for (states, policy, expected, panic) in [
            ("", &policy, "", false),
            ("uh", &policy, "uh", false),
            ("udh", &policy, "uh", false),
            ("dd", &policy, "", false),
            ("dd", &panicking, "dd", true),
            ("ddd", &panicking, "ddd", true),
            ("do", &panicking, "d", true),
            ("oo", &panicking, "", false),
            ("ho", &panicking, "h", false),
            ("ded", &policy, "e", false),
            ("he", &panicking, "h", false),
            ("heee", &panicking, "heee", true),
        ] {
            let member = |state: char| {
                let endpoint = Endpoint::new(([127, 0, 0, 1], 1).into(), state.to_string());
                match state {
                    'h' => drop(endpoint.checked_as(t, Ok(()), 0)),
                    'd' => drop(endpoint.checked_as(t, Err("dead"), 0)),
                    'o' => drop(endpoint.set_draining(true, 0)),
                    'e' => endpoint.eject("failing".into()),
                    _ => {}
                }
                Member {
                    endpoint: Arc::new(endpoint),
                    weight: 1,
                    priority: 0,
                    zone: None,
                    breaker: None,
                }
            };
            let members = states.chars().map(member).collect();
            let set = EndpointSet::new(members, &Balance::P2c, policy, 0);
            let candidates: String = set
                .candidates()
                .iter()
                .map(|m| &**m.endpoint.label())
                .collect();
            assert_eq!(
                (candidates.as_str(), set.is_panic()),
                (expected, panic),
                "{states}"
            );
            assert!(set.is_current(policy, 0));
        }
    }

    #[test]
    fn a_slow_start_moves_keys_to_the_newcomer_and_no_others() {
        let policy = Policy {
            slow_start_ms: 10_000,
            ..Policy::off()
        };
        let mut rng = crate::rng::Rng::new(3);
        let keys: Vec<u64> = (0..2_000).map(|_| rng.next_u64()).collect();
        for method in [HashMethod::Ring, HashMethod::Rendezvous] {
            let balance = Balance::Hash(crate::HashBy {
                on: crate::HashOn::Ip,
                method,
                bounded: None,
            });
            for (n, weights) in [(2, 1), (3, 1), (10, 1), (12, 1), (10, 7), (33, 3)] {
                let members = |new: &Arc<Endpoint>| -> Vec<Member> {
                    let old = (1..n).map(|port| {
                        let endpoint = Endpoint::new(([10, 0, 0, 1], port).into(), "old");
                        (Arc::new(endpoint), 1 + u32::from(port) % weights)
                    });
                    old.chain([(Arc::clone(new), weights)])
                        .map(|(endpoint, weight)| Member {
                            endpoint,
                            weight,
                            priority: 0,
                            zone: None,
                            breaker: None,
                        })
                        .collect()
                };
                let new = Arc::new(Endpoint::new(([10, 0, 0, 2], 80).into(), "new"));
                new.joined(1_000);
                let members = members(&new);
                let picks = |now_ms| -> Vec<std::net::SocketAddr> {
                    let set = EndpointSet::new(members.clone(), &balance, &policy, now_ms);
                    let table = set.hash().expect("a table");
                    let pick = |key: &u64| {
                        let index = table.walk(*key).next().expect("somebody");
                        set.member(index).endpoint.address()
                    };
                    keys.iter().map(pick).collect()
                };
                let mut before = picks(1_000);
                let mut moved = 0;
                for now in (1_000..12_000).step_by(370) {
                    let after = picks(now);
                    for (old, now) in before.iter().zip(&after) {
                        assert!(
                            old == now || *now == new.address(),
                            "{method:?} {n} {weights}"
                        );
                        moved += u32::from(old != now);
                    }
                    before = after;
                }
                assert!(moved > 0, "{method:?} {n} {weights}");
            }
        }
    }
}
