//! The context in which a config is decoded and a plan is compiled: the files, and the problems found so far.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::decode::Decode;
use crate::diagnostic::{Diagnostics, MOST};
use crate::expand::Environment;
use crate::node::{Node, Value};
use crate::problem::{Level, Problem};
use crate::sources::Sources;
use crate::span::Span;
use crate::tree::Region;

/// What editors want in a JSON file to know its schema. It says nothing to Weir.
pub(crate) const SCHEMA: &str = "$schema";

/// Collects problems while a config is read, decoded and compiled into a plan, and knows the files that they point into.
#[derive(Debug, Default)]
pub struct Cx {
    sources: Sources,
    problems: Vec<Problem>,
    /// Problems beyond [`MOST`], which are only counted.
    untold: usize,
    /// Where those go that nobody will be told.
    spare: Option<Box<Problem>>,
    errors: usize,
    fatal: bool,
}

/// What came out when there was no error.
#[derive(Debug)]
pub struct Loaded<T> {
    /// The config or the plan.
    pub value: T,
    /// What it was read from.
    pub sources: Sources,
    /// What is suspicious, but not wrong.
    pub warnings: Diagnostics,
}

impl Cx {
    /// For work on a config that was loaded before, such as compiling its plan.
    pub fn new(sources: Sources) -> Self {
        Self {
            sources,
            ..Self::default()
        }
    }

    /// Reads a file, or a folder of files. What is wrong with them is told by [`finish`](Self::finish).
    pub fn load(path: &Path, environment: Environment<'_>) -> Self {
        Self::from_read(Sources::read(path, environment))
    }

    /// Takes text for a file of this name, which decides between YAML and JSON (`.json`).
    pub fn from_text(name: &str, text: &str, environment: Environment<'_>) -> Self {
        Self::from_read(Sources::text(Path::new(name), text, environment))
    }

    fn from_read((sources, findings): (Sources, crate::sources::Findings)) -> Self {
        let mut cx = Self::new(sources);
        cx.fatal = findings.fatal;
        for problem in findings.problems {
            cx.push(problem);
        }
        cx
    }

    /// Decodes what was read. `None` if it could not be decoded, for reasons told by [`finish`](Self::finish).
    pub fn decode<T: Decode>(&mut self) -> Option<T> {
        if self.fatal {
            return None;
        }
        match self.sources.root.clone() {
            Some(mut root) => {
                if root.entry(SCHEMA).is_some()
                    && let Value::Map(entries) = &mut Arc::make_mut(&mut root).value
                {
                    entries.retain(|entry| *entry.key != *SCHEMA);
                }
                T::decode(&root, self)
            }
            None => {
                let empty = Node {
                    span: Span::new(0, 1, 1, 1),
                    end: (1, 1),
                    value: Value::Map(Vec::new()),
                };
                T::decode(&Arc::new(empty), self)
            }
        }
    }

    /// The value of one key of the whole, whatever else is wrong; the default where it is not written. `None` if it cannot be
    /// read, for reasons told by [`finish`](Self::finish).
    pub fn part<T: Decode>(&mut self, key: &str, default: impl FnOnce() -> T) -> Option<T> {
        if self.fatal {
            return None;
        }
        let Some(entry) = self.sources.root.as_ref().and_then(|root| root.entry(key)) else {
            return Some(default());
        };
        let mut alone = Self::new(self.sources.clone());
        let value = T::decode(&entry.node, &mut alone).filter(|_| !alone.has_errors());
        if value.is_none() {
            for problem in alone.problems {
                self.push(problem);
            }
        }
        value
    }

    /// The value, if there is one and no error was reported; otherwise every problem.
    pub fn finish<T>(self, value: Option<T>) -> Result<Loaded<T>, Diagnostics> {
        let diagnostics = Diagnostics::resolve(&self.problems, self.untold, &self.sources);
        match value {
            Some(value) if self.errors == 0 => Ok(Loaded {
                value,
                sources: self.sources,
                warnings: diagnostics,
            }),
            _ => Err(diagnostics),
        }
    }

    /// Reports an error at a place.
    pub fn error(&mut self, span: Span, message: impl Into<String>) -> &mut Problem {
        self.push(Problem::new(Level::Error, span, message))
    }

    /// Reports something suspicious at a place.
    pub fn warning(&mut self, span: Span, message: impl Into<String>) -> &mut Problem {
        self.push(Problem::new(Level::Warning, span, message))
    }

    /// Reports that a node is not what its place needs. Says nothing about a node whose problem is known already.
    pub fn mismatch(&mut self, node: &Node, expected: &str) {
        if !matches!(node.value, Value::Broken) {
            let message = format!("expected {expected}, found {}", node.describe());
            self.error(node.span, message);
        }
    }

    /// Whether an error was reported.
    pub const fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Whether further problems are only counted, so that costly hints are not worth their while.
    pub fn is_full(&self) -> bool {
        self.problems.len() >= MOST
    }

    /// Where the whole of it stands.
    #[must_use]
    pub fn top(&self) -> Span {
        let root = self.sources.root.as_ref();
        root.map_or(Span::new(0, 1, 1, 1), |root| root.span)
    }

    /// The files that the config was read from.
    pub const fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The file that a value at `span` means by `path`, watched for changes from now on.
    pub fn file(&mut self, span: Span, path: &Path) -> PathBuf {
        let path = self.sources.resolve(span, path);
        self.sources.watch(path.clone());
        path
    }

    /// Keeps the text of a node out of every message.
    pub(crate) fn hide(&mut self, node: &Node, start: Span) {
        self.sources.hidden.push(Region::of(node, start));
    }

    /// As [`hide`](Self::hide), for several.
    pub(crate) fn hide_all(&mut self, regions: Vec<Region>) {
        self.sources.hidden.extend(regions);
    }

    pub(crate) fn split(&mut self) -> (&Sources, &mut [Problem]) {
        (&self.sources, &mut self.problems)
    }

    /// Whether an error lies in a stretch of a file.
    pub(crate) fn is_wrong_in(&self, region: &Region) -> bool {
        let mut errors = self
            .problems
            .iter()
            .filter(|problem| problem.level == Level::Error);
        errors.any(|problem| region.contains(problem.span))
    }

    fn push(&mut self, problem: Problem) -> &mut Problem {
        if problem.level == Level::Error {
            self.errors += 1;
        }
        if self.problems.len() < MOST {
            let at = self.problems.len();
            self.problems.push(problem);
            return &mut self.problems[at];
        }
        self.untold += 1;
        self.spare.insert(Box::new(problem))
    }
}
