//! The two logs: one line per request, and events.

use std::{io, sync::Arc, time::Duration};

use weir_service::{BreakerState, Event, EventSink};
use weir_telemetry::{Events, LogWriter, Registry, ServiceLevel, Sink, Target, Value};

use crate::config::Config;

/// How long a stop waits for log lines to be written.
const GRACE: Duration = Duration::from_secs(2);
/// Events are few; this many may wait.
const EVENT_QUEUE: usize = 1024;

/// Both logs, running.
pub(super) struct Logs {
    access: LogWriter,
    events_writer: LogWriter,
    pub(super) events: Events,
}

impl Logs {
    pub(super) fn start(config: &Config, registry: &Registry) -> io::Result<Self> {
        let sink = Sink::open(config.log.access.0.clone())?;
        let access = LogWriter::start("weir-access-log", sink, config.log.queue.as_usize())?;
        let events_writer =
            LogWriter::start("weir-event-log", Sink::open(Target::Stderr)?, EVENT_QUEUE)?;
        registry.add_log("access", access.stats());
        registry.add_log("events", events_writer.stats());
        let events = Events::new(events_writer.queue(), config.log.level, config.log.format);
        Ok(Self {
            access,
            events_writer,
            events,
        })
    }

    pub(super) fn access_queue(&self) -> weir_telemetry::LogQueue {
        self.access.queue()
    }

    /// Opens the destination of a new config, if it is another one. Nothing changes yet.
    pub(super) fn prepare(&self, config: &Config) -> io::Result<Option<Sink>> {
        let target = config.log.access.0.clone();
        (target != self.access.target())
            .then(|| Sink::open(target))
            .transpose()
    }

    /// Goes over to a new config.
    pub(super) fn commit(&self, config: &Config, sink: Option<Sink>) {
        if let Some(sink) = sink {
            self.access.redirect(sink);
        }
        self.events.configure(config.log.level, config.log.format);
    }

    /// Opens the access log's file anew: somebody has renamed it.
    pub(super) fn reopen(&self) {
        if let Err(error) = self.access.reopen() {
            let text = error.to_string();
            self.events.error(
                "cannot reopen the access log",
                &[("error", Value::Str(&text))],
            );
        }
    }

    /// Writes what is left.
    pub(super) fn stop(self) {
        self.access.shutdown(GRACE);
        drop(self.events);
        self.events_writer.shutdown(GRACE);
    }
}

/// Tells the event log what happens to services.
pub(super) fn service_events(events: Events, registry: Registry) -> EventSink {
    let health = super::state::HealthSeries::new(registry.clone());
    Arc::new(move |event| match event {
        Event::HealthChanged {
            service,
            endpoint,
            from,
            to,
            reason,
        } => {
            health.set(&service, endpoint.label(), to.is_usable());
            events.info(
                "endpoint health changed",
                &[
                    ("service", Value::Str(&service)),
                    ("endpoint", Value::Str(endpoint.label())),
                    ("from", Value::Str(from.as_str())),
                    ("to", Value::Str(to.as_str())),
                    ("reason", Value::Str(reason.as_deref().unwrap_or(""))),
                ],
            );
        }
        Event::Checked { .. } => {}
        Event::Ejected {
            service,
            endpoint,
            reason,
            for_ms,
        } => {
            let label = endpoint.label();
            registry.set_level(ServiceLevel::EndpointEjected, &service, label, 1);
            events.warn(
                "endpoint ejected",
                &[
                    ("service", Value::Str(&service)),
                    ("endpoint", Value::Str(label)),
                    ("reason", Value::Str(&reason)),
                    ("for_seconds", Value::Uint(for_ms.div_ceil(1000))),
                ],
            );
        }
        Event::Returned {
            service,
            endpoint,
            reason,
        } => {
            let label = endpoint.label();
            registry.set_level(ServiceLevel::EndpointEjected, &service, label, 0);
            let text = reason.to_string();
            events.info(
                "endpoint returned",
                &[
                    ("service", Value::Str(&service)),
                    ("endpoint", Value::Str(label)),
                    ("reason", Value::Str(&text)),
                ],
            );
        }
        Event::BreakerChanged {
            service,
            endpoint,
            change,
        } => {
            let value = match change.to {
                BreakerState::Closed => 0,
                BreakerState::HalfOpen => 1,
                BreakerState::Open => 2,
            };
            let label = endpoint.as_ref().map_or("", |endpoint| &**endpoint.label());
            let level = if label.is_empty() {
                ServiceLevel::Breaker
            } else {
                ServiceLevel::EndpointBreaker
            };
            registry.set_level(level, &service, label, value);
            let fields = [
                ("service", Value::Str(&service)),
                ("from", Value::Str(change.from.as_str())),
                ("to", Value::Str(change.to.as_str())),
                ("endpoint", Value::Str(label)),
            ];
            // The breaker of a whole service has no endpoint to name.
            let fields = &fields[..if label.is_empty() { 3 } else { 4 }];
            match change.to {
                BreakerState::Open => events.warn("circuit breaker changed", fields),
                _ => events.info("circuit breaker changed", fields),
            }
        }
        Event::Load { service, load } => {
            for (level, value) in [
                (ServiceLevel::InFlight, load.in_flight),
                (ServiceLevel::Pending, load.pending),
                (ServiceLevel::Limit, load.limit),
            ] {
                registry.set_level(level, &service, "", u64::from(value));
            }
        }
        Event::EndpointsChanged {
            service,
            source,
            added,
            removed,
            total,
        } => events.info(
            "endpoints changed",
            &[
                ("service", Value::Str(&service)),
                ("source", Value::Str(&source)),
                ("added", Value::Uint(added as u64)),
                ("removed", Value::Uint(removed as u64)),
                ("total", Value::Uint(total as u64)),
            ],
        ),
        Event::ResolveFailed {
            service,
            host,
            error,
            failures,
        } => {
            let text = error.to_string();
            events.warn(
                "name resolution failed",
                &[
                    ("service", Value::Str(&service)),
                    ("name", Value::Str(&host)),
                    ("error", Value::Str(&text)),
                    ("failures", Value::Uint(u64::from(failures))),
                ],
            );
        }
        Event::SourceFailed {
            service,
            source,
            error,
            failures,
        } => {
            let text = error.to_string();
            events.warn(
                "endpoint source failed",
                &[
                    ("service", Value::Str(&service)),
                    ("source", Value::Str(&source)),
                    ("error", Value::Str(&text)),
                    ("failures", Value::Uint(u64::from(failures))),
                ],
            );
        }
    })
}
