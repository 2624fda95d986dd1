//! By what a request would be counted.

use std::{fmt::Write as _, net::IpAddr};

use weir_config::{Duration, Rate};
use weir_limit::{Caller, KeyPart, LimitSpec, Quota};

use super::ExplainedPolicy;
use crate::guard::{Seen, limit::LimitStep};

impl LimitStep {
    /// `open` says that it is not known who is asking.
    pub(super) fn explain(&self, seen: &Seen<'_>, open: bool) -> ExplainedPolicy {
        let spec = self.limiter.spec();
        let mut what = quota(&spec.quota);
        let _ = write!(what, " {}", key(spec));
        if let Some(store) = &spec.store {
            let _ = write!(what, ", counted in {}", store.engine);
        }
        for (plan, limits) in &spec.plans {
            let _ = write!(what, "; plan {plan}: {}", quota(limits));
        }
        if spec.dry_run {
            what.push_str("; a dry run");
        }
        ExplainedPolicy {
            says: vec![counted(spec, seen, open)],
            ..ExplainedPolicy::new("rate_limit", &self.name, what)
        }
    }
}

/// Whom this request would be counted to. What a header field holds may be a secret, and is not repeated.
fn counted(spec: &LimitSpec, seen: &Seen<'_>, open: bool) -> String {
    let parts = spec.key.parts();
    if parts.is_empty() {
        return "counted with everyone else".to_owned();
    }
    let text = |value: &[u8]| {
        let text = String::from_utf8_lossy(value);
        text.replace(char::is_control, "\u{fffd}")
    };
    let instead = |what: &str| format!("{}, for want of {what}", address(seen.ip(), 64));
    let of_somebody = |word: &str, value: Option<String>| match value {
        Some(value) => format!("{word} {value}"),
        None if open => format!("{word}, once that is known"),
        None => instead(&format!("a {word}")),
    };
    let part = |part: &KeyPart| match part {
        KeyPart::Ip(bits) => address(seen.ip(), *bits),
        KeyPart::User => {
            // Limits tell users of several methods apart; people are told the name alone.
            let identity = seen.exchange.identity.as_deref();
            of_somebody("user", identity.map(|who| text(who.subject.as_bytes())))
        }
        KeyPart::ApiKey => match seen.api_key().map(text) {
            Some(id) => format!("api_key {id}"),
            None if open => "api_key, once that is known".to_owned(),
            None => instead("an API key"),
        },
        KeyPart::Header(name) => match seen.header(name) {
            Some(_) => format!("what header {name} holds"),
            None => instead(&format!("one header {name}")),
        },
        KeyPart::Claim(name) => {
            let value = seen.claim(name).map(|value| text(&value));
            of_somebody(&format!("claim {name}"), value)
        }
        KeyPart::Country => match seen.country() {
            Some(country) => format!("country {}", text(&country)),
            None => "no country".to_owned(),
        },
        KeyPart::Asn => match seen.asn() {
            Some(asn) => format!("asn {asn}"),
            None => "no asn".to_owned(),
        },
        KeyPart::Route => format!("route {}", Caller::route(seen)),
        KeyPart::Host => format!("host {}", text(Caller::host(seen))),
    };
    let parts: Vec<String> = parts.iter().map(part).collect();
    let mut told = format!("counted by {}", parts.join(" and "));
    let plan = seen
        .exchange
        .identity
        .as_ref()
        .and_then(|who| who.plan.as_deref());
    if let Some(plan) = plan {
        let _ = match spec.plans.iter().find(|(name, _)| **name == *plan) {
            Some((_, limits)) => write!(told, ", on plan {plan}: {}", quota(limits)),
            None if spec.plans.is_empty() => Ok(()),
            None => write!(told, "; plan {plan} has no limits of its own"),
        };
    } else if open && !spec.plans.is_empty() {
        told.push_str(", on a plan once that is known");
    }
    told
}

/// An address, of IPv6 the network of so many bits.
fn address(ip: IpAddr, bits: u8) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => format!("ip {ip}"),
        IpAddr::V6(ip) => {
            let mask = u128::MAX
                .checked_shl(128 - u32::from(bits.min(128)))
                .unwrap_or(0);
            format!(
                "ip {}/{bits}",
                std::net::Ipv6Addr::from_bits(ip.to_bits() & mask)
            )
        }
    }
}

fn quota(quota: &Quota) -> String {
    let mut parts: Vec<String> = quota
        .tiers
        .iter()
        .map(|tier| {
            let window = Duration::from_millis(tier.window_ms);
            Rate::new(u64::from(tier.count), window).to_string()
        })
        .collect();
    if !parts.is_empty() {
        let last = parts.len() - 1;
        let _ = write!(parts[last], " ({})", quota.algorithm);
    }
    if let Some(most) = quota.concurrency {
        parts.push(format!("{most} at once"));
    }
    if parts.is_empty() {
        parts.push("no limit".to_owned());
    }
    parts.join(", ")
}

fn key(spec: &LimitSpec) -> String {
    let parts: Vec<String> = spec
        .key
        .parts()
        .iter()
        .map(|part| match part {
            KeyPart::Ip(64) => "ip".to_owned(),
            KeyPart::Ip(bits) => format!("ip/{bits}"),
            KeyPart::User => "user".to_owned(),
            KeyPart::ApiKey => "api_key".to_owned(),
            KeyPart::Header(name) => format!("header {name}"),
            KeyPart::Claim(name) => format!("claim {name}"),
            KeyPart::Country => "country".to_owned(),
            KeyPart::Asn => "asn".to_owned(),
            KeyPart::Route => "route".to_owned(),
            KeyPart::Host => "host".to_owned(),
        })
        .collect();
    if parts.is_empty() {
        "for everyone together".to_owned()
    } else {
        format!("by {}", parts.join(" and "))
    }
}
