//! How a service survives, as users write it.

use std::sync::Arc;
use std::time::Duration as StdDuration;

use weir_config::{Cx, Duration, Name, Node, OrOff, Percent, Value, Within, choice, object};

use crate::admission::AdmissionSpec;
use crate::breaker::BreakerSpec;
use crate::outlier::OutlierSpec;
use crate::policy::{BreakerPolicy, BreakerScope, ServiceLimits};

object! {
    /// When an endpoint whose requests fail is left alone for a while.
    pub struct OutliersConfig {
        /// So many failures in a row: connections that fail or break, answers that do not come or are broken, and the
        /// statuses 502, 503 and 504. An application's own errors (500) do not count here. 0 for never.
        pub consecutive_failures: Within<0, 10_000> = Within::new(5),
        /// Whether an endpoint that fails far more often than the others is left alone, any 5xx included.
        pub success_rate: SuccessRate = SuccessRate::Auto,
        /// How often success rates are compared.
        pub interval: Duration = Duration::from_secs(10),
        /// With fewer requests in the interval a success rate says nothing.
        pub min_requests: Within<1, 1_000_000> = Within::new(20),
        /// How long an endpoint is left alone; twice as long the second time in a row, and so on.
        pub eject_for: Duration = Duration::from_secs(30),
        /// How long at most.
        pub max_eject_for: Duration = Duration::from_secs(300),
        /// How many of the endpoints may be left alone at once. One always may if there are two, and the last never.
        pub max_ejected: Percent = Percent::new(50),
        /// Whether a health check that succeeds ends it early.
        pub return_on_check: bool = false,
    }
}

impl Default for OutliersConfig {
    fn default() -> Self {
        Self {
            consecutive_failures: Within::new(5),
            success_rate: SuccessRate::Auto,
            interval: Duration::from_secs(10),
            min_requests: Within::new(20),
            eject_for: Duration::from_secs(30),
            max_eject_for: Duration::from_secs(300),
            max_ejected: Percent::new(50),
            return_on_check: false,
        }
    }
}

choice! {
    /// Whether success rates are compared.
    pub enum SuccessRate {
        /// Those of all endpoints, with each other.
        Auto = "auto",
        /// Not at all.
        Off = "off",
    }
}

object! {
    /// A circuit breaker: a service that fails is not asked any more, until a few probes succeed.
    pub struct BreakerConfig {
        /// It opens when this share of the requests fail.
        pub failure_rate: Percent = Percent::new(50),
        /// It opens when this share of the requests are slow.
        pub slow_rate: Percent = Percent::new(80),
        /// A request is slow when the head of its answer takes this long. By default none is.
        pub slow_after: Option<Duration>,
        /// Over how long requests are counted.
        pub window: Duration = Duration::from_secs(10),
        /// With fewer requests in the window it stays closed.
        pub min_requests: Within<1, 1_000_000> = Within::new(20),
        /// How long it stays open before it lets probes through.
        pub open_for: Duration = Duration::from_secs(30),
        /// How many requests are probes. When they have their answers, it closes, or opens again.
        pub probes: Within<1, 1_000> = Within::new(3),
        /// Whose requests are counted together.
        pub scope: ScopeConfig = ScopeConfig::Service,
    }
    check BreakerConfig::check;
}

choice! {
    /// Whose requests a circuit breaker counts together.
    pub enum ScopeConfig {
        /// Those of all endpoints: when it opens, requests get 503 at once.
        Service = "service",
        /// Those of each endpoint: when it opens, requests go to the others.
        Endpoint = "endpoint",
        /// Both, with a breaker each.
        Both = "both",
    }
}

object! {
    /// How much a service is asked for at once.
    pub struct ServiceLimitsConfig {
        /// How many requests may be in flight at one endpoint, each on a connection of its own; by default any number.
        pub connections: Option<Within<1, 1_000_000>>,
        /// How many requests may be in flight at all endpoints together; by default any number.
        pub requests: Option<Within<1, 10_000_000>>,
        /// How many requests may wait for one of these limits; more get 503 at once, those of low priority first.
        pub pending: Within<0, 1_000_000> = Within::new(1024),
        /// How long one may wait.
        pub queue_timeout: Duration = Duration::from_secs(1),
        /// Whether Weir finds out for itself how many requests in flight the service can bear, from how long its answers
        /// take. `requests` is then the most that it tries.
        pub adaptive: bool = false,
    }
    check ServiceLimitsConfig::check;
}

impl Default for ServiceLimitsConfig {
    fn default() -> Self {
        Self {
            connections: None,
            requests: None,
            pending: Within::new(1024),
            queue_timeout: Duration::from_secs(1),
            adaptive: false,
        }
    }
}

object! {
    /// Which endpoints come first by where they run.
    pub struct ZonesConfig {
        /// The zone whose endpoints get all requests while enough of them can be used.
        pub prefer: Name,
        /// When fewer than this share of them can be used, endpoints of other zones get a part.
        pub spill_below: Percent = Percent::new(70),
    }
    short prefer;
}

impl OutliersConfig {
    pub(super) fn spec(&self) -> OutlierSpec {
        OutlierSpec {
            consecutive_failures: self.consecutive_failures.as_u32(),
            success_rate: self.success_rate == SuccessRate::Auto,
            interval: self.interval.get(),
            eject_for: self.eject_for.get(),
            max_eject_for: self.max_eject_for.get(),
            max_ejected: percent(self.max_ejected),
            min_requests: self.min_requests.as_u32(),
            return_on_check: self.return_on_check,
        }
    }
}

impl BreakerConfig {
    pub(super) fn policy(&self) -> BreakerPolicy {
        let open_for = self.open_for.get();
        BreakerPolicy {
            spec: BreakerSpec {
                failure_rate: percent(self.failure_rate),
                slow_rate: self.slow_after.map(|_| percent(self.slow_rate)),
                window: self.window.get(),
                min_requests: self.min_requests.as_u32(),
                open_for,
                probes: self.probes.as_u32(),
                probe_timeout: open_for.max(StdDuration::from_secs(10)),
            },
            slow_after_us: self.slow_after.map_or(u64::MAX, |after| {
                u64::try_from(after.get().as_micros()).unwrap_or(u64::MAX)
            }),
            scope: match self.scope {
                ScopeConfig::Service => BreakerScope::Service,
                ScopeConfig::Endpoint => BreakerScope::Endpoint,
                ScopeConfig::Both => BreakerScope::Both,
            },
        }
    }

    fn check(&self, node: &Node, cx: &mut Cx) {
        for (rate, key) in [
            (self.failure_rate, "failure_rate"),
            (self.slow_rate, "slow_rate"),
        ] {
            if rate < Percent::new(1) {
                cx.error(node.span, "the breaker would always be open")
                    .key(key)
                    .expected("at least `1%`");
            }
        }
        if let Value::Map(entries) = &node.value
            && let Some(written) = entries.iter().find(|entry| &*entry.key == "slow_rate")
            && self.slow_after.is_none()
        {
            cx.warning(written.key_span, "no request is slow without `slow_after`")
                .help("say how long an answer may take before it is: `slow_after: 1s`");
        }
    }
}

impl ServiceLimitsConfig {
    pub(super) fn limits(&self) -> ServiceLimits {
        let any = self.connections.is_some() || self.requests.is_some() || self.adaptive;
        ServiceLimits {
            connections: self.connections.map(|most| most.as_u32()),
            admission: any.then(|| AdmissionSpec {
                requests: match self.requests {
                    Some(most) => most.as_u32(),
                    None if self.adaptive => AdmissionSpec::default().requests,
                    None => u32::MAX,
                },
                pending: self.pending.as_u32(),
                adaptive: self.adaptive,
                ..AdmissionSpec::default()
            }),
            queue_timeout_us: u64::try_from(self.queue_timeout.get().as_micros())
                .unwrap_or(u64::MAX),
        }
    }

    fn check(&self, node: &Node, cx: &mut Cx) {
        let unlimited = self.connections.is_none() && self.requests.is_none() && !self.adaptive;
        if unlimited && *self != Self::default() {
            cx.warning(
                node.span,
                "nothing is limited, so nothing ever waits: add `requests`, `connections` or `adaptive: true`",
            );
        }
    }
}

impl ZonesConfig {
    pub(super) fn zone(&self) -> Arc<str> {
        Arc::from(self.prefer.as_str())
    }
}

/// Whole percent, rounded; a part of one counts as one.
pub(super) fn percent(percent: Percent) -> u32 {
    (percent.ratio() * 100.0).ceil() as u32
}

/// Those of a service that says nothing.
pub(super) fn default_outliers() -> OrOff<OutliersConfig> {
    OrOff::On(OutliersConfig::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings<T: weir_config::Decode>(text: &str) -> String {
        let mut cx = Cx::from_text("weir.yaml", text, &|_| None);
        let config = cx.decode::<T>();
        cx.finish(config).expect("good").warnings.to_string()
    }

    #[test]
    fn what_says_nothing_is_warned_about() {
        let told = warnings::<BreakerConfig>("{ slow_rate: 50% }");
        assert!(
            told.contains("no request is slow without `slow_after`"),
            "{told}"
        );
        assert!(told.contains("weir.yaml:1:3"), "{told}");
        for fine in [
            "{ slow_rate: 50%, slow_after: 1s }",
            "{ slow_after: 1s }",
            "{}",
        ] {
            assert_eq!(warnings::<BreakerConfig>(fine), "", "{fine}");
        }
        let told = warnings::<ServiceLimitsConfig>("{ pending: 5 }");
        assert!(told.contains("nothing is limited"), "{told}");
        for fine in [
            "{ requests: 5, pending: 5 }",
            "{ adaptive: true, pending: 5 }",
            "{}",
        ] {
            assert_eq!(warnings::<ServiceLimitsConfig>(fine), "", "{fine}");
        }
    }
}
