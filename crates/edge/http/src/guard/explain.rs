//! What policies mean for a request that was never sent.

mod auth;
mod limit;

use std::net::IpAddr;

use weir_auth::Outcome;
use weir_firewall::{Memo, Scratch, Verdict};

use super::{Guard, Seen, Step};
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
    /// What it says of this request, beyond that.
    pub says: Vec<String>,
    /// The status with which it refuses this request, as far as that can be known without serving.
    pub refuses: Option<u16>,
}

impl ExplainedPolicy {
    fn new(kind: &'static str, name: &str, what: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            what: what.into(),
            says: Vec::new(),
            refuses: None,
        }
    }
}

impl Guard {
    /// The policies in the order in which they are asked. The request is in `exchange`, and who sends it, if that can be known.
    /// `now` is in seconds since 1970.
    pub(crate) fn explain(
        &self,
        exchange: &mut Exchange,
        from: IpAddr,
        route: &str,
        now: u64,
    ) -> Vec<ExplainedPolicy> {
        let mut all = Vec::new();
        let memo = Memo::default();
        // Whether it is open who is asking, and whether somebody has refused already.
        let (mut open, mut refused) = (false, false);
        for step in &self.steps {
            let before = all.len();
            match step {
                Step::Firewall(firewall) => {
                    let seen = Seen::of(exchange, from, route, &self.geo, &memo);
                    let mut verdict = firewall.policy.firewall.check(from, &memo);
                    if verdict == Verdict::PASS {
                        let mut scratch = Scratch::default();
                        verdict = firewall.policy.rules.check(&seen, &memo, &mut scratch);
                    }
                    all.push(firewall_policy(&firewall.name, &verdict));
                }
                Step::Limits(limits) => {
                    let seen = Seen::of(exchange, from, route, &self.geo, &memo);
                    all.extend(limits.iter().map(|limit| limit.explain(&seen, open)));
                }
                Step::Auth(auth) => {
                    let seen = Seen::of(exchange, from, route, &self.geo, &memo);
                    let (explained, outcome) = auth.explain(&seen, now);
                    all.push(explained);
                    match outcome {
                        Outcome::Passes(Some((identity, place))) => {
                            exchange.identity = Some(identity);
                            exchange.place = Some(place);
                        }
                        Outcome::Passes(None) | Outcome::Refused(_) => {}
                        Outcome::Open => open = true,
                    }
                }
                Step::ForwardAuth(step) => all.push(ExplainedPolicy::new(
                    "forward_auth",
                    &step.name,
                    "a service is asked about it",
                )),
            }
            for explained in &mut all[before..] {
                if refused {
                    explained.says = vec!["not reached".to_owned()];
                    explained.refuses = None;
                }
            }
            refused |= all[before..].iter().any(|policy| policy.refuses.is_some());
        }
        if let Some(head) = &self.head {
            let kinds = head.kinds();
            all.extend(kinds.map(|(kind, what)| ExplainedPolicy::new(kind, route, what)));
        }
        all
    }
}

fn firewall_policy(name: &str, verdict: &Verdict<'_>) -> ExplainedPolicy {
    let what = match (verdict.denied, verdict.would_deny) {
        (Some(cause), _) => format!("denied: {cause}"),
        (None, Some(cause)) => format!("passes, would be denied: {cause}"),
        (None, None) => "passes".to_owned(),
    };
    ExplainedPolicy {
        refuses: verdict.denied.is_some().then_some(403),
        ..ExplainedPolicy::new("firewall", name, what)
    }
}
