//! A quota as the store's scripts take it.
//!
//! One script call checks all tiers of a key and consumes all of them or none, with the store's own clock, so several
//! Weirs with different clocks share one limit exactly. Each algorithm keeps one value for each key, whatever the
//! number of tiers: a string of times, or a hash of a few fields. The name in the value's key says which algorithm it
//! belongs to, and what a client is known by stands in braces, the hash tag of Redis Cluster: all that a check touches
//! lies in one slot. Nothing in the state depends on how high a limit is, so a limit can be raised or lowered while
//! its counts stay. Everything ends by itself once it cannot matter any more.
//!
//! | algorithm | state for each key |
//! |---|---|
//! | `sliding_log` | 8 bytes for each unit accepted, at most twice as many as the largest limit |
//! | `sliding_window` | 22 numbers for each tier |
//! | `fixed_window`, `token_bucket`, `smooth` | 2 numbers for each tier |

use std::sync::LazyLock;

use redis::{Cmd, Script, Value};

use crate::{Algorithm, Quota, Tier, Verdict};

/// A window slides by this part of its length; as on one machine.
const PARTS: u64 = 20;

/// What a check answers besides the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// What the limit says; `None` if the check came too late and counted nothing.
    pub(crate) verdict: Option<Verdict>,
    /// The store's time, in microseconds since 1970.
    pub(crate) at: i64,
}

/// The limits of one [`Quota`] that a store counts, ready to be asked for.
#[derive(Debug)]
pub struct SharedQuota {
    code: &'static Code,
    /// What the keys begin with.
    head: Vec<u8>,
    /// What the script is told of the tiers.
    arguments: Vec<String>,
    windows_ms: Vec<u64>,
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
        let (kind, code) = code(quota.algorithm);
        let mut head = format!("{prefix}:{kind}:").into_bytes();
        put_name(&mut head, limit);
        if let Some(plan) = plan {
            head.push(b'/');
            put_name(&mut head, plan);
        }
        head.extend_from_slice(b":{");
        Some(Self {
            code,
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

    /// The call: by the script's name, or `whole` for a server that does not know it.
    pub(crate) fn call(&self, key: &[u8], cost: u32, until: i64, whole: bool) -> Cmd {
        let mut command = if whole {
            let mut command = redis::cmd("EVAL");
            command.arg(self.code.text);
            command
        } else {
            let mut command = redis::cmd("EVALSHA");
            command.arg(&self.code.sha1);
            command
        };
        command.arg(1).arg(key).arg(cost).arg(until);
        for argument in &self.arguments {
            command.arg(argument);
        }
        command
    }

    /// What the answer means; `None` if it is not one of the script's.
    pub(crate) fn read(&self, answer: &Value) -> Option<Told> {
        let Value::Array(numbers) = answer else {
            return None;
        };
        let mut numbers = numbers.iter().map(|number| match number {
            Value::Int(number) => Some(*number),
            _ => None,
        });
        let mut next = || numbers.next().flatten();
        let (state, tier, left, resets, fits, at) =
            (next()?, next()?, next()?, next()?, next()?, next()?);
        if state < 0 {
            return Some(Told { verdict: None, at });
        }
        let tier = usize::try_from(tier).ok()?.checked_sub(1)?;
        let window = *self.windows_ms.get(tier)?;
        let millis = |micros: i64| u64::try_from(micros).unwrap_or(0).div_ceil(1000);
        let reset_ms = millis(resets);
        let allowed = state == 1;
        let retry_after_ms = match fits {
            _ if allowed => 0,
            // It never would: it costs more than the limit.
            ..0 => window.max(reset_ms),
            fits => millis(fits).max(reset_ms),
        };
        Some(Told {
            verdict: Some(Verdict {
                allowed,
                tier: u8::try_from(tier).ok()?,
                remaining: u32::try_from(left.max(0)).unwrap_or(u32::MAX),
                reset_ms,
                retry_after_ms,
            }),
            at,
        })
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

/// A script and the name that a server knows it by once it ran.
#[derive(Debug)]
struct Code {
    text: &'static str,
    sha1: String,
}

fn code(algorithm: Algorithm) -> (&'static str, &'static Code) {
    macro_rules! code {
        ($file:literal) => {{
            static CODE: LazyLock<Code> = LazyLock::new(|| {
                let text = concat!(include_str!("scripts/prelude.lua"), include_str!($file));
                let sha1 = Script::new(text).get_hash().to_owned();
                Code { text, sha1 }
            });
            &CODE
        }};
    }
    match algorithm {
        Algorithm::SlidingLog => ("log", code!("scripts/log.lua")),
        Algorithm::SlidingWindow => ("window", code!("scripts/window.lua")),
        Algorithm::FixedWindow => ("fixed", code!("scripts/fixed.lua")),
        Algorithm::TokenBucket | Algorithm::Smooth => ("bucket", code!("scripts/bucket.lua")),
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

    #[test]
    fn answers_are_read_with_care() {
        let quota = quota(Algorithm::SlidingLog, &[Tier::new(1, 1000)]);
        let shared = SharedQuota::new("weir", "x", None, &quota).expect("a tier");
        let answer = |numbers: &[i64]| {
            shared.read(&Value::Array(
                numbers.iter().map(|n| Value::Int(*n)).collect(),
            ))
        };
        let denied = answer(&[0, 1, 0, 1001, 999_001, 7]).expect("read");
        assert_eq!(denied.at, 7);
        let verdict = denied.verdict.expect("in time");
        assert_eq!((verdict.reset_ms, verdict.retry_after_ms), (2, 1000));
        let never = answer(&[0, 1, 0, 1, -1, 7]).and_then(|told| told.verdict);
        assert_eq!(never.map(|verdict| verdict.retry_after_ms), Some(1000));
        assert_eq!(
            answer(&[-1, 0, 0, 0, 0, 7]).map(|told| told.verdict),
            Some(None)
        );
        for broken in [&[1, 0, 1, 1, 0, 7][..], &[1, 2, 1, 1, 0, 7], &[1, 1], &[]] {
            assert_eq!(answer(broken), None);
        }
        assert_eq!(shared.read(&Value::Okay), None);
    }
}
