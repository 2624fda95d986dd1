//! A problem as code reports it: a span and words, not yet a place that a reader can find.

use crate::span::Span;

/// How bad a problem is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Level {
    /// The config cannot be used.
    Error,
    /// The config can be used, but probably does not say what was meant.
    Warning,
}

impl Level {
    /// `error` or `warning`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A problem with the config, made by [`Cx::error`](crate::Cx::error) and completed by its methods.
#[derive(Clone, Debug)]
pub struct Problem {
    pub(crate) level: Level,
    pub(crate) span: Span,
    /// The value whose key path is meant, when it is not the one at `span`.
    pub(crate) path_of: Span,
    pub(crate) path_key: Option<String>,
    pub(crate) message: String,
    pub(crate) expected: Option<String>,
    pub(crate) nearest: Option<String>,
    pub(crate) help: Vec<String>,
    pub(crate) also: Option<(Span, String)>,
}

impl Problem {
    pub(crate) fn new(level: Level, span: Span, message: impl Into<String>) -> Self {
        Self {
            level,
            span,
            path_of: span,
            path_key: None,
            message: message.into(),
            expected: None,
            nearest: None,
            help: Vec::new(),
            also: None,
        }
    }

    /// What should have stood there.
    pub fn expected(&mut self, expected: impl Into<String>) -> &mut Self {
        self.expected = Some(expected.into());
        self
    }

    /// The known name that was probably meant.
    pub fn nearest(&mut self, name: Option<&str>) -> &mut Self {
        self.nearest = name.map(str::to_owned);
        self
    }

    /// What to do about it.
    pub fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help.push(help.into());
        self
    }

    /// A second place that belongs to the problem, such as where a name was first defined.
    pub fn also(&mut self, span: Span, label: impl Into<String>) -> &mut Self {
        self.also = Some((span, label.into()));
        self
    }

    /// The problem is with this key of the value, which may not exist.
    pub fn key(&mut self, key: impl Into<String>) -> &mut Self {
        self.path_key = Some(key.into());
        self
    }

    pub(crate) fn path_of(&mut self, span: Span) -> &mut Self {
        self.path_of = span;
        self
    }
}
