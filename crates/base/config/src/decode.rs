//! From nodes to values: the trait, and what it means for Rust's own types.
//!
//! One trait says how a type is read, written and described, so that parser, `/config` and JSON Schema cannot drift apart.

use serde_json::{Value as Json, json};

use crate::cx::Cx;
use crate::node::{Node, Scalar, Value};
use crate::schema::Schemas;
use crate::span::Spanned;

/// A type that a config can hold.
pub trait Decode: Sized + 'static {
    /// Whether its text must never be shown.
    const SECRET: bool = false;

    /// Reads it. `None` after the problem was reported to `cx`; a value after which `cx` has errors may lack what they are about.
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self>;

    /// Its value where nothing is written; `None` if it must be written.
    fn absent() -> Option<Self> {
        None
    }

    /// How it is written in long form. What this returns reads back as the same value, secrets aside.
    fn to_json(&self) -> Json;

    /// The JSON Schema of what `decode` accepts.
    fn schema(schemas: &mut Schemas) -> Json;
}

/// A type that is written as one string, such as `250ms`. Give it to [`text!`](crate::text) to make it [`Decode`].
pub trait Text: Sized + 'static {
    /// What to call it in "expected ...", with an example.
    const EXPECTED: &'static str;

    /// Whether a bare number may be written, too.
    const NUMBERS: bool = false;

    /// Reads it; the error, if it says anything, is a hint at what to write instead.
    fn from_text(text: &str) -> Result<Self, String>;

    /// Writes it so that `from_text` reads it back.
    fn to_text(&self) -> String;

    /// A regular expression (ECMA-262) that every accepted text matches.
    fn pattern() -> Option<&'static str> {
        None
    }
}

/// [`Decode::decode`] for a [`Text`]; what [`text!`](crate::text) uses.
pub fn decode_text<T: Text>(node: &Node, cx: &mut Cx) -> Option<T> {
    let Value::Scalar(scalar) = &node.value else {
        cx.mismatch(node, T::EXPECTED);
        return None;
    };
    let fits = scalar.as_text().is_some() || (T::NUMBERS && scalar.is_number());
    match T::from_text(&scalar.text) {
        Ok(value) if fits => Some(value),
        Ok(_) => {
            let message = format!("expected {}, found {}", T::EXPECTED, scalar.describe());
            let problem = cx.error(node.span, message);
            if !scalar.is_null() {
                problem.help(format!("put it in quotes: \"{}\"", scalar.text));
            }
            None
        }
        Err(hint) => {
            let message = format!("expected {}, found {}", T::EXPECTED, scalar.describe());
            let problem = cx.error(node.span, message);
            // A hint may quote the text.
            if !hint.is_empty() && scalar.as_written().is_some() {
                problem.help(hint);
            }
            None
        }
    }
}

/// [`Decode::schema`] for a [`Text`]; what [`text!`](crate::text) uses.
pub fn text_schema<T: Text>() -> Json {
    let mut schema = json!({ "type": "string" });
    if T::NUMBERS {
        schema["type"] = json!(["string", "integer"]);
        schema["minimum"] = json!(0);
    }
    if let Some(pattern) = T::pattern() {
        schema["pattern"] = json!(format!("{pattern}|\\$\\{{"));
    }
    schema
}

fn scalar<'n>(node: &'n Node, expected: &str, cx: &mut Cx) -> Option<&'n Scalar> {
    match &node.value {
        Value::Scalar(scalar) => Some(scalar),
        _ => {
            cx.mismatch(node, expected);
            None
        }
    }
}

impl Decode for String {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let scalar = scalar(node, "a string", cx)?;
        if let Some(text) = scalar.as_text() {
            return Some(text.to_owned());
        }
        let message = format!("expected a string, found {}", scalar.describe());
        let problem = cx.error(node.span, message);
        if !scalar.is_null() {
            problem.help(format!("put it in quotes: \"{}\"", scalar.text));
        }
        None
    }

    fn to_json(&self) -> Json {
        json!(self)
    }

    fn schema(_: &mut Schemas) -> Json {
        json!({ "type": "string" })
    }
}

impl Decode for bool {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        const EXPECTED: &str = "`true` or `false`";
        let scalar = scalar(node, EXPECTED, cx)?;
        match scalar.as_unquoted() {
            Some("true" | "True" | "TRUE") => Some(true),
            Some("false" | "False" | "FALSE") => Some(false),
            _ => {
                let message = format!("expected {EXPECTED}, found {}", scalar.describe());
                let problem = cx.error(node.span, message);
                if let Some(meant) = scalar.as_bool() {
                    problem.help(format!("write `{meant}`, without quotes"));
                }
                None
            }
        }
    }

    fn to_json(&self) -> Json {
        json!(self)
    }

    fn schema(schemas: &mut Schemas) -> Json {
        schemas.or_variable(json!({ "type": "boolean" }))
    }
}

/// Reads a whole number between two bounds.
pub(crate) fn whole(node: &Node, least: u64, most: u64, cx: &mut Cx) -> Option<u64> {
    let expected = || {
        if most == u64::MAX {
            format!("a whole number from {least} up")
        } else {
            format!("a whole number from {least} to {most}")
        }
    };
    let number = match &node.value {
        Value::Scalar(scalar) => scalar.as_unquoted().and_then(parse_whole),
        _ => None,
    };
    let number = number.filter(|number| (least..=most).contains(number));
    if number.is_none() && !matches!(node.value, Value::Broken) {
        let message = format!("expected {}, found {}", expected(), node.describe());
        let problem = cx.error(node.span, message);
        if let Value::Scalar(scalar) = &node.value
            && let Some(meant) = as_whole(scalar).filter(|meant| (least..=most).contains(meant))
        {
            problem.help(format!("write `{meant}`"));
        }
    }
    number
}

/// The whole number that people mean by `"5"`, `1_000` or `64k`.
fn as_whole(scalar: &Scalar) -> Option<u64> {
    let text = scalar.as_written()?.to_ascii_lowercase().replace('_', "");
    let (digits, factor) = match text.strip_suffix('k') {
        Some(digits) => (digits, 1000),
        None => (text.as_str(), 1),
    };
    parse_whole(digits)?.checked_mul(factor)
}

/// The integers of the YAML core schema.
fn parse_whole(text: &str) -> Option<u64> {
    let digits = |digits: &str, radix| {
        let all = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        all.then(|| u64::from_str_radix(digits, radix).ok())?
    };
    if let Some(hex) = text.strip_prefix("0x") {
        return digits(hex, 16);
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return digits(octal, 8);
    }
    digits(text.strip_prefix('+').unwrap_or(text), 10)
}

pub(crate) fn whole_schema(least: u64, most: u64, schemas: &mut Schemas) -> Json {
    let mut schema = json!({ "type": "integer", "minimum": least });
    if most < u64::MAX {
        schema["maximum"] = json!(most);
    }
    schemas.or_variable(schema)
}

macro_rules! integers {
    ($($int:ty),*) => {$(
        impl Decode for $int {
            fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
                whole(node, 0, Self::MAX as u64, cx)?.try_into().ok()
            }

            fn to_json(&self) -> Json {
                json!(self)
            }

            fn schema(schemas: &mut Schemas) -> Json {
                whole_schema(0, Self::MAX as u64, schemas)
            }
        }
    )*};
}
integers!(u8, u16, u32, u64, usize);

impl<T: Decode> Decode for Option<T> {
    const SECRET: bool = T::SECRET;

    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        T::decode(node, cx).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }

    fn to_json(&self) -> Json {
        self.as_ref().map_or(Json::Null, T::to_json)
    }

    fn schema(schemas: &mut Schemas) -> Json {
        T::schema(schemas)
    }
}

impl<T: Decode> Decode for Box<T> {
    const SECRET: bool = T::SECRET;

    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        T::decode(node, cx).map(Self::new)
    }

    fn absent() -> Option<Self> {
        T::absent().map(Self::new)
    }

    fn to_json(&self) -> Json {
        T::to_json(self)
    }

    fn schema(schemas: &mut Schemas) -> Json {
        T::schema(schemas)
    }
}

impl<T: Decode> Decode for Spanned<T> {
    const SECRET: bool = T::SECRET;

    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        T::decode(node, cx).map(|value| Self::new(value, node.span))
    }

    fn absent() -> Option<Self> {
        T::absent().map(Self::from)
    }

    fn to_json(&self) -> Json {
        self.value.to_json()
    }

    fn schema(schemas: &mut Schemas) -> Json {
        T::schema(schemas)
    }
}
