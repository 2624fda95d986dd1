//! What people and CI do with this project: `cargo xtask help`.

mod bench;
mod command;
mod fuzz;
mod lint;
mod setup;
mod test;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask <task>

  setup                  install the Debian packages that tests and benchmarks use (root or sudo), or say what is missing
  test [ARGS...]         setup, then the whole suite; ARGS go to `cargo test`
  lint                   formatting, clippy, and the rules of this repository
  bench http [OPTIONS]   Weir beside nginx and HAProxy; `cargo xtask bench http --help`
  bench faults [OPTIONS] the same faults before Weir, nginx and HAProxy; `cargo xtask bench faults --help`
  bench hostile [OPTIONS]
                         slow clients and floods before Weir and nginx; `cargo xtask bench hostile --help`
  bench guard [OPTIONS]  what a JWT, a rate limit and a firewall cost; `cargo xtask bench guard --help`
  fuzz [SECONDS] [NAME]  run every fuzz target, or one, for that long each (60)
  help                   this text
";

/// A task that cannot go on says why, in words for people.
type Result<T> = std::result::Result<T, String>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args.as_slice() {
        [] | ["help" | "--help" | "-h", ..] => {
            print!("{HELP}");
            Ok(())
        }
        ["setup"] => setup::run(),
        ["test", rest @ ..] => test::run_all(rest),
        ["lint"] => lint::run_all(),
        ["bench", "http", rest @ ..] => bench::run(rest),
        ["bench", "faults", rest @ ..] => bench::faults::run(rest),
        ["bench", "guard", rest @ ..] => bench::guard::run(rest),
        ["bench", "hostile", rest @ ..] => bench::hostile::run(rest),
        // What `bench faults` starts as its endpoints.
        ["bench", "origin", rest @ ..] => bench::faults::origin::run(rest),
        ["fuzz", rest @ ..] => fuzz::run_targets(rest),
        _ => {
            eprint!("unknown task: {}\n\n{HELP}", args.join(" "));
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}
