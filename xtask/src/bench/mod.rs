//! `bench http`: Weir beside nginx and HAProxy, on the same work, in one run, taking turns.
//!
//! On a small and noisy machine throughput and latency swing with whatever else runs; the CPU time that the proxy's own
//! processes spend on a request hardly does, so that is the figure to compare. The proxy has one core for itself, the
//! load and the origin share another. What each peer runs with is in `bench/http`.

pub(crate) mod faults;
pub(crate) mod guard;
pub(crate) mod hostile;
mod idle;
mod latency;
mod open_loop;
mod options;
mod report;
mod routes;
mod sample;
mod start;
mod subject;
mod swap;
mod throughput;
mod words;
mod workers;

use std::path::PathBuf;

use crate::Result;
use crate::command::{cargo, root, run as run_command};
use options::Options;
use report::Report;
use words::Common;

const HELP: &str = "\
cargo xtask bench http [OPTIONS]

  --rounds N       rounds in which the subjects take turns (5)
  --seconds N      length of one turn (4)
  --only A,B       only these scenarios: small, large, routes, p99, idle, start, workers, swap
  --weir PATH      this binary instead of a fresh release build
  --without-weir   only the peers
  --record         append the report to bench/RESULTS.md
";

/// What every scenario needs to know.
pub(crate) struct Lab {
    options: Options,
    report: Report,
    /// The binary, unless Weir does not take part.
    weir: Option<PathBuf>,
}

/// The core of the subject, and the one that load and origin share, as `taskset -c` writes them.
const PROXY_CORE: &str = "0";
const LOAD_CORE: &str = "1";

type Scenario = fn(&mut Lab) -> Result<()>;

const SCENARIOS: &[(&str, Scenario)] = &[
    ("small", throughput::small),
    ("large", throughput::large),
    ("routes", routes::run),
    ("p99", latency::run),
    ("idle", idle::run),
    ("start", start::run),
    ("workers", workers::run),
    ("swap", swap::run),
];

/// Runs the scenarios that the options ask for.
pub(crate) fn run(args: &[&str]) -> Result<()> {
    if words::asks_for_help(args, HELP) {
        return Ok(());
    }
    let options = Options::parse(args)?;
    if cfg!(debug_assertions) {
        // The open-loop generator must not be what limits the load.
        let mut again = cargo(&[
            "run",
            "--quiet",
            "--release",
            "--package",
            "xtask",
            "--",
            "bench",
            "http",
        ]);
        again.args(args);
        return run_command(again);
    }
    crate::setup::run()?;
    needs_two_cores()?;
    let weir = match options.without_weir {
        true => None,
        false => Some(binary(&options.common)?),
    };
    weir_testkit::raise_descriptor_limit(65_536); // subjects inherit it
    let mut lab = Lab {
        report: Report::new(weir.as_deref()),
        options,
        weir,
    };
    for (name, scenario) in SCENARIOS {
        if lab.options.wants(name) {
            scenario(&mut lab)?;
        }
    }
    if lab.options.common.record {
        lab.report.record()?;
    }
    Ok(())
}

/// The subject has one for itself.
fn needs_two_cores() -> Result<()> {
    match std::thread::available_parallelism().map_or(1, usize::from) {
        1 => Err("at least two cores are needed: one for the subject, one for the load".to_owned()),
        _ => Ok(()),
    }
}

/// The binary of Weir: the one that is named, or a fresh release build.
fn binary(options: &Common) -> Result<PathBuf> {
    if let Some(path) = &options.weir {
        return path
            .canonicalize()
            .map_err(|e| format!("{}: {e}", path.display()));
    }
    run_command(cargo(&[
        "build",
        "--release",
        "--package",
        "weir",
        "--bin",
        "weir",
    ]))?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(root().join(target).join("release/weir"))
}
