//! `swap`: how long a reload takes from the request to the new plan at work.

use std::time::Instant;

use weir_testkit::Weir;

use super::Lab;
use super::routes::{MANY, config, many};
use super::sample::{median, millis};
use crate::Result;

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    lab.report.heading(
        "swap: reload with 10,000 routes",
        "Every route changes. From `POST /reload` to its answer: read, parse, compile, swap on every worker.",
    );
    if lab.weir.is_none() {
        lab.report.line("Weir does not take part in this run.");
        return Ok(());
    }
    let tables = [config(&many(MANY, "a")), config(&many(MANY, "b"))];
    let mut weir = Weir::try_launch(lab.launch_weir(&tables[0])?)?;
    let mut times = Vec::new();
    for round in 0..lab.options.rounds * 2 {
        weir.rewrite_config(&tables[(round + 1) % 2]);
        let begin = Instant::now();
        let response = weir.reload();
        times.push(begin.elapsed().as_secs_f64());
        if response.status != 200 {
            return Err(format!("reload: {} {}", response.status, response.text()));
        }
    }
    let slowest = times.iter().copied().fold(0.0, f64::max);
    lab.report.table(
        &["reloads", "median", "slowest"],
        &[vec![
            times.len().to_string(),
            millis(median(times)),
            millis(slowest),
        ]],
    );
    Ok(())
}
