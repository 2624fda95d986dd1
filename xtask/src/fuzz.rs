//! `fuzz`: libFuzzer on every target, with nothing installed.
//!
//! `cargo fuzz` is a convenience, not a need: its flags are stable compiler options as long as no sanitizer is on, and
//! Weir forbids unsafe code, so what a sanitizer finds is not what these targets look for.

use std::fs;
use std::process::Command;

use crate::Result;
use crate::command::{cargo, output, root, run};

/// Coverage feedback for libFuzzer, as `cargo fuzz` asks for it; assertions and overflow checks on.
const FLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "-Ccodegen-units=1",
    "-Cdebug-assertions",
    "-Coverflow-checks",
    "--cfg=fuzzing",
];

/// Runs every target in `fuzz/fuzz_targets`, or the one that is named. A finding is an error; its input stays in
/// `fuzz/artifacts`.
pub(crate) fn run_targets(args: &[&str]) -> Result<()> {
    let (seconds, only) = match args {
        [] => (60, None),
        [seconds] => (parse(seconds)?, None),
        [seconds, name] => (parse(seconds)?, Some(*name)),
        _ => return Err("usage: cargo xtask fuzz [SECONDS] [NAME]".to_owned()),
    };
    let targets: Vec<String> = targets()?
        .into_iter()
        .filter(|name| only.is_none_or(|only| only == name))
        .collect();
    if targets.is_empty() {
        return Err("no such target in fuzz/fuzz_targets".to_owned());
    }
    let triple = host()?;
    for target in targets {
        let mut build = cargo(&[
            "build",
            "--release",
            "--manifest-path",
            "fuzz/Cargo.toml",
            "--bin",
            &target,
        ]);
        // With a target named, the flags leave build scripts and procedural macros alone.
        build
            .args(["--target", &triple, "--target-dir", "fuzz/target"])
            .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"));
        run(build)?;
        for folder in ["corpus", "artifacts"] {
            let path = root().join("fuzz").join(folder).join(&target);
            fs::create_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        }
        let mut fuzzer =
            Command::new(root().join(format!("fuzz/target/{triple}/release/{target}")));
        fuzzer.current_dir(root().join("fuzz"));
        fuzzer.arg(format!("corpus/{target}"));
        let seeds = root().join("fuzz/seeds").join(&target);
        if seeds.is_dir() {
            fuzzer.arg(format!("seeds/{target}"));
        }
        fuzzer.args([
            format!("-artifact_prefix=artifacts/{target}/"),
            format!("-max_total_time={seconds}"),
        ]);
        if root().join("fuzz/http1.dict").is_file() {
            fuzzer.arg("-dict=http1.dict"); // every target so far reads HTTP/1
        }
        fuzzer.args([
            "-max_len=2048",
            "-timeout=5",
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
        ]);
        run(fuzzer).map_err(|why| {
            format!("{target}: {why}\nthe input is in fuzz/artifacts/{target}; make a test of it")
        })?;
    }
    Ok(())
}

fn targets() -> Result<Vec<String>> {
    let folder = root().join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            entry
                .ok()?
                .file_name()
                .into_string()
                .ok()?
                .strip_suffix(".rs")
                .map(str::to_owned)
        })
        .collect();
    names.sort();
    Ok(names)
}

fn host() -> Result<String> {
    let text = output(cargo(&["--version", "--verbose"]))?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or_else(|| "cargo does not tell its host".to_owned())
}

fn parse(seconds: &str) -> Result<u64> {
    seconds
        .parse()
        .map_err(|_| format!("not a number of seconds: {seconds}"))
}
