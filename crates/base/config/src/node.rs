//! The tree that YAML and JSON files are read into.
//!
//! Scalars stay text: what a plain `10` or `1.10` means is decided by the type that it is decoded into, so that nothing
//! is lost on the way (`1.10` is never 1.1).

use crate::span::Span;

/// A value in a config file.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it begins. A mapping or list that stands under a key has the span of that key.
    pub span: Span,
    /// Line and column just after its end.
    pub(crate) end: (u32, u32),
    /// What it is.
    pub value: Value,
}

/// What a [`Node`] holds.
#[derive(Clone, Debug)]
pub enum Value {
    /// Any scalar, `null` too.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A mapping in file order, its keys distinct.
    Map(Vec<Entry>),
    /// A value whose problem has been reported already.
    Broken,
}

/// One key of a mapping with its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: Box<str>,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub node: Node,
}

/// A scalar: its text and how it was written.
#[derive(Clone, Debug)]
pub struct Scalar {
    /// The text, after unquoting and after expansion of `${NAME}`.
    pub text: Box<str>,
    pub(crate) style: Style,
}

/// How a scalar was written, which decides what it may mean.
#[derive(Clone, Debug)]
pub(crate) enum Style {
    /// Without quotes: a number, `true`, `null` or a string, by its text.
    Plain,
    /// In quotes: a string.
    Quoted,
    /// It held `${NAME}`: whatever the place needs. Holds the text before expansion, which is what messages show, since
    /// the environment may hold secrets.
    Expanded(Box<str>),
}

/// What the text of a plain scalar means in the YAML 1.2 core schema, which JSON's is a part of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Meaning {
    Null,
    Bool,
    Number,
    Text,
}

impl Scalar {
    pub(crate) fn plain(text: &str) -> Self {
        Self {
            text: text.into(),
            style: Style::Plain,
        }
    }

    pub(crate) fn quoted(text: &str) -> Self {
        Self {
            text: text.into(),
            style: Style::Quoted,
        }
    }

    /// The text if it may stand where a string is wanted.
    pub(crate) fn as_text(&self) -> Option<&str> {
        let fits = match self.style {
            Style::Plain => meaning(&self.text) == Meaning::Text,
            Style::Quoted | Style::Expanded(_) => true,
        };
        fits.then_some(&self.text)
    }

    /// The text if it may stand where a number, boolean or null is wanted.
    pub(crate) fn as_unquoted(&self) -> Option<&str> {
        match self.style {
            Style::Plain | Style::Expanded(_) => Some(&self.text),
            Style::Quoted => None,
        }
    }

    /// The text if all of it stands in the file, so that a message may repeat it.
    pub(crate) fn as_written(&self) -> Option<&str> {
        match self.style {
            Style::Plain | Style::Quoted => Some(&self.text),
            Style::Expanded(_) => None,
        }
    }

    /// Whether it is `null`, without quotes.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self.style, Style::Plain) && meaning(&self.text) == Meaning::Null
    }

    pub(crate) fn is_number(&self) -> bool {
        matches!(self.style, Style::Plain) && meaning(&self.text) == Meaning::Number
    }

    /// What people mean who write `true`, `yes` or `off`, whatever the place takes; nothing that came from the environment.
    pub(crate) fn as_bool(&self) -> Option<bool> {
        let is = |words: &[&str]| {
            words
                .iter()
                .any(|word| self.text.eq_ignore_ascii_case(word))
        };
        match self.style {
            Style::Expanded(_) => None,
            _ if is(&["true", "yes", "on", "enabled", "enable"]) => Some(true),
            _ if is(&["false", "no", "off", "none", "disabled", "disable"]) => Some(false),
            _ => None,
        }
    }

    /// What to call it in a message; never a value that came from the environment.
    pub(crate) fn describe(&self) -> String {
        match &self.style {
            Style::Expanded(raw) => format!("the value of `{}`", shorten(raw)),
            Style::Quoted => format!("the string \"{}\"", shorten(&self.text)),
            Style::Plain => match meaning(&self.text) {
                Meaning::Null => "nothing".to_owned(),
                Meaning::Bool => format!("`{}`", self.text),
                Meaning::Number => format!("the number {}", shorten(&self.text)),
                Meaning::Text => format!("`{}`", shorten(&self.text)),
            },
        }
    }
}

impl Node {
    /// Whether nothing was written here (`key:` or `null`).
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.is_null())
    }

    /// An entry of a mapping.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| *entry.key == *key),
            _ => None,
        }
    }

    /// What to call it in a message.
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::Scalar(scalar) => scalar.describe(),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
            Value::Broken => "a broken value".to_owned(),
        }
    }
}

/// Text for a message: on one line, without control characters, not too long.
pub(crate) fn shorten(text: &str) -> String {
    const MOST: usize = 60;
    let mut out: String = text
        .chars()
        .take(MOST)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(MOST).is_some() {
        out.push('…');
    }
    out
}

pub(crate) fn meaning(text: &str) -> Meaning {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Meaning::Null,
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => Meaning::Bool,
        _ if is_number(text) => Meaning::Number,
        _ => Meaning::Text,
    }
}

/// Whether plain text is a number: YAML 1.2.2, section 10.3.2.
fn is_number(text: &str) -> bool {
    if let Some(digits) = text.strip_prefix("0x") {
        return !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return !digits.is_empty() && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    let mantissa_fits = match mantissa.split_once('.') {
        Some((whole, part)) => {
            digits(whole) && digits(part) && !(whole.is_empty() && part.is_empty())
        }
        None => !mantissa.is_empty() && digits(mantissa),
    };
    exponent_fits && mantissa_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_the_core_schema_says() {
        for number in [
            "0", "-1", "+1", "1.5", ".5", "1.", "1e3", "1E-3", "0x1f", "0o17", ".inf", "-.INF",
            ".nan",
        ] {
            assert_eq!(meaning(number), Meaning::Number, "{number}");
        }
        for text in [
            "1.2.3", "1/min", "10%", "0x", "0o8", ".", "-", "1e", "yes", "on", "1_000", "12:30",
            "--1", "-.nan",
        ] {
            assert_eq!(meaning(text), Meaning::Text, "{text}");
        }
        assert_eq!(meaning("~"), Meaning::Null);
        assert_eq!(meaning("True"), Meaning::Bool);
    }
}
