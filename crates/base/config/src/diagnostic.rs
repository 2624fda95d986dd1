//! Problems as the user sees them: every one at once, each at its place.
//!
//! They own all their text, hidden parts already taken out, so they outlive the files and may go to a terminal, a log or
//! the admin API.

use std::collections::HashMap;
use std::fmt;

use serde_json::{Value as Json, json};

use crate::node::{Node, Value};
use crate::problem::{Level, Problem};
use crate::render;
use crate::snippet::{Lines, Snippet};
use crate::sources::Sources;
use crate::span::{Span, Start};

/// How many problems are told; a thousand more would not help anyone.
pub(crate) const MOST: usize = 100;

/// One problem, its place and what to do about it.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// How bad it is.
    pub level: Level,
    /// Where it is; `None` where the problem has no place in a file.
    pub place: Option<Place>,
    /// The key path, such as `routes[3].path`; empty for the whole config.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What should have stood there.
    pub expected: Option<String>,
    /// The known name that was probably meant.
    pub nearest: Option<String>,
    /// What to do.
    pub help: Vec<String>,
    /// A second place, and what it has to do with it.
    pub also: Option<(Place, String)>,
}

/// A place in a file.
#[derive(Clone, Debug)]
pub struct Place {
    /// The file, as its path was given.
    pub file: String,
    /// The line from 1; 0 for the file as a whole.
    pub line: u32,
    /// The column from 1, in characters.
    pub column: u32,
    pub(crate) snippet: Option<Snippet>,
}

/// Problems, sorted by file and line. Its `Display` is what a terminal shows.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    /// How many more there were.
    untold: usize,
}

impl Diagnostics {
    /// The problems.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many problems there are, those left out too.
    pub fn len(&self) -> usize {
        self.list.len() + self.untold
    }

    /// Whether one of them is an error.
    pub fn has_errors(&self) -> bool {
        self.list
            .iter()
            .any(|diagnostic| diagnostic.level == Level::Error)
    }

    /// For machines: a list of objects.
    pub fn to_json(&self) -> Json {
        self.list.iter().map(Diagnostic::to_json).collect()
    }

    /// For a terminal that shows colours.
    pub fn colored(&self) -> impl fmt::Display + '_ {
        render::Report {
            diagnostics: &self.list,
            untold: self.untold,
            colored: true,
        }
    }

    pub(crate) fn resolve(problems: &[Problem], untold: usize, sources: &Sources) -> Self {
        let paths = paths(problems, sources);
        let lines = Lines::new(sources, problems);
        let mut list: Vec<(u32, Diagnostic)> = problems
            .iter()
            .map(|problem| {
                let diagnostic = Diagnostic {
                    level: problem.level,
                    place: place(problem.span, sources, &lines),
                    path: path(problem, &paths),
                    message: problem.message.clone(),
                    expected: problem.expected.clone(),
                    nearest: problem.nearest.clone(),
                    help: problem.help.clone(),
                    also: problem.also.as_ref().and_then(|(span, label)| {
                        Some((place(*span, sources, &lines)?, label.clone()))
                    }),
                };
                (problem.span.file, diagnostic)
            })
            .collect();
        list.sort_by_key(|(file, diagnostic)| {
            let place = diagnostic.place.as_ref();
            (*file, place.map(|place| (place.line, place.column)))
        });
        Self {
            list: list.into_iter().map(|(_, diagnostic)| diagnostic).collect(),
            untold,
        }
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        render::Report {
            diagnostics: &self.list,
            untold: self.untold,
            colored: false,
        }
        .fmt(f)
    }
}

impl std::error::Error for Diagnostics {}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}

impl Diagnostic {
    /// For machines.
    pub fn to_json(&self) -> Json {
        let place = |place: &Place| json!({ "file": place.file, "line": place.line, "column": place.column });
        json!({
            "level": self.level.as_str(),
            "place": self.place.as_ref().map(place),
            "path": self.path,
            "message": self.message,
            "expected": self.expected,
            "nearest": self.nearest,
            "help": self.help,
            "also": self.also.as_ref().map(|(at, label)| json!({ "place": place(at), "label": label })),
        })
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        render::Report {
            diagnostics: std::slice::from_ref(self),
            untold: 0,
            colored: false,
        }
        .fmt(f)
    }
}

fn place(span: Span, sources: &Sources, lines: &Lines<'_>) -> Option<Place> {
    let source = sources.files.get(span.file as usize)?;
    Some(Place {
        file: source.path.display().to_string(),
        line: span.line,
        column: span.column,
        snippet: lines.snippet(span),
    })
}

/// The key paths of the values that problems are with, from one walk through the tree.
fn paths(problems: &[Problem], sources: &Sources) -> HashMap<Start, String> {
    let mut wanted: HashMap<Start, Option<String>> = problems
        .iter()
        .map(|problem| (problem.path_of.start(), None))
        .collect();
    if let Some(root) = &sources.root {
        walk(root, &mut String::new(), &mut wanted);
    }
    wanted
        .into_iter()
        .filter_map(|(start, path)| Some((start, path?)))
        .collect()
}

fn walk(node: &Node, path: &mut String, wanted: &mut HashMap<Start, Option<String>>) {
    let mut found = |span: Span, path: &str| {
        if let Some(slot @ None) = wanted.get_mut(&span.start()) {
            *slot = Some(path.to_owned());
        }
    };
    found(node.span, path);
    let length = path.len();
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                push_key(path, &entry.key);
                if let Some(slot @ None) = wanted.get_mut(&entry.key_span.start()) {
                    *slot = Some(path.clone());
                }
                walk(&entry.node, path, wanted);
                path.truncate(length);
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push_str(&format!("[{index}]"));
                walk(item, path, wanted);
                path.truncate(length);
            }
        }
        Value::Scalar(_) | Value::Broken => {}
    }
}

fn push_key(path: &mut String, key: &str) {
    let plain = key
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if !plain {
        path.push_str(&format!("[{key:?}]"));
        return;
    }
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(key);
}

fn path(problem: &Problem, paths: &HashMap<Start, String>) -> String {
    let mut path = paths
        .get(&problem.path_of.start())
        .cloned()
        .unwrap_or_default();
    if let Some(key) = &problem.path_key {
        push_key(&mut path, key);
    }
    path
}
