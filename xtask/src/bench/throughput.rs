//! `small` and `large`: the cost of a request, of a response of 1 MB, as fast as the load goes.

use weir_testkit::{Nginx, Wrk};

use super::sample::{Sample, Samples, mebibytes, ratio};
use super::subject::{
    self, HAPROXY_LARGE, HAPROXY_NO_LOG, NGINX, NGINX_LARGE, NGINX_NO_LOG, Running, Subject, WEIR,
    WEIR_NO_LOG,
};
use super::{LOAD_CORE, Lab};
use crate::Result;

pub(super) fn small(lab: &mut Lab) -> Result<()> {
    lab.report.heading(
        "small: GET, 100 bytes, 64 connections",
        "Without `no log`: JSON access log. All: request id, forwarded headers, keep-alive to the origin.",
    );
    compare(
        lab,
        &[WEIR, WEIR_NO_LOG, NGINX, NGINX_NO_LOG, HAPROXY_NO_LOG],
        "/",
        64,
    )
}

pub(super) fn large(lab: &mut Lab) -> Result<()> {
    lab.report.heading(
        "large: GET, 1 MB, 16 connections",
        "As `small`, with a body that does not fit one buffer.",
    );
    compare(lab, &[WEIR, NGINX_LARGE, HAPROXY_LARGE], "/1m", 16)
}

fn compare(lab: &mut Lab, subjects: &[Subject], path: &str, connections: usize) -> Result<()> {
    let origin = subject::origin()?;
    let mut rows = start_all(lab, &lab.present(subjects), &origin)?;
    for round in 0..=lab.options.rounds {
        for row in &mut rows {
            let server = row.running.server();
            let wrk = Wrk::new(server.addr("web"), path)
                .connections(connections)
                .cores(LOAD_CORE);
            if round == 0 {
                wrk.run()?; // two seconds of warming up
            } else {
                row.samples
                    .push(Sample::take(server, &wrk.duration(lab.options.turn))?);
            }
        }
    }
    let cpu_of = |wanted: Subject| {
        let row = rows
            .iter()
            .find(|row| row.subject.name == wanted.name && row.samples.errors() == 0)?;
        Some(row.samples.median(|sample| sample.cpu))
    };
    let (nginx, haproxy) = (cpu_of(NGINX), cpu_of(HAPROXY_NO_LOG));
    let table: Vec<Vec<String>> = rows.iter().map(|row| row.cells(nginx, haproxy)).collect();
    lab.report.table(
        &[
            "subject",
            "CPU µs/request",
            "of nginx",
            "of HAProxy",
            "requests/s",
            "core busy",
            "p50",
            "p99",
            "p99.9",
            "peak memory",
        ],
        &table,
    );
    Ok(())
}

struct Row {
    subject: Subject,
    running: Running,
    samples: Samples,
}

fn start_all(lab: &Lab, subjects: &[Subject], origin: &Nginx) -> Result<Vec<Row>> {
    let start = |&subject: &Subject| {
        Ok(Row {
            subject,
            running: lab.start(subject, origin)?,
            samples: Samples::default(),
        })
    };
    subjects.iter().map(start).collect()
}

impl Row {
    fn cells(&self, nginx: Option<f64>, haproxy: Option<f64>) -> Vec<String> {
        let samples = &self.samples;
        let name = self.subject.name.to_owned();
        if samples.errors() > 0 {
            return vec![name, format!("void: {} errors", samples.errors())];
        }
        let cpu = samples.median(|sample| sample.cpu);
        vec![
            name,
            format!("{cpu:.1}"),
            ratio(cpu, nginx),
            ratio(cpu, haproxy),
            format!("{:.0}", samples.median(|sample| sample.rate)),
            format!("{:.0} %", samples.median(|sample| sample.busy) * 100.0),
            samples.median_time(|sample| sample.p50),
            samples.median_time(|sample| sample.p99),
            samples.median_time(|sample| sample.p999),
            mebibytes(self.running.server().usage().peak),
        ]
    }
}
