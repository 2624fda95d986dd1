//! Claims: what is known about somebody beyond their name.

use std::borrow::Cow;

use serde_json::{Map, Value};
use weir_config::{Cx, Key, Span, Text};

/// What is known about somebody: the claims of a token, or the metadata of an API key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// Claims as they are.
    pub(crate) const fn new(claims: Map<String, Value>) -> Self {
        Self(claims)
    }

    /// The value at a path.
    pub fn at(&self, path: &ClaimPath) -> Option<&Value> {
        self.find(&path.0)
    }

    /// As [`text`](Self::text), of a path that is written like a [`ClaimPath`].
    pub fn text_at(&self, path: &str) -> Option<Cow<'_, str>> {
        text(self.find(path)?)
    }

    fn find(&self, path: &str) -> Option<&Value> {
        // Names may hold dots themselves: `https://example.com/roles`.
        if let Some(value) = self.0.get(path) {
            return Some(value);
        }
        let mut names = path.split('.');
        let mut value = self.0.get(names.next()?)?;
        for name in names {
            value = value.as_object()?.get(name)?;
        }
        Some(value)
    }

    /// The value at a path as text, if it is a string, a number or a boolean: for keys of rate limits.
    pub fn text(&self, path: &ClaimPath) -> Option<Cow<'_, str>> {
        text(self.at(path)?)
    }

    /// Whether the value at a path is one of these, or a list that holds one of these.
    pub(crate) fn matches(&self, path: &ClaimPath, wanted: &[Box<str>]) -> bool {
        let fits = |value: &Value| {
            text(value).is_some_and(|text| wanted.iter().any(|wanted| **wanted == *text))
        };
        match self.at(path) {
            None => false,
            Some(Value::Array(values)) => values.iter().any(fits),
            Some(value) => fits(value),
        }
    }

    /// The words at a path: those of a string separated by spaces (RFC 8693, section 4.2), or the strings of a list.
    pub(crate) fn words(&self, path: &ClaimPath) -> Vec<&str> {
        match self.at(path) {
            Some(Value::String(text)) => text.split(' ').filter(|word| !word.is_empty()).collect(),
            Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// All of them.
    pub const fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }
}

/// A string, a boolean, or a number that is known exactly, as text. Of an integer of more than 64 bits only the first digits
/// are left, and two people whose numbers begin alike must not become one.
pub(crate) fn text(value: &Value) -> Option<Cow<'_, str>> {
    /// From here on, not every integer is a floating-point number.
    const INEXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) if number.is_f64() => number
            .as_f64()
            .filter(|value| value.abs() < INEXACT)
            .map(|_| Cow::Owned(number.to_string())),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(true) => Some(Cow::Borrowed("true")),
        Value::Bool(false) => Some(Cow::Borrowed("false")),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The name of a claim, or names from the outside in, separated by dots: `realm_access.roles`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimPath(Box<str>);

impl ClaimPath {
    const LONGEST: usize = 256;

    /// A path that is known to be good.
    pub(crate) fn known(path: &str) -> Self {
        Self(path.into())
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Text for ClaimPath {
    const EXPECTED: &'static str = "the name of a claim, such as `email` or `realm_access.roles`";

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > Self::LONGEST || text.contains(char::is_control) {
            return Err(String::new());
        }
        Ok(Self(text.into()))
    }

    fn to_text(&self) -> String {
        self.0.as_ref().into()
    }
}

impl Key for ClaimPath {
    fn from_key(key: &str, span: Span, cx: &mut Cx) -> Option<Self> {
        let path = Self::from_text(key).ok();
        if path.is_none() {
            cx.error(span, "this is not the name of a claim")
                .expected(Self::EXPECTED);
        }
        path
    }

    fn as_key(&self) -> &str {
        &self.0
    }
}

weir_config::text!(ClaimPath);
