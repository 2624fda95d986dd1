//! What is counted, per listener, route, service, endpoint and worker.
//!
//! Each struct is one worker's cells. The fields are public because counting is the whole
//! interface; the arrays behind a label have their own small types so that a label's value can only
//! be one of a fixed set.

use crate::cell::{Counter, Gauge};
use crate::histogram::Histogram;
use crate::reason::Reason;
use std::time::Duration;

/// Counters by status class.
#[derive(Debug, Default)]
pub struct ByClass([Counter; 5]);

impl ByClass {
    /// Label values, in order.
    pub(crate) const LABELS: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

    /// Counts one answer. RFC 9110, section 15: a status outside 100..=599 is treated as 5xx.
    #[inline]
    pub fn count(&self, status: u16) {
        let class = match status {
            100..=599 => usize::from(status / 100 - 1),
            _ => 4,
        };
        self.0[class].inc();
    }

    pub(crate) fn value(&self, class: usize) -> u64 {
        self.0[class].value()
    }
}

/// Counters by [`Reason`].
#[derive(Debug)]
pub struct ByReason([Counter; Reason::ALL.len()]);

impl Default for ByReason {
    fn default() -> Self {
        Self([const { Counter::new() }; Reason::ALL.len()])
    }
}

impl ByReason {
    /// Counts one.
    #[inline]
    pub fn count(&self, reason: Reason) {
        self.0[reason as usize].inc();
    }

    pub(crate) fn value(&self, reason: Reason) -> u64 {
        self.0[reason as usize].value()
    }
}

/// Why a connection was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The limit on connections in all was reached.
    Limit,
    /// The limit on connections from one address was reached.
    PerIp,
    /// The listener is draining.
    Draining,
    /// A firewall does not let the address in.
    Firewall,
    /// The address opened connections too fast.
    Rate,
    /// The PROXY protocol header was missing, broken or late.
    ProxyHeader,
}

/// Counters by [`Refusal`].
#[derive(Debug, Default)]
pub struct ByRefusal([Counter; 6]);

impl ByRefusal {
    /// Label values, in order.
    pub(crate) const LABELS: [&str; 6] = [
        "limit",
        "per_ip",
        "draining",
        "firewall",
        "rate",
        "proxy_header",
    ];

    /// Counts one.
    #[inline]
    pub fn count(&self, refusal: Refusal) {
        self.0[refusal as usize].inc();
    }

    pub(crate) fn value(&self, refusal: usize) -> u64 {
        self.0[refusal].value()
    }
}

/// Counters by the status with which Weir answers a request that it cannot accept.
#[derive(Debug, Default)]
pub struct ByStatus([Counter; 12]);

impl ByStatus {
    /// Label values, in order; a status that is not among them counts as the last.
    pub(crate) const LABELS: [&str; 12] = [
        "400", "405", "408", "411", "413", "414", "417", "421", "431", "501", "505", "other",
    ];

    /// Counts one.
    #[inline]
    pub fn count(&self, status: u16) {
        let i = match status {
            400 => 0,
            405 => 1,
            408 => 2,
            411 => 3,
            413 => 4,
            414 => 5,
            417 => 6,
            421 => 7,
            431 => 8,
            501 => 9,
            505 => 10,
            _ => 11,
        };
        self.0[i].inc();
    }

    pub(crate) fn value(&self, status: usize) -> u64 {
        self.0[status].value()
    }
}

/// What became of a request that should be copied for another service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mirrored {
    /// The copy was answered.
    Answered,
    /// The copy could not be sent, or got no valid answer.
    Failed,
    /// The copy was not answered in time.
    Timeout,
    /// It was not copied: its body is too large.
    TooLarge,
    /// It was not copied: too many copies were under way.
    Dropped,
}

/// Counters by [`Mirrored`].
#[derive(Debug, Default)]
pub struct ByMirrored([Counter; 5]);

impl ByMirrored {
    /// Label values, in order.
    pub(crate) const LABELS: [&str; 5] = ["answered", "failed", "timeout", "too_large", "dropped"];

    /// Counts one.
    #[inline]
    pub fn count(&self, result: Mirrored) {
        self.0[result as usize].inc();
    }

    pub(crate) fn value(&self, result: usize) -> u64 {
        self.0[result].value()
    }
}

/// What a policy decided about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It lets the request pass.
    Passed,
    /// It does not.
    Denied,
    /// It would not, were it not a dry run.
    WouldDeny,
    /// Whoever decides could not be asked in time.
    Unavailable,
}

/// Counters by [`Decision`].
#[derive(Debug, Default)]
pub struct ByDecision([Counter; 4]);

impl ByDecision {
    /// Label values, in order.
    pub(crate) const LABELS: [&str; 4] = ["passed", "denied", "would_deny", "unavailable"];

    /// Counts one.
    #[inline]
    pub fn count(&self, decision: Decision) {
        self.0[decision as usize].inc();
    }

    pub(crate) fn value(&self, decision: usize) -> u64 {
        self.0[decision].value()
    }
}

/// A policy's cells.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct PolicyCells {
    /// Requests that it decided about.
    pub decisions: ByDecision,
}

/// A listener's cells.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct ListenerCells {
    /// Connections accepted.
    pub accepted: Counter,
    /// Connections open now.
    pub open: Gauge,
    /// Connections closed at once, by reason.
    pub refused: ByRefusal,
    /// Idle or slow connections closed early, since the limit on connections was near.
    pub hurried: Counter,
    /// Requests whose head was read.
    pub requests: Counter,
    /// Bytes read from clients.
    pub bytes_received: Counter,
    /// Bytes written to clients.
    pub bytes_sent: Counter,
    /// Requests refused before routing because they broke the protocol or a limit, by status.
    pub protocol_errors: ByStatus,
}

/// A route's cells.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct RouteCells {
    /// Requests answered, by class of the status that the client got.
    pub requests: ByClass,
    /// From the first byte of the request to the last of the answer.
    pub duration: Histogram,
    /// Exchanges that Weir answered itself or that broke.
    pub failures: ByReason,
    /// Requests that should be copied for another service, by what became of that.
    pub mirrored: ByMirrored,
}

/// A service's cells.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct ServiceCells {
    /// Requests that an endpoint answered, by class.
    pub requests: ByClass,
    /// From the request's first byte to the endpoint until the answer's head is complete.
    pub first_byte: Histogram,
    /// Attempts after the first.
    pub retries: Counter,
    /// Retries and hedges that the budget did not allow.
    pub retries_denied: Counter,
    /// Requests that were sent to a second endpoint because the first took long.
    pub hedges: Counter,
    /// Those where the second one answered first.
    pub hedge_wins: Counter,
    /// Requests for which there was no endpoint to try.
    pub no_endpoint: Counter,
    /// Requests that were turned away because the service had as many as it may.
    pub shed: Counter,
    /// Idle connections in this worker's pool.
    pub pool_idle: Gauge,
    /// Connections in use by exchanges and tunnels.
    pub pool_active: Gauge,
}

/// An endpoint's cells.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct EndpointCells {
    /// Requests that the endpoint answered, by class.
    pub requests: ByClass,
    /// Connections opened.
    pub connects: Counter,
    /// Connections that could not be opened.
    pub connect_failures: Counter,
    /// Requests sent on a connection from the pool.
    pub reused: Counter,
    /// Connections that the endpoint closed or reset during an exchange.
    pub resets: Counter,
    /// Answers that broke the protocol's rules.
    pub bad_responses: Counter,
    /// Bytes written to the endpoint.
    pub bytes_sent: Counter,
    /// Bytes read from the endpoint.
    pub bytes_received: Counter,
}

/// A worker's own cells.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct WorkerCells {
    /// Time not spent waiting for events, in microseconds. See [`WorkerCells::busy_for`].
    pub(crate) busy: Counter,
    /// Tasks alive.
    pub tasks: Gauge,
}

impl WorkerCells {
    /// Adds to the time that this worker was not waiting for events.
    #[inline]
    pub fn busy_for(&self, time: Duration) {
        self.busy.add(
            time.as_secs()
                .wrapping_mul(1_000_000)
                .wrapping_add(u64::from(time.subsec_micros())),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_lands_in_its_class() {
        for (status, class) in [
            (100, 0),
            (199, 0),
            (200, 1),
            (308, 2),
            (404, 3),
            (599, 4),
            (600, 4),
            (0, 4),
            (99, 4),
        ] {
            let cells = ByClass::default();
            cells.count(status);
            assert_eq!(cells.value(class), 1, "{status}");
        }
    }

    #[test]
    fn a_protocol_error_lands_under_its_own_label() {
        for (i, label) in ByStatus::LABELS.into_iter().enumerate() {
            let cells = ByStatus::default();
            cells.count(label.parse().unwrap_or(499));
            assert_eq!(cells.value(i), 1, "{label}");
        }
    }

    #[test]
    fn refusals_and_reasons_land_under_their_own_labels() {
        let refused = ByRefusal::default();
        refused.count(Refusal::PerIp);
        assert_eq!([0, 1, 2].map(|i| refused.value(i)), [0, 1, 0]);
        refused.count(Refusal::ProxyHeader);
        assert_eq!(refused.value(ByRefusal::LABELS.len() - 1), 1);
        let failures = ByReason::default();
        failures.count(Reason::Internal);
        assert_eq!(failures.value(Reason::Internal), 1);
        assert_eq!(
            Reason::ALL.map(|r| failures.value(r)).iter().sum::<u64>(),
            1
        );
    }

    #[test]
    fn copies_land_under_their_own_labels() {
        let mirrored = ByMirrored::default();
        mirrored.count(Mirrored::TooLarge);
        let at = ByMirrored::LABELS
            .iter()
            .position(|label| *label == "too_large");
        let counts = [0, 1, 2, 3, 4].map(|i| mirrored.value(i));
        assert_eq!(counts.iter().sum::<u64>(), 1);
        assert_eq!(at.map(|at| counts[at]), Some(1));
        mirrored.count(Mirrored::Dropped);
        assert_eq!(mirrored.value(4), 1);
    }

    #[test]
    fn busy_time_adds_up() {
        let cells = WorkerCells::default();
        cells.busy_for(Duration::from_millis(1500));
        cells.busy_for(Duration::from_nanos(2999));
        assert_eq!(cells.busy.value(), 1_500_002);
    }
}
