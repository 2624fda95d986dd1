//! `weir check`

use serde_json::{Value as Json, json};
use weir_config::Diagnostics;

use super::locate;
use crate::cli::Check;
use crate::process::{self, Compiled, ConfigSource};
use crate::terminal::{Exit, Output, Paint, count};

pub(super) fn run(arguments: &Check) -> Output {
    let path = match locate::config(&arguments.config) {
        Ok(path) => path,
        Err(message) => return Output::error(Exit::Wrong, message),
    };
    let name = locate::name(&path);
    let compiled = process::compile(&ConfigSource::Path(path));
    if arguments.json.wanted {
        for_machines(&compiled)
    } else {
        for_people(&name, &compiled)
    }
}

fn for_people(name: &str, compiled: &Result<Compiled, Diagnostics>) -> Output {
    match compiled {
        Ok(compiled) => Output {
            stdout: format!(
                "{} {}\n",
                Paint::of_stdout().green("ok:"),
                summary(compiled)
            ),
            stderr: shown(&compiled.warnings),
            exit: Exit::Fine,
        },
        Err(problems) => {
            let closing = format!("\n{name}: {}\n", count(problems.len(), "problem"));
            Output {
                stdout: String::new(),
                stderr: shown(problems) + &closing,
                exit: Exit::Wrong,
            }
        }
    }
}

fn for_machines(compiled: &Result<Compiled, Diagnostics>) -> Output {
    let (exit, report) = match compiled {
        Ok(compiled) => (Exit::Fine, report(compiled)),
        Err(problems) => (
            Exit::Wrong,
            json!({ "ok": false, "diagnostics": problems.to_json() }),
        ),
    };
    Output {
        stdout: format!("{report:#}\n"),
        stderr: String::new(),
        exit,
    }
}

fn report(compiled: &Compiled) -> Json {
    json!({
        "ok": true,
        "listeners": compiled.config.listeners.len(),
        "routes": compiled.plan.routes(),
        "services": compiled.config.services.len(),
        "diagnostics": compiled.warnings.to_json(),
    })
}

fn summary(compiled: &Compiled) -> String {
    let config = &compiled.config;
    let parts = [
        count(config.listeners.len(), "listener"),
        count(compiled.plan.routes(), "route"),
        count(config.services.len(), "service"),
    ];
    parts.join(", ")
}

/// As the terminal of standard error likes it.
fn shown(diagnostics: &Diagnostics) -> String {
    if Paint::of_stderr().colors {
        diagnostics.colored().to_string()
    } else {
        diagnostics.to_string()
    }
}
