//! `bench hostile`: Weir and nginx under clients that are slow on purpose, and what those who mean well see of it.
//!
//! One attack at a time befalls one subject, while a few visitors ask on new connections. A subject is judged by what
//! its visitors get, by the memory that the attackers take (its own, and that of the kernel's sockets, which nobody
//! counts as anybody's), and by how many of them it still bears at the end. The configs are in `bench/hostile`.

mod attack;
mod options;
mod subject;

use std::path::Path;
use std::thread;
use std::time::Duration;

use weir_testkit::{Load, LoadReport};

use super::report::Report;
use super::sample::{mebibytes, millis};
use super::subject::origin_with;
use super::{LOAD_CORE, words};
use crate::Result;
use attack::{Attack, Watch};
use options::Options;
use subject::Subject;

const HELP: &str = "\
cargo xtask bench hostile [OPTIONS]

  --quick           fewer clients for a shorter time: shows that it works, not how well
  --only A,B        only these attacks: heads, bodies, readers, ranges, flood
  --subjects A,B    only these subjects: weir, nginx
  --connections N   attacking connections (3000)
  --seconds N       length of an attack (40)
  --weir PATH       this binary instead of a fresh release build
  --record          append the report to bench/RESULTS.md
";

/// Runs the attacks that the options ask for.
pub(crate) fn run(args: &[&str]) -> Result<()> {
    if words::asks_for_help(args, HELP) {
        return Ok(());
    }
    let options = Options::parse(args)?;
    crate::setup::run()?;
    let weir = match options.subjects.contains(&Subject::Weir) {
        true => Some(super::binary(&options.common)?),
        false => None,
    };
    // Attackers, subjects and the origin inherit it.
    let descriptors = weir_testkit::raise_descriptor_limit(65_536);
    if descriptors < 3 * options.connections as u64 {
        return Err(format!(
            "{descriptors} open files are too few for {} connections (ulimit -n)",
            options.connections
        ));
    }
    let mut report = Report::new(weir.as_deref());
    for &attack in &options.attacks {
        report.heading(
            &format!("{}: {}", attack.name(), attack.about()),
            &format!(
                "{} connections, {} s; meanwhile two visitors with a new connection for each request.",
                attack.connections(&options),
                options.duration.as_secs()
            ),
        );
        let mut rows = Vec::new();
        for &subject in &options.subjects {
            let row = one(attack, subject, weir.as_deref(), &options)
                .map_err(|why| format!("{} under {}: {why}", subject.name(), attack.name()))?;
            rows.push(row);
        }
        report.table(
            &[
                "subject",
                "visitors failed",
                "p50",
                "p99",
                "max",
                "attackers at most",
                "at the end",
                "memory before",
                "at most",
                "sockets' memory",
                "CPU",
            ],
            &rows,
        );
    }
    if options.common.record {
        report.record()?;
    }
    Ok(())
}

/// One attack on one subject.
fn one(
    attack: Attack,
    subject: Subject,
    weir: Option<&Path>,
    options: &Options,
) -> Result<Vec<String>> {
    let origin = origin_with("hostile", LOAD_CORE)?;
    let running = subject.start(weir, &origin)?;
    let server = running.server();
    let load = Load::new(server.addr("web"))
        .connections(2)
        .requests_per_connection(1)
        .pause(Duration::from_millis(5))
        .timeout(Duration::from_secs(3))
        .start();
    thread::sleep(Duration::from_secs(1));
    let before = server.usage();
    let watch = Watch::start(server.addr("web"));
    attack.run(server.addr("web"), options)?;
    let (seen, after) = (watch.stop(), server.usage());
    let visitors = load.stop();
    let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64();
    let [p50, p99, max] = latencies(&visitors);
    Ok(vec![
        subject.name().to_owned(),
        failed(&visitors),
        p50,
        p99,
        max,
        seen.most.to_string(),
        seen.last.to_string(),
        mebibytes(before.resident),
        mebibytes(after.peak),
        mebibytes(seen.memory),
        format!("{:.0} %", cpu / options.duration.as_secs_f64() * 100.0),
    ])
}

fn failed(visitors: &LoadReport) -> String {
    let bad = visitors.total() - visitors.status(200);
    format!("{bad} of {}", visitors.total())
}

fn latencies(visitors: &LoadReport) -> [String; 3] {
    let latency = &visitors.latency;
    [
        latency.percentile(50.0),
        latency.percentile(99.0),
        latency.max(),
    ]
    .map(|time| millis(time.as_secs_f64()))
}
