//! Firewalls, asked about connections and about requests.

use std::{net::IpAddr, sync::Arc};

use weir_firewall::{Firewall, FirewallPolicy, Geo, Scratch, Verdict};
use weir_telemetry::{Decision, PolicyMetrics, Reason};

use super::{Checked, Guard, Seen, client_ip};
use crate::{
    exchange::{Answer, Exchange},
    local::Local,
    plan::RoutePlan,
    server::Client,
};

/// The firewall of a listener, a route or a policy.
#[derive(Debug)]
pub(crate) struct FirewallStep {
    /// What logs and metrics call it.
    pub(crate) name: Arc<str>,
    pub(crate) policy: FirewallPolicy,
    pub(crate) metrics: Arc<PolicyMetrics>,
}

/// The firewall in front of all listeners.
#[derive(Debug)]
pub(crate) struct GlobalFirewall {
    pub(crate) firewall: Firewall,
    pub(crate) metrics: Arc<PolicyMetrics>,
}

/// What the firewall in front of all listeners is called.
pub(crate) const GLOBAL: &str = "firewall";

impl GlobalFirewall {
    /// Whether this address may connect.
    pub(crate) fn admits(&self, local: &Local, ip: IpAddr) -> bool {
        count(local, &self.metrics, &self.firewall.check(ip))
    }

    /// Asked about a client behind a trusted proxy.
    pub(super) fn check_client(&self, local: &Local, exchange: &mut Exchange) -> Option<Answer> {
        let verdict = self.firewall.check(exchange.client_ip?);
        settle(local, exchange, GLOBAL, &self.metrics, verdict)
    }
}

impl FirewallStep {
    /// Whether this address may connect to the listener.
    pub(crate) fn admits(&self, local: &Local, ip: IpAddr) -> bool {
        count(local, &self.metrics, &self.policy.firewall.check(ip))
    }

    /// Which entry denies a request that was never sent.
    pub(crate) fn denies(&self, exchange: &Exchange, client: IpAddr, geo: &Geo) -> Option<String> {
        let mut verdict = self.policy.firewall.check(client);
        let mut scratch = Scratch::default();
        if verdict.passes() {
            let seen = Seen::of(exchange, client, "", geo);
            verdict = self.policy.rules.check(&seen, &mut scratch);
        }
        verdict.denied.map(|cause| cause.to_string())
    }

    pub(super) fn check(
        &self,
        local: &Local,
        client: &Client,
        exchange: &mut Exchange,
        route: &RoutePlan,
        guard: &Guard,
    ) -> Checked {
        let verdict = {
            let seen = Seen::new(client, exchange, &route.name, &guard.geo);
            let verdict = self.policy.firewall.check(seen.ip);
            self.with_rules(local, &seen, verdict)
        };
        match settle(local, exchange, &self.name, &self.metrics, verdict) {
            Some(answer) => Checked::Refuse(answer),
            None => Checked::Pass,
        }
    }

    /// Asked about a request before its route is known.
    pub(super) fn check_at_listener(
        &self,
        local: &Local,
        client: &Client,
        exchange: &mut Exchange,
        geo: &Geo,
    ) -> Option<Answer> {
        let verdict = {
            let seen = Seen::new(client, exchange, "", geo);
            // Whoever connected without a proxy was asked then.
            let verdict = if client.trusted {
                self.policy.firewall.check(client_ip(client, exchange))
            } else if self.policy.rules.is_empty() {
                return None;
            } else {
                Verdict::PASS
            };
            self.with_rules(local, &seen, verdict)
        };
        settle(local, exchange, &self.name, &self.metrics, verdict)
    }

    /// Goes on with the rules on requests.
    fn with_rules<'v>(
        &'v self,
        local: &Local,
        seen: &Seen<'_>,
        client: Verdict<'v>,
    ) -> Verdict<'v> {
        if !client.passes() || self.policy.rules.is_empty() {
            return client;
        }
        let mut scratch = local.decoded.borrow_mut();
        let rules = self.policy.rules.check(seen, &mut scratch);
        Verdict {
            denied: rules.denied,
            would_deny: client.would_deny.or(rules.would_deny),
        }
    }
}

/// Counts a verdict about a connection; whether it may be.
fn count(local: &Local, metrics: &PolicyMetrics, verdict: &Verdict<'_>) -> bool {
    let decision = match (verdict.denied, verdict.would_deny) {
        (Some(_), _) => Decision::Denied,
        (None, Some(_)) => Decision::WouldDeny,
        (None, None) => Decision::Passed,
    };
    metrics.on(local.worker.id).decisions.count(decision);
    verdict.passes()
}

/// Counts a verdict about a request, and notes which entry decided.
fn settle(
    local: &Local,
    exchange: &mut Exchange,
    name: &str,
    metrics: &PolicyMetrics,
    verdict: Verdict<'_>,
) -> Option<Answer> {
    let passes = count(local, metrics, &verdict);
    if let Some(cause) = verdict.denied.or(verdict.would_deny) {
        // Rare, so that its text may cost something.
        exchange.policy = Some(Arc::from(format!("{name} {cause}")));
    }
    // Who is not let in has no further request to make.
    (!passes).then(|| Answer::closing(403, Reason::FirewallDenied))
}
