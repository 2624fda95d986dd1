//! Where a value stands in the user's files.
//!
//! A span is sixteen bytes and `Copy`, so that every value of the tree can carry one. Lines and columns count from 1,
//! columns in characters: what editors show. The key path of a value (`routes[3].path`) is not stored anywhere: it is
//! found again from the span, once, when a problem is reported.

use std::fmt;
use std::ops::Deref;

/// A place in one of the files that a config was read from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    pub(crate) file: u32,
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) len: u32,
}

impl Span {
    /// The span of a value that nobody wrote, such as a default.
    pub const NONE: Self = Self {
        file: u32::MAX,
        line: 0,
        column: 0,
        len: 0,
    };

    pub(crate) const fn new(file: u32, line: u32, column: u32, len: u32) -> Self {
        Self {
            file,
            line,
            column,
            len,
        }
    }

    /// The beginning of a file, for problems with the file as a whole.
    pub(crate) const fn file_only(file: u32) -> Self {
        Self::new(file, 0, 0, 0)
    }

    /// Whether this is the span of a value that nobody wrote.
    pub const fn is_none(self) -> bool {
        self.file == u32::MAX
    }

    /// The line, from 1.
    pub const fn line(self) -> u32 {
        self.line
    }

    /// The column in characters, from 1.
    pub const fn column(self) -> u32 {
        self.column
    }

    /// What tells values apart. A block mapping begins where its first key does, but has no length.
    pub(crate) const fn start(self) -> Start {
        (self.file, self.line, self.column, self.len == 0)
    }
}

/// Where a value begins, and whether it is a collection that stands under no key.
pub(crate) type Start = (u32, u32, u32, bool);

impl Default for Span {
    fn default() -> Self {
        Self::NONE
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A value and the place where the user wrote it. Equality looks at the value alone.
#[derive(Clone, Copy, Default)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands; [`Span::NONE`] for a default.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// A value with its place.
    pub const fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

impl<T> From<T> for Spanned<T> {
    fn from(value: T) -> Self {
        Self::new(value, Span::NONE)
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Spanned<T> {}

impl<T: fmt::Debug> fmt::Debug for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}
