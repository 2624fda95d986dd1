//! `lint`: formatting, clippy, and what no tool knows.

use std::fs;

use crate::Result;
use crate::command::{cargo, command, output, root, run};

/// A file this long has more than one concept in it.
const SMELL: usize = 600;
/// A file this long is an error.
const LIMIT: usize = 1000;

/// What no committed file may hold, and why. The first two are written in pieces, since this file is committed too.
const BANNED: &[(&str, &str)] = &[
    (concat!("/wo", "rk/"), "a path of one machine"),
    (concat!("/ro", "ot/"), "a path of one machine"),
];

/// Benchmarks that are workspaces of their own.
const BENCHES: &[&str] = &["bench/guard-micro/Cargo.toml", "bench/picks/Cargo.toml"];

/// Runs every check, and fails at the end if one did.
pub(crate) fn run_all() -> Result<()> {
    let mut problems = Vec::new();
    let mut check = |result: Result<()>| problems.extend(result.err());
    check(run(cargo(&["fmt", "--all", "--check"])));
    for manifest in ["fuzz/Cargo.toml"].iter().chain(BENCHES) {
        check(run(cargo(&["fmt", "--manifest-path", manifest, "--check"])));
    }
    check(run(cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ])));
    for manifest in BENCHES {
        // What they share with the others is built once.
        check(run(cargo(&[
            "clippy",
            "--manifest-path",
            manifest,
            "--target-dir",
            "target",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ])));
    }
    check(files());
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.join("\n"))
    }
}

fn files() -> Result<()> {
    let listed = output(command(
        "git",
        &[
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ],
    ))?;
    let mut problems = Vec::new();
    for name in listed.split('\0').filter(|name| !name.is_empty()) {
        // A file that is deleted and not yet committed so is still listed; one that is not text has no lines.
        let Ok(text) = fs::read_to_string(root().join(name)) else {
            continue;
        };
        problems.extend(problems_in(name, &text));
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.join("\n"))
    }
}

fn problems_in(name: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for (banned, why) in BANNED {
            if starts_path(line, banned) {
                problems.push(format!("{name}:{number}: {banned} is {why}"));
            }
        }
        if name.ends_with(".rs") && line.trim_start().starts_with(concat!("#[", "ignore")) {
            problems.push(format!("{name}:{number}: an ignored test proves nothing"));
        }
    }
    let lines = text.lines().count();
    if name.ends_with(".rs") && lines > LIMIT {
        problems.push(format!("{name}: {lines} lines; {LIMIT} is the limit"));
    } else if name.ends_with(".rs") && lines > SMELL {
        eprintln!("warning: {name}: {lines} lines; {SMELL} is a smell");
    }
    problems
}

/// True when `line` has `prefix` at the start of a path; in the middle of one it means something else.
fn starts_path(line: &str, prefix: &str) -> bool {
    line.match_indices(prefix).any(|(at, _)| {
        !line[..at].ends_with(|before: char| before.is_alphanumeric() || "._-/".contains(before))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_found_with_their_place() {
        let path = format!("fine\nsee {}dev\n", BANNED[0].0);
        assert_eq!(problems_in("a.md", &path).len(), 1);
        assert!(problems_in("a.md", &path)[0].starts_with("a.md:2: "));
        assert!(problems_in("a.md", &format!("/proc/self{}etc", BANNED[1].0)).is_empty());
        assert_eq!(problems_in("a.rs", &"\n".repeat(LIMIT + 1)).len(), 1);
        assert!(problems_in("a.rs", &"\n".repeat(LIMIT)).is_empty());
        assert!(problems_in("a.md", &"\n".repeat(LIMIT + 1)).is_empty());
    }
}
