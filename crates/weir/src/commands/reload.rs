//! `weir reload`

use super::admin::{Remote, nonsense, parsed};
use crate::cli::Reload;
use crate::process::UNCHANGED;
use crate::terminal::{Exit, Output, Paint};

pub(super) fn run(arguments: &Reload) -> Output {
    reload(arguments).unwrap_or_else(|output| output)
}

fn reload(arguments: &Reload) -> Result<Output, Output> {
    let remote = Remote::find(&arguments.admin, &arguments.config)?;
    let answer = remote.ask("POST", "/reload")?;
    let (Some(body), 200 | 422) = (parsed(&answer), answer.status) else {
        return Err(nonsense(&remote, &answer));
    };
    let ok = answer.status == 200;
    let exit = if ok { Exit::Fine } else { Exit::Wrong };
    if arguments.json.wanted {
        return Ok(Output {
            stdout: format!("{body:#}\n"),
            stderr: String::new(),
            exit,
        });
    }
    let message = body["message"].as_str().unwrap_or_default();
    let report = body["report"].as_str().unwrap_or_default();
    Ok(if ok {
        let label = if message.starts_with(UNCHANGED) {
            "up to date:"
        } else {
            "reloaded:"
        };
        let stdout = format!("{} {message}\n", Paint::of_stdout().green(label));
        Output {
            stdout,
            stderr: report.to_owned(),
            exit,
        }
    } else {
        let label = Paint::of_stderr().red("not reloaded:");
        let stderr = format!("{report}\n{label} {message}\n");
        Output {
            stdout: String::new(),
            stderr,
            exit,
        }
    })
}
