//! Every metric's name, type, labels and meaning: one table, which the exposition renders from and
//! which `docs/metrics.md` is held equal to.

/// A Prometheus metric type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric family.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Label names, in the order in which samples give their values.
    pub(crate) labels: &'static [&'static str],
    pub(crate) help: &'static str,
}

macro_rules! families {
    ($($id:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)+) => {
        $(pub(crate) const $id: Family =
            Family { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };)+
        /// All of them, in order of exposition.
        #[cfg(test)]
        pub(crate) const ALL: &[&Family] = &[$(&$id),+];
    };
}

families! {
    BUILD_INFO: Gauge "weir_build_info" ["version"] "Always 1; the version is in the label.";
    UPTIME: Gauge "weir_uptime_seconds" [] "Time since Weir started.";
    CONFIG_GENERATION: Gauge "weir_config_generation" [] "Number of the plan that serves now; every reload that took effect adds one.";
    CONFIG_RELOADS: Counter "weir_config_reloads_total" ["result"] "Reloads, by result: success or failure.";

    LISTENER_ACCEPTED: Counter "weir_listener_connections_accepted_total" ["listener"] "Connections accepted.";
    LISTENER_OPEN: Gauge "weir_listener_connections_open" ["listener"] "Connections open now.";
    LISTENER_REFUSED: Counter "weir_listener_connections_refused_total" ["listener", "reason"] "Connections closed before they were served, by reason: limit, per_ip, draining (the listener closed and no request came), firewall, rate or proxy_header (missing, broken or late).";
    LISTENER_HURRIED: Counter "weir_listener_connections_hurried_total" ["listener"] "Connections closed before their timeout while they waited for a request, or sent one slowly, since the limit on connections was near.";
    LISTENER_REQUESTS: Counter "weir_listener_requests_total" ["listener"] "Requests whose head was read.";
    LISTENER_RECEIVED: Counter "weir_listener_received_bytes_total" ["listener"] "Bytes read from clients.";
    LISTENER_SENT: Counter "weir_listener_sent_bytes_total" ["listener"] "Bytes written to clients.";
    LISTENER_ERRORS: Counter "weir_listener_protocol_errors_total" ["listener", "status"] "Requests refused before routing because they broke the protocol or a limit, by status.";

    ROUTE_REQUESTS: Counter "weir_http_requests_total" ["route", "class"] "Requests answered, by class of the status that the client got.";
    ROUTE_DURATION: Histogram "weir_http_request_duration_seconds" ["route"] "From the first byte of the request to the last of the answer.";
    ROUTE_FAILURES: Counter "weir_http_failures_total" ["route", "reason"] "Exchanges that Weir answered itself or that broke, by reason.";
    ROUTE_MIRRORED: Counter "weir_http_mirrored_total" ["route", "result"] "Requests that should be copied for another service, by what became of that: answered, failed or timeout; too_large or dropped if they were not copied.";

    POLICY_DECISIONS: Counter "weir_policy_decisions_total" ["kind", "policy", "decision"] "Requests that a policy decided about, by kind of policy and decision: passed, denied, would_deny (a dry run) or unavailable (whoever decides could not be asked).";
    LIMIT_KEYS: Gauge "weir_rate_limit_keys" ["policy"] "Keys that a rate limit counts now.";
    LIMIT_EVICTED: Counter "weir_rate_limit_evicted_keys_total" ["policy"] "Keys forgotten because the limit counts as many as it may.";
    STORE_CHECKS: Counter "weir_engine_checks_total" ["engine", "result"] "Checks of shared rate limits, by result: answered, timeout, failed, open (the breaker) or full (too many under way).";
    STORE_BREAKER: Gauge "weir_engine_breaker_state" ["engine"] "The state of the breaker in front of the engine: 0 closed, 1 half-open, 2 open.";
    FIREWALL_ENTRIES: Gauge "weir_firewall_entries" ["list"] "Networks in a list of the firewall, by the file they come from.";

    SERVICE_REQUESTS: Counter "weir_service_requests_total" ["service", "class"] "Requests that an endpoint answered, by class.";
    SERVICE_FIRST_BYTE: Histogram "weir_service_first_byte_seconds" ["service"] "From sending the request to an endpoint until the head of its answer is complete.";
    SERVICE_RETRIES: Counter "weir_service_retries_total" ["service"] "Attempts after the first.";
    SERVICE_RETRIES_DENIED: Counter "weir_service_retries_denied_total" ["service"] "Retries and hedges that the retry budget did not allow.";
    SERVICE_HEDGES: Counter "weir_service_hedges_total" ["service"] "Requests sent to a second endpoint because the first took long.";
    SERVICE_HEDGE_WINS: Counter "weir_service_hedge_wins_total" ["service"] "Hedged requests that the second endpoint answered first.";
    SERVICE_SHED: Counter "weir_service_shed_total" ["service"] "Requests turned away because the service had as many as it may.";
    SERVICE_IN_FLIGHT: Gauge "weir_service_requests_in_flight" ["service"] "Requests in flight, of services with limits.";
    SERVICE_PENDING: Gauge "weir_service_requests_pending" ["service"] "Requests that wait in line, of services with limits.";
    SERVICE_LIMIT: Gauge "weir_service_requests_limit" ["service"] "How many requests may be in flight now, of services with limits.";
    SERVICE_BREAKER: Gauge "weir_service_breaker_state" ["service"] "The state of the circuit breaker: 0 closed, 1 half-open, 2 open.";
    SERVICE_NO_ENDPOINT: Counter "weir_service_no_endpoint_total" ["service"] "Requests for which there was no endpoint to try.";
    SERVICE_CONNECTIONS: Gauge "weir_service_connections" ["service", "state"] "Connections to endpoints now, by state: idle in a pool, or active.";

    ENDPOINT_REQUESTS: Counter "weir_endpoint_requests_total" ["service", "endpoint", "class"] "Requests that the endpoint answered, by class.";
    ENDPOINT_CONNECTS: Counter "weir_endpoint_connects_total" ["service", "endpoint"] "Connections opened.";
    ENDPOINT_CONNECT_FAILURES: Counter "weir_endpoint_connect_failures_total" ["service", "endpoint"] "Connections that could not be opened.";
    ENDPOINT_REUSED: Counter "weir_endpoint_reused_connections_total" ["service", "endpoint"] "Requests sent on a connection from the pool.";
    ENDPOINT_RESETS: Counter "weir_endpoint_resets_total" ["service", "endpoint"] "Connections that the endpoint closed or reset during an exchange.";
    ENDPOINT_BAD_RESPONSES: Counter "weir_endpoint_bad_responses_total" ["service", "endpoint"] "Answers that broke the protocol's rules.";
    ENDPOINT_SENT: Counter "weir_endpoint_sent_bytes_total" ["service", "endpoint"] "Bytes written to the endpoint.";
    ENDPOINT_RECEIVED: Counter "weir_endpoint_received_bytes_total" ["service", "endpoint"] "Bytes read from the endpoint.";
    ENDPOINT_EJECTED: Gauge "weir_endpoint_ejected" ["service", "endpoint"] "1 while the endpoint is left alone because its requests failed; absent if it never was.";
    ENDPOINT_BREAKER: Gauge "weir_endpoint_breaker_state" ["service", "endpoint"] "The state of the endpoint's circuit breaker: 0 closed, 1 half-open, 2 open; absent if it never changed.";
    ENDPOINT_HEALTHY: Gauge "weir_endpoint_healthy" ["service", "endpoint"] "1 if the last health checks passed, 0 if they failed; absent before the first result.";

    WORKER_BUSY: Counter "weir_worker_busy_seconds_total" ["worker"] "Time that the worker did not spend waiting for events.";
    WORKER_TASKS: Gauge "weir_worker_tasks" ["worker"] "Tasks alive on the worker.";

    LOG_LINES: Counter "weir_log_lines_written_total" ["log"] "Lines written, by log: access or events.";
    LOG_BYTES: Counter "weir_log_written_bytes_total" ["log"] "Bytes written.";
    LOG_DROPPED: Counter "weir_log_lines_dropped_total" ["log", "reason"] "Lines lost, by reason: queue_full when the destination is too slow, write_error when it failed.";
    LOG_SUPPRESSED: Counter "weir_log_lines_suppressed_total" ["log"] "Lines not written because too many of their kind came at once.";
    LOG_ERRORS: Counter "weir_log_write_errors_total" ["log"] "Writes that failed.";

    PROCESS_CPU: Counter "process_cpu_seconds_total" [] "User and system CPU time spent.";
    PROCESS_RSS: Gauge "process_resident_memory_bytes" [] "Resident memory.";
    PROCESS_VIRTUAL: Gauge "process_virtual_memory_bytes" [] "Virtual memory.";
    PROCESS_OPEN_FDS: Gauge "process_open_fds" [] "File descriptors open.";
    PROCESS_MAX_FDS: Gauge "process_max_fds" [] "File descriptors allowed.";
    PROCESS_THREADS: Gauge "process_threads" [] "Threads.";
    PROCESS_START: Gauge "process_start_time_seconds" [] "When the process started, in seconds since 1970.";
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table rows of docs/metrics.md that begin with a name and have this many columns.
    fn documented(columns: usize) -> Vec<String> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/metrics.md");
        let text = std::fs::read_to_string(path).unwrap();
        text.lines()
            .filter(|line| line.starts_with("| `") && line.split(" | ").count() == columns)
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn the_documentation_is_equal() {
        let expected: Vec<String> = ALL
            .iter()
            .map(|family| {
                let labels: Vec<_> = family
                    .labels
                    .iter()
                    .map(|label| format!("`{label}`"))
                    .collect();
                let (name, kind, help) = (family.name, family.kind.as_str(), family.help);
                format!("| `{name}` | {kind} | {} | {help} |", labels.join(", "))
            })
            .collect();
        assert_eq!(documented(4), expected);
    }

    #[test]
    fn every_reason_is_documented() {
        let expected = crate::Reason::ALL
            .map(|reason| format!("| `{}` | {} |", reason.as_str(), reason.describe()));
        assert_eq!(documented(2), expected);
    }

    #[test]
    fn names_follow_the_conventions() {
        for family in ALL {
            let name = family.name;
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{name}"
            );
            assert_eq!(
                name.ends_with("_total"),
                family.kind == Kind::Counter,
                "{name}"
            );
            assert_eq!(
                ALL.iter().filter(|other| other.name == name).count(),
                1,
                "{name}"
            );
        }
    }
}
