//! The commands, one file each.

mod admin;
mod check;
mod drain;
mod explain;
mod key;
mod locate;
mod reload;
mod run;
mod schema;
mod status;
mod up;

use std::process::ExitCode;

use crate::cli::Command;

/// Does what a command says, and writes what came of it.
pub(crate) fn run(command: Command) -> ExitCode {
    match command {
        Command::Up(arguments) => up::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => check::run(&arguments).print(),
        Command::Explain(arguments) => explain::run(&arguments).print(),
        Command::Status(arguments) => status::run(&arguments).print(),
        Command::Reload(arguments) => reload::run(&arguments).print(),
        Command::Drain(arguments) => drain::run(&arguments).print(),
        Command::Key(arguments) => key::run(&arguments).print(),
        Command::Schema(arguments) => schema::run(&arguments).print(),
    }
}
