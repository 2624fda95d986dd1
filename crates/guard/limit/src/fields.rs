//! What clients are told: header fields about limits.
//!
//! `RateLimit-Policy` names every limit, and `RateLimit` the one that is closest, of each limiter
//! (draft-ietf-httpapi-ratelimit-headers; both are lists of RFC 9651). The older `X-RateLimit-*` have room for one limit only:
//! the closest of all. A refusal always says `Retry-After` (RFC 9110, 10.2.3).
//!
//! Times are rounded up to whole seconds: who waits that long has waited long enough. What stays the same is written once, when
//! the limiter is made; the rest goes into the caller's buffer without allocation, as lines that end in CR LF.

use crate::limiter::Limiter;
use crate::spec::{FieldStyle, Plan, Quota, ResetStyle};
use crate::verdict::Verdict;

/// What one limiter said of a request.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'l> {
    /// Who said it.
    pub limiter: &'l Limiter,
    /// For which plan.
    pub plan: Plan,
    /// What it said.
    pub verdict: Verdict,
}

/// The parts of fields that stay the same.
#[derive(Debug)]
pub(crate) struct Texts {
    /// Items of `RateLimit-Policy`.
    policy: Box<[u8]>,
    /// The name of each tier, quoted.
    names: Box<[Box<[u8]>]>,
    /// The name of the limit of concurrency, quoted.
    concurrency: Box<[u8]>,
}

impl Texts {
    pub(crate) fn new(label: &str, quota: &Quota) -> Self {
        let several = quota.tiers.len() + usize::from(quota.concurrency.is_some()) > 1;
        let name = |what: String| {
            let name = match (label, several) {
                ("", _) => what,
                (_, true) => format!("{label}:{what}"),
                (_, false) => label.to_owned(),
            };
            // RFC 9651, 3.3.3: a string holds printable ASCII, quotes and backslashes escaped. Names have none of these.
            let plain = |c: &char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
            let name: String = name.chars().filter(plain).collect();
            format!("\"{name}\"")
        };
        let names: Vec<String> = quota
            .tiers
            .iter()
            .map(|tier| name(tier.rate().to_string()))
            .collect();
        let concurrency = name("concurrency".to_owned());
        let mut items: Vec<String> = Vec::new();
        for (tier, name) in quota.tiers.iter().zip(&names) {
            let mut item = format!("{name};q={}", tier.count);
            // The draft has whole seconds only. No window says less than a wrong one.
            if tier.window_ms % 1000 == 0 {
                item.push_str(&format!(";w={}", tier.window_ms / 1000));
            }
            items.push(item);
        }
        if let Some(most) = quota.concurrency {
            items.push(format!("{concurrency};q={most};qu=\"concurrent-requests\""));
        }
        Self {
            policy: items.join(", ").into_bytes().into(),
            names: names
                .into_iter()
                .map(|name| name.into_bytes().into())
                .collect(),
            concurrency: concurrency.into_bytes().into(),
        }
    }
}

/// Writes the fields of an answer to a request that these limiters were asked about. `now_unix_s` is the second since 1970.
pub fn write(shown: &[Shown<'_>], now_unix_s: u64, out: &mut Vec<u8>) {
    // Nobody is told of a dry run.
    let shown = || shown.iter().filter(|one| !one.limiter.spec().dry_run);
    let refused = shown().any(|one| !one.verdict.allowed);
    // Who was refused is told by whom, not also what the others would have said: `Retry-After` is not to be earlier than
    // any `t`.
    let speaking = || shown().filter(|one| one.verdict.allowed != refused);

    let mut list = List::new(b"RateLimit-Policy");
    for one in shown().filter(|one| one.is_standard()) {
        let policy = &one.texts().map_or(&[][..], |texts| &texts.policy);
        if !policy.is_empty() {
            list.item(out).extend_from_slice(policy);
        }
    }
    list.end(out);
    let mut list = List::new(b"RateLimit");
    for one in speaking().filter(|one| one.is_standard()) {
        if let Some((name, most)) = one.tier() {
            let out = list.item(out);
            out.extend_from_slice(name);
            out.extend_from_slice(b";r=");
            number(u64::from(one.verdict.remaining.min(most)), out);
            out.extend_from_slice(b";t=");
            number(seconds(one.verdict.reset_ms), out);
        }
    }
    list.end(out);

    let legacy = speaking().filter(|one| one.is_legacy() && one.tier().is_some());
    let tightest = legacy.reduce(|one, other| {
        if other.verdict.is_tighter_than(&one.verdict) {
            other
        } else {
            one
        }
    });
    if let Some(one) = tightest
        && let Some((_, most)) = one.tier()
    {
        let reset = seconds(one.verdict.reset_ms);
        let reset = match one.limiter.spec().reset {
            ResetStyle::Delta => reset,
            ResetStyle::Epoch => now_unix_s.saturating_add(reset),
        };
        line(b"X-RateLimit-Limit", u64::from(most), out);
        line(
            b"X-RateLimit-Remaining",
            u64::from(one.verdict.remaining.min(most)),
            out,
        );
        line(b"X-RateLimit-Reset", reset, out);
    }
    if refused {
        let waits = speaking().map(|one| one.verdict.retry_after_ms.max(one.verdict.reset_ms));
        line(
            b"Retry-After",
            seconds(waits.max().unwrap_or(0)).max(1),
            out,
        );
    }
}

/// Writes the fields of an answer to a request for which [`Limiter::hold`] found no room. When there will be some, nobody
/// knows; a second is a guess.
pub fn write_held_back(limiter: &Limiter, plan: Plan, out: &mut Vec<u8>) {
    if matches!(
        limiter.spec().headers,
        FieldStyle::Standard | FieldStyle::Both
    ) && let Some(texts) = limiter.texts(plan)
    {
        let mut list = List::new(b"RateLimit-Policy");
        list.item(out).extend_from_slice(&texts.policy);
        list.end(out);
        let mut list = List::new(b"RateLimit");
        let out = list.item(out);
        out.extend_from_slice(&texts.concurrency);
        out.extend_from_slice(b";r=0");
        list.end(out);
    }
    line(b"Retry-After", 1, out);
}

impl Shown<'_> {
    fn texts(&self) -> Option<&Texts> {
        self.limiter.texts(self.plan)
    }

    fn is_standard(&self) -> bool {
        let style = self.limiter.spec().headers;
        matches!(style, FieldStyle::Standard | FieldStyle::Both)
    }

    fn is_legacy(&self) -> bool {
        let style = self.limiter.spec().headers;
        matches!(style, FieldStyle::Legacy | FieldStyle::Both)
    }

    /// The name of the tier that the verdict is about, and how many it allows. `None` where any number may pass.
    fn tier(&self) -> Option<(&[u8], u32)> {
        let at = usize::from(self.verdict.tier);
        let tier = self.limiter.spec().quota(self.plan).tiers.get(at)?;
        Some((self.texts()?.names.get(at)?, tier.count))
    }
}

/// A field that is a list, if anything is in it.
struct List {
    name: &'static [u8],
    empty: bool,
}

impl List {
    const fn new(name: &'static [u8]) -> Self {
        Self { name, empty: true }
    }

    fn item<'o>(&mut self, out: &'o mut Vec<u8>) -> &'o mut Vec<u8> {
        if self.empty {
            out.extend_from_slice(self.name);
            out.extend_from_slice(b": ");
        } else {
            out.extend_from_slice(b", ");
        }
        self.empty = false;
        out
    }

    fn end(self, out: &mut Vec<u8>) {
        if !self.empty {
            out.extend_from_slice(b"\r\n");
        }
    }
}

fn line(name: &[u8], value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    number(value, out);
    out.extend_from_slice(b"\r\n");
}

fn number(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn seconds(millis: u64) -> u64 {
    millis.div_ceil(1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Key, Seed};
    use crate::spec::{Algorithm, LimitSpec, Tier};
    use std::sync::Arc;

    const SEED: Seed = Seed::new(1);
    const KEY: Key = Key::new(5);

    fn spec(tiers: &[(u32, u64)]) -> LimitSpec {
        let tiers: Vec<Tier> = tiers
            .iter()
            .map(|(count, window_ms)| Tier::new(*count, *window_ms))
            .collect();
        LimitSpec::new(Algorithm::SlidingLog, &tiers)
    }

    fn limiter(spec: LimitSpec) -> Arc<Limiter> {
        Limiter::new("test", spec, SEED)
    }

    fn asked(limiter: &Limiter, now_ms: u64) -> Shown<'_> {
        Shown {
            limiter,
            plan: Plan::NONE,
            verdict: limiter.check(KEY, Plan::NONE, 1, now_ms),
        }
    }

    fn text(shown: &[Shown<'_>]) -> String {
        let mut out = Vec::new();
        write(shown, 1_700_000_000, &mut out);
        String::from_utf8(out).expect("ASCII").replace("\r\n", "\n")
    }

    #[test]
    fn all_tiers_are_named_and_the_closest_is_told_of() {
        let limiter = limiter(spec(&[(2, 1000), (3, 60_000)]));
        assert_eq!(
            text(&[asked(&limiter, 0)]),
            "RateLimit-Policy: \"2/s\";q=2;w=1, \"3/min\";q=3;w=60\n\
             RateLimit: \"2/s\";r=1;t=1\n"
        );
        asked(&limiter, 1500);
        assert_eq!(
            text(&[asked(&limiter, 1501)]),
            "RateLimit-Policy: \"2/s\";q=2;w=1, \"3/min\";q=3;w=60\n\
             RateLimit: \"3/min\";r=0;t=59\n"
        );
        assert_eq!(
            text(&[asked(&limiter, 1502)]),
            "RateLimit-Policy: \"2/s\";q=2;w=1, \"3/min\";q=3;w=60\n\
             RateLimit: \"3/min\";r=0;t=59\n\
             Retry-After: 59\n"
        );
    }

    #[test]
    fn names_tell_limiters_apart() {
        let mut one = spec(&[(2, 1000)]);
        one.label = "per_ip".into();
        let mut two = spec(&[(5, 1500), (9, 60_000)]);
        two.label = "per_user".into();
        two.quota.concurrency = Some(4);
        let (one, two) = (limiter(one), limiter(two));
        assert_eq!(
            text(&[asked(&one, 0), asked(&two, 0)]),
            "RateLimit-Policy: \"per_ip\";q=2;w=1, \"per_user:5/1s500ms\";q=5, \"per_user:9/min\";q=9;w=60, \
             \"per_user:concurrency\";q=4;qu=\"concurrent-requests\"\n\
             RateLimit: \"per_ip\";r=1;t=1, \"per_user:5/1s500ms\";r=4;t=2\n"
        );
    }

    #[test]
    fn a_refusal_speaks_alone_and_no_t_is_later_than_retry_after() {
        let mut slow = spec(&[(5, 3_600_000)]);
        slow.headers = FieldStyle::Both;
        let mut fast = spec(&[(1, 1000)]);
        fast.headers = FieldStyle::Both;
        let (slow, fast) = (limiter(slow), limiter(fast));
        asked(&fast, 0);
        assert_eq!(
            text(&[asked(&slow, 1), asked(&fast, 1)]),
            "RateLimit-Policy: \"5/h\";q=5;w=3600, \"1/s\";q=1;w=1\n\
             RateLimit: \"1/s\";r=0;t=1\n\
             X-RateLimit-Limit: 1\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 1\n\
             Retry-After: 1\n"
        );
    }

    #[test]
    fn styles_by_table() {
        for (style, reset, expected) in [
            (
                FieldStyle::Legacy,
                ResetStyle::Epoch,
                "X-RateLimit-Limit: 1\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 1700000060\n",
            ),
            (
                FieldStyle::Legacy,
                ResetStyle::Delta,
                "X-RateLimit-Limit: 1\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 60\n",
            ),
            (FieldStyle::Off, ResetStyle::Delta, ""),
        ] {
            let mut spec = spec(&[(1, 60_000)]);
            (spec.headers, spec.reset) = (style, reset);
            let limiter = limiter(spec);
            assert_eq!(text(&[asked(&limiter, 0)]), expected);
            assert_eq!(
                text(&[asked(&limiter, 0)]),
                format!("{expected}Retry-After: 60\n"),
                "whatever the style, a refusal says when to come again"
            );
        }
    }

    #[test]
    fn nobody_is_told_of_a_dry_run_or_of_no_limit() {
        let mut dry = spec(&[(1, 60_000)]);
        dry.dry_run = true;
        let dry = limiter(dry);
        asked(&dry, 0);
        assert_eq!(text(&[asked(&dry, 0)]), "");
        let none = limiter(spec(&[]));
        assert_eq!(text(&[asked(&none, 0)]), "");
    }

    #[test]
    fn what_is_in_flight() {
        let mut spec = spec(&[]);
        spec.quota.concurrency = Some(1);
        let limiter = limiter(spec);
        let mut out = Vec::new();
        write_held_back(&limiter, Plan::NONE, &mut out);
        assert_eq!(
            String::from_utf8_lossy(&out),
            "RateLimit-Policy: \"concurrency\";q=1;qu=\"concurrent-requests\"\r\n\
             RateLimit: \"concurrency\";r=0\r\nRetry-After: 1\r\n"
        );
    }
}
