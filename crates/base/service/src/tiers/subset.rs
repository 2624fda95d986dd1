//! Which few of many endpoints this instance uses.
//!
//! A fleet of proxies times thousands of endpoints is more connections and health checks than either side wants. Each instance
//! ranks all endpoints by a hash of its own seed and the endpoint's key, and uses the first so many (rendezvous hashing): an
//! endpoint that comes or goes changes at most one place of an instance's subset, and instances choose independently, which
//! spreads the fleet over the endpoints.

use super::{Peer, TierPolicy};

/// The peers of `members` that rank highest, at most as many as the policy wants, in the order of their indexes.
pub(super) fn ranked_highest<'a>(
    peers: &[Peer],
    members: impl Iterator<Item = &'a usize>,
    policy: &TierPolicy,
) -> Vec<usize> {
    let mut members: Vec<usize> = members.copied().collect();
    let most = policy.subset as usize;
    if most > 0 && most < members.len() {
        members.sort_by_cached_key(|i| (!rank(policy.seed, peers[*i].key), peers[*i].key, *i));
        members.truncate(most);
        members.sort_unstable();
    }
    members
}

/// Where an endpoint ranks for an instance: splitmix64's finalizer over both.
pub(super) fn rank(seed: u64, key: u64) -> u64 {
    let mut x = mix(seed ^ 0x9e37_79b9_7f4a_7c15) ^ key;
    x = mix(x.wrapping_add(0x9e37_79b9_7f4a_7c15));
    x
}

fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
