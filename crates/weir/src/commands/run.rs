//! `weir run`

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use super::locate;
use crate::cli::Run;
use crate::process::{self, ConfigSource, Started};
use crate::terminal::{Exit, Output, Paint};

pub(super) fn run(arguments: &Run) -> ExitCode {
    let path = match locate::config(&arguments.config) {
        Ok(path) => path,
        Err(message) => return Output::error(Exit::Wrong, message).print(),
    };
    let name = locate::name(&path);
    process::run(ConfigSource::Path(path), |started| announce(&name, started))
}

/// A line per address, for people who look; machines have the event log.
fn announce(config: &str, started: &Started) {
    let stderr = std::io::stderr();
    let paint = Paint::of_stderr();
    let mut text = if paint.colors {
        started.warnings.colored().to_string()
    } else {
        started.warnings.to_string()
    };
    if stderr.is_terminal() {
        text.push_str(&format!("{} serves {config}\n", paint.bold("weir")));
        for (name, address) in &started.listeners {
            text.push_str(&format!("  {name}: http://{address}\n"));
        }
        if let Some(admin) = started.admin {
            text.push_str(&format!("  admin: http://{admin}\n"));
        }
    }
    let _ = (&stderr).write_all(text.as_bytes());
}
