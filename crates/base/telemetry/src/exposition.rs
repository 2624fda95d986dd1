//! The registry as Prometheus text.
//!
//! Listeners are always shown. Routes, services and endpoints appear when they are first used, so
//! that a config of 10,000 routes costs a scrape only what is alive; of the failure reasons only
//! those that happened.

use crate::families as f;
use crate::levels::ServiceLevel;
use crate::process::ProcessSample;
use crate::reason::Reason;
use crate::registry::{EndpointKey, Registry};
use crate::series::{EndpointMetrics, Series};
use crate::sets::{ByClass, ByDecision, ByMirrored, ByRefusal, ByStatus, EndpointCells};
use crate::text::{Micros, Samples, TextFormat};
use crate::writer::LogStats;
use std::sync::Arc;
use std::time::Duration;

/// The media type of what [`Registry::render`] gives.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a scrape shows that the registry does not know.
#[derive(Clone, Copy, Debug)]
pub struct Scrape<'a> {
    /// Weir's version.
    pub version: &'a str,
    /// Time since Weir started.
    pub uptime: Duration,
    /// The operating system's view, where there is one.
    pub process: Option<ProcessSample>,
    /// What the guard holds.
    pub guard: &'a GuardSample,
}

/// What the guard holds at one moment.
#[derive(Clone, Debug, Default)]
pub struct GuardSample {
    /// Rate limits.
    pub limits: Vec<LimitSample>,
    /// Engines that rate limits share.
    pub engines: Vec<EngineSample>,
    /// Lists of the firewall, and how many networks are in each.
    pub lists: Vec<(String, u64)>,
}

/// A rate limit at one moment.
#[derive(Clone, Debug)]
pub struct LimitSample {
    /// Its name.
    pub name: Arc<str>,
    /// Keys that it counts.
    pub keys: u64,
    /// Keys that it had to forget.
    pub evicted: u64,
}

/// An engine at one moment.
#[derive(Clone, Debug)]
pub struct EngineSample {
    /// Its name.
    pub name: String,
    /// Checks by result.
    pub checks: Vec<(&'static str, u64)>,
    /// 0 closed, 1 half-open, 2 open.
    pub breaker: u8,
}

/// Live series with their names, ordered by name.
type Named<C> = Vec<(Arc<str>, Arc<Series<C>>)>;

impl Registry {
    /// All metrics in the Prometheus text format 0.0.4. Holds no lock while it renders.
    pub fn render(&self, scrape: &Scrape<'_>) -> String {
        let (listeners, routes, policies, services, endpoints, logs) = {
            let names = self.names();
            let mut endpoints = names.endpoints.alive();
            let other: Arc<str> = "other".into();
            endpoints.extend(
                names
                    .other_endpoints
                    .alive()
                    .into_iter()
                    .map(|(service, metrics)| ((service, Arc::clone(&other)), metrics)),
            );
            (
                names.listeners.alive(),
                used(names.routes.alive()),
                names.policies.alive(),
                used(names.services.alive()),
                endpoints,
                names.logs.clone(),
            )
        };
        let mut text = TextFormat::default();
        self.general(&mut text, scrape);
        show_listeners(&mut text, &listeners);
        show_routes(&mut text, &routes);
        show_mirrored(&mut text, &routes);
        show_policies(&mut text, &policies);
        show_guard(&mut text, scrape.guard);
        show_services(&mut text, &services);
        show_endpoints(&mut text, &endpoints);
        self.show_levels(&mut text);
        self.show_workers(&mut text);
        show_logs(&mut text, &logs);
        if let Some(process) = &scrape.process {
            show_process(&mut text, process);
        }
        text.finish()
    }

    fn show_levels(&self, text: &mut TextFormat) {
        let alive: std::collections::HashSet<Arc<str>> = {
            let services = self.names().services.alive();
            services.into_iter().map(|(name, _)| name).collect()
        };
        for (family, level) in [
            (&f::SERVICE_IN_FLIGHT, ServiceLevel::InFlight),
            (&f::SERVICE_PENDING, ServiceLevel::Pending),
            (&f::SERVICE_LIMIT, ServiceLevel::Limit),
            (&f::SERVICE_BREAKER, ServiceLevel::Breaker),
            (&f::ENDPOINT_EJECTED, ServiceLevel::EndpointEjected),
            (&f::ENDPOINT_BREAKER, ServiceLevel::EndpointBreaker),
        ] {
            let mut samples = text.family(family);
            for (service, endpoint, value) in self.levels().of(level, |name| alive.contains(name)) {
                match &*endpoint {
                    "" => samples.sample(&[&service], value),
                    endpoint => samples.sample(&[&service, endpoint], value),
                }
            }
        }
    }

    fn general(&self, text: &mut TextFormat, scrape: &Scrape<'_>) {
        text.family(&f::BUILD_INFO).sample(&[scrape.version], 1);
        text.family(&f::UPTIME)
            .sample(&[], scrape.uptime.as_secs_f64());
        text.family(&f::CONFIG_GENERATION)
            .sample(&[], self.generation());
        let (success, failure) = self.reloads();
        let mut samples = text.family(&f::CONFIG_RELOADS);
        samples.sample(&["success"], success);
        samples.sample(&["failure"], failure);
    }

    fn show_workers(&self, text: &mut TextFormat) {
        let workers: Vec<_> = self
            .workers()
            .cells()
            .map(|(id, cells)| (id.to_string(), cells))
            .collect();
        let mut samples = text.family(&f::WORKER_BUSY);
        for (id, cells) in &workers {
            samples.sample(&[id], Micros(cells.busy.value()));
        }
        let mut samples = text.family(&f::WORKER_TASKS);
        for (id, cells) in &workers {
            samples.sample(&[id], cells.tasks.value());
        }
    }
}

fn used<C>(mut named: Named<C>) -> Named<C> {
    named.retain(|(_, series)| series.is_used());
    named
}

/// One counter for each name.
fn counters<C>(mut samples: Samples<'_>, named: &Named<C>, read: impl Fn(&C) -> u64) {
    for (name, series) in named {
        samples.sample(&[name], series.sum(&read));
    }
}

fn classes<C>(
    samples: &mut Samples<'_>,
    names: &[&str],
    series: &Series<C>,
    read: impl Fn(&C) -> &ByClass,
) {
    for (i, class) in ByClass::LABELS.into_iter().enumerate() {
        let labels = [names, &[class]].concat();
        samples.sample(&labels, series.sum(|cells| read(cells).value(i)));
    }
}

fn show_listeners(text: &mut TextFormat, listeners: &Named<crate::ListenerCells>) {
    counters(text.family(&f::LISTENER_ACCEPTED), listeners, |cells| {
        cells.accepted.value()
    });
    let mut samples = text.family(&f::LISTENER_OPEN);
    for (name, series) in listeners {
        samples.sample(&[name], series.level(|cells| cells.open.value()));
    }
    let mut samples = text.family(&f::LISTENER_REFUSED);
    for (name, series) in listeners {
        for (i, reason) in ByRefusal::LABELS.into_iter().enumerate() {
            samples.sample(&[name, reason], series.sum(|cells| cells.refused.value(i)));
        }
    }
    counters(text.family(&f::LISTENER_HURRIED), listeners, |cells| {
        cells.hurried.value()
    });
    counters(text.family(&f::LISTENER_REQUESTS), listeners, |cells| {
        cells.requests.value()
    });
    counters(text.family(&f::LISTENER_RECEIVED), listeners, |cells| {
        cells.bytes_received.value()
    });
    counters(text.family(&f::LISTENER_SENT), listeners, |cells| {
        cells.bytes_sent.value()
    });
    let mut samples = text.family(&f::LISTENER_ERRORS);
    for (name, series) in listeners {
        for (i, status) in ByStatus::LABELS.into_iter().enumerate() {
            samples.sample(
                &[name, status],
                series.sum(|cells| cells.protocol_errors.value(i)),
            );
        }
    }
}

fn show_routes(text: &mut TextFormat, routes: &Named<crate::RouteCells>) {
    let mut samples = text.family(&f::ROUTE_REQUESTS);
    for (name, series) in routes {
        classes(&mut samples, &[name], series, |cells| &cells.requests);
    }
    let mut samples = text.family(&f::ROUTE_DURATION);
    for (name, series) in routes {
        samples.histogram(&[name], &series.totals(|cells| &cells.duration));
    }
    let mut samples = text.family(&f::ROUTE_FAILURES);
    for (name, series) in routes {
        for reason in Reason::ALL {
            let count = series.sum(|cells| cells.failures.value(reason));
            if count > 0 {
                samples.sample(&[name, reason.as_str()], count);
            }
        }
    }
}

fn show_mirrored(text: &mut TextFormat, routes: &Named<crate::RouteCells>) {
    let mut samples = text.family(&f::ROUTE_MIRRORED);
    for (name, series) in routes {
        for (i, result) in ByMirrored::LABELS.into_iter().enumerate() {
            let count = series.sum(|cells| cells.mirrored.value(i));
            if count > 0 {
                samples.sample(&[name, result], count);
            }
        }
    }
}

type Policies = Vec<((&'static str, Arc<str>), Arc<crate::PolicyMetrics>)>;

fn show_policies(text: &mut TextFormat, policies: &Policies) {
    let mut samples = text.family(&f::POLICY_DECISIONS);
    for ((kind, name), series) in policies.iter().filter(|(_, series)| series.is_used()) {
        for (i, decision) in ByDecision::LABELS.into_iter().enumerate() {
            let count = series.sum(|cells| cells.decisions.value(i));
            samples.sample(&[kind, name, decision], count);
        }
    }
}

fn show_guard(text: &mut TextFormat, guard: &GuardSample) {
    let mut samples = text.family(&f::LIMIT_KEYS);
    for limit in &guard.limits {
        samples.sample(&[&limit.name], limit.keys);
    }
    let mut samples = text.family(&f::LIMIT_EVICTED);
    for limit in &guard.limits {
        samples.sample(&[&limit.name], limit.evicted);
    }
    let mut samples = text.family(&f::STORE_CHECKS);
    for engine in &guard.engines {
        for (result, count) in &engine.checks {
            samples.sample(&[&engine.name, result], *count);
        }
    }
    let mut samples = text.family(&f::STORE_BREAKER);
    for engine in &guard.engines {
        samples.sample(&[&engine.name], engine.breaker);
    }
    let mut samples = text.family(&f::FIREWALL_ENTRIES);
    for (list, entries) in &guard.lists {
        samples.sample(&[list], *entries);
    }
}

fn show_services(text: &mut TextFormat, services: &Named<crate::ServiceCells>) {
    let mut samples = text.family(&f::SERVICE_REQUESTS);
    for (name, series) in services {
        classes(&mut samples, &[name], series, |cells| &cells.requests);
    }
    let mut samples = text.family(&f::SERVICE_FIRST_BYTE);
    for (name, series) in services {
        samples.histogram(&[name], &series.totals(|cells| &cells.first_byte));
    }
    counters(text.family(&f::SERVICE_RETRIES), services, |cells| {
        cells.retries.value()
    });
    counters(text.family(&f::SERVICE_RETRIES_DENIED), services, |cells| {
        cells.retries_denied.value()
    });
    counters(text.family(&f::SERVICE_HEDGES), services, |cells| {
        cells.hedges.value()
    });
    counters(text.family(&f::SERVICE_HEDGE_WINS), services, |cells| {
        cells.hedge_wins.value()
    });
    counters(text.family(&f::SERVICE_NO_ENDPOINT), services, |cells| {
        cells.no_endpoint.value()
    });
    counters(text.family(&f::SERVICE_SHED), services, |cells| {
        cells.shed.value()
    });
    let mut samples = text.family(&f::SERVICE_CONNECTIONS);
    for (name, series) in services {
        samples.sample(
            &[name, "idle"],
            series.level(|cells| cells.pool_idle.value()),
        );
        samples.sample(
            &[name, "active"],
            series.level(|cells| cells.pool_active.value()),
        );
    }
}

fn show_endpoints(text: &mut TextFormat, endpoints: &[(EndpointKey, Arc<EndpointMetrics>)]) {
    let used: Vec<([&str; 2], &Series<EndpointCells>)> = endpoints
        .iter()
        .filter(|(_, metrics)| metrics.series().is_used())
        .map(|((service, endpoint), metrics)| ([&**service, &**endpoint], metrics.series()))
        .collect();
    let mut samples = text.family(&f::ENDPOINT_REQUESTS);
    for (names, series) in &used {
        classes(&mut samples, names, series, |cells| &cells.requests);
    }
    let mut each = |family, read: fn(&EndpointCells) -> u64| {
        let mut samples = text.family(family);
        for (names, series) in &used {
            samples.sample(names, series.sum(read));
        }
    };
    each(&f::ENDPOINT_CONNECTS, |cells| cells.connects.value());
    each(&f::ENDPOINT_CONNECT_FAILURES, |cells| {
        cells.connect_failures.value()
    });
    each(&f::ENDPOINT_REUSED, |cells| cells.reused.value());
    each(&f::ENDPOINT_RESETS, |cells| cells.resets.value());
    each(&f::ENDPOINT_BAD_RESPONSES, |cells| {
        cells.bad_responses.value()
    });
    each(&f::ENDPOINT_SENT, |cells| cells.bytes_sent.value());
    each(&f::ENDPOINT_RECEIVED, |cells| cells.bytes_received.value());
    let mut samples = text.family(&f::ENDPOINT_HEALTHY);
    for ((service, endpoint), metrics) in endpoints {
        // Those beyond the cap have no one health.
        if let Some(healthy) = metrics.health().filter(|_| &**endpoint != "other") {
            samples.sample(&[service, endpoint], u8::from(healthy));
        }
    }
}

fn show_logs(text: &mut TextFormat, logs: &[(&'static str, Arc<LogStats>)]) {
    let mut each = |family, read: fn(&LogStats) -> u64| {
        let mut samples = text.family(family);
        for (name, stats) in logs {
            samples.sample(&[name], read(stats));
        }
    };
    each(&f::LOG_LINES, LogStats::lines);
    each(&f::LOG_BYTES, LogStats::bytes);
    each(&f::LOG_SUPPRESSED, LogStats::suppressed);
    each(&f::LOG_ERRORS, LogStats::errors);
    let mut samples = text.family(&f::LOG_DROPPED);
    for (name, stats) in logs {
        samples.sample(&[name, "queue_full"], stats.dropped());
        samples.sample(&[name, "write_error"], stats.lost());
    }
}

fn show_process(text: &mut TextFormat, process: &ProcessSample) {
    text.family(&f::PROCESS_CPU)
        .sample(&[], process.cpu_seconds);
    text.family(&f::PROCESS_RSS)
        .sample(&[], process.resident_bytes);
    text.family(&f::PROCESS_VIRTUAL)
        .sample(&[], process.virtual_bytes);
    text.family(&f::PROCESS_OPEN_FDS)
        .sample(&[], process.open_fds);
    if let Some(max) = process.max_fds {
        text.family(&f::PROCESS_MAX_FDS).sample(&[], max);
    }
    text.family(&f::PROCESS_THREADS)
        .sample(&[], process.threads);
    text.family(&f::PROCESS_START)
        .sample(&[], process.start_time);
}

#[cfg(test)]
mod tests;
