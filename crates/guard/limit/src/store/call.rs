//! What is sent to the scripts, and what their answers mean.
//!
//! There are two: one checks any number of limits and counts in all of them or none, whatever their algorithms; the other
//! takes back what was counted for a request that something else refused.

use std::sync::{Arc, LazyLock};

use redis::{Cmd, Script, Value};

use super::quota::SharedQuota;
use crate::Verdict;

/// One limit, for one client.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) quota: Arc<SharedQuota>,
    /// Where its state is.
    pub(crate) key: Arc<[u8]>,
    pub(crate) cost: u32,
    /// Whether it refuses; one that is a dry run has no say.
    pub(crate) binding: bool,
}

/// What is wanted of a store, in one script call.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    /// To check limits and, if so wanted, to count if they allow.
    Check { parts: Arc<[Part]>, count: bool },
    /// To take back what was counted at these times of the store.
    TakeBack(Arc<[(Part, i64)]>),
}

/// What a check answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// What each limit says; `None` if the check came too late and counted nothing.
    pub(crate) said: Option<Vec<Said>>,
    /// The store's time, in microseconds since 1970.
    pub(crate) at: i64,
}

/// What a check answers of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) verdict: Verdict,
    pub(crate) counted: bool,
}

impl Call {
    /// A key that decides where it goes.
    pub(crate) fn key(&self) -> &[u8] {
        match self {
            Self::Check { parts, .. } => parts.first().map_or(b"", |part| &part.key),
            Self::TakeBack(parts) => parts.first().map_or(b"", |(part, _)| &part.key),
        }
    }

    /// How many limits it is about.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Check { parts, .. } => parts.len(),
            Self::TakeBack(parts) => parts.len(),
        }
    }

    /// The call: by the script's name, or `whole` for a server that does not know it. A check counts nothing after `until`.
    pub(crate) fn command(&self, until: i64, whole: bool) -> Cmd {
        match self {
            Self::Check { parts, count } => {
                let keys = parts.iter().map(|part| &part.key);
                let mut command = CHECK.call(keys, whole);
                command.arg(until).arg(u8::from(*count));
                for part in &**parts {
                    put(&mut command, part, i64::from(part.binding));
                }
                command
            }
            Self::TakeBack(parts) => {
                let keys = parts.iter().map(|(part, _)| &part.key);
                let mut command = TAKE_BACK.call(keys, whole);
                for (part, counted_at) in &**parts {
                    put(&mut command, part, *counted_at);
                }
                command
            }
        }
    }

    /// What the answer to a check means; `None` if it is not one of the script's.
    pub(crate) fn read(&self, answer: &Value) -> Option<Told> {
        let (Self::Check { parts, .. }, Value::Array(numbers)) = (self, answer) else {
            return None;
        };
        let mut numbers = numbers.iter().map(|number| match number {
            Value::Int(number) => Some(*number),
            _ => None,
        });
        let mut next = || numbers.next().flatten();
        let mut said = Vec::with_capacity(parts.len());
        for part in &**parts {
            let (state, tier, left, resets, fits) = (next()?, next()?, next()?, next()?, next()?);
            if state < 0 {
                return Some(Told {
                    said: None,
                    at: next()?,
                });
            }
            let verdict = verdict(&part.quota, state > 0, tier, (left, resets, fits))?;
            said.push(Said {
                verdict,
                counted: state == 1,
            });
        }
        Some(Told {
            said: Some(said),
            at: next()?,
        })
    }
}

fn put(command: &mut Cmd, part: &Part, what: i64) {
    let arguments = &part.quota.arguments;
    command.arg(part.quota.kind).arg(part.cost).arg(what);
    command.arg(arguments.len());
    for argument in arguments {
        command.arg(argument);
    }
}

fn verdict(
    quota: &SharedQuota,
    allowed: bool,
    tier: i64,
    (left, resets, fits): (i64, i64, i64),
) -> Option<Verdict> {
    let tier = usize::try_from(tier).ok()?.checked_sub(1)?;
    let window = *quota.windows_ms.get(tier)?;
    let millis = |micros: i64| u64::try_from(micros).unwrap_or(0).div_ceil(1000);
    let reset_ms = millis(resets);
    let retry_after_ms = match fits {
        _ if allowed => 0,
        // It never would: it costs more than the limit.
        ..0 => window.max(reset_ms),
        fits => millis(fits).max(reset_ms),
    };
    Some(Verdict {
        allowed,
        tier: u8::try_from(tier).ok()?,
        remaining: u32::try_from(left.max(0)).unwrap_or(u32::MAX),
        reset_ms,
        retry_after_ms,
    })
}

/// A script and the name that a server knows it by once it ran.
#[derive(Debug)]
struct Code {
    text: &'static str,
    sha1: String,
}

impl Code {
    fn new(text: &'static str) -> Self {
        let sha1 = Script::new(text).get_hash().to_owned();
        Self { text, sha1 }
    }

    fn call<'k>(&self, keys: impl ExactSizeIterator<Item = &'k Arc<[u8]>>, whole: bool) -> Cmd {
        let mut command = if whole {
            let mut command = redis::cmd("EVAL");
            command.arg(self.text);
            command
        } else {
            let mut command = redis::cmd("EVALSHA");
            command.arg(&self.sha1);
            command
        };
        command.arg(keys.len());
        for key in keys {
            command.arg(&**key);
        }
        command
    }
}

static CHECK: LazyLock<Code> = LazyLock::new(|| {
    Code::new(concat!(
        include_str!("scripts/prelude.lua"),
        include_str!("scripts/log.lua"),
        include_str!("scripts/window.lua"),
        include_str!("scripts/fixed.lua"),
        include_str!("scripts/bucket.lua"),
        include_str!("scripts/check.lua"),
    ))
});

static TAKE_BACK: LazyLock<Code> =
    LazyLock::new(|| Code::new(include_str!("scripts/take_back.lua")));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Algorithm, Quota, Tier};

    #[test]
    fn answers_are_read_with_care() {
        let quota = Quota {
            algorithm: Algorithm::SlidingLog,
            tiers: Box::new([Tier::new(1, 1000)]),
            concurrency: None,
        };
        let quota = SharedQuota::new("weir", "x", None, &quota).expect("a tier");
        let part = Part {
            key: quota.key(b"a").into(),
            quota: Arc::new(quota),
            cost: 1,
            binding: true,
        };
        let check = |parts: &[Part]| Call::Check {
            parts: parts.into(),
            count: true,
        };
        let read = |call: &Call, numbers: &[i64]| {
            call.read(&Value::Array(
                numbers.iter().map(|n| Value::Int(*n)).collect(),
            ))
        };
        let one = check(std::slice::from_ref(&part));
        let denied = read(&one, &[0, 1, 0, 1001, 999_001, 7]).expect("read");
        assert_eq!(denied.at, 7);
        let verdict = denied.said.expect("in time")[0].verdict;
        assert_eq!((verdict.reset_ms, verdict.retry_after_ms), (2, 1000));
        let never = read(&one, &[0, 1, 0, 1, -1, 7]).and_then(|told| told.said);
        let never = never.map(|said| said[0].verdict.retry_after_ms);
        assert_eq!(never, Some(1000));
        let late = read(&one, &[-1, 0, 0, 0, 0, 7]).expect("read");
        assert_eq!((late.said, late.at), (None, 7));
        for broken in [&[1, 0, 1, 1, 0, 7][..], &[1, 2, 1, 1, 0, 7], &[1, 1], &[]] {
            assert_eq!(read(&one, broken), None);
        }
        assert_eq!(one.read(&Value::Okay), None);
        let two = check(&[part.clone(), part]);
        let both = read(&two, &[2, 1, 3, 9, 0, 0, 1, 0, 9, 9, 7]).expect("read");
        let both = both.said.expect("in time");
        assert!(both[0].verdict.allowed && !both[0].counted && !both[1].verdict.allowed);
        assert_eq!(read(&two, &[1, 1, 0, 1, 0, 7]), None, "of one of them");
    }
}
