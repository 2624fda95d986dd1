//! `test`: the whole suite.

use crate::command::{cargo, run};
use crate::{Result, setup};

/// Installs what tests need, then runs them all: units, end to end, and the examples in the docs.
pub(crate) fn run_all(args: &[&str]) -> Result<()> {
    setup::run()?;
    let mut command = cargo(&["test", "--workspace"]);
    // One failure must not hide the others from whoever reads the log of a CI run.
    if !args.contains(&"--no-fail-fast") {
        command.arg("--no-fail-fast");
    }
    command.args(args);
    run(command)
}
