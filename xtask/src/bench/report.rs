//! What a run says: shown as it comes, and kept for `bench/RESULTS.md`.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use crate::Result;
use crate::command::{command, output, root};

pub(super) struct Report {
    text: String,
}

impl Report {
    /// A report that begins with what ran where.
    pub(super) fn new(weir: Option<&Path>) -> Self {
        let mut report = Self {
            text: String::new(),
        };
        report.line(&format!(
            "## {}",
            first_line("date", &["-u", "+%F %H:%M UTC"])
        ));
        report.line("");
        if let Some(weir) = weir {
            let commit = first_line("git", &["describe", "--always", "--dirty"]);
            report.line(&format!(
                "- {} ({commit})",
                first_line(&weir.display().to_string(), &["--version"])
            ));
        }
        report.line(&format!("- {}", program_version("nginx", "-v")));
        report.line(&format!("- {}", program_version("haproxy", "-v")));
        report.line(&format!(
            "- Linux {}, {} × {}",
            first_line("uname", &["-r"]),
            first_line("nproc", &[]),
            cpu()
        ));
        report
    }

    pub(super) fn line(&mut self, line: &str) {
        println!("{line}");
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// The heading of a scenario, and what it measures.
    pub(super) fn heading(&mut self, title: &str, about: &str) {
        for line in ["", &format!("### {title}"), "", about, ""] {
            self.line(line);
        }
    }

    /// A table in Markdown, with columns wide enough to read it as text.
    pub(super) fn table(&mut self, header: &[&str], rows: &[Vec<String>]) {
        let widths: Vec<usize> = header
            .iter()
            .enumerate()
            .map(|(column, title)| {
                let cells = rows
                    .iter()
                    .filter_map(|row| row.get(column))
                    .map(|cell| cell.chars().count());
                cells.chain([title.chars().count()]).max().unwrap_or(0)
            })
            .collect();
        let line = |cells: &mut dyn Iterator<Item = String>| {
            format!("| {} |", cells.collect::<Vec<_>>().join(" | "))
        };
        let padded = |(cell, width): (&str, &usize)| format!("{cell:<width$}");
        self.line(&line(&mut header.iter().copied().zip(&widths).map(padded)));
        self.line(&line(
            &mut widths.iter().map(|&width| "-".repeat(width.max(3))),
        ));
        for row in rows {
            self.line(&line(
                &mut row.iter().map(String::as_str).zip(&widths).map(padded),
            ));
        }
    }

    /// Appends the whole report to `bench/RESULTS.md`.
    pub(super) fn record(&self) -> Result<()> {
        let path = root().join("bench/RESULTS.md");
        let failed = |e: std::io::Error| format!("{}: {e}", path.display());
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(failed)?;
        file.write_all(format!("\n{}", self.text).as_bytes())
            .map_err(failed)?;
        println!("\nrecorded in bench/RESULTS.md");
        Ok(())
    }
}

fn first_line(program: &str, args: &[&str]) -> String {
    let text = output(command(program, args)).unwrap_or_else(|_| format!("{program} unknown"));
    text.lines().next().unwrap_or_default().to_owned()
}

fn program_version(name: &str, flag: &str) -> String {
    let path = weir_testkit::find_program(name).unwrap_or_else(|| name.into());
    let line = first_line(&path.display().to_string(), &[flag]);
    line.trim_start_matches("nginx version: ")
        .split(" - ")
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(
        || std::env::consts::ARCH.to_owned(),
        |(_, name)| name.to_owned(),
    )
}
