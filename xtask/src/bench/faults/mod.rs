//! `bench faults`: the same faults before Weir, nginx and HAProxy, and what users and endpoints see of them.
//!
//! Users ask at a constant rate, each subject has three endpoints of its own, and one fault at a time befalls them. A
//! subject is judged by what reaches the users (failures, latency) and by what it makes the other endpoints bear for
//! that (requests sent again). What each subject runs with is in `bench/faults`.

mod endpoint;
mod figures;
mod load;
mod options;
pub(crate) mod origin;
mod subject;

use std::thread;
use std::time::{Duration, Instant};

use super::report::Report;
use super::sample::millis;
use super::words;
use crate::Result;
use endpoint::{Endpoints, Fault, LATENCY_MS};
use figures::{Figures, Phase, Spans};
use load::Load;
use options::Options;
use subject::Subject;

const HELP: &str = "\
cargo xtask bench faults [OPTIONS]

  --quick           short phases: shows that it works, not how well
  --only A,B        only these faults: kill, stop, refuse, slow, 503, all-503
  --subjects A,B    only these subjects: weir, weir-hedged, nginx, haproxy
  --rate N          requests in a second (1000)
  --weir PATH       this binary instead of a fresh release build
  --record          append the report to bench/RESULTS.md
";

/// Runs the faults that the options ask for.
pub(crate) fn run(args: &[&str]) -> Result<()> {
    if words::asks_for_help(args, HELP) {
        return Ok(());
    }
    let options = Options::parse(args)?;
    crate::setup::run()?;
    super::needs_two_cores()?;
    let weir = match options.subjects.iter().any(|subject| subject.is_weir()) {
        true => Some(super::binary(&options.common)?),
        false => None,
    };
    weir_testkit::raise_descriptor_limit(65_536); // subjects and endpoints inherit it
    let mut report = Report::new(weir.as_deref());
    let spans = options.spans;
    for &fault in &options.faults {
        report.heading(
            &format!("{}: {}", fault.name(), fault.about()),
            &format!(
                "{} GETs a second for endpoints that take {LATENCY_MS} ms; the fault lasts {:?}.",
                options.rate,
                spans.heal - spans.strike,
            ),
        );
        let mut rows = Vec::new();
        for &subject in &options.subjects {
            let figures = one(fault, subject, weir.as_deref(), &options)
                .map_err(|why| format!("{} under {}: {why}", subject.name(), fault.name()))?;
            rows.push(cells(subject, &figures, spans));
        }
        report.table(
            &[
                "subject",
                "failed requests",
                "last failure after",
                "sent / asked",
                "p99 before",
                "p50",
                "p99",
                "max",
                "back after",
                "p99 then",
                "max then",
            ],
            &rows,
        );
    }
    if options.common.record {
        report.record()?;
    }
    Ok(())
}

/// One fault before one subject.
fn one(
    fault: Fault,
    subject: Subject,
    weir: Option<&std::path::Path>,
    options: &Options,
) -> Result<Figures> {
    let mut endpoints = Endpoints::start(fault)?;
    let running = subject.start(weir, &endpoints)?;
    let spans = Spans {
        // What is broken from the start has no time before it.
        strike: if fault == Fault::Refuse {
            Duration::ZERO
        } else {
            options.spans.strike
        },
        ..options.spans
    };
    let load = Load {
        addr: running.server().addr("web"),
        rate: options.rate,
        spans,
    };
    let start = Instant::now();
    let wait_for = |at: Duration| thread::sleep(at.saturating_sub(start.elapsed()));
    let generator = thread::spawn(move || load.run(start));
    wait_for(spans.strike);
    endpoints.strike(fault)?;
    wait_for(spans.heal);
    endpoints.heal(fault)?;
    let records = generator
        .join()
        .map_err(|_| "the load generator panicked".to_owned())?
        .map_err(|e| e.to_string())?;
    Ok(Figures::of(
        &records,
        spans,
        endpoints.requests(Phase::During),
    ))
}

/// A machine on which requests take longer than this before the fault has too much else to do.
const QUIET: Duration = Duration::from_millis(10 * LATENCY_MS);

fn cells(subject: Subject, figures: &Figures, spans: Spans) -> Vec<String> {
    let before = figures.before.percentile(99.0);
    if before > QUIET {
        let why = format!("void: p99 was {before:.0?} before the fault, the machine is busy");
        return vec![subject.name().to_owned(), why];
    }
    let kinds: Vec<String> = figures
        .failed
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    let failed = match figures.failures() {
        0 => format!("0 of {}", figures.requests),
        failures => format!("{failures} of {} ({})", figures.requests, kinds.join(", ")),
    };
    let seconds = |span: Duration| format!("{:.1} s", span.as_secs_f64());
    let ms = |span: Duration| millis(span.as_secs_f64());
    vec![
        subject.name().to_owned(),
        failed,
        figures.last_failure.map_or_else(|| "-".to_owned(), seconds),
        format!("{:.3}", figures.amplification),
        ms(before),
        ms(figures.during.percentile(50.0)),
        ms(figures.during.percentile(99.0)),
        ms(figures.during.max()),
        figures
            .back
            .map_or_else(|| format!("> {}", seconds(spans.end - spans.heal)), seconds),
        ms(figures.after.percentile(99.0)),
        ms(figures.after.max()),
    ]
}
