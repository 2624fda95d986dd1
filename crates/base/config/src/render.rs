//! Problems as text, in the shape that rustc made familiar.

use std::fmt;

use crate::diagnostic::{Diagnostic, Place};
use crate::problem::Level;

pub(crate) struct Report<'a> {
    pub(crate) diagnostics: &'a [Diagnostic],
    pub(crate) untold: usize,
    pub(crate) colored: bool,
}

#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    const BOLD: &'static str = "\x1b[1m";
    const RED: &'static str = "\x1b[1;31m";
    const YELLOW: &'static str = "\x1b[1;33m";
    const BLUE: &'static str = "\x1b[1;34m";

    const fn on(self, code: &'static str) -> &'static str {
        if self.0 { code } else { "" }
    }

    const fn off(self) -> &'static str {
        if self.0 { "\x1b[0m" } else { "" }
    }

    const fn level(self, level: Level) -> &'static str {
        self.on(match level {
            Level::Error => Self::RED,
            Level::Warning => Self::YELLOW,
        })
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paint = Paint(self.colored);
        for (index, diagnostic) in self.diagnostics.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            one(diagnostic, paint, f)?;
        }
        if self.untold > 0 {
            writeln!(f, "\n... and {} more", self.untold)?;
        }
        Ok(())
    }
}

fn one(diagnostic: &Diagnostic, paint: Paint, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (level, off) = (paint.level(diagnostic.level), paint.off());
    let bold = paint.on(Paint::BOLD);
    let word = diagnostic.level.as_str();
    writeln!(f, "{level}{word}{off}{bold}: {}{off}", diagnostic.message)?;
    let also = diagnostic.also.as_ref();
    let deepest = [diagnostic.place.as_ref(), also.map(|also| &also.0)]
        .into_iter()
        .flatten()
        .map(|place| place.line)
        .max()
        .unwrap_or(0);
    let gutter = deepest.to_string().len();
    if let Some(at) = &diagnostic.place {
        let label = diagnostic
            .nearest
            .as_ref()
            .map(|name| format!("did you mean `{name}`?"))
            .unwrap_or_default();
        place(at, "-->", gutter, ('^', level, &label), paint, f)?;
    } else if let Some(name) = &diagnostic.nearest {
        note(f, paint, gutter, "help", &format!("did you mean `{name}`?"))?;
    }
    if let Some((at, label)) = also {
        place(
            at,
            ":::",
            gutter,
            ('-', paint.on(Paint::BLUE), label),
            paint,
            f,
        )?;
    }
    if !diagnostic.path.is_empty() {
        note(f, paint, gutter, "at", &diagnostic.path)?;
    }
    if let Some(expected) = &diagnostic.expected {
        note(f, paint, gutter, "expected", expected)?;
    }
    for help in &diagnostic.help {
        note(f, paint, gutter, "help", help)?;
    }
    Ok(())
}

fn place(
    place: &Place,
    arrow: &str,
    gutter: usize,
    (mark, color, label): (char, &str, &str),
    paint: Paint,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let (blue, off) = (paint.on(Paint::BLUE), paint.off());
    write!(f, "{:gutter$}{blue}{arrow}{off} {}", "", place.file)?;
    if place.line > 0 {
        write!(f, ":{}:{}", place.line, place.column)?;
    }
    writeln!(f)?;
    let Some(snippet) = &place.snippet else {
        return Ok(());
    };
    let marks: String = std::iter::repeat_n(mark, snippet.width).collect();
    let space = if label.is_empty() { "" } else { " " };
    writeln!(f, "{:gutter$} {blue}|{off}", "")?;
    writeln!(f, "{blue}{:>gutter$} |{off} {}", place.line, snippet.text)?;
    let indent = snippet.indent;
    writeln!(
        f,
        "{:gutter$} {blue}|{off} {:indent$}{color}{marks}{space}{label}{off}",
        "", ""
    )
}

fn note(
    f: &mut fmt::Formatter<'_>,
    paint: Paint,
    gutter: usize,
    word: &str,
    text: &str,
) -> fmt::Result {
    let (blue, bold, off) = (paint.on(Paint::BLUE), paint.on(Paint::BOLD), paint.off());
    writeln!(f, "{:gutter$} {blue}={off} {bold}{word}{off}: {text}", "")
}
