//! What policies mean for a request that was never sent.

use std::{fmt::Write as _, net::IpAddr};

use weir_config::{Duration, Rate};
use weir_firewall::{Scratch, Verdict};
use weir_limit::{KeyPart, LimitSpec, Quota};

use super::{Guard, Seen, Step, limit::LimitStep};
use crate::exchange::Exchange;

/// A policy that a request meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedPolicy {
    /// What kind it is: `firewall`, `rate_limit` and so on.
    pub kind: &'static str,
    /// Its name, or that of the route that it stands in.
    pub name: String,
    /// What it does.
    pub what: String,
    /// Whether it refuses this request, as far as that can be known without serving.
    pub refuses: bool,
}

impl Guard {
    /// The policies in the order in which they are asked. The request is in `exchange`.
    pub(crate) fn explain(
        &self,
        exchange: &Exchange,
        from: IpAddr,
        route: &str,
    ) -> Vec<ExplainedPolicy> {
        let mut all = Vec::new();
        for step in &self.steps {
            match step {
                Step::Firewall(firewall) => {
                    let seen = Seen::of(exchange, from, route, &self.geo);
                    let mut verdict = firewall.policy.firewall.check(from);
                    if verdict == Verdict::PASS {
                        let mut scratch = Scratch::default();
                        verdict = firewall.policy.rules.check(&seen, &mut scratch);
                    }
                    all.push(firewall_policy(&firewall.name, &verdict));
                }
                Step::Limits(limits) => all.extend(limits.iter().map(|limit| limit.explain())),
                Step::Auth(auth) => {
                    let mut methods: Vec<String> = auth
                        .authenticator
                        .methods()
                        .map(|(policy, method)| match policy {
                            "" => method.to_owned(),
                            policy => format!("{method} ({policy})"),
                        })
                        .collect();
                    if auth.authenticator.allows_anonymous() {
                        methods.push("anonymous".to_owned());
                    }
                    all.push(ExplainedPolicy {
                        kind: "auth",
                        name: auth.name.to_string(),
                        what: format!("by {}", methods.join(" or ")),
                        refuses: false,
                    });
                }
                Step::ForwardAuth(step) => all.push(ExplainedPolicy {
                    kind: "forward_auth",
                    name: step.name.to_string(),
                    what: "a service is asked about it".to_owned(),
                    refuses: false,
                }),
            }
        }
        if let Some(head) = &self.head {
            all.extend(head.kinds().map(|(kind, what)| ExplainedPolicy {
                kind,
                name: route.to_owned(),
                what: what.to_owned(),
                refuses: false,
            }));
        }
        all
    }
}

fn firewall_policy(name: &str, verdict: &Verdict<'_>) -> ExplainedPolicy {
    ExplainedPolicy {
        kind: "firewall",
        name: name.to_owned(),
        what: match (verdict.denied, verdict.would_deny) {
            (Some(cause), _) => format!("denied: {cause}"),
            (None, Some(cause)) => format!("passes, would be denied: {cause}"),
            (None, None) => "passes".to_owned(),
        },
        refuses: verdict.denied.is_some(),
    }
}

impl LimitStep {
    fn explain(&self) -> ExplainedPolicy {
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
            kind: "rate_limit",
            name: self.name.to_string(),
            what,
            refuses: false,
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
