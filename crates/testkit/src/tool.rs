//! A program that does one thing and ends by itself, such as a load generator.

use std::process::Command;
use std::time::Duration;

use crate::TempDir;
use crate::process::{Process, missing, on_cores};

/// How much longer than it means to a tool may take.
const GRACE: Duration = Duration::from_secs(30);

/// A tool about to start.
pub(crate) struct Tool {
    name: &'static str,
    command: Command,
    dir: TempDir,
}

/// A tool at work; dropped, it ends.
#[derive(Debug)]
pub(crate) struct RunningTool {
    process: Process,
    limit: Duration,
    dir: TempDir,
}

impl Tool {
    /// `cores` are those that it runs on, as `taskset -c` writes them.
    pub(crate) fn new(name: &'static str, cores: Option<&str>) -> Self {
        Self {
            name,
            command: on_cores(name, cores),
            dir: TempDir::new(name),
        }
    }

    /// A folder of its own.
    pub(crate) fn dir(&self) -> &TempDir {
        &self.dir
    }

    /// The command, for its arguments.
    pub(crate) fn command(&mut self) -> &mut Command {
        &mut self.command
    }

    /// Starts it; it means to take so long.
    pub(crate) fn start(self, duration: Duration) -> Result<RunningTool, String> {
        let process = Process::spawn(self.name, self.command, self.dir.path())
            .map_err(|e| missing(self.name, &e))?;
        Ok(RunningTool {
            process,
            limit: duration + GRACE,
            dir: self.dir,
        })
    }
}

impl RunningTool {
    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> Result<(), String> {
        match self.process.wait_exit(self.limit) {
            Some(_) => Ok(()),
            None => Err(format!("it does not end\n{}", self.report())),
        }
    }

    /// Its folder.
    pub(crate) fn dir(&self) -> &TempDir {
        &self.dir
    }

    /// What it has written to standard output.
    pub(crate) fn stdout(&self) -> String {
        self.process.stdout()
    }

    /// All that it has written, for messages to people.
    pub(crate) fn report(&self) -> String {
        self.process.report()
    }
}
