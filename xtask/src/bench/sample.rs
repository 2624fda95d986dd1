//! One turn of one subject, and medians over its turns.

use std::time::{Duration, Instant};

use weir_testkit::{Server, Wrk};

use crate::Result;

/// What one turn measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// CPU time of the subject for a request, in µs.
    pub(super) cpu: f64,
    /// Share of one core that the subject used.
    pub(super) busy: f64,
    /// Responses in a second.
    pub(super) rate: f64,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    pub(super) p999: Duration,
    pub(super) errors: u64,
}

impl Sample {
    /// Lets wrk work on the subject, and reads the subject's CPU time before and after.
    pub(super) fn take(server: &Server, wrk: &Wrk) -> Result<Self> {
        let (before, begin) = (server.usage().cpu, Instant::now());
        let report = wrk.run()?;
        let (cpu, elapsed) = (
            server.usage().cpu.saturating_sub(before).as_secs_f64(),
            begin.elapsed(),
        );
        Ok(Self {
            cpu: cpu * 1e6 / report.requests.max(1) as f64,
            busy: cpu / elapsed.as_secs_f64(),
            rate: report.rate(),
            p50: report.p50,
            p99: report.p99,
            p999: report.p999,
            errors: report.errors() + u64::from(report.requests == 0),
        })
    }
}

/// A subject's turns.
#[derive(Debug, Default)]
pub(super) struct Samples {
    all: Vec<Sample>,
}

impl Samples {
    pub(super) fn push(&mut self, sample: Sample) {
        self.all.push(sample);
    }

    /// Any error voids a row.
    pub(super) fn errors(&self) -> u64 {
        self.all.iter().map(|sample| sample.errors).sum()
    }

    pub(super) fn median(&self, figure: impl Fn(&Sample) -> f64) -> f64 {
        median(self.all.iter().map(figure).collect())
    }

    pub(super) fn median_time(&self, figure: impl Fn(&Sample) -> Duration) -> String {
        millis(self.median(|sample| figure(sample).as_secs_f64()))
    }
}

/// The middle one, or the mean of the two in the middle.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

pub(super) fn millis(seconds: f64) -> String {
    format!("{:.2} ms", seconds * 1000.0)
}

pub(super) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0))
}

/// `value` as a share of what a peer needs; nothing where the peer is absent or void.
pub(super) fn ratio(value: f64, peer: Option<f64>) -> String {
    peer.map_or_else(|| "-".to_owned(), |peer| format!("{:.2}", value / peer))
}
