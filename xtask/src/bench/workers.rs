//! `workers`: what a second worker adds.

use weir_testkit::{Weir, Wrk};

use super::Lab;
use super::sample::{Sample, Samples};
use super::subject::{self, read_config};
use crate::Result;

/// Two for Weir, one for the origin, one for wrk.
const CORES: usize = 4;

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    lab.report.heading(
        "workers: two and one",
        "Weir on as many cores as it has workers; load and origin on others.",
    );
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < CORES {
        lab.report.line(&format!(
            "Not measured: with {cores} cores the load would share them with the second worker; it takes {CORES}."
        ));
        return Ok(());
    }
    if lab.weir.is_none() {
        lab.report.line("Weir does not take part in this run.");
        return Ok(());
    }
    let load = format!("2-{}", cores - 1);
    let origin = subject::origin_on(&load)?;
    let config = read_config("http", "weir-full.yaml")?;
    let mut rows = Vec::new();
    for (workers, own) in [(1, "0"), (2, "0,1")] {
        let config = config.replace("workers: 1", &format!("workers: {workers}"));
        let launch = lab
            .launch_weir(&config)?
            .value("origin", origin.addr("web"))
            .cores(own);
        rows.push((workers, Weir::try_launch(launch)?, Samples::default()));
    }
    for round in 0..=lab.options.rounds {
        for (_, weir, samples) in &mut rows {
            let wrk = Wrk::new(weir.addr("web"), "/")
                .connections(128)
                .threads(cores - 2)
                .cores(&load);
            if round == 0 {
                wrk.run()?;
            } else {
                samples.push(Sample::take(weir, &wrk.duration(lab.options.turn))?);
            }
        }
    }
    let base = rows[0].2.median(|sample| sample.rate);
    let table: Vec<Vec<String>> = rows
        .iter()
        .map(|(workers, _, samples)| {
            let rate = samples.median(|sample| sample.rate);
            vec![
                workers.to_string(),
                format!("{rate:.0}"),
                format!("{:.2}", rate / base),
                format!("{:.0} %", samples.median(|sample| sample.busy) * 100.0),
                samples.errors().to_string(),
            ]
        })
        .collect();
    lab.report.table(
        &["workers", "requests/s", "of one", "cores busy", "errors"],
        &table,
    );
    Ok(())
}
