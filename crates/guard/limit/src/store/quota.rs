//! A quota as the store's scripts take it.
//!
//! One script call checks all tiers of all limits that it is asked about and consumes all of them or none, with the
//! store's own clock, so several Weirs with different clocks share one limit exactly. Each algorithm keeps one value for
//! each key, whatever the number of tiers: a string of times, or a hash of a few fields. The name in the value's key says
//! which algorithm it belongs to, and what a client is known by stands in braces, the hash tag of Redis Cluster: all that a
//! check of one limit touches lies in one slot, and so do several limits by the same `key`. Nothing in the state depends
//! on how high a limit is, so a limit can be raised or lowered while its counts stay. Everything ends by itself once it
//! cannot matter any more.
//!
//! | algorithm | state for each key |
//! |---|---|
//! | `sliding_log` | 8 bytes for each unit accepted, at most twice as many as the largest limit |
//! | `sliding_window` | 22 numbers for each tier |
//! | `fixed_window`, `token_bucket`, `smooth` | 2 numbers for each tier |

use crate::{Algorithm, Quota, Tier};

/// A window slides by this part of its length; as on one machine.
const PARTS: u64 = 20;

/// The limits of one [`Quota`] that a store counts, ready to be asked for.
#[derive(Debug)]
pub struct SharedQuota {
    /// What the script calls the algorithm.
    pub(crate) kind: &'static str,
    /// What the keys begin with.
    head: Vec<u8>,
    /// What the script is told of the tiers.
    pub(crate) arguments: Vec<String>,
    pub(crate) windows_ms: Vec<u64>,
}

impl SharedQuota {
    /// `None` if the quota limits nothing that can be counted elsewhere: how many requests are in flight is counted by
    /// each Weir for itself.
    pub(crate) fn new(
        prefix: &str,
        limit: &str,
        plan: Option<&str>,
        quota: &Quota,
    ) -> Option<Self> {
        if quota.tiers.is_empty() {
            return None;
        }
        let kind = kind(quota.algorithm);
        let mut head = format!("{prefix}:{kind}:").into_bytes();
        put_name(&mut head, limit);
        if let Some(plan) = plan {
            head.push(b'/');
            put_name(&mut head, plan);
        }
        head.extend_from_slice(b":{");
        Some(Self {
            kind,
            head,
            arguments: quota
                .tiers
                .iter()
                .flat_map(|tier| arguments(quota.algorithm, tier))
                .map(|number| number.to_string())
                .collect(),
            windows_ms: quota.tiers.iter().map(|tier| tier.window_ms).collect(),
        })
    }

    /// After so long nothing counts any more that passed before.
    pub(crate) fn longest_window_ms(&self) -> u64 {
        self.windows_ms.iter().copied().max().unwrap_or(0)
    }

    /// Where the state of a client is kept.
    pub(crate) fn key(&self, of: &[u8]) -> Vec<u8> {
        let mut key = Vec::with_capacity(self.head.len() + of.len() + 1);
        key.extend_from_slice(&self.head);
        key.extend_from_slice(of);
        key.push(b'}');
        key
    }
}

/// Braces would be taken for the hash tag, and what is not a plain letter makes keys hard to read.
fn put_name(head: &mut Vec<u8>, name: &str) {
    for byte in name.bytes() {
        match byte {
            b'{' | b'}' | b'%' | b':' | 0..=b' ' | 127.. => {
                head.extend_from_slice(format!("%{byte:02X}").as_bytes());
            }
            _ => head.push(byte),
        }
    }
}

/// What a tier is to its script; times in microseconds.
fn arguments(algorithm: Algorithm, tier: &Tier) -> Vec<u64> {
    let count = u64::from(tier.count);
    let window = tier.window_ms.saturating_mul(1000);
    match algorithm {
        Algorithm::SlidingLog | Algorithm::FixedWindow => vec![count, window],
        Algorithm::SlidingWindow => vec![count, window.div_ceil(PARTS), PARTS],
        Algorithm::TokenBucket | Algorithm::Smooth => {
            let common = gcd(count, window).max(1);
            vec![u64::from(tier.burst), count / common, window / common]
        }
    }
}

const fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

const fn kind(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::SlidingLog => "log",
        Algorithm::SlidingWindow => "window",
        Algorithm::FixedWindow => "fixed",
        Algorithm::TokenBucket | Algorithm::Smooth => "bucket",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(algorithm: Algorithm, tiers: &[Tier]) -> Quota {
        Quota {
            algorithm,
            tiers: tiers.into(),
            concurrency: Some(3),
        }
    }

    #[test]
    fn keys_have_one_hash_tag_whatever_the_names() {
        let quota = quota(Algorithm::SlidingLog, &[Tier::new(1, 1000)]);
        let shared = SharedQuota::new("weir", "per_ip", None, &quota).expect("a tier");
        assert_eq!(shared.key(b"192.0.2.1"), b"weir:log:per_ip:{192.0.2.1}");
        let shared = SharedQuota::new("w", "/a/{id} b", Some("gold"), &quota).expect("a tier");
        assert_eq!(shared.key(b"x"), b"w:log:/a/%7Bid%7D%20b/gold:{x}");
    }

    #[test]
    fn paces_are_whole_numbers() {
        for (count, window_ms, gain, unit) in
            [(10, 1000, 1, 100_000), (7, 1, 7, 1000), (3000, 1, 3, 1)]
        {
            let tier = Tier::new(count, window_ms);
            let numbers = arguments(Algorithm::TokenBucket, &tier);
            assert_eq!(numbers, [u64::from(count), gain, unit]);
        }
    }

    #[test]
    fn only_concurrency_needs_no_store() {
        let none = quota(Algorithm::SlidingLog, &[]);
        assert!(SharedQuota::new("weir", "x", None, &none).is_none());
    }
}
