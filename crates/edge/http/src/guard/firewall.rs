//! Firewalls, asked about connections and about requests.

use std::{net::IpAddr, sync::Arc};

use weir_firewall::{Cause, Firewall, FirewallPolicy, Geo, Memo, Scratch, Verdict};
use weir_telemetry::{Decision, PolicyMetrics, Reason};

use super::{Checked, Guard, Seen};
use crate::{
    exchange::{Answer, Exchange},
    local::Local,
    plan::{Plan, RoutePlan},
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
    pub(crate) fn admit(&self, local: &Local, ip: IpAddr, memo: &Memo) -> Verdict<'_> {
        counted(local, &self.metrics, self.firewall.check(ip, memo))
    }

    /// Asked about a client behind a trusted proxy.
    pub(super) fn check_client(
        &self,
        local: &Local,
        client: &Client,
        exchange: &mut Exchange,
    ) -> Option<Answer> {
        let verdict = self.firewall.check(exchange.client_ip?, &client.place);
        settle(local, exchange, GLOBAL, &self.metrics, verdict)
    }
}

impl FirewallStep {
    /// Whether this address may connect to the listener.
    pub(crate) fn admit(&self, local: &Local, ip: IpAddr, memo: &Memo) -> Verdict<'_> {
        counted(local, &self.metrics, self.policy.firewall.check(ip, memo))
    }

    /// Which entry denies a request that was never sent.
    pub(crate) fn denies(&self, exchange: &Exchange, client: IpAddr, geo: &Geo) -> Option<String> {
        let memo = Memo::default();
        let mut verdict = self.policy.firewall.check(client, &memo);
        let mut scratch = Scratch::default();
        if verdict.passes() {
            let seen = Seen::of(exchange, client, "", geo, &memo);
            verdict = self.policy.rules.check(&seen, &memo, &mut scratch);
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
            let verdict = self.policy.firewall.check(seen.ip, seen.memo);
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
                self.policy.firewall.check(seen.ip, seen.memo)
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
        let rules = self.policy.rules.check(seen, seen.memo, &mut scratch);
        Verdict {
            denied: rules.denied,
            would_deny: client.would_deny.or(rules.would_deny),
        }
    }
}

impl Plan {
    /// Which entry of the firewalls in front of a listener turns an address away, in the words of the access log: whose
    /// it is, and the entry.
    #[must_use]
    pub fn denied_by(&self, listener: &str, address: IpAddr) -> Option<String> {
        self.decided_by(listener, address, |verdict| verdict.denied)
    }

    /// As [`denied_by`](Self::denied_by), of firewalls that are only tried out.
    #[must_use]
    pub fn would_be_denied_by(&self, listener: &str, address: IpAddr) -> Option<String> {
        self.decided_by(listener, address, |verdict| verdict.would_deny)
    }

    fn decided_by(
        &self,
        listener: &str,
        address: IpAddr,
        of: for<'v> fn(Verdict<'v>) -> Option<Cause<'v>>,
    ) -> Option<String> {
        let memo = Memo::default();
        let says = |name: &str, firewall: &Firewall| {
            let cause = of(firewall.check(address, &memo))?;
            Some(format!("{name} {cause}"))
        };
        let global = self.firewall.as_ref();
        let index = self.listener_index(listener).map(usize::from);
        let listener = index.and_then(|index| self.listeners.get(index)?.firewall.as_ref());
        global
            .and_then(|global| says(GLOBAL, &global.firewall))
            .or_else(|| listener.and_then(|step| says(&step.name, &step.policy.firewall)))
    }
}

/// Counts a verdict.
fn counted<'v>(local: &Local, metrics: &PolicyMetrics, verdict: Verdict<'v>) -> Verdict<'v> {
    let decision = match (verdict.denied, verdict.would_deny) {
        (Some(_), _) => Decision::Denied,
        (None, Some(_)) => Decision::WouldDeny,
        (None, None) => Decision::Passed,
    };
    metrics.on(local.worker.id).decisions.count(decision);
    verdict
}

/// Counts a verdict about a request, and notes which entry decided.
fn settle(
    local: &Local,
    exchange: &mut Exchange,
    name: &str,
    metrics: &PolicyMetrics,
    verdict: Verdict<'_>,
) -> Option<Answer> {
    let verdict = counted(local, metrics, verdict);
    if let Some(cause) = verdict.denied.or(verdict.would_deny) {
        // Rare, so that its text may cost something.
        exchange.policy = Some(Arc::from(format!("{name} {cause}")));
    }
    // Who is not let in has no further request to make.
    (!verdict.passes()).then(|| Answer::closing(403, Reason::FirewallDenied))
}
