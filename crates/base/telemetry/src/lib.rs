//! What Weir tells about itself: metrics, the access log, the event log, and the ids that tie them
//! together.
//!
//! Three rules shape this crate. A worker never waits for telemetry: metrics are plain stores to
//! the worker's own cells, log lines go to the worker's own buffer, and when a log's destination is
//! slow, lines are dropped and counted. Everything is bounded: label values come from the config,
//! and endpoint labels have a cap. And there is one vocabulary: the `reason` in the access log and
//! the one in the metrics are the same [`Reason`].
//!
//! | module | holds |
//! |---|---|
//! | `cell`, `histogram` | single-writer counters, gauges, latency histograms |
//! | `sets`, `series` | what is measured per listener, route, service, endpoint, worker, with one cell set per worker |
//! | `levels` | what control measures of services now and then |
//! | `registry`, `exposition` | names to series, and the Prometheus text of it all |
//! | `access_log`, `events` | the two logs |
//! | `sink`, `writer` | where log lines go, and the thread that takes them there |
//! | `ids`, `trace_context` | request ids, and W3C trace context |

mod access_log;
mod cell;
mod config;
mod events;
mod exposition;
mod families;
mod histogram;
mod ids;
mod json;
mod levels;
mod process;
mod reason;
mod registry;
mod series;
mod sets;
mod sink;
mod storm;
mod text;
mod timestamp;
mod trace_context;
mod writer;

pub use access_log::{AccessLog, AccessRecord};
pub use cell::{Counter, Gauge};
pub use config::{AccessTarget, LogConfig, MetricsConfig};
pub use events::{Events, Format, Level, Value};
pub use exposition::{CONTENT_TYPE, EngineSample, GuardSample, LimitSample, Scrape};
pub use histogram::Histogram;
pub use ids::{HexId, IdSource, accepted_request_id};
pub use levels::ServiceLevel;
pub use process::ProcessSample;
pub use reason::Reason;
pub use registry::Registry;
pub use series::{
    EndpointMetrics, ListenerMetrics, PolicyMetrics, RouteMetrics, Series, ServiceMetrics,
    WorkerMetrics,
};
pub use sets::{
    ByClass, ByDecision, ByMirrored, ByReason, ByRefusal, ByStatus, Decision, EndpointCells,
    ListenerCells, Mirrored, PolicyCells, Refusal, RouteCells, ServiceCells, WorkerCells,
};
pub use sink::{Sink, Target};
pub use trace_context::TraceParent;
pub use writer::{LogQueue, LogStats, LogWriter};
