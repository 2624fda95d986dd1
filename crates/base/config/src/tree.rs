//! Putting a tree together, for the YAML and the JSON reader alike: bounds, duplicate keys, variables.

use std::collections::HashMap;

use crate::expand::{Environment, Wrong, expand};
use crate::node::{Entry, Node, Scalar, Style, Value, shorten};
use crate::problem::{Level, Problem};
use crate::span::Span;

/// How deep values may nest.
pub(crate) const MOST_DEPTH: usize = 64;

/// What both readers share while they read one file.
pub(crate) struct Builder<'a> {
    pub(crate) file: u32,
    environment: Environment<'a>,
    pub(crate) problems: &'a mut Vec<Problem>,
    /// Values that are left out of the tree; they may be secrets, so no message may show them.
    pub(crate) dropped: &'a mut Vec<Region>,
}

/// A stretch of a file, whose text may be hidden.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Region {
    pub(crate) file: u32,
    pub(crate) start: (u32, u32),
    pub(crate) end: (u32, u32),
}

impl Region {
    pub(crate) fn of(node: &Node, start: Span) -> Self {
        Self {
            file: start.file,
            start: (start.line, start.column),
            end: node.end,
        }
    }

    pub(crate) fn contains(&self, span: Span) -> bool {
        let at = (span.line, span.column);
        self.file == span.file && self.start <= at && at < self.end
    }

    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.file == other.file && self.start < other.end && other.start < self.end
    }
}

/// Why reading a file stopped: its position and what is wrong.
pub(crate) type Stop = Box<Problem>;

/// The entries of a mapping that is being read.
#[derive(Default)]
pub(crate) struct Entries {
    list: Vec<Entry>,
    /// Only from a certain size on: most mappings have a handful of keys.
    index: HashMap<Box<str>, usize>,
}

impl Entries {
    const INDEXED_FROM: usize = 16;

    pub(crate) fn find(&self, key: &str) -> Option<&Entry> {
        if self.list.len() < Self::INDEXED_FROM {
            self.list.iter().find(|entry| *entry.key == *key)
        } else {
            self.index.get(key).map(|&at| &self.list[at])
        }
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        if self.list.len() + 1 == Self::INDEXED_FROM {
            self.index = (0..)
                .zip(&self.list)
                .map(|(at, entry)| (entry.key.clone(), at))
                .collect();
        }
        if self.list.len() + 1 >= Self::INDEXED_FROM {
            self.index.insert(entry.key.clone(), self.list.len());
        }
        self.list.push(entry);
    }

    pub(crate) fn position(&self, key: &str) -> Option<usize> {
        if self.list.len() < Self::INDEXED_FROM {
            self.list.iter().position(|entry| *entry.key == *key)
        } else {
            self.index.get(key).copied()
        }
    }

    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut Entry> {
        self.list.get_mut(at)
    }

    pub(crate) fn into_list(self) -> Vec<Entry> {
        self.list
    }
}

impl FromIterator<Entry> for Entries {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Self {
        let mut all = Self::default();
        for entry in entries {
            all.push(entry);
        }
        all
    }
}

impl<'a> Builder<'a> {
    pub(crate) fn new(
        file: u32,
        environment: Environment<'a>,
        problems: &'a mut Vec<Problem>,
        dropped: &'a mut Vec<Region>,
    ) -> Self {
        Self {
            file,
            environment,
            problems,
            dropped,
        }
    }

    pub(crate) fn stop(&self, line: u32, column: u32, message: impl Into<String>) -> Stop {
        let span = Span::new(self.file, line, column, 1);
        Box::new(Problem::new(Level::Error, span, message))
    }

    pub(crate) fn error(&mut self, span: Span, message: impl Into<String>) -> &mut Problem {
        let at = self.problems.len();
        self.problems
            .push(Problem::new(Level::Error, span, message));
        &mut self.problems[at]
    }

    /// A scalar with its variables filled in.
    pub(crate) fn scalar(&mut self, mut scalar: Scalar, span: Span) -> Value {
        match expand(&scalar.text, self.environment) {
            Ok(None) => Value::Scalar(scalar),
            Ok(Some(text)) => {
                let raw = std::mem::replace(&mut scalar.text, text.into());
                scalar.style = Style::Expanded(raw);
                Value::Scalar(scalar)
            }
            Err(wrong) => {
                for wrong in wrong {
                    match wrong {
                        Wrong::Missing(name) => self
                            .error(
                                span,
                                format!("the environment variable `{}` is not set", shorten(&name)),
                            )
                            .help(format!(
                                "set it, or give a default: `${{{}:-default}}`",
                                shorten(&name)
                            )),
                        Wrong::Unclosed => self
                            .error(span, "`${` without its `}`")
                            .help("for a literal `${`, write `$${`"),
                        Wrong::BadName(name) => self
                            .error(span, format!("`{}` is not a variable name", shorten(&name)))
                            .expected(
                                "letters, digits and `_`, as in `${NAME}` or `${NAME:-default}`",
                            )
                            .help("for a literal `${`, write `$${`"),
                    };
                }
                Value::Broken
            }
        }
    }

    /// Adds an entry to a mapping, or reports that its key stands there already.
    pub(crate) fn entry(&mut self, entries: &mut Entries, entry: Entry) {
        if let Some(first) = entries.find(&entry.key) {
            let first_span = first.key_span;
            for entry in [first, &entry] {
                let value = Region::of(&entry.node, after(entry.key_span));
                self.dropped.push(value);
            }
            let message = format!("the key `{}` stands here twice", shorten(&entry.key));
            self.error(entry.key_span, message)
                .path_of(first_span)
                .also(first_span, "first defined here");
        } else {
            entries.push(entry);
        }
    }
}

/// The place just after a key and its colon.
pub(crate) fn after(key: Span) -> Span {
    Span {
        column: key.column + key.len + 1,
        ..key
    }
}
