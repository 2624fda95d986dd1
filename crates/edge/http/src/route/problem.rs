//! What is wrong with a rule: which one, which part of it, and what would be right.

use std::fmt;

/// One reason why a set of rules does not compile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteProblem {
    /// Index of the rule in the slice that was compiled.
    pub rule: usize,
    /// The other rule, when the problem is between two.
    pub other: Option<usize>,
    /// The part of the rule that is wrong.
    pub field: Field,
    /// What is wrong.
    pub message: String,
    /// What was expected, or what to do about it.
    pub help: String,
}

/// The part of a rule that a problem is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// The rule as a whole.
    Route,
    /// `host`.
    Host,
    /// `path`.
    Path,
    /// `methods`, the item at this index.
    Method(usize),
    /// `headers`, the entry with this name as written.
    Header(String),
    /// `query`, the entry with this name as written.
    Query(String),
    /// `listeners`.
    Listeners,
}

/// A problem that does not know its rule yet: what the parsers of single fields return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) message: String,
    pub(super) help: String,
}

impl Complaint {
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: help.into(),
        }
    }

    pub(super) fn on(self, rule: usize, field: Field) -> RouteProblem {
        RouteProblem {
            rule,
            other: None,
            field,
            message: self.message,
            help: self.help,
        }
    }
}

impl fmt::Display for RouteProblem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}; {}", self.message, self.help)
    }
}

impl std::error::Error for RouteProblem {}
