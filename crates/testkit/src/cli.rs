//! Short runs of the Weir binary: `check`, `explain`, `schema` and their like.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::TempDir;
use crate::process::Process;

/// What a run left behind.
#[derive(Clone, Debug)]
pub struct CliOutput {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs `binary` with these arguments in `dir`, without input, for at most 30 seconds.
pub fn run_cli(binary: &str, args: &[&str], dir: &Path) -> CliOutput {
    let output = TempDir::new("cli");
    let mut command = Command::new(binary);
    command.args(args).current_dir(dir);
    let mut process = Process::spawn("cli", command, output.path())
        .unwrap_or_else(|e| panic!("cannot start {binary}: {e}"));
    let Some(status) = process.wait_exit(Duration::from_secs(30)) else {
        panic!("{binary} {args:?} is still running\n{}", process.report());
    };
    CliOutput {
        code: status.code(),
        stdout: process.stdout(),
        stderr: process.stderr(),
    }
}
