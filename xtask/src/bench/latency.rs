//! `p99`: latency at 70 % of what nginx can do, at a constant rate.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use weir_testkit::{Histogram, Wrk};

use super::open_loop::{Connections, Head, OpenLoop, PATIENCE, User};
use super::sample::{median, millis};
use super::subject::{self, HAPROXY_NO_LOG, NGINX, WEIR};
use super::{LOAD_CORE, Lab};
use crate::Result;

const SHARE: f64 = 0.7;
const CONNECTIONS: usize = 128;

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let origin = subject::origin()?;
    let mut rows = Vec::new();
    for subject in lab.present(&[WEIR, NGINX, HAPROXY_NO_LOG]) {
        rows.push((subject, lab.start(subject, &origin)?, Vec::new(), 0));
    }
    let nginx = rows
        .iter()
        .find(|(subject, ..)| subject.name == NGINX.name)
        .ok_or("nginx is always present")?;
    let wrk = Wrk::new(nginx.1.server().addr("web"), "/")
        .duration(lab.options.turn)
        .cores(LOAD_CORE);
    let rate = wrk.run()?.rate() * SHARE;
    lab.report.heading(
        "p99: latency at a constant rate",
        &format!("{rate:.0} requests/s, 70 % of nginx's most in this run; {CONNECTIONS} connections; counted from when a request was due."),
    );
    for _ in 0..lab.options.rounds {
        for (_, running, reports, errors) in &mut rows {
            let addr = running.server().addr("web");
            let report = Report::take(addr, rate, lab.options.turn)?;
            *errors += report.errors;
            reports.push(report);
        }
    }
    let table: Vec<Vec<String>> = rows
        .iter()
        .map(|(subject, _, reports, errors)| {
            if *errors > 0 {
                return vec![subject.name.to_owned(), format!("void: {errors} errors")];
            }
            let at = |percent: f64| {
                millis(median(
                    reports
                        .iter()
                        .map(|report| report.latency.percentile(percent).as_secs_f64())
                        .collect(),
                ))
            };
            let achieved = median(reports.iter().map(|report| report.rate).collect());
            vec![
                subject.name.to_owned(),
                format!("{achieved:.0}"),
                at(50.0),
                at(90.0),
                at(99.0),
                at(99.9),
                at(100.0),
            ]
        })
        .collect();
    lab.report.table(
        &["subject", "requests/s", "p50", "p90", "p99", "p99.9", "max"],
        &table,
    );
    Ok(())
}

/// What a turn came to.
struct Report {
    latency: Histogram,
    errors: u64,
    /// Responses in a second.
    rate: f64,
}

impl Report {
    /// Loads a subject, from a thread of its own.
    fn take(addr: SocketAddr, rate: f64, duration: Duration) -> Result<Self> {
        let plan = OpenLoop {
            addr,
            rate,
            duration,
            connections: Connections::Fixed(CONNECTIONS),
            patience: PATIENCE,
        };
        let asking = Asking {
            request: format!("GET / HTTP/1.1\r\nHost: {addr}\r\n\r\n").into_bytes(),
            // The first tenth opens connections to the origin and warms caches.
            warm: duration / 10,
            latency: Histogram::default(),
            answered: 0,
            errors: 0,
        };
        let generator = thread::spawn(move || {
            let generator = plan.ready(asking)?;
            let start = Instant::now();
            Ok((generator.run(start)?, start.elapsed()))
        });
        let ran = generator
            .join()
            .map_err(|_| "the load generator panicked".to_owned())?;
        let (asked, elapsed) = ran.map_err(|e: std::io::Error| format!("{addr}: {e}"))?;
        Ok(Self {
            rate: asked.answered as f64 / elapsed.as_secs_f64(),
            latency: asked.latency,
            errors: asked.errors,
        })
    }
}

/// Users who all want the same.
struct Asking {
    request: Vec<u8>,
    warm: Duration,
    latency: Histogram,
    answered: u64,
    errors: u64,
}

impl User for Asking {
    /// Whether it was answered with a 200.
    type End = bool;

    const BROKEN: bool = false;
    const LATE: bool = false;

    fn write(&self, _: Duration, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.request);
    }

    fn read(&self, bytes: &[u8]) -> Option<(bool, bool)> {
        let head = Head::of(bytes)?;
        let whole = head.body().map(|body| head.length + body);
        match whole {
            Some(whole) if bytes.starts_with(b"HTTP/1.1 200 ") && bytes.len() <= whole => {
                (bytes.len() == whole).then_some((true, true))
            }
            _ => Some((false, false)),
        }
    }

    fn note(&mut self, due: Duration, latency: Duration, good: bool) {
        if !good {
            self.errors += 1;
            return;
        }
        self.answered += 1;
        if due >= self.warm {
            self.latency.record(latency);
        }
    }
}
