//! What the user says about a rate limit.

use std::sync::Arc;

use weir_config::{
    Cx, Map, Name, Node, OneOrMany, OrOff, Rate, Spanned, Text, Within, nearest, object,
};

use crate::key::{KeyPart, KeySpec};
use crate::spec::{
    Algorithm, FieldStyle, LimitSpec, MAX_COUNT, MAX_LOG, MAX_TIERS, MAX_WINDOW_MS, OnStoreError,
    Quota, ResetStyle, SMALL, StoreUse, Tier,
};
use crate::table::bytes_per_key;

object! {
    /// How many requests may pass. In short form, one limit or a list of limits, such as `100/min` or `[10/s, 100/min]`.
    ///
    /// All limits hold together, and a request that one of them refuses (429) counts in none.
    pub struct RateLimitConfig {
        /// How many in how long: one limit, or several that hold together.
        pub limits: Option<OneOrMany<Spanned<Rate>>>,
        /// By what requests are counted: one of `ip` (IPv6 by its first 64 bits; or `ip/56`, `ip/48`), `user`, `api_key`,
        /// `header NAME`, `claim NAME`, `country`, `asn`, `route`, `host`, or several of them together; `everyone` for one count for all.
        /// Requests without a user, key, field or claim are counted by their address.
        pub key: OneOrMany<Spanned<KeyWord>> = OneOrMany::one(KeyWord(Some(KeyPart::IP)).into()),
        /// How requests are counted. By default `sliding_log` if no limit is above 60, and `sliding_window` otherwise.
        pub algorithm: Option<Algorithm>,
        /// With `token_bucket` and `smooth`: how many may come at once under the limit with the shortest window. By default as many
        /// as it says with `token_bucket`, and one with `smooth`.
        pub burst: Option<Spanned<Within<1, 1_000_000_000>>>,
        /// How much a request counts.
        pub cost: Spanned<Within<1, 1_000_000>> = Within::new(1).into(),
        /// How many requests may be in flight at once; by default any number.
        pub concurrency: Option<Within<1, 1_000_000>>,
        /// Other limits for those who have a plan, by its name. In short form, the limits; `off` for none.
        pub plans: Map<OrOff<PlanConfig>> = Map::default(),
        /// The engine in which several Weirs count together; by default each counts for itself.
        pub store: Option<Spanned<Name>>,
        /// What happens while the store cannot be asked.
        pub on_store_error: OnStoreError = OnStoreError::Local,
        /// Which header fields tell clients about their limits.
        pub headers: FieldStyle = FieldStyle::Standard,
        /// What `X-RateLimit-Reset` says.
        pub reset: ResetStyle = ResetStyle::Delta,
        /// How many keys are counted at once, for each plan. Beyond that the one not seen for longest is forgotten.
        pub max_keys: Within<1, 100_000_000> = Within::new(1_000_000),
        /// Whether requests beyond the limit are only counted as such, and pass.
        pub dry_run: bool = false,
    }
    short limits;
    check RateLimitConfig::check;
}

object! {
    /// The limits of a plan. What is not written here is as without a plan. In short form, the limits.
    pub struct PlanConfig {
        /// How many in how long.
        pub limits: Option<OneOrMany<Spanned<Rate>>>,
        /// How many may come at once, as beside the plans.
        pub burst: Option<Spanned<Within<1, 1_000_000_000>>>,
        /// How many requests may be in flight at once; `off` for any number.
        pub concurrency: Option<OrOff<Within<1, 1_000_000>>>,
    }
    short limits;
}

/// One of the words under `key`. `everyone` is no part of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyWord(Option<KeyPart>);

impl Text for KeyWord {
    const EXPECTED: &'static str = "`ip`, `user`, `api_key`, `header NAME`, `claim NAME`, `country`, `asn`, `route`, `host` or `everyone`";

    fn from_text(text: &str) -> Result<Self, String> {
        const WORDS: [&str; 10] = [
            "ip", "user", "api_key", "header", "claim", "country", "asn", "route", "host",
            "everyone",
        ];
        // RFC 9110, 5.1: the name of a field is a token.
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        let (word, name) = text.split_once(' ').unwrap_or((text, ""));
        let name = name.trim();
        if let Some(bits) = text.strip_prefix("ip/") {
            let bits = bits.parse().ok().filter(|bits| (16..=128).contains(bits));
            let bits = bits.ok_or("so many bits of an IPv6 address, from 16 to 128: `ip/56`")?;
            return Ok(Self(Some(KeyPart::Ip(bits))));
        }
        let part = match word {
            "header" if !name.is_empty() && name.bytes().all(token) => {
                Some(KeyPart::Header(name.to_ascii_lowercase().into()))
            }
            "claim" if !name.is_empty() && !name.contains(char::is_whitespace) => {
                Some(KeyPart::Claim(name.into()))
            }
            "header" | "claim" => return Err(format!("which one: `{word} NAME`")),
            _ if !name.is_empty() => return Err(String::new()),
            "ip" => Some(KeyPart::IP),
            "user" => Some(KeyPart::User),
            "api_key" => Some(KeyPart::ApiKey),
            "country" => Some(KeyPart::Country),
            "asn" => Some(KeyPart::Asn),
            "route" => Some(KeyPart::Route),
            "host" => Some(KeyPart::Host),
            "everyone" => None,
            _ => {
                let meant = nearest(word, WORDS);
                return Err(
                    meant.map_or_else(String::new, |word| format!("did you mean `{word}`?"))
                );
            }
        };
        Ok(Self(part))
    }

    fn to_text(&self) -> String {
        match &self.0 {
            Some(KeyPart::Ip(64)) => "ip".to_owned(),
            Some(KeyPart::Ip(bits)) => format!("ip/{bits}"),
            Some(KeyPart::User) => "user".to_owned(),
            Some(KeyPart::ApiKey) => "api_key".to_owned(),
            Some(KeyPart::Header(name)) => format!("header {name}"),
            Some(KeyPart::Claim(name)) => format!("claim {name}"),
            Some(KeyPart::Country) => "country".to_owned(),
            Some(KeyPart::Asn) => "asn".to_owned(),
            Some(KeyPart::Route) => "route".to_owned(),
            Some(KeyPart::Host) => "host".to_owned(),
            None => "everyone".to_owned(),
        }
    }

    fn pattern() -> Option<&'static str> {
        Some(
            "^(ip(/[0-9]+)?|user|api_key|(header|claim) +[^ ]+ *|country|asn|route|host|everyone)$",
        )
    }
}

weir_config::text!(KeyWord);

impl RateLimitConfig {
    /// What [`Limiters`](crate::Limiters) need to know of it. `label` is what clients see it called; it may be empty.
    pub fn spec(&self, label: &str) -> LimitSpec {
        let quota = |plan: &PlanConfig| {
            let limits = plan.limits.as_ref().or(self.limits.as_ref());
            let own = plan.limits.is_some();
            let burst = plan.burst.or(if own { None } else { self.burst });
            let rates = limits.map_or(&[][..], |limits| limits);
            let concurrency = match plan.concurrency {
                Some(most) => most.on(),
                None => self.concurrency,
            };
            self.quota(rates, burst.map(|burst| burst.as_u32()), concurrency)
        };
        let nothing_else = PlanConfig {
            limits: None,
            burst: None,
            concurrency: None,
        };
        let plans = self.plans.iter().map(|(name, plan)| {
            let quota = match plan {
                OrOff::On(plan) => quota(plan),
                OrOff::Off => self.quota(&[], None, None),
            };
            (Arc::from(name.as_str()), quota)
        });
        LimitSpec {
            label: Arc::from(label),
            key: KeySpec::new(self.key.iter().filter_map(|word| word.value.0.clone())),
            quota: quota(&nothing_else),
            plans: plans.collect(),
            cost: self.cost.as_u32(),
            store: self.store.as_ref().map(|engine| StoreUse {
                engine: Arc::from(engine.as_str()),
                on_error: self.on_store_error,
            }),
            headers: self.headers,
            reset: self.reset,
            max_keys: self.max_keys.as_usize(),
            dry_run: self.dry_run,
        }
    }

    fn quota(
        &self,
        rates: &[Spanned<Rate>],
        burst: Option<u32>,
        concurrency: Option<Within<1, 1_000_000>>,
    ) -> Quota {
        let algorithm = self.algorithm_for(rates);
        let mut tiers: Vec<Tier> = rates.iter().map(|rate| tier(rate)).collect();
        tiers.sort_by_key(|tier| tier.window_ms);
        if let Some(first) = tiers.first_mut() {
            match algorithm {
                Algorithm::TokenBucket => first.burst = burst.unwrap_or(first.count),
                Algorithm::Smooth => first.burst = burst.unwrap_or(self.cost.as_u32()),
                _ => {}
            }
        }
        Quota {
            algorithm,
            tiers: tiers.into(),
            concurrency: concurrency.map(Within::as_u32),
        }
    }

    fn algorithm_for(&self, rates: &[Spanned<Rate>]) -> Algorithm {
        let largest = rates.iter().map(|rate| rate.count()).max().unwrap_or(0);
        match self.algorithm {
            Some(algorithm) => algorithm,
            None if largest <= u64::from(SMALL) => Algorithm::SlidingLog,
            None => Algorithm::SlidingWindow,
        }
    }

    fn check(&self, node: &Node, cx: &mut Cx) {
        let limits_nothing = |plan: &OrOff<PlanConfig>| match plan {
            OrOff::On(plan) => {
                plan.limits.is_none() && !matches!(plan.concurrency, Some(OrOff::On(_)))
            }
            OrOff::Off => true,
        };
        if self.limits.is_none()
            && self.concurrency.is_none()
            && self.plans.iter().all(|(_, plan)| limits_nothing(plan))
        {
            cx.error(node.span, "this limits nothing")
                .expected("`limits` such as `100/min`, or `concurrency`");
        }
        self.check_key(cx);
        if let Some(limits) = &self.limits {
            self.check_limits(limits, self.burst, cx);
        }
        for (_, plan) in &self.plans {
            let OrOff::On(plan) = plan else { continue };
            match &plan.limits {
                Some(limits) => self.check_limits(limits, plan.burst, cx),
                None => self.check_burst(self.limits.as_deref().unwrap_or(&[]), plan.burst, cx),
            }
        }
        self.check_memory(node, cx);
    }

    fn check_key(&self, cx: &mut Cx) {
        for (at, word) in self.key.iter().enumerate() {
            if let Some(first) = self.key[..at]
                .iter()
                .find(|first| first.value == word.value)
            {
                cx.error(word.span, "this stands here twice")
                    .also(first.span, "first here");
            }
            if word.value.0.is_none() && self.key.len() > 1 {
                cx.error(word.span, "`everyone` stands alone")
                    .help("leave it out: several words together are one key");
            }
        }
    }

    fn check_limits(
        &self,
        rates: &[Spanned<Rate>],
        burst: Option<Spanned<Within<1, 1_000_000_000>>>,
        cx: &mut Cx,
    ) {
        if let Some(more) = rates.get(MAX_TIERS) {
            cx.error(more.span, format!("more than {MAX_TIERS} limits at once"));
        }
        for rate in rates {
            if rate.per().as_millis() > u128::from(MAX_WINDOW_MS) {
                cx.error(rate.span, "this is a longer time than Weir counts over")
                    .expected("at most `45d`");
            }
            if rate.count() > u64::from(MAX_COUNT) {
                cx.error(rate.span, "this is more than Weir counts")
                    .expected(format!("at most {MAX_COUNT}"));
            } else if self.algorithm == Some(Algorithm::SlidingLog)
                && rate.count() > u64::from(MAX_LOG)
            {
                cx.error(
                    rate.span,
                    format!(
                        "`sliding_log` remembers every request: at most {MAX_LOG}, not {}",
                        rate.count()
                    ),
                )
                .help("choose `algorithm: sliding_window`");
            }
            if self.cost.get() > rate.count() {
                let message = format!("no request would ever pass `{}`", rate.value);
                let problem = cx.error(rate.span, message);
                problem.help(format!("a request counts {}: see `cost`", self.cost.get()));
            }
        }
        check_pairs(rates, cx);
        self.check_burst(rates, burst, cx);
    }

    fn check_burst(
        &self,
        rates: &[Spanned<Rate>],
        burst: Option<Spanned<Within<1, 1_000_000_000>>>,
        cx: &mut Cx,
    ) {
        let Some(burst) = burst else { return };
        let algorithm = self.algorithm_for(rates);
        if !matches!(algorithm, Algorithm::TokenBucket | Algorithm::Smooth) {
            cx.error(
                burst.span,
                format!("`{algorithm}` has no burst: its limit is one"),
            )
            .help("choose `algorithm: token_bucket` or `algorithm: smooth`");
        } else if burst.get() < self.cost.get() {
            cx.error(burst.span, "no request would ever pass")
                .help(format!("a request counts {}: see `cost`", self.cost.get()));
        }
    }

    /// A table is filled only as far as there are keys, but an attacker can bring those.
    fn check_memory(&self, node: &Node, cx: &mut Cx) {
        const MUCH: usize = 4 << 30;
        if cx.has_errors() {
            return;
        }
        let spec = self.spec("");
        let all: usize = spec
            .quotas()
            .map(|quota| bytes_per_key(quota).saturating_mul(spec.max_keys))
            .fold(0, usize::saturating_add);
        if all > MUCH {
            cx.warning(
                node.span,
                format!("this can take up to {} GiB of memory", all >> 30),
            )
            .help("lower `max_keys`, or choose an algorithm that keeps less for each key");
        }
    }
}

/// Limits that say nothing beside each other.
fn check_pairs(rates: &[Spanned<Rate>], cx: &mut Cx) {
    for (at, one) in rates.iter().enumerate() {
        for other in &rates[..at] {
            if one.per() == other.per() {
                cx.error(one.span, "two limits of the same length of time")
                    .also(other.span, "the other")
                    .help("keep the lower one");
                continue;
            }
            let (short, long) = if one.per() < other.per() {
                (one, other)
            } else {
                (other, one)
            };
            // So many of the short windows make up the long one, the last of them begun.
            let windows = long
                .per()
                .as_millis()
                .div_ceil(short.per().as_millis().max(1));
            let through = u128::from(short.count()).saturating_mul(windows);
            if through <= u128::from(long.count()) || short.count() >= long.count() {
                let (idle, because) = if short.count() >= long.count() {
                    (short, long)
                } else {
                    (long, short)
                };
                cx.warning(
                    idle.span,
                    format!(
                        "`{}` is never reached beside `{}`",
                        idle.value, because.value
                    ),
                )
                .also(because.span, "because of this one");
            }
        }
    }
}

fn tier(rate: &Rate) -> Tier {
    let count = u32::try_from(rate.count()).unwrap_or(u32::MAX);
    let window = u64::try_from(rate.per().as_millis()).unwrap_or(u64::MAX);
    Tier::new(count.min(MAX_COUNT), window.clamp(1, MAX_WINDOW_MS))
}

#[cfg(test)]
mod tests;
