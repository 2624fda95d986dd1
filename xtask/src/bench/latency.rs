//! `p99`: latency at 70 % of what nginx can do, at a constant rate.

use weir_testkit::Wrk;

use super::open_loop::OpenLoop;
use super::sample::{median, millis};
use super::subject::{self, HAPROXY_NO_LOG, NGINX, WEIR};
use super::{LOAD_CORE, Lab};
use crate::Result;

const SHARE: f64 = 0.7;

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
        &format!("{rate:.0} requests/s, 70 % of nginx's most in this run; 128 connections; counted from when a request was due."),
    );
    for _ in 0..lab.options.rounds {
        for (_, running, reports, errors) in &mut rows {
            let plan = OpenLoop {
                addr: running.server().addr("web"),
                rate,
                connections: 128,
                duration: lab.options.turn,
                core: 1,
            };
            let report = plan.run()?;
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
