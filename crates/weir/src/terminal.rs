//! What commands write: text that is gathered first, so that a closed pipe is not an error and tests can read it.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

/// How a command ends. The numbers are part of the contract with scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what was asked.
    Fine = 0,
    /// The config or the request was wrong.
    Wrong = 1,
    /// The command line was wrong.
    Usage = 2,
    /// A running Weir could not be reached.
    Unreachable = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What a command has to say.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    /// The result.
    pub(crate) stdout: String,
    /// What went wrong, or might.
    pub(crate) stderr: String,
    pub(crate) exit: Exit,
}

impl Output {
    pub(crate) fn fine(stdout: impl Into<String>) -> Self {
        Self {
            stdout: stdout.into(),
            stderr: String::new(),
            exit: Exit::Fine,
        }
    }

    /// A message for people, on standard error.
    pub(crate) fn error(exit: Exit, message: impl Display) -> Self {
        let label = Paint::of_stderr().red("error:");
        Self {
            stdout: String::new(),
            stderr: format!("{label} {message}\n"),
            exit,
        }
    }

    /// Writes it. Whoever closed the other end has read enough.
    pub(crate) fn print(&self) -> ExitCode {
        let _ = std::io::stderr().write_all(self.stderr.as_bytes());
        let mut stdout = std::io::stdout();
        let _ = stdout
            .write_all(self.stdout.as_bytes())
            .and_then(|()| stdout.flush());
        self.exit.into()
    }
}

/// `1 route`, `2 routes`.
pub(crate) fn count(number: impl Display, noun: &str) -> String {
    let number = number.to_string();
    let plural = if number == "1" { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Colours, if they are welcome: on a terminal, unless `NO_COLOR` is set (no-color.org).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    pub(crate) colors: bool,
}

impl Paint {
    pub(crate) fn of_stdout() -> Self {
        Self {
            colors: std::io::stdout().is_terminal() && wanted(),
        }
    }

    pub(crate) fn of_stderr() -> Self {
        Self {
            colors: std::io::stderr().is_terminal() && wanted(),
        }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.with("1;31", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.with("32", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.with("33", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.colors && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

fn wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Columns of text. The widths are those of the plain text, so colours do not disturb them.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<(String, String)>>,
}

impl Table {
    pub(crate) fn heading(&mut self, paint: Paint, cells: &[&str]) {
        self.rows.push(
            cells
                .iter()
                .map(|cell| ((*cell).to_owned(), paint.dim(cell)))
                .collect(),
        );
    }

    pub(crate) fn row(&mut self, cells: &[&str]) {
        self.painted(
            cells
                .iter()
                .map(|cell| ((*cell).to_owned(), (*cell).to_owned()))
                .collect(),
        );
    }

    /// Each cell as plain text, and as it is written.
    pub(crate) fn painted(&mut self, cells: Vec<(String, String)>) {
        self.rows.push(cells);
    }

    /// Appends the table, every line behind `indent`.
    pub(crate) fn write(&self, indent: &str, out: &mut String) {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells
                .map(|(plain, _)| plain.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            out.push_str(indent);
            let last = row
                .iter()
                .rposition(|(plain, _)| !plain.is_empty())
                .map_or(0, |last| last + 1);
            for (at, ((plain, painted), width)) in row.iter().zip(&widths).enumerate().take(last) {
                out.push_str(painted);
                if at + 1 < last {
                    out.extend(std::iter::repeat_n(' ', width - plain.chars().count() + 2));
                }
            }
            out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_nothing_trails() {
        let mut table = Table::default();
        let paint = Paint { colors: true };
        table.row(&["a", "bbb", ""]);
        table.painted(vec![
            ("long".to_owned(), paint.red("long")),
            ("ü".to_owned(), "ü".to_owned()),
            ("x".to_owned(), "x".to_owned()),
        ]);
        let mut out = String::new();
        table.write("> ", &mut out);
        assert_eq!(out, "> a     bbb\n> \x1b[1;31mlong\x1b[0m  ü    x\n");
    }

    #[test]
    fn without_colors_there_are_none() {
        let paint = Paint { colors: false };
        assert_eq!(paint.red("a") + &paint.bold("b"), "ab");
    }
}
