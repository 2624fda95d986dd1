//! Values that are words: `p2c`, `off`, `auto`.

use serde_json::{Value as Json, json};

use crate::cx::Cx;
use crate::decode::Decode;
use crate::nearest::meant;
use crate::node::{Node, Value, shorten};
use crate::planned::planned;
use crate::schema::{Schemas, clean};

/// Reads one of some words; what [`choice!`](crate::choice) uses.
pub fn decode_word<T: Copy>(node: &Node, words: &[(&'static str, T)], cx: &mut Cx) -> Option<T> {
    let names = words.iter().map(|(word, _)| *word);
    let listed: Vec<String> = names.clone().map(|word| format!("`{word}`")).collect();
    let listed = listed.join(", ");
    let Some(text) = word(node) else {
        let message = format!("expected one of {listed}, found {}", node.describe());
        if !matches!(node.value, Value::Broken) {
            let problem = cx.error(node.span, message);
            let off = names.clone().find(|name| ["off", "none"].contains(name));
            if let (true, Some(off)) = (no(node), off) {
                problem.help(format!("write `{off}`"));
            }
        }
        return None;
    };
    let found = words.iter().find(|(word, _)| *word == text);
    if found.is_none() {
        let shown = match &node.value {
            Value::Scalar(scalar) => scalar.describe(),
            _ => shorten(text),
        };
        let problem = cx.error(node.span, format!("unknown word: {shown}"));
        problem.expected(format!("one of {listed}"));
        match planned(text) {
            Some(help) => problem.help(help),
            None => problem.nearest(meant(text, names)),
        };
    }
    found.map(|(_, value)| *value)
}

fn word(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar(scalar) => scalar.as_text(),
        _ => None,
    }
}

/// The schema of some words with their descriptions; what [`choice!`](crate::choice) uses.
pub fn words_schema(docs: &str, words: &[(&str, &str)], schemas: &mut Schemas) -> Json {
    let words: Vec<Json> = words
        .iter()
        .map(|(word, docs)| json!({ "const": word, "description": clean(docs) }))
        .collect();
    crate::described(schemas.or_variable(json!({ "oneOf": words })), docs)
}

/// A value, or the word `off` for none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrOff<T> {
    /// None at all.
    Off,
    /// This.
    On(T),
}

impl<T> OrOff<T> {
    /// The value, if it is not off.
    pub fn on(self) -> Option<T> {
        match self {
            Self::Off => None,
            Self::On(value) => Some(value),
        }
    }
}

impl<T: Decode> Decode for OrOff<T> {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        match word(node) {
            Some("off") => Some(Self::Off),
            _ if no(node) => {
                let message = format!("expected a value or `off`, found {}", node.describe());
                cx.error(node.span, message).help("write `off`");
                None
            }
            _ => T::decode(node, cx).map(Self::On),
        }
    }

    fn to_json(&self) -> Json {
        match self {
            Self::Off => json!("off"),
            Self::On(value) => value.to_json(),
        }
    }

    fn schema(schemas: &mut Schemas) -> Json {
        json!({ "anyOf": [{ "const": "off" }, T::schema(schemas)] })
    }
}

/// What other tools take for `off`.
fn no(node: &Node) -> bool {
    let Value::Scalar(scalar) = &node.value else {
        return false;
    };
    let text = scalar.as_unquoted().unwrap_or_default();
    ["false", "no", "none", "disabled"]
        .iter()
        .any(|no| text.eq_ignore_ascii_case(no))
}

/// A value, or the word `auto` for Weir to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrAuto<T> {
    /// Weir chooses.
    Auto,
    /// This.
    Set(T),
}

impl<T: Decode> Decode for OrAuto<T> {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        match word(node) {
            Some("auto") => Some(Self::Auto),
            _ => T::decode(node, cx).map(Self::Set),
        }
    }

    fn to_json(&self) -> Json {
        match self {
            Self::Auto => json!("auto"),
            Self::Set(value) => value.to_json(),
        }
    }

    fn schema(schemas: &mut Schemas) -> Json {
        json!({ "anyOf": [{ "const": "auto" }, T::schema(schemas)] })
    }
}

/// The only value of a key that is there or not: `tcp: true`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct True;

impl Decode for True {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        if bool::decode(node, cx)? {
            return Some(Self);
        }
        cx.error(node.span, "this can only be `true`")
            .help("leave the key out instead");
        None
    }

    fn to_json(&self) -> Json {
        json!(true)
    }

    fn schema(schemas: &mut Schemas) -> Json {
        schemas.or_variable(json!({ "const": true }))
    }
}
