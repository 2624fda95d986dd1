//! Weir, put together: the config of all crates, the process that serves it, and the command line around both.
//!
//! ```text
//! cli (what can be typed) -> commands (one file each)
//!     up, run        -> process: config -> plan -> workers, listeners, admin API
//!     check, explain -> process::compile, and nothing runs
//!     status, reload, drain -> the admin API of a running Weir
//! ```

mod cli;
mod commands;
pub mod config;
mod demo;
pub mod process;
mod terminal;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use self::cli::Cli;
use self::terminal::Exit;

/// Does what the arguments say; the first is the name of the program.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match Cli::try_parse_from(arguments) {
        Ok(cli) => commands::run(cli.command),
        Err(error) => {
            // Help goes to standard output and usage errors to standard error. If nobody reads it, nobody misses it.
            let _ = error.print();
            if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Fine
            }
            .into()
        }
    }
}
